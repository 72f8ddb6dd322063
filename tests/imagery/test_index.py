import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rustac
from odc.geo.geobox import GeoBox

from rs_monitor.errors import CatalogError, ConfigError, QuantityError
from rs_monitor.imagery.footprints import bbox_parts, touches
from rs_monitor.imagery.index import index_folder
from rs_monitor.imagery.load import load_cube, to_reflectance
from rs_monitor.imagery.search import search
from rs_monitor.imagery.side_table import read_side_table

pytestmark = pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")
CONFIGS = Path(__file__).parents[2] / "configs" / "index"
DATA = np.arange(1, 4801, dtype="uint16").reshape(60, 80)
FOUR = np.stack([DATA, DATA + 1, DATA + 2, DATA + 3])
SAFE = "S2A_MSIL2A_20240101T025101_N0510_R132_T50RKV_20240101T061531.SAFE"


def found(path, bands=(), **options):
    span = {"start": dt.date(1980, 1, 1), "end": dt.date(2030, 1, 1)}
    wide = {"collections": (), "bbox": None, "max_cloud_fraction": 1.0, **span}
    return search("geoparquet", str(path), **{**wide, "bands": bands, **options})


def test_known_products_are_grouped_and_the_finest_band_taken(make, tmp_path):
    granule = tmp_path / SAFE / "GRANULE"
    granule.mkdir(parents=True)
    make.tif(granule / "T50RKV_20240101T025101_B04_10m.tif", DATA)
    make.tif(granule / "T50RKV_20240101T025101_B04_20m.tif", DATA[::2, ::2], pixel=20.0)
    make.tif(granule / "T50RKV_20240101T025101_SCL_20m.tif", DATA[::2, ::2], pixel=20.0)
    make.tif(granule / "T50RKV_20240101T025101_TCI_10m.tif", FOUR[:3])
    for band in ("SR_B4", "SR_B5", "QA_PIXEL"):
        make.tif(tmp_path / f"LC08_L2SP_119038_20200101_20200823_02_T1_{band}.TIF", DATA)
    report = index_folder(tmp_path)
    assert (report.written, report.refused) == (2, ())
    assert report.ignored == (f"{SAFE}/GRANULE/T50RKV_20240101T025101_TCI_10m.tif",)
    assert report.path == tmp_path / "rs_monitor_items.parquet"
    landsat, sentinel = found(report.path).items
    assert sorted(landsat.bands) == ["nir", "qa_pixel", "red"]
    assert (landsat.platform, landsat.bands["nir"].offset) == ("landsat-8", -0.2)
    assert landsat.bands["qa_pixel"].nodata == 1
    assert sentinel.id == SAFE.removesuffix(".SAFE")
    red = sentinel.bands["red"]
    assert (red.scale, red.offset, red.nodata) == (1e-4, -0.1, 0)
    assert red.href.endswith("B04_10m.tif")
    assert sentinel.bands["scl"].shape == (30, 40)
    assert sentinel.bands["scl"].categorical


def test_dates_from_tags_names_and_side_table(make, tmp_path):
    names = ("blue", "green", "red", "nir")
    table = tmp_path / "index.toml"
    table.write_text('[[source]]\nfiles = "stated*"\ndatetime = 2021-04-05T03:00:00Z\n')
    make.tif(tmp_path / "stated_20200101.tif", FOUR, descriptions=names)
    make.tif(tmp_path / "tagged.tif", FOUR, descriptions=names, tags={"ACQUISITION_DATE": DAY})
    make.tif(tmp_path / "named_20220304.tif", FOUR, descriptions=names)
    made = {"TIFFTAG_DATETIME": "2023:04:05 06:07:08"}
    make.tif(tmp_path / "made.tif", FOUR, descriptions=names, tags=made)
    items = {i.id: i for i in found(index_folder(tmp_path).path, names).items}
    stamps = {name: item.datetime.isoformat() for name, item in items.items()}
    assert stamps == {
        "stated_20200101": "2021-04-05T03:00:00+00:00",
        "tagged": "2019-08-07T12:00:00+00:00",
        "named_20220304": "2022-03-04T12:00:00+00:00",
        "made": "2023-04-05T06:07:08+00:00",
    }
    assert items["made"].properties["rs_monitor:datetime_source"] == "TIFFTAG_DATETIME"


