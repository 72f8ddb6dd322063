from functools import cache

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.codes import TrainingDomain
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import read_toml
from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.kernels.applicability import LANES, nearest_distance
from rs_monitor.maps.applicability import Domain, OutsideRules, fit_domain, outside

LAW = settings(deadline=None, derandomize=True, max_examples=15)
SHIPPED = OutsideRules(
    **read_toml(data_root() / "configs" / "rules" / "land_cover.toml")["outside"]
)
RULES = SHIPPED.model_copy(update={"points": 60, "folds": 3})
FEATURES, CLASSES = 6, 4


def ground(seed, classes=range(CLASSES), rows=900, gaps=0.0):
    """Blocks of ground of several classes; each class has a place and a spread of its own."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(0).normal(0, 12, (CLASSES, FEATURES))
    blocks = rng.integers(0, 30, rows)
    labels = rng.choice(list(classes), rows)
    drift = np.random.default_rng(1).normal(0, 0.3, (30, FEATURES))[blocks]
    features = (
        places[labels] + drift + rng.normal(0, 1, (rows, FEATURES)) * (1 + labels[:, None] / 2)
    )
    features[rng.random(features.shape) < gaps] = np.nan
    return features.astype(np.float32), labels, blocks


@cache
def known(seed=0, gaps=0.0, classes=tuple(range(CLASSES))):
    features, labels, blocks = ground(seed, classes, gaps=gaps)
    return fit_domain(features, labels, blocks, np.ones(FEATURES), rules=RULES, seed=3)


def share_outside(domain, features):
    return float(np.mean(domain.dissimilarity(features.T) > domain.threshold))


def textbook(features, points, reach, center, scale, share, least):
    scaled = (features.T.astype(np.float64) - center) * scale
    found = []
    for pixel in scaled:
        apart = pixel - points
        both = np.isfinite(apart)
        seen = np.sum(both * share, axis=1)
        squares = np.where(both, apart, 0) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.sqrt(squares.sum(axis=1) / seen) / reach
        nearest = np.where(seen >= least, part, np.inf).min()
        found.append(nearest if np.isfinite(pixel).any() else np.nan)
    return np.array(found)


@LAW
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.2, 0.6]), st.integers(1, 9))
def test_distances_are_the_textbooks(seed, gaps, count):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(FEATURES, LANES + 7)).astype(np.float32)
    points = rng.normal(size=(count, FEATURES)).astype(np.float32)
    features[rng.random(features.shape) < gaps] = np.nan
    points[rng.random(points.shape) < gaps / 3] = np.nan
    features[:, 5] = np.nan
    reach, center, scale = (
        rng.uniform(0.5, 2, n).astype(np.float32) for n in (count, FEATURES, FEATURES)
    )
    share = rng.dirichlet(np.ones(FEATURES)).astype(np.float32)
    found = nearest_distance(
        features, points, reach, center=center, scale=scale, share=share, min_seen_share=0.4
    )
    expected = textbook(features, points, reach, center, scale, share, 0.4)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    assert np.isnan(found[5])


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_a_window_gives_the_bytes_of_the_whole(gaps):
    domain = known(gaps=0.05)
    features = ground(5, gaps=gaps)[0].T
    whole = domain.dissimilarity(features)
    for part in (slice(0, 1), slice(3, 200), slice(LANES - 1, LANES + 1)):
        assert np.array_equal(domain.dissimilarity(features[:, part]), whole[part], equal_nan=True)


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_ground_like_the_training_is_hardly_flagged(gaps):
    assert share_outside(known(gaps=gaps), ground(7, gaps=gaps)[0]) < 0.06


@pytest.mark.parametrize("unseen", range(CLASSES))
def test_a_class_never_seen_is_mostly_flagged(unseen):
    others = tuple(k for k in range(CLASSES) if k != unseen)
    domain = known(classes=others)
    assert share_outside(domain, ground(8, classes=[unseen])[0]) > 0.75
    assert share_outside(domain, ground(8, classes=others)[0]) < 0.05


def test_the_spread_of_one_class_does_not_hide_what_lies_near_another():
    """Six spreads of the tight class away is outside beside it, and inside beside the wide one."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 500)
    features = rng.normal(0, 1, (1000, 2)) * np.where(labels, 5, 0.2)[:, None]
    features[labels == 1] += 40
    domain = fit_domain(
        features.astype(np.float32), labels, np.arange(1000), np.ones(2), rules=RULES, seed=0
    )
    beside = np.array([[2.0, 40.0], [2.0, 45.0]], dtype=np.float32)
    assert (domain.dissimilarity(beside) > domain.threshold).tolist() == [True, False]


