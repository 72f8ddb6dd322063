import dataclasses
import re

import numpy as np
import pytest

from rs_monitor.codes import LandCover
from rs_monitor.errors import NoObservations
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.fold_groups import fold_groups, why_not_calibrated
from rs_monitor.maps.model_arrays import arrays_of
from rs_monitor.maps.training import fit_grouped, learnable
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
    found = fold_groups(samples, 3)
    assert found.finer == {LandCover.FOREST: "parcel"}
    groups = found.ids
    for wanted, rows in ((block, paddy), (samples.parcel, forest)):
        assert len(np.unique(groups[rows])) == len(np.unique(wanted[rows]))
        assert len(set(zip(groups[rows], wanted[rows], strict=True))) == len(
            np.unique(wanted[rows])
        )
    of_pixels = fold_groups(samples, 7)
    assert len(np.unique(of_pixels.ids[forest])) == 6 * PIXELS
    assert set(of_pixels.finer.values()) == {"pixel"}


def test_few_parcels_are_calibrated_as_far_as_two_classes_can_be_held_out():
    samples = small_samples(parcels=6)
    one_rare = samples.select(np.isin(samples.parcel, [0, *range(6, 18)]))
    two_rare = samples.select(np.isin(samples.parcel, [0, 6, *range(12, 18)]))
    gone = samples.select(np.isin(samples.parcel, range(6, 18)) | (np.arange(18 * PIXELS) < 2))
    assert why_not_calibrated(one_rare, 3) == ""
    assert why_not_calibrated(two_rare, 3).startswith("got 1 classes in 3 parcels or more; needed")
    assert re.match(r"got classes \[\d\] with fewer than 3 pixels", why_not_calibrated(gone, 3))
    asked = LandCoverClassifier(trees=3, calibration="bias_temperature", folds=3, random_state=0)
    for given, calibrated in ((one_rare, True), (two_rare, False), (gone, False)):
        fitted = fit_grouped(asked, given)
        assert (fitted.calibrator_ is not None) == calibrated
        np.testing.assert_allclose(fitted.predict_proba(given.features).sum(axis=1), 1, atol=1e-6)
    assert asked.calibration == "bias_temperature"
