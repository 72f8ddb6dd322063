"""Changed pixels of a zone to patches with classes, dates, area and measurability."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from rs_monitor.authority.area import areas_m2
from rs_monitor.codes import LAND_COVER_STYLE, LandCover
from rs_monitor.config.rules import DetectionRules
from rs_monitor.errors import GridMismatch
from rs_monitor.findings.detectability import DetectabilityRules, measurability, shift_fraction
from rs_monitor.findings.groups import CLASSES, Labels, group_pixels, outline_groups
from rs_monitor.findings.identity import patch_id
from rs_monitor.findings.kinds import change_kind
from rs_monitor.grid import require_projected
from rs_monitor.kernels.patch_sums import patch_sums
from rs_monitor.register.records import PATCH, record_frame

UNKNOWN = "unknown"
"""Class name of a patch without land cover."""

_LOW_PERCENTILE = 10


@dataclass(frozen=True)
class ZoneMaps:
    """Maps of one zone on one grid.

    Attributes
    ----------
    zone_id : str
        Zone.
    geobox : GeoBox
        Projected grid of every array, shape (height, width).
    change : ndarray of uint8
        Values of :class:`rs_monitor.codes.Change`.
    magnitude : ndarray of float32
        Change magnitude; NaN where not seen.
    probability : ndarray of float32, optional
        Posterior probability of change, 0-1.
    land_cover_before, land_cover_after : ndarray of uint8, optional
        Values of :class:`rs_monitor.codes.LandCover`, 0 = nodata.
    confidence_before, confidence_after : ndarray of float32, optional
        Probability of the class given, 0-1.
    slope_deg : ndarray of float32, optional
        Slope in degrees, NaN = no elevation.
    looks_before, looks_after : ndarray of uint16
        Clear looks of each period.
    first_date, last_date : date
        Widest window of a change, by the scenes of the zone.
    middle_look_before, middle_look_after : ndarray of float32, optional
        Day ordinals of the state shown of each period: the middle clear look of what is made from
        all looks, the look itself of a composite of one look
        (:func:`rs_monitor.imagery.composites.shown_look`). They date the change of a patch.
        Without them, or where they are NaN, its window is that of the zone.
    last_look_before, last_look_after : ndarray of float32, optional
        Day ordinals of the last clear look of each period; NaN = none.
    doubtful : ndarray of bool or float32, optional
        Share of the looks kept as ground though a mask called them cloud, 0-1; NaN = not known.
    shift_m : float, optional
        Uncertainty of the registration between the periods, metres; None = not measured.
    registration_asked : bool
        Whether shifts were to be measured: without ``shift_m`` no patch is then ``measured``.
    scene_ids : tuple of str
        Scenes used.
    vector_crs : str
        CRS of the delivered vectors; patches are kept in it.
    """

    zone_id: str
    geobox: GeoBox
    change: NDArray[np.uint8]
    magnitude: NDArray[np.float32]
    probability: NDArray[np.float32] | None
    land_cover_before: NDArray[np.uint8] | None
    land_cover_after: NDArray[np.uint8] | None
    confidence_before: NDArray[np.float32] | None
    confidence_after: NDArray[np.float32] | None
    slope_deg: NDArray[np.float32] | None
    looks_before: NDArray[np.uint16]
    looks_after: NDArray[np.uint16]
    first_date: dt.date
    last_date: dt.date
    scene_ids: tuple[str, ...]
    vector_crs: str
    middle_look_before: NDArray[np.float32] | None = None
    middle_look_after: NDArray[np.float32] | None = None
    last_look_before: NDArray[np.float32] | None = None
    last_look_after: NDArray[np.float32] | None = None
    doubtful: NDArray[np.bool_] | NDArray[np.float32] | None = None
    shift_m: float | None = None
    registration_asked: bool = False

    def __post_init__(self) -> None:
        require_projected(self.geobox, "a patch")
        height, width = self.geobox.shape
        shapes = {n: a.shape for n, a in vars(self).items() if isinstance(a, np.ndarray)}
        wrong = {name: shape for name, shape in shapes.items() if shape != (height, width)}
        if wrong:
            raise GridMismatch(
                f"got {wrong} for a grid of {(height, width)}; needed every map of zone "
                f"{self.zone_id} on its grid; load all maps on the zone's grid"
            )


def delineate(
    maps: ZoneMaps, rules: DetectionRules, shift_rules: DetectabilityRules | None = None
) -> gpd.GeoDataFrame:
    """Outline the changed pixels of a zone as patches.

    Parameters
    ----------
    maps : ZoneMaps
        Maps of the whole zone, so that no patch is cut by a block.
    rules : DetectionRules
        Smallest group, limits of measurability, looks needed, shape of a road.
    shift_rules : DetectabilityRules, optional
        From which share near its edge a patch is no longer measured, or nothing is decided.

    Returns
    -------
    GeoDataFrame
        Columns of :data:`rs_monitor.register.records.PATCH`, in ``maps.vector_crs``, largest patch
        first, then by id.

    Notes
    -----
    A group is 8-connected. Where it holds parts of different classes after the change that are
    each large enough to be measured (``min_reliable_px``), it is parted between them; smaller
    parts join the nearest one of their group. Outlines are pixel edges, unsmoothed: the area is
    that of the pixels, the perimeter is that of a staircase.
    """
    labels = group_pixels(maps.change, maps.land_cover_after, rules)
    count = int(labels.max(initial=0))
    if count == 0:
        return record_frame({column.name: [] for column in PATCH}, PATCH, [], maps.vector_crs)
    outlines = outline_groups(labels, maps.geobox)
    frame = gpd.GeoSeries(outlines, crs=str(maps.geobox.crs)).to_crs(maps.vector_crs)
    columns = {
        **_shape_columns(outlines, areas_m2(gpd.GeoDataFrame(geometry=frame))),
        **_pixel_columns(maps, labels, count),
        **_constant_columns(maps, count),
        **_window_columns(maps, labels, count),
        **_doubt_columns(maps, labels, outlines),
        "patch_id": _patch_ids(maps, outlines),
    }
    columns["measurability"] = measurability(
        columns, rules, shift_rules, registration_asked=maps.registration_asked
    )
    columns["kind"] = _kinds(columns, rules)
    patches = record_frame(_named(columns), PATCH, frame, maps.vector_crs)
    return _in_order(patches)


def _in_order(patches: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    order = np.lexsort((patches["patch_id"].astype(str), -patches["area_m2"].to_numpy()))
    return patches.iloc[order].reset_index(drop=True)


def _shape_columns(
    outlines: NDArray[np.object_], areas: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    perimeter = shapely.length(outlines)
    return {
        "area_m2": areas,
        "perimeter_m": perimeter,
        "width_m": 2.0 * areas / perimeter,
        "elongation": _elongation(outlines),
    }


def _elongation(outlines: NDArray[np.object_]) -> NDArray[np.float64]:
    boxes = shapely.get_exterior_ring(shapely.oriented_envelope(outlines))
    corners = shapely.get_coordinates(boxes).reshape(len(outlines), 5, 2)
    edges = np.linalg.norm(np.diff(corners[:, :3], axis=1), axis=2)
    return np.asarray(edges.max(axis=1) / edges.min(axis=1), dtype=np.float64)


def _pixel_columns(
    maps: ZoneMaps, labels: Labels, count: int
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    inside = labels > 0
    of = labels[inside] - 1
    magnitude = patch_sums(labels, maps.magnitude, count)
    columns: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {
        "n_px": magnitude.n_px,
        "magnitude": magnitude.mean,
        "looks_before": _low(of, maps.looks_before[inside], count),
        "looks_after": _low(of, maps.looks_after[inside], count),
    }
    for name, optional in (("probability", maps.probability), ("slope_deg", maps.slope_deg)):
        columns[name] = _mean(labels, optional, count)
    for period in ("before", "after"):
        cover = getattr(maps, f"land_cover_{period}")
        confidence = getattr(maps, f"confidence_{period}")
        codes, prob = _majority(
            of,
            None if cover is None else cover[inside],
            None if confidence is None else confidence[inside],
            count,
        )
        columns[f"class_{period}"], columns[f"prob_{period}"] = codes, prob
    return columns


def _mean(labels: Labels, values: NDArray[np.float32] | None, count: int) -> NDArray[np.float64]:
    """Mean of the finite values of each patch; NaN where none is."""
    if values is None:
        return np.full(count, np.nan)
    return patch_sums(labels, values, count).mean


def _low(of: NDArray[np.int32], values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """10th percentile of the whole values of each patch, one that occurs; 0 where there is none."""
    ordered = np.append(values[np.lexsort((values, of))], 0).astype(np.int64)
    sizes = np.bincount(of, minlength=count)
    starts = np.cumsum(sizes) - sizes
    position = starts + np.maximum(sizes - 1, 0) * _LOW_PERCENTILE // 100
    return np.where(sizes > 0, ordered[position], 0)


def _majority(
    of: NDArray[np.int32],
    cover: NDArray[np.uint8] | None,
    confidence: NDArray[np.float32] | None,
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Class with the largest sum of confidence, and that sum per pixel (a lower bound)."""
    if cover is None:
        return np.zeros(count, dtype=np.int64), np.full(count, np.nan)
    weight = np.ones(cover.size) if confidence is None else np.nan_to_num(confidence)
    votes = np.bincount(
        of.astype(np.int64) * CLASSES + cover, weight, minlength=count * CLASSES
    ).reshape(count, CLASSES)
    votes[:, 0] = 0.0
    winner = np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), 0)
    share = votes.max(axis=1) / np.bincount(of, minlength=count)
    known = (winner > 0) & (confidence is not None)
    return winner, np.where(known, share, np.nan)


