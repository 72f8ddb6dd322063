import datetime as dt
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.authority.layers import read_layer
from rs_monitor.config.imagery import Period, Periods
from rs_monitor.config.job import load_config
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.grid import zone_geobox
from rs_monitor.outputs.manifest import read_manifest
from rs_monitor.pipeline import claims
from rs_monitor.pipeline.collect import ZoneProducts
from rs_monitor.pipeline.inspect import RADIOMETRY
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import run

CRS = "EPSG:4548"
RULES = load_table(
    data_root() / "configs" / "rules" / "acceptance-guide-2024.toml", AcceptanceRules
)
PERIODS = Periods(
    before=Period(start=dt.date(2023, 1, 1), end=dt.date(2023, 12, 31)),
    after=Period(start=dt.date(2025, 1, 1), end=dt.date(2025, 12, 31)),
)
PLAN = cast("Plan", SimpleNamespace(layers={}, config=SimpleNamespace(periods=PERIODS)))


def zone(west: int) -> ZoneProducts:
    bounds = (west, 3500000, west + 400, 3500400)
    place = SimpleNamespace(outline=shapely.box(*bounds), geobox=zone_geobox(bounds, CRS, 10))
    return ZoneProducts(cast("Any", place), {"land_cover_before": np.zeros((40, 40), np.uint8)})


def claims_of(*shapes: shapely.Geometry) -> gpd.GeoDataFrame:
    declared = {
        "claim_id": [f"C{i}" for i in range(1, len(shapes) + 1)],
        "claimed_area_m2": 1.0,
        "area_source": "surveyed",
        "survey_id": "S1",
        "change_survey_id": "B1",
        "completed_on": dt.date(2024, 5, 1),
    }
    return gpd.GeoDataFrame(declared, geometry=list(shapes), crs=CRS)


def test_doubts_reach_across_zones_and_survive_the_split() -> None:
    left = shapely.box(540290, 3500100, 540410, 3500200)
    right = shapely.box(540390, 3500100, 540510, 3500200)
    alone = shapely.box(540600, 3500100, 540700, 3500200)
    table = claims_of(left, alone, right)
    table.attrs["repaired"] = ["C2: Self-intersection"]
    judged = claims._judge(PLAN, table, [zone(540000), zone(540400)], RULES)
    assert judged["claim_id"].tolist() == ["C1", "C2", "C3"]
    assert set(judged["rule_GEO_01"]) == {"inconclusive"}
    named = ["with claim C3", "polygon had to be repaired (Self-intersection)", "with claim C1"]
    assert all(n in r for n, r in zip(named, judged["reasons"], strict=True))


def test_the_evidence_knows_both_periods() -> None:
    evidence = claims._evidence(PLAN, zone(540000))
    assert (evidence.before, evidence.after) == (PERIODS.before, PERIODS.after)


def test_claims_on_ground_with_unsound_radiometry_are_told_so() -> None:
    places = [zone(540000), zone(540400)]
    bounds = [place.zone.outline for place in places]
    plans = [
        SimpleNamespace(zone_id=name, outline=outline, geobox=place.zone.geobox)
        for name, outline, place in zip("AB", bounds, places, strict=True)
    ]
    plan = cast("Plan", SimpleNamespace(zones=plans, vector_crs=CRS))
    failure = SimpleNamespace(what=RADIOMETRY, zone="B", error="a step of +0.1")
    ground = claims.unsound_ground(plan, cast("Any", SimpleNamespace(failures=[failure])))
    assert ground is not None
    assert ground["reason"].tolist() == ["a step of +0.1"]
    assert ground.geometry.iloc[0].equals(bounds[1])
    nothing = cast("Any", SimpleNamespace(failures=[]))
    assert claims.unsound_ground(plan, nothing) is None


@pytest.fixture
def bow_tied(township_folder: Path, tmp_path: Path) -> tuple[Path, str]:
    """A township whose first claim crosses itself, and that claim's id."""
    folder = tmp_path / "township"
    shutil.copytree(township_folder, folder)
    settings = load_config(folder / "demo.toml").claims
    assert settings is not None
    path = folder / settings.path
    layers = {
        str(name): pyogrio.read_dataframe(path, layer=name) for name, _ in pyogrio.list_layers(path)
    }
    name = settings.layer or next(iter(layers))
    table = layers[name]
    left, bottom, right, top = table.geometry[0].bounds
    bow = shapely.Polygon([(left, bottom), (right, top), (right, bottom), (left, top)])
    table.loc[0, "geometry"] = bow
    path.unlink()
    for layer, frame in layers.items():
        frame.to_file(path, layer=layer, engine="pyogrio")
    return folder, str(read_layer(path, name, kind="claims")["claim_id"][0])


def test_a_repair_is_recorded_and_supports_nothing(
    bow_tied: tuple[Path, str], tmp_path: Path
) -> None:
    folder, claim_id = bow_tied
    config = load_config(folder / "demo.toml", {"grid.block_px": 256, "land_cover.trees": 10})
    plan = make_plan(config, base=folder)
    out = tmp_path / "run"
    run(plan, out, config_text=(folder / "demo.toml").read_text())
    row = claims.verify(plan, out).claims.set_index("claim_id").loc[claim_id]
    assert row["rule_GEO_01"] == "inconclusive"
    assert row["answer"] != "SUPPORTED"
    (record,) = [v for v in read_manifest(out).vector_inputs if v.role == "claims"]
    assert len(record.repaired) == 1
    assert record.repaired[0].startswith(f"{claim_id}: ")
