import datetime as dt
import io
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from odc.geo.geobox import GeoBox

from rs_monitor.cli import main
from rs_monitor.codes import NODATA, LandCover
from rs_monitor.errors import LayerError, MissingCRS, QuantityError, ReadError
from rs_monitor.grid import pixel_area_m2
from rs_monitor.outputs.class_area_view import class_area_view
from rs_monitor.outputs.class_raster import ClassRaster
from rs_monitor.outputs.csv_table import write_csv
from rs_monitor.outputs.doctor import check_run
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.outputs.vectors import read_layers
from rs_monitor.pipeline import class_areas
from rs_monitor.pipeline.class_areas import (
    FILE_NAME,
    WHOLE_MAP,
    map_class_areas,
    read_class_areas,
    write_class_areas,
    zone_class_areas,
    zone_transitions,
)
from rs_monitor.pipeline.collect import ZoneProducts
from rs_monitor.pipeline.plan import ZonePlan

P, U, B, W = (
    int(code) for code in (LandCover.PADDY, LandCover.UPLAND_CROP, LandCover.BUILT, LandCover.WATER)
)
_ = NODATA
CRS = "EPSG:4548"
WEST, NORTH = 500_000.0, 3_600_000.0
GRID = GeoBox((6, 6), Affine(10, 0, WEST, 0, -10, NORTH), CRS)
BEFORE = np.array(
    [
        [P, P, P, U, U, W],
        [P, P, P, U, U, W],
        [P, P, U, U, U, W],
        [P, _, U, U, B, B],
        [_, _, U, B, B, B],
        [W, W, W, W, W, W],
    ],
    np.uint8,
)
AFTER = np.array(
    [
        [P, P, P, U, U, W],
        [P, B, B, U, U, W],
        [P, B, B, U, _, W],
        [P, P, U, U, B, B],
        [_, U, U, B, B, B],
        [W, W, W, W, W, W],
    ],
    np.uint8,
)
INNER = shapely.box(WEST + 6, NORTH - 54, WEST + 54, NORTH - 6)
"""Pixel centres of rows and columns 1 to 4."""


def zone_of(outline=INNER, zone_id="Z1", geobox=GRID, before=BEFORE, after=AFTER):
    scene = SimpleNamespace(id="S", datetime=dt.datetime(2024, 7, 1, tzinfo=dt.UTC))
    plan = ZonePlan(zone_id, zone_id, geobox, (), outline, (scene,), (scene,))
    arrays = {"land_cover_before": before, "land_cover_after": after}
    return ZoneProducts(plan, arrays)


def counted(table, *keys):
    return {row[:-1]: row[-1] for row in table[[*keys, "pixels"]].itertuples(index=False)}


def bits(table):
    stream = io.BytesIO()
    table.to_csv(stream, index=False)
    return stream.getvalue()


def write_map(path, values, *, affine=GRID.affine, crs=CRS, tags=None, **profile):
    height, width = values.shape
    shape = {"height": height, "width": width, "count": 1, "dtype": values.dtype.name}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=affine, **shape, **profile
    ) as target:
        target.write(values, 1)
        target.update_tags(**(tags or {}))
    return path


def write_zones(path, crs=CRS, field="zone_id", **zones):
    frame = gpd.GeoDataFrame({field: list(zones)}, geometry=list(zones.values()), crs=CRS)
    frame.assign(name="x").to_crs(crs).to_file(path, layer="zones")
    return path


@pytest.fixture
def reads(monkeypatch):
    """Windows that are read of a class raster."""
    windows = []
    read = ClassRaster.read

    def noted(self, window):
        windows.append(window)
        return read(self, window)

    monkeypatch.setattr(ClassRaster, "read", noted)
    return windows


