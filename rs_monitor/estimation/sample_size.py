"""How many points are needed for a standard error, or for a bound."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from rs_monitor.errors import QuantityError

FloatArray = NDArray[np.float64]


def deviation_of_share(shares: ArrayLike) -> FloatArray:
    """Standard deviation of a 0/1 value with the given share of ones.

    Parameters
    ----------
    shares : array_like of float, shape (k,)
        0 to 1: user's accuracies conjectured, or shares of a class within strata.
    """
    p = np.asarray(shares, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise QuantityError(f"got shares {p.tolist()}; needed 0 to 1; give fractions, not percent")
    return np.sqrt(p * (1 - p))


def points_for_mean(
    units: ArrayLike,
    deviations: ArrayLike,
    standard_error: float,
    *,
    shares: ArrayLike | None = None,
) -> int:
    """Points needed for a standard error of a stratified mean.

    Parameters
    ----------
    units : array_like of int, shape (k,)
        Units of each stratum.
    deviations : array_like of float, shape (k,)
        Standard deviation within each stratum.
    standard_error : float
        Wanted, in the unit of the mean.
    shares : array_like of float, shape (k,), optional
        Share of the points in each stratum; by default the best (Neyman).

    Returns
    -------
    int
        At most the units there are.

    Notes
    -----
    Cochran 1977, eq. 5.25; with an infinite population eq. 13 of Olofsson et al. 2014,
    ``n = (sum W S / SE)**2``. The correction for finite strata is kept.
    """
    held = np.asarray(units, dtype=np.float64)
    total = held.sum()
    if not standard_error > 0 or not total > 0:
        raise QuantityError(
            f"got a standard error of {standard_error} for {total:g} units; needed both above 0; "
            "0.01 is one percent"
        )
    weights, spread = held / total, np.asarray(deviations, dtype=np.float64)
    if shares is None:
        variance = (weights * spread).sum() ** 2
    else:
        part = np.asarray(shares, dtype=np.float64) / np.sum(shares)
        needed = weights * spread > 0
        if (part[needed] == 0).any():
            raise QuantityError(
                "got a share of 0 for a stratum that varies; needed points in each; raise it"
            )
        variance = float((weights[needed] ** 2 * spread[needed] ** 2 / part[needed]).sum())
    finite = (weights * spread**2).sum() / total
    return min(max(1, _ceil(variance / (standard_error**2 + finite))), int(total))


def points_for_overall_accuracy(
    units: ArrayLike, users_accuracy: ArrayLike, standard_error: float
) -> int:
    """Points needed for a standard error of overall accuracy, strata being map classes.

    Parameters
    ----------
    units : array_like of int, shape (k,)
        Pixels of each map class.
    users_accuracy : array_like of float, shape (k,)
        Conjectured user's accuracy of each.
    standard_error : float
        Wanted, as a fraction.
    """
    return points_for_mean(units, deviation_of_share(users_accuracy), standard_error)


def points_for_area(
    units: ArrayLike,
    class_shares: ArrayLike,
    standard_error_m2: float,
    area_m2: float,
    *,
    shares: ArrayLike | None = None,
) -> int:
    """Points needed for a standard error of a class's area.

    Parameters
    ----------
    units : array_like of int, shape (k,)
        Units of each stratum.
    class_shares : array_like of float, shape (k,)
        Conjectured share of the class within each stratum (its user's accuracy in its own, what
        was missed elsewhere).
    standard_error_m2 : float
        Wanted.
    area_m2 : float
        Area of all strata.
    shares : array_like of float, shape (k,), optional
        As in :func:`points_for_mean`.
    """
    deviations = deviation_of_share(class_shares)
    return points_for_mean(units, deviations, standard_error_m2 / area_m2, shares=shares)


def points_for_users_accuracy(users_accuracy: float, standard_error: float, units: int) -> int:
    """Points a map class needs for a standard error of its user's accuracy.

    Parameters
    ----------
    users_accuracy : float
        Conjectured.
    standard_error : float
        Wanted, as a fraction.
    units : int
        Pixels of the class.

    Notes
    -----
    Cochran 1977, eq. 4.1 and 4.2: ``n0 = p q / SE**2``, ``n = n0 / (1 + n0 / N)``.
    """
    return points_for_mean([units], deviation_of_share([users_accuracy]), standard_error)


def points_for_bound(
    limit: float, confidence: float, *, errors: int = 0, units: int | None = None
) -> int:
    """Points needed so that no more than ``errors`` errors certify a share below ``limit``.

    Parameters
    ----------
    limit : float
        Share of errors to be ruled out, 0 to 1.
    confidence : float
        One-sided level.
    errors : int
        Errors that may be seen.
    units : int, optional
        Units of the stratum; drawn without replacement, a small one needs fewer points.

    Returns
    -------
    int
        Smallest number for which ``errors`` or fewer among them have a probability of at most
        ``1 - confidence`` if the share were ``limit``. Without errors close to ``3 / limit`` at
        95 % (rule of three: Hanley & Lippman-Hand 1983, doi:10.1001/jama.1983.03330370053031).

    Raises
    ------
    QuantityError
        If ``limit`` or ``confidence`` is not between 0 and 1, or the stratum is too small.
    """
    if not 0 < limit < 1 or not 0 < confidence < 1 or errors < 0:
        raise QuantityError(
            f"got a limit of {limit}, a confidence of {confidence} and {errors} errors; needed "
            "fractions between 0 and 1 and at least 0 errors; 5 percent is 0.05"
        )
    tail = 1 - confidence
    high = errors + 1
    most = math.inf if units is None else units
    while high < most and _chance(errors, high, limit, units) > tail:
        high *= 2
    high = int(min(high, most))
    if _chance(errors, high, limit, units) > tail:
        raise QuantityError(
            f"got {units} units; with {errors} errors seen even all of them rule out no share of "
            f"{limit:g}; needed fewer errors or a wider limit; change one"
        )
    low = errors
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if _chance(errors, middle, limit, units) <= tail else (middle, high)
        )
    return high


def _chance(errors: int, points: int, limit: float, units: int | None) -> float:
    """Probability of so few errors if their share were the limit."""
    if units is None:
        return float(stats.binom.cdf(errors, points, limit))
    wrong = _ceil(Fraction(str(limit)) * units)
    return float(stats.hypergeom.cdf(errors, units, wrong, points))


def _ceil(value: float | Fraction) -> int:
    """Round up, but not for the rounding of floats."""
    return math.ceil(value - 1e-9 * abs(value)) if isinstance(value, float) else math.ceil(value)
