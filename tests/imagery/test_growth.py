import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rs_monitor.imagery.growth import (
    _near_by_distance,
    _near_by_shifts,
    grown,
    opened,
    reach_px,
)


@pytest.mark.parametrize("shape", [(3, 12, 9), (2, 1, 7), (2, 3, 2)])
@pytest.mark.parametrize("radius", [1.0, 1.5, 2.0, 3.0, 4.9])
def test_shifts_and_distances_lay_the_same_disc(shape, radius):
    looks = np.random.default_rng(1).random(shape) < 0.1
    by_distance = np.stack([_near_by_distance(look, radius) for look in looks])
    assert_array_equal(_near_by_shifts(looks, radius), by_distance)


@pytest.mark.parametrize(("radius_m", "pixels"), [(9, 1), (10, 5), (15, 9), (20, 13), (50, 81)])
def test_a_disc_has_its_pixels(radius_m, pixels):
    looks = np.zeros((1, 15, 15), dtype=bool)
    looks[0, 7, 7] = True
    assert grown(looks, radius_m, 10.0).sum() == pixels


def test_looks_do_not_grow_into_each_other():
    looks = np.zeros((2, 5, 5), dtype=bool)
    looks[0] = True
    assert not grown(looks, 30.0, 10.0)[1].any()
    assert not grown(looks, 80.0, 10.0)[1].any()


def test_opening_takes_specks_and_keeps_blocks():
    looks = np.zeros((1, 12, 12), dtype=bool)
    looks[0, 1, 1:9] = looks[0, 5:7, 1:9] = True
    looks[0, 8:11, 4:7] = True
    kept = np.zeros_like(looks)
    kept[0, 8:11, 4:7] = True
    assert_array_equal(opened(looks, 15.0, 10.0), kept)
    assert_array_equal(opened(looks, 15.0, 30.0), looks)


def test_a_multiple_of_the_pixel_reaches_that_many():
    assert [reach_px(d, 0.1) for d in (0.3, 0.7, 0.29)] == [3, 7, 2]
