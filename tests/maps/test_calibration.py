import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.maps.calibration import Calibrator, fit_calibrator
from rs_monitor.maps.reliability import (
    classwise_calibration_error,
    expected_calibration_error,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=15)
METHODS = ["none", "temperature", "bias_temperature", "vector", "isotonic"]
FITTED = METHODS[1:]
SEEDS = st.integers(0, 1000)
BINS = {"bins": 15, "spacing": "mass"}
CLASSES = np.array([1, 4, 8])


def honest(seed, rows=4000, classes=3):
    """True class probabilities and labels drawn from them."""
    rng = np.random.default_rng(seed)
    true = softmax(rng.normal(0, 1.5, (rows, classes)) + np.linspace(1, -1, classes), axis=1)
    labels = (rng.random(rows)[:, None] > np.cumsum(true, axis=1)).sum(axis=1).clip(max=classes - 1)
    return true, CLASSES[labels]


def bold(true, slope=2.0):
    """The same, overconfident."""
    return true**slope / np.sum(true**slope, axis=1, keepdims=True)


def fit(probabilities, labels, method, classes=CLASSES, floors=(1e-9,), bias_ridge=0.0):
    return fit_calibrator(
        probabilities,
        labels,
        classes,
        method=method,
        floors=floors,
        slope_ridge=1e-6,
        bias_ridge=bias_ridge,
    )


