"""Least squares of many pixels with gaps of their own, in blocks of lanes.

A block is ``(time, LANES)`` values, 0 where not seen, and for each group of dates the pattern of
which were seen, one bit each. What a pixel answers never
depends on its lane or on its neighbours, so any cut of an image gives the same bits.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

LANES = 128
"""Pixels solved side by side: shorter loops are unrolled before they vectorise."""

CODE_BITS = 7
"""Dates whose sums of products are tabulated together, one entry per pattern of gaps."""

LONG_SERIES = 200
"""Dates above which the table would leave the cache."""

LONG_CODE_BITS = 4

DATES_TOGETHER = 4
REGRESSORS_TOGETHER = 3
TABLES_TOGETHER = 4

NOISE_SHARE = 1e-14
"""Share of the squares a fit explains under which what it leaves is rounding of float32."""

PIVOT_SHARE = 1e-10
PIVOT_SHARE_FLOAT32 = 1e-5
"""Least pivot of a normal matrix whose full series has 1; under it there is no fit."""

CANCELLED_SHARE = 1e-6
CANCELLED_SHARE_FLOAT32 = 0.1
"""Share of the squares under which a difference of sums has lost too many digits."""


class Rows(NamedTuple):
    """A stack as one run of memory: sample (t, r, c) at ``t * time_step + r * row_step + c``."""

    memory: NDArray[Any]
    time_step: int
    row_step: int
    rows: int
    cols: int


class Basis(NamedTuple):
    """Regressors made orthonormal over all dates, with what blocks of pixels need of them."""

    rows: NDArray[Any]  # (p, t) orthonormal, both padded with zeros
    sums: NDArray[Any]  # (groups, patterns, pairs + 1) of products of a group's dates
    back: NDArray[Any]  # (p, p): coefficients of the regressors = back @ those of the basis
    size: int  # p, not padded
    times: int  # t, not padded
    code_bits: int
    rank: int
    least_pivot: float
    cancelled: float  # share of the squares under which their difference is not to be trusted

    def at(self, regressors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Regressors of other dates in this basis, (p padded with zeros, dates)."""
        rows = np.zeros((self.rows.shape[0], regressors.shape[1]))
        rows[: self.size] = self.back.T @ regressors
        return rows


def _padded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def orthogonal_basis(regressors: NDArray[np.float64], dtype: DTypeLike = np.float64) -> Basis:
    """Orthonormal basis of the regressors: far days and short spans then cost no precision.

    Parameters
    ----------
    regressors : ndarray of float64, shape (p, time)
    dtype : dtype
        float64 or float32: what pixels are solved in.

    Notes
    -----
    A rank under p (fewer dates than regressors, or equal ones) is told by ``rank``: nothing can
    be fitted.
    """
    exact = np.ascontiguousarray(regressors, dtype=np.float64)
    return _basis(exact.tobytes(), exact.shape, np.dtype(dtype).str)


@lru_cache(maxsize=8)
def _basis(content: bytes, shape: tuple[int, int], dtype: str) -> Basis:
    regressors = np.frombuffer(content, dtype=np.float64).reshape(shape)
    count, times = shape
    scaled = regressors / np.abs(regressors).max(axis=1, keepdims=True, initial=1e-300)
    rank = int(np.linalg.matrix_rank(scaled)) if times else 0
    rows = np.zeros((_padded(count, REGRESSORS_TOGETHER), _padded(times, DATES_TOGETHER)))
    back = np.zeros((count, count))
    if rank == count:
        q, r = np.linalg.qr(scaled.T)
        rows[:count, :times] = q.T
        back = np.linalg.inv(r) / np.abs(regressors).max(axis=1)[:, None]
    first, second = np.tril_indices(count)
    bits = CODE_BITS if times <= LONG_SERIES else LONG_CODE_BITS
    sums = _pattern_sums(rows[first, :times] * rows[second, :times], bits)
    double = dtype == np.dtype(np.float64).str
    return Basis(
        rows.astype(dtype),
        sums.astype(dtype),
        back.astype(dtype),
        count,
        times,
        bits,
        rank,
        PIVOT_SHARE if double else PIVOT_SHARE_FLOAT32,
        CANCELLED_SHARE if double else CANCELLED_SHARE_FLOAT32,
    )


