"""Land cover of seen pixels by a trained model: class probabilities and the most probable class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_monitor.codes import NODATA
from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.boosting import FlatBoost, boost_proba
from rs_monitor.kernels.forest import FlatForest, forest_proba
from rs_monitor.kernels.tree_walk import seen_pixels
from rs_monitor.maps.applicability import Domain, judge
from rs_monitor.maps.calibration import Calibrator


@dataclass(frozen=True, slots=True)
class LandCoverModel:
    """A trained classifier as plain arrays, and the names that must fit.

    Attributes
    ----------
    trees : FlatForest or FlatBoost
    classes : tuple of int
        Values of ``LandCover``, in column order of the probabilities.
    features : tuple of str
        Names of the feature layers, in their order.
    calibrator : Calibrator, optional
        What turns the shares of the trees into probabilities that hold; None = left as they are.
    domain : Domain, optional
        Where the training data lay; None = nothing is said of pixels outside.
    """

    trees: FlatForest | FlatBoost
    classes: tuple[int, ...]
    features: tuple[str, ...]
    calibrator: Calibrator | None = None
    domain: Domain | None = None


def class_probabilities(
    model: LandCoverModel, features: NDArray[np.float32], names: Sequence[str]
) -> NDArray[np.float32]:
    """Class probabilities of every seen pixel.

    Parameters
    ----------
    model : LandCoverModel
    features : ndarray of float32, shape (features, y, x)
        NaN = missing; a pixel without any feature was not seen.
    names : sequence of str
        Names of the feature layers; must equal the model's.

    Returns
    -------
    ndarray of float32, shape (classes, y, x)
        Sum to 1; NaN where nothing was seen.

    Raises
    ------
    ModelMismatch
        If the features differ.
    """
    require_features(model, names)
    seen = seen_pixels(features)
    if isinstance(model.trees, FlatForest):
        found = forest_proba(features, model.trees, seen=seen)
    else:
        found = boost_proba(features, model.trees, seen=seen)
    if model.calibrator is not None:
        rows = found.reshape(len(found), -1).T
        model.calibrator.apply(rows, out=rows)
    return found


def require_features(model: LandCoverModel, names: Sequence[str]) -> None:
    """Refuse feature layers that are not the model's, in name or order."""
    if tuple(names) != model.features:
        raise ModelMismatch(
            f"got features {', '.join(names)}; the model needs {', '.join(model.features)}; "
            "compute the features it was trained on"
        )


def training_domain(model: LandCoverModel, features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Whether each pixel is like anything the model was trained on.

    Parameters
    ----------
    model : LandCoverModel
    features : ndarray of float32, shape (features, y, x)
        NaN = missing.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        ``TrainingDomain``; 0 where nothing was seen.

    Raises
    ------
    ModelMismatch
        If the model knows no domain, or another number of features.
    """
    if model.domain is None:
        raise ModelMismatch(
            "got a model without the domain of its training data; needed one to tell what lies "
            "outside; train the model again"
        )
    distance = model.domain.dissimilarity(features)
    return judge(distance, threshold=model.domain.threshold)


def most_probable(
    probabilities: NDArray[np.float32], classes: Sequence[int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Class of highest probability and that probability.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (classes, y, x)
        NaN = not seen.
    classes : sequence of int
        Values of ``LandCover``.

    Returns
    -------
    tuple of ndarray
        ``LandCover`` as uint8 (0 = not seen) and float32 probability (NaN = not seen).
    """
    seen = np.isfinite(probabilities[0])
    best = np.argmax(np.where(seen, probabilities, 0.0), axis=0)
    values = np.asarray(classes, dtype=np.uint8)[best]
    top = np.take_along_axis(probabilities, best[None], axis=0)[0]
    return np.where(seen, values, np.uint8(NODATA)), top
