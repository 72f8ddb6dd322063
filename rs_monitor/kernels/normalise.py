"""Radiometric normalisation of one date to another: lines through invariant pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_monitor.kernels.change import Float64

HOLD_OUT = 3
"""Every third invariant pixel is kept from the fit to test it, as Canty & Nielsen (2008) do."""


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums of one set of pixels, by band; each date less its origin.

    Attributes
    ----------
    count : float
    x, y, xx, yy, xy : ndarray of float64, shape (p,)
        Of the date to normalise (x) and the reference (y).
    """

    count: float
    x: Float64
    y: Float64
    xx: Float64
    yy: Float64
    xy: Float64

    def __add__(self, other: PairSums) -> PairSums:
        return PairSums(
            self.count + other.count,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.yy + other.yy,
            self.xy + other.xy,
        )


def pair_sums(
    x: NDArray[np.floating], y: NDArray[np.floating], invariant: NDArray[np.bool_], origin: Float64
) -> tuple[PairSums, PairSums]:
    """Sum up the invariant pixels of a block: those to fit on, and those held out.

    Parameters
    ----------
    x, y : ndarray of float, shape (p, n)
        The date to normalise and the reference.
    invariant : ndarray of bool, shape (n,)
    origin : ndarray of float64, shape (2p,)
        Subtracted first, x then y.
    """
    chosen = np.flatnonzero(invariant)
    held = np.arange(chosen.size) % HOLD_OUT == HOLD_OUT - 1
    return (_sums(x, y, chosen[~held], origin), _sums(x, y, chosen[held], origin))


def _sums(
    x: NDArray[np.floating], y: NDArray[np.floating], chosen: NDArray[np.intp], origin: Float64
) -> PairSums:
    p = len(x)
    one = x[:, chosen].astype(np.float64) - origin[:p, None]
    other = y[:, chosen].astype(np.float64) - origin[p:, None]
    products = [(a * b).sum(axis=1) for a, b in [(one, one), (other, other), (one, other)]]
    return PairSums(float(chosen.size), one.sum(axis=1), other.sum(axis=1), *products)


def orthogonal_line(sums: PairSums, origin: Float64) -> tuple[Float64, Float64]:
    """Slope and intercept of each band's orthogonal regression, both dates taken as noisy.

    Parameters
    ----------
    sums : PairSums
    origin : ndarray of float64, shape (2p,)
        The origin they were taken about.

    Returns
    -------
    slope, intercept : ndarray of float64, shape (p,)
        Of ``y = intercept + slope x``.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the dates of a band do not vary together.

    Notes
    -----
    Canty & Nielsen (2008), doi:10.1016/j.rse.2007.07.013, equations 12-13: the first principal
    axis of the pixels of the two dates.
    """
    sxx, syy, sxy = _covariances(sums)
    if np.any(sxy == 0.0):
        raise np.linalg.LinAlgError("the dates of a band do not vary together")
    gap = syy - sxx
    slope = (gap + np.sqrt(gap**2 + 4.0 * sxy**2)) / (2.0 * sxy)
    p = len(slope)
    x_mean = sums.x / sums.count + origin[:p]
    return slope, sums.y / sums.count + origin[p:] - slope * x_mean


def _covariances(sums: PairSums) -> tuple[Float64, Float64, Float64]:
    n = sums.count
    x, y = sums.x / n, sums.y / n
    return sums.xx / n - x * x, sums.yy / n - y * y, sums.xy / n - x * y


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How a line does on pixels it was not fitted to, by band.

    Attributes
    ----------
    mean_difference, deviation : ndarray of float64, shape (p,)
        Of normalised less reference, units of the reference.
    t : ndarray of float64, shape (p,)
        Paired t statistic of equal means.
    variance_ratio : ndarray of float64, shape (p,)
        F statistic: variance of the normalised over that of the reference.
    """

    mean_difference: Float64
    deviation: Float64
    t: Float64
    variance_ratio: Float64


def held_out(sums: PairSums, origin: Float64, slope: Float64, intercept: Float64) -> HeldOut:
    """Test lines on held-out pixels, from their sums alone.

    Parameters
    ----------
    sums : PairSums
        Of the held-out pixels.
    origin : ndarray of float64, shape (2p,)
        The origin they were taken about.
    slope, intercept : ndarray of float64, shape (p,)
    """
    n, p = sums.count, len(slope)
    sxx, syy, sxy = _covariances(sums)
    x_mean, y_mean = sums.x / n + origin[:p], sums.y / n + origin[p:]
    difference = intercept + slope * x_mean - y_mean
    variance = np.maximum(slope**2 * sxx + syy - 2.0 * slope * sxy, 0.0) * n / (n - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(variance / n)
        ratio = slope**2 * sxx / syy
    return HeldOut(difference, np.sqrt(variance), t, ratio)
