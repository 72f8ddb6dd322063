import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from rs_monitor.cli import main
from rs_monitor.codes import Change, ClaimAnswer
from rs_monitor.config.job import load_config
from rs_monitor.errors import ReadError, RunError
from rs_monitor.imagery.index import index_folder
from rs_monitor.outputs.doctor import check_run
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster
from rs_monitor.outputs.vectors import read_layers
from rs_monitor.pipeline.claims import verify
from rs_monitor.pipeline.class_areas import map_class_areas
from rs_monitor.pipeline.demo import prepare
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import Run, run

SMALL = {"size_px": 160, "events_per_kind": 1, "lookalikes_per_kind": 1}
BLOCKS = {"grid.block_px": 256, "land_cover.trees": 20}
SMALL_BLOCKS = BLOCKS | {"grid.block_px": 96}
"""Enough blocks to be killed in the middle; this job's maps do not depend on the blocks."""


def plan_of(folder: Path, overrides: dict[str, Any] | None = None) -> Plan:
    return make_plan(load_config(folder / "demo.toml", BLOCKS | (overrides or {})), base=folder)


def run_job(folder: Path, out: Path, overrides: dict[str, Any] | None = None) -> Run:
    text = (folder / "demo.toml").read_text()
    return run(plan_of(folder, overrides), out / "run", config_text=text)


