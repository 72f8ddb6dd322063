import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.naive_bayes import GaussianNB

from rs_monitor.codes import NOT_SEPARABLE, LandCover
from rs_monitor.config.rules import find_rules
from rs_monitor.maps.label_noise import (
    CleaningRules,
    clean_samples,
    confident_joint,
    suspect_labels,
)
from rs_monitor.maps.samples import Samples

LAW = settings(deadline=None, derandomize=True, max_examples=15)
SHIPPED = tomllib.loads(find_rules("land_cover", Path()).read_text("utf-8"))["cleaning"]
PADDY, CROP, FOREST, WATER = (
    int(c) for c in (LandCover.PADDY, LandCover.UPLAND_CROP, LandCover.FOREST, LandCover.WATER)
)
CLASSES = np.array([PADDY, CROP, FOREST, WATER], "uint8")


def rules(**changes):
    return CleaningRules.model_validate(SHIPPED | changes)


def classifier():
    return GaussianNB()


# --- the joint of given and true labels ----------------------------------------------------------


def test_the_joint_of_a_worked_example():
    # by hand: thresholds are the means 0.7, 0.6 of the rows' own columns (0.9 0.8 0.4; 0.7 0.5)
    labels = np.array([0, 0, 0, 1, 1])
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.5, 0.5]])
    # sure: 0, 0, 1 (reaches 0.6), 1, none (0.5 reaches neither)
    joint = confident_joint(labels, shares, np.array([0, 1]))
    assert joint.tolist() == [[2.0, 1.0], [0.0, 2.0]]


def test_the_joint_of_rates_that_are_known():
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 3, 6000)
    flips = np.array([[0.9, 0.1, 0.0], [0.0, 0.75, 0.25], [0.05, 0.0, 0.95]])
    given = np.array([rng.choice(3, p=flips[t]) for t in truth])
    shares = np.full((6000, 3), 0.05)
    shares[np.arange(6000), truth] = 0.9
    joint = confident_joint(given, shares, np.arange(3))
    counted = np.zeros((3, 3))
    np.add.at(counted, (given, truth), 1)
    assert np.array_equal(joint, counted)
    assert np.array_equal(
        suspect_labels(given, shares, np.arange(3), min_margin=0.1), given != truth
    )


@LAW
@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(1, 60))
def test_the_joint_adds_up_to_the_labels(seed, size, count):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(size), count)
    labels = rng.integers(0, size, count)
    joint = confident_joint(labels, shares, np.arange(size))
    assert joint.sum(axis=1) == pytest.approx(np.bincount(labels, minlength=size))


# --- suspects ------------------------------------------------------------------------------------


@LAW
@given(st.integers(0, 2**31), st.floats(0, 0.6))
def test_a_suspect_is_contradicted_by_the_margin(seed, margin):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(4, 0.4), 80)
    labels = CLASSES[rng.integers(0, 4, 80)]
    found = suspect_labels(labels, shares, CLASSES, min_margin=margin)
    own = shares[np.arange(80), np.searchsorted(CLASSES, labels)]
    assert (shares.max(axis=1) - own >= margin)[found].all()
    looser = suspect_labels(labels, shares, CLASSES, min_margin=0.0)
    assert (found <= looser).all()
    order = rng.permutation(80)
    again = suspect_labels(labels[order], shares[order], CLASSES, min_margin=margin)
    assert np.array_equal(again, found[order])


def test_inseparable_classes_do_not_contradict_each_other():
    labels = np.array([PADDY] * 10 + [CROP] * 10 + [FOREST] * 10 + [WATER] * 10)
    shares = np.full((40, 4), 0.02)
    shares[np.arange(40), np.repeat(np.arange(4), 10)] = 0.94
    shares[[0, 1]] = [[0.02, 0.94, 0.02, 0.02], [0.02, 0.02, 0.94, 0.02]]
    strict = suspect_labels(labels, shares, CLASSES, min_margin=0.1)
    assert np.flatnonzero(strict).tolist() == [0, 1]
    spared = suspect_labels(labels, shares, CLASSES, min_margin=0.1, inseparable=NOT_SEPARABLE)
    assert np.flatnonzero(spared).tolist() == [1]


