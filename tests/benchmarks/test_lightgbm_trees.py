import numpy as np
import pytest

from benchmarks.lightgbm_trees import flat_lightgbm
from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.boosting import boost_proba
from tests.comparison import assert_close

NAN = float("nan")


def split(threshold, missing_type, *, default_left, left, right, decision_type="<="):
    return {
        "split_feature": 1,
        "threshold": threshold,
        "decision_type": decision_type,
        "missing_type": missing_type,
        "default_left": default_left,
        "left_child": left,
        "right_child": right,
    }


def dump_of(*roots, objective="binary sigmoid:1", scores=1, **more):
    """As ``Booster.dump_model()`` writes it, without what is not read."""
    return {
        "objective": objective,
        "num_tree_per_iteration": scores,
        "tree_info": [{"tree_structure": root} for root in roots],
        **more,
    }


ONE, TWO, THREE = ({"leaf_value": value} for value in (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("missing_type", "threshold", "default_left", "says"),
    [
        ("NaN", 0.1, True, 1.0),
        ("NaN", 0.1, False, 2.0),
        # without missing values in training NaN stands for 0
        ("None", 0.1, False, 1.0),
        ("None", 0.0, False, 1.0),
        ("None", -0.1, True, 2.0),
    ],
)
def test_missing_values_go_where_lightgbm_sends_them(missing_type, threshold, default_left, says):
    tree = split(threshold, missing_type, default_left=default_left, left=ONE, right=TWO)
    found = boost_proba(np.array([[5, NAN]], "float32"), flat_lightgbm(dump_of(tree)))
    assert_close(found[:, 1], np.array([1 / (1 + np.exp(-says))], "float32"), atol=1e-7)


def test_every_tree_adds_to_its_class():
    tree = split(
        0.1,
        "None",
        default_left=True,
        left=ONE,
        right=split(0.5, "None", default_left=True, left=TWO, right=THREE),
    )
    dump = dump_of(tree, ONE, TWO, objective="multiclass num_class:3", scores=3)
    # the float32 next to 0.1 lies just above it
    x = np.array([[0, 0.1], [0, 0.0999], [0, 0.5], [0, 0.51]], "float32")
    scores = np.array([[2, 1, 2], [1, 1, 2], [2, 1, 2], [3, 1, 2]])
    weights = np.exp(scores)
    expected = (weights / weights.sum(axis=1, keepdims=True)).astype("float32")
    assert_close(boost_proba(x, flat_lightgbm(dump)), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("dump", "problem"),
    [
        (dump_of(ONE, objective="regression"), "objective regression"),
        (dump_of(ONE, objective="binary sigmoid:2"), "objective binary sigmoid:2"),
        (dump_of(ONE, average_output=True), "averaged trees"),
        (dump_of(split(0.1, "Zero", default_left=True, left=ONE, right=TWO)), "missing_type Zero"),
        (
            dump_of(
                split("1||3", "None", default_left=True, left=ONE, right=TWO, decision_type="==")
            ),
            "split == with",
        ),
    ],
)
def test_models_of_another_kind_are_refused(dump, problem):
    with pytest.raises(ModelMismatch, match=problem):
        flat_lightgbm(dump)
