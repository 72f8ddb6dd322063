"""Along time: quantiles, peaks, look counts, gaps, crop cycles."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.compiling import IN_KERNEL
from rs_monitor.kernels.median import merge_exchange

NO_LOOK = -1
"""Index along time where nothing was seen."""

CYCLES_NOT_SEEN = 255
"""Value of :func:`crop_cycles` where no look decides."""


LANES = 128
"""Pixels sorted side by side."""


@cache
def _sorting_network(times: int) -> NDArray[np.int64]:
    return np.array(merge_exchange(times), dtype=np.int64).reshape(-1, 2)


@njit(**IN_KERNEL)
def _load_lanes(flat, first, n, rows, looks):  # type: ignore[no-untyped-def]
    """Copy a run of pixels; what is not seen goes to the end of the order."""
    looks[:] = 0
    for t in range(rows.shape[0]):
        row, source = rows[t], flat[t]
        for i in range(n):
            v = source[first + i]
            gone = v - v != 0
            row[i] = np.float32(np.inf) if gone else v
            looks[i] += np.int32(0) if gone else np.int32(1)


@njit(**IN_KERNEL)
def _sort_lanes(rows, network):  # type: ignore[no-untyped-def]
    for k in range(network.shape[0]):
        a, b = rows[network[k, 0]], rows[network[k, 1]]
        for i in range(LANES):
            x, y = a[i], b[i]
            a[i] = x if x < y else y
            b[i] = y if x < y else x


@njit(nogil=True, error_model="numpy")
def _quantiles(flat, network, q, out):  # type: ignore[no-untyped-def]
    times, pixels = flat.shape
    rows = np.zeros((times, LANES), dtype=np.float32)
    looks = np.empty(LANES, dtype=np.int32)
    for first in range(0, pixels, LANES):
        n = min(LANES, pixels - first)
        _load_lanes(flat, first, n, rows, looks)
        _sort_lanes(rows, network)
        for k in range(q.shape[0]):
            into = out[k]
            for i in range(n):
                last = looks[i] - 1
                if last < 0:
                    into[first + i] = np.nan
                    continue
                position = q[k] * last
                below = int(position)
                above = min(below + 1, last)
                share = position - below
                into[first + i] = rows[below, i] * (1.0 - share) + rows[above, i] * share


def time_quantiles(stack: NDArray[np.float32], q: NDArray[np.float64]) -> NDArray[np.float32]:
    """Quantiles along time, gaps skipped.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, y, x)
        NaN and infinities = not seen.
    q : ndarray of float64, shape (k,)
        Fractions 0-1.

    Returns
    -------
    ndarray of float32, shape (k, y, x)
        Linear interpolation between order statistics (type 7 of Hyndman & Fan 1996); NaN where
        nothing was seen. Equal to ``numpy.nanquantile`` within float32 rounding.

    Notes
    -----
    Pixels are sorted side by side by a network of exchanges (Batcher's, as in
    :func:`rs_monitor.kernels.median.merge_exchange`).
    """
    out = np.empty((q.shape[0], *stack.shape[1:]), dtype=np.float32)
    times, pixels = stack.shape[0], math.prod(stack.shape[1:])
    flat = np.ascontiguousarray(stack, dtype=np.float32).reshape(times, pixels)
    _quantiles(flat, _sorting_network(times), q, out.reshape(len(q), pixels, copy=False))
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


def peak_days(values: NDArray[np.float32], days: NDArray[np.float64]) -> NDArray[np.float32]:
    """Day on which a series is greatest.

    Parameters
    ----------
    values : ndarray of float32, shape (time, y, x)
        NaN = not seen.
    days : ndarray of float64, shape (time,)
        Of each look, in any order.

    Returns
    -------
    ndarray of float32, shape (y, x)
        The earliest of equals; NaN where nothing was seen.
    """
    day = np.full(values.shape[1:], np.nan, dtype=np.float32)
    greatest = np.full(values.shape[1:], -np.inf, dtype=np.float32)
    for t in np.argsort(days, kind="stable"):
        higher = values[t] > greatest
        day[higher] = days[t]
        greatest[higher] = values[t][higher]
    return day


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
