import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.authority.area import official_area_m2
from rs_monitor.codes import Change, LandCover
from rs_monitor.errors import GridMismatch, UnsuitableCRS
from rs_monitor.findings.detectability import DetectabilityRules
from rs_monitor.findings.patches import delineate
from rs_monitor.register.records import PATCH

LAW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SCENES = arrays(bool, (9, 11))


def mask(shape, *blocks):
    changed = np.zeros(shape, dtype=bool)
    for y0, y1, x0, x1 in blocks:
        changed[y0:y1, x0:x1] = True
    return changed


def test_one_square_is_one_patch_with_its_numbers(make_maps, detection, box):
    maps = make_maps(mask((8, 8), (2, 5, 3, 6)))
    row = delineate(maps, detection).iloc[0]
    assert row.geometry.equals(box(2, 5, 3, 6))
    assert row["n_px"] == 9
    assert row["area_m2"] == official_area_m2(box(2, 5, 3, 6), "EPSG:4548")
    assert row["perimeter_m"] == pytest.approx(120.0)
    assert row["elongation"] == pytest.approx(1.0)
    assert row["width_m"] == pytest.approx(2 * row["area_m2"] / 120.0)
    assert (row["kind"], row["class_before"], row["class_after"]) == (
        "unclassified",
        "unknown",
        "unknown",
    )
    assert (row["first_date"], row["last_date"]) == ("2024-03-01", "2025-02-20")
    assert row["scene_ids"] == "a;b"
    assert np.isnan(row["slope_deg"])


def test_pixels_that_touch_at_a_corner_are_one_patch_without_area_lost(make_maps, detection):
    maps = make_maps(mask((8, 8), (1, 3, 1, 3), (3, 5, 3, 5)))
    patches = delineate(maps, detection)
    assert len(patches) == 1
    assert patches.geometry.iloc[0].area == pytest.approx(800.0)
    assert patches.is_valid.all()


def test_a_ring_keeps_its_hole(make_maps, detection):
    changed = mask((8, 8), (1, 6, 1, 6))
    changed[3, 3] = False
    shape = delineate(make_maps(changed), detection).geometry.iloc[0]
    assert shape.area == pytest.approx(2400.0)
    assert len(shape.interiors) == 1


def test_measurability_follows_pixels_and_looks(make_maps, detection):
    maps = make_maps(mask((8, 20), (1, 4, 1, 4), (1, 3, 6, 8), (1, 2, 11, 14), (5, 8, 16, 19)))
    looks = maps.looks_before.copy()
    looks[5:8, 16:19] = 1
    patches = delineate(replace(maps, looks_before=looks), detection)
    found = {(row.n_px, row.looks_before): row.measurability for row in patches.itertuples()}
    assert found == {
        (9, 5): "measured",
        (4, 5): "detect_only",
        (3, 5): "cannot_decide",
        (9, 1): "cannot_decide",
    }


def test_looks_are_the_tenth_percentile(make_maps, detection):
    maps = make_maps(mask((8, 8), (0, 3, 0, 4)))
    looks = maps.looks_after.copy()
    looks[0:3, 0:4] = np.arange(12).reshape(3, 4)
    assert delineate(replace(maps, looks_after=looks), detection)["looks_after"].tolist() == [1]


def test_class_is_the_majority_weighted_by_confidence(make_maps, detection):
    changed = mask((8, 8), (0, 1, 0, 5))
    after = np.full((8, 8), LandCover.BARE, dtype=np.uint8)
    after[0, :2] = LandCover.BUILT
    sure = np.full((8, 8), 0.3, dtype=np.float32)
    sure[0, :2] = 0.9
    before = np.full((8, 8), LandCover.PADDY, dtype=np.uint8)
    maps = make_maps(
        changed,
        land_cover_before=before,
        land_cover_after=after,
        confidence_before=np.full((8, 8), 0.75, dtype=np.float32),
        confidence_after=sure,
    )
    row = delineate(maps, detection).iloc[0]
    assert (row["class_before"], row["class_after"]) == ("paddy", "built")
    assert row["prob_before"] == pytest.approx(0.75)
    assert row["prob_after"] == pytest.approx(2 * 0.9 / 5)


def test_two_large_transitions_that_touch_are_two_patches(make_maps, detection):
    changed = mask((8, 12), (2, 5, 1, 9))
    after = np.full((8, 12), LandCover.BARE, dtype=np.uint8)
    after[:, 5:] = LandCover.WATER
    before = np.full((8, 12), LandCover.FOREST, dtype=np.uint8)
    maps = make_maps(changed, land_cover_before=before, land_cover_after=after)
    patches = delineate(maps, detection)
    assert sorted(zip(patches["kind"], patches["n_px"], strict=True)) == [
        ("forest_clearing", 12),
        ("pond", 12),
    ]


def test_a_sliver_of_another_class_stays_with_its_group(make_maps, detection):
    changed = mask((8, 12), (2, 5, 1, 9))
    after = np.full((8, 12), LandCover.BARE, dtype=np.uint8)
    after[:, 7:] = LandCover.WATER
    maps = make_maps(changed, land_cover_before=after, land_cover_after=after)
    assert delineate(maps, detection)["n_px"].tolist() == [24]


