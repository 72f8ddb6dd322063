import dataclasses

import numpy as np
import pytest

from rs_monitor.codes import LandCover
from rs_monitor.errors import NoObservations
from rs_monitor.maps.model_arrays import arrays_of
from rs_monitor.maps.training import groups_for_folds, learnable
from tests.maps.small_models import PIXELS, small_model, small_samples


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_training_repeats_itself(kind):
    one, again = (arrays_of(small_model(kind, "bias_temperature")) for _ in range(2))
    assert one.keys() == again.keys()
    for name, array in one.items():
        assert array.tobytes() == again[name].tobytes(), name
    assert all(array.dtype != object for array in one.values())


def test_rare_classes_are_not_learned():
    samples = small_samples(parcels=10)
    rare = samples.select(
        (samples.labels != LandCover.BUILT) | (np.arange(len(samples.labels)) % 4 == 0)
    )
    found = learnable(rare, min_samples=11)
    assert found.not_learned == {LandCover.BUILT: 10}
    assert set(found.samples.labels) == {LandCover.PADDY, LandCover.FOREST}
    assert learnable(rare, min_samples=10).not_learned == {}
    surveyed = [LandCover.PADDY, LandCover.WATER, LandCover.BUILT]
    found = learnable(rare, min_samples=11, surveyed=surveyed)
    assert found.not_learned == {LandCover.BUILT: 10, LandCover.WATER: 0}
    with pytest.raises(NoObservations, match=r"got 0 classes .* needed two; give"):
        learnable(rare, min_samples=1000)


def test_folds_keep_blocks_together_where_a_class_lies_in_enough_of_them():
    samples = small_samples(parcels=6)
    paddy, forest = samples.labels == LandCover.PADDY, samples.labels == LandCover.FOREST
    block = samples.block.copy()
    block[paddy] //= 2  # 3 or 4 blocks of paddy
    block[forest] = 7  # one block of forest, 6 parcels
    samples = dataclasses.replace(samples, block=block)
    groups = groups_for_folds(samples, 3)
    for wanted, rows in ((block, paddy), (samples.parcel, forest)):
        assert len(np.unique(groups[rows])) == len(np.unique(wanted[rows]))
        assert len(set(zip(groups[rows], wanted[rows], strict=True))) == len(
            np.unique(wanted[rows])
        )
    of_pixels = groups_for_folds(samples, 7)
    assert len(np.unique(of_pixels[forest])) == 6 * PIXELS
