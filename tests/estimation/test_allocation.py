import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rs_monitor.config.rules import load_rules
from rs_monitor.errors import QuantityError
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.allocation import (
    equal_allocation,
    neyman_allocation,
    proportional_allocation,
    rare_class_allocation,
    require_enough,
    share_out,
)
from rs_monitor.estimation.sample_size import (
    deviation_of_share,
    points_for_area,
    points_for_bound,
    points_for_mean,
    points_for_overall_accuracy,
    points_for_users_accuracy,
)

LAW = settings(deadline=None, derandomize=True, max_examples=60)
RULES = load_rules("accuracy", Path(), AccuracyRules).sampling

# Olofsson et al. 2014, section 5.1: deforestation, forest gain, stable forest, stable non-forest
PIXELS = [200_000, 150_000, 3_200_000, 6_450_000]
USERS = [0.70, 0.60, 0.90, 0.95]

strata = st.lists(st.integers(1, 5000), min_size=1, max_size=6)


def test_worked_sample_size_of_olofsson_2014():
    np.testing.assert_allclose(deviation_of_share(USERS), [0.458, 0.490, 0.300, 0.218], atol=5e-4)
    assert points_for_overall_accuracy(PIXELS, USERS, 0.01) == 641


def test_worked_allocations_of_olofsson_2014():
    # equal, in proportion, and 100, 75 or 50 in the rare classes, the rest by exact proportion
    assert equal_allocation(PIXELS, 640).tolist() == [160, 160, 160, 160]
    assert proportional_allocation(PIXELS, 641).tolist() == [13, 10, 205, 413]
    for rare, rest in ((100, [146, 295]), (75, [163, 328]), (50, [179, 362])):
        rules = RULES.model_copy(update={"rare_points": (rare,)})
        assert rare_class_allocation(PIXELS, 641, rules).tolist() == [rare, rare, *rest]


def test_the_most_for_rare_classes_that_leaves_half_to_the_others():
    assert rare_class_allocation(PIXELS, 400, RULES).tolist()[:2] == [100, 100]
    assert rare_class_allocation(PIXELS, 399, RULES).tolist()[:2] == [75, 75]
    assert rare_class_allocation(PIXELS, 299, RULES).tolist()[:2] == [50, 50]
    assert rare_class_allocation(PIXELS, 120, RULES).tolist() == [30, 30, 20, 40]
    # a class of 30 pixels gets them all
    assert rare_class_allocation([30, 9_970], 500, RULES).tolist() == [30, 470]
    assert rare_class_allocation([500, 9_000], 9_500, RULES).tolist() == [500, 9_000]


def test_no_rare_class_is_proportional():
    assert rare_class_allocation([500, 500], 100, RULES).tolist() == [50, 50]
    assert rare_class_allocation([100, 900], 100, RULES).tolist() == [10, 90]


def test_shares_by_hand():
    assert share_out([1, 1, 1], 10).tolist() == [4, 3, 3]
    assert share_out([0.5, 0.3, 0.2], 7).tolist() == [4, 2, 1]
    assert share_out([10, 1, 1], 12, most=[4, 100, 100]).tolist() == [4, 4, 4]
    assert share_out([1, 1, 98], 20, least=5).tolist() == [5, 5, 10]
    assert share_out([0, 0], 3).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("shares", "points", "bounds"),
    [([1, 1], 5, {"most": 2}), ([1, 1], 5, {"least": 3}), ([1, -1], 5, {}), ([], 0, {})],
)
def test_a_sharing_that_cannot_be(shares, points, bounds):
    bounds = {name: np.full(len(shares), value) for name, value in bounds.items()}
    with pytest.raises(QuantityError, match="needed"):
        share_out(shares, points, **bounds)


@LAW
@given(strata, st.integers(0, 10_000), st.integers(0, 20), st.data())
def test_allocations_add_up_within_their_bounds(units, points, least, data):
    low = np.minimum(least, units)
    points = max(min(points, sum(units)), int(low.sum()))
    deviations = data.draw(st.lists(st.floats(0, 0.5), min_size=len(units), max_size=len(units)))
    for shared in (
        proportional_allocation(units, points, least=least),
        neyman_allocation(units, deviations, points, least=least),
    ):
        assert shared.sum() == points
        assert (shared <= units).all()
        assert (shared >= low).all()


