import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from rs_monitor.errors import GridMismatch, MissingCRS, UnsuitableCRS
from rs_monitor.grid import (
    CGCS2000,
    blocks_of,
    describe,
    pixel_area_m2,
    require_projected,
    require_same_grid,
    row_spacing_m,
    true_pixel_area_m2,
    zone_geobox,
)

LAW = settings(deadline=None, derandomize=True, max_examples=50)
UTM = "EPSG:32650"


def grid(shape=(4, 6), pixel=10.0, left=500000.0, top=3500000.0, crs=UTM):
    return GeoBox(shape, Affine(pixel, 0, left, 0, -pixel, top), crs)


def test_blocks_in_row_order():
    blocks = blocks_of(grid((5, 7)), 4)
    assert [b.name for b in blocks] == ["r000c000", "r000c001", "r001c000", "r001c001"]
    assert [(b.y0, b.y1, b.x0, b.x1) for b in blocks] == [
        (0, 4, 0, 4),
        (0, 4, 4, 7),
        (4, 5, 0, 4),
        (4, 5, 4, 7),
    ]
    assert blocks[3].window == (slice(4, 5), slice(4, 7))


@LAW
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50))
def test_blocks_cover_every_pixel_once(height, width, edge):
    count = np.zeros((height, width), int)
    for block in blocks_of(grid((height, width)), edge):
        count[block.window] += 1
    assert (count == 1).all()


def test_the_same_grid_passes():
    assert require_same_grid(grid(), grid(), grid()) == grid()


@pytest.mark.parametrize(
    "other",
    [
        grid(left=500005.0),
        grid(top=3500005.0),
        grid(shape=(4, 5)),
        grid(pixel=20.0),
        grid(crs="EPSG:32651"),
        grid(left=500000.001),
    ],
)
def test_half_a_pixel_is_another_grid(other):
    with pytest.raises(GridMismatch, match="one and the same grid"):
        require_same_grid(grid(), grid(), other)


def test_a_grid_in_one_line():
    assert describe(grid()) == "4x6 px of 10 from (500000, 3.5e+06) in EPSG:32650"


@pytest.mark.parametrize("crs", [UTM, "EPSG:4525", "EPSG:4547"])
def test_metres_pass(crs):
    assert require_projected(grid(crs=crs), "a test").crs is not None


@pytest.mark.parametrize(
    ("crs", "unit"), [("EPSG:4490", "degree"), ("EPSG:2263", "US survey foot")]
)
def test_degrees_and_feet_are_refused(crs, unit):
    with pytest.raises(UnsuitableCRS, match=f"{unit}.*a test needs a projected CRS in metres"):
        require_projected(grid(crs=crs), "a test")


def test_no_crs_is_refused():
    with pytest.raises(MissingCRS, match="a test needs metres"):
        require_projected(grid(crs=None), "a test")
    with pytest.raises(MissingCRS, match="areas need one"):
        pixel_area_m2(grid(crs=None))


def test_zone_grid_by_hand():
    found = zone_geobox((1003.0, 2004.0, 1031.0, 2029.0), UTM, 10.0)
    assert found.shape == (3, 4)
    assert (found.affine.c, found.affine.f) == (1000.0, 2030.0)


def test_bounds_on_the_lattice_stay():
    found = zone_geobox((1000.0, 2000.0, 1030.0, 2020.0), UTM, 10.0)
    assert found.shape == (2, 3)
    assert tuple(found.extent.boundingbox) == (1000.0, 2000.0, 1030.0, 2020.0)


def test_a_point_is_one_pixel():
    assert zone_geobox((1000.0, 2000.0, 1000.0, 2000.0), UTM, 10.0).shape == (1, 1)


def test_a_zone_grid_in_degrees_is_refused():
    with pytest.raises(UnsuitableCRS, match="a zone's grid needs"):
        zone_geobox((118.0, 31.0, 118.1, 31.1), "EPSG:4490", 10.0)


@LAW
@given(
    st.floats(-5000, 5000),
    st.floats(-5000, 5000),
    st.floats(0.5, 900),
    st.floats(0.5, 900),
    st.sampled_from([2.0, 10.0, 15.0, 30.0]),
    st.floats(0, 30),
    st.floats(0, 30),
)
def test_a_zone_grid_covers_its_bounds_on_the_anchored_lattice(x, y, w, h, edge, ax, ay):
    found = zone_geobox((x, y, x + w, y + h), UTM, edge, anchor=(ax, ay))
    left, bottom, right, top = found.extent.boundingbox
    tolerance = 1e-5 * edge
    assert x - edge - tolerance < left <= x + tolerance
    assert y + h - tolerance <= top < y + h + edge + tolerance
    assert x + w - tolerance <= right < x + w + 2 * edge
    assert y - 2 * edge < bottom <= y + tolerance
    for corner, anchor in ((left, ax), (top, ay)):
        steps = (corner - anchor) / edge
        assert steps == pytest.approx(round(steps), abs=1e-6)


@pytest.mark.parametrize(
    ("crs", "left", "top"),
    [(UTM, 500000.0, 3500000.0), (UTM, 650000.0, 4600000.0), ("EPSG:4525", 37500000.0, 2500000.0)],
)
def test_pixel_areas_sum_to_the_geodesic_area(crs, left, top):
    geobox = grid((30, 3), 100.0, left, top, crs)
    to_geographic = pyproj.Transformer.from_crs(crs, "EPSG:4490", always_xy=True)
    right, bottom = left + 300, top - 3000
    ring = [(left, top), (right, top), (right, bottom), (left, bottom)]
    lon, lat = to_geographic.transform(*zip(*ring, strict=True))
    whole = abs(CGCS2000.polygon_area_perimeter(lon, lat)[0])
    areas = pixel_area_m2(geobox)
    assert areas.shape == (30,)
    assert areas.sum() * 3 == pytest.approx(whole, rel=1e-7)


