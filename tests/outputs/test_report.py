import re
from dataclasses import replace
from html.parser import HTMLParser

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from rs_monitor.codes import LandCover
from rs_monitor.errors import CoverageError
from rs_monitor.outputs.doctor import check_run
from rs_monitor.outputs.report import AREA_ZONE_LIMIT, render_report, write_report

SCRIPT = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Collects tags, their attributes and the text outside style."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._style = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_data(self, data):
        if not self._style:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def count(self, tag, **attributes):
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return sum(t == tag and wanted.items() <= a.items() for t, a in self.tags)


def test_page_needs_nothing_outside_itself(make_context):
    html = render_report(make_context())
    assert not re.search(r"https?://|@import|url\(", html)
    page = Page(html)
    assert page.count("script") == page.count("link") == page.count("iframe") == 0
    sources = [a[k] for _, a in page.tags for k in ("src", "href") if k in a]
    assert sources
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in sources)


def test_every_anchor_has_its_target(make_context):
    page = Page(render_report(make_context()))
    targets = {a["id"] for _, a in page.tags if "id" in a}
    wanted = {a["href"][1:] for _, a in page.tags if a.get("href", "").startswith("#")}
    assert wanted <= targets


def test_text_from_vectors_is_escaped(make_context):
    context = make_context()
    patches = context.patches.copy()
    patches["zone_id"] = patches["zone_id"].replace(context.zones[0].zone_id, SCRIPT)
    patches.loc[0, "proposal_reason"] = SCRIPT
    patches.loc[1, "patch_id"] = f'"><img src=x onerror=alert(1)>{SCRIPT}'
    findings = context.findings.assign(reason=SCRIPT, clause=SCRIPT)
    ids = [SCRIPT, context.zones[1].zone_id]
    coverage = context.coverage.assign(zone_id=ids, not_seen_because=SCRIPT)
    zones = [replace(context.zones[0], zone_id=SCRIPT), context.zones[1]]
    claims = context.claims.assign(claim_id=SCRIPT, survey_id=SCRIPT)
    truth = context.truth.rename(columns={"kind": SCRIPT})
    manifest = dict(context.manifest) | {"purpose": SCRIPT, "name": SCRIPT}
    html = render_report(
        replace(
            context,
            manifest=manifest,
            zones=zones,
            patches=patches,
            findings=findings,
            coverage=coverage,
            claims=claims,
            truth=truth,
        )
    )
    page = Page(html)
    assert "<script" not in html.lower()
    assert page.count("script") == 0
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.text.count("alert(1)") > 20


def test_page_says_what_was_and_was_not_decided(make_context):
    page = Page(render_report(make_context(), content_digest="c0ffee" * 10))
    for words in (
        "SYNTHETIC 合成数据",
        "What this run decided",
        "What it did not decide",
        "22 places changed",
        "10 suspected, to be checked",
        "692,800 m² · 1,039.20 mu of ground was not seen well enough",
        "2 patches cannot decide 无法判定",
        "no DEM was given",
        "ReadError: item SYN_x, band red: timed out",
        "XZGD-002 CONTRADICTED · 矛盾",
        "NEG-11 suspected 疑似",
        "S004 §二(二)4(4)",
        "SYN_20240104_T50",
        "c0ffee" * 10,
    ):
        assert words in page.text, words


def test_page_says_how_far_silence_goes(make_context):
    context = make_context()
    quiet = context.patches.assign(proposal="no_change")
    page = Page(render_report(replace(context, patches=quiet)))
    assert page.count("b", class_="clean") == 2
    for words in (
        "No suspected change of at least 1,600 m² (2.40 mu) between 2024-06-30 and 2025-03-18 in "
        "the 96.12 % of the zone where one could have been detected; nothing can be said about "
        "3.88 %.",
        "in the 90.62 % of 2 zones where one could have been detected; nothing can be said about "
        "9.38 % of the ground.",
        "cloud 71%, no imagery 29%",
        "after 9, 2025-05-04",
    ):
        assert words in page.text, words
    assert page.text.count("doubtful 存疑 0.4%") == 1


def test_suspected_patches_leave_no_zone_clean(make_context):
    page = Page(render_report(make_context()))
    assert page.count("b", class_="clean") == 0
    assert "None of 2 zones can be called free of suspected change" in page.text
    assert "No suspected change" not in page.text


