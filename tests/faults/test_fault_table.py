"""What becomes of each fault, over real HTTP: a retry, a choice, or a named record; no hole."""

import re
from contextlib import contextmanager

import numpy as np
import pytest

from rs_monitor.errors import ReadError, RsMonitorError
from rs_monitor.imagery import pixels
from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.incidents import recorded_reads
from rs_monitor.imagery.load import load_cube
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster
from rs_monitor.pipeline.plan import WHOLE_SCENE
from tests.faults.cases import CASES, CHOSEN, ERROR, HEALED, LEFT_OUT, REFUSED, TWICE
from tests.faults.small_job import BANDS, DAYS, LOST


def of(*ends, only=()):
    chosen = [case for case in CASES if case.ends in ends and (not only or case.name in only)]
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


@contextmanager
def arranged(case, job, monkeypatch):
    monkeypatch.setattr(pixels, "HTTP_OPTIONS", {**pixels.HTTP_OPTIONS, **case.options})
    ready = case.arrange(job)
    try:
        yield ready
    finally:
        ready.end()


@pytest.fixture(scope="session")
def without_lost(job, tmp_path_factory):
    """The run on all scenes but the one that meets the faults."""
    items = [raw for raw in job.items({}) if raw["id"] != LOST]
    return job.run(items, tmp_path_factory.mktemp("without"))


def looks(done):
    return read_raster(map_path(done.path, WHOLE_SCENE, "clear_looks"))[0]


def rasters(done):
    """Digests of the maps; the vectors also name the scenes that were planned."""
    return {o.path: o.content_digest for o in done.manifest.outputs if o.kind == "raster"}


def load(job, items):
    return load_cube([normalise_item(raw) for raw in items], geobox=job.geobox, bands=["red"])


@of(HEALED)
def test_what_passes_heals_by_a_recorded_retry(case, job, monkeypatch):
    expected = load(job, job.items({}))["red"].values
    with arranged(case, job, monkeypatch) as ready, recorded_reads() as found:
        assert np.array_equal(load(job, ready.items)["red"].values, expected)
    assert found
    assert {incident.item_id for incident in found} <= set(DAYS)
    assert all(re.search(case.says, incident.reason) for incident in found)
    assert "hunter2" not in str(found)


@of(LEFT_OUT)
def test_what_lasts_is_an_error_that_names_the_item_never_nodata(case, job, monkeypatch):
    with (
        arranged(case, job, monkeypatch) as ready,
        recorded_reads() as found,
        pytest.raises(ReadError, match=case.says) as failure,
    ):
        load(job, ready.items).compute()
    assert failure.value.item_id == LOST
    assert f"item {LOST}, band red" in str(failure.value)
    assert "run again" in str(failure.value)
    assert "hunter2" not in str(failure.value)
    assert found == []


@of(HEALED, only=["503 once"])
def test_a_run_that_healed_equals_a_clean_one(case, job, clean, tmp_path, monkeypatch):
    with arranged(case, job, monkeypatch) as ready:
        done = job.run(ready.items, tmp_path, **ready.overrides)
    assert done.manifest.status == "finished"
    assert done.manifest.failures == ()
    assert done.manifest.content_digest == clean.manifest.content_digest
    healed = [entry for step in done.manifest.steps for entry in step.parameters.get("healed", ())]
    assert {(entry["item"], entry["band"]) for entry in healed} == {(LOST, band) for band in BANDS}
    assert "hunter2" not in str(healed)


@of(LEFT_OUT, only=["503 for ever", "corrupt tile"])
def test_a_run_names_what_it_left_out_and_where(
    case, job, clean, without_lost, tmp_path, monkeypatch
):
    with arranged(case, job, monkeypatch) as ready:
        done = job.run(ready.items, tmp_path, **ready.overrides)
    assert done.manifest.status == "finished_with_failures"
    assert {failure.what for failure in done.manifest.failures} == {LOST}
    assert all(re.search(case.says, failure.error) for failure in done.manifest.failures)
    assert "hunter2" not in done.manifest.model_dump_json()
    # a block either has every look of the clean run, or one less and a record of it
    lacking = looks(clean)[1] - looks(done)[1].astype(int)
    assert set(np.unique(lacking)) <= {0, 1}
    blocks = [lacking[y : y + 128, x : x + 128] for y in (0, 128) for x in (0, 128)]
    assert all(len(np.unique(block)) == 1 for block in blocks)
    assert sum(block.flat[0] for block in blocks) == len(done.manifest.failures)
    if lacking.all():
        assert rasters(done) == rasters(without_lost)


@of(REFUSED)
def test_what_cannot_be_used_is_refused_by_name(case, job, without_lost, tmp_path, monkeypatch):
    with arranged(case, job, monkeypatch) as ready:
        done = job.run(ready.items, tmp_path, **ready.overrides)
    assert done.manifest.status == "finished"
    (refused,) = done.manifest.refused_inputs
    assert LOST in refused.values()
    assert re.search(case.says, str(refused))
    assert done.manifest.content_digest == without_lost.manifest.content_digest


@of(CHOSEN)
def test_what_can_be_told_loses_nothing(case, job, tmp_path, monkeypatch):
    with arranged(case, job, monkeypatch) as ready:
        done = job.run(ready.items, tmp_path, **ready.overrides)
    assert done.manifest.status == "finished"
    assert len(done.manifest.inputs) == 6
    assert (read_raster(map_path(done.path, "z1", "clear_looks"))[0] == 3).all()


@of(TWICE)
def test_of_two_processings_the_newer_is_read_and_the_older_named(
    case, job, clean, tmp_path, monkeypatch
):
    with arranged(case, job, monkeypatch) as ready:
        done = job.run(ready.items, tmp_path, **ready.overrides)
    (refused,) = done.manifest.refused_inputs
    assert re.search(case.says, str(refused))
    assert rasters(done) == rasters(clean)


@of(ERROR)
def test_what_cannot_be_told_ends_before_a_run_begins(case, job, tmp_path, monkeypatch):
    with (
        arranged(case, job, monkeypatch) as ready,
        pytest.raises(RsMonitorError, match=case.says),
    ):
        job.run(ready.items, tmp_path, **ready.overrides)
    assert not (tmp_path / "run").exists()


def test_five_in_a_hundred_requests_failing_change_no_digest(job, clean, tmp_path, monkeypatch):
    # nothing is remembered between reads, so that there are enough requests for one in twenty
    many = {**pixels.HTTP_OPTIONS, **pixels.FRESH_OPTIONS, "GDAL_HTTP_MAX_RETRY": 2}
    monkeypatch.setattr(pixels, "FRESH_OPTIONS", {})
    monkeypatch.setattr(pixels, "HTTP_OPTIONS", many)
    before = job.counts("few")
    done = job.run(job.items(dict.fromkeys(DAYS, "few")), tmp_path)
    failed = job.counts("few")["503"] - before.get("503", 0)
    answered = sum(job.counts("few").values()) - sum(before.values())
    assert answered > 200
    assert 0.02 < failed / answered < 0.09
    assert done.manifest.status == "finished"
    assert done.manifest.content_digest == clean.manifest.content_digest