DAY = "2019-08-07"


def test_what_cannot_be_placed_or_dated_is_refused_by_name(make, tmp_path):
    names = ("blue", "green", "red", "nir")
    make.tif(tmp_path / "good_20240101.tif", FOUR, descriptions=names)
    make.tif(tmp_path / "undated.tif", FOUR, descriptions=names)
    make.tif(tmp_path / "span_20240101_20240201.tif", FOUR, descriptions=names)
    make.tif(tmp_path / "nameless_20240101.tif", FOUR)
    make.tif(tmp_path / "disputed_20240101.tif", FOUR, tags={"ACQUISITION_DATE": DAY})
    make.tif(tmp_path / "xian_20240101.tif", FOUR, crs="EPSG:2334", descriptions=names)
    gaofen = "GF1_PMS1_E118.1_N31.2_20240101_L1A0001234567-MSS1.tiff"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        bare = rasterio.open(
            tmp_path / gaofen, "w", driver="GTiff", count=4, height=9, width=9, dtype="uint16"
        )
    bare.close()
    (tmp_path / "broken_20240101.tif").write_bytes(b"II*\0 not an image")
    (tmp_path / "notes.txt").write_text("never opened")
    report = index_folder(tmp_path)
    assert report.written == 1
    reasons = {refusal.item_id: refusal.reason for refusal in report.refused}
    assert set(reasons) == {p.name for p in tmp_path.glob("*.tif*")} - {"good_20240101.tif"}
    assert reasons["undated.tif"].startswith("has no date")
    assert reasons["span_20240101_20240201.tif"].startswith("has no date")
    assert reasons["nameless_20240101.tif"].startswith("its bands have no names")
    assert "its tag says 2019-08-07, its name 2024-01-01" in reasons["disputed_20240101.tif"]
    assert "Xian 1980" in reasons["xian_20240101.tif"]
    assert reasons[gaofen].startswith("has no CRS")
    assert reasons["broken_20240101.tif"].startswith("cannot be opened")


