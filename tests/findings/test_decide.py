import datetime as dt

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rs_monitor.codes import LandCover, Status
from rs_monitor.errors import LayerError, MissingCRS
from rs_monitor.findings.decide import evaluate, missing_inputs, propose

L = LandCover
EVERYWHERE = (-5, 35, -5, 35)

# rule, before, after, land code, slope, restricted layer the patch must lie on
CASES = {
    "NEG-01": (L.UPLAND_CROP, L.BUILT, "0103", None, None),
    "NEG-02": (L.UPLAND_CROP, L.BUILT, "0103", None, "pbf"),
    "NEG-03": (L.FOREST, L.BARE, "0301", 20.0, None),
    "NEG-04": (L.WATER, L.BARE, "1101", None, None),
    "NEG-05": (L.GRASS, L.BUILT, "0404", None, None),
    "NEG-05b": (L.FOREST, L.UPLAND_CROP, "0301", None, None),
    "NEG-06": (L.UPLAND_CROP, L.WATER, "0103", None, None),
    "NEG-07": (L.GRASS, L.MINE, "0404", None, None),
    "NEG-08": (L.UPLAND_CROP, L.ORCHARD, "0103", None, None),
    "NEG-09": (L.UPLAND_CROP, L.GRASS, "0103", None, None),
    "V-EARTH": (L.UPLAND_CROP, L.BARE, "0103", None, None),
    "ECO-01": (L.GRASS, L.ORCHARD, "0404", None, "redline"),
}
EXCUSED_BY = {
    "NEG-01": "conversion",
    "NEG-02": "conversion",
    "NEG-03": "mining",
    "NEG-05": "forest",
    "NEG-05b": "whitelist_53",
    "NEG-06": "conversion",
    "NEG-07": "mining",
    "NEG-08": "facility",
    "NEG-09": "plan",
    "V-EARTH": "temporary",
}
NEEDS = [
    ("NEG-01", "land"),
    ("NEG-01", "permits"),
    ("NEG-02", "pbf"),
    ("NEG-02", "permits"),
    ("NEG-03", "permits"),
    ("NEG-05", "land"),
    ("NEG-05b", "permits"),
    ("NEG-06", "land"),
    ("NEG-07", "permits"),
    ("NEG-08", "zones"),
    ("NEG-09", "land"),
    ("V-EARTH", "zones"),
    ("ECO-01", "redline"),
]


@pytest.fixture
def case(patch, layers, box):
    """Patch and layers under which a rule holds."""

    def build(rule_id, *, permits=None, plan=None, **of_patch):
        before, after, land_code, slope_deg, restricted = CASES[rule_id]
        on = {} if restricted is None else {restricted: box(*EVERYWHERE)}
        given_layers = layers(land_code=land_code, permits=permits, plan=plan, **on)
        return patch(before, after, slope_deg=slope_deg, **of_patch), given_layers

    return build


def answer(findings, rule_id):
    rows = findings[findings["rule_id"] == rule_id]
    assert len(rows) == 1, findings[["rule_id", "status", "reason"]].to_string()
    return rows.iloc[0]


def permit(kind, approved="2024-01-15", expires=None, **more):
    days = {"approved_on": dt.date.fromisoformat(approved), "expires_on": expires}
    return [{"permit_id": "P1", "kind": kind, **days, **more}]


@pytest.mark.parametrize("rule_id", CASES)
def test_a_rule_that_holds_raises_a_suspicion(case, rules, rule_id):
    row = answer(evaluate(*case(rule_id), rules), rule_id)
    assert row["status"] == "suspected"
    assert f"{row['area_m2']:.0f} m2" in row["reason"]


@pytest.mark.parametrize(("rule_id", "kind"), EXCUSED_BY.items())
def test_a_permit_excuses(case, rules, rule_id, kind):
    row = answer(evaluate(*case(rule_id, permits=permit(kind)), rules), rule_id)
    assert (row["status"], row["permit_ids"]) == ("pass", "P1")
    assert "approved by P1 on 100% of the patch" in row["reason"]


@pytest.mark.parametrize("rule_id", ["NEG-04", "ECO-01"])
def test_what_no_permit_excuses(case, rules, rule_id):
    row = answer(evaluate(*case(rule_id, permits=permit("conversion")), rules), rule_id)
    assert row["status"] == "suspected"


