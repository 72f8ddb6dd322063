from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from rs_monitor.errors import NoObservations
from rs_monitor.maps.validation import groups_of_each_class, out_of_fold, spatial_folds

LAW = settings(deadline=None, derandomize=True, max_examples=20)


def parcels(seed, groups=24, rows=120, classes=3):
    """Parcels of several pixels, each of one class, and their features."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, rows)
    group[:groups] = np.arange(groups)
    labels = group % classes
    return rng.normal(size=(rows, 2)), labels, group


class Witness(DummyClassifier):
    """Remembers the groups it was trained on."""

    seen: ClassVar = []

    def fit(self, X, y, groups=None):
        Witness.seen.append(set(groups.tolist()))
        return super().fit(X, y)


@LAW
@given(st.integers(0, 1000), st.integers(2, 5))
def test_no_group_is_in_both_parts(seed, folds):
    _, labels, groups = parcels(seed)
    fold = spatial_folds(groups, labels, folds=folds, seed=seed)
    assert set(fold.tolist()) == set(range(folds))
    for number in range(folds):
        assert not set(groups[fold == number]) & set(groups[fold != number])
        assert set(labels[fold != number]) == set(labels)


def test_no_classifier_is_trained_on_a_group_it_answers_for():
    features, labels, groups = parcels(1)
    fold = spatial_folds(groups, labels, folds=4, seed=7)
    Witness.seen.clear()
    out_of_fold(Witness, features, labels, groups, folds=4, seed=7)
    assert [seen & set(groups[fold == k].tolist()) for k, seen in enumerate(Witness.seen)] == [
        set()
    ] * 4


@LAW
@given(st.integers(0, 1000))
def test_the_order_of_rows_changes_no_fold(seed):
    _, labels, groups = parcels(seed)
    order = np.random.default_rng(seed).permutation(len(groups))
    fold = spatial_folds(groups, labels, folds=3, seed=5)
    again = spatial_folds(groups[order], labels[order], folds=3, seed=5)
    assert np.array_equal(again, fold[order])


def test_another_seed_deals_otherwise():
    _, labels, groups = parcels(3)
    one, same, other = (spatial_folds(groups, labels, folds=3, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_pixels_of_a_parcel_learned_by_heart_do_not_help():
    """Labels are noise by parcel: by pixel a tree would be right, by parcel it cannot."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(60), 10)
    labels = rng.integers(0, 2, 60)[groups]
    features = rng.normal(size=(60, 3))[groups]
    blocked, classes = out_of_fold(
        DecisionTreeClassifier, features, labels, groups, folds=5, seed=0
    )
    by_pixel, _ = out_of_fold(
        DecisionTreeClassifier, features, labels, np.arange(600), folds=5, seed=0
    )
    assert np.mean(classes[by_pixel.argmax(axis=1)] == labels) == 1
    assert np.mean(classes[blocked.argmax(axis=1)] == labels) < 0.65


def test_rows_are_answered_in_their_order():
    groups = np.arange(40)
    labels = np.where(groups % 3 == 0, "paddy", "forest")
    features = (labels == "paddy").astype(float)[:, None]
    probabilities, classes = out_of_fold(
        DecisionTreeClassifier, features, labels, groups, folds=3, seed=2
    )
    assert classes.tolist() == ["forest", "paddy"]
    assert probabilities.dtype == np.float64
    assert np.array_equal(classes[probabilities.argmax(axis=1)], labels)


def test_a_class_of_few_parcels_is_refused_by_name():
    groups = np.array([0, 0, 1, 2, 3, 4, 5, 5])
    labels = np.array(["bare", "bare", "bare", "water", "water", "water", "mine", "mine"])
    assert groups_of_each_class(groups, labels) == {"bare": 2, "mine": 1, "water": 3}
    with pytest.raises(NoObservations, match=r"bare in 2, mine in 1.*at least 3 groups.*merge"):
        spatial_folds(groups, labels, folds=3, seed=0)


def test_a_class_dealt_to_one_fold_is_parted():
    """Two large blocks hold all of class 1; balance puts them together against the third."""
    groups = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    labels = [0, 0, 1, 1, 0, 1, 1, 0, 0, 0]
    fold = spatial_folds(groups, labels, folds=2, seed=0)
    assert fold.tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
