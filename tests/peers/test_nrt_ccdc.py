"""CCDC of nrt 0.3.0 with a stable history, as ``bfast_recipe.py`` stored it."""

import json
from pathlib import Path

import numpy as np
import pytest

from rs_monitor.kernels.harmonic import harmonic_regressors
from rs_monitor.kernels.stable_fit import BREAK_DAY, FIT_START_DAY, RMSE, monitor_stable_fit
from tests.comparison import assert_close
from tests.peers.bfast_series import HISTORY, NODATA, days_since_1970, stack

STORED = json.loads(Path(__file__).with_name("bfast_breaks.json").read_text())["nrt"]
MONITORED, UNSTABLE, BREAK = 1, 2, 3


@pytest.fixture(scope="module")
def layers():
    days = days_since_1970()
    return monitor_stable_fit(
        stack(),
        days,
        harmonic_regressors(days, order=2, trend=True, year="calendar"),
        history=HISTORY,
        limit=2.0,
        consecutive=3,
        looks_per_regressor=1.5,
        drift="day",
        nodata=NODATA,
    )


def test_breaks_and_their_days_are_those_of_nrt(layers):
    mask, date = np.array(STORED["mask"]), np.array(STORED["detection_date"])
    expected = np.where(mask == BREAK, date, np.nan).astype(np.float32)
    assert_close(layers[BREAK_DAY].ravel(), expected, atol=0)
    assert np.isnan(layers[RMSE].ravel()[mask == UNSTABLE]).all()


def test_histories_begin_where_those_of_nrt_do(layers):
    start = np.array(STORED["fit_start"], dtype=np.float32)
    assert_close(layers[FIT_START_DAY].ravel(), start, atol=0)
    # some were cut back, or the test says little
    assert len(np.unique(start)) > 10
    assert_close(layers[RMSE].ravel(), np.array(STORED["rmse"], dtype=np.float32), atol=2e-3)
