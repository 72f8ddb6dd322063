from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.codes import Change
from rs_monitor.errors import GridMismatch
from rs_monitor.findings.coverage import coverage, no_coverage
from rs_monitor.grid import pixel_area_m2


@pytest.fixture
def maps(make_maps):
    return make_maps(np.zeros((4, 5), dtype=bool))


def test_a_zone_seen_everywhere(maps, detection):
    row = coverage(maps, detection, longest_gap_days=41).iloc[0]
    assert row["zone_id"] == "Z1"
    assert row["area_m2"] == pytest.approx(2000.0, rel=1e-6)
    assert (row["seen_fraction"], row["not_seen_m2"]) == (1.0, 0.0)
    assert (row["looks_before_median"], row["looks_after_median"]) == (5.0, 6.0)
    assert row["longest_gap_days"] == 41.0
    assert row["limit_m2"] == pytest.approx(9 * pixel_area_m2(maps.geobox).mean())


def test_only_pixels_of_the_zone_count(maps, detection):
    inside = np.zeros((4, 5), dtype=bool)
    inside[:2] = True
    looks = maps.looks_before.copy()
    looks[:2] = 2
    looks[0, :4] = 1
    row = coverage(replace(maps, looks_before=looks), detection, inside=inside).iloc[0]
    assert row["area_m2"] == pytest.approx(1000.0, rel=1e-6)
    assert row["seen_fraction"] == pytest.approx(0.6, rel=1e-6)
    assert row["not_seen_m2"] == pytest.approx(400.0, rel=1e-6)
    assert row["looks_before_median"] == 2.0
    assert np.isnan(row["longest_gap_days"])


@pytest.mark.parametrize("period", ["looks_before", "looks_after"])
def test_blanking_a_period_lowers_coverage(maps, detection, period):
    looks = np.zeros((4, 5), dtype=np.uint16)
    assert coverage(replace(maps, **{period: looks}), detection)["seen_fraction"].item() == 0.0


def test_what_the_change_map_did_not_see_is_not_seen(maps, detection):
    change = maps.change.copy()
    change[:, 0] = Change.NOT_SEEN
    row = coverage(replace(maps, change=change), detection).iloc[0]
    assert row["seen_fraction"] == pytest.approx(0.8, rel=1e-6)


def test_a_zone_without_pixels_is_not_seen(maps, detection):
    row = coverage(maps, detection, inside=np.zeros((4, 5), dtype=bool)).iloc[0]
    assert (row["area_m2"], row["seen_fraction"], row["looks_after_median"]) == (0.0, 0.0, 0.0)


def test_a_mask_of_another_shape_is_refused(maps, detection):
    with pytest.raises(GridMismatch, match=r"mask of \(4, 4\) for maps of \(4, 5\)"):
        coverage(maps, detection, inside=np.ones((4, 4), dtype=bool))


def test_a_zone_never_read_has_a_row(maps, detection):
    inside = np.zeros((4, 5), dtype=bool)
    inside[:2] = True
    row = no_coverage("Z9", maps.geobox, detection, inside=inside, longest_gap_days=244.0).iloc[0]
    assert (row["zone_id"], row["seen_fraction"], row["longest_gap_days"]) == ("Z9", 0.0, 244.0)
    assert row["area_m2"] == row["not_seen_m2"] == pytest.approx(1000.0, rel=1e-6)
    assert (row["looks_before_median"], row["looks_after_median"]) == (0.0, 0.0)
    assert row["limit_m2"] == pytest.approx(9 * pixel_area_m2(maps.geobox).mean())


@pytest.fixture
def large(make_maps):
    """Ten by ten pixels; a change of nine pixels is measured."""
    return make_maps(np.zeros((10, 10), dtype=bool))


def unseen(maps, *pixels):
    looks = maps.looks_after.copy()
    for pixel in pixels:
        looks[pixel] = 0
    return replace(maps, looks_after=looks)


def test_a_change_is_detectable_where_a_square_of_its_size_was_seen(large, detection):
    striped = unseen(large, np.s_[:, 2], np.s_[:, 6])
    row = coverage(striped, detection).iloc[0]
    assert row["seen_fraction"] == pytest.approx(0.8, rel=1e-6)
    assert row["detectable_fraction"] == pytest.approx(0.6, rel=1e-6)
    assert row["detectable_m2"] == pytest.approx(6000.0, rel=1e-6)


