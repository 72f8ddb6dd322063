"""A sample that comes back is the sample that was drawn: what a cheat or a spreadsheet changes."""

import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from click.testing import CliRunner
from odc.geo.geobox import GeoBox

from rs_monitor.cli import main
from rs_monitor.codes import LAND_COVER_STYLE, LandCover
from rs_monitor.config.paths import data_root
from rs_monitor.config.rules import load_rules
from rs_monitor.errors import ConfigError, LayerError, QuantityError, ReadError
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.designs import Design
from rs_monitor.estimation.two_stage import two_stage_mean, two_stage_sample
from rs_monitor.outputs.raster import write_cog
from rs_monitor.outputs.sample_files import design_path, key_path, read_sample, write_sample
from rs_monitor.pipeline.assessment import assess_points
from rs_monitor.pipeline.sample_request import SampleRequest
from rs_monitor.pipeline.sampling import draw_sample

GRID = GeoBox((120, 150), Affine(10, 0, 500000, 0, -10, 3500000), "EPSG:32650")
RULES = load_rules("accuracy", data_root(), AccuracyRules)
UPLAND, FOREST, BUILT = LandCover.UPLAND_CROP, LandCover.FOREST, LandCover.BUILT


def write_map(target, change=None, grid=GRID, style=LAND_COVER_STYLE):
    values = np.full(GRID.shape, UPLAND, np.uint8)
    values[:, 90:] = FOREST
    values[40:52, 20:32] = BUILT
    values[:10] = 0
    if change is not None:
        change(values)
    return write_cog(target, values, grid, nodata=0, band_names=["land_cover"], style=style)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_map(tmp_path_factory.mktemp("maps") / "land_cover.tif")


def draw(path, target, **asked):
    request = {"design": Design.STRATIFIED, "seed": 7, "points": 100} | asked
    drawn = draw_sample(path, SampleRequest(**request), RULES)
    write_sample(target, drawn.points, drawn.design)
    return target


def fill(points, labels=None, readers=("ann",)):
    """Label points with the map's class, or by `labels` of the key."""
    key = pd.read_csv(key_path(points)).set_index("id")
    table = gpd.read_file(points) if points.suffix != ".csv" else pd.read_csv(points)
    said = key.loc[table["id"], "map_class"].astype(str).to_numpy(dtype=object)
    if labels is not None:
        labels(said)
    table = pd.concat([table.assign(reader=name, label=said) for name in readers])
    if points.suffix == ".csv":
        table.to_csv(points, index=False)
    else:
        points.unlink()
        table.to_file(points, layer="points")
    return points


@pytest.fixture
def points(path, tmp_path):
    return fill(draw(path, tmp_path / "points.csv"))


def edit(points, change, **written):
    table = pd.read_csv(points, dtype=str)
    table = change(table)
    table.to_csv(points, index=False, **written)


def edit_design(points, change):
    record = json.loads(design_path(points).read_text())
    change(record)
    design_path(points).write_text(json.dumps(record))


def assess(points, **given):
    return assess_points(points, RULES.estimation, **given)


def same_figures(a, b):
    pd.testing.assert_frame_equal(a.areas, b.areas)
    pd.testing.assert_frame_equal(a.accuracies, b.accuracies)
    return True


def test_the_map_confirms_an_honest_record(points, path):
    report = assess(points, map_path=path)
    assert any("points drawn again, the same" in note for note in report.notes)
    assert same_figures(report, assess(points))
    assert any("map not given" in note for note in assess(points).notes)


@pytest.mark.parametrize(
    "asked",
    [
        {"design": Design.SIMPLE},
        {"design": Design.SYSTEMATIC},
        {"buffer_around": ("built",), "buffer_m": 20.0},
    ],
)
def test_every_design_is_drawn_again(path, tmp_path, asked):
    points = fill(draw(path, tmp_path / "points.csv", **asked))
    assert any("drawn again" in note for note in assess(points, map_path=path).notes)


def test_key_of_the_same_pixels_on_another_map(path, tmp_path):
    """Same seed, same places: only the digest tells the keys apart."""
    ours = fill(draw(path, tmp_path / "ours.csv", design=Design.SIMPLE))

    def clear(values):
        values[60:, 90:] = UPLAND

    other = write_map(tmp_path / "other_map.tif", clear)
    theirs = draw(other, tmp_path / "theirs.csv", design=Design.SIMPLE)
    assert set(pd.read_csv(ours)["id"]) == set(pd.read_csv(theirs)["id"])
    with pytest.raises(LayerError, match="key of another draw"):
        assess(ours, key=key_path(theirs))
    with pytest.raises(LayerError, match="key of another draw"):
        assess(ours, design=design_path(theirs))


