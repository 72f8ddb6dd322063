"""Where the magnitude of the combined method is cut, and the log-odds of change around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma
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
    k-means always finds two groups. There is one where the noise of the lower group explains the
    upper one: were its log magnitude normal, with the median and the lower half it has (change does
    not reach them), about as many pixels would lie above the cut. This empirical null is that of
    Efron (2004), doi:10.1198/016214504000000089. The log magnitude must also spread little more
    than that of a chi-square: wide groups explain one another. Then a pixel must exceed the noise.
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
    (lower, one), (upper, other) = (_spread(logs[g], weights[g]) for g in (low, ~low))
    share = float(weights[~low].sum())
    middle, below = (_quantile(logs[low], weights[low], part) for part in (0.5, norm.cdf(-1.0)))
    noise, steps = max(middle - below, 1e-6), float(norm.isf(rules.unchanged_tail))
    explained = float(norm.sf((at - middle) / noise))
    alone = share < rules.min_excess * explained and _is_narrow(logs, weights, bands, rules)
    if alone and middle + steps * noise > at:
        return Cut(middle + steps * noise, steps / noise, "noise")
    within = (1.0 - share) * one**2 + share * other**2
    return Cut(at, (upper - lower) / within, "kmeans")


def _is_narrow(
    logs: NDArray[np.float64], weights: NDArray[np.float64], bands: int, rules: CombinedRules
) -> bool:
    """Whether log magnitudes spread like those of a chi-square: half the root of a trigamma."""
    _, deviation = _spread(logs, weights)
    return deviation < rules.max_unchanged_spread * 0.5 * float(np.sqrt(polygamma(1, bands / 2.0)))


def _spread(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    mean = float(np.average(values, weights=weights))
    variance = float(np.average((values - mean) ** 2, weights=weights))
    return mean, max(float(np.sqrt(variance)), 1e-6)


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    up_to = np.cumsum(weights)
    return float(values[np.searchsorted(up_to, share * up_to[-1])])
