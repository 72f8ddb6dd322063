"""Synthetic two-date pairs: what was asked for is what is painted."""

import numpy as np
import pytest

from rs_monitor.synthetic.pairs import PairSpec, synthetic_pair
from rs_monitor.synthetic.spectra import BANDS


@pytest.fixture(scope="module")
def pair():
    return synthetic_pair(PairSpec(401, 0.5, size_px=100))


def test_the_same_seed_gives_the_same_pair(pair):
    again = synthetic_pair(PairSpec(401, 0.5, size_px=100))
    np.testing.assert_array_equal(again.before, pair.before)
    np.testing.assert_array_equal(again.truth["works"], pair.truth["works"])
    other = synthetic_pair(PairSpec(402, 0.5, size_px=100))
    assert not np.array_equal(other.before, pair.before)


def test_truths_fit_together(pair):
    truth = pair.truth
    assert not (truth["works"] & truth["crop_change"]).any()
    assert not (truth["lasting_loss"] & ~truth["works"]).any()
    assert 0.003 < float(truth["works"].mean()) < 0.06
    assert float(truth["lasting_loss"].sum()) > 0


def test_no_crop_changes_unless_asked():
    still = synthetic_pair(PairSpec(403, 0.0, size_px=60))
    assert not still.truth["crop_change"].any()
    all_of_them = synthetic_pair(PairSpec(403, 1.0, size_px=60))
    assert float(all_of_them.truth["crop_change"].mean()) > 0.5


def test_works_alone_move_the_pixels():
    spec = {"size_px": 60, "misregistration_px": 0.0}
    without = synthetic_pair(PairSpec(404, 0.0, built_share=0.0, **spec))
    assert not without.truth["change"].any()
    built = synthetic_pair(PairSpec(404, 0.0, built_share=0.05, **spec))
    moved = np.abs(built.after - without.after).max("band").values
    works = built.truth["works"].values & ~built.truth["mixed"].values
    assert np.median(moved[works]) > 10 * np.median(moved[~built.truth["works"].values])


def test_bands_and_counts(pair):
    assert list(pair.before["band"].values) == list(BANDS)
    four = synthetic_pair(PairSpec(405, 0.3, bands=BANDS[:4], size_px=60, resolution_m=5.0))
    assert four.after.shape == (4, 60, 60)
    assert four.after.dtype == np.float32
    assert 0.0 <= float(four.after.min()) <= float(four.after.max()) <= 255.0
    assert float(four.before["x"][1] - four.before["x"][0]) == 5.0