def test_ground_two_zones_share_counts_in_both(make_context):
    context = make_context()
    patches = context.patches.assign(proposal="no_change")
    patches.loc[0, "proposal"] = "suspected"
    patches.loc[0, "zone_id"] = context.zones[0].zone_id
    shared = [patches.geometry.iloc[0].buffer(10)] * 2
    outlines = gpd.GeoSeries(shared, [zone.zone_id for zone in context.zones], patches.crs)
    clean = [
        Page(render_report(replace(context, patches=patches, outlines=each))).count(
            "b", class_="clean"
        )
        for each in (None, outlines)
    ]
    assert clean == [1, 0]


def test_a_report_without_coverage_is_refused(make_context):
    context = make_context()
    for coverage, problem in (
        (None, "there is no coverage table"),
        (context.coverage.iloc[:1], "the coverage lacks zone 石桥村 B"),
        (context.coverage.drop(columns="covers_from"), "the coverage lacks covers_from"),
    ):
        with pytest.raises(CoverageError, match=problem):
            render_report(replace(context, coverage=coverage))
    with pytest.raises(CoverageError, match="the coverage lacks zone C"):
        render_report(replace(context, planned=("C",)))


def test_what_makes_a_patch_doubtful_stands_beside_it(make_context):
    page = Page(render_report(make_context()))
    assert page.text.count("35% doubtful 存疑") == 4
    assert page.text.count("last 2025-05-01") == 22
    assert page.text.count("shift 1.8 m: ") == 22
    context = make_context()
    unknown = context.patches.assign(shift_fraction=np.nan, doubtful_fraction=np.nan)
    page = Page(render_report(replace(context, patches=unknown)))
    assert "shift 1.8 m" not in page.text
    assert "doubtful 存疑 0.4%" in page.text


def test_each_patch_has_its_line_outline_and_pictures(make_context):
    page = Page(render_report(make_context()))
    assert page.count("article", class_="chip") == 22
    assert page.count("path", class_="halo") == 22
    assert page.count("img") == 2 * 3 + 22 * 2
    titles = [a for t, a in page.tags if t == "title"]
    assert len(titles) == 22 + 1


def test_indicative_areas_are_marked(make_context):
    html = render_report(make_context())
    assert len(re.findall(r'<td class="num low">', html)) == 4
    assert html.count("about 600 m²") == 2


def test_pictures_are_limited_and_the_page_says_so(make_context):
    html = render_report(make_context(), chip_limit=3)
    page = Page(html)
    assert page.count("article", class_="chip") == 3
    assert "The 3 largest of 22 patches" in page.text
    targets = {a["id"] for _, a in page.tags if "id" in a}
    assert {a["href"][1:] for _, a in page.tags if a.get("href", "").startswith("#")} <= targets


def test_real_run_has_no_banner(make_context):
    context = make_context()
    html = render_report(replace(context, manifest=dict(context.manifest) | {"synthetic": False}))
    assert "SYNTHETIC" not in html


def test_nothing_found_is_said(make_context):
    context = make_context()
    html = render_report(
        replace(
            context,
            patches=context.patches.iloc[:0],
            findings=context.findings.iloc[:0],
            claims=None,
            truth=None,
        )
    )
    page = Page(html)
    assert (
        "No patch of change was found on the ground that was seen; Coverage says how far that goes."
        in page.text
    )
    assert 'id="claims"' not in html
    assert 'id="truth"' not in html


def test_patches_in_another_crs_land_on_the_map(make_context):
    context = make_context()
    moved = replace(context, patches=context.patches.to_crs("EPSG:4490"))
    paths = [
        [a["d"] for t, a in Page(render_report(c)).tags if a.get("class") == "halo"]
        for c in (context, moved)
    ]
    numbers = [[float(n) for n in re.findall(r"[\d.]+", " ".join(found))] for found in paths]
    np.testing.assert_allclose(sorted(numbers[0]), sorted(numbers[1]), atol=0.02)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_raw_numbers_can_be_shown(make_context, dtype):
    context = make_context()
    zone = context.zones[0]
    raw = np.nan_to_num(zone.before * 10_000).astype(dtype)
    render_report(replace(context, zones=[replace(zone, before=raw), context.zones[1]]))


def test_report_is_part_of_the_run(make_context, make_folder):
    context = make_context()
    with make_folder(synthetic=True) as folder:
        path = write_report(folder, context)
        folder.finish()
    assert path == folder.path / "report" / "index.html"
    assert check_run(folder.path) == []