def test_nothing_to_index_gives_every_reason(make, tmp_path):
    make.tif(tmp_path / "undated.tif", DATA)
    with pytest.raises(CatalogError, match=r"undated\.tif: has no date"):
        index_folder(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        index_folder(tmp_path / "absent")


def test_read_only_folder_catalogue_elsewhere(make, tmp_path):
    data, desk = tmp_path / "data", tmp_path / "desk"
    data.mkdir()
    desk.mkdir()
    make.tif(data / "a_20240101.tif", DATA, nodata=0)
    table = desk / "table.toml"
    table.write_text('[[source]]\nfiles = "a_*"\nbands = ["red"]\nscale = 1e-4\noffset = 0.0\n')
    seen = []
    report = index_folder(data, desk / "items.parquet", side_table=table, progress=seen.append)
    assert seen == ["a_20240101.tif"]
    assert sorted(p.name for p in data.iterdir()) == ["a_20240101.tif"]
    (item,) = found(report.path, ["red"]).items
    assert item.bands["red"].href == str(data / "a_20240101.tif")
    near = index_folder(data, data / "items.parquet", side_table=table)
    moved = tmp_path / "moved"
    data.rename(moved)
    (item,) = found(moved / near.path.name, ["red"]).items
    assert item.bands["red"].href == str(moved / "a_20240101.tif")


def test_time_stack_and_mask_become_one_item_a_date(make, tmp_path):
    stack = np.stack([DATA, DATA + 10, DATA + 20])
    make.tif(tmp_path / "red.tif", stack, nodata=0)
    make.tif(tmp_path / "cloud.tif", (stack % 2).astype("uint8"))
    (tmp_path / "dates.csv").write_text(
        "layer,day,sensor\n1,2024-01-01,X\n2,2024-02-01,Y\n3,2024-03-01,X\n"
    )
    common = 'bands = "dates.csv"\nindex_column = "layer"\ndate_column = "day"\n'
    more = 'platform_column = "sensor"\nplatforms = { X = "landsat-8" }\n'
    (tmp_path / "index.toml").write_text(
        f'collection = "c"\n[[source]]\nfiles = "red.tif"\nband = "red"\n{common}{more}'
        f'[[source]]\nfiles = "cloud.tif"\nrole = "mask"\nband = "cloud"\n{common}{more}'
    )
    items = found(index_folder(tmp_path).path, ["red", "cloud"]).items
    assert [i.id for i in items] == ["c_20240101", "c_20240201", "c_20240301"]
    assert [i.platform for i in items] == ["landsat-8", "Y".lower(), "landsat-8"]
    assert items[1].bands["red"].index == 2
    cube = load_cube(items, geobox=make.grid(60, 80), bands=["red", "cloud"])
    assert np.array_equal(cube["red"].values, stack)
    assert np.array_equal(cube["cloud"].values, stack % 2)


def test_stack_rows_must_match_the_layers(make, tmp_path):
    make.tif(tmp_path / "red.tif", np.stack([DATA, DATA]))
    (tmp_path / "dates.csv").write_text("band,datetime\n1,2024-01-01\n")
    table = tmp_path / "index.toml"
    table.write_text('[[source]]\nfiles = "red.tif"\nband = "red"\nbands = "dates.csv"\n')
    with pytest.raises(CatalogError, match=r"has 2 layers where dates.csv dates 1"):
        index_folder(tmp_path)
    (tmp_path / "dates.csv").write_text("band,datetime\n1,soon\n0,2024-01-01\n")
    with pytest.raises(ConfigError, match=r"(?s)line 2.*line 3: layer number 0"):
        index_folder(tmp_path)
    (tmp_path / "dates.csv").write_text("layer,when\n1,2024-01-01\n")
    with pytest.raises(ConfigError, match=r"(?s)column 'band'.*column 'datetime'"):
        index_folder(tmp_path)


def test_dem_records_its_vertical_datum(make, tmp_path):
    make.tif(tmp_path / "heights.tif", DATA.astype("float32"))
    (tmp_path / "index.toml").write_text(
        '[[source]]\nfiles = "heights.tif"\nrole = "dem"\ndatetime = 2020-01-01\n'
        'vertical_datum = "EPSG:5773"\n'
    )
    (item,) = found(index_folder(tmp_path).path, ["dem"]).items
    assert item.properties["vertical_datum"] == "EPSG:5773"


def test_clashing_files_are_refused(make, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        make.tif(tmp_path / folder / "a_20240101.tif", FOUR, descriptions=("red", *"xyz"))
    (tmp_path / "index.toml").write_text(
        '[[source]]\nfiles = "*.tif"\nbands = ["blue", "green", "red", "nir"]\n'
    )
    report = index_folder(tmp_path)
    assert report.written == 1
    assert {r.item_id for r in report.refused} == {"two/a_20240101.tif"}
    assert "repeats band blue of one/a_20240101.tif" in report.refused[0].reason


def test_side_table_mistakes_are_all_shown(tmp_path):
    path = tmp_path / "index.toml"
    path.write_text(
        'colection = "x"\n[[source]]\nfiles = "a"\nscale = 1e-4\n'
        '[[source]]\nfiles = "b"\nrole = "photo"\n[[source]]\nbands = ["red"]\n'
        '[[source]]\nfiles = "c"\nrole = "dem"\n[[source]]\nfiles = "d"\nbands = "dates.csv"\n'
    )
    with pytest.raises(ConfigError) as failure:
        read_side_table(path)
    text = str(failure.value)
    for expected in ("colection", "scale and offset", "role", "files", "vertical_datum", "band"):
        assert expected in text
    assert len(failure.value.problems) == 6


def test_catalogue_is_the_same_every_time(make, tmp_path):
    make.tif(tmp_path / "a_20240101.tif", FOUR, descriptions=("blue", "green", "red", "nir"))
    first = index_folder(tmp_path, tmp_path / "out" / "x.parquet").path.read_bytes()
    assert index_folder(tmp_path, tmp_path / "out" / "x.parquet").path.read_bytes() == first


@pytest.mark.shared
def test_taizhou(make, shared_data, tmp_path):
    folder = shared_data / "taizhou_landsat"
    out = tmp_path / "items.parquet"
    report = index_folder(folder, out, side_table=CONFIGS / "taizhou.toml")
    assert (report.written, report.refused, len(report.ignored)) == (2, (), 6)
    names = ["blue", "green", "red", "nir", "swir16", "swir22"]
    items = found(out, names).items
    assert [i.datetime.date().isoformat() for i in items] == ["2000-03-17", "2003-02-06"]
    geobox = make.grid(400, 400, pixel=30.0, left=203325.0, top=3604935.0, crs="EPSG:32651")
    cube = load_cube(items, geobox=geobox, bands=names)
    for step, name in enumerate(("t1_20000317_etm.tif", "t2_20030206_etm.tif")):
        with rasterio.open(folder / name) as source:
            pixels = source.read()
        # 0 may mark ground outside a scene because no pixel has it
        assert pixels.min() > 0
        assert np.array_equal(cube.to_array().values[:, step], pixels)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "table", "count", "first", "last", "band", "file"),
    [
        (
            "slovenia_eopatch",
            "slovenia",
            68,
            "2015-07-11",
            "2017-12",
            "ndvi",
            "ndvi_68dates.tif",
        ),
        (
            "colorado_landsat_timeseries",
            "colorado",
            105,
            "2008-04-19",
            "2013",
            "red",
            "b3_105dates.tif",
        ),
    ],
)
def test_real_time_stacks(shared_data, tmp_path, folder, table, count, first, last, band, file):
    out = tmp_path / "items.parquet"
    report = index_folder(shared_data / folder, out, side_table=CONFIGS / f"{table}.toml")
    assert (report.written, report.refused) == (count, ())
    items = found(out, [band]).items
    stamps = [i.datetime.isoformat() for i in items]
    assert stamps[0].startswith(first)
    assert stamps[-1].startswith(last)
    with rasterio.open(shared_data / folder / file) as source:
        geobox = GeoBox(source.shape, source.transform, source.crs.to_string())
        expected = source.read()
    layers = {i.id: expected[i.bands[band].index - 1] for i in items}
    cube = load_cube(items, geobox=geobox, bands=[band])
    looks = [look.split(";") for look in cube["item_ids"].values]
    assert sorted(name for look in looks for name in look) == sorted(layers)
    # the stack of Slovenia has one day with two dates: the first valid value counts
    firsts = [layers[look[0]] for look in looks]
    lasts = [layers[look[-1]] for look in looks]
    merged = np.where(np.isnan(firsts), lasts, firsts)
    assert np.array_equal(cube[band].values, merged, equal_nan=True)


