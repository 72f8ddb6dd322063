"""Continuous change detection: models of all bands along one pixel's series, cut at breaks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.ccdc_model import (
    REGRESSORS,
    SEASONAL,
    CcdcSettings,
    chi2_of,
    drop,
    drop_one,
    error_of,
    find_variogram,
    fit_models,
    lasso_regressors,
    room_for,
    scratch,
    screen_window,
    seasonal_scale,
    span_days,
    usual_interval,
)
from rs_monitor.kernels.compiling import IN_KERNEL
from rs_monitor.kernels.ordering import median_of_first

REFIT_GROWTH = 1.33
"""Growth of a model's span that makes it be fitted anew."""

LEAST_COEFFICIENTS = 4

START_FIT, END_FIT = 14, 24
"""Kinds of segment that were fitted to what was left over; else the number of coefficients."""


class Segments(NamedTuple):
    """Models of one series, oldest first."""

    start_day: NDArray[np.float64]  # (m,)
    end_day: NDArray[np.float64]  # last look of the model
    break_day: NDArray[np.float64]  # first look after a break; else not later than the end
    looks: NDArray[np.int64]
    probability: NDArray[np.float64]  # 1 = ended by a break
    kind: NDArray[np.int64]  # coefficients of a band, or START_FIT, END_FIT
    weights: NDArray[np.float64]  # (m, band, 7) trend per day, cos, sin, cos 2, ...
    intercept: NDArray[np.float64]  # (m, band) at day 0
    rmse: NDArray[np.float64]  # (m, band)
    magnitude: NDArray[np.float64]  # (m, band) median observed minus fitted after the break


@njit(**IN_KERNEL)
def _long_enough(work, start, stop, flagged, settings):  # type: ignore[no-untyped-def]
    """Whether what the screen leaves still covers enough looks and days."""
    if stop - start - flagged < max(settings.least_looks, 1):
        return False
    first, last = 0, stop - start - 1
    while work.outlier[first]:
        first += 1
    while work.outlier[last]:
        last -= 1
    return work.table[start + last, 0] - work.table[start + first, 0] >= settings.least_days


@njit(**IN_KERNEL)
def _stable(work, start, stop, detection, limit):  # type: ignore[no-untyped-def]
    """Whether trend and both ends stay within the noise of the window."""
    total = 0.0
    for band in detection:
        drift = work.weights[band, 0] * span_days(work.table, start, stop)
        errors = work.errors[band]
        size = abs(drift) + abs(errors[0]) + abs(errors[stop - start - 1])
        share = size / max(work.variogram[band], work.rmse[band])
        total += share * share
    return total < limit


@njit(**IN_KERNEL)
def _initialise(work, n, start, stop, screened, detection, limit, settings):  # type: ignore[no-untyped-def]
    """Slide on to a stable window: whether there is one, its ends, the looks left."""
    while stop + settings.least_looks < n:
        if span_days(work.table, start, stop) < settings.least_days:
            stop += 1
            continue
        flagged = screen_window(work, start, stop, screened, settings)
        if not _long_enough(work, start, stop, flagged, settings):
            stop += 1
            continue
        if flagged > 0:
            n = drop(work.table, start, stop, n, work.outlier)
            stop -= flagged
        fit_models(work, start, stop, np.int64(LEAST_COEFFICIENTS), settings)
        if _stable(work, start, stop, detection, limit):
            return True, start, stop, n
        start += 1
        stop += 1
    return False, start, stop, n


@njit(**IN_KERNEL)
def _look_back(work, n, start, stop, previous, peek, detection, limit, settings):  # type: ignore[no-untyped-def]
    """Take in earlier looks that fit; the window and the looks left."""
    for band in range(work.rmse.shape[0]):
        work.scale[band] = max(work.variogram[band], work.rmse[band])
    while start > previous:
        last = previous if start - peek > 0 else 0
        if start - previous > peek:
            last = start - peek + 1
        least = np.inf
        for t in range(last, start):
            least = min(least, chi2_of(work, t, detection))
        if least > limit:
            break
        if chi2_of(work, start - 1, detection) > settings.outlier_chi2:
            n = drop_one(work.table, start - 1, n)
            start, stop = start - 1, stop - 1
            continue
        start -= 1
    return start, stop, n


