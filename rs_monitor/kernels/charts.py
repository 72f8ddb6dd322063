"""Control charts along time: EWMA, CUSUM, MOSUM and IQR on residuals of a harmonic history.

A chart starts from the history of a pixel and then takes one look after the other. Running over a
whole stack and stepping look by look go through the same lines, so they give the same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.boundaries import monitoring_cusum_border, monitoring_mosum_border
from rs_monitor.kernels.chart_steps import (
    CUSUM,
    EWMA,
    FIELDS,
    IQR,
    LAYERS,
    MOSUM,
    NOT_FITTED,
    look_residuals,
    start_block,
    step_block,
    summarise_block,
)
from rs_monitor.kernels.least_squares import (
    LANES,
    as_rows,
    block_dtype,
    block_room,
    load_block,
    orthogonal_basis,
    turn_block,
)
from rs_monitor.kernels.median import merge_exchange


class Ewma(NamedTuple):
    """Exponentially weighted moving average (Roberts 1959; Brooks et al. 2014).

    ``weight`` of a new residual; ``limit`` of the average, in its standard deviations;
    ``outlier``: residuals beyond so many sigma are set aside.
    """

    weight: float
    limit: float
    outlier: float


class Cusum(NamedTuple):
    """Cumulative sum of residuals; ``critical`` as of ``monitoring_cusum_critical``."""

    critical: float


class Mosum(NamedTuple):
    """Sum of the latest residuals; ``critical`` as of ``monitoring_mosum_critical``.

    ``share``: width of the window as a share of the looks of the history.
    """

    share: float
    critical: float


class Iqr(NamedTuple):
    """Residuals beyond the quartiles by ``spread`` interquartile ranges, so many in a row."""

    spread: float
    consecutive: int


Chart = Ewma | Cusum | Mosum | Iqr


class Start(NamedTuple):
    """How a history becomes the start of a chart.

    ``screen``: Shewhart limit in sigma beyond which looks are dropped and the fit repeated, inf
    for none; ``min_looks`` of the history; ``as_nrt`` lets residuals of the history enter the
    chart with the opposite sign, and tests only the upper limit at its end, as nrt 0.3.0 does.
    """

    screen: float
    min_looks: int
    as_nrt: bool = False


class ChartState(NamedTuple):
    """Everything a chart needs for its next look; pixels flat."""

    chart: Chart
    coefficients: NDArray[np.float64]  # (p, pixels)
    fields: NDArray[np.float64]  # (len(FIELDS), pixels)
    window: NDArray[np.float64]  # (widest window, pixels)


def _plain(chart: Chart, start: Start) -> tuple[int, NDArray[np.float64]]:
    """Kind and numbers of a chart as kernels take them."""
    kinds = {Ewma: EWMA, Cusum: CUSUM, Mosum: MOSUM, Iqr: IQR}
    own = [*chart, 0.0, 0.0][:3]
    return kinds[type(chart)], np.array([*own, start.screen, start.as_nrt], dtype=np.float64)


@njit(nogil=True, error_model="numpy")
def _scratch(rows, sums, p):  # type: ignore[no-untyped-def]
    codes = np.empty((sums.shape[0], LANES), dtype=np.int32)
    solution = np.empty((rows.shape[0], LANES), dtype=rows.dtype)
    looks, fits, squares = np.empty((3, LANES), dtype=rows.dtype)
    return codes, block_room(rows, sums, p), solution, looks, fits, squares


@njit(nogil=True, error_model="numpy")
def _run(memory, time_step, row_step, count, cols, nodata, days, design, basis, back, enough,  # type: ignore[no-untyped-def]
         kind, params, table, network, values, widest, out, keep, kept):  # fmt: skip
    """Start every block from its history, then take its looks, then answer or keep the state."""
    rows, sums, _, p, _ = basis
    times = days.shape[0] - design.shape[0]
    scratch = _scratch(rows, sums, p)
    residuals = np.empty((times, LANES), dtype=np.float64)
    state = np.empty((len(FIELDS), LANES), dtype=np.float64)
    window = np.empty((widest, LANES), dtype=np.float64)
    coefficients = np.empty((p, LANES), dtype=np.float64)
    residual, fitted, use, crossed = np.empty((4, LANES), dtype=np.float64)
    for row in range(count):
        for first in range(0, cols, LANES):
            n = min(LANES, cols - first)
            start, at = row * row_step + first, row * cols + first
            load_block(memory, start, time_step, times, n, nodata, basis[2], values, scratch[0])
            start_block(
                kind, params, days[:times], values, basis, enough, network, residuals, scratch,
                state, window,
            )  # fmt: skip
            turn_block(back, scratch[2], coefficients)
            for k in range(design.shape[0]):
                here = start + (times + k) * time_step
                look_residuals(memory, here, n, nodata, design[k], coefficients, fitted, residual)
                step_block(
                    kind, params, table, days[times + k], residual, state, window, use, crossed
                )
            if keep:
                for i in range(n):
                    kept[0][:, at + i] = coefficients[:, i]
                    kept[1][:, at + i] = state[:, i]
                    kept[2][:, at + i] = window[:, i]
            else:
                summarise_block(state, n, at, out)


@njit(nogil=True, error_model="numpy")
def _step(memory, row_step, count, cols, nodata, day, regressors, kind, params, table,  # type: ignore[no-untyped-def]
          coefficients, fields, windows):  # fmt: skip
    """Take one look into a kept state, in place."""
    state = np.empty((fields.shape[0], LANES), dtype=np.float64)
    window = np.zeros((windows.shape[0], LANES), dtype=np.float64)
    local = np.zeros((coefficients.shape[0], LANES), dtype=np.float64)
    residual, fitted, use, crossed = np.empty((4, LANES), dtype=np.float64)
    for row in range(count):
        for first in range(0, cols, LANES):
            n = min(LANES, cols - first)
            at = row * cols + first
            state[:, n:] = NOT_FITTED
            state[:, :n] = fields[:, at : at + n]
            window[:, :n] = windows[:, at : at + n]
            local[:, :n] = coefficients[:, at : at + n]
            start = row * row_step + first
            look_residuals(memory, start, n, nodata, regressors, local, fitted, residual)
            step_block(kind, params, table, day, residual, state, window, use, crossed)
            fields[:, at : at + n] = state[:, :n]
            windows[:, at : at + n] = window[:, :n]


@njit(nogil=True, error_model="numpy")
def _summary(fields, out):  # type: ignore[no-untyped-def]
    summarise_block(fields, fields.shape[1], 0, out)


@lru_cache(maxsize=8)
def _borders(kind: int, critical: float, history: int, looks: int) -> NDArray[np.float64]:
    """Border by looks of the history and looks since."""
    border = monitoring_cusum_border if kind == CUSUM else monitoring_mosum_border
    table = np.full((history + 1, looks + 1), np.inf)
    for old in range(1, history + 1):
        for new in range(1, looks + 1):
            table[old, new] = border(old + new, old, critical)
    return table


@lru_cache(maxsize=8)
def _sorting(times: int) -> NDArray[np.int64]:
    return np.array(merge_exchange(times), dtype=np.int64).reshape(-1, 2)


NO_TABLE = np.empty((0, 0), dtype=np.float64)
NO_LAYERS = np.empty((0, 0), dtype=np.float32)


def _launch(
    values: NDArray[Any],
    days: NDArray[np.float64],
    regressors: NDArray[np.float64],
    history: int,
    chart: Chart,
    start: Start,
    nodata: float,
    out: NDArray[np.float32],
    kept: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> None:
    basis = orthogonal_basis(regressors[:, :history])
    stack = as_rows(values)
    kind, params = _plain(chart, start)
    enough = max(basis.size + 1, start.min_looks) if basis.rank == basis.size else np.inf
    new = values.shape[0] - history
    table = NO_TABLE
    if isinstance(chart, Cusum | Mosum) and new:
        table = _borders(kind, chart.critical, history, new)
    _run(
        stack.memory, stack.time_step, stack.row_step, stack.rows, stack.cols, float(nodata),
        np.ascontiguousarray(days, dtype=np.float64),
        np.ascontiguousarray(regressors[:, history:].T),
        (basis.rows, basis.sums, basis.code_bits, basis.size, basis.least_pivot),
        basis.back, float(enough), kind, params, table,
        _sorting(history if kind == IQR else 0),
        np.empty((basis.rows.shape[1], LANES), block_dtype(values)),
        _widest(chart, history), out, kept[0].size > 0, kept,
    )  # fmt: skip


def _widest(chart: Chart, history: int) -> int:
    return int(np.floor(chart.share * history)) if isinstance(chart, Mosum) else 0


def run_chart(
    values: NDArray[Any],
    days: NDArray[np.float64],
    regressors: NDArray[np.float64],
    *,
    history: int,
    chart: Chart,
    start: Start,
    nodata: float = np.nan,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Fit the history of every pixel and hold each later look against it.

    Parameters
    ----------
    values : ndarray of float or int, shape (time, y, x)
        Ascending in time; NaN, infinities and ``nodata`` = not seen.
    days : ndarray of float64, shape (time,)
        Since 1970-01-01.
    regressors : ndarray of float64, shape (p, time)
        As of ``harmonic_regressors``, of all dates.
    history : int
        How many of the dates are history.
    chart : Ewma, Cusum, Mosum or Iqr
    start : Start
    nodata : float
        A value that means not seen.
    out : ndarray of float32, shape (len(LAYERS), y, x), optional
        Array to write into.

    Returns
    -------
    ndarray of float32, shape (len(LAYERS), y, x)
        Status; day of the first signal and of the last look used before it, which is in the
        history where it has to be (NaN without a signal); mean residual from the signal on, in
        the unit of the values; direction of the signal, -1, 0 or 1; looks used since the history.

    Notes
    -----
    Residuals are observed minus fitted. The chart stops at its first signal; later looks only
    enter the mean residual. The day of the signal is when the chart is sure, later than the
    change itself by the chart's delay.
    """
    shape = (len(LAYERS), *values.shape[1:])
    out = np.empty(shape, dtype=np.float32) if out is None else out
    nothing = np.empty((0, 0))
    layers = out.reshape(len(LAYERS), -1, copy=False)
    _launch(
        values, days, regressors, history, chart, start, nodata, layers, (nothing, nothing, nothing)
    )
    return out


