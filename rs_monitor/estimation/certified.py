"""The ground that may be booked: a one-sided lower bound that holds by theorem."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize, special, stats

from rs_monitor.estimation.intervals import Tally, chance_to_see, counted_out

_STEPS = 512


def certified_lower_bound(counted: Tally, *, weights: ArrayLike, confidence: float) -> float:
    """Ground that has the property at least, whatever the unseen units hold.

    Parameters
    ----------
    counted : Tally
        Hits of a stratified random sample; contested and unread units count as misses.
    weights : array_like of float, shape (strata,)
        Say of each stratum, above zero, fixed before a unit is read (see `stratum_weights`).
    confidence : float
        Chance that the bound holds, e.g. 0.95.

    Returns
    -------
    float
        In the unit of ``counted.ground``; never below what the sampled units hold themselves, and
        never raised by one hit fewer.

    Notes
    -----
    Under any true shares ``p`` the exact tail ``P_h(p_h) = P(X_h >= x_h | p_h)`` of a stratum is at
    least uniform, and the strata are independent. So ``sum_h w_h (-ln P_h)`` lies below the
    ``confidence`` quantile ``c`` of a sum of exponentials with means ``w_h`` (Fisher's product with
    Good's weights, doi:10.1111/j.2517-6161.1955.tb00199.x) with at least that chance. The bound is
    the least ground that any ``p`` with a sum of at most ``c`` can have: a union of intersections,
    as Ottoboni, Stark, Lindeman & McBurnett 2018 (doi:10.1007/978-3-030-00419-4_12) use for
    audits. ``c`` is shared out in steps; what a step leaves open lowers the bound.
    """
    say = np.asarray(weights, dtype=np.float64)
    if say.shape != counted.hits.shape or not (say > 0).all():
        raise ValueError(
            f"weights {say.tolist()} for {counted.hits.size} strata; one above zero is needed for "
            "each; fix them with the design"
        )
    budget = _product_quantile(tuple(say.tolist()), confidence)
    share = budget * np.arange(_STEPS + say.size) / _STEPS
    least: NDArray[np.float64] | None = None
    for hits, sampled, ground, units, weight in zip(
        counted.hits, counted.sampled, counted.ground, counted.units, say, strict=True
    ):
        own = ground * _least_share(int(hits), int(sampled), int(units), share / weight)
        least = own if least is None else _cheapest(least, own)
    known = float(np.sum(counted.ground * counted.hits / np.maximum(counted.units, 1)))
    return max(known, float(least[-1])) if least is not None else known


def stratum_weights(mapped_share: ArrayLike, unexpected_weight: float) -> NDArray[np.float64]:
    """Say of each stratum in the bound: where the map shows the class, most of it is expected.

    Parameters
    ----------
    mapped_share : array_like of float, shape (strata,)
        Share of each stratum that the map gives the property, 0-1.
    unexpected_weight : float
        Say of a stratum where the map shows none.
    """
    mapped = np.asarray(mapped_share, dtype=np.float64)
    return np.maximum(mapped, unexpected_weight)


@lru_cache(maxsize=64)
def _product_quantile(means: tuple[float, ...], confidence: float) -> float:
    """Quantile of a sum of independent exponentials, by their chain of stages."""
    rates = 1.0 / np.asarray(means)
    chain = np.diag(-rates) + np.diag(rates[:-1], 1)

    def excess(total: float) -> float:
        return float(linalg.expm(chain * total)[0].sum()) - (1.0 - confidence)

    far = max(means) * (stats.chi2.ppf(confidence, 2 * len(means)) + 1.0)
    return float(optimize.brentq(excess, 0.0, far, xtol=1e-12))


def _least_share(
    hits: int, sampled: int, units: int, spent: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Smallest share of a stratum whose tail is at least exp(-spent)."""
    if hits == 0:
        return np.zeros_like(spent)
    tail = np.exp(-spent)
    if not counted_out(sampled, units):
        return np.asarray(special.betaincinv(hits, sampled - hits + 1, tail))
    first = np.searchsorted(chance_to_see(hits, sampled, units), tail * (1.0 - 1e-9))
    return np.minimum(first, units - (sampled - hits)) / units


def _cheapest(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least sum of two costs when a budget is shared out between them."""
    if not b.any():
        return a
    padded = np.r_[np.full(b.size - 1, np.inf), b][::-1]
    rows = np.lib.stride_tricks.sliding_window_view(padded, b.size)[::-1]
    return np.asarray((a + rows).min(axis=1))
