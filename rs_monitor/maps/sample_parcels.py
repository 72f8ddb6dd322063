"""From a survey or a dated table to the cores of parcels that may give training samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field, field_validator

from rs_monitor.authority.area import polygon_areas_m2
from rs_monitor.authority.land_codes import land_name_of
from rs_monitor.codes import (
    AMBIGUOUS_CODES,
    NODATA,
    NOT_VISIBLE_CODES,
    CodeSystem,
    LandCover,
    LeftOut,
    land_cover_of,
)
from rs_monitor.config.tables import Model
from rs_monitor.errors import ConfigError, GridMismatch, LayerError, MissingCRS
from rs_monitor.grid import describe, require_projected
from rs_monitor.maps.lattice import spatial_blocks
from rs_monitor.maps.parcel_cores import eroded_cores, is_slight, without_disputed

LARGEST = np.iinfo(np.uint8).max
"""Labels of samples are bytes."""


class SampleRules(Model):
    """How training samples are taken from parcels."""

    registration_error_m: float = Field(ge=0, description="image against survey, beside half a px")
    block_m: float = Field(gt=0, description="side of a spatial block")
    area_class_edges_m2: tuple[float, ...] = Field(description="between small and large parcels")
    counted_per_parcel: int = Field(
        ge=1, description="pixels of a parcel counted on when parcels are chosen: few, many parcels"
    )
    pixels_per_parcel: int = Field(ge=1, description="at most so many pixels of one parcel")
    reserve: float = Field(ge=1, description="wanted pixels are drawn so many times over")
    min_period_share: float = Field(
        gt=0, le=1, description="of the imagery's period that a dated sample must cover"
    )

    @field_validator("area_class_edges_m2")
    @classmethod
    def _rising(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(a >= b for a, b in zip((0.0, *edges), edges, strict=False)):
            raise ValueError("edges must be positive and rise")
        return edges


@dataclass(frozen=True, slots=True)
class SampleParcels:
    """Parcels that may give samples, and those that may not.

    Attributes
    ----------
    cores : GeoDataFrame
        Index ``parcel`` (row of the layer); columns source, feature_id, land_code, code_system,
        cover, area_m2, date, shrink_m, block, area_class and the core as geometry, in the grid's
        CRS.
    left_out : DataFrame
        Index ``parcel``; columns reason (``LeftOut``), land_code, area_m2 (NaN of an invalid
        geometry). Each row of the layer stands in exactly one of the two.
    """

    cores: gpd.GeoDataFrame
    left_out: pd.DataFrame


def training_cover(code: str, system: CodeSystem) -> LandCover | LeftOut:
    """Monitor class that a surveyed land code teaches, or why it teaches none.

    Parameters
    ----------
    code : str
        Four characters and more; ``K`` (adjustable) and ``A`` (refined) look like their class.
    system : CodeSystem

    Notes
    -----
    Field ridges are not visible; swamp under trees or shrubs stands in two rows of the crosswalk
    (B4); idle, special or reserved land and parks are uses without a cover of their own.
    """
    if land_name_of(code, system) is None:
        return LeftOut.UNKNOWN_CODE
    if code[:4] in NOT_VISIBLE_CODES[system]:
        return LeftOut.NOT_VISIBLE
    if code[:4] in AMBIGUOUS_CODES[system]:
        return LeftOut.NOT_SEPARABLE
    cover = land_cover_of(code, system)
    return LeftOut.NO_CLASS if cover is None else cover


def survey_parcels(
    survey: gpd.GeoDataFrame,
    geobox: GeoBox | Sequence[GeoBox],
    *,
    system: CodeSystem,
    rules: SampleRules,
    source: str = "survey",
) -> SampleParcels:
    """Erode the parcels of a land survey to the cores whose pixels show nothing but them.

    Parameters
    ----------
    survey : GeoDataFrame
        Polygons with text ``land_code``; ``feature_id`` and ``year`` are kept where given.
    geobox : GeoBox or sequence of GeoBox
        Grid of the samples, in metres; several of one CRS and pixel size are one area.
    system : CodeSystem
        Of the codes.
    rules : SampleRules
    source : str
        Name of the layer, for the provenance.

    Returns
    -------
    SampleParcels
        Left out: codes without a class in imagery or with two, invalid geometries, parcels beyond
        the grids, those no wider than twice the erosion, and those that others lie upon.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        A layer or grid without CRS; a grid in degrees.
    LayerError
        Without codes, or with codes that are not text or of the second survey (three digits).

    Notes
    -----
    Eroded by half a pixel and the registration error: a pixel whose centre lies in the core is
    made of the parcel alone even where image and survey are that far apart. Ground that a parcel
    of another class claims, too, is cut out as far as that, whether or not that parcel may give
    samples. The date is the survey year's 31 December, its reference day.
    """
    grids = _grids(geobox)
    codes = _text_codes(survey)
    taught = {code: training_cover(code, system) for code in set(codes)}
    found = [taught[code] for code in codes]
    frame = _described(survey, grids, source, rules)
    frame.insert(2, "land_code", codes)
    frame.insert(3, "code_system", str(system))
    frame["cover"] = [int(v) if isinstance(v, LandCover) else NODATA for v in found]
    frame["reason"] = [str(v) if isinstance(v, LeftOut) else "" for v in found]
    return _cores(frame, grids, rules, one_date=True)


def table_parcels(
    table: gpd.GeoDataFrame,
    geobox: GeoBox | Sequence[GeoBox] | None,
    *,
    covers: Mapping[str, int],
    start: Any,
    end: Any,
    rules: SampleRules,
    source: str = "table",
) -> SampleParcels:
    """Samples of a table with dates that may be used with imagery of one period.

    Parameters
    ----------
    table : GeoDataFrame
        Points or polygons with text ``label`` and dates ``from`` and ``to``; ``feature_id`` is
        kept where given. Polygons are eroded, points are not.
    geobox : GeoBox or sequence of GeoBox, optional
        Grid of the samples, in metres; None = the table brings its own features and is used whole,
        in its CRS.
    covers : mapping of str to int
        Class of each label; other labels are left out as unknown.
    start, end : date, or array of dates of shape (n,)
        Period of the imagery, or of the imagery of each row; a sample must cover
        ``rules.min_period_share`` of it.
    rules : SampleRules
    source : str
        Name of the table, for the provenance.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        A table or grid without CRS; a grid in degrees.
    LayerError
        Without label or dates.
    ConfigError
        If a class does not fit a byte.
    """
    _require_bytes(covers)
    grids = () if geobox is None else _grids(geobox)
    first, last = _dated(table)
    labels = table["label"].astype(str).tolist()
    frame = _described(table, grids, source, rules)
    frame.insert(2, "land_code", labels)
    frame.insert(3, "code_system", "table")
    frame["date"] = last
    frame["cover"] = [covers.get(label, NODATA) for label in labels]
    inside = _period_share(first, last, start, end) >= rules.min_period_share
    known = frame["cover"].to_numpy() != NODATA
    frame["reason"] = np.where(
        known, np.where(inside, "", LeftOut.OTHER_DATE), LeftOut.UNKNOWN_CODE
    )
    return _cores(frame, grids, rules, one_date=False)


def _require_bytes(covers: Mapping[str, int]) -> None:
    wrong = {label: cover for label, cover in covers.items() if not NODATA < cover <= LARGEST}
    if wrong:
        raise ConfigError(
            "samples",
            [
                f"got classes {wrong}; needed numbers from {NODATA + 1} to {LARGEST}, one of "
                "each class; number the classes anew"
            ],
        )


def _grids(geobox: GeoBox | Sequence[GeoBox]) -> tuple[GeoBox, ...]:
    grids = (geobox,) if isinstance(geobox, GeoBox) else tuple(geobox)
    for grid in grids:
        require_projected(grid, "eroding parcels")
        if (grid.crs, grid.resolution) != (grids[0].crs, grids[0].resolution):
            raise GridMismatch(
                f"got grids {describe(grids[0])} and {describe(grid)}; needed one CRS and pixel "
                "size; take the samples of each by itself"
            )
    return grids


def _text_codes(survey: gpd.GeoDataFrame) -> list[str]:
    if "land_code" not in survey:
        raise LayerError(
            f"got a survey with {', '.join(map(str, survey.columns))}; needed land_code; name the "
            "field of the land codes"
        )
    codes: list[str] = survey["land_code"].tolist()
    odd = [code for code in codes if not isinstance(code, str)]
    if odd:
        raise LayerError(
            f"got {len(odd)} land codes that are not text (first {odd[0]!r}); needed text, with "
            "leading zeros; read the field as text"
        )
    old = sorted({code for code in codes if len(code) == 3 and code.isdigit()})
    if old:
        raise LayerError(
            f"got second-survey land codes {', '.join(old[:5])}; needed four digits and more in "
            "every row; convert the layer with the survey office's crosswalk"
        )
    return codes


def _dated(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """First and last day of each row of a table of samples."""
    missing = [name for name in ("label", "from", "to") if name not in table.columns]
    if missing:
        raise LayerError(
            f"got a table of samples without {', '.join(missing)}; needed label, from and to; "
            "rename the columns or add the dates the label holds for"
        )
    first, last = pd.to_datetime(table["from"]), pd.to_datetime(table["to"])
    wrong = np.flatnonzero(~(first <= last))
    if wrong.size:
        raise LayerError(
            f"got {wrong.size} samples without a span of days (first in row {wrong[0]}); needed "
            "from <= to in each; correct the dates"
        )
    return first, last


def _period_share(first: pd.Series, last: pd.Series, start: Any, end: Any) -> NDArray[np.float64]:
    """Share of an imagery period that each sample's own dates cover, days included."""
    begins, ends = (np.asarray(pd.to_datetime(day), "datetime64[D]") for day in (start, end))
    one = np.timedelta64(1, "D")
    common = np.minimum(last.to_numpy("datetime64[D]"), ends) + one
    common = common - np.maximum(first.to_numpy("datetime64[D]"), begins)
    return np.maximum(np.asarray(common / (ends - begins + one), dtype=np.float64), 0.0)


