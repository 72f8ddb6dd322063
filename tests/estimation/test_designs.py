import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.designs import Design, DesignRecord, FirstStage, StratumRecord
from rs_monitor.estimation.draws import (
    LowestRanked,
    draw_primary_units,
    shuffled,
    subsample_seed,
    systematic_in,
    systematic_start,
    systematic_steps,
)
from rs_monitor.kernels.pixel_ranks import pixel_numbers

LAW = settings(deadline=None, derandomize=True, max_examples=30)
STRATA = np.random.default_rng(3).choice([0, 1, 2, 3], (60, 90), p=[0.1, 0.6, 0.25, 0.05])
STRATA = STRATA.astype(np.uint8)
SIZES = np.bincount(STRATA.ravel(), minlength=4)
QUOTAS = np.array([0, 40, 30, 20])


def drawn(seed, quotas=QUOTAS, rows=(0, 60), cols=(0, 90)):
    """Places drawn of every stratum, taken up tile by tile."""
    ranked = LowestRanked(np.asarray(quotas), 90, seed)
    for y0, y1 in itertools.pairwise(rows):
        for x0, x1 in itertools.pairwise(cols):
            ranked.add(STRATA[y0:y1, x0:x1], y0, x0)
    return [ranked.drawn(s) for s in range(len(quotas))]


def places(found):
    return [set(zip(rows.tolist(), cols.tolist(), strict=True)) for rows, cols in found]


def test_as_many_of_each_stratum_as_wanted_and_none_twice():
    for stratum, (rows, cols) in enumerate(drawn(7)):
        assert len(set(zip(rows, cols, strict=True))) == rows.size == QUOTAS[stratum]
        assert (STRATA[rows, cols] == stratum).all()


def test_they_are_the_lowest_of_all():
    rows, cols = np.nonzero(STRATA == 2)
    lowest = np.sort(pixel_numbers(rows, cols, np.uint64(7)))[:30]
    found = pixel_numbers(*drawn(7)[2], np.uint64(7))
    np.testing.assert_array_equal(found, lowest)


