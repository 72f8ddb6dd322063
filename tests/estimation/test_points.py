import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.errors import MissingCRS, QuantityError
from rs_monitor.estimation.points import SHOWN, TO_BE_READ, blind, key_of, sample_points

GRID = GeoBox((100, 1000), Affine(10, 0, 500000, 0, -10, 3500000), "EPSG:32650")
DRAWN = pd.DataFrame(
    {
        "row": [0, 99, 5, 5],
        "col": [0, 999, 7, 8],
        "stratum": [1, 1, 2, 2],
        "map_class": [1, 1, 3, 2],
        "inclusion_probability": [0.5, 0.5, 0.25, 0.25],
    }
)


def test_points_by_hand():
    points = sample_points(DRAWN, GRID, 7).set_index("id")
    assert sorted(points.index) == ["r00c000", "r05c007", "r05c008", "r99c999"]
    first = points.loc["r00c000"]
    assert (first["x"], first["y"]) == (500005.0, 3499995.0)
    assert (first.geometry.x, first.geometry.y) == (500005.0, 3499995.0)
    lon, lat = pyproj.Transformer.from_crs("EPSG:32650", "EPSG:4490", always_xy=True).transform(
        500005.0, 3499995.0
    )
    assert (first["lon"], first["lat"]) == (lon, lat)
    assert points.loc["r05c007", "weight"] == 4.0
    assert points.loc["r05c008", "map_class"] == 2
    assert points[list(TO_BE_READ)].isna().all(axis=None)
    assert points.crs == "EPSG:32650"


def test_a_turned_grid():
    turned = GeoBox((100, 1000), GRID.affine @ Affine.rotation(30), "EPSG:32650")
    points = sample_points(DRAWN, turned, 7).set_index("id")
    assert (points.loc["r05c007", "x"], points.loc["r05c007", "y"]) == turned.affine @ (7.5, 5.5)


def test_a_reader_learns_nothing_of_the_map():
    points = sample_points(DRAWN, GRID, 7)
    shown = blind(points)
    assert list(shown.columns) == [*SHOWN, "geometry"]
    assert isinstance(shown, gpd.GeoDataFrame)
    key = key_of(points)
    assert key["id"].tolist() == shown["id"].tolist()
    assert not {"x", "y", "geometry"} & set(key)
    again = sample_points(DRAWN.iloc[::-1], GRID, 7)
    assert again["id"].tolist() == shown["id"].tolist()


def test_order_tells_nothing_of_the_stratum():
    many = pd.DataFrame(
        {
            "row": np.arange(100).repeat(4),
            "col": 3,
            "stratum": np.arange(100).repeat(4) // 50,
            "map_class": 1,
            "inclusion_probability": 0.1,
        }
    ).drop_duplicates("row")
    points = sample_points(many, GRID, 7)
    place = points["stratum"].to_numpy() @ np.arange(100) / 50
    assert abs(place - 49.5) < 3 * np.sqrt(100 * 101 / 12 / 50)


def test_a_pixel_drawn_twice_has_two_names():
    twice = pd.concat([DRAWN.assign(draw=1, primary_unit=4), DRAWN.assign(draw=2, primary_unit=4)])
    points = sample_points(twice, GRID, 7)
    assert points["id"].is_unique
    assert {"r05c007", "r05c007-2"} <= set(points["id"])
    assert {"draw", "primary_unit"} <= set(key_of(points))
    assert "draw" not in blind(points)


def test_what_is_refused():
    with pytest.raises(MissingCRS, match="assign"):
        sample_points(DRAWN, GeoBox(GRID.shape, GRID.affine, None), 7)
    with pytest.raises(QuantityError, match="chance"):
        sample_points(DRAWN.assign(inclusion_probability=0.0), GRID, 7)