class Stated(ClassifierMixin, BaseEstimator):
    """A classifier whose features are its probabilities."""

    def fit(self, _, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[np.argmax(X, axis=1)]

    def predict_proba(self, X):
        return X


@pytest.mark.parametrize("method", FITTED)
@pytest.mark.parametrize("slope", [0.5, 2.5])
def test_known_miscalibration_is_taken_back(method, slope):
    """Labels follow known probabilities; stated ones are too bold or too shy."""
    stated, labels = honest(1)
    fitted = fit(bold(stated, slope), labels, method)
    true, fresh = honest(2)
    before, after = bold(true, slope), fitted.apply(bold(true, slope))
    raw, left = (expected_calibration_error(p, fresh, CLASSES, **BINS) for p in (before, after))
    assert raw > 0.08
    assert left < 0.03
    assert np.abs(after - true).mean() < 0.25 * np.abs(before - true).mean()


@pytest.mark.parametrize("slope", [0.5, 2.0, 3.0])
def test_temperature_finds_the_known_slope(slope):
    stated, labels = honest(3, rows=20_000)
    fitted = fit(bold(stated, slope), labels, "temperature")
    assert fitted.slope[0, 0] == pytest.approx(1 / slope, rel=0.04)


def test_temperature_is_scikit_learns():
    stated, names = honest(4)
    stated, labels = bold(stated), np.searchsorted(CLASSES, names)
    theirs = CalibratedClassifierCV(
        FrozenEstimator(Stated().fit(stated, labels)), method="temperature"
    ).fit(stated, labels)
    ours = fit(stated, labels, "temperature", classes=[0, 1, 2], floors=[1e-12])
    assert_close(ours.apply(stated), theirs.predict_proba(stated).astype("f4"), atol=2e-5)


def test_isotonic_is_scikit_learns():
    """Of two classes both normalise the one curve to the same."""
    stated, labels = honest(5, classes=2)
    stated = bold(stated)
    theirs = CalibratedClassifierCV(
        FrozenEstimator(Stated().fit(stated, labels)), method="isotonic"
    ).fit(stated, labels)
    ours = fit(stated, labels, "isotonic", classes=CLASSES[:2])
    assert_close(ours.apply(stated), theirs.predict_proba(stated).astype("f4"), atol=5e-5)


def balanced_view(true, prior):
    """What trees grown with equal classes say of the same ground."""
    shifted = true / prior
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", ["bias_temperature", "vector", "isotonic"])
def test_the_samples_class_shares_come_back(method):
    true, labels = honest(6, rows=8000)
    shares = np.mean(labels[:, None] == CLASSES, axis=0)
    stated = balanced_view(true, shares)
    assert np.abs(stated.mean(axis=0) - shares).max() > 0.1
    fitted = fit(stated, labels, method)
    loose = 0.03 if method == "isotonic" else 1e-3
    assert_close(fitted.apply(stated).mean(axis=0), shares.astype("f4"), atol=loose)
    fresh, drawn = honest(7, rows=8000)
    error = [
        classwise_calibration_error(p, drawn, CLASSES, **BINS)
        for p in (balanced_view(fresh, shares), fitted.apply(balanced_view(fresh, shares)))
    ]
    assert error[0] > 0.05
    assert error[1] < 0.02


def test_a_ridge_holds_the_bias():
    true, labels = honest(6)
    shares = np.mean(labels[:, None] == CLASSES, axis=0)
    stated = balanced_view(true, shares)
    spans = [
        np.ptp(fit(stated, labels, "bias_temperature", bias_ridge=ridge).bias)
        for ridge in (0, 300, 1e7)
    ]
    assert spans[0] > spans[1] > 0.1
    assert spans[2] < 0.01


def test_the_likeliest_floor_is_kept():
    stated, labels = honest(14)
    floors = (1e-6, 0.02)
    assert fit(bold(stated, 3), labels, "temperature", floors=floors).floor == 1e-6
    stated[::40] = np.roll(labels[::40, None] == CLASSES, 1, axis=1)  # sure, and wrong
    assert fit(stated, labels, "temperature", floors=floors).floor == 0.02


@LAW
@given(SEEDS, st.sampled_from(METHODS))
def test_rows_sum_to_one_and_are_never_nan(seed, method):
    stated, labels = honest(seed, rows=300)
    fitted = fit(bold(stated, 4), labels, method, floors=[1e-3])
    hard = np.vstack([np.eye(3), np.full((1, 3), 1 / 3), [[0.5, 0.5, 0]], stated])
    found = fitted.apply(hard.astype("f4"))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert_close(found.sum(axis=1), np.ones(len(found), dtype="f4"), atol=1e-6)


@LAW
@given(SEEDS)
def test_temperature_keeps_the_most_probable_class(seed):
    stated, labels = honest(seed, rows=400)
    stated = bold(stated, 3).astype("f4")
    found = fit(stated, labels, "temperature", floors=[0.005]).apply(stated)
    assert np.array_equal(found.argmax(axis=1), stated.argmax(axis=1))


@LAW
@given(SEEDS, st.sampled_from(METHODS))
def test_the_order_of_classes_does_not_matter(seed, method):
    stated, labels = honest(seed, rows=500)
    order = np.random.default_rng(seed).permutation(3)
    one = fit(stated, labels, method).apply(stated)
    other = fit(stated[:, order], labels, method, classes=CLASSES[order]).apply(stated[:, order])
    assert_close(other, one[:, order], atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_blocks_of_rows_give_the_bytes_of_the_whole(method):
    stated, labels = honest(8, rows=500)
    fitted = fit(stated, labels, method)
    whole = fitted.apply(stated.astype("f4"))
    parts = [fitted.apply(part) for part in np.array_split(stated.astype("f4"), 7)]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("method", METHODS)
def test_rows_not_seen_stay_so_and_results_may_be_written_in_place(method):
    stated, labels = honest(9, rows=200)
    fitted = fit(stated, labels, method)
    layers = np.ascontiguousarray(stated.T, dtype="f4")
    layers[:, 3] = np.nan
    expected = fitted.apply(layers.T.copy())
    rows = layers.T
    assert fitted.apply(rows, out=rows) is rows
    assert np.array_equal(rows, expected, equal_nan=True)
    assert np.isnan(rows).any(axis=1).nonzero()[0].tolist() == [3]


def test_without_calibration_nothing_moves():
    stated, labels = honest(10)
    assert_close(fit(stated, labels, "none").apply(stated), stated.astype("f4"), atol=3e-6)


def test_faultless_folds_give_a_finite_slope():
    labels = np.repeat(CLASSES, 50)
    stated = np.where(labels[:, None] == CLASSES, 0.98, 0.01)
    fitted = fit_calibrator(
        stated,
        labels,
        CLASSES,
        method="temperature",
        floors=[0.005],
        slope_ridge=1.0,
        bias_ridge=0.0,
    )
    assert 1 < fitted.slope[0, 0] < 10


def test_another_prior_is_bayes_rule():
    true, labels = honest(11, rows=6000)
    fitted = fit(true, labels, "bias_temperature")
    moved = fitted.with_prior([2.0, 1.0, 1.0])
    new = np.array([0.5, 0.25, 0.25])
    expected = fitted.apply(true) * new / fitted.prior
    expected /= expected.sum(axis=1, keepdims=True)
    assert_close(moved.apply(true), expected.astype("f4"), atol=1e-6)
    assert_close(moved.prior, new, atol=1e-12)
    assert_close(moved.with_prior(fitted.prior).apply(true), fitted.apply(true), atol=1e-6)


@pytest.mark.parametrize("method", ["none", "temperature"])
def test_a_method_without_a_bias_knows_the_shares_its_probabilities_go_with(method):
    # probabilities that are true where classes are equally frequent, fitted on rows where not
    true, labels = honest(11, rows=20_000)
    counts = np.array([np.mean(labels == value) for value in CLASSES])
    balanced = true / counts
    balanced /= balanced.sum(axis=1, keepdims=True)
    fitted = fit(balanced, labels, method)
    assert_close(fitted.prior, np.full(3, 1 / 3), atol=0.02)
    assert_close(fitted.with_prior(counts).apply(balanced), true.astype("f4"), atol=0.03)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1])
