"""The synthetic township: layers, truth tables and their agreement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox

from rs_monitor.synthetic import (
    CLAIM_CASES,
    EVENT_KINDS,
    LOOKALIKE_KINDS,
    SIZE_CLASSES,
    Township,
    make_township,
    size_class,
)

MU_M2 = 2000.0 / 3.0
GEOD = pyproj.Geod(a=6378137.0, rf=298.257222101)
SMALL = {"size_px": 160, "events_per_kind": 2, "lookalikes_per_kind": 2}


@pytest.fixture(scope="module")
def town() -> Township:
    return make_township(3, **SMALL)


@pytest.fixture(scope="module")
def again() -> Township:
    return make_township(3, **SMALL)


def geod_area_m2(frame) -> np.ndarray:
    lonlat = frame.geometry.to_crs("EPSG:4490")
    return np.array([abs(GEOD.geometry_area_perimeter(shape)[0]) for shape in lonlat])


def planted(town: Township) -> list[shapely.Geometry]:
    return [*town.events.geometry, *town.lookalikes.geometry, *town.claims.geometry]


def test_same_seed_gives_the_same_township(town, again):
    assert town.geobox == again.geobox
    assert_array_equal(town.dem_m, again.dem_m)
    assert town.acquisitions == again.acquisitions
    for name in ("events", "lookalikes", "claims", "claims_truth"):
        pd.testing.assert_frame_equal(getattr(town, name), getattr(again, name))
    for name, layer in town.layers.items():
        pd.testing.assert_frame_equal(layer, again.layers[name])


def test_another_seed_gives_another_township(town):
    other = make_township(4, **SMALL)
    assert not np.array_equal(town.dem_m, other.dem_m)
    assert not town.events.geometry.equals(other.events.geometry)
    assert town.acquisitions != other.acquisitions


def test_grid_is_ten_metres_on_whole_tens(town):
    assert str(town.geobox.crs).upper() == "EPSG:32650"
    assert town.geobox.shape == (160, 160)
    affine = town.geobox.affine
    assert (affine.a, affine.e) == (10.0, -10.0)
    assert affine.c % 10 == 0
    assert affine.f % 10 == 0
    assert town.dem_m.shape == (160, 160)
    assert town.dem_m.dtype == np.float32
    assert town.vertical_datum == "EPSG:5737"


def test_layers_come_in_the_delivered_crs(town):
    assert sorted(town.layers) == ["dltb", "pbf", "permits", "redline", "udb", "zones"]
    frames = [*town.layers.values(), town.events, town.lookalikes, town.claims]
    assert {frame.crs.to_epsg() for frame in frames} == {4548}
    assert all(frame.geometry.is_valid.all() and len(frame) for frame in frames)


def test_survey_tiles_the_township(town):
    survey = town.layers["dltb"]
    outlines = survey.geometry.to_numpy()
    assert shapely.coverage_is_valid(outlines)
    whole = shapely.union_all(outlines)
    assert whole.geom_type == "Polygon"
    assert len(whole.interiors) == 0
    assert survey.geometry.area.sum() == pytest.approx(whole.area, abs=0.01)
    scale = 0.9996**-2
    assert whole.area == pytest.approx(1600.0**2 * scale, rel=1e-5)


def test_survey_fields(town):
    survey = town.layers["dltb"]
    assert survey["BSM"].is_unique
    assert (survey["SJNF"] == 2023).all()
    assert survey["DLBM"].str.len().eq(4).all()
    np.testing.assert_allclose(survey["TBMJ"], geod_area_m2(survey), atol=0.006)
    arable = survey["DLBM"].str.startswith("01")
    assert survey.loc[arable, "GDPDJB"].isin(list("12345")).all()
    assert survey.loc[~arable, "GDPDJB"].isna().all()
    wanted = {"0101", "0102", "0103", "0201", "0301", "0404", "0601", "0602", "0701", "0702"}
    wanted |= {"1003", "1006", "1101", "1104", "1202", "1206"}
    assert wanted <= set(survey["DLBM"])


def test_basic_farmland_is_a_part_of_the_arable_land(town):
    farmland = town.layers["pbf"]
    assert farmland["DLBM"].str.startswith("01").all()
    assert farmland["YJJBNTTBBH"].is_unique
    arable = town.layers["dltb"]["DLBM"].str.startswith("01").sum()
    assert 0.4 * arable < len(farmland) < 0.9 * arable


def test_every_kind_is_planted(town):
    assert town.events["kind"].value_counts().to_dict() == dict.fromkeys(EVENT_KINDS, 2)
    assert town.lookalikes["kind"].value_counts().to_dict() == dict.fromkeys(LOOKALIKE_KINDS, 2)
    assert town.claims_truth["case"].value_counts().to_dict() == dict.fromkeys(CLAIM_CASES, 2)


def test_event_sizes_are_in_range_and_spread_over_the_logarithm():
    town = make_township(5, size_px=320, events_per_kind=6, lookalikes_per_kind=2)
    mu = town.events["area_m2"].to_numpy() / MU_M2
    assert mu.min() >= 0.2
    assert mu.max() <= 20.0
    place = np.sort(np.log(mu / 0.2) / np.log(100.0))
    uniform = (np.arange(mu.size) + 0.5) / mu.size
    assert np.abs(place - uniform).max() < 0.05
    np.testing.assert_allclose(town.events["area_m2"], geod_area_m2(town.events), atol=0.006)


@pytest.mark.parametrize(
    ("mu", "name"),
    [(0.2, "0.2-1"), (1.0, "1-2.4"), (2.4, "2.4-5"), (9.99, "5-10"), (20.0, "10-20")],
)
def test_size_classes(mu, name):
    assert size_class(mu * MU_M2 + 1e-9) == name
    assert name in SIZE_CLASSES


def test_events_happen_in_the_winter(town):
    assert town.events["date"].between("2024-11-05", "2025-02-20").all()


def test_planted_things_keep_apart_and_inside_the_zones(town):
    shapes = planted(town)
    tree = shapely.STRtree(shapes)
    first, second = tree.query(shapes, predicate="dwithin", distance=30.0)
    assert_array_equal(first, second)
    zones = shapely.union_all(town.layers["zones"].geometry.to_numpy())
    assert all(zones.covers(shape) for shape in shapes)


def test_zones_share_a_border_without_overlap(town):
    one, two = town.layers["zones"].geometry
    assert one.intersection(two).area == pytest.approx(0.0, abs=1e-3)
    assert one.intersection(two).length > 1000.0
    assert town.layers["zones"]["zone_id"].tolist() == ["Z01", "Z02"]


@pytest.mark.parametrize(
    ("kinds", "classes", "least"),
    [
        (("building", "pond", "orchard", "greenhouse", "abandonment", "earthwork"), ("01",), 0.9),
        (("road",), ("01",), 0.8),
        (("forest_clearing",), ("0301", "0302", "0201"), 0.9),
    ],
)
def test_events_lie_on_plausible_land(town, kinds, classes, least):
    survey = town.layers["dltb"]
    land = shapely.union_all(survey.geometry[survey["DLBM"].str.startswith(classes)].to_numpy())
    for shape in town.events.geometry[town.events["kind"].isin(kinds)]:
        assert land.intersection(shape).area > least * shape.area - 700.0 * 0.1


def test_new_fields_and_claims_lie_on_land_surveyed_as_not_arable(town):
    survey = town.layers["dltb"]
    arable = shapely.union_all(survey.geometry[survey["DLBM"].str.startswith("01")].to_numpy())
    new = town.events.geometry[town.events["kind"] == "new_arable"]
    for shape in [*new, *town.claims.geometry]:
        assert arable.intersection(shape).area < 0.01 * shape.area


def test_surveyed_claims_state_the_area_of_their_polygon(town):
    claims = town.claims
    surveyed = claims["area_source"] == "surveyed"
    areas = geod_area_m2(claims)
    np.testing.assert_allclose(claims["claimed_area_m2"][surveyed], areas[surveyed], atol=0.006)
    assert (claims["claimed_area_m2"][~surveyed] < areas[~surveyed]).all()
    assert claims.loc[surveyed, "survey_id"].notna().all()
    assert claims.loc[~surveyed, "survey_id"].isna().all()


def test_claims_truth_agrees_with_the_cases(town):
    truth = town.claims.merge(town.claims_truth, on="claim_id")
    share = truth["changed_area_m2"] / geod_area_m2(truth)
    by_case = {case: share[truth["case"] == case] for case in CLAIM_CASES}
    assert (by_case["false"] == 0.0).all()
    assert by_case["half"].between(0.4, 0.6).all()
    for case in ("true", "too_small", "not_yet_cropped"):
        np.testing.assert_allclose(by_case[case], 1.0, rtol=1e-4)
    assert ((share > 0) == truth["is_change"]).all()
    small = geod_area_m2(truth)[truth["case"] == "too_small"] / MU_M2
    assert ((small >= 0.3) & (small <= 0.8)).all()


def test_permitted_buildings_have_an_earlier_permit_and_no_event_has(town):
    permits = town.layers["permits"]
    conversion = permits[permits["kind"] == "conversion"]
    built = town.lookalikes[town.lookalikes["kind"] == "permitted_building"]
    for row in built.itertuples():
        cover = conversion[conversion.geometry.covers(row.geometry)]
        assert (cover["approved_on"] < row.start).any()
    for row in town.events.itertuples():
        cover = permits[permits.geometry.intersects(row.geometry)]
        in_time = (cover["approved_on"] < row.date) & ~(cover["expires_on"] < row.date)
        assert not in_time.any()


def test_relief_has_a_plain_and_hills_with_gentle_claims(town):
    assert np.ptp(town.dem_m) > 60.0
    dy, dx = np.gradient(town.dem_m.astype(float), 10.0)
    slope = np.degrees(np.arctan(np.hypot(dx, dy)))
    assert np.median(slope[:, 100:]) < 1.0
    assert np.median(slope[:, :20]) > 8.0
    geobox: GeoBox = town.geobox
    for shape in town.claims.geometry.to_crs("EPSG:32650"):
        column, row = (int(v) for v in ~geobox.affine @ (shape.centroid.x, shape.centroid.y))
        assert slope[row, column] < 15.0


def test_refuses_what_cannot_be_made():
    with pytest.raises(ValueError, match="size_px 100"):
        make_township(1, size_px=100)
    with pytest.raises(ValueError, match="seed -1"):
        make_township(-1)
