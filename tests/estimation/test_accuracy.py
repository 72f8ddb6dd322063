"""Estimates, usual intervals and honest ones: published examples and worked numbers."""

from pathlib import Path

import numpy as np
import pytest

from rs_monitor.config.rules import load_rules
from rs_monitor.estimation.accuracy import assess
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.error_matrix import error_matrix, map_class_matrix

GAIN, OTHER = 1, 2
HA_PX = 100


@pytest.fixture(scope="module")
def rules():
    return load_rules("accuracy", Path.cwd(), AccuracyRules).estimation


def half_width(figure):
    return (figure.usual[1] - figure.usual[0]) / 2


def gain_project(rules, strata):
    """Strata of a project of 5,000 ha: name, ha, sampled, hits; the first is mapped gain."""
    names, sizes, sampled, hits = zip(*strata, strict=True)
    place = np.repeat(np.arange(len(strata)), sampled)
    reference = np.concatenate(
        [np.where(np.arange(n) < k, GAIN, OTHER) for n, k in zip(sampled, hits, strict=True)]
    )
    matrix = error_matrix(
        place,
        np.where(place == 0, GAIN, OTHER),
        reference,
        classes=[GAIN, OTHER],
        strata=names,
        ground_m2=np.array(sizes) * 1e4,
        units=np.array(sizes) * HA_PX,
        filled_by=[GAIN, *[OTHER] * (len(strata) - 1)],
    )
    return assess(matrix, rules)


INSIDE = ("gain", 60, 50, 45)

# strata beside the mapped gain; printed estimate and half-width; our interval and bound, ha
WORKED = [
    ([("rest", 4940, 200, 0)], "54.0", "5.0", (46.9, 144.6), 47.6),
    ([("rest", 4940, 200, 1)], "78.7", "48.7", (51.8, 190.4), 49.8),
    ([("rest", 4940, 500, 1)], "63.9", "20.0", (50.2, 109.2), 49.4),
    ([("rest", 4940, 1000, 1)], "58.9", "10.9", (49.2, 82.1), 49.1),
    ([("buffer", 300, 100, 1), ("rest", 4640, 150, 0)], "57.0", "7.7", (48.6, 173.3), 48.3),
]


@pytest.mark.parametrize(("outside", "estimate", "reach", "interval", "bound"), WORKED)
def test_worked_numbers_of_the_study_of_peers(rules, outside, estimate, reach, interval, bound):
    found = gain_project(rules, [INSIDE, *outside])
    gain = found.areas_m2[GAIN]
    assert f"{gain.estimate.value / 1e4:.1f}" == estimate
    assert f"{half_width(gain) / 1e4:.1f}" == reach
    assert np.array(gain.interval) / 1e4 == pytest.approx(interval, abs=0.06)
    assert found.certified_m2[GAIN] / 1e4 == pytest.approx(bound, abs=0.06)


def test_a_stratum_without_an_error_is_named(rules):
    found = gain_project(rules, [INSIDE, ("rest", 4940, 200, 0)])
    assert found.certain_strata == ("rest",)
    assert found.thin_strata == ()


def test_one_sample_in_a_stratum_gives_a_finite_interval_and_is_named(rules):
    found = gain_project(rules, [INSIDE, ("rest", 4900, 200, 0), ("corner", 40, 1, 0)])
    gain = found.areas_m2[GAIN]
    assert found.thin_strata == ("corner",)
    assert gain.usual is None
    assert gain.estimate.standard_error is None
    assert gain.estimate.value == pytest.approx(54e4)
    usual_reach_ha = 40 * 0.975
    assert gain.interval[1] / 1e4 > 144 + usual_reach_ha / 2
    assert gain.interval[0] / 1e4 == pytest.approx(46.9, abs=0.06)


def test_olofsson_2014_table_8(rules):
    counts = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    pixels = [200_000, 150_000, 3_200_000, 6_450_000]
    matrix = map_class_matrix(
        counts, classes=[1, 2, 3, 4], ground_m2=np.array(pixels) * 900.0, units=pixels
    )
    assert matrix.total_counts.sum() == 640
    found = assess(matrix, rules)
    area = found.areas_m2[1]
    # printed: 235,086 +- 68,418 pixels with z = 1.96; 21,158 +- 6,158 ha
    assert area.estimate.value / 900 == pytest.approx(235_086, abs=0.5)
    assert 1.96 * area.estimate.standard_error / 900 == pytest.approx(68_418, abs=0.5)
    assert half_width(area) / 1e4 == pytest.approx(6_158, abs=1)
    users = {k: (f"{v.estimate.value:.2f}", f"{half_width(v):.2f}") for k, v in found.users.items()}
    assert users == {
        1: ("0.88", "0.07"),
        2: ("0.73", "0.10"),
        3: ("0.93", "0.04"),
        4: ("0.96", "0.02"),
    }
    producers = {
        k: (f"{v.estimate.value:.2f}", f"{half_width(v):.2f}") for k, v in found.producers.items()
    }
    assert producers == {
        1: ("0.75", "0.21"),
        2: ("0.85", "0.25"),
        3: ("0.93", "0.03"),
        4: ("0.96", "0.02"),
    }
    assert found.overall.estimate.value == pytest.approx(0.947, abs=5e-4)
    assert half_width(found.overall) == pytest.approx(0.0185, abs=5e-5)
    assert matrix.proportions.sum() == pytest.approx(1.0)
    assert matrix.proportions[0, 0] == pytest.approx(0.0176)
    for figures in (found.users, found.producers):
        assert all(
            0 <= f.interval[0] < f.estimate.value < f.interval[1] <= 1 for f in figures.values()
        )


