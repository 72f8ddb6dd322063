from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from rs_monitor.config.rules import load_rules
from rs_monitor.errors import GridMismatch, QuantityError
from rs_monitor.imagery.masks import SceneClass
from rs_monitor.pipeline.rules import ImageryRules
from rs_monitor.review.series import patch_series
from tests.review.small_run import GEOBOX, VECTOR_CRS, outline

RULES = load_rules("imagery", Path(), ImageryRules).clear_sky.model_copy(
    update={"cloud_growth_m": 0.0, "cloud_opening_m": 0.0}
)
ROWS, COLUMNS = (20, 22), (30, 35)
PATCH = outline(ROWS, COLUMNS)
INSIDE = slice(*ROWS), slice(*COLUMNS)
CLEAR, CLOUD = SceneClass.VEGETATION, SceneClass.CLOUD_HIGH


def planes(red: int, nir: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Red, nir and classes: the patch as given, everything around it bare and clear."""
    shape = tuple(GEOBOX.shape)
    reds, nirs = np.full(shape, 3000), np.full(shape, 3000)
    reds[INSIDE], nirs[INSIDE] = red, nir
    return reds, nirs, np.full(shape, CLEAR)


def series(*items) -> pd.DataFrame:
    return patch_series(items, PATCH, GEOBOX, mask="scl", mask_band="scl", rules=RULES)


def test_only_pixels_of_the_patch_count(write_scene):
    item = write_scene("one", "2024-05-01T02:50:00Z", *planes(1000, 3000))
    table = series(item)
    assert table.index.tolist() == [pd.Timestamp("2024-05-01 02:50")]
    row = table.iloc[0]
    assert row["item_ids"] == "one"
    assert row["clear_fraction"] == 1.0
    assert row[["ndvi_mean", "ndvi_q10", "ndvi_q50", "ndvi_q90"]].tolist() == pytest.approx(
        [0.5] * 4, abs=1e-6
    )


def test_clouded_pixels_are_left_out_of_the_statistics(write_scene):
    red, nir, scl = planes(1000, 3000)
    bright = slice(20, 22), slice(30, 33)
    red[bright], nir[bright], scl[bright] = 5000, 5000, CLOUD
    row = series(write_scene("part", "2024-05-01T02:50:00Z", red, nir, scl)).iloc[0]
    assert row["clear_fraction"] == 0.4
    assert row["ndvi_mean"] == pytest.approx(0.5, abs=1e-6)


def test_a_look_that_saw_nothing_keeps_its_row_without_a_value(write_scene):
    red, nir, scl = planes(5000, 5000)
    scl[INSIDE] = CLOUD
    table = series(
        write_scene("later", "2024-06-01T02:50:00Z", *planes(1000, 3000)),
        write_scene("cloud", "2024-05-01T02:50:00Z", red, nir, scl),
    )
    assert list(table["item_ids"]) == ["cloud", "later"]
    assert list(table["clear_fraction"]) == [0.0, 1.0]
    assert table.filter(like="ndvi").iloc[0].isna().all()


def test_missing_pixels_are_not_seen(write_scene):
    red, nir, scl = planes(1000, 3000)
    red[20, 30:35] = 0
    row = series(write_scene("gap", "2024-05-01T02:50:00Z", red, nir, scl)).iloc[0]
    assert row["clear_fraction"] == 0.5


def test_quantiles_are_those_of_the_pixels(write_scene):
    red, nir, scl = planes(1000, 1000)
    nir[20, 30:35] = 3000
    row = series(write_scene("half", "2024-05-01T02:50:00Z", red, nir, scl)).iloc[0]
    assert row["ndvi_mean"] == pytest.approx(0.25, abs=1e-6)
    assert row["ndvi_q10"] == pytest.approx(0.0, abs=1e-6)
    assert row["ndvi_q90"] == pytest.approx(0.5, abs=1e-6)


def test_an_outline_that_went_through_another_crs_keeps_its_pixels(write_scene):
    import geopandas as gpd

    there = gpd.GeoSeries([PATCH], crs=str(GEOBOX.crs)).to_crs(VECTOR_CRS)
    back = there.to_crs(str(GEOBOX.crs)).iloc[0]
    item = write_scene("one", "2024-05-01T02:50:00Z", *planes(1000, 3000))
    table = patch_series([item], back, GEOBOX, mask="none", rules=RULES)
    assert table["ndvi_q10"].iloc[0] == pytest.approx(0.5, abs=1e-6)


def test_a_displaced_scene_is_read_where_its_content_lies(write_scene):
    moved = [np.roll(plane, (3, -2), axis=(0, 1)) for plane in planes(1000, 3000)]
    item = write_scene("moved", "2024-05-01T02:50:00Z", *moved)
    ways = {"mask": "scl", "mask_band": "scl", "rules": RULES}
    assert series(item)["ndvi_mean"].iloc[0] == pytest.approx(0.0, abs=1e-6)
    told = patch_series([item], PATCH, GEOBOX, shifts={"moved": (3.0, -2.0)}, **ways)
    assert told["ndvi_q10"].iloc[0] == pytest.approx(0.5, abs=1e-6)


def test_a_patch_of_another_place_is_refused(write_scene):
    item = write_scene("one", "2024-05-01T02:50:00Z", *planes(1000, 3000))
    far = shapely.box(117.0, 31.0, 117.1, 31.1)
    with pytest.raises(GridMismatch, match="holds no pixel centre"):
        patch_series([item], far, GEOBOX, mask="none", rules=RULES)


def test_numbers_without_a_reflectance_scale_are_refused(write_scene):
    item = write_scene("one", "2024-05-01T02:50:00Z", *planes(1000, 3000))
    raw = {
        name: type(band)(name, band.href, band.index, "uint16", 0)
        for name, band in item.bands.items()
    }
    plain = type(item).from_dict(
        item.to_dict() | {"bands": {n: b.to_dict() for n, b in raw.items()}}
    )
    with pytest.raises(QuantityError, match="without a reflectance scale"):
        patch_series([plain], PATCH, GEOBOX, mask="none", rules=RULES)
