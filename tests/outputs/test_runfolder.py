import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from rs_monitor.codes import CHANGE_STYLE
from rs_monitor.errors import RunError
from rs_monitor.outputs.blocks import ABSENT, DAMAGED, OTHER_INPUTS
from rs_monitor.outputs.doctor import check_run
from rs_monitor.outputs.layout import is_finished, require_finished, stored_plan
from rs_monitor.outputs.lock import LOCK_NAME
from rs_monitor.outputs.manifest import read_manifest
from rs_monitor.outputs.runfolder import RunFolder

HOLDER = """
import os, signal, sys
from pathlib import Path
from rs_monitor.outputs.runfolder import RunFolder
folder = RunFolder.open(
    Path(sys.argv[1]), name="demo", plan={"items": ["a"]}, config_text='name = "demo"\\n'
)
print("held", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def change_map(geobox, value=1):
    pixels = np.ones(geobox.shape, dtype="uint8")
    pixels[0, 0] = value
    return pixels


def write_change(folder, geobox, value=1):
    folder.write_map(
        "z1",
        "change",
        change_map(geobox, value),
        geobox,
        nodata=0,
        band_names=["change"],
        style=CHANGE_STYLE,
    )


def events(path):
    lines = (path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_finished_folder_is_whole(make_folder, geobox):
    with make_folder(rules={"detection.toml": "min_looks = 3\n"}, synthetic=True) as folder:
        assert not is_finished(folder.path)
        write_change(folder, geobox)
        folder.not_evaluated("slope_deg", "no DEM was given", zone="z1")
        manifest = folder.finish()
    assert check_run(folder.path) == []
    assert require_finished(folder.path) == manifest
    assert manifest.status == "finished"
    assert manifest.run_id == f"demo-{manifest.plan_fingerprint[:8]}"
    (record,) = manifest.outputs
    assert (record.path, record.dtype, record.shape) == (
        "maps/z1/change.tif",
        "uint8",
        (1, 200, 240),
    )
    assert record.valid_fraction == 1.0
    assert [entry.name for entry in record.classes] == ["no_change", "change"]
    assert (folder.path / "rules" / "detection.toml").read_text() == "min_looks = 3\n"
    assert (folder.path / "config.toml").read_text() == 'name = "demo"\n'
    assert stored_plan(folder.path) == {"items": ["a"]}
    assert not (folder.path / LOCK_NAME).exists()
    sums = (folder.path / "SHA256SUMS").read_text().splitlines()
    names = {line.split("  ", 1)[1] for line in sums}
    assert names == {
        "config.toml",
        "log.jsonl",
        "maps/z1/change.qml",
        "maps/z1/change.tif",
        "plan.json",
        "rules/detection.toml",
        "run.json",
    }


def test_content_digest_is_about_content_alone(tmp_path, geobox):
    def run(name, value, href):
        with RunFolder.open(
            tmp_path / name, name="demo", plan={"a": 1}, config_text="", purpose=name
        ) as folder:
            folder.add_scenes(
                [{"id": "s", "collection": "c", "datetime": "2024-01-01", "href": href}]
            )
            write_change(folder, geobox, value)
            return folder.finish().content_digest

    assert run("a", 1, "https://a.invalid/s") == run("b", 1, "/data/s.json")
    assert run("c", 2, "https://a.invalid/s") != run("a2", 1, "https://a.invalid/s")


def test_other_plan_is_refused(make_folder):
    make_folder().close()
    with pytest.raises(RunError) as caught:
        make_folder(plan={"items": ["a", "b"]})
    assert "got the folder of another plan (demo-" in str(caught.value)
    assert "choose an empty --out" in str(caught.value)


def test_foreign_folder_is_refused(make_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "photos.zip").write_bytes(b"")
    with pytest.raises(RunError, match=r"got a folder with photos.zip and no run.json"):
        make_folder()


def test_newer_manifest_is_refused(make_folder):
    folder = make_folder()
    folder.close()
    path = folder.path / "run.json"
    content = json.loads(path.read_text()) | {"future": 1}
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"future: unknown key.*use the version of rs_monitor"):
        make_folder()


def test_resume_counts_blocks_and_reasons(make_folder):
    key = ("z1", "measure")
    with make_folder() as folder:
        for name in ("a", "b", "c"):
            assert folder.load_block(*key, name, "f1") is None
            folder.save_block(*key, name, {"x": np.ones(4)}, "f1")
            assert folder.load_block(*key, name, "f1") is not None
        first = folder.finish().resumed
    assert (first.reused, first.recomputed, first.reasons) == (0, 3, {ABSENT: 3})

    folder.block_path(*key, "b").write_bytes(b"tampered")
    with make_folder() as again:
        assert again.reusable(*key, "a", "f1")
        assert not again.reusable(*key, "b", "f1")
        assert not again.reusable(*key, "c", "f2")
        again.set_resumed(5, 2, {DAMAGED: 2})
        second = again.finish()
    assert second.attempts == 2
    assert second.resumed.model_dump() == {
        "reused": 6,
        "recomputed": 4,
        "reasons": {DAMAGED: 3, OTHER_INPUTS: 1},
    }
    told = {line["name"]: line["reason"] for line in events(folder.path) if "stage" in line}
    assert told == {"a": None, "b": DAMAGED, "c": OTHER_INPUTS}


def test_second_writer_is_refused_and_a_dead_one_is_taken_over(tmp_path, make_folder):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"got a folder that process {holder.pid} on"):
            make_folder()
        holder.stdin.write("die\n")
        holder.stdin.flush()
        assert holder.wait() == -signal.SIGKILL
    assert (tmp_path / "run" / LOCK_NAME).exists()
    with make_folder() as folder:
        assert folder.manifest.attempts == 2
    (taken,) = [line for line in events(folder.path) if line["event"] == "took_over"]
    assert f'"pid": {holder.pid}' in taken["holder"]


def test_same_process_cannot_open_twice(make_folder):
    with make_folder(), pytest.raises(RunError, match="needed the folder alone"):
        make_folder()
    make_folder().close()


def test_unfinished_folder_is_never_reported_from(make_folder, geobox):
    with make_folder() as folder:
        write_change(folder, geobox)
        folder.finish()
    make_folder().close()
    assert not is_finished(folder.path)
    with pytest.raises(RunError, match="got a run with status running; needed a finished one"):
        require_finished(folder.path)
    assert "SHA256SUMS: missing; the run did not finish" in check_run(folder.path)


def test_leftovers_of_a_crash_are_cleaned(make_folder):
    with make_folder() as folder:
        leftover = folder.path / "maps" / "z1" / ".tmp-0123-change.tif"
        leftover.parent.mkdir(parents=True)
        leftover.write_bytes(b"half")
        with (folder.path / "log.jsonl").open("a") as log:
            log.write('{"at": "half a li')
    with make_folder() as folder:
        assert not leftover.exists()
        folder.finish()
    lines = (folder.path / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "finished"
    assert check_run(folder.path) == []


def test_maps_of_an_earlier_attempt_do_not_survive(make_folder, geobox):
    with make_folder() as folder:
        write_change(folder, geobox)
    with make_folder() as folder:
        assert folder.finish().outputs == ()
    assert not list((folder.path / "maps").rglob("*.tif"))
    assert check_run(folder.path) == []


def test_failures_show_in_the_status(make_folder):
    with make_folder() as folder:
        folder.add_failure("block r000c001", ValueError("bad"), zone="z1")
        assert folder.finish().status == "finished_with_failures"
    assert is_finished(folder.path)


def test_exception_marks_the_run_failed(make_folder):
    with pytest.raises(ValueError, match="boom"), make_folder() as folder:
        raise ValueError("boom at https://user:pw@host.invalid/x?sig=abc")
    manifest = read_manifest(folder.path)
    assert manifest.status == "failed"
    assert manifest.failures[0].error == "ValueError: boom at https://host.invalid/x"


def test_reopen_keeps_what_is_registered(make_folder, geobox):
    with make_folder() as folder:
        write_change(folder, geobox)
        folder.set_resumed(3, 1, {ABSENT: 1})
        digest = folder.finish().content_digest
    with RunFolder.reopen(folder.path) as folder:
        folder.write_page("report/index.html", "<p>")
        manifest = folder.finish()
    assert manifest.content_digest == digest
    assert manifest.resumed.reused == 3
    assert [record.path for record in manifest.outputs] == [
        "maps/z1/change.tif",
        "report/index.html",
    ]
    assert check_run(folder.path) == []


def test_unfinished_run_cannot_be_reopened(make_folder):
    with make_folder() as folder:
        pass
    with pytest.raises(RunError, match="got a run with status running"):
        RunFolder.reopen(folder.path)
    make_folder().close()


def test_no_secret_is_written(make_folder):
    secret = "hunter2"
    href = f"https://user:{secret}@host.invalid/a.tif?token={secret}#x"
    config = f'href = "postgresql://user:{secret}@db.invalid/stac"\n'
    with make_folder(config_text=config, purpose=f"see {href}") as folder:
        item = {"id": "s", "collection": "c", "datetime": "2024-01-01", "href": href}
        folder.add_scenes([item | {"bands": {"red": {"href": href}}}], [("t", f"no {href}")])
        folder.not_evaluated("x", f"failed at {href}")
        folder.add_failure("y", f"failed at {href}")
        folder.add_step("z", {"where": [href]}, warnings=[href])
        folder.set_cluster(kind="scheduler", address=f"tls://{secret}:8786", workers=2)
        folder.log("event", text={"deep": [href]})
        folder.finish()
    for path in folder.path.rglob("*"):
        if path.is_file():
            assert secret not in path.read_text(encoding="utf-8"), path


def test_vector_inputs_are_hashed(make_folder, tmp_path):
    path = tmp_path / "zones.gpkg"
    path.write_bytes(b"1")
    with make_folder() as folder:
        folder.add_vector("zones", path, features=3, crs="EPSG:4524", repaired=[7])
        (record,) = folder.manifest.vector_inputs
    assert (record.file, record.features, record.repaired) == ("zones.gpkg", 3, ("7",))
    assert record.sha256.startswith("6b86b273ff34fce1")
