import numpy as np
import pytest
from scipy.stats import chi2

from rs_monitor.errors import NoObservations
from rs_monitor.kernels.threshold import histogram
from rs_monitor.maps.change_threshold import find_threshold, probability_curve, unchanged_scale

DEGREES = 6.0


def magnitudes(scale=1.0, changed=0.0, pixels=200_000):
    rng = np.random.default_rng(9)
    squares = scale * rng.chisquare(DEGREES, pixels)
    moved = rng.random(pixels) < changed
    squares[moved] += rng.uniform(60, 400, int(moved.sum()))
    return np.sqrt(squares), moved


@pytest.mark.parametrize("p", [0.1, 0.01])
def test_chi_square_cuts_at_its_tail_probability(p):
    values, _ = magnitudes()
    found = find_threshold(histogram(values), "chi2", degrees=DEGREES, p=p)
    assert found.value == pytest.approx(np.sqrt(chi2.isf(p, DEGREES)))
    assert (values > found.value).mean() == pytest.approx(p, rel=0.1)
    assert found.scale == 1.0


def test_rescaling_mends_variates_that_are_too_narrow():
    values, _ = magnitudes(scale=4.0)
    table = histogram(values)
    plain = find_threshold(table, "chi2", degrees=DEGREES, p=0.01)
    mended = find_threshold(table, "chi2_rescaled", degrees=DEGREES, p=0.01)
    assert (values > plain.value).mean() > 0.5
    assert (values > mended.value).mean() == pytest.approx(0.01, rel=0.1)
    assert mended.scale == pytest.approx(4.0, rel=0.02)
    assert "p=0.01" in mended.text
    assert "scale 4" in mended.text


def test_change_makes_the_rescaled_rule_careful():
    values, moved = magnitudes(changed=0.15)
    table = histogram(values)
    assert 1.0 < unchanged_scale(table, DEGREES) < 1.3
    found = find_threshold(table, "chi2_rescaled", degrees=DEGREES, p=0.01)
    assert (values[~moved] > found.value).mean() < 0.01
    assert (values[moved] > found.value).mean() > 0.99


@pytest.mark.parametrize("rule", ["kmeans", "otsu"])
def test_two_groups_are_split_and_named(rule):
    values, moved = magnitudes(changed=0.2)
    found = find_threshold(histogram(values), rule, degrees=DEGREES)
    assert ((values > found.value) == moved).mean() > 0.98
    assert found.text.startswith(f"{rule}: magnitude > ")


@pytest.mark.parametrize(
    ("rule", "p"), [("kmeans", 0.01), ("otsu", 0.01), ("chi2", None), ("chi2_rescaled", None)]
)
def test_a_probability_belongs_to_the_chi_square_rules(rule, p):
    with pytest.raises(ValueError, match="needed a tail probability for the chi-square rules"):
        find_threshold(histogram(magnitudes()[0]), rule, degrees=DEGREES, p=p)


@pytest.mark.parametrize("p", [0.0, 1.0, 3.0])
def test_a_probability_is_between_0_and_1(p):
    with pytest.raises(ValueError, match="needed 0 < p < 1"):
        find_threshold(histogram(magnitudes()[0]), "chi2", degrees=DEGREES, p=p)


def test_one_magnitude_cannot_be_cut():
    with pytest.raises(NoObservations, match="one and the same change magnitude"):
        find_threshold(histogram(np.full(9, 2.0)), "kmeans", degrees=DEGREES)


def test_probability_rises_and_is_nought_where_nothing_changed():
    values, _ = magnitudes()
    at, probability = probability_curve(histogram(values), DEGREES)
    assert (np.diff(at) > 0).all()
    assert (np.diff(probability) >= 0).all()
    assert np.interp(values, at, probability).mean() < 0.01


def test_probability_is_the_share_of_change():
    values, moved = magnitudes(changed=0.15)
    at, probability = probability_curve(histogram(values), DEGREES)
    assert (np.diff(probability) >= 0).all()
    found = np.interp(values, at, probability)
    assert found[moved].mean() > 0.95
    assert found[~moved].mean() < 0.02
    sure = (found > 0.9) & (found < 1.0)
    assert moved[sure].mean() > 0.85


def test_values_past_the_last_bin_are_certain_change():
    values = np.concatenate([magnitudes()[0], np.full(1000, 1e6)])
    at, probability = probability_curve(histogram(values), DEGREES)
    assert np.isfinite(at).all()
    assert np.interp(1e6, at, probability) > 0.99
