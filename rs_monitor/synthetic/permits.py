"""Permits of the synthetic township: some cover what was built, some come late or have lapsed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from rs_monitor.synthetic.layers import LAYER_CRS, delivered
from rs_monitor.synthetic.layout import Parcel
from rs_monitor.synthetic.planting import Planted
from rs_monitor.synthetic.shapes import snapped

_ORDINARY: Final = {"facility": ("1202",), "mining": ("0602",), "forest": ("0301", "0302")}


@dataclass(frozen=True)
class _Permit:
    kind: str
    geometry: BaseGeometry
    approved_on: dt.date
    expires_on: dt.date | None


def permit_layer(
    rng: np.random.Generator,
    events: Sequence[Planted],
    lookalikes: Sequence[Planted],
    untouched: Sequence[Parcel],
) -> gpd.GeoDataFrame:
    """Build the layer of synthetic permits.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of dates.
    events, lookalikes : sequence of Planted
        What was planted; every permitted building gets an earlier conversion permit, the largest
        building event one that came too late, the largest earthwork a temporary one that lapsed.
    untouched : sequence of Parcel
        Parcels where nothing was planted; a few carry ordinary permits.

    Returns
    -------
    GeoDataFrame
        permit_id, kind, approved_on, expires_on (NaT without end), geometry.
    """
    permits = [_in_time(rng, item) for item in lookalikes if item.kind == "permitted_building"]
    permits += _traps(events)
    permits += _ordinary(rng, untouched)
    return gpd.GeoDataFrame(
        {
            "permit_id": [f"P{i + 1:03d}" for i in range(len(permits))],
            "kind": [p.kind for p in permits],
            "approved_on": pd.to_datetime([p.approved_on for p in permits]),
            "expires_on": pd.to_datetime(pd.Series([p.expires_on for p in permits])),
        },
        geometry=delivered([p.geometry for p in permits]),
        crs=LAYER_CRS,
    )


def _in_time(rng: np.random.Generator, item: Planted) -> _Permit:
    approved = item.date - dt.timedelta(days=int(rng.integers(30, 240)))
    ends = approved + dt.timedelta(days=730) if rng.random() < 0.5 else None
    outline = snapped(item.geometry.buffer(rng.uniform(4.0, 9.0), join_style="mitre"))
    return _Permit("conversion", outline, approved, ends)


def _traps(events: Sequence[Planted]) -> list[_Permit]:
    """Permits that must not excuse anything: one too late, one lapsed."""
    traps = []
    for kind, permit, approved, ends in (
        ("building", "conversion", dt.date(2025, 11, 20), None),
        ("earthwork", "temporary", dt.date(2022, 5, 10), dt.date(2024, 5, 9)),
    ):
        mine = [event for event in events if event.kind == kind]
        if mine:
            largest = max(mine, key=lambda event: event.geometry.area)
            outline = snapped(largest.geometry.buffer(5.0, join_style="mitre"))
            traps.append(_Permit(permit, outline, approved, ends))
    return traps


def _ordinary(rng: np.random.Generator, untouched: Sequence[Parcel]) -> list[_Permit]:
    permits = []
    for kind, codes in _ORDINARY.items():
        fitting = [parcel for parcel in untouched if parcel.code in codes]
        for index in rng.permutation(len(fitting))[:2]:
            approved = dt.date(2021, 3, 1) + dt.timedelta(days=int(rng.integers(0, 900)))
            ends = approved + dt.timedelta(days=365 * 5)
            permits.append(_Permit(kind, fitting[int(index)].geometry, approved, ends))
    fields = [parcel for parcel in untouched if parcel.code == "0103" and parcel.place == "plain"]
    chosen = [fields[int(index)] for index in rng.permutation(len(fields))[:1]]
    planned = [_Permit("plan", field.geometry, dt.date(2024, 7, 15), None) for field in chosen]
    return permits + planned