@pytest.mark.shared
def test_jpeg_2000_bands_at_three_resolutions(make, shared_data, tmp_path):
    out = tmp_path / "items.parquet"
    assert index_folder(shared_data / "brandenburg_s2_l1c", out).written == 1
    (item,) = found(out, ["red", "swir16", "coastal"]).items
    assert (item.shape, len(item.bands)) == ((768, 1536), 13)
    assert item.bands["red"].scale == 1.0  # baseline unknown: no reflectance is claimed
    geobox = make.grid(768, 1536, left=330000.0, top=5822040.0, crs="EPSG:32633")
    window = (slice(100, 164), slice(200, 264))
    cube = load_cube([item], geobox=geobox, bands=["red", "swir16"], window=window)
    with rasterio.open(item.bands["red"].href) as source:
        assert np.array_equal(cube["red"].values[0], source.read(1)[window])
    assert cube["swir16"].values.all()


@pytest.mark.shared
def test_brandenburg_with_its_side_table_is_reflectance(make, shared_data, tmp_path):
    out = tmp_path / "items.parquet"
    table = CONFIGS / "brandenburg.toml"
    report = index_folder(shared_data / "brandenburg_s2_l1c", out, side_table=table)
    assert (report.written, report.refused) == (1, ())
    (item,) = found(out).items
    assert len(item.bands) == 13
    assert {(b.scale, b.offset, b.nodata) for b in item.bands.values()} == {(1e-4, 0.0, 0.0)}
    geobox = make.grid(768, 1536, left=330000.0, top=5822040.0, crs="EPSG:32633")
    window = (slice(100, 164), slice(200, 264))
    names = ["coastal", "red", "rededge1", "swir22"]  # 60, 10, 20 and 20 m onto one grid
    cube = to_reflectance(load_cube([item], geobox=geobox, bands=names, window=window), names)
    with rasterio.open(item.bands["red"].href) as source:
        expected = source.read(1)[window].astype("float32") * np.float32(1e-4)
    assert np.allclose(cube["red"].values[0], expected, atol=1e-7)
    assert all(0 < float(cube[name].mean()) < 1 for name in names)