def test_looks_around_a_zone_help_to_detect_at_its_edge(large, detection):
    inside = np.zeros((10, 10), dtype=bool)
    inside[:, 4:6] = True
    row = coverage(large, detection, inside=inside).iloc[0]
    assert (row["detectable_fraction"], row["seen_fraction"]) == (1.0, 1.0)
    narrow = unseen(large, np.s_[:, :4], np.s_[:, 6:])
    row = coverage(narrow, detection, inside=inside).iloc[0]
    assert (row["detectable_fraction"], row["seen_fraction"]) == (0.0, 1.0)


def days(*ordinals):
    """Days of the columns 0 to 9 on every row."""
    return np.broadcast_to(np.array(ordinals, dtype=np.float32), (10, 10))


def test_coverage_says_when_a_change_would_show(large, detection):
    start = np.float32(738_000)
    before = days(*(start + i for i in range(9)), start + 400)
    after = days(*(start + 500 + i for i in range(9)), start + 450)
    blind = unseen(large, np.s_[:, 9])
    timed = replace(blind, middle_look_before=before + 0.5, middle_look_after=after - 0.5)
    row = coverage(timed, detection).iloc[0]
    # 2021-07-29 is day 738000 of the era; the last column is not seen
    assert (row["covers_from"], row["covers_until"]) == ("2021-08-07", "2022-12-10")
    assert coverage(large, detection)["covers_from"].item() == ""


def test_last_looks_are_the_median_of_what_was_seen(large, detection):
    start = 738_000
    looks = days(*([start] * 4), *([start + 10] * 3), np.nan, start + 99, start + 99)
    blind = unseen(large, np.s_[:, 8:])
    row = coverage(replace(blind, last_look_after=looks), detection).iloc[0]
    assert (row["last_look_before"], row["last_look_after"]) == ("", "2021-07-29")


def test_doubtful_share_and_reasons(large, detection):
    doubtful = np.zeros((10, 10), dtype=bool)
    doubtful[:2] = True
    blind = unseen(large, np.s_[5:, :])
    cloud, snow = np.full((10, 10), 3), np.zeros((10, 10))
    snow[5:], cloud[:5] = 1, 99
    lost = {"snow": snow, "cloud": cloud, "no imagery": np.zeros((10, 10))}
    row = coverage(replace(blind, doubtful=doubtful), detection, lost_looks=lost).iloc[0]
    assert row["doubtful_fraction"] == pytest.approx(0.4)
    assert row["not_seen_because"] == "cloud 75%, snow 25%"
    plain = coverage(large, detection).iloc[0]
    assert np.isnan(plain["doubtful_fraction"])
    assert plain["not_seen_because"] == ""


def test_a_map_of_lost_looks_of_another_shape_is_refused(large, detection):
    with pytest.raises(GridMismatch, match=r"got a cloud of \(2, 2\) for maps of \(10, 10\)"):
        coverage(large, detection, lost_looks={"cloud": np.ones((2, 2))})


LOOKS = arrays(np.uint16, (9, 11), elements=st.integers(0, 3))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(LOOKS, LOOKS)
def test_fewer_looks_never_raise_coverage(make_maps, detection, looks, fewer):
    maps = make_maps(np.zeros((9, 11), dtype=bool))
    full, part = (
        coverage(replace(maps, looks_before=each), detection).iloc[0]
        for each in (looks, np.minimum(looks, fewer))
    )
    for name in ("seen_fraction", "detectable_fraction", "detectable_m2"):
        assert part[name] <= full[name]
    assert full["detectable_fraction"] <= full["seen_fraction"]


def test_a_zone_never_read_could_show_no_change(maps, detection):
    inside = np.ones((4, 5), dtype=bool)
    row = no_coverage("Z9", maps.geobox, detection, inside=inside, longest_gap_days=9.0).iloc[0]
    assert (row["detectable_fraction"], row["detectable_m2"]) == (0.0, 0.0)
    assert (row["covers_from"], row["not_seen_because"]) == ("", "nothing was read")
