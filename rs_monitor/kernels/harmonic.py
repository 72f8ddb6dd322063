"""Harmonic regression along time: regressors, least squares in blocks of pixels, residuals."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from rs_monitor.kernels.least_squares import (
    LANES,
    as_rows,
    block_dtype,
    block_room,
    load_block,
    orthogonal_basis,
    predict_row,
    residual_block,
    solve_block,
    turn_block,
)


class HarmonicFit(NamedTuple):
    """Least squares of every pixel."""

    coefficients: NDArray[Any]  # (p, y, x), NaN = not fitted
    sigma: NDArray[Any]  # (y, x), NaN = not fitted
    looks: NDArray[np.uint16]  # (y, x) looks of the fit, whether or not they sufficed


def calendar_years(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Decimal years as nrt has them: 1 January is 0, 31 December a whole year.

    Parameters
    ----------
    days : ndarray of float64, shape (time,)
        Since 1970-01-01.
    """
    date = np.floor(days).astype("int64").astype("M8[D]")
    year = date.astype("M8[Y]")
    first = year.astype("M8[D]").astype("int64")
    last = (year + 1).astype("M8[D]").astype("int64") - 1
    whole: NDArray[np.int64] = year.astype("int64") + 1970
    return np.asarray(whole + (days - first) / (last - first), dtype=np.float64)


def harmonic_regressors(
    days: NDArray[np.float64],
    *,
    order: int,
    trend: bool,
    period_days: float = 365.25,
    year: Literal["period", "calendar"] = "period",
) -> NDArray[np.float64]:
    """Design of a harmonic series: 1, day, cosines, sines.

    Parameters
    ----------
    days : ndarray of float64, shape (time,)
        Since 1970-01-01.
    order : int
        Harmonics of the year; 2 = yearly and half-yearly.
    trend : bool
        Whether the day itself is a regressor.
    period_days : float
        Length of the first harmonic; 365 is that of the Python package bfast.
    year : {"period", "calendar"}
        ``calendar`` takes the phase from :func:`calendar_years` instead, as nrt does.

    Returns
    -------
    ndarray of float64, shape (1 + trend + 2 * order, time)

    Notes
    -----
    With ``year="calendar"`` equal to ``nrt.utils.build_regressors`` of nrt 0.3.0, transposed: the
    same columns in the same order (1, whole days since 1970, cosines 1..order, sines 1..order).
    """
    years = calendar_years(days) if year == "calendar" else days / period_days
    angles = 2 * np.pi * years * np.arange(1, order + 1)[:, None]
    line = [np.floor(days)] if trend else []
    return np.vstack([np.ones((1, len(days))), *line, np.cos(angles), np.sin(angles)])


@njit(nogil=True, error_model="numpy")
def _any_cancelled(squares, whole, share):  # type: ignore[no-untyped-def]
    found = False
    for i in range(LANES):
        found |= squares[i] < share * whole[i]
    return found


@njit(nogil=True, error_model="numpy")
def _ols(memory, time_step, row_step, times, count, cols, nodata, rows, sums, back, bits,  # type: ignore[no-untyped-def]
         least, enough, cancelled, values, coefficients, sigma, looks_out):  # fmt: skip
    p = back.shape[0]
    codes = np.empty((sums.shape[0], LANES), dtype=np.int32)
    room = block_room(rows, sums, p)
    solution = np.empty((rows.shape[0], LANES), dtype=rows.dtype)
    turned = np.empty((p, LANES), dtype=rows.dtype)
    looks, fits, squares, whole, direct = np.empty((5, LANES), dtype=rows.dtype)
    for row in range(count):
        for first in range(0, cols, LANES):
            n = min(LANES, cols - first)
            at = row * cols + first
            start = row * row_step + first
            load_block(memory, start, time_step, times, n, nodata, bits, values, codes)
            solve_block(
                codes, values, rows, sums, p, least, enough, room, solution, looks, whole, fits
            )
            for i in range(LANES):
                squares[i] = whole[i] - room[2][i]
            if _any_cancelled(squares, whole, cancelled):
                residuals = np.empty((times, LANES), dtype=rows.dtype)
                residual_block(codes, bits, values, rows, solution, residuals, direct)
                for i in range(LANES):
                    if squares[i] < cancelled * whole[i]:
                        squares[i] = direct[i]
            turn_block(back, solution, turned)
            for i in range(n):
                looks_out[at + i] = looks[i]
                share = squares[i] / (looks[i] - p)
                sigma[at + i] = math.sqrt(share) if fits[i] > 0 else np.nan
            for k in range(p):
                out, one = coefficients[k], turned[k]
                for i in range(n):
                    out[at + i] = one[i] if fits[i] > 0 else np.nan


