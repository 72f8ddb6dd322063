"""Expected values for test_nrt.py.

Python 3.11.7, nrt 0.3.0, numpy 2.4.6, numba 0.68.1, pandas and xarray as they came with it.
Run from the root of the project, in an environment with nrt: python -m tests.peers.make_nrt
"""

import inspect
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from nrt import fit_methods, utils
from nrt.monitor.cusum import CuSum
from nrt.monitor.ewma import EWMA
from nrt.monitor.iqr import IQR
from nrt.monitor.mosum import MoSum

from tests.peers.nrt_cube import HISTORY, cube, dates

CHARTS = {
    "ewma": (EWMA, {"screen_outliers": "Shewhart", "L": 5}),
    "cusum": (CuSum, {}),
    "mosum": (MoSum, {}),
    "iqr": (IQR, {"harmonic_order": 2}),
}


def monitored(kind, fit_options, values, stamps):
    order = {"harmonic_order": fit_options.pop("harmonic_order", 2)}
    chart = kind(trend=True, **order)
    space = {"y": np.arange(values.shape[1]), "x": np.arange(values.shape[2])}
    history = xr.DataArray(
        values[:HISTORY], dims=("time", "y", "x"), coords={"time": stamps[:HISTORY], **space}
    )
    chart.fit(history, method="OLS", **fit_options)
    for look, stamp in zip(values[HISTORY:], stamps[HISTORY:], strict=True):
        chart.monitor(look, stamp.to_pydatetime())
    return chart


def meant_rirls():
    """Rirls with the absolute value taken of the difference, as its comment says."""
    source = inspect.getsource(fit_methods.rirls.__closure__[0].cell_contents.py_func)
    wrong, right = "np.fabs(beta_ - last_beta > tol)", "(np.fabs(beta_ - last_beta) > tol)"
    assert wrong in source
    source = source[source.index("def rirls") :].replace(wrong, right)
    space = dict(vars(fit_methods), prange=range)
    exec(source.replace("numba.prange", "range"), space)
    space["bisquare"], space["mad"] = fit_methods.bisquare, fit_methods.mad
    return space["rirls"]


def main():
    warnings.simplefilter("ignore")
    values, stamps = cube(), pd.DatetimeIndex(dates())
    stored = {"regressors": utils.build_regressors(stamps, trend=True, harmonic_order=2)}
    for name, (kind, options) in CHARTS.items():
        chart = monitored(kind, dict(options), values, stamps)
        stored[f"{name}_mask"] = chart.mask.astype(np.uint8)
        stored[f"{name}_day"] = chart.detection_date.astype(np.uint16)
    flat = values[:HISTORY].reshape(HISTORY, -1).astype(np.float64)
    enough = np.isfinite(flat).sum(axis=0) >= 9
    design = stored["regressors"][:HISTORY]
    for name, fit in (
        ("ols", fit_methods.ols),
        ("rirls", fit_methods.rirls),
        ("meant", meant_rirls()),
    ):
        beta = np.full((6, flat.shape[1]), np.nan)
        beta[:, enough] = fit(design, flat[:, enough])[0]
        stored[f"{name}_beta"] = beta
    np.savez_compressed(Path(__file__).parent / "nrt.npz", **stored)


if __name__ == "__main__":
    main()
