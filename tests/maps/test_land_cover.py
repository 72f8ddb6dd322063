import numpy as np
import pytest

from rs_monitor.codes import NODATA, LandCover, TrainingDomain
from rs_monitor.errors import ModelMismatch
from rs_monitor.maps.land_cover import (
    LandCoverModel,
    class_probabilities,
    most_probable,
    training_domain,
)
from tests.comparison import assert_close
from tests.maps.small_models import CLASSES, SPEC, small_model, small_samples


@pytest.fixture(scope="module")
def model():
    return small_model()


def features():
    """Two rows of samples, a pixel without any feature, one far from all training."""
    rows = small_samples(seed=1).features[:8].T.reshape(3, 2, 4).copy()
    rows[:, 0, 1] = np.nan
    rows[:, 1, 3] = 1e4
    return rows


@pytest.mark.parametrize("kind", ["forest", "boosting"])
@pytest.mark.parametrize("calibration", ["none", "bias_temperature", "isotonic"])
def test_probabilities_are_those_of_the_classifier(kind, calibration):
    from rs_monitor.maps.classifier import LandCoverClassifier
    from rs_monitor.maps.training import fit_grouped

    samples = small_samples()
    classifier = LandCoverClassifier(
        kind, trees=6, max_leaves=4, calibration=calibration, folds=2, random_state=0
    )
    fitted = fit_grouped(classifier, samples)
    model = small_model(kind, calibration)
    stack = features()
    found = class_probabilities(model, stack, SPEC.names)
    seen = np.isfinite(stack).any(axis=0)
    assert np.isnan(found[:, 0, 1]).all()
    expected = fitted.predict_proba(stack[:, seen].T)
    assert_close(found[:, seen].T, expected.astype(np.float32), atol=2e-6)
    assert model.classes == CLASSES


def test_blocks_give_the_bytes_of_the_whole(model):
    stack = features()
    whole = class_probabilities(model, stack, SPEC.names)
    parts = [class_probabilities(model, stack[:, :, k : k + 1], SPEC.names) for k in range(4)]
    assert np.array_equal(np.concatenate(parts, axis=2), whole, equal_nan=True)


@pytest.mark.parametrize("names", [SPEC.names[:2], SPEC.names[::-1]])
def test_other_features_are_refused(model, names):
    with pytest.raises(ModelMismatch, match=r"the model needs red_p50, nir_p50, swir16_p50; comp"):
        class_probabilities(model, features(), names)


def test_ground_unlike_the_training_is_outside(model):
    found = training_domain(model, features())
    assert found[0, 1] == TrainingDomain.NOT_SEEN == NODATA
    assert found[1, 3] == TrainingDomain.OUTSIDE
    assert found[0, 0] == TrainingDomain.INSIDE


def test_without_a_domain_nothing_is_said_of_outside(model):
    bare = LandCoverModel(model.trees, model.classes, model.features)
    with pytest.raises(ModelMismatch, match="without the domain"):
        training_domain(bare, features())


def test_most_probable_class():
    shares = np.array([[[0.2, np.nan, 0.5]], [[0.7, np.nan, 0.5]], [[0.1, np.nan, 0.0]]], "float32")
    covers, top = most_probable(shares, [LandCover.PADDY, LandCover.WATER, LandCover.BARE])
    assert_close(covers, np.array([[LandCover.WATER, NODATA, LandCover.PADDY]], "uint8"), atol=0)
    assert_close(top, np.array([[0.7, np.nan, 0.5]], "float32"), atol=0)
