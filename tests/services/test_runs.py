import pytest

pytestmark = pytest.mark.service


def same_run(done, clean):
    assert done.manifest.status == clean.manifest.status == "finished"
    assert done.manifest.plan_fingerprint == clean.manifest.plan_fingerprint
    products = {entry.path: entry.content_digest for entry in done.manifest.outputs}
    assert products == {entry.path: entry.content_digest for entry in clean.manifest.outputs}
    assert done.manifest.content_digest == clean.manifest.content_digest


@pytest.mark.shared
def test_real_scenes_through_the_api_equal_the_folder(
    taizhou, taizhou_folder_run, stac_api, web, tmp_path
):
    done = taizhou.through(stac_api.settings("taizhou")).run(tmp_path)
    same_run(done, taizhou_folder_run)
    inputs = {href for scene in done.manifest.inputs for href in scene.assets.values()}
    assert len(inputs) == 2
    assert all(href.startswith(taizhou.address) for href in inputs)
    assert web.answered(206, "/taizhou/t1_") > 1
    assert web.answered(206, "/taizhou/t2_") > 1
    assert len(done.found.patches) > 0


def test_synthetic_township_through_the_api_equals_the_folder(
    township, township_folder_run, stac_api, web, tmp_path
):
    done = township.through(stac_api.settings("township")).run(tmp_path)
    same_run(done, township_folder_run)
    assert len(done.manifest.inputs) == len(township_folder_run.manifest.inputs) > 20
    assert web.answered(206, "/township/") >= 2 * len(done.manifest.inputs)
