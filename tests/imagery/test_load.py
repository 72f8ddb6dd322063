import datetime as dt
import pickle
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.errors import (
    CatalogError,
    ConfigError,
    NoObservations,
    QuantityError,
    ReadError,
)
from rs_monitor.imagery.catalog import SceneItem, normalise_item
from rs_monitor.imagery.index import index_folder
from rs_monitor.imagery.load import load_cube, load_dem, mosaic_dem, to_reflectance, valid_mask
from rs_monitor.imagery.search import search

pytestmark = pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")


def no_compute(*args, **kwargs):
    raise AssertionError("a pixel was read while the cube was described")


def values(items, geobox, **options):
    return load_cube(items, geobox=geobox, bands=["red"], **options)["red"].values


def targets(make):
    """Grids a 60 x 80 source of 10 m must be warped to."""
    corners = rasterio.warp.transform_bounds(
        make.CRS, "EPSG:32651", make.LEFT, make.TOP - 600, make.LEFT + 800, make.TOP
    )
    left, top = round(corners[0], -1) - 40, round(corners[3], -1) + 40
    return {
        "shifted": make.grid(75, 90, left=make.LEFT - 43, top=make.TOP + 27),
        "finer": make.grid(120, 160, pixel=5.0),
        "coarser": make.grid(30, 40, pixel=20.0),
        "other_zone": make.grid(80, 100, left=left, top=top, crs="EPSG:32651"),
    }


TARGETS = ("shifted", "finer", "coarser", "other_zone")


def test_same_grid_is_what_the_file_holds(make, scene, numbers):
    item = scene("a", numbers)
    cube = load_cube([item], geobox=make.grid(60, 80), bands=["red"])
    with rasterio.open(item.bands["red"].href) as source:
        assert np.array_equal(cube["red"].values[0], source.read(1))
    assert cube["red"].dtype == np.uint16
    assert cube["red"].attrs["nodata"] == 0
    assert cube.attrs["quantity"] == "dn"
    assert cube["item_ids"].values.tolist() == ["a"]
    assert cube["time"].values[0] == np.datetime64("2024-05-01T02:50:00", "ns")
    assert cube["x"].values[:2].tolist() == [make.LEFT + 5, make.LEFT + 15]
    assert cube["spatial_ref"].attrs["spatial_ref"].startswith("PROJCRS")


def test_shifted_same_grid_pads_with_nodata(make, scene, numbers):
    found = values([scene("a", numbers)], make.grid(70, 90, left=make.LEFT - 30, top=make.TOP + 20))
    assert np.array_equal(found[0, 2:62, 3:83], numbers)
    found[0, 2:62, 3:83] = 0
    assert not found.any()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic"])
def test_window_equals_slice_of_full_load(make, scene, numbers, monkeypatch, name, method):
    monkeypatch.setattr("rs_monitor.imagery.pixels.WARP_TILE_PX", 32)
    numbers[10:14, 20:31] = 0
    item, geobox = scene("a", numbers), targets(make)[name]
    full = values([item], geobox, resampling=method)
    assert (full != 0).mean() > 0.5
    window = (slice(7, 29), slice(11, 40))
    part = values([item], geobox, resampling=method, window=window, chunk_px=9)
    assert np.array_equal(part, full[(slice(None), *window)])


@pytest.mark.parametrize("name", TARGETS)
def test_chunking_changes_nothing(make, scene, numbers, monkeypatch, name):
    monkeypatch.setattr("rs_monitor.imagery.pixels.WARP_TILE_PX", 32)
    item, geobox = scene("a", numbers), targets(make)[name]
    loads = [values([item], geobox, chunk_px=chunk) for chunk in (1024, 64, 33, 10)]
    assert all(np.array_equal(loads[0], other) for other in loads[1:])


