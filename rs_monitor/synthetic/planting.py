"""What happens to the synthetic ground: the record of one planted event, look-alike or claim."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely

from rs_monitor.synthetic.covers import add_perennial, add_still
from rs_monitor.synthetic.crops import new_field_plan
from rs_monitor.synthetic.phenology import CoverBook, day_number
from rs_monitor.synthetic.spectra import varied

Paint = int | str
"""A label of the cover book, or the name of a mix of materials."""


@dataclass(frozen=True)
class Step:
    """From this day on the ground inside the outline is painted anew."""

    day: float
    geometry: shapely.Polygon
    paint: Paint


@dataclass(frozen=True)
class Planted:
    """One planted thing with its outline in map metres (synthetic)."""

    kind: str
    geometry: shapely.Polygon
    date: dt.date
    end: dt.date | None = None


def draw_date(rng: np.random.Generator, first: dt.date, last: dt.date) -> dt.date:
    """Draw a date between two dates, both included."""
    return first + dt.timedelta(days=int(rng.integers(0, (last - first).days + 1)))


def steps_of(
    kind: str, geometry: shapely.Polygon, date: dt.date, book: CoverBook, rng: np.random.Generator
) -> list[Step]:
    """Return what an event of a kind does to the synthetic ground.

    Parameters
    ----------
    kind : str
        One of the event kinds.
    geometry : shapely.Polygon
        Outline in map metres.
    date : datetime.date
        Start of the works.
    book : CoverBook
        Gets the new ground.
    rng : numpy.random.Generator
        Source of materials and durations.

    Returns
    -------
    list of Step
        Works first, then what stays.
    """
    day = day_number(date)
    return [Step(day + delay, geometry, paint) for delay, paint in _WORKS[kind](book, rng)]


def add_bare(book: CoverBook, rng: np.random.Generator) -> int:
    """Add freshly moved earth with a few weeds to the book; returns its label."""
    return add_perennial(book, "sparse", str(rng.choice(["subsoil", "red_subsoil"])), rng)


def add_new_field(book: CoverBook, rng: np.random.Generator) -> int:
    """Add a field made in the winter and cropped in 2025 to the book; returns its label."""
    soil = str(rng.choice(["yellow_soil", "subsoil"]))
    plan = new_field_plan(rng)
    return book.add(varied(soil, rng), cycles=tuple(plan.values()), wetting=0.9)


Works = list[tuple[float, Paint]]


def _building(book: CoverBook, rng: np.random.Generator) -> Works:
    mix = str(rng.choice(["factory", "hamlet"], p=[0.55, 0.45]))
    return [(0.0, add_bare(book, rng)), (rng.uniform(25.0, 60.0), mix)]


def _earthwork(book: CoverBook, rng: np.random.Generator) -> Works:
    return [(0.0, add_bare(book, rng))]


def _road(book: CoverBook, rng: np.random.Generator) -> Works:
    surface = add_still(book, str(rng.choice(["asphalt", "concrete"])), rng, 0.08)
    return [(0.0, add_bare(book, rng)), (rng.uniform(20.0, 50.0), surface)]


def _pond(book: CoverBook, rng: np.random.Generator) -> Works:
    water = str(rng.choice(["clear_water", "turbid_water", "muddy_water"]))
    return [(0.0, add_bare(book, rng)), (15.0, add_still(book, water, rng, 0.12))]


def _orchard(book: CoverBook, rng: np.random.Generator) -> Works:
    return [(0.0, add_perennial(book, "young_orchard", "yellow_soil", rng))]


def _greenhouse(book: CoverBook, rng: np.random.Generator) -> Works:
    return [(0.0, add_bare(book, rng)), (rng.uniform(12.0, 25.0), "greenhouse")]


def _mine(book: CoverBook, rng: np.random.Generator) -> Works:
    return [(0.0, add_bare(book, rng)), (10.0, "quarry")]


def _clearing(book: CoverBook, rng: np.random.Generator) -> Works:
    cropped = rng.random() < 0.6
    return [(0.0, add_new_field(book, rng) if cropped else add_bare(book, rng))]


def _abandonment(book: CoverBook, rng: np.random.Generator) -> Works:
    return [(0.0, add_perennial(book, "abandoned", "brown_soil", rng))]


def _new_arable(book: CoverBook, rng: np.random.Generator) -> Works:
    return [(0.0, add_new_field(book, rng))]


_WORKS: dict[str, Callable[[CoverBook, np.random.Generator], Works]] = {
    "building": _building,
    "earthwork": _earthwork,
    "road": _road,
    "pond": _pond,
    "orchard": _orchard,
    "greenhouse": _greenhouse,
    "mine": _mine,
    "forest_clearing": _clearing,
    "abandonment": _abandonment,
    "new_arable": _new_arable,
}
