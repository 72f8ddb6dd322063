import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.codes import SlopeGrade
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError, UnsuitableCRS
from rs_monitor.grid import zone_geobox
from rs_monitor.maps.slope_grades import (
    grade_polygons,
    patch_grade_by_overlap,
    patch_mean_slope,
    slope_grade,
)
from rs_monitor.maps.terrain_rules import TerrainRules
from tests.comparison import assert_close

RULE_FILES = data_root() / "configs" / "rules"
RULES = load_table(RULE_FILES / "terrain.toml", TerrainRules).grades
CRS = "EPSG:4548"


def grid(rows, cols, cell_m=10):
    return zone_geobox(
        (500000, 3500000, 500000 + cols * cell_m, 3500000 + rows * cell_m), CRS, cell_m
    )


def degrees(*rows):
    values = np.array(rows, np.float32)
    return xr.DataArray(
        values, dims=("y", "x"), coords=xr_coords(grid(*values.shape), dims=("y", "x"))
    )


def under(area_m2):
    """The rules with another smallest area at 1:10 000."""
    fewer = RULES.min_map_mm2.model_copy(update={"value": area_m2 / 100})
    return RULES.model_copy(update={"min_map_mm2": fewer})


def boxes(*bounds):
    return gpd.GeoDataFrame(geometry=[shapely.box(*b) for b in bounds], crs=CRS)


def test_each_upper_limit_belongs_to_its_grade():
    just_above = [np.nextafter(np.float32(v), np.float32(90)) for v in (2, 6, 15, 25)]
    found = slope_grade(degrees([0, 2, 6, 15, 25], [np.nan, *just_above]), RULES)
    assert_close(found.values, np.array([[1, 1, 2, 3, 4], [0, 2, 3, 4, 5]], np.uint8), atol=0)
    assert found.attrs["flag_values"] == [1, 2, 3, 4, 5] == [int(g) for g in SlopeGrade]
    assert found.attrs["clause"] == "B10"


def test_a_rise_in_percent_is_refused():
    with pytest.raises(QuantityError, match="grades need degrees"):
        slope_grade(degrees([1.0]).assign_attrs(units="percent"), RULES)


def test_negative_slopes_are_unknown_and_whole_numbers_no_slopes():
    found = slope_grade(degrees([-9999, -1e-3, 0]), RULES)
    assert found.values.tolist() == [[0, 0, 1]]
    with pytest.raises(QuantityError, match="got slopes as uint8"):
        slope_grade(degrees([255]).astype("uint8"), RULES)
    with pytest.raises(QuantityError, match="got slopes as int16"):
        patch_mean_slope(boxes(), degrees([-9999]).astype("int16"), grid(1, 1))


def test_claims_are_graded_by_the_limits_of_the_map():
    claims = load_table(RULE_FILES / "acceptance-guide-2024.toml", AcceptanceRules)
    assert claims.slp_01.grade_limits.values == RULES.limits_deg.values


def test_thirty_square_millimetres_at_ten_thousand_are_3000_m2():
    assert RULES.min_area_m2 == pytest.approx(3000)
    small_scale = RULES.map_scale.model_copy(update={"value": 50000})
    assert RULES.model_copy(update={"map_scale": small_scale}).min_area_m2 == pytest.approx(75000)


def test_polygons_of_a_grid_counted_by_hand():
    grades = np.array([[1, 1, 2], [1, 0, 2], [3, 2, 2]], np.uint8)
    plain = grade_polygons(grades, grid(3, 3), merge="none", rules=under(150))
    assert plain["grade"].tolist() == [1, 2, 3]
    assert plain["area_m2"].tolist() == pytest.approx([300, 400, 100], abs=0.03)
    assert plain["fragment"].tolist() == [False, False, True]
    assert plain.crs == CRS
    merged = grade_polygons(grades, grid(3, 3), merge="towards_lower", rules=under(150))
    assert merged["grade"].tolist() == [1, 2]
    assert merged["area_m2"].tolist() == pytest.approx(
        [
            300,
            500 - 0,
        ],
        abs=0.03,
    )


