"""Control charts on blocks of lanes: how one starts from a history and takes one look.

The only place of each formula: running over a stack and stepping look by look both come here.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rs_monitor.kernels.boundaries import monitoring_cusum_border, monitoring_mosum_border
from rs_monitor.kernels.least_squares import (
    LANES,
    NOISE_SHARE,
    predict_row,
    residual_block,
    solve_block,
)

NOT_OBSERVED, NO_CHANGE, CHANGE, NOT_FITTED, UNSTABLE_HISTORY, ONLY_OUTLIERS = 0, 1, 2, 3, 4, 5
"""Statuses of a pixel: no look since the history; in control; signalled; too few or singular
looks in the history; history already out of control; every look set aside as an outlier."""

EWMA, CUSUM, MOSUM, IQR = 0, 1, 2, 3

FIELDS = (
    "process",
    "used",
    "status",
    "signal_day",
    "before_day",
    "total",
    "since",
    "side",
    "outliers",
    "scale",
    "history",
    "lower",
    "upper",
)
(
    PROCESS,
    USED,
    STATUS,
    SIGNAL_DAY,
    BEFORE_DAY,
    TOTAL,
    SINCE,
    SIDE,
    OUTLIERS,
    SCALE,
    HISTORY,
    LOWER,
    UPPER,
) = range(len(FIELDS))

LAYERS = ("status", "signal_day", "before_day", "magnitude", "direction", "looks")
"""What :func:`run_chart` answers, one layer each."""


@njit(nogil=True, error_model="numpy")
def _fit_block(values, basis, enough, screen, residuals, scratch):  # type: ignore[no-untyped-def]
    """Least squares, Shewhart screen, least squares again where a look was dropped."""
    rows, sums, bits, p, least = basis
    codes, room, solution, looks, fits, squares = scratch
    for again in range(2):
        solve_block(
            codes, values, rows, sums, p, least, enough, room, solution, looks, squares, fits
        )
        residual_block(codes, bits, values, rows, solution, residuals, squares)
        if again == 1 or not _screen(values, codes, bits, residuals, looks, squares, screen):
            return


@njit(nogil=True, error_model="numpy")
def _screen(values, codes, bits, residuals, looks, squares, screen):  # type: ignore[no-untyped-def]
    """Drop looks whose residual lies beyond the limit; whether there were any."""
    if screen == np.inf:
        return False
    dropped = 0
    limit = np.empty(LANES, dtype=np.float64)
    for i in range(LANES):
        limit[i] = screen * math.sqrt(squares[i] / looks[i])
    for t in range(residuals.shape[0]):
        residual = residuals[t]
        here = 0
        for i in range(LANES):
            here += abs(residual[i]) > limit[i]
        if here > 0:
            dropped += here
            value, code = values[t], codes[t // bits]
            bit = np.int32(1 << (t % bits))
            for i in range(LANES):
                if abs(residual[i]) > limit[i]:
                    value[i] = 0
                    code[i] &= ~bit
    return dropped > 0


@njit(nogil=True, error_model="numpy")
def _start_fields(residuals, days, looks, fits, squares, explained, spare, state):  # type: ignore[no-untyped-def]
    state[:] = 0.0
    state[SIGNAL_DAY] = np.nan
    before = state[BEFORE_DAY]
    before[:] = np.nan
    for t in range(days.shape[0]):
        residual = residuals[t]
        for i in range(LANES):
            before[i] = days[t] if residual[i] == residual[i] else before[i]
    for i in range(LANES):
        sigma = math.sqrt(squares[i] / (looks[i] - spare))
        good = (fits[i] > 0) & (squares[i] > NOISE_SHARE * explained[i])
        state[STATUS, i] = NOT_OBSERVED if good else NOT_FITTED
        state[SCALE, i] = sigma
        state[HISTORY, i] = looks[i]


@njit(nogil=True, error_model="numpy")
def _start_ewma(params, residuals, state):  # type: ignore[no-untyped-def]
    weight, limit, as_nrt = params[0], params[1], params[4] > 0
    sign = -1.0 if as_nrt else 1.0
    process, upper, status = state[PROCESS], state[UPPER], state[STATUS]
    for t in range(residuals.shape[0]):
        residual = residuals[t]
        for i in range(LANES):
            r = sign * residual[i]
            process[i] = (1 - weight) * process[i] + weight * r if r == r else process[i]
    for i in range(LANES):
        upper[i] = limit * state[SCALE, i] * math.sqrt(weight / (2 - weight))
        high = process[i] if as_nrt else abs(process[i])
        status[i] = UNSTABLE_HISTORY if (status[i] == 0) & (high > upper[i]) else status[i]


@njit(nogil=True, error_model="numpy")
def _start_sums(kind, params, residuals, state, window):  # type: ignore[no-untyped-def]
    """CUSUM: the sum so far. MOSUM: the latest looks of the history, oldest first."""
    sign = -1.0 if params[4] > 0 else 1.0
    process, scale, history = state[PROCESS], state[SCALE], state[HISTORY]
    for i in range(LANES):
        scale[i] *= math.sqrt(history[i])
    if kind == CUSUM:
        for t in range(residuals.shape[0]):
            residual = residuals[t]
            for i in range(LANES):
                r = residual[i]
                process[i] += sign * r / scale[i] if r == r else 0.0
        return
    for i in range(LANES):
        place = math.floor(history[i] * params[0])
        if place < 1 and state[STATUS, i] == NOT_OBSERVED:
            state[STATUS, i] = NOT_FITTED
        t = residuals.shape[0]
        while place > 0 and t > 0:
            t -= 1
            r = residuals[t, i]
            if r == r:
                place -= 1
                window[place, i] = sign * r / scale[i]
                process[i] += window[place, i]


@njit(nogil=True, error_model="numpy")
def _start_iqr(params, residuals, network, state):  # type: ignore[no-untyped-def]
    """Limits from the quartiles; the residuals are sorted in place."""
    for t in range(residuals.shape[0]):
        residual = residuals[t]
        for i in range(LANES):
            residual[i] = residual[i] if residual[i] == residual[i] else np.inf
    for k in range(network.shape[0]):
        low, high = residuals[network[k, 0]], residuals[network[k, 1]]
        for i in range(LANES):
            a, b = low[i], high[i]
            low[i] = a if a < b else b
            high[i] = b if a < b else a
    for i in range(LANES):
        if state[STATUS, i] == NOT_OBSERVED:
            quarter = _ranked(residuals, i, 0.25 * (state[HISTORY, i] - 1))
            rest = _ranked(residuals, i, 0.75 * (state[HISTORY, i] - 1))
            if params[4] > 0:
                quarter, rest = -rest, -quarter
            state[LOWER, i] = quarter - params[0] * (rest - quarter)
            state[UPPER, i] = rest + params[0] * (rest - quarter)


@njit(nogil=True, error_model="numpy")
def _ranked(ordered, lane, position):  # type: ignore[no-untyped-def]
    below = int(position)
    share = position - below
    low = ordered[below, lane]
    return low + share * (ordered[below + 1, lane] - low) if share > 0 else low


@njit(nogil=True, error_model="numpy")
def start_block(kind, params, days, values, basis, enough, network, residuals, scratch,  # type: ignore[no-untyped-def]
                 state, window):  # fmt: skip
    """Fit a loaded block and set up its chart in ``state`` and ``window``."""
    _fit_block(values, basis, enough, params[3], residuals, scratch)
    looks, fits, squares = scratch[3], scratch[4], scratch[5]
    spare = basis[3] if kind in (CUSUM, MOSUM) else 0
    _start_fields(residuals, days, looks, fits, squares, scratch[1][2], spare, state)
    window[:] = 0.0
    if kind == EWMA:
        _start_ewma(params, residuals, state)
    elif kind == IQR:
        _start_iqr(params, residuals, network, state)
    else:
        _start_sums(kind, params, residuals, state, window)


@njit(nogil=True, error_model="numpy")
def _step_ewma(params, residual, state, use, crossed):  # type: ignore[no-untyped-def]
    weight, far = params[0], params[2]
    process, status, scale = state[PROCESS], state[STATUS], state[SCALE]
    upper, outliers = state[UPPER], state[OUTLIERS]
    for i in range(LANES):
        r = residual[i]
        seen = (r == r) & (status[i] <= CHANGE)
        take = seen & (abs(r) <= far * scale[i])
        outliers[i] += 1.0 if seen & (not take) else 0.0
        watch = take & (status[i] < CHANGE)
        process[i] = (1 - weight) * process[i] + weight * r if watch else process[i]
        use[i] = 1.0 if take else 0.0
        crossed[i] = 1.0 if watch & (abs(process[i]) >= upper[i]) else 0.0


@njit(nogil=True, error_model="numpy")
def _limits(kind, params, table, state, watch, limits):  # type: ignore[no-untyped-def]
    """Border of a process of sums at the number of looks it has with this one."""
    critical = params[0] if kind == CUSUM else params[1]
    used, history = state[USED], state[HISTORY]
    for i in range(LANES):
        if watch[i] > 0:
            old, new = int(history[i]), int(used[i]) + 1
            if old < table.shape[0] and new < table.shape[1]:
                limits[i] = table[old, new]
            elif kind == CUSUM:
                limits[i] = monitoring_cusum_border(old + new, old, critical)
            else:
                limits[i] = monitoring_mosum_border(old + new, old, critical)


@njit(nogil=True, error_model="numpy")
def _step_sums(kind, params, table, residual, state, window, use, crossed):  # type: ignore[no-untyped-def]
    process, status, scale = state[PROCESS], state[STATUS], state[SCALE]
    watch, limits = np.empty((2, LANES), dtype=np.float64)
    for i in range(LANES):
        r = residual[i]
        take = (r == r) & (status[i] <= CHANGE)
        use[i] = 1.0 if take else 0.0
        watch[i] = 1.0 if take & (status[i] < CHANGE) else 0.0
    _limits(kind, params, table, state, watch, limits)
    if kind == MOSUM:
        _push(params[0], residual, state, window, watch)
    else:
        for i in range(LANES):
            process[i] += residual[i] / scale[i] if watch[i] > 0 else 0.0
    for i in range(LANES):
        crossed[i] = 1.0 if (watch[i] > 0) & (abs(process[i]) >= limits[i]) else 0.0


@njit(nogil=True, error_model="numpy")
def _push(share, residual, state, window, watch):  # type: ignore[no-untyped-def]
    """Put a look in the place of the oldest of the window."""
    for i in range(LANES):
        if watch[i] > 0:
            width = math.floor(state[HISTORY, i] * share)
            place = int(state[USED, i]) % width
            new = residual[i] / state[SCALE, i]
            state[PROCESS, i] += new - window[place, i]
            window[place, i] = new


@njit(nogil=True, error_model="numpy")
def _step_iqr(params, residual, state, use, crossed):  # type: ignore[no-untyped-def]
    process, status = state[PROCESS], state[STATUS]
    lower, upper = state[LOWER], state[UPPER]
    for i in range(LANES):
        r = residual[i]
        take = (r == r) & (status[i] <= CHANGE)
        watch = take & (status[i] < CHANGE)
        run = process[i] + 1.0 if (r > upper[i]) | (r < lower[i]) else 0.0
        process[i] = run if watch else process[i]
        use[i] = 1.0 if take else 0.0
        crossed[i] = 1.0 if watch & (process[i] >= params[1]) else 0.0


@njit(nogil=True, error_model="numpy")
def _record(kind, day, residual, use, crossed, state):  # type: ignore[no-untyped-def]
    """Status, days and sums after a look."""
    status, signal, before, used = state[STATUS], state[SIGNAL_DAY], state[BEFORE_DAY], state[USED]
    total, since, side, process = state[TOTAL], state[SINCE], state[SIDE], state[PROCESS]
    for i in range(LANES):
        taken, first = use[i] > 0, crossed[i] > 0
        after = taken & (status[i] == CHANGE)
        r = residual[i] if taken else 0.0
        lean = r if kind == IQR else process[i]
        way = 1.0 if lean > 0 else (-1.0 if lean < 0 else 0.0)
        used[i] += 1.0 if taken & (not after) else 0.0
        total[i] += r if first | after else 0.0
        since[i] += 1.0 if first | after else 0.0
        signal[i] = day if first else signal[i]
        side[i] = way if first else side[i]
        before[i] = day if taken & (not first) & (not after) else before[i]
        now = CHANGE if first | after else NO_CHANGE
        status[i] = now if taken else status[i]


@njit(nogil=True, error_model="numpy")
def step_block(kind, params, table, day, residual, state, window, use, crossed):  # type: ignore[no-untyped-def]
    """Take the residuals of one look, NaN where not seen."""
    if kind == EWMA:
        _step_ewma(params, residual, state, use, crossed)
    elif kind == IQR:
        _step_iqr(params, residual, state, use, crossed)
    else:
        _step_sums(kind, params, table, residual, state, window, use, crossed)
    _record(kind, day, residual, use, crossed, state)


@njit(nogil=True, error_model="numpy")
def look_residuals(memory, start, n, nodata, regressors, coefficients, fitted, residual):  # type: ignore[no-untyped-def]
    """Observed minus fitted of one look, NaN where not seen and past n."""
    predict_row(regressors, coefficients, 0, fitted)
    source = memory[start : start + n]
    residual[n:] = np.nan
    for i in range(n):
        v = source[i]
        residual[i] = v - fitted[i] if (v - v == 0) & (v != nodata) else np.nan


@njit(nogil=True, error_model="numpy")
def summarise_block(state, n, at, out):  # type: ignore[no-untyped-def]
    """Answer of n pixels in the order of ``LAYERS``."""
    for i in range(n):
        status = state[STATUS, i]
        if status <= NO_CHANGE and state[OUTLIERS, i] > state[USED, i]:
            status = ONLY_OUTLIERS
        changed = status == CHANGE
        out[0, at + i] = status
        out[1, at + i] = state[SIGNAL_DAY, i]
        out[2, at + i] = state[BEFORE_DAY, i] if changed else np.nan
        out[3, at + i] = state[TOTAL, i] / state[SINCE, i] if changed else np.nan
        out[4, at + i] = state[SIDE, i] if changed else 0.0
        out[5, at + i] = state[USED, i] + max(state[SINCE, i] - 1, 0.0)
