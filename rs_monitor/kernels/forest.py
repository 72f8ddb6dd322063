"""Decision forests as flat arrays: walked without the library that trained them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FlatForest:
    """All nodes of all trees, one after the other.

    Attributes
    ----------
    roots : ndarray of int64, shape (trees,)
        Index of each tree's root.
    feature : ndarray of int64, shape (nodes,)
        Feature a node asks; -1 in a leaf.
    threshold : ndarray of float64, shape (nodes,)
        ``x <= threshold`` goes left.
    left, right : ndarray of int64, shape (nodes,)
        Children.
    missing_left : ndarray of bool, shape (nodes,)
        Where a missing value goes.
    proba : ndarray of float64, shape (nodes, classes)
        Class shares; used in leaves.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    proba: NDArray[np.float64]


@njit(nogil=True)
def _walk(x, roots, feature, threshold, left, right, missing_left, proba, out):  # type: ignore[no-untyped-def]
    classes = proba.shape[1]
    for tree in range(roots.shape[0]):
        for i in range(x.shape[0]):
            node = roots[tree]
            while feature[node] >= 0:
                v = x[i, feature[node]]
                go_left = missing_left[node] if math.isnan(v) else v <= threshold[node]
                node = left[node] if go_left else right[node]
            for c in range(classes):
                out[i, c] += proba[node, c]
    for i in range(x.shape[0]):
        for c in range(classes):
            out[i, c] /= roots.shape[0]


def forest_proba(x: NDArray[np.float32], forest: FlatForest) -> NDArray[np.float32]:
    """Class probabilities of a forest.

    Parameters
    ----------
    x : ndarray of float32, shape (n, features)
        NaN = missing.
    forest : FlatForest

    Returns
    -------
    ndarray of float32, shape (n, classes)
        Mean of the trees' leaf shares (Breiman 2001, doi:10.1023/A:1010933404324); equal to
        scikit-learn's ``predict_proba`` (``tests/maps/test_land_cover.py``).
    """
    out = np.zeros((x.shape[0], forest.proba.shape[1]), dtype=np.float64)
    _walk(
        np.ascontiguousarray(x, dtype=np.float32),
        forest.roots,
        forest.feature,
        forest.threshold,
        forest.left,
        forest.right,
        forest.missing_left,
        forest.proba,
        out,
    )
    return out.astype(np.float32)
