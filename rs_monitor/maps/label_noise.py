"""Survey labels that the imagery contradicts: confident learning, parcel by parcel.

A survey older than the image is wrong by whole parcels, so the out-of-fold probabilities of a
parcel's pixels are averaged before it is judged (Northcutt, Jiang & Chuang 2021, "Confident
Learning: Estimating Uncertainty in Dataset Labels", doi:10.1613/jair.1.12125).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from rs_monitor.codes import NOT_SEPARABLE
from rs_monitor.config.tables import Model
from rs_monitor.errors import NoObservations
from rs_monitor.maps.fold_groups import Finer, fold_groups
from rs_monitor.maps.samples import Samples
from rs_monitor.maps.validation import groups_of_each_class, out_of_fold

Pairs = Collection[frozenset[Any]]
Probabilities = NDArray[np.float64]


class CleaningRules(Model):
    """When a surveyed label is left out of the training."""

    folds: int = Field(ge=2, description="folds of the out-of-fold probabilities")
    min_parcels: int = Field(ge=1, description="parcels every class keeps; fewer are not judged")
    max_share: float = Field(ge=0, lt=1, description="of a class's parcels removed, at most")
    min_margin: float = Field(
        ge=0, lt=1, description="by which another class must be more probable than the label"
    )
    spare_not_separable: bool = Field(
        description="classes one sensor does not tell apart do not contradict each other"
    )


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What a cleaning removed.

    Attributes
    ----------
    samples : Samples
        What is left.
    removed : ndarray of bool, shape (n,)
        Of the samples given.
    share_removed : float
        Of the samples given, 0-1.
    by_class : DataFrame
        Index ``cover``; parcels, parcels_removed, pixels, pixels_removed, share_removed (of
        parcels), noise (share of wrong labels the confident joint estimates), judged, capped
        (more were suspected than may be removed).
    suspects : DataFrame
        Index ``parcel``; cover, probable (class the imagery shows), probability, margin, removed;
        strongest contradiction first.
    note : str
        Why nothing was judged; empty otherwise.
    finer : dict of int to str
        Judged classes in fewer spatial blocks than folds: parcels were held out instead.
    """

    samples: Samples
    removed: NDArray[np.bool_]
    share_removed: float
    by_class: pd.DataFrame
    suspects: pd.DataFrame
    note: str
    finer: dict[int, Finer] = field(default_factory=dict)


def confident_joint(
    labels: NDArray[Any], probabilities: Probabilities, classes: Any
) -> Probabilities:
    """Count how often a label stands for each true class, as far as the probabilities are sure.

    Parameters
    ----------
    labels : ndarray, shape (n,)
    probabilities : ndarray of float64, shape (n, classes)
        Of a classifier that did not see the row.
    classes : array-like, shape (classes,)

    Returns
    -------
    ndarray of float64, shape (classes, classes)
        Rows: given label, columns: true class; each row adds up to the count of its label.

    Notes
    -----
    A row counts for the most probable of the classes whose probability reaches that class's own
    mean among the rows labelled with it (equation 1 of Northcutt et al. 2021), so that a class the
    classifier is timid about is not taken for noise. Rows of counts are then scaled to the labels
    (equation 3).
    """
    given = np.searchsorted(classes, labels)
    size = len(classes)
    sure = _sure_class(given, probabilities)
    counted = sure >= 0
    joint = np.zeros((size, size))
    np.add.at(joint, (given[counted], sure[counted]), 1.0)
    total = np.bincount(given, minlength=size)
    empty = joint.sum(axis=1) == 0
    joint[empty, empty] = 1.0
    return np.asarray(joint * (total / joint.sum(axis=1))[:, None])


