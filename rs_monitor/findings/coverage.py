"""How well a zone was seen, and the smallest patch its sensor can measure there."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import Change
from rs_monitor.config import DetectionRules
from rs_monitor.errors import GridMismatch
from rs_monitor.findings.patches import ZoneMaps
from rs_monitor.grid import pixel_area_m2
from rs_monitor.register.records import COVERAGE, check_coverage


def coverage(
    maps: ZoneMaps,
    rules: DetectionRules,
    *,
    inside: NDArray[np.bool_] | None = None,
    longest_gap_days: float | None = None,
) -> pd.DataFrame:
    """Coverage of one zone.

    Parameters
    ----------
    maps : ZoneMaps
        Maps of the zone.
    rules : DetectionRules
        Looks a period needs and the pixels a measured patch needs.
    inside : ndarray of bool, optional
        Pixels of the zone; without it the whole grid.
    longest_gap_days : float, optional
        Longest time without a clear look in either period.

    Returns
    -------
    DataFrame
        One row with the columns of :data:`rs_monitor.register.records.COVERAGE`.

    Raises
    ------
    GridMismatch
        If ``inside`` has another shape than the maps.

    Notes
    -----
    A pixel is seen when both periods have ``min_looks`` clear looks and the change map says
    anything about it. Areas weight every pixel row with its true area on the ellipsoid.
    """
    shape = maps.change.shape
    zone = np.ones(shape, dtype=bool) if inside is None else inside
    if zone.shape != shape:
        raise GridMismatch(
            f"got a zone mask of {zone.shape} for maps of {shape}; needed one grid; rasterise the "
            f"zone {maps.zone_id} on the grid of its maps"
        )
    row_area_m2 = pixel_area_m2(maps.geobox)
    area_m2 = float(zone.sum(axis=1) @ row_area_m2)
    seen_m2 = float((zone & _seen(maps, rules)).sum(axis=1) @ row_area_m2)
    return _table(
        zone_id=maps.zone_id,
        area_m2=area_m2,
        seen_fraction=seen_m2 / area_m2 if area_m2 else 0.0,
        not_seen_m2=area_m2 - seen_m2,
        looks_before_median=_median(maps.looks_before[zone]),
        looks_after_median=_median(maps.looks_after[zone]),
        longest_gap_days=np.nan if longest_gap_days is None else float(longest_gap_days),
        limit_m2=float(rules.min_reliable_px * row_area_m2.mean()),
    )


def no_coverage(
    zone_id: str,
    geobox: GeoBox,
    rules: DetectionRules,
    *,
    inside: NDArray[np.bool_],
    longest_gap_days: float,
) -> pd.DataFrame:
    """Coverage of a zone of which nothing was read.

    Parameters
    ----------
    zone_id : str
    geobox : GeoBox
        Grid of the zone.
    rules : DetectionRules
        Pixels a measured patch needs.
    inside : ndarray of bool, shape (height, width)
        Pixels of the zone.
    longest_gap_days : float
        Length of the longer period.

    Returns
    -------
    DataFrame
        One row with the columns of :data:`rs_monitor.register.records.COVERAGE`.
    """
    row_area_m2 = pixel_area_m2(geobox)
    area_m2 = float(inside.sum(axis=1) @ row_area_m2)
    return _table(
        zone_id=zone_id,
        area_m2=area_m2,
        seen_fraction=0.0,
        not_seen_m2=area_m2,
        looks_before_median=0.0,
        looks_after_median=0.0,
        longest_gap_days=longest_gap_days,
        limit_m2=float(rules.min_reliable_px * row_area_m2.mean()),
    )


def _table(**row: str | float) -> pd.DataFrame:
    return check_coverage(pd.DataFrame([row], columns=[column.name for column in COVERAGE]))


def _seen(maps: ZoneMaps, rules: DetectionRules) -> NDArray[np.bool_]:
    looks = np.minimum(maps.looks_before, maps.looks_after)
    return np.asarray((looks >= rules.min_looks) & (maps.change != Change.NOT_SEEN), dtype=bool)


def _median(looks: NDArray[np.uint16]) -> float:
    return float(np.median(looks)) if looks.size else 0.0
