"""Screen of missed clouds and shadows in one window of a series, after Tmask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rs_monitor.kernels.compiling import IN_KERNEL
from rs_monitor.kernels.ordering import sort_first

COLUMNS = 5
"""Yearly pair, pair of the whole window, constant."""

ROUNDS = 4
"""Reweighted fits after the first one."""

TUNING = 4.685
"""Of Tukey's bisquare: 95 % efficient under normal noise."""

EPS = float(np.finfo(np.float64).eps)

LEAST_PIVOT = 1e-11
"""Share of its column under which a pivot is nothing but rounding."""


@njit(**IN_KERNEL)
def _factor(design, weights, n, factor):  # type: ignore[no-untyped-def]
    """Cholesky of X'WX; a column that the others explain gets pivot 0. How many there are."""
    count = design.shape[1]
    lost = 0
    for j in range(count):
        for k in range(j + 1):
            value = 0.0
            for t in range(n):
                value += weights[t] * design[t, j] * design[t, k]
            whole = value
            for m in range(k):
                value -= factor[j, m] * factor[k, m]
            if k < j:
                factor[j, k] = value / factor[k, k] if factor[k, k] > 0 else 0.0
            elif value > LEAST_PIVOT * whole:
                factor[j, j] = math.sqrt(value)
            else:
                factor[j, j] = 0.0
                lost += 1
    return lost


@njit(**IN_KERNEL)
def _forward(factor, column):  # type: ignore[no-untyped-def]
    for j in range(column.shape[0]):
        value = column[j]
        for k in range(j):
            value -= factor[j, k] * column[k]
        column[j] = value / factor[j, j] if factor[j, j] > 0 else 0.0


@njit(**IN_KERNEL)
def _fit(design, weights, y, n, factor, solution):  # type: ignore[no-untyped-def]
    """Weighted least squares; how many columns had to be left out."""
    count = design.shape[1]
    lost = _factor(design, weights, n, factor)
    for j in range(count):
        solution[j] = 0.0
        for t in range(n):
            solution[j] += weights[t] * design[t, j] * y[t]
    _forward(factor, solution)
    for j in range(count - 1, -1, -1):
        value = solution[j]
        for k in range(j + 1, count):
            value -= factor[k, j] * solution[k]
        solution[j] = value / factor[j, j] if factor[j, j] > 0 else 0.0
    return lost


@njit(**IN_KERNEL)
def _stretch(design, n, factor, lost, row, stretch):  # type: ignore[no-untyped-def]
    """What each residual is multiplied with for its leverage."""
    for t in range(n):
        leverage = 0.0
        for j in range(row.shape[0]):
            row[j] = design[t, j]
        _forward(factor, row)
        for j in range(row.shape[0]):
            leverage += row[j] * row[j]
        stretch[t] = 1.0 if lost > 0 else 1.0 / math.sqrt(1.0 - min(leverage, 0.9999))


@njit(**IN_KERNEL)
def _deviation(y, n):  # type: ignore[no-untyped-def]
    total, squares = 0.0, 0.0
    for t in range(n):
        total += y[t]
    for t in range(n):
        squares += (y[t] - total / n) ** 2
    return math.sqrt(squares / n)


@njit(**IN_KERNEL)
def _spread(residuals, stretch, n, sizes):  # type: ignore[no-untyped-def]
    """Median of the absolute residuals without the four smallest, over 0.6745."""
    for t in range(n):
        sizes[t] = abs(residuals[t] * stretch[t])
    sort_first(sizes, n)
    return 0.5 * (sizes[(n + 3) // 2] + sizes[(n + 4) // 2]) / 0.6745


@njit(**IN_KERNEL)
def _residuals(design, solution, y, n, residuals):  # type: ignore[no-untyped-def]
    for t in range(n):
        value = y[t]
        for j in range(design.shape[1]):
            value -= design[t, j] * solution[j]
        residuals[t] = value


@njit(nogil=True, error_model="numpy")
def robust_residuals(design, y, n, space, residuals):  # type: ignore[no-untyped-def]
    """Residuals of a bisquare fit with leverage.

    Parameters
    ----------
    design : ndarray of float64, shape (>= n, 5)
    y : ndarray of float64, shape (>= n,)
    n : int
        Rows used; at least 6.
    space : ndarray of float64, shape (3, >= n)
        Scratch.
    residuals : ndarray of float64, shape (>= n,)
        Result, observed minus fitted.

    Notes
    -----
    As lcmap-pyccd 2021.7.19 does, which follows MATLAB's robustfit: at most four reweighted fits,
    stopped when no coefficient grew by more than 1e-8. Where the columns are dependent the
    leverage is taken as equal.
    """
    count = design.shape[1]
    factor = np.zeros((count, count))
    solution, before = np.empty(count), np.empty(count)
    weights, stretch, sizes = space[0], space[1], space[2]
    weights[:n] = 1.0
    stretch[:n] = 1.0
    lost = _fit(design, weights, y, n, factor, solution)
    _residuals(design, solution, y, n, residuals)
    if _spread(residuals, stretch, n, sizes) < EPS:
        return
    _stretch(design, n, factor, lost, before, stretch)
    least = EPS * _deviation(y, n)
    for _ in range(ROUNDS):
        before[:] = solution
        reach = TUNING * max(least, _spread(residuals, stretch, n, sizes))
        for t in range(n):
            u = residuals[t] * stretch[t] / reach
            weights[t] = (1 - u * u) ** 2 if abs(u) < 1 else 0.0
        _fit(design, weights, y, n, factor, solution)
        _residuals(design, solution, y, n, residuals)
        grew = False
        for j in range(count):
            grew |= solution[j] - before[j] > 1e-8
        if not grew:
            return


@njit(nogil=True, error_model="numpy")
def tmask_design(days, n, year_days, design):  # type: ignore[no-untyped-def]
    """Columns of the window: the year, the whole window in whole years, a constant."""
    years = math.ceil((days[n - 1] - days[0]) / year_days)
    for t in range(n):
        angle = 2.0 * math.pi * (days[t] - days[0]) / year_days
        design[t, 0] = math.cos(angle)
        design[t, 1] = math.sin(angle)
        design[t, 2] = math.cos(angle / years)
        design[t, 3] = math.sin(angle / years)
        design[t, 4] = 1.0
