"""Automatic thresholds of a change magnitude, named with their figures; probability of change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import chi2

from rs_monitor.errors import NoObservations
from rs_monitor.kernels.threshold import BIN_WIDTH, BINS, otsu, quantile, two_means

ThresholdRule = Literal["kmeans", "otsu", "chi2", "chi2_rescaled"]


@dataclass(frozen=True)
class Threshold:
    """A cut through a magnitude and how it was found.

    Attributes
    ----------
    rule : str
    value : float
        Magnitudes (roots of the statistic) above it are change.
    p : float or None
        Tail probability, for the chi-square rules.
    degrees : float
        Of freedom of the statistic.
    scale : float
        The squared magnitude divided by it is taken for the chi-square variate.
    """

    rule: ThresholdRule
    value: float
    p: float | None
    degrees: float
    scale: float

    @property
    def text(self) -> str:
        """Rule and figures for the attributes of the output."""
        if self.p is None:
            return f"{self.rule}: magnitude > {self.value:.6g}"
        figures = f"p={self.p:g}, {self.degrees:.4g} degrees of freedom, scale {self.scale:.4g}"
        if self.rule == "chi2_rescaled":
            figures += " by the median"
        return f"{self.rule}: magnitude > {self.value:.6g} ({figures})"


def find_threshold(
    table: NDArray[np.float64],
    rule: ThresholdRule,
    *,
    degrees: float,
    scale: float = 1.0,
    p: float | None = None,
) -> Threshold:
    """Cut a magnitude by its histogram.

    Parameters
    ----------
    table : ndarray of float64, shape (2, BINS)
        Histogram of the magnitudes of the zone (:func:`rs_monitor.kernels.threshold.histogram`).
    rule : str
        ``kmeans`` and ``otsu`` split the values into two groups; ``chi2`` cuts where an unchanged
        pixel would lie with probability ``p`` were the statistic a chi-square; ``chi2_rescaled``
        first divides it so that its median is that of the chi-square.
    degrees, scale : float
        Of the chi-square the squared magnitude is by the method: degrees of freedom, and the
        factor it is divided by.
    p : float, optional
        Needed by the chi-square rules only.

    Returns
    -------
    Threshold

    Raises
    ------
    NoObservations
        If the magnitude is one and the same everywhere.
    ValueError
        If ``p`` is missing, not between 0 and 1, or given to a rule that has none.

    Notes
    -----
    After reweighting the no-change variance is too narrow, so ``chi2`` flags many times ``p`` of
    the unchanged pixels; ``chi2_rescaled`` mends the scale but not the shape: where noise differs
    from place to place its share is still above ``p``. The median is taken over all pixels, which
    errs towards fewer alarms the more has changed.
    """
    if (p is not None) != rule.startswith("chi2"):
        raise ValueError(
            f"got p={p} for the rule {rule}; needed a tail probability for the chi-square rules "
            "and none for the others; pass p with chi2 or chi2_rescaled only"
        )
    if p is not None and not 0.0 < p < 1.0:
        raise ValueError(f"got p={p}; needed 0 < p < 1; pass e.g. p=0.01")
    if rule == "chi2_rescaled":
        scale = unchanged_scale(table, degrees)
    if p is not None:
        value = float(np.sqrt(scale * chi2.isf(p, degrees)))
        return Threshold(rule, value, p, degrees, scale)
    try:
        value = two_means(table) if rule == "kmeans" else otsu(table)
    except ValueError as error:
        raise NoObservations(
            "got one and the same change magnitude everywhere; needed some contrast to cut; check "
            "that the two dates are different scenes"
        ) from error
    return Threshold(rule, value, None, degrees, scale)


def unchanged_scale(table: NDArray[np.float64], degrees: float) -> float:
    """Factor by which the squared magnitudes exceed a chi-square variate, from their median."""
    try:
        return float(quantile(table, 0.5) ** 2 / chi2.median(degrees))
    except ValueError as error:
        raise NoObservations(
            "got half of the pixels so far apart that a few equal ones set the scale of no change; "
            "needed two dates most of which is alike; check their masks and nodata"
        ) from error


def probability_curve(
    table: NDArray[np.float64], degrees: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability of change as a function of the magnitude.

    Parameters
    ----------
    table : ndarray of float64, shape (2, BINS)
        Histogram of the magnitudes of the zone.
    degrees : float
        Degrees of freedom of the squared magnitude.

    Returns
    -------
    magnitudes, probabilities : ndarray of float64, shape (k,)
        Both rising; linear in between, constant beyond.

    Notes
    -----
    One less the local false discovery rate of Efron (2004), doi:10.1198/016214504000000089:
    ``P = 1 - f0 / f``, f0 the density of the robustly rescaled chi-square, f that of the zone's
    values, their ratio made monotone by isotonic regression. The share of unchanged pixels is
    taken as 1, so P is a lower bound given f0, and 0 where the values are as the chi-square has
    them. It answers "is this pixel like the bulk of the scene", so it is no probability of a
    lasting change.
    """
    counts = table[0]
    last = int(np.flatnonzero(counts)[-1])
    edges = np.arange(last + 2) * BIN_WIDTH
    if last == BINS - 1:
        edges[-1] = np.inf
    scale = unchanged_scale(table, degrees)
    expected = counts.sum() * -np.diff(chi2.sf(edges**2 / max(scale, 1e-300), degrees))
    expected = np.maximum(expected, 1e-9)
    fitted = isotonic_regression(counts[: last + 1] / expected, weights=expected)
    starts = fitted.blocks[:-1]
    middles = (starts + fitted.blocks[1:]) / 2.0 * BIN_WIDTH
    ratios = np.maximum(fitted.x[starts], 1.0)
    return middles, 1.0 - 1.0 / ratios