def test_areas_by_hand():
    table = zone_class_areas(zone_of())
    assert counted(table, "period", "class_name") == {
        ("before", "paddy"): 3,
        ("before", "upland_crop"): 8,
        ("before", "built"): 3,
        ("before", "not_seen"): 2,
        ("after", "paddy"): 1,
        ("after", "upland_crop"): 7,
        ("after", "built"): 7,
        ("after", "not_seen"): 1,
    }
    assert table.columns.tolist() == [
        *("zone_id", "period", "class", "class_name", "pixels", "mapped_area_m2"),
        "fraction_of_seen",
    ]
    # scale 1 on the central meridian of a Gauss-Krueger zone
    np.testing.assert_allclose(table["mapped_area_m2"], 100.0 * table["pixels"], rtol=1e-6)
    shares = table.set_index(["period", "class_name"])["fraction_of_seen"]
    assert shares["before", "upland_crop"] == pytest.approx(8 / 14, rel=1e-6)
    assert np.isnan(shares["before", "not_seen"])


def test_transitions_by_hand():
    table = zone_transitions(zone_of())
    assert counted(table, "class_before_name", "class_after_name") == {
        ("paddy", "built"): 3,
        ("upland_crop", "upland_crop"): 6,
        ("upland_crop", "built"): 1,
        ("built", "built"): 3,
    }
    np.testing.assert_allclose(table["mapped_area_m2"], 100.0 * table["pixels"], rtol=1e-6)


FAR = GeoBox((70, 90), Affine(30, 0, 250_000, 0, -30, 4_400_000), "EPSG:32650")
"""250 km from the central meridian, where a pixel is 0.08 % smaller than it says."""


def far_zone():
    rng = np.random.default_rng(3)
    before, after = rng.integers(0, 14, (2, *FAR.shape)).astype(np.uint8)
    disc = shapely.Point(251_300, 4_398_900).buffer(900)
    return zone_of(disc, geobox=FAR, before=before, after=after)


def test_rows_add_up_to_the_zone():
    zone = far_zone()
    areas, moves = zone_class_areas(zone), zone_transitions(zone)
    zone_m2 = (zone.inside.sum(axis=1) @ pixel_area_m2(FAR)).item()
    for _period, table in areas.groupby("period"):
        assert table["pixels"].sum() == zone.inside.sum()
        # the area of a row's middle pixel stands for all of its 90
        assert table["mapped_area_m2"].sum() == pytest.approx(zone_m2, rel=1e-6)
        assert table["fraction_of_seen"].sum() == pytest.approx(1.0)
    seen = (zone.arrays["land_cover_before"] != 0) & (zone.arrays["land_cover_after"] != 0)
    assert moves["pixels"].sum() == (zone.inside & seen).sum()
    assert zone_m2 == pytest.approx(900.0 * zone.inside.sum(), rel=3e-3)
    assert zone_m2 != pytest.approx(900.0 * zone.inside.sum(), rel=3e-4)


@pytest.mark.parametrize("block_px", [13, 64])
def test_blocks_change_no_bit(monkeypatch, block_px):
    whole = [bits(zone_class_areas(far_zone())), bits(zone_transitions(far_zone()))]
    monkeypatch.setattr(class_areas, "COUNTED_BLOCK_PX", block_px)
    assert [bits(zone_class_areas(far_zone())), bits(zone_transitions(far_zone()))] == whole


def opened(path):
    return RunFolder.open(path, name="small", plan={}, config_text="")


def test_tables_of_a_run(tmp_path):
    unread = zone_of(zone_id="Z2")
    plan = SimpleNamespace(zones=[zone_of().zone, unread.zone])
    with opened(tmp_path / "run") as folder:
        areas = write_class_areas(folder, [zone_of()], plan)
        folder.finish()
    assert check_run(tmp_path / "run") == []
    layers = read_layers(tmp_path / "run" / FILE_NAME)
    assert list(layers) == ["class_areas", "class_transitions"]
    assert set(layers["class_transitions"]["zone_id"]) == {"Z1"}
    pd.testing.assert_frame_equal(read_class_areas(tmp_path / "run"), areas)
    # of a zone that could not be read nothing was seen
    second = areas[areas["zone_id"] == "Z2"]
    assert counted(second, "period", "class") == {("before", 0): 16, ("after", 0): 16}


def test_ground_never_seen_twice_has_no_transitions(tmp_path):
    zone = zone_of(before=np.zeros((6, 6), np.uint8))
    with opened(tmp_path / "run") as folder:
        areas = write_class_areas(folder, [zone], SimpleNamespace(zones=[zone.zone]))
        folder.finish()
    assert check_run(tmp_path / "run") == []
    moves = read_layers(tmp_path / "run" / FILE_NAME)["class_transitions"]
    assert moves.empty
    assert "mapped_area_m2" in moves
    assert counted(areas[areas["period"] == "before"], "class") == {(0,): 16}


