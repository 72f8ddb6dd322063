"""Boosted trees: the sum of what the leaves of flat trees add to the score of a class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.tree_walk import walk_pixels
from rs_monitor.kernels.trees import (
    FlatTrees,
    require_array,
    require_features,
    require_leaves,
    require_tree,
)


@dataclass(frozen=True, slots=True)
class FlatBoost(FlatTrees):
    """Flat trees, each of which adds to the score of one class.

    Attributes
    ----------
    value : ndarray of float64, shape (leaves,)
        What a leaf adds.
    output : ndarray of uint16, shape (trees,)
        Score a tree adds to.
    baseline : ndarray of float64, shape (scores,)
        Scores before the first tree. One score = two classes, of which it is the log-odds of the
        second; else one score per class.
    """

    value: NDArray[np.float64]
    output: NDArray[np.uint16]
    baseline: NDArray[np.float64]

    def __post_init__(self) -> None:
        FlatTrees.__post_init__(self)
        require_array("value", self.value, np.float64, 1)
        require_array("output", self.output, np.uint16, 1)
        require_array("baseline", self.baseline, np.float64, 1)
        require_leaves(self, len(self.value))
        require_tree(len(self.output) == len(self.roots), "not every tree has a score")
        within = len(self.baseline) > 0 and bool((self.output < len(self.baseline)).all())
        require_tree(within, "a tree adds to a score that is not there")
        finite = bool(np.isfinite(self.value).all() and np.isfinite(self.baseline).all())
        require_tree(finite, "a score is not a finite number")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return max(2, len(self.baseline))


def check_boost(boost: FlatBoost, *, features: int, classes: int) -> None:
    """Refuse boosted trees that do not fit what they are used with.

    Parameters
    ----------
    boost : FlatBoost
        Its arrays were checked when it was made.
    features, classes : int
        That it is to have.

    Raises
    ------
    ModelMismatch
        If they ask for another feature or have other classes.
    """
    require_features(boost, features)
    if boost.classes != classes:
        raise ModelMismatch(
            f"got boosted trees of {boost.classes} classes; needed {classes}; use the model that "
            "belongs to this card"
        )


@njit(nogil=True, error_model="numpy")
def _logistic(baseline, index, sums, out):  # type: ignore[no-untyped-def]
    width = out.shape[2]
    for i in range(index.shape[0]):
        row, col = index[i] // width, index[i] % width
        odds = math.exp(-abs(sums[i, 0] + baseline[0]))
        rare, common = odds / (1.0 + odds), 1.0 / (1.0 + odds)
        second = sums[i, 0] + baseline[0] > 0
        out[0, row, col] = rare if second else common
        out[1, row, col] = common if second else rare


@njit(nogil=True, error_model="numpy")
def _softmax(baseline, index, sums, out):  # type: ignore[no-untyped-def]
    width = out.shape[2]
    for i in range(index.shape[0]):
        row, col = index[i] // width, index[i] % width
        scores = sums[i]
        top = -np.inf
        for c in range(scores.shape[0]):
            scores[c] += baseline[c]
            top = max(top, scores[c])
        total = 0.0
        for c in range(scores.shape[0]):
            scores[c] = math.exp(scores[c] - top)
            total += scores[c]
        for c in range(scores.shape[0]):
            out[c, row, col] = scores[c] / total


def boost_proba(
    x: NDArray[np.float32],
    boost: FlatBoost,
    *,
    seen: NDArray[np.bool_] | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Class probabilities of boosted trees.

    Parameters
    ----------
    x : ndarray of float32, shape (n, features) or (features, y, x)
        NaN = missing. Any strides.
    boost : FlatBoost
    seen : ndarray of bool, shape (n,) or (y, x), optional
        False = not walked, NaN in the result. Without it every pixel is walked.
    out : ndarray of float32, optional
        Takes the result.

    Returns
    -------
    ndarray of float32, shape (n, classes) or (classes, y, x)
        Softmax of the scores, or the logistic function of a single one (Friedman 2001,
        doi:10.1214/aos/1013203451), summed in float64; within 1e-6 of scikit-learn's
        ``predict_proba`` (``tests/maps/test_flatten.py``).

    Raises
    ------
    ModelMismatch
        If the trees ask for features that ``x`` lacks.
    ValueError
        If ``seen`` or ``out`` does not fit ``x``.
    """
    scores = len(boost.baseline)
    return walk_pixels(
        x,
        boost,
        boost.value[:, None],
        boost.output,
        (scores, boost.classes),
        partial(_logistic if scores == 1 else _softmax, boost.baseline),
        seen=seen,
        out=out,
    )
