"""CCDC with a stable history against nrt: same regressors, all break dates compared."""

import datetime as dt
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.race import (
    THREADS,
    Disagreement,
    Entrant,
    Goal,
    Line,
    in_dask_threads,
    kernel_in_threads,
    markdown,
    race,
    strips_of,
)
from benchmarks.series import DATES, DAYS, EDGE_PX, HISTORY, QUICK_EDGE_PX, make_series
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.kernels.harmonic import harmonic_regressors
from rs_monitor.kernels.stable_fit import BREAK_DAY, LAYERS, monitor_stable_fit
from rs_monitor.maps.breaks import BreakRules, ccdc_monitor

STAGE = "ccdc"
PEER = "nrt CCDC, stable fit (2)"
Answer = NDArray[np.float32]


def bare(values: NDArray[np.float32]) -> Callable[[], Answer]:
    """The kernel over strips in two threads, with nrt's year and drift."""
    out = np.empty((len(LAYERS), *values.shape[1:]), dtype=np.float32)
    design = harmonic_regressors(DAYS, order=2, trend=True, year="calendar")

    def kernel(part: NDArray[np.float32], into: NDArray[np.float32]) -> None:
        monitor_stable_fit(
            part, DAYS, design, history=HISTORY, limit=3.0, consecutive=3, looks_per_regressor=1.5,
            drift="day", out=into,
        )  # fmt: skip

    run = kernel_in_threads(kernel, list(strips_of(values, out, count=THREADS)))

    def answer() -> Answer:
        run()
        return out[BREAK_DAY]

    return answer


def public(values: NDArray[np.float32]) -> Callable[[], Answer]:
    """The function on chunks, with nrt's year and drift."""
    edge = values.shape[1]
    stack = xr.DataArray(
        values,
        dims=("time", "y", "x"),
        coords={"time": DATES.astype("M8[ns]"), "y": np.arange(edge), "x": np.arange(edge)},
    ).chunk({"time": -1, "y": edge // THREADS, "x": -1})
    rules = load_table(data_root() / "configs" / "rules" / "breaks.toml", BreakRules).ccdc_monitor
    rules = rules.model_copy(update={"drift": "day", "year": "calendar"})
    start: dt.date = DATES[HISTORY].item()
    run = in_dask_threads(lambda: ccdc_monitor(stack, start=start, rules=rules))
    return lambda: run()["break_day"].values


def nrt_ccdc(values: NDArray[np.float32]) -> Callable[[], Answer]:
    edge = values.shape[1]
    history = xr.DataArray(
        values[:HISTORY],
        dims=("time", "y", "x"),
        coords={
            "time": DATES[:HISTORY].astype("M8[ns]"),
            "y": np.arange(edge),
            "x": np.arange(edge),
        },
    )

    def run() -> Answer:
        from nrt.monitor.ccdc import CCDC

        model = CCDC(trend=True, harmonic_order=2, sensitivity=3, boundary=3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(history, method="CCDC-stable", screen_outliers=None, n_threads=THREADS)
            for look, day in zip(values[HISTORY:], DATES[HISTORY:], strict=True):
                model.monitor(look, dt.datetime.combine(day.item(), dt.time()))
        return np.where(model.mask == 3, model.detection_date, np.nan).astype(np.float32)

    return run


def agreement(ours: Answer, theirs: Answer) -> str:
    equal = np.mean((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))
    if equal < 0.98:
        raise Disagreement(f"only {equal:.2%} of the break dates are equal")
    return f"{equal:.3%} of break dates equal"


def lines(*, quick: bool) -> list[Line]:
    values = make_series(QUICK_EDGE_PX if quick else EDGE_PX)
    return race(
        STAGE,
        [
            Entrant("kernel monitor_stable_fit (2)", bare(values)),
            Entrant("ccdc_monitor (2)", public(values)),
        ],
        [Entrant(PEER, nrt_ccdc(values))],
        units=values[0].size,
        agreement=agreement,
        goals=[Goal(PEER, 8)],
        quick=quick,
    )


def main(arguments: Sequence[str]) -> int:
    print(markdown(lines(quick="--quick" in arguments)))
    return 0


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