@pytest.mark.parametrize(("rule_id", "layer"), NEEDS)
def test_a_missing_layer_is_not_evaluated(case, rules, rule_id, layer):
    patches, given_layers = case(rule_id, permits=permit("conversion"))
    del given_layers[layer]
    row = answer(evaluate(patches, given_layers, rules), rule_id)
    assert row["status"] == "not_evaluated"
    assert row["reason"].endswith(f"not evaluated: {layer} missing")


def test_without_elevation_mountain_cutting_is_not_evaluated(patch, layers, rules):
    findings = evaluate(patch(L.FOREST, L.BARE), layers(land_code="0301"), rules)
    row = answer(findings, "NEG-03")
    assert row["status"] == "not_evaluated"
    assert row["reason"].endswith("dem missing")


def test_gentle_slope_is_no_mountain_cutting(patch, layers, rules):
    patches = patch(L.FOREST, L.BARE, slope_deg=5.0)
    findings = evaluate(patches, layers(land_code="0301"), rules)
    assert "NEG-03" not in set(findings["rule_id"])


@pytest.mark.parametrize("rule_id", CASES)
def test_too_few_looks_are_inconclusive(case, rules, rule_id):
    row = answer(evaluate(*case(rule_id, looks=1), rules), rule_id)
    assert row["status"] == "inconclusive"
    assert "25 pixels, 5 and 1 clear looks" in row["reason"]


def test_too_small_is_inconclusive_even_under_a_permit(case, rules):
    findings = evaluate(*case("NEG-01", size=(1, 3), permits=permit("conversion")), rules)
    assert answer(findings, "NEG-01")["status"] == "inconclusive"


def test_below_the_reporting_area_is_inconclusive(case, rules):
    row = answer(evaluate(*case("NEG-03", size=(3, 3)), rules), "NEG-03")
    assert row["status"] == "inconclusive"
    assert row["reason"].endswith("below 1000 m2, from which the rule reports")


def test_a_patch_that_is_only_detected_says_so(case, rules):
    row = answer(evaluate(*case("NEG-01", size=(2, 3)), rules), "NEG-01")
    assert row["status"] == "suspected"
    assert row["reason"].endswith("below the sensor's measuring limit: 6 pixels, area indicative")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"approved": "2025-02-21"}, "P1 was approved 2025-02-21, after the change"),
        ({"expires": dt.date(2024, 2, 29)}, "P1 had expired 2024-02-29, before the change"),
        ({"kind": "forest"}, "no permit of kind conversion or temporary"),
    ],
)
def test_a_permit_out_of_time_or_kind_does_not_excuse(case, rules, changes, text):
    given_permit = permit(**{"kind": "conversion", **changes})
    row = answer(evaluate(*case("NEG-01", permits=given_permit), rules), "NEG-01")
    assert (row["status"], row["permit_ids"]) == ("suspected", "")
    assert text in row["reason"]


def test_a_permit_without_date_does_not_excuse(case, rules):
    given_permit = [{"permit_id": "P1", "kind": "conversion"}]
    row = answer(evaluate(*case("NEG-01", permits=given_permit), rules), "NEG-01")
    assert row["status"] == "suspected"
    assert "P1 carries no date of approval" in row["reason"]


@pytest.mark.parametrize(("columns", "status"), [(5, "pass"), (4, "suspected")])
def test_a_permit_must_cover_nine_tenths(case, rules, box, columns, status):
    part = box(5, 10, 5, 5 + columns)
    given_permit = permit("conversion", geometry=part)
    row = answer(evaluate(*case("NEG-01", permits=given_permit), rules), "NEG-01")
    assert row["status"] == status
    assert ("valid permits cover 80% of the patch, needed 90%" in row["reason"]) is (
        status == "suspected"
    )


def test_overlapping_permits_are_not_counted_twice(case, rules, box):
    half = {"geometry": box(5, 10, 5, 8)}
    first = permit("conversion", **half)[0]
    twice = [first, {**first, "permit_id": "P2"}]
    row = answer(evaluate(*case("NEG-01", permits=twice), rules), "NEG-01")
    assert "valid permits cover 60% of the patch" in row["reason"]


