"""Grades of a quantity by rising limits, and groups of equal grade merged by size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def _grade(values, limits, out):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        v = values[i]
        grade = 1
        for limit in limits:
            grade += v > limit
        out[i] = grade if v == v else 0


def grade_codes(
    values: NDArray[np.floating],
    limits: Sequence[float],
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Grade 1 up to the first limit, 2 up to the second, and so on; each limit included.

    Parameters
    ----------
    values : ndarray of float
        Any shape; NaN = unknown.
    limits : sequence of float
        Upper limits of all grades but the last, rising, in the unit of the values.
    out : ndarray of uint8, optional
        Where to write; C-contiguous, of the shape of ``values``.

    Returns
    -------
    ndarray of uint8
        0 where unknown. Compared in double precision: 6 is of the grade that ends at 6,
        the next float32 above it is not.
    """
    if out is None:
        out = np.empty(values.shape, dtype=np.uint8)
    _grade(
        np.ascontiguousarray(values).reshape(-1), np.asarray(limits, np.float64), out.reshape(-1)
    )
    return out
