import numpy as np
import pytest

from rs_monitor.errors import GridMismatch
from rs_monitor.kernels.median import LANES, median_network, median_of_looks
from rs_monitor.kernels.series import time_quantiles
from tests.comparison import assert_close

NAN = float("nan")


def looks(times, pixels, seed=0, gaps=0.4, high=65536):
    """Counts with 0 where nothing was seen; the greatest count occurs."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, high, (times, 3, pixels)).astype("uint16")
    counts[rng.random(counts.shape) < 0.05] = 65535
    counts[rng.random(counts.shape) < gaps] = 0
    return counts


def as_floats(counts):
    return np.where(counts == 0, np.float32(NAN), counts.astype("float32"))


def by_sorting(floats):
    return time_quantiles(floats, np.array([0.5]))[0]


@pytest.mark.parametrize("times", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 40])
def test_equal_to_sorting_bit_for_bit(times):
    for gaps in (0.0, 0.4, 0.9):
        counts = looks(times, LANES // 2 + 7, seed=times, gaps=gaps)
        expected = by_sorting(as_floats(counts))
        assert_close(median_of_looks(counts), expected, atol=0)
        assert_close(median_of_looks(as_floats(counts)), expected, atol=0)


@pytest.mark.parametrize("times", range(1, 15))
def test_the_network_brings_the_middle_ranks_into_place(times):
    # by the 0-1 principle a network that places all zeros and ones places everything
    bits = (np.arange(2**times) >> np.arange(times)[:, np.newaxis]) & 1
    rows = bits.copy()
    for first, second, kind in median_network(times).tolist():
        low, high = np.sort(rows[[first, second]], axis=0)
        if kind != 2:
            rows[first] = low
        if kind != 1:
            rows[second] = high
    middle = slice((times - 1) // 2, (times - 1) // 2 + 2)
    np.testing.assert_array_equal(rows[middle], np.sort(bits, axis=0)[middle])


def test_a_mask_hides_values_and_makes_none():
    counts = looks(9, 300, seed=1)
    clear = np.random.default_rng(2).random(counts.shape) < 0.6
    expected = by_sorting(as_floats(np.where(clear, counts, 0)))
    assert_close(median_of_looks(counts, clear), expected, atol=0)
    assert_close(median_of_looks(as_floats(counts), clear), expected, atol=0)


@pytest.mark.parametrize(("fewest", "seen"), [(0, 3), (1, 3), (2, 2), (3, 1), (4, 0)])
def test_too_few_looks_give_none(fewest, seen):
    # pixels of 0, 1, 2 and 3 looks
    counts = np.array([[0, 5, 5, 5], [0, 0, 7, 7], [0, 0, 0, 9]], "uint16")[:, np.newaxis]
    expected = np.array([[NAN, 5, 6, 7]], "float32")
    expected[:, : 4 - seen] = NAN
    for stack in (counts, as_floats(counts)):
        assert_close(median_of_looks(stack, min_looks=fewest), expected, atol=0)


def test_values_at_the_ends_of_the_range_are_values():
    most = np.finfo("float32").max
    ends = np.array([-most, most, NAN, NAN], "float32").reshape(4, 1, 1)
    assert median_of_looks(ends[[0, 2, 3]]).item() == -most
    assert median_of_looks(ends[[1, 2, 3]]).item() == most
    assert median_of_looks(ends).item() == 0
    greatest = np.array([65535, 0, 65535, 0, 1], "uint16").reshape(5, 1, 1)
    assert median_of_looks(greatest).item() == 65535


@pytest.mark.parametrize("never", [np.inf, -np.inf, NAN])
def test_what_is_not_finite_was_not_seen(never):
    stack = np.array([1, never, 2, never, 6], "float32").reshape(5, 1, 1)
    assert median_of_looks(stack).item() == 2


def test_strips_and_other_views_are_read_in_place_or_copied_alike():
    counts = looks(7, LANES + 90, seed=3)
    clear = np.random.default_rng(4).random(counts.shape) < 0.7
    whole = median_of_looks(counts, clear)
    assert_close(median_of_looks(counts[:, 1:], clear[:, 1:]), whole[1:], atol=0)
    assert_close(median_of_looks(counts[:, :, 5:50], clear[:, :, 5:50]), whole[:, 5:50], atol=0)
    wide = np.s_[:, :, 5 : LANES + 50]  # wide enough to be read in place
    assert_close(median_of_looks(counts[wide], clear[wide]), whole[wide[1:]], atol=0)
    apart = np.ascontiguousarray(clear[wide])
    assert_close(median_of_looks(counts[wide], apart), whole[wide[1:]], atol=0)
    back = counts[::-1], clear[::-1]
    assert_close(median_of_looks(*back), whole, atol=0)
    other_order = np.asfortranarray(counts), np.ascontiguousarray(clear)
    assert_close(median_of_looks(*other_order), whole, atol=0)
    everywhere = np.broadcast_to(np.bool_(True), counts.shape)
    assert_close(median_of_looks(counts, everywhere), median_of_looks(counts), atol=0)


def test_writes_into_a_given_array():
    counts = looks(4, 20)
    out = np.empty((3, 20), "float32")
    assert median_of_looks(counts, out=out) is out
    assert_close(out, median_of_looks(counts), atol=0)


def test_no_date_no_pixel():
    assert np.isnan(median_of_looks(np.empty((0, 2, 3), "float32"))).all()
    assert median_of_looks(np.empty((4, 0, 3), "uint16")).shape == (0, 3)


def test_shapes_that_do_not_fit_are_refused():
    counts = looks(4, 20)
    with pytest.raises(GridMismatch, match="got looks of"):
        median_of_looks(counts, np.ones((4, 3, 19), bool))
    for out in (np.empty((3, 19), "float32"), np.empty((3, 20)), np.empty((20, 3), "float32").T):
        with pytest.raises(GridMismatch, match="got out of"):
            median_of_looks(counts, out=out)
