"""Coverage by enumeration, known limits, monotony."""

from itertools import product

import numpy as np
import pytest
from scipy import special, stats

from rs_monitor.estimation.certified import certified_lower_bound, stratum_weights
from rs_monitor.estimation.intervals import (
    chance_to_see,
    clopper_pearson,
    counted_out,
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


ODD_DESIGNS = {
    "one unit against twenty": ((1, 20), (0.3, 0.7), (ENDLESS, ENDLESS)),
    "two units in each of three": ((2, 2, 2), (0.2, 0.3, 0.5), (ENDLESS,) * 3),
    "one in each of four": ((1, 1, 1, 1), (0.1, 0.2, 0.3, 0.4), (ENDLESS,) * 4),
    "half of all units": ((6, 6), (0.5, 0.5), (12, 15)),
}


def laws_of(sampled, units):
    """True shares of a stratum, each with the chance of every number of hits."""
    hits, shares = np.arange(sampled + 1), [0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.95, 1.0]
    if units == ENDLESS:
        return [(share, stats.binom.pmf(hits, sampled, share)) for share in shares]
    held = sorted({round(share * units) for share in shares})
    return [(k / units, stats.hypergeom.pmf(hits, units, k, sampled)) for k in held]


@pytest.mark.parametrize("design", ODD_DESIGNS.values(), ids=ODD_DESIGNS)
def test_exact_coverage_of_odd_designs(design):
    """Every sample and a grid of true shares, summed: each limit alone keeps its level."""
    sampled, ground, units = design
    outcomes = list(product(*(range(n + 1) for n in sampled)))
    weights = stratum_weights(np.arange(len(sampled)) == 0, 0.25)
    said = []
    for hits in outcomes:
        counted = tally(hits, sampled, ground, units)
        low, high = stratified_interval(counted, confidence=0.95, method="melded", points=1024)
        said.append((low, high, certified_lower_bound(counted, weights=weights, confidence=0.95)))
    low, high, bound = np.array(said).T
    places = np.array(outcomes)
    laws = [laws_of(*numbers) for numbers in zip(sampled, units, strict=True)]
    for parts in product(*laws):
        chance = np.prod([law[places[:, h]] for h, (_, law) in enumerate(parts)], axis=0)
        truth = float(np.dot(ground, [share for share, _ in parts]))
        assert chance @ (low <= truth + 1e-9) >= 0.975, truth
        assert chance @ (high >= truth - 1e-9) >= 0.975, truth
        assert chance @ (bound <= truth + 1e-9) >= 0.95, truth


def test_exact_coverage_of_a_producers_accuracy():
    """Right in the mapped stratum against missed in the other, every sample summed."""
    sampled, ground, units = [10, 10], np.array([0.05, 0.95]), [ENDLESS, ENDLESS]
    outcomes = np.array(list(product(range(11), repeat=2)))
    limits = np.array(
        [
            ratio_interval(
                tally([x, 0], sampled, ground * [1, 0], units),
                tally([0, y], sampled, ground * [0, 1], units),
                confidence=0.95,
                method="melded",
                points=1024,
            )
            for x, y in outcomes
        ]
    )
    for right, missed in product([0.05, 0.3, 0.7, 0.95, 1.0], [0.0, 0.01, 0.1, 0.3, 0.6]):
        chance = np.prod(stats.binom.pmf(outcomes, sampled, [right, missed]), axis=1)
        truth = 0.05 * right / (0.05 * right + 0.95 * missed)
        assert chance @ (limits[:, 0] <= truth + 1e-9) >= 0.975
        assert chance @ (limits[:, 1] >= truth - 1e-9) >= 0.975


@pytest.mark.parametrize(("units", "sampled"), [(20_001, 200), (30_000, 3_000), (20_000, 190)])
def test_strata_counted_as_if_replaced_keep_the_level(units, sampled):
    """One large stratum drawn without replacement, its bound computed as if with."""
    assert not counted_out(sampled, units)
    hits = np.arange(sampled + 1)
    bound = special.betaincinv(np.maximum(hits, 1), sampled - hits + 1, 0.05) * (hits > 0)
    for share in (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99):
        held = round(share * units)
        chance = stats.hypergeom.pmf(hits, units, held, sampled)
        assert chance @ (bound <= held / units) >= 0.95
