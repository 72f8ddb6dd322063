"""Accuracy from validation pixels that come in clusters: parcels, townships, image chips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True, slots=True)
class ClusteredProportion:
    """A share estimated from clustered units, with its interval.

    Attributes
    ----------
    units, clusters : int
        Units the share rests on, and the clusters they lie in.
    estimate, standard_error, lower, upper : float or None
        The share, 0-1; None where it cannot be assessed.
    design_effect : float or None
        Variance between clusters over that of as many independent units; None where no unit or
        every unit is a hit.
    effective_units : float or None
        Independent units that say as much.
    reason : str or None
        Why there is no figure.
    """

    units: int
    clusters: int
    estimate: float | None
    standard_error: float | None
    lower: float | None
    upper: float | None
    design_effect: float | None
    effective_units: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ClusteredAccuracy:
    """Overall, user's and producer's accuracy with intervals that know the clusters.

    Attributes
    ----------
    overall : ClusteredProportion
    users, producers : dict of int to ClusteredProportion
        By class code.
    """

    overall: ClusteredProportion
    users: dict[int, ClusteredProportion]
    producers: dict[int, ClusteredProportion]

    def table(self) -> pd.DataFrame:
        """One row per figure: ``figure`` (overall, user, producer), ``class`` and the fields."""
        named: list[tuple[str, int | None, ClusteredProportion]] = [("overall", None, self.overall)]
        named += [("user", code, share) for code, share in self.users.items()]
        named += [("producer", code, share) for code, share in self.producers.items()]
        fields = ClusteredProportion.__dataclass_fields__
        rows = [
            {"figure": figure, "class": code} | {name: getattr(share, name) for name in fields}
            for figure, code, share in named
        ]
        return pd.DataFrame(rows)


def clustered_accuracy(
    mapped: ArrayLike,
    reference: ArrayLike,
    cluster: ArrayLike,
    *,
    classes: Sequence[int],
    min_clusters: int,
    confidence: float,
    weights: ArrayLike | None = None,
) -> ClusteredAccuracy:
    """Accuracies of a map from clustered validation pixels.

    Parameters
    ----------
    mapped, reference : array_like of int, shape (n,)
        Class of the map and of the reference at each pixel.
    cluster : array_like, shape (n,)
        Parcel (or other cluster) of each pixel.
    classes : sequence of int
        Class codes to report.
    min_clusters : int
        A class with fewer reference clusters, and a figure that rests on fewer clusters, is
        returned as not assessable.
    confidence : float
        Level of the two-sided intervals, e.g. 0.95.
    weights : array_like of float, shape (n,), optional
        Ground a pixel stands for; equal by default.

    Returns
    -------
    ClusteredAccuracy

    See Also
    --------
    clustered_proportion : the estimator and its interval.
    """
    m, r, c = (np.asarray(values) for values in (mapped, reference, cluster))
    w = np.ones(m.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if not m.shape == r.shape == c.shape == w.shape:
        raise ValueError(
            f"mapped, reference, cluster and weights have shapes {m.shape}, {r.shape}, {c.shape}, "
            f"{w.shape}; all must be (n,); pass one value of each per pixel"
        )

    def share(within: NDArray[np.bool_]) -> ClusteredProportion:
        return clustered_proportion(
            (m == r)[within],
            c[within],
            weights=w[within],
            min_clusters=min_clusters,
            confidence=confidence,
        )

    users, producers = {}, {}
    for code in classes:
        producers[code] = share(r == code)
        users[code] = share(m == code)
        parcels = producers[code].clusters
        if parcels < min_clusters:
            users[code] = _not_assessable(
                users[code].units,
                users[code].clusters,
                f"{parcels} reference clusters of this class; {min_clusters} are needed",
            )
    return ClusteredAccuracy(share(np.ones(m.size, dtype=bool)), users, producers)


def clustered_proportion(
    hit: ArrayLike,
    cluster: ArrayLike,
    *,
    confidence: float,
    min_clusters: int,
    weights: ArrayLike | None = None,
) -> ClusteredProportion:
    """Share of hits among clustered units, with an interval on the effective sample.

    Parameters
    ----------
    hit : array_like of bool, shape (n,)
    cluster : array_like, shape (n,)
        Cluster of each unit; clusters are taken as drawn independently.
    confidence : float
        Level of the two-sided interval.
    min_clusters : int
        With fewer clusters no figure is given (at least 2 are always needed).
    weights : array_like of float, shape (n,), optional
        Ground a unit stands for; equal by default.

    Returns
    -------
    ClusteredProportion

    Notes
    -----
    Ratio estimator with the variance between clusters (Taylor linearisation), then the exact
    binomial interval on the effective sample size with the correction for degrees of freedom, after
    Korn & Graubard 1998 (Survey Methodology 24, 193-201). That sample size is undefined without a
    single error and unreliable with few, so it is tempered here: ``1/n* = (1 - s)/n_KG + s/m`` with
    ``m`` the effective number of clusters and ``s = 1/(1 + e)``, ``e`` the clusters that hold the
    rarer outcome. Without an error ``n* = m``: a cluster then counts as one observation.
    """
    y = np.asarray(hit, dtype=np.float64)
    names, index = np.unique(np.asarray(cluster), return_inverse=True)
    w = np.ones(y.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.size and (not np.isfinite(w).all() or w.min() <= 0):
        raise ValueError(
            f"weights run from {w.min()} to {w.max()}; each must be above zero and finite; leave "
            "out the units that stand for no ground"
        )
    needed = max(2, min_clusters)
    if names.size < needed:
        return _not_assessable(y.size, names.size, f"{names.size} clusters; {needed} are needed")
    ground = np.bincount(index, w, names.size).astype(np.float64)
    hits = np.bincount(index, w * y, names.size).astype(np.float64)
    estimate = hits.sum() / ground.sum()
    error = _standard_error(hits, ground, estimate)
    binomial = estimate * (1.0 - estimate) / y.size
    mixed = 0.0 < y.mean() < 1.0
    effect = error**2 / binomial if mixed else None
    kept = _effective_units(y, index, ground, effect, confidence)
    lower, upper = _beta_interval(estimate, kept, confidence)
    return ClusteredProportion(
        y.size, names.size, float(estimate), error, lower, upper, effect, kept
    )


def _not_assessable(units: int, clusters: int, reason: str) -> ClusteredProportion:
    return ClusteredProportion(units, clusters, None, None, None, None, None, None, reason)


def _standard_error(
    hits: NDArray[np.float64], ground: NDArray[np.float64], estimate: float
) -> float:
    """Between-cluster standard error of a ratio (Cochran 1977, 11.12)."""
    residual = (hits - estimate * ground) / ground.sum()
    m = ground.size
    return float(np.sqrt(m / (m - 1) * np.sum(residual**2)))


def _effective_units(
    y: NDArray[np.float64],
    index: NDArray[np.intp],
    ground: NDArray[np.float64],
    effect: float | None,
    confidence: float,
) -> float:
    """Korn and Graubard's sample size, tempered by one cluster's worth of complete likeness."""
    independent = float(ground.sum() ** 2 / np.sum(ground**2))
    if effect is None:
        return independent
    # residuals that cancel by chance leave no variance between clusters
    n = y.size / max(effect, 1.0)
    tail = (1.0 + confidence) / 2.0
    n *= (stats.t.ppf(tail, y.size - 1) / stats.t.ppf(tail, ground.size - 1)) ** 2
    rarer = y == float(y.mean() < 0.5)
    share = 1.0 / (1.0 + np.unique(index[rarer]).size)
    return float(1.0 / ((1.0 - share) / n + share / independent))


def _beta_interval(estimate: float, units: float, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval for a sample size that need not be whole."""
    tail = (1.0 - confidence) / 2.0
    hits, misses = estimate * units, (1.0 - estimate) * units
    lower = stats.beta.ppf(tail, hits, misses + 1.0) if estimate > 0.0 else 0.0
    upper = stats.beta.ppf(1.0 - tail, hits + 1.0, misses) if estimate < 1.0 else 1.0
    return float(lower), float(upper)
