import numpy as np
import pytest

from benchmarks import planted_changes as study
from benchmarks.planted_changes import Alarms, Series, false_alarms, scored

START = 18_000


def alarms(rows, one_only=False):
    pixel, sure, change = (np.array(part) for part in zip(*rows, strict=True))
    return Alarms(pixel, sure.astype(float), change.astype(float), one_only)


def series(pixels, last=START + 730):
    days = np.array([START - 400, START, last])
    return Series("made", np.zeros((3, pixels), dtype="float32"), days, START)


def test_hits_misses_and_false_alarms_are_counted_by_pixel():
    planted = np.array([True, True, True, False, False])
    at = np.full(5, START + 100)
    found = alarms(
        [
            (0, START + 150, START + 110),  # found, 10 days off, 50 days late
            (0, START + 300, START + 290),  # again: the first one counts
            (1, START + 50, START + 40),  # before its change
            (3, START + 60, START + 50),  # nothing was planted
            (3, START + 90, START + 50),
            (4, START - 10, START - 20),  # before the watch
        ]
    )
    score = scored(found, planted, at, START)
    # one hit, two misses, two false: precision 1/3, recall 1/3
    assert (score["recall"], score["precision"], score["F1"]) == (0.33, 0.33, 0.33)


def test_errors_are_medians_of_the_hits_and_of_five_at_least():
    planted, at = np.ones(6, dtype=bool), np.full(6, START + 100)
    found = alarms([(k, START + 150 + k, START + 100 + 2 * k) for k in range(6)])
    score = scored(found, planted, at, START)
    assert (score["F1"], score["date error, days"], score["delay, days"]) == (1.0, 5, 52)
    few = scored(alarms([(0, START + 150, START + 110)]), planted, at, START)
    assert np.isnan(few["date error, days"])


@pytest.mark.parametrize(("one_only", "years"), [(False, 20), (True, 19)])
def test_false_alarms_are_held_against_the_time_watched(one_only, years):
    found = alarms([(2, START + 365, START + 300)], one_only)
    row = false_alarms(found, series(10))
    assert row["pixel-years"] == years
    assert row["alarms"] == 1
    assert row["per 1,000 pixel-years"] == pytest.approx(1000 / years, abs=0.1)


def test_a_history_too_short_is_not_evaluated():
    few = series(4)
    note = study.outcome(few, "watch", study.watch, dict)["note"]
    assert note == "not evaluated: the history has 1 looks, 3 are needed"
    young = Series("made", few.values, np.maximum(few.days, START - 100), START)
    assert "shorter than a year" in study.missing_history(young, "cusum")


def test_real_series_are_read_as_their_readmes_say(shared_data):
    found = {name: site(shared_data) for name, site in study.SITES.items()}
    shapes = {name: one.values.shape for name, one in found.items()}
    # two of the 68 looks at Slovenia are of one day
    assert shapes == {
        "slovenia": (67, 10100),
        "mato_grosso": (137, 999),
        "colorado": (105, 3721),
    }
    for one in found.values():
        assert (np.diff(one.days) > 0).all()
        assert np.nanmax(np.abs(one.values)) <= 1.0
        assert 0.3 < np.isfinite(one.values).mean() <= 1.0


def test_the_watch_finds_planted_steps_in_real_series(shared_data, monkeypatch, capsys):
    monkeypatch.setattr(study, "METHODS", {"watch": study.watch})
    monkeypatch.setattr(study, "CASES", (("step", 0.4),))
    study.main(["--quick", "--data", str(shared_data)])
    tables = capsys.readouterr().out.split("\n\n")
    rows = [line.split(" | ") for line in tables[1].splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows if row[0]] == ["Slovenia", "Mato Grosso", "Colorado"]
    assert min(float(row[3]) for row in rows) > 0.7
