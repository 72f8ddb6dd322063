import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.errors import ConfigError, GridMismatch
from rs_monitor.kernels.terrain import (
    SLOPE_DEPTH_PX,
    aspect_deg,
    gradient_horn,
    hillshade,
    slope_aspect_hillshade,
    slope_deg,
    slope_horn_deg,
)
from tests.comparison import assert_close

METHODS = ["horn", "zevenbergen_thorne"]
SUN = {"sun_azimuth_deg": 315.0, "sun_elevation_deg": 45.0}

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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("height", [np.nan, np.inf, -np.inf])
def test_an_infinite_height_is_an_unknown_one(method, height):
    dem = np.random.default_rng(1).normal(size=(7, 7)).astype("float32")
    dem[3, 3] = height
    unknown = np.ones((7, 7), bool)
    unknown[1:-1, 1:-1] = False
    unknown[2:5, 2:5] = True
    found = slope_aspect_hillshade(dem, 1.0, 1.0, method=method, **SUN)
    surfaces = [slope_deg(dem, 1.0, 1.0, method=method), *found]
    for surface in surfaces:
        assert np.array_equal(np.isnan(surface), unknown)
    if method == "horn":
        assert np.isnan(gradient_horn(dem, 1.0, 1.0)[0][2:5, 2:5]).all()


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


def rough(shape=(40, 50), seed=3, base=0.0):
    rng = np.random.default_rng(seed)
    return (np.cumsum(rng.normal(0, 4, shape), axis=1) + base).astype("float32")


def gradient_by_definition(dem, dx, dy, method):
    """Float64, cell by cell, as the two papers print it; row spacing per row."""
    z = dem.astype("float64")
    height, width = z.shape
    dx, dy = (np.broadcast_to(s, (height,))[1:-1, None] for s in (dx, dy))

    def at(down, right):
        return z[1 + down : height - 1 + down, 1 + right : width - 1 + right]

    if method == "zevenbergen_thorne":
        return (at(0, 1) - at(0, -1)) / (2 * dx), (at(-1, 0) - at(1, 0)) / (2 * dy)
    east, west = (at(-1, s) + 2 * at(0, s) + at(1, s) for s in (1, -1))
    north, south = (at(s, -1) + 2 * at(s, 0) + at(s, 1) for s in (-1, 1))
    return (east - west) / (8 * dx), (north - south) / (8 * dy)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", [0.0, 8000.0])
@pytest.mark.parametrize("dx", [10.0, np.linspace(5.0, 12.0, 40)])
def test_float32_surfaces_are_those_of_float64(method, base, dx):
    dem, dy = rough(base=base), 10.0
    p, q = gradient_by_definition(dem, dx, dy, method)
    slope = np.degrees(np.arctan(np.hypot(p, q)))
    aspect = np.degrees(np.arctan2(-p, -q)) % 360
    azimuth, elevation = np.radians([315.0, 45.0])
    light = np.sin(elevation) - np.cos(elevation) * (p * np.sin(azimuth) + q * np.cos(azimuth))
    light = np.maximum(light / np.sqrt(1 + p * p + q * q), 0)
    three = slope_aspect_hillshade(dem, dx, dy, method=method, **SUN)[:, 1:-1, 1:-1]
    assert_close(three[0], slope.astype("float32"), atol=2e-4)
    assert_close(three[1], aspect.astype("float32"), atol=2e-4, circular=360)
    assert_close(three[2], light.astype("float32"), atol=1e-6)
    assert slope.max() > 50
    assert slope.min() < 5


@pytest.mark.parametrize("method", METHODS)
def test_one_pass_gives_what_three_give(method):
    dem, dx = rough(), np.linspace(5.0, 12.0, 40)
    dem[7, 9] = np.nan
    dem[20:24, 20:24] = 3.0
    three = slope_aspect_hillshade(dem, dx, 7.0, method=method, z_factor=2.0, **SUN)
    assert_close(three[0], slope_deg(dem, dx, 7.0, method=method), atol=0)
    assert_close(three[1], aspect_deg(dem, dx, 7.0, method=method), atol=0)
    shade = hillshade(dem, dx, 7.0, method=method, z_factor=2.0, **SUN)
    assert_close(three[2], shade, atol=0)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_planes_fall_away_from_where_they_rise(direction, method):
    down, right = direction
    expected = np.degrees(np.arctan2(-right, down)) % 360
    found = aspect_deg(plane(20.0, direction, 10, 10), 10, 10, method=method)
    assert_close(found[1:-1, 1:-1], np.full((3, 4), expected, "float32"), atol=1e-4, circular=360)
    assert (found[1:-1, 1:-1] < 360).all()