def suspect_labels(
    labels: NDArray[Any],
    probabilities: Probabilities,
    classes: Any,
    *,
    min_margin: float,
    inseparable: Pairs = (),
) -> NDArray[np.bool_]:
    """Find the labels that contradict the probabilities.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        Of pixels, or better of whole parcels.
    probabilities : ndarray of float64, shape (n, classes)
        Of a classifier that did not see the row; mean over a parcel's pixels.
    classes : array-like, shape (classes,)
        Sorted; order of the columns.
    min_margin : float
        By which another class must be more probable than the label.
    inseparable : collection of sets of classes
        Pairs that do not contradict each other.

    Returns
    -------
    ndarray of bool, shape (n,)

    Notes
    -----
    Suspected by both prunings of Northcutt et al. 2021 (section 3.2, method "C+NR"): by noise rate,
    as many rows of each (label, true class) as the confident joint counts, largest margin first;
    and by class, as many rows of each label as its noise, least self-confidence first.
    """
    classes = np.asarray(classes)
    given = np.searchsorted(classes, labels)
    joint = np.round(confident_joint(labels, probabilities, classes)).astype(np.int64)
    spared = _spared(classes, inseparable)
    own = (probabilities * spared[given]).sum(axis=1)
    by_rate = np.zeros(len(given), dtype=np.bool_)
    by_class = np.zeros(len(given), dtype=np.bool_)
    for i in range(len(classes)):
        rows = np.flatnonzero(given == i)
        noise = np.where(spared[i], 0, joint[i])
        by_class[rows[np.argsort(own[rows], kind="stable")[: noise.sum()]]] = True
        for j in np.flatnonzero(noise):
            margin = probabilities[rows, j] - own[rows]
            most = np.argsort(-margin, kind="stable")[: noise[j]]
            by_rate[rows[most[margin[most] >= max(min_margin, np.finfo(float).tiny)]]] = True
    return by_rate & by_class


def clean_samples(
    samples: Samples,
    make_classifier: Callable[[], Any],
    *,
    rules: CleaningRules,
    seed: int,
    min_pixels: int = 0,
) -> CleanReport:
    """Leave out the parcels whose surveyed class the imagery contradicts.

    Parameters
    ----------
    samples : Samples
    make_classifier : callable
        Gives a new unfitted classifier each time (``fit``, ``predict_proba``, ``classes_``).
    rules : CleaningRules
    seed : int
        Of the deal of spatial blocks to folds.
    min_pixels : int
        Pixels that every class keeps, as many as it needs to be learned.

    Returns
    -------
    CleanReport
        Whole parcels are kept or removed. Classes with too few parcels are kept as they are, and
        so is everything where fewer than two classes can be judged.

    Notes
    -----
    Probabilities come from classifiers that saw no pixel of the parcel's spatial block, or of the
    parcel where its class lies in fewer blocks than folds. What is
    removed is not said to be wrong: hard but true labels go as well, and a mistake that the
    features cannot show stays.
    """
    units = _parcels_of(samples)
    judged = _judged_classes(samples, rules)
    rows = np.isin(samples.labels, judged)
    note = ""
    suspects = _no_suspects()
    noise = pd.Series(np.nan, index=judged)
    groups = fold_groups(samples.select(rows), rules.folds)
    if len(judged) < 2:
        least = _least(rules)
        note = f"got {len(judged)} classes of {least} parcels or more; needed two to compare"
    else:
        try:
            found, classes = out_of_fold(
                make_classifier,
                samples.features[rows],
                samples.labels[rows],
                groups.ids,
                folds=rules.folds,
                seed=seed,
            )
        except NoObservations as error:
            note = str(error)
        else:
            means = pd.DataFrame(found, index=samples.parcel[rows]).groupby(level=0).mean()
            given = units.loc[means.index]
            noise = _noise(given.to_numpy(), means.to_numpy(), classes)
            suspects = _suspects(given, means.to_numpy(), classes, rules)
    suspects = _capped(suspects, samples, rules, min_pixels)
    out = suspects.index[suspects["removed"]]
    removed = np.isin(samples.parcel, out)
    table = _by_class(samples, removed, noise, suspects)
    share = float(removed.mean()) if removed.size else 0.0
    kept = samples.select(~removed)
    return CleanReport(kept, removed, share, table, suspects, note, groups.finer)


def _sure_class(given: NDArray[np.intp], probabilities: Probabilities) -> NDArray[np.intp]:
    """Most probable class among those that reach their own mean; -1 where none does."""
    size = probabilities.shape[1]
    sums = np.zeros(size)
    np.add.at(sums, given, probabilities[np.arange(len(given)), given])
    counts = np.bincount(given, minlength=size)
    limits = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probabilities >= limits, probabilities, -1.0)
    return np.asarray(np.where(reached.max(axis=1) < 0, -1, reached.argmax(axis=1)))


