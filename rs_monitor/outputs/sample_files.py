"""Files of a sample: points for readers, the key kept from them, and the design."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
from pydantic import ValidationError

from rs_monitor.config.reading import problems_of
from rs_monitor.errors import ConfigError, LayerError, ReadError
from rs_monitor.estimation.designs import DesignRecord
from rs_monitor.estimation.points import KEY, blind, key_digest, key_of
from rs_monitor.outputs.atomic import replacing, write_json, write_text
from rs_monitor.outputs.vectors import write_layers

LAYER = "points"
SUFFIXES = (".gpkg", ".geojson", ".csv")

_ENCODINGS = ("utf-8-sig", "gb18030")
_SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """A sample as read back.

    Attributes
    ----------
    points : DataFrame
        What readers were given and filled in; a GeoDataFrame unless from a CSV.
    key : DataFrame
        Stratum, map class, probability and weight of each ``id``.
    design : DesignRecord
    """

    points: pd.DataFrame
    key: pd.DataFrame
    design: DesignRecord


def key_path(points: Path) -> Path:
    """Where the key of a points file lies."""
    return points.with_name(f"{points.stem}.key.csv")


def design_path(points: Path) -> Path:
    """Where the design of a points file lies."""
    return points.with_name(f"{points.stem}.design.json")


def write_sample(
    path: Path, points: gpd.GeoDataFrame, design: DesignRecord, *, show_strata: bool = False
) -> tuple[Path, Path, Path]:
    """Write points, key and design beside each other.

    Parameters
    ----------
    path : Path
        ``.gpkg``, ``.geojson`` or ``.csv``; GeoJSON is written in longitude and latitude.
    points : GeoDataFrame
        See :func:`rs_monitor.estimation.points.sample_points`.
    design : DesignRecord
    show_strata : bool
        Give readers the map's answer as well; a reading is then no longer blind.

    Returns
    -------
    points, key, design : Path

    Raises
    ------
    LayerError
        For another suffix, or if one of the files is there already: readings are not overwritten.
    """
    if path.suffix not in SUFFIXES:
        raise LayerError(
            f"{path.name}: got suffix {path.suffix!r}; needed one of {', '.join(SUFFIXES)}; "
            "choose another name"
        )
    for target in (path, key_path(path), design_path(path)):
        require_new(target)
    design = design.model_copy(update={"blind": not show_strata})
    _write_points(path, points if show_strata else blind(points))
    with replacing(key_path(path)) as temporary:
        key_of(points).to_csv(temporary, index=False)
    write_text(design_path(path), design.model_dump_json(indent=2) + "\n")
    return path, key_path(path), design_path(path)


def require_new(path: Path) -> None:
    """Refuse to write over a file.

    Raises
    ------
    LayerError
        If it is there already.
    """
    if path.exists():
        raise LayerError(
            f"{path}: got a file that is there already; needed a new one, it may hold readings or "
            "figures in use; choose another name or move it away"
        )


def write_assessment(path: Path, content: Mapping[str, Any]) -> Path:
    """Write an assessment as JSON; a figure that could not be had is null.

    Parameters
    ----------
    path : Path
    content : mapping
        JSON values.

    Raises
    ------
    LayerError
        If the file is there already.
    """
    require_new(path)
    return write_json(path, _finite(content))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(held) for held in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_points(path: Path, shown: gpd.GeoDataFrame) -> None:
    if path.suffix == ".gpkg":
        write_layers(path, {LAYER: shown})
        return
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            shown.drop(columns="geometry").to_csv(temporary, index=False)
        else:
            pyogrio.write_dataframe(
                shown.to_crs("EPSG:4326"), temporary, driver="GeoJSON", layer=LAYER, RFC7946="YES"
            )


def read_sample(
    points: Path, *, key: Path | None = None, design: Path | None = None
) -> SampleFiles:
    """Read a sample back, with what readers filled in.

    Parameters
    ----------
    points : Path
        File filled in by readers.
    key, design : Path, optional
        Where they lie, if not beside the points.

    Raises
    ------
    ReadError, ConfigError
        If a file is missing or damaged; if the design is no design.
    LayerError
        If points and key do not share their ids, or the key is not the one of the design.
    """
    table = _read_points(points)
    keys = _read_csv(key or key_path(points))
    missing = [name for name in KEY if name not in keys]
    strange = [] if missing or "id" not in table else sorted(set(table["id"]) - set(keys["id"]))
    if missing or strange or "id" not in table:
        raise LayerError(
            f"{points.name}: got ids {strange[:5]} that the key does not hold, or no ids, or a key "
            f"without {missing}; needed the points of one sample; name its own key"
        )
    record = read_design(design or design_path(points))
    if _digest(keys) != record.key_digest:
        raise LayerError(
            f"{(key or key_path(points)).name}: got a key of another draw, or one changed after "
            "the draw (its digest is not that of the design); needed the key written with this "
            "design; name or restore it"
        )
    return SampleFiles(table, keys, record)


def _digest(keys: pd.DataFrame) -> str | None:
    try:
        return key_digest(keys)
    except (ValueError, TypeError):  # what is no whole number is no key
        return None


def read_design(path: Path) -> DesignRecord:
    """Read the design of a sample.

    Raises
    ------
    ReadError, ConfigError
        If there is no such file; if it is no design.
    """
    try:
        return DesignRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadError(
            f"{path}: got {error.strerror}; needed the design written with the points; restore it"
        ) from error
    except ValidationError as error:
        raise ConfigError(str(path), problems_of(error)) from None


def _read_points(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return _read_csv(path)
    try:
        table: pd.DataFrame = pyogrio.read_dataframe(path, layer=LAYER)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ReadError(
            f"{path}: got {error}; needed a readable points file; restore it"
        ) from error
    return _named(table)


def _read_csv(path: Path) -> pd.DataFrame:
    """A table as spreadsheets save it: with a mark, semicolons, or in the local code page."""
    for encoding in _ENCODINGS:
        try:
            with path.open(encoding=encoding, newline="") as stream:
                head = stream.readline()
            separator = max(_SEPARATORS, key=head.count)
            rows: pd.DataFrame = pd.read_csv(
                path,
                sep=separator,
                decimal="," if separator == ";" else ".",
                encoding=encoding,
                dtype={"id": str, "reader": str, "label": str, "confidence": str, "date": str},
            )
        except UnicodeDecodeError:
            continue
        except (OSError, ValueError) as error:
            raise ReadError(
                f"{path}: got {error}; needed a table written with the sample; restore it"
            ) from error
        return _named(rows.dropna(how="all"))
    raise ReadError(
        f"{path}: got text in neither of {', '.join(_ENCODINGS)}; needed a table written with the "
        "sample; save it in UTF-8"
    )


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Ids as text, without the blanks a hand may add; rows without one are named so."""
    if "id" not in table:
        return table
    return table.assign(id=table["id"].fillna("").astype(str).str.strip().replace("", "no id"))
