import numpy as np
import pytest

from rs_monitor.kernels.change import mad_chi2, mad_moments
from rs_monitor.kernels.change_vector import change_vector_transform, equivalent_chi_square
from tests.comparison import assert_close
from tests.kernels.test_change import two_dates


def transform_of(before, after):
    origin = np.zeros(2 * len(before))
    moments = mad_moments(before, after, origin)
    return change_vector_transform(moments, origin), moments


@pytest.mark.parametrize("bands", [1, 4])
def test_length_of_the_difference_of_z_scores(bands):
    before, after = two_dates(500, bands, seed=bands)
    transform, _ = transform_of(before, after)
    one, two = (
        (date - date.mean(axis=1, keepdims=True)) / date.std(axis=1, keepdims=True)
        for date in (before, after)
    )
    expected = ((one - two) ** 2).sum(axis=0)
    found = mad_chi2(before, after, transform).astype("float64")
    assert_close(np.log1p(found), np.log1p(expected), atol=1e-5)
    rho = [np.corrcoef(a, b)[0, 1] for a, b in zip(before, after, strict=True)]
    assert_close(transform.correlations, np.array(rho), atol=1e-6)


def test_equal_bands_count_once():
    """Two copies of one band: sum of squares is 2 s z^2, one degree of freedom."""
    before, after = two_dates(500, 1, seed=3)
    before, after = np.vstack([before, before]), np.vstack([after, after])
    transform, moments = transform_of(before, after)
    degrees, scale = equivalent_chi_square(moments, np.zeros(4), transform)
    assert degrees == pytest.approx(1.0, abs=1e-5)
    mean = mad_chi2(before, after, transform).mean(dtype="float64")
    assert scale == pytest.approx(mean, rel=1e-4)


def test_a_constant_band_is_refused():
    before, after = two_dates(50, 2, seed=1)
    after[1] = 3.0
    with pytest.raises(np.linalg.LinAlgError, match="constant"):
        transform_of(before, after)