def start_chart(
    values: NDArray[Any],
    days: NDArray[np.float64],
    regressors: NDArray[np.float64],
    *,
    chart: Chart,
    start: Start,
    nodata: float = np.nan,
) -> ChartState:
    """Fit the history of every pixel: the state of a chart before its first look.

    Parameters are those of :func:`run_chart`, all dates being history.
    """
    history, pixels = values.shape[0], int(np.prod(values.shape[1:]))
    kept = (
        np.empty((regressors.shape[0], pixels)),
        np.empty((len(FIELDS), pixels)),
        np.empty((_widest(chart, history), pixels)),
    )
    _launch(values, days, regressors, history, chart, start, nodata, NO_LAYERS, kept)
    return ChartState(chart, *kept)


def step_chart(
    state: ChartState,
    values: NDArray[Any],
    day: float,
    regressors: NDArray[np.float64],
    *,
    nodata: float = np.nan,
) -> ChartState:
    """Take one look.

    Parameters
    ----------
    state : ChartState
        Left as it is.
    values : ndarray of float or int, shape (y, x)
    day : float
        Since 1970-01-01; the caller sees to it that days ascend.
    regressors : ndarray of float64, shape (p,)
        Of that day.
    nodata : float
        A value that means not seen.
    """
    after = state._replace(fields=state.fields.copy(), window=state.window.copy())
    look = as_rows(values[None])
    kind, params = _plain(state.chart, Start(np.inf, 0))
    _step(
        look.memory, look.row_step, look.rows, look.cols, float(nodata), float(day),
        np.ascontiguousarray(regressors), kind, params, NO_TABLE, state.coefficients,
        after.fields, after.window,
    )  # fmt: skip
    return after


def chart_layers(state: ChartState, shape: tuple[int, int]) -> NDArray[np.float32]:
    """What :func:`run_chart` would answer after the looks taken so far."""
    out = np.empty((len(LAYERS), state.fields.shape[1]), dtype=np.float32)
    _summary(state.fields, out)
    return out.reshape(len(LAYERS), *shape)