def test_two_permits_may_cover_together(case, rules, box):
    first = permit("conversion", geometry=box(5, 10, 5, 8))[0]
    second = {**permit("temporary", geometry=box(5, 10, 8, 10))[0], "permit_id": "P2"}
    row = answer(evaluate(*case("NEG-01", permits=[second, first]), rules), "NEG-01")
    assert (row["status"], row["permit_ids"]) == ("pass", "P1;P2")


def test_an_approved_plan_excuses_farming_but_never_construction(case, rules):
    assert answer(evaluate(*case("NEG-08", plan="S1"), rules), "NEG-08")["status"] == "pass"
    assert answer(evaluate(*case("NEG-01", plan="S1"), rules), "NEG-01")["status"] == "suspected"
    assert answer(evaluate(*case("NEG-06", plan="S1"), rules), "NEG-06")["status"] == "suspected"


def test_a_plan_approved_after_the_change_does_not_excuse(case, rules):
    patches, given_layers = case("NEG-08", plan="S1")
    given_layers["zones"]["plan_approved_on"] = dt.date(2025, 6, 1)
    row = answer(evaluate(patches, given_layers, rules), "NEG-08")
    assert (row["status"], row["plan_ids"]) == ("suspected", "")


def test_construction_off_farmland_meets_no_rule(patch, layers, rules):
    findings = evaluate(patch(L.BARE, L.BUILT), layers(land_code="0702"), rules)
    assert findings[["rule_id", "status"]].to_numpy().tolist() == [["CHG-OBS", "recorded"]]


@pytest.fixture
def west_strip(box):
    """Strip of a width along the west edge of the patch, longer than the patch."""

    def build(width_m):
        left, bottom, _, top = box(5, 10, 5, 6).bounds
        return shapely.box(left, bottom - 50, left + width_m, top + 50)

    return build


@pytest.mark.parametrize(("width_m", "status"), [(4.9, "inconclusive"), (5.1, "suspected")])
def test_an_overlap_thinner_than_half_a_pixel_is_inconclusive(
    patch, layers, rules, west_strip, width_m, status
):
    touched = layers(pbf=west_strip(width_m))
    row = answer(evaluate(patch(L.UPLAND_CROP, L.BUILT), touched, rules), "NEG-02")
    assert row["status"] == status
    thin = row["reason"].endswith("thinner than half a pixel along the edge")
    assert thin is (status == "inconclusive")


def test_farmland_touched_by_a_sliver_is_no_finding(patch, layers, rules, west_strip):
    touched = layers(pbf=west_strip(0.19))
    findings = evaluate(patch(L.UPLAND_CROP, L.BUILT), touched, rules)
    assert "NEG-02" not in set(findings["rule_id"])


def test_features_that_overlap_are_not_counted_twice(patch, layers, rules, box):
    given_layers = layers()
    halves = [box(5, 10, 5, 8), box(5, 10, 6, 8)]
    given_layers["pbf"] = gpd.GeoDataFrame(geometry=halves, crs="EPSG:4548")
    row = answer(evaluate(patch(L.UPLAND_CROP, L.BUILT), given_layers, rules), "NEG-02")
    assert row["pbf_m2"] == pytest.approx(0.6 * row["area_m2"])


def test_new_arable_land_is_recorded_and_never_suspected(patch, layers, rules):
    findings = evaluate(patch(L.GRASS, L.UPLAND_CROP), layers(land_code="0404"), rules)
    assert findings[["rule_id", "status"]].to_numpy().tolist() == [["NEW-OBS", "recorded"]]


def test_an_unclassified_patch_is_not_evaluated_once(patch, layers, rules):
    findings = evaluate(patch(None, None), layers(), rules)
    assert findings[["rule_id", "status"]].to_numpy().tolist() == [["CHG-OBS", "not_evaluated"]]
    assert findings["reason"].iloc[0].endswith("land_cover missing")


def test_an_unclassified_patch_on_restricted_land_is_inconclusive(patch, layers, rules, box):
    here = layers(redline=box(*EVERYWHERE))
    findings = evaluate(patch(None, None), here, rules)
    assert findings[["rule_id", "status"]].to_numpy().tolist() == [["ECO-01", "inconclusive"]]


