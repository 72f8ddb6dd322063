"""Class shares of a job: trained, stored and moved, recorded, and never mixed with old blocks."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest

from rs_monitor.config.job import load_config
from rs_monitor.errors import ConfigError, ModelMismatch, NoObservations, RunError
from rs_monitor.maps.class_shares import own_shares
from rs_monitor.maps.model_card import class_name
from rs_monitor.maps.model_store import load_model, models_in, shipped_folder
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster
from rs_monitor.outputs.toml_text import toml_text
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import Run, run
from rs_monitor.pipeline.train import TrainedModel, train
from tests.pipeline.test_train import SMALL, write_quick_rules

SHIPPED = models_in(shipped_folder())[0].name
STORED = {"land_cover.source": "model", "land_cover.model": SHIPPED}
SURVEY = {"land_cover.class_shares": "survey"}
PLAIN: dict[str, Any] = {"land_cover.calibrate": False, "land_cover.clean": False}


def plan_of(folder: Path, *overrides: dict[str, Any]) -> Plan:
    settings = SMALL | PLAIN
    for more in overrides:
        settings |= more
    return make_plan(load_config(folder / "demo.toml", settings), base=folder)


def run_job(folder: Path, out: Path, *overrides: dict[str, Any]) -> Run:
    text = (folder / "demo.toml").read_text()
    return run(plan_of(folder, *overrides), out / "run", config_text=text)


def told(done: Run) -> dict[str, Any]:
    manifest = json.loads((done.path / "run.json").read_text())
    steps = [step["parameters"] for step in manifest["steps"] if step["name"] == "land_cover"]
    shares: dict[str, Any] = steps[-1]["class_shares"]
    return shares


@pytest.fixture(scope="module", autouse=True)
def quick(township_folder: Path) -> None:
    write_quick_rules(township_folder)


@pytest.fixture(scope="module")
def stored(township_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_job(township_folder, tmp_path_factory.mktemp("stored"), STORED)


def test_a_stored_model_moves_to_the_shares_of_the_survey(
    township_folder: Path, stored: Run, tmp_path: Path
) -> None:
    copied = shutil.copytree(stored.path, tmp_path / "run")
    plan = plan_of(township_folder, STORED, SURVEY)
    assert plan.fingerprint != plan_of(township_folder, STORED).fingerprint
    with pytest.raises(RunError, match="another plan"):
        run_job(township_folder, tmp_path, STORED, SURVEY)
    # even a folder that claims to be of this plan gives nothing stale away
    manifest = copied / "run.json"
    manifest.write_text(
        manifest.read_text().replace(stored.manifest.plan_fingerprint, plan.fingerprint)
    )
    moved = run_job(township_folder, tmp_path, STORED, SURVEY)
    blocks = sum(len(zone.blocks) for zone in plan.zones)
    assert moved.manifest.resumed.reused == stored.manifest.resumed.recomputed - blocks
    assert moved.manifest.resumed.recomputed == blocks
    assert moved.manifest.content_digest != stored.manifest.content_digest
    before, after = (told(done)["shares"] for done in (stored, moved))
    model = load_model(shipped_folder() / SHIPPED).model
    assert list(before.values()) == own_shares(model.calibrator, [1]).tolist()
    assert sum(after.values()) == pytest.approx(1)
    assert (told(stored)["of"], told(moved)["of"]) == ("sample", "survey")
    areas = plan.surveyed_m2
    assert areas is not None
    assert after["paddy"] / after["water"] == pytest.approx(areas[1] / areas[11])
    # the class shares of the map follow
    counts = [pixels_by_class(done.path) for done in (stored, moved)]
    rarer = [name for name in after if after[name] < before[name] / 3]
    assert rarer
    assert sum(counts[1].get(n, 0) for n in rarer) < sum(counts[0].get(n, 0) for n in rarer)


def pixels_by_class(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for zone in ("Z01", "Z02"):
        cover, _, _ = read_raster(map_path(path, zone, "land_cover_before"))
        for value, count in zip(*np.unique(cover[cover > 0], return_counts=True), strict=True):
            found[class_name(int(value))] = found.get(class_name(int(value)), 0) + int(count)
    return found


def shares_in(made: Path) -> list[float]:
    """Shares that the probabilities of a trained model go with, checked against its card."""
    held = load_model(made)
    assert held.card.class_shares is not None
    stated = list(held.card.class_shares.shares.values())
    own = own_shares(held.model.calibrator, held.pixels)
    assert stated == pytest.approx(own.tolist(), abs=1e-9)
    return stated


def surveyed_shares(plan: Plan, classes: tuple[int, ...]) -> list[float]:
    assert plan.surveyed_m2 is not None
    areas = np.array([plan.surveyed_m2[value] for value in classes])
    shares: list[float] = (areas / areas.sum()).tolist()
    return shares


@pytest.fixture(scope="module")
def plain(township_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    out = tmp_path_factory.mktemp("plain")
    return train(plan_of(township_folder), out, name="plain", version="1.0.0")


@pytest.mark.parametrize("calibrate", [False, True])
def test_a_model_is_trained_for_the_shares_of_its_survey(
    township_folder: Path, plain: TrainedModel, tmp_path: Path, calibrate: bool
) -> None:
    plan = plan_of(township_folder, SURVEY, {"land_cover.calibrate": calibrate})
    made = train(plan, tmp_path, name="moved", version="1.0.0")
    assert made.card.class_shares is not None
    assert made.card.class_shares.of == "survey"
    found = shares_in(made.path)
    assert found == pytest.approx(surveyed_shares(plan, made.card.class_values))
    one, other = plain.card.validation, made.card.validation
    assert one.overall != other.overall
    if not calibrate:
        # accuracy is that of the moved probabilities, calibration that of those before
        assert one.calibration_error == other.calibration_error


def test_a_model_as_trained_says_the_shares_of_its_pixels(plain: TrainedModel) -> None:
    assert load_model(plain.path).model.calibrator is None
    assert plain.card.class_shares is not None
    assert plain.card.class_shares.of == "sample"
    pixels = np.array([entry.pixels for entry in plain.card.classes])
    assert shares_in(plain.path) == pytest.approx((pixels / pixels.sum()).tolist())


def test_shares_without_a_survey_are_refused(township_folder: Path) -> None:
    for source in (STORED, {"land_cover.source": "model", "land_cover.model": SHIPPED}):
        with pytest.raises(ConfigError, match=r"class_shares: 'survey' takes .* \[authority\.land"):
            plan_of(township_folder, source, SURVEY, {"authority": {}})
    table = {"path": "t.gpkg", "layer": "t", "covers": {"a": "paddy"}}
    of_table = {"land_cover.source": "table", "land_cover.table": table, "authority": {}}
    gpd.GeoDataFrame(
        {"label": ["a"], "from": ["2024-01-01"], "to": ["2024-12-31"]},
        geometry=gpd.points_from_xy([0], [0]),
        crs="EPSG:4490",
    ).to_file(township_folder / "t.gpkg", layer="t")
    with pytest.raises(ConfigError, match="the job has none; add the table"):
        plan_of(township_folder, of_table, SURVEY)


def test_a_card_without_pixels_gives_no_shares_to_move_from(
    township_folder: Path, plain: TrainedModel, tmp_path: Path
) -> None:
    made = Path(shutil.copytree(plain.path, tmp_path / plain.path.name))
    card = tomllib.loads((made / "card.toml").read_text())
    old = {key: value for key, value in card.items() if key != "class_shares"}
    (made / "card.toml").write_text(toml_text(old | {"schema_version": 1}))
    named = {"land_cover.source": "model", "land_cover.model": str(made)}
    assert plan_of(township_folder, named, SURVEY).surveyed_m2
    old["classes"] = [entry | {"pixels": 0} for entry in old["classes"]]
    (made / "card.toml").write_text(toml_text(old))
    with pytest.raises(ModelMismatch, match="how many pixels each class was learned from"):
        plan_of(township_folder, named, SURVEY)
    assert plan_of(township_folder, named).surveyed_m2 is None
    shares = dict(card["class_shares"]["shares"])
    first, second = list(shares)[:2]
    shares[first], shares[second] = shares[second] / 2, shares[first] + shares[second] / 2
    edited = card | {"class_shares": {"of": "sample", "shares": shares}}
    (made / "card.toml").write_text(toml_text(edited))
    with pytest.raises(ModelMismatch, match=r"got a card with class shares .* the card was edited"):
        load_model(made)


def test_classes_the_survey_does_not_have_are_told(township_folder: Path) -> None:
    plan = plan_of(township_folder, STORED, SURVEY)
    areas = plan.surveyed_m2
    assert areas is not None
    classes = load_model(shipped_folder() / SHIPPED).model.classes
    lacking = [value for value in classes if value not in areas]
    warned = [text for text in plan.warnings if "taken for as rare as the rarest" in text]
    assert len(warned) == bool(lacking)


def test_a_survey_without_a_class_of_the_stored_model_is_refused_before_a_pixel(
    township_folder: Path, tmp_path: Path
) -> None:
    survey = gpd.read_file(township_folder / "authority.gpkg", layer="dltb")
    survey[:3].assign(DLBM="1203", DLMC="田坎").to_file(tmp_path / "ridges.gpkg", layer="dltb")
    layer = {"authority.land.path": str(tmp_path / "ridges.gpkg")}
    with pytest.raises(NoObservations, match=r"without any class of the model .* = 'sample'"):
        plan_of(township_folder, STORED, SURVEY, layer)
    plan_of(township_folder, STORED, layer)
