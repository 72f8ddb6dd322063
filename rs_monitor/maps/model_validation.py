"""How good a classifier is on ground it was not trained on: spatial blocks held out, intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_monitor.estimation.clusters import (
    ClusteredAccuracy,
    ClusteredProportion,
    clustered_accuracy,
)
from rs_monitor.kernels.uncertainty import entropy_and_margin
from rs_monitor.maps.calibration import CalibrationRules
from rs_monitor.maps.class_shares import at_shares, own_shares
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.fold_groups import Finer, fold_groups
from rs_monitor.maps.model_card import ClassCard, Interval, ValidationCard, class_name
from rs_monitor.maps.reliability import calibration_table
from rs_monitor.maps.samples import Samples
from rs_monitor.maps.training import fit_grouped
from rs_monitor.maps.uncertainty import error_ranking_auc
from rs_monitor.maps.validation import spatial_folds

Probabilities = NDArray[np.float64]

METHOD = (
    "{folds} folds of whole spatial blocks{finer}; compared with the survey's labels, mislabelled "
    "ones included; classes weighted by their surveyed area; intervals know the parcels (Korn and "
    "Graubard 1998)"
)


@dataclass(frozen=True, slots=True)
class Validation:
    """What held-out ground says of a classifier.

    Attributes
    ----------
    accuracy : ClusteredAccuracy
        Overall, user's and producer's.
    calibration, raw_calibration : DataFrame
        Figures with intervals (:func:`rs_monitor.maps.reliability.calibration_table`), with the
        calibration and without.
    error_auc : float
        Whether entropy ranks the errors; NaN where nothing, or everything, was wrong.
    method : str
    confidence : float
    """

    accuracy: ClusteredAccuracy
    calibration: pd.DataFrame
    raw_calibration: pd.DataFrame
    error_auc: float
    method: str
    confidence: float


def validate_classifier(
    samples: Samples,
    make_classifier: Callable[[bool], LandCoverClassifier],
    *,
    trusted: NDArray[np.bool_],
    areas_m2: Mapping[int, float],
    folds: int,
    min_parcels: int,
    confidence: float,
    calibration: CalibrationRules,
    seed: int,
    shares: Mapping[int, float] | None = None,
) -> Validation:
    """Hold out whole spatial blocks and compare.

    Parameters
    ----------
    samples : Samples
        Of classes that can be learned; all are compared with.
    make_classifier : callable
        Gives an unfitted classifier, calibrated or not.
    trusted : ndarray of bool, shape (n,)
        Samples that may be trained on: those that no cleaning left out.
    areas_m2 : mapping of int to float
        Surveyed area of each class; its samples stand for it.
    folds : int
    min_parcels : int
        Fewer independent parcels of a class are not assessable.
    confidence : float
        Level of the intervals.
    calibration : CalibrationRules
        Bins and draws of the calibration figures.
    seed : int
        Of the deal of blocks to folds and of the draws.
    shares : mapping of int to float, optional
        Class shares that the model's probabilities are moved to; default: left as they are.

    Returns
    -------
    Validation
        Accuracy is that of the moved probabilities. The samples do not have those shares, so
        figures of calibration are of the probabilities before that.
    """
    classes, labels = np.unique(samples.labels), samples.labels
    groups = fold_groups(samples, folds)
    fold = spatial_folds(groups.ids, labels, folds=folds, seed=seed)
    stated, moved = _held_out(
        samples, lambda: make_classifier(True), fold, trusted, classes, shares
    )
    calibrated = make_classifier(True).calibration != "none"
    raw = stated
    if calibrated:
        raw, _ = _held_out(samples, lambda: make_classifier(False), fold, trusted, classes, None)
    return judge(
        samples,
        classes,
        stated,
        raw,
        areas_m2=areas_m2,
        method=METHOD.format(folds=folds, finer=_in_words(groups.finer)),
        min_parcels=min_parcels,
        confidence=confidence,
        calibration=calibration,
        seed=seed,
        moved=moved,
    )


def _in_words(finer: Mapping[int, Finer]) -> str:
    """Which classes were not kept apart by spatial blocks; their figures are too kind."""
    named = [f"{class_name(value)} by {unit}" for value, unit in sorted(finer.items())]
    return f" (in fewer blocks, held out too kindly: {', '.join(named)})" if named else ""


def judge(
    samples: Samples,
    classes: NDArray[Any],
    stated: Probabilities,
    raw: Probabilities,
    *,
    areas_m2: Mapping[int, float],
    method: str,
    min_parcels: int,
    confidence: float,
    calibration: CalibrationRules,
    seed: int,
    moved: Probabilities | None = None,
) -> Validation:
    """Compare probabilities of samples that were not trained on with their labels.

    Parameters
    ----------
    samples : Samples
    classes : ndarray, shape (classes,)
        Sorted; order of the columns.
    stated, raw : ndarray of float64, shape (n, classes)
        With the calibration and without.
    areas_m2, min_parcels, confidence, calibration, seed
        As in :func:`validate_classifier`.
    method : str
        How the samples were kept apart, for the card.
    moved : ndarray of float64, shape (n, classes), optional
        At the class shares that decide the map; default: ``stated``.

    Returns
    -------
    Validation
    """
    labels = samples.labels
    deciding = stated if moved is None else moved
    mapped = classes[deciding.argmax(axis=1)]
    figures = [
        calibration_table(
            found,
            labels,
            classes,
            samples.parcel,
            bins=calibration.bins,
            spacing=calibration.spacing,
            replicates=calibration.replicates,
            confidence=confidence,
            seed=seed,
        )
        for found in (stated, raw)
    ]
    entropy = entropy_and_margin(np.ascontiguousarray(deciding.T, dtype=np.float32))[0]
    return Validation(
        accuracy=clustered_accuracy(
            mapped,
            labels,
            samples.parcel,
            classes=classes.tolist(),
            min_clusters=min_parcels,
            confidence=confidence,
            weights=_weights(labels, areas_m2),
        ),
        calibration=figures[0],
        raw_calibration=figures[1],
        error_auc=error_ranking_auc(entropy, mapped != labels),
        method=method,
        confidence=confidence,
    )


def _held_out(
    samples: Samples,
    make: Callable[[], LandCoverClassifier],
    fold: NDArray[np.int64],
    trusted: NDArray[np.bool_],
    classes: NDArray[Any],
    shares: Mapping[int, float] | None,
) -> tuple[Probabilities, Probabilities]:
    """Probabilities of every sample from a classifier that saw none of its block, and moved."""
    found = np.zeros((len(fold), len(classes)))
    moved = found if shares is None else np.zeros_like(found)
    for number in np.unique(fold):
        tested = fold == number
        trained = samples.select(~tested & trusted)
        fitted = fit_grouped(make(), trained)
        columns = np.searchsorted(classes, fitted.classes_)
        stated = fitted.predict_proba(samples.features[tested])
        found[np.ix_(tested, columns)] = stated
        if shares is not None:
            own = own_shares(fitted.calibrator_, np.unique(trained.labels, return_counts=True)[1])
            new = [shares[int(value)] for value in fitted.classes_]
            moved[np.ix_(tested, columns)] = at_shares(stated, own, new)
    return found, moved


def _weights(labels: NDArray[np.uint8], areas_m2: Mapping[int, float]) -> NDArray[np.float64]:
    """Ground that a sample stands for, so that all weigh one on average."""
    values, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    area = np.array([areas_m2[int(value)] for value in values])
    weights = (area / counts)[places]
    return np.asarray(weights / weights.mean())


def validation_card(validation: Validation) -> ValidationCard:
    """The figures of a whole model, as its card keeps them."""
    overall = validation.accuracy.overall
    auc = validation.error_auc
    return ValidationCard(
        method=validation.method,
        confidence=validation.confidence,
        overall=interval_of(overall),
        parcels=overall.clusters,
        calibration_error=_figure(validation.calibration),
        calibration_error_before=_figure(validation.raw_calibration),
        error_auc=None if np.isnan(auc) else round(auc, 4),
    )


def class_cards(validation: Validation, samples: Samples) -> tuple[ClassCard, ...]:
    """The figures of each class, as a model card keeps them; ``samples`` were trained on."""
    cards = []
    for value, producers in validation.accuracy.producers.items():
        users = validation.accuracy.users[value]
        rows = samples.labels == value
        cards.append(
            ClassCard(
                value=value,
                name=class_name(value),
                parcels=len(np.unique(samples.parcel[rows])),
                pixels=int(rows.sum()),
                users=interval_of(users),
                producers=interval_of(producers),
                not_assessable=producers.reason or users.reason or "",
            )
        )
    return tuple(cards)


def interval_of(share: ClusteredProportion) -> Interval | None:
    """An estimate as a card keeps it; None where it cannot be assessed."""
    if share.estimate is None or share.lower is None or share.upper is None:
        return None
    return _rounded(share.estimate, share.lower, share.upper)


def _figure(table: pd.DataFrame) -> Interval:
    row = "expected_calibration_error"
    value, low, high = (float(table[name][row]) for name in ("value", "low", "high"))
    return _rounded(value, low, high)


def _rounded(estimate: float, lower: float, upper: float) -> Interval:
    """To four places: more would pretend to a precision that no survey gives."""
    shares = [round(min(max(float(value), 0.0), 1.0), 4) for value in (estimate, lower, upper)]
    return Interval(estimate=shares[0], lower=shares[1], upper=shares[2])


def validation_table(cards: tuple[ClassCard, ...]) -> pd.DataFrame:
    """One row per class, as ``rs-monitor train`` prints it."""
    return pd.DataFrame(
        {
            "class": card.name,
            "parcels": card.parcels,
            "pixels": card.pixels,
            "user's": str(card.users or "-"),
            "producer's": str(card.producers or "-"),
            "not assessable": card.not_assessable,
        }
        for card in cards
    )