@pytest.mark.parametrize("column", ["stratum", "map_class", "row"])
def test_a_key_changed_after_the_draw(points, column):
    edit(key_path(points), lambda key: key.assign(**{column: key[column].to_numpy()[::-1]}))
    with pytest.raises(LayerError, match="changed after the draw"):
        assess(points)


def test_a_key_with_a_row_twice(points):
    edit(key_path(points), lambda key: pd.concat([key, key.iloc[:1]]))
    with pytest.raises(LayerError, match="changed after the draw"):
        assess(points)


@pytest.mark.parametrize("suffix", [".csv", ".gpkg", ".geojson"])
def test_points_moved_after_the_draw(path, tmp_path, suffix):
    points = fill(draw(path, tmp_path / f"points{suffix}"))
    assert len(assess(points).counts)
    table = gpd.read_file(points) if suffix != ".csv" else pd.read_csv(points)
    if suffix == ".csv":
        table.loc[3, "lon"] += 1e-4
        table.to_csv(points, index=False)
    else:
        table.loc[3, "geometry"] = table.geometry.shift(1)[3]
        points.unlink()
        table.to_file(points, layer="points")
    with pytest.raises(LayerError, match=f"{table.loc[3, 'id']}: moved out of the pixel"):
        assess(points)


def test_multipoints_are_points_and_missing_ones_are_not(path, tmp_path):
    points = fill(draw(path, tmp_path / "points.gpkg"))
    table = gpd.read_file(points)
    table.geometry = shapely.multipoints(table.geometry.to_numpy()[:, None])
    points.unlink()
    table.to_file(points, layer="points")
    assert len(assess(points).counts)
    table.loc[3, "geometry"] = None
    points.unlink()
    table.to_file(points, layer="points")
    with pytest.raises(LayerError, match="moved out of the pixel"):
        assess(points)


def test_coordinates_that_are_none(points):
    edit(points, lambda table: table.assign(x=["nan", *table["x"][1:]]))
    with pytest.raises(LayerError, match="moved out of the pixel"):
        assess(points)


def raise_area(record):
    record["strata"][0]["area_m2"] *= 1.01


def raise_points(record):
    record["strata"][0]["points"] += 1


def move_pixels(record):
    low, high = record["strata"][0], record["strata"][1]
    per_px = low["area_m2"] / low["pixels"]
    for stratum, extra in ((low, -500), (high, 500)):
        stratum["pixels"] += extra
        stratum["area_m2"] += extra * per_px


def swap_names(record):
    low, high = record["strata"][0], record["strata"][1]
    low["name"], high["name"] = high["name"], low["name"]


def other_seed(record):
    record["seed"] += 1


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (raise_area, LayerError, "areas that their pixels cannot have"),
        (raise_points, ConfigError, "the sample has 100 points"),
        (move_pixels, LayerError, "strata and areas, points are not those of the map"),
        (swap_names, LayerError, "strata and areas"),
        (other_seed, LayerError, "points are not those of the map"),
    ],
)
def test_a_design_changed_after_the_draw(points, path, change, error, said):
    edit_design(points, change)
    with pytest.raises(error, match=said):
        assess(points, map_path=path)


def test_a_map_reprojected_after_the_draw(points, path, tmp_path):
    with rasterio.open(path) as source:
        values = source.read(1)
    finer = GRID.zoom_out(0.5)
    out = np.zeros(finer.shape, np.uint8)
    rasterio.warp.reproject(
        values,
        out,
        src_transform=GRID.affine,
        src_crs=GRID.crs,
        dst_transform=finer.affine,
        dst_crs=finer.crs,
    )
    other = write_cog(tmp_path / "land_cover.tif", out, finer, nodata=0, band_names=["c"])
    with pytest.raises(LayerError, match="another file than the sample was drawn from"):
        assess(points, map_path=other)


def test_spreadsheets_change_nothing_that_counts(points):
    plain = assess(points)
    table = pd.read_csv(points, dtype=str)

    def numbers_as_floats(table):
        return table.assign(label=table["label"] + ".0")

    edit(points, numbers_as_floats, encoding="utf-8-sig")
    assert same_figures(assess(points), plain)
    comma = table.assign(**{c: table[c].str.replace(".", ",") for c in ("x", "y", "lon", "lat")})
    comma.to_csv(points, index=False, sep=";", encoding="utf-8-sig")
    assert same_figures(assess(points), plain)
    table.assign(reader="王").to_csv(points, index=False, encoding="gb18030")
    assert same_figures(assess(points), plain)
    blank = pd.DataFrame(np.nan, index=range(3), columns=table.columns)
    pd.concat([table, blank]).to_csv(points, index=False)
    assert same_figures(assess(points), plain)
    points.write_bytes(b"id,label\n\xff\xff\n")
    with pytest.raises(ReadError, match="save it in UTF-8"):
        assess(points)


