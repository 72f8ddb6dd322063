import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.errors import UnsuitableCRS
from rs_monitor.grid import zone_geobox
from rs_monitor.maps.cover import cover_of, sample, weighted_mean

CRS = "EPSG:4548"
GRID = zone_geobox((500000, 3500000, 500040, 3500040), CRS, 10)


def test_coverage_is_exact():
    cover = cover_of(shapely.box(500005, 3500020, 500020, 3500040), CRS, GRID)
    got = dict(
        zip(zip(cover.row.tolist(), cover.col.tolist(), strict=True), cover.fraction, strict=True)
    )
    assert got == pytest.approx({(0, 0): 0.5, (0, 1): 1.0, (1, 0): 0.5, (1, 1): 1.0}, abs=1e-6)
    assert cover.interior(0.95).col.tolist() == [1, 1]


def test_land_beyond_the_grid_is_covered_but_not_sampled():
    cover = cover_of(shapely.box(499990, 3500030, 500010, 3500050), CRS, GRID)
    assert cover.fraction.tolist() == pytest.approx([1.0] * 4)
    values = sample(np.full((4, 4), 7, np.uint8), cover, 0)
    assert sorted(values.tolist()) == [0, 0, 0, 7]


def test_a_polygon_without_area_on_the_grid_covers_nothing():
    for shape in (shapely.box(500005, 3500005, 500005 + 1e-6, 3500005 + 1e-6), shapely.Polygon()):
        cover = cover_of(shape, CRS, GRID)
        assert cover.row.size == cover.col.size == cover.fraction.size == 0
        assert sample(np.ones((4, 4)), cover, np.nan).size == 0


def test_area_in_pixels_equals_the_polygon_whatever_its_crs():
    field = shapely.affinity.rotate(shapely.box(500012, 3500011, 500029, 3500030), 31)
    lonlat = gpd.GeoSeries([field], crs=CRS).to_crs("EPSG:4490")[0]
    for shape, crs in [(field, CRS), (lonlat, "EPSG:4490")]:
        total = cover_of(shape, crs, GRID).fraction.sum()
        assert total * 100 == pytest.approx(field.area, abs=0.01)


def test_a_grid_in_degrees_is_refused():
    degrees = GeoBox((10, 10), Affine(0.01, 0, 117, 0, -0.01, 31.1), "EPSG:4490")
    with pytest.raises(UnsuitableCRS, match="the cover of a polygon needs a projected CRS"):
        cover_of(shapely.box(117, 31, 117.1, 31.1), "EPSG:4490", degrees)


def test_the_mean_of_known_values_and_what_is_unknown():
    values = np.array([2.0, np.nan, 8.0], np.float32)
    assert weighted_mean(values, np.array([3.0, 4.0, 1.0])) == (3.5, 0.5)
    mean, unknown = weighted_mean(values[1:2], np.array([4.0]))
    assert np.isnan(mean)
    assert unknown == 1
    assert weighted_mean(values[:0], np.array([]))[1] == 1