@pytest.mark.shared
def test_slovenia_carries_thirteen_bands_on_five_of_its_dates(shared_data, tmp_path):
    out = tmp_path / "items.parquet"
    folder = shared_data / "slovenia_eopatch"
    report = index_folder(folder, out, side_table=CONFIGS / "slovenia.toml")
    assert (report.written, report.refused) == (68, ())
    items = found(out, ["ndvi"]).items
    whole = [item for item in items if "swir16" in item.bands]
    days = [item.datetime.date().isoformat() for item in whole]
    assert days == ["2015-07-11", "2015-07-31", "2015-08-20", "2015-08-30", "2015-09-09"]
    assert {len(item.bands) for item in whole} == {15}
    assert {len(item.bands) for item in items if item not in whole} == {2}
    clear = whole[3]
    geobox = GeoBox(clear.shape, rasterio.Affine(*clear.transform), clear.crs)
    cube = load_cube([clear], geobox=geobox, bands=["red", "nir", "ndvi"])
    red, nir = (cube[name].values[0] for name in ("red", "nir"))
    # the folder's README: its NDVI is that of these files
    assert np.allclose(cube["ndvi"].values[0], (nir - red) / (nir + red), atol=1e-5)


@pytest.mark.shared
def test_mato_grosso_modis(shared_data, tmp_path):
    out = tmp_path / "items.parquet"
    folder = shared_data / "mato_grosso_modis_timeseries"
    report = index_folder(folder, out, side_table=CONFIGS / "mato-grosso.toml")
    assert (report.written, report.refused) == (137, ())
    items = found(out, ["ndvi", "evi", "red", "nir", "blue", "swir22"]).items
    days = [item.datetime.date().isoformat() for item in items]
    assert (days[0], days[-1]) == ("2007-09-14", "2013-08-29")
    band = items[0].bands["composite_day_of_the_year"]
    assert (band.categorical, band.scale) == (True, 1.0)
    with rasterio.open(folder / "ndvi_137dates.tif") as source:
        geobox = GeoBox(source.shape, source.transform, items[0].crs)
        expected = source.read() * 1e-4
    cube = to_reflectance(load_cube(items, geobox=geobox, bands=["ndvi"]), ["ndvi"])
    assert np.allclose(cube["ndvi"].values, expected, atol=1e-6)


