"""Along time: quantiles, look counts, gaps, crop cycles."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

NO_LOOK = -1
"""Index along time where nothing was seen."""

CYCLES_NOT_SEEN = 255
"""Value of :func:`crop_cycles` where no look decides."""


@njit(nogil=True)
def _insertion_sort(values, n):  # type: ignore[no-untyped-def]
    for i in range(1, n):
        v = values[i]
        j = i - 1
        while j >= 0 and values[j] > v:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = v


@njit(nogil=True)
def _quantiles(stack, q, out):  # type: ignore[no-untyped-def]
    times, height, width = stack.shape
    values = np.empty(times, dtype=np.float32)
    for y in range(height):
        for x in range(width):
            n = 0
            for t in range(times):
                v = stack[t, y, x]
                if not math.isnan(v):
                    values[n] = v
                    n += 1
            _insertion_sort(values, n)
            for k in range(q.shape[0]):
                if n == 0:
                    out[k, y, x] = np.nan
                    continue
                position = q[k] * (n - 1)
                below = int(position)
                above = min(below + 1, n - 1)
                share = position - below
                out[k, y, x] = values[below] * (1.0 - share) + values[above] * share


def time_quantiles(stack: NDArray[np.float32], q: NDArray[np.float64]) -> NDArray[np.float32]:
    """Quantiles along time, gaps skipped.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, y, x)
        NaN = not seen.
    q : ndarray of float64, shape (k,)
        Fractions 0-1.

    Returns
    -------
    ndarray of float32, shape (k, y, x)
        Linear interpolation between order statistics (type 7 of Hyndman & Fan 1996); NaN where
        nothing was seen. Equal to ``numpy.nanquantile`` within float32 rounding.
    """
    out = np.empty((q.shape[0], *stack.shape[1:]), dtype=np.float32)
    _quantiles(np.ascontiguousarray(stack, dtype=np.float32), q, out)
    return out


def longest_gap_days(
    clear: NDArray[np.bool_], days: NDArray[np.float64], start: float, end: float
) -> NDArray[np.float32]:
    """Longest span of a period without a clear look.

    Parameters
    ----------
    clear : ndarray of bool, shape (time, y, x)
    days : ndarray of float64, shape (time,)
        Ascending day numbers of the looks.
    start, end : float
        First and last day of the period.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Days; the whole period where nothing was seen.
    """
    last = np.full(clear.shape[1:], start, dtype=np.float32)
    longest = np.zeros(clear.shape[1:], dtype=np.float32)
    for seen, day in zip(clear, days, strict=True):
        np.maximum(longest, np.where(seen, day - last, 0.0), out=longest, casting="unsafe")
        last[seen] = day
    np.maximum(longest, np.float32(end) - last, out=longest)
    return longest


def nearest_look(seen: NDArray[np.bool_], distance: NDArray[np.float32]) -> NDArray[np.int32]:
    """Which look lies nearest to a target.

    Parameters
    ----------
    seen : ndarray of bool, shape (time, y, x)
    distance : ndarray of float32, shape (time,)
        Of each date, any unit.

    Returns
    -------
    ndarray of int32, shape (y, x)
        Index along time, the earliest of equals; ``NO_LOOK`` where there is none.
    """
    index = np.full(seen.shape[1:], NO_LOOK, dtype=np.int32)
    least = np.full(seen.shape[1:], np.inf, dtype=np.float32)
    for t, (here, apart) in enumerate(zip(seen, distance, strict=True)):
        better = here & (apart < least)
        index[better] = t
        least[better] = apart
    return index


@njit(nogil=True)
def _cycles(ndvi, low, high, min_looks, out):  # type: ignore[no-untyped-def]
    times, height, width = ndvi.shape
    for y in range(height):
        for x in range(width):
            looks = 0
            cycles = 0
            was_low = False
            for t in range(times):
                v = ndvi[t, y, x]
                if math.isnan(v):
                    continue
                looks += 1
                if v <= low:
                    was_low = True
                elif v >= high and was_low:
                    cycles += 1
                    was_low = False
            out[y, x] = cycles if looks >= min_looks else CYCLES_NOT_SEEN


def crop_cycles(
    ndvi: NDArray[np.float32], low: float, high: float, min_looks: int
) -> NDArray[np.uint8]:
    """Count crop cycles: bare ground followed by a closed canopy.

    Parameters
    ----------
    ndvi : ndarray of float32, shape (time, y, x)
        Ascending in time; NaN = not seen.
    low, high : float
        At or below ``low`` the ground is bare, at or above ``high`` the canopy is closed.
    min_looks : int
        Fewer looks give ``CYCLES_NOT_SEEN``.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        Number of rises from bare ground to a closed canopy.

    Notes
    -----
    A canopy that is only seen to fall counts nothing: cleared forest looks like a harvest. A crop
    whose rise lies before the first look is therefore missed.
    """
    out = np.empty(ndvi.shape[1:], dtype=np.uint8)
    _cycles(np.ascontiguousarray(ndvi, dtype=np.float32), low, high, min_looks, out)
    return out
