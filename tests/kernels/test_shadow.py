import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rs_monitor.kernels.shadow import relief_shadow

FAR = 1000.0


def shaded(dem, azimuth, elevation, *, dx=10.0, dy=10.0, reach=FAR):
    return relief_shadow(np.array(dem, dtype="float32"), dx, dy, azimuth, elevation, reach)


def test_a_wall_casts_a_shadow_as_long_as_it_is_high_at_45_degrees():
    # the ray just touches the crest three cells away, so two cells lie in the dark
    row = [[0, 0, 0, 0, 30, 0, 0, 0, 0]]
    assert_array_equal(np.flatnonzero(shaded(row, 90, 45)), [2, 3])
    assert_array_equal(np.flatnonzero(shaded(row, 270, 45)), [5, 6])
    row[0][4] = 31
    assert_array_equal(np.flatnonzero(shaded(row, 270, 45)), [5, 6, 7])


@pytest.mark.parametrize(("azimuth", "rows"), [(0, [4, 5]), (180, [1, 2]), (360, [4, 5])])
def test_north_is_up(azimuth, rows):
    column = np.zeros((7, 3))
    column[3] = 30
    dark = shaded(column, azimuth, 45)
    assert_array_equal(np.flatnonzero(dark[:, 1]), rows)
    assert dark[rows].all()


def test_pixel_edges_may_differ():
    column = np.zeros((9, 1))
    column[7] = 30
    assert shaded(column, 180, 45, dy=5.0).sum() == 5
    assert shaded(column, 180, 45, dx=5.0).sum() == 2


def test_a_ray_between_two_cells_sees_their_mean():
    # sun in the east-north-east: half a row up for each column, over cells of 0 and 40 m
    azimuth = 90 - np.degrees(np.arctan(0.5))
    dem = np.zeros((4, 4))
    dem[1, 2] = 40
    stride = 10 * np.sqrt(1.25)
    just_over, just_under = np.degrees(np.arctan(np.array([20.1, 19.9]) / stride))
    assert not shaded(dem, azimuth, just_over)[2, 1]
    assert shaded(dem, azimuth, just_under)[2, 1]


def test_diagonal_steps_are_longer():
    dem = np.zeros((3, 3))
    dem[0, 2] = 12
    # 12 m over 14.1 m is 40.3 degrees
    assert shaded(dem, 45, 40.2)[1, 1]
    assert not shaded(dem, 45, 40.4)[1, 1]


def test_a_slope_steeper_than_the_sun_shades_itself():
    slope = np.tile(np.arange(6) * 10.0, (3, 1))
    assert shaded(slope, 90, 44)[:, :-1].all()
    assert not shaded(slope, 90, 46).any()
    assert not shaded(slope, 270, 44).any()


def test_flat_ground_and_a_sun_overhead_are_bright():
    assert not shaded(np.zeros((5, 5)), 120, 1).any()
    assert not shaded(np.random.default_rng(0).normal(0, 50, (5, 5)), 120, 90).any()


def test_relief_beyond_the_reach_shades_nothing():
    row = [[0, 0, 0, 0, 100]]
    assert_array_equal(np.flatnonzero(shaded(row, 90, 30)), [0, 1, 2, 3])
    assert_array_equal(np.flatnonzero(shaded(row, 90, 30, reach=20.0)), [2, 3])


def test_unknown_ground_shades_nothing_and_is_not_judged():
    row = [[0.0, np.nan, 0.0, 30.0, np.nan]]
    assert_array_equal(np.flatnonzero(shaded(row, 90, 45)), [2])
    row[0][3] = 31
    # the ray of the first cell passes over the unknown one
    assert_array_equal(np.flatnonzero(shaded(row, 90, 45)), [0, 2])
    assert not shaded(np.full((3, 3), np.nan), 90, 45).any()
