import datetime as dt

import pytest

from rs_monitor.imagery.naming import generic_day, noon_utc, parse_name

SAFE = "S2A_MSIL2A_20240101T025101_N0510_R132_T50RKV_20240101T061531.SAFE"


def test_sentinel2_band_inside_its_product():
    found = parse_name([SAFE, "GRANULE", "R10m", "T50RKV_20240101T025101_B04_10m.jp2"])
    assert found.product == SAFE.removesuffix(".SAFE")
    assert (found.bands, found.platform, found.collection) == (
        ("red",),
        "sentinel-2a",
        "sentinel-2-l2a",
    )
    assert found.when == dt.datetime(2024, 1, 1, 2, 51, 1, tzinfo=dt.UTC)
    assert (found.scale, found.offset, found.nodata) == (0.0001, -0.1, 0)


def test_old_baseline_has_no_offset_and_classes_have_no_scale():
    old = SAFE.replace("N0510", "N0301")
    assert parse_name([old, "T50RKV_20240101T025101_B8A_20m.jp2"]).offset == 0.0
    scl = parse_name([SAFE, "T50RKV_20240101T025101_SCL_20m.jp2"])
    assert (scl.bands, scl.scale) == (("scl",), None)
    assert parse_name([SAFE, "T50RKV_20240101T025101_TCI_10m.jp2"]).preview


def test_bare_sentinel2_band_does_not_guess_its_baseline():
    found = parse_name(["T33UUU_20170216T102101_B11.jp2"])
    assert (found.bands, found.scale, found.offset) == (("swir16",), None, None)


@pytest.mark.parametrize(
    ("name", "platform", "bands", "scale"),
    [
        ("LC08_L2SP_119038_20200101_20200823_02_T1_SR_B4", "landsat-8", ("red",), 0.0000275),
        ("LE07_L2SP_119038_20200101_20200823_02_T1_SR_B4", "landsat-7", ("nir",), 0.0000275),
        ("LC09_L2SP_119038_20240101_20240823_02_T1_QA_PIXEL", "landsat-9", ("qa_pixel",), None),
        ("LT05_L1TP_119038_19900101_20200823_02_T1_B7", "landsat-5", ("swir22",), None),
    ],
)
def test_landsat(name, platform, bands, scale):
    found = parse_name([f"{name}.TIF"])
    assert (found.platform, found.bands, found.scale) == (platform, bands, scale)
    assert found.day_only
    assert found.when.hour == 12


@pytest.mark.parametrize(
    ("name", "platform", "bands", "sensor"),
    [
        ("GF1_PMS1_E118.1_N31.2_20240101_L1A0001234567-MSS1.tiff", "gf1", (), "gf1-pms"),
        ("GF1_PMS1_E118.1_N31.2_20240101_L1A0001234567-PAN1.tiff", "gf1", ("pan",), None),
        ("GF1_WFV2_E118.1_N31.2_20240101_L1A0001234567.tiff", "gf1", (), "gf1-wfv"),
        ("GF1C_PMS_E118.1_N31.2_20240101_L1A0001234567-MUX.tiff", "gf1c", (), "gf1-pms"),
        ("GF2_PMS2_E118.1_N31.2_20240101_L1A0001234567-MSS2.tiff", "gf2", (), "gf2-pms"),
        ("GF6_PMS_E118.1_N31.2_20240101_L1A1120012345-MUX.tiff", "gf6", (), "gf6-pms"),
        ("GF6_WFV_E118.1_N31.2_20240101_L1A1120012345.tiff", "gf6", (), "gf6-wfv"),
        ("ZY3_MUX_E118.1_N31.2_20240101_L1A0001234567.tif", "zy3", (), "zy3-mux"),
        ("ZY302_MUX_E118.1_N31.2_20240101_L1A0001234567.tif", "zy302", (), "zy3-mux"),
        ("ZY302_NAD_E118.1_N31.2_20240101_L1A0001234567.tif", "zy302", ("pan",), None),
        ("GF4_PMS_E118.1_N31.2_20240101_L1A0001234567-MSS1.tiff", "gf4", (), None),
    ],
)
def test_chinese(name, platform, bands, sensor):
    found = parse_name([name])
    assert (found.platform, found.bands, found.sensor) == (platform, bands, sensor)
    assert found.when.date() == dt.date(2024, 1, 1)
    assert found.scale is None


@pytest.mark.parametrize(
    ("name", "collection", "bands", "scale", "nodata"),
    [
        ("LC08_L1TP_119038_20170101_20170218_01_T1_BQA", "landsat-c1-l1", "bqa", None, 1.0),
        ("LC08_L1TP_119038_20170101_20200823_02_T1_QA_PIXEL", "landsat-c2-l1", "qa_pixel", None, 1),
        ("HLS.L30.T51RTQ.2023105T023551.v2.0.B05", "hls-l30", "nir", 1e-4, -9999.0),
        ("HLS.S30.T51RTQ.2023105T023551.v2.0.B05", "hls-s30", "rededge1", 1e-4, -9999.0),
        ("HLS.S30.T51RTQ.2023105T023551.v2.0.Fmask", "hls-s30", "hls_fmask", None, 255.0),
        (
            "MOD13Q1.A2022001.h27v05.061.2022018175746_250m_16_days_NDVI",
            "modis-13q1",
            "ndvi",
            1e-4,
            -3000.0,
        ),
        (
            "MYD13Q1.A2022009.h27v05.061.2022026175746_250m_16_days_NIR_reflectance",
            "modis-13q1",
            "nir",
            1e-4,
            -1000.0,
        ),
    ],
)
def test_quality_bands_hls_and_modis(name, collection, bands, scale, nodata):
    found = parse_name([f"{name}.tif"])
    assert (found.collection, found.bands, found.scale) == (collection, (bands,), scale)
    assert found.nodata == nodata


def test_times_of_hls_and_modis():
    hls = parse_name(["HLS.L30.T51RTQ.2023105T023551.v2.0.B04.tif"])
    assert hls.when == dt.datetime(2023, 4, 15, 2, 35, 51, tzinfo=dt.UTC)
    modis = parse_name(["MOD13Q1.A2022001.h27v05.061.2022018175746_250m_16_days_EVI.tif"])
    assert modis.when == noon_utc(dt.date(2022, 1, 9))
    assert parse_name(["HLS.L30.T51RTQ.2023999T023551.v2.0.B04.tif"]) is None


@pytest.mark.parametrize(
    ("stem", "day"),
    [
        ("t1_20000317_etm", dt.date(2000, 3, 17)),
        ("village_20240229", dt.date(2024, 2, 29)),
        ("village_20230229", None),
        ("from_20240101_to_20240301", None),
        ("id_120240101", None),
        ("id_10001231", None),
        ("plain", None),
    ],
)
def test_generic_names(stem, day):
    assert generic_day(stem) == day
    assert parse_name([f"{stem}.tif"]) is None


@pytest.mark.parametrize("longitude", [-179.9, -105.0, 0.0, 119.0, 179.9])
def test_noon_utc_keeps_its_solar_day(longitude):
    day = dt.date(2024, 5, 1)
    assert (noon_utc(day) + dt.timedelta(hours=longitude / 15)).date() == day
