import numpy as np
import pytest
from sklearn.linear_model import Lasso

from rs_monitor.kernels.ccdc import ccdc_segments
from rs_monitor.kernels.ccdc_model import lasso_regressors
from rs_monitor.kernels.ccdc_raster import SUMMARY, ccdc_layers
from rs_monitor.kernels.lasso import centred_products, lasso_weights
from rs_monitor.kernels.ordering import median_of_first
from rs_monitor.kernels.tmask import robust_residuals, tmask_design
from tests.comparison import assert_close
from tests.maps.shipped_breaks import SHIPPED

RULES = SHIPPED.ccdc
NUMBERS = {
    "screened": np.array([0, 3]),
    "detection": np.arange(5),
    "limits": RULES.limits(),
    "settings": RULES.settings(),
}
LEVELS = np.array([600.0, 500.0, 3500.0, 2000.0, 1000.0])


def series(seed=0, looks=160, broken_at=None, step=900.0):
    """Five bands, a look in 16 days from ordinal 730,000 on."""
    rng = np.random.default_rng(seed)
    days = 730_000.0 + 16 * np.arange(looks)
    season = np.sin(2 * np.pi * days / 365.2425)
    values = LEVELS[:, None] + 150 * season + rng.normal(0, 40, (5, looks))
    if broken_at is not None:
        values[:, broken_at:] += step
    return values, days


def test_lasso_weights_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    left_out = 0
    for trial in range(20):
        n = int(rng.integers(14, 90))
        days = np.sort(rng.choice(3000, n, replace=False)) + 730_000.0
        columns = lasso_regressors(days, 365.2425)
        y = 2000 + 0.1 * columns[0] + 300 * columns[1] - 90 * columns[4] + rng.normal(0, trial, n)
        table = np.column_stack([y, columns.T])
        means, products = np.empty(8), np.empty((8, 8))
        centred_products(table, 0, n, 0, 8, means, products)
        weights = np.empty(7)
        lasso_weights(
            products[1:, 1:].copy(), products[1:, 0].copy(), products[0, 0], 1.0 * n, 1e-4, 1000,
            np.empty(7), np.empty(7, bool), weights,
        )  # fmt: skip
        expected = Lasso(max_iter=1000).fit(columns.T, y).coef_
        assert_close(weights, expected, rtol=1e-7, atol=1e-7)
        left_out += np.count_nonzero(weights == 0)
    # the penalty leaves something out, or the test says little
    assert left_out > 10


def test_tmask_residuals_show_an_outlier_and_ignore_it():
    days = 730_000.0 + 16.0 * np.arange(30)
    design = np.empty((30, 5))
    tmask_design(days, 30, 365.2425, design)
    truth = design @ np.array([100.0, -50.0, 20.0, 10.0, 900.0])
    noise = np.random.default_rng(2).normal(0, 5, 30)
    y = truth + noise
    y[11] += 3000
    residuals = np.empty(30)
    robust_residuals(design, y, 30, np.empty((3, 30)), residuals)
    assert abs(residuals[11] - 3000) < 20
    assert np.abs(np.delete(residuals, 11)).max() < 20


def test_tmask_of_exactly_one_year_has_equal_columns_and_still_fits():
    days = 730_000.0 + np.array([0, 40, 80, 110, 150, 190, 220, 260, 290, 320, 350, 365.0])
    design = np.empty((12, 5))
    tmask_design(days, 12, 365.2425, design)
    assert_close(design[:, 0], design[:, 2], atol=0)
    y = 300 + 40 * design[:, 0] + np.linspace(-1, 1, 12)
    residuals = np.empty(12)
    robust_residuals(design, y, 12, np.empty((3, 12)), residuals)
    assert np.abs(residuals).max() < 3


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_median_of_first(n):
    values = np.random.default_rng(n).normal(size=50)
    expected = np.median(values[:n])
    assert median_of_first(values, n) == expected


def test_a_calm_series_is_one_segment_with_eight_coefficients():
    found = ccdc_segments(*series(), **NUMBERS)
    assert found.kind.tolist() == [8]
    assert found.probability.tolist() == [0]
    assert found.start_day[0] == 730_000
    assert_close(found.rmse[0], np.full(5, 40.0), atol=10)


def test_a_step_ends_a_segment_between_two_looks():
    values, days = series(broken_at=80)
    found = ccdc_segments(values, days, **NUMBERS)
    assert found.probability.tolist() == [1, 0]
    assert (found.end_day[0], found.break_day[0]) == (days[79], days[80])
    assert found.start_day[1] == days[80]
    assert_close(found.magnitude[0], np.full(5, 900.0), atol=90)


def test_five_looks_outside_are_not_yet_a_break():
    values, days = series(broken_at=100, looks=105)
    found = ccdc_segments(values, days, **NUMBERS)
    assert found.kind.tolist() == [8]
    assert_close(found.probability, np.array([5 / 6]), atol=1e-12)


def test_a_single_far_look_is_left_out():
    values, days = series()
    once = values.copy()
    once[:, 90] += 5000
    found = ccdc_segments(once, days, **NUMBERS)
    assert found.kind.tolist() == [8]
    without = values.copy()
    without[:, 90] = np.nan
    assert_close(found.rmse, ccdc_segments(without, days, **NUMBERS).rmse, atol=0)


@pytest.mark.parametrize("looks", [0, 5, 12])
def test_too_few_looks_give_no_segment(looks):
    values, days = series()
    values[:, looks:] = np.nan
    assert len(ccdc_segments(values, days, **NUMBERS).kind) == 0


def test_layers_say_what_the_series_says():
    pixels = [series(0), series(1, broken_at=60), series(2, broken_at=100, step=400), series(3)]
    stack = np.stack([values for values, _ in pixels], axis=-1).reshape(5, 160, 2, 2)
    stack[:, :, 1, 1] = np.nan
    days = pixels[0][1]
    bands = list((stack / 1e4).astype(np.float32))
    layers = ccdc_layers(bands, days, valid=(0.0, 1.0), scale=1e4, **NUMBERS)
    got = dict(zip(SUMMARY, layers, strict=False))
    assert got["breaks"].ravel().tolist() == [0, 1, 1, 0]
    assert got["looks"].ravel().tolist() == [160, 160, 160, 0]
    for k, at in ((1, 60), (2, 100)):
        assert got["break_day"].ravel()[k] == days[at]
        assert got["previous_look_day"].ravel()[k] == days[at - 1]
    assert np.isnan(got["break_day"].ravel()[[0, 3]]).all()
    assert_close(layers[len(SUMMARY) :, 0, 1], np.full(5, np.float32(0.09)), atol=0.009)


def test_layers_of_views_are_those_of_copies():
    stack = np.random.default_rng(5).random((5, 40, 6, 40)).astype(np.float32)
    days = 730_000.0 + 16 * np.arange(40)
    wanted = {"valid": (0.0, 1.0), "scale": 1e4, **NUMBERS}
    cut = [band[:, 1:4, 3:24] for band in stack]
    odd = [cut[0].copy(), *cut[1:]]
    expected = ccdc_layers([band.copy() for band in cut], days, **wanted)
    for bands in (cut, odd):
        assert_close(ccdc_layers(bands, days, **wanted), expected, atol=0)
