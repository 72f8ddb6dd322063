"""Permanent random numbers of pixels, and the lowest of each stratum: draws that no tiling changes.

A pixel's number depends on the seed and its place in the whole grid only. The pixels of a stratum
with the ``n`` lowest numbers are a simple random sample without replacement, and a larger ``n``
keeps them all (Ohlsson 1995, Coordination of samples using permanent random numbers).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.mixing import mix64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_OF_ROWS = np.uint64(0x94D049BB133111EB)


@njit(nogil=True)
def _row_state(seed: np.uint64, row: np.uint64) -> np.uint64:
    return np.uint64(mix64(mix64(seed + _GOLDEN) ^ ((row + np.uint64(1)) * _OF_ROWS)))


@njit(nogil=True)
def _number(state: np.uint64, col: np.uint64) -> np.uint64:
    return np.uint64(mix64(state + (col + np.uint64(1)) * _GOLDEN))


@njit(nogil=True)
def pixel_numbers(
    rows: NDArray[np.int64], cols: NDArray[np.int64], seed: np.uint64
) -> NDArray[np.uint64]:
    """Permanent random number of each pixel.

    Parameters
    ----------
    rows, cols : ndarray of int64, shape (n,)
        Place in the whole grid.
    seed : uint64

    Returns
    -------
    ndarray of uint64, shape (n,)
        Uniform over all 64-bit numbers.
    """
    out = np.empty(rows.size, dtype=np.uint64)
    for i in range(rows.size):
        out[i] = _number(_row_state(seed, np.uint64(rows[i])), np.uint64(cols[i]))
    return out


@njit(nogil=True)
def _sink(numbers: NDArray[np.uint64], places: NDArray[np.int64], start: int, size: int) -> None:
    """Move the first entry of a heap (largest on top) down to where it belongs."""
    at = np.int64(0)
    while True:
        child = 2 * at + 1
        if child >= size:
            return
        right = child + 1
        if right < size and numbers[start + right] > numbers[start + child]:
            child = right
        if numbers[start + child] <= numbers[start + at]:
            return
        a, b = start + at, start + child
        numbers[a], numbers[b] = numbers[b], numbers[a]
        places[a], places[b] = places[b], places[a]
        at = child


@njit(nogil=True)
def _rise(numbers: NDArray[np.uint64], places: NDArray[np.int64], start: int, at: int) -> None:
    while at > 0:
        parent = (at - 1) // 2
        a, b = start + at, start + parent
        if numbers[a] <= numbers[b]:
            return
        numbers[a], numbers[b] = numbers[b], numbers[a]
        places[a], places[b] = places[b], places[a]
        at = parent


@njit(nogil=True)
def keep_lowest(
    strata: NDArray[Any],
    seed: np.uint64,
    origin: tuple[int, int],
    grid_width: int,
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    numbers: NDArray[np.uint64],
    places: NDArray[np.int64],
) -> None:
    """Take up a part of a strata raster into heaps of the lowest numbers.

    Parameters
    ----------
    strata : ndarray of integers, shape (rows, columns)
        Codes of strata; those without room are passed over.
    seed : uint64
    origin : tuple of int
        Row and column of the part in the whole grid.
    grid_width : int
        Columns of the whole grid.
    starts : ndarray of int64, shape (strata + 1,)
        Where the heap of each stratum starts; the room of a heap is the number of pixels wanted.
    sizes : ndarray of int64, shape (strata,)
        Pixels in each heap; changed in place.
    numbers, places : ndarray of uint64 and int64, shape (starts[-1],)
        The heaps: number and row-major place in the whole grid; changed in place.
    """
    height, width = strata.shape
    for y in range(height):
        row = np.int64(origin[0] + y)
        state = _row_state(seed, np.uint64(row))
        for x in range(width):
            stratum = np.int64(strata[y, x])
            if stratum < 0 or stratum >= sizes.size:
                continue
            start = starts[stratum]
            room = starts[stratum + 1] - start
            if room == 0:
                continue
            col = np.int64(origin[1] + x)
            number = _number(state, np.uint64(col))
            size = sizes[stratum]
            if size < room:
                numbers[start + size], places[start + size] = number, row * grid_width + col
                _rise(numbers, places, start, size)
                sizes[stratum] = size + 1
            elif number < numbers[start]:
                numbers[start], places[start] = number, row * grid_width + col
                _sink(numbers, places, start, size)