def _described(
    layer: gpd.GeoDataFrame, grids: Sequence[GeoBox], source: str, rules: SampleRules
) -> gpd.GeoDataFrame:
    """Provenance of each row and its geometry in the grid's CRS."""
    if layer.crs is None:
        raise MissingCRS(
            f"got {source} without CRS; needed the one its coordinates are in; assign it"
        )
    index = pd.RangeIndex(len(layer), name="parcel")
    ids = layer["feature_id"].astype(str).tolist() if "feature_id" in layer else index.astype(str)
    crs = str(grids[0].crs) if grids else layer.crs
    moved = layer.geometry.to_crs(crs).to_numpy()
    frame = gpd.GeoDataFrame(
        {"source": source, "feature_id": ids}, index=index, geometry=moved, crs=crs
    )
    frame["area_m2"] = _areas(layer)
    year = layer["year"] if "year" in layer else pd.Series(pd.NA, layer.index)
    days = pd.to_datetime(year.astype("Int64").astype("string") + "-12-31", errors="coerce")
    frame["date"] = days.to_numpy()
    frame["shrink_m"] = np.where(_flat(moved), 0.0, _shrink_m(grids, layer.crs, rules))
    return frame


def _shrink_m(grids: Sequence[GeoBox], crs: Any, rules: SampleRules) -> float:
    """Half a pixel and the registration error; 0 where features were not read from a grid."""
    if not grids:
        require_projected(GeoBox((1, 1), Affine.identity(), crs), "placing samples")
        return 0.0
    resolution = grids[0].resolution
    return max(abs(resolution.x), abs(resolution.y)) / 2 + rules.registration_error_m