@njit(**IN_KERNEL)
def _coefficients(looks, per_coefficient):  # type: ignore[no-untyped-def]
    """How many coefficients so many looks can bear."""
    if looks < 6 * per_coefficient:
        return 4
    return 6 if looks < 8 * per_coefficient else 8


@njit(**IN_KERNEL)
def _store(work, found, at, start, stop, break_day, probability, kind):  # type: ignore[no-untyped-def]
    numbers = found.numbers[at]
    numbers[0], numbers[1] = work.table[start, 0], work.table[stop - 1, 0]
    numbers[2], numbers[3] = break_day, stop - start
    numbers[4], numbers[5] = probability, kind
    found.weights[at] = work.weights
    found.rmse[at] = work.rmse
    found.magnitude[at] = 0.0


@njit(**IN_KERNEL)
def _store_magnitude(work, found, at, first, last):  # type: ignore[no-untyped-def]
    """Median of observed minus fitted over the looks that made the decision."""
    bands = work.rmse.shape[0]
    for band in range(bands):
        for t in range(first, last):
            work.column[t - first] = error_of(work.table, t, band, bands, work.weights)
        found.magnitude[at, band] = median_of_first(work.column, last - first)


@njit(**IN_KERNEL)
def _share_outside(work, stop, n, peek, detection, limit):  # type: ignore[no-untyped-def]
    """Looks at the very end that all lie outside, as a share of those a break needs."""
    count = 0
    while n - 1 - count >= stop and chi2_of(work, n - 1 - count, detection) > limit:
        count += 1
    return min(count, peek - 1) / peek


@njit(**IN_KERNEL)
def _look_forward(work, found, at, n, start, stop, peek, detection, limit, settings):  # type: ignore[no-untyped-def]
    """Grow a model look by look until it breaks or the series ends; its end, the looks left."""
    fit_stop, fit_span, fitted, broken = stop, span_days(work.table, start, stop), False, False
    coefficients, first = 4, stop
    while stop + peek <= n:
        coefficients = _coefficients(stop - start, settings.looks_per_coefficient)
        first, span = stop, span_days(work.table, start, stop)
        if not fitted or stop - start < SEASONAL or span >= REFIT_GROWTH * fit_span:
            fit_models(work, start, stop, coefficients, settings)
            fit_stop, fit_span, fitted = stop, span, True
        if stop - start <= SEASONAL:
            for band in detection:
                work.scale[band] = max(work.variogram[band], work.rmse[band])
        else:
            seasonal_scale(work, start, fit_stop, stop + peek - 1, detection)
        here = chi2_of(work, stop, detection)
        least = here
        for t in range(stop + 1, stop + peek):
            if least <= limit:
                break
            least = min(least, chi2_of(work, t, detection))
        if least > limit:
            broken = True
            break
        if here > settings.outlier_chi2:
            n = drop_one(work.table, stop, n)
            continue
        stop += 1
    share = 1.0 if broken else _share_outside(work, stop, n, peek, detection, limit)
    _store(work, found, at, start, stop, work.table[first, 0], share, coefficients)
    if broken:
        _store_magnitude(work, found, at, first, first + peek)
    return stop, n


@njit(**IN_KERNEL)
def _catch(work, found, at, n, start, stop, kind, settings):  # type: ignore[no-untyped-def]
    """A plain yearly model of looks that no stable model took in."""
    fit_models(work, start, stop, np.int64(LEAST_COEFFICIENTS), settings)
    break_day = work.table[min(stop, n - 1), 0]
    _store(work, found, at, start, stop, break_day, 0.0, kind)


