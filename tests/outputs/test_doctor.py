import json

import numpy as np
import pandas as pd
import pyogrio
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


PATCHES = {"patches": pd.DataFrame({"patch_id": ["p1"]})}


@pytest.fixture
def watched(make_folder):
    """Opens a run over two zones, finished with the layers given."""

    def finished(layers):
        with make_folder(plan={"zones": [{"zone_id": "A"}, {"zone_id": "B"}]}) as folder:
            folder.write_vectors("findings.gpkg", layers)
            folder.finish()
        return folder.path

    return finished


def coverage_of(*zones, **changes):
    columns = {
        "zone_id": list(zones),
        "area_m2": 1e6,
        "seen_fraction": 0.5,
        "not_seen_m2": 5e5,
        "limit_m2": 1600.0,
        "detectable_fraction": [0.4, 0.0][: len(zones)],
        "covers_from": ["2024-06-30", ""][: len(zones)],
        "covers_until": ["2025-03-18", ""][: len(zones)],
    }
    return pd.DataFrame(columns | changes)


def test_a_run_with_its_coverage_is_whole(watched):
    assert check_run(watched({**PATCHES, "coverage": coverage_of("A", "B")})) == []


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        (PATCHES, "there is no coverage table"),
        ({**PATCHES, "coverage": coverage_of("A")}, "the coverage lacks zone B"),
        (
            {**PATCHES, "coverage": coverage_of("A", "B", detectable_fraction=np.nan)},
            "detectable_fraction of zone A, B is not known",
        ),
    ],
)
def test_a_finished_run_without_its_coverage_is_found(watched, layers, problem):
    (found,) = check_run(watched(layers))
    assert found.startswith("coverage: got a run where")
    assert problem in found


def test_coverage_taken_out_of_a_run_is_found(watched):
    path = watched({**PATCHES, "coverage": coverage_of("A", "B")})
    (path / "findings.gpkg").unlink()
    pyogrio.write_dataframe(PATCHES["patches"], path / "findings.gpkg", layer="patches")
    (path / SUMS_NAME).write_text(sums_text(path))
    assert "there is no coverage table" in check_run(path)[-1]
    (path / "findings.gpkg").unlink()
    assert "there is no coverage table" in check_run(path)[-1]


def test_a_broken_plan_is_a_problem_of_many(watched):
    path = watched({**PATCHES, "coverage": coverage_of("A", "B")})
    (path / "plan.json").write_text("{")
    problems = check_run(path)
    assert "plan.json: bytes differ from SHA256SUMS" in problems
    assert problems[-1].startswith("coverage: ")
