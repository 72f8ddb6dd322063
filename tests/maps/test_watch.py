import datetime as dt

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rs_monitor.codes import AlertStatus
from rs_monitor.errors import GridMismatch, ModelMismatch, NoObservations, QuantityError
from rs_monitor.kernels.alerts import NO_DAY
from rs_monitor.maps.baseline import LEVEL, SPREAD, baseline_weights, day_number, fit_baseline
from rs_monitor.maps.watch import (
    confirmed_change,
    renew_baseline,
    replay,
    start_watch,
    status_as_of,
    update,
    update_all,
)
from tests.maps.shipped_watch import SHIPPED, contents

START = dt.date(2020, 1, 1)
STEP_DAYS = 12
RULES = {
    kind: SHIPPED.model_copy(
        update={"baseline": SHIPPED.baseline.model_copy(update={"kind": kind})}
    )
    for kind in ("same_season", "harmonic")
}
laws = settings(
    deadline=None, derandomize=True, max_examples=6, phases=(Phase.explicit, Phase.generate)
)


def season(days):
    return 0.5 + 0.25 * np.sin(2 * np.pi * days / 365.25)


def make_cube(years=4, rows=2, cols=3, seed=0, clear_share=0.8, noise=0.01):
    """A seasonal index from 2018 on, one look every twelve days."""
    rng = np.random.default_rng(seed)
    times = np.arange("2018-01-03", f"{2018 + years}-01-01", STEP_DAYS, dtype="M8[D]")
    days = times.astype(int)
    shape = (len(times), rows, cols)
    values = season(days)[:, None, None] + rng.normal(0, noise, shape)
    coords = {"time": times.astype("M8[ns]"), "y": np.arange(rows)[::-1] * 10.0}
    coords["x"] = np.arange(cols) * 10.0
    dims = ("time", "y", "x")
    cube = xr.DataArray(values.astype("float32"), dims=dims, coords=coords, name="ndvi")
    clear = xr.DataArray(rng.random(shape) < clear_share, dims=dims, coords=coords, name="clear")
    return cube, clear


def days_of(cube):
    return cube["time"].values.astype("M8[D]").astype(object)


def image(cube, clear, day):
    stamp = np.datetime64(day, "ns")
    return cube.sel(time=stamp, drop=True), clear.sel(time=stamp, drop=True)


def one_by_one(cube, clear, rules, until=None):
    state = start_watch(cube, clear, start=START, rules=rules)
    for day in days_of(cube):
        if day >= START and (until is None or day <= until):
            state = update(state, *image(cube, clear, day), day, rules)
    return state


seeds = st.integers(0, 10_000)
shares = st.sampled_from([0.2, 0.6, 1.0])
kinds = st.sampled_from(sorted(RULES))


def disturbed(seed, share):
    """A cube with anomalies of all lengths, so that every stage occurs."""
    cube, clear = make_cube(years=4, seed=seed, clear_share=share, noise=0.03)
    cube, clear = cube[24:], clear[24:]  # fifteen months before the watch
    rng = np.random.default_rng(seed)
    for _ in range(8):
        begin, length = rng.integers(0, cube.sizes["time"]), rng.integers(1, 40)
        row, col = rng.integers(0, 2), rng.integers(0, 3)
        cube[begin : begin + length, row, col] += np.float32(rng.uniform(-0.6, 0.6))
    return cube, clear


def test_disturbed_cubes_reach_every_stage():
    found = set()
    for seed in range(5):
        cube, clear = disturbed(seed, 1.0)
        state = start_watch(cube, clear, start=START, rules=RULES["same_season"])
        for day in days_of(cube):
            if day >= START:
                state = update(state, *image(cube, clear, day), day, RULES["same_season"])
                found |= set(np.unique(state["stage"].values).tolist())
    assert found == set(range(AlertStatus.NO_CHANGE, AlertStatus.NO_BASELINE))


@laws
@given(seeds, shares, kinds)
def test_one_by_one_equals_all_at_once(seed, share, kind):
    cube, clear = disturbed(seed, share)
    end = days_of(cube)[-1]
    whole = replay(cube, clear, start=START, as_of=end, rules=RULES[kind])
    assert contents(one_by_one(cube, clear, RULES[kind])) == contents(whole)


