import itertools
import tomllib
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import MultiPolygon, Point, Polygon, box

from rs_monitor.codes import NODATA, CodeSystem, LandCover, LeftOut
from rs_monitor.config.rules import find_rules
from rs_monitor.errors import (
    ConfigError,
    GridMismatch,
    LayerError,
    MissingCRS,
    NoObservations,
    UnsuitableCRS,
)
from rs_monitor.maps.lattice import lattice_origin, spatial_blocks
from rs_monitor.maps.sample_parcels import (
    SampleRules,
    survey_parcels,
    table_parcels,
    training_cover,
)
from rs_monitor.maps.sample_report import sample_report
from rs_monitor.maps.samples import (
    NO_PARCEL,
    choose_parcels,
    draw_samples,
    parcel_labels,
    pool_samples,
    table_samples,
)

LAW = settings(deadline=None, derandomize=True, max_examples=12)
CRS = "EPSG:32650"
LEFT, TOP = 500_000, 3_500_000
SURVEY3, GUIDE2023 = CodeSystem.SURVEY3, CodeSystem.GUIDE2023


SHIPPED = tomllib.loads(find_rules("land_cover", Path()).read_text("utf-8"))["samples"]


def rules(**changes):
    """The shipped rules, changed; as many pixels counted on as allowed, unless both are given."""
    if "pixels_per_parcel" in changes:
        changes.setdefault("counted_per_parcel", changes["pixels_per_parcel"])
    return SampleRules.model_validate(SHIPPED | changes)


def grid(rows, cols, row=0, col=0):
    return GeoBox((rows, cols), Affine(10, 0, LEFT + 10 * col, 0, -10, TOP - 10 * row), CRS)


def cells(row0, row1, col0, col1):
    """A rectangle of whole 10 m pixels, rows and columns half open."""
    return box(LEFT + 10 * col0, TOP - 10 * row1, LEFT + 10 * col1, TOP - 10 * row0)


def survey_of(parcels, **columns):
    codes, shapes = zip(*parcels, strict=True)
    return gpd.GeoDataFrame({"land_code": codes} | columns, geometry=list(shapes), crs=CRS)


def cores_of(survey, geobox, system=SURVEY3, **changes):
    return survey_parcels(survey, geobox, system=system, rules=rules(**changes)).cores


# --- codes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "system", "expected"),
    [
        ("0101", SURVEY3, LandCover.PADDY),
        ("0201K", SURVEY3, LandCover.ORCHARD),
        ("0301K", SURVEY3, LandCover.FOREST),
        ("0305", SURVEY3, LandCover.SHRUB),
        ("0306", SURVEY3, LeftOut.NOT_SEPARABLE),
        ("0304", SURVEY3, LeftOut.NOT_SEPARABLE),
        ("1104A", SURVEY3, LandCover.WATER),
        ("1104K", SURVEY3, LandCover.WATER),
        ("1201", SURVEY3, LeftOut.NO_CLASS),
        ("1203", SURVEY3, LeftOut.NOT_VISIBLE),
        ("0810A", SURVEY3, LeftOut.NO_CLASS),
        ("9999", SURVEY3, LeftOut.UNKNOWN_CODE),
        ("", SURVEY3, LeftOut.UNKNOWN_CODE),
        ("1203", GUIDE2023, LandCover.BUILT),
        ("2303", GUIDE2023, LeftOut.NOT_VISIBLE),
        ("1201", GUIDE2023, LandCover.ROAD),
        ("0502", GUIDE2023, LeftOut.NOT_SEPARABLE),
        ("0601", GUIDE2023, LandCover.ROAD),
        ("0601", SURVEY3, LandCover.BUILT),
        ("060201", GUIDE2023, LandCover.FACILITY_AGRI),
    ],
)
def test_what_a_code_teaches(code, system, expected):
    assert training_cover(code, system) is expected


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (["0101", "011"], "second-survey land codes 011; needed four digits"),
        (["0101", 101], "1 land codes that are not text .first 101."),
        (["0101", None], "1 land codes that are not text"),
    ],
)
def test_codes_that_cannot_be_trusted_are_refused(codes, sentence):
    survey = survey_of([("0101", cells(0, 5, 0, 5))] * 2)
    survey["land_code"] = pd.Series(codes, dtype=object)
    with pytest.raises(LayerError, match=sentence):
        cores_of(survey, grid(10, 10))


