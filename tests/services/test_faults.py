import http.client
import urllib.error
import urllib.request

import numpy as np
import pytest
from click.testing import CliRunner

from rs_monitor.cli import main
from rs_monitor.cli.options import WITH_FAILURES
from rs_monitor.codes import Change
from rs_monitor.imagery import pixels
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.manifest import read_manifest
from rs_monitor.outputs.raster import read_raster
from rs_monitor.pipeline.plan import WHOLE_SCENE

pytestmark = pytest.mark.service


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(pixels, "RETRY_WAIT_S", 0.0)
    quick = {**pixels.HTTP_OPTIONS, "GDAL_HTTP_MAX_RETRY": 1, "GDAL_HTTP_RETRY_DELAY": 0.01}
    monkeypatch.setattr(pixels, "HTTP_OPTIONS", quick)


def product(run, zone, name):
    return read_raster(map_path(run, zone, name))[0]


def received(address):
    """Number of bytes a web server sends of the hundred asked for."""
    asked = urllib.request.Request(address, headers={"Range": "bytes=0-99"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return len(answer.read())
    except (urllib.error.HTTPError, http.client.IncompleteRead):
        return 0


def test_passing_faults_heal_without_a_trace(
    township, township_folder_run, stac_api, faulty, tmp_path
):
    def place(_, name):  # an answer with pixels cut short; a 503 to the first request of a mask
        return f"{faulty}/{'cut' if name.endswith('_SR.tif') else 'once'}/township/{name}"

    stac_api.load("passing-faults", township.moved(place))
    done = township.through(stac_api.settings("passing-faults")).run(tmp_path)
    assert done.manifest.status == "finished"
    assert done.manifest.failures == ()
    assert done.manifest.content_digest == township_folder_run.manifest.content_digest
    # each file fails once, so that it answers now means that the run met its failure
    hrefs = {href for scene in done.manifest.inputs for href in scene.assets.values()}
    assert len(hrefs) == 2 * len(done.manifest.inputs)
    assert {received(href) for href in hrefs} == {100}
    assert received(f"{faulty}/once/township/index.toml") == 0


def test_lasting_failure_of_one_item_is_named_and_a_later_run_heals_it(
    township, township_folder_run, made_township, stac_api, faulty, tmp_path
):
    planned = township_folder_run.manifest.inputs
    used = {scene.id for scene in planned}
    lost = min(
        (a for a in made_township[1].acquisitions if a.id in used), key=lambda a: a.cloud_fraction
    ).id

    def place(item, name):
        return f"{faulty}/dead/township/{name}" if item == lost else f"{township.address}/{name}"

    stac_api.load("one-dead", township.moved(place))
    out = tmp_path / "run"
    keys = township.overrides | stac_api.settings("one-dead")
    words = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    ended = CliRunner().invoke(main, ["run", str(township.job), "--out", str(out), *words])
    assert ended.exit_code == WITH_FAILURES, ended.output
    assert f"item {lost}" in ended.output
    manifest = read_manifest(out)
    assert manifest.status == "finished_with_failures"
    assert {failure.what for failure in manifest.failures} == {lost}
    assert all("/dead/" in failure.error for failure in manifest.failures)
    for zone in {entry.zone for entry in manifest.outputs if entry.zone}:
        clean = township_folder_run.path
        lacking = product(clean, zone, "clear_looks") - product(out, zone, "clear_looks").astype(
            int
        )
        assert set(np.unique(lacking)) == {0, 1}
        unseen = product(clean, zone, "change") == Change.NOT_SEEN
        assert (product(out, zone, "change")[unseen] == Change.NOT_SEEN).all()

    healed = township.through(stac_api.settings("township")).run(tmp_path)
    assert healed.manifest.status == "finished"
    assert healed.manifest.content_digest == township_folder_run.manifest.content_digest


@pytest.mark.shared
def test_ground_that_cannot_be_read_is_not_seen(
    taizhou, taizhou_folder_run, stac_api, web, shared_data, tmp_path
):
    damaged = web.folder / "www" / "damaged"
    damaged.mkdir()
    name = next(p.name for p in (shared_data / "taizhou_landsat").glob("t2_*.tif"))
    content = np.fromfile(shared_data / "taizhou_landsat" / name, dtype=np.uint8)
    # the southern rows; the header of these files lies at their end
    broken = slice(len(content) * 3 // 4, len(content) * 19 // 20)
    content[broken] ^= 0xFF
    content.tofile(damaged / name)

    def place(_, file):
        return f"{web.url}/damaged/{file}" if file == name else f"{taizhou.address}/{file}"

    stac_api.load("damaged", taizhou.moved(place))
    done = taizhou.through(stac_api.settings("damaged")).run(tmp_path)
    assert done.manifest.status == "finished_with_failures"
    block_px = 256
    southern = [f.what for f in done.manifest.failures if f.what.startswith("block ")]
    assert len(southern) == 2
    # the scene was also missed where it was inspected
    others = [f.what for f in done.manifest.failures if f.what not in southern]
    assert others == [name.removesuffix("_etm.tif") + "_etm"]
    assert all(f"/damaged/{name}" in f.error for f in done.manifest.failures)
    change = product(done.path, WHOLE_SCENE, "change")[0]
    assert (change[block_px:] == Change.NOT_SEEN).all()
    assert (change[:block_px] != Change.NOT_SEEN).all()
    assert (product(taizhou_folder_run.path, WHOLE_SCENE, "change")[0] != Change.NOT_SEEN).all()
    assert done.found.coverage["seen_fraction"].max() == pytest.approx(block_px / change.shape[0])

    healed = taizhou.through(stac_api.settings("taizhou")).run(tmp_path)
    assert healed.manifest.status == "finished"
    assert healed.manifest.resumed.reused > 0
    assert healed.manifest.content_digest == taizhou_folder_run.manifest.content_digest
