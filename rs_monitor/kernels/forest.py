"""Decision forests: the mean of what the leaves of flat trees say."""

from __future__ import annotations

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
class FlatForest(FlatTrees):
    """Flat trees and the class shares of their leaves.

    Attributes
    ----------
    proba : ndarray of float32, shape (leaves, classes)
        Rows add up to 1.
    """

    proba: NDArray[np.float32]

    def __post_init__(self) -> None:
        FlatTrees.__post_init__(self)
        require_array("proba", self.proba, np.float32, 2)
        require_leaves(self, len(self.proba))
        is_share = (self.proba >= 0) & (self.proba <= 1)
        require_tree(bool(is_share.all()), "a leaf's class share is not within 0 and 1")


def check_forest(forest: FlatForest, *, features: int, classes: int) -> None:
    """Refuse a forest that does not fit what it is used with.

    Parameters
    ----------
    forest : FlatForest
        Its arrays were checked when it was made.
    features, classes : int
        That it is to have.

    Raises
    ------
    ModelMismatch
        If it asks for another feature or has other classes.
    """
    require_features(forest, features)
    if forest.proba.shape[1] != classes:
        raise ModelMismatch(
            f"got a forest of {forest.proba.shape[1]} classes; needed {classes}; use the model "
            "that belongs to this card"
        )


@njit(nogil=True, error_model="numpy")
def _mean(trees, index, sums, out):  # type: ignore[no-untyped-def]
    width = out.shape[2]
    for i in range(index.shape[0]):
        row, col = index[i] // width, index[i] % width
        for c in range(sums.shape[1]):
            out[c, row, col] = sums[i, c] / trees


def forest_proba(
    x: NDArray[np.float32],
    forest: FlatForest,
    *,
    seen: NDArray[np.bool_] | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Class probabilities of a forest.

    Parameters
    ----------
    x : ndarray of float32, shape (n, features) or (features, y, x)
        NaN = missing. Any strides.
    forest : FlatForest
    seen : ndarray of bool, shape (n,) or (y, x), optional
        False = not walked, NaN in the result. Without it every pixel is walked.
    out : ndarray of float32, optional
        Takes the result.

    Returns
    -------
    ndarray of float32, shape (n, classes) or (classes, y, x)
        Mean of the trees' leaf shares (Breiman 2001, doi:10.1023/A:1010933404324), summed in
        float64; within 1e-6 of scikit-learn's ``predict_proba`` (``tests/maps/test_flatten.py``).

    Raises
    ------
    ModelMismatch
        If the forest asks for features that ``x`` lacks.
    ValueError
        If ``seen`` or ``out`` does not fit ``x``.
    """
    classes = forest.proba.shape[1]
    return walk_pixels(
        x,
        forest,
        forest.proba,
        np.zeros(len(forest.roots), dtype=np.uint16),
        (classes, classes),
        partial(_mean, len(forest.roots)),
        seen=seen,
        out=out,
    )