@njit(nogil=True, error_model="numpy")
def find_segments(work, found, n, screened, detection, limits, settings):  # type: ignore[no-untyped-def]
    """Segments of the first ``n`` rows of ``work.table``; how many there are.

    Parameters
    ----------
    work, found : scratch and room
        From :func:`scratch` and :func:`room_for`.
    n : int
        Looks, one a day, ascending.
    screened, detection : ndarray of int64
        Bands of the outlier screen and of the change test.
    limits : ndarray of float64
        Chi-square limit by the number of consecutive looks.
    settings : CcdcSettings
    """
    least = settings.least_looks
    if n <= least:
        return 0
    interval = usual_interval(work, n) + 0.001
    peek = max(
        int(np.rint(settings.consecutive * settings.usual_interval_days / interval)),
        settings.consecutive,
    )
    peek = min(peek, limits.shape[0] - 1)
    limit = limits[peek]
    find_variogram(work, n)
    # typed: literals would compile everything below once more
    start, previous, count = np.int64(0), np.int64(0), np.int64(0)
    stop = np.int64(least)
    while stop <= n - least:
        stable, start, stop, n = _initialise(
            work, n, start, stop, screened, detection, limit, settings
        )
        if not stable:
            break
        if start > previous:
            start, stop, n = _look_back(
                work, n, start, stop, previous, peek, detection, limit, settings
            )
        if start - previous > peek and count == 0:
            _catch(work, found, count, n, previous, start, np.int64(START_FIT), settings)
            count += 1
        if stop + peek > n:
            break
        stop, n = _look_forward(
            work, found, count, n, start, stop, peek, detection, limit, settings
        )
        count += 1
        previous, start, stop = stop, stop, stop + least
    if previous + peek < n:
        _catch(work, found, count, n, previous, n, np.int64(END_FIT), settings)
        count += 1
    return count


@njit(nogil=True, error_model="numpy")
def load_series(work, days, regressors, values, seen):  # type: ignore[no-untyped-def]
    """Fill the table with the seen looks of one series, the first of each day."""
    table, n = work.table, 0
    bands = values.shape[0]
    for t in range(days.shape[0]):
        if not seen[t] or (n > 0 and days[t] == table[n - 1, 0]):
            continue
        row = table[n]
        row[0] = days[t]
        for band in range(bands):
            row[1 + band] = values[band, t]
        for j in range(REGRESSORS):
            row[1 + bands + j] = regressors[j, t]
        n += 1
    return n


def ccdc_segments(
    values: NDArray[Any],
    days: NDArray[np.float64],
    *,
    screened: NDArray[np.int64],
    detection: NDArray[np.int64],
    limits: NDArray[np.float64],
    settings: CcdcSettings,
) -> Segments:
    """Models of one series and the breaks between them.

    Parameters
    ----------
    values : ndarray of float, shape (band, time)
        A look counts only where all bands are finite.
    days : ndarray of float64, shape (time,)
        Ascending; of looks of one day the first that is seen counts.
    screened, detection : ndarray of int64
        Bands (rows of ``values``) of the outlier screen and of the change test.
    limits : ndarray of float64, shape (k,)
        Chi-square limit of change by the number of consecutive looks asked for.
    settings : CcdcSettings

    Returns
    -------
    Segments

    Notes
    -----
    Zhu & Woodcock (2014), doi:10.1016/j.rse.2014.01.011, step by step as in lcmap-pyccd 2021.7.19
    (standard procedure): variogram, Tmask screen, stable start of at least ``least_looks`` and a
    year, look back, look forward with ``consecutive`` looks, Lasso models of 4, 6 and 8
    coefficients.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    bands, times = values.shape
    days = np.floor(days)
    regressors = lasso_regressors(days, settings.year_days)
    work, found = scratch(times, bands), room_for(times, bands, settings)
    n = load_series(work, days, regressors, values, np.isfinite(values).all(axis=0))
    count = find_segments(work, found, n, screened, detection, limits, settings)
    numbers, weights = found.numbers[:count], found.weights[:count]
    origin = days[0] if times else 0.0
    return Segments(
        numbers[:, 0],
        numbers[:, 1],
        numbers[:, 2],
        numbers[:, 3].astype(np.int64),
        numbers[:, 4],
        numbers[:, 5].astype(np.int64),
        weights[..., :REGRESSORS],
        weights[..., REGRESSORS] - origin * weights[..., 0],
        found.rmse[:count],
        found.magnitude[:count],
    )
