"""Texture of a plane: how the pixels of a small window differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.compiling import IN_KERNEL

Measure = Literal["std", "range", "contrast", "homogeneity"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

_DIRECTIONS = np.array([(0, 1), (1, 1), (1, 0), (1, -1)])
"""Rows down and columns right from a pixel to its neighbour: 0, 135, 90, 45 degrees."""


@njit(**IN_KERNEL)
def _spread_row(values, y, radius, spread, reach):  # type: ignore[no-untyped-def]
    """Standard deviation and range of the windows of one row."""
    height, width = values.shape
    count, total, squares = np.zeros((3, width))
    least, most = np.full(width, np.inf), np.full(width, -np.inf)
    centre = values[y]
    for row in range(max(y - radius, 0), min(y + radius + 1, height)):
        line = values[row]
        for step in range(-radius, radius + 1):
            for x in range(max(0, -step), min(width, width - step)):
                v = float(line[x + step])
                if v - v == 0:
                    apart = v - centre[x]
                    count[x] += 1
                    total[x] += apart
                    squares[x] += apart * apart
                    least[x] = min(least[x], v)
                    most[x] = max(most[x], v)
    for x in range(width):
        good = (count[x] > 1) & (centre[x] - centre[x] == 0)
        mean = total[x] / count[x]
        spread[x] = math.sqrt(max(squares[x] / count[x] - mean * mean, 0.0)) if good else np.nan
        reach[x] = most[x] - least[x] if good else np.nan


@njit(**IN_KERNEL)
def _pair_columns(values, top, bottom, down, right, step, columns):  # type: ignore[no-untyped-def]
    """Add up the pairs of each column whose upper pixels lie in some rows."""
    height, width = values.shape
    columns[:] = 0.0
    squares, alike, count = columns
    for row in range(max(top, 0), min(bottom, height - down)):
        line, other = values[row], values[row + down]
        for x in range(max(0, -right), min(width, width - right)):
            d = float(line[x]) - float(other[x + right])
            d2 = d * d
            known = d2 - d2 == 0
            squares[x] += d2 if known else 0.0
            alike[x] += 1.0 / (1.0 + d2 / (step * step)) if known else 0.0
            count[x] += 1.0 if known else 0.0


@njit(**IN_KERNEL)
def _pairs_row(values, y, radius, step, directions, contrast, homogeneity):  # type: ignore[no-untyped-def]
    """Contrast and homogeneity of the windows of one row, each direction weighing the same."""
    width = values.shape[1]
    columns, sums = np.empty((2, 3, width))
    directed = np.zeros(width)
    contrast[:] = 0.0
    homogeneity[:] = 0.0
    for k in range(directions.shape[0]):
        down, right = directions[k]
        _pair_columns(values, y - radius, y + radius + 1 - down, down, right, step, columns)
        sums[:] = 0.0
        for col in range(-radius + max(0, -right), radius + 1 - max(0, right)):
            for j in range(3):
                into, column = sums[j], columns[j]
                for x in range(max(0, -col), min(width, width - col)):
                    into[x] += column[x + col]
        for x in range(width):
            count = sums[2, x]
            contrast[x] += sums[0, x] / count if count > 0 else 0.0
            homogeneity[x] += sums[1, x] / count if count > 0 else 0.0
            directed[x] += 1.0 if count > 0 else 0.0
    for x in range(width):
        good = (directed[x] > 0) & (values[y, x] - values[y, x] == 0)
        contrast[x] = contrast[x] / directed[x] if good else np.nan
        homogeneity[x] = homogeneity[x] / directed[x] if good else np.nan


@njit(nogil=True, error_model="numpy")
def _texture(values, radius, step, directions, spreads, pairs, out):  # type: ignore[no-untyped-def]
    height, width = values.shape
    rows = np.empty((4, width))
    for y in range(height):
        if spreads:
            _spread_row(values, y, radius, rows[0], rows[1])
        if pairs:
            _pairs_row(values, y, radius, step, directions, rows[2], rows[3])
        for k in range(4):
            out[k, y] = rows[k]


def window_texture(
    values: NDArray[Any],
    *,
    radius_px: int,
    measures: Sequence[Measure],
    step: float,
) -> NDArray[np.float32]:
    """Texture in a square window around every pixel.

    Parameters
    ----------
    values : ndarray of float, shape (y, x)
        NaN and infinities = unknown.
    radius_px : int
        Rows and columns of the window on each side of its pixel; beyond the rim nothing is known.
    measures : sequence of str
        ``std``: standard deviation of the window's pixels; ``range``: greatest minus least;
        ``contrast``: mean squared difference of neighbours; ``homogeneity``: mean of
        1 / (1 + (difference / step)^2) of neighbours.
    step : float
        Difference that counts as one grey level of ``homogeneity``, in units of the values.

    Returns
    -------
    ndarray of float32, shape (measure, y, x)
        NaN where the pixel is unknown, and where no other pixel (no pair) of the window is known.

    Notes
    -----
    Contrast and inverse difference moment after Haralick, Shanmugam & Dinstein (1973),
    doi:10.1109/TSMC.1973.4309314: neighbours in four directions one pixel apart, the mean of the
    four; both are sums over pairs, so no co-occurrence matrix is built and no grey levels are cut.
    Of whole numbers and a step of 1 equal to ``skimage.feature.graycoprops`` of each window.
    A pixel's answer is summed in one order, wherever it lies in the block.
    """
    out = np.empty((len(MEASURES), *values.shape), dtype=np.float32)
    spreads = not {"std", "range"}.isdisjoint(measures)
    pairs = not {"contrast", "homogeneity"}.isdisjoint(measures)
    unit = step if "homogeneity" in measures else 1.0
    # windows of blocks come as views: one memory order, one compilation
    _texture(np.ascontiguousarray(values), radius_px, unit, _DIRECTIONS, spreads, pairs, out)
    return out[[MEASURES.index(measure) for measure in measures]]