def test_a_layer_without_codes_is_refused():
    survey = survey_of([("0101", cells(0, 5, 0, 5))]).rename(columns={"land_code": "DLBM"})
    with pytest.raises(LayerError, match="got a survey with DLBM, geometry; needed land_code"):
        cores_of(survey, grid(5, 5))


# --- erosion -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("registration_m", "cut"), [(0, 0), (0.1, 1), (5, 1), (10, 1), (10.1, 2)])
def test_erosion_is_half_a_pixel_and_the_registration_error(registration_m, cut):
    survey = survey_of([("0101", cells(1, 8, 2, 8)), ("0301", cells(1, 8, 8, 15))])
    cores = cores_of(survey, grid(9, 16), registration_error_m=registration_m)
    labels, parcel = parcel_labels(cores, grid(9, 16))
    expected = np.full((9, 16), NODATA, "uint8")
    expected[1 + cut : 8 - cut, 2 + cut : 8 - cut] = LandCover.PADDY
    expected[1 + cut : 8 - cut, 8 + cut : 15 - cut] = LandCover.FOREST
    assert np.array_equal(labels, expected)
    assert np.array_equal(
        parcel, np.select([expected == LandCover.PADDY, expected > 0], [0, 1], -1)
    )
    assert cores["shrink_m"].tolist() == [5 + registration_m] * 2


def test_a_hole_and_a_second_part_are_eroded_too():
    ring = cells(0, 11, 0, 11).difference(cells(4, 7, 4, 7))
    labels, _ = parcel_labels(
        cores_of(survey_of([("0101", MultiPolygon([ring, cells(0, 5, 13, 18)]))]), grid(11, 18)),
        grid(11, 18),
    )
    expected = np.zeros((11, 18), bool)
    expected[1:10, 1:10] = True
    expected[3:8, 3:8] = False
    expected[1:4, 14:17] = True
    assert np.array_equal(labels > 0, expected)


def test_disputed_ground_teaches_nothing():
    survey = survey_of([("0101", cells(0, 9, 0, 9)), ("0301", cells(0, 9, 5, 14))])
    labels, parcel = parcel_labels(cores_of(survey, grid(9, 14)), grid(9, 14))
    # columns 5 to 8 are claimed twice; one more on each side is the registration error's
    expected = np.zeros((9, 14), "uint8")
    expected[1:8, 1:4] = LandCover.PADDY
    expected[1:8, 10:13] = LandCover.FOREST
    assert np.array_equal(labels, expected)
    assert np.array_equal(parcel == NO_PARCEL, expected == NODATA)


@pytest.mark.parametrize("code", ["1006", "0306", "1201", "0777"])
def test_what_lies_upon_a_field_is_not_learned_as_field(code):
    # a road too narrow to be learned, and ground of two classes, of none, of an unknown one
    survey = survey_of([("0101", cells(0, 9, 0, 20)), (code, cells(0, 9, 9, 11))])
    labels, _ = parcel_labels(cores_of(survey, grid(9, 20)), grid(9, 20))
    expected = np.zeros((9, 20), bool)
    expected[1:8, [*range(1, 8), *range(12, 19)]] = True
    assert np.array_equal(labels > 0, expected)


def test_a_ridge_and_a_parcel_of_the_same_class_dispute_nothing():
    field = cells(0, 9, 0, 9)
    alone = cores_of(survey_of([("0101", field)]), grid(9, 9))
    survey = survey_of([("0101", field), ("1203", cells(4, 5, 0, 9)), ("0101K", field)])
    both = cores_of(survey, grid(9, 9))
    assert both.geometry.tolist() == [alone.geometry[0]] * 2


