import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from rs_monitor.errors import CoverageError
from rs_monitor.findings.statement import clean_statement

CRS = "EPSG:4548"
OPEN = ("suspected", "suspected_illegal", "unjudged")
EXCUSED = ("no_change", "legal_candidate", "other_agri_facility")


def table(**changes):
    """Two zones of 100 ha and 50 ha."""
    columns = {
        "zone_id": ["A", "B"],
        "area_m2": [1e6, 5e5],
        "seen_fraction": [0.99, 0.9],
        "not_seen_m2": [1e4, 5e4],
        "limit_m2": [1600.0, 1600.2],
        "detectable_fraction": [0.97129, 0.85],
        "covers_from": ["2024-06-30", "2024-07-02"],
        "covers_until": ["2025-04-01", "2025-03-20"],
    }
    return pd.DataFrame(columns | changes)


def patches(*rows):
    """Squares of (zone, proposal, area_m2) in a row, 100 m apart."""
    shapes = [shapely.box(100 * i, 0, 100 * i + 40, 40) for i in range(len(rows))]
    columns = {
        "zone_id": [row[0] for row in rows],
        "proposal": [row[1] for row in rows],
        "area_m2": [float(row[2]) for row in rows],
    }
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=CRS)


def test_a_zone_where_nothing_was_found():
    said = clean_statement(table(), patches())
    assert said.clean
    assert said.zones[0].text == (
        "No suspected change of at least 1,600 m² (2.40 mu) between 2024-06-30 and 2025-04-01 in "
        "the 97.12 % of the zone where one could have been detected; nothing can be said about "
        "2.88 %."
    )
    assert said.text == (
        "No suspected change of at least 1,600 m² (2.40 mu) between 2024-07-02 and 2025-03-20 in "
        "the 93.08 % of 2 zones where one could have been detected; nothing can be said about "
        "6.92 % of the ground."
    )


@pytest.mark.parametrize("proposal", OPEN)
def test_a_suspected_or_unjudged_change_ends_it(proposal):
    said = clean_statement(table(), patches(("A", proposal, 1700)))
    assert [zone.clean for zone in said.zones] == [False, True]
    assert not said.clean
    word = "left unjudged" if proposal == "unjudged" else "1 suspected change"
    assert word in said.zones[0].text
    assert "; no other suspected change of at least 1,600 m²" in said.zones[0].text
    assert said.text.startswith("In 1 of 2 zones no suspected change of at least 1,600 m²")
    assert "between 2024-07-02 and 2025-03-20 where one could" in said.text
    assert said.text.endswith("over the whole job nothing can be said about 6.92 % of the ground.")


@pytest.mark.parametrize("proposal", EXCUSED)
def test_an_excused_change_does_not(proposal):
    assert clean_statement(table(), patches(("A", proposal, 9000))).clean


def test_size_counts_for_the_unjudged_only():
    assert clean_statement(table(), patches(("A", "unjudged", 1500))).clean
    assert not clean_statement(table(), patches(("A", "unjudged", 1599.9))).clean
    assert not clean_statement(table(), patches(("A", "suspected", 900))).clean


def test_a_zone_without_detectable_ground_is_never_clean():
    blind = table(detectable_fraction=[0.0, 0.00004], covers_from=["", ""], covers_until=["", ""])
    said = clean_statement(blind, patches(("B", "suspected", 900)))
    assert [zone.clean for zone in said.zones] == [False, False]
    assert said.zones[0].text == (
        "Nothing can be said: no change of at least 1,600 m² (2.40 mu) could have been detected in "
        "the zone."
    )
    assert said.zones[1].text.endswith("in the zone; 1 suspected change there.")
    assert said.text == (
        "None of 2 zones can be called free of suspected change; nothing can be said about "
        "100.00 % of the ground."
    )


def test_the_share_is_rounded_down():
    nearly = table(detectable_fraction=[0.9999999, 1.0])
    texts = [zone.text for zone in clean_statement(nearly, patches()).zones]
    assert "the 99.99 % of the zone" in texts[0]
    assert "the 100.00 % of the zone" in texts[1]