def test_without_any_layer_every_patch_still_has_a_row(patch, rules):
    findings = evaluate(patch(L.UPLAND_CROP, L.BUILT), {}, rules)
    assert set(findings["status"]) == {"not_evaluated"}
    assert set(findings["rule_id"]) == {"NEG-01", "NEG-02", "ECO-01"}
    assert findings["pbf_m2"].isna().all()
    assert not findings["in_zone"].any()


def test_a_patch_outside_every_zone_is_judged_too(case, rules, box):
    patches, given_layers = case("NEG-01")
    given_layers["zones"] = given_layers["zones"].set_geometry([box(100, 110, 100, 110)])
    row = answer(evaluate(patches, given_layers, rules), "NEG-01")
    assert (row["status"], row["in_zone"]) == ("suspected", False)


def test_layers_in_another_crs_give_the_same_answers(case, rules):
    patches, given_layers = case("NEG-02", permits=permit("conversion"))
    there = {name: frame.to_crs("EPSG:4490") for name, frame in given_layers.items()}
    columns = ["finding_id", "status", "permit_ids", "in_zone"]
    here = evaluate(patches, given_layers, rules)[columns]
    assert evaluate(patches, there, rules)[columns].equals(here)
    degrees = evaluate(patches.to_crs("EPSG:4490"), there, rules)
    assert degrees[columns].equals(here)
    assert degrees["pbf_m2"].to_numpy() == pytest.approx(2500.0, rel=1e-3)


def test_ids_follow_patch_rule_and_version(case, rules):
    patches, given_layers = case("NEG-01")
    one = evaluate(patches, given_layers, rules)
    assert one["finding_id"].equals(evaluate(patches, given_layers, rules)["finding_id"])
    newer = rules.model_copy(
        update={"rules": tuple(r.model_copy(update={"version": "2"}) for r in rules.rules)}
    )
    assert not set(one["finding_id"]) & set(evaluate(patches, given_layers, newer)["finding_id"])


def test_no_patches_give_an_empty_record(patch, layers, rules):
    patches = patch(L.UPLAND_CROP, L.BUILT).iloc[:0]
    findings = evaluate(patches, layers(), rules)
    assert len(findings) == 0
    assert len(propose(patches, findings, layers(), rules)) == 0


def test_a_land_layer_without_code_system_is_refused(case, rules):
    patches, given_layers = case("NEG-01")
    given_layers["land"].attrs.clear()
    with pytest.raises(LayerError, match=r"code_system.*read the layer with its code system"):
        evaluate(patches, given_layers, rules)


def test_permits_without_dates_column_are_refused(case, rules):
    patches, given_layers = case("NEG-01")
    given_layers["permits"] = given_layers["permits"].drop(columns="approved_on")
    with pytest.raises(LayerError, match="permits without approved_on"):
        evaluate(patches, given_layers, rules)


def test_a_layer_without_crs_is_refused(case, rules):
    patches, given_layers = case("NEG-02")
    given_layers["pbf"] = gpd.GeoDataFrame(geometry=list(given_layers["pbf"].geometry))
    with pytest.raises(MissingCRS):
        evaluate(patches, given_layers, rules)


def test_rules_a_run_cannot_evaluate_are_named(rules):
    lacking = missing_inputs(rules, {"pbf", "permits", "zones", "land", "land_cover", "dem"})
    assert lacking == {"ECO-01": ("redline",)}


