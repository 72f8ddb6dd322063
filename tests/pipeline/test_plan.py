import datetime as dt
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.config.job import parse_config
from rs_monitor.errors import NoObservations, UnsuitableCRS
from rs_monitor.imagery.index import index_folder
from rs_monitor.outputs.raster import write_cog
from rs_monitor.pipeline.plan import Plan, make_plan

# 120 degrees east parts the UTM zones 50 and 51
WEST = GeoBox((60, 60), Affine(10, 0, 784_400, 0, -10, 3_490_000), "EPSG:32650")
EAST = GeoBox((60, 60), Affine(10, 0, 214_800, 0, -10, 3_490_000), "EPSG:32651")


def write_scene(folder: Path, name: str, geobox: GeoBox) -> None:
    data = np.full((1, *geobox.shape), 7, dtype=np.uint8)
    write_cog(folder / name, data, geobox, nodata=0, band_names=["red"], overview="nearest")


def job(**tables: object) -> dict[str, object]:
    return {
        "schema_version": 1,
        "name": "plan-test",
        "catalog": {"kind": "geoparquet", "href": "items.parquet"},
        "imagery": {"bands": ["red"], "mask": "none", "quantity": "dn"},
        "periods": {
            "before": {"start": dt.date(2020, 1, 1), "end": dt.date(2020, 12, 31)},
            "after": {"start": dt.date(2021, 1, 1), "end": dt.date(2021, 12, 31)},
        },
        "grid": {"resolution_m": 10.0, "block_px": 64},
        "change": {"method": "irmad", "threshold": "kmeans"},
        **tables,
    }


def plan_in(folder: Path, **tables: object) -> Plan:
    return make_plan(parse_config(job(**tables), source="test"), base=folder)


@pytest.fixture
def two_utm_zones(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    for year in ("2020", "2021"):
        write_scene(images, f"west_{year}0601.tif", WEST)
        write_scene(images, f"east_{year}0602.tif", EAST)
    index_folder(images, tmp_path / "items.parquet")
    return tmp_path


def test_zone_across_two_utm_zones_gets_the_delivered_grid(two_utm_zones: Path) -> None:
    seam = gpd.GeoSeries(shapely.points([[784_600, 3_489_700]]), crs="EPSG:32650")
    seam = seam.to_crs("EPSG:4549")
    zone = gpd.GeoDataFrame(
        {"zone_id": ["Z"], "name": ["seam"]}, geometry=seam.buffer(250), crs="EPSG:4549"
    )
    zone.to_file(two_utm_zones / "zones.gpkg", layer="zones")
    planned = plan_in(two_utm_zones, zones={"path": "zones.gpkg"}).zones[0]
    assert planned.geobox.crs.to_epsg() == 4549
    assert planned.geobox.resolution.x == 10
    assert {item.crs for item in planned.before} == {"EPSG:32650", "EPSG:32651"}


def test_scenes_of_two_grids_and_no_zones_are_refused(two_utm_zones: Path) -> None:
    with pytest.raises(UnsuitableCRS, match="add a \\[zones\\] table"):
        plan_in(two_utm_zones)


@pytest.fixture
def one_grid(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    write_scene(images, "scene_20200601.tif", WEST)
    write_scene(images, "scene_20210601.tif", WEST)
    index_folder(images, tmp_path / "items.parquet")
    return tmp_path


def test_whole_scene_keeps_the_source_grid(one_grid: Path) -> None:
    planned = plan_in(one_grid).zones[0]
    assert planned.geobox == WEST
    assert [(b.y0, b.y1, b.x0, b.x1) for b in planned.blocks] == [(0, 60, 0, 60)]


def test_empty_period_is_named(one_grid: Path) -> None:
    periods = {
        "before": {"start": dt.date(2010, 1, 1), "end": dt.date(2010, 12, 31)},
        "after": {"start": dt.date(2021, 1, 1), "end": dt.date(2021, 12, 31)},
    }
    with pytest.raises(NoObservations, match="no usable scene for the period before"):
        plan_in(one_grid, periods=periods)


def test_identity_leaves_out_where_and_how(one_grid: Path) -> None:
    plain = plan_in(one_grid).fingerprint
    assert plan_in(one_grid, cluster={"workers": 7, "chunk_px": 99}).fingerprint == plain
    assert plan_in(one_grid, purpose="other words").fingerprint == plain
    # blocks are part of the plan: sums of other blocks may differ in their last bits
    assert plan_in(one_grid, grid={"resolution_m": 10.0, "block_px": 65}).fingerprint != plain
    change = {"method": "irmad", "threshold": "kmeans", "tolerance": 0.01}
    assert plan_in(one_grid, change=change).fingerprint != plain


def test_what_is_missing_is_said(one_grid: Path) -> None:
    said = dict(plan_in(one_grid).not_evaluated)
    assert said["slope_deg"] == "no DEM"
    assert "clouds are not screened" in said["cloud_mask"]
    assert "land_cover" in said
    assert "layer:pbf" in said


def test_scenes_of_another_season_are_warned_of(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    write_scene(images, "early_20200301.tif", WEST)
    write_scene(images, "late_20210815.tif", WEST)
    index_folder(images, tmp_path / "items.parquet")
    (warning,) = plan_in(tmp_path).warnings
    assert "none within 20 days of the year" in warning
    assert plan_in(tmp_path).summary()["warnings"] == [warning]


def test_periods_of_another_season_are_warned_of(one_grid: Path) -> None:
    periods = {
        "before": {"start": dt.date(2020, 5, 15), "end": dt.date(2020, 6, 15)},
        "after": {"start": dt.date(2021, 1, 1), "end": dt.date(2021, 12, 31)},
    }
    assert "different seasons" in plan_in(one_grid, periods=periods).warnings[0]