def test_features_the_trees_do_not_use_do_not_count():
    features, labels, blocks = ground(1)
    importances = np.array([0.5, 0.5, 0, 0, 0, 0])
    domain = fit_domain(features, labels, blocks, importances, rules=RULES, seed=0)
    moved = features + np.array([0, 0, 0, 0, 0, 1e3], dtype=np.float32)
    assert np.array_equal(domain.dissimilarity(moved.T), domain.dissimilarity(features.T))


def test_the_unit_of_a_feature_does_not_count():
    """Days run to hundreds where reflectance stays below one."""
    features, labels, blocks = ground(1, gaps=0.2)
    units = np.array([1, 128, 1, 1 / 128, 1, 1], dtype=np.float32)
    scores = [
        fit_domain(rows, labels, blocks, np.ones(FEATURES), rules=RULES, seed=0).dissimilarity(
            rows.T
        )
        for rows in (features, features * units)
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)


def test_what_is_hardly_seen_is_outside_and_what_is_not_seen_is_neither():
    domain = known()
    features = ground(3)[0][:3].T.copy()
    features[1:, 1] = np.nan
    features[:, 2] = np.nan
    score = domain.dissimilarity(features)
    assert np.isfinite(score[0])
    assert np.isinf(score[1])
    assert np.isnan(score[2])


def test_rasters():
    domain = known()
    features = ground(4)[0][:6].T.reshape(FEATURES, 2, 3).copy()
    features[:, 0, 1] = np.nan
    features[:, 1, 2] = 1e4
    coords = {"y": [1.0, 0.0], "x": [0.0, 1.0, 2.0], "feature": list("abcdef")}
    found = outside(xr.DataArray(features, coords, ("feature", "y", "x")), domain)
    coded = found["training_domain"]
    assert coded.dtype == np.uint8
    assert coded.values[0, 1] == TrainingDomain.NOT_SEEN
    assert coded.values[1, 2] == TrainingDomain.OUTSIDE
    assert coded.values[0, 0] == TrainingDomain.INSIDE
    assert found["dissimilarity"].attrs["threshold"] == domain.threshold
    assert set(found.coords) == {"y", "x"}


def test_the_same_seed_gives_the_same_bytes_and_storing_changes_none():
    one, same = known(), known.__wrapped__()
    stored = Domain.from_arrays(one.to_arrays())
    for other in (same, stored):
        for name, values in one.to_arrays().items():
            assert np.array_equal(other.to_arrays()[name], values)


@pytest.mark.parametrize("name", ["points", "reach", "center", "scale", "share", "numbers"])
def test_a_stored_domain_that_does_not_fit_is_refused(name):
    arrays = known().to_arrays()
    with pytest.raises(ModelMismatch, match="store the model again"):
        Domain.from_arrays({key: values for key, values in arrays.items() if key != name})
    with pytest.raises(ModelMismatch, match="store the model again"):
        Domain.from_arrays(arrays | {name: arrays[name][:1]})


def test_other_features_are_refused():
    with pytest.raises(ModelMismatch, match="got 3 features; the domain needs 6"):
        known().dissimilarity(np.zeros((3, 5), dtype=np.float32))


def test_features_that_never_vary_are_refused():
    with pytest.raises(NoObservations, match="never vary"):
        fit_domain(
            np.ones((60, 2), dtype=np.float32),
            np.arange(60) % 2,
            np.arange(60),
            np.ones(2),
            rules=RULES,
            seed=0,
        )


def test_a_class_without_spread_borrows_the_least_reach():
    features, labels, blocks = ground(6, classes=[0, 1])
    features[labels == 0] = 9
    domain = fit_domain(features, labels, blocks, np.ones(FEATURES), rules=RULES, seed=0)
    assert len(np.unique(domain.reach)) == 1


def test_an_infinity_in_the_training_counts_as_missing():
    features, labels, blocks = ground(7)
    features[5, 2], features[9, 0] = np.inf, -np.inf
    gaps = np.where(np.isfinite(features), features, np.nan)
    domains = [
        fit_domain(values, labels, blocks, np.ones(FEATURES), rules=RULES, seed=0)
        for values in (features, gaps)
    ]
    one, other = (domain.to_arrays() for domain in domains)
    assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_no_more_of_the_training_lies_outside_than_the_rules_say():
    features, labels, blocks = ground(0, gaps=0.3)
    fits = [
        fit_domain(features, labels, blocks, np.ones(FEATURES), rules=rules, seed=3)
        for rules in (
            RULES.model_copy(update={"largest_share": share, "whisker": 0.1})
            for share in (0.02, 0.2)
        )
    ]
    assert fits[0].threshold > fits[1].threshold
