"""Intervals of a stratified share that stay honest with no error seen, or one sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, special, stats

Method = Literal["melded", "mid"]
Side = Literal["lower", "upper"]
Spread = tuple[float, NDArray[np.float64]]
Distribution = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_EXACT_UNITS = 20_000
_REPLACED_FRACTION = 0.01
"""Small strata of which more was sampled are counted without replacement; the rest as if replaced,
which is wider."""
_POINTS = 1 << 13
_NEGLIGIBLE = 1e-10
_SEED = 20


@dataclass(frozen=True, slots=True)
class Tally:
    """What a stratified random sample counted.

    Attributes
    ----------
    hits : ndarray of int, shape (strata,)
        Sampled units with the property.
    sampled : ndarray of int, shape (strata,)
        Sampled units; zero leaves the stratum unknown.
    ground : ndarray of float, shape (strata,)
        Size of each stratum, in any unit (area or share).
    units : ndarray of int, shape (strata,)
        Sampling units each stratum holds.
    """

    hits: NDArray[np.int64]
    sampled: NDArray[np.int64]
    ground: NDArray[np.float64]
    units: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse counts that no sample can give."""
        shapes = {a.shape for a in (self.hits, self.sampled, self.ground, self.units)}
        if len(shapes) > 1 or self.hits.ndim != 1 or not self.hits.size:
            raise ValueError(
                f"hits, sampled, ground and units have shapes {sorted(shapes)}; all must be "
                "(strata,); give one number of each per stratum"
            )
        ordered = (
            (self.hits >= 0) & (self.hits <= self.sampled) & (self.sampled <= self.units)
        ) & (self.ground >= 0)
        if not ordered.all():
            bad = int(np.flatnonzero(~ordered)[0])
            raise ValueError(
                f"stratum {bad}: {self.hits[bad]} hits of {self.sampled[bad]} sampled of "
                f"{self.units[bad]} units, ground {self.ground[bad]}; hits <= sampled <= units "
                "and ground >= 0 are needed; check the counts"
            )

    @property
    def misses(self) -> Tally:
        """The same sample, counting the units without the property."""
        return Tally(self.sampled - self.hits, self.sampled, self.ground, self.units)

    def of(self, strata: NDArray[np.bool_]) -> Tally:
        """Some of the strata.

        Parameters
        ----------
        strata : ndarray of bool, shape (strata,)
        """
        return Tally(
            self.hits[strata], self.sampled[strata], self.ground[strata], self.units[strata]
        )


Tallies = Tally | Sequence[Tally]


def tally(hits: ArrayLike, sampled: ArrayLike, ground: ArrayLike, units: ArrayLike) -> Tally:
    """Build a `Tally` from any sequences.

    Parameters
    ----------
    hits, sampled, ground, units : array_like, shape (strata,)
        As in `Tally`.
    """
    whole = (np.asarray(a, dtype=np.int64) for a in (hits, sampled, units))
    counted, drawn, held = whole
    return Tally(counted, drawn, np.asarray(ground, dtype=np.float64), held)


def counted_out(sampled: int, units: int) -> bool:
    """Whether drawing without replacement matters for a stratum, and can be counted.

    Parameters
    ----------
    sampled, units : int
    """
    return units <= _EXACT_UNITS and sampled > _REPLACED_FRACTION * units


def chance_to_see(hits: int, sampled: int, units: int) -> NDArray[np.float64]:
    """Chance of so many hits or more in a sample without replacement.

    Parameters
    ----------
    hits, sampled, units : int

    Returns
    -------
    ndarray of float, shape (units + 1,)
        For 0, 1, ... `units` units with the property.

    Notes
    -----
    The units with the property may as well be the first of a row: then this is the chance that the
    ``hits``-th sampled unit is one of them, a sum of negative hypergeometric chances.
    """
    if hits == 0:
        return np.ones(units + 1)
    if hits > sampled:
        return np.zeros(units + 1)
    place = np.arange(hits, units - (sampled - hits) + 1)
    chance = np.zeros(units + 1)
    chance[place] = np.exp(
        _log_choose(place - 1, hits - 1)
        + _log_choose(units - place, sampled - hits)
        - _log_choose(np.asarray(units), sampled)
    )
    heap = np.cumsum(chance)
    return np.asarray(heap / heap[-1])


def _log_choose(n: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(n - k + 1) - special.gammaln(k + 1))


def clopper_pearson(hits: int, sampled: int, confidence: float) -> tuple[float, float]:
    """Exact two-sided interval of a binomial share.

    Parameters
    ----------
    hits, sampled : int
    confidence : float

    Notes
    -----
    Clopper & Pearson 1934 (doi:10.1093/biomet/26.4.404).
    """
    tail = (1.0 - confidence) / 2.0
    lower = special.betaincinv(hits, sampled - hits + 1, tail) if hits else 0.0
    upper = special.betaincinv(hits + 1, sampled - hits, 1.0 - tail) if hits < sampled else 1.0
    return float(lower), float(upper)


