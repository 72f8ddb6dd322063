import pytest

from rs_monitor.codes import ChangeKind, LandCover
from rs_monitor.findings.kinds import change_kind

L = LandCover


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (L.UPLAND_CROP, L.BUILT, "building"),
        (L.PADDY, L.ROAD, "building"),
        (L.BARE, L.BUILT, "building"),
        (L.PADDY, L.WATER, "pond"),
        (L.BUILT, L.WETLAND, "pond"),
        (L.UPLAND_CROP, L.ORCHARD, "orchard"),
        (L.UPLAND_CROP, L.FACILITY_AGRI, "greenhouse"),
        (L.FOREST, L.MINE, "mine"),
        (L.UPLAND_CROP, L.BARE, "earthwork"),
        (L.GRASS, L.BARE, "earthwork"),
        (L.WATER, L.BARE, "earthwork"),
        (L.FOREST, L.BARE, "forest_clearing"),
        (L.SHRUB, L.UPLAND_CROP, "forest_clearing"),
        (L.FOREST, L.GRASS, "forest_clearing"),
        (L.PADDY, L.GRASS, "abandonment"),
        (L.UPLAND_CROP, L.SHRUB, "abandonment"),
        (L.GRASS, L.PADDY, "new_arable"),
        (L.MINE, L.UPLAND_CROP, "new_arable"),
        (L.BUILT, L.UPLAND_CROP, "new_arable"),
        (L.BARE, L.MINE, "other"),
        (L.MINE, L.BARE, "other"),
        (L.BUILT, L.BARE, "other"),
        (L.PADDY, L.UPLAND_CROP, "other"),
        (L.FOREST, L.FOREST, "other"),
        (L.WATER, L.WETLAND, "other"),
        (None, L.BUILT, "unclassified"),
        (L.PADDY, None, "unclassified"),
    ],
)
def test_kind_of_a_wide_patch(detection, before, after, kind):
    got = change_kind(before, after, width_m=60.0, elongation=2.0, rules=detection)
    assert got == kind


@pytest.mark.parametrize(
    ("width_m", "elongation", "kind"),
    [(25.0, 4.0, "road"), (25.1, 4.0, "building"), (25.0, 3.9, "building")],
)
def test_sealed_ground_is_a_road_only_when_narrow_and_long(detection, width_m, elongation, kind):
    got = change_kind(
        L.UPLAND_CROP, L.BUILT, width_m=width_m, elongation=elongation, rules=detection
    )
    assert got == kind


def test_a_narrow_pond_is_no_road(detection):
    got = change_kind(L.PADDY, L.WATER, width_m=10.0, elongation=20.0, rules=detection)
    assert got is ChangeKind.POND


@pytest.mark.parametrize("before", L)
@pytest.mark.parametrize("after", L)
def test_every_pair_of_classes_has_a_kind(detection, before, after):
    got = change_kind(before, after, width_m=60.0, elongation=2.0, rules=detection)
    assert got in set(ChangeKind) - {ChangeKind.UNCLASSIFIED, ChangeKind.ROAD}
