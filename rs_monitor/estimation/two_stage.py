"""Means of two-stage samples: primary units first, then pixels within them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.designs import FirstStage, TwoStageRecord

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error.

    Attributes
    ----------
    value, standard_error : float
        In the unit of the values.
    degrees_of_freedom : int
        Of Student's t: draws of primary units less one, however many pixels were read.
    """

    value: float
    standard_error: float
    degrees_of_freedom: int


@dataclass(frozen=True, slots=True)
class _Draws:
    """What was seen of each draw of a primary unit."""

    pixels: FloatArray
    points: FloatArray
    mean: FloatArray
    variance: FloatArray


def two_stage_mean(
    values: ArrayLike, draw: ArrayLike, primary_unit: ArrayLike, record: TwoStageRecord
) -> Estimate:
    """Mean of a population from a two-stage sample.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        Value of each point: 0 or 1 for a share.
    draw : array_like of int, shape (n,)
        Draw of a primary unit each point belongs to.
    primary_unit : array_like of int, shape (n,)
        Primary unit of each point.
    record : TwoStageRecord
        How the sample was drawn.

    Returns
    -------
    Estimate
        Share of the population's pixels for 0/1 values.

    Raises
    ------
    QuantityError
        If fewer than two draws were read, a unit is not of the design, or, for units drawn
        equally, a unit was read at a single pixel.

    Notes
    -----
    Primary units drawn with replacement in proportion to pixels: the mean of the means of the
    draws, variance ``sum (y_i - y)**2 / (n (n - 1))``, unbiased whatever the subsamples (Cochran
    1977, Sampling Techniques, section 11.9). Drawn equally without replacement: ratio to size,
    eq. 11.30, with a part for either stage.
    """
    seen = _by_draw(
        np.asarray(values, dtype=np.float64), np.asarray(draw), np.asarray(primary_unit), record
    )
    if record.first_stage is FirstStage.PPS:
        return _drawn_by_size(seen)
    return _drawn_equally(seen, record)


def two_stage_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    draw: ArrayLike,
    primary_unit: ArrayLike,
    record: TwoStageRecord,
) -> Estimate:
    """Ratio of two means, such as a user's or producer's accuracy.

    Parameters
    ----------
    numerator, denominator : array_like of float, shape (n,)
        Values of each point; for user's accuracy, right and in the class, and in the class.
    draw, primary_unit, record
        As in :func:`two_stage_mean`.

    Notes
    -----
    Variance by linearisation (Cochran 1977, section 6.13): that of the mean of ``y - R x``,
    divided by the mean of ``x``.
    """
    y, x = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    below = two_stage_mean(x, draw, primary_unit, record)
    if not below.value > 0:
        raise QuantityError(
            "got a sample in which the denominator is 0; needed points of the class; draw more, or "
            "make the class a stratum"
        )
    ratio = two_stage_mean(y, draw, primary_unit, record).value / below.value
    rest = two_stage_mean(y - ratio * x, draw, primary_unit, record)
    return Estimate(ratio, rest.standard_error / below.value, rest.degrees_of_freedom)


def _by_draw(
    values: FloatArray,
    draw: NDArray[np.int64],
    primary_unit: NDArray[np.int64],
    record: TwoStageRecord,
) -> _Draws:
    sizes = {unit.id: unit.pixels for unit in record.primary_units}
    draws, first, place, points = np.unique(
        draw, return_index=True, return_inverse=True, return_counts=True
    )
    units = primary_unit[first]
    strange = sorted(set(units.tolist()) - set(sizes))
    if draws.size < 2 or strange:
        raise QuantityError(
            f"got points of {draws.size} draws, of units outside the design: {strange}; needed two "
            "draws or more of the design's units; read the points of the other units as well"
        )
    mean = np.bincount(place, weights=values) / points
    squares = np.bincount(place, weights=(values - mean[place]) ** 2)
    with np.errstate(invalid="ignore"):
        variance = squares / (points - 1)
    pixels = np.array([sizes[unit] for unit in units.tolist()], dtype=np.float64)
    return _Draws(pixels, points.astype(np.float64), mean, variance)


def _drawn_by_size(seen: _Draws) -> Estimate:
    n = seen.mean.size
    value = float(seen.mean.mean())
    variance = float(((seen.mean - value) ** 2).sum()) / (n * (n - 1))
    return Estimate(value, math.sqrt(variance), n - 1)


def _drawn_equally(seen: _Draws, record: TwoStageRecord) -> Estimate:
    n, units = seen.mean.size, record.units
    if ((seen.points < 2) & (seen.pixels > 1)).any():
        raise QuantityError(
            "got a primary unit read at one pixel; its spread cannot be known; needed two or more "
            "of each; read the other points of the unit"
        )
    value = float((seen.pixels * seen.mean).sum() / seen.pixels.sum())
    between = float((seen.pixels**2 * (seen.mean - value) ** 2).sum()) / (n - 1)
    rest = (1.0 - seen.points / seen.pixels) * np.nan_to_num(seen.variance)
    within = float((seen.pixels**2 * rest / seen.points).sum())
    variance = units**2 * (1.0 - n / units) / n * between + units / n * within
    return Estimate(value, math.sqrt(variance) / record.pixels, n - 1)
