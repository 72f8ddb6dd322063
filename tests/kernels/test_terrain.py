import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX, slope_horn_deg
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=50)
heights = arrays("float64", (6, 5), elements=st.integers(0, 3000).map(float))
DIRECTIONS = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]


def plane(degrees, direction, dx, dy, shape=(5, 6)):
    """Heights of a plane that rises by ``degrees`` towards (rows, columns) of ``direction``."""
    south, east = np.array(direction) / np.hypot(*direction)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return np.tan(np.radians(degrees)) * (rows * dy * south + cols * dx * east) + 100


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("degrees", [0.0, 2.0, 15.0, 25.0, 60.0])
@pytest.mark.parametrize(("dx", "dy"), [(10.0, 10.0), (30.0, 10.0)])
def test_planes_of_known_slope(degrees, direction, dx, dy):
    found = slope_horn_deg(plane(degrees, direction, dx, dy), dx, dy)
    assert_close(found[1:-1, 1:-1], np.full((3, 4), degrees, "float32"), atol=1e-5)


def test_one_cell_by_hand():
    dem = np.array([[1.0, 2.0, 4.0], [1.0, 9.0, 5.0], [3.0, 1.0, 2.0]])
    east_less_west = (4 + 2 * 5 + 2) - (1 + 2 * 1 + 3)
    north_less_south = (1 + 2 * 2 + 4) - (3 + 2 * 1 + 2)
    rise = np.hypot(east_less_west / 80, north_less_south / 160)
    found = slope_horn_deg(dem, 10.0, 20.0)[1, 1]
    assert_close(found, np.float32(np.degrees(np.arctan(rise))), atol=1e-6)


def test_the_outermost_ring_is_unknown():
    found = slope_horn_deg(plane(10.0, (0, 1), 10, 10), 10, 10)
    assert np.isnan(found[[0, -1]]).all()
    assert np.isnan(found[:, [0, -1]]).all()
    assert np.isfinite(found[1:-1, 1:-1]).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (1, 9)])
def test_too_small_a_grid_is_unknown(shape):
    assert_close(slope_horn_deg(np.ones(shape), 1, 1), np.full(shape, np.nan, "float32"), atol=0)


@LAW
@given(st.integers(0, 8), st.integers(0, 8))
def test_a_missing_height_reaches_exactly_its_neighbours(row, col):
    dem = np.random.default_rng(1).normal(size=(9, 9))
    dem[row, col] = np.nan
    found = np.isnan(slope_horn_deg(dem, 1, 1))
    expected = np.ones((9, 9), bool)
    expected[1:-1, 1:-1] = False
    reach = [slice(max(i - SLOPE_DEPTH_PX, 0), i + SLOPE_DEPTH_PX + 1) for i in (row, col)]
    expected[tuple(reach)] = True
    assert np.array_equal(found, expected)


@LAW
@given(heights, st.integers(-1000, 1000))
def test_a_constant_on_top_changes_nothing(dem, constant):
    assert_close(slope_horn_deg(dem + constant, 10, 10), slope_horn_deg(dem, 10, 10), atol=0)


@LAW
@given(heights, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_scaling_heights_and_distances_together_changes_nothing(dem, factor):
    scaled = slope_horn_deg(dem * factor, 10 * factor, 20 * factor)
    assert_close(scaled, slope_horn_deg(dem, 10, 20), atol=0)


@LAW
@given(heights)
def test_turning_and_mirroring_the_ground_turns_the_map(dem):
    found = slope_horn_deg(dem, 10, 20)
    assert_close(slope_horn_deg(np.rot90(dem), 20, 10), np.rot90(found), atol=1e-5)
    assert_close(slope_horn_deg(dem[::-1], 10, 20), found[::-1], atol=1e-5)