def test_ground_of_three_claims_is_disputed_in_any_order():
    covers = np.array([LandCover.FOREST, LandCover.BUILT, LandCover.FOREST], "uint8")
    shapes = [cells(0, 9, 0, 9), cells(3, 6, 3, 6), cells(0, 9, 0, 9)]
    cores = gpd.GeoDataFrame({"cover": covers}, geometry=shapes, crs=CRS)
    expected = np.full((9, 9), LandCover.FOREST)
    expected[3:6, 3:6] = NODATA
    for order in itertools.permutations(range(3)):
        labels, _ = parcel_labels(cores.iloc[list(order)], grid(9, 9))
        assert np.array_equal(labels, expected)


def test_every_parcel_is_used_or_left_out_for_one_reason():
    bow = Polygon([(LEFT, TOP), (LEFT + 90, TOP - 90), (LEFT + 90, TOP), (LEFT, TOP - 90)])
    survey = survey_of(
        [
            ("0101", cells(0, 9, 0, 9)),
            ("1203", cells(0, 9, 0, 9)),
            ("0306", cells(0, 9, 10, 19)),
            ("1201", cells(0, 9, 10, 19)),
            ("0777", cells(0, 9, 10, 19)),
            ("1003", cells(0, 2, 10, 19)),
            ("0301", bow),
            ("0301", cells(20, 29, 0, 9)),
            ("0301", None),
            ("0301", cells(2, 8, 12, 18)),
        ]
    )
    found = survey_parcels(survey, grid(9, 19), system=SURVEY3, rules=rules())
    assert found.cores.index.tolist() == [0]
    assert found.left_out["reason"].to_dict() == {
        1: LeftOut.NOT_VISIBLE,
        2: LeftOut.NOT_SEPARABLE,
        3: LeftOut.NO_CLASS,
        4: LeftOut.UNKNOWN_CODE,
        5: LeftOut.TOO_NARROW,
        6: LeftOut.INVALID_GEOMETRY,
        7: LeftOut.OUTSIDE,
        8: LeftOut.INVALID_GEOMETRY,
        9: LeftOut.OVERLAPPED,
    }
    assert found.left_out["area_m2"].isna().tolist() == [i in (6, 8) for i in range(1, 10)]


def test_provenance_joins():
    survey = survey_of(
        [("1203", cells(0, 9, 0, 9)), ("0101", cells(0, 9, 0, 9)), ("0301K", cells(0, 9, 9, 18))],
        feature_id=["a", "b", "c"],
        year=[2023, 2023, None],
    )
    # a layer read from a file has an index of its own
    survey.index = [7, 7, 9]
    geobox = grid(9, 18)
    found = survey_parcels(survey, geobox, system=SURVEY3, rules=rules(), source="dltb")
    samples = samples_of(found.cores, geobox, np.zeros((2, 9, 18), "float32"))
    joined = samples.sources.loc[samples.parcel]
    assert (joined["cover"].to_numpy() == samples.labels).all()
    assert joined["feature_id"].unique().tolist() == ["b", "c"]
    assert samples.sources["source"].eq("dltb").all()
    assert samples.sources["land_code"].tolist() == ["0101", "0301K"]
    assert samples.sources["code_system"].tolist() == ["survey3"] * 2
    assert samples.sources["date"].tolist() == [pd.Timestamp("2023-12-31"), pd.NaT]
    # the scale of the UTM plane on its meridian is 0.9996
    assert samples.sources["area_m2"].tolist() == pytest.approx([8100 / 0.9996**2] * 2, rel=1e-5)
    assert "geometry" not in samples.sources
    assert set((samples.x_m - LEFT) % 10) == set((TOP - samples.y_m) % 10) == {5.0}
    inside = found.cores.geometry.loc[samples.parcel].contains(
        gpd.GeoSeries(gpd.points_from_xy(samples.x_m, samples.y_m), samples.parcel, crs=CRS)
    )
    assert inside.all()


