"""Sums over numbered groups of pixels, in one pass."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


class PatchSums(NamedTuple):
    """What the pixels of each group add up to; row k is group k + 1.

    Attributes
    ----------
    n_px : ndarray of int64, shape (n,)
        Pixels of the group.
    n_known : ndarray of int64, shape (n,)
        Those with a finite value.
    mean, sd : ndarray of float64, shape (n,)
        Of the finite values; ``sd`` is that of the values themselves (divided by their number);
        NaN where there is none.
    row, col : ndarray of float64, shape (n,)
        Centroid, pixel indices.
    box : ndarray of int64, shape (n, 4)
        First row, first column, row after the last, column after the last.
    """

    n_px: NDArray[np.int64]
    n_known: NDArray[np.int64]
    mean: Float64
    sd: Float64
    row: Float64
    col: Float64
    box: NDArray[np.int64]


@njit(nogil=True)
def _flush(table, box, of, y, x0, x1, known, total, squares):  # type: ignore[no-untyped-def]
    sums, edges = table[of], box[of]
    n = x1 - x0
    sums[0] += n
    sums[1] += known
    sums[2] += total
    sums[3] += squares
    sums[4] += n * y
    sums[5] += 0.5 * n * (x0 + x1 - 1)
    edges[0] = min(edges[0], y)
    edges[1] = min(edges[1], x0)
    edges[2] = max(edges[2], y + 1)
    edges[3] = max(edges[3], x1)


@njit(nogil=True)
def _first_finite(row, value, x):  # type: ignore[no-untyped-def]
    of = row[x]
    while x < row.shape[0] and row[x] == of:
        if math.isfinite(value[x]):
            return np.float64(value[x])
        x += 1
    return math.nan


@njit(nogil=True)
def _any_of_eight(row, x):  # type: ignore[no-untyped-def]
    any_set = row[x]
    for k in range(1, 8):
        any_set |= row[x + k]
    return any_set != 0


@njit(nogil=True)
def _sum(labels, values, origin, table, box):  # type: ignore[no-untyped-def]
    width = labels.shape[1]
    for y in range(labels.shape[0]):
        row, value = labels[y], values[y]
        x = 0
        while x < width:
            if x + 8 <= width and not _any_of_eight(row, x):
                x += 8
                continue
            of = row[x]
            if of == 0:
                x += 1
                continue
            first = x
            known = 0
            total = 0.0
            squares = 0.0
            shift = origin[of - 1]
            if math.isnan(shift):
                shift = _first_finite(row, value, x)
                origin[of - 1] = shift
            while x < width and row[x] == of:
                v = np.float64(value[x])
                if math.isfinite(v):
                    known += 1
                    v -= shift
                    total += v
                    squares += v * v
                x += 1
            _flush(table, box, of - 1, y, first, x, known, total, squares)


def patch_sums(labels: NDArray[np.int32], values: NDArray[np.floating], count: int) -> PatchSums:
    """Area, mean, spread, centroid and box of every group.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = no group, else 1..count.
    values : ndarray of float, shape (y, x)
        Anything not finite does not count.
    count : int
        Groups.

    Returns
    -------
    PatchSums

    Notes
    -----
    Sums are taken in float64 about the first value of each group, so a small spread about a large
    mean survives (shifted data, Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115).
    ``tests/kernels/test_patch_sums.py`` compares with scikit-image and NumPy.
    """
    origin = np.full(count, np.nan)
    table = np.zeros((count, 6))
    box = np.empty((count, 4), dtype=np.int64)
    box[:, :2] = max(labels.shape)
    box[:, 2:] = 0
    _sum(labels, values, origin, table, box)
    n_px, known, total, squares, row, col = table.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / known
        variance = np.maximum(squares / known - mean * mean, 0.0)
        row, col = row / n_px, col / n_px
    return PatchSums(
        n_px.astype(np.int64),
        known.astype(np.int64),
        mean + origin,
        np.sqrt(variance),
        row,
        col,
        box,
    )
