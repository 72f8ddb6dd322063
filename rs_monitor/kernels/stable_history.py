"""Where the stable part of a history begins: recursive CUSUM, latest look first."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.boundaries import recursive_cusum_critical, recursive_cusum_p_value
from rs_monitor.kernels.least_squares import as_rows, orthogonal_basis

SINGULAR = 1e-12
"""Share of the longest column of a triangular fit under which its shortest is rounding."""

NO_START = -1
"""First date where a history is too short to be tested."""


class StableHistory(NamedTuple):
    """Index of the first stable date and p-value of the whole history, (y, x)."""

    first: NDArray[np.int32]
    p_value: NDArray[np.float64]


@njit(nogil=True, error_model="numpy")
def _rotate_in(triangle, explained, row, value):  # type: ignore[no-untyped-def]
    """Take a look into a triangular fit by Givens rotations; what is left is its residual."""
    p = explained.shape[0]
    for a in range(p):
        if row[a] == 0.0:
            continue
        length = math.hypot(triangle[a, a], row[a])
        cos, sin = triangle[a, a] / length, row[a] / length
        triangle[a, a] = length
        for b in range(a + 1, p):
            old = triangle[a, b]
            triangle[a, b] = cos * old + sin * row[b]
            row[b] = cos * row[b] - sin * old
        old = explained[a]
        explained[a] = cos * old + sin * value
        value = cos * value - sin * old
    return value


@njit(nogil=True, error_model="numpy")
def _recursive_residuals(rows, at, values, triangle, work, out):  # type: ignore[no-untyped-def]
    """Residual of each look against the fit of those before it, of unit spread; how many."""
    p, n = triangle.shape[0], values.shape[0]
    triangle[:] = 0.0
    explained, row = work[0], work[1]
    explained[:] = 0.0
    for k in range(n):
        if k == p and _is_singular(triangle):
            return 0
        for a in range(p):
            row[a] = rows[a, at[k]]
        left = _rotate_in(triangle, explained, row, values[k])
        if k >= p:
            out[k - p] = left
    return n - p


@njit(nogil=True, error_model="numpy")
def _is_singular(triangle):  # type: ignore[no-untyped-def]
    least, most = np.inf, 0.0
    for a in range(triangle.shape[0]):
        least, most = min(least, triangle[a, a]), max(most, triangle[a, a])
    return not least > SINGULAR * most


@njit(nogil=True, error_model="numpy")
def _crossing(residuals, n, critical):  # type: ignore[no-untyped-def]
    """P-value of the process, and its first step beyond the boundary; 0 where there is none."""
    mean, squares = np.mean(residuals[:n]), 0.0
    for k in range(n):
        squares += (residuals[k] - mean) ** 2
    scale = math.sqrt(squares / (n - 1)) * math.sqrt(n)
    total, statistic, step = 0.0, 0.0, 0
    for k in range(1, n + 1):
        total += residuals[k - 1] / scale
        height = abs(total) / (1 + 2 * k / n)
        statistic = max(statistic, height)
        if step == 0 and height > critical:
            step = k
    return recursive_cusum_p_value(statistic), step


@njit(nogil=True, error_model="numpy")
def _stable(memory, time_step, row_step, times, count, cols, nodata, rows, p, significance,  # type: ignore[no-untyped-def]
            critical, first, p_value):  # fmt: skip
    values, residuals = np.empty(times), np.empty(times)
    at = np.empty(times, dtype=np.int64)
    triangle, work = np.empty((p, p)), np.empty((2, p))
    for pixel in range(count * cols):
        start = (pixel // cols) * row_step + pixel % cols
        n = 0
        for t in range(times - 1, -1, -1):
            v = memory[start + t * time_step]
            if (v - v == 0) & (v != nodata):
                values[n], at[n] = v, t
                n += 1
        first[pixel], p_value[pixel] = NO_START, np.nan
        if n < p + 3:
            continue
        tested = _recursive_residuals(rows, at[:n], values[:n], triangle, work, residuals)
        if tested == 0:
            continue
        p_value[pixel], step = _crossing(residuals, tested, critical)
        unstable = p_value[pixel] < significance and step > 0
        first[pixel] = at[p + step - 1] if unstable else at[n - 1]


def stable_history(
    values: NDArray[Any],
    regressors: NDArray[np.float64],
    *,
    significance: float,
    nodata: float = np.nan,
) -> StableHistory:
    """Test every history from its end backwards (ROC) and say from when on it is stable.

    Parameters
    ----------
    values : ndarray of float or int, shape (time, y, x)
        Ascending in time; NaN, infinities and ``nodata`` = not seen.
    regressors : ndarray of float64, shape (p, time)
    significance : float
        P-value under which a history counts as unstable.
    nodata : float
        A value that means not seen.

    Returns
    -------
    StableHistory
        ``first``, the date of the first look where all are stable, else of the look at which the
        backward process crosses its boundary; ``NO_START`` (p-value NaN) under p + 3 looks, or
        where the latest p looks are singular.

    Notes
    -----
    Pesaran & Timmermann 2002, doi:10.1016/S0304-4076(01)00149-0, as used by Verbesselt et al. 2012:
    strucchange's ``efp(type = "Rec-CUSUM")`` and bfast's ``history_roc``. nrt 0.3.0 departs from
    both: it drops the first recursive residual and divides by n where they divide by n - 1.
    """
    shape = values.shape[1:]
    first, p_value = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.float64)
    basis = orthogonal_basis(regressors)
    stack = as_rows(values)
    _stable(
        stack.memory,
        stack.time_step,
        stack.row_step,
        basis.times,
        stack.rows,
        stack.cols,
        float(nodata),
        basis.rows,
        basis.size,
        significance,
        recursive_cusum_critical(significance),
        first.reshape(-1),
        p_value.reshape(-1),
    )
    return StableHistory(first, p_value)
