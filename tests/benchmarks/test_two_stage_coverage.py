"""The study asks the methods it names."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.two_stage_coverage import (
    TOWNSHIPS,
    Question,
    Scenario,
    by_place,
    counties,
    drawn_of,
    former,
    new,
    run,
    scenarios,
    summary,
    usual,
)
from rs_monitor.estimation.clusters import clustered_proportion
from rs_monitor.estimation.designs import FirstStage, PrimaryUnitRecord, TwoStageRecord
from rs_monitor.estimation.two_stage import (
    two_stage_bound,
    two_stage_ratio,
    two_stage_sample,
    usual_interval,
)

PIXELS = 10**6


def as_points(asked, i):
    """The points of one county: whether of the part, of the whole, and their draws."""
    m = asked.drawn.points
    order = np.tile(np.arange(m), asked.part.shape[1])
    part = order < np.repeat(np.rint(m * asked.part[i]), m)
    whole = order < np.repeat(np.rint(m * asked.whole[i]), m)
    return part, whole, np.repeat(np.arange(asked.part.shape[1]), m)


def sample_of(asked, i, stage):
    """A county of a million pixels, so that points hardly deplete a township."""
    sizes = np.rint(asked.drawn.size[i] * PIXELS / TOWNSHIPS).astype(int)
    units = tuple(
        PrimaryUnitRecord(id=k, name=str(k), pixels=int(n), draws=1) for k, n in enumerate(sizes)
    )
    plan = TwoStageRecord(
        first_stage=FirstStage(stage),
        units=TOWNSHIPS,
        pixels=PIXELS,
        drawn=len(sizes),
        points_per_draw=asked.drawn.points,
        primary_units=units,
    )
    draw = np.repeat(np.arange(len(sizes)), asked.drawn.points)
    return two_stage_sample(draw, draw, plan)


@pytest.mark.parametrize("stage", ["pps", "srs"])
def test_methods_are_those_of_the_package(stage):
    scenario = Scenario("everywhere, 10 %", 0.3, stage, 12, 20)
    rng = np.random.default_rng(4)
    drawn = drawn_of(scenario, counties(scenario, 6, rng), rng)
    right, missed = drawn.cells[..., 0], drawn.cells[..., 1]
    for whole in (np.ones_like(right), right + missed):
        asked = Question(right, whole, drawn)
        low, high = former(asked, 0.95)
        ours = new(asked, 0.95)
        reach = usual(asked, 0.95)
        for i in range(6):
            hit, within, draw = as_points(asked, i)
            weights = np.repeat(asked.weight[i] / 20, 20)[within]
            found = clustered_proportion(
                hit[within], draw[within], weights=weights, confidence=0.95, min_clusters=2
            )
            assert (low[i], high[i]) == pytest.approx((found.lower, found.upper), abs=1e-6)
            sample, limits = sample_of(asked, i, stage), {"confidence": 0.975, "full_stake": 0.5}
            estimate = two_stage_ratio(hit, within, sample)
            least = two_stage_bound(hit, within, sample, **limits)
            most = 1 - two_stage_bound(within & ~hit, within, sample, **limits)
            told = min(least, estimate.value), max(most, estimate.value)
            assert (ours[0][i], ours[1][i]) == pytest.approx(told, abs=1e-4)
            if stage == "pps":
                student = usual_interval(estimate, sample, 0.95)
                assert (reach[0][i], reach[1][i]) == pytest.approx(student, abs=1e-4)


def test_tables():
    cells = [s for s in scenarios() if s.place == "everywhere, 2 %" and s.draws == 5]
    found = pd.concat([run(cell, 20, (1, i)) for i, cell in enumerate(cells)])
    table = summary(found)
    assert set(table["method"]) == {"usual", "former", "new", "Gaffke"}
    assert len(table) == 17
    wide = by_place(found, ["stage", "draws"])
    assert wide[["stage", "draws"]].to_numpy().tolist() == [["pps", 5], ["srs", 5]]
    assert (wide["new, held"] >= 90).all()
    assert (wide["usual, width"] < wide["new, width"]).all()