def samples_of(cores, geobox, features, *, per_class=10**6, per_parcel=10**6, seed=0):
    chosen = choose_parcels(
        cores, geobox, per_class=per_class, rules=rules(pixels_per_parcel=per_parcel), seed=seed
    )
    labels, parcel = parcel_labels(chosen, geobox)
    part = draw_samples(features, labels, parcel, geobox, pixels_per_parcel=per_parcel, seed=seed)
    return pool_samples([part], chosen, per_class=per_class, pixels_per_parcel=per_parcel)


def test_grids_without_metres_are_refused():
    survey = survey_of([("0101", cells(0, 5, 0, 5))])
    degrees = GeoBox((5, 5), Affine(1e-4, 0, 117, 0, -1e-4, 31), "EPSG:4326")
    with pytest.raises(UnsuitableCRS, match="eroding parcels needs a projected CRS in metres"):
        cores_of(survey, degrees)
    with pytest.raises(MissingCRS, match="survey without CRS"):
        cores_of(survey.set_crs(None, allow_override=True), grid(5, 5))
    with pytest.raises(GridMismatch, match="needed one CRS and pixel size"):
        cores_of(survey, [grid(5, 5), grid(5, 5).zoom_out(2)])
    with pytest.raises(GridMismatch, match="needed one CRS"):
        parcel_labels(cores_of(survey, grid(5, 5)).to_crs("EPSG:32651"), grid(5, 5))


def test_a_survey_in_degrees_is_eroded_in_metres():
    survey = survey_of([("0101", cells(0, 9, 0, 9))])
    there = cores_of(survey.to_crs("EPSG:4490"), grid(9, 9))
    assert there.crs == CRS
    assert there.geometry.area.tolist() == pytest.approx([70.0**2], rel=1e-4)


# --- choice of parcels ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def county():
    """Parcels of 200 m in one corner, many of 60 m, and of 30 m, which keep one pixel."""
    rng = np.random.default_rng(4)
    parcels = []
    for row, col in itertools.product(range(0, 80, 20), repeat=2):
        size = 20 if row < 20 and col < 40 else 6 if (row + col) % 40 else 3
        code = ["0101", "0103", "0301", "0702"][rng.integers(4)]
        parcels += [
            (code, cells(r, r + size, c, c + size))
            for r in range(row, row + 20 - size + 1, size)
            for c in range(col, col + 20 - size + 1, size)
        ]
    survey = survey_of(parcels, feature_id=[f"F{i}" for i in range(len(parcels))])
    features = rng.normal(size=(3, 80, 80)).astype("float32")
    features[:, rng.random((80, 80)) < 0.1] = np.nan
    return survey, features


def test_the_turn_goes_round_places_and_sizes(county):
    cores = cores_of(county[0], grid(80, 80), block_m=400)
    chosen = choose_parcels(cores, grid(80, 80), per_class=10**6, rules=rules(block_m=400), seed=0)
    assert len(chosen) == len(cores)
    for _, of_class in chosen.groupby("cover"):
        ordered = of_class.sort_values("draw")
        assert ordered["draw"].tolist() == list(range(len(ordered)))
        strata = ordered.groupby(["area_class", "block"]).ngroups
        first = ordered.iloc[:strata]
        assert first.groupby(["area_class", "block"]).ngroups == strata


def test_choice_does_not_know_the_order_of_the_rows(county):
    survey, _ = county
    shuffled = survey.sample(frac=1, random_state=3).reset_index(drop=True)
    one, other = (
        choose_parcels(
            cores_of(frame, grid(80, 80)),
            grid(80, 80),
            per_class=90,
            rules=rules(pixels_per_parcel=4),
            seed=2,
        ).set_index("feature_id")["draw"]
        for frame in (survey, shuffled)
    )
    assert 0 < len(one) < len(survey)
    pd.testing.assert_series_equal(one.sort_index(), other.sort_index())


def test_choice_stops_when_there_is_enough_with_a_reserve():
    survey = survey_of([("0101", cells(0, 6, 6 * k, 6 * k + 6)) for k in range(30)])
    cores = cores_of(survey, grid(6, 180))  # cores of 4 x 4 pixels
    asked = rules(pixels_per_parcel=5, reserve=2.0)
    chosen = choose_parcels(cores, grid(6, 180), per_class=20, rules=asked, seed=0)
    assert len(chosen) == 2 * 20 / 5


