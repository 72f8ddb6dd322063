from dataclasses import replace

import numpy as np
import pytest

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
