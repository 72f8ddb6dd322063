"""Planting: what happens in the synthetic township, and the truth tables about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from rs_monitor.synthetic.claims import Claim, claim_steps, plant_claims
from rs_monitor.synthetic.covers import (
    MIX_OF_CODE,
    add_cover,
    add_field,
    add_materials,
    draw_plan,
)
from rs_monitor.synthetic.events import EVENT_KINDS, event_sizes, plant_events, size_class
from rs_monitor.synthetic.layers import ARABLE, LAYER_CRS, delivered, official_area_m2
from rs_monitor.synthetic.layout import Parcel, Site
from rs_monitor.synthetic.lookalikes import choose_fields, plant_spots, season_of
from rs_monitor.synthetic.noise import stream
from rs_monitor.synthetic.phenology import CoverBook, CoverTable, Window
from rs_monitor.synthetic.planting import Planted, Step, steps_of
from rs_monitor.synthetic.shapes import Ground, largest, snapped
from rs_monitor.synthetic.world import World, with_parcels
from rs_monitor.synthetic.zones import inner_zones

_GAP_M: Final = 32.0
_MOST_CLAIMS: Final = 4


@dataclass(frozen=True)
class Truth:
    """Everything planted in a synthetic township, in map metres, and the cover it leads to."""

    events: tuple[Planted, ...]
    lookalikes: tuple[Planted, ...]
    claims: tuple[Claim, ...]
    steps: tuple[Step, ...]
    parcel_labels: tuple[int | None, ...]
    materials: dict[str, list[int]]
    table: CoverTable

    def touched(self, parcels: Sequence[Parcel]) -> npt.NDArray[np.bool_]:
        """Parcels that something planted lies on."""
        planted = [item.geometry for item in (*self.events, *self.lookalikes)]
        planted += [claim.geometry for claim in self.claims]
        hit = np.zeros(len(parcels), dtype=bool)
        tree = shapely.STRtree([p.geometry for p in parcels])
        hit[tree.query(np.asarray(planted, dtype=object), predicate="intersects")[1]] = True
        return hit


def plant(
    seed: int,
    world: World,
    *,
    events_per_kind: int,
    lookalikes_per_kind: int,
    clear_days: Sequence[dt.date],
) -> tuple[World, Truth]:
    """Plant claims, events and look-alikes and cut the synthetic township into parcels.

    Parameters
    ----------
    seed : int
        Seed of the township.
    world : World
        The world without parcels.
    events_per_kind, lookalikes_per_kind : int
        How many of each kind.
    clear_days : sequence of datetime.date
        Days of fairly clear scenes for missed clouds.

    Returns
    -------
    tuple of World and Truth
        The world with parcels, and what was planted.
    """
    ground = Ground(world.placement)
    rng = stream(seed, 3, world.attempt)
    sizes = event_sizes(rng, events_per_kind)
    angle = world.regions.angle_deg
    farm = shapely.union_all([world.regions.plain, world.regions.foot])
    open_farm = world.room(farm.intersection(inner_zones(world.zones)), gentle=True)
    claims = plant_claims(rng, ground, open_farm, min(events_per_kind, _MOST_CLAIMS), angle)
    fields = [("new_arable", float(mu)) for mu in sizes.pop("new_arable")]
    planted = plant_events(rng, ground, fields, {"farm": open_farm}, angle)
    hosts = _hosts(rng, claims, planted)
    world = with_parcels(seed, world, hosts, ground)
    later: list[tuple[str, float]] = [
        (kind, float(mu)) for kind in EVENT_KINDS if kind in sizes for mu in sizes[kind]
    ]
    odd_fields, more, spots = _plant_on_parcels(
        stream(seed, 5, world.attempt),
        world,
        [*claims, *planted],
        later,
        lookalikes_per_kind,
        clear_days,
    )
    return world, _settle(seed, world, claims, [*planted, *more], odd_fields, spots)


def events_frame(events: Sequence[Planted]) -> gpd.GeoDataFrame:
    """Truth table of the planted synthetic events."""
    geometry = delivered([event.geometry for event in events])
    area = official_area_m2(geometry)
    return gpd.GeoDataFrame(
        {
            "event_id": [f"E{i + 1:03d}" for i in range(len(events))],
            "kind": [event.kind for event in events],
            "size_class": [size_class(float(value)) for value in area],
            "area_m2": area,
            "date": pd.to_datetime([event.date for event in events]),
        },
        geometry=geometry,
        crs=LAYER_CRS,
    )


def lookalikes_frame(lookalikes: Sequence[Planted]) -> gpd.GeoDataFrame:
    """Truth table of the planted synthetic look-alikes."""
    geometry = delivered([item.geometry for item in lookalikes])
    return gpd.GeoDataFrame(
        {
            "lookalike_id": [f"L{i + 1:03d}" for i in range(len(lookalikes))],
            "kind": [item.kind for item in lookalikes],
            "area_m2": official_area_m2(geometry),
            "start": pd.to_datetime([item.date for item in lookalikes]),
            "end": pd.to_datetime(pd.Series([item.end for item in lookalikes])),
        },
        geometry=geometry,
        crs=LAYER_CRS,
    )


def claims_frame(claims: Sequence[Claim]) -> gpd.GeoDataFrame:
    """Table of the synthetic claims as an office would hand it in."""
    geometry = delivered([claim.geometry for claim in claims])
    area = official_area_m2(geometry)
    surveyed = [claim.area_source == "surveyed" for claim in claims]
    share = {"surveyed": 1.0, "desk": 0.97, "coefficient": 0.92}
    return gpd.GeoDataFrame(
        {
            "claim_id": [f"C{i + 1:03d}" for i in range(len(claims))],
            "claimed_area_m2": [
                round(float(value) * share[claim.area_source], 2)
                for value, claim in zip(area, claims, strict=True)
            ],
            "area_source": [claim.area_source for claim in claims],
            "survey_id": [f"SV2025-{i + 1:03d}" if s else None for i, s in enumerate(surveyed)],
            "change_survey_id": [f"BG2025-{i + 1:03d}" for i in range(len(claims))],
            "completed_on": pd.to_datetime([claim.completed_on for claim in claims]),
        },
        geometry=geometry,
        crs=LAYER_CRS,
    )


def claims_truth_frame(claims: Sequence[Claim]) -> pd.DataFrame:
    """What really happened on the ground of each synthetic claim."""
    made = [claim.made for claim in claims]
    areas = iter(official_area_m2(delivered([part for part in made if part is not None])))
    return pd.DataFrame(
        {
            "claim_id": [f"C{i + 1:03d}" for i in range(len(claims))],
            "case": [claim.case for claim in claims],
            "is_change": [part is not None for part in made],
            "changed_area_m2": [0.0 if part is None else float(next(areas)) for part in made],
        }
    )


def _hosts(
    rng: np.random.Generator, claims: Sequence[Claim], planted: Sequence[Planted]
) -> list[Site]:
    """Idle land under claims and new fields: their own outline or a little more."""
    hosts = []
    for claim in claims:
        more = 0.0 if rng.random() < 0.5 else rng.uniform(4.0, 12.0)
        hosts.append(Site(_wider(claim.geometry, more), claim.baseline))
    codes, weights = ["0404", "1206", "1201", "0702"], [0.45, 0.2, 0.2, 0.15]
    for event in planted:
        shape = _wider(event.geometry, rng.uniform(3.0, 14.0))
        hosts.append(Site(shape, str(rng.choice(codes, p=weights))))
    return hosts


def _wider(shape: shapely.Polygon, more_m: float) -> shapely.Polygon:
    return snapped(largest(shape.buffer(more_m, join_style="mitre"))) if more_m > 0.0 else shape


def _plant_on_parcels(
    rng: np.random.Generator,
    world: World,
    before: Sequence[Claim | Planted],
    sizes: list[tuple[str, float]],
    lookalikes_per_kind: int,
    clear_days: Sequence[dt.date],
) -> tuple[dict[int, str], list[Planted], list[Planted]]:
    """Odd fields, further events, and look-alikes that are spots, all apart from each other."""
    ground = Ground(world.placement)
    for item in before:
        ground.take(item.geometry, _GAP_M)
    inside = inner_zones(world.zones)
    usable = [
        i for i, p in enumerate(world.parcels) if p.code in ARABLE and inside.covers(p.geometry)
    ]
    odd = choose_fields(rng, ground, world.parcels, usable, lookalikes_per_kind)
    areas = {
        "arable": world.room_of_codes(ARABLE),
        "hill": world.room_of_codes(("0301", "0302", "0305", "0404"), places=("upper",)),
        "forest": world.room_of_codes(("0301", "0302"), places=("upper",)),
    }
    angle = world.regions.angle_deg
    large = [item for item in sizes if item[1] >= 4.0]
    small = [item for item in sizes if item[1] < 4.0]
    events = plant_events(rng, ground, large, areas, angle)
    spots = plant_spots(rng, ground, areas["arable"], lookalikes_per_kind, angle, clear_days)
    events += plant_events(rng, ground, small, areas, angle)
    return odd, events, spots


def _settle(
    seed: int,
    world: World,
    claims: Sequence[Claim],
    events: Sequence[Planted],
    odd_fields: Mapping[int, str],
    spots: Sequence[Planted],
) -> Truth:
    """Give every parcel its cover and turn everything planted into steps."""
    book = CoverBook()
    rng = stream(seed, 7)
    materials = add_materials(book, rng)
    labels, fields = _parcel_covers(rng, book, world.parcels, odd_fields)
    steps: list[Step] = []
    for event in events:
        steps += steps_of(event.kind, event.geometry, event.date, book, rng)
    for spot in spots:
        if spot.kind == "permitted_building":
            steps += steps_of("building", spot.geometry, spot.date, book, rng)
    for claim in claims:
        steps += claim_steps(claim, book, rng)
    order = {kind: i for i, kind in enumerate(EVENT_KINDS)}
    ranked = sorted(events, key=lambda e: (order[e.kind], -e.geometry.area))
    return Truth(
        events=tuple(ranked),
        lookalikes=(*fields, *spots),
        claims=tuple(claims),
        steps=tuple(steps),
        parcel_labels=tuple(labels),
        materials=materials,
        table=book.close(),
    )


def _parcel_covers(
    rng: np.random.Generator,
    book: CoverBook,
    parcels: Sequence[Parcel],
    odd_fields: Mapping[int, str],
) -> tuple[list[int | None], list[Planted]]:
    labels: list[int | None] = []
    fields = []
    for index, parcel in enumerate(parcels):
        plan = draw_plan(parcel.code, rng)
        if parcel.code in MIX_OF_CODE:
            labels.append(None)
        elif plan is None:
            labels.append(add_cover(book, parcel.code, rng))
        else:
            windows: tuple[Window, ...] = ()
            if index in odd_fields:
                kind = odd_fields[index]
                plan, windows, start, end = season_of(kind, plan, rng)
                fields.append(Planted(kind, parcel.geometry, start, end))
            labels.append(add_field(book, parcel.code, plan, rng, windows))
    return labels, sorted(fields, key=lambda item: item.kind)
