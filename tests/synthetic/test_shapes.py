"""Random outlines of exact area and the search for free places."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.synthetic.shapes import Allowed, Ground, NoRoom, blob, ell, quad, strip


@pytest.fixture
def ground() -> Ground:
    return Ground(GeoBox((100, 100), Affine(5.0, 0.0, 0.0, 0.0, -5.0, 500.0), "EPSG:32650"))


@pytest.fixture
def everywhere() -> Allowed:
    return Allowed.of(np.ones((100, 100), dtype=bool), 5.0)


@pytest.mark.parametrize("outline", [quad, ell, blob, strip])
@pytest.mark.parametrize("area_m2", [140.0, 3000.0, 13000.0])
def test_outlines_have_the_area_asked_for(outline, area_m2):
    rng = np.random.default_rng(1)
    shapes = [outline(rng, area_m2, 10.0) for _ in range(20)]
    assert all(shape.is_valid for shape in shapes)
    np.testing.assert_allclose([shape.area for shape in shapes], area_m2, rtol=1e-9)


def test_strips_are_as_wide_as_a_road():
    rng = np.random.default_rng(2)
    for area_m2 in (700.0, 4000.0, 13000.0):
        shape = strip(rng, area_m2, 0.0)
        assert shape.buffer(-5.0).area > 0.0
        assert shape.buffer(-10.5).is_empty


def test_places_keep_their_distance(ground, everywhere):
    rng = np.random.default_rng(3)
    shapes = [ground.place(rng, everywhere, quad, 900.0, 0.0, gap_m=30.0) for _ in range(8)]
    for i, shape in enumerate(shapes):
        assert all(shape.distance(other) >= 30.0 for other in shapes[:i])


def test_shapes_stay_on_allowed_cells(ground):
    cells = np.zeros((100, 100), dtype=bool)
    cells[20:60, 30:80] = True
    allowed = Allowed.of(cells, 5.0)
    shape = ground.place(np.random.default_rng(4), allowed, blob, 2000.0, 0.0, min_share=1.0)
    assert shapely.box(150.0, 200.0, 400.0, 400.0).covers(shape)


def test_says_so_when_there_is_no_room(ground, everywhere):
    ground.taken[:] = True
    with pytest.raises(NoRoom, match="got no room for a synthetic pond of 900 m2"):
        ground.place(np.random.default_rng(5), everywhere, blob, 900.0, 0.0, what="pond")
