"""How points are shared out among strata."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.errors import QuantityError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class SamplingRules(Model):
    """Numbers of the sampling designs."""

    min_points: int = Field(ge=2, description="points of the whole sample, at least")
    min_points_per_stratum: int = Field(ge=2, description="points of every stratum, at least")
    rare_share: float = Field(gt=0, lt=1, description="a stratum smaller than this is rare")
    rare_points: tuple[int, ...] = Field(
        min_length=1, description="points of each rare stratum: the largest that fits is taken"
    )
    max_rare_part: float = Field(gt=0, lt=1, description="of the sample that rare strata may take")
    expected_users_accuracy: float = Field(gt=0, lt=1, description="before anything is known")
    buffer_m: float = Field(gt=0, description="width of the buffer stratum around mapped change")
    confidence: float = Field(gt=0.5, lt=1, description="level of one-sided bounds")


def share_out(
    shares: ArrayLike, points: int, *, least: ArrayLike = 0, most: ArrayLike | None = None
) -> IntArray:
    """Share out whole points in proportion, by the largest remainder.

    Parameters
    ----------
    shares : array_like, shape (k,)
        Not negative; their sum need not be 1.
    points : int
        Points in all.
    least, most : array_like, shape (k,) or scalar
        Bounds of each stratum; ``most`` is usually its number of units and comes first.

    Returns
    -------
    ndarray of int64, shape (k,)
        Adds up to ``points`` exactly.

    Raises
    ------
    QuantityError
        If no such sharing exists, with the number of points that would do.

    Notes
    -----
    Strata held at a bound leave the others to share what remains, until none moves; the bound
    that is overstepped furthest in all is fixed first, as in water filling. Equal remainders go
    to the earlier stratum.
    """
    weights = np.asarray(shares, dtype=np.float64)
    high = np.full(weights.shape, points) if most is None else np.asarray(most, dtype=np.int64)
    low = np.minimum(np.broadcast_to(np.asarray(least, dtype=np.int64), weights.shape), high)
    _require_feasible(weights, points, low, high)
    free = np.ones(weights.size, dtype=bool)
    ideal = np.zeros(weights.size)
    while free.any():
        left = points - ideal[~free].sum()
        ideal[free] = left * _parts(weights[free])
        over, under = np.maximum(ideal - high, 0) * free, np.maximum(low - ideal, 0) * free
        if not (over.any() or under.any()):
            break
        held = over > 0 if over.sum() >= under.sum() else under > 0
        ideal[held] = np.where(over[held] > 0, high[held], low[held])
        free &= ~held
    return _whole(ideal, points, low, high)


def _require_feasible(weights: FloatArray, points: int, low: IntArray, high: IntArray) -> None:
    if weights.ndim != 1 or not weights.size or not (np.isfinite(weights) & (weights >= 0)).all():
        raise QuantityError(
            f"got shares {weights.tolist()}; needed one finite number of at least 0 for each "
            "stratum; leave empty strata out"
        )
    if not low.sum() <= points <= high.sum():
        raise QuantityError(
            f"got {points} points for strata that need {low.sum()} and hold {high.sum()}; needed a "
            "number between; ask for another number of points or merge small strata"
        )


def _parts(weights: FloatArray) -> FloatArray:
    total = weights.sum()
    return weights / total if total > 0 else np.full(weights.size, 1.0 / weights.size)


def _whole(ideal: FloatArray, points: int, low: IntArray, high: IntArray) -> IntArray:
    whole = np.clip(np.floor(ideal + 1e-9).astype(np.int64), low, high)
    missing = points - int(whole.sum())
    order = np.argsort(-(ideal - whole), kind="stable")
    while missing > 0:
        for stratum in order[whole[order] < high[order]][:missing]:
            whole[stratum] += 1
            missing -= 1
    return whole


def equal_allocation(units: ArrayLike, points: int) -> IntArray:
    """As many points in each stratum, none beyond its units.

    Parameters
    ----------
    units : array_like of int, shape (k,)
        Units of each stratum.
    points : int
        Points in all.
    """
    held = np.asarray(units, dtype=np.int64)
    return share_out((held > 0).astype(float), points, most=held)


def proportional_allocation(units: ArrayLike, points: int, *, least: int = 0) -> IntArray:
    """Points in proportion to units.

    Parameters
    ----------
    units : array_like of int, shape (k,)
        Units of each stratum.
    points : int
        Points in all.
    least : int
        Points of every stratum, or all of its units.
    """
    held = np.asarray(units, dtype=np.int64)
    return share_out(held.astype(float), points, least=least, most=held)


def neyman_allocation(
    units: ArrayLike, deviations: ArrayLike, points: int, *, least: int = 0
) -> IntArray:
    """Points in proportion to units times standard deviation: the least variance of the mean.

    Parameters
    ----------
    units : array_like of int, shape (k,)
        Units of each stratum.
    deviations : array_like of float, shape (k,)
        Standard deviation within each stratum; see :func:`.sample_size.deviation_of_share`.
    points : int
        Points in all.
    least : int
        Points of every stratum, or all of its units.

    Notes
    -----
    Cochran 1977, Sampling Techniques, eq. 5.26; a stratum whose share exceeds its units is taken
    whole and the rest is shared anew (5.8).
    """
    held = np.asarray(units, dtype=np.int64)
    weights = held * np.asarray(deviations, dtype=np.float64)
    return share_out(weights, points, least=least, most=held)


def rare_class_allocation(units: ArrayLike, points: int, rules: SamplingRules) -> IntArray:
    """The same fixed number in every rare stratum, the rest in proportion to units.

    Parameters
    ----------
    units : array_like of int, shape (k,)
        Units of each stratum.
    points : int
        Points in all.
    rules : SamplingRules
        What is rare, and how many points a rare stratum gets.

    Notes
    -----
    Olofsson et al. 2014, section 5.1.1 (doi:10.1016/j.rse.2014.02.015): 50 to 100 points for each
    rare class, then in proportion. Of ``rare_points`` the largest is taken that leaves the other
    strata their share of the sample; where none does, the smallest that is still possible.
    """
    held = np.asarray(units, dtype=np.int64)
    rare = (held > 0) & (held < rules.rare_share * held.sum())
    least = np.where(held > 0, rules.min_points_per_stratum, 0)
    if not rare.any() or rare.all():
        return share_out(held.astype(float), points, least=least, most=held)
    budget = rules.max_rare_part * points
    options = sorted(rules.rare_points, reverse=True)
    fitting = [n for n in options if np.minimum(n, held[rare]).sum() <= budget]
    fixed = np.minimum(fitting[0] if fitting else int(budget / rare.sum()), held)
    fixed = np.maximum(fixed, np.minimum(least, held))
    least = np.where(rare, fixed, least)
    return share_out(held.astype(float), points, least=least, most=held)


def require_enough(counts: Sequence[int], rules: SamplingRules) -> None:
    """Refuse a sample no interval can be drawn from.

    Raises
    ------
    QuantityError
        With fewer points in all than the rules need.
    """
    if sum(counts) < rules.min_points:
        raise QuantityError(
            f"got {sum(counts)} points; needed at least {rules.min_points} in all; ask for more"
        )
