import itertools

import pytest

from rs_monitor import codes
from rs_monitor.codes import (
    CHANGE_STYLE,
    LAND_COVER_STYLE,
    MOTION_STYLE,
    NODATA,
    NOT_SEPARABLE,
    SLOPE_GRADE_STYLE,
    SLOPE_LIMIT_STYLE,
    Change,
    CodeSystem,
    LandCover,
    Motion,
    SlopeGrade,
    SlopeLimit,
    is_arable,
    land_cover_of,
    separable,
)

SURVEY3, GUIDE2023 = CodeSystem.SURVEY3, CodeSystem.GUIDE2023


def test_zero_is_no_class():
    assert NODATA == 0
    assert NODATA not in set(LandCover)
    assert NODATA not in LAND_COVER_STYLE
    assert Change.NOT_SEEN == NODATA
    assert NODATA not in CHANGE_STYLE


def test_classes_fit_a_byte():
    assert all(0 < value <= 254 for value in LandCover)


def test_every_class_has_a_style():
    assert set(LAND_COVER_STYLE) == set(LandCover)
    assert set(CHANGE_STYLE) == set(Change) - {Change.NOT_SEEN}


@pytest.mark.parametrize(
    ("style", "codes"),
    [
        (SLOPE_GRADE_STYLE, SlopeGrade),
        (SLOPE_LIMIT_STYLE, SlopeLimit),
        (MOTION_STYLE, Motion),
    ],
)
def test_terrain_styles_are_named_as_the_class(style, codes):
    named = {int(code): code.name.lower() for code in codes if code != NODATA}
    assert {code: one.name for code, one in style.items()} == named


@pytest.mark.parametrize(
    "styles",
    [LAND_COVER_STYLE, CHANGE_STYLE, SLOPE_GRADE_STYLE, SLOPE_LIMIT_STYLE, MOTION_STYLE],
)
def test_names_and_colours_tell_classes_apart(styles):
    for part in ("name", "zh", "rgb"):
        assert len({getattr(style, part) for style in styles.values()}) == len(styles)
    assert all(0 <= level <= 255 for style in styles.values() for level in style.rgb)


@pytest.mark.parametrize("cover", LandCover)
def test_styles_are_named_as_the_class(cover):
    assert LAND_COVER_STYLE[cover].name == cover.name.lower()


@pytest.mark.parametrize("change", set(Change) - {Change.NOT_SEEN})
def test_change_styles_are_named_as_the_class(change):
    assert CHANGE_STYLE[change].name == change.name.lower()


def test_values_are_those_of_stored_rasters():
    # changing one changes the meaning of every map written so far
    assert [cover.name for cover in sorted(LandCover)] == [
        *("PADDY", "UPLAND_CROP", "ORCHARD", "FOREST", "SHRUB", "GRASS", "WETLAND", "BUILT"),
        *("ROAD", "MINE", "WATER", "FACILITY_AGRI", "BARE"),
    ]
    assert sorted(LandCover) == list(range(1, 14))
    assert [change.name for change in sorted(Change)] == ["NOT_SEEN", "NO_CHANGE", "CHANGE"]


@pytest.mark.parametrize(
    ("code", "system", "expected"),
    [
        ("0101", SURVEY3, LandCover.PADDY),
        ("0102", SURVEY3, LandCover.UPLAND_CROP),
        ("0602", SURVEY3, LandCover.MINE),
        ("0602", GUIDE2023, LandCover.FACILITY_AGRI),  # the two systems collide
        ("1202", SURVEY3, LandCover.FACILITY_AGRI),
        ("1202", GUIDE2023, LandCover.ROAD),
        ("1104", SURVEY3, LandCover.WATER),
        ("1104A", SURVEY3, LandCover.WATER),
        ("0201K", SURVEY3, LandCover.ORCHARD),
        ("0301", GUIDE2023, LandCover.FOREST),  # by its first two digits
        ("0303", GUIDE2023, LandCover.SHRUB),
        ("070101", GUIDE2023, LandCover.BUILT),
        ("1203", SURVEY3, None),  # field ridges
        ("1201", SURVEY3, None),  # idle land
        ("9999", SURVEY3, None),
        ("", SURVEY3, None),
    ],
)
def test_crosswalk(code, system, expected):
    assert land_cover_of(code, system) is expected


@pytest.mark.parametrize("system", CodeSystem)
def test_arable_codes_are_cropland(system):
    for code in ("0101", "0102", "0103"):
        assert is_arable(code)
        assert land_cover_of(code, system) in codes.CROPLAND
    assert not is_arable("1001")
    assert not is_arable("0201")


def test_separable_is_symmetric_and_never_of_one_class():
    for one, other in itertools.product(LandCover, repeat=2):
        assert separable(one, other) == separable(other, one)
    assert not any(separable(cover, cover) for cover in LandCover)
    apart = {frozenset(p) for p in itertools.combinations(LandCover, 2) if not separable(*p)}
    assert apart == set(NOT_SEPARABLE)
    assert separable(LandCover.PADDY, LandCover.BUILT)


def test_groups_are_not_separable_inside():
    for group in (codes.CROPLAND, codes.WOODY, codes.SEALED):
        assert not any(separable(*pair) for pair in itertools.combinations(group, 2))


def test_both_code_systems_are_named():
    assert {system.value for system in CodeSystem} == {"survey3", "guide2023"}
