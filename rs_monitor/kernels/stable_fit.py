"""Single-band CCDC: a history cut back until it is stable, then runs of outlying looks."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.errors import ConfigError
from rs_monitor.kernels.compiling import IN_KERNEL
from rs_monitor.kernels.least_squares import (
    LANES,
    NOISE_SHARE,
    as_rows,
    block_dtype,
    block_room,
    load_block,
    orthogonal_basis,
    residual_block,
    solve_block,
)
from rs_monitor.kernels.ordering import median_of_first

LAYERS = (
    "break_day",
    "first_outlier_day",
    "previous_look_day",
    "magnitude",
    "outlier_run",
    "rmse",
    "fit_start_day",
    "history_looks",
    "monitoring_looks",
)
"""What :func:`monitor_stable_fit` answers, in order."""

(BREAK_DAY, FIRST_OUTLIER_DAY, PREVIOUS_LOOK_DAY, MAGNITUDE, OUTLIER_RUN, RMSE, FIT_START_DAY,
 HISTORY_LOOKS, MONITORING_LOOKS) = range(9)  # fmt: skip

DROPPED = 2
"""Oldest looks taken off an unstable history at a time."""

KEPT_SHARE = 1e-6
"""Share of the squares above which a difference of sums is a residual sum of squares."""

SHORTEST_DAYS = 183.0
"""A history that is shorter is not cut back any further."""


@njit(**IN_KERNEL)
def _is_stable(slope, span, first, last, rmse, limit, by_window):  # type: ignore[no-untyped-def]
    drift = slope * span if by_window else slope
    return max(abs(drift), abs(first), abs(last)) < limit * rmse


@njit(**IN_KERNEL)
def _ends(residuals, first, last):  # type: ignore[no-untyped-def]
    """Dates of the first and the last look of each pixel; -1 where there is none."""
    times = residuals.shape[0]
    for i in range(LANES):
        t = 0
        while t < times and residuals[t, i] != residuals[t, i]:
            t += 1
        first[i] = t if t < times else -1
        t = times - 1
        while t >= 0 and residuals[t, i] != residuals[t, i]:
            t -= 1
        last[i] = t


@njit(**IN_KERNEL)
def _slopes(trend, solution, slopes):  # type: ignore[no-untyped-def]
    slopes[:] = 0.0
    for j in range(trend.shape[0]):
        share, row = trend[j], solution[j]
        for i in range(LANES):
            slopes[i] += share * row[i]


@njit(**IN_KERNEL)
def _solve_one(normal, right, p, factor, solution, least):  # type: ignore[no-untyped-def]
    """One pixel by Cholesky; whether it could be."""
    for j in range(p):
        for k in range(j + 1):
            value = normal[j, k]
            for m in range(k):
                value -= factor[j, m] * factor[k, m]
            if k < j:
                factor[j, k] = value / factor[k, k]
            elif value > least:
                factor[j, j] = math.sqrt(value)
            else:
                return False
    for j in range(p):
        value = right[j]
        for k in range(j):
            value -= factor[j, k] * solution[k]
        solution[j] = value / factor[j, j]
    for j in range(p - 1, -1, -1):
        value = solution[j]
        for k in range(j + 1, p):
            value -= factor[k, j] * solution[k]
        solution[j] = value / factor[j, j]
    return True


@njit(**IN_KERNEL)
def _gather(residuals, i, at):  # type: ignore[no-untyped-def]
    """Dates of the looks of a pixel; how many."""
    n = 0
    for t in range(residuals.shape[0]):
        if residuals[t, i] == residuals[t, i]:
            at[n] = t
            n += 1
    return n


@njit(**IN_KERNEL)
def _add(normal, right, x, y, sign, p):  # type: ignore[no-untyped-def]
    for j in range(p):
        right[j] += sign * x[j] * y
        for k in range(j + 1):
            normal[j, k] += sign * x[j] * x[k]


@njit(**IN_KERNEL)
def _square(value):  # type: ignore[no-untyped-def]
    wide = 1.0 * value
    return wide * wide


@njit(**IN_KERNEL)
def _residual(values, i, t, columns, solution, p):  # type: ignore[no-untyped-def]
    left = values[t, i]
    for j in range(p):
        left -= columns[t, j] * solution[j]
    return left


@njit(**IN_KERNEL)
def _shorten(residuals, values, i, days, columns, trend, p, fewest, least, limit, by_window,  # type: ignore[no-untyped-def]
             space, solution):  # fmt: skip
    """Take the oldest looks off an unstable history: date it then starts with, looks, RMSE.

    Looks are 0 where no stable history was found.
    """
    at, normal, right, factor = space
    n = _gather(residuals, i, at)
    normal[:] = 0.0
    right[:] = 0.0
    whole = 0.0
    for m in range(DROPPED, n):
        whole += _square(values[at[m], i])
        _add(normal, right, columns[at[m]], values[at[m], i], 1.0, p)
    for start in range(DROPPED, n - fewest + 1, DROPPED):
        if days[at[n - 1]] - days[at[start - DROPPED]] < SHORTEST_DAYS:
            break
        for m in range(start - DROPPED if start > DROPPED else start, start):
            whole -= _square(values[at[m], i])
            _add(normal, right, columns[at[m]], values[at[m], i], -1.0, p)
        if not _solve_one(normal, right, p, factor, solution, least):
            break
        first = _residual(values, i, at[start], columns, solution, p)
        last = _residual(values, i, at[n - 1], columns, solution, p)
        squares = whole
        for j in range(p):
            squares -= solution[j] * right[j]
        rmse = math.sqrt(max(squares, 0.0) / (n - start))
        # what is far from stable need not be known to the last digit
        exact = squares > KEPT_SHARE * whole
        if exact and max(abs(first), abs(last)) > 1.001 * limit * rmse:
            continue
        squares, slope = 0.0, 0.0
        for m in range(start, n):
            squares += _residual(values, i, at[m], columns, solution, p) ** 2
        for j in range(p):
            slope += trend[j] * solution[j]
        rmse = math.sqrt(squares / (n - start))
        span = days[at[n - 1]] - days[at[start]]
        if _is_stable(slope, span, first, last, rmse, limit, by_window):
            return at[start], n - start, rmse
    return 0, 0, np.nan


@njit(**IN_KERNEL)
def _watch(late, days, far, consecutive, answer):  # type: ignore[no-untyped-def]
    """Runs of outliers; ``far`` is where one begins, NaN without a fit."""
    run, seen, found = answer[OUTLIER_RUN], answer[MONITORING_LOOKS], answer[BREAK_DAY]
    first, before = answer[FIRST_OUTLIER_DAY], answer[PREVIOUS_LOOK_DAY]
    run[:] = 0.0
    seen[:] = 0.0
    found[:] = np.nan
    first[:] = np.nan
    answer[MAGNITUDE, :] = np.nan
    for t in range(days.shape[0]):
        residual, day = late[t], days[t]
        for i in range(LANES):
            r = residual[i]
            here = r == r
            running = here & (run[i] < consecutive)
            outside = running & (abs(r) > far[i])
            calm = running & (not outside)
            seen[i] += 1.0 if here else 0.0
            first[i] = day if outside & (run[i] == 0) else first[i]
            before[i] = day if calm else before[i]
            first[i] = np.nan if calm else first[i]
            run[i] = run[i] + 1.0 if outside else (0.0 if calm else run[i])
            found[i] = day if outside & (run[i] == consecutive) else found[i]


@njit(**IN_KERNEL)
def _size(late, days, i, far, kept, answer):  # type: ignore[no-untyped-def]
    """Median residual of the run that pixel ``i`` is in or ended with."""
    held, t = 0, 0
    while held < answer[OUTLIER_RUN, i]:
        r = late[t, i]
        if abs(r) > far and days[t] >= answer[FIRST_OUTLIER_DAY, i]:
            kept[held] = r
            held += 1
        t += 1
    answer[MAGNITUDE, i] = median_of_first(kept, held)


@njit(nogil=True, error_model="numpy")
def _monitor(memory, time_step, row_step, count, cols, nodata, days, rows, sums, columns, trend,  # type: ignore[no-untyped-def]
             p, bits, least, fewest, late_rows, limit, by_window, consecutive, values, late,
             out):  # fmt: skip
    after = days.shape[0] - late.shape[0]
    codes = np.empty((sums.shape[0], LANES), dtype=np.int32)
    late_codes = np.empty((late.shape[0] // bits + 1, LANES), dtype=np.int32)
    room = block_room(rows, sums, p)
    solution = np.empty((rows.shape[0], LANES), dtype=rows.dtype)
    residuals = np.empty((after, LANES), dtype=rows.dtype)
    late_residuals = np.empty(late.shape, dtype=rows.dtype)
    looks, fits, squares, slopes, unused = np.empty((5, LANES), dtype=rows.dtype)
    late_days = days[after:]
    begin, end = np.empty((2, LANES), dtype=np.int32)
    space = (
        np.empty(after, np.int64), np.empty((p, p)), np.empty(p), np.empty((p, p)),
    )  # fmt: skip
    one, kept = np.empty(p), np.empty(consecutive)
    far, answer = np.empty(LANES), np.empty((out.shape[0], LANES))
    for row in range(count):
        for first in range(0, cols, LANES):
            n = min(LANES, cols - first)
            start = row * row_step + first
            load_block(memory, start, time_step, after, n, nodata, bits, values, codes)
            start += after * time_step
            load_block(memory, start, time_step, late.shape[0], n, nodata, bits, late, late_codes)
            solve_block(
                codes, values, rows, sums, p, least, fewest, room, solution, looks, squares, fits
            )
            residual_block(codes, bits, values, rows, solution, residuals, squares)
            _ends(residuals, begin, end)
            _slopes(trend, solution, slopes)
            for i in range(n):
                if squares[i] <= NOISE_SHARE * room[2][i]:
                    fits[i] = 0.0
                squares[i] = math.sqrt(squares[i] / looks[i])
                if fits[i] == 0:
                    continue
                edge, tip = residuals[begin[i], i], residuals[end[i], i]
                span = days[end[i]] - days[begin[i]]
                if _is_stable(slopes[i], span, edge, tip, squares[i], limit, by_window):
                    continue
                begin[i], used, squares[i] = _shorten(
                    residuals, values, i, days, columns, trend, p, int(fewest), least, limit,
                    by_window, space, one,
                )  # fmt: skip
                fits[i] = 1.0 if used > 0 else 0.0
                looks[i] = used
                solution[:p, i] = one
            residual_block(late_codes, bits, late, late_rows, solution, late_residuals, unused)
            for i in range(LANES):
                good, last = fits[i] > 0, end[i]
                far[i] = limit * squares[i] if good else np.nan
                answer[PREVIOUS_LOOK_DAY, i] = days[last] if last >= 0 else np.nan
                answer[RMSE, i] = squares[i] if good else np.nan
                answer[FIT_START_DAY, i] = days[begin[i]] if good else np.nan
                answer[HISTORY_LOOKS, i] = looks[i]
            _watch(late_residuals, late_days, far, consecutive, answer)
            for i in range(n):
                if answer[OUTLIER_RUN, i] > 0:
                    _size(late_residuals, late_days, i, far[i], kept, answer)
            at = row * cols + first
            for k in range(out.shape[0]):
                out[k, at : at + n] = answer[k, :n]


def monitor_stable_fit(
    values: NDArray[Any],
    days: NDArray[np.float64],
    regressors: NDArray[np.float64],
    *,
    history: int,
    limit: float,
    consecutive: int,
    looks_per_regressor: float,
    drift: Literal["window", "day"] = "window",
    nodata: float = np.nan,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Fit each pixel's latest stable history and wait for runs of outlying looks.

    Parameters
    ----------
    values : ndarray of float or int, shape (time, y, x)
        NaN, infinities and ``nodata`` = not seen.
    days : ndarray of float64, shape (time,)
        Ascending.
    regressors : ndarray of float64, shape (p, time)
        1, day, ... as of :func:`rs_monitor.kernels.harmonic.harmonic_regressors` with a trend.
    history : int
        Dates before the monitoring period.
    limit : float
        RMSEs that a residual may be away, both of the history's ends and of new looks.
    consecutive : int
        Outlying looks in a row that make a break.
    looks_per_regressor : float
        Fewest looks of a fit.
    drift : {"window", "day"}
        What of the trend is held against the limit: over the history (Zhu & Woodcock 2014), or
        over one day (nrt 0.3.0, where this test never decides).
    nodata : float
    out : ndarray of float32, shape (9, y, x), optional

    Returns
    -------
    ndarray of float32, shape (9, y, x)
        ``LAYERS``: day on which a run was long enough (NaN = none); first look of that run or of
        the one still open; the look before it; median residual of it; its length; RMSE of the
        history (NaN = no stable history); its first day; looks it had; looks after it.

    Notes
    -----
    ``CCDC(...).fit(method="CCDC-stable", screen_outliers=None)`` and ``.monitor`` of nrt 0.3.0,
    after Zhu & Woodcock (2014), doi:10.1016/j.rse.2014.01.011. The two oldest looks are dropped at
    a time until trend, first and last residual are within the limit.
    """
    if drift not in ("window", "day"):
        raise ConfigError("drift", [f"got {drift!r}; needed 'window' or 'day'; use one of them"])
    p = regressors.shape[0]
    shape = values.shape[1:]
    out = np.empty((len(LAYERS), *shape), dtype=np.float32) if out is None else out
    basis = orthogonal_basis(regressors[:, :history])
    late_rows = basis.at(regressors[:, history:])
    stack = as_rows(values)
    dtype = block_dtype(values)
    _monitor(
        stack.memory,
        stack.time_step,
        stack.row_step,
        stack.rows,
        stack.cols,
        float(nodata),
        np.asarray(days, dtype=np.float64),
        basis.rows,
        basis.sums,
        np.ascontiguousarray(basis.rows[:p].T),
        np.ascontiguousarray(basis.back[1]),
        p,
        basis.code_bits,
        basis.least_pivot,
        float(int(looks_per_regressor * p)) if basis.rank == p else math.inf,
        late_rows,
        limit,
        drift == "window",
        consecutive,
        np.empty((basis.rows.shape[1], LANES), dtype),
        np.empty((len(days) - history, LANES), dtype),
        out.reshape(len(LAYERS), -1, copy=False),
    )
    return out