def _flat(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.asarray(shapely.get_dimensions(shapes) == 0)


def _areas(layer: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Areas on the ellipsoid; 0 of points, NaN where the geometry is not usable."""
    shapes = layer.geometry.to_numpy()
    areas = np.where(_flat(shapes), 0.0, np.nan)
    sound = shapely.is_valid(shapes) & (shapely.get_dimensions(shapes) == 2)
    if sound.any():
        areas[sound] = polygon_areas_m2(shapes[sound], layer.crs)
    return areas


def _cores(
    frame: gpd.GeoDataFrame, grids: Sequence[GeoBox], rules: SampleRules, *, one_date: bool
) -> SampleParcels:
    """Erode and place; rows of one date must not contradict each other on the same ground."""
    shapes = frame.geometry.to_numpy()
    reason = frame["reason"].to_numpy(dtype=object)
    valid = shapely.is_valid(shapes) & ~shapely.is_empty(shapes) & frame["area_m2"].notna()
    within = _within(shapes, grids)
    shrink = frame["shrink_m"].to_numpy()
    usable = (reason == "") & valid.to_numpy() & within
    eroded = usable & (shrink > 0)
    cores = eroded_cores(shapes, shrink, eroded)
    narrow = is_slight(cores, eroded)
    if one_date:
        # ridges lie within their field and are not seen
        claims = valid.to_numpy() & (reason != LeftOut.NOT_VISIBLE)
        cover = frame["cover"].to_numpy()
        cores = without_disputed(cores, eroded & ~narrow, shapes, claims, cover, shrink)
    # the first reason that applies is the one reported
    for applies, why in (
        (~valid.to_numpy(), LeftOut.INVALID_GEOMETRY),
        (~within, LeftOut.OUTSIDE),
        (narrow, LeftOut.TOO_NARROW),
        (is_slight(cores, eroded), LeftOut.OVERLAPPED),
    ):
        reason[(reason == "") & applies] = str(why)
    frame = frame.assign(reason=reason)
    kept = frame[reason == ""].drop(columns="reason")
    kept = kept.set_geometry(gpd.GeoSeries(cores[reason == ""], kept.index, crs=frame.crs))
    return SampleParcels(_placed(kept, shapes[reason == ""], rules), _rest(frame))


def _within(shapes: NDArray[np.object_], grids: Sequence[GeoBox]) -> NDArray[np.bool_]:
    """Whether a shape meets any of the grids; without grids all do."""
    if not grids:
        return np.ones(len(shapes), dtype=np.bool_)
    area = shapely.union_all([shapely.box(*grid.boundingbox) for grid in grids])
    shapely.prepare(area)
    return np.asarray(shapely.intersects(area, shapes))


def _placed(
    kept: gpd.GeoDataFrame, shapes: NDArray[np.object_], rules: SampleRules
) -> gpd.GeoDataFrame:
    """Block and area class of whole parcels, so that no parcel lies in two strata."""
    inner = shapely.point_on_surface(shapes)
    edges = np.asarray(rules.area_class_edges_m2)
    return kept.assign(
        cover=kept["cover"].astype(np.uint8),
        block=spatial_blocks(shapely.get_x(inner), shapely.get_y(inner), rules.block_m),
        area_class=np.searchsorted(edges, kept["area_m2"].to_numpy(), side="right"),
    )


def _rest(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    rest = frame.loc[frame["reason"] != "", ["reason", "land_code", "area_m2"]]
    return pd.DataFrame(rest)
