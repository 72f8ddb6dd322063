"""Control charts: one implementation, statuses kept apart, days and magnitudes of planted steps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.kernels.boundaries import monitoring_cusum_critical, monitoring_mosum_critical
from rs_monitor.kernels.chart_steps import (
    CHANGE,
    LAYERS,
    NO_CHANGE,
    NOT_FITTED,
    NOT_OBSERVED,
    ONLY_OUTLIERS,
    UNSTABLE_HISTORY,
)
from rs_monitor.kernels.charts import (
    Cusum,
    Ewma,
    Iqr,
    Mosum,
    Start,
    chart_layers,
    run_chart,
    start_chart,
    step_chart,
)
from rs_monitor.kernels.harmonic import harmonic_regressors

HISTORY, TIMES, ROWS, COLS = 60, 80, 2, 90
DAYS = 17600.0 + 16 * np.arange(TIMES)
DESIGN = harmonic_regressors(DAYS, order=1, trend=True)
PLAIN = Start(screen=math.inf, min_looks=8)
CHARTS = {
    "ewma": (Ewma(0.3, 3.0, 50.0), PLAIN._replace(screen=5.0)),
    "cusum": (Cusum(monitoring_cusum_critical(0.05)), PLAIN),
    "mosum": (Mosum(0.25, monitoring_mosum_critical(0.05, 0.25, 10)), PLAIN),
    "iqr": (Iqr(1.5, 3), PLAIN),
}
NAMES = pytest.mark.parametrize("name", CHARTS)
LAWS = settings(deadline=None, derandomize=True, max_examples=8)


def cube(seed=0, step=0.0):
    rng = np.random.default_rng(seed)
    season = 0.2 * np.cos(2 * np.pi * DAYS / 365.25)
    values = 0.5 + season[:, None, None] + rng.normal(0, 0.02, (TIMES, ROWS, COLS))
    values[70:] += step
    values[rng.random(values.shape) < 0.3] = np.nan
    return values.astype(np.float32)


def run(name, values):
    chart, start = CHARTS[name]
    answer = run_chart(values, DAYS, DESIGN, history=HISTORY, chart=chart, start=start)
    return dict(zip(LAYERS, answer, strict=True))


@NAMES
def test_stepping_gives_the_bytes_of_running(name):
    chart, start = CHARTS[name]
    values = cube(1, step=0.1)
    values[30:40, 0, 0] = 3.0
    values[:, 1, 1] = np.nan
    state = start_chart(
        values[:HISTORY], DAYS[:HISTORY], DESIGN[:, :HISTORY], chart=chart, start=start
    )
    for k in range(HISTORY, TIMES):
        before = state
        kept = before.fields.copy()
        state = step_chart(before, values[k], DAYS[k], DESIGN[:, k])
        np.testing.assert_array_equal(before.fields, kept)
        whole = run_chart(
            values[: k + 1],
            DAYS[: k + 1],
            DESIGN[:, : k + 1],
            history=HISTORY,
            chart=chart,
            start=start,
        )
        assert chart_layers(state, (ROWS, COLS)).tobytes() == whole.tobytes()


@NAMES
def test_a_step_is_found_with_its_interval_size_and_side(name):
    for step in (-0.15, 0.15):
        values = cube(2, step=step)
        found = run(name, values)
        changed = found["status"] == CHANGE
        right = changed & (found["signal_day"] >= DAYS[70])
        assert right.mean() > 0.9
        assert np.median(found["signal_day"][right]) <= DAYS[76]
        assert (found["direction"][right] == np.sign(step)).all()
        assert np.median(found["magnitude"][right]) == pytest.approx(step, abs=0.02)
        for y, x in np.argwhere(changed)[:40]:
            seen = DAYS[np.isfinite(values[:, y, x])]
            signal = found["signal_day"][y, x]
            assert signal in seen
            assert found["before_day"][y, x] == seen[seen < signal].max()


@NAMES
def test_statuses_are_kept_apart(name):
    values = cube(3)
    values[HISTORY:, 0, 0] = np.nan
    values[: HISTORY - 5, 0, 1] = np.nan
    values[:, 0, 2] = np.nan
    values[HISTORY:, 0, 3] = np.nan
    values[HISTORY + 2, 0, 3] = 9.0
    found = run(name, values)
    assert found["status"][0, :3].tolist() == [NOT_OBSERVED, NOT_FITTED, NOT_FITTED]
    last = {"ewma": ONLY_OUTLIERS, "iqr": NO_CHANGE}.get(name, CHANGE)
    assert found["status"][0, 3] == last
    assert found["looks"][0, :3].tolist() == [0, 0, 0]
    no_change = found["status"] == NO_CHANGE
    assert no_change.mean() > 0.6
    assert np.isnan(found["signal_day"][~(found["status"] == CHANGE)]).all()
    assert np.isnan(found["magnitude"][no_change]).all()


def test_a_history_out_of_control_is_told():
    values = cube(4)
    values[HISTORY - 4 : HISTORY, 0] += 0.3
    chart, _ = CHARTS["ewma"]
    status = run_chart(values, DAYS, DESIGN, history=HISTORY, chart=chart, start=PLAIN)[0]
    assert (status[0] == UNSTABLE_HISTORY).mean() > 0.8
    assert (status[1] == UNSTABLE_HISTORY).mean() < 0.1


def test_the_screen_drops_outliers_of_the_history():
    values = cube(5)
    spoilt = values.copy()
    spoilt[20, 0, 0] = 3.0
    gap = values.copy()
    gap[20, 0, 0] = np.nan
    one, other = run("ewma", spoilt), run("ewma", gap)
    np.testing.assert_array_equal(one["status"], other["status"])
    np.testing.assert_array_equal(one["before_day"], other["before_day"])


def test_a_pixel_without_gaps_by_hand():
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.02, TIMES)
    values = (0.5 + noise).astype(np.float32)
    values[72:] -= 0.05
    beta, *_ = np.linalg.lstsq(DESIGN[:, :HISTORY].T, values[:HISTORY], rcond=None)
    residuals = values - DESIGN.T @ beta
    sigma = np.sqrt(np.mean(residuals[:HISTORY] ** 2))
    average, first = 0.0, None
    for k, r in enumerate(residuals):
        average = 0.7 * average + 0.3 * r
        limit = 3 * sigma * np.sqrt(0.3 / 1.7)
        if first is None and k >= HISTORY and abs(average) >= limit:
            first = k
            break
    found = run("ewma", values[:, None, None])
    assert found["signal_day"][0, 0] == DAYS[first]
    assert found["magnitude"][0, 0] == pytest.approx(residuals[first:].mean(), abs=1e-6)


@LAWS
@given(st.integers(0, 50), st.integers(-7, 7), st.sampled_from(sorted(CHARTS)))
def test_the_unit_of_the_values_does_not_matter(seed, power, name):
    factor = np.float32(2.0**power)
    plain = cube(seed, step=0.05)
    scaled, expected = run(name, plain * factor), run(name, plain)
    np.testing.assert_array_equal(scaled["status"], expected["status"])
    np.testing.assert_array_equal(scaled["signal_day"], expected["signal_day"])
    np.testing.assert_allclose(scaled["magnitude"], expected["magnitude"] * factor, rtol=1e-6)


@LAWS
@given(st.permutations(range(COLS)), st.sampled_from(sorted(CHARTS)))
def test_a_pixel_does_not_see_its_neighbours(order, name):
    values = cube(8, step=0.05)
    plain, permuted = run(name, values), run(name, values[:, :, order])
    for layer in LAYERS:
        np.testing.assert_array_equal(permuted[layer], plain[layer][:, order])


@NAMES
def test_later_looks_do_not_move_earlier_signals(name):
    chart, start = CHARTS[name]
    values = cube(9, step=0.1)
    late = run(name, values)
    early = run_chart(
        values[:74], DAYS[:74], DESIGN[:, :74], history=HISTORY, chart=chart, start=start
    )
    known = early[0] == CHANGE
    np.testing.assert_array_equal(early[1][known], late["signal_day"][known])
    assert known.any()
