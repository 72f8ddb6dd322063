import numpy as np
import pytest
from scipy.stats import chi2

from rs_monitor.kernels.chi_square import LANES, chi2_survival
from tests.comparison import assert_close


@pytest.mark.parametrize("dof", range(1, 17))
def test_survival_is_scipys(dof):
    x = np.concatenate([[0.0, 1e-9, 0.01], np.linspace(0.1, 60, 3 * LANES), [80.0, 300.0, 1e30]])
    expected = chi2.sf(x, dof).astype("float32")
    assert_close(chi2_survival(x, dof), expected, atol=1e-6)
    assert_close(chi2_survival(x.astype("float32"), dof), expected, atol=1e-6)


@pytest.mark.parametrize("dof", [1, 4])
def test_below_zero_is_certain_and_unknown_stays_so(dof):
    found = chi2_survival(np.array([[-1.0, np.nan], [0.0, 2.0]]), dof)
    assert found.shape == (2, 2)
    assert found[0, 0] == found[1, 0] == pytest.approx(1.0, abs=1e-6)
    assert np.isnan(found[0, 1])
    assert not np.isnan(found[1]).any()


@pytest.mark.parametrize("dof", [1, 5, 12])
def test_it_never_rises(dof):
    found = chi2_survival(np.linspace(0, 170, 5000, dtype="float32"), dof)
    assert np.diff(found).max() <= 3e-7
    assert found.max() <= 1.0
    assert found.min() >= 0.0