def test_ground_unlike_the_training_data_is_told(make_context):
    context = make_context()
    assert "Ground unlike" not in Page(render_report(context)).text
    told = {
        "name": "county",
        "version": "2.0.1",
        "source": "model",
        "classes_not_known": ["wetland", SCRIPT],
        "outside_training_data": {"Z02": {"before": 0.0, "after": 0.125}, "Z01": {}},
    }
    steps = [{"name": "land_cover", "parameters": told, "warnings": []}]
    html = render_report(replace(context, manifest={**context.manifest, "steps": steps}))
    text = Page(html).text
    assert "trained on (model county 2.0.1): 12.5% of what was seen after in zone Z02." in text
    assert "before in zone" not in text
    assert "does not know wetland, " in text
    assert SCRIPT not in html


def test_generalised_land_cover_is_shown_and_said_to_be_for_reading(make_context):
    context = make_context()
    plain = render_report(context)
    assert "eneralised" not in Page(plain).text
    rules = {"radius_px": 3, "share": 0.5, "smoothness": 10.0}
    changed = {"A": {"before": 0.0892, "after": 0.1}, "B": {}}
    told = {"source": "survey", "generalised": {"method": "smoothed", "rules": rules}}
    told["generalised"]["changed"] = changed
    steps = [{"name": "land_cover", "parameters": told, "warnings": []}]
    cover = np.full(context.zones[0].change.shape, LandCover.PADDY, np.uint8)
    zone = replace(context.zones[0], generalised={"before": cover, "after": cover})
    page = Page(
        render_report(
            replace(
                context,
                manifest={**context.manifest, "steps": steps},
                zones=[zone, context.zones[1]],
            )
        )
    )
    assert "smoothed in windows of 7 by 7 pixels) is for reading: patches, findings," in page.text
    assert "part of what was seen: 8.9% before, 10.0% after in zone A." in page.text
    assert "Land cover before, generalised 综合地类图" in page.text
    assert page.count("img", class_="cover-before") == 1
    assert page.count("img", class_="cover-after") == 1
    assert page.count("li", class_="classes") == 1


def area_frame(*rows):
    names = ["zone_id", "period", "class", "class_name", "pixels", "mapped_area_m2"]
    return pd.DataFrame(rows, columns=names)


def test_mapped_areas_are_told_as_mapped_only(make_context):
    areas = area_frame(
        ("A", "before", 2, "upland_crop", 1000, 100_000.0),
        ("A", "before", 0, "not_seen", 20, 2000.0),
        ("A", "after", 2, "upland_crop", 900, 90_000.0),
        ("A", "after", 8, "built", 120, 12_000.0),
        ("A", "after", 0, "not_seen", 0, 0.0),
    )
    page = Page(render_report(make_context(class_areas=areas)))
    assert page.count("section", id="class-areas") == page.count("a", href="#class-areas") == 1
    for words in (
        "never evidence of new arable land",
        "rs-monitor sample and have them read for rs-monitor assess",
        "Mapped difference, not measured 制图差值,非实测",
        "Zone A · 10.20 ha · 153.00 mu",
        "upland crop 旱地水浇地 10.00 150.00 9.00 135.00 -1.00 -15.00",
        "built 建设用地 0.00 0.00 1.20 18.00 +1.20 +18.00",
        "not seen 未观测 0.20 3.00 0.00 0.00 – –",
    ):
        assert words in page.text, words


def test_of_hundreds_of_zones_the_first_are_shown(make_context):
    rows = [
        (f"Z{i}", period, 0, "not_seen", 9, 900.0)
        for i in range(AREA_ZONE_LIMIT + 5)
        for period in ("before", "after")
    ]
    told = f"The first {AREA_ZONE_LIMIT} of {AREA_ZONE_LIMIT + 5} zones; all are in that file."
    page = Page(render_report(make_context(class_areas=area_frame(*rows))))
    assert told in page.text
    assert f"Zone Z{AREA_ZONE_LIMIT - 1} ·" in page.text
    assert f"Zone Z{AREA_ZONE_LIMIT} ·" not in page.text
    fitting = area_frame(*rows[: 2 * AREA_ZONE_LIMIT])
    assert "all are in that file" not in Page(render_report(make_context(class_areas=fitting))).text


def test_without_land_cover_no_mapped_areas(make_context):
    page = Page(render_report(make_context()))
    assert page.count("section", id="class-areas") == page.count("a", href="#class-areas") == 0


def test_zone_ids_of_mapped_areas_are_escaped(make_context):
    areas = area_frame(
        (SCRIPT, "before", 0, "not_seen", 9, 900.0), (SCRIPT, "after", 0, "not_seen", 9, 900.0)
    )
    page = Page(render_report(make_context(class_areas=areas)))
    assert page.count("script") == 0
    assert f"Zone {SCRIPT} · 0.09 ha" in page.text
