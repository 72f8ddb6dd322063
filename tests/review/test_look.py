import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rs_monitor.errors import RunError
from rs_monitor.review.look import (
    claim_card,
    claims_table,
    coverage_table,
    finding_card,
    load_pixels,
    open_run,
    ranked_patches,
    styled,
    unanswered,
)
from tests.review.small_run import GEOBOX, GRID_CRS, VECTOR_CRS, outline, write_run


def test_a_finished_run_is_opened_whole(run_path):
    view = open_run(run_path)
    assert view.manifest.synthetic
    assert (len(view.patches), len(view.findings), len(view.coverage)) == (4, 5, 1)
    assert list(view.claims["answer"]) == ["SUPPORTED", "CONTRADICTED"]
    assert view.patches.crs == VECTOR_CRS
    # as in the report: counted from the largest, whatever is proposed
    assert view.numbers == {"large": 1, "built": 2, "pit": 3, "small": 4}


def test_an_unfinished_run_is_refused(tmp_path):
    write_run(tmp_path / "run", finish=False)
    with pytest.raises(RunError, match="status running; needed a finished one"):
        open_run(tmp_path / "run")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"without run\.json"):
        open_run(tmp_path)


def test_a_run_without_findings_is_refused(run_path):
    manifest = json.loads((run_path / "run.json").read_text(encoding="utf-8"))
    manifest["outputs"] = [o for o in manifest["outputs"] if o["path"] != "findings.gpkg"]
    (run_path / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunError, match="without patches, findings and coverage"):
        open_run(run_path)


def test_no_claims_are_none_and_not_an_empty_answer(tmp_path):
    view = open_run(write_run(tmp_path / "run", claims=False))
    assert view.claims is None
    assert claims_table(view).empty
    with pytest.raises(RunError, match="one of the 0"):
        claim_card(view, "C1")


def test_outlines_come_in_the_crs_of_the_grid(run_path):
    view = open_run(run_path)
    expected = outline((20, 24), (30, 35))
    assert view.outlines("Z1").crs == GRID_CRS
    assert view.outline("built").hausdorff_distance(expected) < 1e-4


def test_an_unknown_patch_map_or_zone_is_refused(run_path):
    view = open_run(run_path)
    with pytest.raises(RunError, match="got patch_id 'nowhere'; needed one of the 4"):
        view.patch("nowhere")
    with pytest.raises(RunError, match="got no map slope_deg of zone Z1"):
        view.raster("Z1", "slope_deg")
    with pytest.raises(RunError, match="of zone Z9"):
        view.geobox("Z9")


def test_scene_days_are_those_of_the_zone_and_period(run_path):
    view = open_run(run_path)
    assert view.scene_days("Z1", "before") == ["2024-04-02", "2024-10-20"]
    assert view.scene_days("Z1", "after") == ["2025-03-05"]


def test_a_window_holds_the_chosen_bands_of_the_map(run_path):
    view = open_run(run_path)
    window = slice(3, 7), slice(0, 5)
    data, geobox = load_pixels(view, "Z1", "after", bands=("red", "blue"), window=window)
    assert geobox == GEOBOX[window]
    assert data.dtype == np.float32
    assert np.isnan(data[:, :, 0]).all()
    np.testing.assert_array_equal(data[0, :, 1:], np.float32(0.3) * np.float32(2))
    np.testing.assert_array_equal(data[1, :, 1:], np.float32(0.1) * np.float32(2))


def test_a_reduced_picture_covers_the_same_ground(run_path):
    view = open_run(run_path)
    data, geobox = load_pixels(view, "Z1", "before", longest_px=30)
    assert data.shape == (3, 25, 30)
    assert geobox.boundingbox == GEOBOX.boundingbox
    np.testing.assert_allclose(data[0, :, 1:], 0.1, rtol=1e-6)


def test_not_seen_is_nan_in_a_class_raster(run_path):
    change, _ = load_pixels(open_run(run_path), "Z1", "change")
    assert np.isnan(change[0, :, 0]).all()
    assert (change[0, :, 1:] == 1).all()


def test_patches_are_ranked_by_suspicion_then_size(run_path):
    ranked = ranked_patches(open_run(run_path))
    assert list(ranked["patch_id"]) == ["built", "pit", "small", "large"]
    assert list(ranked.index) == [2, 3, 4, 1]
    first = ranked.iloc[0]
    assert (first["area, m²"], first["area, mu"]) == (2000.0, 3.0)
    assert first["proposal 建议"] == "suspected illegal 疑似违法"


def test_a_card_lists_every_rule_of_the_patch_and_no_other(run_path):
    card = finding_card(open_run(run_path), "built")
    assert list(card["rule_id"]) == ["NEG-01", "NEG-02", "NEG-06"]
    assert card["status"].iloc[0].startswith("suspected")
    assert list(card["status"].iloc[1:]) == ["inconclusive 证据不足", "pass 符合"]
    assert set(card["clause"]) == {"S004 §二(二)4(4)"}
    assert card["reason"].iloc[0] == "2000 m2 of farmland, no permit"


def test_a_patch_without_rules_has_an_empty_card(run_path):
    view = open_run(run_path)
    card = finding_card(view, "large")
    assert card.empty
    assert list(card.columns) == ["rule_id", "clause", "status", "reason"]
    with pytest.raises(RunError):
        finding_card(view, "nowhere")


def test_a_claim_card_gives_the_reason_of_each_rule(run_path):
    card = claim_card(open_run(run_path), "C2")
    assert card.to_numpy().tolist() == [
        ["NEW-01", "fail 不符合", "survey SV"],
        ["NEW-02", "pass 符合", "ratio 0.00000"],
    ]


def test_coverage_comes_in_percent_and_mu(run_path):
    row = coverage_table(open_run(run_path)).iloc[0]
    assert (row["area, mu"], row["seen, %"], row["not seen, m²"]) == (300, 98.76, 2470)


def test_everything_left_open_is_listed(run_path):
    table = unanswered(open_run(run_path))
    assert list(table["what"]) == [
        "slope_deg",
        "2,470 m² of ground",
        "1 patches: cannot decide 无法判定",
        "1 patches: detect only 仅可发现",
        "rule NEG-02: inconclusive 证据不足",
        "rule NEG-07: not evaluated 未评价",
    ]
    assert table["why"].iloc[0] == "no DEM"
    assert table["where"].iloc[4] == "2 patches"
    assert table["why"].iloc[4].startswith("for example: layer pbf")


def test_a_styled_table_escapes_nothing_away_and_keeps_numbers():
    table = pd.DataFrame({"text": ["a b"], "m2": [1234.0], "mu": [1.851]})
    html = styled(table).to_html()
    assert "1,234<" in html
    assert "1.85<" in html
    assert "a b" in html


def test_the_tables_need_no_matplotlib():
    code = "import sys, rs_monitor.review.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
