import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)

from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.boosting import boost_proba
from rs_monitor.kernels.forest import forest_proba
from rs_monitor.kernels.trees import LEAF_CUT, cut_keys, order_keys
from rs_monitor.maps.flatten import flatten, flatten_boosting
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=300)
FEATURES = 5
GAPS = ["in both", "in neither", "in training only", "in use only", "whole pixels"]
SINGLES = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)
FAR = np.array([np.inf, -np.inf, 3.4e38, -3.4e38, 0.0, -0.0, 1e-45, -1e-45, np.nan], "float32")


def drawn(gaps, classes):
    """Pixels, classes and other pixels; values lie so close that thresholds round."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(400, FEATURES)) * 1e-3 + 1).astype("float32")
    y = (x[:, 0] > 1).astype(int) + (x[:, 1] + 5e-4 * rng.normal(size=400) > 1)
    new = (rng.normal(size=(300, FEATURES)) * 1e-3 + 1).astype("float32")
    if gaps in ("in both", "in training only"):
        x[rng.random(x.shape) < 0.15] = np.nan
        x[y == 0, 2] = np.nan
    if gaps in ("in both", "in use only"):
        new[rng.random(new.shape) < 0.3] = np.nan
    if gaps == "whole pixels":
        new[rng.random(300) < 0.3] = np.nan
    return x, np.minimum(y, classes - 1), new


def around(thresholds, places, rng):
    """Pixels on the thresholds, one float32 below and above, and at the ends of all numbers."""
    asked = np.asarray(thresholds, dtype="float32")
    values = np.concatenate(
        [asked, np.nextafter(asked, np.float32(-9)), np.nextafter(asked, np.float32(9)), FAR]
    )
    return rng.choice(values, (places, FEATURES))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("trainer", [RandomForestClassifier, ExtraTreesClassifier])
def test_a_forest_answers_as_scikit_learns(trainer, gaps, classes):
    x, y, new = drawn(gaps, classes)
    balanced = {"class_weight": "balanced_subsample", "bootstrap": True}
    forest = trainer(12, random_state=1, n_jobs=1, min_samples_leaf=2, **balanced).fit(x, y)
    thresholds = np.concatenate([member.tree_.threshold for member in forest.estimators_])
    edges = around(thresholds, 600, np.random.default_rng(5))
    # scikit-learn's forests take no infinite value, and add all values up to look for one
    edges = np.clip(edges, np.float32(-1e30), np.float32(1e30))
    if gaps == "in neither":
        edges[np.isnan(edges)] = 0
    for pixels in (new, edges):
        expected = forest.predict_proba(pixels).astype("float32")
        assert_close(forest_proba(pixels, flatten(forest)), expected, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("gaps", GAPS)
def test_boosting_answers_as_scikit_learns(gaps, classes):
    x, y, new = drawn(gaps, classes)
    boosting = HistGradientBoostingClassifier(max_iter=15, random_state=1).fit(x, y)
    nodes = [p.nodes for of_round in boosting._predictors for p in of_round]
    thresholds = np.concatenate([part["num_threshold"] for part in nodes])
    edges = around(thresholds, 600, np.random.default_rng(5))
    flat = flatten_boosting(boosting)
    for pixels in (new, edges):
        expected = boosting.predict_proba(pixels).astype("float32")
        assert_close(boost_proba(pixels, flat), expected, atol=1e-6)


def test_a_split_on_missing_alone_keeps_infinity_apart():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)).astype("float32")
    x[:100] = np.nan
    boosting = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=2).fit(
        x, np.isnan(x[:, 0])
    )
    assert np.isinf(boosting._predictors[0][0].nodes["num_threshold"][0])
    pixels = np.array([[np.nan], [np.inf], [-np.inf], [0]], "float32")
    expected = boosting.predict_proba(pixels).astype("float32")
    assert expected[0, 1] > 0.5 > expected[1, 1]
    assert_close(boost_proba(pixels, flatten_boosting(boosting)), expected, atol=1e-6)


def test_trees_of_one_leaf():
    x, y = np.zeros((40, 2), "float32"), np.arange(40) % 4 == 0
    forest = RandomForestClassifier(3, random_state=0, n_jobs=1).fit(x, y)
    found = forest_proba(x, flatten(forest))
    assert_close(found, forest.predict_proba(x).astype("float32"), atol=1e-6)
    boosting = HistGradientBoostingClassifier(max_iter=3).fit(x, y)
    found = boost_proba(x, flatten_boosting(boosting))
    assert_close(found, boosting.predict_proba(x).astype("float32"), atol=1e-6)


@LAW
@given(x=SINGLES, threshold=st.floats(allow_nan=False), missing_left=st.booleans())
def test_a_cut_sends_every_float_where_the_threshold_does(x, threshold, missing_left):
    value = np.array([x], "float32")
    cut = cut_keys(np.array([threshold]), np.array([missing_left]))
    key = order_keys(value) + np.uint32(missing_left)
    goes_left = missing_left if np.isnan(x) else float(value[0]) <= threshold
    assert bool(key[0] <= cut[0]) == goes_left
    assert cut[0] < LEAF_CUT


@LAW
@given(x=SINGLES, steps=st.integers(-1, 1), missing_left=st.booleans())
def test_a_cut_next_to_a_value(x, steps, missing_left):
    value = np.array([0.0 if np.isnan(x) else x], "float32")
    with np.errstate(over="ignore"):
        other = np.nextafter(value.astype("float64"), np.array([steps * np.inf]))
    threshold = other if steps else value.astype("float64")
    cut = cut_keys(threshold, np.array([missing_left]))
    key = order_keys(value) + np.uint32(missing_left)
    assert bool(key[0] <= cut[0]) == bool(value[0] <= threshold[0])


@pytest.mark.parametrize("threshold", [-1e300, -3.40282347e38 * (1 + 1e-9), -1e-50, 1e-50, 1e300])
def test_cuts_no_float32_can_hold(threshold):
    most = np.finfo("float32").max
    values = np.array([-np.inf, -most, -1e-45, -0.0, 0.0, 1e-45, most, np.inf], "float32")
    cut = cut_keys(np.array([threshold]), np.array([False]))
    goes_left = values.astype("float64") <= threshold
    assert np.array_equal(order_keys(values) <= cut, goes_left)


def test_categories_are_refused():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (200, 2)).astype("float32")
    boosting = HistGradientBoostingClassifier(
        max_iter=3, categorical_features=[0], min_samples_leaf=5
    ).fit(x, x[:, 0] == 2)
    with pytest.raises(ModelMismatch, match=r"categorical splits.*train without"):
        flatten_boosting(boosting)


def test_several_outputs_are_refused():
    x = np.zeros((20, 2), "float32")
    forest = RandomForestClassifier(2).fit(x, np.zeros((20, 2), int))
    with pytest.raises(ModelMismatch, match="2 outputs; needed one"):
        flatten(forest)
