"""Generalised land cover of a run: one map whatever the blocks, and nothing rests on it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.config.job import load_config
from rs_monitor.config.rules import DetectionRules, load_rules
from rs_monitor.errors import ConfigError
from rs_monitor.grid import blocks_of
from rs_monitor.maps.generalise import generalise_probabilities
from rs_monitor.maps.land_cover import class_probabilities, most_probable
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.outputs.blocks import BlockStore
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster
from rs_monitor.pipeline.collect import generalised_shares, mosaic
from rs_monitor.pipeline.measure import Fitted, apply
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import Run, run
from rs_monitor.pipeline.work import Ledger
from rs_monitor.pipeline.zone_pair import OBSERVE, PERIODS
from tests.maps.small_models import SPEC, small_model

METHODS = ("smoothed", "segments")
GRID = GeoBox((200, 170), Affine(10, 0, 500_000, 0, -10, 3_600_000), "EPSG:4549")
NOT_READ = (slice(96, 192), slice(0, 96))
MODEL = small_model()
SHIPPED = load_rules("land_cover", Path(), LandCoverRules)
RULES = SHIPPED.model_copy(update={"objects": SHIPPED.objects.model_copy(update={"block_px": 64})})


def observed_zone() -> dict[str, NDArray[Any]]:
    """Fields of a few classes with noise; some pixels without a look."""
    rng = np.random.default_rng(8)
    arrays: dict[str, NDArray[Any]] = {}
    for label in PERIODS:
        fields = rng.integers(1, 9, (20, 17)).repeat(10, axis=0).repeat(10, axis=1)
        features = rng.normal(size=(3, *GRID.shape)).astype("f4")
        features[0] += fields
        features[:, rng.random(GRID.shape) < 0.02] = np.nan
        image = fields / 10 + rng.normal(scale=0.02, size=(2, *GRID.shape))
        image[:, ~np.isfinite(features).any(axis=0)] = np.nan
        arrays |= {f"features_{label}": features, label: image.astype("f4")}
        arrays[f"looks_{label}"] = np.full(GRID.shape, 9, "u2")
    return arrays


def applied(folder: Path, block_px: int, method: str) -> dict[str, NDArray[Any]]:
    """Maps of the zone, made in blocks; those of one corner could not be read."""
    store, zone = BlockStore(folder), SimpleNamespace(zone_id="Z", geobox=GRID)
    zone.blocks = tuple(blocks_of(GRID, block_px))
    arrays, marks = observed_zone(), {}
    for block in zone.blocks:
        (rows, cols), (no_rows, no_cols) = block.window, NOT_READ
        if rows.start >= no_rows.start and rows.stop <= no_rows.stop and cols.stop <= no_cols.stop:
            continue
        part = {name: array[(..., *block.window)] for name, array in arrays.items()}
        store.save_block("Z", OBSERVE, block.name, part, "seen")
        marks[block] = "seen"
    plan = SimpleNamespace(
        zones=[zone],
        features=SPEC,
        config=SimpleNamespace(
            imagery=SimpleNamespace(bands=("red", "nir")),
            land_cover=SimpleNamespace(generalise=method),
        ),
    )
    rules = load_rules("detection", Path(), DetectionRules)
    work = cast("Any", SimpleNamespace)(
        plan=plan, store=store, rules=rules, land_cover_rules=RULES, ledger=Ledger(),
        stage=lambda _, function, tasks: [
            SimpleNamespace(error=None, value=function(task)) for task in tasks
        ],
    )  # fmt: skip
    tasks = apply(work, {"Z": marks}, {"Z": Fitted(None, MODEL, rules.change_probability)})
    return mosaic(cast("Any", zone), tasks).arrays


@pytest.mark.parametrize("method", METHODS)
def test_blocks_leave_no_trace(tmp_path: Path, method: str) -> None:
    maps = {px: applied(tmp_path / str(px), px, method) for px in (32, 48, 96)}
    plain = applied(tmp_path / "none", 96, "none")
    whole = observed_zone()
    rules = RULES.smoothing if method == "smoothed" else RULES.objects
    for label in PERIODS:
        features, image = whole[f"features_{label}"].copy(), whole[label].copy()
        features[(..., *NOT_READ)] = image[(..., *NOT_READ)] = np.nan
        own = class_probabilities(MODEL, features, SPEC.names)
        shared = generalise_probabilities(
            xr.DataArray(own, dims=("class", "y", "x")),
            xr.DataArray(image, dims=("band", "y", "x")),
            rules,
        )
        expected = most_probable(shared.values, MODEL.classes)[0]
        name = f"land_cover_generalised_{label}"
        assert 0.02 < np.mean(expected != plain[f"land_cover_{label}"]) < 0.6
        assert name not in plain
        for found in maps.values():
            assert np.array_equal(found[name], expected)
            assert not found[name][NOT_READ].any()
    for found in maps.values():
        for name, array in plain.items():
            assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f"), name


BASE = {
    "grid.block_px": 96,
    "land_cover.source": "model",
    "land_cover.model": "synthetic-township-season36-1.0.0",
}


def plan_of(folder: Path, method: str, **more: Any) -> Plan:
    overrides = BASE | {"land_cover.generalise": method} | more
    return make_plan(load_config(folder / "demo.toml", overrides), base=folder)


def run_of(folder: Path, out: Path, method: str) -> Run:
    return run(plan_of(folder, method), out, config_text=(folder / "demo.toml").read_text())


@pytest.fixture(scope="module")
def plain(township_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(township_folder, tmp_path_factory.mktemp("plain") / "run", "none")


def taken_up(earlier: Run, folder: Path, out: Path, method: str) -> Run:
    """The run with another option, in the folder of an earlier one as if it were its own."""
    shutil.copytree(earlier.path, out)
    manifest = json.loads((out / "run.json").read_text())
    manifest["plan_fingerprint"] = plan_of(folder, method).fingerprint
    (out / "run.json").write_text(json.dumps(manifest))
    return run_of(folder, out, method)


@pytest.fixture(scope="module")
def by_method(
    plain: Run, township_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """Each option after another one, on the blocks of that."""
    folder = tmp_path_factory.mktemp("generalised")
    smoothed = taken_up(plain, township_folder, folder / "smoothed", "smoothed")
    segments = taken_up(smoothed, township_folder, folder / "segments", "segments")
    return {"smoothed": smoothed, "segments": segments}


@pytest.mark.parametrize("method", METHODS)
def test_another_option_makes_the_maps_again_and_reads_nothing(
    by_method: dict[str, Run], method: str
) -> None:
    done = by_method[method]
    counted = done.manifest.resumed
    assert counted.reasons == {"inputs, parameters, model or code changed": counted.recomputed}
    assert counted.recomputed == len(list(done.path.glob("blocks/*/apply/*.json"))) == 8


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_the_maps_beside_changes(
    plain: Run, by_method: dict[str, Run], method: str
) -> None:
    done = by_method[method]
    before = {o.path: o.content_digest for o in plain.manifest.outputs if o.content_digest}
    after = {o.path: o.content_digest for o in done.manifest.outputs if o.content_digest}
    new = {path for path in after if path not in before}
    zones = sorted(done.found.coverage["zone_id"])
    assert new == {
        f"maps/{zone}/land_cover_generalised_{label}.tif" for zone in zones for label in PERIODS
    }
    assert {path: digest for path, digest in after.items() if path not in new} == before
    assert len(done.found.findings) == len(plain.found.findings) > 0


@pytest.mark.parametrize("method", METHODS)
def test_manifest_and_report_say_what_was_done(by_method: dict[str, Run], method: str) -> None:
    done = by_method[method]
    told = next(s.parameters for s in done.manifest.steps if s.name == "land_cover")["generalised"]
    rules = SHIPPED.smoothing if method == "smoothed" else SHIPPED.objects
    assert (told["method"], told["rules"]) == (method, rules.model_dump())
    page = (done.path / "report" / "index.html").read_text()
    assert "is for reading" in page
    for zone in sorted(done.found.coverage["zone_id"]):
        for label in PERIODS:
            general, _, _ = read_raster(
                map_path(done.path, zone, f"land_cover_generalised_{label}")
            )
            assert general.dtype == np.uint8
            assert 0 < told["changed"][zone][label] < 0.5
            assert f"{told['changed'][zone][label]:.1%} {label}" in page


def test_a_run_without_the_option_says_nothing_of_it(plain: Run) -> None:
    told = next(s.parameters for s in plain.manifest.steps if s.name == "land_cover")
    assert "generalised" not in told
    assert "eneralised" not in (plain.path / "report" / "index.html").read_text()


def test_shares_are_of_seen_ground_inside_the_zone() -> None:
    inside = np.array([[1, 1, 1, 1, 0]], bool)
    cover = np.array([[1, 2, 3, 0, 4]], "u1")
    arrays = {"land_cover_before": cover, "land_cover_generalised_before": cover.copy()}
    arrays["land_cover_generalised_before"][0, [0, 4]] = 9
    products = cast("Any", SimpleNamespace(arrays=arrays, inside=inside))
    assert generalised_shares(products) == {"before": 0.3333}


def test_blocks_that_cut_the_lattice_are_told_of(township_folder: Path) -> None:
    def told(method: str, block_px: int) -> list[str]:
        warnings = plan_of(township_folder, method, **{"grid.block_px": block_px}).warnings
        return [text for text in warnings if "segments end at lines every 512" in text]

    assert len(told("segments", 96)) == 1
    assert "classified 4.0 times" in told("segments", 96)[0]
    assert told("segments", 512) == told("smoothed", 96) == told("none", 96) == []


def test_without_land_cover_there_is_nothing_to_generalise(township_folder: Path) -> None:
    text = (township_folder / "demo.toml").read_text()
    bare = text.replace('[land_cover]\nsource = "survey"\n', "")
    assert bare != text
    path = township_folder / "bare.toml"
    path.write_text(bare.replace('"posterior"', '"combined"'))
    with pytest.raises(ConfigError, match=r"land_cover\.source"):
        load_config(path, {"land_cover.generalise": "smoothed"})
