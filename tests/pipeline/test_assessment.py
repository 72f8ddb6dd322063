"""From a sample's files, filled in, to figures; what is refused."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from click.testing import CliRunner
from shapely.geometry import box

from rs_monitor.cli import main
from rs_monitor.codes import Change
from rs_monitor.config.rules import load_rules
from rs_monitor.errors import LayerError
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.pipeline.assessment import assess_points

EDGE_PX = 200
PIXEL_HA = 0.01
NAMES = {"flag_values": "1 2", "flag_meanings": "no_change change"}


@pytest.fixture(scope="module")
def rules():
    from pathlib import Path

    return load_rules("accuracy", Path.cwd(), AccuracyRules).estimation


@pytest.fixture(scope="module")
def truth():
    """What a perfect reader sees: the map's field of change lies one column off."""
    ground = np.full((EDGE_PX, EDGE_PX), Change.NO_CHANGE, dtype=np.uint8)
    ground[50:90, 52:102] = Change.CHANGE
    return ground


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Points of a stratified design around a field of change, not read yet."""
    folder = tmp_path_factory.mktemp("sample")
    shown = np.full((EDGE_PX, EDGE_PX), Change.NO_CHANGE, dtype=np.uint8)
    shown[50:90, 50:100] = Change.CHANGE
    with rasterio.open(
        folder / "change.tif",
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        width=EDGE_PX,
        height=EDGE_PX,
        nodata=0,
        crs="EPSG:4527",
        transform=rasterio.Affine(10, 0, 39_500_000, 0, -10, 3_500_000),
    ) as target:
        target.write(shown, 1)
        target.update_tags(1, **NAMES)
    return folder


def points_of(drawn, tmp_path, *options):
    out = tmp_path / "points.csv"
    command = ["sample", str(drawn / "change.tif"), "--seed", "3", "--out", str(out), *options]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    return out


def read_by(path, truth, readers=("one",), spoil=None):
    """Fill labels in as readers would; `spoil` changes the rows of a reader."""
    points = pd.read_csv(path)
    key = pd.read_csv(path.with_name(f"{path.stem}.key.csv")).set_index("id").loc[points["id"]]
    labels = truth[key["row"].to_numpy(), key["col"].to_numpy()].astype(str).astype(object)
    rows = []
    for reader in readers:
        own = labels.copy()
        if spoil is not None:
            spoil(reader, own)
        rows.append(points.assign(reader=reader, label=own))
    pd.concat(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def points(drawn, tmp_path):
    buffered = ["--buffer-around", str(int(Change.CHANGE)), "--buffer-m", "30"]
    return points_of(drawn, tmp_path, "--n", "300", "--allocation", "equal", *buffered)


def area_of(report):
    return report.areas.set_index("class").loc[f"class_{int(Change.CHANGE)}"]


def test_figures_hold_the_truth(points, truth, rules):
    report = assess_points(read_by(points, truth), rules)
    change = area_of(report)
    true_ha = float((truth == Change.CHANGE).sum()) * PIXEL_HA
    assert change["lower"] <= true_ha <= change["upper"]
    assert change["lower_bound"] <= true_ha
    assert change["lower_bound"] == pytest.approx(change["lower_bound_mu"] / 15)
    assert change["estimate"] == pytest.approx(true_ha, rel=0.15)
    assert report.counts.drop(columns="map").to_numpy().sum() == 300
    assert report.shares.drop(columns="map").to_numpy().sum() == pytest.approx(1.0)
    assert any("every point alike in" in note for note in report.notes)
    assert any("one reader" in note for note in report.notes)


def test_unreadable_points_widen_and_lower(points, truth, rules):
    whole = area_of(assess_points(read_by(points, truth), rules))

    def fog(reader, labels):
        labels[::7] = "Unreadable"

    report = assess_points(read_by(points, truth, spoil=fog), rules)
    change = area_of(report)
    assert change["lower"] < whole["lower"]
    assert change["upper"] > whole["upper"]
    assert change["lower_bound"] < whole["lower_bound"]
    assert report.counts["unreadable"].sum() == 43
    assert any("43 points unreadable" in note for note in report.notes)


def test_a_dissenting_reader_widens_and_lowers(points, truth, rules):
    whole = area_of(assess_points(read_by(points, truth), rules))

    def careless(reader, labels):
        if reader == "three":
            labels[::5] = str(int(Change.NO_CHANGE))

    said = read_by(points, truth, readers=("one", "two", "three"), spoil=careless)
    report = assess_points(said, rules)
    change = area_of(report)
    assert change["lower_bound"] < whole["lower_bound"]
    assert change["estimate"] == pytest.approx(whole["estimate"], rel=0.02)
    assert any("3 readers disagree" in note for note in report.notes)


def test_townships_drawn_first(drawn, truth, rules, tmp_path):
    edge_m = EDGE_PX * 10 / 5
    boxes = [
        box(
            39_500_000 + c * edge_m,
            3_500_000 - (r + 1) * edge_m,
            39_500_000 + (c + 1) * edge_m,
            3_500_000 - r * edge_m,
        )
        for r in range(5)
        for c in range(5)
    ]
    gpd.GeoDataFrame({"name": range(25)}, geometry=boxes, crs="EPSG:4527").to_file(
        tmp_path / "towns.gpkg"
    )
    towns = ["--design", "two_stage", "--townships", str(tmp_path / "towns.gpkg"), "--draws", "12"]
    points = points_of(drawn, tmp_path, "--n", "240", *towns)
    report = assess_points(read_by(points, truth), rules)
    change = area_of(report)
    true_ha = float((truth == Change.CHANGE).sum()) * PIXEL_HA
    assert change["lower"] <= true_ha <= change["upper"]
    assert change["lower_bound"] >= 0
    assert any("12 draws of townships" in note for note in report.notes)


def test_every_mistake_is_listed(points, truth, rules):
    read_by(points, truth)
    table = pd.read_csv(points, dtype=str)
    table.loc[0, "label"] = None
    table.loc[1, "label"] = "lawn"
    gone = table.loc[2, "id"]
    table = pd.concat([table.drop(index=2), table.iloc[[5]]])
    table.to_csv(points, index=False)
    with pytest.raises(LayerError) as refused:
        assess_points(points, rules)
    text = str(refused.value)
    assert f"{table.loc[0, 'id']}: without a label; fill them in" in text
    assert "lawn: labels that are no class" in text
    assert f"{gone}: drawn and missing here" in text
    assert f"{table.loc[5, 'id'].iloc[0]}: more than one label of one reader" in text


def test_a_foreign_design_is_refused(points, truth, rules):
    read_by(points, truth)
    key = points.with_name("points.key.csv")
    table = pd.read_csv(key)
    table.loc[0, "stratum"] = 77
    table.to_csv(key, index=False)
    with pytest.raises(LayerError, match="name or restore it"):
        assess_points(points, rules)


def test_the_command_prints_matrix_figures_and_bound(points, truth):
    done = CliRunner().invoke(main, ["assess", str(read_by(points, truth))])
    assert done.exit_code == 0, done.output
    assert "Error matrix, points" in done.output
    assert "one-sided lower bound" in done.output
    assert "accepted" not in done.output
    table = pd.read_csv(points, dtype=str).assign(label="")
    table.to_csv(points, index=False)
    refused = CliRunner().invoke(main, ["assess", str(points)])
    assert refused.exit_code == 1
    assert "without a label" in refused.output
