"""Sums over numbered groups of pixels, in one pass."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_ORIGIN = 10
"""Column of the table of sums that holds what the values of a group are taken about."""


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
def _edges(row, starts):  # type: ignore[no-untyped-def]
    """Columns where the group changes, without a branch; groups are short."""
    n = 0
    before = row[0] * 0
    for x in range(row.shape[0]):
        of = row[x]
        starts[n] = x
        n += of != before
        before = of
    starts[n] = row.shape[0]
    return n


@njit(nogil=True)
def _sum_run(value, x0, x1, sums):  # type: ignore[no-untyped-def]
    """Add the known values of a run, less the first one that the group ever had."""
    origin = sums[_ORIGIN]
    known = 0
    total = 0.0
    squares = 0.0
    for x in range(x0, x1):
        v = np.float64(value[x])
        if math.isfinite(v):
            if math.isnan(origin):
                origin = v
            v -= origin
            known += 1
            total += v
            squares += v * v
    sums[_ORIGIN] = origin
    sums[1] += known
    sums[2] += total
    sums[3] += squares


@njit(nogil=True)
def _place_run(y, x0, x1, sums):  # type: ignore[no-untyped-def]
    n = x1 - x0
    sums[0] += n
    sums[4] += n * y
    sums[5] += 0.5 * n * (x0 + x1 - 1)
    sums[6] = min(sums[6], y)
    sums[7] = min(sums[7], x0)
    sums[8] = y + 1.0
    sums[9] = max(sums[9], x1)


@njit(nogil=True)
def _sum(labels, values, table):  # type: ignore[no-untyped-def]
    starts = np.empty(labels.shape[1] + 1, dtype=np.int64)
    for y in range(labels.shape[0]):
        row, value = labels[y], values[y]
        for k in range(_edges(row, starts)):
            x0, x1 = starts[k], starts[k + 1]
            of = row[x0]
            if of > 0:
                sums = table[of - 1]
                _sum_run(value, x0, x1, sums)
                _place_run(np.float64(y), np.float64(x0), np.float64(x1), sums)


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
    table = np.zeros((count, _ORIGIN + 1))
    table[:, _ORIGIN] = np.nan
    table[:, 6:8] = max(labels.shape)
    _sum(labels, values, table)
    n_px, known, total, squares, row, col = table[:, :6].T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / known
        variance = np.maximum(squares / known - mean * mean, 0.0)
        row, col = row / n_px, col / n_px
    return PatchSums(
        n_px.astype(np.int64),
        known.astype(np.int64),
        mean + table[:, _ORIGIN],
        np.sqrt(variance),
        row,
        col,
        table[:, 6:10].astype(np.int64),
    )
