import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from click.testing import CliRunner
from odc.geo.geobox import GeoBox

import rs_monitor.pipeline.sample_population as population
from rs_monitor.cli import main
from rs_monitor.codes import LAND_COVER_STYLE, LandCover
from rs_monitor.config.paths import data_root
from rs_monitor.config.rules import load_rules
from rs_monitor.errors import LayerError, QuantityError, ReadError
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.designs import Design, FirstStage
from rs_monitor.outputs.raster import write_cog
from rs_monitor.outputs.sample_files import read_sample, write_sample
from rs_monitor.pipeline.sample_request import Allocation, SampleRequest, request_of
from rs_monitor.pipeline.sampling import draw_sample

GRID = GeoBox((120, 150), Affine(10, 0, 500000, 0, -10, 3500000), "EPSG:32650")
RULES = load_rules("accuracy", data_root(), AccuracyRules)
UPLAND, FOREST, BUILT = LandCover.UPLAND_CROP, LandCover.FOREST, LandCover.BUILT


@pytest.fixture(scope="module")
def classes():
    values = np.full(GRID.shape, UPLAND, np.uint8)
    values[:, 90:] = FOREST
    values[40:52, 20:32] = BUILT
    values[:10] = 0
    return values


@pytest.fixture(scope="module")
def path(classes, tmp_path_factory):
    target = tmp_path_factory.mktemp("maps") / "land_cover.tif"
    return write_cog(
        target, classes, GRID, nodata=0, band_names=["land_cover"], style=LAND_COVER_STYLE
    )


@pytest.fixture(scope="module")
def towns():
    left, top = 500000, 3500000
    boxes = [
        shapely.box(left + x, top - 1200, left + x + width, top)
        for x, width in ((0, 300), (300, 300), (600, 900))
    ]
    return gpd.GeoDataFrame({"name": ["a", "b", "c"]}, geometry=boxes, crs=GRID.crs.to_epsg())


def ask(**asked):
    return SampleRequest(**{"design": Design.STRATIFIED, "seed": 7, "points": 100} | asked)


def strata(design, column="points"):
    return {stratum.name: getattr(stratum, column) for stratum in design.strata}


def test_stratified(path, classes):
    drawn = draw_sample(path, ask(), RULES)
    assert strata(drawn.design) == {"upland_crop": 30, "forest": 20, "built": 50}
    assert strata(drawn.design, "pixels") == {"upland_crop": 9756, "forest": 6600, "built": 144}
    assert strata(drawn.design, "area_m2")["built"] == pytest.approx(14_400 / 0.9996**2, rel=1e-5)
    points = drawn.points
    np.testing.assert_array_equal(points["map_class"], classes[points["row"], points["col"]])
    built = points[points["stratum"] == BUILT]
    assert built["inclusion_probability"].unique().tolist() == [50 / 144]
    assert points.groupby("stratum")["weight"].sum().to_dict() == pytest.approx(
        {UPLAND: 9756, FOREST: 6600, BUILT: 144}
    )


@pytest.mark.parametrize(
    ("allocation", "points"),
    [
        (Allocation.EQUAL, [34, 33, 33]),
        (Allocation.PROPORTIONAL, [54, 36, 10]),
        (Allocation.NEYMAN, [70, 20, 10]),
    ],
)
def test_allocations(path, allocation, points):
    request = ask(allocation=allocation, expected={"upland_crop": 0.5, "forest": 0.95})
    assert list(strata(draw_sample(path, request, RULES).design).values()) == points


@pytest.mark.parametrize("block_px", [37, 64])
@pytest.mark.parametrize("design", [Design.STRATIFIED, Design.SIMPLE, Design.SYSTEMATIC])
def test_blocks_do_not_matter(path, monkeypatch, design, block_px):
    request = ask(design=design)
    if design is Design.STRATIFIED:
        request = ask(buffer_around=("built",))
    whole = draw_sample(path, request, RULES)
    monkeypatch.setattr(population, "COUNTED_BLOCK_PX", block_px)
    parts = draw_sample(path, request, RULES)
    pd.testing.assert_frame_equal(pd.DataFrame(whole.points), pd.DataFrame(parts.points))
    assert whole.design == parts.design


def test_a_buffer_is_a_stratum_of_its_own(path):
    drawn = draw_sample(path, ask(buffer_around=("built",), buffer_m=20.0), RULES)
    # around 12 x 12 pixels: two rows on each side, and one pixel at each corner
    assert strata(drawn.design, "pixels")["buffer"] == 4 * 24 + 4
    key = drawn.points[drawn.points["stratum"] == 14]
    assert len(key) == strata(drawn.design)["buffer"] > 0
    assert key["map_class"].unique().tolist() == [UPLAND]


def test_simple_and_systematic(path):
    simple = draw_sample(path, ask(design=Design.SIMPLE), RULES)
    assert len(simple.points) == 100
    assert simple.points["weight"].sum() == pytest.approx(16_500)
    assert (simple.points["stratum"] == simple.points["map_class"]).all()
    systematic = draw_sample(path, ask(design=Design.SYSTEMATIC), RULES)
    assert systematic.design.steps_px == (12, 14)
    assert set(np.diff(np.unique(systematic.points["row"]))) == {12}
    assert set(np.diff(np.unique(systematic.points["col"]))) == {14}
    assert systematic.points["inclusion_probability"].unique().tolist() == [1 / 168]


