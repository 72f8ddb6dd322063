import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.authority.area import (
    areas_m2,
    gauss_kruger_of,
    geodesic_area_m2,
    official_area_m2,
    require_suitable_crs,
)
from rs_monitor.errors import LayerError, MissingCRS, UnsuitableCRS

KILOMETRE = shapely.Polygon(
    [(500000, 3600000), (501000, 3600100), (500900, 3601000), (500100, 3600800)]
)
SMALL = shapely.box(640000, 3600000, 640060, 3600040)
SHIFTED = shapely.affinity.translate(KILOMETRE, 140_000)
FIELD = shapely.box(117.0, 34.0, 117.002, 34.0015)
CELL = shapely.box(117, 30, 117.25, 30 + 10 / 60)


@pytest.mark.parametrize(
    ("geometry", "crs", "official_m2"),
    [
        (KILOMETRE, "EPSG:4548", 764999.98),
        (SHIFTED, "EPSG:4548", 764627.76),
        (SMALL, "EPSG:4548", 2398.84),
        (FIELD, "EPSG:4490", 30742.36),
        (CELL, "EPSG:4490", 445288499.51),
    ],
)
def test_official_vectors(geometry, crs, official_m2):
    assert official_area_m2(geometry, crs) == official_m2


@pytest.mark.parametrize("crs", ["EPSG:4548", "EPSG:4527"])
def test_zone_prefix_is_taken_off(crs):
    prefixed = shapely.affinity.translate(SHIFTED, 39_000_000)
    assert official_area_m2(prefixed, crs) == 764627.76
    assert geodesic_area_m2(prefixed, crs) == pytest.approx(764627.785, abs=0.001)


@pytest.mark.parametrize(("crs", "prefix"), [("EPSG:4548", 38), ("EPSG:4527", 0)])
def test_contradicting_zone_prefix_is_refused(crs, prefix):
    moved = shapely.affinity.translate(KILOMETRE, prefix * 1e6)
    with pytest.raises(UnsuitableCRS, match=rf"zone prefixes \[{prefix}\]"):
        official_area_m2(moved, crs)


def test_esri_wkt_of_a_zone_is_recognised():
    wkt = pyproj.CRS.from_epsg(4527).to_wkt("WKT1_ESRI")
    system = gauss_kruger_of(pyproj.CRS.from_wkt(wkt))
    assert (system.central_meridian_deg, system.zone) == (117.0, 39)
    assert gauss_kruger_of(pyproj.CRS.from_epsg(32650)) is None


@pytest.mark.parametrize(
    ("crs", "relative"),
    [("EPSG:4548", 1e-7), ("EPSG:32650", 1e-7), ("EPSG:4490", 2e-6), ("EPSG:4326", 2e-6)],
)
def test_series_and_geodesics_agree(crs, relative):
    metric = gpd.GeoSeries([KILOMETRE, SHIFTED], crs="EPSG:4548")
    for geometry in metric.to_crs(crs):
        official, geodesic = official_area_m2(geometry, crs), geodesic_area_m2(geometry, crs)
        assert official == pytest.approx(geodesic, rel=relative)


def test_utm_delivery_has_the_area_of_the_same_ground():
    in_utm = gpd.GeoSeries([SMALL], crs="EPSG:4548").to_crs("EPSG:32650")[0]
    assert official_area_m2(in_utm, "EPSG:32650") == pytest.approx(2398.84, abs=0.011)


def test_a_hole_is_subtracted_and_parts_add():
    hole = shapely.box(640010, 3600010, 640020, 3600020)
    ring = shapely.Polygon(SMALL.exterior, [hole.exterior])
    whole, gap = official_area_m2(SMALL, "EPSG:4548"), official_area_m2(hole, "EPSG:4548")
    assert official_area_m2(ring, "EPSG:4548") == pytest.approx(whole - gap, abs=0.011)
    both = shapely.MultiPolygon([ring, hole])
    assert official_area_m2(both, "EPSG:4548") == pytest.approx(whole, abs=0.011)


def test_frame_keeps_rows_apart_and_empty_ones_zero():
    mixed = [SMALL, shapely.Polygon(), shapely.MultiPolygon([SMALL]), KILOMETRE]
    frame = gpd.GeoDataFrame(geometry=mixed, crs="EPSG:4548")
    assert areas_m2(frame).tolist() == [2398.84, 0.0, 2398.84, 764999.98]
    assert areas_m2(frame.iloc[:0]).tolist() == []


@settings(max_examples=30)
@given(
    st.floats(450_000, 640_000),
    st.floats(2_300_000, 5_500_000),
    st.floats(5, 800),
    st.floats(5, 800),
    st.floats(0, 90),
)
def test_parcels_agree_with_geodesics_anywhere(x, y, width, height, angle):
    box = shapely.affinity.rotate(shapely.box(x, y, x + width, y + height), angle)
    rounded = shapely.transform(box, lambda xy: np.round(xy, 4))
    geodesic = geodesic_area_m2(rounded, "EPSG:4548")
    assert official_area_m2(rounded, "EPSG:4548") == pytest.approx(geodesic, rel=1e-7, abs=0.06)


@pytest.mark.parametrize(
    ("crs", "error", "message"),
    [
        (None, MissingCRS, "without a coordinate reference system"),
        ("EPSG:2349", UnsuitableCRS, "datum of Xi'an 1980 or Beijing 1954"),
        ("EPSG:4610", UnsuitableCRS, "datum of Xi'an 1980 or Beijing 1954"),
        ("EPSG:2401", UnsuitableCRS, "datum of Xi'an 1980 or Beijing 1954"),
        ("EPSG:2263", UnsuitableCRS, "needed metres or degrees"),
    ],
)
def test_unsuitable_systems_are_refused(crs, error, message):
    with pytest.raises(error, match=message):
        require_suitable_crs(crs, "claims")


def test_an_old_ellipsoid_is_refused_whatever_it_is_called():
    renamed = pyproj.CRS.from_epsg(2349).to_wkt("WKT1_ESRI").replace("Xian", "Local")
    with pytest.raises(UnsuitableCRS, match="needed CGCS2000"):
        require_suitable_crs(renamed, "claims")


def test_points_have_no_area():
    frame = gpd.GeoDataFrame(geometry=[SMALL, shapely.Point(0, 0)], crs="EPSG:4548")
    with pytest.raises(LayerError, match=r"1 of 2 geometries that are Point \(first: row 1\)"):
        areas_m2(frame)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["croatia_arkod", "japan_field_polygons_2024", "netherlands_brp_2023"]
)
def test_real_parcels_agree_with_geodesics(shared_data, name):
    parcels = gpd.read_file(shared_data / "parcels" / f"{name}.gpkg")
    official = areas_m2(parcels)
    geodesic = [geodesic_area_m2(shape, parcels.crs) for shape in parcels.geometry]
    assert len(official) == 100
    # the official rounding of vertices to 1e-6 seconds moves a small parcel by up to 0.02 m2
    np.testing.assert_allclose(official, geodesic, rtol=5e-6, atol=0.02)
    assert official.sum() == pytest.approx(sum(geodesic), rel=1e-7)
