import math
from dataclasses import replace

import numpy as np
import pytest

from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.boosting import FlatBoost, boost_proba, check_boost
from rs_monitor.kernels.trees import LEAF_CUT, cut_keys
from tests.comparison import assert_close

NAN = float("nan")
CUTS = cut_keys(np.array([0.5, 2.0]), np.array([True, False]))
# the trees of test_forest.py; their leaves add 1, 2 to one score and -1, 0.5 to the other
ONE_SCORE = FlatBoost(
    roots=np.array([0, 3], "uint32"),
    column=np.array([1, 0, 0, 2, 0, 0], "uint16"),
    threshold=np.array([CUTS[0], LEAF_CUT, LEAF_CUT, CUTS[1], LEAF_CUT, LEAF_CUT], "uint32"),
    left=np.array([1, 1, 2, 1, 1, 2], "uint32"),
    leaf=np.array([0, 0, 1, 0, 2, 3], "uint32"),
    value=np.array([1, 2, -1, 0.5]),
    output=np.array([0, 0], "uint16"),
    baseline=np.array([-0.25]),
)
THREE_SCORES = replace(
    ONE_SCORE, output=np.array([0, 2], "uint16"), baseline=np.array([0.0, 0.125, 0.25])
)
PIXELS = np.array([[0, 0], [1, 0], [1, 3], [NAN, NAN], [-np.inf, np.inf]], "float32")
FIRST = np.array([1, 2, 2, 1, 1])
SECOND = np.array([-1, -1, 0.5, 0.5, 0.5])


def test_one_score_is_log_odds():
    odds = np.exp(FIRST + SECOND - 0.25)
    expected = np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1).astype("float32")
    assert_close(boost_proba(PIXELS, ONE_SCORE), expected, atol=1e-7)


def test_scores_share_out_by_softmax():
    weights = np.exp(np.stack([FIRST, np.full(5, 0.125), SECOND + 0.25], axis=1))
    expected = (weights / weights.sum(axis=1, keepdims=True)).astype("float32")
    assert_close(boost_proba(PIXELS, THREE_SCORES), expected, atol=1e-7)


@pytest.mark.parametrize("boost", [ONE_SCORE, THREE_SCORES], ids=["one", "three"])
def test_large_scores_stay_finite(boost):
    far = replace(boost, value=np.array([900.0, 900, -900, 900]))
    found = boost_proba(PIXELS[:3], far)
    assert np.isfinite(found).all()
    assert_close(found.sum(axis=1), np.ones(3, "float32"), atol=1e-6)
    assert math.isclose(
        found[2].max(), 1.0 if boost is ONE_SCORE else 1 / (1 + math.exp(-0.25)), rel_tol=1e-6
    )


def test_planes_and_pixels_not_seen():
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 3, (2, 30, 50)).astype("float32")
    seen = rng.random((30, 50)) < 0.6
    pixels = boost_proba(np.ascontiguousarray(x.reshape(2, -1).T), THREE_SCORES)
    expected = np.where(seen, pixels.T.reshape(3, 30, 50), np.float32(NAN))
    out = np.empty((3, 30, 50), "float32")
    assert boost_proba(x, THREE_SCORES, seen=seen, out=out) is out
    assert_close(out, expected, atol=0)


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"left": ONE_SCORE.left[::-1].copy()}, "outside its tree"),
        ({"leaf": np.full(6, 9, "uint32")}, "names no row"),
        ({"value": np.full(4, NAN)}, "not a finite number"),
        ({"value": np.zeros(4, "float32")}, "value is not float64"),
        ({"baseline": np.array([np.inf])}, "not a finite number"),
        ({"baseline": np.array([])}, "a score that is not there"),
        ({"output": np.array([0, 1], "uint16")}, "a score that is not there"),
        ({"output": np.array([0], "uint16")}, "not every tree has a score"),
        ({"output": np.array([0, 0], "int64")}, "output is not uint16"),
    ],
)
def test_arrays_that_are_no_boosted_trees_are_refused(part, problem):
    with pytest.raises(ModelMismatch, match=problem):
        replace(ONE_SCORE, **part)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelMismatch, match="got 1 features"):
        boost_proba(PIXELS[:, :1], ONE_SCORE)
    with pytest.raises(ModelMismatch, match="got 1 features"):
        check_boost(ONE_SCORE, features=1, classes=2)
    with pytest.raises(ModelMismatch, match="of 2 classes; needed 1"):
        check_boost(ONE_SCORE, features=2, classes=1)
    with pytest.raises(ModelMismatch, match="of 3 classes; needed 2"):
        check_boost(THREE_SCORES, features=2, classes=2)
    check_boost(THREE_SCORES, features=2, classes=3)