def room_for_fit(
    count: int, shape: tuple[int, ...], dtype: DTypeLike, out: HarmonicFit | None
) -> HarmonicFit:
    """Take the given arrays, or make some."""
    if out is not None:
        return out
    return HarmonicFit(
        np.empty((count, *shape), dtype), np.empty(shape, dtype), np.empty(shape, np.uint16)
    )


def fit_ols(
    values: NDArray[Any],
    regressors: NDArray[np.float64],
    *,
    nodata: float = np.nan,
    min_looks: int | None = None,
    dtype: DTypeLike = np.float64,
    out: HarmonicFit | None = None,
) -> HarmonicFit:
    """Ordinary least squares of every pixel, gaps skipped.

    Parameters
    ----------
    values : ndarray of float or int, shape (time, y, x)
        NaN, infinities and ``nodata`` = not seen.
    regressors : ndarray of float64, shape (p, time)
        As of :func:`harmonic_regressors`.
    nodata : float
        A value that means not seen.
    min_looks : int, optional
        Fewer looks give NaN; never under p + 1, the default.
    dtype : dtype
        float64 or float32: what is computed in and returned.
    out : HarmonicFit, optional
        Arrays to write into.

    Returns
    -------
    HarmonicFit
        Coefficients (p, y, x) of the regressors; sigma (y, x), the residual standard deviation
        with n - p degrees of freedom; looks (y, x). NaN with the looks kept where looks are too
        few or lie so that the normal matrix is singular.

    Notes
    -----
    Normal equations in an orthonormal basis of the regressors over all dates, solved by Cholesky
    in blocks of 128 pixels. Sums of products are looked up by the pattern of gaps in each group
    of dates, as every pixel shares the dates (the method of four Russians: Arlazarov et al. 1970).
    A pixel's answer does not depend on its place in the block.
    """
    p = regressors.shape[0]
    basis = orthogonal_basis(regressors, dtype)
    out = room_for_fit(p, values.shape[1:], dtype, out)
    stack = as_rows(values)
    enough = max(p + 1, min_looks or 0) if basis.rank == p else math.inf
    _ols(
        stack.memory,
        stack.time_step,
        stack.row_step,
        basis.times,
        stack.rows,
        stack.cols,
        float(nodata),
        basis.rows,
        basis.sums,
        basis.back,
        basis.code_bits,
        basis.least_pivot,
        float(enough),
        basis.cancelled,
        np.empty((basis.rows.shape[1], LANES), block_dtype(values)),
        out.coefficients.reshape(p, -1, copy=False),
        out.sigma.reshape(-1, copy=False),
        out.looks.reshape(-1, copy=False),
    )
    return out


@njit(nogil=True, error_model="numpy")
def _residuals(memory, time_step, row_step, count, cols, nodata, regressors, coefficients, out):  # type: ignore[no-untyped-def]
    times = regressors.shape[1]
    fitted = np.empty(cols, dtype=np.float64)
    for t in range(times):
        for row in range(count):
            start = t * time_step + row * row_step
            source = memory[start : start + cols]
            predict_row(regressors[:, t], coefficients, row * cols, fitted)
            target = out[t, row * cols : row * cols + cols]
            for i in range(cols):
                v = source[i]
                good = (v - v == 0) & (v != nodata)
                target[i] = v - fitted[i] if good else np.nan


def harmonic_residuals(
    values: NDArray[Any],
    regressors: NDArray[np.float64],
    coefficients: NDArray[Any],
    *,
    nodata: float = np.nan,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Observed minus fitted.

    Parameters
    ----------
    values : ndarray of float or int, shape (time, y, x)
    regressors : ndarray of float64, shape (p, time)
        Of the same dates.
    coefficients : ndarray of float, shape (p, y, x)
    nodata : float
        A value that means not seen.
    out : ndarray of float32, shape (time, y, x), optional
        Array to write into.

    Returns
    -------
    ndarray of float32, shape (time, y, x)
        NaN where not seen or not fitted.
    """
    out = np.empty(values.shape, dtype=np.float32) if out is None else out
    stack = as_rows(values)
    _residuals(
        stack.memory,
        stack.time_step,
        stack.row_step,
        stack.rows,
        stack.cols,
        float(nodata),
        regressors,
        np.ascontiguousarray(coefficients).reshape(regressors.shape[0], -1),
        out.reshape(values.shape[0], -1),
    )
    return out