def test_parcels_are_chosen_for_few_pixels_and_may_give_more():
    survey = survey_of([("0101", cells(0, 6, 6 * k, 6 * k + 6)) for k in range(30)])
    cores = cores_of(survey, grid(6, 180))
    asked = rules(counted_per_parcel=5, pixels_per_parcel=16, reserve=2.0)
    assert len(choose_parcels(cores, grid(6, 180), per_class=20, rules=asked, seed=0)) == 8
    lone = cores.iloc[:1]
    blank = np.zeros((1, 6, 180), "float32")
    samples = samples_of(lone, grid(6, 180), blank, per_class=20, per_parcel=16)
    assert len(samples.labels) == 16


def test_every_parcel_gives_its_first_pixel_before_any_gives_a_second():
    survey = survey_of([("0101", cells(0, 6, 6 * k, 6 * k + 6)) for k in range(30)])
    blank = np.zeros((1, 6, 180), "float32")
    cores = cores_of(survey, grid(6, 180))
    samples = samples_of(cores, grid(6, 180), blank, per_class=40, per_parcel=5)
    # 2 x 40 pixels at 5 a parcel: 16 parcels share the 40
    assert sorted(np.unique(samples.parcel, return_counts=True)[1]) == [2] * 8 + [3] * 8


@LAW
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**31))
def test_caps_hold(county, per_class, per_parcel, seed):
    survey, features = county
    cores = cores_of(survey, grid(80, 80))
    samples = samples_of(
        cores, grid(80, 80), features, per_class=per_class, per_parcel=per_parcel, seed=seed
    )
    assert np.unique(samples.labels, return_counts=True)[1].max() <= per_class
    assert np.unique(samples.parcel, return_counts=True)[1].max() <= per_parcel
    # nobody draws a second pixel before all others have had their first
    for cover in np.unique(samples.labels):
        counts = pd.Series(samples.parcel[samples.labels == cover]).value_counts()
        available = min(len(cores[cores["cover"] == cover]), per_class)
        if counts.max() > 1 and len(counts) < available:
            assert (samples.labels == cover).sum() >= min(per_class, len(counts))


def test_no_large_parcel_and_no_corner_dominates(county):
    survey, features = county
    cores = cores_of(survey, grid(80, 80))
    samples = samples_of(cores, grid(80, 80), features, per_class=120, per_parcel=8)
    largest = cores.loc[cores["area_m2"].idxmax()]
    of_class = cores[cores["cover"] == largest["cover"]]
    drawn = pd.Series(samples.parcel[samples.labels == largest["cover"]]).value_counts(
        normalize=True
    )
    assert of_class["area_m2"].max() / of_class["area_m2"].sum() > 0.2
    assert drawn.max() < 0.05


# --- draw ----------------------------------------------------------------------------------------


def same(one, other):
    for name in ("features", "labels", "parcel", "block", "priority", "x_m", "y_m"):
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype
        assert np.array_equal(first, second, equal_nan=first.dtype.kind == "f"), name
    pd.testing.assert_frame_equal(one.sources, other.sources)