def test_warp_agrees_with_rasterio(make, scene, numbers):
    item, geobox = scene("a", numbers), targets(make)["other_zone"]
    expected = np.zeros(geobox.shape, dtype="uint16")
    rasterio.warp.reproject(
        numbers,
        expected,
        src_transform=rasterio.Affine(*item.transform),
        src_crs=item.crs,
        dst_transform=geobox.affine,
        dst_crs="EPSG:32651",
        src_nodata=0,
        dst_nodata=0,
        resampling=rasterio.enums.Resampling.bilinear,
    )
    found = values([item], geobox)[0]
    assert np.array_equal(found == 0, expected == 0)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 40  # GDAL's own tolerance


def test_half_pixel_shift_is_a_known_mean(make, scene):
    ramp = np.tile(np.arange(10, 810, 10, dtype="uint16"), (60, 1))
    found = values([scene("a", ramp)], make.grid(60, 79, left=make.LEFT + 5))[0]
    assert np.array_equal(found[30], np.arange(15, 805, 10))


def test_nodata_does_not_bleed(make, scene):
    data = np.full((60, 80), 500, dtype="uint16")
    data[:, 40:] = 0
    found = values([scene("a", data)], make.grid(60, 79, left=make.LEFT + 5))[0]
    assert set(np.unique(found)) == {0, 500}


def test_describing_reads_no_pixel(make, scene, numbers):
    item = scene("a", numbers, scale=0.0001, offset=-0.1)
    with dask.config.set(scheduler=no_compute):
        cube = load_cube([item], geobox=make.grid(60, 80), bands=["red"], chunk_px=16)
        reflectance = to_reflectance(cube, ["red"])
        valid_mask(cube["red"])
        with pytest.raises(AssertionError, match="a pixel was read"):
            reflectance.compute()


def test_keys_depend_on_the_request_only(make, scene, numbers):
    item = scene("a", numbers)
    one, same = (
        load_cube([item], geobox=make.grid(60, 80), bands=["red"])["red"].data.name
        for _ in range(2)
    )
    other = load_cube([item], geobox=make.grid(60, 81), bands=["red"])["red"].data.name
    assert one == same != other


def test_mosaic_keeps_the_first_valid_value(make, scene):
    first = np.full((60, 80), 11, dtype="uint16")
    first[:, 30:] = 0
    second = np.full((60, 80), 22, dtype="uint16")
    second[:20] = 0
    early = scene("b", first, when="2024-05-01T02:50:00Z")
    late = scene("a", second, when="2024-05-01T02:50:20Z")
    cube = load_cube([late, early], geobox=make.grid(60, 80), bands=["red"])
    found = cube["red"].values
    assert found.shape[0] == 1
    assert cube["item_ids"].values.tolist() == ["b;a"]
    expected = np.where(first != 0, first, second)
    assert np.array_equal(found[0], expected)
    assert (found == 0).sum() == 20 * 50


def test_solar_day_not_utc_day(make, scene, numbers):
    # 117 E is 7.8 h ahead of UTC: 15:00 and 17:00 UTC lie on two solar days, 17:00 and 03:00 on one
    times = ["2024-05-01T15:00:00Z", "2024-05-01T17:00:00Z", "2024-05-02T03:00:00Z"]
    items = [scene(f"i{n}", numbers, when=when) for n, when in enumerate(times)]
    cube = load_cube(items, geobox=make.grid(60, 80), bands=["red"])
    assert cube["item_ids"].values.tolist() == ["i0", "i1;i2"]


def test_platforms_and_calibrations_stay_apart(make, scene, numbers):
    items = [
        scene("a", numbers, scale=0.0001, offset=0.0),
        scene("b", numbers, scale=0.0001, offset=-0.1),
        scene("c", numbers, scale=0.0001, offset=0.0, platform="sentinel-2b"),
    ]
    cube = load_cube(items, geobox=make.grid(60, 80), bands=["red"])
    assert cube["item_ids"].values.tolist() == ["a", "b", "c"]
    assert "offset" not in cube["red"].attrs
    red = to_reflectance(cube, ["red"])["red"].values
    assert red[1] == pytest.approx(red[0] - 0.1, abs=1e-6)


