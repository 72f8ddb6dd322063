import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from rs_monitor.kernels.labels import label_groups, renumber_groups
from tests.comparison import assert_close

STRUCTURE = {True: np.ones((3, 3)), False: None}


def test_a_corner_joins_only_where_corners_count():
    mask = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]], dtype=bool)
    together, count = label_groups(mask, diagonal=True)
    assert count == 1
    assert_close(together, mask.astype(np.int32), atol=0)
    apart, count = label_groups(mask, diagonal=False)
    assert count == 4
    assert_close(apart, np.array([[1, 0, 0], [0, 2, 0], [3, 0, 4]], dtype=np.int32), atol=0)


def test_arms_that_meet_later_are_one_group():
    mask = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=bool)
    labels, count = label_groups(mask)
    assert count == 1
    assert_close(labels, mask.astype(np.int32), atol=0)


@settings(deadline=None)
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    diagonal=st.booleans(),
    threads=st.integers(1, 4),
)
def test_small_groups_are_left_out_before_numbering(mask, diagonal, threads):
    labels, _ = label_groups(mask, diagonal=diagonal)
    large = np.bincount(labels.ravel()) >= 3
    expected, expected_count = renumber_groups(labels, large)
    got, count = label_groups(mask, diagonal=diagonal, min_px=3, threads=threads)
    assert count == expected_count
    assert_close(got, expected, atol=0)


@settings(deadline=None)
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    diagonal=st.booleans(),
    threads=st.integers(1, 4),
)
def test_it_is_scipys_numbering_whatever_the_threads(mask, diagonal, threads):
    labels, count = label_groups(mask, diagonal=diagonal, threads=threads)
    expected, expected_count = ndimage.label(mask, structure=STRUCTURE[diagonal], output=np.int32)
    assert count == expected_count
    assert_close(labels, expected, atol=0)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_given_array_is_overwritten(share):
    mask = np.random.default_rng(1).random((40, 70)) < share
    out = np.full(mask.shape, 99, dtype=np.int32)
    labels, _ = label_groups(mask.astype(np.uint8), threads=2, out=out)
    assert labels is out
    assert_close(out, ndimage.label(mask, structure=np.ones((3, 3)), output=np.int32)[0], atol=0)


def test_an_empty_mask_has_no_groups():
    labels, count = label_groups(np.zeros((0, 5), dtype=bool))
    assert (labels.shape, count) == ((0, 5), 0)


def test_kept_groups_are_numbered_in_the_order_they_are_met():
    labels = np.array([[0, 5, 5], [2, 0, 3]], dtype=np.int32)
    kept = np.array([True, True, True, False, True, True])
    renumbered, count = renumber_groups(labels, kept)
    assert count == 2
    assert_close(renumbered, np.array([[0, 1, 1], [2, 0, 0]], dtype=np.int32), atol=0)
