import math

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rs_monitor.kernels.area import (
    RHO_SECONDS,
    inverse_gauss_kruger,
    ring_areas_geographic_m2,
    ring_areas_gk_m2,
)

KILOMETRE = [(500000, 3600000), (501000, 3600100), (500900, 3601000), (500100, 3600800)]
SMALL = [(640000, 3600000), (640060, 3600000), (640060, 3600040), (640000, 3600040)]


def gk_area(points, shift_m=0.0):
    ring = np.array([*points, points[0]], dtype=float)
    starts = np.array([0, len(ring)])
    return ring_areas_gk_m2(ring[:, 1].copy(), ring[:, 0] + shift_m - 500_000, starts)[0]


def geographic_area(points):
    ring = np.array([*points, points[0]], dtype=float)
    starts = np.array([0, len(ring)])
    return ring_areas_geographic_m2(ring[:, 1].copy(), ring[:, 0].copy(), starts)[0]


@pytest.mark.parametrize(
    ("points", "shift_m", "official_m2"),
    [(KILOMETRE, 0, 764999.98), (KILOMETRE, 140_000, 764627.76), (SMALL, 0, 2398.84)],
)
def test_official_vectors_in_the_plane(points, shift_m, official_m2):
    assert round(gk_area(points, shift_m), 2) == official_m2


def test_official_vectors_in_degrees():
    field = [(117.0, 34.0), (117.002, 34.0), (117.002, 34.0015), (117.0, 34.0015)]
    cell = [(117, 30), (117.25, 30), (117.25, 30 + 10 / 60), (117, 30 + 10 / 60)]
    assert round(geographic_area(field), 2) == 30742.36
    assert round(geographic_area(cell), 2) == 445288499.51


def test_inverse_projection_agrees_with_proj():
    offset, northing = (
        a.ravel()
        for a in np.meshgrid(np.linspace(-150e3, 150e3, 31), np.linspace(2.2e6, 5.6e6, 35))
    )
    lat, dlon = inverse_gauss_kruger(northing, offset)
    to_degrees = pyproj.Transformer.from_crs("EPSG:4548", "EPSG:4490", always_xy=True)
    proj_lon, proj_lat = to_degrees.transform(offset + 500_000, northing)
    np.testing.assert_allclose(lat, np.radians(proj_lat), rtol=0, atol=3e-11)
    np.testing.assert_allclose(dlon, np.radians(np.array(proj_lon) - 117), rtol=0, atol=3e-11)


def test_rho_is_a_radian_in_seconds():
    assert pytest.approx(math.degrees(1) * 3600, abs=1e-6) == RHO_SECONDS


def test_several_rings_are_measured_apart():
    rings = [np.array([*p, p[0]], dtype=float) for p in (KILOMETRE, SMALL)]
    xy = np.concatenate(rings)
    starts = np.array([0, 5, 10])
    areas = ring_areas_gk_m2(xy[:, 1].copy(), xy[:, 0] - 500_000, starts)
    assert areas.tolist() == [gk_area(KILOMETRE), gk_area(SMALL)]


corner = st.tuples(
    st.floats(600_000, 601_000).map(lambda v: round(v, 4)),
    st.floats(3_500_000, 3_501_000).map(lambda v: round(v, 4)),
)


@given(st.lists(corner, min_size=3, max_size=6), st.integers(1, 5))
def test_direction_and_first_vertex_do_not_matter(points, turn):
    area = gk_area(points)
    turn %= len(points)
    assert gk_area(points[::-1]) == pytest.approx(area, abs=0.02)
    assert gk_area(points[turn:] + points[:turn]) == pytest.approx(area, abs=0.02)


@given(st.integers(1, 60))
def test_reference_meridian_does_not_matter(degrees):
    field = [(100.0, 34.0), (100.02, 34.003), (100.015, 34.0015), (100.0, 34.017)]
    moved = [(lon + degrees, lat) for lon, lat in field]
    assert geographic_area(moved) == pytest.approx(geographic_area(field), abs=0.1)
