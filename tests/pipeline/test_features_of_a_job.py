"""What a job's classifier reads: block by block as over the whole zone, refused or computed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import rasterio
import rustac
from numpy.typing import NDArray

from rs_monitor.config.job import load_config
from rs_monitor.config.land_cover import FeatureSet
from rs_monitor.errors import ConfigError, RsMonitorError
from rs_monitor.kernels.texture import window_texture
from rs_monitor.maps.feature_spec import NAMED, TERRAIN, features_named
from rs_monitor.maps.terrain_features import terrain_reach_px
from rs_monitor.outputs.blocks import BlockStore
from rs_monitor.pipeline.inspect import inspect
from rs_monitor.pipeline.measure import observe
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import silent
from rs_monitor.pipeline.work import Ledger, pool_of, work_of
from rs_monitor.pipeline.zone_pair import observed_block

SMALL = {
    "grid.block_px": 256,
    "imagery.registration": "off",
    "periods.before.start": "2024-06-01",
    "periods.before.end": "2024-06-30",
    "periods.after.start": "2025-06-01",
    "periods.after.end": "2025-07-31",
}
BOTH = {"land_cover.texture": True, "land_cover.terrain": True}
ONE_LOOK = {"periods.before.start": "2024-06-29", "periods.before.end": "2024-06-30"}
WHOLE_YEARS = {
    "periods.before.start": "2024-01-01",
    "periods.before.end": "2024-12-31",
    "periods.after.start": "2025-01-01",
    "periods.after.end": "2025-12-31",
}
YEARS = {"land_cover.features": "years"} | WHOLE_YEARS

Layers = dict[str, NDArray[Any]]


def plan_of(folder: Path, *overrides: Mapping[str, Any]) -> Plan:
    settings: dict[str, Any] = dict(SMALL)
    for more in overrides:
        settings |= more
    return make_plan(load_config(folder / "demo.toml", settings), base=folder)


def observed(plan: Plan, out: Path) -> tuple[Layers, Ledger]:
    """Features of the first zone by name, put together from its blocks; blocks stay in ``out``."""
    zone, store = plan.zones[0], BlockStore(out)
    with pool_of(plan) as pool:
        one = replace(plan, zones=(zone,))
        work = work_of(one, store, pool, ledger=Ledger(), progress=silent)
        usable = observe(work, {}, ("before",))
    assert plan.features is not None
    names = (*plan.features.names, "slope")
    whole = np.full((len(names), *zone.geobox.shape), np.nan, dtype=np.float32)
    for block, mark in usable[zone.zone_id].items():
        arrays = observed_block(store, zone.zone_id, block, mark)
        parts = [arrays["features_before"], arrays["slope_deg"][None]]
        whole[(..., *block.window)] = np.concatenate(parts)
    return dict(zip(names, whole, strict=True)), work.ledger


def recomputed(ledger: Ledger) -> set[bool]:
    return {reason is not None for _, stage, _, reason in ledger.blocks if stage == "observe"}


@pytest.fixture(scope="module")
def coarse_dem(township_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DEM of 30 m pixels that begin elsewhere than those of the zone, with a hole in it."""
    with rasterio.open(township_folder / "dem.tif") as source:
        height, width = (n // 3 - 1 for n in source.shape)
        data = source.read(1)[1 : 1 + 3 * height : 3, 1 : 1 + 3 * width : 3]
        transform = source.transform @ source.transform.translation(0.6, 0.7)
        profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "crs": source.crs}
        profile |= {"height": height, "width": width, "nodata": -9999.0}
        profile["transform"] = transform @ transform.scale(3.0)
    data[20:24, 20:24] = -9999.0
    path = tmp_path_factory.mktemp("dem") / "coarse.tif"
    with rasterio.open(path, "w", **profile) as target:
        target.write(data, 1)
    return path


@pytest.fixture(scope="module")
def at_once(
    township_folder: Path, coarse_dem: Path, tmp_path_factory: pytest.TempPathFactory
) -> Layers:
    """Season, texture and terrain of a zone that is one block."""
    plan = plan_of(township_folder, BOTH, {"dem.path": str(coarse_dem)})
    return observed(plan, tmp_path_factory.mktemp("at_once"))[0]


