"""Harmonic least squares: against numpy, and laws of regression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.kernels.harmonic import (
    HarmonicFit,
    fit_ols,
    harmonic_regressors,
    harmonic_residuals,
)
from rs_monitor.kernels.least_squares import LANES
from rs_monitor.kernels.robust import fit_robust

TIMES, ROWS, COLS = 41, 3, 50
DAYS = 17600.0 + 14 * np.arange(TIMES)
DESIGN = harmonic_regressors(DAYS, order=2, trend=True)
LAWS = settings(deadline=None, derandomize=True, max_examples=12)


def series(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    shared = np.tensordot(
        DESIGN.T, rng.normal(0, [0.3, 1e-5, 0.1, 0.1, 0.1, 0.1], (ROWS, COLS, 6)), (1, 2)
    )
    values = shared + rng.normal(0, 0.03, shared.shape)
    values[rng.random(values.shape) < 0.35] = np.nan
    return values.astype(dtype)


def per_pixel(values):
    """What numpy answers, pixel by pixel."""
    beta = np.full((6, ROWS, COLS), np.nan)
    sigma = np.full((ROWS, COLS), np.nan)
    for y, x in np.ndindex(ROWS, COLS):
        seen = np.isfinite(values[:, y, x])
        if seen.sum() <= 6:
            continue
        target = values[seen, y, x].astype(np.float64)
        q, r = np.linalg.qr(DESIGN[:, seen].T)
        beta[:, y, x] = np.linalg.solve(r, q.T @ target)
        left = target - q @ (q.T @ target)
        sigma[y, x] = np.sqrt(left @ left / (seen.sum() - 6))
    return beta, sigma


def relative(ours, expected):
    scale = np.nanmax(np.abs(expected), axis=(1, 2), keepdims=True)
    return np.nanmax(np.abs(ours - expected) / scale)


def test_against_numpy():
    values = series(0)
    values[:35, 1, 7] = np.nan
    values[:, 2, 2] = np.nan
    values[3, 0, 0] = np.inf
    fit = fit_ols(values, DESIGN)
    beta, sigma = per_pixel(values)
    assert relative(fit.coefficients, beta) < 1e-10
    np.testing.assert_allclose(fit.sigma, sigma, rtol=1e-10)
    assert np.array_equal(np.isnan(fit.coefficients[0]), np.isnan(sigma))
    assert np.isnan(fit.sigma[1, 7])
    assert fit.looks[2, 2] == 0
    assert np.array_equal(fit.looks, np.isfinite(values).sum(axis=0))


def test_float32_keeps_six_digits():
    values = series(1)
    fit = fit_ols(values, DESIGN, dtype=np.float32)
    exact = fit_ols(values, DESIGN)
    fitted = [np.tensordot(DESIGN.T, f.coefficients.astype(np.float64), 1) for f in (fit, exact)]
    assert fit.coefficients.dtype == np.float32
    assert np.abs(fitted[0] - fitted[1]).max() < 2e-5
    np.testing.assert_allclose(fit.sigma, exact.sigma, rtol=1e-4)


def test_integers_with_nodata():
    values = series(2)
    counts = np.where(np.isnan(values), -9999, np.round(values * 1e4)).astype(np.int16)
    as_float = np.where(counts == -9999, np.nan, counts.astype(np.float32))
    ours, expected = fit_ols(counts, DESIGN, nodata=-9999), fit_ols(as_float, DESIGN)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_perfect_fit_has_no_spread():
    values = np.tensordot(DESIGN.T, np.full((6, ROWS, COLS), 0.1), 1)
    fit = fit_ols(values, DESIGN)
    assert fit.sigma.max() < 1e-11 * np.abs(values).max()


def test_singular_looks_are_not_fitted():
    values = series(3)
    values[:, 0, 0] = np.nan
    values[4:12, 0, 0] = 0.2  # three months cannot tell a trend from the seasons apart ...
    values[:, 0, 1] = np.nan
    values[::26, 0, 1] = 0.3  # ... nor can one day of the year
    twins = np.vstack([DESIGN, DESIGN[:1]])
    fit = fit_ols(values, DESIGN)
    assert np.isnan(fit.sigma[0, 1])
    assert fit.looks[0, 1] == 2
    assert np.isnan(fit_ols(values, twins).coefficients).all()
    assert np.isnan(fit_ols(values[:5], DESIGN[:, :5]).coefficients).all()
    assert (fit_ols(values, DESIGN, min_looks=60).looks > 0).any()
    assert np.isnan(fit_ols(values, DESIGN, min_looks=60).sigma).all()


def test_a_pixel_does_not_see_its_block():
    values = np.concatenate([series(seed) for seed in range(3)], axis=1)
    whole = fit_ols(values, DESIGN)
    assert values[0].size > 3 * LANES
    for turn in (1, 37, 130):
        rolled = np.roll(values.reshape(TIMES, 1, -1), turn, axis=2)
        fit = fit_ols(rolled, DESIGN)
        back = np.roll(fit.coefficients, -turn, axis=2).reshape(whole.coefficients.shape)
        np.testing.assert_array_equal(back, whole.coefficients)


def test_views_are_read_in_place_and_written_in_place():
    values = series(5)
    room = HarmonicFit(
        np.zeros((6, ROWS, COLS)), np.zeros((ROWS, COLS)), np.zeros((ROWS, COLS), "u2")
    )
    for rows in (slice(0, 1), slice(1, 3)):
        fit_ols(
            values[:, rows], DESIGN, out=HarmonicFit(room[0][:, rows], room[1][rows], room[2][rows])
        )
    expected = fit_ols(values, DESIGN)
    for a, b in zip(room, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    narrow = fit_ols(values[:, :, 5:31], DESIGN)
    np.testing.assert_array_equal(narrow.sigma, expected.sigma[:, 5:31])
    turned = fit_ols(values.transpose(0, 2, 1), DESIGN)
    np.testing.assert_array_equal(turned.sigma.T, expected.sigma)


@LAWS
@given(st.integers(0, 99), st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_a_signal_in_the_span_leaves_residuals_alone(seed, weights):
    values = series(seed, np.float64)
    signal = DESIGN.T @ (np.array(weights) / np.abs(DESIGN).max(axis=1))
    with_signal = values + signal[:, None, None]
    left = [
        harmonic_residuals(v, DESIGN, fit_ols(v, DESIGN).coefficients)
        for v in (values, with_signal)
    ]
    np.testing.assert_allclose(left[0], left[1], atol=1e-6)


@LAWS
@given(st.integers(0, 99), st.floats(1e-3, 1e3))
def test_scaled_values_scale_sigma(seed, factor):
    values = series(seed, np.float64)
    sigma = fit_ols(values, DESIGN).sigma
    np.testing.assert_allclose(fit_ols(values * factor, DESIGN).sigma, sigma * factor, rtol=1e-9)


@LAWS
@given(st.permutations(range(COLS)))
def test_permuted_pixels_permute_answers(order):
    values = series(7)
    plain, permuted = fit_ols(values, DESIGN), fit_ols(values[:, :, order], DESIGN)
    np.testing.assert_array_equal(permuted.coefficients, plain.coefficients[:, :, order])


def test_residuals_are_observed_minus_fitted():
    values = series(8)
    fit = fit_ols(values, DESIGN)
    expected = values - np.tensordot(DESIGN.T, fit.coefficients, 1)
    ours = harmonic_residuals(values, DESIGN, fit.coefficients)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert np.array_equal(np.isnan(ours), np.isnan(values))


@pytest.mark.parametrize(("order", "trend"), [(1, False), (1, True), (2, False), (3, True)])
def test_other_numbers_of_regressors(order, trend):
    design = harmonic_regressors(DAYS, order=order, trend=trend)
    values = series(9, np.float64)[:, :1, :4]
    fit = fit_ols(values, design)
    for x in range(4):
        seen = np.isfinite(values[:, 0, x])
        expected = np.linalg.lstsq(design[:, seen].T, values[seen, 0, x], rcond=None)[0]
        np.testing.assert_allclose(
            design.T @ fit.coefficients[:, 0, x], design.T @ expected, atol=1e-9
        )


def test_long_series_take_smaller_tables():
    days = 11000.0 + 8 * np.arange(333)
    design = harmonic_regressors(days, order=1, trend=True)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(333, 1, 5))
    values[rng.random(values.shape) < 0.5] = np.nan
    fit = fit_ols(values, design)
    for x in range(5):
        seen = np.isfinite(values[:, 0, x])
        expected = np.linalg.lstsq(design[:, seen].T, values[seen, 0, x], rcond=None)[0]
        np.testing.assert_allclose(
            design.T @ fit.coefficients[:, 0, x], design.T @ expected, atol=1e-9
        )


def test_outliers_do_not_pull_the_robust_fit():
    values = series(10)
    truth = fit_ols(values, DESIGN)
    spoilt = values.copy()
    spoilt[5::9] += 0.8
    clean = np.tensordot(DESIGN.T, truth.coefficients, 1)
    robust = np.tensordot(DESIGN.T, fit_robust(spoilt, DESIGN).coefficients, 1)
    plain = np.tensordot(DESIGN.T, fit_ols(spoilt, DESIGN).coefficients, 1)
    assert np.median(np.abs(robust - clean)) < 0.01
    assert np.median(np.abs(plain - clean)) > 0.05
