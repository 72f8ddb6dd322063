import json
from dataclasses import replace
from pathlib import Path

import pytest

from rs_monitor.errors import ConfigError
from rs_monitor.imagery.catalog import SceneItem, normalise_item
from rs_monitor.imagery.levels import Level, check_levels, level_of

ITEMS = Path(__file__).parent / "items"
L1C, L2A = "synthetic_cdse_l1c", "synthetic_cdse_l2a"


def item(name):
    raw = json.loads((ITEMS / f"{name}.json").read_text())
    found = normalise_item(raw, base_href="https://example.org/item.json")
    return SceneItem.from_dict(json.loads(json.dumps(found.to_dict())))


@pytest.mark.parametrize(
    ("name", "level"),
    [
        (L1C, Level.TOA),
        (L2A, Level.SURFACE),
        ("synthetic_s2_l1c_0510_offset_silent", Level.TOA),
        ("synthetic_usgs_landsat8_c2l1", Level.TOA),
        ("synthetic_pc_landsat9_c2l2", Level.SURFACE),
        ("synthetic_pc_hls_l30", Level.SURFACE),
        ("synthetic_pc_hls_s30", Level.SURFACE),
        ("synthetic_pc_modis_13q1", Level.SURFACE),
        ("synthetic_dea_s2_ard", Level.SURFACE),
        ("synthetic_generic_gf2_pms", Level.UNKNOWN),
        ("synthetic_generic_reflectance", Level.UNKNOWN),
    ],
)
def test_the_level_outlives_the_plan(name, level):
    assert level_of(item(name)) is level


@pytest.mark.parametrize(
    ("platform", "identity", "collection", "level"),
    [
        ("sentinel-2a", "S2A_39QTA_20230628_0_L2A", "", Level.SURFACE),
        ("sentinel-2a", "any", "sentinel-2-l1c", Level.TOA),
        ("sentinel-2a", "any", "sentinel-s2-l2a-cogs", Level.SURFACE),
        ("sentinel-2a", "any", "sentinel-2", Level.UNKNOWN),
        ("landsat-8", "any", "landsat-c2l2-sr", Level.SURFACE),
        ("landsat-8", "any", "landsat-8-l1-c1", Level.TOA),
        ("landsat-7", "LE07_L2SP_119038_20010101_20200101_01_T1", "", Level.SURFACE),
        ("gf1", "GF1_WFV3_E118.0_N31.0_20200501_L1A0004769999", "gaofen-l1", Level.UNKNOWN),
    ],
)
def test_the_level_of_names(platform, identity, collection, level):
    plain = item("synthetic_generic_reflectance")
    named = replace(plain, platform=platform, id=identity, collection=collection, properties={})
    assert level_of(named) is level


def test_levels_are_never_mixed():
    with pytest.raises(ConfigError) as raised:
        check_levels([item(L1C), item(L2A), item(L2A)], harmonise="sentinel2")
    mixed, bent = raised.value.problems
    assert mixed.startswith("got scenes of several levels (2 surface, 1 toa) in ")
    assert "(toa: 1)" in mixed
    assert "catalog.collections" in mixed
    assert "harmonise = 'sentinel2' were fitted" in bent
    assert check_levels([item(L2A)], harmonise="sentinel2") == []


def test_top_of_atmosphere_alone_is_told():
    (warning,) = check_levels([item(L1C)])
    assert warning.startswith("got top-of-atmosphere reflectance (1 toa)")
    assert "light" in check_levels([item(L1C)], illumination="scs_c")[0]
    with pytest.raises(ConfigError, match="needed surface reflectance, to which the lines"):
        check_levels([item(L1C)], harmonise="sentinel2")


def test_scenes_that_do_not_say_are_told_beside_others():
    generic = item("synthetic_generic_reflectance")
    assert check_levels([generic]) == []
    (warning,) = check_levels([generic, item(L2A)])
    assert warning.startswith("got scenes that do not say their level (1 surface, 1 unknown)")
    assert check_levels([generic], harmonise="sentinel2")