def test_bands_of_two_resolutions(make, tmp_path, numbers):
    coarse = np.arange(1, 1201, dtype="uint16").reshape(30, 40)
    codes = np.where(coarse % 2, 4, 9).astype("uint8")
    fine = make.tif(tmp_path / "red.tif", numbers, nodata=0)
    grid20 = {"proj:shape": [30, 40], "proj:transform": [20.0, 0, make.LEFT, 0, -20.0, make.TOP]}
    swir = make.tif(tmp_path / "swir.tif", coarse, nodata=0, pixel=20.0)
    scl = make.tif(tmp_path / "scl.tif", codes, nodata=0, pixel=20.0)
    assets = {
        "red": {"href": fine, "dtype": "uint16", "nodata": 0},
        "swir16": {"href": swir, "dtype": "uint16", "nodata": 0, **grid20},
        "scl": {"href": scl, "dtype": "uint8", "nodata": 0, **grid20},
    }
    item = normalise_item(make.item("a", assets))
    assert item.bands["swir16"].shape == (30, 40)
    cube = load_cube([item], geobox=make.grid(60, 80), bands=["red", "swir16", "scl"])
    assert np.array_equal(cube["red"].values[0], numbers)
    # never an invented class, and each code covers its two by two pixels
    assert np.array_equal(cube["scl"].values[0], np.kron(codes, np.ones((2, 2), dtype="uint8")))
    assert cube["swir16"].values[0, 1, 1] == pytest.approx(coarse[0, 0] + 0.25 + 10, abs=1)


def test_time_stack(make, tmp_path):
    stack = np.random.default_rng(1).integers(1, 250, (3, 60, 80)).astype("uint8")
    path = make.tif(tmp_path / "stack.tif", stack, nodata=0)
    items = [
        normalise_item(
            make.item(
                f"d{k}",
                {"red": {"href": path, "dtype": "uint8", "nodata": 0, "rs_monitor:band_index": k}},
                when=f"2024-05-0{k}T12:00:00Z",
            )
        )
        for k in (1, 2, 3)
    ]
    assert np.array_equal(values(items[::-1], make.grid(60, 80)), stack)
    half = make.grid(60, 79, left=make.LEFT + 5)
    assert values(items, half, resampling="nearest").shape == (3, 60, 79)


def test_metadata_gaps_are_filled_from_the_header(make, scene, numbers):
    numbers[0, 0] = 0
    item = scene("a", numbers, declared=False)
    assert item.bands["red"].dtype is None
    with dask.config.set(scheduler=no_compute):
        cube = load_cube([item], geobox=make.grid(60, 80), bands=["red"])
    assert cube["red"].dtype == np.uint16
    assert cube["red"].attrs["nodata"] == 0
    assert not valid_mask(cube["red"]).values[0, 0, 0]


def test_disagreeing_sources_become_float(make, scene, numbers):
    early = scene("a", numbers)
    late = scene("b", numbers.astype("int16"), nodata=-9999, when="2024-06-01T02:50:00Z")
    geobox = make.grid(61, 80)
    cube = load_cube([early, late], geobox=geobox, bands=["red"])
    assert cube["red"].dtype == np.float32
    found = cube["red"].values
    assert np.array_equal(found[0, :60], found[1, :60])
    assert np.isnan(found[:, 60]).all()


def test_float_source_uses_nan(make, scene):
    data = np.linspace(0, 1, 4800, dtype="float32").reshape(60, 80)
    data[5, 5] = np.nan
    item = scene("a", data, nodata=None)
    found = values([item], make.grid(61, 80))
    assert np.array_equal(found[0, :60], data, equal_nan=True)
    assert np.isnan(found[0, 60]).all()
    shifted = values([item], make.grid(60, 79, left=make.LEFT + 5))[0]
    assert np.isfinite(shifted[20]).all()


