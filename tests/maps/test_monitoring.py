"""Harmonic models and control charts on image series."""

import datetime as dt

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from rs_monitor.errors import GridMismatch, NoObservations, QuantityError
from rs_monitor.kernels.chart_steps import (
    CHANGE,
    NO_CHANGE,
    NOT_FITTED,
    NOT_OBSERVED,
    ONLY_OUTLIERS,
)
from rs_monitor.maps.monitoring import CusumRules, fit_harmonic, monitor
from tests.maps.shipped_charts import SHIPPED

TIMES, HISTORY = 90, 70
START = dt.date(2023, 1, 1)


def series():
    rng = np.random.default_rng(0)
    start = np.datetime64(START, "ns")
    times = start + np.timedelta64(16, "D") * (np.arange(TIMES) - HISTORY)
    days = (times - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    values = 0.4 + 0.2 * np.sin(2 * np.pi * days / 365.25)[:, None, None]
    values = values + rng.normal(0, 0.02, (TIMES, 4, 3))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[HISTORY + 6 :, 0, 0] -= 0.15
    values[HISTORY:, 1, 1] = np.nan
    values[:HISTORY, 2, 2] = np.nan
    coords = {"time": times, "y": np.arange(4) * -10.0, "x": np.arange(3) * 10.0}
    return xr.DataArray(values.astype(np.float32), dims=("time", "y", "x"), coords=coords)


@pytest.mark.parametrize("method", ["ewma", "cusum", "mosum", "iqr"])
def test_monitor(method):
    values = series()
    rules = SHIPPED.model_copy(update={"ewma": SHIPPED.ewma.model_copy(update={"limit": 4.0})})
    found = monitor(values, start=START, method=method, rules=rules)
    assert found["status"].dtype == np.uint8
    assert found["status"].values[0, 0] == CHANGE
    assert found["status"].values[1, 1] == NOT_OBSERVED
    assert found["status"].values[2, 2] == NOT_FITTED
    assert (found["status"] == NO_CHANGE).sum() >= 6
    days = values["time"].values.astype("M8[D]").astype(int)
    day = float(found["signal_day"][0, 0])
    assert days[HISTORY + 6] <= day <= days[HISTORY + 14]
    assert found["previous_look_day"].values[0, 0] < day
    assert found["magnitude"].values[0, 0] == pytest.approx(-0.15, abs=0.03)
    assert found["direction"].values[0, 0] == -1
    assert found["monitoring_looks"].values[1, 1] == 0
    assert found["signal_day"].attrs == {"units": "days since 1970-01-01"}
    assert found.attrs["method"] == method
    assert found.attrs["start"] == "2023-01-01"


def test_fit_harmonic():
    values = series()[:HISTORY]
    fit = fit_harmonic(values, rules=SHIPPED.history)
    names = ["intercept", "day", "cos_1", "cos_2", "sin_1", "sin_2"]
    assert fit["coefficient"].values.tolist() == names
    assert float(fit["coefficients"].sel(coefficient="sin_1")[3, 0]) == pytest.approx(0.2, abs=0.02)
    assert float(fit["sigma"][3, 0]) == pytest.approx(0.02, abs=0.006)
    assert np.isnan(fit["sigma"].values[2, 2])
    assert fit["looks"].values[2, 2] == 0
    np.testing.assert_array_equal(fit["looks"], np.isfinite(values).sum("time"))
    robust = fit_harmonic(values, rules=SHIPPED.history, method="rirls")
    assert float(robust["coefficients"].sel(coefficient="sin_1")[3, 0]) == pytest.approx(
        0.2, abs=0.02
    )


def test_a_period_needs_looks_on_both_sides():
    for start in (dt.date(2010, 1, 1), dt.date(2040, 1, 1)):
        with pytest.raises(NoObservations, match="needed both"):
            monitor(series(), start=start, method="cusum", rules=SHIPPED)


def test_images_out_of_order_are_refused():
    with pytest.raises(GridMismatch, match="sort them"):
        fit_harmonic(series()[::-1], rules=SHIPPED.history)


def test_a_significance_that_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="significance"):
        CusumRules(significance=1.5)


@pytest.mark.parametrize("method", ["ewma", "cusum", "mosum", "iqr"])
def test_a_constant_history_is_not_fitted(method):
    # what the fit leaves of a constant is rounding, and no measure of noise
    values = xr.zeros_like(series())
    values[:] = np.array([0.3, 0.7, 0.1, 1.0, 0.0, 0.123456] * 2, np.float32).reshape(4, 3)
    found = monitor(values, start=START, method=method, rules=SHIPPED)
    assert (found["status"] == NOT_FITTED).all()
    assert found["signal_day"].isnull().all()


def test_more_looks_set_aside_than_used_is_no_calm():
    values = series().fillna(0.4)
    values[HISTORY + 2 :, 3, 0] -= 1.5  # far beyond the outlier screen of the chart
    found = monitor(values, start=START, method="ewma", rules=SHIPPED)
    assert found["status"].values[3, 0] == ONLY_OUTLIERS
    values[HISTORY + 2 :, 3, 0] += 1.5
    values[HISTORY + 2, 3, 0] -= 1.5
    found = monitor(values, start=START, method="ewma", rules=SHIPPED)
    assert found["status"].values[3, 0] == NO_CHANGE


def test_integers_are_refused():
    numbers = (series().fillna(-1) * 10_000).astype("int16").rename("ndvi")
    with pytest.raises(QuantityError, match="got 'ndvi' as int16; needed floats with NaN"):
        monitor(numbers, start=START, method="cusum", rules=SHIPPED)
