"""Known changes planted into real series: who finds them, how soon, and who cries wolf.

``python -m benchmarks planted_changes`` prints the tables; ``--simulated`` prints the table of
simulated series the thresholds of the watch were chosen on.
"""

import argparse
import datetime as dt
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from numpy.typing import NDArray

from benchmarks.tables import markdown
from rs_monitor.config.rules import load_rules
from rs_monitor.maps.breaks import BreakRules, bfast_monitor, ccdc, ccdc_monitor
from rs_monitor.maps.monitoring import ChartRules, monitor
from rs_monitor.maps.watch import MonitoringRules, WatchRules, start_watch, update
from rs_monitor.synthetic.planted import change_days, plant, simulated_series

SEED = 20
PIXELS = 600
CASES = (
    ("step", 0.1),
    ("step", 0.2),
    ("step", 0.4),
    ("ramp", 0.2),
    ("ramp", 0.4),
    ("seasonal_shift", 30.0),
    ("seasonal_shift", 60.0),
)
LEAD_DAYS, TAIL_DAYS = 30, 180
"""Changes are planted this long after the start and before the end of the monitored period."""


@dataclass(frozen=True)
class Series:
    """Series of one place; ``values`` (time, pixel), NaN = not seen."""

    name: str
    values: NDArray[np.float32]
    days: NDArray[np.int64]
    start: int

    @property
    def history(self) -> int:
        return int((self.days < self.start).sum())

    @property
    def history_looks(self) -> NDArray[np.int64]:
        return np.isfinite(self.values[: self.history]).sum(axis=0)


@dataclass(frozen=True)
class Alarms:
    """Every alarm: pixel, day it was sure, day it gives the change."""

    pixel: NDArray[np.int64]
    sure: NDArray[np.float64]
    change: NDArray[np.float64]
    one_only: bool


Method = Callable[[Series], Alarms]


def _read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as source:
        return source.read()


def _days(path: Path, column: str) -> NDArray[np.int64]:
    return pd.to_datetime(pd.read_csv(path)[column]).to_numpy().astype("M8[D]").astype(np.int64)


def slovenia(shared: Path) -> Series:
    folder = shared / "slovenia_eopatch"
    values = _read(folder / "ndvi_68dates.tif").astype(np.float32)
    values[_read(folder / "cloudmask_68dates.tif") != 0] = np.nan
    days = _days(folder / "dates.csv", "datetime")
    # two looks of one day: the first one counts
    new = np.diff(days, prepend=days[0] - 1) > 0
    return _series("Slovenia", values[new], days[new], "2016-10-01")


def mato_grosso(shared: Path) -> Series:
    folder = shared / "mato_grosso_modis_timeseries"
    numbers = _read(folder / "ndvi_137dates.tif")
    values = np.where(numbers == -32768, np.nan, numbers * 1e-4).astype(np.float32)
    return _series("Mato Grosso", values, _days(folder / "dates.csv", "date"), "2010-09-01")


def colorado(shared: Path) -> Series:
    folder = shared / "colorado_landsat_timeseries"
    red, nir = (_read(folder / f"{band}_105dates.tif").astype(np.float32) for band in ("b3", "b4"))
    clear = _read(folder / "fmask_105dates.tif") == 0
    sound = clear & (red > 0) & (nir > 0) & (red < 16000) & (nir < 16000)
    values = np.where(sound, (nir - red) / np.where(sound, nir + red, 1), np.nan)
    return _series("Colorado", values, _days(folder / "dates.csv", "date"), "2011-01-01")


def simulated(_: Path) -> Series:
    days = np.arange("2019-01-01", "2024-01-01", 8, dtype="M8[D]").astype(np.int64)
    values = simulated_series(np.random.default_rng(SEED), days, 1000)
    return _series("simulated", values[:, None], days, "2022-01-01")


def _series(name: str, values: Any, days: Any, start: str) -> Series:
    flat = values.reshape(len(values), -1).astype(np.float32)
    return Series(name, flat, days, int(np.datetime64(start, "D").astype(int)))


SITES = {"slovenia": slovenia, "mato_grosso": mato_grosso, "colorado": colorado}