COVERS = st.one_of(st.none(), st.sampled_from(list(LandCover)))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=COVERS,
    after=COVERS,
    land_code=st.sampled_from(["0103", "0301", "0404", "0702", "1101"]),
    removed=st.sets(st.sampled_from(["land", "pbf", "redline", "permits", "zones"])),
    restricted=st.booleans(),
    excused=st.booleans(),
    looks=st.integers(0, 4),
)
def test_imagery_never_fails_anybody(
    patch, layers, rules, box, before, after, land_code, removed, restricted, excused, looks
):
    everywhere = box(*EVERYWHERE) if restricted else None
    given_layers = layers(
        land_code=land_code,
        pbf=everywhere,
        redline=everywhere,
        permits=permit("conversion") if excused else None,
        plan="S1" if excused else None,
    )
    for name in removed:
        del given_layers[name]
    patches = patch(before, after, looks=looks)
    findings = evaluate(patches, given_layers, rules)
    assert len(findings) >= 1
    assert Status.FAIL not in set(findings["status"])
    if looks < 2:
        assert set(findings["status"]) <= {"inconclusive", "not_evaluated"}
    proposed = propose(patches, findings, given_layers, rules)
    assert set(proposed["proposal"]) <= {
        "no_change",
        "legal_candidate",
        "suspected_illegal",
        "suspected",
        "other_agri_facility",
        "unjudged",
    }
    if {"pbf", "redline"} & removed or looks < 2:
        assert not set(proposed["proposal"]) & {"no_change", "legal_candidate"}


def proposal_of(patches, given_layers, rules):
    findings = evaluate(patches, given_layers, rules)
    row = propose(patches, findings, given_layers, rules).iloc[0]
    return row["proposal"], row["proposal_reason"]


def test_decision_table(patch, layers, rules, box):
    building = patch(L.UPLAND_CROP, L.BUILT)
    orchard = patch(L.UPLAND_CROP, L.ORCHARD)
    greenhouse = patch(L.UPLAND_CROP, L.FACILITY_AGRI)
    clearing = patch(L.FOREST, L.UPLAND_CROP)
    approved = permit("conversion")
    table = [
        (orchard, layers(plan="S1"), "no_change"),
        (building, layers(plan="S1", permits=approved), "legal_candidate"),
        (building, layers(plan="S1"), "suspected_illegal"),
        (building, layers(), "suspected_illegal"),
        (orchard, layers(), "suspected"),
        (orchard, layers(plan="S1", redline=box(*EVERYWHERE)), "suspected"),
        (orchard, layers(plan="S1", pbf=box(*EVERYWHERE)), "unjudged"),
        (building, layers(permits=approved, pbf=box(*EVERYWHERE)), "unjudged"),
        (clearing, layers(land_code="0301", permits=permit("whitelist_53")), "no_change"),
        (clearing, layers(land_code="0301"), "suspected"),
        (greenhouse, layers(permits=permit("facility")), "other_agri_facility"),
        (patch(L.GRASS, L.UPLAND_CROP), layers(land_code="0404"), "unjudged"),
        (patch(L.GRASS, L.UPLAND_CROP), layers(land_code="0404", plan="S1"), "no_change"),
        (patch(L.BARE, L.BUILT), layers(land_code="0702"), "unjudged"),
        (patch(None, None), layers(plan="S1"), "unjudged"),
        (patch(L.UPLAND_CROP, L.BUILT, looks=1), layers(), "unjudged"),
    ]
    got = [proposal_of(patches, given_layers, rules)[0] for patches, given_layers, _ in table]
    assert got == [wanted for _, _, wanted in table]


def test_nothing_is_excused_while_restricted_land_is_not_known(patch, layers, rules):
    given_layers = layers(plan="S1")
    del given_layers["pbf"]
    proposal, reason = proposal_of(patch(L.UPLAND_CROP, L.ORCHARD), given_layers, rules)
    assert proposal == "unjudged"
    assert reason == "pbf missing: restricted land is not known"


def test_slope_unknown_for_one_patch_only(patch, layers, rules):
    patches = patch(L.FOREST, L.BARE, slope_deg=20.0)
    patches.loc[0, "slope_deg"] = np.nan
    row = answer(evaluate(patches, layers(land_code="0301"), rules), "NEG-03")
    assert row["status"] == "not_evaluated"


def answer_to_permit(case, rules, **given):
    patches, given_layers = case("NEG-01", permits=permit("conversion", **given))
    row = answer(evaluate(patches, given_layers, rules), "NEG-01")
    return row, proposal_of(patches, given_layers, rules)


UNTOLD = "inside the change window 2024-03-01 to 2025-02-20: whether the works came first"


