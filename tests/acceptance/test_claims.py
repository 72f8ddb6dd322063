import dataclasses
import datetime as dt
import inspect

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.acceptance import checks, claims, doubts, evidence, overlay
from rs_monitor.acceptance.claims import Evidence, answer_of, judge_claims
from rs_monitor.acceptance.doubts import table_doubts
from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.authority.area import areas_m2
from rs_monitor.codes import ClaimAnswer, LandCover, Status
from rs_monitor.config.imagery import Period
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.errors import GridMismatch, LayerError, MissingCRS
from rs_monitor.grid import zone_geobox
from rs_monitor.maps import cover

CRS = "EPSG:4548"
WEST, NORTH = 540000, 3500400
GRID = zone_geobox((WEST, NORTH - 400, WEST + 400, NORTH), CRS, 10)
RULES = load_table(
    data_root() / "configs" / "rules" / "acceptance-guide-2024.toml", AcceptanceRules
)
BEFORE = Period(start=dt.date(2023, 1, 1), end=dt.date(2023, 12, 31))
AFTER = Period(start=dt.date(2025, 1, 1), end=dt.date(2025, 12, 31))


def plot(row, col, rows=6, cols=6):
    """Polygon over whole pixels, and the window of those pixels."""
    left, top = WEST + 10 * col, NORTH - 10 * row
    box = shapely.box(left, top - 10 * rows, left + 10 * cols, top)
    return box, (slice(row, row + rows), slice(col, col + cols))


LONG_AFTER = Period(start=dt.date(2024, 1, 1), end=dt.date(2025, 12, 31))


def frame(*shapes, crs=CRS, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs)


def claim(shape, crs=CRS, **changes):
    table = frame(shape, crs=crs)
    declared = {
        "claim_id": "C1",
        "claimed_area_m2": float(areas_m2(table)[0]),
        "area_source": "surveyed",
        "survey_id": "S1",
        "change_survey_id": "B1",
        "completed_on": dt.date(2024, 12, 20),
        **changes,
    }
    return table.assign(**declared)[[*declared, "geometry"]]


def perfect(**changes):
    """Evidence under which any properly surveyed claim on the grid is supported."""
    shape = (40, 40)
    whole = shapely.box(WEST - 1000, NORTH - 1400, WEST + 1400, NORTH + 1000)
    far = shapely.box(WEST + 9000, NORTH, WEST + 9100, NORTH + 100)
    given_ = {
        "land": frame(whole, land_code=["0404"]),
        "redline": frame(far),
        "geobox": GRID,
        "land_cover_before": np.full(shape, LandCover.GRASS, np.uint8),
        "land_cover_after": np.full(shape, LandCover.UPLAND_CROP, np.uint8),
        "clear_looks_after": np.full(shape, 9, np.uint16),
        "crop_cycles_after": np.ones(shape, np.uint8),
        "slope_deg": np.full(shape, 3.0, np.float32),
        "before": BEFORE,
        "after": AFTER,
    }
    return Evidence(**{**given_, **changes})


def judged(table, known):
    return judge_claims(table, known, RULES).iloc[0]


BOX, WINDOW = plot(10, 10)


def test_a_perfect_claim_is_supported_with_its_numbers():
    row = judged(claim(BOX), perfect())
    assert row["answer"] == "SUPPORTED"
    assert {row[c] for c in row.index if c.startswith("rule_")} == {"pass"}
    assert (row["n_px"], row["seen_fraction"], row["crop_fraction_after"]) == (36, 1, 1)
    assert (row["cycles_fraction"], row["built_fraction_after"]) == (1, 0)
    assert (row["slope_mean_deg"], row["slope_steep_fraction"], row["slope_grade"]) == (3, 0, "2")
    assert row["recomputed_area_m2"] == row["claimed_area_m2"]
    assert row["overlaps"] == "redline=0.00"
    assert row["rules"] == "acceptance-guide-2024 1.2.0"


def raster(base, *patches, dtype=np.uint8):
    data = np.full((40, 40), base, dtype)
    for window, value in patches:
        data[window] = value
    return data


