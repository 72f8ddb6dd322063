"""How well a zone was seen, and where in it a change could have been detected."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import Change
from rs_monitor.config.rules import DetectionRules
from rs_monitor.errors import GridMismatch
from rs_monitor.findings.detectability import detectable
from rs_monitor.findings.patches import ZoneMaps
from rs_monitor.grid import pixel_area_m2
from rs_monitor.register.records import COVERAGE, check_coverage


def coverage(
    maps: ZoneMaps,
    rules: DetectionRules,
    *,
    inside: NDArray[np.bool_] | None = None,
    longest_gap_days: float | None = None,
    lost_looks: Mapping[str, NDArray[Any]] | None = None,
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
    lost_looks : mapping of str to ndarray, optional
        By reason (cloud, shadow, terrain shadow, snow, no imagery): looks it cost each pixel.

    Returns
    -------
    DataFrame
        One row with the columns of :data:`rs_monitor.register.records.COVERAGE`.

    Raises
    ------
    GridMismatch
        If ``inside`` or a map of lost looks has another shape than the maps.

    Notes
    -----
    A pixel is seen when both periods have ``min_looks`` clear looks and the change map says
    anything about it. A change of ``limit_m2`` could have been detected at a pixel that lies in a
    fully seen square of ``min_reliable_px`` pixels (:func:`~.detectability.detectable`). It would
    show when it lies between the looks shown of both periods; ``covers_from`` and ``covers_until``
    hold for every pixel counted. Areas weight every pixel row with its true area on the ellipsoid.
    """
    zone = np.ones(maps.change.shape, dtype=bool) if inside is None else inside
    _require_shape(maps, {"zone mask": zone, **(lost_looks or {})})
    row_area_m2 = pixel_area_m2(maps.geobox)
    everywhere = _seen(maps, rules)
    seen = zone & everywhere
    watched = zone & detectable(everywhere, rules.min_reliable_px)
    area_m2, seen_m2, watched_m2 = (
        float(where.sum(axis=1) @ row_area_m2) for where in (zone, seen, watched)
    )
    return _table(
        zone_id=maps.zone_id,
        area_m2=area_m2,
        seen_fraction=seen_m2 / area_m2 if area_m2 else 0.0,
        not_seen_m2=area_m2 - seen_m2,
        looks_before_median=_median(maps.looks_before[zone]),
        looks_after_median=_median(maps.looks_after[zone]),
        longest_gap_days=np.nan if longest_gap_days is None else float(longest_gap_days),
        limit_m2=float(rules.min_reliable_px * row_area_m2.mean()),
        detectable_fraction=watched_m2 / area_m2 if area_m2 else 0.0,
        detectable_m2=watched_m2,
        covers_from=_latest(maps.middle_look_before, watched),
        covers_until=_earliest(maps.middle_look_after, watched),
        last_look_before=_middle_day(maps.last_look_before, seen),
        last_look_after=_middle_day(maps.last_look_after, seen),
        doubtful_fraction=_mean(maps.doubtful, seen),
        not_seen_because=_reasons(lost_looks or {}, zone & ~seen),
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
        detectable_fraction=0.0,
        detectable_m2=0.0,
        covers_from="",
        covers_until="",
        last_look_before="",
        last_look_after="",
        doubtful_fraction=math.nan,
        not_seen_because="nothing was read",
    )


def _table(**row: str | float) -> pd.DataFrame:
    return check_coverage(pd.DataFrame([row], columns=[column.name for column in COVERAGE]))


def _require_shape(maps: ZoneMaps, others: Mapping[str, NDArray[Any]]) -> None:
    wrong = [f"{name} of {a.shape}" for name, a in others.items() if a.shape != maps.change.shape]
    if wrong:
        raise GridMismatch(
            f"got a {', a '.join(wrong)} for maps of {maps.change.shape}; needed one grid; bring "
            f"all of zone {maps.zone_id} to the grid of its maps"
        )


def _seen(maps: ZoneMaps, rules: DetectionRules) -> NDArray[np.bool_]:
    looks = np.minimum(maps.looks_before, maps.looks_after)
    return np.asarray((looks >= rules.min_looks) & (maps.change != Change.NOT_SEEN), dtype=bool)


def _median(looks: NDArray[np.uint16]) -> float:
    return float(np.median(looks)) if looks.size else 0.0


def _mean(values: NDArray[Any] | None, where: NDArray[np.bool_]) -> float:
    known = _known(values, where)
    return float(known.mean()) if known.size else math.nan


def _known(values: NDArray[Any] | None, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Finite values of a map at some pixels."""
    held = np.empty(0) if values is None else values[where].astype(np.float64)
    return held[np.isfinite(held)]


def _latest(days: NDArray[np.float32] | None, where: NDArray[np.bool_]) -> str:
    known = _known(days, where)
    return _iso(math.ceil(known.max())) if known.size else ""


def _earliest(days: NDArray[np.float32] | None, where: NDArray[np.bool_]) -> str:
    known = _known(days, where)
    return _iso(math.floor(known.min())) if known.size else ""


def _middle_day(days: NDArray[np.float32] | None, where: NDArray[np.bool_]) -> str:
    known = _known(days, where)
    return _iso(math.floor(np.median(known))) if known.size else ""


def _iso(ordinal: int) -> str:
    return dt.date.fromordinal(ordinal).isoformat()


def _reasons(lost: Mapping[str, NDArray[Any]], where: NDArray[np.bool_]) -> str:
    """Share of each reason in the looks that ground lost, the greatest first."""
    totals = {
        reason: float(np.sum(looks[where], dtype=np.float64)) for reason, looks in lost.items()
    }
    whole = sum(totals.values())
    ordered = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {total / whole:.0%}" for reason, total in ordered if total)
