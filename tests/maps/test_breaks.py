import datetime as dt

import numpy as np
import pytest
import xarray as xr

from rs_monitor.codes import BreakStatus
from rs_monitor.errors import ConfigError, GridMismatch, NoObservations, QuantityError
from rs_monitor.maps.breaks import bfast_monitor, ccdc, ccdc_monitor
from tests.comparison import assert_close
from tests.maps.shipped_breaks import SHIPPED

START = dt.date(2021, 1, 1)
BANDS = ("green", "red", "nir", "swir16", "swir22")
LEVELS = {"green": 0.06, "red": 0.05, "nir": 0.35, "swir16": 0.2, "swir22": 0.1}
CALM, BROKEN, UNSEEN, POOR = range(4)
STATUS = [
    BreakStatus.NO_CHANGE,
    BreakStatus.CHANGE,
    BreakStatus.NOT_OBSERVED,
    BreakStatus.NOT_FITTED,
]


def day(text):
    return int(np.datetime64(text, "D").astype(int))


@pytest.fixture(scope="module")
def series():
    """Four pixels of 2017-2022, a look in 16 days; the second loses its canopy on 2021-05-02."""
    times = np.arange("2017-01-05", "2023-01-01", 16, dtype="M8[D]")
    rng = np.random.default_rng(7)
    season = np.sin(2 * np.pi * times.astype(int) / 365.25)[:, None, None]
    coords = {"time": times.astype("M8[ns]"), "y": [0.0], "x": 10.0 * np.arange(4)}
    cube = xr.Dataset()
    for band, level in LEVELS.items():
        amount = 0.05 if band == "nir" else -0.01
        values = level + amount * season + rng.normal(0, 0.006, (len(times), 1, 4))
        values[times >= np.datetime64("2021-05-02"), 0, BROKEN] += -0.15 if band == "nir" else 0.12
        values[times >= np.datetime64(START), 0, UNSEEN] = np.nan
        values[: len(times) - 30, 0, POOR] = np.nan
        cube[band] = (("time", "y", "x"), values.astype("float32"))
    return cube.assign_coords(coords)


def test_bfast_monitor_tells_no_change_change_not_observed_and_not_fitted_apart(series):
    found = bfast_monitor(series["nir"], start=START, rules=SHIPPED.bfast_monitor)
    assert found["status"].values[0].tolist() == STATUS
    assert found["status"].dtype == np.uint8
    # half a window of looks may pass before a sum leaves its boundary
    assert 0 <= found["break_day"].values[0, BROKEN] - day("2021-05-02") <= 80
    assert found["break_day"].values[0, BROKEN] - found["previous_look_day"].values[0, BROKEN] == 16
    assert_close(found["magnitude"].values[0, BROKEN], np.float32(-0.15), atol=0.01)
    assert np.isnan(found["break_day"].values[0, [CALM, UNSEEN, POOR]]).all()
    assert found["history_looks"].values[0].tolist() == [92, 92, 92, 0]
    assert found["monitoring_looks"].values[0].tolist() == [45, 45, 0, 30]
    # without a break the last look is told
    last = series["time"].values[-1].astype("M8[D]").astype(int)
    assert found["previous_look_day"].values[0, CALM] == last


def test_ccdc_monitor_dates_a_break_between_two_looks(series):
    found = ccdc_monitor(series["nir"], start=START, rules=SHIPPED.ccdc_monitor)
    assert found["status"].values[0].tolist() == STATUS
    first, previous = found["first_outlier_day"], found["previous_look_day"]
    assert first.values[0, BROKEN] == day("2021-05-08")
    assert previous.values[0, BROKEN] == day("2021-04-22")
    assert found["break_day"].values[0, BROKEN] - first.values[0, BROKEN] == 32
    assert_close(found["magnitude"].values[0, BROKEN], np.float32(-0.15), atol=0.01)
    assert found["outlier_run"].values[0, BROKEN] == 3


def test_ccdc_finds_the_break_in_all_bands(series):
    found = ccdc(series, bands=BANDS, rules=SHIPPED.ccdc)
    assert found["status"].values[0, [CALM, BROKEN, UNSEEN]].tolist() == [
        BreakStatus.NO_CHANGE,
        BreakStatus.CHANGE,
        BreakStatus.NO_CHANGE,
    ]
    assert found["break_day"].values[0, BROKEN] == day("2021-05-08")
    assert found["previous_look_day"].values[0, BROKEN] == day("2021-04-22")
    assert found["breaks"].values[0].tolist() == [0, 1, 0, 0]
    assert found["segments"].values[0].tolist()[:2] == [1, 2]
    expected = [-0.15 if band == "nir" else 0.12 for band in BANDS]
    got = found["magnitude"].sel(band=list(BANDS)).values[:, 0, BROKEN]
    assert_close(got, np.float32(expected), atol=0.02)
    assert np.isnan(found["magnitude"].values[:, 0, CALM]).all()