def test_a_row_must_be_among_the_least_sure_of_its_label():
    # by rate one row of class 0 is of class 1: the row of 0.4 against 0.6; by class the one row
    # that goes is that of 0.3, which no other class claims: the two prunings name no row together
    labels = np.array([0] * 10 + [1] * 5 + [2] * 5)
    shares = np.zeros((20, 3))
    shares[:8] = [0.9, 0.05, 0.05]
    shares[8:10] = [[0.4, 0.6, 0.0], [0.3, 0.35, 0.35]]
    shares[10:15] = [0.21, 0.58, 0.21]
    shares[15:] = [0.05, 0.05, 0.9]
    classes = np.arange(3)
    assert np.round(confident_joint(labels, shares, classes))[0].tolist() == [9, 1, 0]
    assert not suspect_labels(labels, shares, classes, min_margin=0.1).any()
    shares[9] = [0.45, 0.3, 0.25]
    found = suspect_labels(labels, shares, classes, min_margin=0.1)
    assert np.flatnonzero(found).tolist() == [8]


def test_a_timid_class_is_not_taken_for_noise():
    # the rare class never reaches 0.5, but its own rows stand out against its own mean
    labels = np.repeat([PADDY, FOREST], [90, 10])
    shares = np.zeros((100, 2))
    shares[:90] = [0.9, 0.1]
    shares[90:] = [0.6, 0.4]
    found = suspect_labels(labels, shares, np.array([PADDY, FOREST]), min_margin=0.0)
    assert not found.any()


# --- cleaning of samples -------------------------------------------------------------------------