def test_hole_and_corner():
    grades = np.array([[2, 2, 2, 0], [2, 4, 2, 0], [2, 2, 2, 0], [0, 0, 0, 2]], np.uint8)
    found = grade_polygons(grades, grid(4, 4), merge="none", rules=RULES)
    assert found["grade"].tolist() == [2, 4, 2]
    assert found["area_m2"].tolist() == pytest.approx([800, 100, 100], abs=0.03)
    assert found.geometry.is_valid.all()
    assert found.geometry[0].equals(
        shapely.box(500000, 3500010, 500030, 3500040) - found.geometry[1]
    )


def test_a_strip_ends_on_half_cells():
    grades = np.repeat(np.array([1, 1, 3, 5, 5], np.uint8)[:, np.newaxis], 40, axis=1)
    found = grade_polygons(grades, grid(5, 40), merge="towards_lower", rules=RULES)
    assert found["grade"].tolist() == [1, 5]
    assert found["area_m2"].tolist() == pytest.approx([10000, 10000], abs=0.05)
    assert found.geometry[0].bounds == (500000, 3500025, 500400, 3500050)


rasters = hnp.arrays(
    np.uint8, st.tuples(st.integers(2, 7), st.integers(2, 7)), elements=st.integers(0, 5)
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    rasters,
    st.sampled_from([150, 250, 450]),
    st.sampled_from(["towards_lower", "largest_neighbour"]),
)
def test_merging_keeps_the_area(grades, min_area_m2, merge):
    geobox = grid(*grades.shape)
    before = grade_polygons(grades, geobox, merge="none", rules=under(min_area_m2))
    after = grade_polygons(grades, geobox, merge=merge, rules=under(min_area_m2))
    assert after["area_m2"].sum() == pytest.approx(before["area_m2"].sum(), abs=1.0)
    ground = shapely.union_all(before.geometry.array)
    assert shapely.union_all(after.geometry.array).equals(ground)
    assert (after.geometry.area.sum()) == pytest.approx(ground.area)
    for _, row in after[after["fragment"]].iterrows():
        others = after.geometry[after.geometry != row.geometry]
        assert shapely.intersection(row.geometry, shapely.union_all(others.array)).length == 0


def test_other_grids_and_grids_without_crs_are_refused():
    with pytest.raises(GridMismatch, match="got grades of shape"):
        grade_polygons(np.ones((2, 2), np.uint8), grid(3, 3), merge="none", rules=RULES)
    nowhere = GeoBox((2, 2), Affine(10, 0, 0, 0, -10, 0), None)
    with pytest.raises(MissingCRS):
        grade_polygons(np.ones((2, 2), np.uint8), nowhere, merge="none", rules=RULES)


def test_grade_by_overlap_and_mean_slope_are_two_measures():
    # six cells of 5 degrees and four of 30: grade 2 by area, a mean of 15 would be grade 3
    slope = degrees([5] * 5, [5, 30, 30, 30, 30])
    geobox = grid(2, 5)
    grades = grade_polygons(slope_grade(slope, RULES), geobox, merge="none", rules=RULES)
    patch = boxes((500000, 3500000, 500050, 3500020))
    by_overlap = patch_grade_by_overlap(patch, grades).iloc[0]
    assert by_overlap["slope_grade"] == 2
    assert by_overlap["grade_share"] == pytest.approx(0.6, abs=1e-4)
    mean = patch_mean_slope(patch, slope, geobox).iloc[0]
    assert mean["slope_mean_deg"] == pytest.approx(15.0)
    assert slope_grade(degrees([mean["slope_mean_deg"]]), RULES).item() == 3


def test_parts_of_cells_weigh_by_their_area():
    slope = degrees([4, 8, np.nan])
    patches = boxes((500005, 3500000, 500020, 3500010), (500015, 3500000, 500030, 3500010))
    patches.index = ["a", "b"]
    found = patch_mean_slope(patches, slope, grid(1, 3))
    assert found.index.tolist() == ["a", "b"]
    assert found["slope_mean_deg"].tolist() == pytest.approx([20 / 3, 8])
    assert found["unknown_share"].tolist() == pytest.approx([0, 2 / 3])


