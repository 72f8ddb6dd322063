"""How far class probabilities can be believed: reliability curves, calibration errors, intervals.

Interval of every figure: groups (parcels, blocks) are drawn anew, never pixels, which are near
copies of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rs_monitor.errors import ModelMismatch

Spacing = Literal["mass", "width"]


def reliability_curve(
    probabilities: NDArray[np.floating[Any]],
    labels: ArrayLike,
    classes: ArrayLike,
    *,
    bins: int,
    spacing: Spacing,
    of: Any = None,
) -> pd.DataFrame:
    """Hold stated probabilities against how often they came true.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Of rows the classifier was not trained on.
    labels : array-like, shape (n,)
    classes : array-like, shape (classes,)
        Class of each column.
    bins : int
    spacing : {"mass", "width"}
        Bins of about equally many rows (equal probabilities share one), or of equal width.
    of : class, optional
        The class whose probability is looked at; without, that of the most probable class.

    Returns
    -------
    DataFrame
        One row per bin that is not empty: ``stated_fraction`` (mean probability),
        ``true_fraction`` (how often it was so), ``rows``.

    Notes
    -----
    DeGroot & Fienberg 1983 (doi:10.2307/2987588); Niculescu-Mizil & Caruana 2005
    (doi:10.1145/1102351.1102430).
    """
    truth = _truth(probabilities, labels, classes)
    if of is None:
        stated, hit = _top(probabilities, truth)
    else:
        column = int(np.flatnonzero(np.asarray(classes) == of)[0])
        stated, hit = probabilities[:, column], truth[:, column]
    table = pd.DataFrame({"stated_fraction": stated, "true_fraction": hit, "rows": 1})
    by_bin = table.astype("float64").groupby(_bins(stated, bins, spacing))
    means = by_bin[["stated_fraction", "true_fraction"]].mean()
    return means.assign(rows=by_bin.size()).reset_index(drop=True)


def expected_calibration_error(
    probabilities: NDArray[np.floating[Any]],
    labels: ArrayLike,
    classes: ArrayLike,
    *,
    bins: int,
    spacing: Spacing,
) -> float:
    """Mean distance between the probability of the most probable class and its frequency.

    Parameters
    ----------
    probabilities, labels, classes, bins, spacing
        As in :func:`reliability_curve`.

    Returns
    -------
    float
        Fraction: the sum over bins of share of rows times ``|stated - true|``.

    Notes
    -----
    Naeini et al. 2015 (doi:10.1609/aaai.v29i1.9602); Guo et al. 2017 (arXiv:1706.04599). With
    few rows to a bin it is above zero for perfect probabilities too.
    """
    truth = _truth(probabilities, labels, classes)
    return _distance(*_top(probabilities, truth), bins, spacing)


def classwise_calibration_error(
    probabilities: NDArray[np.floating[Any]],
    labels: ArrayLike,
    classes: ArrayLike,
    *,
    bins: int,
    spacing: Spacing,
) -> float:
    """Mean over the classes of the calibration error of each class's own probability.

    Parameters
    ----------
    probabilities, labels, classes, bins, spacing
        As in :func:`reliability_curve`.

    Returns
    -------
    float
        Fraction (Kull et al. 2019, arXiv:1910.12656). Sees wrong class shares that
        :func:`expected_calibration_error` passes over.
    """
    truth = _truth(probabilities, labels, classes)
    pairs = zip(probabilities.T, truth.T, strict=True)
    return float(np.mean([_distance(stated, hit, bins, spacing) for stated, hit in pairs]))


def brier_score(
    probabilities: NDArray[np.floating[Any]], labels: ArrayLike, classes: ArrayLike
) -> float:
    """Mean squared distance from the truth, summed over classes: 0 perfect, 2 surely wrong.

    Parameters
    ----------
    probabilities, labels, classes
        As in :func:`reliability_curve`.

    Returns
    -------
    float
        Brier 1950 (doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2), in its own form.
    """
    truth = _truth(probabilities, labels, classes)
    squares = (np.asarray(probabilities, dtype=np.float64) - truth) ** 2
    return float(squares.sum(axis=1).mean())


def group_interval(
    statistic: Callable[..., float],
    *arrays: NDArray[Any],
    groups: ArrayLike,
    replicates: int,
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    """Interval of a statistic under drawing the groups anew.

    Parameters
    ----------
    statistic : callable
        Rows of ``arrays`` in, a number out.
    *arrays : ndarray, shape (n, ...)
    groups : array-like, shape (n,)
        Parcel or block of each row; drawn whole, with replacement.
    replicates : int
    confidence : float
    seed : int

    Returns
    -------
    tuple of float
        Lower and upper end; NaN with a single group.

    Notes
    -----
    The basic bootstrap interval (Davison & Hinkley 1997, section 5.2), cut at 0: a calibration
    error of few rows lies too high, that of their redraws higher again by as much, and this
    interval takes the excess off. Clusters drawn whole: Field & Welsh 2007
    (doi:10.1111/j.1467-9868.2007.00593.x).
    """
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    if len(members) < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(replicates):
        picked = rng.integers(0, len(members), len(members))
        rows = np.concatenate([members[group] for group in picked])
        drawn.append(statistic(*(array[rows] for array in arrays)))
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    value = statistic(*arrays)
    return max(2 * value - float(high), 0.0), max(2 * value - float(low), 0.0)


def calibration_table(
    probabilities: NDArray[np.floating[Any]],
    labels: ArrayLike,
    classes: ArrayLike,
    groups: ArrayLike,
    *,
    bins: int,
    spacing: Spacing,
    replicates: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """All calibration figures of out-of-fold probabilities, with intervals.

    Parameters
    ----------
    probabilities, labels, classes, bins, spacing
        As in :func:`reliability_curve`.
    groups, replicates, confidence, seed
        As in :func:`group_interval`.

    Returns
    -------
    DataFrame
        Columns ``value``, ``low``, ``high``; rows ``expected_calibration_error``,
        ``classwise_calibration_error``, ``brier_score``.
    """
    values = np.asarray(classes)
    settings: dict[str, Any] = {"bins": bins, "spacing": spacing}
    measures: dict[str, Callable[..., float]] = {
        "expected_calibration_error": lambda p, y: expected_calibration_error(
            p, y, values, **settings
        ),
        "classwise_calibration_error": lambda p, y: classwise_calibration_error(
            p, y, values, **settings
        ),
        "brier_score": lambda p, y: brier_score(p, y, values),
    }
    arrays = probabilities, np.asarray(labels)
    draws: dict[str, Any] = {"replicates": replicates, "confidence": confidence, "seed": seed}
    rows = {
        name: (measure(*arrays), *group_interval(measure, *arrays, groups=groups, **draws))
        for name, measure in measures.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])


def _truth(
    probabilities: NDArray[np.floating[Any]], labels: ArrayLike, classes: ArrayLike
) -> NDArray[np.bool_]:
    names, values = np.asarray(labels), np.asarray(classes)
    if probabilities.shape != (len(names), len(values)):
        raise ModelMismatch(
            f"got probabilities of shape {probabilities.shape}; needed ({len(names)} labels, "
            f"{len(values)} classes); give one row per label, one column per class"
        )
    if not np.all(np.isfinite(probabilities)):
        raise ModelMismatch(
            "got probabilities that are not numbers; needed rows that were seen; leave the "
            "others out"
        )
    return np.asarray(names[:, None] == values)


def _top(
    probabilities: NDArray[np.floating[Any]], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    best = np.argmax(probabilities, axis=1)[:, None]
    return (
        np.take_along_axis(probabilities, best, axis=1)[:, 0],
        np.take_along_axis(truth, best, axis=1)[:, 0],
    )


def _bins(stated: NDArray[np.floating[Any]], bins: int, spacing: Spacing) -> NDArray[np.intp]:
    """Number of the bin of each value; bins are closed on the right."""
    inner = np.arange(1, bins) / bins
    edges = inner if spacing == "width" else np.quantile(stated, inner)
    return np.searchsorted(np.unique(edges), stated, side="left")


def _distance(
    stated: NDArray[np.floating[Any]], hit: NDArray[np.bool_], bins: int, spacing: Spacing
) -> float:
    """Sum over bins of |sum of stated - hits|, over all rows: shares times distances of means."""
    excess = np.bincount(
        _bins(stated, bins, spacing), weights=stated.astype(np.float64) - hit, minlength=1
    )
    return float(np.abs(excess).sum() / len(stated))