@LAW
@given(strata, st.integers(1, 4000))
def test_a_point_more_takes_none_away_within_one(units, points):
    # the largest remainder may move one point (the Alabama paradox), never two
    points = min(points, sum(units) - 1)
    fewer = proportional_allocation(units, points)
    more = proportional_allocation(units, points + 1)
    assert (more - fewer >= -1).all()


@LAW
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(6, 12))
def test_neyman_is_the_best_of_all_allocations(a, b, c, points):
    units, deviations = [40, 30, 50], np.array([a, b, c]) / 10

    def variance(shared):
        terms = [
            (n * s) ** 2 / k for n, s, k in zip(units, deviations, shared, strict=True) if s > 0
        ]
        return sum(terms)

    best = min(
        variance((i, j, points - i - j))
        for i, j in product(range(1, points), repeat=2)
        if i + j < points
    )
    ours = variance(neyman_allocation(units, deviations, points, least=1))
    # rounding to whole points by remainder costs little
    assert ours <= best * 1.2 + 1e-12


def test_points_for_a_mean_undo_its_standard_error():
    units, deviations = np.array(PIXELS, float), deviation_of_share(USERS)
    for shares in (None, units, np.ones(4)):
        points = points_for_mean(units, deviations, 0.01, shares=shares)
        part = units * deviations if shares is None else shares
        shared = points * part / part.sum()
        weights = units / units.sum()
        variance = (weights**2 * deviations**2 / shared * (1 - shared / units)).sum()
        assert math.sqrt(variance) <= 0.01
        assert math.sqrt(variance * points / (points - 1)) >= 0.01 * (1 - 2e-4)


def test_a_small_population_needs_fewer():
    # p q / SE^2 = 2500 and a stratum of 2500: 1250
    assert points_for_users_accuracy(0.5, 0.01, 10**12) == 2500
    assert points_for_users_accuracy(0.5, 0.01, 2500) == 1250
    assert points_for_users_accuracy(1.0, 0.01, 2500) == 1


def test_points_for_an_area():
    # 60 ha mapped of 5000 ha, 0.9 right, 1 in 500 missed outside: SE of 10 ha is 0.002
    shares = [0.9, 0.002]
    points = points_for_area([6_000, 494_000], shares, 100_000, 50_000_000)
    assert points == points_for_mean([6_000, 494_000], deviation_of_share(shares), 0.002)
    assert points > points_for_area([6_000, 494_000], shares, 200_000, 50_000_000)


def test_rule_of_three():
    assert [points_for_bound(p, 0.95) for p in (0.1, 0.05, 0.01)] == [29, 59, 299]
    assert points_for_bound(0.05, 0.95, errors=1) == 93
    assert points_for_bound(0.05, 0.95, units=100) == 45  # hypergeometric, 5 wrong of 100


@LAW
@given(
    st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3]), st.integers(0, 3), st.sampled_from([0.9, 0.95])
)
def test_the_smallest_number_that_certifies(limit, errors, confidence):
    points = points_for_bound(limit, confidence, errors=errors)
    assert stats.binom.cdf(errors, points, limit) <= 1 - confidence
    assert stats.binom.cdf(errors, points - 1, limit) > 1 - confidence
    assert points_for_bound(limit, confidence, errors=errors, units=4000) <= points


@pytest.mark.parametrize(
    "ask",
    [
        lambda: points_for_bound(5, 0.95),
        lambda: points_for_bound(0.05, 0.95, errors=1, units=20),
        lambda: points_for_mean([10], [0.5], 0),
        lambda: points_for_mean([10, 10], [0.5, 0.5], 0.1, shares=[1, 0]),
        lambda: deviation_of_share([90]),
        lambda: require_enough([24], RULES),
    ],
)
def test_questions_without_an_answer(ask):
    with pytest.raises(QuantityError, match="needed"):
        ask()