@LAW
@given(
    st.lists(st.integers(1, 59), max_size=3, unique=True).map(sorted),
    st.lists(st.integers(1, 89), max_size=3, unique=True).map(sorted),
    st.integers(0, 2**64 - 1),
)
def test_any_tiling_draws_the_same(rows, cols, seed):
    whole, tiled = drawn(seed), drawn(seed, rows=[0, *rows, 60], cols=[0, *cols, 90])
    for one, other in zip(whole, tiled, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_larger_sample_keeps_the_smaller_and_another_seed_does_not():
    small, large = places(drawn(7)), places(drawn(7, QUOTAS * 2))
    assert all(a <= b for a, b in zip(small, large, strict=True))
    assert places(drawn(8))[1] & small[1] != small[1]


def test_more_than_there_are_takes_all():
    rows, _ = drawn(7, [0, 0, 0, SIZES[3] + 5])[3]
    assert rows.size == SIZES[3]


def test_every_pixel_is_drawn_as_often_as_its_probability_says():
    # 400 seeds: counts of every pixel of a stratum against n / N, and pairs against chance
    strata = np.ones((6, 10), np.uint8)
    counts = np.zeros((6, 10))
    together = 0
    for seed in range(400):
        ranked = LowestRanked(np.array([0, 15]), 10, seed)
        ranked.add(strata, 0, 0)
        rows, cols = ranked.drawn(1)
        counts[rows, cols] += 1
        together += len({(0, 0), (0, 1)} & set(zip(rows.tolist(), cols.tolist(), strict=True))) == 2
    expected = 400 * 15 / 60
    spread = ((counts - expected) ** 2).sum() / (expected * (1 - 15 / 60))
    # without replacement the counts have 59 degrees of freedom, times 60 / 59
    assert 0.001 < stats.chi2.sf(spread * 59 / 60, 59) < 0.999
    assert 0.001 < stats.binom.cdf(together, 400, 15 / 60 * 14 / 59) < 0.999


def test_numbers_are_uniform_along_rows_and_columns():
    grid = np.indices((64, 64)).reshape(2, -1)
    for seed in (0, 1, 2**64 - 1):
        numbers = pixel_numbers(grid[0], grid[1], np.uint64(seed)) / 2.0**64
        assert stats.kstest(numbers, "uniform").pvalue > 0.001
        square = numbers.reshape(64, 64)
        for one, other in ((square[1:], square[:-1]), (square[:, 1:], square[:, :-1])):
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.06
    assert np.unique(pixel_numbers(grid[0], grid[1], np.uint64(0))).size == 4096


def test_a_shuffle_is_one():
    rows, cols = np.arange(50), np.zeros(50, int)
    order = shuffled(rows, cols, 7)
    assert sorted(order.tolist()) == list(range(50))
    assert abs(stats.spearmanr(order, rows).statistic) < 0.4
    assert order.tolist() != shuffled(rows, cols, 8).tolist()


@pytest.mark.parametrize(
    ("pixels", "points", "steps"), [(100, 100, (1, 1)), (10_000, 100, (10, 10)), (600, 100, (2, 3))]
)
def test_steps_by_hand(pixels, points, steps):
    assert systematic_steps(pixels, points) == steps


def test_every_start_of_a_systematic_sample_is_as_likely_and_together_they_are_all():
    starts = [systematic_start((2, 3), seed) for seed in range(600)]
    counts = np.array([starts.count((r, c)) for r in range(2) for c in range(3)])
    assert stats.chisquare(counts).pvalue > 0.001
    valid = STRATA > 0
    hits = np.zeros(valid.shape, int)
    for start in {(r, c) for r in range(2) for c in range(3)}:
        for y0, x0 in ((0, 0), (0, 41), (37, 0), (37, 41)):
            part = valid[y0 : y0 + 37 if y0 == 0 else 60, x0 : 41 if x0 == 0 else 90]
            rows, cols = systematic_in(part, y0, x0, (2, 3), start)
            hits[rows, cols] += 1
            assert (rows % 2 == start[0]).all()
            assert (cols % 3 == start[1]).all()
    np.testing.assert_array_equal(hits, valid)


def test_primary_units_come_in_proportion_to_their_pixels():
    pixels = np.array([0, 100, 300, 600, 0])
    order = np.concatenate(
        [draw_primary_units(pixels, 5, seed, FirstStage.PPS) for seed in range(200)]
    )
    counts = np.bincount(order, minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert stats.chisquare(counts[1:4], [100, 300, 600]).pvalue > 0.001


def test_primary_units_drawn_equally_come_once():
    pixels = np.array([0, 100, 300, 600])
    order = [draw_primary_units(pixels, 2, seed, FirstStage.SRS) for seed in range(300)]
    assert all(0 not in one and one[0] != one[1] for one in order)
    counts = np.bincount(np.concatenate(order), minlength=4)[1:]
    assert stats.chisquare(counts).pvalue > 0.001


def test_a_unit_drawn_again_has_another_seed():
    seeds = {subsample_seed(7, turn) for turn in range(50)}
    assert len(seeds) == 50
    assert subsample_seed(7, 3) == subsample_seed(7, 3) != subsample_seed(8, 3)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: draw_primary_units(np.array([5, 5]), 1, 0, FirstStage.PPS),
        lambda: draw_primary_units(np.array([5, 5]), 3, 0, FirstStage.SRS),
        lambda: draw_primary_units(np.array([0, 0]), 2, 0, FirstStage.PPS),
        lambda: systematic_steps(10, 11),
        lambda: LowestRanked(QUOTAS, 90, -1),
        lambda: LowestRanked(QUOTAS, 90, 2**64),
    ],
)
def test_draws_that_cannot_be(ask):
    with pytest.raises(QuantityError, match="needed"):
        ask()


def test_a_design_is_read_back_as_it_was_written():
    stratum = StratumRecord(code=3, name="stable", pixels=10**8, area_m2=1.0000000001e10, points=50)
    record = DesignRecord(
        design=Design.STRATIFIED,
        seed=2**64 - 1,
        points=50,
        allocation="rare",
        strata=(stratum,),
        classes={3: "stable"},
        blind=True,
        key_digest="0" * 64,
        product="change",
        map_digest="0" * 64,
        crs="EPSG:32650",
        transform=(10, 0, 500000, 0, -10, 3500000),
        shape=(10000, 10000),
        rules="accuracy 1.0.0",
    )
    assert DesignRecord.model_validate_json(record.model_dump_json()) == record
    with pytest.raises(ValidationError, match="format"):
        DesignRecord.model_validate_json(
            record.model_dump_json().replace('"format":1', '"format":2')
        )
