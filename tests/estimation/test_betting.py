"""The theorem by enumeration: nobody gains on average, so the bound holds."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from rs_monitor.estimation.betting import least_ratio, wealth_against

HALF = {"full_stake": 0.5}
SIZES = np.array([1.0, 2, 3, 4, 10])
SHARES = np.array([0.0, 1, 0.25, 1, 0.5])
COUNTED = np.array([0.5, 1, 1, 1, 0.75])


def bound(part, whole=1.0, size=1.0, confidence=0.95, **asked):
    return least_ratio(part, whole, size, confidence=confidence, **(HALF | asked))


@pytest.mark.parametrize("draws", [1, 2, 7])
def test_the_level_holds_over_all_samples_of_whole_townships(draws):
    """Townships full of the class or free of it, drawn in proportion to size."""
    hits = np.arange(draws + 1)
    said = bound((np.arange(draws) < hits[:, None]).astype(float))
    for share in (0.001, 0.02, 0.05, 0.1, 0.3, 0.5, 0.9, 0.999):
        chance = stats.binom.pmf(hits, draws, share)
        assert chance @ (said <= share) >= 0.95


@pytest.mark.parametrize("chances", [(0.9, 0.1, 0.0), (0.5, 0.45, 0.05), (0.1, 0.1, 0.8)])
def test_the_level_holds_over_all_samples_of_partly_covered_townships(chances):
    values = np.array([0.0, 0.2, 1.0])
    places = np.array(list(product(range(3), repeat=5)))
    chance = np.prod(np.array(chances)[places], axis=1)
    truth = values @ chances
    for asked, mean in ((values, truth), (1 - values, 1 - truth)):
        said = bound(asked[places])
        assert chance @ (said <= mean) >= 0.95
        gained = wealth_against(np.full(len(places), mean), asked[places], 1.0, 1.0, **HALF)
        assert chance @ gained == pytest.approx(1.0)


def test_nobody_gains_on_units_drawn_equally_without_replacement():
    """Unequal units, one point read in each: every set of units and every reading of it."""
    truth = (SIZES * SHARES).sum() / (SIZES * COUNTED).sum()
    size = SIZES / SIZES.mean()
    cells = np.stack([SHARES, COUNTED - SHARES, 1 - COUNTED], axis=1)
    gained = 0.0
    for units in combinations(range(5), 3):
        for said in product(range(3), repeat=3):
            chance = np.prod([cells[u, k] for u, k in zip(units, said, strict=True)]) / 10
            part, whole = np.array(said) == 0, np.array(said) < 2
            gained += chance * wealth_against(truth, part, whole, size[list(units)], **HALF)
    assert 0.5 < gained <= 1.0 + 1e-12


def test_nobody_gains_where_the_whole_is_known():
    truth, known = SHARES.mean() / COUNTED.mean(), COUNTED.mean()
    gained = [
        wealth_against(truth, SHARES[list(u)], COUNTED[list(u)], 1.0, known_whole=known, **HALF)
        for u in product(range(5), repeat=3)
    ]
    assert np.mean(gained) == pytest.approx(1.0)


@pytest.mark.parametrize("draws", [1, 5, 12, 40])
def test_no_township_with_the_class_is_clopper_and_pearsons_limit(draws):
    """The whole stake on every draw; with half of the money it costs the logarithm of two."""
    exact = 1 - 0.05 ** (1 / draws)
    assert 1 - bound(np.ones(draws), full_stake=1 - 1e-9) == pytest.approx(exact, abs=1e-6)
    assert exact < 1 - bound(np.ones(draws)) < 1 - 0.025 ** (1 / draws)


def test_more_of_the_class_never_lowers_the_bound():
    part = np.array([0.0, 0.1, 0.4, 0.7])
    for i in range(4):
        more = part.copy()
        more[i] += 0.2
        assert bound(more) > bound(part)
        assert bound(more, whole=0.9) > bound(part, whole=0.9)
    assert bound(part, whole=0.8) > bound(part, whole=0.9)


def test_nothing_seen_is_no_bound_and_much_seen_no_overflow():
    assert bound(np.zeros(9)) == 0.0
    assert bound(np.zeros(9), whole=0.0) == 0.0
    many = np.ones(300)
    assert bound(many) > 0.98
    many[-1] = 0
    assert 0.9 < bound(many) < bound(np.ones(300))


def test_many_samples_at_once_are_each_by_itself():
    rng = np.random.default_rng(3)
    part, whole, known = rng.random((4, 6)) / 2, 0.5 + rng.random((4, 6)) / 2, np.full(4, 0.7)
    together = bound(part, whole, known_whole=known)
    for i in range(4):
        assert together[i] == bound(part[i], whole[i], known_whole=0.7)


@pytest.mark.parametrize("draws", [2, 5, 40])
def test_evenly_spread_stakes_are_integrated_exactly(draws):
    growth = 1.3
    spread = (growth ** (draws + 1) - 1) / ((draws + 1) * (growth - 1))
    found = wealth_against(1 / growth, np.ones(draws), 1.0, 1.0, full_stake=0.25)
    assert found == pytest.approx(0.25 * growth**draws + 0.75 * spread, rel=1e-12)


def test_a_known_whole_leaves_half_of_the_money_on_the_ratio():
    """Eight townships of twenty full of the class and all right: the ratio tells more."""
    full = (np.arange(20) < 8).astype(float)
    both, ratio = bound(full, full, known_whole=0.4), bound(full, full)
    alone = bound(full) / 0.4
    assert alone < 0.5 < both < ratio


def test_two_thousand_draws_count_the_same_in_any_order():
    """Half of them full of the class: growth that is endless halfway is lost again."""
    draws = 2000
    full = (np.arange(draws) < draws // 2).astype(float)
    mixed = np.tile([1.0, 0.0], draws // 2)
    assert 0.45 < bound(full) == bound(full[::-1]) == bound(mixed) < 0.47
    partly = np.where(full > 0, 1.0, 0.01)
    assert bound(partly) == pytest.approx(bound(partly[::-1]), rel=1e-9)
    assert wealth_against(0.5, full, 1.0, 1.0, **HALF) < 1
