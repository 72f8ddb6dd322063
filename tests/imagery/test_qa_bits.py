"""Mask bands of the providers, value by value."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
import rasterio

from rs_monitor.codes import Sky
from rs_monitor.errors import MaskError
from rs_monitor.imagery.qa_bits import BESIDE_CLOUD, REFUSED, decode, sky_table

TABLE = tomllib.loads((Path(__file__).parent / "bqa_table.toml").read_text("utf-8"))["value"]
CONFIDENCE = {"not determined": 0, "no": 1, "maybe": 2, "yes": 3}

# Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619), table of QA_PIXEL values
QA_PIXEL_8_9 = {
    1: Sky.NOT_SEEN,
    21824: Sky.CLEAR,
    21826: BESIDE_CLOUD,
    21888: Sky.CLEAR,
    21890: BESIDE_CLOUD,
    22080: Sky.CLEAR,
    22144: Sky.CLEAR,
    22280: Sky.CLOUD,
    23888: Sky.SHADOW,
    23952: Sky.SHADOW,
    24088: Sky.CLOUD,
    24216: Sky.CLOUD,
    24344: Sky.CLOUD,
    24472: Sky.CLOUD,
    30048: Sky.SNOW,
    54596: Sky.CIRRUS,
    54852: Sky.CIRRUS,
    55052: Sky.CLOUD,
    # as delivered: bit 6 set over clear water, not set beside clouds
    21952: Sky.CLEAR,
    21762: BESIDE_CLOUD,
}
# Landsat 4-7 Collection 2 Level 2 Science Product Guide (LSDS-1618)
QA_PIXEL_4_7 = {
    5440: Sky.CLEAR,
    5442: BESIDE_CLOUD,
    5504: Sky.CLEAR,
    5506: BESIDE_CLOUD,
    5696: Sky.CLEAR,
    5760: Sky.CLEAR,
    5896: Sky.CLOUD,
    7440: Sky.SHADOW,
    7568: Sky.SHADOW,
    7696: Sky.SHADOW,
    7824: Sky.SHADOW,
    7960: Sky.CLOUD,
    8088: Sky.CLOUD,
    13664: Sky.SNOW,
}
# Landsat Collection 1 (LSDS-1873): Landsat 8, then Landsat 4-7
COLLECTION_1 = {
    1: Sky.NOT_SEEN,
    2720: Sky.CLEAR,
    2722: Sky.CLEAR,
    2732: Sky.CLEAR,
    2752: Sky.CLEAR,
    2800: Sky.CLOUD,
    2976: Sky.SHADOW,
    3744: Sky.SNOW,
    6816: Sky.CIRRUS,
    6896: Sky.CLOUD,
    672: Sky.CLEAR,
    752: Sky.CLOUD,
    928: Sky.SHADOW,
    1696: Sky.SNOW,
}


def words(*fields: tuple[int, tuple[int, ...]]) -> np.ndarray:
    """All combinations of (lowest bit, possible values)."""
    options = [[value << place for value in values] for place, values in fields]
    return np.array([sum(parts) for parts in itertools.product(*options)], dtype="uint16")


def legal_qa_pixel(cirrus: tuple[int, ...]) -> np.ndarray:
    """Every pixel Collection 2 can hold: flags follow the confidences, bits 1, 6, 7 are free."""
    bits = words((1, (0, 1)), (6, (0, 1)), (7, (0, 1)), (8, (1, 2, 3)), (10, (1, 3)), (12, (1, 3)))
    made = np.concatenate([bits | c << 14 for c in cirrus])
    high = {3: made >> 8 & 3 == 3, 4: made >> 10 & 3 == 3, 5: made >> 12 & 3 == 3}
    high[2] = made >> 14 == 3
    for place, flag in high.items():
        made |= flag.astype("uint16") << place
    return made


def legal_collection_1(cirrus: tuple[int, ...]) -> np.ndarray:
    bits = words((1, (0, 1)), (2, (0, 1, 2, 3)), (5, (1, 2, 3)), (7, (1, 3)), (9, (1, 3)))
    made = np.concatenate([bits | c << 11 for c in cirrus])
    cloud = (made >> 5 & 3 == 3).astype("uint16") << 4
    return np.concatenate([made | cloud, made])


def legal_before_collections() -> np.ndarray:
    pairs = (0, 1, 2, 3)
    return words(
        (1, (0, 1)), (2, (0, 1)), (4, pairs), (10, pairs), (12, (1, 2, 3)), (14, (1, 2, 3))
    )


def test_the_hand_written_table_is_the_bits():
    for row in TABLE:
        parts = {"water": 4, "cloud_shadow": 6, "snow": 10, "cirrus": 12, "cloud": 14}
        value = sum(CONFIDENCE[row[name]] << place for name, place in parts.items()) + row["fill"]
        assert value == row["bqa"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row["bqa"]))
def test_bqa_by_the_providers_guide(row):
    assert Sky(int(decode(np.array([row["bqa"]]), "bqa")[0])) == Sky[row["sky"].upper()]


def test_the_table_is_all_of_the_real_band(shared_data):
    with rasterio.open(shared_data / "florida_landsat8_cloudy" / "l8_bqa.tif") as source:
        band = source.read(1)
    counts = dict(zip(*map(np.ndarray.tolist, np.unique(band, return_counts=True)), strict=True))
    assert counts == {row["bqa"]: row["pixels"] for row in TABLE}
    assert (decode(band, "bqa") == Sky.CLEAR).sum() == 98763 + 152503


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("qa_pixel", QA_PIXEL_8_9),
        ("qa_pixel", QA_PIXEL_4_7),
        ("bqa", COLLECTION_1),
        ("fmask", {0: 1, 1: 1, 2: Sky.SHADOW, 3: Sky.SNOW, 4: Sky.CLOUD, 255: Sky.NOT_SEEN}),
        ("cloudmask", {0: Sky.CLEAR, 1: Sky.CLOUD, 255: Sky.NOT_SEEN}),
        (
            "hls_fmask",
            {
                0: Sky.CLEAR,
                0b0010_0000: Sky.CLEAR,
                0b1110_0000: Sky.CLEAR,
                0b0000_0001: Sky.CIRRUS,
                0b0000_0010: Sky.CLOUD,
                0b0000_0110: Sky.CLOUD,
                0b0000_0100: BESIDE_CLOUD,
                0b0000_1100: Sky.SHADOW,
                0b0001_0000: Sky.SNOW,
                255: Sky.NOT_SEEN,
            },
        ),
        (
            "scl",
            dict(enumerate([0, 0, 1, Sky.SHADOW, 1, 1, 1, 1, Sky.CLOUD, Sky.CLOUD, Sky.CIRRUS]))
            | {11: Sky.SNOW},
        ),
    ],
)
def test_values_of_the_guides(kind, values):
    decoded = decode(np.array(list(values), dtype="uint16"), kind)
    assert decoded.tolist() == [int(sky) for sky in values.values()]


@pytest.mark.parametrize("cirrus", [(1, 3), (0,)], ids=["landsat-8-9", "landsat-4-7"])
def test_no_legal_qa_pixel_is_refused(cirrus):
    assert (sky_table("qa_pixel")[legal_qa_pixel(cirrus)] != REFUSED).all()


@pytest.mark.parametrize("cirrus", [(1, 3), (0,)], ids=["landsat-8", "landsat-4-7"])
def test_every_pixel_of_collection_1_is_refused_as_qa_pixel(cirrus):
    made = legal_collection_1(cirrus)
    assert (sky_table("bqa")[made] != REFUSED)[: made.size // 2].all()
    assert (sky_table("qa_pixel")[made] == REFUSED).all()


def test_every_pixel_before_the_collections_is_refused_as_qa_pixel():
    made = legal_before_collections()
    assert (sky_table("bqa")[made] != REFUSED).all()
    assert (sky_table("qa_pixel")[made] == REFUSED).all()


def test_every_qa_pixel_is_refused_as_bqa():
    made = np.concatenate([legal_qa_pixel((1, 3)), legal_qa_pixel((0,))])
    assert (sky_table("bqa")[made] == REFUSED).all()


def test_the_refusal_names_values_and_what_they_are(shared_data):
    with rasterio.open(shared_data / "florida_landsat8_cloudy" / "l8_bqa.tif") as source:
        band = source.read(1)
    message = r"values 20480, 20512, 23552, 28672, 28704 and 8 more; .* values of bqa\)"
    with pytest.raises(MaskError, match=message):
        decode(band, "qa_pixel")
    with pytest.raises(MaskError, match=r"values 21824; .* of bqa \(they are values of qa_pixel\)"):
        decode(np.array([20480, 21824]), "bqa")


def test_classes_interpolated_as_numbers_are_refused():
    with pytest.raises(MaskError, match=r"values 6\.5; .* nearest neighbour"):
        decode(np.array([4, 6.5, np.nan]), "scl")
    with pytest.raises(MaskError, match="12, 300; needed values of scl"):
        decode(np.array([4, 12, 300], dtype="int16"), "scl")
    with pytest.raises(MaskError, match="values -3; needed values of fmask"):
        decode(np.array([-3, 0], dtype="int16"), "fmask")


def test_floats_and_nodata_are_read():
    assert decode(np.array([4, np.nan, 9], dtype="float32"), "scl").tolist() == [1, 0, 2]
    assert decode(np.array([1, 99], dtype="uint8"), "cloudmask", nodata=99).tolist() == [2, 0]
    # a nodata value that has a meaning of its own keeps it
    assert decode(np.array([0, 4], dtype="uint8"), "fmask", nodata=4).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "nodata"),
    [("cloudmask", 0), ("fmask", 0), ("fmask", 1), ("hls_fmask", 0), ("hls_fmask", 4), ("scl", 4)],
)
def test_nodata_that_is_ground_is_refused(kind, nodata):
    with pytest.raises(MaskError, match=f"got nodata {nodata} for .*; needed .*; remove that"):
        decode(np.array([0], dtype="uint8"), kind, nodata=nodata)


@pytest.mark.parametrize(
    ("kind", "nodata"),
    [
        *(("cloudmask", 255), ("fmask", 255), ("hls_fmask", 255), ("scl", 0), ("qa_pixel", 1)),
        *(("bqa", 1), ("qa_pixel", 0), ("fmask", -1), ("fmask", float("nan")), ("fmask", None)),
    ],
)
def test_nodata_that_is_not_ground_is_taken(kind, nodata):
    land = {"qa_pixel": 21824, "bqa": 20480, "scl": 4}.get(kind, 0)
    assert decode(np.array([land], dtype="uint16"), kind, nodata=nodata).tolist() == [Sky.CLEAR]
