import json
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from click.testing import CliRunner, Result

from rs_monitor.cli import main
from rs_monitor.codes import LandCover, TrainingDomain
from rs_monitor.config.job import load_config
from rs_monitor.config.reading import read_toml
from rs_monitor.config.rules import find_rules
from rs_monitor.errors import ConfigError, ModelMismatch, RsMonitorError, RunError
from rs_monitor.maps.feature_spec import features_named
from rs_monitor.maps.model_card import ModelCard
from rs_monitor.maps.model_store import load_card, load_model
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster
from rs_monitor.outputs.toml_text import toml_text
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import Run, run
from rs_monitor.pipeline.train import train

SMALL = {
    "grid.block_px": 256,
    "imagery.registration": "off",
    "periods.before.start": "2024-06-01",
    "periods.before.end": "2024-07-31",
    "periods.after.start": "2025-06-01",
    "periods.after.end": "2025-07-31",
    "land_cover.trees": 10,
    "land_cover.samples_per_class": 200,
    "rules.land_cover": "quick.toml",
}
TAUGHT = SMALL | {
    "land_cover.calibrate": True,
    "land_cover.clean": True,
    "land_cover.texture": True,
    "land_cover.terrain": True,
}
NAME, VERSION = "county", "2.0.1"

MIN_PARCELS = 12
QUICK = {
    "training": {"folds": 3, "min_parcels": MIN_PARCELS},
    "cleaning": {"folds": 3},
    "calibration": {"folds": 3, "replicates": 20, "floors": [0.001]},
    "outside": {"folds": 3, "points": 100},
}
"""What makes a training slow on a large county is of no use on a small township."""


def plan_of(folder: Path, overrides: dict[str, Any] | None = None) -> Plan:
    return make_plan(load_config(folder / "demo.toml", SMALL | (overrides or {})), base=folder)


def run_job(folder: Path, out: Path, overrides: dict[str, Any]) -> Run:
    text = (folder / "demo.toml").read_text()
    return run(plan_of(folder, overrides), out / "run", config_text=text)


@dataclass(frozen=True)
class Made:
    """A model that the command line trained."""

    path: Path
    card: ModelCard
    printed: str


def use(model: Made) -> dict[str, Any]:
    return {"land_cover.source": "model", "land_cover.model": str(model.path)}


def command(folder: Path, out: Path, *more: str) -> Result:
    settings = [f"--set={key}={json.dumps(value)}" for key, value in TAUGHT.items()]
    words = ["train", str(folder / "demo.toml"), "--out", str(out), "--version", VERSION]
    return CliRunner().invoke(main, [*words, *more, *settings])


def write_quick_rules(folder: Path) -> None:
    table = read_toml(find_rules("land_cover", Path()))
    text = toml_text(table | {name: table[name] | QUICK[name] for name in QUICK})
    (folder / "quick.toml").write_text(text)


@pytest.fixture(scope="module", autouse=True)
def quick(township_folder: Path) -> None:
    write_quick_rules(township_folder)