@pytest.mark.parametrize(
    ("approved", "status", "proposal"),
    [
        ("2024-03-01", "pass", "legal_candidate"),
        ("2024-03-02", "inconclusive", "unjudged"),
        ("2025-02-20", "inconclusive", "unjudged"),
        ("2025-02-21", "suspected", "suspected_illegal"),
    ],
)
def test_a_permit_approved_inside_the_window_decides_nothing(
    case, rules, approved, status, proposal
):
    row, (proposed, why) = answer_to_permit(case, rules, approved=approved)
    assert (row["status"], proposed) == (status, proposal)
    text = f"permit P1 approved {approved} {UNTOLD} cannot be told"
    assert row["reason"].endswith(text) is (status == "inconclusive")
    assert (why == f"open: NEG-01 (inconclusive): {text}") is (status == "inconclusive")
    assert row["permit_ids"] == ("P1" if status == "pass" else "")


@pytest.mark.parametrize(
    ("expires", "status"),
    [
        ("2024-02-29", "suspected"),
        ("2024-03-01", "inconclusive"),
        ("2025-02-19", "inconclusive"),
        ("2025-02-20", "pass"),
    ],
)
def test_a_permit_that_expired_inside_the_window_decides_nothing(case, rules, expires, status):
    row, _ = answer_to_permit(case, rules, expires=dt.date.fromisoformat(expires))
    assert row["status"] == status
    text = f"permit P1 expired {expires} {UNTOLD} cannot be told"
    assert row["reason"].endswith(text) is (status == "inconclusive")


def test_an_uncertain_permit_needed_beside_a_valid_one_decides_nothing(case, rules, box):
    first = permit("conversion", geometry=box(5, 10, 5, 8))[0]
    second = permit("conversion", "2024-06-01", geometry=box(5, 10, 8, 10))[0]
    both = [first, {**second, "permit_id": "P2"}]
    row = answer(evaluate(*case("NEG-01", permits=both), rules), "NEG-01")
    assert (row["status"], row["permit_ids"]) == ("inconclusive", "")
    assert row["reason"].endswith(f"permit P2 approved 2024-06-01 {UNTOLD} cannot be told")


def test_an_uncertain_permit_beside_one_that_covers_does_not_matter(case, rules):
    both = [*permit("conversion"), {**permit("conversion", "2024-06-01")[0], "permit_id": "P2"}]
    row = answer(evaluate(*case("NEG-01", permits=both), rules), "NEG-01")
    assert (row["status"], row["permit_ids"]) == ("pass", "P1")


def test_an_uncertain_permit_that_covers_too_little_keeps_the_suspicion(case, rules, box):
    part = permit("conversion", "2024-06-01", geometry=box(5, 10, 5, 8))
    row = answer(evaluate(*case("NEG-01", permits=part), rules), "NEG-01")
    assert row["status"] == "suspected"
    assert row["reason"].endswith("valid permits cover 60% of the patch at most, needed 90%")


def test_a_plan_approved_inside_the_window_decides_nothing(case, rules):
    patches, given_layers = case("NEG-08", plan="S1")
    given_layers["zones"]["plan_approved_on"] = dt.date(2024, 6, 1)
    row = answer(evaluate(patches, given_layers, rules), "NEG-08")
    assert (row["status"], row["plan_ids"]) == ("inconclusive", "")
    assert row["reason"].endswith(f"plan S1 approved 2024-06-01 {UNTOLD} cannot be told")
    assert proposal_of(patches, given_layers, rules)[0] == "unjudged"


def test_a_patch_a_shift_explains_is_said_so(case, rules):
    patches, given_layers = case("NEG-01")
    near = {"shift_m": 4.0, "shift_fraction": 0.97}
    doubted = patches.assign(measurability="cannot_decide", **near)
    row = answer(evaluate(doubted, given_layers, rules), "NEG-01")
    assert row["status"] == "inconclusive"
    assert row["reason"].endswith(
        "too small, too seldom seen or too near its edge to decide: 25 pixels, 5 and 5 clear "
        "looks, 97% of it within a shift of 4.0 m"
    )
    assert proposal_of(doubted, given_layers, rules)[0] == "unjudged"
    vague = patches.assign(measurability="detect_only", **near)
    row = answer(evaluate(vague, given_layers, rules), "NEG-01")
    assert row["reason"].endswith("25 pixels, 97% of it within a shift of 4.0 m, area indicative")
