from dataclasses import replace

import numpy as np
import pytest
import rustac

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.band_names import band_name
from rs_monitor.imagery.calibration import calibration, fill_value
from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.families import Family, baseline_of, product_of
from rs_monitor.imagery.index import index_folder

SENTINEL2 = {"platform": "Sentinel-2A"}
LANDSAT = {"platform": "landsat-8"}


def product(identity="x", collection=None, **properties):
    return product_of({"id": identity, "collection": collection, "properties": properties})


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"s2:processing_baseline": "05.09"}, 5.09),
        ({"s2:processing_baseline": 5.09}, 5.09),
        ({"s2:processing_baseline": "N0214"}, 2.14),
        ({"sentinel:processing_baseline": "04.00"}, 4.0),
        ({"processing:version": "05.11", "product:type": "S2MSI2A"}, 5.11),
        ({"processing:version": "05.11"}, None),
        ({"processing:version": "2.1", "product:type": "TOC"}, None),
        ({"s2:product_uri": "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_2.SAFE"}, 3.01),
        ({"s2:processing_baseline": "99.99"}, None),
        ({"s2:processing_baseline": "unknown"}, None),
        ({}, None),
    ],
)
def test_baseline(properties, expected):
    assert baseline_of({"id": "x", "properties": properties}) == expected


@pytest.mark.parametrize(
    ("identity", "properties", "family"),
    [
        ("x", {**SENTINEL2, "s2:processing_baseline": "02.14"}, Family.SENTINEL2),
        ("x", SENTINEL2, Family.OTHER),
        ("LC08_L2SP_119038_20200101_20200823_02_T1", LANDSAT, Family.LANDSAT_C2_L2),
        ("LC08_L2SP_119038_20200101_02_T1", LANDSAT, Family.LANDSAT_C2_L2),
        ("LC08_L1TP_119038_20200101_20200823_01_T1", LANDSAT, Family.LANDSAT_L1),
        ("LC08_L2SP_119038_20200101_20200823_01_T1", LANDSAT, Family.OTHER),
        (
            "any",
            {**LANDSAT, "landsat:correction": "L2SR", "landsat:collection_number": "02"},
            Family.LANDSAT_C2_L2,
        ),
        ("any", LANDSAT, Family.OTHER),
        ("HLS.L30.T51RTQ.2023105T023551.v2.0", LANDSAT, Family.HLS_L30),
        ("any", {**LANDSAT, "odc:product": "ga_ls8c_ard_3"}, Family.DEA_ARD),
    ],
)
def test_family(identity, properties, family):
    assert product(identity, **properties).family is family


def test_offset_of_every_baseline_at_which_it_changes():
    for baseline, offset in (("02.04", 0.0), ("03.01", 0.0), ("04.00", -0.1), ("05.12", -0.1)):
        known = product(**SENTINEL2, **{"s2:processing_baseline": baseline})
        assert calibration("red", {}, known) == (1e-4, offset)
        assert calibration("red", {"scale": 1e-4, "offset": offset}, known) == (1e-4, offset)


def test_a_flag_does_not_excuse_an_impossible_offset():
    flagged = {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}
    known = product(**SENTINEL2, **flagged)
    assert calibration("red", {"scale": 1e-4, "offset": -0.1}, known) == (1e-4, 0.0)
    with pytest.raises(CatalogError, match=r"knows 0 and -0\.1"):
        calibration("red", {"scale": 1e-4, "offset": -0.7}, known)


def test_reflectance_stored_as_float_is_taken_as_declared():
    known = product(**SENTINEL2, **{"s2:processing_baseline": "05.09"})
    assert calibration("red", {"data_type": "float32"}, known) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (None, (2e-5, -0.1)),
        ("1", (2e-5, -0.1)),
        ("reflectance", (2e-5, -0.1)),
        ("W/m2/sr/um", (1.0, 0.0)),
        ("kelvin", (1.0, 0.0)),
    ],
)
def test_only_reflectance_is_taken_for_reflectance(unit, expected):
    fields = {"raster:scale": 2e-5, "raster:offset": -0.1, "unit": unit}
    assert calibration("red", fields, product(**LANDSAT)) == expected


def test_fill_values_come_from_the_specification():
    hls = product("HLS.S30.T51RTQ.2023105T023551.v2.0")
    assert [fill_value(n, hls) for n in ("red", "hls_fmask", "sza")] == [-9999.0, 255.0, None]
    assert fill_value("red", product(platform="uav")) is None


def test_one_number_is_another_band_with_another_provider():
    fields = {"name": "B05"}
    s30 = product("HLS.S30.T51RTQ.2023105T023551.v2.0", platform="sentinel-2a")
    l30 = product("HLS.L30.T51RTQ.2023105T023551.v2.0", platform="landsat-9")
    assert band_name("B05", fields, s30) == "rededge1"
    assert band_name("B05", fields, l30) == "nir"
    dea_landsat = product(**LANDSAT, **{"odc:product": "ga_ls8c_ard_3"})
    dea_sentinel2 = product(**SENTINEL2, **{"odc:product": "ga_s2am_ard_3"})
    assert band_name("nbart_swir_2", {}, dea_landsat) == "swir22"
    assert band_name("nbart_swir_2", {}, dea_sentinel2) == "swir16"
    assert band_name(None, {}, product()) is None


@pytest.mark.parametrize("offset", [0.0, -0.1])
def test_without_a_baseline_the_offsets_of_the_specification_are_taken(offset):
    fields = {"scale": 1e-4, "offset": offset, "data_type": "uint16"}
    assert calibration("red", fields, product(**SENTINEL2)) == (1e-4, offset)


def test_without_a_baseline_no_other_offset_is_believed():
    fields = {"scale": 1e-4, "offset": -0.7}
    for flags in ({}, {"earthsearch:boa_offset_applied": True}):
        with pytest.raises(CatalogError, match=r"offset -0\.7 \(-7000 DN\); .* knows 0 and -0\.1"):
            calibration("red", fields, product(**SENTINEL2, **flags))
    by_hand = replace(product(**SENTINEL2), by_hand=True)
    assert calibration("red", fields, by_hand) == (1e-4, -0.7)
    assert calibration("red", {**fields, "data_type": "float32"}, product(**SENTINEL2))[1] == -0.7
    assert calibration("aot", fields, product(**SENTINEL2)) == (1e-4, -0.7)
    assert calibration("red", fields, product(**LANDSAT)) == (1e-4, -0.7)


def test_what_a_side_table_states_is_taken_of_any_platform(make, tmp_path):
    make.tif(tmp_path / "a_20240501.tif", np.ones((6, 5), "uint16"))
    stated = 'platform = "sentinel-2a"\nbands = ["red"]\nscale = 1e-4\noffset = -0.7\n'
    (tmp_path / "index.toml").write_text(f'[[source]]\nfiles = "*"\n{stated}')
    report = index_folder(tmp_path, tmp_path / "x.parquet")
    (raw,) = rustac.read_sync(str(report.path))["features"]
    band = normalise_item(raw, base_href=str(report.path)).bands["red"]
    assert (band.scale, band.offset) == (1e-4, -0.7)