def test_pixel_area_is_not_the_square_of_its_edge():
    # scale 0.9996 on the central meridian of UTM: true ground is larger
    assert pixel_area_m2(grid((1, 1)))[0] == pytest.approx(100 / 0.9996**2, rel=1e-5)


@pytest.mark.parametrize("turned_deg", [0, 30])
@pytest.mark.parametrize(
    ("crs", "left", "top", "edge"),
    [
        (UTM, 250_000.0, 3_500_000.0, 50.0),
        ("EPSG:4525", 37_400_000.0, 2_500_000.0, 50.0),
        ("EPSG:5070", 0.0, 1_500_000.0, 50.0),
        ("EPSG:2263", 1e6, 2e5, 150.0),
        ("EPSG:4490", 118.0, 45.0, 4e-4),
        ("EPSG:32660", 667_295.0 - 700.5 * 50, 6_655_205.0 + 75, 50.0),  # column 700 lies on 180 E
    ],
)
def test_any_pixel_is_its_geodesic_polygon(crs, left, top, edge, turned_deg):
    turn = Affine(edge, 0, left, 0, -edge, top) @ Affine.rotation(turned_deg)
    box = GeoBox((3, 2000), turn, crs)
    to_geographic = pyproj.Transformer.from_crs(crs, "EPSG:4490", always_xy=True)
    areas = true_pixel_area_m2(box, np.array([0, 700, 1999]))
    assert areas.shape == (3, 3)
    for row, col in ((0, 0), (1, 700), (2, 1999)):
        # the 4 x 4 pixels around it, whose corners round less
        corners = [
            (col + dx, row + dy) for dx, dy in ((-1.5, -1.5), (2.5, -1.5), (2.5, 2.5), (-1.5, 2.5))
        ]
        lon, lat = to_geographic.transform(*zip(*(turn @ xy for xy in corners), strict=True))
        around = abs(CGCS2000.polygon_area_perimeter(lon, lat)[0])
        assert areas[row, (0, 700, 1999).index(col)] * 16 == pytest.approx(around, rel=3e-9)


def test_a_grid_far_outside_its_projection():
    with pytest.raises(UnsuitableCRS, match="inside the bounds"):
        pixel_area_m2(grid(left=1e9, top=1e9, crs="EPSG:5070"))


def test_no_pixel_lies_beyond_a_pole():
    assert pixel_area_m2(grid((4, 2), 0.5, 118.0, 90.0, "EPSG:4490")).min() > 0
    for top in (90.5, 117.0, -89.0):
        with pytest.raises(UnsuitableCRS, match="inside the bounds"):
            pixel_area_m2(grid((4, 2), 0.5, 118.0, top, "EPSG:4490"))


def test_pixel_areas_of_degrees_shrink_to_the_pole():
    geobox = grid((20, 2), 0.01, 118.0, 45.0, "EPSG:4490")
    areas = pixel_area_m2(geobox)
    assert (np.diff(areas) > 0).all()
    expected = (111_132 * 0.01) * (78_847 * 0.01)  # lengths of a degree at 45 N, metres
    assert areas[0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4490", "EPSG:4267"])
@pytest.mark.parametrize("top", [84.0, 45.0, 10.0, 0.5, -60.0])
def test_pixel_edges_of_degrees_are_geodesics(crs, top):
    box = GeoBox((300, 4), Affine(1 / 1200, 0, 116, 0, -1 / 3600, top), crs)
    dx, dy = row_spacing_m(box)
    geod = pyproj.CRS(crs).get_geod()
    for row in (0, 150, 299):
        north, middle = top - row / 3600, top - (row + 0.5) / 3600
        _, _, along = geod.inv(116, north, 116, north - 1 / 3600)
        _, _, across = geod.inv(116, middle, 116 + 1 / 1200, middle)
        assert dy[row] == pytest.approx(along, rel=1e-7)
        assert dx[row] == pytest.approx(across, rel=1e-7)


def test_pixel_edges_of_metres_are_those_of_the_plane():
    box = GeoBox((3, 4), Affine(30, 0, 500000, 0, -20, 3500000), UTM)
    dx, dy = row_spacing_m(box)
    assert dx.tolist() == [30.0] * 3
    assert dy.tolist() == [20.0] * 3


@pytest.mark.parametrize(
    ("affine", "crs", "error", "told"),
    [
        (Affine(1, 0, 100, 0, -1, 30), None, MissingCRS, "without CRS"),
        (Affine(1, 0, 100, 0, -1, 30), "EPSG:2263", UnsuitableCRS, "foot"),
        (Affine(1, 0, 100, 0, -1, 91), "EPSG:4326", UnsuitableCRS, "between the poles"),
        (Affine(1, 0, 100, 0, -1, -88), "EPSG:4326", UnsuitableCRS, "between the poles"),
        (Affine(1, 0.1, 100, 0, -1, 30), UTM, UnsuitableCRS, "turned against its axes"),
    ],
)
def test_rows_without_metres_are_refused(affine, crs, error, told):
    with pytest.raises(error, match=told):
        row_spacing_m(GeoBox((3, 4), affine, crs))
