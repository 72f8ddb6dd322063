from itertools import combinations, product

import numpy as np
import pytest

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.betting import least_ratio
from rs_monitor.estimation.designs import FirstStage, PrimaryUnitRecord, TwoStageRecord
from rs_monitor.estimation.two_stage import (
    two_stage_bound,
    two_stage_mean,
    two_stage_ratio,
    two_stage_sample,
    usual_interval,
)

POPULATION = [np.array([0.0, 1, 1, 0]), np.array([1.0, 1, 0]), np.array([0.0, 0, 1, 0, 1])]
SIZES = [values.size for values in POPULATION]
TOTAL = sum(SIZES)
TRUTH = sum(values.sum() for values in POPULATION) / TOTAL


def record(first_stage, drawn, per_draw):
    units = tuple(
        PrimaryUnitRecord(id=i + 1, name=str(i), pixels=n, draws=1) for i, n in enumerate(SIZES)
    )
    return TwoStageRecord(
        first_stage=first_stage,
        units=len(SIZES),
        pixels=TOTAL,
        drawn=drawn,
        points_per_draw=per_draw,
        primary_units=units,
    )


def estimate(units, subsamples, plan):
    values = np.concatenate(
        [POPULATION[u][list(s)] for u, s in zip(units, subsamples, strict=True)]
    )
    draw = np.repeat(np.arange(len(units)), [len(s) for s in subsamples])
    return two_stage_mean(values, two_stage_sample(draw, np.array(units)[draw] + 1, plan))


def test_drawn_by_size_is_unbiased_over_all_samples():
    # every pair of draws with replacement, every pair of pixels within: mean and variance exact
    plan = record(FirstStage.PPS, 2, 2)
    mean, square, variance = 0.0, 0.0, 0.0
    for units in product(range(3), repeat=2):
        chance = np.prod([SIZES[u] / TOTAL for u in units])
        pairs = [list(combinations(range(SIZES[u]), 2)) for u in units]
        each = chance / np.prod([len(p) for p in pairs])
        for subsamples in product(*pairs):
            found = estimate(units, subsamples, plan)
            mean += each * found.value
            square += each * found.value**2
            variance += each * found.standard_error**2
    assert mean == pytest.approx(TRUTH, rel=1e-12)
    assert variance == pytest.approx(square - mean**2, rel=1e-12)


def test_drawn_equally_by_hand():
    # units of 4 and 3 pixels, two read of each: means 1 and 1/2
    plan = record(FirstStage.SRS, 2, 2)
    found = estimate([0, 1], [(1, 2), (0, 2)], plan)
    value = (4 * 1 + 3 * 0.5) / 7
    between = 16 * (1 - value) ** 2 + 9 * (0.5 - value) ** 2
    within = 9 * (1 - 2 / 3) * 0.5 / 2
    variance = (9 * (1 / 3) / 2 * between + 3 / 2 * within) / TOTAL**2
    assert found.value == pytest.approx(value)
    assert found.standard_error == pytest.approx(np.sqrt(variance))


def test_all_of_the_population_leaves_no_error():
    plan = record(FirstStage.SRS, 3, 5)
    found = estimate([0, 1, 2], [range(4), range(3), range(5)], plan)
    assert found.value == pytest.approx(TRUTH)
    assert found.standard_error == pytest.approx(0, abs=1e-12)


def test_ratio_by_hand():
    plan = record(FirstStage.PPS, 2, 2)
    draw, unit = [0, 0, 1, 1], [1, 1, 3, 3]
    right, mapped = [1, 0, 1, 0], [1, 1, 1, 0]
    found = two_stage_ratio(right, mapped, two_stage_sample(draw, unit, plan))
    # means of the draws 1/2 and 1/2 over 1 and 1/2: 2/3; residuals -1/6 and 1/6 over 3/4
    assert found.value == pytest.approx(2 / 3)
    assert found.standard_error == pytest.approx((1 / 6) / 0.75)


@pytest.mark.parametrize(("draw", "unit"), [([0, 0, 0], [1, 1, 1]), ([0, 0, 1], [1, 1, 9])])
def test_a_draw_left_out_or_of_another_design_is_refused(draw, unit):
    with pytest.raises(QuantityError, match="needed all 2 draws"):
        two_stage_sample(draw, unit, record(FirstStage.PPS, 2, 2))


def test_a_unit_read_at_one_pixel_shows_no_spread_but_a_bound():
    sample = two_stage_sample([0, 0, 1], [1, 1, 2], record(FirstStage.SRS, 2, 2))
    found = two_stage_mean([1, 1, 0], sample)
    assert found.value == pytest.approx(4 / 7)
    assert found.standard_error is None
    assert usual_interval(found, sample, 0.95) is None
    hit, all_points = np.array([True, True, False]), np.ones(3, dtype=bool)
    bound = two_stage_bound(hit, all_points, sample, confidence=0.95, full_stake=0.5)
    assert 0 < bound < 4 / 12


def test_students_interval_knows_the_draws():
    sample = two_stage_sample([0, 0, 1, 1], [1, 1, 3, 3], record(FirstStage.PPS, 2, 2))
    found = two_stage_mean([1, 1, 0, 1], sample)
    reach = 12.7062 * found.standard_error
    assert usual_interval(found, sample, 0.95) == pytest.approx((0.75 - reach, 0.75 + reach))


def test_points_not_read_take_their_draw_along():
    sample = two_stage_sample([0, 0, 1, 1], [1, 1, 3, 3], record(FirstStage.PPS, 2, 2))
    left = sample.of(np.array([True, False, False, False]))
    assert left.points.tolist() == [1.0]
    assert left.pixels.tolist() == [4.0]
    assert two_stage_mean([1], left).value == 1.0
    nothing = sample.of(np.zeros(4, dtype=bool))
    assert two_stage_mean([], nothing).value is None


def test_a_class_that_was_not_met():
    sample = two_stage_sample([0, 1], [1, 2], record(FirstStage.PPS, 2, 1))
    assert two_stage_ratio([0, 0], [0, 0], sample).value is None


def test_units_drawn_equally_count_by_their_size():
    hit, all_points = np.array([True, False, True, True]), np.ones(4, dtype=bool)
    sizes = {FirstStage.PPS: [1.0, 1.0], FirstStage.SRS: [4 / 4, 5 / 4]}
    for first_stage, size in sizes.items():
        sample = two_stage_sample([0, 0, 1, 1], [1, 1, 3, 3], record(first_stage, 2, 2))
        asked = {"confidence": 0.95, "full_stake": 0.5}
        found = two_stage_bound(hit, all_points, sample, **asked)
        assert found == least_ratio([0.5, 1.0], 1.0, size, **asked)
