import numpy as np
import pytest

from rs_monitor.kernels.in_place import FLAGGED, GROUND, UNUSED, stays_in_place

RULES = {
    "tolerance": 0.03,
    "tolerance_fraction": 0.1,
    "min_looks": 3,
    "min_days": 30,
    "max_contrary_fraction": 0.1,
}
KEY = {"-": UNUSED, "g": GROUND, "c": FLAGGED}


def kept(looks, values, *, days=None, **changed):
    """One pixel: a letter and the reflectance of every look, all bands alike."""
    state = np.array([[KEY[letter] for letter in looks]], dtype="uint8")
    series = np.repeat(np.array(values, dtype="float32")[None, :, None], 2, axis=2)
    days = np.arange(len(looks)) * 16.0 if days is None else np.array(days, dtype=float)
    found = stays_in_place(state, series, days, **{**RULES, **changed})[0]
    return "".join("k" if k else "." for k in found)


def test_a_surface_flagged_on_every_date_is_ground():
    assert kept("cccc", [0.30, 0.32, 0.28, 0.31]) == "kkkk"


def test_a_cloud_over_the_roof_stays_a_cloud():
    assert kept("ccccc", [0.30, 0.60, 0.31, 0.29, 0.45]) == "k.kk."


def test_clouds_that_differ_are_clouds():
    assert kept("cccc", [0.30, 0.45, 0.60, 0.75]) == "...."


def test_clouds_that_agree_but_uncover_darker_ground_are_clouds():
    assert kept("cgcgc", [0.50, 0.05, 0.50, 0.05, 0.50]) == "....."
    assert kept("cgcgc", [0.50, 0.05, 0.50, 0.05, 0.50], max_contrary_fraction=0.5) == "k.k.k"


def test_a_roof_built_within_the_period():
    assert kept("ggcccgc", [0.05, 0.06, 0.30, 0.31, 0.30, 0.29, 0.30]) == "..kkk.k"


def test_a_roof_torn_down_within_the_period():
    assert kept("cccgg", [0.30, 0.31, 0.30, 0.05, 0.06]) == "kkk.."


def test_looks_that_show_nothing_do_not_count():
    assert kept("c-c-c", [0.30, 0.05, 0.30, 0.05, 0.30]) == "k.k.k"
    assert kept("c-c-c", [0.30, 0.30, 0.30, 0.30, np.nan]) == "....."


@pytest.mark.parametrize(("looks", "expected"), [("ccg", "..."), ("ccc", "kkk")])
def test_it_takes_three_flagged_looks(looks, expected):
    assert kept(looks, [0.3, 0.3, 0.3]) == expected


def test_three_looks_of_one_week_are_one_weather():
    assert kept("ccc", [0.3, 0.3, 0.3], days=[0, 5, 10]) == "..."
    assert kept("ccc", [0.3, 0.3, 0.3], days=[0, 5, 30]) == "kkk"


def test_every_band_must_agree():
    state = np.full((1, 3), FLAGGED, dtype="uint8")
    series = np.full((1, 3, 2), 0.3, dtype="float32")
    days = np.array([0.0, 20.0, 40.0])
    assert stays_in_place(state, series, days, **RULES).all()
    series[0, 2, 1] = 0.5
    assert not stays_in_place(state, series, days, **RULES).any()


def test_the_tolerance_grows_with_the_value():
    # allowed around the look most agree with: 0.03 + 0.1 * 0.30
    assert kept("ccc", [0.30, 0.30, 0.359]) == "kkk"
    assert kept("ccc", [0.30, 0.30, 0.361]) == "..."


def test_pixels_do_not_know_each_other():
    state = np.full((2, 3), FLAGGED, dtype="uint8")
    series = np.full((2, 3, 1), 0.3, dtype="float32")
    series[1, :, 0] = [0.3, 0.5, 0.7]
    found = stays_in_place(state, series, np.array([0.0, 20.0, 40.0]), **RULES)
    assert found.tolist() == [[True] * 3, [False] * 3]
