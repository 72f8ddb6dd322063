import json

import numpy as np
import pandas as pd
import pytest
import rasterio

from rs_monitor.errors import RunError
from rs_monitor.outputs.doctor import check_run
from rs_monitor.outputs.layout import SUMS_NAME, sums_text


@pytest.fixture
def run(make_folder, geobox):
    with make_folder() as folder:
        pixels = np.random.default_rng(0).random(geobox.shape).astype("float32")
        folder.write_map("z1", "slope_deg", pixels, geobox, nodata=np.nan, band_names=["slope_deg"])
        folder.write_vectors("findings.gpkg", {"coverage": pd.DataFrame({"zone_id": ["z1"]})})
        folder.finish()
    return folder.path


def test_untouched_run_has_no_problem(run):
    assert check_run(run) == []


def test_flipped_byte_is_found(run):
    path = run / "maps" / "z1" / "slope_deg.tif"
    content = bytearray(path.read_bytes())
    content[-100] ^= 0xFF
    path.write_bytes(content)
    problems = check_run(run)
    assert "maps/z1/slope_deg.tif: bytes differ from SHA256SUMS" in problems
    assert "maps/z1/slope_deg.tif: bytes differ from the manifest" in problems


def test_missing_file_is_found(run):
    (run / "findings.gpkg").unlink()
    assert check_run(run) == [
        "findings.gpkg: missing",
        "findings.gpkg: named in the manifest but missing",
    ]


def test_extra_file_is_found(run):
    (run / "maps" / "z1" / "other.tif").write_bytes(b"")
    assert check_run(run) == ["maps/z1/other.tif: not part of the run"]


def test_changed_pixel_is_found_though_the_sums_were_made_again(run):
    path = run / "maps" / "z1" / "slope_deg.tif"
    with rasterio.open(path) as source:
        pixels, profile = source.read(), source.profile
    pixels[0, 5, 5] += 1
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels)
        target.set_band_description(1, "slope_deg")
    (run / SUMS_NAME).write_text(sums_text(run))
    assert check_run(run) == [
        "maps/z1/slope_deg.tif: bytes differ from the manifest",
        "maps/z1/slope_deg.tif: content differs from the manifest's digest",
    ]


def test_changed_manifest_is_found(run):
    path = run / "run.json"
    manifest = json.loads(path.read_text())
    manifest["outputs"][0]["content_digest"] = "0" * 64
    path.write_text(json.dumps(manifest))
    problems = check_run(run)
    assert "run.json: bytes differ from SHA256SUMS" in problems
    assert "run.json: the run's content digest does not follow from its products" in problems


def test_unreadable_manifest_is_one_problem_of_many(run):
    (run / "run.json").write_text("{}")
    problems = check_run(run)
    assert "run_id: missing" in problems[0]
    assert "run.json: bytes differ from SHA256SUMS" in problems


def test_other_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"got a folder without run\.json"):
        check_run(tmp_path)
