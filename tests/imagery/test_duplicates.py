from dataclasses import replace

import pytest

from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.duplicates import choose_versions

TILE = "T50RLV"


def sentinel(make, baseline, generated, *, tile=TILE, level="L2A", seconds=31, **more):
    version = baseline.replace(".", "")
    identity = f"S2A_MSI{level}_20240501T025031_N{version}_R032_{tile}_{generated}"
    when = f"2024-05-01T02:50:{seconds:02d}Z"
    return scene(make, identity, when=when, **more)


def scene(make, identity, **more):
    asset = {"red": {"href": "/x/red.tif", "dtype": "uint16", "nodata": 0}}
    return normalise_item(make.item(identity, asset, **more))


def kept(*items):
    found, superseded = choose_versions(items)
    assert len(found) + len(superseded) == len(items)
    assert choose_versions(reversed(items)) == (found, superseded)
    return [item.id for item in found], superseded


def test_the_highest_baseline_is_kept_however_old(make):
    old = sentinel(make, "02.14", "20250101T000000")
    new = sentinel(make, "05.10", "20240601T000000", seconds=33)
    ids, superseded = kept(old, new)
    assert ids == [new.id]
    assert [(r.item_id, r.reason) for r in superseded] == [
        (old.id, f"superseded by {new.id} (05.10 over 02.14): the same acquisition")
    ]


def test_a_stated_baseline_counts_before_the_name(make):
    named = sentinel(make, "05.00", "20240601T000000")
    stated = sentinel(make, "04.00", "20240501T000000")
    stated = replace(stated, properties={**stated.properties, "s2:processing_baseline": "05.11"})
    assert kept(named, stated)[0] == [stated.id]


def test_then_the_latest_generation_then_the_last_id(make):
    first = sentinel(make, "05.10", "20240501T050000")
    second = sentinel(make, "05.10", "20240601T000000")
    assert kept(first, second)[0] == [second.id]
    earth_search = [scene(make, f"S2A_50RLV_20240501_{k}_L2A") for k in (0, 1, 2)]
    ids, superseded = kept(*earth_search)
    assert ids == ["S2A_50RLV_20240501_2_L2A"]
    assert {r.item_id for r in superseded} == {
        "S2A_50RLV_20240501_0_L2A",
        "S2A_50RLV_20240501_1_L2A",
    }


def test_surface_reflectance_supersedes_top_of_atmosphere(make):
    toa = sentinel(make, "05.11", "20240601T000000", level="L1C")
    boa = sentinel(make, "05.00", "20240501T000000")
    assert kept(toa, boa)[0] == [boa.id]


def test_landsat_collection_and_processing_date(make):
    names = [
        "LC08_L1TP_119038_20240501_20240502_02_RT",
        "LC08_L1TP_119038_20240501_20240510_02_T1",
        "LC08_L1TP_119038_20240501_20240801_01_T1",
    ]
    items = [scene(make, name, platform="landsat-8") for name in names]
    assert kept(*items)[0] == [names[1]]


@pytest.mark.parametrize(
    "other",
    [
        {"tile": "T50RMV"},  # overlap of two tiles
        {"tile": "T51RTQ", "crs": "EPSG:32651"},  # overlap of two zones
        {"platform": "sentinel-2b"},
        {"when": "2024-05-01T04:29:00Z"},  # next orbit
        {"left": 500_400.0},  # the other half of a tile cut between two data strips
    ],
)
def test_other_acquisitions_are_kept(make, other):
    tile, when = other.pop("tile", TILE), other.pop("when", "2024-05-01T02:50:31Z")
    one = sentinel(make, "05.10", "20240501T050000")
    two = scene(make, f"S2A_MSIL2A_x_N0509_R032_{tile}_20240501T060000", when=when, **other)
    ids, superseded = kept(one, two)
    assert set(ids) == {one.id, two.id}
    assert superseded == ()


def test_scenes_without_a_tile_are_compared_by_their_grid(make):
    raw, again, beside = (
        scene(make, "drone-a", platform="uav"),
        scene(make, "drone-b", platform="uav"),
        scene(make, "drone-c", platform="uav", left=500_010.0),
    )
    ids, superseded = kept(raw, again, beside)
    assert set(ids) == {"drone-b", "drone-c"}
    assert superseded[0].reason == "superseded by drone-b: the same acquisition"


def test_tiles_of_one_digit_zones_agree_with_and_without_the_zero(make):
    padded = scene(make, "a", **{"s2:mgrs_tile": "06VVN"})
    padded = replace(padded, properties={**padded.properties, "s2:mgrs_tile": "06VVN"})
    bare = scene(make, "S2A_6VVN_20240501_0_L2A")
    assert kept(padded, bare)[0] == [bare.id]


@pytest.mark.parametrize("precision", ["day", "unknown"])
def test_two_flights_of_a_day_are_two_looks(make, precision):
    known = {"rs_monitor:datetime_precision": precision}
    flights = [scene(make, f"uav_20240501_{k}", platform="uav", **known) for k in ("am", "pm")]
    assert [f.properties["rs_monitor:datetime_precision"] for f in flights] == [precision] * 2
    assert kept(*flights) == ([f.id for f in flights], ())


@pytest.mark.parametrize(
    ("older", "newer", "platform"),
    [
        (
            "LC08_L2SP_119038_20240501_20240510_02_T1",
            "LC08_L2SP_119038_20240501_20240801_02_T1",
            "landsat-8",
        ),
        (
            "MOD13Q1.A2024113.h28v05.006.2024130000000",
            "MOD13Q1.A2024113.h28v05.061.2024130000000",
            "terra",
        ),
    ],
)
def test_a_product_of_which_there_is_one_a_day_needs_no_moment(make, older, newer, platform):
    known = {"rs_monitor:datetime_precision": "day", "platform": platform}
    assert kept(scene(make, older, **known), scene(make, newer, **known))[0] == [newer]
