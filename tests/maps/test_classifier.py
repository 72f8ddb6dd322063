import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import read_toml
from rs_monitor.errors import NoObservations
from rs_monitor.maps import classifier as module
from rs_monitor.maps.calibration import CalibrationRules
from rs_monitor.maps.classifier import ClassifierRules, LandCoverClassifier, SteadyForest
from rs_monitor.maps.reliability import brier_score, expected_calibration_error

TABLES = read_toml(data_root() / "configs" / "rules" / "land_cover.toml")
RULES = ClassifierRules(**TABLES["classifier"])
CALIBRATION = CalibrationRules(**TABLES["calibration"])
SMALL = {"trees": 5, "folds": 2, "random_state": 3}
KINDS = ["forest", "boosting"]
BINS = {"bins": 10, "spacing": "mass"}


TINY = SMALL | {"trees": 2, "max_leaves": 3, "floors": (0.005,), "n_jobs": 1}


ESTIMATORS = [
    LandCoverClassifier("forest", **TINY),
    LandCoverClassifier("boosting", **TINY),
    LandCoverClassifier("forest", calibration="bias_temperature", **TINY),
    LandCoverClassifier("boosting", calibration="isotonic", **TINY),
]


def name_of(check):
    return getattr(check, "func", check).__name__


CHECKS = [
    (estimator, check)
    for given in ESTIMATORS
    for estimator, check in estimator_checks_generator(given)
    # arrays other than NumPy's are not claimed, and scikit-learn would only skip it
    if "array_api" not in name_of(check)
]


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=[f"{k}-{name_of(c)}" for k, (_, c) in enumerate(CHECKS)]
)
def test_the_rules_of_scikit_learn(estimator, check):
    check(estimator)


def ground(seed, parcels=120, pixels=6, rare=0.15):
    """Parcels of three classes that overlap, with gaps; the last class is rare."""
    rng = np.random.default_rng(seed)
    of_parcel = rng.choice([2, 4, 11], parcels, p=[0.5, 0.5 - rare, rare])
    groups = np.repeat(np.arange(parcels), pixels)
    labels = of_parcel[groups]
    places = {2: (0, 0, 0), 4: (1.5, 0, 0), 11: (0, 1.5, 0)}
    middle = np.array([places[value] for value in of_parcel])
    middle = middle + rng.normal(0, 0.8, middle.shape)
    features = middle[groups] + rng.normal(0, 0.6, (len(groups), 3))
    features[rng.random(features.shape) < 0.1] = np.nan
    return features.astype(np.float32), labels, groups


def fitted(kind, calibration="bias_temperature", seed=1, **more):
    features, labels, groups = ground(1)
    made = LandCoverClassifier(
        kind, trees=20, max_leaves=6, folds=3, calibration=calibration, random_state=seed, **more
    )
    return made.fit(features, labels, groups=groups)


def test_the_forest_behind_a_calibration_adds_its_trees_in_one_order():
    features, labels, _ = ground(1)
    grown = SteadyForest(200, min_samples_leaf=3, n_jobs=2, random_state=0).fit(features, labels)
    found = [grown.predict_proba(features) for _ in range(30)]
    assert all(np.array_equal(found[0], other) for other in found)
    assert grown.n_jobs == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_on_any_threads(kind):
    features = ground(2)[0]
    one = fitted(kind, n_jobs=1).predict_proba(features)
    two = fitted(kind, n_jobs=2).predict_proba(features)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, fitted("forest", seed=2).predict_proba(features))


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_lowers_the_error_on_new_ground(kind):
    features, labels, _ = ground(3, parcels=400)
    plain, calibrated = (
        fitted(kind, method, learning_rate=0.5) for method in ("none", "bias_temperature")
    )
    before, after = (
        expected_calibration_error(c.predict_proba(features), labels, c.classes_, **BINS)
        for c in (plain, calibrated)
    )
    assert after < 0.8 * before
    worse, better = (
        brier_score(c.predict_proba(features), labels, c.classes_) for c in (plain, calibrated)
    )
    assert better < worse


