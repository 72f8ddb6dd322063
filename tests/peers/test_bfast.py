"""BFAST-Monitor of PyPI bfast 0.7 (``bfast_recipe.py``) and of strucchange (``strucchange.R``)."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from rs_monitor.kernels.bfast_monitor import (
    BREAK_DAY,
    MAGNITUDE,
    MEAN_PROCESS,
    MONITORING_LOOKS,
    monitor_breaks,
)
from rs_monitor.kernels.boundaries import monitoring_mosum_critical
from tests.comparison import assert_close
from tests.peers.bfast_series import HISTORY, NODATA, days_since_1970, stack

STORED = json.loads(Path(__file__).with_name("bfast_breaks.json").read_text())["bfast"]


def bfast_design(day_of_series):
    """Regressors of bfast: 1, day from the first January on, sines and cosines of 365 days."""
    angle = 2 * np.pi * day_of_series / 365
    waves = [wave(k * angle) for k in (1, 2, 3) for wave in (np.sin, np.cos)]
    return np.vstack([np.ones(len(angle)), day_of_series, *waves])


@pytest.fixture(scope="module")
def layers():
    day = np.array(STORED["day_of_series"], dtype=float)
    return monitor_breaks(
        stack(),
        days_since_1970(),
        bfast_design(day),
        history=HISTORY,
        window_share=0.25,
        critical=monitoring_mosum_critical(0.05, 0.25, 10),
        ratios=day[HISTORY:] / day[HISTORY - 1],
        nodata=NODATA,
    )


def test_breaks_are_those_of_bfast(layers):
    breaks = np.array(STORED["breaks"])
    days = days_since_1970()[HISTORY:]
    expected = np.where(breaks >= 0, days[np.maximum(breaks, 0)], np.nan).astype(np.float32)
    assert_close(layers[BREAK_DAY].ravel(), expected, atol=0)
    assert 40 < np.isfinite(expected).sum() < 120
    # -2 would be too few looks, where bfast does not answer
    assert breaks.min() == -1


def test_magnitude_and_mean_process_are_those_of_bfast(layers):
    for layer, name in ((MAGNITUDE, "magnitudes"), (MEAN_PROCESS, "means")):
        expected = np.array(STORED[name], dtype=np.float32)
        assert_close(layers[layer].ravel(), expected, rtol=1e-5, atol=1e-3)


def test_looks_are_counted(layers):
    assert (layers[MONITORING_LOOKS] == (stack()[HISTORY:] != NODATA).sum(axis=0)).all()


def strucchange(name):
    with Path(__file__).with_name(f"strucchange_{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_breaks_and_process_are_those_of_strucchange():
    """``mefp(type = "OLS-MOSUM", h = 0.25)``: a border that widens with looks."""
    look = np.arange(1, 161, dtype=float)
    angle = 2 * np.pi * look / 23
    design = np.vstack([np.ones(160), look, np.cos(angle), np.sin(angle)])
    series = np.array([[float(v) for v in row.values()] for row in strucchange("series")])
    critical = monitoring_mosum_critical(0.05, 0.25, 10)
    layers = monitor_breaks(
        series[:, None], look, design, history=120, window_share=0.25, critical=critical
    )
    cases = [row for row in strucchange("cases") if row["kind"] == "OLS-MOSUM"]
    expected = [float(row["breakpoint"].replace("NA", "nan")) for row in cases]
    assert_close(layers[BREAK_DAY, 0], np.array(expected, dtype=np.float32), atol=0)
    assert 2 <= np.isfinite(expected).sum() < len(expected)
    rows = [row for row in strucchange("processes") if row["kind"] == "OLS-MOSUM"]
    process = np.array([float(row["process"]) for row in rows]).reshape(6, 40)
    assert_close(layers[MEAN_PROCESS, 0], process.mean(axis=1).astype(np.float32), atol=1e-5)
