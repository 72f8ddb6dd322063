import xml.etree.ElementTree as ET

import numpy as np
import pytest
import rasterio

from rs_monitor.codes import LAND_COVER_STYLE, LandCover
from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError, ReadError
from rs_monitor.outputs.raster import read_geobox, read_raster, write_cog


def classes(geobox):
    return (np.arange(geobox.shape.y * geobox.shape.x) % 14).astype("uint8").reshape(geobox.shape)


@pytest.mark.parametrize(("size", "overviews"), [((200, 240), [2]), ((700, 1100), [2, 4, 8])])
def test_class_raster_is_a_complete_cog(tmp_path, geobox, size, overviews):
    grid = geobox.expand(size)
    path = write_cog(
        tmp_path / "land_cover_after.tif",
        classes(grid),
        grid,
        nodata=0,
        band_names=["land_cover"],
        style=LAND_COVER_STYLE,
        tags={"run_id": "demo-0"},
    )
    with rasterio.open(path) as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.block_shapes == [(256, 256)]
        assert source.overviews(1) == overviews
        assert source.crs.to_epsg() == 4524
        assert source.transform == grid.affine
        assert source.nodata == 0
        assert source.descriptions == ("land_cover",)
        assert source.colormap(1)[int(LandCover.BUILT)][:3] == (214, 58, 58)
        tags = source.tags()
        assert set(np.unique(source.read(1, out_shape=(1, 50, 60)))) <= set(range(14))
    assert tags["run_id"] == "demo-0"
    assert tags["flag_values"].split()[:2] == ["1", "2"]
    assert tags["flag_meanings"].split()[0] == "paddy"


def test_style_stands_beside_class_rasters_only(tmp_path, geobox):
    pixels = classes(geobox)
    common = {"nodata": 0, "band_names": ["b"]}
    write_cog(tmp_path / "a.tif", pixels, geobox, style=LAND_COVER_STYLE, **common)
    write_cog(tmp_path / "b.tif", pixels, geobox, **common)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.qml", "a.tif", "b.tif"]
    entries = ET.parse(tmp_path / "a.qml").findall(".//paletteEntry")
    assert len(entries) == len(LAND_COVER_STYLE)
    assert entries[0].attrib == {
        "value": "1",
        "label": "paddy 水田",
        "color": "#a8d5e2",
        "alpha": "255",
    }


def test_averaged_overviews_leave_nodata_out(tmp_path, geobox):
    pixels = np.full((2, *geobox.shape), 0.25, dtype="float32")
    pixels[:, ::2, ::2] = np.nan
    path = write_cog(
        tmp_path / "a.tif",
        pixels,
        geobox,
        nodata=np.nan,
        band_names=["red", "nir"],
        overview="average",
    )
    with rasterio.open(path, overview_level=0) as overview:
        np.testing.assert_array_equal(overview.read(1), np.float32(0.25))


def test_reading_gives_back_what_was_written(tmp_path, geobox):
    pixels = np.random.default_rng(0).random((2, *geobox.shape)).astype("float32")
    path = write_cog(tmp_path / "a.tif", pixels, geobox, nodata=np.nan, band_names=["red", "nir"])
    data, grid, names = read_raster(path)
    np.testing.assert_array_equal(data, pixels)
    assert names == ("red", "nir")
    assert grid == geobox == read_geobox(path)


def test_one_band_is_read_with_three_dimensions(tmp_path, geobox):
    path = write_cog(tmp_path / "a.tif", classes(geobox), geobox, nodata=0, band_names=["b"])
    assert read_raster(path)[0].shape == (1, *geobox.shape)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": np.zeros((5, 5), "uint8")}, GridMismatch, "got an array of shape (1, 5, 5)"),
        ({"band_names": ["a", "b"]}, GridMismatch, "got 2 band names for 1 bands"),
        ({"data": "bool"}, QuantityError, "got dtype bool"),
        ({"nodata": 300}, QuantityError, "got nodata 300 for dtype uint8"),
        ({"nodata": np.nan}, QuantityError, "got nodata nan for dtype uint8"),
        ({"data": "int16", "style": LAND_COVER_STYLE}, QuantityError, "got dtype int16"),
        ({"geobox": "bare"}, MissingCRS, "got a grid without CRS"),
    ],
)
def test_unfit_products_are_refused_before_writing(tmp_path, geobox, changes, error, message):
    call = {"data": classes(geobox), "geobox": geobox, "nodata": 0, "band_names": ["b"]} | changes
    if isinstance(call["data"], str):
        call["data"] = classes(geobox).astype(call["data"])
    if call["geobox"] == "bare":
        call["geobox"] = type(geobox)(geobox.shape, geobox.affine, None)
    with pytest.raises(error) as caught:
        write_cog(tmp_path / "x.tif", **call)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_damaged_file_is_named(tmp_path):
    (tmp_path / "x.tif").write_bytes(b"II*\x00 not a raster")
    with pytest.raises(ReadError, match=r"x\.tif: got .*; needed a readable raster"):
        read_raster(tmp_path / "x.tif")
