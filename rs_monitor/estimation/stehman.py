"""The usual estimators under stratified random sampling, whatever the strata are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rs_monitor.estimation.intervals import Tally


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its standard error.

    Attributes
    ----------
    value : float or None
        None where a stratum has no sample, or the ratio no denominator.
    standard_error : float or None
        None also where a stratum has a single sample: its variance is undefined.
    """

    value: float | None
    standard_error: float | None

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """The usual symmetric interval, None without a standard error.

        Of zero width where every stratum was all right or all wrong: not to be trusted there.
        """
        if self.value is None or self.standard_error is None:
            return None
        reach = float(stats.norm.ppf((1.0 + confidence) / 2.0)) * self.standard_error
        return self.value - reach, self.value + reach


def stratified_total(counted: Tally) -> Estimate:
    """Ground that has a property.

    Parameters
    ----------
    counted : Tally

    Returns
    -------
    Estimate
        In the unit of ``counted.ground``.

    Notes
    -----
    Stehman 2014 (doi:10.1080/01431161.2014.930207), eq. 3 and 25, without the finite population
    correction; with strata that are map classes Olofsson et al. 2014
    (doi:10.1016/j.rse.2014.02.015), eq. 9 to 11.
    """
    if not counted.sampled.all():
        return Estimate(None, None)
    share = counted.hits / counted.sampled
    value = float(counted.ground @ share)
    return Estimate(value, _error(counted.ground, share * (1.0 - share), counted.sampled))


def stratified_ratio(part: Tally, whole: Tally) -> Estimate:
    """Share of one property within another: user's and producer's accuracy.

    Parameters
    ----------
    part, whole : Tally
        Counted in the same sample; every unit of the part belongs to the whole.

    Notes
    -----
    Combined ratio estimator, Stehman 2014 eq. 27 and 28; with strata that are map classes it
    gives eq. 2, 3, 6 and 7 of Olofsson et al. 2014.
    """
    if not whole.sampled.all():
        return Estimate(None, None)
    y, x = part.hits / part.sampled, whole.hits / whole.sampled
    total = float(whole.ground @ x)
    if total == 0.0:
        return Estimate(None, None)
    ratio = float(part.ground @ y) / total
    # variance of y - ratio * x, both 0 or 1, y only where x
    squares = y * (1.0 - ratio) ** 2 + (x - y) * ratio**2
    spread = np.maximum(squares - (y - ratio * x) ** 2, 0.0)
    error = _error(whole.ground, spread, whole.sampled)
    return Estimate(ratio, None if error is None else error / total)


def _error(
    ground: NDArray[np.float64], spread: NDArray[np.float64], sampled: NDArray[np.int64]
) -> float | None:
    """Standard error of a stratified total from the (biased) variances within strata."""
    if (sampled < 2).any():
        return None
    return float(np.sqrt(np.sum(ground**2 * spread / (sampled - 1))))