@pytest.mark.shared
def test_florida_names_the_quality_band_of_its_collection(make, shared_data, tmp_path):
    out = tmp_path / "items.parquet"
    folder = shared_data / "florida_landsat8_cloudy"
    report = index_folder(folder, out, side_table=CONFIGS / "florida.toml")
    assert (report.written, report.refused) == (1, ())
    (item,) = found(out, ["red", "bqa"]).items
    assert item.bands["bqa"].categorical
    assert "qa_pixel" not in item.bands
    assert item.properties["rs_monitor:datetime_precision"] == "unknown"
    geobox = GeoBox(item.shape, rasterio.Affine(*item.transform), item.crs)
    cube = load_cube([item], geobox=geobox, bands=["red", "bqa"])
    with rasterio.open(folder / "l8_bqa.tif") as source:
        assert np.array_equal(cube["bqa"].values[0], source.read(1))
    with pytest.raises(QuantityError, match="without a reflectance scale"):
        to_reflectance(cube, ["red"])


@pytest.mark.shared
def test_costa_rica_has_a_scale_for_each_band(shared_data, tmp_path):
    out = tmp_path / "items.parquet"
    folder = shared_data / "costa_rica_l5_1986_2001"
    report = index_folder(folder, out, side_table=CONFIGS / "costa-rica.toml")
    assert (report.written, report.refused, len(report.ignored)) == (2, (), 2)
    old, new = found(out, ["red", "nir"]).items
    assert [old.bands[n].scale for n in ("blue", "red", "nir")] == [1e-5, 1e-5, 1e-4]
    assert old.properties["rs_monitor:datetime_precision"] == "day"
    assert new.properties["rs_monitor:datetime_precision"] == "unknown"
    geobox = GeoBox(old.shape, rasterio.Affine(*old.transform), old.crs)
    both = load_cube([old, new], geobox=geobox, bands=["red", "nir"])
    cube = to_reflectance(both, ["red", "nir"])
    ndvi = ((cube["nir"] - cube["red"]) / (cube["nir"] + cube["red"])).mean(("y", "x")).values
    assert ndvi == pytest.approx([0.76, 0.78], abs=0.01)  # the folder's README


@pytest.mark.shared
def test_image_with_the_offset_left_in(shared_data, tmp_path):
    out = tmp_path / "items.parquet"
    folder = shared_data / "sentinel2_boa_offset_quirk"
    report = index_folder(folder, out, side_table=CONFIGS / "sentinel2-boa-offset.toml")
    assert (report.written, report.refused) == (1, ())
    (item,) = found(out).items
    assert len(item.bands) == 12
    assert item.properties["rs_monitor:datetime_precision"] == "unknown"


def test_bands_from_sensor_tables(make, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    eight = np.ones((8, 6, 5), "uint16")
    make.tif(folder / "GF6_WFV_E118.1_N31.2_20240101_L1A1120012345.tif", eight)
    make.tif(folder / "flight_20240501.tif", FOUR)
    table = tmp_path / "side.toml"
    table.write_text('[[source]]\nfiles = "flight_*.tif"\nsensor = "uav-rgbn"\n')
    out = tmp_path / "out" / "x.parquet"
    report = index_folder(folder, out, side_table=table)
    assert (report.written, report.refused) == (2, ())
    wide, flight = found(out).items
    assert {n: b.index for n, b in wide.bands.items()}["yellow"] == 8
    assert {n: b.index for n, b in flight.bands.items()} == {
        "red": 1,
        "green": 2,
        "blue": 3,
        "nir": 4,
    }
    # without calibration the numbers stay dn
    assert {(b.scale, b.offset) for i in (wide, flight) for b in i.bands.values()} == {(1.0, 0.0)}


def test_sensor_with_another_number_of_bands_is_refused(make, tmp_path):
    make.tif(tmp_path / "a_20240101.tif", FOUR)
    (tmp_path / "index.toml").write_text('[[source]]\nfiles = "*.tif"\nsensor = "gf6-wfv"\n')
    with pytest.raises(CatalogError, match=r"has 4 bands where the names are blue, .*yellow"):
        index_folder(tmp_path, tmp_path / "out" / "x.parquet")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("scale = [0.1, 0.1]\noffset = 0.0", "4 bands where the side table lists 2 scales"),
        ("scale = [1, 2, 3, 4]\noffset = [0, 0, 0]", "lists 4, 3 scales or offsets"),
    ],
)
def test_scales_must_fit_the_bands(make, tmp_path, lines, text):
    make.tif(tmp_path / "a_20240101.tif", FOUR, descriptions=("blue", "green", "red", "nir"))
    (tmp_path / "index.toml").write_text(f'[[source]]\nfiles = "*.tif"\n{lines}\n')
    with pytest.raises(CatalogError, match=text):
        index_folder(tmp_path, tmp_path / "out" / "x.parquet")


