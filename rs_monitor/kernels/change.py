"""Two-date change: iteratively reweighted multivariate alteration detection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.chi_square import KEEPS_NAN, LANES, survival_lanes

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted moments of stacked before/after pixels.

    Attributes
    ----------
    weight : float
        Sum of the weights.
    first : ndarray of float64, shape (2p,)
        Weighted sums of the bands, before then after, each less its origin.
    second : ndarray of float64, shape (2p, 2p)
        Weighted sums of products of the same.
    """

    weight: float
    first: Float64
    second: Float64

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.weight + other.weight, self.first + other.first, self.second + other.second
        )


@dataclass(frozen=True, slots=True)
class MadTransform:
    """Linear map from band values to change variates: ``a' (x - mean) - b' (y - mean)``.

    Attributes
    ----------
    before, after : ndarray of float64, shape (p, p)
        Columns are the vectors of the two dates, scaled so that each variate of MAD and slow
        features has unit no-change variance.
    centre : ndarray of float64, shape (2p,)
        No-change means of the bands, before then after.
    correlations : ndarray of float64, shape (p,)
        Correlation of each pair of variates, descending.
    """

    before: Float64
    after: Float64
    centre: Float64
    correlations: Float64

    @property
    def offset(self) -> Float64:
        """What the projection of raw values is lowered by."""
        p = len(self.before)
        offset: Float64 = self.before.T @ self.centre[:p] - self.after.T @ self.centre[p:]
        return offset

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Coefficients of the stacked dates, shape (p, 2p)."""
        both = np.hstack([self.before.T, -self.after.T])
        return np.ascontiguousarray(both, dtype=np.float32)


@njit(nogil=True, error_model="numpy", fastmath=KEEPS_NAN)
def _load(before, after, start, n, about, rows, seen):  # type: ignore[no-untyped-def]
    """Copy pixels about a centre; a pixel not seen at both dates, or past the end, is zero."""
    p = before.shape[0]
    for j in range(2 * p):
        row, centre = rows[j], about[j]
        source = before[j] if j < p else after[j - p]
        here = source[start : start + n]
        for i in range(n):
            row[i] = np.float32(here[i] - centre)
        row[n:] = np.float32(0.0)
    seen[:n] = np.float32(1.0)
    seen[n:] = np.float32(0.0)
    for j in range(2 * p):
        row = rows[j]
        for i in range(LANES):
            seen[i] = seen[i] if abs(row[i]) < np.float32(1e38) else np.float32(0.0)
    for j in range(2 * p):
        row = rows[j]
        for i in range(LANES):
            row[i] = row[i] if seen[i] > np.float32(0.0) else np.float32(0.0)


@njit(nogil=True, error_model="numpy", fastmath=KEEPS_NAN)
def _squares(rows, vectors, variate, out):  # type: ignore[no-untyped-def]
    """Sum of squared variates of ``LANES`` pixels; ``vectors`` is (variates, 2p)."""
    p = rows.shape[0] // 2
    out[:] = np.float32(0.0)
    for k in range(vectors.shape[0]):
        variate[:] = np.float32(0.0)
        for j in range(p):
            one, other = rows[j], rows[p + j]
            a, b = vectors[k, j], vectors[k, p + j]
            for i in range(LANES):
                variate[i] += a * one[i] + b * other[i]
        for i in range(LANES):
            out[i] += variate[i] * variate[i]


@njit(nogil=True, error_model="numpy", fastmath=KEEPS_NAN)
def _add_sums(rows, weight, weighted, first, second):  # type: ignore[no-untyped-def]
    """Add the weighted sums of ``LANES`` pixels (float32) to those of all (float64)."""
    for j in range(rows.shape[0]):
        row = rows[j]
        total = np.float32(0.0)
        for i in range(LANES):
            weighted[i] = weight[i] * row[i]
            total += weighted[i]
        first[j] += total
        k = 0
        while k + 3 <= j:
            r0, r1, r2, r3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
            s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for i in range(LANES):
                s0 += weighted[i] * r0[i]
                s1 += weighted[i] * r1[i]
                s2 += weighted[i] * r2[i]
                s3 += weighted[i] * r3[i]
            second[j, k] += s0
            second[j, k + 1] += s1
            second[j, k + 2] += s2
            second[j, k + 3] += s3
            k += 4
        while k <= j:
            other = rows[k]
            total = np.float32(0.0)
            for i in range(LANES):
                total += weighted[i] * other[i]
            second[j, k] += total
            k += 1


@njit(nogil=True, error_model="numpy")
def _accumulate(before, after, about, vectors):  # type: ignore[no-untyped-def]
    """One pass: transform, chi-square, weight, sums about a centre (lower triangle)."""
    p, n = before.shape
    rows = np.empty((2 * p, LANES), np.float32)
    scratch = np.empty((6, LANES), np.float32)
    seen, weight, variate = scratch[0], scratch[1], scratch[2]
    half, term, total = scratch[3], scratch[4], scratch[5]
    first = np.zeros(2 * p)
    second = np.zeros((2 * p, 2 * p))
    count = np.float64(0.0)
    for start in range(0, n, LANES):
        _load(before, after, start, min(LANES, n - start), about, rows, seen)
        weight[:] = np.float32(1.0)
        if vectors.shape[0] > 0:
            _squares(rows, vectors, variate, weight)
            survival_lanes(weight, vectors.shape[0], half, term, total, weight)
        here = np.float32(0.0)
        for i in range(LANES):
            weight[i] *= seen[i]
            here += weight[i]
        count += here
        _add_sums(rows, weight, variate, first, second)
    return count, first, second


@njit(nogil=True, error_model="numpy")
def _chi2_all(before, after, about, vectors, out):  # type: ignore[no-untyped-def]
    p, n = before.shape
    rows = np.empty((2 * p, LANES), np.float32)
    seen = np.empty(LANES, np.float32)
    variate, squares = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for start in range(0, n, LANES):
        here = min(LANES, n - start)
        _load(before, after, start, here, about, rows, seen)
        _squares(rows, vectors, variate, squares)
        found = out[start : start + here]
        for i in range(here):
            found[i] = squares[i] if seen[i] > 0 else np.float32(np.nan)


def _about(moments: Moments, move: Float64) -> Moments:
    """The same moments about an origin ``move`` lower."""
    w, first = moments.weight, moments.first
    second = moments.second + np.outer(first, move) + np.outer(move, first)
    return Moments(w, first + w * move, second + w * np.outer(move, move))


def mad_moments(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    origin: Float64,
    transform: MadTransform | None = None,
) -> Moments:
    """Sum the weighted moments of one block for the next IR-MAD iteration.

    Parameters
    ----------
    before, after : ndarray of float, shape (p, n)
        Band values of n pixels at the two dates; a pixel with any NaN does not count.
    origin : ndarray of float64, shape (2p,)
        Rough band means, subtracted first so that float64 sums stay exact enough.
    transform : MadTransform, optional
        Last iteration; without it every pixel weighs 1.

    Returns
    -------
    Moments
        Sums that blocks add up.

    Notes
    -----
    Weights are the no-change probabilities of Nielsen (2007), IEEE TIP 16(2),
    doi:10.1109/TIP.2006.888195, section III. ``tests/kernels/test_change.py`` compares the
    result with a plain NumPy twin.
    """
    p = before.shape[0]
    if transform is None:
        centre, vectors = origin, np.empty((0, 2 * p), np.float32)
    else:
        centre, vectors = transform.centre, transform.vectors
    one, other = np.ascontiguousarray(before), np.ascontiguousarray(after)
    weight, first, second = _accumulate(one, other, centre, vectors)
    second = np.tril(second) + np.tril(second, -1).T
    return _about(Moments(weight, first, second), centre - origin)


def covariance_of(moments: Moments, origin: Float64) -> tuple[Float64, Float64]:
    """Mean and covariance of the stacked dates.

    Parameters
    ----------
    moments : Moments
        Sums over all blocks.
    origin : ndarray of float64, shape (2p,)
        The origin they were taken about.

    Returns
    -------
    ndarray of float64, shape (2p,)
        Weighted means of the bands, before then after.
    ndarray of float64, shape (2p, 2p)
        Weighted covariances.

    Raises
    ------
    ZeroDivisionError
        Without a single weighted pixel.
    """
    if moments.weight <= 0.0:
        raise ZeroDivisionError("no pixel is seen at both dates")
    mean = moments.first / moments.weight
    return mean + origin, moments.second / moments.weight - np.outer(mean, mean)


def mad_transform(moments: Moments, origin: Float64) -> MadTransform:
    """Solve the canonical correlation problem of one IR-MAD iteration.

    Parameters
    ----------
    moments : Moments
        Sums over all blocks.
    origin : ndarray of float64, shape (2p,)
        The origin they were taken about.

    Returns
    -------
    MadTransform
        Vectors scaled to unit no-change variance, correlations descending.

    Raises
    ------
    ZeroDivisionError
        Without a single weighted pixel.
    numpy.linalg.LinAlgError
        If a band is constant or a combination of the others.

    Notes
    -----
    Nielsen (2007), equations 2-8: ``Sxy Syy^-1 Syx a = rho^2 Sxx a``, b proportional to
    ``Syy^-1 Syx a``; variance of a variate ``2 (1 - rho)``.
    """
    centre, cov = covariance_of(moments, origin)
    p = len(origin) // 2
    sxx, syy, sxy = cov[:p, :p], cov[p:, p:], cov[:p, p:]
    inverse = np.linalg.inv(np.linalg.cholesky(sxx))
    kernel = inverse @ sxy @ np.linalg.solve(syy, sxy.T) @ inverse.T
    squares, vectors = np.linalg.eigh((kernel + kernel.T) / 2.0)
    order = np.argsort(squares)[::-1]
    rho = np.sqrt(np.clip(squares[order], 0.0, 1.0))
    a = inverse.T @ vectors[:, order]
    b = np.linalg.solve(syy, sxy.T @ a)
    b /= np.sqrt(np.einsum("ij,ik,kj->j", b, syy, b))
    scale = 1.0 / np.sqrt(2.0 * np.maximum(1.0 - rho, 1e-12))
    return MadTransform(a * scale, b * scale, centre, rho)


def mad_chi2(
    before: NDArray[np.floating], after: NDArray[np.floating], transform: MadTransform
) -> NDArray[np.float32]:
    """Sum of squared change variates of every pixel.

    Parameters
    ----------
    before, after : ndarray of float, shape (p, n)
        Band values; NaN = not seen.
    transform : MadTransform
        Fitted over the whole zone, by any of the methods.

    Returns
    -------
    ndarray of float32, shape (n,)
        Large where the ground changed; NaN where not seen. Not a calibrated chi-square: the
        reweighting narrows the no-change variance (29 % of unchanged pixels of six simulated bands
        exceed the 1 % point), so a threshold is found from the values, not from a table.
    """
    out = np.empty(before.shape[1], dtype=np.float32)
    one, other = np.ascontiguousarray(before), np.ascontiguousarray(after)
    _chi2_all(one, other, transform.centre, transform.vectors, out)
    return out