def wilson(hits: int, sampled: int, confidence: float) -> tuple[float, float]:
    """Score interval of a binomial share.

    Parameters
    ----------
    hits, sampled : int
    confidence : float

    Notes
    -----
    Wilson 1927 (doi:10.1080/01621459.1927.10502953).
    """
    found = stats.binomtest(hits, sampled).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def jeffreys(hits: int, sampled: int, confidence: float) -> tuple[float, float]:
    """Bayesian interval of a binomial share with Jeffreys' prior.

    Parameters
    ----------
    hits, sampled : int
    confidence : float

    Notes
    -----
    Brown, Cai & DasGupta 2001 (doi:10.1214/ss/1009213286): the limit is 0 or 1 at the ends.
    """
    tail = (1.0 - confidence) / 2.0
    a, b = hits + 0.5, sampled - hits + 0.5
    lower = special.betaincinv(a, b, tail) if hits else 0.0
    upper = special.betaincinv(a, b, 1.0 - tail) if hits < sampled else 1.0
    return float(lower), float(upper)


def stratified_interval(
    counted: Tallies,
    *,
    confidence: float,
    method: Method,
    at_most: Tallies | None = None,
    points: int = _POINTS,
) -> tuple[float, float]:
    """Two-sided interval of the ground that has the property.

    Parameters
    ----------
    counted : Tally or sequence of Tally
        Several are equally likely readings of one sample, and their distributions are averaged.
    confidence : float
        Level, e.g. 0.95.
    method : {"melded", "mid"}
        melded: each stratum enters with the distribution behind its exact (Clopper-Pearson) limit;
        mid: with the mean of the two distributions, which is narrower and covers less.
    at_most : Tally or sequence of Tally, optional
        Counts for the upper limit, where units that could not be read count as hits.
    points : int
        Nodes of the deterministic convolution; rounding widens the interval.

    Returns
    -------
    lower, upper : float
        In the unit of ``counted.ground``.

    Notes
    -----
    Confidence distributions of the strata, convolved: the melded interval of Fay, Proschan &
    Brittain 2015 (doi:10.1111/biom.12231) for a weighted sum; mid: Fay & Kim 2017
    (doi:10.1002/bimj.201600111). A stratum without a hit adds nothing to the lower limit and its
    exact bound to the upper one. Small strata are counted without replacement (hypergeometric).
    """
    tail = (1.0 - confidence) / 2.0
    fewest, most = _several(counted), _several(counted if at_most is None else at_most)
    lower = _quantile([_spread(t, "lower", method, points) for t in fewest], tail)
    upper = _quantile([_spread(t, "upper", method, points) for t in most], 1.0 - tail)
    return lower, min(upper, float(most[0].ground.sum()))


def ratio_interval(
    part: Tallies,
    rest: Tallies,
    *,
    confidence: float,
    method: Method,
    part_at_most: Tallies | None = None,
    rest_at_most: Tallies | None = None,
    points: int = _POINTS,
) -> tuple[float, float]:
    """Two-sided interval of ``part / (part + rest)``, such as a producer's accuracy.

    Parameters
    ----------
    part, rest : Tally or sequence of Tally
        Two properties that exclude each other, counted in the same sample.
    confidence : float
    method : {"melded", "mid"}
        See `stratified_interval`.
    part_at_most, rest_at_most : Tally or sequence of Tally, optional
        The same where units that could not be read count as hits.
    points : int
        Quantiles of each distribution; even.

    Returns
    -------
    lower, upper : float
        Shares, 0-1; 0 and 1 where neither property was seen.

    Notes
    -----
    The ratio rises with the part and falls with the rest, so the lower limit melds the lower
    distribution of the part with the upper one of the rest. Strata are independent (quantiles in
    orders drawn from a fixed seed); within a stratum the two exclude each other, so the most of one
    is paired with the least of the other. A stratum that cannot hold one of the two has ground 0.
    """
    tail = (1.0 - confidence) / 2.0
    most_part, most_rest = part_at_most or part, rest_at_most or rest
    lower = _low_ratio(_several(part), _several(most_rest), method, tail, points)
    upper = 1.0 - _low_ratio(_several(rest), _several(most_part), method, tail, points)
    return lower, upper


def _low_ratio(
    parts: Sequence[Tally], rests: Sequence[Tally], method: Method, tail: float, points: int
) -> float:
    """Quantile of part / (part + rest) where the part is at its lower, the rest at its upper."""
    ratios = []
    for part, rest in zip(parts, rests, strict=True):
        order = np.random.default_rng(_SEED)
        few, many = np.zeros(points), np.zeros(points)
        for h in range(part.hits.size):
            turn = order.permutation(points)
            few += (part.ground[h] * _quantiles(part, h, "lower", method, points))[turn]
            many += (rest.ground[h] * _quantiles(rest, h, "upper", method, points)[::-1])[turn]
        ratios.append(np.divide(few, few + many, where=few > 0, out=np.zeros(points)))
    pooled = np.sort(np.concatenate(ratios))
    return float(pooled[int(tail * pooled.size)])


