"""BFAST-Monitor: a stable history, then a moving sum of residuals held against its boundary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.boundaries import monitoring_mosum_border
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
from rs_monitor.kernels.median import median_network
from rs_monitor.kernels.ordering import lane_medians

LAYERS = (
    "break_day",
    "previous_look_day",
    "magnitude",
    "mean_process",
    "history_looks",
    "monitoring_looks",
)
"""What :func:`monitor_breaks` answers, in order."""

BREAK_DAY, PREVIOUS_LOOK_DAY, MAGNITUDE, MEAN_PROCESS, HISTORY_LOOKS, MONITORING_LOOKS = range(6)

_EVERY_LOOK = np.empty((0, 0), dtype=np.int32)
_BY_LOOKS = np.empty(0)


@njit(**IN_KERNEL)
def _leave_out(values, codes, bits, starts, row, first, n):  # type: ignore[no-untyped-def]
    """Forget what lies before each pixel's stable history."""
    line = starts[row, first : first + n]
    for t in range(values.shape[0]):
        value, code = values[t], codes[t // bits]
        others = ~np.int32(1 << (t % bits))
        for i in range(n):
            kept = t >= line[i]
            value[i] = value[i] if kept else 0
            code[i] = code[i] if kept else code[i] & others


@njit(**IN_KERNEL)
def _add_up(residuals, sums, held, total):  # type: ignore[no-untyped-def]
    """Running sums of the residuals of the looks of each pixel: ``sums[k]`` after k looks."""
    held[:] = 0
    total[:] = 0.0
    sums[0] = 0.0
    for t in range(residuals.shape[0]):
        residual = residuals[t]
        for i in range(LANES):
            r = residual[i]
            seen = r == r
            total[i] += r if seen else 0.0
            held[i] += 1 if seen else 0
            sums[held[i], i] = total[i]


@njit(**IN_KERNEL)
def _watch(  # type: ignore[no-untyped-def]
    late, days, sums, held, total, history, squares, explained, fits, spent, share, critical,
    ratios, medians, out,
):  # fmt: skip
    """The monitoring period of a block: residuals ``late`` look by look."""
    narrowest = monitoring_mosum_border(1.0, 1.0, critical)
    for i in range(out.shape[1]):
        looks = history[i]
        width = int(looks * share)
        good = fits[i] > 0 and width > 0 and squares[i] > NOISE_SHARE * explained[i]
        scale = 1.0 / math.sqrt(squares[i] / (looks - spent) * looks) if good else np.nan
        count, value, process = held[i], total[i], 0.0
        before, broken = np.nan, False
        for t in range(days.shape[0]):
            r = late[t, i]
            if r != r:
                continue
            count += 1
            value += r
            sums[count, i] = value
            if not good:
                before = days[t]
                continue
            moved = (value - sums[count - width, i]) * scale
            process += moved
            if broken:
                continue
            # the border only widens
            if abs(moved) <= narrowest:
                before = days[t]
                continue
            if ratios.shape[0]:
                border = monitoring_mosum_border(ratios[t], 1.0, critical)
            else:
                border = monitoring_mosum_border(count, looks, critical)
            if abs(moved) > border:
                out[BREAK_DAY, i], broken = days[t], True
            else:
                before = days[t]
        seen = count - held[i]
        out[HISTORY_LOOKS, i], out[MONITORING_LOOKS, i] = looks, seen
        if good and seen > 0:
            out[MAGNITUDE, i] = medians[i]
            out[MEAN_PROCESS, i] = process / seen
        out[PREVIOUS_LOOK_DAY, i] = before


@njit(**IN_KERNEL)
def _last_day(residuals, days, i):  # type: ignore[no-untyped-def]
    """Day of the last look of one pixel's history; NaN where there is none."""
    t = days.shape[0] - 1
    while t >= 0 and residuals[t, i] != residuals[t, i]:
        t -= 1
    return days[t] if t >= 0 else np.nan


@njit(nogil=True, error_model="numpy")
def _monitor(memory, time_step, row_step, count, cols, nodata, days, rows, sums, p, bits, least,  # type: ignore[no-untyped-def]
             enough, late_rows, starts, share, critical, ratios, network, values, late,
             out):  # fmt: skip
    after = days.shape[0] - late.shape[0]
    codes = np.empty((sums.shape[0], LANES), dtype=np.int32)
    late_codes = np.empty((late.shape[0] // bits + 1, LANES), dtype=np.int32)
    room = block_room(rows, sums, p)
    solution = np.empty((rows.shape[0], LANES), dtype=rows.dtype)
    residuals = np.empty((after, LANES), dtype=rows.dtype)
    late_residuals = np.empty(late.shape, dtype=rows.dtype)
    running = np.empty((days.shape[0] + 1, LANES), dtype=rows.dtype)
    ordered = np.empty(late.shape, dtype=rows.dtype)
    looks, fits, squares, unused, total, medians = np.empty((6, LANES), dtype=rows.dtype)
    held = np.empty(LANES, dtype=np.int32)
    early_days = days[:after]
    block = np.empty((out.shape[0], LANES))
    for row in range(count):
        for first in range(0, cols, LANES):
            n = min(LANES, cols - first)
            start = row * row_step + first
            load_block(memory, start, time_step, after, n, nodata, bits, values, codes)
            if starts.shape[0]:
                _leave_out(values[:after], codes, bits, starts, row, first, n)
            start += after * time_step
            load_block(memory, start, time_step, late.shape[0], n, nodata, bits, late, late_codes)
            solve_block(
                codes, values, rows, sums, p, least, enough, room, solution, looks, squares, fits
            )
            residual_block(codes, bits, values, rows, solution, residuals, squares)
            residual_block(late_codes, bits, late, late_rows, solution, late_residuals, unused)
            ordered[:] = late_residuals
            lane_medians(ordered, network, unused, medians)
            _add_up(residuals, running, held, total)
            block[:] = np.nan
            _watch(
                late_residuals, days[after:], running, held, total, looks, squares, room[2], fits,
                p, share, critical, ratios, medians, block,
            )  # fmt: skip
            for i in range(n):
                if math.isnan(block[PREVIOUS_LOOK_DAY, i]):
                    block[PREVIOUS_LOOK_DAY, i] = _last_day(residuals, early_days, i)
            at = row * cols + first
            for k in range(out.shape[0]):
                out[k, at : at + n] = block[k, :n]


def monitor_breaks(
    values: NDArray[Any],
    days: NDArray[np.float64],
    regressors: NDArray[np.float64],
    *,
    history: int,
    window_share: float,
    critical: float,
    min_looks: int = 0,
    starts: NDArray[np.int32] | None = None,
    ratios: NDArray[np.float64] | None = None,
    nodata: float = np.nan,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """First look of each pixel at which the moving sum of its residuals leaves the boundary.

    Parameters
    ----------
    values : ndarray of float or int, shape (time, y, x)
        NaN, infinities and ``nodata`` = not seen.
    days : ndarray of float64, shape (time,)
        Ascending.
    regressors : ndarray of float64, shape (p, time)
        As of :func:`rs_monitor.kernels.harmonic.harmonic_regressors`, of all dates.
    history : int
        Dates before the monitoring period.
    window_share : float
        Width of the moving sum in looks, as a share of those of the history.
    critical : float
        As of :func:`rs_monitor.kernels.boundaries.monitoring_mosum_critical`.
    min_looks : int
        Fewer looks of the history give no fit; never under p + 1.
    starts : ndarray of int32, shape (y, x), optional
        Index of the first date of each pixel's stable history.
    ratios : ndarray of float64, shape (time - history,), optional
        Time of each date over the length of the history, on which the boundary depends; by
        default looks so far over looks of the history, as strucchange has it.
    nodata : float
    out : ndarray of float32, shape (6, y, x), optional

    Returns
    -------
    ndarray of float32, shape (6, y, x)
        ``LAYERS``: day of the first look outside the boundary (NaN = none); day of the look before
        it, without a break of the last look; median residual of the monitoring period; mean of
        the process; looks of the history and of the monitoring period. Without a fit, break day,
        magnitude and mean are NaN.

    Notes
    -----
    Verbesselt, Zeileis & Herold (2012), doi:10.1016/j.rse.2012.02.022, with the OLS-MOSUM process
    of strucchange ``mefp``: sums over ``int(window_share * n)`` looks, over sigma (n - p degrees
    of freedom) and the root of n. Least squares as :func:`rs_monitor.kernels.harmonic.fit_ols`.
    """
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
        p,
        basis.code_bits,
        basis.least_pivot,
        float(max(p + 1, min_looks)) if basis.rank == p else math.inf,
        late_rows,
        _EVERY_LOOK if starts is None else starts.reshape(stack.rows, stack.cols),
        window_share,
        critical,
        _BY_LOOKS if ratios is None else ratios,
        median_network(len(days) - history),
        np.empty((basis.rows.shape[1], LANES), dtype),
        np.empty((len(days) - history, LANES), dtype),
        out.reshape(len(LAYERS), -1, copy=False),
    )
    return out