def test_integer_without_nodata_must_cover_the_grid(make, scene, numbers):
    item = scene("a", numbers, nodata=None)
    assert np.array_equal(values([item], make.grid(60, 80))[0], numbers)
    inside = values([item], make.grid(50, 60, left=make.LEFT + 33))[0]
    assert inside.all()
    with pytest.raises(ReadError, match=r"item a, band red: .* declares no nodata value"):
        values([item], make.grid(60, 81))
    with pytest.raises(ReadError, match="ends inside the grid"):
        values([item], make.grid(60, 80, left=make.LEFT + 33))


def test_reflectance(make, scene, numbers):
    numbers[3, 4] = 0
    cube = load_cube(
        [scene("a", numbers, scale=0.0001, offset=-0.1)], geobox=make.grid(60, 80), bands=["red"]
    )
    out = to_reflectance(cube, ["red"])
    assert out.attrs["quantity"] == "reflectance"
    assert out["red"].dtype == np.float32
    expected = numbers * 1e-4 - 0.1
    expected[3, 4] = np.nan
    np.testing.assert_allclose(out["red"].values[0], expected, atol=1e-6)
    assert cube["red"].dtype == np.uint16
    with pytest.raises(QuantityError, match="got a cube of reflectance"):
        to_reflectance(out, ["red"])


def test_unscaled_integers_never_become_reflectance(make, scene, numbers):
    cube = load_cube([scene("a", numbers)], geobox=make.grid(60, 80), bands=["red"])
    with pytest.raises(QuantityError, match="band red of item a holds uint16 without a refl"):
        to_reflectance(cube, ["red"])


def test_refusals(make, scene, numbers, tmp_path):
    item, geobox = scene("a", numbers), make.grid(60, 80)
    with pytest.raises(NoObservations, match="no scenes"):
        load_cube([], geobox=geobox, bands=["red"])
    with pytest.raises(CatalogError, match="item a lacks nir; needed red, nir; it has red"):
        load_cube([item], geobox=geobox, bands=["red", "nir"])
    with pytest.raises(ConfigError, match="'sharp' is unknown"):
        load_cube([item], geobox=geobox, bands=["red"], resampling="sharp")
    with pytest.raises(ConfigError, match="empty or not contiguous"):
        load_cube([item], geobox=geobox, bands=["red"], window=(slice(70, 80), slice(0, 5)))
    wrong = replace(item, bands={"red": replace(item.bands["red"], dtype="uint8", nodata=-1.0)})
    with pytest.raises(CatalogError, match="nodata -1 cannot occur in uint8"):
        load_cube([wrong], geobox=geobox, bands=["red"])
    narrow = replace(item, bands={"red": replace(item.bands["red"], dtype="uint8")})
    with pytest.raises(ReadError, match="holds uint16 where the catalogue says uint8"):
        values([narrow], geobox)
    beyond = replace(item, bands={"red": replace(item.bands["red"], index=4)})
    with pytest.raises(ReadError, match="has 1 bands; needed band 4"):
        values([beyond], geobox)


def test_damaged_file_is_an_error_not_nodata(make, scene, numbers):
    item = scene("a", numbers)
    path = item.bands["red"].href
    with Path(path).open("r+b") as stream:
        stream.truncate(6000)
    for geobox in (make.grid(60, 80), make.grid(60, 79, left=make.LEFT + 5)):
        with pytest.raises(ReadError, match=r"item a, band red: .* could not be read"):
            values([item], geobox)


def test_scene_that_cannot_reach_a_chunk_is_not_opened(make, scene, numbers):
    near = scene("a", numbers)
    far = scene("b", numbers, left=make.LEFT + 50_000, when="2024-05-01T02:50:30Z")
    gone = replace(far, bands={"red": replace(far.bands["red"], href="/nowhere/b.tif")})
    assert np.array_equal(values([near, gone], make.grid(60, 80))[0], numbers)