def test_like_classes_never_part_a_group(make_maps, detection):
    changed = mask((8, 12), (2, 5, 1, 9))
    after = np.full((8, 12), LandCover.BUILT, dtype=np.uint8)
    after[:, 5:] = LandCover.ROAD
    maps = make_maps(changed, land_cover_before=after, land_cover_after=after)
    assert len(delineate(maps, detection)) == 1


def test_pixels_without_class_neither_vote_nor_part_a_group(make_maps, detection):
    changed = mask((8, 12), (2, 5, 1, 10))
    after = np.zeros((8, 12), dtype=np.uint8)
    after[:, :4] = LandCover.BUILT
    before = np.full((8, 12), LandCover.PADDY, dtype=np.uint8)
    maps = make_maps(changed, land_cover_before=before, land_cover_after=after)
    patches = delineate(maps, detection)
    assert patches[["n_px", "class_after"]].to_numpy().tolist() == [[27, "built"]]


def test_rows_are_ordered_by_area_then_id(make_maps, detection):
    maps = make_maps(mask((8, 20), (1, 3, 1, 3), (1, 3, 5, 7), (4, 8, 10, 14)))
    patches = delineate(maps, detection)
    assert patches["n_px"].tolist() == [16, 4, 4]
    same_area = patches[patches["area_m2"] == patches["area_m2"].min()]
    assert same_area["patch_id"].is_monotonic_increasing


def test_a_scene_without_change_gives_an_empty_record(make_maps, detection):
    patches = delineate(make_maps(mask((4, 4))), detection)
    assert len(patches) == 0
    assert list(patches.columns) == [*(column.name for column in PATCH), "geometry"]
    assert patches.crs == "EPSG:4548"


def test_not_seen_pixels_are_no_patch(make_maps, detection):
    maps = make_maps(mask((8, 8), (2, 5, 2, 5)))
    blank = np.full((8, 8), Change.NOT_SEEN, dtype=np.uint8)
    assert len(delineate(replace(maps, change=blank), detection)) == 0


def test_vectors_come_in_the_delivered_crs_with_the_same_ids(make_maps, detection):
    maps = make_maps(mask((8, 8), (2, 5, 2, 5)))
    here = delineate(maps, detection)
    there = delineate(replace(maps, vector_crs="EPSG:4490"), detection)
    assert there.crs == "EPSG:4490"
    assert there["patch_id"].tolist() == here["patch_id"].tolist()
    assert there["area_m2"].to_numpy() == pytest.approx(here["area_m2"].to_numpy(), rel=1e-5)


def test_maps_of_another_shape_are_refused(make_maps):
    with pytest.raises(GridMismatch, match=r"looks_before.*on its grid; load all maps"):
        make_maps(mask((4, 4)), looks_before=np.zeros((4, 5), dtype=np.uint16))


def test_a_grid_in_degrees_is_refused(make_maps):
    maps = make_maps(mask((4, 4)))
    degrees = type(maps.geobox)((4, 4), maps.geobox.affine, "EPSG:4490")
    with pytest.raises(UnsuitableCRS):
        replace(maps, geobox=degrees)


@LAW
@given(SCENES, st.integers(1, 12), st.integers(0, 5))
def test_raising_the_smallest_group_never_adds_a_patch(make_maps, detection, changed, least, more):
    after = np.where(np.arange(11) < 5, LandCover.BUILT, LandCover.WATER).astype(np.uint8)
    maps = make_maps(changed, land_cover_after=np.broadcast_to(after, (9, 11)))
    few = detection.model_copy(update={"min_patch_px": least, "min_reliable_px": 4})
    fewer = few.model_copy(update={"min_patch_px": least + more})
    assert len(delineate(maps, fewer)) <= len(delineate(maps, few))


@LAW
@given(SCENES)
def test_patches_hold_every_changed_pixel_once(make_maps, detection, changed):
    every = detection.model_copy(update={"min_patch_px": 1})
    patches = delineate(make_maps(changed), every)
    assert patches["n_px"].sum() == changed.sum()
    assert shapely.union_all(patches.geometry).area == pytest.approx(100.0 * changed.sum())
    assert patches["patch_id"].is_unique
    assert patches.is_valid.all()


@LAW
@given(SCENES)
def test_renaming_the_zone_changes_nothing_but_ids(make_maps, detection, changed):
    maps = make_maps(changed)
    one = delineate(maps, detection)
    other = delineate(replace(maps, zone_id="Z2"), detection)
    assert not set(one["patch_id"]) & set(other["patch_id"])
    assert set(other["zone_id"]) <= {"Z2"}
    unnamed = [
        sorted(frame.drop(columns=["zone_id", "patch_id"]).to_csv(index=False).splitlines())
        for frame in (one, other)
    ]
    assert unnamed[0] == unnamed[1]


@LAW
@given(SCENES)
def test_a_scene_seen_upside_down_has_the_same_patches(make_maps, detection, changed):
    one = delineate(make_maps(changed), detection)
    other = delineate(make_maps(changed[::-1, ::-1]), detection)
    assert sorted(one["n_px"]) == sorted(other["n_px"])


