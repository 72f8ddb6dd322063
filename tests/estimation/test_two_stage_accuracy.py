"""Figures of a two-stage sample, and how often they hold where the former ones did not."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.two_stage_coverage import Scenario, run
from rs_monitor.config.rules import load_rules
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.designs import FirstStage, PrimaryUnitRecord, TwoStageRecord
from rs_monitor.estimation.readers import NOT_READ
from rs_monitor.estimation.two_stage import two_stage_bound, two_stage_sample
from rs_monitor.estimation.two_stage_accuracy import assess_two_stage

RARE, OTHER = 1, 2
DRAWS, POINTS = 12, 20


@pytest.fixture(scope="module")
def rules():
    return load_rules("accuracy", Path.cwd(), AccuracyRules).estimation


def sample_of(draws=DRAWS, points=POINTS, first_stage=FirstStage.PPS, pixels=10_000):
    units = tuple(
        PrimaryUnitRecord(id=i + 1, name=str(i), pixels=pixels, draws=1) for i in range(draws)
    )
    plan = TwoStageRecord(
        first_stage=first_stage,
        units=40,
        pixels=400_000,
        drawn=draws,
        points_per_draw=points,
        primary_units=units,
    )
    place = np.repeat(np.arange(draws), points)
    return two_stage_sample(place, place + 1, plan)


def assessed(rules, mapped, settled=None, agreed=None, share=0.05, **drawn):
    settled = mapped if settled is None else settled
    agreed = settled if agreed is None else agreed
    shares = {RARE: share, OTHER: 1 - share}
    return assess_two_stage(mapped, settled, agreed, sample_of(**drawn), shares, rules)


def points(rare_in_each):
    """Class of the map: so many points of the rare class in each draw."""
    order = np.tile(np.arange(POINTS), DRAWS)
    return np.where(order < np.repeat(rare_in_each, POINTS), RARE, OTHER)


def test_a_class_no_draw_met_keeps_an_honest_upper_limit(rules):
    found = assessed(rules, points(np.zeros(DRAWS)))
    rare = found.shares[RARE]
    assert rare.estimate.value == 0.0
    assert rare.usual == (0.0, 0.0)
    assert rare.interval[0] == 0.0
    # no limit that holds can be lower than Clopper and Pearson's: 26.5 %
    assert 1 - 0.025 ** (1 / 12) < rare.interval[1] < 0.30
    assert found.certified[RARE] == 0.0
    assert found.users[RARE].estimate.value is None
    assert found.users[RARE].interval == (0.0, 1.0)
    few = {(f.figure, f.code): f for f in found.too_few}
    assert few["user's", RARE].met == 0
    assert few["user's", RARE].best == 0.0
    assert ("user's", OTHER) not in few


def test_the_interval_holds_the_estimate_and_the_bound_lies_below(rules):
    found = assessed(rules, points(np.arange(DRAWS)))
    for figure in (found.overall, *found.users.values(), *found.shares.values()):
        low, high = figure.interval
        assert low <= figure.estimate.value <= high
    rare = found.shares[RARE]
    assert rare.interval[0] < found.certified[RARE] < rare.estimate.value


def test_an_estimate_outside_the_limits_widens_them(rules):
    """Only townships half as large again as the rest were drawn, and all alike."""
    drawn = {"first_stage": FirstStage.SRS, "pixels": 30_000}
    found = assessed(rules, points(np.full(DRAWS, 10)), **drawn).shares[RARE]
    assert found.estimate.value == 0.5
    assert found.interval[0] == 0.5


def test_an_accuracy_that_even_faultless_readings_could_not_tell(rules):
    found = assessed(rules, points(np.eye(DRAWS)[0] * 4))
    few = {(f.figure, f.code): f for f in found.too_few}
    assert set(few) == {("user's", RARE), ("producer's", RARE)}
    assert few["user's", RARE].met == 1
    assert 0 < few["user's", RARE].best < 0.01
    assert 0 < few["producer's", RARE].best < 0.01
    assert found.users[RARE].interval[0] == few["user's", RARE].best


def test_points_nobody_could_read_are_not_too_few_draws(rules):
    mapped = points(np.full(DRAWS, 10))
    unread = np.full_like(mapped, NOT_READ)
    assert assessed(rules, mapped, unread, share=0.5).too_few == ()


def test_no_number_of_draws_tells_of_a_class_the_map_does_not_show(rules):
    """Seen by readers everywhere: assessable for the producer, no user can ask."""
    mapped = np.full(DRAWS * POINTS, OTHER)
    found = assessed(rules, mapped, points(np.full(DRAWS, 10)), share=0.0)
    assert found.too_few == ()


def test_what_readers_contest_is_at_its_worst(rules):
    mapped = points(np.full(DRAWS, 4))
    contested = np.flatnonzero(mapped == RARE)[::8]
    agreed = mapped.copy()
    agreed[contested] = NOT_READ
    sure = assessed(rules, mapped, share=0.2)
    doubted = assessed(rules, mapped, agreed=agreed, share=0.2)
    misread = mapped.copy()
    misread[contested] = OTHER
    worst = assessed(rules, mapped, misread, share=0.2)
    assert doubted.shares[RARE].estimate == sure.shares[RARE].estimate
    assert doubted.certified[RARE] == worst.certified[RARE] < sure.certified[RARE]
    assert doubted.shares[RARE].interval[0] == worst.shares[RARE].interval[0]
    assert doubted.shares[RARE].interval[1] == sure.shares[RARE].interval[1]
    assert doubted.overall.interval[0] == worst.overall.interval[0]
    assert doubted.users[RARE].interval[0] == worst.users[RARE].interval[0]
    assert doubted.producers[OTHER].interval[0] == worst.producers[OTHER].interval[0]


def test_errors_that_readers_contest_may_be_none(rules):
    """Half of the class is misread, half of that contested: the upper limit looks away from it."""
    mapped = points(np.full(DRAWS, 8))
    truth = points(np.full(DRAWS, 4))
    agreed = np.where((mapped != truth) & (np.arange(mapped.size) % 2 == 0), NOT_READ, truth)
    sure = assessed(rules, mapped, truth, share=0.4).users[RARE]
    doubted = assessed(rules, mapped, truth, agreed, share=0.4).users[RARE]
    assert doubted.interval[0] == sure.interval[0]
    assert sure.interval[1] + 0.05 < doubted.interval[1] < 1.0


def test_the_maps_own_share_sharpens_a_users_accuracy(rules):
    """Met at one of twenty points everywhere: known to be 5 % of the ground."""
    sample, shown = sample_of(), points(np.ones(DRAWS)) == RARE
    asked = {"confidence": 0.975, "full_stake": 0.5}
    alone = two_stage_bound(shown, shown, sample, **asked)
    assert alone < 0.2
    known = two_stage_bound(shown, shown, sample, known_whole=0.05, **asked)
    assert known > 0.6
    assert assessed(rules, points(np.ones(DRAWS))).users[RARE].interval == (known, 1.0)


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("the five largest, full", 0.5, "srs", 12, 5),
        Scenario("two townships, 5 %", 0.98, "pps", 12, 20),
        Scenario("everywhere, 0.5 %", 0.3, "pps", 40, 5),
        Scenario("everywhere, 50 %", 0.98, "pps", 12, 5),
    ],
    ids=lambda s: s.place,
)
def test_coverage_in_small(scenario):
    """300 counties: the standard error of a coverage of 95 % is 1.3 points."""
    found = run(scenario, 300, (20, 1)).set_index(["figure", "method"])["held"]
    assert (found.xs("new", level="method") >= 0.95).all()
    if scenario.stage == "srs":
        # the hole: a few large townships, none of them drawn
        assert found["area", "former"] < 0.92
    assert found["area", "usual"] < 0.95