@pytest.mark.parametrize("first_stage", FirstStage)
def test_two_stages(path, towns, first_stage):
    request = ask(
        design=Design.TWO_STAGE, primary_units=towns, drawn=3, first_stage=first_stage, points=60
    )
    drawn = draw_sample(path, request, RULES)
    record = drawn.design.two_stage
    assert (record.units, record.pixels, record.drawn, record.points_per_draw) == (3, 16_500, 3, 20)
    points = drawn.points
    assert points.groupby("draw").size().tolist() == [20, 20, 20]
    own = np.digitize(points["col"], [30, 60]) + 1
    np.testing.assert_array_equal(own, points["primary_unit"])
    if first_stage is FirstStage.PPS:
        # every pixel has the same chance
        np.testing.assert_allclose(points["weight"], 16_500 / 60)
    else:
        assert sorted({u.id for u in record.primary_units}) == [1, 2, 3]
        assert points["weight"].sum() == pytest.approx(16_500)


def test_a_township_drawn_again_has_a_sample_of_its_own(path, towns):
    request = ask(design=Design.TWO_STAGE, primary_units=towns, drawn=6, points=120)
    drawn = draw_sample(path, request, RULES)
    record = drawn.design.two_stage
    assert sum(unit.draws for unit in record.primary_units) == 6
    places = drawn.points.groupby("draw")[["row", "col"]].apply(
        lambda p: frozenset(map(tuple, p.values))
    )
    assert places.nunique() == 6
    assert drawn.points.groupby("draw")["primary_unit"].nunique().eq(1).all()
    np.testing.assert_allclose(drawn.points["weight"], 16_500 / 120)


def test_points_for_a_standard_error(path):
    request = ask(points=None, standard_error=0.05, expected={"upland_crop": 0.9})
    drawn = draw_sample(path, request, RULES)
    # (0.5913 * 0.3 + 0.4 * 0.433 + 0.0087 * 0.433)^2 / (0.05^2 + 8e-6) = 50.1
    assert drawn.design.points == 51


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".csv"])
def test_files_are_blind_and_read_back(path, tmp_path, suffix):
    drawn = draw_sample(path, ask(), RULES)
    target = tmp_path / f"points{suffix}"
    write_sample(target, drawn.points, drawn.design)
    sample = read_sample(target)
    assert sample.design == drawn.design
    assert sample.points["id"].tolist() == drawn.points["id"].tolist()
    assert not {"stratum", "map_class", "weight", "inclusion_probability"} & set(sample.points)
    assert sample.points["label"].isna().all()
    np.testing.assert_allclose(sample.points["x"], drawn.points["x"])
    pd.testing.assert_series_equal(sample.key["weight"], drawn.points["weight"])
    with pytest.raises(LayerError, match="may hold readings"):
        write_sample(target, drawn.points, drawn.design)


def test_files_that_do_not_belong_together(path, tmp_path):
    one, other = (draw_sample(path, ask(seed=seed), RULES) for seed in (1, 2))
    write_sample(tmp_path / "one.csv", one.points, one.design)
    write_sample(tmp_path / "other.csv", other.points, other.design)
    with pytest.raises(LayerError, match="name its own key"):
        read_sample(tmp_path / "one.csv", key=tmp_path / "other.key.csv")
    with pytest.raises(ReadError, match="restore"):
        read_sample(tmp_path / "one.csv", design=tmp_path / "none.json")
    with pytest.raises(LayerError, match="suffix"):
        write_sample(tmp_path / "one.shp", one.points, one.design)


@pytest.mark.parametrize(
    "asked",
    [
        {"points": 20},
        {"points": 20_000},
        {"points": None},
        {"standard_error": 0.01},
        {"design": Design.TWO_STAGE},
        {"buffer_around": ("glacier",)},
        {"expected": {"glacier": 0.5}, "allocation": Allocation.NEYMAN},
    ],
)
def test_requests_that_contradict(path, asked):
    with pytest.raises(QuantityError, match="needed"):
        draw_sample(path, ask(**asked), RULES)


def test_maps_that_are_no_class_rasters(tmp_path):
    heights = np.ones(GRID.shape, np.float32)
    target = write_cog(tmp_path / "dem.tif", heights, GRID, nodata=None, band_names=["dem"])
    with pytest.raises(QuantityError, match="name a class raster"):
        draw_sample(target, ask(), RULES)
    with pytest.raises(ReadError, match="name one of the run's maps"):
        draw_sample(tmp_path / "none.tif", ask(), RULES)
    empty = write_cog(
        tmp_path / "empty.tif", np.zeros(GRID.shape, np.uint8), GRID, nodata=0, band_names=["c"]
    )
    with pytest.raises(QuantityError, match="without a single class"):
        draw_sample(empty, ask(), RULES)


def test_words_of_a_request():
    assert request_of(design="simple", seed=1, expect=["built=0.7"]).expected == {"built": 0.7}
    with pytest.raises(QuantityError, match="CLASS=SHARE"):
        request_of(design="simple", seed=1, expect=["built"])


def test_from_the_command_line(path, tmp_path):
    out = tmp_path / "points.gpkg"
    words = ["sample", str(path), "--n", "60", "--seed", "7", "--out", str(out)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "60 points" in result.output
    assert len(read_sample(out).points) == 60
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 1
    assert "there already" in again.output
