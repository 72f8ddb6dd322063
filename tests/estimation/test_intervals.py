"""Coverage by enumeration, known limits, monotony."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from rs_monitor.estimation.certified import certified_lower_bound, stratum_weights
from rs_monitor.estimation.intervals import (
    chance_to_see,
    clopper_pearson,
    jeffreys,
    ratio_interval,
    stratified_interval,
    tally,
    wilson,
)

ENDLESS = 10**7
GROUND = (0.1, 0.9)
SAMPLED = (12, 15)
WEIGHTS = stratum_weights([1, 0], 0.25)


def two(hits, sampled=SAMPLED, units=(ENDLESS, ENDLESS)):
    return tally(hits, sampled, GROUND, units)


@pytest.fixture(scope="module")
def every_sample():
    """Interval and bound of each outcome of two small strata."""
    outcomes = list(product(range(13), range(16)))
    limits = np.array(
        [
            stratified_interval(two(x), confidence=0.95, method="melded", points=512)
            for x in outcomes
        ]
    )
    bounds = np.array(
        [certified_lower_bound(two(x), weights=WEIGHTS, confidence=0.95) for x in outcomes]
    )
    return np.array(outcomes), limits, bounds


def test_exact_coverage_over_all_samples_of_two_strata(every_sample):
    """No simulation: the chance of every outcome is summed, for a grid of true shares."""
    outcomes, limits, bounds = every_sample
    grid = [0.0, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 0.95, 1.0]
    for p in product(grid, grid):
        chance = np.prod(stats.binom.pmf(outcomes, SAMPLED, p), axis=1)
        truth = float(np.dot(GROUND, p))
        held = (limits[:, 0] <= truth + 1e-12) & (truth <= limits[:, 1] + 1e-12)
        assert chance @ held >= 0.95, p
        assert chance @ (bounds <= truth + 1e-12) >= 0.95, p


def test_one_hit_fewer_never_raises_the_bound(every_sample):
    _, _, bounds = every_sample
    table = bounds.reshape(13, 16)
    assert (np.diff(table, axis=0) >= -1e-12).all()
    assert (np.diff(table, axis=1) >= -1e-12).all()
    assert table.min() == 0.0


@pytest.mark.parametrize(("hits", "sampled"), [(0, 50), (3, 50), (50, 50), (1, 1)])
def test_one_large_stratum_is_clopper_and_pearsons(hits, sampled):
    exact = clopper_pearson(hits, sampled, 0.95)
    counted = tally([hits], [sampled], [1.0], [ENDLESS])
    assert stratified_interval(counted, confidence=0.95, method="melded") == pytest.approx(
        exact, abs=3e-4
    )
    reference = stats.binomtest(hits, sampled).proportion_ci(0.95, method="exact")
    assert exact == pytest.approx((reference.low, reference.high))
    bound = certified_lower_bound(counted, weights=[1.0], confidence=0.95)
    assert bound == pytest.approx(clopper_pearson(hits, sampled, 0.9)[0], abs=1e-6)


def test_a_zero_of_two_hundred_allows_what_the_study_of_peers_says():
    assert 4940 * clopper_pearson(0, 200, 0.95)[1] == pytest.approx(90, abs=0.5)


def test_wilson_and_jeffreys_at_the_end():
    assert wilson(0, 50, 0.95) == pytest.approx((0.0, 0.0713), abs=1e-4)
    assert jeffreys(0, 50, 0.95)[0] == 0.0
    assert jeffreys(5, 50, 0.95) == pytest.approx((0.0394, 0.2062), abs=1e-3)


def test_chances_without_replacement_are_scipys():
    for hits, sampled, units in ((3, 10, 30), (10, 10, 30), (0, 5, 9), (5, 5, 5)):
        expected = stats.hypergeom.sf(hits - 1, units, np.arange(units + 1), sampled)
        assert chance_to_see(hits, sampled, units) == pytest.approx(expected, abs=1e-12)


def test_a_stratum_counted_out_is_known():
    counted = tally([5], [10], [1.0], [10])
    assert stratified_interval(counted, confidence=0.95, method="melded") == pytest.approx(
        (0.5, 0.5), abs=2e-4
    )
    assert certified_lower_bound(counted, weights=[1.0], confidence=0.95) == pytest.approx(0.5)


def test_small_strata_are_narrower_than_endless_ones():
    small = stratified_interval(two((5, 4), units=(20, 30)), confidence=0.95, method="melded")
    large = stratified_interval(two((5, 4)), confidence=0.95, method="melded")
    assert large[0] < small[0] < small[1] < large[1]


def test_the_middle_distribution_is_narrower():
    counted = two((9, 0))
    melded = stratified_interval(counted, confidence=0.95, method="melded")
    mid = stratified_interval(counted, confidence=0.95, method="mid")
    assert melded[0] < mid[0] < mid[1] < melded[1]


def test_a_ratio_of_nothing_seen_is_unknown():
    assert ratio_interval(two((0, 0)), two((0, 0)), confidence=0.95, method="melded") == (
        pytest.approx(0.0, abs=1e-9),
        pytest.approx(1.0, abs=1e-9),
    )


def test_a_ratio_within_one_sample_is_the_exact_share():
    part, rest = (tally([k], [50], [1.0], [ENDLESS]) for k in (40, 10))
    found = ratio_interval(part, rest, confidence=0.95, method="melded")
    assert found == pytest.approx(clopper_pearson(40, 50, 0.95), abs=1e-4)


def test_counts_no_sample_can_give_are_refused():
    with pytest.raises(ValueError, match="stratum 1: 5 hits of 4 sampled"):
        tally([1, 5], [4, 4], [1.0, 1.0], [9, 9])
    with pytest.raises(ValueError, match="one above zero is needed for each"):
        certified_lower_bound(two((1, 1)), weights=[1.0, 0.0], confidence=0.95)
