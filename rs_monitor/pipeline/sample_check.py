"""Whether a sample that comes back is the sample that was drawn."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import LayerError
from rs_monitor.estimation.designs import Design, DesignRecord
from rs_monitor.estimation.points import GEOGRAPHIC
from rs_monitor.grid import true_pixel_area_m2
from rs_monitor.outputs.class_raster import ClassRaster, open_classes
from rs_monitor.outputs.digest import crs_name, file_sha256
from rs_monitor.outputs.sample_files import SampleFiles
from rs_monitor.pipeline.sample_population import Population, population_of
from rs_monitor.pipeline.sample_request import SampleRequest
from rs_monitor.pipeline.sampling import drawn_again

UNREADABLE = "unreadable"
"""Label of a point that was looked at and could not be told."""

_SHOWN = 5
_COLUMNS_MEASURED = 9
_AREA_SLACK = 1e-4
_SAME_AREA = 1e-9

Floats = NDArray[np.float64]
Problem = tuple[str, str]


def grid_of(design: DesignRecord) -> GeoBox:
    """Grid of the map a sample was drawn from."""
    return GeoBox(design.shape, Affine(*design.transform), design.crs)


def texts(values: pd.Series) -> pd.Series:
    """Entries of a column as one would compare them: trimmed, in lower case, ``2.0`` as ``2``."""
    return values.map(_text)


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    text = "_".join(unicodedata.normalize("NFKC", str(value)).lower().split())
    whole, point, rest = text.partition(".")
    number = whole.isdecimal() and (not point or (rest != "" and not rest.strip("0")))
    return str(int(whole)) if number else text


def mistakes(table: pd.DataFrame, files: SampleFiles, classes: dict[int, str]) -> list[str]:
    """Every mistake of a filled-in sample, a line each.

    Parameters
    ----------
    table : DataFrame
        Points with ``reader`` and ``label`` as :func:`texts` gives them.
    files : SampleFiles
    classes : dict of int to str
        Classes that may be given.
    """
    found = [*_of_labels(table, classes), *_of_points(table, files), *_of_strata(files)]
    return [f"{some}: {what}" for some, what in found if some]


def _of_labels(table: pd.DataFrame, classes: dict[int, str]) -> list[Problem]:
    known = {UNREADABLE, *(_text(name) for name in classes.values()), *map(str, classes)}
    empty = table["label"] == ""
    foreign = ~empty & ~table["label"].isin(known)
    doubled = table.duplicated(["id", "reader"])
    return [
        (_some(table.loc[empty, "id"]), f"without a label; fill them in, or write {UNREADABLE!r}"),
        (
            _some(table.loc[foreign, "label"]),
            f"labels that are no class; use one of {', '.join(sorted(classes.values()))}, a code, "
            f"or {UNREADABLE!r}",
        ),
        (
            _some(table.loc[doubled, "id"]),
            "more than one label of one reader; name the readers, or keep one row",
        ),
    ]


def _of_points(table: pd.DataFrame, files: SampleFiles) -> list[Problem]:
    key = files.key
    gone = pd.Series(sorted({*key["id"]} - {*table["id"]}), dtype=object)
    return [
        (
            _some(gone),
            f"drawn and missing here; restore them, write {UNREADABLE!r} where nothing can be told",
        ),
        (
            _some(key.loc[key["id"].duplicated(), "id"]),
            "more than one row of the key; restore the key",
        ),
        (
            _some(table.loc[_moved(table, key, files.design), "id"]),
            "moved out of the pixel that was drawn; restore their coordinates and read them there",
        ),
    ]


def _of_strata(files: SampleFiles) -> list[Problem]:
    strata = files.design.strata
    codes = [stratum.code for stratum in strata]
    counted = files.key["stratum"].value_counts()
    wrong = [s.name for s in strata if int(counted.get(s.code, 0)) != s.points]
    areas = true_pixel_area_m2(
        grid_of(files.design), np.linspace(0, files.design.shape[1] - 1, _COLUMNS_MEASURED)
    )
    least, most = areas.min() * (1 - _AREA_SLACK), areas.max() * (1 + _AREA_SLACK)
    false = [s.name for s in strata if not least * s.pixels <= s.area_m2 <= most * s.pixels]
    return [
        (
            _some(files.key.loc[~files.key["stratum"].isin(codes), "stratum"]),
            "strata the design does not have; name the design of this sample",
        ),
        (_some(pd.Series(wrong, dtype=object)), "another number of points than the design drew"),
        (
            _some(pd.Series(false, dtype=object)),
            "areas that their pixels cannot have on this grid; restore the design",
        ),
    ]


def _some(values: pd.Series) -> str:
    unique = values.drop_duplicates().astype(str).tolist()
    more = len(unique) - _SHOWN
    return ", ".join(unique[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _moved(table: pd.DataFrame, key: pd.DataFrame, design: DesignRecord) -> NDArray[np.bool_]:
    """Points whose coordinates, as far as they are there, lie outside the pixel drawn."""
    moved = np.zeros(len(table), dtype=bool)
    places = key.drop_duplicates("id").set_index("id").reindex(table["id"])
    for x, y in _places_said(table, design):
        col, row = ~Affine(*design.transform) @ (x, y)
        beside = [np.abs(col - places["col"] - 0.5), np.abs(row - places["row"] - 0.5)]
        moved |= ~(np.maximum(*(off.to_numpy(dtype=np.float64) for off in beside)) < 0.5)
    return moved


def _places_said(table: pd.DataFrame, design: DesignRecord) -> list[tuple[Floats, Floats]]:
    def numbers(name: str) -> Floats:
        return np.asarray(pd.to_numeric(table[name], errors="coerce"), dtype=np.float64)

    said = []
    if {"x", "y"} <= {*table}:
        said.append((numbers("x"), numbers("y")))
    if {"lon", "lat"} <= {*table}:
        to_map = pyproj.Transformer.from_crs(GEOGRAPHIC, design.crs, always_xy=True)
        said.append(to_map.transform(numbers("lon"), numbers("lat")))
    if isinstance(table, gpd.GeoDataFrame) and table.crs is not None:
        # the middle: some programs save points as multipoints
        middles = shapely.centroid(table.geometry.to_crs(design.crs).to_numpy())
        said.append((shapely.get_x(middles), shapely.get_y(middles)))
    return said


def check_against_map(path: Path, files: SampleFiles) -> None:
    """Count the map and draw the sample again: the record must say the same.

    Parameters
    ----------
    path : Path
        The map the sample was drawn from.
    files : SampleFiles

    Raises
    ------
    LayerError
        If it is another map (a reprojected or rewritten one is), or strata, areas, names or
        points of the record are not those of the map. Townships are not drawn again.
    """
    record = files.design
    if file_sha256(path) != record.map_digest:
        raise LayerError(
            f"{path.name}: got another file than the sample was drawn from (its digest differs; a "
            "map reprojected or written again is another map); needed that file; name it, or draw "
            "a sample of this map"
        )
    with open_classes(path) as raster:
        differing = _differences(raster, files)
    if differing:
        raise LayerError(
            f"{path.name}: got a record whose {', '.join(differing)} are not those of the map; "
            "needed the files as they were drawn; restore them"
        )


def _differences(raster: ClassRaster, files: SampleFiles) -> list[str]:
    record, key = files.design, files.key
    if raster.geobox != grid_of(record) or crs_name(raster.geobox.crs) != record.crs:
        return ["grid"]
    around = () if record.buffer is None else tuple(str(code) for code in record.buffer.around)
    width_m = 0.0 if record.buffer is None else record.buffer.width_m
    request = SampleRequest(record.design, record.seed, buffer_around=around)
    population = population_of(raster, request, width_m, None)
    same = {
        "names of classes": dict(raster.names) == record.classes,
        "map classes": (population.classes_at(key) == key["map_class"]).all(),
    }
    if record.design is not Design.TWO_STAGE:
        same["strata and areas"] = _same_strata(population, record)
        same["points"] = same["strata and areas"] and _same_points(population, files)
    return [what for what, holds in same.items() if not holds]


def _same_strata(population: Population, record: DesignRecord) -> bool:
    table = population.table
    columns = ["class", "pixels", "name"]
    said = [[s.code, s.pixels, s.name] for s in record.strata]
    areas = [s.area_m2 for s in record.strata]
    return (
        population.buffer == record.buffer
        and table[columns].to_numpy(dtype=object).tolist() == said
        and np.allclose(table["area_m2"], areas, rtol=_SAME_AREA, atol=0.0)
    )


def _same_points(population: Population, files: SampleFiles) -> bool:
    columns = ["row", "col", "stratum"]
    again = drawn_again(population, files.design)[columns]
    ours = files.key[columns].astype(np.int64)
    return {*again.itertuples(index=False, name=None)} == {*ours.itertuples(index=False, name=None)}