def sampled(series: Series, count: int) -> Series:
    """Some of the pixels, in an order that mixes the place."""
    rng = np.random.default_rng(SEED)
    kept = rng.permutation(series.values.shape[1])[:count]
    values = np.ascontiguousarray(series.values[:, kept])
    return Series(series.name, values, series.days, series.start)


def as_cube(series: Series, name: str = "ndvi") -> xr.DataArray:
    """The series as one row of pixels."""
    times = series.days.astype("M8[D]").astype("M8[ns]")
    coords = {"time": times, "y": [0.0], "x": np.arange(series.values.shape[1]) * 10.0}
    return xr.DataArray(series.values[:, None, :], coords, ("time", "y", "x"), name=name)


def first_day(series: Series) -> dt.date:
    return np.datetime64(series.start, "D").item()


def _firsts(sure: Any, after: Any, until: Any) -> Alarms:
    """First alarms; the change is taken to lie in the middle of (after, until]."""
    sure, after, until = (np.asarray(part).ravel().astype(float) for part in (sure, after, until))
    found = np.flatnonzero(np.isfinite(sure))
    return Alarms(found, sure[found], ((after + until) / 2)[found], True)


@cache
def chart_rules() -> ChartRules:
    return load_rules("charts", Path(), ChartRules)


def chart(series: Series, method: str) -> Alarms:
    start = first_day(series)
    found = monitor(as_cube(series), start=start, method=method, rules=chart_rules())
    signal = found["signal_day"]
    return _firsts(signal, found["previous_look_day"], signal)


@cache
def break_rules() -> BreakRules:
    return load_rules("breaks", Path(), BreakRules)


def bfast(series: Series) -> Alarms:
    rules = break_rules().bfast_monitor
    found = bfast_monitor(as_cube(series), start=first_day(series), rules=rules)
    return _firsts(found["break_day"], found["previous_look_day"], found["break_day"])


def ccdc_one_band(series: Series) -> Alarms:
    rules = break_rules().ccdc_monitor
    found = ccdc_monitor(as_cube(series), start=first_day(series), rules=rules)
    return _firsts(found["break_day"], found["previous_look_day"], found["first_outlier_day"])


def ccdc_latest(series: Series) -> Alarms:
    """All looks at once; sure on the last of the consecutive looks that make a break."""
    rules = break_rules().ccdc.model_copy(
        update={"detection": ("ndvi",), "screened": (), "valid": (-1.0, 1.0)}
    )
    found = ccdc(as_cube(series).to_dataset(), bands=["ndvi"], rules=rules)
    at = found["break_day"].values.ravel()
    seen = np.isfinite(series.values) & (series.days[:, None] >= at)
    sure = np.full(len(at), np.nan)
    for pixel in np.flatnonzero(seen.sum(axis=0) >= rules.consecutive):
        sure[pixel] = series.days[np.flatnonzero(seen[:, pixel])[rules.consecutive - 1]]
    return _firsts(sure, found["previous_look_day"], at)


@cache
def watch_rules() -> WatchRules:
    return load_rules("monitoring", Path(), MonitoringRules).watch


def watch(series: Series, rules: WatchRules | None = None) -> Alarms:
    """Feed look by look and note each alert when it is confirmed."""
    rules = watch_rules() if rules is None else rules
    cube = as_cube(series)
    clear = cube.notnull()
    state = start_watch(cube, clear, start=first_day(series), rules=rules)
    found: list[tuple[Any, Any, Any]] = []
    for k in range(series.history, len(series.days)):
        today = series.days[k]
        day: dt.date = today.astype("M8[D]").item()
        state = update(state, cube[k], clear[k], day, rules)
        new = np.flatnonzero(state["confirmed_day"].values[0] == today)
        after, until = (state[name].values[0, new] for name in ("before_day", "first_day"))
        # without a look before, the change may have come at any time since the start
        middle = (np.maximum(after, series.start - 1) + until) / 2
        found.append((new, np.full(len(new), float(today)), middle))
    pixel, sure, change = (np.concatenate(part) for part in zip(*found, strict=True))
    return Alarms(pixel, sure, change, False)


def watch_harmonic(series: Series) -> Alarms:
    rules = watch_rules()
    baseline = rules.baseline.model_copy(update={"kind": "harmonic"})
    return watch(series, rules.model_copy(update={"baseline": baseline}))


