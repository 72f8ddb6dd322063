"""Planted claims of new arable land, with what really happened on the ground."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from shapely import affinity

from rs_monitor.grid import MU_M2
from rs_monitor.synthetic.phenology import CoverBook, day_number
from rs_monitor.synthetic.planting import Step, add_bare, add_new_field, draw_date
from rs_monitor.synthetic.shapes import (
    Allowed,
    Ground,
    largest,
    log_uniform_mu,
    quad,
    snapped,
)

CLAIM_CASES: Final = ("true", "false", "half", "coefficient", "too_small", "not_yet_cropped")
_SIZE_RANGE_MU: Final = dict.fromkeys(CLAIM_CASES, (6.0, 20.0)) | {"too_small": (0.3, 0.8)}


@dataclass(frozen=True)
class Claim:
    """One synthetic claim: outline in map metres, what was claimed, what was done."""

    case: str
    geometry: shapely.Polygon
    completed_on: dt.date
    made: shapely.Polygon | None
    baseline: str
    area_source: str


def plant_claims(
    rng: np.random.Generator, ground: Ground, area: Allowed, per_case: int, angle_deg: float
) -> list[Claim]:
    """Find places for the synthetic claims, the largest first.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of sizes, places and dates.
    ground : Ground
        What is taken already; grows.
    area : Allowed
        Gentle ground that may be claimed.
    per_case : int
        Claims per case.
    angle_deg : float
        Direction of the fields.

    Returns
    -------
    list of Claim
        The claims in the order of `CLAIM_CASES`.
    """
    wanted = [
        (case, number, float(size))
        for case in CLAIM_CASES
        for number, size in enumerate(log_uniform_mu(rng, per_case, *_SIZE_RANGE_MU[case]))
    ]
    claims = {}
    for case, number, size in sorted(wanted, key=lambda item: -item[2]):
        shape = ground.place(
            rng,
            area,
            quad,
            size * MU_M2,
            angle_deg,
            min_share=0.995,
        )
        claims[case, number] = _claim(rng, case, number, shape)
    return [claims[case, number] for case, number, _ in wanted]


def claim_steps(claim: Claim, book: CoverBook, rng: np.random.Generator) -> list[Step]:
    """Return what was really done on the synthetic ground of a claim.

    Parameters
    ----------
    claim : Claim
        The claim.
    book : CoverBook
        Gets the new ground.
    rng : numpy.random.Generator
        Source of soils and crops.

    Returns
    -------
    list of Step
        Empty when nothing was done.
    """
    if claim.made is None:
        return []
    day = day_number(claim.completed_on)
    works = Step(day - rng.uniform(20.0, 35.0), claim.made, add_bare(book, rng))
    if claim.case == "not_yet_cropped":
        return [works]
    return [works, Step(day, claim.made, add_new_field(book, rng))]


def _claim(rng: np.random.Generator, case: str, number: int, shape: shapely.Polygon) -> Claim:
    # every fourth coefficient claim is invented: nothing was made
    idle = case == "false" or (case == "coefficient" and number % 4 == 3)
    made = None if idle else _half(shape) if case == "half" else shape
    source = "surveyed" if case != "coefficient" else ("coefficient", "desk")[number % 2]
    codes, weights = ["0404", "1206", "1201", "0702", "0305"], [0.4, 0.2, 0.2, 0.1, 0.1]
    return Claim(
        case=case,
        geometry=shape,
        completed_on=draw_date(rng, dt.date(2024, 12, 10), dt.date(2025, 2, 25)),
        made=made,
        baseline=str(rng.choice(codes, p=weights)),
        area_source=source,
    )


def _half(shape: shapely.Polygon) -> shapely.Polygon:
    """The part of a claim that was really made: one side of its longer axis."""
    corners = np.asarray(shape.exterior.coords)
    edges = np.diff(corners, axis=0)
    longest = edges[int(np.argmax(np.hypot(*edges.T)))]
    angle = float(np.degrees(np.arctan2(longest[1], longest[0])))
    level = affinity.rotate(shape, -angle, origin=(0, 0))
    _, south, east, north = level.bounds
    cut = shapely.box(level.centroid.x, south - 1, east + 1, north + 1)
    part = largest(level.intersection(cut))
    return snapped(affinity.rotate(part, angle, origin=(0, 0)))