def _spared(classes: NDArray[Any], inseparable: Pairs) -> NDArray[np.bool_]:
    """Pairs of which one label is no evidence against the other: itself and the inseparable."""
    spared = np.eye(len(classes), dtype=np.bool_)
    for pair in inseparable:
        held = np.isin(classes, list(pair))
        spared |= held[:, None] & held[None, :]
    return spared


def _parcels_of(samples: Samples) -> pd.Series:
    """Label of each parcel."""
    return pd.Series(samples.labels, index=samples.parcel).groupby(level=0).first()


def _least(rules: CleaningRules) -> int:
    """Parcels from which a class is judged: one to spare, and one for each fold."""
    return max(rules.min_parcels + 1, rules.folds)


def _judged_classes(samples: Samples, rules: CleaningRules) -> NDArray[np.uint8]:
    parcels = groups_of_each_class(samples.parcel, samples.labels)
    enough = [cover for cover, count in parcels.items() if count >= _least(rules)]
    return np.asarray(enough, dtype=np.uint8)


def _noise(labels: NDArray[Any], means: Probabilities, classes: NDArray[Any]) -> pd.Series:
    joint = confident_joint(labels, means, classes)
    total = np.maximum(joint.sum(axis=1), 1)
    return pd.Series(1 - np.diag(joint) / total, index=classes)


def _no_suspects() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cover": np.empty(0, np.uint8),
            "probable": np.empty(0, np.uint8),
            "probability": np.empty(0),
            "margin": np.empty(0),
        },
        index=pd.Index([], dtype=np.int64, name="parcel"),
    )


def _suspects(
    given: pd.Series, means: Probabilities, classes: NDArray[Any], rules: CleaningRules
) -> pd.DataFrame:
    inseparable = NOT_SEPARABLE if rules.spare_not_separable else ()
    labels = given.to_numpy()
    wrong = suspect_labels(
        labels, means, classes, min_margin=rules.min_margin, inseparable=inseparable
    )
    best = means.argmax(axis=1)
    top = means[np.arange(len(best)), best]
    own = means[np.arange(len(best)), np.searchsorted(classes, labels)]
    table = pd.DataFrame(
        {"cover": labels, "probable": classes[best], "probability": top, "margin": top - own},
        index=given.index.rename("parcel"),
    )[wrong]
    return (
        table.reset_index()
        .sort_values(["margin", "parcel"], ascending=[False, True])
        .set_index("parcel")
    )


def _capped(
    suspects: pd.DataFrame, samples: Samples, rules: CleaningRules, min_pixels: int
) -> pd.DataFrame:
    """Mark those that go: the strongest, no more of a class than the rules allow."""
    total = _parcels_of(samples).value_counts()
    spare = (total - rules.min_parcels).clip(lower=0)
    limit = (rules.max_share * total).astype(np.int64).clip(upper=spare)
    place = suspects.groupby("cover").cumcount()
    allowed = suspects["cover"].map(limit).fillna(0)
    pixels = pd.Series(samples.parcel).value_counts().reindex(suspects.index)
    gone = pixels.groupby(suspects["cover"]).cumsum()
    kept = suspects["cover"].map(pd.Series(samples.labels).value_counts()) - gone
    removed = (place < allowed) & (kept >= min_pixels)
    return suspects.assign(removed=removed.astype(bool))


def _by_class(
    samples: Samples, removed: NDArray[np.bool_], noise: pd.Series, suspects: pd.DataFrame
) -> pd.DataFrame:
    frame = pd.DataFrame({"cover": samples.labels, "parcel": samples.parcel, "removed": removed})
    groups, gone = frame.groupby("cover"), frame[removed].groupby("cover")
    table = pd.DataFrame({"parcels": groups["parcel"].nunique(), "pixels": groups.size()})
    table["parcels_removed"] = gone["parcel"].nunique().reindex(table.index, fill_value=0)
    table["pixels_removed"] = gone.size().reindex(table.index, fill_value=0)
    table["share_removed"] = table["parcels_removed"] / table["parcels"]
    table["noise"] = noise.reindex(table.index)
    table["judged"] = table["noise"].notna()
    suspected = suspects.groupby("cover").size().reindex(table.index, fill_value=0)
    table["capped"] = suspected > table["parcels_removed"]
    return table