METHODS: dict[str, Method] = {
    "ewma": partial(chart, method="ewma"),
    "cusum": partial(chart, method="cusum"),
    "mosum": partial(chart, method="mosum"),
    "bfast_monitor": bfast,
    "ccdc_monitor": ccdc_one_band,
    "ccdc": ccdc_latest,
    "watch": watch,
    "watch, harmonic": watch_harmonic,
}


def needed_looks(method: str) -> int:
    """Least looks of the history each method's own rules ask for."""
    if method in {"ewma", "cusum", "mosum"}:
        return chart_rules().history.min_looks()
    if method == "bfast_monitor":
        return break_rules().bfast_monitor.min_looks
    if method == "ccdc":
        return break_rules().ccdc.least_looks
    if method == "ccdc_monitor":
        rules = break_rules().ccdc_monitor
        return round(rules.looks_per_regressor * (2 + 2 * rules.order))
    baseline = watch_rules().baseline
    return baseline.min_looks if method == "watch" else baseline.min_fit_looks


def missing_history(series: Series, method: str) -> str:
    """Why a method cannot be judged on a series; empty if it can."""
    looks, needed = float(np.median(series.history_looks)), needed_looks(method)
    if series.start - series.days[0] < 365:
        return "the history is shorter than a year"
    return "" if looks >= needed else f"the history has {looks:.0f} looks, {needed} are needed"


def scored(
    alarms: Alarms, planted: NDArray[np.bool_], at: NDArray[np.int64], start: int
) -> dict[str, float]:
    """Count pixels: a hit is a planted one whose first alarm since its change was not before it."""
    first = np.full(len(planted), np.inf)
    change = np.full(len(planted), np.nan)
    early = np.zeros(len(planted), dtype=bool)
    order = np.argsort(-alarms.sure, kind="stable")
    for pixel, sure, day in zip(
        alarms.pixel[order], alarms.sure[order], alarms.change[order], strict=True
    ):
        if sure < start:
            continue
        if not planted[pixel] or sure < at[pixel]:
            early[pixel] = True
        else:
            first[pixel], change[pixel] = sure, day
    hit = planted & np.isfinite(first)
    false = int(early.sum())
    precision, recall = hit.sum() / max(hit.sum() + false, 1), hit.sum() / max(planted.sum(), 1)
    error, delay = np.abs(change - at)[hit], (first - at)[hit]
    enough = hit.sum() >= 5
    return {
        "F1": round(2 * precision * recall / max(precision + recall, 1e-9), 2),
        "recall": round(recall, 2),
        "precision": round(precision, 2),
        "date error, days": round(float(np.median(error))) if enough else np.nan,
        "p90": round(float(np.quantile(error, 0.9))) if enough else np.nan,
        "delay, days": round(float(np.median(delay))) if enough else np.nan,
    }


def case_seed(name: str, kind: str, magnitude: float) -> int:
    return zlib.crc32(f"{SEED} {name} {kind} {magnitude}".encode())


