"""Boundaries, critical values and processes against R's strucchange.

Recipe and versions: strucchange.R beside this file.
"""

import csv
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rs_monitor.errors import ConfigError
from rs_monitor.kernels import boundaries as b
from rs_monitor.kernels.chart_steps import CHANGE, LAYERS, PROCESS
from rs_monitor.kernels.charts import Cusum, Mosum, Start, run_chart, start_chart, step_chart
from rs_monitor.kernels.harmonic import harmonic_regressors
from rs_monitor.kernels.stable_history import stable_history
from tests.comparison import assert_close

HERE = Path(__file__).parent
HISTORY, TIMES = 120, 160
PLAIN = Start(screen=math.inf, min_looks=5)


def table(name):
    with (HERE / f"strucchange_{name}.csv").open() as file:
        return [{k: cast(v) for k, v in row.items()} for row in csv.DictReader(file)]


def cast(text):
    try:
        return math.nan if text == "NA" else float(text)
    except ValueError:
        return text


def design():
    t = np.arange(1, TIMES + 1)
    angle = 2 * np.pi * t / 23
    return np.vstack([np.ones(TIMES), t, np.cos(angle), np.sin(angle)])


def series():
    rows = table("series")
    return np.array([[row[f"case_{k}"] for k in range(1, 7)] for row in rows])[:, None, :]


def charts():
    return {
        "OLS-CUSUM": Cusum(b.monitoring_cusum_critical(0.05)),
        "OLS-MOSUM": Mosum(0.25, b.monitoring_mosum_critical(0.05, 0.25, 10)),
    }


@pytest.mark.parametrize("row", table("efp_p"), ids=lambda row: str(row["statistic"]))
def test_p_values(row):
    x = row["statistic"]
    ours = [
        b.recursive_cusum_p_value(x),
        b.ols_cusum_p_value(x),
        b.ols_mosum_p_value(x, 0.25),
        b.ols_mosum_p_value(x, 0.12),
    ]
    expected = [row[k] for k in ("rec_cusum", "ols_cusum", "ols_mosum_025", "ols_mosum_012")]
    np.testing.assert_allclose(ours, expected, atol=1e-11)


def test_boundaries_of_finished_series():
    # R finds its roots to about 1e-4
    for row in table("efp_boundary"):
        alpha, step, length = row["alpha"], int(row["step"]), int(row["rec_n"])
        edge = b.recursive_cusum_boundary(b.recursive_cusum_critical(alpha), length)
        assert edge[step] == pytest.approx(row["rec"], abs=3e-4)
        assert b.ols_cusum_critical(alpha) == pytest.approx(row["ols"], abs=1e-4)
        if alpha > 0.01:  # the table ends there, and R's root finding with it
            assert b.ols_mosum_critical(alpha, 0.25) == pytest.approx(row["mosum"], abs=1e-4)


def test_borders_of_monitoring():
    for row in table("monitoring"):
        if row["method"] == "cusum":
            critical = b.monitoring_cusum_critical(row["alpha"])
            border = b.monitoring_cusum_border(row["looks"], 40.0, critical)
        else:
            critical = b.monitoring_mosum_critical(row["alpha"], row["h"], int(row["period"]))
            border = b.monitoring_mosum_border(row["looks"], 40.0, critical)
        assert critical == pytest.approx(row["critical"], abs=2e-6)
        assert border == pytest.approx(row["border"], abs=4e-6)


def test_what_is_not_tabulated_is_refused():
    with pytest.raises(ConfigError, match=r"needed alpha 0.001-0.05"):
        b.monitoring_mosum_critical(0.1, 0.25, 10)
    with pytest.raises(ConfigError, match=r"share 0.3"):
        b.monitoring_mosum_critical(0.05, 0.3, 10)


@pytest.mark.parametrize("kind", ["OLS-CUSUM", "OLS-MOSUM"])
def test_processes(kind):
    values, regressors = series(), design()
    expected = {
        (row["case"], row["look"]): row for row in table("processes") if row["kind"] == kind
    }
    days = np.arange(1.0, TIMES + 1)
    # a border out of reach lets the process run on
    endless = charts()[kind]._replace(critical=1e9)
    state = start_chart(
        values[:HISTORY], days[:HISTORY], regressors[:, :HISTORY], chart=endless, start=PLAIN
    )
    for look in range(HISTORY, TIMES):
        state = step_chart(state, values[look], days[look], regressors[:, look])
        for case in range(6):
            row = expected[case + 1, look + 1]
            assert state.fields[PROCESS, case] == pytest.approx(row["process"], abs=1e-9)


@pytest.mark.parametrize("kind", ["OLS-CUSUM", "OLS-MOSUM"])
def test_breaks(kind):
    answer = run_chart(
        series(),
        np.arange(1.0, TIMES + 1),
        design(),
        history=HISTORY,
        chart=charts()[kind],
        start=PLAIN,
    )
    found = dict(zip(LAYERS, answer[:, 0], strict=True))
    expected = np.array([row["breakpoint"] for row in table("cases") if row["kind"] == kind])
    np.testing.assert_array_equal(found["signal_day"], expected)
    np.testing.assert_array_equal(found["status"] == CHANGE, np.isfinite(expected))
    np.testing.assert_array_equal(found["before_day"], expected - 1)


def test_stable_history():
    rows = [row for row in table("cases") if row["kind"] == "OLS-CUSUM"]
    answer = stable_history(series()[:HISTORY], design()[:, :HISTORY], significance=0.05)
    np.testing.assert_array_equal(answer.first[0], [row["stable_from"] - 1 for row in rows])
    # strucchange takes its recursive residuals from refits that agree to 1e-8
    np.testing.assert_allclose(
        answer.p_value[0], [row["p_value"] for row in rows], rtol=2e-4, atol=1e-12
    )


@pytest.mark.service
def test_the_recipe_still_gives_these_numbers(tmp_path):
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("Rscript is not installed")
    subprocess.run([program, str(HERE / "strucchange.R")], cwd=tmp_path, check=True)
    for path in HERE.glob("strucchange_*.csv"):
        assert (tmp_path / path.name).read_text() == path.read_text()


def test_a_history_is_tested_where_its_latest_looks_hardly_span_the_model():
    """Three harmonics from sixteen-day looks; strucchange 1.5-3 in R 4.2.2 on the rows reversed:

    ``f <- efp(y ~ ., type = "Rec-CUSUM"); sctest(f)$p.value`` is 2.318397e-06, and the process
    first exceeds ``boundary(f)`` at look 23 counted from 1.
    """
    days = np.arange("2017-01-05", "2021-01-01", 16, dtype="M8[D]").astype(float)
    noise = np.random.default_rng(7).normal(0, 0.006, len(days))
    values = 0.35 + 0.05 * np.sin(2 * np.pi * days / 365.25) + noise
    values[:30] += 0.2
    design = harmonic_regressors(days, order=3, trend=True)
    found = stable_history(values.astype(np.float32)[:, None, None], design, significance=0.05)
    assert found.first[0, 0] == 22
    assert_close(found.p_value[0, 0], np.float64(2.318397e-06), atol=0, rtol=1e-5)
