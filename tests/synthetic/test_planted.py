import numpy as np
import pytest

from rs_monitor.synthetic.planted import change_days, plant, simulated_series

DAYS = np.arange(14_000, 15_500, 16)
AT = np.array([14_500, 15_000])


@pytest.fixture
def flat():
    values = np.full((len(DAYS), 2), 0.7, dtype="float32")
    values[5] = np.nan
    return values


def moved(values, **options):
    return plant(values, DAYS, AT, **options) - values


def test_a_step_falls_at_its_day(flat):
    change = moved(flat, kind="step", magnitude=0.2)
    late = DAYS[:, None] >= AT
    np.testing.assert_allclose(change[late], -0.2, atol=1e-6)
    assert np.nan_to_num(change)[~late].max() == 0
    assert np.isnan(change[5]).all()


def test_a_ramp_falls_along_a_line(flat):
    change = moved(flat, kind="ramp", magnitude=0.3, ramp_days=300)
    expected = -0.3 * np.clip((DAYS[:, None] - AT) / 300, 0, 1)
    seen = np.isfinite(flat)
    np.testing.assert_allclose(change[seen], expected[seen], atol=1e-6)


def test_a_seasonal_shift_moves_the_season_alone():
    angle = 2 * np.pi * DAYS / 365.25
    values = np.repeat((0.5 + 0.2 * np.cos(angle))[:, None], 2, axis=1).astype("float32")
    planted = plant(values, DAYS, AT, kind="seasonal_shift", magnitude=40.0)
    late = DAYS[:, None] >= AT
    later = 0.5 + 0.2 * np.cos(2 * np.pi * (DAYS - 40.0) / 365.25)
    expected = np.where(late, later[:, None], values)
    np.testing.assert_allclose(planted, expected, atol=1e-5)


def test_a_series_without_a_season_is_left_alone():
    values = np.full((len(DAYS), 2), np.nan, dtype="float32")
    values[:3] = 0.5
    planted = plant(values, DAYS, AT, kind="seasonal_shift", magnitude=40.0)
    np.testing.assert_array_equal(planted, values)


def test_days_and_series_come_from_their_generator():
    one, other = (np.random.default_rng(3) for _ in range(2))
    first = change_days(one, 50, first=10, last=20)
    np.testing.assert_array_equal(first, change_days(other, 50, first=10, last=20))
    assert (first.min(), first.max()) == (10, 20)
    series = simulated_series(one, DAYS, 200)
    np.testing.assert_array_equal(series, simulated_series(other, DAYS, 200))
    assert np.isnan(series).mean() == pytest.approx(0.4, abs=0.02)
    assert 0.3 < np.nanmean(series) < 0.8