def test_a_patch_counts_in_every_zone_it_meets():
    outlines = gpd.GeoSeries(
        [shapely.box(-500, -500, 20, 500), shapely.box(20, -500, 500, 500)],
        index=["A", "B"],
        crs=CRS,
    )
    found = patches(("A", "suspected", 1600))
    assert [z.clean for z in clean_statement(table(), found).zones] == [False, True]
    everywhere = clean_statement(table(), found, outlines=outlines)
    assert [z.clean for z in everywhere.zones] == [False, False]
    touching = gpd.GeoSeries([outlines["A"], shapely.box(40, -500, 500, 500)], ["A", "B"], CRS)
    only_a = clean_statement(table(), found, outlines=touching)
    assert [z.clean for z in only_a.zones] == [False, True]
    beside = patches(("B", "no_change", 1600), ("B", "suspected", 1600))
    said = clean_statement(table(), beside, outlines=outlines)
    assert [z.clean for z in said.zones] == [True, False]


REFUSED = [
    (None, "there is no coverage table"),
    (table().iloc[:1], "the coverage lacks zone B;"),
    (table().iloc[:0], "the coverage lacks zone A, B; the coverage holds no zone"),
    (table(zone_id=["A", "A"]), "the coverage lacks zone B; the coverage holds zone A twice"),
    (table().drop(columns="detectable_fraction"), "the coverage lacks detectable_fraction"),
    (table(detectable_fraction=[0.5, np.nan]), "detectable_fraction of zone B is not known"),
    (table(limit_m2=[np.nan, np.nan]), "limit_m2 of zone A, B is not known"),
    (table(covers_until=["2025-03-01", ""]), "covers_until of zone B is not known"),
    (table(covers_from=[None, "2024-01-01"]), "covers_from of zone A is not known"),
]


@pytest.mark.parametrize(("coverage", "problem"), REFUSED)
def test_nothing_is_said_without_the_whole_coverage(coverage, problem):
    with pytest.raises(CoverageError) as caught:
        clean_statement(coverage, patches(), planned=("A", "B"))
    assert problem in str(caught.value)
    assert "silence would read as no change; run the job again" in str(caught.value)


def test_a_zone_with_patches_needs_its_coverage():
    with pytest.raises(CoverageError, match="the coverage lacks zone C"):
        clean_statement(table(), patches(("C", "no_change", 900)))


STEP = "a radiometric step between scenes of the same sensor"
UNMEASURED = "shifts between dates could not be measured"


def test_a_zone_whose_imagery_is_in_doubt_is_never_clean():
    said = clean_statement(table(), patches(("A", "suspected", 900)), doubts={"A": [STEP]})
    assert [zone.clean for zone in said.zones] == [False, True]
    assert said.zones[0].text == (
        f"Nothing can be said of a change of at least 1,600 m² (2.40 mu): {STEP}; 1 suspected "
        "change there."
    )
    assert said.zones[0].detectable_percent == 0
    assert said.zones[1] == clean_statement(table(), patches()).zones[1]
    # 85 % of 50 ha of 150 ha: none of zone A
    assert said.text.endswith("over the whole job nothing can be said about 71.67 % of the ground.")


def test_a_doubt_ends_it_without_any_patch():
    said = clean_statement(table(), patches(), doubts={"A": [STEP, "no scene agrees"], "B": [STEP]})
    assert not any(zone.clean for zone in said.zones)
    assert said.zones[0].text.endswith(f": {STEP}; no scene agrees.")
    assert said.text == (
        "None of 2 zones can be called free of suspected change; nothing can be said about "
        "100.00 % of the ground."
    )


def test_a_caveat_is_said_and_changes_nothing_else():
    plain, said = (
        clean_statement(table(), patches(), caveats=c) for c in ({}, {"A": [UNMEASURED]})
    )
    assert said.clean
    assert said.zones[0].text == f"{plain.zones[0].text[:-1]}; {UNMEASURED}."
    assert said.zones[1] == plain.zones[1]
    assert said.text == f"{plain.text} 1 zone with a reservation."


@pytest.mark.parametrize("what", ["doubts", "caveats"])
def test_a_doubt_about_a_zone_without_coverage_is_not_lost(what):
    with pytest.raises(CoverageError, match="the coverage lacks zone C"):
        clean_statement(table(), patches(), **{what: {"C": [STEP]}})
