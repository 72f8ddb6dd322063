"""Planted look-alikes: what changes the picture but not the land, or is permitted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely

from rs_monitor.grid import MU_M2
from rs_monitor.synthetic.crops import Plan
from rs_monitor.synthetic.layout import Parcel
from rs_monitor.synthetic.phenology import EPOCH, Cycle, Window, day_number
from rs_monitor.synthetic.planting import Planted, draw_date
from rs_monitor.synthetic.shapes import Allowed, Ground, NoRoom, blob, ell, log_uniform_mu

LOOKALIKE_KINDS: Final = (
    "harvest",
    "ploughing",
    "plastic_film",
    "flooding",
    "cloud_remnant",
    "permitted_building",
)
FIELD_KINDS: Final = LOOKALIKE_KINDS[:4]
_SIZE_RANGE_MU: Final = (2.0, 20.0)
_SYSTEMS: Final = {
    "harvest": ("0101", "0102", "0103"),
    "ploughing": ("0102", "0103"),
    "plastic_film": ("0102", "0103"),
    "flooding": ("0102", "0103"),
}


def choose_fields(
    rng: np.random.Generator,
    ground: Ground,
    parcels: Sequence[Parcel],
    usable: Sequence[int],
    count: int,
) -> dict[int, str]:
    """Choose whole synthetic fields for the look-alikes that are a season of one field.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the choice.
    ground : Ground
        What is taken already; grows.
    parcels : sequence of Parcel
        All parcels.
    usable : sequence of int
        Parcels well inside a zone.
    count : int
        Fields per kind.

    Returns
    -------
    dict of int to str
        Parcel number to kind.

    Raises
    ------
    NoRoom
        Too few fields of 2-20 mu are free.
    """
    chosen: dict[int, str] = {}
    low, high = (edge * MU_M2 for edge in _SIZE_RANGE_MU)
    order = [int(i) for i in rng.permutation(np.asarray(usable, dtype=np.int64))]
    fitting = [
        i
        for i in order
        if low * 1.01 < parcels[i].geometry.area < high * 0.99 and _is_compact(parcels[i].geometry)
    ]
    for kind in [kind for _ in range(count) for kind in FIELD_KINDS]:
        # a small township may lack dry fields; a paddy can lie under film or be ploughed as well
        ranked = sorted(fitting, key=lambda i: parcels[i].code not in _SYSTEMS[kind])
        for index in ranked:
            if index not in chosen and ground.is_free(parcels[index].geometry):
                chosen[index] = kind
                ground.take(parcels[index].geometry, 30.0)
                break
        else:
            message = (
                f"got no free field for the synthetic look-alike {kind}; needed one of 2-20 mu; "
                "use a larger size_px or plant fewer look-alikes"
            )
            raise NoRoom(message)
    return chosen


def plant_spots(
    rng: np.random.Generator,
    ground: Ground,
    arable: Allowed,
    count: int,
    angle_deg: float,
    days: Sequence[dt.date],
) -> list[Planted]:
    """Find places for missed clouds and permitted buildings.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of outlines, places and dates.
    ground : Ground
        What is taken already; grows.
    arable : Allowed
        Farmland.
    count : int
        How many of each.
    angle_deg : float
        Direction of the fields.
    days : sequence of datetime.date
        Days of fairly clear scenes of 2025, in order.

    Returns
    -------
    list of Planted
        The look-alikes; a missed cloud lasts over two or three of the days.
    """
    planted = []
    for kind, outline in (("permitted_building", ell), ("cloud_remnant", blob)):
        for size in log_uniform_mu(rng, count, *_SIZE_RANGE_MU):
            area = float(size) * MU_M2
            shape = ground.place(rng, arable, outline, area, angle_deg, what=kind)
            if kind == "cloud_remnant":
                first = int(rng.integers(0, len(days) - 2))
                last = first + int(rng.integers(1, 3))
                planted.append(Planted(kind, shape, days[first], days[last]))
            else:
                start = draw_date(rng, dt.date(2024, 11, 5), dt.date(2025, 2, 20))
                planted.append(Planted(kind, shape, start))
    return planted


def season_of(
    kind: str, plan: Plan, rng: np.random.Generator
) -> tuple[Plan, tuple[Window, ...], dt.date, dt.date]:
    """Return the odd 2025 season of a look-alike field.

    Parameters
    ----------
    kind : str
        One of `FIELD_KINDS`.
    plan : dict of str to Cycle
        What the field would carry otherwise.
    rng : numpy.random.Generator
        Source of dates.

    Returns
    -------
    tuple
        The changed plan, materials lying on the field for a time, first and last odd day.
    """
    return _SEASONS[kind](dict(plan), rng)


def _is_compact(shape: shapely.Polygon) -> bool:
    """Whether a field has no thin tails, such as strips left along a road."""
    opened = shape.buffer(-6.0).buffer(6.0, join_style="mitre")
    return bool(opened.area > 0.93 * shape.area)


Season = tuple[Plan, tuple[Window, ...], dt.date, dt.date]


def _harvest(plan: Plan, rng: np.random.Generator) -> Season:
    """The summer crop leaves the field weeks early, or stands weeks longer."""
    crop = plan["s25"]
    move = float(rng.choice([-1, 1], p=[0.7, 0.3]) * rng.uniform(16.0, 28.0))
    plan["s25"] = crop._replace(senescence=crop.senescence + move, harvest=crop.harvest + move)
    plan.pop("s25_autumn", None)
    first, last = sorted((crop.harvest, crop.harvest + move))
    return plan, (), _date(first), _date(last)


def _ploughing(plan: Plan, rng: np.random.Generator) -> Season:
    """The winter crop is missing and the field lies bare until a normal summer crop."""
    start = day_number(dt.date(2025, 1, 5)) + rng.uniform(0.0, 30.0)
    end = day_number(dt.date(2025, 6, 10)) + rng.uniform(0.0, 15.0)
    plan["w25"] = plan["w25"]._replace(harvest=start, senescence=start - 5.0, cover=0.3)
    plan["s25"] = _summer(plan, end + 22.0)
    plan.pop("s25_autumn", None)
    return plan, (), _date(start), _date(end)


def _plastic_film(plan: Plan, rng: np.random.Generator) -> Season:
    """Mulch film for six to eight weeks in spring, a crop growing through it after."""
    start = day_number(dt.date(2025, 3, 10)) + rng.uniform(0.0, 20.0)
    end = start + rng.uniform(42.0, 56.0)
    plan["w25"] = plan["w25"]._replace(harvest=start - 25.0, senescence=start - 30.0, cover=0.3)
    plan["s25"] = _summer(plan, end + 16.0)
    plan.pop("s25_autumn", None)
    return plan, (Window("film", 0.68, start, end),), _date(start), _date(end)


def _flooding(plan: Plan, rng: np.random.Generator) -> Season:
    """Water stands on the field for three to five weeks in summer; a crop follows."""
    start = day_number(dt.date(2025, 6, 22)) + rng.uniform(0.0, 20.0)
    end = start + rng.uniform(21.0, 35.0)
    late = _summer(plan, end + 20.0)
    plan["s25"] = late._replace(cover=late.cover * 0.93)
    plan.pop("s25_autumn", None)
    return plan, (Window("muddy_water", 0.9, start, end),), _date(start), _date(end)


def _summer(plan: Plan, rise: float) -> Cycle:
    """A summer crop that rises at the given day and ripens in its own time."""
    crop = plan["s25"]
    delay = rise - crop.rise1
    crop = crop.moved(delay)
    ripening = max(crop.senescence - 0.55 * delay, rise + 60.0)
    return crop._replace(
        rise1=rise, rise2=rise, share1=1.0, senescence=ripening, harvest=ripening + 14.0
    )


def _date(day: float) -> dt.date:
    return EPOCH + dt.timedelta(days=round(day))


_SEASONS = {
    "harvest": _harvest,
    "ploughing": _ploughing,
    "plastic_film": _plastic_film,
    "flooding": _flooding,
}