MTL = """GROUP = LANDSAT_METADATA_FILE
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
    RADIANCE_MULT_BAND_4 = 1.0091E-02
    REFLECTANCE_MULT_BAND_4 = 2.0000E-05
    REFLECTANCE_ADD_BAND_4 = {add}
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
  SUN_ELEVATION = 30.00000000
END_GROUP = LANDSAT_METADATA_FILE
END
"""
LEVEL1 = "LC08_L1TP_119038_20200101_20200823_02_T1"


def test_level_1_takes_its_coefficients_from_the_mtl_file(make, tmp_path):
    for band in ("B4", "B5", "QA_PIXEL"):
        make.tif(tmp_path / f"{LEVEL1}_{band}.TIF", np.ones((6, 5), "uint16"))
    (tmp_path / f"{LEVEL1}_MTL.txt").write_text(MTL.format(add="-0.100000"))
    out = tmp_path / "out" / "x.parquet"
    index_folder(tmp_path, out)
    (item,) = found(out).items
    # sin(30 degrees) = 1/2
    assert (item.bands["red"].scale, item.bands["red"].offset) == pytest.approx((4e-5, -0.2))
    assert (item.bands["nir"].scale, item.bands["qa_pixel"].scale) == (1.0, 1.0)


def test_a_broken_mtl_file_is_named(make, tmp_path):
    make.tif(tmp_path / f"{LEVEL1}_B4.TIF", np.ones((6, 5), "uint16"))
    (tmp_path / f"{LEVEL1}_MTL.txt").write_text(MTL.format(add="minus"))
    with pytest.raises(CatalogError, match=r"_MTL\.txt holds no number"):
        index_folder(tmp_path, tmp_path / "out" / "x.parquet")


def test_an_image_across_the_antimeridian(make, tmp_path):
    data = np.ones((200, 200), "uint16")
    spot = {"left": 165000.0, "top": 8200000.0, "crs": "EPSG:32701", "pixel": 200.0}
    make.tif(tmp_path / "a_20240101.tif", data, descriptions=("red",), **spot)
    out = tmp_path / "out" / "x.parquet"
    index_folder(tmp_path, out)
    (item,) = found(out).items
    assert item.footprint["type"] == "MultiPolygon"
    assert touches(item.footprint, bbox_parts((179.9, -17.0, -179.9, -16.0)))
    assert not touches(item.footprint, bbox_parts((100.0, -17.0, 110.0, -16.0)))
    raw = rustac.read_sync(str(out))["features"][0]
    assert raw["bbox"][0] > raw["bbox"][2]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"{SAFE}/T50RKV_20240101T025101_B04_10m.tif", "float32"),
        ("LC08_L2SP_119038_20200101_20200823_02_T1_SR_B4.TIF", "float32"),
        ("HLS.S30.T51RTQ.2023105T023551.v2.0.B04.tif", "float32"),
    ],
)
def test_a_side_table_outranks_the_specification_of_the_product(make, tmp_path, name, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    make.tif(path, np.full((6, 5), 0.25, kind))
    out = tmp_path / "out" / "x.parquet"
    table = tmp_path / "side.toml"
    table.write_text('[[source]]\nfiles = "*"\nscale = 1.0\noffset = 0.0\nnodata = nan\n')
    index_folder(tmp_path, out, side_table=table)
    (item,) = found(out).items
    red = item.bands["red"]
    assert (red.scale, red.offset, red.nodata) == (1.0, 0.0, None)