def test_ccdc_tells_unseen_from_unfitted(series):
    blank = series.where(series["time"] < np.datetime64("2017-05-01"))
    blank = blank.where(blank["x"] > 0)
    status = ccdc(blank, bands=BANDS, rules=SHIPPED.ccdc)["status"].values[0]
    assert status[CALM] == BreakStatus.NOT_OBSERVED
    assert status[BROKEN] == BreakStatus.NOT_FITTED


def test_a_change_that_is_not_yet_confirmed_shows_as_a_share(series):
    # three of the six looks that a break needs
    recent = series.sel(time=slice(None, "2021-06-20"))
    found = ccdc(recent, bands=BANDS, rules=SHIPPED.ccdc)
    assert found["status"].values[0, BROKEN] == BreakStatus.NO_CHANGE
    assert_close(found["probability"].values[0, BROKEN], np.float32(0.5), atol=1e-6)
    assert found["probability"].values[0, CALM] == 0


def test_of_looks_of_one_day_the_first_that_is_seen_counts(series):
    twice = xr.concat([series, series + 0.2], "time").sortby("time")
    assert ccdc(twice, bands=BANDS, rules=SHIPPED.ccdc).identical(
        ccdc(series, bands=BANDS, rules=SHIPPED.ccdc)
    )


def test_a_look_with_one_band_missing_does_not_count(series):
    holed = series.copy()
    gone = np.zeros(len(series["time"]), bool)
    gone[3::7] = True
    holed["red"] = holed["red"].where(~xr.DataArray(gone, dims="time"))
    everywhere = series.where(~xr.DataArray(gone, dims="time"))
    assert ccdc(holed, bands=BANDS, rules=SHIPPED.ccdc).identical(
        ccdc(everywhere, bands=BANDS, rules=SHIPPED.ccdc)
    )


@pytest.mark.parametrize(
    ("function", "rules"),
    [
        (bfast_monitor, SHIPPED.bfast_monitor),
        (ccdc_monitor, SHIPPED.ccdc_monitor),
    ],
)
def test_monitoring_needs_looks_on_both_sides_in_order(series, function, rules):
    for start in (dt.date(2016, 1, 1), dt.date(2024, 1, 1)):
        with pytest.raises(NoObservations, match="choose another start"):
            function(series["nir"], start=start, rules=rules)
    with pytest.raises(GridMismatch, match="sort them by time"):
        function(series["nir"].isel(time=slice(None, None, -1)), start=START, rules=rules)


def test_the_bands_of_the_rules_must_be_there(series):
    with pytest.raises(ConfigError, match="needed also nir"):
        ccdc(series, bands=["green", "red", "swir16", "swir22"], rules=SHIPPED.ccdc)


def test_a_significance_that_is_not_tabulated_is_refused(series):
    rules = SHIPPED.bfast_monitor.model_copy(update={"significance": 0.2})
    with pytest.raises(ConfigError, match=r"alpha 0\.2"):
        bfast_monitor(series["nir"], start=START, rules=rules)


def test_an_unstable_start_of_the_history_is_left_out_where_asked(series):
    shifted = series["nir"].copy()
    shifted[:30, 0, CALM] += 0.2
    rules = SHIPPED.bfast_monitor.model_copy(update={"order": 1})
    whole = bfast_monitor(shifted, start=START, rules=rules)
    stable = bfast_monitor(shifted, start=START, rules=rules.model_copy(update={"history": "roc"}))
    assert whole["history_looks"].values[0, CALM] == 92
    assert 60 <= stable["history_looks"].values[0, CALM] <= 75
    # the test is sure some looks after the shift, so that a rest of it stays in
    magnitudes = [abs(found["magnitude"].values[0, CALM]) for found in (whole, stable)]
    assert magnitudes[1] < 0.7 * magnitudes[0]
    assert stable["status"].values[0, POOR] == BreakStatus.NOT_FITTED


def test_limits_of_more_looks_are_lower():
    limits = SHIPPED.ccdc.limits()
    # chi-square of five degrees of freedom at 0.99
    assert_close(limits[:7], np.full(7, 15.086272469388987), atol=1e-9)
    assert (np.diff(limits[6:]) < 0).all()
    assert_close(SHIPPED.ccdc.settings().outlier_chi2, 35.888186879610423, atol=1e-6)


@pytest.mark.parametrize("value", [0.3, 0.7, 0.1, 1.0, 0.0, 0.123456])
def test_a_constant_history_is_not_fitted(series, value):
    flat = xr.full_like(series["nir"], value)
    for found in (
        bfast_monitor(flat, start=START, rules=SHIPPED.bfast_monitor),
        ccdc_monitor(flat, start=START, rules=SHIPPED.ccdc_monitor),
    ):
        assert (found["status"] == BreakStatus.NOT_FITTED).all()
        assert found["break_day"].isnull().all()


def test_integers_are_refused(series):
    numbers = (series["nir"].fillna(-1) * 10_000).astype("int16")
    with pytest.raises(QuantityError, match="got 'nir' as int16; needed floats with NaN"):
        bfast_monitor(numbers, start=START, rules=SHIPPED.bfast_monitor)
