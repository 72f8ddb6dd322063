"""Control charts against those of nrt: history fitted, twenty looks taken, all flags compared."""

import datetime as dt
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
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
from rs_monitor.config.reading import load_table
from rs_monitor.kernels.chart_steps import CHANGE, LAYERS, NOT_FITTED, UNSTABLE_HISTORY
from rs_monitor.kernels.charts import run_chart
from rs_monitor.maps.monitoring import ChartRules, Method, monitor

STAGE = "charts"
SHIPPED = load_table(Path(__file__).parents[1] / "configs" / "rules" / "charts.toml", ChartRules)
RULES = SHIPPED.model_copy(
    update={
        "history": SHIPPED.history.model_copy(update={"year": "calendar", "as_nrt": True}),
        "ewma": SHIPPED.ewma.model_copy(update={"limit": 2.0}),
    }
)
CLASSES: dict[Method, tuple[str, str, dict[str, Any]]] = {
    "ewma": ("nrt.monitor.ewma", "EWMA", {"screen_outliers": "Shewhart", "L": 5}),
    "cusum": ("nrt.monitor.cusum", "CuSum", {}),
    "mosum": ("nrt.monitor.mosum", "MoSum", {}),
    "iqr": ("nrt.monitor.iqr", "IQR", {}),
}
Answer = tuple[NDArray[Any], NDArray[Any]]


def as_masks(status: NDArray[Any], day: NDArray[Any]) -> Answer:
    """Status and day as nrt has them: 1 monitored, 2 unstable, 3 break, 4 not fitted."""
    mask = np.ones(status.shape, dtype=np.uint8)
    mask[status == UNSTABLE_HISTORY], mask[status == CHANGE], mask[status == NOT_FITTED] = 2, 3, 4
    return mask, np.nan_to_num(day)


def bare(values: NDArray[np.float32], method: Method) -> Callable[[], Answer]:
    """The fused kernel over strips in two threads."""
    out = np.empty((len(LAYERS), *values.shape[1:]), dtype=np.float32)
    design = RULES.history.regressors(DAYS)
    chart, start = RULES.chart(method), RULES.start(method)

    def kernel(part: NDArray[np.float32], into: NDArray[np.float32]) -> None:
        run_chart(part, DAYS, design, history=HISTORY, chart=chart, start=start, out=into)

    run = kernel_in_threads(kernel, list(strips_of(values, out, count=THREADS)))

    def answer() -> Answer:
        run()
        return as_masks(out[0], out[1])

    return answer


def public(values: NDArray[np.float32], method: Method) -> Callable[[], Answer]:
    edge = values.shape[1]
    stack = xr.DataArray(
        values,
        dims=("time", "y", "x"),
        coords={"time": DATES.astype("M8[ns]"), "y": np.arange(edge), "x": np.arange(edge)},
    ).chunk({"time": -1, "y": edge // THREADS, "x": -1})
    start: dt.date = DATES[HISTORY].item()
    run = in_dask_threads(lambda: monitor(stack, start=start, method=method, rules=RULES))

    def answer() -> Answer:
        found = run()
        return as_masks(found["status"].values, found["signal_day"].values)

    return answer


def nrt_chart(values: NDArray[np.float32], method: Method) -> Callable[[], Answer]:
    module, name, options = CLASSES[method]
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
        chart = getattr(import_module(module), name)(trend=True, harmonic_order=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chart.fit(history, method="OLS", n_threads=THREADS, **options)
            for look, day in zip(values[HISTORY:], DATES[HISTORY:], strict=True):
                chart.monitor(look, dt.datetime.combine(day.item(), dt.time()))
        return chart.mask, np.where(chart.mask == 3, chart.detection_date, 0)

    return run


def identical(ours: Answer, peer: Answer) -> str:
    flags, days = (np.count_nonzero(a != b) for a, b in zip(ours, peer, strict=True))
    if flags or days:
        raise Disagreement(f"{flags} flags and {days} days of {ours[0].size} differ")
    return f"all {ours[0].size} flags and days equal"


def lines(*, quick: bool) -> list[Line]:
    values = make_series(QUICK_EDGE_PX if quick else EDGE_PX)
    found: list[Line] = []
    for method in CLASSES:
        peer = f"nrt {CLASSES[method][1]} (2)"
        found += race(
            f"{STAGE}: {method}",
            [
                Entrant(f"kernel {method} (2)", bare(values, method)),
                Entrant(f"monitor {method} (2)", public(values, method)),
            ],
            [Entrant(peer, nrt_chart(values, method))],
            units=values[0].size,
            agreement=identical,
            goals=[Goal(peer, 12)],
            quick=quick,
        )
    return found


def main(arguments: Sequence[str]) -> int:
    print(markdown(lines(quick="--quick" in arguments)))
    return 0


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
