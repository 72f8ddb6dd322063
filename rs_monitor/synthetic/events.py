"""Planted events: ten kinds of real change with sizes log-uniform from 0.2 to 20 mu."""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np

from rs_monitor.grid import MU_M2
from rs_monitor.synthetic.planting import Planted, draw_date
from rs_monitor.synthetic.shapes import (
    Allowed,
    Ground,
    blob,
    ell,
    log_uniform_mu,
    quad,
    strip,
)

EVENT_KINDS: Final = (
    "building",
    "earthwork",
    "road",
    "pond",
    "orchard",
    "greenhouse",
    "mine",
    "forest_clearing",
    "abandonment",
    "new_arable",
)
SIZE_CLASSES: Final = ("0.2-1", "1-2.4", "2.4-5", "5-10", "10-20")
_SIZE_EDGES_MU: Final = (1.0, 2.4, 5.0, 10.0)
_SIZE_RANGE_MU: Final = (0.2, 20.0)
FIRST_DAY: Final = dt.date(2024, 11, 5)
LAST_DAY: Final = dt.date(2025, 2, 20)

# outline, ground it may lie on, least share of it on that ground
_PLACES: Final = {
    "building": (ell, "arable", 0.97),
    "earthwork": (blob, "arable", 0.97),
    "road": (strip, "arable", 0.90),
    "pond": (blob, "arable", 0.97),
    "orchard": (quad, "arable", 0.97),
    "greenhouse": (quad, "arable", 0.97),
    "mine": (blob, "hill", 0.99),
    "forest_clearing": (blob, "forest", 0.97),
    "abandonment": (quad, "arable", 0.97),
    "new_arable": (quad, "farm", 0.995),
}


def size_class(area_m2: float) -> str:
    """Return the size class of an area.

    Parameters
    ----------
    area_m2 : float
        Area in square metres.

    Returns
    -------
    str
        One of `SIZE_CLASSES`, in mu.
    """
    return SIZE_CLASSES[int(np.searchsorted(_SIZE_EDGES_MU, area_m2 / MU_M2, side="right"))]


def event_sizes(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Draw the sizes (mu) of all synthetic events, log-uniform within each kind."""
    return {kind: log_uniform_mu(rng, count, *_SIZE_RANGE_MU) for kind in EVENT_KINDS}


def plant_events(
    rng: np.random.Generator,
    ground: Ground,
    sizes_mu: list[tuple[str, float]],
    areas: dict[str, Allowed],
    angle_deg: float,
) -> list[Planted]:
    """Find places and dates for synthetic events, the largest first.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of outlines, places and dates.
    ground : Ground
        What is taken already; grows.
    sizes_mu : list of (kind, mu)
        What to plant.
    areas : dict of str to Allowed
        Ground by name: 'arable', 'hill', 'forest', 'farm'.
    angle_deg : float
        Direction of the fields.

    Returns
    -------
    list of Planted
        The events.
    """
    planted = []
    for kind, size in sorted(sizes_mu, key=lambda item: -item[1]):
        outline, where, share = _PLACES[kind]
        shape = ground.place(
            rng,
            areas[where],
            outline,
            size * MU_M2,
            angle_deg,
            min_share=share,
            what=kind,
        )
        planted.append(Planted(kind, shape, draw_date(rng, FIRST_DAY, LAST_DAY)))
    return planted
