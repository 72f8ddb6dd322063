"""Harmonic regression that outlying looks do not pull: bisquare weights, iterated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from rs_monitor.kernels.harmonic import HarmonicFit, room_for_fit
from rs_monitor.kernels.least_squares import as_rows, orthogonal_basis

BISQUARE = 4.685
"""Scales beyond which a residual weighs nothing: 95 % efficiency (Holland & Welsch 1977)."""

NORMAL_MAD = 0.6745
"""Median absolute deviation of the standard normal."""

MOST_ITERATIONS = 50
TOLERANCE = 1e-8
SMALLEST_SCALE = 1.1920929e-07


@njit(nogil=True, error_model="numpy")
def _scale(residuals, work):  # type: ignore[no-untyped-def]
    """Median absolute deviation about the median, as a standard deviation."""
    middle = np.median(residuals)
    for k in range(residuals.shape[0]):
        work[k] = abs(residuals[k] - middle)
    return np.median(work) / NORMAL_MAD


@njit(nogil=True, error_model="numpy")
def _weighted(rows, at, values, weights, least, normal, solution):  # type: ignore[no-untyped-def]
    """Weighted least squares of one pixel by Cholesky; whether it could be solved."""
    p = normal.shape[0]
    normal[:] = 0.0
    solution[:] = 0.0
    for k in range(values.shape[0]):
        for a in range(p):
            share = weights[k] * rows[a, at[k]]
            solution[a] += share * values[k]
            for b in range(a + 1):
                normal[a, b] += share * rows[b, at[k]]
    for j in range(p):
        for k in range(j + 1):
            total = normal[j, k]
            for m in range(k):
                total -= normal[j, m] * normal[k, m]
            if k < j:
                normal[j, k] = total / normal[k, k]
            elif total > least:
                normal[j, j] = math.sqrt(total)
            else:
                return False
        for k in range(j):
            solution[j] -= normal[j, k] * solution[k]
        solution[j] /= normal[j, j]
    for j in range(p - 1, -1, -1):
        for k in range(j + 1, p):
            solution[j] -= normal[k, j] * solution[k]
        solution[j] /= normal[j, j]
    return True


@njit(nogil=True, error_model="numpy")
def _turned(back, solution, out):  # type: ignore[no-untyped-def]
    for k in range(out.shape[0]):
        out[k] = 0.0
        for j in range(k, out.shape[0]):
            out[k] += back[k, j] * solution[j]


@njit(nogil=True, error_model="numpy")
def _residuals_of(rows, at, values, solution, residuals):  # type: ignore[no-untyped-def]
    for k in range(values.shape[0]):
        residuals[k] = values[k]
        for a in range(solution.shape[0]):
            residuals[k] -= rows[a, at[k]] * solution[a]


@njit(nogil=True, error_model="numpy")
def _iterate(rows, back, at, values, least, space):  # type: ignore[no-untyped-def]
    """Coefficients of one pixel into ``space``; whether they could be found."""
    normal, solution, beta, last, residuals, weights, work = space
    n = values.shape[0]
    residuals, weights, work = residuals[:n], weights[:n], work[:n]
    weights[:] = 1.0
    if not _weighted(rows, at, values, weights, least, normal, solution):
        return False
    _turned(back, solution, beta)
    _residuals_of(rows, at, values, solution, residuals)
    scale = _scale(residuals, work)
    if scale < SMALLEST_SCALE:
        return True
    for _ in range(MOST_ITERATIONS - 1):
        last[:] = beta
        for k in range(n):
            share = residuals[k] / scale / BISQUARE
            weights[k] = (1 - share * share) ** 2 if abs(share) < 1 else 0.0
        if not _weighted(rows, at, values, weights, least, normal, solution):
            return False
        _turned(back, solution, beta)
        _residuals_of(rows, at, values, solution, residuals)
        scale = max(SMALLEST_SCALE, _scale(residuals, work))
        if np.max(np.abs(beta - last)) <= TOLERANCE:
            break
    return True


@njit(nogil=True, error_model="numpy")
def _robust(memory, time_step, row_step, times, count, cols, nodata, rows, back, least, enough,  # type: ignore[no-untyped-def]
            coefficients, sigma, looks):  # fmt: skip
    p = back.shape[0]
    space = (
        np.empty((p, p)), np.empty(p), np.empty(p), np.empty(p), np.empty(times), np.empty(times),
        np.empty(times),
    )  # fmt: skip
    values, at = np.empty(times), np.empty(times, dtype=np.int64)
    for pixel in range(count * cols):
        start = (pixel // cols) * row_step + pixel % cols
        n = 0
        for t in range(times):
            v = memory[start + t * time_step]
            if (v - v == 0) & (v != nodata):
                values[n], at[n] = v, t
                n += 1
        looks[pixel] = n
        good = n >= enough and _iterate(rows, back, at[:n], values[:n], least, space)
        squares = 0.0
        for k in range(n):
            squares += space[4][k] ** 2
        sigma[pixel] = math.sqrt(squares / (n - p)) if good else np.nan
        for k in range(p):
            coefficients[k, pixel] = space[2][k] if good else np.nan


def fit_robust(
    values: NDArray[Any],
    regressors: NDArray[np.float64],
    *,
    nodata: float = np.nan,
    min_looks: int | None = None,
    dtype: DTypeLike = np.float64,
    out: HarmonicFit | None = None,
) -> HarmonicFit:
    """Fit every pixel by iteratively reweighted least squares with bisquare weights.

    Parameters and answer are those of ``fit_ols``; sigma is of the unweighted residuals of all
    looks, with n - p degrees of freedom. NaN also where the looks left with weight are singular.

    Notes
    -----
    Holland & Welsch (1977), doi:10.1080/03610927708827533; scale from the median absolute
    deviation about the median, anew in each iteration, until no coefficient moves by more than
    1e-8 or 50 iterations, as ``nrt.fit_methods.rirls`` is meant to (nrt 0.3.0 takes the absolute
    value of the comparison, not of the difference, and stops once no coefficient *grows*).
    """
    p = regressors.shape[0]
    basis = orthogonal_basis(regressors)
    out = room_for_fit(p, values.shape[1:], dtype, out)
    stack = as_rows(values)
    enough = max(p + 1, min_looks or 0) if basis.rank == p else math.inf
    _robust(
        stack.memory,
        stack.time_step,
        stack.row_step,
        basis.times,
        stack.rows,
        stack.cols,
        float(nodata),
        basis.rows,
        basis.back,
        basis.least_pivot,
        float(enough),
        out.coefficients.reshape(p, -1, copy=False),
        out.sigma.reshape(-1, copy=False),
        out.looks.reshape(-1, copy=False),
    )
    return out