@pytest.fixture(scope="module")
def finished(township_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_job(township_folder, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Path:
    """A finished run that a test may spoil; its parent is what ``run_job`` takes."""
    shutil.copytree(finished.path, tmp_path / "run")
    return tmp_path / "run"


def test_run_leaves_the_whole_folder(finished: Run) -> None:
    zone = finished.found.coverage["zone_id"].iloc[0]
    products = ["before", "after", "land_cover_before", "land_cover_after", "change"]
    products += ["change_magnitude", "slope_deg", "clear_looks"]
    assert all(map_path(finished.path, zone, product).exists() for product in products)
    names = ["run.json", "config.toml", "plan.json", "log.jsonl", "findings.gpkg", "SHA256SUMS"]
    names += ["class_areas.gpkg"]
    names += ["rules/findings.toml", "stac/catalog.json", "report/index.html"]
    assert [name for name in names if not (finished.path / name).exists()] == []
    assert finished.manifest.status == "finished"
    assert check_run(finished.path) == []


def test_mapped_areas_are_those_of_the_maps(township_folder: Path, finished: Run) -> None:
    tables = read_layers(finished.path / "class_areas.gpkg")
    areas, coverage = tables["class_areas"], finished.found.coverage.set_index("zone_id")
    totals = areas.groupby(["zone_id", "period"])["mapped_area_m2"].sum()
    assert len(totals) == 2 * len(coverage)
    for (zone_id, _), total_m2 in totals.items():
        assert total_m2 == pytest.approx(coverage.at[zone_id, "area_m2"], rel=1e-6)
    zone_id = coverage.index[0]
    path = map_path(finished.path, zone_id, "land_cover_after")
    counted = map_class_areas(path, township_folder / "authority.gpkg", layer="zones").table
    own = areas[(areas["zone_id"] == zone_id) & (areas["period"] == "after")]
    again = counted[counted["zone_id"] == zone_id]
    for column in ("class", "class_name", "pixels"):
        assert again[column].tolist() == own[column].tolist()
    np.testing.assert_allclose(again["mapped_area_m2"], own["mapped_area_m2"], rtol=1e-9)


@pytest.mark.parametrize(
    "overrides",
    [
        {"cluster.chunk_px": 90, "cluster.workers": 1},
        pytest.param({"cluster.kind": "local", "cluster.chunk_px": 128}, marks=pytest.mark.slow),
    ],
    ids=["one thread, small chunks", "two processes"],
)
def test_where_and_how_it_runs_changes_nothing(
    township_folder: Path, tmp_path: Path, finished: Run, overrides: dict[str, Any]
) -> None:
    other = run_job(township_folder, tmp_path, overrides)
    assert other.manifest.content_digest == finished.manifest.content_digest


def test_a_different_threshold_changes_the_digest(
    township_folder: Path, tmp_path: Path, finished: Run
) -> None:
    other = run_job(township_folder, tmp_path, {"land_cover.seed": 1})
    assert other.manifest.content_digest != finished.manifest.content_digest


def test_same_folder_reuses_every_block(township_folder: Path, copied: Path, finished: Run) -> None:
    again = run_job(township_folder, copied.parent)
    assert finished.manifest.resumed.reused == 0
    assert again.manifest.resumed.recomputed == 0
    assert again.manifest.resumed.reused == finished.manifest.resumed.recomputed > 0
    assert again.manifest.content_digest == finished.manifest.content_digest


def test_killed_run_resumes_to_the_same_digest(
    township_folder: Path, tmp_path: Path, finished: Run
) -> None:
    out = tmp_path / "run"
    settings = [f"--set={key}={value}" for key, value in SMALL_BLOCKS.items()]
    job = str(township_folder / "demo.toml")
    command = [sys.executable, "-m", "rs_monitor", "run", job, "--out", str(out), *settings]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(out.glob("blocks/*/observe/r*.json"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert json.loads((out / "run.json").read_text())["status"] == "running"
    resumed = run_job(township_folder, tmp_path, SMALL_BLOCKS)
    assert resumed.manifest.resumed.reused >= 2
    assert resumed.manifest.resumed.recomputed >= 1
    assert resumed.manifest.content_digest == finished.manifest.content_digest
    assert check_run(out) == []


def test_damaged_block_is_made_again(township_folder: Path, copied: Path, finished: Run) -> None:
    block = sorted(copied.glob("blocks/*/observe/*.npz"))[0]
    block.write_bytes(block.read_bytes()[:-10] + b"0123456789")
    again = run_job(township_folder, copied.parent)
    assert again.manifest.resumed.reasons == {"file differs from its recorded hash": 1}
    assert again.manifest.content_digest == finished.manifest.content_digest


def test_folder_of_another_job_is_refused(township_folder: Path, copied: Path) -> None:
    with pytest.raises(RunError, match="another plan"):
        run_job(township_folder, copied.parent, {"land_cover.seed": 5})


def test_plan_reads_no_pixel(township_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "township"
    shutil.copytree(township_folder, copy)
    for image in (copy / "scenes").glob("*.tif"):
        image.write_bytes(b"")
    summary = plan_of(copy).summary()
    assert summary["fingerprint"] == plan_of(township_folder).summary()["fingerprint"]
    assert all(zone["bytes_read"] > 0 for zone in summary["zones"])


def broken_copy(township_folder: Path, folder: Path, victim: int) -> tuple[Path, str]:
    shutil.copytree(township_folder, folder)
    image = sorted((folder / "scenes").glob("*_SR.tif"))[victim]
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    return folder, image.name.removesuffix("_SR.tif")


def test_broken_scene_is_named_and_left_out(
    township_folder: Path, tmp_path: Path, finished: Run
) -> None:
    item = plan_of(township_folder).zones[0].after[3].id
    names = sorted(p.name for p in (township_folder / "scenes").glob("*_SR.tif"))
    copy, broken = broken_copy(
        township_folder, tmp_path / "township", names.index(f"{item}_SR.tif")
    )
    done = run_job(copy, tmp_path)
    assert broken == item
    assert done.manifest.status == "finished_with_failures"
    assert {failure.what for failure in done.manifest.failures} == {item}
    assert not any(str(tmp_path) in failure.what for failure in done.manifest.failures)
    looks = done.found.coverage["looks_after_median"]
    assert (looks <= finished.found.coverage["looks_after_median"]).all()


def overwrite(path: Path, value: int) -> None:
    """Lay one value over a square of every band."""
    with rasterio.open(path) as source:
        data, profile = source.read(), source.profile
    data[:, 25:135, 25:135] = value
    path.unlink()
    with rasterio.open(path, "w", **(profile | {"driver": "GTiff"})) as target:
        target.write(data)


def test_ground_never_seen_after_is_not_no_change(township_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "township"
    shutil.copytree(township_folder, copy)
    rng = np.random.default_rng(1)
    for path in sorted((copy / "scenes").glob("*2025*_SCL.tif")):
        overwrite(path, 9)
        overwrite(path.with_name(path.name.replace("_SCL", "_SR")), rng.integers(5000, 9000))
    index_folder(copy / "scenes", copy / "items.parquet")
    done = run_job(copy, tmp_path)
    zone = plan_of(copy).zones[0]
    change, geobox, _ = read_raster(map_path(done.path, zone.zone_id, "change"))
    with rasterio.open(sorted((copy / "scenes").glob("*_SCL.tif"))[0]) as source:
        left, top = source.transform * (60, 60)
        right, bottom = source.transform * (100, 100)
    a = geobox.affine
    rows = slice(max(round((top - a.f) / a.e), 0), max(round((bottom - a.f) / a.e), 0))
    cols = slice(max(round((left - a.c) / a.a), 0), max(round((right - a.c) / a.a), 0))
    part = change[0][rows, cols]
    assert part.size > 100
    assert np.all(part == Change.NOT_SEEN)
    assert done.found.coverage["seen_fraction"].min() < 1.0


def test_verify_supports_nothing_false(township_folder: Path, copied: Path) -> None:
    verified = verify(plan_of(township_folder), copied)
    truth = read_layers(township_folder / "truth.gpkg")["claims"]
    joined = verified.claims.merge(truth, on="claim_id")
    wrong = joined[(joined["case"] != "true") & (joined["answer"] == ClaimAnswer.SUPPORTED)]
    assert wrong.empty
    assert len(joined) == len(truth) == len(verified.claims)
    assert check_run(copied) == []
    assert 'id="class-areas"' in (copied / "report/index.html").read_text(encoding="utf-8")


def test_unfinished_run_is_not_verified(township_folder: Path, copied: Path) -> None:
    manifest = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(manifest | {"status": "running"}))
    with pytest.raises(RunError, match="needed a finished run"):
        verify(plan_of(township_folder), copied)


def test_command_line_end_to_end(township_folder: Path, copied: Path) -> None:
    runner = CliRunner()
    job = str(township_folder / "demo.toml")
    out = str(copied)
    settings = [f"--set={key}={value}" for key, value in BLOCKS.items()]
    planned = runner.invoke(main, ["plan", job, *settings])
    assert planned.exit_code == 0, planned.output
    assert "zone Z01: scenes" in planned.output
    done = runner.invoke(main, ["run", job, "--out", out, *settings])
    assert done.exit_code == 0, done.output
    judged = runner.invoke(main, ["verify", job, "--out", out, *settings])
    assert judged.exit_code == 0, judged.output
    assert "INCONCLUSIVE" in judged.output
    assert runner.invoke(main, ["status", out]).exit_code == 0
    assert runner.invoke(main, ["doctor", out]).exit_code == 0
    (copied / "report" / "index.html").write_text("forged")
    assert runner.invoke(main, ["doctor", out]).exit_code == 1


def test_other_pixels_under_the_same_name_are_read_again(
    township_folder: Path, copied: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "township"
    shutil.copytree(township_folder, copy)
    image = sorted((copy / "scenes").glob("*202506*_SR.tif"))[0]
    with rasterio.open(image) as source:
        data, profile = source.read(), source.profile
    image.unlink()
    with rasterio.open(image, "w", **(profile | {"driver": "GTiff"})) as target:
        target.write(np.minimum(data, 1500))
    again = run_job(copy, copied.parent)
    assert again.manifest.resumed.reused == 0
    assert again.manifest.resumed.recomputed > 0


def test_edited_maps_are_not_judged_by(township_folder: Path, copied: Path) -> None:
    victim = sorted(copied.glob("maps/*/land_cover_after.tif"))[0]
    victim.write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(RunError, match="not as it was left"):
        verify(plan_of(township_folder), copied)


def test_answers_do_not_outlive_the_run_they_lean_on(township_folder: Path, copied: Path) -> None:
    verify(plan_of(township_folder), copied)
    assert (copied / "claims.gpkg").exists()
    run_job(township_folder, copied.parent)
    assert not (copied / "claims.gpkg").exists()
    assert check_run(copied) == []


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("zones.path=nowhere.gpkg", "zones.path"),
        ("authority.land.path=nowhere.gpkg", "authority.land.path"),
        ("dem.path=nowhere.tif", "dem.path"),
        ("catalog.href=nowhere.parquet", "catalog.href"),
        ('imagery.bands=["red","nir"]', "imagery.bands"),
        ('imagery.bands=["red","red"]', "imagery.bands"),
        ("grid.resolution_m=0.0001", "grid.resolution_m"),
        ("rules.findings=nowhere", "nowhere"),
    ],
)
def test_what_cannot_be_planned_is_a_config_mistake(
    township_folder: Path, setting: str, key: str
) -> None:
    job = str(township_folder / "demo.toml")
    result = CliRunner().invoke(main, ["plan", job, "--set", setting])
    assert result.exit_code == 2, result.output
    assert key in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_another_seed_overwrites_nothing(township_folder: Path) -> None:
    before = sorted(path.name for path in (township_folder / "scenes").iterdir())
    with pytest.raises(RunError, match="another synthetic township"):
        prepare(12, township_folder, **SMALL)
    assert sorted(path.name for path in (township_folder / "scenes").iterdir()) == before


def test_a_job_that_must_stop_stops_at_a_broken_scene(
    township_folder: Path, tmp_path: Path
) -> None:
    item = plan_of(township_folder).zones[0].after[3].id
    names = sorted(p.name for p in (township_folder / "scenes").glob("*_SR.tif"))
    copy, broken = broken_copy(
        township_folder, tmp_path / "township", names.index(f"{item}_SR.tif")
    )
    with pytest.raises(ReadError, match=broken):
        run_job(copy, tmp_path, {"on_failure": "stop"})
