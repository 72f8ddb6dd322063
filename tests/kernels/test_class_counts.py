import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.kernels.class_counts import class_moments, codes_present

LAW = settings(deadline=None, derandomize=True, max_examples=60)


def one_by_one(classes, codes, first_px, strip_px):
    column = np.arange(classes.shape[1]) + first_px
    strips = -(-(first_px + classes.shape[1]) // strip_px)
    out = np.zeros((classes.shape[0], strips, len(codes), 3), np.int64)
    for y, row in enumerate(classes):
        for k, code in enumerate(codes):
            for at in column[row == code]:
                strip, inside = divmod(int(at), strip_px)
                out[y, strip, k] += [1, inside, inside**2]
    return out


def test_by_hand():
    classes = np.array([[3, 3, 0, 3, 5]], np.uint8)
    assert codes_present(classes).tolist() == [0, 3, 5]
    found = class_moments(classes, np.array([3, 5]), first_px=1, strip_px=4)
    # columns 1, 2 and then 0 of the second strip; 5 in column 1 of the second
    assert found.tolist() == [[[[2, 3, 5], [0, 0, 0]], [[1, 0, 0], [1, 1, 1]]]]


@LAW
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 9), st.data())
def test_runs_are_pixels(height, width, strip_px, data):
    first_px = data.draw(st.integers(0, strip_px - 1))
    seed = data.draw(st.integers(0, 99))
    classes = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    codes = codes_present(classes)
    assert codes.tolist() == np.unique(classes).tolist()
    found = class_moments(classes, codes, first_px=first_px, strip_px=strip_px)
    np.testing.assert_array_equal(found, one_by_one(classes, codes, first_px, strip_px))


def test_views_and_the_widest_strip():
    classes = np.full((4, 4096), 255, np.uint8)[::2, ::2]
    found = class_moments(classes, np.array([255]), first_px=0, strip_px=1024)
    u = np.arange(1024)
    assert found.shape == (2, 2, 1, 3)
    assert (found == [1024, u.sum(), (u**2).sum()]).all()


@pytest.mark.parametrize(("first_px", "strip_px"), [(0, 2048), (4, 4), (-1, 4), (0, 0)])
def test_strips_out_of_range(first_px, strip_px):
    with pytest.raises(ValueError, match="take both from the whole grid"):
        class_moments(
            np.zeros((1, 1), np.uint8), np.array([0]), first_px=first_px, strip_px=strip_px
        )
