"""What a raster holds inside polygons, by the cells whose centre lies inside."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class ZonalSums(NamedTuple):
    """What the cells of each polygon add up to.

    Attributes
    ----------
    n_px : ndarray of int64, shape (n,)
        Cells inside the polygon and the raster.
    n_known : ndarray of int64, shape (n,)
        Those with a finite value.
    total, squares : ndarray of float64, shape (n,)
        Sum of the finite values and of their squares, each less ``origin``.
    least, most : ndarray of float64, shape (n,)
        Of the finite values; inf and -inf where there is none.
    """

    n_px: Int64
    n_known: Int64
    total: Float64
    squares: Float64
    least: Float64
    most: Float64


@njit(nogil=True)
def _crossings(x, y, rings, first, last, at, found):  # type: ignore[no-untyped-def]
    """Columns where a scanline meets the rings, ascending; an end counts for the lower part."""
    n = 0
    for ring in range(first, last):
        for k in range(rings[ring], rings[ring + 1] - 1):
            y0, y1 = y[k], y[k + 1]
            if (y0 <= at) == (y1 <= at):
                continue
            value = x[k] + (at - y0) / (y1 - y0) * (x[k + 1] - x[k])
            j = n - 1
            while j >= 0 and found[j] > value:
                found[j + 1] = found[j]
                j -= 1
            found[j + 1] = value
            n += 1
    return n


@njit(nogil=True)
def _span(row, x0, x1, origin, sums):  # type: ignore[no-untyped-def]
    known = 0
    total = 0.0
    squares = 0.0
    least, most = sums[4], sums[5]
    for x in range(x0, x1):
        v = np.float64(row[x])
        if math.isfinite(v):
            known += 1
            least = min(least, v)
            most = max(most, v)
            v -= origin
            total += v
            squares += v * v
    sums[0] += x1 - x0
    sums[1] += known
    sums[2] += total
    sums[3] += squares
    sums[4] = least
    sums[5] = most


@njit(nogil=True)
def _polygons(values, x, y, rings, parts, first, last, origin, table):  # type: ignore[no-untyped-def]
    height, width = values.shape
    most = 0
    for one in range(first, last):
        most = max(most, rings[parts[one + 1]] - rings[parts[one]])
    found = np.empty(most + 1)
    for one in range(first, last):
        sums = table[one]
        begin, end = rings[parts[one]], rings[parts[one + 1]]
        if begin == end:
            continue
        top, bottom, left, right = y[begin], y[begin], x[begin], x[begin]
        for k in range(begin, end):
            top, bottom = min(top, y[k]), max(bottom, y[k])
            left, right = min(left, x[k]), max(right, x[k])
        if left >= width or right <= 0:
            continue
        row0 = max(0, math.ceil(top - 0.5))
        row1 = min(height - 1, math.floor(bottom - 0.5))
        for r in range(row0, row1 + 1):
            n = _crossings(x, y, rings, parts[one], parts[one + 1], r + 0.5, found)
            for k in range(0, n - 1, 2):
                x0 = max(0, math.floor(found[k] + 0.5))
                x1 = min(width, math.floor(found[k + 1] + 0.5))
                if x1 > x0:
                    _span(values[r], x0, x1, origin, sums)


def zonal_sums(
    values: NDArray[np.floating] | NDArray[np.integer],
    xy: Float64,
    rings: Int64,
    parts: Int64,
    *,
    origin: float = 0.0,
    first: int = 0,
    last: int | None = None,
) -> ZonalSums:
    """Sum the cells whose centre lies inside each polygon.

    Parameters
    ----------
    values : ndarray, shape (y, x)
        Anything not finite does not count as known.
    xy : ndarray of float64, shape (2, vertices)
        Columns and rows of the vertices in cells: (0, 0) is the outer corner of the first cell.
    rings : ndarray of int64, shape (rings + 1,)
        Where the vertices of each closed ring begin; holes are rings like any other.
    parts : ndarray of int64, shape (polygons + 1,)
        Where the rings of each polygon begin.
    origin : float
        Subtracted from the values before they are summed, near their mean.
    first, last : int
        Only these polygons, so that threads can share the work; the others add up to nothing.

    Returns
    -------
    ZonalSums

    Notes
    -----
    Even-odd rule along the centre line of each row; a centre on the left edge of a polygon is
    outside and one on the right edge inside, as GDAL's polygon filler has it. Overlapping polygons
    each count their cells. ``tests/kernels/test_zonal.py`` compares with rasterio.
    """
    count = len(parts) - 1
    table = np.zeros((count, 6))
    table[:, 4], table[:, 5] = np.inf, -np.inf
    x, y = np.ascontiguousarray(xy[0]), np.ascontiguousarray(xy[1])
    _polygons(values, x, y, rings, parts, first, count if last is None else last, origin, table)
    return ZonalSums(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), *table[:, 2:].T)
