"""BFAST-Monitor against bfast 0.7 on the CPU: same season and boundary, all breaks compared."""

import datetime as dt
import warnings
from collections.abc import Callable, Sequence
from typing import Any

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
from rs_monitor.kernels.bfast_monitor import BREAK_DAY, LAYERS, MAGNITUDE, monitor_breaks
from rs_monitor.kernels.boundaries import monitoring_mosum_critical
from rs_monitor.maps.breaks import BreakRules, bfast_monitor

STAGE = "bfast_monitor"
NODATA = -32768
OPENCL, PYTHON = "bfast 0.7, OpenCL on the CPU (2)", "bfast 0.7, python (1)"
FEW_ROWS = 8
"""Rows that the python backend does."""

Answer = tuple[NDArray[Any], NDArray[Any]]


def as_integers(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """The series as bfast takes them: int16."""
    return np.where(np.isnan(values), NODATA, np.round(1e4 * values)).astype(np.int16)


def day_of_series() -> NDArray[np.float64]:
    return DAYS - DATES[0].astype("M8[Y]").astype("M8[D]").astype(float)


def bare(values: NDArray[np.int16]) -> Callable[[], Answer]:
    """The kernel over strips in two threads, with the regressors and the clock of bfast."""
    day = day_of_series()
    angles = 2 * np.pi * day / 365 * np.arange(1, 4)[:, None]
    design = np.vstack([np.ones_like(day), day, np.sin(angles), np.cos(angles)])
    out = np.empty((len(LAYERS), *values.shape[1:]), dtype=np.float32)
    critical = monitoring_mosum_critical(0.05, 0.25, 10)
    ratios = day[HISTORY:] / day[HISTORY - 1]

    def kernel(part: NDArray[np.int16], into: NDArray[np.float32]) -> None:
        monitor_breaks(
            part, DAYS, design, history=HISTORY, window_share=0.25, critical=critical,
            ratios=ratios, nodata=NODATA, out=into,
        )  # fmt: skip

    run = kernel_in_threads(kernel, list(strips_of(values, out, count=THREADS)))

    def answer() -> Answer:
        run()
        return out[BREAK_DAY], out[MAGNITUDE]

    return answer


def public(values: NDArray[np.int16]) -> Callable[[], Answer]:
    """The function on chunks, with the year and the clock of bfast."""
    edge = values.shape[1]
    stack = xr.DataArray(
        np.where(values == NODATA, np.nan, values).astype(np.float32),
        dims=("time", "y", "x"),
        coords={"time": DATES.astype("M8[ns]"), "y": np.arange(edge), "x": np.arange(edge)},
    ).chunk({"time": -1, "y": edge // THREADS, "x": -1})
    rules = load_table(data_root() / "configs" / "rules" / "breaks.toml", BreakRules).bfast_monitor
    rules = rules.model_copy(update={"clock": "days", "period_days": 365.0, "min_looks": 1})
    start: dt.date = DATES[HISTORY].item()
    run = in_dask_threads(lambda: bfast_monitor(stack, start=start, rules=rules))

    def answer() -> Answer:
        found = run()
        return found["break_day"].values, found["magnitude"].values

    return answer


def peer(values: NDArray[np.int16], backend: str) -> Callable[[], Answer]:
    dates = [dt.datetime.combine(day.item(), dt.time()) for day in DATES]

    def run() -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, meaning in {"warnings": warnings, "float": float, "int": int}.items():
                setattr(np, name, meaning)
            from bfast import BFASTMonitor

            model = BFASTMonitor(
                start_monitor=dates[HISTORY], freq=365, k=3, hfrac=0.25, trend=True, level=0.05,
                period=10, backend=backend,
            )  # fmt: skip
            model.fit(values, dates, nan_value=NODATA)
        later = DAYS[HISTORY:].astype(np.float32)
        found = np.where(model.breaks >= 0, later[np.maximum(model.breaks, 0)], np.nan)
        return found, model.magnitudes

    return run


def agreement(ours: Answer, theirs: Answer) -> str:
    """Breaks of the same day; OpenCL computes in float32."""
    rows = len(theirs[0])
    mine, size = ours[0][:rows], ours[1][:rows]
    equal = np.mean((mine == theirs[0]) | (np.isnan(mine) & np.isnan(theirs[0])))
    apart = np.nanmedian(np.abs(size - theirs[1]))
    if equal < 0.99:
        raise Disagreement(f"only {equal:.2%} of the break dates are equal")
    return f"{equal:.3%} of break dates equal, magnitude median {apart:.1e}"


def lines(*, quick: bool) -> list[Line]:
    values = as_integers(make_series(QUICK_EDGE_PX if quick else EDGE_PX))
    few = np.ascontiguousarray(values[:, :FEW_ROWS])
    return race(
        STAGE,
        [
            Entrant("kernel monitor_breaks (2)", bare(values)),
            Entrant("bfast_monitor (2)", public(values)),
        ],
        [
            Entrant(OPENCL, peer(values, "opencl")),
            Entrant(PYTHON, peer(few, "python"), units=few[0].size),
        ],
        units=values[0].size,
        agreement=agreement,
        goals=[Goal(OPENCL, 50)],
        quick=quick,
    )


def main(arguments: Sequence[str]) -> int:
    print(markdown(lines(quick="--quick" in arguments)))
    return 0


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