def test_every_named_record_can_be_asked_for() -> None:
    assert set(get_args(FeatureSet)) == set(NAMED)
    assert features_named("season") == NAMED["season"]
    assert features_named("scene", texture=True) == NAMED["scene"]
    both = features_named("years", texture=True, terrain=True)
    assert both.names[: len(NAMED["years"].names)] == NAMED["years"].names
    assert both.texture_names() == NAMED["scene"].texture_names()
    assert (both.terrain, both.texture_reach_px, terrain_reach_px(TERRAIN)) == (TERRAIN, 3, 10)


def test_blocks_leave_no_seams_in_texture_and_terrain(
    township_folder: Path, coarse_dem: Path, at_once: Layers, tmp_path: Path
) -> None:
    cut = {"grid.block_px": 67, "dem.path": str(coarse_dem)}
    plan = plan_of(township_folder, BOTH, cut)
    assert len(plan.zones[0].blocks) > 1
    found, _ = observed(plan, tmp_path)
    assert found.keys() == at_once.keys()
    for name, layer in found.items():
        np.testing.assert_array_equal(layer, at_once[name], err_msg=name)


def test_the_rim_of_the_zone_is_the_rim_of_the_windows(at_once: Layers) -> None:
    expected = window_texture(at_once["nir_p50"], radius_px=3, measures=("std",), step=0.0)[0]
    np.testing.assert_array_equal(at_once["nir_std_7px"], expected)
    rim = np.concatenate([expected[0], expected[-1], expected[:, 0], expected[:, -1]])
    assert np.isfinite(rim).sum() > 20


def test_a_hole_in_the_dem_is_missing_and_the_looks_are_not(at_once: Layers) -> None:
    seen = np.isfinite(at_once["nir_p50"])
    for name in TERRAIN:
        missing = np.isnan(at_once[name])
        assert missing[~seen].all(), name
        assert 20 < (missing & seen).sum() < seen.sum() / 2, name
    assert np.nanmax(at_once["relief_10px_m"]) < 1000  # the hole is no abyss
    np.testing.assert_allclose(at_once["slope_deg"][seen], at_once["slope"][seen], rtol=1e-4)


def test_a_season_is_what_it_was_and_extras_stand_beside_it(
    township_folder: Path, at_once: Layers, tmp_path: Path
) -> None:
    plan = plan_of(township_folder)
    assert plan.features == NAMED["season"]
    plain, _ = observed(plan, tmp_path)
    for name in NAMED["season"].names:
        np.testing.assert_array_equal(plain[name], at_once[name], err_msg=name)


def test_a_scene_of_one_look_and_whole_years(township_folder: Path, tmp_path: Path) -> None:
    scene, _ = observed(
        plan_of(township_folder, {"land_cover.features": "scene"}, ONE_LOOK), tmp_path
    )
    season, _ = observed(plan_of(township_folder, ONE_LOOK), tmp_path)
    np.testing.assert_array_equal(scene["nir_p50"], season["nir_p25"])
    assert np.isfinite(scene["nir_contrast_7px"]).any()
    years, _ = observed(plan_of(township_folder, YEARS), tmp_path)
    assert 100 < np.isfinite(years["ndvi_amplitude1"]).sum() < np.isfinite(years["ndvi_p50"]).sum()


