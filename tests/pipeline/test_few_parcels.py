"""A survey of few parcels: cleaned and calibrated as far as it goes, and said where it does not."""

from pathlib import Path
from typing import Any

import geopandas as gpd

from rs_monitor.config.job import load_config
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import run
from rs_monitor.pipeline.train import train

SMALL = {
    "grid.block_px": 256,
    "imagery.registration": "off",
    "periods.before.start": "2024-06-01",
    "periods.before.end": "2024-06-30",
    "periods.after.start": "2025-06-01",
    "periods.after.end": "2025-06-30",
    "land_cover.trees": 10,
    "land_cover.samples_per_class": 100,
    "land_cover.calibrate": True,
    "land_cover.clean": True,
}


def plan_of(folder: Path, out: Path, per_code: int) -> Plan:
    """A job on the first parcels of each code of the survey."""
    survey = gpd.read_file(folder / "authority.gpkg", layer="dltb")
    few = survey[survey.groupby("DLBM").cumcount() < per_code]
    few.to_file(out / "few.gpkg", layer="dltb")
    asked: dict[str, Any] = SMALL | {"authority.land.path": str(out / "few.gpkg")}
    return make_plan(load_config(folder / "demo.toml", asked), base=folder)


def test_a_run_on_one_parcel_of_each_code_says_what_was_not_done(
    township_folder: Path, tmp_path: Path
) -> None:
    text = (township_folder / "demo.toml").read_text()
    done = run(plan_of(township_folder, tmp_path, 1), tmp_path / "run", config_text=text)
    step = next(step for step in done.manifest.steps if step.name == "land_cover")
    assert step.parameters["calibrated"]["method"] == "none"
    assert step.parameters["cleaned"]["removed"] == 0
    assert [text.split(";")[0] for text in step.warnings] == [
        "land cover was not cleaned: got 0 classes of 11 parcels or more",
        "land cover was not calibrated: got 0 classes in 5 parcels or more",
    ]


def test_a_model_of_few_parcels_says_what_it_was_held_out_by(
    township_folder: Path, tmp_path: Path
) -> None:
    made = train(plan_of(township_folder, tmp_path, 4), tmp_path, name="few", version="1.0.0")
    told = made.ledger.land_cover["calibrated"]
    assert told["method"] == "bias_temperature"
    assert set(told["apart_by"].values()) == {"parcel", "pixel"}
    for name, unit in told["apart_by"].items():
        assert f"{name} by {unit}" in made.card.validation.method


def test_a_model_that_could_not_be_calibrated_says_so(
    township_folder: Path, tmp_path: Path
) -> None:
    made = train(plan_of(township_folder, tmp_path, 1), tmp_path, name="one", version="1.0.0")
    assert made.card.not_for[1].startswith("chances: its probabilities could not be calibrated")