def test_change_window_is_what_was_seen_of_the_patch(make_maps, detection):
    before, after = np.full((2, 8, 8), np.nan, dtype=np.float32)
    before[:] = dt.date(2024, 10, 18).toordinal()
    after[:] = dt.date(2025, 3, 5).toordinal()
    before[2, 3] = dt.date(2024, 9, 1).toordinal()
    after[4, 5] = dt.date(2025, 4, 9).toordinal()
    maps = make_maps(mask((8, 8), (2, 5, 3, 6)))
    seen = replace(maps, middle_look_before=before, middle_look_after=after)
    row = delineate(seen, detection).iloc[0]
    assert (row["first_date"], row["last_date"]) == ("2024-09-01", "2025-04-09")


def test_half_a_day_widens_the_change_window(make_maps, detection):
    before = np.full((8, 8), dt.date(2024, 9, 1).toordinal() + 0.5, dtype=np.float32)
    after = np.full((8, 8), dt.date(2025, 4, 9).toordinal() - 0.5, dtype=np.float32)
    maps = make_maps(mask((8, 8), (2, 5, 3, 6)))
    seen = replace(maps, middle_look_before=before, middle_look_after=after)
    row = delineate(seen, detection).iloc[0]
    assert (row["first_date"], row["last_date"]) == ("2024-09-01", "2025-04-09")


def test_ground_without_a_middle_look_has_the_window_of_the_zone(make_maps, detection):
    maps = make_maps(mask((8, 8), (2, 5, 3, 6)))
    days = np.full((8, 8), dt.date(2024, 10, 1).toordinal(), dtype=np.float32)
    days[2, 3] = np.nan
    seen = replace(maps, middle_look_before=days, middle_look_after=days)
    row = delineate(seen, detection).iloc[0]
    assert row["first_date"] == maps.first_date.isoformat()
    assert row["last_date"] == maps.last_date.isoformat()


def test_what_is_not_measured_of_a_patch_is_said_so(make_maps, detection):
    row = delineate(make_maps(mask((8, 8), (2, 5, 3, 6))), detection).iloc[0]
    assert row["last_look"] == ""
    assert np.isnan(row[["doubtful_fraction", "shift_m", "shift_fraction"]].astype(float)).all()


def test_last_look_is_the_tenth_percentile_of_the_days_known(make_maps, detection):
    maps = make_maps(mask((8, 8), (0, 3, 0, 4), (5, 8, 5, 8)))
    looks = np.full((8, 8), np.nan, dtype=np.float32)
    looks[0:3, 0:4] = dt.date(2025, 3, 1).toordinal() + np.arange(12).reshape(3, 4)
    looks[2, 3] = np.nan
    rows = delineate(replace(maps, last_look_after=looks), detection).set_index("n_px")
    assert rows["last_look"].to_dict() == {12: "2025-03-02", 9: ""}


@pytest.mark.parametrize("dtype", ["bool", "float32"])
def test_doubtful_share_of_a_patch(make_maps, detection, dtype):
    doubtful = np.zeros((8, 8), dtype=dtype)
    doubtful[2, :] = 1
    maps = make_maps(mask((8, 8), (2, 5, 3, 6)), doubtful=doubtful)
    assert delineate(maps, detection)["doubtful_fraction"].tolist() == pytest.approx([1 / 3])


SHIFT = DetectabilityRules(max_shift_fraction=0.5, artefact_shift_fraction=0.95)


def test_slivers_a_shift_could_make_are_not_strong(make_maps, detection):
    sliver, strip, block = (1, 2, 1, 19), (12, 14, 1, 19), (4, 11, 4, 11)
    maps = make_maps(mask((16, 20), sliver, strip, block), shift_m=5.0)
    rows = delineate(maps, detection, SHIFT).set_index("n_px")
    words = {18: "cannot_decide", 36: "detect_only", 49: "measured"}
    assert rows["measurability"].to_dict() == words
    assert rows.loc[49, "shift_fraction"] == pytest.approx(1 - 60**2 / 70**2)
    assert set(rows["shift_m"]) == {5.0}
    assert set(delineate(maps, detection)["measurability"]) == {"measured"}
    unshifted = delineate(replace(maps, shift_m=None), detection, SHIFT)
    assert set(unshifted["measurability"]) == {"measured"}


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_a_shift_asked_for_and_not_found_is_not_none(make_maps, detection, unknown):
    maps = make_maps(mask((16, 20), (4, 11, 4, 11)), registration_asked=True)
    found = delineate(replace(maps, shift_m=unknown), detection, SHIFT)
    assert found["measurability"].tolist() == ["detect_only"]
    assert delineate(replace(maps, shift_m=0.0), detection, SHIFT)["measurability"][0] == "measured"


def test_maps_of_looks_must_lie_on_the_grid(make_maps):
    with pytest.raises(GridMismatch, match="last_look_after"):
        make_maps(mask((4, 4)), last_look_after=np.zeros((4, 5), dtype=np.float32))