@laws
@given(seeds, shares, kinds, st.integers(0, 40))
def test_later_images_do_not_move_a_day(seed, share, kind, later):
    cube, clear = disturbed(seed, share)
    day = START + dt.timedelta(days=12 * later)
    kept = [d <= day for d in days_of(cube)]
    then = replay(
        cube.isel(time=kept), clear.isel(time=kept), start=START, as_of=day, rules=RULES[kind]
    )
    now = replay(cube, clear, start=START, as_of=day, rules=RULES[kind])
    assert contents(now) == contents(then)
    assert contents(now) == contents(one_by_one(cube, clear, RULES[kind], until=day))
    assert contents(status_as_of(now, day, RULES[kind]).to_dataset()) == contents(
        status_as_of(then, day, RULES[kind]).to_dataset()
    )


@laws
@given(seeds, kinds)
def test_the_same_date_twice_changes_nothing(seed, kind):
    cube, clear = disturbed(seed, 0.8)
    rules, day = RULES[kind], days_of(cube)[-20]
    state = one_by_one(cube, clear, rules, until=day)
    before = contents(state)
    again = update(state, image(cube, clear, day)[0] - 0.5, image(cube, clear, day)[1], day, rules)
    assert contents(again) == before
    assert contents(state) == before


@laws
@given(seeds)
def test_an_unseen_image_only_counts_as_not_observed(seed):
    cube, clear = disturbed(seed, 0.8)
    rules = RULES["same_season"]
    state = one_by_one(cube, clear, rules, until=days_of(cube)[-10])
    day = days_of(cube)[-1] + dt.timedelta(days=500)
    values, seen = image(cube, clear, days_of(cube)[-1])
    after = update(state, values - 0.5, xr.zeros_like(seen), day, rules)
    assert after.attrs["last_day"] == day.isoformat()
    assert (after["not_observed"] == state["not_observed"] + 1).all()
    xr.testing.assert_identical(
        after.drop_vars("not_observed").drop_attrs(), state.drop_vars("not_observed").drop_attrs()
    )


def test_an_older_image_is_refused():
    cube, clear = make_cube()
    rules = RULES["same_season"]
    state = one_by_one(cube, clear, rules)
    day = days_of(cube)[-2]
    with pytest.raises(NoObservations, match=r"of 2021-12-13; needed one of 2021-12-25"):
        update(state, *image(cube, clear, day), day, rules)
    begun = start_watch(cube, clear, start=START, rules=rules)
    early = days_of(cube)[3]
    with pytest.raises(NoObservations, match="needed one of 2020-01-01 or later"):
        update(begun, *image(cube, clear, early), early, rules)
    with pytest.raises(NoObservations, match="one a day, ascending"):
        update_all(begun, cube.isel(time=[-1, -2]), clear.isel(time=[-1, -2]), rules=rules)


def test_other_rules_and_other_grids_are_refused():
    cube, clear = make_cube()
    rules = RULES["same_season"]
    state = start_watch(cube, clear, start=START, rules=rules)
    day = days_of(cube)[-1]
    values, seen = image(cube, clear, day)
    with pytest.raises(ModelMismatch, match="replay the looks under the new rules"):
        update(state, values, seen, day, RULES["harmonic"])
    with pytest.raises(GridMismatch, match="x coordinates differ from the state's"):
        update(state, values.assign_coords(x=values.x + 5), seen.assign_coords(x=seen.x + 5),
               day, rules)  # fmt: skip


def test_without_earlier_years_there_is_no_watch():
    cube, clear = make_cube()
    with pytest.raises(NoObservations, match="got no look before 2018-01-01"):
        start_watch(cube, clear, start=dt.date(2018, 1, 1), rules=RULES["harmonic"])


