"""Accuracy from clustered pixels."""

import numpy as np
import pytest
from scipy import stats

from rs_monitor.estimation.clusters import clustered_accuracy, clustered_proportion


def parcels(rng, count, pixels, share, likeness):
    """Pixels of parcels whose own shares differ."""
    spread = (1 - likeness) / likeness
    own = rng.beta(share * spread, (1 - share) * spread, count)
    cluster = np.repeat(np.arange(count), pixels)
    return rng.random(cluster.size) < own[cluster], cluster


def test_one_pixel_a_parcel_is_the_ratio_of_a_simple_sample():
    hit = np.r_[np.ones(70), np.zeros(30)]
    found = clustered_proportion(hit, np.arange(100), confidence=0.95, min_clusters=2)
    assert found.estimate == pytest.approx(0.7)
    assert found.standard_error == pytest.approx(np.sqrt(0.7 * 0.3 / 99))
    assert found.design_effect == pytest.approx(100 / 99)
    assert found.effective_units == pytest.approx(99 / (1 - 1 / 31 + 0.99 / 31), rel=1e-9)


def test_whole_parcels_right_or_wrong_count_as_one_unit_each():
    hit = np.repeat(np.r_[np.ones(35), np.zeros(5)], 25)
    found = clustered_proportion(hit, np.repeat(np.arange(40), 25), confidence=0.95, min_clusters=2)
    assert found.units == 1000
    assert found.clusters == 40
    assert found.design_effect == pytest.approx(25 * 40 / 39)
    assert 35 < found.effective_units < 40


def test_no_error_in_any_parcel_is_no_proof_of_a_thousand_pixels():
    cluster = np.repeat(np.arange(40), 25)
    found = clustered_proportion(np.ones(1000), cluster, confidence=0.95, min_clusters=2)
    exact = stats.beta.ppf(0.025, 40, 1)
    assert (found.lower, found.upper) == (pytest.approx(exact), 1.0)
    nothing = clustered_proportion(np.zeros(1000), cluster, confidence=0.95, min_clusters=2)
    assert (nothing.lower, nothing.upper) == (0.0, pytest.approx(1 - exact))
    assert nothing.design_effect is None


def test_one_error_does_not_make_the_pixels_independent():
    cluster = np.repeat(np.arange(40), 25)
    one = np.ones(1000)
    one[7] = 0
    found = clustered_proportion(one, cluster, confidence=0.95, min_clusters=2)
    assert found.design_effect == pytest.approx(1.0, abs=0.01)
    assert found.effective_units < 80


def test_weights_are_the_ground_a_pixel_stands_for():
    hit, cluster = np.array([1, 1, 0, 0]), np.array([1, 2, 3, 4])
    found = clustered_proportion(
        hit, cluster, weights=[3, 3, 1, 1], confidence=0.95, min_clusters=2
    )
    assert found.estimate == pytest.approx(0.75)
    with pytest.raises(ValueError, match="each must be above zero"):
        clustered_proportion(hit, cluster, weights=[3, 3, 1, 0], confidence=0.95, min_clusters=2)


def test_coverage_where_parcels_are_alike():
    """300 runs: the standard error of a coverage of 95 % is 1.3 points."""
    rng = np.random.default_rng(5)
    inside = naive = 0
    for _ in range(300):
        hit, cluster = parcels(rng, 40, 12, 0.9, 0.5)
        found = clustered_proportion(hit, cluster, confidence=0.95, min_clusters=30)
        inside += found.lower <= 0.9 <= found.upper
        spread = 1.96 * np.sqrt(hit.mean() * (1 - hit.mean()) / hit.size)
        naive += abs(hit.mean() - 0.9) <= spread
    assert inside / 300 >= 0.935
    assert naive / 300 < 0.75


def test_accuracies_by_class_and_classes_of_few_parcels():
    cluster = np.repeat(np.arange(65), 2)
    reference = np.repeat(np.r_[np.full(30, 1), np.full(31, 2), np.full(4, 3)], 2)
    mapped = reference.copy()
    mapped[[0, 2, 4]] = 2
    found = clustered_accuracy(
        mapped, reference, cluster, classes=[1, 2, 3], min_clusters=30, confidence=0.95
    )
    assert found.producers[1].estimate == pytest.approx(57 / 60)
    assert found.users[2].estimate == pytest.approx(62 / 65)
    assert found.users[2].clusters == 34
    assert found.overall.estimate == pytest.approx(127 / 130)
    assert found.producers[3].estimate is None
    assert found.producers[3].reason == "4 clusters; 30 are needed"
    assert found.users[3].reason == "4 reference clusters of this class; 30 are needed"
    table = found.table()
    assert list(table["figure"]) == ["overall", "user", "user", "user", *["producer"] * 3]
    assert table["reason"].notna().sum() == 2


def test_arrays_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"have shapes \(3,\), \(2,\)"):
        clustered_accuracy(
            [1, 2, 1], [1, 2], [1, 2, 3], classes=[1], min_clusters=2, confidence=0.95
        )