def test_labels_by_name_in_any_spelling(points):
    plain = assess(points)
    names = {
        str(int(UPLAND)): " Upland Crop ",
        str(int(FOREST)): "FOREST",
        str(int(BUILT)): "built",
    }
    edit(points, lambda table: table.assign(label=table["label"].map(names)))
    assert same_figures(assess(points), plain)


def test_a_code_outside_the_legend_is_a_slip(points):
    edit(points, lambda table: table.assign(label=["99", *table["label"][1:]]))
    with pytest.raises(LayerError, match="99: labels that are no class"):
        assess(points)


def test_a_class_seen_by_readers_alone(path, tmp_path):
    def water(said):
        said[:4] = "water"

    report = assess(fill(draw(path, tmp_path / "points.csv"), water))
    row = report.areas.set_index("class").loc["water"]
    assert row["estimate"] > 0
    assert row["lower_bound"] <= row["estimate"]
    users = report.accuracies.query('figure == "user\'s"').set_index("class")
    assert np.isnan(users.loc["water", "estimate"])
    assert any("nowhere on the map: water" in note for note in report.notes)


def test_one_reader_under_two_names(points):
    def again(table):
        return pd.concat([table.assign(reader="Ann"), table.assign(reader=" ann ", label="built")])

    edit(points, again)
    with pytest.raises(LayerError, match="more than one label of one reader"):
        assess(points)


def test_order_of_rows_and_readers_does_not_matter(path, tmp_path):
    points = fill(draw(path, tmp_path / "points.csv"), readers=("ann", "bo", "cy"))

    def dissent(table):
        table.iloc[100:130, table.columns.get_loc("label")] = str(int(BUILT))
        return table

    edit(points, dissent)
    first = assess(points)
    edit(points, lambda table: table.iloc[::-1])
    assert same_figures(assess(points), first)


def test_who_could_not_tell_contests_the_point(path, tmp_path):
    points = fill(draw(path, tmp_path / "points.csv"), readers=("ann", "bo"))
    whole = assess(points).areas.set_index("class").loc["built"]
    ids = pd.read_csv(key_path(points)).query("map_class == @BUILT")["id"][:5]

    def doubt(table):
        unsure = table["id"].isin(ids) & (table["reader"] == "bo")
        return table.assign(label=table["label"].mask(unsure, "unreadable"))

    edit(points, doubt)
    doubted = assess(points)
    assert doubted.areas.set_index("class").loc["built", "lower_bound"] < whole["lower_bound"]
    assert any("at 5 of 100 points" in note for note in doubted.notes)
    edit(points, lambda table: table[table["label"] != "unreadable"])
    note = next(note for note in assess(points).notes if "2 readers" in note)
    assert "5 points have the label of one reader only" in note


def test_a_bound_never_exceeds_its_estimate(path, tmp_path):
    """Bo says built everywhere; what bo alone read is contested by what bo is worth."""
    points = fill(draw(path, tmp_path / "points.csv"), readers=("ann", "bo"))

    def always(table):
        bo = table["reader"] == "bo"
        table = table.assign(label=table["label"].mask(bo, str(int(BUILT))))
        left = table["id"].isin(sorted(table["id"].unique())[::2]) & ~bo
        return table[~left]

    edit(points, always)
    areas = assess(points).areas.set_index("class")
    assert (areas["lower_bound"] <= areas["estimate"] + 1e-9).all()
    assert (areas["lower"] <= areas["upper"]).all()
    assert areas.loc["built", "lower_bound"] < 1.5


def test_readers_evenly_divided(path, tmp_path):
    """What one calls forest the other calls built, as often as not."""
    points = fill(draw(path, tmp_path / "points.csv"), readers=("ann", "bo"))
    key = pd.read_csv(key_path(points)).set_index("id")
    turn = key.groupby("stratum").cumcount() % 2

    def quarrel(table):
        forest = (table["id"].map(turn) == 1) == (table["reader"] == "ann")
        return table.assign(label=np.where(forest, "forest", "built"))

    edit(points, quarrel)
    report = assess(points)
    assert any("100 points on which readers are evenly divided" in n for n in report.notes)
    areas = report.areas.set_index("class").loc[["forest", "built"]]
    assert areas["estimate"].isna().all()
    assert (areas["lower_bound"] == 0.0).all()
    assert (areas["upper"] > 60).all()