def _quantiles(
    counted: Tally, h: int, side: Side, method: Method, points: int
) -> NDArray[np.float64]:
    """A stratum's distribution as equally likely shares, in ascending order."""
    numbers = int(counted.hits[h]), int(counted.sampled[h]), int(counted.units[h])
    if counted.ground[h] == 0.0:
        return np.zeros(points)
    if method == "melded":
        return _ascending(*numbers, side, points)
    halves = (
        _ascending(*numbers, "lower", points // 2),
        _ascending(*numbers, "upper", points // 2),
    )
    return np.sort(np.concatenate(halves))


@lru_cache(maxsize=256)
def _ascending(hits: int, sampled: int, units: int, side: Side, points: int) -> NDArray[np.float64]:
    chance = (np.arange(points) + 0.5) / points
    if counted_out(sampled, units):
        seen = chance_to_see(hits + (side == "upper"), sampled, units)
        heap = seen if side == "lower" else np.r_[seen[1:], 1.0]
        return np.asarray(np.searchsorted(heap, chance) / units)
    a, b = (hits, sampled - hits + 1) if side == "lower" else (hits + 1, sampled - hits)
    if a == 0 or b == 0:
        return np.full(points, float(b == 0))
    return np.asarray(special.betaincinv(a, b, chance))


def _several(counted: Tallies) -> Sequence[Tally]:
    return (counted,) if isinstance(counted, Tally) else counted


def _quantile(spreads: Sequence[Spread], probability: float) -> float:
    """Quantile of the mean of several distributions on grids of their own."""
    if len(spreads) == 1:
        step, chance = spreads[0]
        return step * float(np.searchsorted(np.cumsum(chance), probability))
    values = np.concatenate([step * np.arange(chance.size) for step, chance in spreads])
    order = np.argsort(values, kind="stable")
    heap = np.cumsum(np.concatenate([chance for _, chance in spreads])[order]) / len(spreads)
    place = min(int(np.searchsorted(heap, probability)), heap.size - 1)
    return float(values[order][place])


def _spread(counted: Tally, side: Side, method: Method, points: int) -> Spread:
    """Node width and chances of the total; mass is rounded away from the middle."""
    numbers = (counted.hits, counted.sampled, counted.units, counted.ground)
    return _spread_of(tuple(zip(*(a.tolist() for a in numbers), strict=True)), side, method, points)


@lru_cache(maxsize=64)
def _spread_of(
    strata: tuple[tuple[int, int, int, float], ...], side: Side, method: Method, points: int
) -> Spread:
    parts = [(ground, *_share(x, n, units, side, method)) for x, n, units, ground in strata]
    reach = sum(ground * most for ground, _, most in parts)
    step = float(reach) / (points - len(parts) - 1)
    total = np.ones(1)
    if step == 0.0:
        return step, total
    for ground, chance, most in parts:
        nodes = int(np.ceil(ground * most / step)) + 1
        edges = np.minimum(step * np.arange(nodes + 1) / ground, 1.0) if ground else np.zeros(2)
        heaps = chance(edges)
        heaps[-1] = 1.0
        mass = np.r_[heaps[1], np.diff(heaps[1:])] if side == "lower" else np.diff(heaps, prepend=0)
        total = _convolved(total, mass)
    return step, total


def _convolved(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    size = a.size + b.size - 1
    padded = fft.next_fast_len(size, real=True)
    mixed = fft.irfft(fft.rfft(a, padded) * fft.rfft(b, padded), padded)[:size]
    return np.asarray(np.maximum(mixed, 0.0))


def _share(
    hits: int, sampled: int, units: int, side: Side, method: Method
) -> tuple[Distribution, float]:
    """Confidence distribution of a stratum's share, and a share it hardly exceeds."""
    build = _finite if counted_out(sampled, units) else _endless
    if method == "melded":
        return build(hits, sampled, units, side)
    (below, _), (above, most) = (build(hits, sampled, units, s) for s in ("lower", "upper"))
    return (lambda share: (below(share) + above(share)) / 2.0), most


def _endless(hits: int, sampled: int, units: int, side: str) -> tuple[Distribution, float]:  # noqa: ARG001
    """Binomial: distribution behind the exact limits."""
    a, b = (hits, sampled - hits + 1) if side == "lower" else (hits + 1, sampled - hits)
    if a == 0:
        return np.ones_like, 0.0
    if b == 0:
        return (lambda share: (share >= 1.0).astype(np.float64)), 1.0
    most = float(special.betainccinv(a, b, _NEGLIGIBLE))
    return partial(special.betainc, a, b), most


def _finite(hits: int, sampled: int, units: int, side: str) -> tuple[Distribution, float]:
    """Hypergeometric: the same for a stratum that can be counted out."""
    if side == "lower":
        heap = chance_to_see(hits, sampled, units)
    else:
        heap = np.r_[chance_to_see(hits + 1, sampled, units)[1:], 1.0]
    most = float(np.searchsorted(heap, 1.0 - _NEGLIGIBLE)) / units

    def chance(share: NDArray[np.float64]) -> NDArray[np.float64]:
        # a share on a unit's step belongs to that unit, whatever the rounding of the product
        return np.asarray(heap[np.floor(share * units + 1e-9).astype(np.int64)])

    return chance, min(most, 1.0)