def test_samples_are_the_seen_pixels_of_cores(county):
    survey, features = county
    cores = cores_of(survey, grid(80, 80))
    labels, parcel = parcel_labels(cores, grid(80, 80))
    samples = samples_of(cores, grid(80, 80), features)
    usable = (labels != NODATA) & np.isfinite(features).any(axis=0)
    assert len(samples.labels) == usable.sum() < (labels != NODATA).sum()
    rows = ((TOP - samples.y_m) // 10).astype(int)
    cols = ((samples.x_m - LEFT) // 10).astype(int)
    assert np.array_equal(labels[rows, cols], samples.labels)
    assert np.array_equal(parcel[rows, cols], samples.parcel)
    assert np.array_equal(features[:, rows, cols].T, samples.features)
    blocks = cores["block"].loc[samples.parcel]
    assert np.array_equal(blocks, samples.block)


@LAW
@given(
    st.sets(st.integers(1, 79), max_size=3),
    st.sets(st.integers(1, 79), max_size=3),
    st.integers(0, 9),
    st.integers(1, 60),
    st.integers(1, 9),
    st.integers(0, 2**32),
    st.permutations(range(16)),
)
def test_samples_do_not_know_the_tiling(
    county, row_cuts, col_cuts, overlap, per_class, per_parcel, seed, order
):
    survey, features = county
    asked = rules(pixels_per_parcel=per_parcel)
    rows, cols = [0, *sorted(row_cuts), 80], [0, *sorted(col_cuts), 80]
    windows = [
        (slice(max(y0 - overlap, 0), y1), slice(max(x0 - overlap, 0), x1))
        for y0, y1 in itertools.pairwise(rows)
        for x0, x1 in itertools.pairwise(cols)
    ]

    def pooled(windows):
        grids = [grid(80, 80)[window] for window in windows]
        cores = survey_parcels(survey, grids, system=SURVEY3, rules=asked).cores
        chosen = choose_parcels(cores, grids[0], per_class=per_class, rules=asked, seed=seed)
        parts = [
            draw_samples(
                features[:, *window],
                *parcel_labels(chosen, part),
                part,
                pixels_per_parcel=per_parcel,
                seed=seed,
            )
            for window, part in zip(windows, grids, strict=True)
        ]
        return pool_samples(parts, chosen, per_class=per_class, pixels_per_parcel=per_parcel)

    whole = pooled([(slice(0, 80), slice(0, 80))])
    same(pooled([windows[k] for k in order if k < len(windows)]), whole)


def test_the_seed_draws_others(county):
    survey, features = county
    cores = cores_of(survey, grid(80, 80))
    one, again, other = (
        samples_of(cores, grid(80, 80), features, per_class=30, per_parcel=3, seed=seed)
        for seed in (0, 0, 1)
    )
    same(one, again)
    assert not np.array_equal(one.x_m, other.x_m)
    assert set(one.parcel.tolist()) != set(other.parcel.tolist())


def test_some_of_the_samples_keep_their_sources(county):
    survey, features = county
    samples = samples_of(cores_of(survey, grid(80, 80)), grid(80, 80), features, per_class=30)
    wanted = samples.labels == LandCover.FOREST
    part = samples.select(wanted)
    assert (part.labels == LandCover.FOREST).all()
    assert len(part.labels) == wanted.sum()
    assert sorted(part.sources.index) == sorted(set(samples.parcel[wanted].tolist()))
    same(samples.select(np.flatnonzero(wanted)), part)


def test_no_block_is_no_observation(county):
    cores = cores_of(county[0], grid(80, 80))
    chosen = choose_parcels(cores, grid(9, 9), per_class=9, rules=rules(), seed=0)
    with pytest.raises(NoObservations, match="no block"):
        pool_samples([], chosen, per_class=9, pixels_per_parcel=9)


def test_other_tiles_are_refused():
    labels, parcel = np.ones((4, 4), "uint8"), np.ones((4, 4), "int32")
    with pytest.raises(GridMismatch, match="needed one tile"):
        draw_samples(
            np.zeros((2, 4, 4), "float32"), labels, parcel, grid(4, 5), pixels_per_parcel=1, seed=0
        )


def test_an_empty_survey_gives_no_samples():
    survey = survey_of([("1203", cells(0, 5, 0, 5))])
    samples = samples_of(cores_of(survey, grid(5, 5)), grid(5, 5), np.zeros((2, 5, 5), "float32"))
    assert samples.features.shape == (0, 2)
    assert samples.sources.empty


def test_report_counts_every_parcel(county):
    survey, features = county
    wide = rules(registration_error_m=10)
    found = survey_parcels(survey, grid(80, 80), system=SURVEY3, rules=wide)
    samples = samples_of(found.cores, grid(80, 80), features, per_class=60, per_parcel=5)
    report = sample_report(samples, found)
    assert report.classes["parcels_usable"].sum() + report.left_out["parcels"].sum() == len(survey)
    assert report.classes["pixels"].sum() == len(samples.labels)
    assert report.left_out["reason"].unique().tolist() == [LeftOut.TOO_NARROW]
    one = report.classes.loc[LandCover.FOREST]
    mine = samples.labels == LandCover.FOREST
    assert one["parcels_drawn"] == len(set(samples.parcel[mine].tolist()))
    assert one["largest_parcel_share"] == np.bincount(samples.parcel[mine]).max() / mine.sum()
    assert one["blocks"] == len(set(samples.block[mine].tolist()))


# --- blocks --------------------------------------------------------------------------------------


@LAW
@given(
    st.floats(-2e6, 2e7, allow_subnormal=False),
    st.floats(-1e7, 1e7, allow_subnormal=False),
    st.floats(10, 1e5),
)
def test_a_block_is_a_cell_of_one_lattice(x, y, side):
    corner = np.array([np.floor(x / side), np.floor(y / side)])
    inner = (corner + 0.5) * side
    beside = (corner + np.array([1.5, 0.5])) * side
    ids = spatial_blocks(
        np.array([x, inner[0], beside[0]]), np.array([y, inner[1], beside[1]]), side
    )
    assert ids[0] == ids[1] != ids[2]
    assert ids.min() >= 0


def test_a_parcel_lies_in_one_block():
    survey = survey_of([("0101", cells(0, 9, 0, 300))])
    samples = samples_of(
        cores_of(survey, grid(9, 300)), grid(9, 300), np.zeros((1, 9, 300), "float32")
    )
    assert np.ptp(samples.x_m) > 2500
    assert len(np.unique(samples.block)) == 1


# --- tables with dates ---------------------------------------------------------------------------


@pytest.fixture
def table():
    return gpd.GeoDataFrame(
        {
            "label": ["soy", "forest", "soy", "unheard of", "forest"],
            "from": ["2012-09-01", "2013-09-01", "2012-10-01", "2012-09-01", "2012-09-01"],
            "to": ["2013-08-31", "2014-08-31", "2013-08-31", "2013-08-31", "2013-08-31"],
            "feature_id": list("abcde"),
        },
        geometry=[
            Point(LEFT + 15, TOP - 25),
            Point(LEFT + 35, TOP - 25),
            Point(LEFT + 35, TOP - 45),
            Point(LEFT + 5, TOP - 5),
            cells(5, 9, 5, 9),
        ],
        crs=CRS,
    )


COVERS = {"soy": int(LandCover.UPLAND_CROP), "forest": int(LandCover.FOREST)}
SEASON = {"start": "2012-09-01", "end": "2013-08-31"}


def test_a_dated_sample_is_used_for_imagery_of_its_dates(table):
    asked = {"covers": COVERS, "rules": rules(min_period_share=0.9)}
    found = table_parcels(table, grid(9, 9), **SEASON, **asked)
    assert found.cores["feature_id"].tolist() == ["a", "c", "e"]
    assert found.left_out["reason"].tolist() == [LeftOut.OTHER_DATE, LeftOut.UNKNOWN_CODE]
    # of c, 30 of 365 days are missing
    for share, names in ((335 / 365, ["a", "c", "e"]), (1.0, ["a", "e"])):
        strict = asked | {"rules": rules(min_period_share=share)}
        found = table_parcels(table, grid(9, 9), **SEASON, **strict)
        assert found.cores["feature_id"].tolist() == names
    labels, parcel = parcel_labels(found.cores, grid(9, 9))
    expected = np.full((9, 9), NODATA)
    expected[2, 1] = LandCover.UPLAND_CROP
    expected[6:8, 6:8] = LandCover.FOREST
    assert np.array_equal(labels, expected)
    assert parcel[2, 1] == 0
    assert parcel[6, 6] == 4


def test_a_table_may_bring_its_own_features(table):
    features = np.arange(10, dtype="float32").reshape(5, 2)
    features[4] = np.nan
    # every row with imagery of its own dates
    found = table_parcels(
        table, None, covers=COVERS, start=table["from"], end=table["to"], rules=rules()
    )
    samples = table_samples(found, features, seed=0)
    assert samples.labels.tolist() == [COVERS["soy"], COVERS["forest"], COVERS["soy"]]
    assert np.array_equal(samples.features, features[:3])
    assert samples.sources.loc[samples.parcel, "feature_id"].tolist() == list("abc")
    assert samples.sources["date"].dt.year.tolist() == [2013, 2014, 2013]
    assert len(set(samples.priority.tolist())) == 3
    assert np.array_equal(samples.block, spatial_blocks(samples.x_m, samples.y_m, 500.0))
    with pytest.raises(GridMismatch, match="a table of 5 rows"):
        table_samples(found, features[:4], seed=0)


def test_tables_without_dates_or_metres_are_refused(table):
    asked = {"covers": COVERS, "rules": rules()} | SEASON
    with pytest.raises(LayerError, match="without from; needed label, from and to"):
        table_parcels(table.drop(columns="from"), None, **asked)
    with pytest.raises(LayerError, match="1 samples without a span of days"):
        table_parcels(
            table.assign(to=["2014-08-31"] * 2 + ["2012-01-01"] + ["2014-08-31"] * 2), None, **asked
        )
    with pytest.raises(UnsuitableCRS, match="placing samples needs a projected CRS"):
        table_parcels(table.to_crs("EPSG:4326"), None, **asked)


@pytest.mark.parametrize("number", [256, 300, 0, -1])
def test_a_class_that_a_byte_cannot_hold_is_refused(table, number):
    asked = {"covers": COVERS | {"soy": number}, "rules": rules()} | SEASON
    with pytest.raises(ConfigError, match=f"'soy': {number}.*needed numbers from 1 to 255"):
        table_parcels(table, grid(9, 9), **asked)


def test_labels_of_other_dates_do_not_dispute_the_ground():
    table = gpd.GeoDataFrame(
        {
            "label": ["soy", "forest", "unheard of"],
            "from": ["2012-09-01", "2013-09-01", "2012-09-01"],
            "to": ["2013-08-31", "2014-08-31", "2013-08-31"],
        },
        geometry=[cells(0, 9, 0, 9)] * 3,
        crs=CRS,
    )
    found = table_parcels(table, grid(9, 9), covers=COVERS, rules=rules(), **SEASON)
    labels, _ = parcel_labels(found.cores, grid(9, 9))
    assert (labels[1:8, 1:8] == LandCover.UPLAND_CROP).all()


def test_infinities_count_as_missing(table):
    labels = np.full((9, 9), LandCover.PADDY, "uint8")
    features = np.ones((2, 9, 9), "float32")
    features[0, 0, 0], features[:, 0, 1] = np.inf, (-np.inf, np.nan)
    drawn = draw_samples(
        features, labels, np.zeros((9, 9), "int32"), grid(9, 9), pixels_per_parcel=99, seed=0
    )
    assert len(drawn.labels) == 80
    assert np.isnan(drawn.features).sum() == 1
    assert not np.isinf(drawn.features).any()
    found = table_parcels(table, None, covers=COVERS, rules=rules(), **SEASON)
    samples = table_samples(found, np.full((5, 2), [np.inf, 1.0], "float32"), seed=0)
    assert np.isnan(samples.features[:, 0]).all()


def test_a_year_that_is_none_leaves_the_date_open():
    survey = survey_of([("0101", cells(0, 9, 0, 9))], year=[0])
    assert cores_of(survey, grid(9, 9))["date"].isna().all()


def test_a_place_has_one_number_in_every_tile_whichever_way_rows_run():
    south_up = GeoBox((9, 9), Affine(10, 0, LEFT, 0, 10, TOP), CRS)
    for whole, part in ((grid(9, 9), grid(4, 4, 3, 2)), (south_up, south_up[3:7, 2:6])):
        row, col = lattice_origin(whole)
        assert lattice_origin(part) == (row + 3, col + 2)


def test_area_classes_must_rise():
    with pytest.raises(ValueError, match="positive and rise"):
        rules(area_class_edges_m2=[2000, 1000])
