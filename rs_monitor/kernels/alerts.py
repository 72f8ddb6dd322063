"""Life cycle of alerts: one look at a time, one pixel at a time, against an expected level.

The state of a pixel is a column of numbers, one row per name of ``FIELDS``. Feeding looks one by
one or many at once runs the same step, so it gives the same bytes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

NO_DAY = -(2**31)
"""Value of a day that has not come."""

NONE, FIRST, PROVISIONAL, CONFIRMED, FINISHED, RESET = 1, 2, 3, 4, 5, 6
"""Stages of an alert; ``maps.watch.AlertStatus`` carries the same values."""

FIELDS: tuple[tuple[str, str], ...] = (
    ("stage", "uint8"),
    ("direction", "int8"),
    ("before_day", "int32"),
    ("first_day", "int32"),
    ("confirmed_day", "int32"),
    ("last_anomaly_day", "int32"),
    ("finished_day", "int32"),
    ("anomalies", "uint16"),
    ("looks_since", "uint16"),
    ("clean_run", "uint16"),
    ("mean_anomaly", "float32"),
    ("max_anomaly", "float32"),
    ("level_before", "float32"),
    ("confidence", "float32"),
    ("not_low_day", "int32"),
    ("not_high_day", "int32"),
    ("last_look_day", "int32"),
    ("looks", "uint16"),
    ("not_observed", "uint16"),
    ("no_baseline", "uint16"),
    ("dismissed", "uint16"),
    ("alerts", "uint16"),
    ("last_before_day", "int32"),
    ("last_first_day", "int32"),
    ("last_confirmed_day", "int32"),
    ("last_finished_day", "int32"),
    ("last_direction", "int8"),
    ("last_anomaly", "float32"),
)
"""Name and stored type of each field of the state."""

_NAMES = [name for name, _ in FIELDS]
(
    STAGE,
    DIRECTION,
    BEFORE_DAY,
    FIRST_DAY,
    CONFIRMED_DAY,
    LAST_ANOMALY_DAY,
    FINISHED_DAY,
    ANOMALIES,
    LOOKS_SINCE,
    CLEAN_RUN,
    MEAN_ANOMALY,
    MAX_ANOMALY,
    LEVEL_BEFORE,
    CONFIDENCE,
    NOT_LOW_DAY,
    NOT_HIGH_DAY,
    LAST_LOOK_DAY,
    LOOKS,
    NOT_OBSERVED,
    NO_BASELINE,
    DISMISSED,
    ALERTS,
    LAST_BEFORE_DAY,
    LAST_FIRST_DAY,
    LAST_CONFIRMED_DAY,
    LAST_FINISHED_DAY,
    LAST_DIRECTION,
    LAST_ANOMALY,
) = range(len(FIELDS))

MOST = 65535
"""Counts stay here once they reach it."""


class AlertSettings(NamedTuple):
    """Numbers of the life cycle; see ``maps.watch.WatchRules`` for what they mean."""

    spreads: float
    min_anomaly: float
    full_anomaly: float
    confirm: float
    min_looks: int
    clean_looks: int
    clean_days: int
    reset_days: int
    watched_direction: int


@njit(nogil=True)
def _count(s, field):  # type: ignore[no-untyped-def]
    if s[field] < MOST:
        s[field] += 1


@njit(nogil=True)
def _clear_alert(s, stage):  # type: ignore[no-untyped-def]
    s[STAGE] = stage
    s[DIRECTION] = 0
    for field in range(BEFORE_DAY, ANOMALIES):
        s[field] = NO_DAY
    for field in range(ANOMALIES, NOT_LOW_DAY):
        s[field] = 0


@njit(nogil=True)
def _keep_alert(s, day):  # type: ignore[no-untyped-def]
    """Write down a confirmed alert that ends."""
    _count(s, ALERTS)
    s[LAST_BEFORE_DAY] = s[BEFORE_DAY]
    s[LAST_FIRST_DAY] = s[FIRST_DAY]
    s[LAST_CONFIRMED_DAY] = s[CONFIRMED_DAY]
    s[LAST_FINISHED_DAY] = day
    s[LAST_DIRECTION] = s[DIRECTION]
    s[LAST_ANOMALY] = s[MEAN_ANOMALY]


@njit(nogil=True)
def _begin_alert(s, sign, residual, expected, day):  # type: ignore[no-untyped-def]
    _clear_alert(s, FIRST)
    s[DIRECTION] = sign
    s[BEFORE_DAY] = s[NOT_LOW_DAY] if sign < 0 else s[NOT_HIGH_DAY]
    s[FIRST_DAY] = day
    s[LOOKS_SINCE] = 1
    _add_anomaly(s, residual, expected, day)


@njit(nogil=True)
def _add_anomaly(s, residual, expected, day):  # type: ignore[no-untyped-def]
    _count(s, ANOMALIES)
    n = s[ANOMALIES]
    s[MEAN_ANOMALY] = np.float32(s[MEAN_ANOMALY] + (residual - s[MEAN_ANOMALY]) / n)
    s[LEVEL_BEFORE] = np.float32(s[LEVEL_BEFORE] + (expected - s[LEVEL_BEFORE]) / n)
    if abs(residual) > abs(s[MAX_ANOMALY]):
        s[MAX_ANOMALY] = np.float32(residual)
    s[LAST_ANOMALY_DAY] = day
    s[CLEAN_RUN] = 0


@njit(nogil=True)
def _judge_confidence(s, day, rules):  # type: ignore[no-untyped-def]
    n = s[ANOMALIES]
    s[CONFIDENCE] = np.float32(100.0 * abs(s[MEAN_ANOMALY]) / rules.full_anomaly * n * n)
    if s[STAGE] == CONFIRMED or n < 2:
        return
    s[STAGE] = PROVISIONAL
    if n >= rules.min_looks and s[CONFIDENCE] >= rules.confirm:
        s[STAGE] = CONFIRMED
        s[CONFIRMED_DAY] = day


@njit(nogil=True)
def _clean_look(s, day, rules):  # type: ignore[no-untyped-def]
    _count(s, CLEAN_RUN)
    late = day - s[LAST_ANOMALY_DAY] >= rules.clean_days
    if s[CLEAN_RUN] < rules.clean_looks and not late:
        return
    if s[STAGE] == CONFIRMED:
        _keep_alert(s, day)
        s[STAGE] = FINISHED
        s[FINISHED_DAY] = day
    else:
        _count(s, DISMISSED)
        _clear_alert(s, NONE)


@njit(nogil=True)
def _expire(s, day, rules):  # type: ignore[no-untyped-def]
    """End what began more than the reset time ago."""
    if s[STAGE] == NONE or s[STAGE] == RESET or day - s[FIRST_DAY] <= rules.reset_days:
        return
    if s[STAGE] == CONFIRMED:
        _keep_alert(s, day)
        _clear_alert(s, RESET)
    else:
        if s[STAGE] != FINISHED:
            _count(s, DISMISSED)
        _clear_alert(s, NONE)


@njit(nogil=True)
def _sign_of(residual, limit, rules):  # type: ignore[no-untyped-def]
    if abs(residual) <= limit:
        return 0
    sign = -1 if residual < 0 else 1
    unwatched = rules.watched_direction != 0 and sign != rules.watched_direction
    return 0 if unwatched else sign


@njit(nogil=True)
def _could_tell(s, expected, limit):  # type: ignore[no-untyped-def]
    """Whether changed ground would differ from the season at all: built is bare in winter too."""
    changed = s[LEVEL_BEFORE] + s[MEAN_ANOMALY]
    return abs(changed - expected) > limit


@njit(nogil=True)
def _tells(value, ends, limit):  # type: ignore[no-untyped-def]
    """Whether a quiet look rules out a fall and a rise: fields lie bare in winter anyway."""
    low, high = ends
    flat = high - low <= limit
    return flat or value - low > limit, flat or high - value > limit


@njit(nogil=True)
def _judged_look(s, residual, expected, spread, ends, day, rules):  # type: ignore[no-untyped-def]
    limit = max(rules.min_anomaly, rules.spreads * spread)
    sign = _sign_of(residual, limit, rules)
    if s[STAGE] == NONE or s[STAGE] == FINISHED:
        if sign != 0:
            _begin_alert(s, sign, residual, expected, day)
            _judge_confidence(s, day, rules)
    else:
        _count(s, LOOKS_SINCE)
        if sign == s[DIRECTION]:
            _add_anomaly(s, residual, expected, day)
            _judge_confidence(s, day, rules)
        elif sign != 0 or _could_tell(s, expected, limit):
            _clean_look(s, day, rules)
    no_fall, no_rise = _tells(expected + residual, ends, limit)
    if sign > 0 or (sign == 0 and no_fall):
        s[NOT_LOW_DAY] = day
    if sign < 0 or (sign == 0 and no_rise):
        s[NOT_HIGH_DAY] = day


@njit(nogil=True)
def _look(s, value, expected, spread, ends, day, rules):  # type: ignore[no-untyped-def]
    if not math.isfinite(value):
        _count(s, NOT_OBSERVED)
        return
    if not (math.isfinite(expected) and math.isfinite(spread)):
        _count(s, NO_BASELINE)
        return
    _expire(s, day, rules)
    _count(s, LOOKS)
    s[LAST_LOOK_DAY] = day
    if s[STAGE] != RESET:
        _judged_look(s, value - expected, expected, spread, ends, day, rules)


@njit(nogil=True)
def _weighted(weights, values, y, x):  # type: ignore[no-untyped-def]
    """Sum over the parameters that count on this day; a missing one of these gives NaN."""
    total = 0.0
    for k in range(weights.shape[0]):
        if weights[k] != 0.0:
            total += weights[k] * values[k, y, x]
    return total


@njit(nogil=True)
def _year_ends(year_weights, level, y, x):  # type: ignore[no-untyped-def]
    """Lowest and highest level through the year, seasons without a baseline left out."""
    low, high = np.inf, -np.inf
    for t in range(year_weights.shape[0]):
        expected = _weighted(year_weights[t], level, y, x)
        if not math.isnan(expected):
            low, high = min(low, expected), max(high, expected)
    return low, high


@njit(nogil=True)
def _run(state, values, days, level, level_weights, spread, spread_weights, year_weights, rules):  # type: ignore[no-untyped-def]
    s = np.empty(state.shape[0], dtype=np.float64)
    for y in range(state.shape[1]):
        for x in range(state.shape[2]):
            for k in range(s.shape[0]):
                s[k] = state[k, y, x]
            ends = _year_ends(year_weights, level, y, x)
            for t in range(days.shape[0]):
                expected = _weighted(level_weights[t], level, y, x)
                wide = _weighted(spread_weights[t], spread, y, x)
                _look(s, values[t, y, x], expected, wide, ends, days[t], rules)
            for k in range(s.shape[0]):
                state[k, y, x] = s[k]


def advance_alerts(
    state: NDArray[np.float64],
    values: NDArray[np.float32],
    days: NDArray[np.int64],
    *,
    level: NDArray[np.float32],
    level_weights: NDArray[np.float64],
    spread: NDArray[np.float32],
    spread_weights: NDArray[np.float64],
    year_weights: NDArray[np.float64] | None = None,
    settings: AlertSettings,
) -> NDArray[np.float64]:
    """Feed looks, in the order of time, to the state of every pixel.

    Parameters
    ----------
    state : ndarray of float64, shape (len(FIELDS), y, x)
        As :func:`begin_alerts` makes it, or as left by the looks before.
    values : ndarray of float32, shape (time, y, x)
        NaN = not seen.
    days : ndarray of int64, shape (time,)
        Days since 1970-01-01, ascending, later than what the state has seen.
    level, spread : ndarray of float32, shape (parameter, y, x)
        Parameters of the expected level and of its spread; NaN = no baseline.
    level_weights, spread_weights : ndarray of float64, shape (time, parameter)
        What each parameter counts on each day; one of weight zero is not read.
    settings : AlertSettings

    Returns
    -------
    ndarray of float64, shape (len(FIELDS), y, x)
        The new state; the given one is left alone.

    Notes
    -----
    After the idea of OPERA DIST-ALERT: confidence is the running mean of the anomaly (in per cent
    of ``full_anomaly``) times the square of the number of anomalous looks. A look against the
    direction of an alert counts as a clean one; one of a season in which the changed ground would
    not differ from the baseline can clear nothing. An alert ends by clean looks (a confirmed one is
    kept as ``last_*``, others are dismissed) or by its age: a confirmed one then waits for a new
    baseline (``RESET``), because the ground it was measured against is gone. An unseen look moves
    one counter and nothing else.
    """
    out = state.copy()
    _run(
        out,
        np.ascontiguousarray(values, dtype=np.float32),
        np.ascontiguousarray(days, dtype=np.int64),
        np.ascontiguousarray(level, dtype=np.float32),
        np.ascontiguousarray(level_weights, dtype=np.float64),
        np.ascontiguousarray(spread, dtype=np.float32),
        np.ascontiguousarray(spread_weights, dtype=np.float64),
        np.empty((0, level.shape[0])) if year_weights is None else year_weights,
        settings,
    )
    return out


def begin_alerts(height: int, width: int) -> NDArray[np.float64]:
    """State before the first look."""
    state = np.zeros((len(FIELDS), height, width), dtype=np.float64)
    state[STAGE] = NONE
    for k, name in enumerate(_NAMES):
        if name.endswith("_day"):
            state[k] = NO_DAY
    return state


@njit(nogil=True)
def _median_of(values, n):  # type: ignore[no-untyped-def]
    part = np.sort(values[:n])
    return 0.5 * (part[(n - 1) // 2] + part[n // 2])


@njit(nogil=True)
def _season_medians(looks, members, counts, min_looks, scratch, out):  # type: ignore[no-untyped-def]
    for b in range(counts.shape[0]):
        n = 0
        for k in range(counts[b]):
            v = looks[members[b, k]]
            if math.isfinite(v):
                scratch[n] = v
                n += 1
        out[b] = _median_of(scratch, n) if n >= min_looks else np.nan


@njit(nogil=True)
def _distances(looks, place, level, out):  # type: ignore[no-untyped-def]
    """How far each look lies from the line between the seasons around it."""
    bins = level.shape[0]
    for t in range(looks.shape[0]):
        left = int(place[t])
        share = place[t] - left
        expected = (1.0 - share) * level[left % bins] + share * level[(left + 1) % bins]
        out[t] = abs(looks[t] - expected)


@njit(nogil=True)
def _widen(spread, scratch):  # type: ignore[no-untyped-def]
    """No season is narrower than the middle one: few looks agree by chance."""
    n = 0
    for b in range(spread.shape[0]):
        if not math.isnan(spread[b]):
            scratch[n] = spread[b]
            n += 1
    if n == 0:
        return
    middle = _median_of(scratch, n)
    for b in range(spread.shape[0]):
        if spread[b] < middle:
            spread[b] = middle


@njit(nogil=True)
def _seasons(values, place, members, counts, min_looks, level, spread):  # type: ignore[no-untyped-def]
    times, height, width = values.shape
    bins = counts.shape[0]
    looks = np.empty(times, dtype=np.float32)
    scratch = np.empty(max(times, bins), dtype=np.float32)
    one_level = np.empty(bins, dtype=np.float32)
    one_spread = np.empty(bins, dtype=np.float32)
    for y in range(height):
        for x in range(width):
            for t in range(times):
                looks[t] = values[t, y, x]
            _season_medians(looks, members, counts, min_looks, scratch, one_level)
            _distances(looks, place, one_level, looks)
            _season_medians(looks, members, counts, min_looks, scratch, one_spread)
            _widen(one_spread, scratch)
            for b in range(bins):
                level[b, y, x] = one_level[b]
                spread[b, y, x] = 1.4826 * one_spread[b]


def season_levels(
    values: NDArray[np.float32],
    days_of_year: NDArray[np.float64],
    *,
    bins: int,
    window_days: float,
    min_looks: int,
    year_days: float = 365.25,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median and spread of each season of the year.

    Parameters
    ----------
    values : ndarray of float32, shape (time, y, x)
        NaN = not seen.
    days_of_year : ndarray of float64, shape (time,)
        Place of each look in its year, days.
    bins : int
        Seasons of the year, evenly spaced; the first is centred on day 0.
    window_days : float
        A look counts for every season whose centre is at most this far, across New Year too.
    min_looks : int
        Fewer looks give NaN.
    year_days : float
        Length of the year, days.

    Returns
    -------
    level, spread : ndarray of float32, shape (bins, y, x)
        Median, and 1.4826 times the median distance of the looks from the straight line between
        the seasons around them (a normal spread's sigma), at least the median of the pixel's
        seasons. The slope of the season is thereby no part of the spread.
    """
    place = np.asarray(days_of_year, dtype=np.float64) / (year_days / bins)
    centres = np.arange(bins) * (year_days / bins)
    apart = np.abs(days_of_year[None, :] - centres[:, None]) % year_days
    near = np.minimum(apart, year_days - apart) <= window_days
    counts = near.sum(axis=1)
    members = np.zeros((bins, max(1, int(counts.max(initial=0)))), dtype=np.int64)
    for b in range(bins):
        members[b, : counts[b]] = np.flatnonzero(near[b])
    shape = (bins, *values.shape[1:])
    level, spread = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    looks = np.ascontiguousarray(values, dtype=np.float32)
    _seasons(looks, place, members, counts, min_looks, level, spread)
    return level, spread