def test_blocks_of_other_features_or_another_dem_are_not_reused(
    township_folder: Path, coarse_dem: Path, tmp_path: Path
) -> None:
    steps: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"land_cover.features": "season"}, False),
        ({"land_cover.terrain": True}, True),
        ({"land_cover.terrain": True}, False),
        ({"land_cover.terrain": True, "dem.path": str(coarse_dem)}, True),
        ({"land_cover.texture": True}, True),
        ({"land_cover.features": "scene"}, True),
    ]
    for overrides, anew in steps:
        _, ledger = observed(plan_of(township_folder, ONE_LOOK, overrides), tmp_path)
        assert recomputed(ledger) == {anew}, overrides


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"land_cover.features": "season_red_edge"},
            r"got imagery.bands blue, .*; land_cover.features 'season_red_edge' needs rededge1, "
            r"rededge2, rededge3 too; add them, or choose other",
        ),
        (
            {"imagery.quantity": "dn"},
            r"got imagery.quantity 'dn'; land_cover.features 'season' needs 'reflectance'",
        ),
        (
            {"land_cover.features": "years"},
            r"got periods.before of 30 days; .*(\n.*)*periods.after of 61 days; .* whole year",
        ),
        ({"land_cover.features": "spring"}, r"land_cover.features: .*'season'"),
        (
            {"land_cover.source": "model", "land_cover.model": "a-1.0.0"} | BOTH,
            r"land_cover.texture: .*a stored model brings its own(.|\n)*land_cover.terrain: ",
        ),
    ],
)
def test_what_a_job_cannot_give_is_refused_before_a_pixel(
    township_folder: Path, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(township_folder, overrides)


def test_years_of_few_looks_are_refused_before_a_pixel(township_folder: Path) -> None:
    plan_of(township_folder, YEARS)
    items = rustac.read_sync(str(township_folder / "items.parquet"))["features"]
    rustac.write_sync(str(township_folder / "few.parquet"), items[::2])
    catalog = {"catalog.href": "few.parquet"}
    with pytest.raises(ConfigError, match=r"looks: 1\d of zone Z01 in periods.before, .* least 15"):
        plan_of(township_folder, YEARS, catalog)
    plan_of(township_folder, {"land_cover.features": "season"}, WHOLE_YEARS, catalog)


def test_terrain_needs_a_dem(township_folder: Path, tmp_path: Path) -> None:
    text = (township_folder / "demo.toml").read_text()
    flat = text.replace('[dem]\npath = "dem.tif"\nvertical_datum = "EPSG:5737"\n', "")
    assert "[dem]" not in flat
    (tmp_path / "flat.toml").write_text(flat)
    config = load_config(tmp_path / "flat.toml", SMALL | {"land_cover.terrain": True})
    with pytest.raises(ConfigError, match=r"got no table \[dem\]; .* set land_cover.terrain = f"):
        make_plan(config, base=township_folder)
    make_plan(load_config(tmp_path / "flat.toml", SMALL), base=township_folder)


def test_elevation_of_another_place_is_refused(township_folder: Path, tmp_path: Path) -> None:
    with rasterio.open(township_folder / "dem.tif") as source:
        elsewhere = source.profile | {"transform": source.transform.translation(9e5, 3e6)}
        nowhere = source.profile | {"crs": None}
        for name, profile in {"elsewhere": elsewhere, "nowhere": nowhere}.items():
            with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as target:
                target.write(source.read())
    for name, message in {
        "elsewhere": r"got elevation that does not reach zone Z01, Z02; .* covers the zones, or s",
        "nowhere": r"nowhere.tif: got elevation that .*; needed a raster with a CRS",
    }.items():
        dem = {"dem.path": str(tmp_path / f"{name}.tif")}
        with pytest.raises(RsMonitorError, match=message):
            plan_of(township_folder, {"land_cover.terrain": True}, dem)
        plan_of(township_folder, dem)


def test_a_zone_without_scenes_does_not_stop_the_others(
    township_folder: Path, tmp_path: Path
) -> None:
    plan = plan_of(township_folder)
    near, far = plan.zones
    zones = (near, replace(far, before=(), after=()))
    with pool_of(plan) as pool:
        one = replace(plan, zones=zones)
        work = work_of(one, BlockStore(tmp_path), pool, ledger=Ledger(), progress=silent)
        usable = observe(work, inspect(work))
    assert usable[near.zone_id]
    assert not usable[far.zone_id]
    assert {(zone, what) for zone, what, _ in work.ledger.failures} == {
        (far.zone_id, f"block {block.name}") for block in far.blocks
    }
