"""Pixels of each class by row and strip of columns, as integers: sums that no cutting changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

CODES = 256
MOMENTS = 3
"""Count, sum of the columns, sum of the squared columns, counted from the start of the strip."""

MAX_STRIP_PX = 1024


@njit(nogil=True)
def _mark_present(classes: NDArray[np.uint8], present: NDArray[np.bool_]) -> None:
    height, width = classes.shape
    for y in range(height):
        last = np.int64(-1)
        for x in range(width):
            code = np.int64(classes[y, x])
            if code != last:
                present[code] = True
                last = code


@njit(nogil=True)
def _add_run(out: NDArray[np.int64], start: int, stop: int, strip: int, slot: int) -> None:
    """Add columns ``start`` to ``stop`` (half open, from the start of the strip)."""
    count = stop - start
    last = stop - 1
    out[strip, slot, 0] += count
    out[strip, slot, 1] += (start + last) * count // 2
    below = start - 1
    squares = last * stop * (2 * last + 1) // 6
    out[strip, slot, 2] += squares - below * start * (2 * below + 1) // 6


@njit(nogil=True)
def _count_runs(
    classes: NDArray[np.uint8],
    slots: NDArray[np.int64],
    first_px: int,
    strip_px: int,
    out: NDArray[np.int64],
) -> None:
    height, width = classes.shape
    for y in range(height):
        x = 0
        strip = 0
        origin = -first_px
        while x < width:
            end = min(origin + strip_px, width)
            while x < end:
                code = classes[y, x]
                start = x
                x += 1
                while x < end and classes[y, x] == code:
                    x += 1
                slot = slots[code]
                if slot >= 0:
                    _add_run(out[y], start - origin, x - origin, strip, slot)
            strip += 1
            origin += strip_px


def codes_present(classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Values that occur in a class raster, ascending.

    Parameters
    ----------
    classes : ndarray of uint8, shape (rows, columns)
    """
    present = np.zeros(CODES, dtype=np.bool_)
    _mark_present(classes, present)
    return np.flatnonzero(present)


def class_moments(
    classes: NDArray[np.uint8], codes: NDArray[np.int64], *, first_px: int, strip_px: int
) -> NDArray[np.int64]:
    """Count pixels of each class, and where they lie, by row and strip of columns.

    Parameters
    ----------
    classes : ndarray of uint8, shape (rows, columns)
        A part of a class raster.
    codes : ndarray of int64, shape (k,)
        Values to count; others are passed over.
    first_px : int
        Column of the part within its first strip, 0 to ``strip_px - 1``.
    strip_px : int
        Columns of a strip, at most ``MAX_STRIP_PX``: the squares of a row then fit an integer.

    Returns
    -------
    ndarray of int64, shape (rows, strips, k, 3)
        Count, sum and sum of squares of the columns, each counted from the start of its strip.

    Raises
    ------
    ValueError
        If ``strip_px`` or ``first_px`` is out of range.

    Notes
    -----
    Runs of one class are added in closed form, so that a map of fields costs a comparison a pixel.
    """
    if not 1 <= strip_px <= MAX_STRIP_PX or not 0 <= first_px < strip_px:
        raise ValueError(
            f"got strips of {strip_px} columns and a first column {first_px}; needed 1 to "
            f"{MAX_STRIP_PX} and a column of the first strip; take both from the whole grid"
        )
    height, width = classes.shape
    slots = np.full(CODES, -1, dtype=np.int64)
    slots[codes] = np.arange(codes.size)
    strips = -(-(first_px + width) // strip_px)
    out: NDArray[Any] = np.zeros((height, strips, codes.size, MOMENTS), dtype=np.int64)
    _count_runs(classes, slots, first_px, strip_px, out)
    return out