def test_unknown_ground_is_reported_never_filled():
    patches = boxes((500000, 3500000, 500010, 3500010), (500020, 3500000, 500040, 3500010))
    slope = degrees([np.nan, 3, 3])
    found = patch_mean_slope(patches, slope, grid(1, 3))
    assert np.isnan(found["slope_mean_deg"][0])
    # the second leaves the raster by half
    assert found["unknown_share"].tolist() == pytest.approx([1, 0.5])
    grades = grade_polygons(slope_grade(slope, RULES), grid(1, 3), merge="none", rules=RULES)
    overlap = patch_grade_by_overlap(patches, grades)
    assert overlap["slope_grade"].tolist() == [0, 2]
    assert overlap["unknown_share"].tolist() == pytest.approx([1, 0.5], abs=1e-4)


def test_equal_overlaps_go_to_the_lower_grade():
    grades = boxes((500010, 3500000, 500020, 3500010), (500000, 3500000, 500010, 3500010))
    grades["grade"] = [3, 5]
    patch = boxes((500000, 3500000, 500020, 3500010))
    assert patch_grade_by_overlap(patch, grades)["slope_grade"].tolist() == [3]
    # the steeper one larger by 0.04 m2, which is rounding
    wider = boxes((500010.002, 3500000, 500020, 3500010), (500000, 3500000, 500010.002, 3500010))
    assert patch_grade_by_overlap(patch, wider.assign(grade=[3, 5]))["slope_grade"].tolist() == [3]
    lonlat = grades.to_crs("EPSG:4490")
    assert patch_grade_by_overlap(patch, lonlat)["slope_grade"].tolist() == [3]


@pytest.mark.parametrize("strange", [6, -1, 2.5, np.nan, "2"])
def test_codes_that_are_no_grades_are_refused(strange):
    patches = boxes((500000, 3500000, 500010, 3500010), (500010, 3500000, 500020, 3500010))
    with pytest.raises(QuantityError, match="got slope grades"):
        patch_grade_by_overlap(patches, patches.assign(grade=[1, strange]))


def test_ground_of_grade_0_is_unknown():
    patches = boxes((500000, 3500000, 500010, 3500010), (500010, 3500000, 500020, 3500010))
    layer = boxes(
        (500000, 3500000, 500010, 3500010),
        (500010, 3500000, 500020, 3500006),
        (500010, 3500006, 500020, 3500010),
    ).assign(grade=[2.0, 0.0, 3.0])
    found = patch_grade_by_overlap(patches, layer)
    assert found["slope_grade"].tolist() == [2, 3]
    assert found["unknown_share"].tolist() == pytest.approx([0, 0.6], abs=1e-4)
    assert found["overlap_5_m2"].tolist() == [0, 0]


def test_a_sliver_keeps_its_grade():
    patch = boxes((500000, 3500000, 500010, 3500010))
    sliver = boxes((500009.995, 3500000, 500020, 3500010)).assign(grade=5)
    found = patch_grade_by_overlap(patch, sliver)
    assert 0 < found["overlap_5_m2"].item() < 0.1
    assert found["slope_grade"].item() == 5


def test_layers_without_crs_and_grids_in_degrees_are_refused():
    patch = boxes((500000, 3500000, 500010, 3500010))
    nowhere = gpd.GeoDataFrame(geometry=list(patch.geometry))
    with pytest.raises(MissingCRS):
        patch_grade_by_overlap(nowhere, patch.assign(grade=1))
    with pytest.raises(MissingCRS):
        patch_mean_slope(nowhere, degrees([1, 2]), grid(1, 2))
    with pytest.raises(GridMismatch):
        patch_mean_slope(patch, degrees([1, 2]), grid(2, 2))
    arc = GeoBox((1, 2), Affine(1e-4, 0, 117, 0, -1e-4, 31), "EPSG:4490")
    with pytest.raises(UnsuitableCRS):
        patch_mean_slope(patch, degrees([1, 2]), arc)


def test_no_patches_give_an_empty_table():
    patches = boxes((500000, 3500000, 500010, 3500010))[:0]
    assert isinstance(
        patch_grade_by_overlap(patches, boxes((0, 0, 1, 1)).assign(grade=1)), pd.DataFrame
    )
    assert patch_mean_slope(patches, degrees([1.0]), grid(1, 1)).empty


def test_nothing_known_gives_no_polygon():
    found = grade_polygons(
        np.zeros((3, 4), np.uint8), grid(3, 4), merge="towards_lower", rules=RULES
    )
    assert found.empty
    assert found.crs == CRS