def _constant_columns(maps: ZoneMaps, count: int) -> dict[str, list[str]]:
    constants = {
        "zone_id": maps.zone_id,
        "scene_ids": ";".join(maps.scene_ids),
    }
    return {name: [value] * count for name, value in constants.items()}


def _window_columns(maps: ZoneMaps, labels: Labels, count: int) -> dict[str, list[str]]:
    """Earliest shown look before and latest shown look after: the change lies between them."""
    index = np.arange(1, count + 1)
    first = [maps.first_date.isoformat()] * count
    last = [maps.last_date.isoformat()] * count
    if maps.middle_look_before is not None:
        days = np.nan_to_num(maps.middle_look_before, nan=maps.first_date.toordinal())
        first = [_iso(math.floor(day)) for day in ndimage.minimum(days, labels, index)]
    if maps.middle_look_after is not None:
        days = np.nan_to_num(maps.middle_look_after, nan=maps.last_date.toordinal())
        last = [_iso(math.ceil(day)) for day in ndimage.maximum(days, labels, index)]
    return {"first_date": first, "last_date": last}


def _doubt_columns(
    maps: ZoneMaps, labels: Labels, outlines: NDArray[np.object_]
) -> dict[str, object]:
    """How late a patch was last seen, and what makes it doubtful."""
    count = len(outlines)
    shift_m = math.nan if maps.shift_m is None else float(maps.shift_m)
    doubtful = None if maps.doubtful is None else maps.doubtful.astype(np.float32)
    return {
        "last_look": _last_looks(maps, labels, count),
        "doubtful_fraction": _mean(labels, doubtful, count),
        "shift_m": np.full(count, shift_m),
        "shift_fraction": shift_fraction(outlines, shift_m),
    }


