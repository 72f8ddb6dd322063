import numpy as np
import pytest

from rs_monitor.codes import AlertStatus
from rs_monitor.kernels import alerts
from rs_monitor.kernels.alerts import (
    FIELDS,
    NO_DAY,
    AlertSettings,
    advance_alerts,
    begin_alerts,
    season_levels,
)

RULES = AlertSettings(
    spreads=3.0,
    min_anomaly=0.1,
    full_anomaly=1.0,
    confirm=400.0,
    min_looks=2,
    clean_looks=2,
    clean_days=15,
    reset_days=365,
    watched_direction=0,
)
NAMES = [name for name, _ in FIELDS]
ONES = np.ones((1, 1, 1), dtype="float32")


def feed(looks, rules=RULES, state=None, level=0.8, spread=0.01):
    """Feed (day, value) pairs to one pixel; gives the state by name."""
    days = np.array([day for day, _ in looks], dtype=np.int64)
    values = np.array([value for _, value in looks], dtype="float32")[:, None, None]
    weights = np.ones((len(days), 1))
    new = advance_alerts(
        begin_alerts(1, 1) if state is None else state,
        values,
        days,
        level=level * ONES,
        level_weights=weights,
        spread=spread * ONES,
        spread_weights=weights,
        settings=rules,
    )
    return new, dict(zip(NAMES, new[:, 0, 0], strict=True))


def stages(looks, **options):
    return [int(feed(looks[: k + 1], **options)[1]["stage"]) for k in range(len(looks))]


def run(values, step=5, start=100):
    return [(start + step * k, value) for k, value in enumerate(values)]


def test_stages_of_the_kernel_are_the_codes():
    for name in ("FIRST", "PROVISIONAL", "CONFIRMED", "FINISHED", "RESET"):
        assert getattr(alerts, name) == AlertStatus[name]
    assert alerts.NONE == AlertStatus.NO_CHANGE
    assert len(FIELDS) == alerts.LAST_ANOMALY + 1
    assert [NAMES[getattr(alerts, name.upper())] for name in NAMES] == NAMES


@pytest.mark.parametrize(("loss", "look"), [(1.0, 2), (0.75, 3), (0.5, 3), (0.25, 4), (0.105, 7)])
def test_an_alert_confirms_on_the_look_of_dist_alert(loss, look):
    """Published in plain words: 100 % on look 2, 50-75 % on 3, 25 % on 4, 10 % on 7."""
    # a hair above, as float32 holds neither
    seen = run([1.0] + [1.0 - loss - 1e-4] * look)
    assert stages(seen, level=1.0)[-2:] == [
        AlertStatus.FIRST if look == 2 else AlertStatus.PROVISIONAL,
        AlertStatus.CONFIRMED,
    ]


def test_dates_of_a_confirmed_alert():
    _, s = feed(run([0.8, 0.8, np.nan, 0.3, 0.35, 0.3]))
    assert s["stage"] == AlertStatus.CONFIRMED
    # the change lies in (105, 115]: the look of day 110 saw nothing
    assert (s["before_day"], s["first_day"], s["confirmed_day"]) == (105, 115, 125)
    assert s["direction"] == -1
    assert s["mean_anomaly"] == pytest.approx(-0.4833, abs=1e-4)
    assert s["max_anomaly"] == pytest.approx(-0.5, abs=1e-6)
    assert s["level_before"] == pytest.approx(0.8)
    assert (s["anomalies"], s["looks_since"], s["looks"], s["not_observed"]) == (3, 3, 5, 1)
    assert s["confidence"] == pytest.approx(48.33 * 9, abs=0.1)


def test_without_a_look_before_the_interval_is_open():
    _, s = feed(run([0.3]))
    assert (s["before_day"], s["first_day"]) == (NO_DAY, 100)


def test_two_clean_looks_in_a_row_end_it():
    values = [0.8, 0.3, 0.3, 0.3, 0.8, 0.3, 0.8, 0.8]
    assert stages(run(values))[-4:] == [
        AlertStatus.CONFIRMED,  # one clean look
        AlertStatus.CONFIRMED,
        AlertStatus.CONFIRMED,
        AlertStatus.FINISHED,
    ]
    _, s = feed(run(values))
    assert (s["alerts"], s["dismissed"]) == (1, 0)
    assert (s["last_before_day"], s["last_first_day"], s["last_finished_day"]) == (100, 105, 135)
    assert (s["last_confirmed_day"], s["last_direction"]) == (115, -1)