def planted_rows(series: Series) -> Iterator[dict[str, Any]]:
    """One row per change and method: half of the pixels are changed, half are left alone."""
    count = series.values.shape[1]
    for kind, magnitude in CASES:
        rng = np.random.default_rng(case_seed(series.name, kind, magnitude))
        chosen = np.zeros(count, dtype=bool)
        chosen[rng.permutation(count)[: count // 2]] = True
        first, last = series.start + LEAD_DAYS, int(series.days[-1]) - TAIL_DAYS
        at = change_days(rng, count, first=first, last=last)
        changed = plant(series.values, series.days, at, kind=kind, magnitude=magnitude)
        values = np.where(chosen, changed, series.values).astype(np.float32)
        case = Series(series.name, values, series.days, series.start)
        unit = " days" if kind == "seasonal_shift" else ""
        for name, method in METHODS.items():
            row = {"series": series.name, "change": f"{kind.replace('_', ' ')} {magnitude:g}{unit}"}
            yield (
                row
                | {"method": name}
                | outcome(
                    case, name, method, lambda a, c=chosen, t=at: scored(a, c, t, series.start)
                )
            )


def untouched_rows(series: Series) -> Iterator[dict[str, Any]]:
    """False alarms on the series as they are."""
    for name, method in METHODS.items():
        row = {"series": series.name, "pixels": series.values.shape[1], "method": name}
        yield row | outcome(series, name, method, lambda a: false_alarms(a, series))


def false_alarms(alarms: Alarms, series: Series) -> dict[str, float]:
    """Alarms per 1,000 pixel-years; one that stops at its first alarm is counted until then."""
    late = alarms.sure >= series.start
    end = np.full(series.values.shape[1], float(series.days[-1]))
    if alarms.one_only:
        end[alarms.pixel[late]] = alarms.sure[late]
    years = float((end - series.start).sum()) / 365.25
    alarmed = len(np.unique(alarms.pixel[late]))
    return {
        "pixel-years": round(years),
        "alarms": int(late.sum()),
        "per 1,000 pixel-years": round(1000 * late.sum() / years, 1),
        "pixels with one, %": round(100 * alarmed / len(end), 1),
    }


def outcome(
    series: Series, name: str, method: Method, score: Callable[[Alarms], dict[str, float]]
) -> dict[str, Any]:
    reason = missing_history(series, name)
    return {"note": f"not evaluated: {reason}"} if reason else score(method(series)) | {"note": ""}


def looks_rows(all_series: list[Series]) -> Iterator[dict[str, Any]]:
    for series in all_series:
        seen = np.isfinite(series.values)
        yield {
            "series": series.name,
            "pixels": series.values.shape[1],
            "dates": len(series.days),
            "monitored from": str(np.datetime64(series.start, "D")),
            "to": str(np.datetime64(int(series.days[-1]), "D")),
            "clear looks of the history": round(float(np.median(series.history_looks))),
            "and after": round(float(np.median(seen[series.history :].sum(axis=0)))),
        }


CHOICES = [
    (kind, spreads, least)
    for kind in ("same_season", "harmonic")
    for spreads in (2.0, 3.0, 4.0)
    for least in (0.06, 0.1, 0.14)
]


def choice_rows(series: Series) -> Iterator[dict[str, Any]]:
    """Thresholds of the watch on simulated series: false alarms beside a step of 0.2."""
    rng = np.random.default_rng(SEED + 1)
    count = series.values.shape[1]
    first, last = series.start + LEAD_DAYS, int(series.days[-1]) - TAIL_DAYS
    at = change_days(rng, count, first=first, last=last)
    changed = plant(series.values, series.days, at, kind="step", magnitude=0.2)
    case = Series(series.name, changed, series.days, series.start)
    shipped = watch_rules()
    for kind, spreads, least in CHOICES:
        baseline = shipped.baseline.model_copy(update={"kind": kind})
        rules = shipped.model_copy(
            update={"spreads": spreads, "min_anomaly": least, "baseline": baseline}
        )
        hits = scored(watch(case, rules), np.ones(count, dtype=bool), at, series.start)
        false = false_alarms(watch(series, rules), series)
        yield {
            "baseline": kind,
            "spreads": spreads,
            "min_anomaly": least,
            "per 1,000 pixel-years": false["per 1,000 pixel-years"],
            "recall of step 0.2": hits["recall"],
            "delay, days": hits["delay, days"],
        }


def table(rows: Iterator[dict[str, Any]]) -> str:
    return markdown(pd.DataFrame(list(rows)).fillna(""))


def shared_folder() -> Path:
    named = os.environ.get("RS_MONITOR_SHARED_DATA")
    return Path(named) if named else Path(__file__).parents[2] / "shared" / "data"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="planted_changes", description=__doc__)
    parser.add_argument("--data", type=Path, default=shared_folder())
    parser.add_argument("--quick", action="store_true", help="60 pixels of each series")
    parser.add_argument("--simulated", action="store_true", help="table of the thresholds")
    given = parser.parse_args(arguments)
    if given.simulated:
        print(table(choice_rows(simulated(given.data))))
        return
    count = 60 if given.quick else PIXELS
    all_series = [sampled(site(given.data), count) for site in SITES.values()]
    print(table(looks_rows(all_series)), "\n")
    print(table(row for series in all_series for row in planted_rows(series)), "\n")
    print(table(row for series in all_series for row in untouched_rows(series)))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
