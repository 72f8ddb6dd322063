import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import read_toml
from rs_monitor.imagery.seasons import (
    SeasonRules,
    check_season,
    day_of_year,
    days_apart,
    pair_by_season,
    same_season,
)

LAW = settings(deadline=None, derandomize=True, max_examples=100)
RULES = SeasonRules(min_overlap_fraction=0.5, max_apart_days=20)
days = st.dates(dt.date(2019, 1, 1), dt.date(2025, 12, 31))
periods = st.tuples(days, days).map(sorted).map(tuple)


def day(text):
    return dt.date.fromisoformat(text)


def span(text):
    first, last = text.split("/")
    return day(first), day(last)


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ("2024-03-01/2024-10-31", "2025-03-01/2025-10-31", 1.0),
        ("2024-01-01/2024-12-31", "2025-01-01/2025-12-31", 1.0),
        ("2024-02-01/2024-02-29", "2025-02-01/2025-02-28", 1.0),  # a leap day is no season
        ("2024-02-29/2024-02-29", "2025-02-28/2025-02-28", 1.0),
        ("2024-02-29/2024-02-29", "2025-03-01/2025-03-01", 0.0),
        ("2024-06-01/2024-06-30", "2025-12-01/2025-12-31", 0.0),
        ("2024-06-01/2024-06-10", "2025-06-06/2025-06-15", 5 / 15),
        ("2023-12-22/2024-01-10", "2024-12-27/2025-01-05", 0.5),  # over New Year
        ("2023-12-22/2024-01-10", "2025-01-01/2025-01-10", 0.5),
        ("2020-01-01/2023-12-31", "2024-01-01/2024-12-31", 1.0),  # years hold every season
        ("2020-01-01/2023-12-31", "2024-06-01/2024-08-12", 73 / 365),
    ],
)
def test_same_season_by_hand(before, after, share):
    assert same_season(span(before), span(after)) == pytest.approx(share)


@LAW
@given(periods, periods)
def test_same_season_is_a_share_and_symmetric(one, other):
    share = same_season(one, other)
    assert 0 <= share <= 1
    assert share == same_season(other, one)
    assert same_season(one, one) == 1


@LAW
@given(periods)
def test_the_year_does_not_matter(period):
    moved = tuple(when.replace(year=when.year - 4) for when in period)
    assert same_season(period, moved) == 1


def test_a_pair_of_other_seasons_is_named():
    check = check_season(span("2024-06-01/2024-08-31"), span("2025-11-01/2025-12-31"), RULES)
    assert not check.same
    assert check.overlap_fraction == 0
    assert "2024-06-01 to 2024-08-31 and 2025-11-01 to 2025-12-31: 0%" in check.reason
    assert "needed 50%" in check.reason


def test_a_pair_of_one_season_passes_at_the_limit():
    check = check_season(span("2024-01-01/2024-01-10"), span("2025-01-01/2025-01-20"), RULES)
    assert check == type(check)(0.5, True, "")


def test_looks_are_paired_by_their_day():
    before = [day("2024-03-05"), day("2024-07-01"), day("2024-12-28")]
    after = [day("2025-01-04"), day("2025-03-20"), day("2025-10-01"), day("2025-07-03")]
    assert pair_by_season(before, after, RULES) == ((0, 1), (1, 3), (2, 0))


def test_as_many_pairs_as_there_can_be():
    # 20 + 20 days; 1 + 21 days is less in sum, but 21 is out of reach
    before = [day("2024-05-01"), day("2024-05-22")]
    after = [day("2025-05-21"), day("2025-06-11"), day("2025-04-10")]
    assert pair_by_season(before, after, RULES) == ((0, 0), (1, 1))


def test_looks_out_of_reach_stay_alone():
    assert pair_by_season([day("2024-05-01")], [day("2025-05-22")], RULES) == ()
    assert pair_by_season([day("2024-05-01")], [day("2025-05-21")], RULES) == ((0, 0),)
    assert pair_by_season([], [day("2025-05-21")], RULES) == ()


@LAW
@given(st.lists(days, max_size=6), st.lists(days, max_size=6))
def test_pairs_hold_each_look_once_and_lie_within_reach(before, after):
    pairs = pair_by_season(before, after, RULES)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    for i, j in pairs:
        gap = days_apart(day_of_year([before[i]]), day_of_year([after[j]]))
        assert gap <= RULES.max_apart_days


@LAW
@given(days, days)
def test_days_apart_go_the_short_way(one, other):
    gap = int(days_apart(day_of_year([one]), day_of_year([other]))[0])
    assert 0 <= gap <= 182


def test_the_rules_of_the_package_hold_a_season():
    table = read_toml(data_root() / "configs" / "rules" / "imagery.toml")["season"]
    assert SeasonRules.model_validate(table) == RULES