@pytest.mark.parametrize(("gap", "ended"), [(14, False), (15, True)])
def test_one_late_clean_look_ends_it(gap, ended):
    _, s = feed([(100, 0.8), (105, 0.3), (105 + gap, 0.8)])
    assert s["stage"] == (AlertStatus.NO_CHANGE if ended else AlertStatus.FIRST)
    assert s["dismissed"] == ended


def test_a_finished_alert_starts_again():
    begun = [0.8, 0.3, 0.3, 0.3, 0.8, 0.8]
    _, s = feed(run([*begun, 0.3]))
    assert s["stage"] == AlertStatus.FIRST
    assert (s["before_day"], s["first_day"], s["alerts"]) == (125, 130, 1)
    assert s["last_first_day"] == 105
    assert s["finished_day"] == NO_DAY


def test_a_dismissed_alert_leaves_nothing_but_its_count():
    _, s = feed(run([0.8, 0.3, 0.8, 0.8]))
    assert s["stage"] == AlertStatus.NO_CHANGE
    assert (s["dismissed"], s["alerts"], s["anomalies"], s["direction"]) == (1, 0, 0, 0)
    assert (s["first_day"], s["last_first_day"]) == (NO_DAY, NO_DAY)


def test_a_year_resets():
    change = run([0.8, 0.3, 0.3, 0.3])
    assert stages([*change, (105 + 365, 0.3)])[-1] == AlertStatus.CONFIRMED
    _, s = feed([*change, (105 + 366, 0.3), (105 + 371, 0.3)])
    assert s["stage"] == AlertStatus.RESET
    assert (s["alerts"], s["last_first_day"], s["last_confirmed_day"]) == (1, 105, 115)
    assert (s["last_look_day"], s["looks"]) == (476, 6)
    # one that was never confirmed is dismissed, and the same look may begin another
    _, s = feed([(100, 0.8), (105, 0.3), (105 + 366, 0.3)])
    assert (s["stage"], s["first_day"], s["dismissed"]) == (AlertStatus.FIRST, 471, 1)


def test_the_other_direction_is_a_clean_look():
    _, s = feed(run([0.5, 0.1, 0.9, 0.9, 0.9], step=5), level=0.5)
    assert (s["dismissed"], s["direction"], s["stage"]) == (1, 1, AlertStatus.FIRST)
    # of the rise, day 105 is the last look known without it
    assert (s["before_day"], s["first_day"]) == (105, 120)


@pytest.mark.parametrize(("watched", "stage"), [(-1, AlertStatus.NO_CHANGE), (1, 2), (0, 2)])
def test_only_the_watched_direction_counts(watched, stage):
    rules = RULES._replace(watched_direction=watched)
    assert feed(run([0.5, 0.9]), rules, level=0.5)[1]["stage"] == stage


def test_anomalies_exceed_both_limits():
    assert feed(run([0.71]), spread=0.0)[1]["stage"] == AlertStatus.NO_CHANGE
    assert feed(run([0.69]), spread=0.0)[1]["stage"] == AlertStatus.FIRST
    assert feed(run([0.69]), spread=0.04)[1]["stage"] == AlertStatus.NO_CHANGE


def test_a_look_without_a_baseline_is_counted_apart():
    _, s = feed(run([0.8]), level=np.nan)
    assert (s["no_baseline"], s["looks"], s["not_observed"]) == (1, 0, 0)
    assert s["last_look_day"] == NO_DAY
    _, s = feed(run([np.nan]), level=np.nan)
    assert (s["no_baseline"], s["not_observed"]) == (0, 1)


def test_parameters_of_weight_zero_are_not_read():
    level = np.array([0.8, np.nan], dtype="float32")[:, None, None]
    weights = np.array([[1.0, 0.0], [0.5, 0.5]])
    new = advance_alerts(
        begin_alerts(1, 1),
        np.full((2, 1, 1), 0.8, dtype="float32"),
        np.array([1, 2]),
        level=level,
        level_weights=weights,
        spread=level,
        spread_weights=weights,
        settings=RULES,
    )
    assert (new[alerts.LOOKS, 0, 0], new[alerts.NO_BASELINE, 0, 0]) == (1, 1)


