import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rs_monitor.maps.fragments import merge_fragments, part_regions, split_strips
from tests.comparison import assert_close


def codes(*rows):
    return np.array([[int(c) for c in row] for row in rows], np.uint8)


def merged(grid, min_cells, merge):
    regions = part_regions(grid)
    cells = np.bincount(regions.labels.ravel())[1:].astype(float)
    return merge_fragments(regions, cells, min_cells, merge)


def assert_codes(got, *rows):
    assert_close(got, codes(*rows), atol=0)


def test_regions_touch_along_edges_and_count_by_rows():
    regions = part_regions(codes("1102", "0122", "2001"))
    assert_close(
        regions.labels, np.array([[1, 1, 0, 2], [0, 1, 2, 2], [3, 0, 0, 4]], np.int32), atol=0
    )
    assert regions.codes.tolist() == [1, 2, 2, 1]


def test_a_fragment_goes_to_the_nearest_lower_grade():
    # grades 2 and 1 are lower; 4 shares the longest border and is the largest
    grid = codes("111222", "111322", "444444", "444444")
    assert_codes(merged(grid, 2, "towards_lower"), "111222", "111222", "444444", "444444")
    assert_codes(merged(grid, 2, "largest_neighbour"), "111222", "111422", "444444", "444444")
    assert_codes(merged(grid, 2, "none"), "111222", "111322", "444444", "444444")


def test_without_a_lower_grade_the_nearest_higher_one_takes_it():
    grid = codes("555333", "551333", "555333")
    assert_codes(merged(grid, 2, "towards_lower"), "555333", "553333", "555333")


def test_the_largest_neighbour_by_area_then_border_then_row():
    grid = codes("5555", "1302", "1332", "1302", "5555")
    assert_codes(merged(grid, 4.5, "largest_neighbour")[1:4], "3303", "3333", "3303")
    # grades 1 and 4 are of equal area; 4 shares two edges with the fragment
    grid = codes("1144", "1344", "1100")
    assert merged(grid, 2, "largest_neighbour")[1].tolist() == [1, 1, 4, 4]
    assert merged(codes("030", "132"), 2, "largest_neighbour")[0, 1] == 3


def test_a_merged_fragment_joins_all_ground_of_its_new_grade():
    # the fragment between two regions of two cells: together five, none is small any more
    grid = codes("22322", "55111", "55111")
    assert_codes(merged(grid, 3, "towards_lower"), "22222", "55111", "55111")


def test_smallest_first_decides_what_is_left():
    # the single 4 goes to 3 first; the 3s are then three cells and stay
    grid = codes("111111", "334111", "111111")
    assert_codes(merged(grid, 3, "towards_lower"), "111111", "333111", "111111")
    # 3 first, upwards: beside it lies no lower ground; then it is 4 and two cells, and small still
    grid = codes("555555", "534555", "555555")
    assert_codes(merged(grid, 3, "towards_lower"), "555555", "555555", "555555")


def test_an_isolated_fragment_stays():
    grid = codes("1011", "0011", "4000")
    assert_codes(merged(grid, 3, "towards_lower"), "1011", "0011", "4000")


grids = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 5)
)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    grids,
    st.sampled_from([1.5, 2.5, 4.5, 9.5]),
    st.sampled_from(["towards_lower", "largest_neighbour"]),
)
def test_merging_keeps_the_ground_and_leaves_no_fragment(grid, min_cells, merge):
    result = merged(grid, min_cells, merge)
    assert ((result == 0) == (grid == 0)).all()
    regions = part_regions(result)
    whole = part_regions((grid > 0).astype(np.uint8)).labels
    cells = np.bincount(regions.labels.ravel())
    for label in range(1, cells.size):
        inside = regions.labels == label
        isolated = cells[label] == (whole == whole[inside][0]).sum()
        assert cells[label] >= min_cells or isolated
    # doing it again changes nothing; every region keeps a grade that was there
    assert_close(merged(result, min_cells, merge), result, atol=0)
    assert set(np.unique(result)) <= set(np.unique(grid))
    assert_close(merged(grid[::-1][::-1].copy(), min_cells, merge), result, atol=0)


def test_a_strip_is_split_evenly_between_its_sides():
    split, any_strip = split_strips(codes("1111", "1111", "3333", "5555", "5555"))
    assert any_strip
    assert_codes(split, *["11111111"] * 5, *["55555555"] * 5)


@pytest.mark.parametrize("beside", ["0000", ""])
def test_ground_cut_off_by_the_rim_is_no_strip(beside):
    grid = codes(*([beside] if beside else []), "3333", "5555", "5555")
    same, any_strip = split_strips(grid)
    assert not any_strip
    assert same is grid


def test_a_bent_strip_goes_to_the_nearer_side():
    split, _ = split_strips(codes("1113555", "1113555", "1113333", "1111111", "1111111"))
    assert sorted(np.unique(split)) == [1, 5]
    assert (split[:, :6] == 1).all()
    assert (split[:4, 8:] == 5).all()
    # of 24 half cells: 4 beside the standing arm, 6 above the lying one, 1 inside the bend
    assert (split == 5).sum() - 4 * 6 == 11


@pytest.mark.parametrize(
    "grid", [codes("1111", "1331", "1331", "1111"), codes("313", "111", "313")]
)
def test_blocks_and_single_cells_are_no_strips(grid):
    same, any_strip = split_strips(grid)
    assert not any_strip
    assert same is grid
