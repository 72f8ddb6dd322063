"""Regressors, fits and charts against nrt 0.3.0; recipe: make_nrt.py beside this file."""

import math
from pathlib import Path

import numpy as np
import pytest

from rs_monitor.kernels.boundaries import monitoring_cusum_critical, monitoring_mosum_critical
from rs_monitor.kernels.chart_steps import (
    CHANGE,
    LAYERS,
    NO_CHANGE,
    NOT_FITTED,
    NOT_OBSERVED,
    UNSTABLE_HISTORY,
)
from rs_monitor.kernels.charts import Cusum, Ewma, Iqr, Mosum, Start, run_chart
from rs_monitor.kernels.harmonic import fit_ols, harmonic_regressors
from rs_monitor.kernels.robust import fit_robust
from tests.peers.nrt_cube import HISTORY, cube, dates

STORED = np.load(Path(__file__).parent / "nrt.npz", allow_pickle=False)
DAYS = dates().astype("int64").astype(float)
DESIGN = harmonic_regressors(DAYS, order=2, trend=True, year="calendar")
MIN_LOOKS = 9
PLAIN = Start(screen=math.inf, min_looks=MIN_LOOKS, as_nrt=True)
CHARTS = {
    "ewma": (Ewma(0.3, 2.0, 10.0), PLAIN._replace(screen=5.0)),
    "cusum": (Cusum(monitoring_cusum_critical(0.05)), PLAIN),
    "mosum": (Mosum(0.25, monitoring_mosum_critical(0.05, 0.25, 10)), PLAIN),
    "iqr": (Iqr(1.5, 3), PLAIN),
}
MASKS = {
    NOT_OBSERVED: 1,
    NO_CHANGE: 1,
    UNSTABLE_HISTORY: 2,
    CHANGE: 3,
    NOT_FITTED: 4,
}
"""Values of nrt's mask; it does not tell what was not observed from what did not change."""


def test_regressors():
    # nrt counts days from pandas.Timestamp(1970), 1970 ns after the epoch, and so one day less
    ours = DESIGN - np.array([0, 1, 0, 0, 0, 0])[:, None]
    np.testing.assert_allclose(ours.T, STORED["regressors"], rtol=0, atol=1e-14 * 2018 * 2 * np.pi)


def fitted(beta, regressors):
    return regressors[:HISTORY] @ beta


@pytest.mark.parametrize(("name", "fit"), [("ols", fit_ols), ("meant", fit_robust)])
def test_fits(name, fit):
    ours = fit(cube()[:HISTORY], DESIGN[:, :HISTORY], min_looks=MIN_LOOKS)
    expected = fitted(STORED[f"{name}_beta"], STORED["regressors"])
    got = fitted(ours.coefficients.reshape(6, -1), DESIGN.T)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.isnan(got).any()


def test_early_stop_of_the_peer_moves_few_robust_fits():
    expected = fitted(STORED["rirls_beta"], STORED["regressors"])
    meant = fitted(STORED["meant_beta"], STORED["regressors"])
    apart = np.abs(expected - meant).max(axis=0) > 1e-6
    assert 0 < np.count_nonzero(apart) < 0.2 * apart.size
    assert np.nanmax(np.abs(expected - meant)) < 0.02


@pytest.mark.parametrize("name", CHARTS)
def test_flags_and_days(name):
    chart, start = CHARTS[name]
    answer = run_chart(cube(), DAYS, DESIGN, history=HISTORY, chart=chart, start=start)
    layers = dict(zip(LAYERS, answer, strict=True))
    mask = np.vectorize(MASKS.get)(layers["status"].astype(int))
    np.testing.assert_array_equal(mask, STORED[f"{name}_mask"])
    day = np.nan_to_num(layers["signal_day"])
    stored = np.where(STORED[f"{name}_mask"] == 3, STORED[f"{name}_day"], 0)
    np.testing.assert_array_equal(day, stored)
    assert np.count_nonzero(day) > 40


def test_consistent_signs_of_the_history_change_some_answers():
    chart, start = CHARTS["mosum"]
    as_nrt, ours = (
        run_chart(cube(), DAYS, DESIGN, history=HISTORY, chart=chart, start=s)
        for s in (start, start._replace(as_nrt=False))
    )
    assert np.count_nonzero(as_nrt[0] != ours[0]) > 0
