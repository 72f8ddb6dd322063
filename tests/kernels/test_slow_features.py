import numpy as np
import pytest
import scipy.linalg
from scipy.stats import chi2

from rs_monitor.kernels.change import Moments, mad_chi2, mad_moments
from rs_monitor.kernels.slow_features import slow_feature_transform
from tests.comparison import assert_close
from tests.kernels.test_change import two_dates


def by_hand(correlations):
    """Moments of normalised, uncorrelated bands whose dates correlate as given."""
    p = len(correlations)
    across = np.diag(np.array(correlations, float))
    second = np.block([[np.eye(p), across], [across, np.eye(p)]])
    return Moments(1.0, np.zeros(2 * p), second)


def test_uncorrelated_bands_by_hand():
    # A = diag(2 - 2r), B = I: the eigenvalues are 2 - 2r, the vectors the bands themselves
    transform = slow_feature_transform(by_hand([0.5, 0.92]), np.zeros(4))
    assert_close(transform.correlations, np.array([0.92, 0.5]), atol=1e-12)
    # band 2 moves by 0.4 of a deviation: 0.4^2 / (2 - 1.84) = 1; band 1 by 2: 4 / (2 - 1) = 4
    before = np.zeros((2, 2))
    after = np.array([[0.0, 2.0], [0.4, 0.4]])
    assert_close(mad_chi2(before, after, transform), np.array([1, 5], "float32"), atol=1e-6)


def plain_isfa(before, after, times):
    """The paper's steps on normalised bands, with SciPy's generalised eigenproblem."""
    weights = np.ones(before.shape[1])
    for _ in range(times + 1):
        dates = []
        for date in (before, after):
            mean = np.average(date, axis=1, weights=weights)[:, None]
            spread = np.average((date - mean) ** 2, axis=1, weights=weights)[:, None]
            dates.append((date - mean) / np.sqrt(spread))
        x, y = dates
        total = weights.sum()
        a = ((x - y) * weights) @ (x - y).T / total
        b = ((x * weights) @ x.T + (y * weights) @ y.T) / (2 * total)
        speeds, vectors = scipy.linalg.eigh(a, b)
        statistic = (((vectors.T @ (x - y)) ** 2) / speeds[:, None]).sum(axis=0)
        weights = chi2.sf(statistic, len(before))
    return statistic, speeds


@pytest.mark.parametrize("times", [0, 1, 5])
@pytest.mark.parametrize("bands", [1, 3, 6])
def test_is_the_plain_twin(bands, times):
    before, after = two_dates(700, bands, seed=20 + bands)
    origin = np.zeros(2 * bands)
    transform = slow_feature_transform(mad_moments(before, after, origin), origin)
    for _ in range(times):
        transform = slow_feature_transform(mad_moments(before, after, origin, transform), origin)
    statistic, speeds = plain_isfa(before, after, times)
    assert_close(transform.correlations, 1 - speeds / 2, atol=2e-6)
    found = np.log1p(mad_chi2(before, after, transform).astype("float64"))
    assert_close(found, np.log1p(statistic), atol=5e-5)


def test_a_constant_band_is_refused():
    moments = by_hand([0.5, 0.5])
    moments.second[1] = moments.second[:, 1] = 0.0
    with pytest.raises(np.linalg.LinAlgError, match="constant"):
        slow_feature_transform(moments, np.zeros(4))
