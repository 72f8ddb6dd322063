"""Lower bounds of a mean that hold by theorem, whatever the spread: a bet against smaller ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import roots_legendre

FloatArray = NDArray[np.float64]

_LEAST = 1e-12
"""A bound below this is 0."""
_HALVINGS = 32
_AT_ONCE = 8
"""Draws multiplied before doublings are set apart; none grows by more than ten to the 36th."""


def least_ratio(
    part: ArrayLike,
    whole: ArrayLike,
    size: ArrayLike,
    *,
    confidence: float,
    full_stake: float,
    known_whole: ArrayLike | None = None,
) -> FloatArray:
    """Least ratio of two means that independent draws do not refute.

    Parameters
    ----------
    part, whole : array_like of float, shape (..., draws)
        Share of each draw's points that count, and of those that are asked about: ``0 <= part <=
        whole <= 1``. The whole is 1 throughout for a share of the population.
    size : array_like of float, shape (..., draws)
        Size of the unit drawn over the mean size; 1 for units drawn in proportion to size.
    confidence : float
        Chance that the bound holds.
    full_stake : float
        Part of the money that is staked whole on every draw; the rest is spread evenly over all
        stakes from 0 to 1. Fixed before a point is read.
    known_whole : array_like of float, shape (...), optional
        Mean of the whole, above 0, where it is known: half of the money is bet on the part alone.

    Returns
    -------
    ndarray of float, shape (...)
        0 where nothing counts.

    Notes
    -----
    The bound is the ratio at which `wealth_against` it reaches ``1 / (1 - confidence)``. At the
    true ratio wealth is 1 on average, so by Markov's inequality it gets there with at most the
    chance ``1 - confidence``; and it falls as the ratio grows, so all that is refuted lies below
    the bound (Waudby-Smith & Ramdas 2024, doi:10.1093/jrsssb/qkad009; evenly spread stakes: Cover
    1991, doi:10.1111/j.1467-9965.1991.tb00002.x).
    """
    draws = tuple(np.asarray(values, dtype=np.float64) for values in (part, whole, size))
    shape = np.broadcast_shapes(*(values.shape for values in draws))[:-1]
    goal = 1.0 / (1.0 - confidence)

    def refuted(ratio: FloatArray) -> NDArray[np.bool_]:
        wealth = wealth_against(ratio, *draws, full_stake=full_stake, known_whole=known_whole)
        return np.asarray(wealth >= goal)

    low, high = np.full(shape, np.log(_LEAST)), np.zeros(shape)
    some = refuted(np.exp(low))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        out = refuted(np.exp(middle))
        low, high = np.where(out, middle, low), np.where(out, high, middle)
    return np.where(some, np.exp(low), 0.0)


def wealth_against(
    ratio: ArrayLike,
    part: ArrayLike,
    whole: ArrayLike,
    size: ArrayLike,
    *,
    full_stake: float,
    known_whole: ArrayLike | None = None,
) -> FloatArray:
    """Wealth of who started with 1 and bet that the ratio is higher.

    Parameters
    ----------
    ratio : array_like of float, shape (...)
        Above 0.
    part, whole, size, full_stake, known_whole
        See `least_ratio`.

    Returns
    -------
    ndarray of float, shape (...)

    Notes
    -----
    If the ratio is ``r``, a draw's ``g = size (part / r + 1 - whole)`` has mean 1, and so has
    ``g = size part / (r known_whole)``; neither is negative. For every stake ``t`` from 0 to 1 so
    has ``1 - t + t g``, its product over independent draws, and an average over stakes fixed
    beforehand. Units drawn equally without replacement: points being drawn apart in each unit, the
    product's mean is an elementary symmetric mean of the units' own ``1 - t + t g``, by Maclaurin's
    inequality at most a power of their mean, 1.
    """
    a, b, s = (np.asarray(values, dtype=np.float64) for values in (part, whole, size))
    r = np.asarray(ratio, dtype=np.float64)[..., None]
    wealth = _wealth(s * (a / r + 1.0 - b), full_stake)
    if known_whole is None:
        return wealth
    alone = s * a / (r * np.asarray(known_whole, dtype=np.float64)[..., None])
    return (wealth + _wealth(alone, full_stake)) / 2.0


def _wealth(growth: FloatArray, full_stake: float) -> FloatArray:
    """Average over stakes: exact, since a product is a polynomial of the stake."""
    draws = growth.shape[-1]
    even, share = _even_stakes(draws)
    stakes, money = np.append(even, 1.0), np.append((1.0 - full_stake) * share, full_stake)
    kept = 1.0 - stakes
    wealth: NDArray[Any] = np.ones((*growth.shape[:-1], stakes.size))
    doublings = np.int64(0)
    for i in range(draws):
        wealth *= kept + stakes * growth[..., i, None]
        if i % _AT_ONCE == 0:
            # what is endless for a while must be lost again like the rest
            wealth, more = np.frexp(wealth)
            doublings = doublings + more
    with np.errstate(over="ignore"):
        return np.asarray(np.ldexp(wealth, doublings) @ money)


@lru_cache(maxsize=64)
def _even_stakes(draws: int) -> tuple[FloatArray, FloatArray]:
    nodes, weights = roots_legendre(draws // 2 + 1)
    return (nodes + 1.0) / 2.0, weights / 2.0