def test_a_run_without_land_cover_has_no_tables(tmp_path):
    bare = ZoneProducts(zone_of().zone, {"change": BEFORE})
    with opened(tmp_path / "run") as folder:
        assert write_class_areas(folder, [bare], SimpleNamespace(zones=[bare.zone])) is None
        folder.finish()
    assert read_class_areas(tmp_path / "run") is None


def test_what_the_report_prints():
    [zone] = class_area_view(zone_class_areas(zone_of()))
    rows = {row.class_name: row for row in zone.rows}
    assert list(rows) == ["paddy", "upland_crop", "built", "not_seen"]
    assert rows["paddy"].difference_m2 == pytest.approx(-200, rel=1e-6)
    assert rows["built"].difference_m2 == pytest.approx(400, rel=1e-6)
    assert rows["not_seen"].before_m2 == pytest.approx(200, rel=1e-6)
    assert np.isnan(rows["not_seen"].difference_m2)
    assert zone.total_m2 == pytest.approx(1600, rel=1e-6)
    assert class_area_view(None) is None


def test_a_class_of_one_period_only_has_none_in_the_other():
    zone = zone_of(before=np.full((6, 6), P, np.uint8), after=np.full((6, 6), W, np.uint8))
    [shown] = class_area_view(zone_class_areas(zone))
    assert [(row.class_name, round(row.difference_m2)) for row in shown.rows[:-1]] == [
        ("paddy", -1600),
        ("water", 1600),
    ]


def test_a_map_by_zones_in_another_crs(tmp_path):
    path = write_map(tmp_path / "m.tif", BEFORE)
    left = shapely.box(WEST, NORTH - 60, WEST + 20, NORTH)
    zones = write_zones(tmp_path / "z.gpkg", crs="EPSG:4490", field="town", A=INNER, B=left)
    found = map_class_areas(path, zones, id_field="town")
    own = zone_class_areas(zone_of())
    pixels = own[own["period"] == "before"].set_index("class")["pixels"].to_dict()
    assert counted(found.table[found.table["zone_id"] == "A"], "class") == {
        (code,): n for code, n in pixels.items()
    }
    assert found.table[found.table["zone_id"] == "B"]["pixels"].sum() == 12
    assert found.notes == ()


def test_a_run_names_its_classes_and_a_foreign_map_its_values(tmp_path):
    tags = {"flag_values": "1 2", "flag_meanings": "paddy upland_crop"}
    found = map_class_areas(write_map(tmp_path / "m.tif", BEFORE, tags=tags)).table
    assert set(found["zone_id"]) == {WHOLE_MAP}
    assert counted(found, "class", "class_name") == {
        (1, "paddy"): 9,
        (2, "upland_crop"): 10,
        (8, "class_8"): 5,
        (11, "class_11"): 9,
        (0, "not_seen"): 3,
    }


def test_nodata_of_a_foreign_map_may_be_another_value(tmp_path):
    values = np.array([[0, 0, 7], [255, 7, 7]], np.uint8)
    tags = {"flag_values": "0 7 255", "flag_meanings": "sea land void"}
    path = write_map(tmp_path / "m.tif", values, nodata=255, tags=tags)
    assert counted(map_class_areas(path).table, "class", "class_name") == {
        (7, "land"): 3,
        (0, "sea"): 2,
        (255, "not_seen"): 1,
    }


def test_degrees_are_measured_on_the_ellipsoid(tmp_path):
    affine = Affine(0.01, 0, 118.0, 0, -0.01, 31.0)
    values = np.repeat(np.array([[1, 1, 2]], np.uint8), 50, axis=0)
    found = map_class_areas(write_map(tmp_path / "m.tif", values, affine=affine, crs="EPSG:4490"))
    pixel_m2 = pixel_area_m2(GeoBox(values.shape, affine, "EPSG:4490")).sum()
    areas = found.table.set_index("class")["mapped_area_m2"]
    assert areas[1] == pytest.approx(2 * pixel_m2, rel=1e-9)
    assert areas[2] == pytest.approx(pixel_m2, rel=1e-9)
    # a degree of longitude at 31 N is 95.5 km
    assert pixel_m2 / 50 == pytest.approx(955.1 * 1108.6, rel=3e-3)


