"""Two-stage samples: primary units first, then pixels within them; what varies is the unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.betting import least_ratio
from rs_monitor.estimation.designs import FirstStage, TwoStageRecord
from rs_monitor.estimation.stehman import Estimate

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TwoStageSample:
    """Points by draw of a primary unit.

    Attributes
    ----------
    place : ndarray of int, shape (points,)
        Position of each point's draw.
    points : ndarray of float, shape (draws,)
        Points of each draw.
    pixels : ndarray of float, shape (draws,)
        Pixels of the unit drawn.
    record : TwoStageRecord
        How it was drawn.
    """

    place: NDArray[np.intp]
    points: FloatArray
    pixels: FloatArray
    record: TwoStageRecord

    @property
    def by_size(self) -> bool:
        """Whether units were drawn in proportion to pixels."""
        return self.record.first_stage is FirstStage.PPS

    @property
    def size(self) -> FloatArray:
        """Size of each unit drawn over the mean size; 1 where size made it likelier."""
        if self.by_size:
            return np.ones_like(self.pixels)
        return self.pixels * self.record.units / self.record.pixels

    def means(self, values: ArrayLike) -> FloatArray:
        """Mean of each draw's points.

        Parameters
        ----------
        values : array_like of float, shape (points,)
        """
        heaps = np.bincount(self.place, np.asarray(values, dtype=np.float64), self.points.size)
        return np.asarray(heaps / self.points, dtype=np.float64)

    def of(self, read: NDArray[np.bool_]) -> TwoStageSample:
        """Only some of the points; draws without any drop out.

        Parameters
        ----------
        read : ndarray of bool, shape (points,)
        """
        kept, place = np.unique(self.place[read], return_inverse=True)
        points = np.bincount(place, minlength=kept.size).astype(np.float64)
        return TwoStageSample(place, points, self.pixels[kept], self.record)


def two_stage_sample(
    draw: ArrayLike, primary_unit: ArrayLike, record: TwoStageRecord
) -> TwoStageSample:
    """Points of a two-stage sample by draw.

    Parameters
    ----------
    draw, primary_unit : array_like of int, shape (points,)
        Draw of a primary unit each point belongs to, and the unit.
    record : TwoStageRecord

    Raises
    ------
    QuantityError
        If a unit is not of the design, or draws were left out.
    """
    sizes = {unit.id: float(unit.pixels) for unit in record.primary_units}
    _, first, place, points = np.unique(
        np.asarray(draw), return_index=True, return_inverse=True, return_counts=True
    )
    units = np.asarray(primary_unit)[first].tolist()
    strange = sorted(set(units) - set(sizes))
    if points.size != record.drawn or strange:
        raise QuantityError(
            f"got points of {points.size} draws, of units outside the design: {strange}; needed "
            f"all {record.drawn} draws, of the design's units; read the other units as well"
        )
    pixels = np.array([sizes[unit] for unit in units], dtype=np.float64)
    return TwoStageSample(place, points.astype(np.float64), pixels, record)


def two_stage_mean(values: ArrayLike, sample: TwoStageSample) -> Estimate:
    """Mean of a population from a two-stage sample.

    Parameters
    ----------
    values : array_like of float, shape (points,)
        Value of each point: 0 or 1 for a share.
    sample : TwoStageSample

    Returns
    -------
    Estimate
        Share of the population's pixels for 0/1 values; None without a point. No standard error
        for a single draw, or, for units drawn equally, where a unit was read at a single pixel.

    Notes
    -----
    Primary units drawn with replacement in proportion to pixels: the mean of the means of the
    draws, variance ``sum (y_i - y)**2 / (n (n - 1))``, unbiased whatever the subsamples (Cochran
    1977, Sampling Techniques, section 11.9). Drawn equally without replacement: ratio to size,
    eq. 11.30, with a part for either stage.
    """
    y, means = np.asarray(values, dtype=np.float64), sample.means(values)
    if not means.size:
        return Estimate(None, None)
    weight = np.ones_like(means) if sample.by_size else sample.pixels
    value = float(weight @ means / weight.sum())
    alone = not sample.by_size and ((sample.points < 2) & (sample.pixels > 1)).any()
    if means.size < 2 or alone:
        return Estimate(value, None)
    between = float((weight**2 * (means - value) ** 2).sum()) / (means.size - 1)
    if sample.by_size:
        return Estimate(value, math.sqrt(between / means.size))
    return Estimate(value, _drawn_equally(sample, between, (y - means[sample.place]) ** 2))


def _drawn_equally(sample: TwoStageSample, between: float, squares: FloatArray) -> float:
    n, units, points = sample.points.size, sample.record.units, sample.points
    # a unit of a single pixel has no spread
    variance = sample.means(squares) * points / np.maximum(points - 1, 1)
    rest = (1.0 - points / sample.pixels) * variance
    within = float((sample.pixels**2 * rest / points).sum())
    total = units**2 * (1.0 - n / units) / n * between + units / n * within
    return math.sqrt(total) / sample.record.pixels


def two_stage_ratio(
    numerator: ArrayLike, denominator: ArrayLike, sample: TwoStageSample
) -> Estimate:
    """Ratio of two means, such as a user's or producer's accuracy.

    Parameters
    ----------
    numerator, denominator : array_like of float, shape (points,)
        Values of each point; for user's accuracy, right and in the class, and in the class.
    sample : TwoStageSample

    Returns
    -------
    Estimate
        None where no point is in the denominator.

    Notes
    -----
    Variance by linearisation (Cochran 1977, section 6.13): that of the mean of ``y - R x``,
    divided by the mean of ``x``.
    """
    y, x = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    above, below = two_stage_mean(y, sample).value, two_stage_mean(x, sample).value
    if above is None or not below:
        return Estimate(None, None)
    ratio = above / below
    error = two_stage_mean(y - ratio * x, sample).standard_error
    return Estimate(ratio, None if error is None else error / below)


def usual_interval(
    found: Estimate, sample: TwoStageSample, confidence: float
) -> tuple[float, float] | None:
    """Student's interval: as many degrees of freedom as draws less one, however many pixels.

    Of zero width where all draws are alike: not to be trusted there.

    Parameters
    ----------
    found : Estimate
    sample : TwoStageSample
    confidence : float
    """
    if found.value is None or found.standard_error is None:
        return None
    tail = (1.0 + confidence) / 2.0
    reach = float(stats.t.ppf(tail, sample.points.size - 1)) * found.standard_error
    return found.value - reach, found.value + reach


def two_stage_bound(
    part: NDArray[np.bool_],
    whole: NDArray[np.bool_],
    sample: TwoStageSample,
    *,
    confidence: float,
    full_stake: float,
    known_whole: float | None = None,
) -> float:
    """Certified lower bound of the share of some points in others: holds by theorem.

    Parameters
    ----------
    part, whole : ndarray of bool, shape (points,)
        The part lies in the whole; contested and unread points are not of the part, and of the
        whole if they may be.
    sample : TwoStageSample
        All draws and points, read or not.
    confidence : float
    full_stake : float
        See `rs_monitor.estimation.betting.least_ratio`.
    known_whole : float, optional
        Share of the population in the whole, where the map tells.

    Notes
    -----
    The mean of a draw's points is unbiased for its unit, whatever the subsample, and draws are
    independent (in proportion to size) or without replacement (equally): all that
    `least_ratio` needs. Pixels of a unit may be as alike as they like.
    """
    bound = least_ratio(
        sample.means(part),
        sample.means(whole),
        sample.size,
        confidence=confidence,
        full_stake=full_stake,
        known_whole=known_whole,
    )
    return float(bound)
