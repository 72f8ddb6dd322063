"""Harmonic least squares of a series against nrt and against copying the cube."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.race import (
    COPY,
    THREADS,
    Disagreement,
    Entrant,
    Goal,
    Line,
    copy_entrant,
    in_dask_threads,
    kernel_in_threads,
    markdown,
    race,
    strips_of,
)
from benchmarks.series import DATES, DAYS, EDGE_PX, HISTORY, QUICK_EDGE_PX, make_series
from rs_monitor.kernels.harmonic import HarmonicFit, fit_ols, harmonic_regressors
from rs_monitor.maps.monitoring import HistoryRules, fit_harmonic

STAGE = "harmonic fit"
NRT = "nrt ols (2)"
DOUBLE, SINGLE, PUBLIC = "kernel, float64 (2)", "kernel, float32 (2)", "fit_harmonic (2)"
GOALS = [Goal(NRT, 12), Goal(COPY, 0.15)]
RULES = HistoryRules(
    order=2, trend=True, year="calendar", period_days=365.25, as_nrt=False, looks_per_regressor=1.5
)
DESIGN = harmonic_regressors(DAYS[:HISTORY], order=2, trend=True, year="calendar")
AGREEMENT = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}


def bare(values: NDArray[np.float32], dtype: type[Any]) -> Callable[[], NDArray[Any]]:
    """The kernel over strips in two threads."""

    def run() -> NDArray[Any]:
        shape = values.shape[1:]
        fit = HarmonicFit(
            np.empty((6, *shape), dtype), np.empty(shape, dtype), np.empty(shape, np.uint16)
        )
        calls = [
            (part, HarmonicFit(*parts)) for part, *parts in strips_of(values, *fit, count=THREADS)
        ]
        threads(calls)
        return fit.coefficients

    def kernel(part: NDArray[np.float32], out: HarmonicFit) -> None:
        fit_ols(part, DESIGN, dtype=dtype, out=out)

    runner: dict[str, Any] = {}

    def threads(calls: Sequence[tuple[Any, ...]]) -> None:
        if "pool" not in runner:
            runner["pool"] = kernel_in_threads(lambda k: kernel(*runner["calls"][k]), [(0,), (1,)])
        runner["calls"] = calls
        runner["pool"]()

    return run


def public(values: NDArray[np.float32]) -> Callable[[], NDArray[Any]]:
    edge = values.shape[1]
    stack = xr.DataArray(
        values,
        dims=("time", "y", "x"),
        coords={
            "time": DATES[:HISTORY].astype("M8[ns]"),
            "y": np.arange(edge),
            "x": np.arange(edge),
        },
    ).chunk({"time": -1, "y": edge // THREADS, "x": -1})
    run = in_dask_threads(lambda: fit_harmonic(stack, rules=RULES))
    return lambda: run()["coefficients"].values


def nrt_ols(values: NDArray[np.float32]) -> Callable[[], NDArray[np.float64]]:
    flat = values.reshape(HISTORY, -1).astype(np.float64)

    def run() -> NDArray[np.float64]:
        import numba
        from nrt.fit_methods import ols
        from nrt.utils import build_regressors
        from pandas import DatetimeIndex

        numba.set_num_threads(THREADS)
        design = build_regressors(DatetimeIndex(DATES[:HISTORY]), trend=True, harmonic_order=2)
        beta, _ = ols(design, flat)
        # its days are a day short: pandas.Timestamp(1970) is 1970 ns after the epoch
        beta[0] -= beta[1]
        return beta.reshape(6, *values.shape[1:])

    return run


def fitted_alike(ours: NDArray[Any], peer: NDArray[np.float64]) -> str:
    """Largest difference of fitted values."""
    apart = np.abs(np.tensordot(DESIGN.T, ours.astype(np.float64) - peer, 1)).max()
    if not apart <= AGREEMENT[ours.dtype]:
        raise Disagreement(f"fitted values differ by up to {apart:.1e}")
    return f"fitted within {apart:.0e}"


def lines(*, quick: bool) -> list[Line]:
    values = make_series(QUICK_EDGE_PX if quick else EDGE_PX)[:HISTORY]
    return race(
        STAGE,
        [
            Entrant(DOUBLE, bare(values, np.float64)),
            Entrant(SINGLE, bare(values, np.float32)),
            Entrant(PUBLIC, public(values)),
        ],
        [Entrant(NRT, nrt_ols(values)), copy_entrant(values)],
        units=values[0].size,
        agreement=fitted_alike,
        goals=GOALS,
        quick=quick,
    )


def main(arguments: Sequence[str]) -> int:
    print(markdown(lines(quick="--quick" in arguments)))
    return 0


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