@pytest.mark.parametrize("method", METHODS)
def test_level_ground(method):
    slope, aspect, shade = slope_aspect_hillshade(np.ones((5, 5)), 3, 3, method=method, **SUN)
    inner = (slice(1, -1), slice(1, -1))
    assert_close(slope[inner], np.zeros((3, 3), "float32"), atol=0)
    assert_close(aspect[inner], np.full((3, 3), np.nan, "float32"), atol=0)
    assert_close(shade[inner], np.full((3, 3), np.sqrt(0.5), "float32"), atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("place", [(1, 1), (1, 2), (2, 2), (2, 3)])
def test_every_surface_loses_the_neighbours_of_a_gap(method, place):
    dem = rough((7, 7))
    dem[place] = np.nan
    expected = np.ones((7, 7), bool)
    expected[1:-1, 1:-1] = False
    expected[place[0] - 1 : place[0] + 2, place[1] - 1 : place[1] + 2] = True
    for found in slope_aspect_hillshade(dem, 5, 5, method=method, **SUN):
        assert np.array_equal(np.isnan(found), expected)


def test_no_cliff_is_too_steep():
    dem = np.zeros((3, 4), "float32")
    dem[:, 2:] = 1e30
    assert_close(slope_deg(dem, 1, 1)[1, 1:3], np.full(2, 90, "float32"), atol=0)


@LAW
@given(heights, st.sampled_from([0.5, 3.0, 10.0]), st.sampled_from(METHODS))
def test_exaggeration_scales_the_tangent(dem, factor, method):
    once = np.tan(np.radians(slope_deg(dem, 200, 100, method=method).astype("float64")))
    more = np.tan(np.radians(slope_deg(dem * factor, 200, 100, method=method).astype("float64")))
    assert_close(more, factor * once, atol=1e-6, rtol=3e-4)


@LAW
@given(heights, st.sampled_from(METHODS))
def test_mirrored_ground_faces_the_mirrored_way(dem, method):
    found = aspect_deg(dem, 10, 20, method=method)
    east_west = aspect_deg(dem[:, ::-1], 10, 20, method=method)[:, ::-1]
    north_south = aspect_deg(dem[::-1], 10, 20, method=method)[::-1]
    assert_close(east_west, (360 - found) % 360, atol=1e-4, circular=360)
    assert_close(north_south, (540 - found) % 360, atol=1e-4, circular=360)


@LAW
@given(heights, st.integers(-1000, 1000), st.sampled_from(METHODS))
def test_a_constant_changes_no_surface(dem, constant, method):
    found = slope_aspect_hillshade(dem, 10, 20, method=method, **SUN)
    raised = slope_aspect_hillshade(dem + constant, 10, 20, method=method, **SUN)
    assert_close(raised, found, atol=0)


@pytest.mark.parametrize("cut", [(slice(3, 31), slice(5, 44)), (slice(None), slice(1, 4))])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cell_has_the_same_bits_in_any_view(cut, dtype):
    dem = rough().astype(dtype)
    whole = slope_aspect_hillshade(dem, 10, 10, **SUN)[:, *cut]
    part = slope_aspect_hillshade(dem[cut], 10, 10, **SUN)
    assert_close(part[:, 1:-1, 1:-1], whole[:, 1:-1, 1:-1], atol=0)
    turned = slope_aspect_hillshade(np.asfortranarray(dem)[cut], 10, 10, **SUN)
    assert_close(turned, part, atol=0)


def test_a_given_output_is_filled_row_by_row():
    dem, room = rough(), np.full((40, 60), -1, "float32")
    out = room[:, 5:55]
    assert slope_deg(dem, 10, 10, out=out, rows=(10, 20)) is out
    assert_close(out[10:20], slope_deg(dem, 10, 10)[10:20], atol=0)
    assert (np.delete(room, slice(10, 20), axis=0) == -1).all()
    assert (room[:, :5] == -1).all()
    assert (room[:, 55:] == -1).all()


@pytest.mark.parametrize(
    "out",
    [
        np.empty((40, 50)),
        np.empty((40, 49), "float32"),
        np.empty((50, 40), "float32").T,
        np.broadcast_to(np.empty(50, "float32"), (40, 50)),
    ],
)
def test_an_output_that_does_not_fit_is_refused(out):
    with pytest.raises(GridMismatch, match=r"needed \(40, 50\) float32"):
        slope_deg(rough(), 10, 10, out=out)


@pytest.mark.parametrize("spacing", [0.0, -10.0, np.nan, np.ones(39), np.ones((40, 1))])
def test_spacings_that_do_not_fit_are_refused(spacing):
    for dx, dy in [(spacing, 10.0), (10.0, spacing)]:
        with pytest.raises(GridMismatch, match="row_spacing_m"):
            slope_deg(rough(), dx, dy)


def test_unknown_methods_are_refused():
    with pytest.raises(ConfigError, match="zevenbergen_thorne"):
        slope_deg(rough(), 10, 10, method="evans")


def test_the_gradient_is_float64():
    dem = rough(base=500.0)
    dem[5, 6] = np.nan
    p, q = gradient_horn(dem, 10.0, 20.0)
    expected = gradient_by_definition(dem, 10.0, 20.0, "horn")
    known = np.isfinite(p + q)[1:-1, 1:-1]
    assert known.sum() == 38 * 48 - 9
    assert_close(p[1:-1, 1:-1][known], expected[0][known], atol=1e-6)
    assert_close(q[1:-1, 1:-1][known], expected[1][known], atol=1e-6)
