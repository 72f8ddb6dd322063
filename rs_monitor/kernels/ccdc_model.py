"""What continuous change detection is made of: the looks of a pixel, models, normalised errors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.compiling import IN_KERNEL
from rs_monitor.kernels.harmonic import harmonic_regressors
from rs_monitor.kernels.lasso import centred_products, lasso_weights
from rs_monitor.kernels.ordering import median_of_first, sort_first
from rs_monitor.kernels.tmask import COLUMNS, robust_residuals, tmask_design

REGRESSORS = 7
"""Trend and three harmonics; the intercept stands apart."""

SEASONAL = 24
"""Looks of a model from which on its error is that of the looks nearest in the year, and from
which on it is fitted anew only now and then."""

VARIOGRAM_DAYS = 30.0
"""Looks farther apart than this make the variogram."""


class CcdcSettings(NamedTuple):
    """Numbers of the method; the defaults of lcmap-pyccd stand in ``configs/rules``."""

    least_looks: int
    consecutive: int
    least_days: float
    year_days: float
    penalty: float
    tolerance: float
    sweeps: int
    outlier_chi2: float
    screen_factor: float
    looks_per_coefficient: int
    usual_interval_days: float


class Work(NamedTuple):
    """Scratch of one worker; made anew for every call."""

    table: NDArray[np.float64]  # (time, 1 + band + 7): day, values, regressors of kept looks
    days: NDArray[np.float64]
    design: NDArray[np.float64]
    column: NDArray[np.float64]
    residuals: NDArray[np.float64]
    space: NDArray[np.float64]
    outlier: NDArray[np.bool_]
    means: NDArray[np.float64]
    products: NDArray[np.float64]
    gram: NDArray[np.float64]
    right: NDArray[np.float64]
    pull: NDArray[np.float64]
    active: NDArray[np.bool_]
    errors: NDArray[np.float64]  # (band, time) of the current model
    weights: NDArray[np.float64]  # (band, 8), the intercept last
    rmse: NDArray[np.float64]
    variogram: NDArray[np.float64]
    scale: NDArray[np.float64]


class Found(NamedTuple):
    """Segments as the kernel writes them."""

    numbers: NDArray[np.float64]  # (m, 6)
    weights: NDArray[np.float64]  # (m, band, 8)
    rmse: NDArray[np.float64]
    magnitude: NDArray[np.float64]


def scratch(times: int, bands: int) -> Work:
    """Buffers for series of so many looks."""
    wide = bands + REGRESSORS
    one, by_band = np.empty(times), np.empty((bands, times))
    return Work(
        np.empty((times, 1 + wide)), one, np.empty((times, COLUMNS)), one.copy(), one.copy(),
        np.empty((3, times)),
        np.empty(times, np.bool_), np.empty(wide), np.empty((wide, wide)),
        np.empty((REGRESSORS, REGRESSORS)), np.empty(REGRESSORS), np.empty(REGRESSORS),
        np.empty(REGRESSORS, np.bool_), by_band, np.empty((bands, REGRESSORS + 1)),
        np.empty(bands), np.empty(bands), np.empty(bands),
    )  # fmt: skip


def room_for(times: int, bands: int, settings: CcdcSettings) -> Found:
    """Room for as many segments as a series of so many looks can have."""
    most = times // max(settings.least_looks - settings.consecutive, 1) + 2
    shape = (most, bands)
    return Found(
        np.empty((most, 6)), np.empty((*shape, REGRESSORS + 1)), np.empty(shape), np.empty(shape)
    )


def lasso_regressors(days: NDArray[np.float64], year_days: float) -> NDArray[np.float64]:
    """Regressors of the method: days since the first date, then cosine and sine by harmonic.

    Parameters
    ----------
    days : ndarray of float64, shape (time,)
        Ascending, from any origin. The origin sets the phase and with it which of cosine and
        sine the penalty shrinks: proleptic ordinals are those of lcmap-pyccd.
    year_days : float
        Length of the first harmonic.

    Returns
    -------
    ndarray of float64, shape (7, time)
    """
    rows = harmonic_regressors(days, order=3, trend=True, period_days=year_days)
    order = np.array([1, 2, 5, 3, 6, 4, 7])
    regressors = np.ascontiguousarray(rows[order])
    regressors[0] -= regressors[0, 0] if len(days) else 0.0
    return regressors


@njit(**IN_KERNEL)
def drop(table, first, last, n, outlier):  # type: ignore[no-untyped-def]
    """Take flagged rows of ``first`` to ``last`` out for good; how many rows are left."""
    kept = first
    for t in range(first, n):
        if t < last and outlier[t - first]:
            continue
        table[kept] = table[t]
        kept += 1
    return kept


@njit(**IN_KERNEL)
def drop_one(table, at, n):  # type: ignore[no-untyped-def]
    """Take one row out for good; how many are left."""
    for t in range(at, n - 1):
        table[t] = table[t + 1]
    return n - 1


@njit(**IN_KERNEL)
def span_days(table, start, stop):  # type: ignore[no-untyped-def]
    """Days from the first to the last row of a window."""
    return table[stop - 1, 0] - table[start, 0]


@njit(**IN_KERNEL)
def error_of(table, t, band, bands, weights):  # type: ignore[no-untyped-def]
    """Observed minus fitted."""
    row, line = table[t], weights[band]
    value = row[1 + band] - line[REGRESSORS]
    for j in range(REGRESSORS):
        value -= row[1 + bands + j] * line[j]
    return value


@njit(**IN_KERNEL)
def fit_models(work, start, stop, coefficients, settings):  # type: ignore[no-untyped-def]
    """Models of all bands over rows ``start`` to ``stop``."""
    table, products, means, weights = work.table, work.products, work.means, work.weights
    bands, count, n = work.rmse.shape[0], coefficients - 1, stop - start
    centred_products(table, start, stop, 1, 1 + bands + count, means, products)
    gram, right = work.gram[:count, :count], work.right[:count]
    gram[:] = products[bands : bands + count, bands : bands + count]
    for band in range(bands):
        right[:] = products[bands : bands + count, band]
        line = weights[band]
        line[:] = 0.0
        lasso_weights(
            gram, right, products[band, band], settings.penalty * n, settings.tolerance,
            settings.sweeps, work.pull[:count], work.active[:count], line[:count],
        )  # fmt: skip
        level = means[band]
        for j in range(count):
            level -= means[bands + j] * line[j]
        line[REGRESSORS] = level
        squares = 0.0
        for t in range(start, stop):
            error = error_of(table, t, band, bands, weights)
            work.errors[band, t - start] = error
            squares += error * error
        work.rmse[band] = math.sqrt(squares / (n - coefficients))


@njit(**IN_KERNEL)
def _lag_variogram(table, n, lag, beyond, variogram, sizes):  # type: ignore[no-untyped-def]
    """Median step of each band between looks ``lag`` apart and over ``beyond`` days."""
    for band in range(variogram.shape[0]):
        count = 0
        for t in range(lag, n):
            if table[t, 0] - table[t - lag, 0] > beyond:
                sizes[count] = abs(table[t, 1 + band] - table[t - lag, 1 + band])
                count += 1
        variogram[band] = median_of_first(sizes, count) if count > 0 else np.nan


@njit(**IN_KERNEL)
def _commonest(sizes, n):  # type: ignore[no-untyped-def]
    """The value that occurs most often, the least of equals; sorts its argument."""
    sort_first(sizes, n)
    best, most, run = sizes[0], 0, 0
    for i in range(n):
        run = run + 1 if i > 0 and sizes[i] == sizes[i - 1] else 1
        if run > most:
            best, most = sizes[i], run
    return best


@njit(**IN_KERNEL)
def find_variogram(work, n):  # type: ignore[no-untyped-def]
    """Usual step of a band between looks at least a month apart."""
    table, sizes = work.table, work.column
    _lag_variogram(table, n, np.int64(1), -1.0, work.variogram, sizes)
    for lag in range(1, n):
        for t in range(lag, n):
            sizes[t - lag] = table[t, 0] - table[t - lag, 0]
        if _commonest(sizes, n - lag) > VARIOGRAM_DAYS:
            _lag_variogram(table, n, lag, VARIOGRAM_DAYS, work.variogram, sizes)
            return


@njit(**IN_KERNEL)
def usual_interval(work, n):  # type: ignore[no-untyped-def]
    """Median days between looks."""
    for t in range(1, n):
        work.column[t - 1] = work.table[t, 0] - work.table[t - 1, 0]
    return median_of_first(work.column, n - 1)


@njit(**IN_KERNEL)
def screen_window(work, start, stop, bands, settings):  # type: ignore[no-untyped-def]
    """Flag looks far from a robust yearly curve in any of ``bands``; how many."""
    n, days = stop - start, work.days
    for t in range(n):
        days[t] = work.table[start + t, 0]
        work.outlier[t] = False
    tmask_design(days, n, settings.year_days, work.design)
    for band in bands:
        for t in range(n):
            work.column[t] = work.table[start + t, 1 + band]
        robust_residuals(work.design, work.column, n, work.space, work.residuals)
        limit = work.variogram[band] * settings.screen_factor
        for t in range(n):
            work.outlier[t] |= abs(work.residuals[t]) > limit
    flagged = 0
    for t in range(n):
        flagged += 1 if work.outlier[t] else 0
    return flagged


@njit(**IN_KERNEL)
def chi2_of(work, t, detection):  # type: ignore[no-untyped-def]
    """Squared normalised errors of a look, summed over the detection bands."""
    total = 0.0
    for band in detection:
        share = error_of(work.table, t, band, work.rmse.shape[0], work.weights) / work.scale[band]
        total += share * share
    return total


@njit(**IN_KERNEL)
def seasonal_scale(work, fit_start, fit_stop, at, detection):  # type: ignore[no-untyped-def]
    """Error of the looks nearest in the year to look ``at``, with 8 degrees of freedom spent."""
    day = work.table[at, 0]
    nearest = np.empty(SEASONAL, dtype=np.int64)
    apart = np.empty(SEASONAL)
    held = 0
    for t in range(fit_start, fit_stop):
        days = work.table[t, 0] - day
        away = abs(np.rint(days / 365.25) * 365.25 - days)
        if held == SEASONAL and away >= apart[held - 1]:
            continue
        place = min(held, SEASONAL - 1)
        while place > 0 and apart[place - 1] > away:
            apart[place], nearest[place] = apart[place - 1], nearest[place - 1]
            place -= 1
        apart[place], nearest[place] = away, t - fit_start
        held = min(held + 1, SEASONAL)
    for band in detection:
        squares = 0.0
        for i in range(held):
            squares += work.errors[band, nearest[i]] ** 2
        work.scale[band] = max(work.variogram[band], math.sqrt(squares) / 4)
