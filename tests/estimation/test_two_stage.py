from itertools import combinations, product

import numpy as np
import pytest

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.designs import FirstStage, PrimaryUnitRecord, TwoStageRecord
from rs_monitor.estimation.two_stage import two_stage_mean, two_stage_ratio

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
    return two_stage_mean(values, draw, np.array(units)[draw] + 1, plan)


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
    assert found.degrees_of_freedom == 1


def test_all_of_the_population_leaves_no_error():
    plan = record(FirstStage.SRS, 3, 5)
    found = estimate([0, 1, 2], [range(4), range(3), range(5)], plan)
    assert found.value == pytest.approx(TRUTH)
    assert found.standard_error == pytest.approx(0, abs=1e-12)


def test_ratio_by_hand():
    plan = record(FirstStage.PPS, 2, 2)
    draw, unit = [0, 0, 1, 1], [1, 1, 3, 3]
    right, mapped = [1, 0, 1, 0], [1, 1, 1, 0]
    found = two_stage_ratio(right, mapped, draw, unit, plan)
    # means of the draws 1/2 and 1/2 over 1 and 1/2: 2/3; residuals -1/6 and 1/6 over 3/4
    assert found.value == pytest.approx(2 / 3)
    assert found.standard_error == pytest.approx((1 / 6) / 0.75)


@pytest.mark.parametrize(
    ("draw", "unit", "first_stage"),
    [
        ([0, 0, 0], [1, 1, 1], FirstStage.PPS),
        ([0, 0, 1], [1, 1, 9], FirstStage.PPS),
        ([0, 0, 1], [1, 1, 2], FirstStage.SRS),
    ],
)
def test_what_no_spread_can_be_drawn_from(draw, unit, first_stage):
    with pytest.raises(QuantityError, match="needed two"):
        two_stage_mean([0, 1, 1], draw, unit, record(first_stage, 2, 2))


def test_a_class_that_was_not_met():
    with pytest.raises(QuantityError, match="denominator is 0"):
        two_stage_ratio([0, 0], [0, 0], [0, 1], [1, 2], record(FirstStage.PPS, 2, 1))