HALF = (slice(10, 13), slice(10, 16))
CROP, GRASS, BARE = LandCover.UPLAND_CROP, LandCover.GRASS, LandCover.BARE
NOWHERE = frame(BOX).iloc[:0]
ARABLE_THIRD = frame(
    shapely.box(WEST - 1000, NORTH - 1400, WEST + 1400, NORTH - 120),
    shapely.box(WEST - 1000, NORTH - 120, WEST + 1400, NORTH + 1000),
    land_code=["0404", "0103"],
)

CASES = {
    "nothing was made": (
        {}, {"land_cover_after": raster(GRASS), "crop_cycles_after": raster(0)},
        "CONTRADICTED", "NEW_05", "suspected", "cropland on 0.00, bare 0.00, other 1.00 of 36",
    ),
    "half is classed grass, yet a crop cycle was seen on it": (
        {}, {"land_cover_after": raster(CROP, (HALF, GRASS))},
        "INCONCLUSIVE", "NEW_05", "inconclusive", "0.50 classed otherwise yet seen with a crop",
    ),
    "half was made": (
        {},
        {
            "land_cover_after": raster(CROP, (HALF, GRASS)),
            "crop_cycles_after": raster(1, (HALF, 0)),
        },
        "CONTRADICTED", "NEW_05", "suspected", "cropland on 0.50, bare 0.00, other 0.50",
    ),
    "half is bare": (
        {},
        {
            "land_cover_after": raster(CROP, (HALF, BARE)),
            "crop_cycles_after": raster(1, (HALF, 0)),
        },
        "CONTRADICTED", "NEW_05", "suspected", "cropland on 0.50, bare 0.50, other 0.00",
    ),
    "half is a young field: classed bare, yet a crop was seen": (
        {}, {"land_cover_after": raster(CROP, (HALF, BARE))},
        "SUPPORTED", "NEW_05", "pass", "cropland on 1.00, bare 0.00, other 0.00",
    ),
    "not yet cropped": (
        {}, {"land_cover_after": raster(BARE), "crop_cycles_after": raster(0)},
        "INCONCLUSIVE", "NEW_05", "inconclusive", "not yet cropped, needed 0.9 [proposal]",
    ),
    "classed crop but no cycle": (
        {}, {"crop_cycles_after": raster(0)},
        "INCONCLUSIVE", "NEW_04", "inconclusive", "crop cycle on 0.00, needed 0.8 [proposal]",
    ),
    "coefficient": (
        {"area_source": "coefficient"}, {},
        "CONTRADICTED", "NEW_01", "fail", "area source is coefficient",
    ),
    "desk": (
        {"area_source": "desk"}, {}, "CONTRADICTED", "NEW_01", "fail", "area source is desk",
    ),
    "no change survey": (
        {"change_survey_id": None}, {}, "CONTRADICTED", "NEW_01", "fail", "no change-survey id",
    ),
    "area overstated": (
        {"claimed_area_m2": 3610.0}, {},
        "CONTRADICTED", "NEW_02", "fail", "ratio 0.00282, limit 0.001 [proposal]",
    ),
    "arable in the baseline": (
        {}, {"land": ARABLE_THIRD},
        "CONTRADICTED", "NEW_03", "fail", "arable in the baseline 0.333, limit 0.05 [proposal]",
    ),
    "baseline has a gap": (
        {}, {"land": frame(shapely.box(WEST, NORTH - 400, WEST + 130, NORTH), land_code=["0404"])},
        "INCONCLUSIVE", "NEW_03", "inconclusive", "the baseline covers 0.500 of the polygon",
    ),
    "cropped before": (
        {}, {"land_cover_before": raster(GRASS, (HALF, CROP)), "crop_cycles_before": raster(1)},
        "CONTRADICTED", "NEW_03", "suspected", "a crop seen growing on 0.50, unseen 0.00",
    ),
    "weeds classed cropland before": (
        {}, {"land_cover_before": raster(CROP), "crop_cycles_before": raster(0)},
        "INCONCLUSIVE", "NEW_03", "inconclusive", "classed cropland before on 1.00, a crop seen",
    ),
    "steep": (
        {}, {"slope_deg": raster(3, (HALF, 30), dtype=np.float32)},
        "CONTRADICTED", "SLP_01", "suspected", "share above 25 [READ] deg 0.500",
    ),
    "in the red line": (
        {}, {"redline": frame(shapely.box(WEST + 100, NORTH - 102, WEST + 160, NORTH))},
        "CONTRADICTED", "NEW_07", "fail", "overlap redline 119.9",
    ),
    "touches a reserve by less than 10 m2": (
        {}, {"forbidden": {"reserve": frame(shapely.box(WEST, NORTH - 100.1, WEST + 160, NORTH))}},
        "SUPPORTED", "NEW_07", "pass", "redline 0.00 m2, reserve 6.00 m2, limit 10 [proposal]",
    ),
    "a village stands on it": (
        {},
        {
            "land_cover_after": raster(CROP, (HALF, LandCover.BUILT)),
            "crop_cycles_after": raster(1, (HALF, 0)),
        },
        "CONTRADICTED", "NEW_04", "suspected", "buildings or roads on 0.50",
    ),
    "one building pixel and one unseen": (
        {}, {"land_cover_after": raster(CROP, ((10, 10), LandCover.BUILT), ((10, 11), 0))},
        "INCONCLUSIVE", "NEW_04", "inconclusive", "built or unseen 0.06, limit 0.05 [proposal]",
    ),
    "clouds before": (
        {}, {"land_cover_before": raster(GRASS, (HALF, 0))},
        "INCONCLUSIVE", "NEW_03", "inconclusive", "growing on 0.00, unseen 0.50",
    ),
    "elevation ends in the middle": (
        {}, {"slope_deg": raster(3, (HALF, np.nan), dtype=np.float32)},
        "INCONCLUSIVE", "SLP_01", "inconclusive", "share above 25 [READ] deg 0.000, unknown 0.500",
    ),
    "clouds": (
        {}, {"clear_looks_after": raster(9, (HALF, 2), dtype=np.uint16)},
        "INCONCLUSIVE", "NEW_05", "inconclusive", "cropland on 0.50, bare 0.00, other 0.00",
    ),
    "completed while the imagery before was taken": (
        {"completed_on": dt.date(2023, 12, 31)}, {"after": LONG_AFTER},
        "INCONCLUSIVE", "NEW_03", "inconclusive", "it must end before completion",
    ),
    "completed the day after the imagery before": (
        {"completed_on": dt.date(2024, 1, 1)}, {},
        "SUPPORTED", "NEW_03", "pass", "classed cropland before on 0.00",
    ),
    "cropped before, but completed by then": (
        {"completed_on": dt.date(2023, 6, 1)}, {"land_cover_before": raster(CROP)},
        "INCONCLUSIVE", "NEW_03", "inconclusive", "it must end before completion",
    ),
    "arable in the baseline, completed while the imagery before was taken": (
        {"completed_on": dt.date(2023, 6, 1)}, {"land": ARABLE_THIRD},
        "CONTRADICTED", "NEW_03", "fail", "arable in the baseline 0.333",
    ),
    "red line without a polygon": (
        {}, {"redline": NOWHERE},
        "INCONCLUSIVE", "NEW_07", "not_evaluated", "no polygon in layer redline",
    ),
    "reserves without a polygon": (
        {}, {"forbidden": {"reserve": NOWHERE}},
        "INCONCLUSIVE", "NEW_07", "not_evaluated", "no polygon in layer reserve",
    ),
    "completed too late": (
        {"completed_on": dt.date(2025, 10, 20)}, {},
        "INCONCLUSIVE", "NEW_04", "inconclusive", "must fit after completion and not before it",
    ),
    "completed when a season had already run": (
        {"completed_on": dt.date(2025, 6, 1)}, {},
        "INCONCLUSIVE", "NEW_04", "inconclusive", "must fit after completion and not before it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hand_counted_cases(case):
    changes, known, answer, rule, status, text = case
    row = judged(claim(BOX, **changes), perfect(**known))
    assert (row["answer"], row[f"rule_{rule}"]) == (answer, status)
    reason = next(r for r in row["reasons"].split("; ") if r.startswith(rule.replace("_", "-")))
    assert text in reason


STEP = "a step on 2025-06-01, leave it out"
STEPPED = frame(BOX, plot(0, 0)[0], reason=[STEP.replace(", ", "; "), "another"])
NOTHING_MADE = {"land_cover_after": raster(GRASS), "crop_cycles_after": raster(0)}


@pytest.mark.parametrize("changes", [{}, NOTHING_MADE, {"land_cover_before": raster(CROP)}])
def test_unsound_imagery_speaks_neither_for_nor_against(changes):
    row = judged(claim(BOX), perfect(unsound=STEPPED.to_crs("EPSG:4490"), **changes))
    assert row["answer"] == "INCONCLUSIVE"
    assert {row[f"rule_NEW_0{n}"] for n in (3, 4, 5)} == {"inconclusive"}
    assert row["reasons"].count(f"imagery unsound: {STEP}") == 3
    assert "another" not in row["reasons"]
    assert judged(claim(plot(20, 20)[0]), perfect(unsound=STEPPED))["answer"] == "SUPPORTED"


def test_what_no_image_is_needed_for_still_contradicts():
    row = judged(claim(BOX, survey_id=None), perfect(unsound=STEPPED))
    assert (row["answer"], row["rule_NEW_01"]) == ("CONTRADICTED", "fail")
    row = judged(claim(BOX), perfect(unsound=STEPPED, land=ARABLE_THIRD))
    assert (row["answer"], row["rule_NEW_03"]) == ("CONTRADICTED", "fail")


def test_unsound_areas_must_say_why_and_where():
    with pytest.raises(LayerError, match="without a column reason"):
        perfect(unsound=frame(BOX))
    with pytest.raises(MissingCRS, match="layer unsound"):
        judged(claim(BOX), perfect(unsound=frame(BOX, crs=None, reason=[STEP])))


@pytest.mark.parametrize(
    ("window", "doubtful", "answer"),
    [
        (HALF, 9, "SUPPORTED"),  # exactly half of the looks
        (WINDOW, 5, "INCONCLUSIVE"),
        (WINDOW, 4, "SUPPORTED"),
        ((slice(0, 10), slice(None)), 9, "SUPPORTED"),  # beside the claim
    ],
)
def test_looks_that_a_mask_called_cloud(window, doubtful, answer):
    looks = raster(0, (window, doubtful), dtype=np.uint16)
    row = judged(claim(BOX), perfect(doubtful_looks_after=looks))
    assert row["answer"] == answer
    of = "pass" if answer == "SUPPORTED" else "inconclusive"
    assert (row["rule_NEW_03"], row["rule_NEW_04"], row["rule_NEW_05"]) == ("pass", of, of)
    said = (
        "of the clear looks after were called cloud by a mask, limit 0.5 [proposal]"
        in (row["reasons"])
    )
    assert said == (answer == "INCONCLUSIVE")


def test_doubtful_looks_do_not_contradict():
    doubtful = np.full((40, 40), 9, np.uint16)
    row = judged(claim(BOX), perfect(doubtful_looks_after=doubtful, **NOTHING_MADE))
    assert (row["answer"], row["rule_NEW_03"]) == ("INCONCLUSIVE", "pass")
    with pytest.raises(GridMismatch, match="doubtful_looks_after"):
        perfect(doubtful_looks_after=doubtful[:3])


def test_too_small_to_see_is_inconclusive():
    row = judged(claim(plot(10, 10, 3, 5)[0]), perfect())
    assert (row["answer"], row["n_px"]) == ("INCONCLUSIVE", 15)
    assert "too small to see: 15 interior pixels, needed 16 [proposal]" in row["reasons"]
    assert judged(claim(plot(10, 10, 4, 4)[0]), perfect())["answer"] == "SUPPORTED"


def test_pixels_that_are_a_sliver_of_the_polygon_decide_nothing():
    block = plot(10, 10, 4, 4)[0]
    strips = [plot(10, col, 4, 1)[0] for col in range(16, 30, 2)]
    tail = [shapely.affinity.translate(s, 5) for s in strips]
    row = judged(claim(shapely.MultiPolygon([block, *tail])), perfect())
    assert (row["n_px"], row["answer"]) == (16, "INCONCLUSIVE")
    assert (row["rule_NEW_04"], row["rule_NEW_05"]) == ("inconclusive", "inconclusive")
    assert (
        "16 interior pixels stand for 0.36 of the polygon, needed 0.5 [proposal]" in row["reasons"]
    )
    fewer = judged(claim(shapely.MultiPolygon([block, *tail[:4]])), perfect())
    assert (fewer["n_px"], fewer["answer"]) == (16, "SUPPORTED")


def test_an_empty_layer_reports_no_overlap():
    row = judged(claim(BOX), perfect(redline=NOWHERE, forbidden={"reserve": frame(BOX)}))
    assert (row["answer"], row["rule_NEW_07"]) == ("CONTRADICTED", "fail")
    assert "redline" not in row["overlaps"]


def test_a_compact_field_off_the_grid_is_judged():
    # half a pixel off: 16 of its 25 pixels lie inside
    field = shapely.affinity.translate(plot(10, 10, 5, 5)[0], 5, 5)
    row = judged(claim(field), perfect())
    assert (row["n_px"], row["answer"]) == (16, "SUPPORTED")


@pytest.mark.parametrize(
    "placeholder",
    ["", " ", "-", "－", "无", "待补", "none", "NULL", "N/A", "na", " TBD ", "/", None],
)
@pytest.mark.parametrize("name", ["survey_id", "change_survey_id"])
def test_a_placeholder_is_no_id(name, placeholder):
    row = judged(claim(BOX, **{name: placeholder}), perfect())
    assert (row["answer"], row["rule_NEW_01"]) == ("CONTRADICTED", "fail")
    assert f"no {name.removesuffix('_id').replace('_s', '-s')} id" in row["reasons"]


def table(*shapes, **columns):
    parts = [claim(s, claim_id=f"C{i}") for i, s in enumerate(shapes, 1)]
    return gpd.GeoDataFrame(gpd.pd.concat(parts, ignore_index=True)).assign(**columns)


def test_ground_claimed_twice_supports_neither():
    west, south, east, north = BOX.bounds
    inner = shapely.box(west + 1, south + 1, east - 1, north - 1)
    result = judge_claims(table(BOX, plot(20, 20)[0], inner), perfect(), RULES)
    assert result["answer"].tolist() == ["INCONCLUSIVE", "SUPPORTED", "INCONCLUSIVE"]
    assert result["rule_GEO_01"].tolist() == ["inconclusive", "pass", "inconclusive"]
    shared = f"{areas_m2(frame(inner))[0]:.2f}"
    assert f"shares {shared} m2 with claim C3, limit 10 [proposal]" in result["reasons"][0]
    assert f"shares {shared} m2 with claim C1, limit 10 [proposal]" in result["reasons"][2]


@pytest.mark.parametrize(
    ("width", "answer"), [(0.0, "SUPPORTED"), (0.16, "SUPPORTED"), (0.17, "INCONCLUSIVE")]
)
def test_neighbours_may_overlap_by_the_tolerance(width, answer):
    # 60 m of common edge: 9.6 m2 and 10.2 m2
    other = shapely.affinity.translate(BOX, 60 - width)
    result = judge_claims(table(BOX, other), perfect(), RULES)
    assert result["answer"].tolist() == [answer, answer]


def test_a_contradicted_claim_stays_contradicted_when_claimed_twice():
    result = judge_claims(table(BOX, BOX, area_source=["desk", "surveyed"]), perfect(), RULES)
    assert result["answer"].tolist() == ["CONTRADICTED", "INCONCLUSIVE"]


def test_a_repaired_polygon_is_never_supported():
    known = table(BOX, plot(20, 20)[0])
    known.attrs["repaired"] = ["C1: Self-intersection[1 2]"]
    result = judge_claims(known, perfect(), RULES)
    assert result["answer"].tolist() == ["INCONCLUSIVE", "SUPPORTED"]
    assert "polygon had to be repaired (Self-intersection[1 2])" in result["reasons"][0]


def test_doubts_of_the_whole_table_hold_for_its_parts():
    known = table(BOX, plot(20, 20)[0], BOX)
    known.attrs["repaired"] = ["C2: Self-intersection"]
    found = table_doubts(known, RULES)
    for i in range(3):
        part = known.iloc[[i]]
        part.attrs = {}
        row = judge_claims(part, perfect(), RULES, doubts=[found[i]]).iloc[0]
        assert (row["answer"], row["rule_GEO_01"]) == ("INCONCLUSIVE", "inconclusive")


def test_an_invalid_polygon_is_named_and_left_as_it_is():
    bow = shapely.Polygon([(0, 0), (60, 60), (60, 0), (0, 60)])
    known = table(shapely.affinity.translate(bow, WEST + 100, NORTH - 160))
    ((fault,),) = table_doubts(known, RULES)
    assert fault.startswith("polygon is invalid (Self-intersection")
    assert not known.geometry.is_valid[0]


def test_land_beyond_the_raster_is_unseen():
    row = judged(claim(plot(-3, 10)[0]), perfect())
    assert (row["answer"], row["seen_fraction"]) == ("INCONCLUSIVE", 0.5)
    assert "unknown 0.500" in row["reasons"]


INPUTS = {
    "land": "NEW_03",
    "redline": "NEW_07",
    "geobox": "NEW_05",
    "land_cover_before": "NEW_03",
    "land_cover_after": "NEW_05",
    "clear_looks_after": "NEW_05",
    "crop_cycles_after": "NEW_04",
    "slope_deg": "SLP_01",
    "before": "NEW_03",
    "after": "NEW_04",
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_missing_input_is_not_evaluated(name):
    missing = {name: None}
    if name == "geobox":
        missing |= {n: None for n in INPUTS if n.endswith(("before", "after", "deg"))}
    row = judged(claim(BOX), perfect(**missing))
    assert (row["answer"], row[f"rule_{INPUTS[name]}"]) == ("INCONCLUSIVE", "not_evaluated")


def test_claims_in_degrees_are_measured_where_delivered():
    degrees = frame(BOX).to_crs("EPSG:4490").geometry[0]
    row = judged(claim(degrees, crs="EPSG:4490"), perfect())
    assert (row["answer"], row["n_px"]) == ("SUPPORTED", 36)


def test_many_claims_keep_order_and_are_judged_apart():
    boxes = [plot(2, 2)[0], plot(20, 20)[0], plot(30, 2)[0]]
    after = raster(CROP, (plot(20, 20)[1], GRASS))
    table = gpd.GeoDataFrame(
        gpd.pd.concat([claim(b, claim_id=f"C{i}") for i, b in enumerate(boxes)], ignore_index=True)
    )
    cycles = raster(1, (plot(20, 20)[1], 0))
    known = perfect(land_cover_after=after, crop_cycles_after=cycles)
    result = judge_claims(table, known, RULES)
    assert result["claim_id"].tolist() == ["C0", "C1", "C2"]
    assert result["answer"].tolist() == ["SUPPORTED", "CONTRADICTED", "SUPPORTED"]
    assert result.crs == table.crs
    assert result.geometry.tolist() == boxes


def test_overlapping_baseline_polygons_count_once():
    west, south, _, north = BOX.bounds
    strip = shapely.box(west, south, west + 1.8, north)
    land = frame(BOX.buffer(500), strip, strip, land_code=["0404", "0103", "0103"])
    row = judged(claim(BOX), perfect(land=land))
    assert row["baseline_arable_fraction"] == pytest.approx(0.03, abs=1e-5)
    assert row["rule_NEW_03"] == "pass"


def test_farmland_overlap_is_reported_and_decides_nothing():
    row = judged(claim(BOX), perfect(pbf=frame(BOX)))
    assert row["answer"] == "SUPPORTED"
    assert "pbf=3599." in row["overlaps"]


def test_wrong_inputs_are_refused():
    with pytest.raises(GridMismatch, match=r"got slope_deg of shape \(2, 2\); needed the grid's"):
        perfect(slope_deg=np.zeros((2, 2), np.float32))
    with pytest.raises(LayerError, match="got claims without survey_id, completed_on"):
        judge_claims(claim(BOX).drop(columns=["survey_id", "completed_on"]), perfect(), RULES)
    with pytest.raises(MissingCRS):
        judge_claims(claim(BOX).set_crs(None, allow_override=True), perfect(), RULES)
    with pytest.raises(MissingCRS, match="got layer redline without"):
        judge_claims(claim(BOX), perfect(redline=gpd.GeoDataFrame(geometry=[BOX])), RULES)
    flat = claim(BOX)
    flat["geometry"] = [shapely.Polygon([(0, 0), (1, 1), (2, 2)])]
    with pytest.raises(LayerError, match="polygon has no area: C1"):
        judge_claims(flat, perfect(), RULES)


def test_no_rule_no_support():
    passed = dict.fromkeys(checks.CHECKS, Status.PASS)
    assert answer_of(passed) is ClaimAnswer.SUPPORTED
    for rule in passed:
        fewer = {r: s for r, s in passed.items() if r != rule}
        assert answer_of(fewer) is ClaimAnswer.INCONCLUSIVE
        for status in Status:
            if status is not Status.PASS:
                assert answer_of({**passed, rule: status}) is not ClaimAnswer.SUPPORTED


def test_nothing_returns_a_total():
    """No public function of the room yields a number of square metres over several claims."""
    for module in (checks, claims, doubts, evidence, overlay, cover):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                assert "total" not in name
                takes_claims = "claims" in inspect.signature(function).parameters
                assert not takes_claims or name in {"judge_claims", "table_doubts"}


@st.composite
def any_evidence(draw):
    """Rasters between perfect and arbitrary, any of them possibly missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.03, 0.1, 0.3, 1.0]))

    def spoiled(data, values):
        hit = rng.random(data.shape) < share
        return np.where(hit, rng.choice(values, data.shape), data).astype(data.dtype)

    base = perfect()
    cover = [0, *map(int, LandCover)]
    changes = {
        "land_cover_before": spoiled(base.land_cover_before, cover),
        "land_cover_after": spoiled(base.land_cover_after, cover),
        "clear_looks_after": spoiled(base.clear_looks_after, [0, 1, 2, 3, 9]),
        "crop_cycles_after": spoiled(base.crop_cycles_after, [0, 1, 2, 255]),
        "slope_deg": spoiled(base.slope_deg, [1.0, 10.0, 24.0, 26.0, 40.0, np.nan]),
    }
    for name in draw(st.sets(st.sampled_from(sorted(INPUTS.keys() - {"geobox"})), max_size=2)):
        changes[name] = None
    return dataclasses.replace(base, **changes)


@settings(deadline=None, max_examples=60)
@given(any_evidence(), st.sampled_from(["desk", "coefficient"]))
def test_no_evidence_supports_a_desk_or_coefficient_area(known, source):
    assert judged(claim(BOX, area_source=source), known)["answer"] == "CONTRADICTED"


@settings(deadline=None, max_examples=60)
@given(any_evidence(), st.sampled_from(sorted(INPUTS.keys() - {"geobox"})))
def test_nothing_is_supported_without_every_input(known, name):
    assert judged(claim(BOX), dataclasses.replace(known, **{name: None}))["answer"] != "SUPPORTED"


BLANK = {
    "land_cover_before": 0,
    "land_cover_after": 0,
    "clear_looks_after": 0,
    "crop_cycles_after": 255,
    "slope_deg": np.nan,
}


@settings(deadline=None, max_examples=100)
@given(any_evidence(), st.integers(0, 2**32 - 1), st.sampled_from(sorted(BLANK)))
def test_blanking_pixels_only_ever_leads_to_inconclusive(known, seed, name):
    data = getattr(known, name)
    if data is None:
        return
    hidden = np.random.default_rng(seed).random(data.shape) < 0.3
    blanked = dataclasses.replace(
        known, **{name: np.where(hidden, BLANK[name], data).astype(data.dtype)}
    )
    before = judged(claim(BOX), known)["answer"]
    after = judged(claim(BOX), blanked)["answer"]
    assert after in {before, "INCONCLUSIVE"}
