"""Trained scikit-learn trees laid out as the flat arrays that kernels walk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.boosting import FlatBoost
from rs_monitor.kernels.forest import FlatForest
from rs_monitor.kernels.trees import LEAF_CUT, MAX_FEATURES, cut_keys


class Tree(NamedTuple):
    """One tree as its trainer holds it, node 0 the root; entries of leaves are not read.

    Attributes
    ----------
    left, right : ndarray of int, shape (nodes,)
        Children.
    is_leaf : ndarray of bool, shape (nodes,)
    feature : ndarray of int, shape (nodes,)
    threshold : ndarray of float64, shape (nodes,)
        ``x <= threshold`` goes left.
    missing_left : ndarray of bool, shape (nodes,)
    value : ndarray, shape (nodes, ...)
        What a leaf says.
    """

    left: NDArray[Any]
    right: NDArray[Any]
    is_leaf: NDArray[np.bool_]
    feature: NDArray[Any]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    value: NDArray[Any]


def lay_out(trees: Sequence[Tree]) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """Put trees into flat arrays, breadth first, the two children of a node side by side.

    Parameters
    ----------
    trees : sequence of Tree

    Returns
    -------
    tuple
        The arrays of :class:`~rs_monitor.kernels.trees.FlatTrees` by name, and the values of all
        leaves in the order of its ``leaf``.

    Raises
    ------
    ModelMismatch
        If a tree asks for more features than the arrays can name.
    """
    if max(int(np.where(tree.is_leaf, 0, tree.feature).max()) for tree in trees) >= MAX_FEATURES:
        raise ModelMismatch(
            f"got trees that ask for more than {MAX_FEATURES} features; needed fewer; select the "
            "features that matter before training"
        )
    orders = [_breadth_first(tree) for tree in trees]
    parts = [_tree_arrays(tree, order) for tree, order in zip(trees, orders, strict=True)]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    counts = [len(order) for order in orders]
    is_leaf = arrays["threshold"] == LEAF_CUT
    rows = np.where(is_leaf, np.cumsum(is_leaf) - 1, 0)
    values = [tree.value[order] for tree, order in zip(trees, orders, strict=True)]
    arrays["roots"] = np.cumsum([0, *counts[:-1]]).astype(np.uint32)
    arrays["leaf"] = rows.astype(np.uint32)
    return arrays, np.concatenate(values)[is_leaf]


def _breadth_first(tree: Tree) -> NDArray[np.int64]:
    """Nodes level by level."""
    level = np.zeros(1, dtype=np.int64)
    levels = []
    while len(level):
        levels.append(level)
        asks = level[~tree.is_leaf[level]]
        level = np.stack([tree.left[asks], tree.right[asks]], axis=1).reshape(-1).astype(np.int64)
    return np.concatenate(levels)


def _tree_arrays(tree: Tree, order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    place = np.empty(len(tree.left), dtype=np.int64)
    place[order] = np.arange(len(order))
    is_leaf, missing_left = tree.is_leaf[order], tree.missing_left[order].astype(bool)
    column = 2 * tree.feature[order] + missing_left
    cuts = cut_keys(np.asarray(tree.threshold[order], dtype=np.float64), missing_left)
    left = place[np.where(is_leaf, order, tree.left[order])]
    return {
        "column": np.where(is_leaf, 0, column).astype(np.uint16),
        "threshold": np.where(is_leaf, LEAF_CUT, cuts).astype(np.uint32),
        "left": left.astype(np.uint32),
    }


def flatten(estimator: RandomForestClassifier) -> FlatForest:
    """Lay out the trees of a scikit-learn forest.

    Parameters
    ----------
    estimator : RandomForestClassifier
        Fitted, one output. Extra trees will do as well.

    Returns
    -------
    FlatForest
        Answers within 1e-6 of the estimator's ``predict_proba`` for float32 pixels, NaN included.

    Raises
    ------
    ModelMismatch
        If the forest has several outputs.
    """
    if estimator.n_outputs_ != 1:
        raise ModelMismatch(
            f"got a forest of {estimator.n_outputs_} outputs; needed one; train a forest for each"
        )
    arrays, shares = lay_out([_forest_tree(member.tree_) for member in estimator.estimators_])
    shares = shares / shares.sum(axis=1, keepdims=True)
    return FlatForest(**arrays, proba=np.ascontiguousarray(shares, dtype=np.float32))


def _forest_tree(tree: Any) -> Tree:
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        is_leaf=tree.children_left < 0,
        feature=tree.feature,
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left.astype(bool),
        value=tree.value[:, 0, :],
    )


def flatten_boosting(estimator: HistGradientBoostingClassifier) -> FlatBoost:
    """Lay out the trees of scikit-learn's histogram gradient boosting.

    Parameters
    ----------
    estimator : HistGradientBoostingClassifier
        Fitted, without categorical features.

    Returns
    -------
    FlatBoost
        Answers within 1e-6 of the estimator's ``predict_proba`` for float32 pixels, NaN and
        infinities included.

    Raises
    ------
    ModelMismatch
        If a split asks for a category.
    """
    # scikit-learn keeps trees and baseline private; what they hold is tested against its answers
    rounds = estimator._predictors
    trees = [_boosted_tree(predictor.nodes) for of_round in rounds for predictor in of_round]
    arrays, values = lay_out(trees)
    return FlatBoost(
        **arrays,
        value=np.ascontiguousarray(values, dtype=np.float64),
        output=np.tile(np.arange(len(rounds[0])), len(rounds)).astype(np.uint16),
        baseline=np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1),
    )


def _boosted_tree(nodes: NDArray[Any]) -> Tree:
    if nodes["is_categorical"].any():
        raise ModelMismatch(
            "got boosted trees with categorical splits; needed splits of numbers only; train "
            "without categorical_features, each category as a feature of 0 and 1"
        )
    return Tree(
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        is_leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"],
    )