@pytest.fixture(scope="module")
def trained(township_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("models")
    done = command(township_folder, out, "--name", NAME)
    assert done.exit_code == 0, done.output
    path = out / "county-2.0.1"
    return Made(path, load_card(path), done.output)


@pytest.fixture(scope="module")
def applied(township_folder: Path, trained: Made, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_job(township_folder, tmp_path_factory.mktemp("applied"), use(trained))


def test_a_trained_model_says_what_it_is(trained: Made) -> None:
    card = load_model(trained.path).card
    assert card == trained.card
    assert sorted(path.name for path in trained.path.iterdir()) == [
        "card.toml",
        "model.safetensors",
    ]
    assert [path.name for path in trained.path.parent.iterdir()] == ["county-2.0.1"]
    assert card.features == features_named("season", texture=True, terrain=True)
    assert card.feature_names == card.features.names
    assert card.training.synthetic
    assert card.not_for[0] == "real decisions: trained on synthetic reflectance"
    assert card.training.data == "authority.gpkg dltb"
    assert card.imagery.sensors == ("synthetic-2a",)
    assert card.cleaning is not None
    assert card.cleaning.share_removed < 0.2
    assert card.validation.overall is not None
    assert card.validation.overall.estimate > 0.6
    assert card.validation.calibration_error is not None


def test_classes_with_few_parcels_are_not_assessable(trained: Made) -> None:
    by_name = {entry.name: entry for entry in trained.card.classes}
    assert by_name["upland_crop"].parcels >= MIN_PARCELS
    assert by_name["upland_crop"].users is not None
    few = [entry for entry in by_name.values() if entry.not_assessable]
    assert few
    for entry in few:
        assert (entry.users, entry.producers) == (None, None)
        assert f"{MIN_PARCELS} are needed" in entry.not_assessable


def test_the_run_itself_learns_and_maps_the_same_in_other_chunks_and_blocks(
    township_folder: Path, trained: Made, applied: Run, tmp_path: Path
) -> None:
    other = {"cluster.chunk_px": 90, "cluster.workers": 1, "grid.block_px": 96}
    within = run_job(township_folder, tmp_path, TAUGHT | other)
    assert within.manifest.fitted["Z01"]["model"] == applied.manifest.fitted["Z01"]["model"]
    assert within.manifest.content_digest == applied.manifest.content_digest
    steps = {step.name: step.parameters for step in within.manifest.steps}
    assert steps["land_cover"]["source"] == "survey"
    assert steps["land_cover"]["cleaned"]["share_removed"] == pytest.approx(
        trained.card.cleaning.share_removed if trained.card.cleaning else np.nan, abs=1e-4
    )


def test_a_run_says_which_model_it_used(trained: Made, applied: Run) -> None:
    manifest = json.loads((applied.path / "run.json").read_text())
    told = next(step for step in manifest["steps"] if step["name"] == "land_cover")["parameters"]
    assert (told["name"], told["version"]) == (NAME, VERSION)
    assert told["sha256"] == trained.card.arrays.sha256
    assert told["validation"]["overall"]["estimate"] > 0.6
    assert told["features"] == list(trained.card.feature_names)
    assert "wetland" in told["classes_not_known"]
    assert told["outside_training_data"].keys() == {"Z01", "Z02"}
    for shares in told["outside_training_data"].values():
        assert shares.keys() == {"before", "after"}
        assert all(0 <= share < 0.3 for share in shares.values())


def test_uncertainty_and_outside_are_mapped(applied: Run) -> None:
    for period in ("before", "after"):
        cover, _, _ = read_raster(map_path(applied.path, "Z01", f"land_cover_{period}"))
        doubt, _, _ = read_raster(map_path(applied.path, "Z01", f"land_cover_uncertainty_{period}"))
        domain, _, _ = read_raster(map_path(applied.path, "Z01", f"training_domain_{period}"))
        seen = cover[0] > 0
        assert seen.any()
        assert np.array_equal(np.isfinite(doubt).all(axis=0), seen)
        assert doubt[:, seen].min() >= 0
        assert doubt[:, seen].max() <= 1
        assert np.array_equal(domain[0] > 0, seen)
        assert np.mean(domain[0][seen] == TrainingDomain.INSIDE) > 0.7


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"imagery.bands": ["red", "green", "blue", "nir"]},
            r"model county-2\.0\.1 needs swir16, swir22 too; add them, or train a model",
        ),
        ({"imagery.quantity": "dn"}, r"got imagery.quantity 'dn'; model .* 'reflectance' from 0"),
        ({"grid.resolution_m": 30.0}, r"resolution_m 30; .* trained on pixels of 7.5 to 13.333 m"),
    ],
)
def test_what_the_imagery_cannot_give_is_refused_before_a_pixel(
    township_folder: Path, trained: Made, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelMismatch, match=message):
        plan_of(township_folder, use(trained) | overrides)


def test_a_synthetic_model_on_real_imagery_is_warned_about(
    township_folder: Path, trained: Made
) -> None:
    planned = plan_of(township_folder, use(trained))
    assert not any("synthetic reflectance" in warning for warning in planned.warnings)
    planned = plan_of(township_folder, use(trained) | {"synthetic": False})
    assert any("synthetic reflectance and the imagery is real" in w for w in planned.warnings)
    fingerprints = {plan_of(township_folder, o).fingerprint for o in ({}, use(trained))}
    assert len(fingerprints) == 2


def test_a_model_that_was_changed_in_place_is_another_plan(
    township_folder: Path, trained: Made, applied: Run, tmp_path: Path
) -> None:
    copy = shutil.copytree(trained.path, tmp_path / trained.path.name)
    named = {"land_cover.source": "model", "land_cover.model": str(copy)}
    before = plan_of(township_folder, named)
    assert before.inputs["model"] == plan_of(township_folder, use(trained)).inputs["model"]
    card = tomllib.loads((copy / "card.toml").read_text())
    (copy / "card.toml").write_text(toml_text(card | {"not_for": ["this"]}))
    changed = plan_of(township_folder, named)
    assert changed.inputs["model"] != before.inputs["model"]
    assert changed.fingerprint != before.fingerprint
    with pytest.raises(RunError, match="another"):
        run_job(township_folder, applied.path.parent, named)


def test_a_name_that_is_taken_is_refused(township_folder: Path, trained: Made) -> None:
    with pytest.raises(RunError, match="a model of this name and version already"):
        train(plan_of(township_folder), trained.path.parent, name=NAME, version=VERSION)


def test_a_job_that_trains_nothing_is_refused(
    township_folder: Path, trained: Made, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="train needs 'survey'"):
        train(plan_of(township_folder, use(trained)), tmp_path, name="a", version="1.0.0")