@pytest.mark.parametrize("kind", sorted(RULES))
def test_the_calendar_of_crops_is_silent_and_a_change_is_not(kind):
    cube, clear = make_cube(clear_share=1.0)
    change = dt.date(2020, 7, 1)
    late = cube["time"].values >= np.datetime64(change)
    cube[late, 0, 0] = 0.1
    state = replay(cube, clear, start=START, as_of=dt.date(2020, 12, 31), rules=RULES[kind])
    record = confirmed_change(state)
    assert int((record["confirmed_day"] != NO_DAY).sum()) == 1
    one = {name: v.values[0, 0] for name, v in record.items()}
    assert one["change_after_day"] < day_number(change) <= one["change_until_day"]
    assert one["change_until_day"] - one["change_after_day"] == STEP_DAYS
    assert one["change_until_day"] < one["confirmed_day"]
    assert one["direction"] == -1
    assert one["anomaly"] < -0.2


def test_the_baseline_is_the_median_and_the_regression():
    cube, clear = make_cube(clear_share=1.0, noise=0.0)
    for kind, within in [("same_season", 0.03), ("harmonic", 1e-5)]:
        rules = RULES[kind].baseline
        baseline = fit_baseline(cube, clear, before=START, rules=rules)
        days = np.arange(day_number(START), day_number(START) + 365)
        weights, _ = baseline_weights(days, rules)
        expected = weights @ baseline[LEVEL].values[:, 0, 0]
        assert np.abs(expected - season(days)).max() < within
        assert (baseline[SPREAD] >= 0).all()


def test_status_tells_no_change_from_not_observed():
    cube, clear = make_cube(clear_share=1.0)
    rules = RULES["same_season"]
    watched = cube["time"].values >= np.datetime64(START)
    clear[watched, 0, 0] = False  # never seen in the watch
    clear[~watched, 0, 1] = False  # no baseline
    cube[watched, 0, 2] -= 0.4  # change
    state = replay(cube, clear, start=START, as_of=dt.date(2020, 6, 1), rules=rules)
    soon, late = dt.date(2020, 7, 1), dt.date(2020, 12, 1)
    expected = [
        [AlertStatus.NOT_OBSERVED, AlertStatus.NO_BASELINE, AlertStatus.CONFIRMED],
        [AlertStatus.NO_CHANGE] * 3,
    ]
    status = status_as_of(state, soon, rules)
    np.testing.assert_array_equal(status.values, expected)
    assert status.dtype == np.uint8
    # the alert stands, whatever the sky; the quiet pixels are no longer known to be quiet
    expected[1] = [AlertStatus.NOT_OBSERVED] * 3
    np.testing.assert_array_equal(status_as_of(state, late, rules).values, expected)
    with pytest.raises(NoObservations, match="replay the looks as of that day"):
        status_as_of(state, dt.date(2020, 5, 1), rules)


def test_a_reset_pixel_waits_for_a_new_baseline():
    cube, clear = make_cube(years=6, clear_share=1.0)
    rules = RULES["same_season"]
    late = cube["time"].values >= np.datetime64("2020-03-01")
    cube[late, 0, 0] = 0.1
    state = replay(cube, clear, start=START, as_of=dt.date(2022, 3, 1), rules=rules)
    assert state["stage"].values[0, 0] == AlertStatus.RESET
    renewed = renew_baseline(state, cube, clear, rules=rules)
    assert renewed["stage"].values[0, 0] == AlertStatus.NO_CHANGE
    np.testing.assert_allclose(renewed[LEVEL].values[:, 0, 0], 0.1, atol=1e-6)
    others = renewed.where(renewed["x"] > 0), state.where(state["x"] > 0)
    xr.testing.assert_identical(*others)
    ahead = cube["time"].values > np.datetime64("2022-03-01")
    end = update_all(renewed, cube.isel(time=ahead), clear.isel(time=ahead), rules=rules)
    assert end["stage"].values[0, 0] == AlertStatus.NO_CHANGE
    # later looks do not reach the new baseline
    early = cube.isel(time=~ahead), clear.isel(time=~ahead)
    assert contents(renew_baseline(state, *early, rules=rules)) == contents(renewed)