def test_stehman_2014_strata_are_not_map_classes(rules):
    codes = {"A": 1, "B": 2, "C": 3, "D": 4}
    mapped = "A" * 7 + "B" * 3 + "A" + "B" * 11 + "C" * 6 + "BB" + "D" * 10
    reference = "AAAAACBABC" + "A" + "BBBBB" + "AABB" + "CCCCCDDBBA" + "DDDDDDDCCB"
    units = [40_000, 30_000, 20_000, 10_000]
    matrix = error_matrix(
        np.repeat(np.arange(4), 10),
        [codes[c] for c in mapped],
        [codes[c] for c in reference],
        classes=[1, 2, 3, 4],
        strata=list("ABCD"),
        ground_m2=units,
        units=units,
    )
    found = assess(matrix, rules)

    def printed(figure, scale=1.0):
        return figure.estimate.value / scale, figure.estimate.standard_error / scale

    total = 100_000
    assert printed(found.areas_m2[1], total) == pytest.approx((0.35, 0.082), abs=5e-4)
    assert printed(found.areas_m2[3], total) == pytest.approx((0.20, 0.064), abs=5e-4)
    assert printed(found.overall) == pytest.approx((0.63, 0.085), abs=5e-4)
    assert printed(found.users[2]) == pytest.approx((0.574, 0.125), abs=5e-4)
    assert printed(found.producers[2]) == pytest.approx((0.794, 0.117), abs=6e-4)
    assert matrix.proportions[1, 2] == pytest.approx(0.08)


def test_units_that_could_not_be_read_are_taken_at_their_worst(rules):
    place = np.repeat([0, 1], [50, 200])
    reference = np.r_[np.full(45, GAIN), np.full(5, OTHER), np.full(200, OTHER)]
    said = {
        "classes": [GAIN, OTHER],
        "strata": ["gain", "rest"],
        "ground_m2": [60e4, 4940e4],
        "units": [6000, 494_000],
        "filled_by": [GAIN, OTHER],
    }
    mapped = np.where(place == 0, GAIN, OTHER)
    whole = assess(error_matrix(place, mapped, reference, **said), rules)
    reference[[0, 1, 60]] = 0
    gaps = error_matrix(place, mapped, reference, **said)
    found = assess(gaps, rules)
    assert gaps.unread.tolist() == [[2, 0], [0, 1]]
    assert gaps.read.tolist() == [48, 199]
    assert found.areas_m2[GAIN].estimate.value == pytest.approx(60e4 * 43 / 48)
    assert found.areas_m2[GAIN].interval[0] < whole.areas_m2[GAIN].interval[0]
    assert found.areas_m2[GAIN].interval[1] > whole.areas_m2[GAIN].interval[1]
    assert found.certified_m2[GAIN] < whole.certified_m2[GAIN]
    assert found.users[GAIN].interval[0] < whole.users[GAIN].interval[0]


def test_a_class_nobody_named_is_refused():
    with pytest.raises(ValueError, match=r"class codes \[7\] occur in the sample"):
        error_matrix([0], [1], [7], classes=[1], strata=["all"], ground_m2=[1.0], units=[10])


def test_a_stratum_that_lacks_the_class_adds_nothing_to_what_is_mapped(rules):
    """A buffer shows several classes, but never the change it surrounds."""
    place = np.repeat([0, 1, 2], [50, 40, 100])
    said = {
        "classes": [GAIN, OTHER],
        "strata": ["gain", "buffer", "rest"],
        "ground_m2": [60e4, 300e4, 4640e4],
        "units": [6000, 30_000, 464_000],
        "filled_by": [GAIN, None, OTHER],
    }
    mapped = np.where(place == 0, GAIN, OTHER)
    reference = np.where(np.arange(190) < 45, GAIN, OTHER)
    blank = error_matrix(place, mapped, reference, **said)
    told = error_matrix(
        place, mapped, reference, lacking=[frozenset(), frozenset({GAIN}), frozenset()], **said
    )
    assert blank.may_show(GAIN).tolist() == [True, True, False]
    assert told.may_show(GAIN).tolist() == [True, False, False]
    loose, tight = (assess(matrix, rules).users[GAIN] for matrix in (blank, told))
    # 45 of 50 in one large stratum is the exact limit; a buffer that might show gain widens it
    assert tight.interval == pytest.approx((0.7819, 0.9667), abs=1e-3)
    assert loose.interval[0] < 0.9 * tight.interval[0]
    assert loose.estimate == tight.estimate
