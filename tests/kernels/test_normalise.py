import numpy as np
import pytest

from rs_monitor.kernels.normalise import HOLD_OUT, held_out, orthogonal_line, pair_sums
from tests.comparison import assert_close


def scatter(noise, seed=0, pixels=6000):
    """Two bands of a date, and a reference of other gain and offset; noise at both dates."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(10, 90, (2, pixels))
    slope, intercept = np.array([[1.5], [0.6]]), np.array([[4.0], [-2.0]])
    x = ground + noise * rng.normal(size=ground.shape)
    y = intercept + slope * ground + noise * slope * rng.normal(size=ground.shape)
    return x, y


def test_every_third_invariant_pixel_is_held_out():
    x = np.arange(7.0)[None]
    invariant = np.array([1, 0, 1, 1, 1, 1, 1], bool)
    fitted, kept = pair_sums(x, x, invariant, np.zeros(2))
    assert HOLD_OUT == 3
    assert (fitted.count, kept.count) == (4, 2)
    assert kept.x[0] == 3 + 6
    assert fitted.xx[0] == 0 + 4 + 16 + 25


def test_the_line_is_the_first_principal_axis():
    x, y = scatter(noise=6.0)
    origin = np.array([50.0, 50.0, 70.0, 20.0])
    sums, _ = pair_sums(x, y, np.ones(x.shape[1], bool), origin)
    slope, intercept = orthogonal_line(sums, origin)
    used = np.arange(x.shape[1]) % HOLD_OUT != HOLD_OUT - 1
    for k in range(2):
        points = np.stack([x[k, used], y[k, used]])
        axis = np.linalg.eigh(np.cov(points))[1][:, -1]
        assert slope[k] == pytest.approx(axis[1] / axis[0], rel=1e-9)
        assert intercept[k] == pytest.approx(points[1].mean() - slope[k] * points[0].mean())


def test_exact_lines_are_found_and_pass_the_test():
    x, y = scatter(noise=0.0)
    origin = np.zeros(4)
    fitted, kept = pair_sums(x, y, np.ones(x.shape[1], bool), origin)
    slope, intercept = orthogonal_line(fitted, origin)
    assert_close(slope, np.array([1.5, 0.6]), atol=1e-9)
    assert_close(intercept, np.array([4.0, -2.0]), atol=1e-7)
    test = held_out(kept, origin, slope, intercept)
    assert_close(test.mean_difference, np.zeros(2), atol=1e-7)
    assert_close(test.variance_ratio, np.ones(2), atol=1e-9)


def test_held_out_figures_are_those_of_the_pixels():
    x, y = scatter(noise=3.0, seed=2)
    origin = np.array([40.0, 40.0, 40.0, 40.0])
    everything = np.ones(x.shape[1], bool)
    _, kept = pair_sums(x, y, everything, origin)
    slope, intercept = np.array([1.4, 0.7]), np.array([5.0, -1.0])
    chosen = np.arange(x.shape[1]) % HOLD_OUT == HOLD_OUT - 1
    difference = intercept[:, None] + slope[:, None] * x[:, chosen] - y[:, chosen]
    test = held_out(kept, origin, slope, intercept)
    assert_close(test.mean_difference, difference.mean(axis=1), atol=1e-9)
    assert_close(test.deviation, difference.std(axis=1, ddof=1), atol=1e-7)
    expected = difference.mean(axis=1) / difference.std(axis=1, ddof=1) * np.sqrt(chosen.sum())
    assert_close(test.t, expected, atol=1e-6)


def test_dates_that_do_not_vary_together_are_refused():
    x = np.array([[1.0, 2.0, 3.0]])
    sums, _ = pair_sums(x, np.zeros((1, 3)), np.ones(3, bool), np.zeros(2))
    with pytest.raises(np.linalg.LinAlgError, match="vary together"):
        orthogonal_line(sums, np.zeros(2))
