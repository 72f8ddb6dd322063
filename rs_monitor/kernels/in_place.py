"""Looks that show the same bright surface again and again, pixel by pixel."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNUSED: Final = 0
GROUND: Final = 1
FLAGGED: Final = 2
"""What a look is to the rule: left out, seen ground, flagged as cloud."""


@njit(nogil=True)
def _agree(one, other, allowed, fraction):  # type: ignore[no-untyped-def]
    for b in range(one.shape[0]):
        # not (<=), so that a NaN never agrees
        if not abs(one[b] - other[b]) <= allowed + fraction * min(one[b], other[b]):
            return False
    return True


@njit(nogil=True)
def _surface_of(state, values, allowed, fraction):  # type: ignore[no-untyped-def]
    """The flagged look that most looks agree with; -1 if there is none."""
    best, seed = 0, -1
    for i in range(state.shape[0]):
        if state[i] != FLAGGED:
            continue
        count = 0
        for j in range(state.shape[0]):
            if state[j] != UNUSED and _agree(values[i], values[j], allowed, fraction):
                count += 1
        if count > best:
            best, seed = count, i
    return seed


@njit(nogil=True)
def _judge(state, same, days, min_looks, min_days, contrary):  # type: ignore[no-untyped-def]
    """Whether the looks of one surface make it ground."""
    first, last, flagged, members, against = -1, -1, 0, 0, 0
    for j in range(state.shape[0]):
        if same[j]:
            members += 1
            flagged += state[j] == FLAGGED
            first = j if first < 0 else first
            last = j
    for j in range(first, last + 1):
        against += state[j] == GROUND and not same[j]
    return (
        flagged >= min_looks
        and days[last] - days[first] >= min_days
        and against <= contrary * (members + against)
    )


@njit(nogil=True)
def _sweep(state, values, days, allowed, fraction, min_looks, min_days, contrary, out):  # type: ignore[no-untyped-def]
    looks = state.shape[1]
    for pixel in range(state.shape[0]):
        own, series, same = state[pixel], values[pixel], out[pixel]
        seed = _surface_of(own, series, allowed, fraction)
        if seed < 0:
            continue
        for j in range(looks):
            same[j] = own[j] != UNUSED and _agree(series[seed], series[j], allowed, fraction)
        stays = _judge(own, same, days, min_looks, min_days, contrary)
        for j in range(looks):
            same[j] = same[j] and stays and own[j] == FLAGGED


def stays_in_place(
    state: NDArray[np.uint8],
    values: NDArray[np.float32],
    days: NDArray[np.float64],
    *,
    tolerance: float,
    tolerance_fraction: float,
    min_looks: int,
    min_days: float,
    max_contrary_fraction: float,
) -> NDArray[np.bool_]:
    """Find flagged looks that show one bright surface that stays where it is.

    Parameters
    ----------
    state : ndarray of uint8, shape (pixel, time)
        ``UNUSED``, ``GROUND`` or ``FLAGGED``; ascending in time.
    values : ndarray of float32, shape (pixel, time, band)
        Reflectance; a look with a NaN agrees with none.
    days : ndarray of float64, shape (time,)
        Day number of each look.
    tolerance, tolerance_fraction : float
        Two looks agree where every band differs by no more than ``tolerance +
        tolerance_fraction * smaller value``.
    min_looks : int
        Flagged looks that must agree, at least 1.
    min_days : float
        Days needed between the first and the last look of the surface.
    max_contrary_fraction : float
        Share of the ground looks between these two that may show something else.

    Returns
    -------
    ndarray of bool, shape (pixel, time)
        True = flagged, but ground.

    Notes
    -----
    Per pixel, the flagged look that most looks agree with gives the surface (ties: the earliest).
    A cloud changes from day to day and uncovers darker ground in between; a roof does neither.
    No published rule was found; ``tests/kernels/test_in_place.py`` counts by hand.
    """
    out = np.zeros(state.shape, dtype=np.bool_)
    _sweep(
        state,
        values,
        days,
        np.float32(tolerance),
        np.float32(tolerance_fraction),
        min_looks,
        min_days,
        max_contrary_fraction,
        out,
    )
    return out
