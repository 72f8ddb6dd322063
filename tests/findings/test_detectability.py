import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import read_toml
from rs_monitor.findings.detectability import (
    DetectabilityRules,
    detectable,
    measurability,
    shift_fraction,
)

LAW = settings(max_examples=60, deadline=None)
SCENES = arrays(bool, (7, 9))


def picture(*rows: str) -> np.ndarray:
    return np.array([[mark == "#" for mark in row] for row in rows])


def squares(seen: np.ndarray, side: int) -> np.ndarray:
    """Union of all fully seen squares, counted one by one."""
    held = np.zeros_like(seen)
    for y in range(seen.shape[0] - side + 1):
        for x in range(seen.shape[1] - side + 1):
            window = (slice(y, y + side), slice(x, x + side))
            held[window] |= seen[window].all()
    return held


@pytest.mark.parametrize("n_px", [2, 3, 4])
def test_a_change_of_two_by_two_needs_a_seen_square(n_px):
    seen = picture("##..#", "##.##", "..###", "#####")
    held = picture("##...", "##.##", "..###", "..###")
    assert detectable(seen, n_px).tolist() == held.tolist()


def test_one_pixel_is_detectable_wherever_it_is_seen():
    seen = picture("#.#", ".#.", "#.#")
    assert detectable(seen, 1).tolist() == seen.tolist()


def test_a_hole_costs_more_than_itself():
    seen = np.ones((7, 7), dtype=bool)
    seen[3, 3] = False
    assert detectable(seen, 9).sum() == 48
    assert detectable(seen, 16).sum() == 0


def test_ground_beyond_the_grid_is_not_seen():
    assert not detectable(np.ones((3, 8), dtype=bool), 16).any()


def test_a_change_without_pixels_is_refused():
    with pytest.raises(ValueError, match="got a change of 0 pixels; needed at least one"):
        detectable(np.ones((3, 3), dtype=bool), 0)


@LAW
@given(SCENES, st.integers(1, 20))
def test_detectable_is_the_union_of_seen_squares(seen, n_px):
    side = next(s for s in range(1, 9) if s * s >= n_px)
    assert np.array_equal(detectable(seen, n_px), squares(seen, side))


@LAW
@given(SCENES, SCENES, st.integers(1, 20))
def test_blanking_imagery_only_lowers_what_is_detectable(seen, kept, n_px):
    some, all_ = detectable(seen & kept, n_px), detectable(seen, n_px)
    assert not (some & ~all_).any()
    assert not (all_ & ~seen).any()


@LAW
@given(SCENES, st.integers(1, 20), st.integers(0, 10))
def test_a_larger_change_is_never_detectable_in_more_places(seen, n_px, more):
    assert not (detectable(seen, n_px + more) & ~detectable(seen, n_px)).any()


def test_share_of_a_patch_near_its_edge():
    square, strip = shapely.box(0, 0, 30, 30), shapely.box(0, 0, 100, 10)
    ring = square.difference(shapely.box(10, 10, 20, 20))
    outlines = np.array([square, strip, ring], dtype=object)
    share = shift_fraction(outlines, 5.0)
    assert share[:2].tolist() == pytest.approx([1 - 400 / 900, 1.0])
    # what is left are four corners between the outer square and the rounded edge of the hole
    corners_m2 = 20**2 - (100 + 4 * 50 + np.pi * 25)
    assert share[2] == pytest.approx(1 - corners_m2 / 800, abs=1e-3)
    assert np.isnan(shift_fraction(outlines, float("nan"))).all()
    assert shift_fraction(outlines, 0.0).tolist() == pytest.approx([0.0, 0.0, 0.0])


@LAW
@given(st.floats(0.01, 20), st.floats(0.01, 20))
def test_a_larger_shift_never_makes_a_patch_better(one, other):
    outlines = np.array([shapely.box(0, 0, 40, 25)], dtype=object)
    small, large = sorted((one, other))
    assert shift_fraction(outlines, small)[0] <= shift_fraction(outlines, large)[0] + 1e-9


@pytest.fixture
def shift_rules():
    table = read_toml(data_root() / "configs" / "rules" / "imagery.toml")["detectability"]
    return DetectabilityRules.model_validate(table)


def test_a_patch_a_shift_explains_is_not_measured(detection, shift_rules):
    shares = [0.0, 0.49, 0.5, 0.94, 0.95, 1.0, float("nan")]
    many = dict.fromkeys(("n_px", "looks_before", "looks_after"), [50] * len(shares))
    columns = {**many, "shift_fraction": shares}
    words = measurability(columns, detection, shift_rules)
    assert words == ["measured"] * 2 + ["detect_only"] * 2 + ["cannot_decide"] * 2 + ["measured"]
    assert measurability(columns, detection) == ["measured"] * len(shares)
    asked = measurability(columns, detection, shift_rules, registration_asked=True)
    assert asked == [*words[:-1], "detect_only"]
    assert measurability(columns, detection, registration_asked=True)[-2:] == [
        "measured",
        "detect_only",
    ]


def test_an_unknown_shift_does_not_make_a_patch_better(detection, shift_rules):
    columns = {"n_px": [50, 2], "looks_before": [0, 50], "looks_after": [50, 50]}
    columns["shift_fraction"] = [float("nan")] * 2
    words = measurability(columns, detection, shift_rules, registration_asked=True)
    assert words == ["cannot_decide"] * 2