def made(counts, *, seed=0, pixels=4, spread=0.35, blocks=20):
    """Parcels of four classes, each class at a corner of a square; neighbours in blocks."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.array(list(counts), "uint8"), list(counts.values()))
    corner = {PADDY: (0, 0), CROP: (0, 3), FOREST: (3, 0), WATER: (3, 3)}
    centre = np.array([corner[int(t)] for t in truth]) + rng.normal(0, spread, (len(truth), 2))
    parcel = np.repeat(np.arange(len(truth)), pixels)
    features = centre[parcel] + rng.normal(0, spread, (len(parcel), 2))
    block = rng.permutation(len(truth)) % blocks
    sources = pd.DataFrame(
        {"cover": truth, "block": block}, index=pd.RangeIndex(len(truth), name="parcel")
    )
    count = len(parcel)
    return Samples(
        features.astype("float32"),
        truth[parcel],
        parcel,
        block[parcel],
        np.arange(count, dtype="uint64"),
        np.zeros(count),
        np.zeros(count),
        sources,
    )


def relabelled(samples, parcels, cover):
    labels = samples.labels.copy()
    labels[np.isin(samples.parcel, parcels)] = cover
    return Samples(
        samples.features,
        labels,
        samples.parcel,
        samples.block,
        samples.priority,
        samples.x_m,
        samples.y_m,
        samples.sources,
    )


EVEN = {PADDY: 80, CROP: 80, FOREST: 80, WATER: 80}


def test_little_is_removed_of_a_true_survey():
    report = clean_samples(made(EVEN), classifier, rules=rules(), seed=0)
    assert report.share_removed <= 0.01
    assert report.by_class["judged"].all()


@pytest.mark.parametrize("wrong", [8, 16])
def test_wrong_parcels_are_found_whole(wrong):
    truth = made(EVEN)
    changed = np.arange(80, 80 + wrong)  # crops called paddy
    report = clean_samples(relabelled(truth, changed, PADDY), classifier, rules=rules(), seed=0)
    found = report.suspects.index[report.suspects["removed"]]
    assert len(set(found) & set(changed)) >= 0.75 * wrong
    assert len(set(found) - set(changed)) <= 2
    removed = set(truth.parcel[report.removed])
    assert removed == set(found)
    assert not removed & set(report.samples.parcel)
    assert set(report.samples.sources.index) == set(report.samples.parcel)
    assert report.share_removed == report.removed.mean()
    row = report.by_class.loc[PADDY]
    assert row["parcels_removed"] == (report.suspects["cover"] == PADDY).sum()
    assert row["noise"] == pytest.approx(wrong / (80 + wrong), abs=0.05)
    assert (report.suspects.loc[found].query("cover == @PADDY")["probable"] == CROP).mean() > 0.9


def test_a_rare_class_is_not_swept_away_by_large_ones():
    rare = {PADDY: 400, CROP: 400, FOREST: 30, WATER: 400}
    report = clean_samples(made(rare, pixels=2), classifier, rules=rules(), seed=1)
    assert report.by_class.loc[FOREST, "share_removed"] <= 0.1


def test_no_more_than_the_share_is_removed_and_it_is_said():
    truth = made(EVEN)
    swamped = relabelled(truth, np.arange(80, 110), PADDY)
    report = clean_samples(swamped, classifier, rules=rules(max_share=0.1), seed=0)
    row = report.by_class.loc[PADDY]
    assert row["parcels_removed"] == int(0.1 * 110)
    assert row["capped"]
    kept = report.suspects.query("not removed and cover == @PADDY")["margin"]
    gone = report.suspects.query("removed and cover == @PADDY")["margin"]
    assert kept.max() <= gone.min()


def test_a_class_keeps_its_least_parcels():
    truth = made({PADDY: 80, CROP: 80, FOREST: 12, WATER: 80})
    wrong = relabelled(truth, np.arange(80, 92), FOREST)
    asked = rules(max_share=0.9, min_parcels=22)
    report = clean_samples(wrong, classifier, rules=asked, seed=0)
    assert len(set(report.samples.parcel[report.samples.labels == FOREST])) >= 22
    assert report.by_class.loc[FOREST, "capped"]


def test_classes_in_few_places_are_kept_as_they_are():
    samples = made({PADDY: 80, CROP: 80, FOREST: 80, WATER: 6})
    report = clean_samples(samples, classifier, rules=rules(), seed=0)
    assert report.by_class["judged"].to_dict() == {
        PADDY: True,
        CROP: True,
        FOREST: True,
        WATER: False,
    }
    assert not report.removed[samples.labels == WATER].any()
    assert np.isnan(report.by_class.loc[WATER, "noise"])


def test_nothing_is_removed_where_nothing_can_be_judged():
    samples = made({PADDY: 80, CROP: 10, FOREST: 10, WATER: 10})
    report = clean_samples(samples, classifier, rules=rules(folds=5), seed=0)
    assert not report.removed.any()
    assert report.note == "got 1 classes of 11 parcels or more; needed two to compare"
    assert len(report.samples.labels) == len(samples.labels)
    assert report.suspects.empty


def test_parcels_are_held_out_where_blocks_are_fewer_than_folds():
    truth = made(EVEN, blocks=2)
    changed = np.arange(80, 90)  # crops called paddy
    wrong = relabelled(truth, changed, PADDY)
    report = clean_samples(wrong, classifier, rules=rules(folds=5), seed=0)
    assert report.note == ""
    assert report.finer == dict.fromkeys((PADDY, CROP, FOREST, WATER), "parcel")
    removed = set(report.suspects.index[report.suspects["removed"]])
    assert len(removed & set(changed)) >= 8
    assert len(removed - set(changed)) <= 2


def test_a_class_keeps_the_pixels_that_it_needs_to_be_learned():
    truth = made({PADDY: 80, CROP: 80, FOREST: 14, WATER: 80}, pixels=3)
    wrong = relabelled(truth, np.arange(80, 84), FOREST)
    freely, held = (
        clean_samples(wrong, classifier, rules=rules(), seed=0, min_pixels=least)
        for least in (0, 51)
    )
    assert (freely.samples.labels == FOREST).sum() < 51
    assert (held.samples.labels == FOREST).sum() == 51
    assert held.by_class.loc[FOREST, "capped"]


def test_no_samples_are_none_to_clean():
    samples = made(EVEN)
    report = clean_samples(
        samples.select(np.zeros(len(samples.labels), bool)), classifier, rules=rules(), seed=0
    )
    assert report.share_removed == 0
    assert report.by_class.empty


def test_cleaning_repeats_itself():
    wrong = relabelled(made(EVEN), np.arange(80, 96), PADDY)
    one, other = (clean_samples(wrong, classifier, rules=rules(), seed=3) for _ in range(2))
    assert np.array_equal(one.removed, other.removed)
    pd.testing.assert_frame_equal(one.suspects, other.suspects)


def test_classes_a_sensor_confuses_can_be_spared():
    wrong = relabelled(made(EVEN), np.arange(80, 96), PADDY)
    spared = clean_samples(wrong, classifier, rules=rules(spare_not_separable=True), seed=0)
    assert spared.by_class.loc[PADDY, "parcels_removed"] == 0
