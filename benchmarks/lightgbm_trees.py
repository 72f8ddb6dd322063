"""LightGBM models as flat trees, read from ``Booster.dump_model()``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.boosting import FlatBoost
from rs_monitor.maps.flatten import Tree, lay_out

SCORES = {"multiclass": None, "binary sigmoid:1": 1}
"""Objectives whose scores become probabilities by softmax and by the logistic function."""


def flat_lightgbm(dump: Mapping[str, Any]) -> FlatBoost:
    """Lay out the trees of a dumped LightGBM classifier.

    Parameters
    ----------
    dump : mapping
        ``Booster.dump_model()`` of objective ``multiclass`` or ``binary``.

    Raises
    ------
    ModelMismatch
        For another objective, for categories and where zero counts as missing.
    """
    objective = str(dump["objective"])
    if objective not in SCORES and not objective.startswith("multiclass "):
        raise ModelMismatch(f"got objective {objective}; needed multiclass or binary; train so")
    if dump.get("average_output"):
        raise ModelMismatch("got averaged trees (boosting=rf); needed boosted trees; train so")
    scores = int(dump["num_tree_per_iteration"])
    trees = [_tree(info["tree_structure"]) for info in dump["tree_info"]]
    arrays, values = lay_out(trees)
    return FlatBoost(
        **arrays,
        value=np.ascontiguousarray(values, dtype=np.float64),
        output=(np.arange(len(trees)) % scores).astype(np.uint16),
        baseline=np.zeros(scores),
    )


def _tree(root: Mapping[str, Any]) -> Tree:
    nodes, children = [root], []
    for node in nodes:
        pair = [node[side] for side in ("left_child", "right_child") if side in node]
        children.append((len(nodes), len(nodes) + 1) if pair else (0, 0))
        nodes += pair
    left, right = np.array(children).T
    missing_left = np.array([_missing_left(node) for node in nodes])
    return Tree(
        left=left,
        right=right,
        is_leaf=left == 0,
        feature=np.array([node.get("split_feature", 0) for node in nodes]),
        threshold=np.array([float(node.get("threshold", 0.0)) for node in nodes]),
        missing_left=missing_left,
        value=np.array([node.get("leaf_value", 0.0) for node in nodes]),
    )


def _missing_left(node: Mapping[str, Any]) -> bool:
    """Where NaN goes: by default where NaN was seen in training, else it stands for 0."""
    if "split_feature" not in node:
        return False
    if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
        raise ModelMismatch(
            f"got a split {node['decision_type']} with missing_type {node['missing_type']}; needed "
            "numbers without zero_as_missing; train without categorical_feature"
        )
    if node["missing_type"] == "NaN":
        return bool(node["default_left"])
    return float(node["threshold"]) >= 0.0