def test_readers_who_saw_the_map(path, tmp_path):
    drawn = draw_sample(path, SampleRequest(Design.STRATIFIED, 7, points=100), RULES)
    target = tmp_path / "points.csv"
    write_sample(target, drawn.points, drawn.design, show_strata=True)
    report = assess(fill(target))
    assert any("readers were shown what the map says" in note for note in report.notes)


def test_systematic_points_carry_no_guarantee(path, tmp_path):
    report = assess(fill(draw(path, tmp_path / "points.csv", design=Design.SYSTEMATIC)))
    assert any("the bound is no guarantee here" in note for note in report.notes)


def test_a_class_called_buffer_is_a_class(tmp_path):
    names = {UPLAND: "upland_crop", FOREST: "buffer", BUILT: "built"}
    style = {code: replace(LAND_COVER_STYLE[code], name=name) for code, name in names.items()}
    path = write_map(tmp_path / "map.tif", style=style)
    for n, around in enumerate([(), ("built",)]):
        points = fill(draw(path, tmp_path / f"{n}.csv", buffer_around=around))
        assert set(assess(points).areas["class"]) == {"upland_crop", "buffer", "built"}


def test_what_a_buffer_surrounds_is_known_not_to_lie_in_it(path, tmp_path):
    points = fill(
        draw(path, tmp_path / "p.csv", buffer_around=("built",), buffer_m=20.0, points=200)
    )
    record = json.loads(design_path(points).read_text())["buffer"]
    assert record["around"] == [int(BUILT)]
    users = assess(points).accuracies.query('figure == "user\'s"').set_index("class")
    # 50 of 50 right, and none can lie in the buffer: the exact limit of a count without replacement
    assert users.loc["built", "lower"] > 0.93
    # upland crop may lie in the buffer, where every point drawn is of it
    assert users.loc["upland_crop", "estimate"] == 1.0


@pytest.mark.parametrize(
    "asked",
    [
        {"buffer_around": ("water",)},
        {"buffer_around": ("77",)},
        {"buffer_m": 20.0},
        {"drawn": 5},
    ],
)
def test_what_would_be_passed_over_is_refused(path, tmp_path, asked):
    with pytest.raises(QuantityError, match="needed"):
        draw(path, tmp_path / "points.csv", **asked)


def test_names_that_do_not_fit_their_values(path, tmp_path):
    bad = tmp_path / "bad.tif"
    with rasterio.open(path) as source:
        profile, values = source.profile, source.read(1)
    profile = {k: profile[k] for k in ("width", "height", "count", "dtype", "crs", "transform")}
    with rasterio.open(bad, "w", driver="GTiff", nodata=0, **profile) as target:
        target.write(values, 1)
        target.update_tags(flag_values="1 2 3", flag_meanings="paddy upland_crop")
    with pytest.raises(QuantityError, match="one name for each whole number"):
        draw(bad, tmp_path / "points.csv")


def test_a_mask_beside_the_classes_is_refused(path, tmp_path):
    masked = tmp_path / "masked.tif"
    with rasterio.open(path) as source:
        profile, values = source.profile, source.read(1)
    profile = {k: profile[k] for k in ("width", "height", "count", "dtype", "crs", "transform")}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(masked, "w", driver="GTiff", **profile) as target,
    ):
        target.write(values, 1)
        target.write_mask(values != FOREST)
    with pytest.raises(QuantityError, match="write the mask into the classes"):
        draw(masked, tmp_path / "points.csv")


