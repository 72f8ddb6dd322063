"""What the report says of mapped class areas: before, after, and their difference by zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from rs_monitor.codes import LAND_COVER_STYLE, NODATA, NOT_SEPARABLE
from rs_monitor.grid import MU_M2
from rs_monitor.outputs.terms import words
from rs_monitor.outputs.views import HA_M2, number

MAPPED_NOT_MEASURED = (
    "Mapped areas are pixels of a class times their true area, not corrected for the errors of "
    "the map: biased, no measurement, and never evidence of new arable land. For an area with an "
    "interval, draw points with rs-monitor sample and have them read for rs-monitor assess."
)
NOT_SEEN_NAME = "not_seen"
BEFORE, AFTER = "before", "after"

_NAMES = {code: style.name for code, style in LAND_COVER_STYLE.items()}


@dataclass(frozen=True, slots=True)
class ClassAreaRow:
    """One class of one zone, as printed; a missing difference is NaN."""

    class_name: str
    before_m2: float
    after_m2: float
    difference_m2: float


@dataclass(frozen=True, slots=True)
class ZoneClassAreas:
    """Mapped areas of one zone, as printed; ``total_m2`` is the zone on its grid."""

    zone_id: str
    rows: tuple[ClassAreaRow, ...]
    total_m2: float


def class_area_view(areas: pd.DataFrame | None) -> list[ZoneClassAreas] | None:
    """Mapped areas by zone; None for a run without land cover.

    Parameters
    ----------
    areas : DataFrame, optional
        The table ``class_areas`` of a run.
    """
    if areas is None:
        return None
    return [_zone(str(zone_id), rows) for zone_id, rows in areas.groupby("zone_id", sort=False)]


def not_separable_pairs() -> list[str]:
    """Classes between which a difference says nothing, in words."""
    return [" and ".join(words(_NAMES[code]) for code in sorted(pair)) for pair in NOT_SEPARABLE]


def printed_areas(areas: pd.DataFrame) -> pd.DataFrame:
    """Mapped areas in the units people use: hectares, mu, percent.

    Parameters
    ----------
    areas : DataFrame
        With ``mapped_area_m2`` and ``fraction_of_seen``.
    """
    kept = areas.drop(columns=["mapped_area_m2", "fraction_of_seen"])
    return kept.assign(
        mapped_ha=areas["mapped_area_m2"] / HA_M2,
        mapped_mu=areas["mapped_area_m2"] / MU_M2,
        percent_of_seen=[number(100.0 * share, 2) for share in areas["fraction_of_seen"]],
    )


def _zone(zone_id: str, rows: pd.DataFrame) -> ZoneClassAreas:
    names = rows.drop_duplicates("class").set_index("class")["class_name"]
    held: Any = rows.pivot(index="class", columns="period", values="mapped_area_m2").fillna(0.0)
    seen = [_row(str(names[code]), held.loc[code]) for code in sorted(held.index) if code != NODATA]
    unseen = held.loc[NODATA]
    last = ClassAreaRow(NOT_SEEN_NAME, float(unseen[BEFORE]), float(unseen[AFTER]), float("nan"))
    return ZoneClassAreas(zone_id, (*seen, last), float(held[BEFORE].sum()))


def _row(name: str, held: Any) -> ClassAreaRow:
    before, after = float(held[BEFORE]), float(held[AFTER])
    return ClassAreaRow(name, before, after, after - before)
