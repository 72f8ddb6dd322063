import sqlite3
from contextlib import closing

import pyogrio
import pytest
from geopandas.testing import assert_geodataframe_equal

from rs_monitor.errors import LayerError, RunError, UnsuitableCRS
from rs_monitor.register.locking import exclusive
from rs_monitor.register.records import LATER
from rs_monitor.register.store import Register


@pytest.fixture
def register(tmp_path):
    return Register(tmp_path / "county" / "register.gpkg")


def test_a_run_comes_back_as_it_was_given(register, patches, findings):
    register.record_run("r1", patches, findings)
    back = register.findings("r1").drop(columns="run_id")
    assert back["finding_id"].tolist() == ["f1", "f2"]
    columns = [name for name in findings.columns if name != "geometry"]
    assert back[columns].to_numpy().tolist() == findings[columns].to_numpy().tolist()
    assert back.geometry.area.tolist() == findings.geometry.area.tolist()
    assert register.patches("r1")["patch_id"].tolist() == ["p1", "p2"]


def test_the_same_run_twice_is_the_same_register(register, patches, findings):
    register.record_run("r1", patches, findings)
    once = register.findings()
    register.record_run("r1", patches, findings.iloc[::-1])
    assert_geodataframe_equal(register.findings(), once)
    assert register.runs().to_numpy().tolist() == [["r1", 1]]


def test_a_run_recorded_again_replaces_only_itself(register, make_patches, make_findings):
    register.record_run("r1", make_patches("p1"), make_findings("f1"))
    register.record_run("r2", make_patches("p1"), make_findings("f1", "f2"))
    register.record_run("r1", make_patches("p1"), make_findings("f3"))
    assert register.findings("r1")["finding_id"].tolist() == ["f3"]
    assert register.findings("r2")["finding_id"].tolist() == ["f1", "f2"]
    assert register.runs().to_numpy().tolist() == [["r1", 1], ["r2", 2]]


def test_an_empty_run_loses_nothing(register, make_patches, make_findings):
    register.record_run("r0", make_patches(), make_findings())
    register.record_run("r1", make_patches("p1"), make_findings("f1"))
    register.record_run("r2", make_patches(), make_findings())
    assert register.findings()["finding_id"].tolist() == ["f1"]
    assert register.runs()["run_id"].tolist() == ["r0", "r1", "r2"]
    assert register.findings("r2").empty


def test_open_findings_are_the_latest_word_of_all_runs(register, make_patches, make_findings):
    first = make_findings("f1", "f2", "f3", "f4")
    first["status"] = ["suspected", "suspected", "inconclusive", "pass"]
    second = make_findings("f1", "f2", "f4")
    second["status"] = ["suspected", "pass", "suspected"]
    register.record_run("zz-first", make_patches("p1"), first)
    register.record_run("aa-second", make_patches("p1"), second)
    waiting = register.open_findings().set_index("finding_id")
    assert sorted(waiting.index) == ["f1", "f3", "f4"]
    assert waiting.loc["f1", ["run_id", "first_run_id", "runs_seen"]].tolist() == [
        "aa-second",
        "zz-first",
        2,
    ]
    assert waiting.loc["f3", "run_id"] == "zz-first"
    assert sorted(register.open_findings(decided={"f1"})["finding_id"]) == ["f3", "f4"]


def test_a_failed_write_leaves_the_old_register(register, patches, findings, monkeypatch):
    register.record_run("r1", patches, findings)

    def broken(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pyogrio, "write_dataframe", broken)
    with pytest.raises(OSError, match="disk full"):
        register.record_run("r2", patches, findings)
    assert register.runs()["run_id"].tolist() == ["r1"]
    left = [p.name for p in register.path.parent.iterdir() if p.name != register.path.name]
    assert left == [".register.gpkg.lock"]


def test_another_crs_is_refused(register, patches, findings):
    register.record_run("r1", patches, findings)
    elsewhere = "EPSG:4549"
    with pytest.raises(UnsuitableCRS, match="keep one register per CRS"):
        register.record_run("r2", patches.to_crs(elsewhere), findings.to_crs(elsewhere))


def test_a_frame_that_is_no_record_is_refused(register, patches, findings):
    with pytest.raises(LayerError):
        register.record_run("r1", patches.drop(columns="proposal"), findings)
    assert not register.path.exists()


def test_a_file_that_is_no_register_is_refused(tmp_path, patches, findings):
    path = tmp_path / "other.gpkg"
    pyogrio.write_dataframe(patches, path, layer="fields")
    with pytest.raises(RunError, match="without the layer runs; needed a register"):
        Register(path).record_run("r1", patches, findings)


def test_reading_before_the_first_run_is_refused(register):
    assert register.runs().empty
    with pytest.raises(RunError, match="record a run first"):
        register.findings()


def test_two_writers_never_write_at_once(tmp_path):
    path = tmp_path / "register.gpkg"
    with (
        exclusive(path),
        pytest.raises(RunError, match="held by another writer"),
        exclusive(path, wait_s=0.0),
    ):
        pass
    with exclusive(path, wait_s=0.0):
        pass


def test_a_lock_of_a_dead_process_is_free(tmp_path):
    path = tmp_path / "register.gpkg"
    with closing(sqlite3.connect(tmp_path / ".register.gpkg.lock", isolation_level=None)) as left:
        left.execute("BEGIN EXCLUSIVE")
    with exclusive(path, wait_s=0.0):
        pass


def test_a_register_that_cannot_serve_is_refused_before_the_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot be opened"):
        Register(tmp_path / "file" / "register.gpkg").require_ready("EPSG:4548")
    Register(tmp_path / "new.gpkg").require_ready("EPSG:4548")
    assert not (tmp_path / "new.gpkg").exists()


def as_written_before(register, layer, columns):
    """Rewrite a register without some columns, as an earlier version had written it."""
    others = [name for name in ("patches", "findings", "runs") if name != layer]
    held = {name: pyogrio.read_dataframe(register.path, layer=name) for name in (layer, *others)}
    held[layer] = held[layer].drop(columns=columns)
    register.path.unlink()
    for name, frame in held.items():
        pyogrio.write_dataframe(frame, register.path, layer=name, append=register.path.exists())


def test_a_register_of_the_earlier_version_is_carried_over(register, make_patches, make_findings):
    register.record_run("r1", make_patches("p1"), make_findings("f1"))
    as_written_before(register, "patches", sorted(LATER))
    register.require_ready("EPSG:4548")
    old = register.patches("r1").iloc[0]
    assert old["last_look"] == ""
    assert old[["doubtful_fraction", "shift_m", "shift_fraction"]].isna().all()
    register.record_run("r2", make_patches("p2"), make_findings("f2"))
    both = register.patches().set_index("patch_id")
    assert both["shift_m"].isna().tolist() == [True, False]
    assert both["last_look"].fillna("").tolist() == ["", "x"]
    assert both["area_m2"].tolist() == [1.5, 1.5]
    stored = pyogrio.read_info(register.path, layer="patches")["fields"]
    assert set(stored) >= LATER


@pytest.mark.parametrize(("layer", "column"), [("patches", "proposal"), ("findings", "status")])
def test_a_register_that_cannot_be_carried_over_is_refused(
    register, patches, findings, layer, column
):
    register.record_run("r1", patches, findings)
    as_written_before(register, layer, [column])
    wanted = f"whose {layer} lack {column}; needed a register this version can carry over"
    for use in (
        lambda: register.require_ready("EPSG:4548"),
        lambda: register.record_run("r2", patches, findings),
    ):
        with pytest.raises(RunError, match=wanted):
            use()
