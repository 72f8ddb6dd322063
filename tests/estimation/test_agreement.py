import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score, f1_score, precision_score, recall_score

from rs_monitor.estimation.agreement import BinaryScore, score_change

LAW = settings(deadline=None, derandomize=True, max_examples=50)


def test_counts_by_eye():
    changed = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    reference = np.array([1, 1, 0, 1, 0, 0, 0], bool)
    assert score_change(changed, reference) == BinaryScore(2, 1, 1, 3)


def test_figures_by_hand():
    score = BinaryScore(20, 5, 10, 15)
    assert score.total == 50
    assert score.precision == 20 / 25
    assert score.recall == 20 / 30
    assert score.f1 == pytest.approx(2 * 0.8 * (2 / 3) / (0.8 + 2 / 3))
    # observed 0.7; by chance (25 x 30 + 25 x 20) / 2500 = 0.5
    assert score.kappa == pytest.approx((0.7 - 0.5) / 0.5)


def test_no_hit_is_zero_and_nothing_to_hit_is_undefined():
    missed = BinaryScore(0, 3, 4, 10)
    assert (missed.precision, missed.recall, missed.f1) == (0, 0, 0)
    silent = BinaryScore(0, 0, 4, 10)
    assert math.isnan(silent.precision)
    assert silent.f1 == 0
    empty = score_change(np.empty(0, bool), np.empty(0, bool))
    assert empty.total == 0
    assert all(math.isnan(v) for v in (empty.precision, empty.recall, empty.f1, empty.kappa))
    assert math.isnan(BinaryScore(0, 0, 0, 9).kappa)


@LAW
@given(arrays(bool, 30), arrays(bool, 30))
def test_figures_are_scikit_learns(changed, reference):
    assume(changed.any() and reference.any() and not (changed.all() and reference.all()))
    score = score_change(changed, reference)
    assert score.precision == pytest.approx(precision_score(reference, changed))
    assert score.recall == pytest.approx(recall_score(reference, changed))
    assert score.f1 == pytest.approx(f1_score(reference, changed))
    assert score.kappa == pytest.approx(cohen_kappa_score(reference, changed), abs=1e-12)
