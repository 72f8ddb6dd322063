import itertools

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import box
from sklearn.ensemble import RandomForestClassifier

from rs_monitor.codes import NODATA, CodeSystem, LandCover
from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.kernels.forest import forest_proba
from rs_monitor.maps.land_cover import (
    MIN_SAMPLES,
    Samples,
    class_probabilities,
    draw_samples,
    flatten,
    model_arrays,
    most_probable,
    pool_samples,
    survey_labels,
    train_forest,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=25)
ROWS, COLS = 24, 17
GEOBOX = GeoBox((12, 10), Affine(10, 0, 500000, 0, -10, 3500000), "EPSG:32650")


@pytest.fixture(scope="module")
def township():
    """Features with gaps, three classes with noise, ground without label."""
    rng = np.random.default_rng(12)
    classes = np.array([NODATA, LandCover.PADDY, LandCover.FOREST, LandCover.BUILT], "uint8")
    labels = classes[rng.integers(0, 4, (ROWS, COLS))]
    features = rng.normal(size=(4, ROWS, COLS)).astype("float32") + labels / 3
    features = features.astype("float32")
    features[0, rng.random((ROWS, COLS)) < 0.2] = np.nan
    features[:, 3, 5] = np.nan
    return features, labels


def same(one, other):
    assert_close(one.features, other.features, atol=0)
    assert_close(one.labels, other.labels, atol=0)
    assert np.array_equal(one.priority, other.priority)


def forest_of(x, y, **settings):
    return RandomForestClassifier(12, random_state=1, n_jobs=1, **settings).fit(x, y)


@pytest.mark.parametrize("gaps", ["in both", "in neither", "in use only"])
def test_probabilities_are_scikit_learns(gaps):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 5)).astype("float32")
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] + 0.5 * rng.normal(size=300) > 0.5)
    new = rng.normal(size=(200, 5)).astype("float32")
    if gaps == "in both":
        x[rng.random(x.shape) < 0.15] = np.nan
    if gaps != "in neither":
        new[rng.random(new.shape) < 0.3] = np.nan
    forest = forest_of(x, y, class_weight="balanced_subsample", min_samples_leaf=3)
    new[0] = forest.estimators_[0].tree_.threshold[0]
    expected = forest.predict_proba(new).astype("float32")
    assert_close(forest_proba(new, flatten(forest)), expected, atol=1e-6)


def test_samples_are_the_seen_labelled_pixels(township):
    features, labels = township
    drawn = draw_samples(features, labels, (0, 0), per_class=10_000, seed=0)
    usable = (labels != NODATA) & np.isfinite(features).any(axis=0)
    assert not usable[3, 5]
    assert len(drawn.labels) == usable.sum()
    places = np.argwhere(usable)
    by_priority = {}
    for row, col in places:
        one = draw_samples(
            features[:, row : row + 1, col : col + 1],
            labels[row : row + 1, col : col + 1],
            (row, col),
            per_class=1,
            seed=0,
        )
        by_priority[int(one.priority[0])] = (one.features[0], one.labels[0])
    assert len(by_priority) == usable.sum()
    for row, label, priority in zip(drawn.features, drawn.labels, drawn.priority, strict=True):
        assert np.array_equal(by_priority[int(priority)][0], row, equal_nan=True)
        assert by_priority[int(priority)][1] == label


@LAW
@given(
    st.sets(st.integers(1, ROWS - 1), max_size=4),
    st.sets(st.integers(1, COLS - 1), max_size=4),
    st.integers(1, 30),
    st.integers(0, 2**32),
    st.permutations(range(25)),
)
def test_samples_do_not_know_the_tiling(township, row_cuts, col_cuts, per_class, seed, order):
    features, labels = township
    origin = (350_123, -41)
    whole = draw_samples(features, labels, origin, per_class=per_class, seed=seed)
    rows, cols = [0, *sorted(row_cuts), ROWS], [0, *sorted(col_cuts), COLS]
    parts = [
        draw_samples(
            features[:, y0:y1, x0:x1],
            labels[y0:y1, x0:x1],
            (origin[0] + y0, origin[1] + x0),
            per_class=per_class,
            seed=seed,
        )
        for y0, y1 in itertools.pairwise(rows)
        for x0, x1 in itertools.pairwise(cols)
    ]
    shuffled = [parts[k] for k in order if k < len(parts)]
    same(pool_samples(shuffled, per_class), whole)
    assert np.unique(whole.labels, return_counts=True)[1].max() <= per_class