def test_counts_stay_at_their_end():
    state = begin_alerts(1, 1)
    state[alerts.NOT_OBSERVED] = alerts.MOST
    assert feed(run([np.nan]), state=state)[1]["not_observed"] == alerts.MOST


def test_the_given_state_is_left_alone():
    state = begin_alerts(1, 1)
    feed(run([0.3]), state=state)
    np.testing.assert_array_equal(state, begin_alerts(1, 1))


def test_seasons_against_numpy():
    rng = np.random.default_rng(5)
    values = rng.normal(0.5, 0.1, (40, 3, 2)).astype("float32")
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 0, 0] = np.nan
    days = np.sort(rng.uniform(0, 365.25, 40))
    level, spread = season_levels(values, days, bins=12, window_days=40.0, min_looks=3)
    centres = np.arange(13) * 365.25 / 12
    raw = np.full_like(spread, np.nan)
    for y, x in np.ndindex(3, 2):
        line = np.interp(days, centres, np.append(level[:, y, x], level[0, y, x]))
        distance = np.abs(values[:, y, x] - line)
        for b in range(12):
            apart = np.abs(days - centres[b])
            inside = np.minimum(apart, 365.25 - apart) <= 40.0
            seen = values[inside, y, x][np.isfinite(values[inside, y, x])]
            if len(seen) < 3:
                assert np.isnan(level[b, y, x])
                continue
            assert level[b, y, x] == pytest.approx(np.median(seen), abs=1e-7)
            known = distance[inside][np.isfinite(distance[inside])]
            raw[b, y, x] = 1.4826 * np.median(known) if len(known) >= 3 else np.nan
    for y, x in np.ndindex(3, 2):
        if (y, x) != (0, 0):
            widened = np.maximum(raw[:, y, x], np.nanmedian(raw[:, y, x]))
            np.testing.assert_allclose(spread[:, y, x], widened, atol=1e-6)
    assert np.isnan(level[:, 0, 0]).all()
    assert np.isnan(spread[:, 0, 0]).all()


def test_the_slope_of_the_season_is_no_spread():
    days = np.arange(0.0, 365.0, 5.0)
    values = (0.5 + 0.3 * np.sin(2 * np.pi * days / 365.25)).astype("float32")[:, None, None]
    _, spread = season_levels(values, days, bins=24, window_days=30.0, min_looks=3)
    assert spread.max() < 0.02
    # within the window itself the values differ by a third of the season's range
    assert np.ptp(values[:7]) > 0.1


def test_a_season_that_could_not_tell_clears_nothing():
    """Bare in winter like built ground: the look of a winter's day is no sign of recovery."""
    looks = run([0.8, 0.1, 0.1, 0.1, 0.12, 0.12, 0.12, 0.8, 0.8])
    level = np.array([0.8, 0.15], dtype="float32")[:, None, None]
    winter = np.isin(np.arange(9), [4, 5, 6])
    weights = np.stack([~winter, winter], axis=1).astype(float)

    def stage(count):
        new = advance_alerts(
            begin_alerts(1, 1),
            np.array([v for _, v in looks[:count]], dtype="float32")[:, None, None],
            np.array([d for d, _ in looks[:count]]),
            level=level,
            level_weights=weights[:count],
            spread=0 * level,
            spread_weights=weights[:count],
            settings=RULES,
        )
        return new[alerts.STAGE, 0, 0]

    assert [stage(count) for count in (4, 7, 9)] == [
        AlertStatus.CONFIRMED,
        AlertStatus.CONFIRMED,
        AlertStatus.FINISHED,
    ]


def test_the_window_reaches_across_new_year():
    values = np.full((3, 1, 1), 0.4, dtype="float32")
    days = np.array([355.0, 360.0, 5.0])
    level, _ = season_levels(values, days, bins=4, window_days=20.0, min_looks=3)
    np.testing.assert_array_equal(np.isfinite(level[:, 0, 0]), [True, False, False, False])
