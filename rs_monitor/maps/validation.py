"""Validation kept apart in space: folds of whole groups, and probabilities of rows not trained on.

Neighbouring pixels are near copies of each other; a test pixel whose parcel or block was trained
on says nothing of new ground (Roberts et al. 2017, doi:10.1111/ecog.02881; Ploton et al. 2020,
doi:10.1038/s41467-020-18321-y).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.validation import has_fit_parameter

from rs_monitor.errors import NoObservations


def spatial_folds(
    groups: ArrayLike, labels: ArrayLike, *, folds: int, seed: int
) -> NDArray[np.int64]:
    """Deal whole groups (parcels, spatial blocks) to folds, classes as even as they come.

    Parameters
    ----------
    groups : array-like of int or str, shape (n,)
        What must not be torn apart: a parcel, or better a spatial block.
    labels : array-like, shape (n,)
        Class of each row.
    folds : int
        At least 2.
    seed : int
        Of the deal; groups are dealt by their ids, so the order of the rows changes nothing.

    Returns
    -------
    ndarray of int64, shape (n,)
        The fold, from 0, in which a row is tested. ``PredefinedSplit`` takes it as it is.

    Raises
    ------
    NoObservations
        If a class lies in fewer groups than there are folds, or if the deal left a class out of
        a training part.

    Notes
    -----
    The deal is scikit-learn's ``StratifiedGroupKFold``: largest spread first, to the fold whose
    class shares it disturbs least. Where that puts a whole class into one fold, its smallest group
    goes to the next one.
    """
    group_ids, class_ids = np.asarray(groups), np.asarray(labels)
    _require_spread(group_ids, class_ids, folds)
    order = np.lexsort((class_ids, group_ids))
    dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    deal = dealer.split(np.zeros((len(order), 1)), class_ids[order], group_ids[order])
    fold = np.empty(len(order), dtype=np.int64)
    for number, (_, tested) in enumerate(deal):
        fold[order[tested]] = number
    _part(fold, group_ids, class_ids, folds)
    _require_trainable(fold, class_ids, folds)
    return fold


def groups_of_each_class(groups: ArrayLike, labels: ArrayLike) -> dict[Any, int]:
    """Count the groups every class lies in: its independent pieces of ground.

    Parameters
    ----------
    groups, labels : array-like, shape (n,)

    Returns
    -------
    dict
        Groups by class, in class order.
    """
    group_ids, class_ids = np.asarray(groups), np.asarray(labels)
    return {
        value: len(np.unique(group_ids[class_ids == value]))
        for value in np.unique(class_ids).tolist()
    }


def out_of_fold(
    make_classifier: Callable[[], Any],
    features: NDArray[np.floating[Any]],
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    folds: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Probabilities of every row from a classifier that saw no row of its group.

    Parameters
    ----------
    make_classifier : callable
        Gives a new unfitted classifier (``fit``, ``predict_proba``, ``classes_``) each time. One
        whose ``fit`` takes ``groups`` is handed those of the training part.
    features : ndarray of float, shape (n, features)
    labels, groups : array-like, shape (n,)
    folds, seed : int
        As in :func:`spatial_folds`.

    Returns
    -------
    probabilities : ndarray of float64, shape (n, classes)
        Columns in the order of ``classes``.
    classes : ndarray, shape (classes,)
        Sorted values of ``labels``.

    Raises
    ------
    NoObservations
        As :func:`spatial_folds`.
    """
    group_ids, class_ids = np.asarray(groups), np.asarray(labels)
    fold = spatial_folds(group_ids, class_ids, folds=folds, seed=seed)
    classes = np.unique(class_ids)
    probabilities = np.empty((len(class_ids), len(classes)), dtype=np.float64)
    for number in range(folds):
        tested = fold == number
        classifier = make_classifier()
        told = {"groups": group_ids[~tested]} if has_fit_parameter(classifier, "groups") else {}
        classifier.fit(features[~tested], class_ids[~tested], **told)
        probabilities[tested] = classifier.predict_proba(features[tested])
    return probabilities, classes


def _require_spread(groups: NDArray[Any], labels: NDArray[Any], folds: int) -> None:
    few = {name: n for name, n in groups_of_each_class(groups, labels).items() if n < folds}
    if few:
        listed = ", ".join(f"{name} in {count}" for name, count in few.items())
        raise NoObservations(
            f"got classes in too few groups (class {listed}); needed at least {folds} groups of "
            f"each class for {folds} folds; merge or leave out the class, take fewer folds, "
            "smaller blocks, or survey more parcels of it"
        )


def _part(fold: NDArray[np.int64], groups: NDArray[Any], labels: NDArray[Any], folds: int) -> None:
    """Move the smallest group of a class that was dealt to one fold as a whole; in place."""
    for value in np.unique(labels):
        rows = labels == value
        if np.unique(fold[rows]).size > 1:
            continue
        ids, counts = np.unique(groups[rows], return_counts=True)
        moved = groups == ids[counts.argmin()]
        fold[moved] = (fold[moved] + 1) % folds


def _require_trainable(fold: NDArray[np.int64], labels: NDArray[Any], folds: int) -> None:
    for number in range(folds):
        missing = np.setdiff1d(labels, labels[fold != number])
        if missing.size:
            raise NoObservations(
                f"got all groups of class {missing.tolist()} in fold {number}; needed some of "
                "each class in every training part; take another seed, fewer folds or smaller "
                "blocks"
            )