def test_a_pixel_drawn_by_two_zones_counts_once(township):
    features, labels = township
    upper = draw_samples(features[:, :16], labels[:16], (0, 0), per_class=500, seed=5)
    lower = draw_samples(features[:, 8:], labels[8:], (8, 0), per_class=500, seed=5)
    whole = draw_samples(features, labels, (0, 0), per_class=500, seed=5)
    same(pool_samples([upper, lower], 500), whole)


def test_the_seed_draws_others(township):
    features, labels = township
    one, other = (
        draw_samples(features, labels, (0, 0), per_class=20, seed=seed) for seed in (0, 1)
    )
    assert not np.array_equal(one.features, other.features, equal_nan=True)


def test_no_block_is_no_observation():
    with pytest.raises(NoObservations, match="no block"):
        pool_samples([], 10)


def test_labels_keep_off_the_boundaries():
    left, top = 500000, 3500000
    parcels = [
        box(left, top - 60, left + 50, top),  # 5 x 6 pixels of paddy
        box(left + 50, top - 60, left + 100, top),  # 5 x 6 pixels of forest
        box(left, top - 80, left + 100, top - 60),  # a road two pixels wide
        box(left, top - 120, left + 100, top - 80),  # idle land: imagery has no such class
    ]
    labels = survey_labels(
        parcels, ["0101", "0301", "1003", "1201"], GEOBOX, system=CodeSystem.SURVEY3
    )
    expected = np.full((12, 10), NODATA, "uint8")
    expected[1:5, 1:4] = LandCover.PADDY
    expected[1:5, 6:9] = LandCover.FOREST
    assert_close(labels, expected, atol=0)


def test_nothing_to_label():
    labels = survey_labels([], [], GEOBOX, system=CodeSystem.SURVEY3)
    assert_close(labels, np.full((12, 10), NODATA, "uint8"), atol=0)


@pytest.fixture(scope="module")
def model(township):
    features, labels = township
    samples = draw_samples(features, labels, (0, 0), per_class=500, seed=0)
    return train_forest(samples, ["a", "b", "c", "d"], trees=10, seed=0)


def test_training_repeats_itself(township, model):
    features, labels = township
    samples = draw_samples(features, labels, (0, 0), per_class=500, seed=0)
    again = train_forest(samples, ["a", "b", "c", "d"], trees=10, seed=0)
    for name, array in model_arrays(model).items():
        assert np.array_equal(model_arrays(again)[name], array)


def test_rare_classes_are_not_learned():
    rng = np.random.default_rng(0)
    counts = {LandCover.PADDY: 60, LandCover.FOREST: MIN_SAMPLES, LandCover.MINE: MIN_SAMPLES - 1}
    labels = np.repeat(np.array(list(counts), "uint8"), list(counts.values()))
    features = rng.normal(size=(labels.size, 2)).astype("float32")
    samples = Samples(features, labels, np.arange(labels.size, dtype="uint64"))
    trained = train_forest(samples, ["a", "b"], trees=3, seed=0)
    assert trained.classes == (LandCover.PADDY, LandCover.FOREST)
    only = labels == LandCover.PADDY
    with pytest.raises(NoObservations, match=r"got 1 classes .* needed two"):
        train_forest(
            Samples(features[only], labels[only], samples.priority[only]),
            ["a", "b"],
            trees=3,
            seed=0,
        )


def test_probabilities_of_seen_pixels_add_up(township, model):
    features, _ = township
    found = class_probabilities(model, features, ["a", "b", "c", "d"])
    assert found.shape == (3, ROWS, COLS)
    assert np.argwhere(np.isnan(found[0])).tolist() == [[3, 5]]
    total = np.where(np.isnan(found[0]), 1, found.sum(axis=0)).astype("float32")
    assert_close(total, np.ones((ROWS, COLS), "float32"), atol=1e-6)


def test_other_features_are_refused(township, model):
    features, _ = township
    for names in (["a", "b", "d", "c"], ["a", "b", "c"]):
        with pytest.raises(ModelMismatch, match="the model needs a, b, c, d"):
            class_probabilities(model, features, names)


def test_a_model_can_be_stored_without_objects(model):
    assert all(array.dtype != object for array in model_arrays(model).values())


def test_most_probable_class():
    shares = np.array([[[0.2, np.nan, 0.5]], [[0.7, np.nan, 0.5]], [[0.1, np.nan, 0.0]]], "float32")
    covers, top = most_probable(shares, [LandCover.PADDY, LandCover.WATER, LandCover.BARE])
    assert_close(covers, np.array([[LandCover.WATER, NODATA, LandCover.PADDY]], "uint8"), atol=0)
    assert_close(top, np.array([[0.7, np.nan, 0.5]], "float32"), atol=0)
