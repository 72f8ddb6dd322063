from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.config.job import load_config, parse_config
from rs_monitor.config.paths import data_root
from rs_monitor.config.rules import load_rules
from rs_monitor.imagery.illumination import LightFit
from rs_monitor.imagery.index import index_folder
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster, write_cog
from rs_monitor.outputs.vectors import read_layers
from rs_monitor.pipeline.looks import Reading, looks_at
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.rules import ImageryRules
from rs_monitor.pipeline.run import Run, run
from rs_monitor.synthetic import make_township

SMALL = {"size_px": 160, "events_per_kind": 1, "lookalikes_per_kind": 1}
TOWNSHIP = {"grid.block_px": 256, "land_cover.trees": 20}
EDGE_PX = 128
GRID = GeoBox((EDGE_PX, EDGE_PX), Affine(10, 0, 500_000, 0, -10, 3_500_000), "EPSG:32650")
BANDS = ["red", "nir", "swir16"]
DAYS = {
    "b1": "2023-05-01",
    "b2": "2023-06-10",
    "b3": "2023-07-20",
    "a1": "2024-05-02",
    "a2": "2024-06-12",
    "a3": "2024-07-22",
}


def shifts_in(done: Run) -> dict[str, Any]:
    return next(step for step in done.manifest.steps if step.name == "inspect").parameters


def run_township(folder: Path, out: Path, overrides: Mapping[str, Any] | None = None) -> Run:
    config = load_config(folder / "demo.toml", TOWNSHIP | dict(overrides or {}))
    return run(make_plan(config, base=folder), out / "run", config_text="township")