@pytest.mark.parametrize("zoned", [False, True])
def test_block_sizes_give_the_same_bytes(tmp_path, zoned):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, FAR.shape).astype(np.uint8)
    path = write_map(tmp_path / "m.tif", values, affine=FAR.affine, crs="EPSG:32650")
    disc = gpd.GeoSeries([shapely.Point(251_300, 4_398_900).buffer(900)], crs="EPSG:32650")
    zones = write_zones(tmp_path / "z.gpkg", A=disc.to_crs(CRS).iloc[0]) if zoned else None
    tables = [map_class_areas(path, zones, block_px=n).table for n in (17, 32, 4096)]
    assert len({bits(table) for table in tables}) == 1
    assert len(tables[0]) > 100


def test_the_map_is_read_once_by_blocks(tmp_path, reads):
    big = np.ones((1, 1), np.uint8)
    path = tmp_path / "m.tif"
    profile = {"driver": "GTiff", "height": 6000, "width": 5000, "count": 1, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    with rasterio.open(path, "w", **profile, **tiles, crs=CRS, transform=GRID.affine) as target:
        target.write(big, 1, window=((5999, 6000), (4999, 5000)))
    found = map_class_areas(path).table
    assert counted(found, "class") == {(1,): 1, (0,): 29_999_999}
    sizes = [(rows.stop - rows.start) * (cols.stop - cols.start) for rows, cols in reads]
    assert len(reads) == 9
    assert max(sizes) == 2048**2
    assert sum(sizes) == 30_000_000


def test_a_zone_reads_its_own_window(tmp_path, reads):
    path = tmp_path / "m.tif"
    profile = {"driver": "GTiff", "height": 20_000, "width": 20_000, "count": 1, "dtype": "uint8"}
    tiles = {"tiled": True, "sparse_ok": True, "crs": CRS, "transform": GRID.affine}
    rasterio.open(path, "w", **profile, **tiles).close()
    corner = shapely.box(WEST + 150_000, NORTH - 199_000, WEST + 153_000, NORTH - 198_000)
    found = map_class_areas(path, write_zones(tmp_path / "z.gpkg", A=corner)).table
    assert counted(found, "class") == {(0,): 30_000}
    assert reads == [(slice(19_800, 19_900), slice(15_000, 15_300))]


def test_zones_off_the_map(tmp_path):
    path = write_map(tmp_path / "m.tif", BEFORE)
    away = shapely.box(WEST + 100, NORTH - 60, WEST + 200, NORTH)
    half = shapely.box(WEST + 30, NORTH - 60, WEST + 90, NORTH)
    zones = write_zones(tmp_path / "z.gpkg", A=INNER, C=away, D=away)
    with pytest.raises(LayerError, match=r"off m\.tif: C, D"):
        map_class_areas(path, zones)
    found = map_class_areas(path, write_zones(tmp_path / "y.gpkg", A=INNER, H=half))
    assert found.notes == ("zone H: 50.00% of it lies off the map and is not counted",)
    assert found.table[found.table["zone_id"] == "H"]["pixels"].sum() == 18


def test_a_zone_between_pixel_centres_is_said(tmp_path):
    sliver = shapely.box(WEST + 16, NORTH - 20, WEST + 24, NORTH)
    zones = write_zones(tmp_path / "z.gpkg", A=sliver)
    found = map_class_areas(write_map(tmp_path / "m.tif", BEFORE), zones)
    assert found.notes == ("zone A: holds no pixel centre of the map",)
    assert found.table["pixels"].tolist() == [0]


def test_what_is_no_class_map(tmp_path):
    with pytest.raises(QuantityError, match="float32"):
        map_class_areas(write_map(tmp_path / "f.tif", BEFORE.astype(np.float32)))
    with pytest.raises(MissingCRS, match="no CRS"):
        map_class_areas(write_map(tmp_path / "c.tif", BEFORE, crs=None))
    with pytest.raises(QuantityError, match="nodata"):
        map_class_areas(write_map(tmp_path / "n.tif", BEFORE.astype(np.int16), nodata=-1))
    with pytest.raises(QuantityError, match=r"nodata 2\.5"):
        map_class_areas(write_map(tmp_path / "h.tif", BEFORE, nodata=2.5))
    with pytest.raises(ReadError, match="needed a class raster"):
        map_class_areas(tmp_path / "absent.tif")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_map_without_a_place_is_refused(tmp_path):
    path = write_map(tmp_path / "m.tif", BEFORE, affine=Affine.identity())
    with pytest.raises(QuantityError, match=r"m\.tif: got no place.*georeference"):
        map_class_areas(path)


def test_an_outline_through_pixel_centres_falls_alike_in_every_block(tmp_path):
    """Degrees round: 30 by 19 pixels, every edge through centres, two zones side by side."""
    grid = Affine(0.001, 0, 117, 0, -0.001, 32.5)
    path = write_map(tmp_path / "m.tif", np.ones((60, 80), np.uint8), affine=grid, crs="EPSG:4490")
    zones = {
        "A": shapely.box(117.0105, 32.4605, 117.0405, 32.4795),
        "B": shapely.box(117.0405, 32.4605, 117.0705, 32.4795),
    }
    frame = gpd.GeoDataFrame({"zone_id": list(zones)}, geometry=[*zones.values()], crs=4490)
    frame.to_file(tmp_path / "z.gpkg")
    whole = map_class_areas(path, tmp_path / "z.gpkg").table
    assert whole[whole["class"] == 1]["pixels"].tolist() == [570, 570]
    for block_px in (7, 16):
        parts = map_class_areas(path, tmp_path / "z.gpkg", block_px=block_px).table
        assert bits(parts) == bits(whole)


def test_zones_that_are_none(tmp_path):
    path = write_map(tmp_path / "m.tif", BEFORE)
    with pytest.raises(LayerError, match=r"z\.gpkg: got a layer without a zone"):
        map_class_areas(path, write_zones(tmp_path / "z.gpkg"))
    with pytest.raises(LayerError, match="got layer 'towns' without a file of zones"):
        map_class_areas(path, layer="towns")


def test_no_name_becomes_a_formula(tmp_path):
    tags = {"flag_values": "1 2", "flag_meanings": "=1+1 paddy-field"}
    path = write_map(tmp_path / "m.tif", np.array([[1, 2]], np.uint8), tags=tags)
    # full-width signs count as well where the keyboard is Chinese
    for sign in "=+-@＝＋－＠\t\r":
        table = pd.DataFrame({"zone_id": [f"{sign}1"], "mapped_area_m2": [-1.5]})
        text = write_csv(tmp_path / f"{ord(sign)}.csv", table).read_bytes().decode("utf-8-sig")
        assert f"'{sign}1" in text
        assert "'-1.5" not in text
    zone = shapely.box(WEST, NORTH - 10, WEST + 20, NORTH)
    zones = write_zones(tmp_path / "z.gpkg", **{"@sum(1,2)\n=x": zone})
    written = write_csv(tmp_path / "a.csv", map_class_areas(path, zones).table)
    table = pd.read_csv(written)
    assert set(table["zone_id"]) == {"'@sum(1,2)\n=x"}
    assert table["class_name"].tolist() == ["'=1+1", "paddy-field", "not_seen"]


def test_command(tmp_path):
    path = write_map(tmp_path / "m.tif", BEFORE)
    zones = write_zones(tmp_path / "z.gpkg", A=INNER)
    out = tmp_path / "areas.csv"
    words = ["areas", str(path), "--zones", str(zones), "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "never evidence of new arable land" in done.output
    assert "rs-monitor assess" in done.output
    written = pd.read_csv(out)
    pd.testing.assert_frame_equal(written, map_class_areas(path, zones).table, check_dtype=False)
    assert written["mapped_area_m2"].tolist() == pytest.approx([300, 800, 300, 200], rel=1e-6)
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert "not_seen" not in again.output
    with pytest.raises(LayerError, match="is there already"):
        write_csv(out, written)
    other = CliRunner().invoke(main, ["areas", str(path), "--out", str(tmp_path / "areas.txt")])
    assert other.exit_code == 1
    assert "needed .csv" in other.output
