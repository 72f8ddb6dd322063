import numpy as np
import pytest

from rs_monitor.codes import Sky
from rs_monitor.errors import ConfigError
from rs_monitor.imagery.outliers import outlier_sky
from tests.imagery.shipped_rules import CLEAR_SKY

RULES = CLEAR_SKY.outlier


def sky_of(**series):
    values = {
        name: np.array(looks, dtype="float32").reshape(-1, 1, 1) for name, looks in series.items()
    }
    return [Sky(int(v)).name for v in outlier_sky(values, RULES).ravel()]


def test_a_cloud_rises_and_a_shadow_falls():
    found = sky_of(
        blue=[0.05, 0.06, 0.05, 0.45, 0.04, 0.05, 0.02],
        nir=[0.30, 0.31, 0.29, 0.50, 0.30, 0.31, 0.10],
        swir16=[0.20, 0.21, 0.19, 0.40, 0.20, 0.21, 0.08],
    )
    assert found == ["CLEAR", "CLEAR", "CLEAR", "CLOUD", "CLEAR", "CLEAR", "SHADOW"]


def test_half_the_looks_may_be_clouds():
    found = sky_of(blue=[0.05, 0.45, 0.06, 0.60, 0.05, 0.50, 0.04, 0.55])
    assert found == ["CLEAR", "CLOUD"] * 4


def test_a_harvest_is_no_shadow():
    found = sky_of(
        blue=[0.05, 0.05, 0.05, 0.05, 0.08, 0.08, 0.08],
        nir=[0.45, 0.46, 0.44, 0.45, 0.25, 0.26, 0.25],
        swir16=[0.18, 0.18, 0.17, 0.18, 0.30, 0.31, 0.30],
    )
    assert "SHADOW" not in found


def test_small_steps_are_no_clouds():
    # 0.04 is the smallest rise that counts, however quiet the pixel
    assert sky_of(green=[0.05] * 6 + [0.085]) == ["CLEAR"] * 7
    assert sky_of(green=[0.05] * 6 + [0.095]) == ["CLEAR"] * 6 + ["CLOUD"]


def test_too_few_looks_decide_nothing():
    few = [0.05, 0.45, 0.05, 0.05, 0.05, np.nan, np.nan]
    assert sky_of(red=few) == ["UNDECIDED"] * 5 + ["NOT_SEEN"] * 2
    few[-1] = 0.05
    assert sky_of(red=few) == ["CLEAR", "CLOUD", *["CLEAR"] * 3, "NOT_SEEN", "CLEAR"]


def test_it_needs_a_visible_band():
    with pytest.raises(ConfigError, match="'outlier' needs blue, green or red"):
        sky_of(nir=[0.3] * 8)
