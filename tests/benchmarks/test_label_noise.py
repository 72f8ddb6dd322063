import itertools

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import box

from benchmarks import label_noise as study
from rs_monitor.codes import CodeSystem, LandCover
from rs_monitor.maps.sample_parcels import survey_parcels

SIDE = 120
CODES = {"0101": 0, "0103": 1, "0404": 2, "1101": 3}


@pytest.fixture(scope="module")
def rules():
    shipped = study.shipped_rules()
    trees = shipped.classifier.model_copy(update={"trees": 15})
    return study.Rules(
        shipped.samples.model_copy(update={"block_m": 150.0}), shipped.cleaning, trees
    )


@pytest.fixture(scope="module")
def ground(rules):
    """Fields of 60 m of four classes that differ by three standard deviations of their own."""
    rng = np.random.default_rng(5)
    geobox = GeoBox((SIDE, SIDE), Affine(10, 0, 500_000, 0, -10, 3_500_000), "EPSG:32650")
    features = np.zeros((3, SIDE, SIDE), "float32")
    rows = []
    for row, col in itertools.product(range(0, SIDE, 6), repeat=2):
        code = str(rng.choice(list(CODES)))
        centre = np.array([CODES[code] % 2, CODES[code] // 2, 0]) * 3 + rng.normal(size=3)
        features[:, row : row + 6, col : col + 6] = centre[:, None, None]
        shape = box(*(geobox.affine * (col, row + 6)), *(geobox.affine * (col + 6, row)))
        rows.append({"land_code": code, "geometry": shape})
    features += rng.normal(scale=0.5, size=features.shape).astype("float32")
    survey = gpd.GeoDataFrame(rows, crs=geobox.crs)
    cores = survey_parcels(survey, geobox, system=CodeSystem.SURVEY3, rules=rules.samples).cores
    held_out = cores["block"] % 3 == 0
    return study.Ground(0, geobox, features, cores[~held_out], cores[held_out])


def test_training_and_test_share_no_block(ground):
    assert not set(ground.train["block"]) & set(ground.test["block"])
    assert min(len(ground.train), len(ground.test)) > 50


@pytest.mark.parametrize("kind", study.KINDS)
@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_exactly_so_many_parcels_are_wrong(kind, rate):
    truth = np.repeat(np.array([LandCover.PADDY, LandCover.FOREST, LandCover.WATER], "uint8"), 50)
    given = study.KINDS[kind](truth, rate, np.random.default_rng(0))
    assert (given != truth).sum() == round(rate * 150)
    if kind == "systematic":
        wrong = given != truth
        assert [study.CONFUSED[t] for t in truth[wrong]] == given[wrong].tolist()


def test_cleaning_wins_back_what_wrong_parcels_cost(ground, rules):
    found = [row for row, _ in study.cases(ground, rules, rates=(0.2,), per_class=300)]
    rows = pd.DataFrame(found).set_index(["noise", "training"])
    clean = rows.loc[("none", "cleaned")]
    assert clean["removed"] <= 0.05
    for kind in study.KINDS:
        before, after = rows.loc[(kind, "as surveyed")], rows.loc[(kind, "cleaned")]
        assert after["overall"] > before["overall"]
        assert after["precision"] > 0.7
        assert after["recall"] > 0.5
    table = study.summary(pd.DataFrame(found))
    assert table["of the parcels"].tolist() == ["0 %"] * 2 + ["20 %"] * 4
    assert table["parcels removed %"].iloc[0] == ""


def test_tables_name_the_classes(ground, rules):
    rows, tables = zip(*study.cases(ground, rules, rates=(), per_class=100), strict=True)
    assert len(rows) == 2
    wide = study.by_class(pd.concat(tables))
    assert list(wide.columns) == ["case", "paddy", "upland_crop", "grass", "water"]
    assert wide["case"].tolist() == ["no noise, as surveyed", "no noise, cleaned"]
