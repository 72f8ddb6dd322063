import numpy as np
import pytest

from tests.comparison import assert_close

HERE = np.array([[1.0, np.nan], [-3.0, np.inf]])


def test_itself():
    assert_close(HERE, HERE.copy(), atol=0)


@pytest.mark.parametrize("error", [0.011, -0.011])
@pytest.mark.parametrize("place", [(0, 0), (1, 0)])
def test_an_error_of_either_sign_fails(error, place):
    off = HERE.copy()
    off[place] += error
    assert_close(off, HERE, atol=0.02)
    with pytest.raises(pytest.fail.Exception, match="1 of 4 values differ"):
        assert_close(off, HERE, atol=0.01)
    with pytest.raises(pytest.fail.Exception, match="1 of 4 values differ"):
        assert_close(HERE, off, atol=0.01)


@pytest.mark.parametrize("error", [0.011, -0.011])
def test_relative_errors_of_either_sign_fail(error):
    assert_close(np.array([100 * (1 + error)]), np.array([100.0]), atol=0, rtol=0.02)
    with pytest.raises(pytest.fail.Exception, match="values differ"):
        assert_close(np.array([100 * (1 + error)]), np.array([100.0]), atol=0, rtol=0.01)


def test_nan_against_a_number_fails_both_ways():
    filled = np.nan_to_num(HERE, nan=0.0, posinf=np.inf)
    for pair in [(HERE, filled), (filled, HERE)]:
        with pytest.raises(pytest.fail.Exception, match=r"first at \(0, 1\)"):
            assert_close(*pair, atol=1e9)


def test_nan_can_be_refused():
    with pytest.raises(pytest.fail.Exception, match="values differ"):
        assert_close(HERE, HERE, atol=0, equal_nan=False)


def test_infinities_of_other_sign_fail():
    with pytest.raises(pytest.fail.Exception, match="values differ"):
        assert_close(np.array([np.inf]), np.array([-np.inf]), atol=1e9)
    with pytest.raises(pytest.fail.Exception, match="values differ"):
        assert_close(np.array([1.0]), np.array([np.inf]), atol=1e9)


def test_dtype_and_shape_fail():
    with pytest.raises(pytest.fail.Exception, match="dtype float32; expected float64"):
        assert_close(HERE.astype("float32"), HERE, atol=1)
    with pytest.raises(pytest.fail.Exception, match="dtype int64; expected bool"):
        assert_close(np.array([1]), np.array([True]), atol=1)
    with pytest.raises(pytest.fail.Exception, match="shape"):
        assert_close(HERE[:1], HERE, atol=1)
    with pytest.raises(pytest.fail.Exception, match="shape"):
        assert_close(np.float64(1), np.array([1.0]), atol=1)


@pytest.mark.parametrize(("one", "other"), [(359.5, 0.4), (0.4, 359.5), (0.0, 360.0), (-0.5, 0.4)])
def test_circular_values_meet_over_the_period(one, other):
    one, other = np.array([one]), np.array([other])
    assert_close(one, other, atol=1, circular=360)
    if abs(one - other) > 1:
        with pytest.raises(pytest.fail.Exception, match="values differ"):
            assert_close(one, other, atol=1)


@pytest.mark.parametrize("error", [2.0, -2.0, 180.0, 358.0])
def test_circular_errors_fail(error):
    with pytest.raises(pytest.fail.Exception, match="values differ"):
        assert_close(np.array([10 + error]), np.array([10.0]), atol=1, circular=360)


def test_integers_and_texts():
    assert_close(np.array([3, 4]), np.array([3, 4]), atol=0)
    with pytest.raises(pytest.fail.Exception, match="values differ"):
        assert_close(np.array([0], "uint8"), np.array([255], "uint8"), atol=1)
    with pytest.raises(pytest.fail.Exception, match="values differ"):
        assert_close(np.array(["a"]), np.array(["b"]), atol=1)


def test_circular_values_need_the_same_gaps_and_type():
    angles, gap = np.array([10.0, 350.0]), np.array([10.0, np.nan])
    assert_close(gap, gap.copy(), atol=0, circular=360)
    for pair in [(angles, gap), (gap, angles)]:
        with pytest.raises(pytest.fail.Exception, match="1 of 2 values differ"):
            assert_close(*pair, atol=180, circular=360)
    with pytest.raises(pytest.fail.Exception, match="dtype float32; expected float64"):
        assert_close(angles.astype("float32"), angles, atol=1, circular=360)
