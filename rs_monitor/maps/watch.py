"""Watching a place image by image: baseline, state, alerts, status on a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from rs_monitor.codes import AlertStatus
from rs_monitor.config.tables import Model
from rs_monitor.errors import GridMismatch, ModelMismatch, NoObservations
from rs_monitor.imagery.composites import only_clear
from rs_monitor.kernels.alerts import (
    FIELDS,
    NO_DAY,
    AlertSettings,
    advance_alerts,
    begin_alerts,
)
from rs_monitor.lazy import SPACE, map_pixels, reduce_time
from rs_monitor.maps.baseline import (
    LEVEL,
    SPREAD,
    BaselineRules,
    baseline_weights,
    day_number,
    day_numbers,
    fit_baseline,
    parameter_counts,
    require_unscaled,
)

CITATION = "after the idea of OPERA DIST-ALERT (NASA JPL, DIST-HLS product specification)"
YEAR = np.arange(0, 366, 5, dtype=np.int64)
_DIRECTIONS = {"both": 0, "loss": -1, "gain": 1}


class WatchRules(Model):
    """Thresholds of the alert life cycle."""

    direction: Literal["both", "loss", "gain"] = Field(description="which anomalies count")
    spreads: float = Field(ge=0, description="an anomaly exceeds this many spreads, and")
    min_anomaly: float = Field(ge=0, description="this much, in the unit of the values")
    full_anomaly: float = Field(gt=0, description="difference that counts as 100 per cent")
    confirm_confidence: float = Field(gt=0, description="mean anomaly in per cent x looks squared")
    min_looks: int = Field(ge=2, description="anomalous looks an alert needs to be confirmed")
    clean_looks: int = Field(ge=1, description="clean looks in a row that end an alert")
    clean_days: int = Field(ge=1, description="one clean look ends it this long after the anomaly")
    reset_days: int = Field(ge=1, description="age at which an alert ends in any case")
    stale_days: int = Field(ge=1, description="without a look for longer: not observed")
    baseline: BaselineRules

    def settings(self) -> AlertSettings:
        """Return the numbers as the kernel takes them."""
        return AlertSettings(
            spreads=self.spreads,
            min_anomaly=self.min_anomaly,
            full_anomaly=self.full_anomaly,
            confirm=self.confirm_confidence,
            min_looks=self.min_looks,
            clean_looks=self.clean_looks,
            clean_days=self.clean_days,
            reset_days=self.reset_days,
            watched_direction=_DIRECTIONS[self.direction],
        )


class MonitoringRules(Model):
    """A rule file of the monitoring."""

    id: str
    version: str
    basis: str = Field(description="documents the numbers come from")
    watch: WatchRules


def start_watch(
    values: xr.DataArray, clear: xr.DataArray, *, start: dt.date, rules: WatchRules
) -> xr.Dataset:
    """State before the first watched look: the baseline of earlier looks, and no alert.

    Parameters
    ----------
    values, clear
        See :func:`fit_baseline`; looks from ``start`` on are not read.
    start : date
        First day of the watch.
    rules : WatchRules

    Returns
    -------
    Dataset
        One variable per name of ``kernels.alerts.FIELDS`` (y, x), the baseline, and attributes:
        the rules, ``start`` and ``last_day`` (empty before the first look).
    """
    baseline = fit_baseline(values, clear, before=start, rules=rules.baseline)
    plane = baseline[LEVEL].isel(level=0, drop=True)

    def begin(v: NDArray[Any]) -> NDArray[np.float64]:
        return begin_alerts(*v.shape[-2:])

    packed = _fields(begin, plane.expand_dims("time"))
    marks = {"rules": rules.model_dump_json(), "start": start.isoformat(), "last_day": ""}
    return _unpacked(packed, baseline, marks)


def _fields(function: Any, stack: xr.DataArray) -> xr.DataArray:
    names = [name for name, _ in FIELDS]
    return reduce_time(
        function, stack, dtype=np.float64, name="state", attrs={}, layers=("field", names)
    )


def _unpacked(packed: xr.DataArray, baseline: xr.Dataset, marks: dict[str, str]) -> xr.Dataset:
    fields = {name: (SPACE, packed.data[k].astype(dtype)) for k, (name, dtype) in enumerate(FIELDS)}
    attrs = {**marks, "method": "watch", "citation": CITATION}
    return baseline[[LEVEL, SPREAD]].assign(fields).assign_attrs(attrs)


def update(
    state: xr.Dataset, values: xr.DataArray, seen: xr.DataArray, day: dt.date, rules: WatchRules
) -> xr.Dataset:
    """State after the image of one day.

    Parameters
    ----------
    state : Dataset
        Of :func:`start_watch` or of an earlier update.
    values : DataArray of float32
        y, x.
    seen : DataArray of bool
        Same dimensions; an unseen look only counts as not observed.
    day : date
        Of the image; all images of one day must come as one.
    rules : WatchRules
        Those the state was begun with.

    Returns
    -------
    Dataset
        The new state. The day of the last update gives the state itself, unchanged.

    Raises
    ------
    ModelMismatch
        If the state was begun with other rules.
    NoObservations
        If the day lies before the watch or before the last update.
    GridMismatch
        If image and state lie on different grids.
    """
    stamp = [np.datetime64(day, "ns")]
    return update_all(
        state, values.expand_dims(time=stamp), seen.expand_dims(time=stamp), rules=rules
    )


def update_all(
    state: xr.Dataset, values: xr.DataArray, clear: xr.DataArray, *, rules: WatchRules
) -> xr.Dataset:
    """State after several days; the same as their updates one by one.

    Parameters
    ----------
    state : Dataset
    values : DataArray of float32
        time, y, x; one image a day, ascending.
    clear : DataArray of bool
        Same dimensions.
    rules : WatchRules

    Returns
    -------
    Dataset
        The state itself where there is no image, or none of a new day.
    """
    require_unscaled(values)
    days = day_numbers(values["time"].values)
    _require_rules(state, rules)
    if not len(days):
        return state
    _require_order(state, days)
    new = days > _last_number(state)
    if not new.any():
        return state
    days = days[new]
    packed = _packed(state, only_clear(values.isel(time=new), clear.isel(time=new)))
    function = partial(_advance_block, days=days, rules=rules)
    marks = {
        "rules": state.attrs["rules"],
        "start": state.attrs["start"],
        "last_day": str(days[-1].astype("M8[D]")),
    }
    return _unpacked(_fields(function, packed), state, marks)


def _require_rules(state: xr.Dataset, rules: WatchRules) -> None:
    if state.attrs["rules"] != rules.model_dump_json():
        raise ModelMismatch(
            f"got rules {rules.model_dump_json()} for a state of {state.attrs['rules']}; needed "
            "the same; replay the looks under the new rules"
        )


def _last_number(state: xr.Dataset) -> int:
    last = state.attrs["last_day"]
    return day_number(dt.date.fromisoformat(last)) if last else NO_DAY


def _require_order(state: xr.Dataset, days: NDArray[np.int64]) -> None:
    first = days[0].astype("M8[D]")
    if np.any(np.diff(days) <= 0):
        raise NoObservations(
            f"got {len(days)} images from {first} that are not one a day, ascending; needed days "
            "in order; sort them and merge those of one day"
        )
    last, start = state.attrs["last_day"], state.attrs["start"]
    if days[0] < _last_number(state) or str(first) < start:
        raise NoObservations(
            f"got an image of {first}; needed one of {last or start} or later; replay all looks to "
            "take in an older one"
        )


def _packed(state: xr.Dataset, looks: xr.DataArray) -> xr.DataArray:
    """State, baseline and looks as layers of one array, so that any chunking carries all."""
    if looks.dims != ("time", *SPACE):
        raise GridMismatch(f"got an image of {looks.dims}; needed time, y, x; transpose it")
    ours, theirs = (grid.coords.get("spatial_ref") for grid in (state, looks))
    if ours is not None and theirs is not None and ours.attrs != theirs.attrs:
        raise GridMismatch("got an image of another CRS; needed that of the state; reproject it")
    for dim in ("y", "x"):
        if not np.array_equal(state[dim].values, looks[dim].values):
            raise GridMismatch(
                f"got an image whose {dim} coordinates differ from the state's; needed one grid; "
                "load it on the grid of the watch"
            )
    fields = np.stack([state[name].data.astype(np.float64) for name, _ in FIELDS])
    layers = np.concatenate([fields, state[LEVEL].data, state[SPREAD].data, looks.data])
    keep = {name: coord for name, coord in looks.coords.items() if coord.dims != ("time",)}
    return xr.DataArray(layers, dims=("time", *SPACE), coords=keep)


def _advance_block(
    packed: NDArray[np.float64], *, days: NDArray[np.int64], rules: WatchRules
) -> NDArray[np.float64]:
    levels, spreads = parameter_counts(rules.baseline)
    cuts = np.cumsum([len(FIELDS), levels, spreads])
    state, level, spread, looks = np.split(packed, cuts)
    level_weights, spread_weights = baseline_weights(days, rules.baseline)
    return advance_alerts(
        state,
        looks.astype(np.float32),
        days,
        level=level.astype(np.float32),
        level_weights=level_weights,
        spread=spread.astype(np.float32),
        spread_weights=spread_weights,
        year_weights=baseline_weights(YEAR, rules.baseline)[0],
        settings=rules.settings(),
    )


def replay(
    values: xr.DataArray,
    clear: xr.DataArray,
    *,
    start: dt.date,
    as_of: dt.date,
    rules: WatchRules,
) -> xr.Dataset:
    """State as it stood at the end of a day; later images, there or not, do not move it.

    Parameters
    ----------
    values : DataArray of float32
        time, y, x; one image a day, ascending.
    clear : DataArray of bool
        Same dimensions.
    start : date
        First day of the watch; looks before make the baseline.
    as_of : date
        Last day that counts.
    rules : WatchRules

    Returns
    -------
    Dataset
        See :func:`start_watch`.
    """
    known = day_numbers(values["time"].values) <= day_number(as_of)
    values, clear = values.isel(time=known), clear.isel(time=known)
    watched = day_numbers(values["time"].values) >= day_number(start)
    state = start_watch(values, clear, start=start, rules=rules)
    if not watched.any():
        return state
    return update_all(state, values.isel(time=watched), clear.isel(time=watched), rules=rules)


def renew_baseline(
    state: xr.Dataset, values: xr.DataArray, clear: xr.DataArray, *, rules: WatchRules
) -> xr.Dataset:
    """Give pixels that wait for one a new baseline, of the looks since their change was confirmed.

    Parameters
    ----------
    state : Dataset
    values : DataArray of float32
        time, y, x; looks after the state's last day are not read.
    clear : DataArray of bool
        Same dimensions.
    rules : WatchRules

    Returns
    -------
    Dataset
        Pixels that were reset and now have a baseline in any season are watched again; all others
        are as before.
    """
    _require_rules(state, rules)
    if not state.attrs["last_day"]:
        return state
    until = dt.date.fromisoformat(state.attrs["last_day"]) + dt.timedelta(days=1)
    stamps = xr.DataArray(day_numbers(values["time"].values), dims="time")
    after = clear & (stamps > state["last_confirmed_day"])
    fresh = fit_baseline(
        values, after.transpose("time", "y", "x"), before=until, rules=rules.baseline
    )
    due = (state["stage"] == AlertStatus.RESET) & fresh[LEVEL].notnull().any("level")
    renewed: dict[str, xr.DataArray] = {
        name: fresh[name].where(due, state[name]).transpose(dim, "y", "x")
        for name, dim in ((LEVEL, "level"), (SPREAD, "width"))
    }
    stage = state["stage"].where(~due, np.uint8(AlertStatus.NO_CHANGE))
    return state.assign({"stage": stage, **renewed})


def status_as_of(state: xr.Dataset, day: dt.date, rules: WatchRules) -> xr.DataArray:
    """Status of each pixel on a day.

    Parameters
    ----------
    state : Dataset
        As of ``day`` or of an earlier one.
    day : date
        Day of the statement.
    rules : WatchRules

    Returns
    -------
    DataArray of uint8
        y, x; values of ``AlertStatus``. A pixel without an open alert and without a look for
        ``stale_days`` is ``NOT_OBSERVED``; an open alert stands whatever the sky.

    Raises
    ------
    NoObservations
        If the state has seen later days.
    """
    if day_number(day) < _last_number(state):
        raise NoObservations(
            f"got a state of {state.attrs['last_day']} for {day}; needed one no later; replay the "
            "looks as of that day"
        )
    cut = day_number(day) - rules.stale_days

    def judge(
        stage: NDArray[Any], last: NDArray[Any], looks: NDArray[Any], unjudged: NDArray[Any]
    ) -> NDArray[np.uint8]:
        quiet = (stage == AlertStatus.NO_CHANGE) | (stage == AlertStatus.FINISHED)
        out = np.where(quiet & (last < cut), AlertStatus.NOT_OBSERVED, stage)
        out[(looks == 0) & (unjudged > 0)] = AlertStatus.NO_BASELINE
        return out.astype(np.uint8)

    fields = [state[name] for name in ("stage", "last_look_day", "looks", "no_baseline")]
    attrs = {
        "flag_values": [int(status) for status in AlertStatus],
        "flag_meanings": " ".join(status.name.lower() for status in AlertStatus),
        "method": "watch",
        "citation": CITATION,
        "as_of": day.isoformat(),
    }
    return map_pixels(judge, *fields, dtype=np.uint8, name="alert_status", attrs=attrs)


_RECORD: Sequence[tuple[str, str, str]] = (
    ("change_after_day", "before_day", "last_before_day"),
    ("change_until_day", "first_day", "last_first_day"),
    ("confirmed_day", "confirmed_day", "last_confirmed_day"),
    ("direction", "direction", "last_direction"),
    ("anomaly", "mean_anomaly", "last_anomaly"),
)


def confirmed_change(state: xr.Dataset) -> xr.Dataset:
    """What is known of the confirmed change of each pixel: the open one, else the last that ended.

    Parameters
    ----------
    state : Dataset

    Returns
    -------
    Dataset
        ``change_after_day`` (last look that rules it out; exclusive) and ``change_until_day``
        (first look with it; inclusive) hold the date of change between them; ``confirmed_day`` is
        when the looks sufficed, which is not the date of change; ``direction`` is the sign, and
        ``anomaly`` the mean difference from the baseline in the unit of the values. Days since
        1970-01-01; ``kernels.alerts.NO_DAY`` and 0 where nothing was confirmed. A
        ``change_after_day`` of ``NO_DAY`` beside a day of confirmation means that no watched look
        before the anomaly ruled it out: the change may be older than the watch.
    """
    open_now = state["stage"] == AlertStatus.CONFIRMED
    record = {
        name: state[now].where(open_now, state[last]).rename(name) for name, now, last in _RECORD
    }
    attrs = {"method": "watch", "citation": CITATION, "as_of": state.attrs["last_day"]}
    return xr.Dataset(record, attrs=attrs)