def growing_season(loss):
    """Nine pixels, bare but for the summer, that stay bare from a day of 2020-2021 on."""
    times = np.arange("2015-01-01", "2022-01-01", 8, dtype="M8[D]")
    height = 0.6 * np.exp(-((((times.astype(int) % 365.25) - 200) / 60) ** 2))
    height[times >= np.datetime64(loss)] = 0.0
    noise = np.random.default_rng(1).normal(0, 0.02, (len(times), 3, 3))
    coords = {"time": times.astype("M8[ns]"), "y": [2.0, 1.0, 0.0], "x": [0.0, 1.0, 2.0]}
    values = (0.2 + height[:, None, None] + noise).astype("float32")
    return xr.DataArray(values, dims=("time", "y", "x"), coords=coords, name="ndvi")


@pytest.mark.parametrize("loss", ["2020-10-15", "2020-11-20", "2021-01-10"])
def test_a_change_out_of_season_lies_in_its_interval(loss):
    # bare fields look the same before and after: only the next summer tells
    cube = growing_season(loss)
    clear = xr.ones_like(cube, dtype=bool)
    state = replay(
        cube, clear, start=START, as_of=dt.date(2021, 12, 31), rules=RULES["same_season"]
    )
    record, day = confirmed_change(state), day_number(dt.date.fromisoformat(loss))
    assert (record["confirmed_day"] != NO_DAY).all()
    assert (record["change_after_day"] < day).all()
    assert (record["change_until_day"] >= day).all()
    # the summer before rules the loss out
    assert (record["change_after_day"] > day_number(dt.date(2020, 7, 1))).all()


@pytest.mark.parametrize("kind", sorted(RULES))
def test_infinities_are_not_looks(kind):
    cube, clear = make_cube(clear_share=1.0)
    gone = cube.copy(deep=True)
    places = [5, 20, 40, 65, 67, 69]  # of the baseline and of the watch
    gone[places] = np.nan
    cube[places] = np.inf
    cube[places[::2], 0] = -np.inf
    end = days_of(cube)[-1]
    infinite, missing = (
        replay(part, clear, start=START, as_of=end, rules=RULES[kind]) for part in (cube, gone)
    )
    assert contents(infinite) == contents(missing)
    assert (infinite["not_observed"] == 3).all()
    assert (infinite["alerts"] == 0).all()


def test_integers_are_refused():
    cube, clear = make_cube()
    rules, day = RULES["same_season"], days_of(cube)[-1]
    numbers = (cube * 10_000).astype("int16").rename("ndvi")
    with pytest.raises(QuantityError, match="got 'ndvi' as int16; needed floats with NaN"):
        start_watch(numbers, clear, start=START, rules=rules)
    state = start_watch(cube, clear, start=START, rules=rules)
    with pytest.raises(QuantityError, match="blank its nodata and scale it"):
        update(state, *image(numbers, clear, day), day, rules)


def test_a_transposed_image_and_another_crs_are_refused():
    cube, clear = make_cube(rows=2, cols=2)
    cube = cube.assign_coords(y=[0.0, 10.0], spatial_ref=((), 0, {"crs_wkt": "a"}))
    clear = clear.assign_coords(cube.coords)
    rules, day = RULES["same_season"], days_of(cube)[-1]
    state = start_watch(cube, clear, start=START, rules=rules)
    values, seen = image(cube, clear, day)
    with pytest.raises(GridMismatch, match=r"\('time', 'x', 'y'\); needed time, y, x"):
        update(state, values.transpose(), seen.transpose(), day, rules)
    other = {"spatial_ref": ((), 0, {"crs_wkt": "b"})}
    with pytest.raises(GridMismatch, match="got an image of another CRS"):
        update(state, values.assign_coords(other), seen.assign_coords(other), day, rules)


@pytest.mark.parametrize("kind", sorted(RULES))
def test_a_day_before_the_watch_knows_no_later_look(kind):
    cube, clear = make_cube()
    day = dt.date(2019, 6, 30)
    kept = [d <= day for d in days_of(cube)]
    then = replay(
        cube.isel(time=kept), clear.isel(time=kept), start=START, as_of=day, rules=RULES[kind]
    )
    now = replay(cube, clear, start=START, as_of=day, rules=RULES[kind])
    assert contents(now) == contents(then)


def test_no_image_is_no_news():
    cube, clear = make_cube()
    rules = RULES["same_season"]
    state = start_watch(cube, clear, start=START, rules=rules)
    assert update_all(state, cube[:0], clear[:0], rules=rules) is state