def test_the_whole_result_as_json(points, path, tmp_path):
    out = tmp_path / "result.json"
    command = ["assess", str(points), "--map", str(path), "--out", str(out)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    said = json.loads(out.read_text())
    assert set(said["files_sha256"]) == {
        "points.csv",
        "points.key.csv",
        "points.design.json",
        "land_cover.tif",
    }
    built = next(row for row in said["areas_ha"] if row["class"] == "built")
    assert built["lower_bound"] <= built["estimate"]
    assert said["rules"] == "accuracy 1.1.0"
    text = (out.read_text() + done.output).lower()
    assert "accepted" not in text
    assert "verified" not in text
    assert CliRunner().invoke(main, command).exit_code == 1


@pytest.fixture
def townships():
    left, top = 500000, 3500000
    boxes = [
        shapely.box(left + 300 * c, top - 400 * (r + 1), left + 300 * (c + 1), top - 400 * r)
        for r in range(3)
        for c in range(5)
    ]
    return gpd.GeoDataFrame(geometry=boxes, crs=GRID.crs.to_epsg())


TOWNS = {"design": Design.TWO_STAGE, "drawn": 8, "points": 80}


@pytest.fixture
def two_stage(path, tmp_path, townships):
    return fill(draw(path, tmp_path / "towns.csv", **TOWNS | {"primary_units": townships}))


def test_two_stage_agrees_with_the_mean_of_the_draws(two_stage, path):
    report = assess(two_stage, map_path=path)
    assert any("townships not redrawn" in note for note in report.notes)
    sample = read_sample(two_stage)
    key = sample.key
    drawn = two_stage_sample(key["draw"], key["primary_unit"], sample.design.two_stage)
    mean = two_stage_mean(key["map_class"] == FOREST, drawn)
    total_ha = sum(s.area_m2 for s in sample.design.strata) / 1e4
    forest = report.areas.set_index("class").loc["forest"]
    assert forest["estimate"] == pytest.approx(mean.value * total_ha)
    assert forest["standard_error"] == pytest.approx(mean.standard_error * total_ha)
    assert forest["lower_bound"] <= forest["estimate"]


def test_two_readers_of_townships_are_taken_at_their_worst(two_stage):
    edit(two_stage, lambda t: pd.concat([t, t.assign(reader="bob")]))
    notes = " ".join(assess(two_stage).notes)
    assert "the intervals take them at their worst" in notes
    assert "likely labels are drawn" not in notes


def test_pixels_of_unequal_area_are_told(tmp_path, two_stage):
    """Degrees, from 30 to 36 north: a pixel in the south is larger."""
    assert not any("differ" in note for note in assess(two_stage).notes)
    grid = GeoBox(GRID.shape, Affine(0.05, 0, 117, 0, -0.05, 36), "EPSG:4490")
    points = fill(draw(write_map(tmp_path / "deg.tif", grid=grid), tmp_path / "deg.csv"))
    assert any("differ by up to 6.8% in area" in note for note in assess(points).notes)


def test_townships_off_the_map_are_refused(path, tmp_path, townships):
    away = townships.assign(geometry=townships.translate(1e5))
    with pytest.raises(QuantityError, match="a single class inside the primary units"):
        draw(path, tmp_path / "t.csv", **TOWNS | {"primary_units": away})


def test_a_township_without_ground_is_refused(path, tmp_path, townships):
    townships.loc[3, "geometry"] = shapely.Polygon()
    with pytest.raises(LayerError, match="other geometries or empty ones"):
        draw(path, tmp_path / "t.csv", **TOWNS | {"primary_units": townships})


def test_two_stage_takes_unread_points_at_their_worst(two_stage):
    """As if every one of them were what the map says it is not."""
    key = pd.read_csv(key_path(two_stage))
    ids = key.loc[key["map_class"] == UPLAND, "id"][:20]

    def lower_with(label):
        edit(two_stage, lambda t: t.assign(label=t["label"].mask(t["id"].isin(ids), label)))
        accuracies = assess(two_stage).accuracies.set_index(["figure", "class"])
        return accuracies.loc[[("overall", ""), ("producer's", "forest")], "lower"].to_list()

    assert lower_with("unreadable") == lower_with("forest")


def test_nothing_readable_at_all(path, tmp_path, two_stage):
    def fog(said):
        said[:] = "Unreadable"

    for points in (fill(draw(path, tmp_path / "p.csv"), fog), two_stage):
        edit(points, lambda table: table.assign(label="unreadable"))
        areas = assess(points).areas
        assert areas["estimate"].isna().all()
        assert (areas["lower"].fillna(0) == 0).all()
        assert (areas["lower_bound"].fillna(0) == 0).all()


def test_a_stratum_without_a_point(path, tmp_path):
    """Few points of a simple design: built, 144 of 16,500 pixels, may get none."""
    seed = next(s for s in range(99) if not drawn_built(path, s))
    points = fill(draw(path, tmp_path / "p.csv", design=Design.SIMPLE, seed=seed, points=30))
    report = assess(points)
    built = report.areas.set_index("class").loc["built"]
    assert np.isnan(built["estimate"])
    assert built["lower_bound"] == 0.0
    assert built["upper"] > 1.44
    assert any("no point read in built: no estimate" in note for note in report.notes)
    out = tmp_path / "r.json"
    assert CliRunner().invoke(main, ["assess", str(points), "--out", str(out)]).exit_code == 0
    assert "NaN" not in out.read_text()


def drawn_built(path, seed):
    drawn = draw_sample(path, SampleRequest(Design.SIMPLE, seed, points=30), RULES)
    return int((drawn.points["map_class"] == BUILT).sum())
