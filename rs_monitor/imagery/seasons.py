"""Same-season pairing: whether two periods show the same part of the year."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import linear_sum_assignment

from rs_monitor.config.tables import Model

Span = tuple[dt.date, dt.date]
"""First and last day of a period, both included."""

DAYS = 365
"""Days of the year compared; 29 February counts as the 28th."""


class SeasonRules(Model):
    """When two periods count as the same season."""

    min_overlap_fraction: float = Field(gt=0, le=1, description="least same_season() of a pair")
    max_apart_days: int = Field(ge=0, le=DAYS // 2, description="between looks of a pair")


@dataclass(frozen=True, slots=True)
class SeasonCheck:
    """How well the seasons of two periods agree.

    Attributes
    ----------
    overlap_fraction : float
        Of :func:`same_season`.
    same : bool
        Whether the rules accept the pair.
    reason : str
        For a pair that is not accepted: what was got, what was needed, what to do; else empty.
    """

    overlap_fraction: float
    same: bool
    reason: str


def day_of_year(days: Sequence[dt.date]) -> NDArray[np.int64]:
    """Days since 1 January in a year of 365 days; 29 February counts as the 28th."""
    # 2023 is a common year; its calendar gives every month its usual place
    plain = [dt.date(2023, d.month, min(d.day, 28) if d.month == 2 else d.day) for d in days]
    return np.array([d.timetuple().tm_yday - 1 for d in plain], dtype=np.int64)


def same_season(before: Span, after: Span) -> float:
    """Share of the days of the year that two periods have in common.

    Parameters
    ----------
    before, after : tuple of date
        First and last day; a period may cross New Year or last longer than a year.

    Returns
    -------
    float
        Days of the year in both over days in either: 1 = the same season, 0 = no common day.
    """
    one, other = _days_covered(before), _days_covered(after)
    return float((one & other).sum() / (one | other).sum())


def check_season(before: Span, after: Span, rules: SeasonRules) -> SeasonCheck:
    """Tell whether a change between two periods could be the season alone.

    Parameters
    ----------
    before, after : tuple of date
        First and last day of each period.
    rules : SeasonRules
        Least overlap.
    """
    share = same_season(before, after)
    if share >= rules.min_overlap_fraction:
        return SeasonCheck(share, True, "")
    reason = (
        f"got periods of different seasons, {_text(before)} and {_text(after)}: {share:.0%} of "
        f"their days of the year are common; needed {rules.min_overlap_fraction:.0%}; compare the "
        "same months, or read crops that come and go as a season, not as a change"
    )
    return SeasonCheck(share, False, reason)


def pair_by_season(
    before: Sequence[dt.date], after: Sequence[dt.date], rules: SeasonRules
) -> tuple[tuple[int, int], ...]:
    """Pair the looks of two periods by their day of the year.

    Parameters
    ----------
    before, after : sequence of date
        Days of the looks.
    rules : SeasonRules
        Most days of the year between the looks of a pair.

    Returns
    -------
    tuple of (int, int)
        Positions in ``before`` and ``after``, ascending. Every look is used once at most; as many
        pairs as there can be, and of these the ones least apart in sum.
    """
    apart = days_apart(day_of_year(before)[:, np.newaxis], day_of_year(after))
    # a pair out of reach costs more than all within reach together
    cost = np.where(apart <= rules.max_apart_days, apart, DAYS * (1 + min(apart.shape)))
    rows, cols = linear_sum_assignment(cost)
    near = apart[rows, cols] <= rules.max_apart_days
    return tuple((int(i), int(j)) for i, j in zip(rows[near], cols[near], strict=True))


def days_apart(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days between two days of the year, the short way round New Year."""
    apart: NDArray[np.int64] = np.abs(one - other)
    return np.asarray(np.minimum(apart, DAYS - apart))


def _days_covered(period: Span) -> NDArray[np.bool_]:
    first, last = period
    covered = np.zeros(DAYS, dtype=bool)
    length = min((last - first).days, DAYS)
    covered[day_of_year([first + dt.timedelta(k) for k in range(length + 1)])] = True
    return covered


def _text(period: Span) -> str:
    return f"{period[0]} to {period[1]}"
