"""From labelled samples to a model: which classes can be learned, trees and domain as arrays."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from rs_monitor.errors import NoObservations
from rs_monitor.maps.applicability import OutsideRules, fit_domain
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.flatten import flatten, flatten_boosting
from rs_monitor.maps.fold_groups import fold_groups, why_not_calibrated
from rs_monitor.maps.land_cover import LandCoverModel
from rs_monitor.maps.samples import Samples


@dataclass(frozen=True, slots=True)
class Learnable:
    """Samples of the classes that can be learned.

    Attributes
    ----------
    samples : Samples
    not_learned : dict of int to int
        Classes with too few pixels, and how many they have.
    """

    samples: Samples
    not_learned: dict[int, int]


def learnable(samples: Samples, *, min_samples: int, surveyed: Collection[int] = ()) -> Learnable:
    """Leave out classes with too few pixels.

    Parameters
    ----------
    samples : Samples
    min_samples : int
        Pixels that a class needs.
    surveyed : collection of int
        Classes of the survey: one that no pixel shows is named, too.

    Raises
    ------
    NoObservations
        If fewer than two classes remain.
    """
    values, counts = np.unique(samples.labels, return_counts=True)
    enough = counts >= min_samples
    if enough.sum() < 2:
        raise NoObservations(
            f"got {enough.sum()} classes with at least {min_samples} clean pixels; needed two; "
            "give a survey layer with larger parcels or more scenes"
        )
    few = zip(values[~enough].tolist(), counts[~enough].tolist(), strict=True)
    kept = np.isin(samples.labels, values[enough])
    none = dict.fromkeys(sorted({int(cover) for cover in surveyed} - set(values.tolist())), 0)
    return Learnable(samples if kept.all() else samples.select(kept), dict(few) | none)


def fit_grouped(classifier: LandCoverClassifier, samples: Samples) -> LandCoverClassifier:
    """Fit a classifier whose calibration keeps spatial blocks together.

    Parameters
    ----------
    classifier : LandCoverClassifier
        Unfitted.
    samples : Samples

    Returns
    -------
    LandCoverClassifier
        Not calibrated where the samples are too few for it
        (:func:`rs_monitor.maps.fold_groups.why_not_calibrated`).
    """
    if classifier.calibration != "none" and why_not_calibrated(samples, classifier.folds):
        classifier = clone(classifier).set_params(calibration="none")
    groups = fold_groups(samples, classifier.folds).ids
    return classifier.fit(samples.features, samples.labels, groups=groups)


def train_model(
    samples: Samples,
    features: tuple[str, ...],
    classifier: LandCoverClassifier,
    *,
    outside: OutsideRules,
    seed: int,
) -> LandCoverModel:
    """Fit a classifier and keep it as plain arrays.

    Parameters
    ----------
    samples : Samples
        Of classes that can be learned.
    features : tuple of str
        Names of the feature columns.
    classifier : LandCoverClassifier
        Unfitted.
    outside : OutsideRules
        How the domain of the training data is drawn.
    seed : int
        Of its folds.

    Returns
    -------
    LandCoverModel
    """
    fitted = fit_grouped(classifier, samples)
    domain = fit_domain(
        samples.features,
        samples.labels,
        fold_groups(samples, outside.folds).ids,
        fitted.feature_importances_,
        rules=outside,
        seed=seed,
    )
    flat = flatten if fitted.kind == "forest" else flatten_boosting
    return LandCoverModel(
        trees=flat(fitted.trees_),
        classes=tuple(int(value) for value in fitted.classes_),
        features=features,
        calibrator=fitted.calibrator_,
        domain=domain,
    )
