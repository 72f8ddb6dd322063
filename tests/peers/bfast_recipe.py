"""Makes ``bfast_breaks.json``: BFAST-Monitor of PyPI bfast, python backend, and CCDC of nrt.

In an environment with bfast 0.7 and nrt 0.3.0, from the project's folder::

    python -m tests.peers.bfast_recipe

bfast 0.7 was written for an older NumPy. Its setup imports itself: build the wheel beside
numpy 1.23.5 and setuptools < 60 (``pip wheel --no-build-isolation --no-deps bfast==0.7``). To run
under NumPy 2 it needs the three names given back below; nothing else is changed.
"""

import datetime as dt
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.peers.bfast_series import HISTORY, NODATA, days_since_1970, stack

OLD_NAMES = {"warnings": warnings, "float": float, "int": int}


def bfast_answers(values, dates):
    for name, meaning in OLD_NAMES.items():
        setattr(np, name, meaning)
    from bfast.monitor.python import BFASTMonitorPython

    model = BFASTMonitorPython(
        start_monitor=dates[HISTORY], freq=365, k=3, hfrac=0.25, trend=True, level=0.05, period=10
    )
    model.fit(values, dates, nan_value=NODATA)
    return {
        "breaks": model.breaks.ravel().tolist(),
        "magnitudes": np.round(model.magnitudes.astype(float), 3).ravel().tolist(),
        "means": np.round(model.means.astype(float), 6).ravel().tolist(),
        "day_of_series": model.mapped_indices.tolist(),
    }


def nrt_answers(values, dates):
    import pandas as pd
    import xarray as xr
    from nrt.monitor.ccdc import CCDC

    numbers = np.where(values == NODATA, np.nan, values).astype(np.float32)
    coords = {"time": pd.DatetimeIndex(dates)}
    coords |= {"y": np.arange(values.shape[1]), "x": np.arange(values.shape[2])}
    cube = xr.DataArray(numbers, dims=("time", "y", "x"), coords=coords)
    model = CCDC(trend=True, harmonic_order=2, sensitivity=2, boundary=3, save_fit_start=True)
    model.fit(cube[:HISTORY], method="CCDC-stable", screen_outliers=None, threshold=2)
    for image, date in zip(numbers[HISTORY:], dates[HISTORY:], strict=True):
        model.monitor(image, date)
    return {
        "mask": model.mask.ravel().tolist(),
        "detection_date": model.detection_date.ravel().tolist(),
        "fit_start": model.fit_start.ravel().tolist(),
        "rmse": np.round(model.rmse.astype(float), 3).ravel().tolist(),
    }


def main():
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001
    dates = [epoch + dt.timedelta(days=day) for day in days_since_1970()]
    values = stack()
    versions = {name: version(name) for name in ("bfast", "nrt", "numpy", "scikit-learn")}
    answers = {"versions": versions, "bfast": bfast_answers(values, dates)}
    answers["nrt"] = nrt_answers(values, dates)
    text = json.dumps(answers, separators=(",", ":")).replace(',"', ',\n"')
    Path(__file__).with_name("bfast_breaks.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