@pytest.mark.parametrize("name", ["../up", "/up", "Up", "\u00fcp", ""])
def test_a_model_stays_in_its_folder(township_folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="not the name of a model"):
        train(plan_of(township_folder), tmp_path / "in", name=name, version="1.0.0")
    assert not list(tmp_path.iterdir())


def test_a_failed_training_resumes_to_the_same_bytes(
    township_folder: Path, trained: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(township_folder, TAUGHT)
    with monkeypatch.context() as patched:
        patched.setattr("rs_monitor.pipeline.train.validate", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(plan, tmp_path, name=NAME, version=VERSION)
    again = train(plan, tmp_path, name=NAME, version=VERSION)
    stages = {stage: reason for _, stage, _, reason in again.ledger.blocks}
    assert stages["observe"] is None
    for name in ("card.toml", "model.safetensors"):
        assert (again.path / name).read_bytes() == (trained.path / name).read_bytes()


def test_training_from_a_dated_table(township_folder: Path, tmp_path: Path) -> None:
    survey = gpd.read_file(township_folder / "authority.gpkg", layer="dltb")
    known = {"0101": "rice", "0103": "dry crops", "0601": "works"}
    rows = survey[survey["DLBM"].isin(known)].copy()
    rows["label"] = rows["DLBM"].map(known)
    rows["from"], rows["to"] = "2024-01-01", "2024-12-31"
    rows.loc[rows.index[::9], ["from", "to"]] = ["2020-01-01", "2020-12-31"]
    path = tmp_path / "samples.gpkg"
    rows[["label", "from", "to", "geometry"]].to_file(path, layer="fields")
    covers = {"rice": "paddy", "dry crops": "upland_crop", "works": "built"}
    table = {
        "land_cover.source": "table",
        "land_cover.table": {"path": str(path), "layer": "fields", "covers": covers},
    }
    made = train(plan_of(township_folder, table), tmp_path, name="table", version="1.0.0")
    wanted = {LandCover.PADDY, LandCover.UPLAND_CROP, LandCover.BUILT}
    assert set(made.card.class_values) <= wanted
    assert len(made.card.class_values) >= 2
    assert made.card.training.data == "samples.gpkg fields"
    assert made.card.training.code_system is None
    covers["rice"] = "wheat"
    with pytest.raises(ConfigError, match="no class wheat; give of bare, built"):
        plan_of(township_folder, table | {"land_cover.table": table["land_cover.table"]})


def test_a_table_that_cannot_be_used_is_refused_before_a_pixel(
    township_folder: Path, tmp_path: Path
) -> None:
    survey = gpd.read_file(township_folder / "authority.gpkg", layer="dltb").head(3)
    survey[["geometry"]].assign(label="a").to_file(tmp_path / "undated.gpkg", layer="t")
    dated = survey[["geometry"]].assign(label="a", **{"from": "2024-01-01", "to": "2024-12-31"})
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        dated.set_crs(None, allow_override=True).to_file(tmp_path / "nowhere.gpkg", layer="t")
    (tmp_path / "text.gpkg").write_text("no layer")
    for name, message in {
        "undated.gpkg": "without from, to; needed points or polygons with label, from and to",
        "nowhere.gpkg": "without CRS",
        "text.gpkg": "layer 't', which cannot be read",
    }.items():
        table = {"path": str(tmp_path / name), "layer": "t", "covers": {"a": "paddy"}}
        with pytest.raises(RsMonitorError, match=message):
            plan_of(township_folder, {"land_cover.source": "table", "land_cover.table": table})


def test_command_line(township_folder: Path, trained: Made, tmp_path: Path) -> None:
    for words in ("SYNTHETIC authority.gpkg dltb", "not for real decisions", "left out as"):
        assert words in trained.printed
    again = command(township_folder, trained.path.parent, "--name", NAME)
    assert again.exit_code == 1
    assert "give a higher --version" in again.output
    assert command(township_folder, trained.path.parent, "--name", "../up").exit_code == 2
    runner = CliRunner()
    listed = runner.invoke(main, ["models", "list", "--in", str(trained.path.parent)])
    assert listed.exit_code == 0, listed.output
    assert "county-2.0.1" in listed.output
    spoilt = shutil.copytree(trained.path, tmp_path / "spoilt-1.0.0")
    shutil.copytree(trained.path, tmp_path / trained.path.name)
    listed = runner.invoke(main, ["models", "list", "--in", str(tmp_path)])
    assert listed.exit_code == 3
    assert f"refused {spoilt.name}: " in listed.output
    assert "county-2.0.1" in listed.output
    shown = runner.invoke(main, ["models", "show", str(trained.path)])
    assert shown.exit_code == 0, shown.output
    assert trained.card.arrays.sha256 in shown.output
    assert runner.invoke(main, ["models", "show", "../secret"]).exit_code == 2
    assert runner.invoke(main, ["models", "list"]).exit_code == 0
