import numpy as np
import pytest

from rs_monitor.kernels.bfast_monitor import (
    BREAK_DAY,
    HISTORY_LOOKS,
    MAGNITUDE,
    MONITORING_LOOKS,
    PREVIOUS_LOOK_DAY,
    monitor_breaks,
)
from rs_monitor.kernels.boundaries import monitoring_mosum_border, monitoring_mosum_critical
from rs_monitor.kernels.harmonic import harmonic_regressors
from tests.comparison import assert_close

HISTORY, TIMES = 60, 75
DAYS = 18_000.0 + 16 * np.arange(TIMES)
DESIGN = harmonic_regressors(DAYS, order=1, trend=True)
NUMBERS = {"history": HISTORY, "window_share": 0.25}
CRITICAL = monitoring_mosum_critical(0.05, 0.25, 10)


def noisy(shape, seed=0, gaps=0.3):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.5, 0.05, (TIMES, *shape)).astype(np.float32)
    values[HISTORY + 4 :] -= np.where(rng.random(shape) < 0.5, np.float32(0.3), np.float32(0))
    values[rng.random(values.shape) < gaps] = np.nan
    return values


def plainly(series):
    """The method looked up in the paper, one pixel at a time."""
    seen = np.isfinite(series)
    y, design, days = series[seen].astype(float), DESIGN[:, seen].T, DAYS[seen]
    n = int(seen[:HISTORY].sum())
    residuals = y - design @ np.linalg.lstsq(design[:n], y[:n], rcond=None)[0]
    sigma = np.sqrt((residuals[:n] ** 2).sum() / (n - design.shape[1]))
    width = int(n * 0.25)
    for k in range(n + 1, len(y) + 1):
        process = residuals[k - width : k].sum() / (sigma * np.sqrt(n))
        if abs(process) > monitoring_mosum_border(k, n, CRITICAL):
            return days[k - 1], days[k - 2], np.median(residuals[n:])
    return np.nan, days[-1], np.median(residuals[n:])


def test_every_pixel_as_by_hand_across_blocks():
    values = noisy((3, 150))
    found = monitor_breaks(values, DAYS, DESIGN, critical=CRITICAL, **NUMBERS)
    expected = np.array([plainly(series) for series in values.reshape(TIMES, -1).T]).T
    layers = found[[BREAK_DAY, PREVIOUS_LOOK_DAY, MAGNITUDE]].reshape(3, -1)
    assert_close(layers, expected.astype(np.float32), atol=1e-5)
    assert 0.2 < np.isfinite(expected[0]).mean() < 0.8


@pytest.mark.parametrize("later", [2, 3, 8, 15])
def test_the_magnitude_is_the_median_for_any_number_of_looks(later):
    values = noisy((40, 5), seed=later, gaps=0.5)[: HISTORY + later]
    days, design = DAYS[: HISTORY + later], DESIGN[:, : HISTORY + later]
    found = monitor_breaks(values, days, design, critical=CRITICAL, **NUMBERS)
    for series, size, looks in zip(
        values.reshape(len(days), -1).T,
        found[MAGNITUDE].ravel(),
        found[MONITORING_LOOKS].ravel(),
        strict=True,
    ):
        seen = np.isfinite(series)
        early = seen & (days < DAYS[HISTORY])
        model = np.linalg.lstsq(design[:, early].T, series[early].astype(float), rcond=None)[0]
        residuals = (series - model @ design)[HISTORY:][seen[HISTORY:]]
        assert looks == len(residuals)
        expected = np.median(residuals) if len(residuals) else np.nan
        assert_close(size, np.float32(expected), atol=1e-5)


def test_integers_with_nodata_are_the_floats_with_nan():
    values = noisy((4, 30), seed=3)
    integers = np.where(np.isnan(values), -32768, np.round(1e4 * values)).astype(np.int16)
    floats = np.where(integers == -32768, np.nan, integers).astype(np.float32)
    got = monitor_breaks(integers, DAYS, DESIGN, critical=CRITICAL, nodata=-32768, **NUMBERS)
    assert_close(got, monitor_breaks(floats, DAYS, DESIGN, critical=CRITICAL, **NUMBERS), atol=0)


def test_too_few_looks_of_the_history_are_not_fitted_but_counted():
    values = noisy((1, 3), gaps=0.0)
    values[: HISTORY - 4, 0, 0] = np.nan
    values[HISTORY:, 0, 1] = np.nan
    found = monitor_breaks(values, DAYS, DESIGN, critical=CRITICAL, **NUMBERS)
    assert found[HISTORY_LOOKS, 0].tolist() == [4, HISTORY, HISTORY]
    assert found[MONITORING_LOOKS, 0].tolist() == [15, 0, 15]
    assert np.isnan(found[[BREAK_DAY, MAGNITUDE], 0][:, :2]).all()
    assert found[PREVIOUS_LOOK_DAY, 0, :2].tolist() == [DAYS[-1], DAYS[HISTORY - 1]]


def test_a_history_that_starts_late_is_the_one_without_the_looks_before():
    values = noisy((2, 40), seed=4)
    starts = np.random.default_rng(5).integers(0, 25, (2, 40)).astype(np.int32)
    got = monitor_breaks(values, DAYS, DESIGN, critical=CRITICAL, starts=starts, **NUMBERS)
    late = np.where(np.arange(TIMES)[:, None, None] < starts, np.float32(np.nan), values)
    assert_close(got, monitor_breaks(late, DAYS, DESIGN, critical=CRITICAL, **NUMBERS), atol=0)