@pytest.fixture(scope="module")
def finished(township_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_township(township_folder, tmp_path_factory.mktemp("inspected"))


def planted() -> dict[str, tuple[float, float]]:
    return {a.id: a.shift for a in make_township(11, **SMALL).acquisitions}


def errors_of(zone: Mapping[str, Any]) -> np.ndarray:
    """Measured minus planted shift of the measured looks, relative to the reference."""
    truth = planted()
    looks = [look for look in zone["registration"] if look["status"] == "measured"]
    anchor = next(look for look in looks if look["dy_px"] == 0 and look["dx_px"] == 0)
    down, right = truth[anchor["item_ids"][0]]
    return np.array(
        [
            (
                look["dy_px"] - (truth[look["item_ids"][0]][0] - down),
                look["dx_px"] - (truth[look["item_ids"][0]][1] - right),
            )
            for look in looks
            if look is not anchor
        ]
    )


def test_shifts_of_a_run_are_the_planted_ones(finished: Run) -> None:
    for zone in shifts_in(finished).values():
        errors = errors_of(zone)
        assert len(errors) >= 6
        assert np.sqrt((errors**2).mean()) < 0.15


def test_applied_shifts_are_those_planted_beyond_the_threshold(finished: Run) -> None:
    truth = planted()
    for zone in shifts_in(finished).values():
        assert zone["applied"]
        anchor = next(look for look in zone["registration"] if look["dy_px"] == look["dx_px"] == 0)
        origin = np.array(truth[anchor["item_ids"][0]])
        before = np.array([np.subtract(truth[item], origin) for item in zone["applied"]])
        after = before - np.array(list(zone["applied"].values()))
        assert np.sqrt((after**2).mean()) < 0.5 * np.sqrt((before**2).mean())


def test_shift_of_a_zone_reaches_its_patches(finished: Run) -> None:
    patches = read_layers(finished.path / "findings.gpkg")["patches"]
    zones = shifts_in(finished)
    assert len(patches)
    for zone_id, shift_m in zip(patches["zone_id"], patches["shift_m"], strict=True):
        assert shift_m == pytest.approx(zones[zone_id]["shift_m"])


def write_job(
    folder: Path,
    *,
    added: Mapping[str, int] | None = None,
    moved: Mapping[str, int] | None = None,
    scale: float | None = 1e-4,
) -> Path:
    """Six small scenes of one ground, some of them with a number added or moved by pixels."""
    images = folder / "images"
    images.mkdir(parents=True)
    field = np.random.default_rng(5).gamma(2.0, 500.0, (3, EDGE_PX + 16, EDGE_PX + 16))
    lines = ['collection = "small"']
    for number, (scene, day) in enumerate(DAYS.items()):
        start = 8 - (moved or {}).get(scene, 0)
        part = field[:, start : start + EDGE_PX, 8 : 8 + EDGE_PX]
        noise = np.random.default_rng(100 + number).normal(0, 40, part.shape)
        values = 300 + part + noise + (added or {}).get(scene, 0)
        if scene[0] == "a":
            values[:, 30:60, 40:80] += np.array([2500, 1500, 1800])[:, None, None]
        stack = values.clip(1, 60000).astype(np.uint16)
        name = f"{scene}.tif"
        write_cog(images / name, stack, GRID, nodata=0, band_names=BANDS, overview="average")
        lines += ["", "[[source]]", f'files = "{name}"', f'item = "{scene}"']
        lines += [f"datetime = {day}T02:50:00Z", 'platform = "sentinel-2a"']
        lines += ['bands = ["red", "nir", "swir16"]', "nodata = 0"]
        lines += [] if scale is None else [f"scale = {scale}", "offset = 0.0"]
    (images / "index.toml").write_text("\n".join(lines) + "\n")
    index_folder(images, folder / "items.parquet")
    return folder


def job_table(**imagery: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "small",
        "catalog": {"kind": "geoparquet", "href": "items.parquet"},
        "imagery": {"bands": BANDS, "mask": "none", "quantity": "reflectance", **imagery},
        "periods": {
            "before": {"start": "2023-01-01", "end": "2023-12-31"},
            "after": {"start": "2024-01-01", "end": "2024-12-31"},
        },
        "grid": {"resolution_m": 10.0, "block_px": 64},
        "change": {"method": "irmad", "threshold": "kmeans"},
        "rules": {"detection": "detection-two-dates"},
    }


def plan_small(folder: Path, tables: Mapping[str, Any] | None = None, **imagery: Any) -> Plan:
    table = job_table(**imagery) | dict(tables or {})
    return make_plan(parse_config(table, source="small"), base=folder)


def run_small(folder: Path, tables: Mapping[str, Any] | None = None, **imagery: Any) -> Run:
    return run(plan_small(folder, tables, **imagery), folder / "run", config_text="small")


def failures_named(done: Run, what: str) -> list[str]:
    return [failure.error for failure in done.manifest.failures if failure.what == what]


def test_numbers_added_to_one_period_end_the_run_with_their_dates(tmp_path: Path) -> None:
    done = run_small(write_job(tmp_path, added=dict.fromkeys(["a1", "a2", "a3"], 1000)))
    assert done.manifest.status == "finished_with_failures"
    (reason,) = failures_named(done, "radiometry")
    assert [name for name, day in DAYS.items() if day in reason] == ["a1", "a2", "a3"]


def test_clean_job_has_no_failure_and_leaves_its_steps(tmp_path: Path) -> None:
    done = run_small(write_job(tmp_path))
    assert done.manifest.status == "finished"
    assert not done.manifest.failures
    steps = {step.name: step for step in done.manifest.steps}
    assert steps["statement"].parameters["zones"].keys() == {"scene"}
    assert steps["read"].parameters == {"healed": []}
    assert not steps["inspect"].warnings


def test_raw_numbers_are_not_judged(tmp_path: Path) -> None:
    added = dict.fromkeys(["a1", "a2", "a3"], 1000)
    done = run_small(write_job(tmp_path, added=added, scale=None), quantity="dn")
    assert failures_named(done, "radiometry") == []
    assert shifts_in(done)["scene"]["step"] is None


@pytest.mark.parametrize("registration", ["correct", "report", "off"])
def test_registration_measures_and_undoes_as_asked(tmp_path: Path, registration: str) -> None:
    done = run_small(write_job(tmp_path, moved={"a2": 2}), registration=registration)
    zone = shifts_in(done)["scene"]
    found = {look["item_ids"][0]: look["dy_px"] for look in zone["registration"]}
    patches = read_layers(done.path / "findings.gpkg")["patches"]
    assert len(patches)
    if registration == "off":
        assert (found, zone["applied"], zone["shift_m"]) == ({}, {}, None)
        assert patches["shift_m"].isna().all()
        return
    assert found["a2"] - found["b1"] == pytest.approx(2.0, abs=0.1)
    assert list(zone["applied"]) == (["a2"] if registration == "correct" else [])
    assert patches["shift_m"].notna().all()


@pytest.mark.parametrize("method", ["geomedian", "medoid", "best_pixel"])
def test_each_composite_method_gives_its_maps(tmp_path: Path, method: str) -> None:
    done = run_small(write_job(tmp_path), composite=method)
    assert done.manifest.status == "finished"
    values, _, _ = read_raster(map_path(done.path, "scene", "before"))
    assert np.isfinite(values).all()


def test_other_rules_of_the_imagery_are_another_plan(tmp_path: Path) -> None:
    folder = write_job(tmp_path)
    text = (data_root() / "configs" / "rules" / "imagery.toml").read_text()
    (folder / "same.toml").write_text(text)
    other = text.replace("cloud_growth_m = 30.0", "cloud_growth_m = 45.0")
    assert other != text
    (folder / "other.toml").write_text(other)
    prints = [
        plan_small(folder, {"rules": {"detection": "detection-two-dates", "imagery": name}})
        for name in ("same.toml", "other.toml")
    ]
    assert prints[0].inputs["rules:imagery"] != prints[1].inputs["rules:imagery"]
    assert prints[0].fingerprint != prints[1].fingerprint


def test_inspected_blocks_are_resumed_and_a_damaged_one_made_again(tmp_path: Path) -> None:
    folder = write_job(tmp_path, moved={"a2": 2})
    first = run_small(folder)
    made = first.manifest.resumed.recomputed
    stages = {path.parent.name for path in first.path.glob("blocks/*/*/*.npz")}
    assert {"levels", "shifts"} <= stages
    again = run_small(folder)
    assert (again.manifest.resumed.reused, again.manifest.resumed.recomputed) == (made, 0)
    block = sorted(first.path.glob("blocks/*/levels/*.npz"))[0]
    block.write_bytes(block.read_bytes()[:-10] + b"0123456789")
    mended = run_small(folder)
    assert mended.manifest.resumed.reasons == {"file differs from its recorded hash": 1}
    assert mended.manifest.content_digest == first.manifest.content_digest


@pytest.mark.parametrize(
    ("edge_px", "shifted", "illumination"),
    [(64, False, "none"), (100, True, "none"), (64, True, "c")],
)
def test_looks_of_a_block_are_that_part_of_the_zone(
    township_folder: Path, edge_px: int, shifted: bool, illumination: str
) -> None:
    config = load_config(
        township_folder / "demo.toml", TOWNSHIP | {"imagery.illumination": illumination}
    )
    plan = make_plan(config, base=township_folder)
    zone = plan.zones[0]
    items = zone.before[:4]
    reading = Reading(
        imagery=config.imagery,
        rules=load_rules(config.rules.imagery, plan.base, ImageryRules),
        chunk_px=77,
        dem=plan.dem,
        shifts={item.id: (0.4, -0.3) for item in items[1:]} if shifted else {},
        light={} if illumination == "none" else lights(items),
    )
    height, width = zone.geobox.shape
    whole = looks_at(items, zone.geobox, (slice(0, height), slice(0, width)), reading, ["red"])
    rows, cols = slice(20, min(20 + edge_px, height - 8)), slice(16, min(16 + edge_px, width - 8))
    part = looks_at(items, zone.geobox, (rows, cols), reading, ["red"])
    for name in ("values", "clear", "doubtful", "reason"):
        xr.testing.assert_equal(
            getattr(part, name).compute(), getattr(whole, name).isel(y=rows, x=cols).compute()
        )
    assert 0 < float(whole.clear.mean()) < 1


def lights(items: Any) -> dict[str, dict[str, LightFit]]:
    return {item.id: {"red": LightFit(0.4, 0.9, 5000, "", 0.1)} for item in items}
