import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.kernels.illumination import (
    LightSums,
    correct_c,
    correct_scs_c,
    cos_incidence_horn,
    cos_slope_horn,
    cos_zenith,
    light_line,
    light_sums,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=50)
DIRECTIONS = {0: (-1, 0), 45: (-1, 1), 90: (0, 1), 135: (1, 1), 180: (1, 0), 270: (0, -1)}
elevations = st.floats(15, 89)
azimuths = st.floats(0, 360)
constants = st.floats(0, 5)
EVERYWHERE = np.ones((40, 40), bool)


def plane(slope_deg, faces_deg, pixel_m=30.0, shape=(5, 5)):
    """Heights of a plane that falls towards the aspect ``faces_deg``."""
    south, east = np.array(DIRECTIONS[faces_deg]) / np.hypot(*DIRECTIONS[faces_deg])
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return 500 - np.tan(np.radians(slope_deg)) * pixel_m * (rows * south + cols * east)


def hills(seed=3):
    y, x = np.mgrid[:40, :40] / 6
    bumps = np.random.default_rng(seed).uniform(0.5, 1.5, 4)
    return 200 + 60 * (bumps[0] * np.sin(bumps[1] * y) + bumps[2] * np.cos(bumps[3] * x + y))


@pytest.mark.parametrize("aspect", DIRECTIONS)
@pytest.mark.parametrize("slope", [0.0, 5.0, 30.0, 60.0])
@pytest.mark.parametrize("azimuth", [0.0, 100.0, 215.0])
def test_the_product_of_normal_and_sun_is_the_formula_of_angles(slope, aspect, azimuth):
    found = cos_incidence_horn(plane(slope, aspect), 30, 30, azimuth, 40)
    s, z, turn = np.radians([slope, 90 - 40, azimuth - aspect])
    expected = np.cos(s) * np.cos(z) + np.sin(s) * np.sin(z) * np.cos(turn)
    assert_close(found[1:-1, 1:-1], np.full((3, 3), expected, np.float32), atol=1e-6)
    assert_close(
        cos_slope_horn(plane(slope, aspect), 30, 30)[2, 2], np.float32(np.cos(s)), atol=1e-6
    )


def test_the_slope_that_faces_the_sun_is_lit_most():
    lit = {a: cos_incidence_horn(plane(20, a), 10, 10, 135, 45)[2, 2] for a in DIRECTIONS}
    assert max(lit, key=lit.get) == 135


def test_unknown_ground_has_no_light():
    dem = plane(10, 90)
    dem[0, 2] = np.nan
    found = np.isfinite(cos_incidence_horn(dem, 30, 30, 100, 40))
    assert found.sum() == 6
    assert not found[1].any()


@LAW
@given(elevations, azimuths, constants)
def test_level_ground_keeps_its_values_exactly(elevation, azimuth, c):
    dem = np.full((6, 6), 100.0, np.float32)
    values = np.random.default_rng(0).uniform(0, 1, (6, 6)).astype("float32")
    cos_i = cos_incidence_horn(dem, 10, 10, azimuth, elevation)
    cos_s = cos_slope_horn(dem, 10, 10)
    known = {"cos_z": cos_zenith(elevation), "c": c, "min_cos_i": 0.1}
    inner = (slice(1, -1), slice(1, -1))
    for done in (correct_c(values, cos_i, **known), correct_scs_c(values, cos_i, cos_s, **known)):
        assert_close(done[inner], values[inner], atol=0)


@LAW
@given(st.floats(20, 80), azimuths, st.floats(0, 0.3), st.floats(0.05, 0.5))
def test_ground_that_answers_light_by_a_line_is_flattened(elevation, azimuth, dark, gain):
    cos_i = cos_incidence_horn(hills(), 30, 30, azimuth, elevation)
    values = (dark + gain * cos_i).astype("float32")
    line = light_line(light_sums(values, cos_i, EVERYWHERE))
    assert_close(line.c, dark / gain, atol=1e-4)
    done = correct_c(values, cos_i, cos_z=cos_zenith(elevation), c=dark / gain, min_cos_i=0.1)
    level = dark + gain * cos_zenith(elevation)
    lit = cos_i > 0.1
    assert_close(done[lit], np.full(lit.sum(), level, np.float32), atol=2e-5)


@LAW
@given(st.integers(0, 40), st.integers(0, 40))
def test_blocks_add_up_to_the_zone(row, col):
    rng = np.random.default_rng(7)
    values = rng.uniform(0, 0.5, (40, 40)).astype("float32")
    values[rng.random((40, 40)) < 0.2] = np.nan
    cos_i = cos_incidence_horn(hills(), 30, 30, 150, 30)
    usable = rng.random((40, 40)) < 0.7
    total = LightSums()
    for rows in (slice(None, row), slice(row, None)):
        for cols in (slice(None, col), slice(col, None)):
            total += light_sums(values[rows, cols], cos_i[rows, cols], usable[rows, cols])
    whole = light_sums(values, cos_i, usable)
    for name in LightSums.__dataclass_fields__:
        assert_close(getattr(total, name), getattr(whole, name), atol=1e-9, rtol=1e-12)


def test_the_line_is_that_of_least_squares():
    rng = np.random.default_rng(2)
    cos_i = rng.uniform(-0.2, 1, (30, 30)).astype("float32")
    values = (0.1 + 0.3 * cos_i + rng.normal(0, 0.05, (30, 30))).astype("float32")
    line = light_line(light_sums(values, cos_i, np.ones((30, 30), bool)))
    x, y = (a[cos_i > 0].astype(float) for a in (cos_i, values))
    gain, dark = np.polyfit(x, y, 1)
    assert_close(line.slope, gain, atol=1e-9)
    assert_close(line.intercept, dark, atol=1e-9)
    assert_close(line.correlation, float(np.corrcoef(x, y)[0, 1]), atol=1e-9)


@pytest.mark.parametrize(
    ("values", "cos_i"),
    [(np.full((3, 3), 0.2), np.linspace(0.1, 0.9, 9).reshape(3, 3)), (np.eye(3), np.ones((3, 3)))],
)
def test_pixels_of_one_value_or_one_light_define_no_line(values, cos_i):
    line = light_line(light_sums(values, cos_i, np.ones((3, 3), bool)))
    assert np.isnan([line.slope, line.intercept, line.correlation]).all()
    assert np.isnan(light_line(LightSums()).c)


def test_ground_in_shadow_or_grazing_light_is_left_out():
    cos_i = np.array([[-0.2, 0.0, 0.1, 0.11, 0.5, np.nan]], np.float32)
    values = np.full((1, 6), 0.3, np.float32)
    done = correct_c(values, cos_i, cos_z=0.5, c=0.2, min_cos_i=0.1)
    assert np.isfinite(done).tolist() == [[False, False, False, True, True, False]]
    assert done.dtype == np.float32


def test_one_pixel_of_each_correction_by_hand():
    values, cos_i, cos_s = (np.array([[v]], np.float32) for v in (0.2, 0.4, 0.8))
    known = {"cos_z": 0.5, "c": 0.1, "min_cos_i": 0.0}
    by_c, by_scs_c = correct_c(values, cos_i, **known), correct_scs_c(values, cos_i, cos_s, **known)
    assert_close(by_c, np.array([[0.2 * 0.6 / 0.5]], np.float32), atol=1e-6)
    assert_close(by_scs_c, np.array([[0.2 * (0.8 * 0.5 + 0.1) / 0.5]], np.float32), atol=1e-6)