def _last_looks(maps: ZoneMaps, labels: Labels, count: int) -> list[str]:
    """Day on or after which nine tenths of each patch were last seen; empty where not known."""
    if maps.last_look_after is None:
        return [""] * count
    known = (labels > 0) & np.isfinite(maps.last_look_after)
    days = _low(labels[known] - 1, np.floor(maps.last_look_after[known]), count)
    return [_iso(int(day)) if day else "" for day in days]


def _iso(ordinal: int) -> str:
    return dt.date.fromordinal(ordinal).isoformat()


def _kinds(columns: Mapping[str, object], rules: DetectionRules) -> list[str]:
    names = ("class_before", "class_after", "width_m", "elongation")
    rows = zip(*(np.asarray(columns[name]) for name in names), strict=True)
    return [
        change_kind(
            LandCover(int(before)) if before else None,
            LandCover(int(after)) if after else None,
            width_m=float(width),
            elongation=float(elongation),
            rules=rules,
        ).value
        for before, after, width, elongation in rows
    ]


def _named(columns: Mapping[str, object]) -> dict[str, object]:
    named = dict(columns)
    for name in ("class_before", "class_after"):
        codes = np.asarray(columns[name])
        named[name] = [LAND_COVER_STYLE[int(c)].name if c else UNKNOWN for c in codes]
    return named


def _patch_ids(maps: ZoneMaps, outlines: NDArray[np.object_]) -> list[str]:
    """Ids from zone, window and outline on the grid, rounded to a centimetre."""
    rounded = shapely.normalize(shapely.transform(outlines, lambda xy: np.round(xy, 2) + 0.0))
    crs = pyproj.CRS(str(maps.geobox.crs)).to_string()
    window = f"{maps.first_date.isoformat()}/{maps.last_date.isoformat()}"
    return [
        patch_id(maps.zone_id, window, crs, outline)
        for outline in shapely.to_wkb(rounded, hex=True, byte_order=1)
    ]
