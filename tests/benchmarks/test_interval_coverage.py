"""The study of interval coverage, in small."""

import pandas as pd
import pytest

from benchmarks.interval_coverage import Readers, Scenario, run, run_readers, summary


@pytest.fixture(scope="module")
def found():
    """Two scenarios of 400 populations: one coverage of 95 % has a standard error of 1.1 points."""
    cells = [Scenario(0.01, "two", 100, "much"), Scenario(0.02, "buffer", 50, "none")]
    return pd.concat([run(cell, 400, (5, i)) for i, cell in enumerate(cells)])


def coverage(found, figure, method):
    return found[(found["figure"] == figure) & (found["method"] == method)]["held"]


def test_ours_covers_where_the_usual_does_not(found):
    assert coverage(found, "area", "melded").min() >= 0.94
    assert coverage(found, "area", "usual").min() < 0.6
    assert coverage(found, "producer's accuracy", "melded").min() >= 0.94
    assert coverage(found, "user's accuracy", "melded").min() >= 0.93


def test_the_certified_bound_holds_and_says_something(found):
    assert coverage(found, "lower bound of area", "certified").min() >= 0.95
    bound = found[(found["method"] == "certified")]["width"]
    usual = found[(found["figure"] == "lower bound of area") & (found["method"] == "usual")]
    assert bound.min() > 0.5
    assert (bound.to_numpy() <= usual["width"].to_numpy() + 0.1).all()


def test_summary_names_every_method(found):
    assert len(summary(found)) == 13


def test_no_valid_upper_limit_lies_far_below_ours(found):
    """The largest stratum alone, the others taken as known, asks for nearly as much."""
    width = found[found["figure"] == "upper limit of area"].groupby("method")["width"].mean()
    assert 1.0 < width["melded"] / width["largest stratum alone"] < 1.1


def test_errors_of_readers_break_the_interval_that_ignores_them():
    table = run_readers(Readers(0.05), 30, (3, 0)).set_index("method")["held"]
    assert table["one reader, believed"] < 0.5
    assert table["three readers, errors carried"] >= 0.9
    assert table["lower bound, three readers"] >= 0.95
