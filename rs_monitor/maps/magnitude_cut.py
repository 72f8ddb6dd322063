"""Where the magnitude of the combined method is cut, and the log-odds of change around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, polygamma
from scipy.stats import norm

from rs_monitor.errors import NoObservations
from rs_monitor.kernels.threshold import two_means
from rs_monitor.maps.change_rules import CombinedRules


class Cut(NamedTuple):
    """Log-odds of change along the log of the magnitude.

    Attributes
    ----------
    at : float
        Log magnitude at which the odds are even.
    slope : float
    rule : str
        ``kmeans``, or ``noise`` where no two groups stand apart and the limit of the noise of the
        lower one lies above their cut.
    """

    at: float
    slope: float
    rule: str


def find_cut(table: NDArray[np.float64], bands: int, rules: CombinedRules) -> Cut:
    """Cut a magnitude into two groups; where there is but one, beyond its noise.

    Parameters
    ----------
    table : ndarray of float64, shape (2, BINS)
        Histogram of the magnitudes of the zone.
    bands : int
        Degrees of freedom of either chi-square.
    rules : CombinedRules

    Returns
    -------
    Cut

    Notes
    -----
    k-means always finds two groups. There is one where both hold: a mixture of two normal
    distributions of the log magnitude has Ashman's D below the limit (Ashman, Bird & Zepf 1994,
    doi:10.1086/117248), and the log magnitude spreads little more than that of a chi-square. Then
    a pixel must also exceed the noise of the lower group, told by its median and lower half, which
    change does not reach.
    """
    full = table[0] > 0
    weights = table[0][full] / table[0].sum()
    logs = np.log(np.maximum(table[1][full] / table[0][full], 1e-3))
    try:
        at = float(np.log(two_means(table)))
    except ValueError as error:
        raise NoObservations(
            "got one and the same change magnitude everywhere; needed some contrast to cut; check "
            "that the two dates are different scenes"
        ) from error
    low = logs <= at
    if _one_group(logs, weights, at, bands, rules):
        middle, below = (_quantile(logs[low], weights[low], share) for share in (0.5, norm.cdf(-1)))
        steps, deviation = float(norm.isf(rules.unchanged_tail)), max(middle - below, 1e-6)
        if middle + steps * deviation > at:
            return Cut(middle + steps * deviation, steps / deviation, "noise")
    (lower, one), (upper, other) = (_spread(logs[g], weights[g]) for g in (low, ~low))
    share = float(weights[~low].sum())
    within = (1.0 - share) * one**2 + share * other**2
    return Cut(at, (upper - lower) / within, "kmeans")


def _one_group(
    logs: NDArray[np.float64],
    weights: NDArray[np.float64],
    at: float,
    bands: int,
    rules: CombinedRules,
) -> bool:
    _, deviation = _spread(logs, weights)
    # the log of a chi-square root spreads by half the root of a trigamma
    alone = 0.5 * float(np.sqrt(polygamma(1, bands / 2.0)))
    narrow = deviation < rules.max_unchanged_spread * alone
    return narrow and _separation(logs, weights, at) < rules.min_separation


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    up_to = np.cumsum(weights)
    return float(values[np.searchsorted(up_to, share * up_to[-1])])


def _spread(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    mean = float(np.average(values, weights=weights))
    variance = float(np.average((values - mean) ** 2, weights=weights))
    return mean, max(float(np.sqrt(variance)), 1e-6)


def _separation(
    values: NDArray[np.float64], weights: NDArray[np.float64], start: float, rounds: int = 100
) -> float:
    """Ashman's D of a mixture of two normal distributions, by expectation maximisation."""
    chance = (values > start).astype(np.float64)
    for _ in range(rounds):
        share = float(np.clip((weights * chance).sum(), 1e-9, 1.0 - 1e-9))
        low, one = _spread(values, weights * (1.0 - chance) + 1e-15)
        high, other = _spread(values, weights * chance + 1e-15)
        odds = np.log(share / (1.0 - share)) + norm.logpdf(values, high, max(other, 0.01))
        chance = expit(odds - norm.logpdf(values, low, max(one, 0.01)))
    return float(np.sqrt(2.0) * abs(high - low) / np.hypot(one, other))
