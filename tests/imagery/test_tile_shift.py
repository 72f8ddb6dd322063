import numpy as np
import pytest
import scipy.fft

from benchmarks.registration_speed import make_pair
from rs_monitor.errors import GridMismatch
from rs_monitor.imagery.tile_shift import tile_shift

CUTOFF = 0.14


def error_px(found, shift):
    return float(np.hypot(found.dy_px - shift[0], found.dx_px - shift[1]))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.37, -7.61), (-0.5, 0.5), (-21.3, 5.9)])
def test_known_shifts_of_noisy_ground(shift):
    found = tile_shift(*make_pair(512, shift, seed=1), cutoff_cycles_px=CUTOFF)
    assert error_px(found, shift) < 0.02
    assert found.peak > 50
    assert found.seen_fraction == pytest.approx(1)


def test_gain_offset_and_lost_pixels_do_not_matter():
    shift = (2.25, -1.5)
    reference, moving = make_pair(512, shift, seed=2)
    moving = 7.0 * moving + 300.0
    moving[np.random.default_rng(0).random(moving.shape) < 0.1] = np.nan
    reference[100:160, 200:300] = np.inf
    found = tile_shift(reference, moving, cutoff_cycles_px=CUTOFF)
    assert error_px(found, shift) < 0.02
    assert 0.85 < found.seen_fraction < 0.95


def test_any_size_and_shape():
    shift = (-3.2, 4.4)
    reference, moving = make_pair(600, shift, seed=3)
    found = tile_shift(reference[:509, :597], moving[:509, :597], cutoff_cycles_px=CUTOFF)
    assert error_px(found, shift) < 0.02


def test_threads_do_not_matter():
    pair = make_pair(256, (1.2, 0.4), seed=4)
    one, two = (tile_shift(*pair, cutoff_cycles_px=CUTOFF, workers=n) for n in (1, 2))
    assert one == two


def test_unrelated_ground_has_no_peak():
    reference, _ = make_pair(512, (0.0, 0.0), seed=5)
    _, other = make_pair(512, (0.0, 0.0), seed=6)
    assert tile_shift(reference, other, cutoff_cycles_px=CUTOFF).peak < 8


@pytest.mark.parametrize("blank", [0.0, 5.0, np.nan])
def test_an_image_without_anything_has_no_shift(blank):
    reference, _ = make_pair(128, (0.0, 0.0))
    found = tile_shift(reference, np.full_like(reference, blank), cutoff_cycles_px=CUTOFF)
    assert np.isnan([found.dy_px, found.dx_px, found.peak]).all()
    assert found.seen_fraction == pytest.approx(0.0 if np.isnan(blank) else 1.0)


def test_shapes_must_be_one():
    with pytest.raises(GridMismatch, match="got images of"):
        tile_shift(np.ones((8, 8)), np.ones((8, 9)), cutoff_cycles_px=CUTOFF)


def test_the_pair_is_shifted_as_told():
    plain, moved = make_pair(64, (2.0, -3.0), noise=0.0)
    np.testing.assert_allclose(moved[2:, :-3], plain[:-2, 3:], atol=1e-4)
    assert scipy.fft.rfft2(plain).dtype == np.complex64