def _pattern_sums(products: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Sums of the products of a group of dates, and how many were seen, for every pattern."""
    pairs, times = products.shape
    groups = _padded(-(-times // bits), TABLES_TOGETHER)
    width = _padded(pairs + 1, 8)
    each = np.zeros((groups * bits, width))
    each[:times, :pairs] = products.T
    each[:times, pairs] = 1.0
    dates = each.reshape(groups, bits, width)
    sums = np.zeros((groups, 1 << bits, width))
    for bit in range(bits):
        half = 1 << bit
        sums[:, half : 2 * half] = sums[:, :half] + dates[:, bit, None]
    return sums


def as_rows(values: NDArray[Any]) -> Rows:
    """A (time, y, x) stack for the kernels, copied only where its rows are not runs of memory."""
    times, rows, cols = values.shape
    size = values.itemsize
    if values.strides[2] != size or any(step < 0 or step % size for step in values.strides):
        values = np.ascontiguousarray(values)
    time_step, row_step = values.strides[0] // size, values.strides[1] // size
    length = (times - 1) * time_step + (rows - 1) * row_step + cols if values.size else 0
    memory = as_strided(values, (length,), (size,), writeable=False)
    if row_step == cols:
        rows, cols = 1, rows * cols
    return Rows(memory, time_step, row_step, rows, cols)


def block_dtype(values: NDArray[Any]) -> type[np.floating[Any]]:
    """What holds the values of a stack exactly."""
    return np.float32 if np.can_cast(values.dtype, np.float32) else np.float64


@njit(nogil=True, error_model="numpy")
def load_block(memory, start, time_step, times, n, nodata, bits, values, codes):  # type: ignore[no-untyped-def]
    """Copy n pixels along time, 0 where not seen, and code which dates were seen."""
    codes[:] = 0
    values[times:] = 0
    for t in range(times):
        into, code = values[t], codes[t // bits]
        into[n:] = 0
        source = memory[start + t * time_step : start + t * time_step + n]
        bit = np.int32(1 << (t % bits))
        for i in range(n):
            v = source[i]
            seen = (v - v == 0) & (v != nodata)
            into[i] = v if seen else 0
            code[i] |= bit if seen else np.int32(0)


@njit(nogil=True, error_model="numpy")
def _normal_block(codes, sums, one, normal, looks):  # type: ignore[no-untyped-def]
    """Normal matrices and looks, from the tabulated sums of each group of dates."""
    pairs = normal.shape[0]
    for i in range(LANES):
        one[:] = 0.0
        for g in range(0, codes.shape[0], TABLES_TOGETHER):
            a, b = sums[g, codes[g, i]], sums[g + 1, codes[g + 1, i]]
            c, d = sums[g + 2, codes[g + 2, i]], sums[g + 3, codes[g + 3, i]]
            for k in range(one.shape[0]):
                one[k] += (a[k] + b[k]) + (c[k] + d[k])
        for k in range(pairs):
            normal[k, i] = one[k]
        looks[i] = one[pairs]


@njit(nogil=True, error_model="numpy")
def _right_block(values, rows, right, squares):  # type: ignore[no-untyped-def]
    """Products of the basis with the values, and the sum of their squares."""
    right[:] = 0.0
    squares[:] = 0.0
    unit = rows.dtype.type(1)
    for t in range(0, rows.shape[1], DATES_TOGETHER):
        v0, v1, v2, v3 = values[t], values[t + 1], values[t + 2], values[t + 3]
        for i in range(LANES):
            y0, y1, y2, y3 = unit * v0[i], unit * v1[i], unit * v2[i], unit * v3[i]
            squares[i] += (y0 * y0 + y1 * y1) + (y2 * y2 + y3 * y3)
        for k in range(0, rows.shape[0], REGRESSORS_TOGETHER):
            a, b, c = rows[k, t : t + 4], rows[k + 1, t : t + 4], rows[k + 2, t : t + 4]
            a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
            b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
            c0, c1, c2, c3 = c[0], c[1], c[2], c[3]
            out_a, out_b, out_c = right[k], right[k + 1], right[k + 2]
            for i in range(LANES):
                y0, y1, y2, y3 = v0[i], v1[i], v2[i], v3[i]
                out_a[i] += (a0 * y0 + a1 * y1) + (a2 * y2 + a3 * y3)
                out_b[i] += (b0 * y0 + b1 * y1) + (b2 * y2 + b3 * y3)
                out_c[i] += (c0 * y0 + c1 * y1) + (c2 * y2 + c3 * y3)


@njit(nogil=True, error_model="numpy")
def _factor(normal, p, least, fits):  # type: ignore[no-untyped-def]
    """Cholesky in place, the diagonal inverted; ``fits`` becomes 0 where a pivot is too small."""
    for j in range(p):
        base = j * (j + 1) // 2
        pivot = normal[base + j]
        for k in range(j):
            left = normal[base + k]
            for i in range(LANES):
                pivot[i] -= left[i] * left[i]
        for i in range(LANES):
            good = pivot[i] > least
            fits[i] = fits[i] if good else 0.0
            pivot[i] = 1.0 / math.sqrt(pivot[i] if good else 1.0)
        for r in range(j + 1, p):
            below = r * (r + 1) // 2
            entry = normal[below + j]
            for k in range(j):
                left, up = normal[below + k], normal[base + k]
                for i in range(LANES):
                    entry[i] -= left[i] * up[i]
            for i in range(LANES):
                entry[i] *= pivot[i]


@njit(nogil=True, error_model="numpy")
def _forward(normal, p, right, explained):  # type: ignore[no-untyped-def]
    """First half of the solution; sums the squares it explains."""
    explained[:] = 0.0
    for j in range(p):
        base = j * (j + 1) // 2
        here, pivot = right[j], normal[base + j]
        for k in range(j):
            left, other = normal[base + k], right[k]
            for i in range(LANES):
                here[i] -= left[i] * other[i]
        for i in range(LANES):
            here[i] *= pivot[i]
            explained[i] += here[i] * here[i]


@njit(nogil=True, error_model="numpy")
def _backward(normal, p, right):  # type: ignore[no-untyped-def]
    for j in range(p - 1, -1, -1):
        here, pivot = right[j], normal[j * (j + 1) // 2 + j]
        for k in range(j + 1, p):
            left, other = normal[k * (k + 1) // 2 + j], right[k]
            for i in range(LANES):
                here[i] -= left[i] * other[i]
        for i in range(LANES):
            here[i] *= pivot[i]


@njit(nogil=True, error_model="numpy")
def solve_block(codes, values, rows, sums, p, least, enough, room, right, looks, squares, fits):  # type: ignore[no-untyped-def]
    """Least squares in the orthonormal basis: ``right`` the solution, ``squares`` of the values.

    ``fits`` is 1 where there are ``enough`` looks and the normal matrix is not singular; what the
    fit explains of the squares is left in ``room[2]``.
    """
    normal, one, explained = room
    _normal_block(codes, sums, one, normal, looks)
    _right_block(values, rows, right, squares)
    for i in range(LANES):
        fits[i] = 1.0 if looks[i] >= enough else 0.0
    _factor(normal, p, least, fits)
    _forward(normal, p, right, explained)
    _backward(normal, p, right)


@njit(nogil=True, error_model="numpy")
def residual_block(codes, bits, values, rows, solution, residuals, squares):  # type: ignore[no-untyped-def]
    """Observed minus fitted, NaN where not seen, and the sum of squares."""
    squares[:] = 0.0
    for t in range(residuals.shape[0]):
        residual, value, code = residuals[t], values[t], codes[t // bits]
        bit = np.int32(1 << (t % bits))
        for i in range(LANES):
            residual[i] = value[i]
        for k in range(0, rows.shape[0], REGRESSORS_TOGETHER):
            a, b, c = rows[k, t], rows[k + 1, t], rows[k + 2, t]
            at_a, at_b, at_c = solution[k], solution[k + 1], solution[k + 2]
            for i in range(LANES):
                residual[i] -= (a * at_a[i] + b * at_b[i]) + c * at_c[i]
        for i in range(LANES):
            seen = (code[i] & bit) != 0
            r = residual[i]
            squares[i] += r * r if seen else 0.0
            residual[i] = r if seen else np.nan


@njit(nogil=True, error_model="numpy")
def turn_block(back, solution, coefficients):  # type: ignore[no-untyped-def]
    """Coefficients of the regressors from those of the orthonormal basis."""
    for k in range(back.shape[0]):
        out = coefficients[k]
        out[:] = 0.0
        for j in range(k, back.shape[0]):
            share, source = back[k, j], solution[j]
            for i in range(LANES):
                out[i] += share * source[i]


@njit(nogil=True, error_model="numpy")
def block_room(rows, sums, p):  # type: ignore[no-untyped-def]
    """Scratch of :func:`solve_block`: normal matrices, one of them, squares explained."""
    normal = np.empty((p * (p + 1) // 2, LANES), rows.dtype)
    return normal, np.empty(sums.shape[2], rows.dtype), np.empty(LANES, rows.dtype)


@njit(nogil=True, error_model="numpy")
def predict_row(regressors, coefficients, first, fitted):  # type: ignore[no-untyped-def]
    """Fitted values of one date, summed regressor by regressor: the same bits in any block."""
    fitted[:] = 0.0
    for k in range(regressors.shape[0]):
        x = regressors[k]
        row = coefficients[k, first : first + fitted.shape[0]]
        for i in range(fitted.shape[0]):
            fitted[i] += x * row[i]