def test_dem(make, tmp_path):
    heights = np.arange(4800, dtype="int16").reshape(60, 80)
    heights[0, 0] = -32768
    path = make.tif(tmp_path / "dem.tif", heights, nodata=-32768)
    with dask.config.set(scheduler=no_compute):
        dem = load_dem(path, geobox=make.grid(60, 81))
    assert isinstance(dem, xr.DataArray)
    assert dem.dtype == np.float32
    assert dem.dims == ("y", "x")
    found = dem.values
    assert np.isnan(found[0, 0])
    assert np.isnan(found[:, 80]).all()
    assert np.array_equal(found[1:, :80], heights[1:])
    fine = load_dem(path, geobox=make.grid(120, 160, pixel=5.0))
    # interpolated in float: neighbours of a ramp of 1 m a pixel lie half a metre apart
    assert np.diff(fine.values[60, 20:40]) == pytest.approx(0.5, abs=1e-4)
    window = (slice(10, 50), slice(20, 90))
    part = load_dem(path, geobox=make.grid(120, 160, pixel=5.0), window=window)
    assert np.array_equal(part.values, fine.values[window], equal_nan=True)


def test_chunks_far_beyond_the_file_are_unknown_ground(make, tmp_path):
    path = make.tif(tmp_path / "dem.tif", np.ones((60, 80), dtype="int16"), nodata=-32768)
    dem = load_dem(path, geobox=make.grid(60, 80).pad(200), chunk_px=64)
    found = dem.values
    assert np.isfinite(found).sum() == 60 * 80
    assert np.isfinite(found[200:260, 200:280]).all()


def test_items_survive_the_plan(scene, numbers):
    item = scene("a", numbers, scale=0.0001, offset=-0.1)
    assert SceneItem.from_dict(item.to_dict()) == item
    assert item.datetime == dt.datetime(2024, 5, 1, 2, 50, tzinfo=dt.UTC)


def test_declared_nodata_counts_in_a_warp_too(make, tmp_path):
    data = np.full((60, 80), 500, dtype="uint16")
    data[:, 40:] = 7
    path = make.tif(tmp_path / "silent.tif", data)
    asset = {"href": path, "dtype": "uint16", "nodata": 7}
    item = normalise_item(make.item("a", {"red": asset}))
    found = values([item], make.grid(60, 79, left=make.LEFT + 5))[0]
    assert set(np.unique(found)) == {7, 500}


def test_tasks_travel_to_other_processes(make, scene, numbers):
    cube = load_cube([scene("a", numbers)], geobox=make.grid(60, 80), bands=["red"], chunk_px=32)
    there = pickle.loads(pickle.dumps(cube))
    assert np.array_equal(there["red"].values[0], numbers)
    assert there["red"].data.name == cube["red"].data.name


def test_dem_items_of_a_catalogue_equal_the_file(tmp_path: Path) -> None:
    box = GeoBox((20, 24), Affine(10, 0, 600_000, 0, -10, 3_500_000), "EPSG:32650")
    heights = np.arange(480, dtype=np.float32).reshape(20, 24)
    heights[3, 4] = -9999
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": 20, "width": 24}
    profile |= {"crs": "EPSG:32650", "transform": box.affine, "nodata": -9999}
    with rasterio.open(tmp_path / "dem_20200101.tif", "w", **profile) as target:
        target.write(heights, 1)
    table = tmp_path / "index.toml"
    table.write_text(
        'collection = "dem"\n[[source]]\nfiles = "*.tif"\nrole = "dem"\nbands = ["dem"]\n'
        'vertical_datum = "EPSG:5773"\n'
    )
    index_folder(tmp_path, tmp_path / "items.parquet")
    found = search(
        "geoparquet",
        str(tmp_path / "items.parquet"),
        collections=("dem",),
        bbox=None,
        start=dt.date(1970, 1, 1),
        end=dt.date(2100, 1, 1),
        max_cloud_fraction=1.0,
        bands=["dem"],
    )
    padded = box.pad(1)
    from_items = mosaic_dem(found.items, geobox=padded)
    from_file = load_dem(tmp_path / "dem_20200101.tif", geobox=padded)
    np.testing.assert_array_equal(from_items.values, from_file.values)
    assert np.isnan(from_items.values[4, 5])
    assert np.isnan(from_items.values[0]).all()
    assert found.items[0].properties["vertical_datum"] == "EPSG:5773"