def test_probabilities_that_are_none_teach_nothing(wrong):
    true, labels = honest(11, rows=300)
    true[5, 1] = wrong
    with pytest.raises(ModelMismatch, match="not numbers from 0"):
        fit(true, labels, "temperature")


def test_labels_of_other_classes_teach_nothing():
    true, labels = honest(11, rows=300)
    labels[7] = 99
    with pytest.raises(ModelMismatch, match="labels of other classes"):
        fit(true, labels, "temperature")


@pytest.mark.parametrize(
    "prior", [[0.5, 0.5], [0.5, 0.5, 0.0], [0.5, np.nan, 0.5], [1.0, np.inf, 1.0]]
)
def test_a_prior_that_leaves_a_class_out_is_refused(prior):
    true, labels = honest(11, rows=300)
    with pytest.raises(ModelMismatch, match="3 shares above 0"):
        fit(true, labels, "temperature").with_prior(prior)


@pytest.mark.parametrize("method", METHODS)
def test_storing_changes_nothing(method):
    stated, labels = honest(12, rows=300)
    fitted = fit(stated, labels, method)
    stored = Calibrator.from_arrays(fitted.to_arrays())
    assert np.array_equal(stored.apply(stated), fitted.apply(stated))
    assert stored.floor == fitted.floor


@pytest.mark.parametrize("name", ["floor", "slope", "bias", "knots", "values", "prior"])
def test_stored_arrays_that_do_not_fit_are_refused(name):
    stated, labels = honest(12, rows=300)
    arrays = fit(stated, labels, "isotonic").to_arrays()
    with pytest.raises(ModelMismatch, match=rf"without {name}"):
        Calibrator.from_arrays({key: value for key, value in arrays.items() if key != name})
    with pytest.raises(ModelMismatch, match="store the model again"):
        Calibrator.from_arrays(arrays | {name: np.zeros((5, 7))})


def test_other_classes_are_refused():
    true, labels = honest(13, rows=300)
    with pytest.raises(ModelMismatch, match="rows of 3 classes"):
        fit(true, labels, "temperature").apply(true[:, :2])


def test_a_class_without_rows_is_refused_by_name():
    true, labels = honest(13, rows=300)
    with pytest.raises(NoObservations, match=r"no row of class \[8\]"):
        fit(true, np.where(labels == 8, 1, labels), "temperature")
