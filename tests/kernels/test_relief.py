import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.errors import ConfigError
from rs_monitor.kernels.relief import (
    curvature_per_m,
    local_relief_m,
    roughness_m,
    terrain_ruggedness_m,
    topographic_position_m,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=30)
heights = arrays("float64", (6, 5), elements=st.integers(0, 3000).map(float))
WINDOW = np.array([[2.0, 7.0, 4.0], [1.0, 5.0, 9.0], [8.0, 3.0, 6.0]])
OF_NEIGHBOURS = {
    "riley": lambda z: terrain_ruggedness_m(z, method="riley"),
    "wilson": lambda z: terrain_ruggedness_m(z, method="wilson"),
    "roughness": roughness_m,
    "position": topographic_position_m,
    "profile": lambda z: curvature_per_m(z, 10.0, 20.0, kind="profile"),
    "plan": lambda z: curvature_per_m(z, 10.0, 20.0, kind="plan"),
}


def test_one_window_by_hand():
    # differences to 5: -3 2 -1 -4 4 3 -2 1
    assert_close(OF_NEIGHBOURS["riley"](WINDOW)[1, 1], np.float32(np.sqrt(60)), atol=1e-6)
    assert_close(OF_NEIGHBOURS["wilson"](WINDOW)[1, 1], np.float32(20 / 8), atol=0)
    assert_close(roughness_m(WINDOW)[1, 1], np.float32(8), atol=0)
    assert_close(topographic_position_m(WINDOW)[1, 1], np.float32(0), atol=0)
    assert_close(topographic_position_m(WINDOW + np.diag([0, 8, 0]))[1, 1], np.float32(8), atol=0)
    top = np.where(np.eye(3)[1][:, None] * np.eye(3)[1] > 0, 20.0, WINDOW)
    assert_close(roughness_m(top)[1, 1], np.float32(19), atol=0)


def curvatures_by_definition(window, dx, dy):
    """Surface of Zevenbergen & Thorne (1987), letters of the paper; SAGA's curvatures."""
    z1, z2, z3, z4, z5, z6, z7, z8, z9 = window.ravel()
    d, e = ((z4 + z6) / 2 - z5) / dx**2, ((z2 + z8) / 2 - z5) / dy**2
    f, g, h = (-z1 + z3 + z7 - z9) / (4 * dx * dy), (-z4 + z6) / (2 * dx), (z2 - z8) / (2 * dy)
    steep = g * g + h * h
    profile = -2 * (d * g * g + e * h * h + f * g * h) / (steep * (1 + steep) ** 1.5)
    plan = -2 * (d * h * h + e * g * g - f * g * h) / steep**1.5
    return profile, plan


def test_curvature_of_one_window():
    profile, plan = curvatures_by_definition(WINDOW, 10.0, 20.0)
    assert_close(OF_NEIGHBOURS["profile"](WINDOW)[1, 1], np.float32(profile), atol=1e-8)
    assert_close(OF_NEIGHBOURS["plan"](WINDOW)[1, 1], np.float32(plan), atol=1e-6)


def test_a_cone_has_the_curvature_of_its_circles():
    rows, cols = np.mgrid[-40:41, -40:41] * 10.0
    radius = np.hypot(rows, cols)
    cone = 500 - 0.5 * radius
    place = np.s_[10, 40]
    assert_close(curvature_per_m(cone, 10, 10, kind="plan")[place], np.float32(1 / 300), atol=1e-5)
    assert_close(curvature_per_m(cone, 10, 10, kind="profile")[place], np.float32(0), atol=1e-5)


def test_a_bowl_is_concave_and_a_dome_convex():
    rows, cols = np.mgrid[-10:11, -10:11] * 10.0
    bowl = 0.001 * (rows**2 + cols**2)
    for kind in ("profile", "plan"):
        assert curvature_per_m(bowl, 10, 10, kind=kind)[4, 7] < 0
        assert curvature_per_m(-bowl, 10, 10, kind=kind)[4, 7] > 0


def test_level_ground_has_no_lines_to_be_curved():
    level = np.ones((5, 5))
    for name, measure in OF_NEIGHBOURS.items():
        expected = np.nan if name in {"profile", "plan"} else 0.0
        assert_close(measure(level)[1:-1, 1:-1], np.full((3, 3), expected, "float32"), atol=0)


@pytest.mark.parametrize("name", OF_NEIGHBOURS)
@pytest.mark.parametrize("place", [(1, 1), (2, 3), (3, 3)])
def test_a_gap_reaches_exactly_its_neighbours(name, place):
    dem = np.random.default_rng(2).normal(100, 5, (7, 7)).astype("float32")
    dem[place] = np.nan
    expected = np.ones((7, 7), bool)
    expected[1:-1, 1:-1] = False
    expected[place[0] - 1 : place[0] + 2, place[1] - 1 : place[1] + 2] = True
    assert np.array_equal(np.isnan(OF_NEIGHBOURS[name](dem)), expected)


@LAW
@given(heights, st.integers(-1000, 1000), st.sampled_from(sorted(OF_NEIGHBOURS)))
def test_a_constant_changes_nothing(dem, constant, name):
    assert_close(OF_NEIGHBOURS[name](dem + constant), OF_NEIGHBOURS[name](dem), atol=0)


@LAW
@given(heights, st.sampled_from(["riley", "wilson", "roughness", "position"]))
def test_turning_the_ground_turns_the_map(dem, name):
    measure = OF_NEIGHBOURS[name]
    assert_close(measure(np.rot90(dem)), np.rot90(measure(dem)), atol=0, rtol=1e-6)


def test_spacings_may_differ_from_row_to_row():
    dem = np.random.default_rng(2).normal(100, 5, (6, 7))
    dx = np.linspace(8.0, 12.0, 6)
    found = curvature_per_m(dem, dx, 10.0, kind="profile")
    for y in range(1, 5):
        one = curvature_per_m(dem[y - 1 : y + 2], dx[y], 10.0, kind="profile")[1]
        assert_close(found[y], one, atol=0)


@pytest.mark.parametrize("radius", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relief_is_the_range_within_a_circle(radius, dtype):
    dem = np.random.default_rng(8).normal(100, 30, (14, 17)).astype(dtype)
    dem[2, 3] = np.nan
    rows, cols = np.mgrid[:14, :17]
    expected = np.full(dem.shape, np.nan, "float32")
    for y in range(radius, 14 - radius):
        for x in range(radius, 17 - radius):
            near = dem[(rows - y) ** 2 + (cols - x) ** 2 <= radius**2]
            expected[y, x] = near.max() - near.min()
    assert_close(local_relief_m(dem, radius_px=radius), expected, atol=0)


def test_relief_of_a_grid_smaller_than_the_circle_is_unknown():
    found = local_relief_m(np.ones((4, 9)), radius_px=2)
    assert np.isnan(found).all()


def test_what_cannot_be_measured_is_refused():
    dem = np.ones((5, 5))
    with pytest.raises(ConfigError, match="at least 1"):
        local_relief_m(dem, radius_px=0)
    with pytest.raises(ConfigError, match="profile"):
        curvature_per_m(dem, 1, 1, kind="mean")
    with pytest.raises(ConfigError, match="riley"):
        terrain_ruggedness_m(dem, method="melton")