def test_calibration_brings_back_the_samples_class_shares():
    labels = ground(1)[1]
    rare = float(np.mean(labels == 11))
    found = {}
    for method in ("none", "bias_temperature"):
        made = fitted("forest", method, slope_ridge=0.0, bias_ridge=0.0, min_leaf=30)
        fresh = made.predict_proba(ground(4, parcels=600)[0])
        found[method] = fresh[:, 2].mean()
    assert found["none"] > rare + 0.08
    assert found["bias_temperature"] == pytest.approx(rare, abs=0.04)


def test_the_calibrator_never_hears_of_rows_its_trees_saw(monkeypatch):
    """What the calibrator is fitted on comes from trees that were grown on other groups."""
    seen = {}
    honest = module.out_of_fold

    def watched(make, features, labels, groups, *, folds, seed):
        seen["groups"], seen["folds"] = groups, folds
        seen["stated"], classes = honest(make, features, labels, groups, folds=folds, seed=seed)
        return seen["stated"], classes

    def kept(stated, *_, **__):
        seen["fitted on"] = stated

    monkeypatch.setattr(module, "out_of_fold", watched)
    monkeypatch.setattr(module, "fit_calibrator", kept)
    made = fitted("forest")
    features, labels, groups = ground(1)
    assert np.array_equal(seen["groups"], groups)
    assert seen["folds"] == 3
    assert seen["fitted on"] is seen["stated"]
    in_sample = made.trees_.predict_proba(features)
    place = np.searchsorted(made.classes_, labels)
    right = [p[np.arange(len(labels)), place].mean() for p in (in_sample, seen["stated"])]
    assert right[0] > right[1] + 0.15


def test_labels_drawn_at_random_are_not_believed():
    """Nothing can be learned: honest probabilities are the class shares, whatever trees recall."""
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(90), 8)
    labels = rng.integers(0, 3, 90)[groups]
    features = rng.normal(size=(90, 4))[groups].astype(np.float32)
    made = LandCoverClassifier(
        "forest", trees=20, min_leaf=1, calibration="temperature", folds=3, random_state=0
    )
    by_parcel = made.fit(features, labels, groups=groups).predict_proba(features)
    assert by_parcel.max() < 0.6
    assert made.fit(features, labels).predict_proba(features).max() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_trees_ask_counts(kind):
    features, labels, groups = ground(1)
    wide = np.column_stack([features, np.zeros(len(features), dtype=np.float32)])
    made = LandCoverClassifier(kind, trees=10, max_features=1.0, random_state=0)
    shares = made.fit(wide, labels, groups=groups).feature_importances_
    assert shares.sum() == pytest.approx(1)
    assert shares[3] == 0
    assert shares[:2].min() > shares[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_without_any_value_is_passed_over(kind):
    # a part of the season that no sample saw clear; other ground may show it
    features, labels, groups = ground(1)
    blank = np.column_stack([features, np.full(len(features), np.nan, "float32")])
    made = LandCoverClassifier(kind, calibration="temperature", **TINY)
    made.fit(blank, labels, groups=groups)
    assert made.feature_importances_[3] == 0
    shown = np.column_stack([features, np.ones(len(features), "float32")])
    assert np.array_equal(made.predict_proba(shown), made.predict_proba(blank))


def test_a_class_in_too_few_parcels_is_refused_by_name():
    features, labels, groups = ground(1)
    groups = np.where(labels == 11, 7, groups)
    with pytest.raises(NoObservations, match="class 11 in 1"):
        LandCoverClassifier(calibration="temperature", **SMALL).fit(features, labels, groups)
    LandCoverClassifier(calibration="none", **SMALL).fit(features, labels, groups)


@pytest.mark.parametrize("change", [{"kind": "bush"}, {"calibration": "hope"}])
def test_unknown_choices_are_refused(change):
    features, labels, _ = ground(1)
    with pytest.raises(ValueError, match="choose one of them"):
        LandCoverClassifier(**SMALL | change).fit(features, labels)


def test_the_rules_file_says_what_stands_in_the_signature():
    made = LandCoverClassifier.from_rules(RULES, CALIBRATION, seed=5).get_params()
    plain = LandCoverClassifier().get_params()
    told = {"random_state": 5, "calibration": CALIBRATION.method}
    assert {**made, "floors": tuple(made["floors"])} == {**plain, **told}
    assert LandCoverClassifier.from_rules(RULES, None, seed=5).calibration == "none"
