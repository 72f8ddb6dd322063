"""What folds must not tear apart: spatial blocks, or less where a class lies in too few of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rs_monitor.maps.samples import Samples
from rs_monitor.maps.validation import groups_of_each_class

Finer = Literal["parcel", "pixel"]


@dataclass(frozen=True, slots=True)
class FoldGroups:
    """The groups of the samples.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
    finer : dict of int to str
        Classes in fewer spatial blocks than folds, and what is kept together of them instead:
        ``parcel``, or ``pixel`` where the parcels are too few as well.
    """

    ids: NDArray[np.int64]
    finer: dict[int, Finer]


def fold_groups(samples: Samples, folds: int) -> FoldGroups:
    """Group samples by spatial blocks, as far as every class lies in enough of them.

    Parameters
    ----------
    samples : Samples
    folds : int

    Returns
    -------
    FoldGroups
        The spatial block; of a class in fewer blocks than folds the parcel, and of one with fewer
        parcels the pixel. What such a class is said to be worth is too kind.
    """
    levels = np.zeros(len(samples.labels), dtype=np.int64)
    groups = samples.block.copy()
    kept: tuple[tuple[Finer, NDArray[np.int64]], ...] = (
        ("parcel", samples.parcel),
        ("pixel", np.arange(len(levels))),
    )
    finer: dict[int, Finer] = {}
    for level, (unit, ids) in enumerate(kept, start=1):
        for value in np.unique(samples.labels).tolist():
            rows = samples.labels == value
            if len(np.unique(groups[rows])) < folds:
                groups[rows], levels[rows], finer[value] = ids[rows], level, unit
    _, numbers = np.unique(np.stack([levels, groups]), axis=1, return_inverse=True)
    return FoldGroups(np.asarray(numbers.reshape(-1), dtype=np.int64), finer)


def why_not_calibrated(samples: Samples, folds: int) -> str:
    """Say why no calibration can be fitted on rows that the trees did not see; empty = it can.

    Parameters
    ----------
    samples : Samples
    folds : int

    Notes
    -----
    Pixels of one parcel are near copies. With fewer than two classes in enough parcels, trees are
    right on nearly every row held out, and a calibration would make them surer than they are.
    """
    parcels = groups_of_each_class(samples.parcel, samples.labels)
    apart = sum(count >= folds for count in parcels.values())
    if apart < 2:
        return (
            f"got {apart} classes in {folds} parcels or more; needed two; survey more parcels, or "
            "take fewer calibration.folds"
        )
    pixels = dict(zip(*np.unique(samples.labels, return_counts=True), strict=True))
    few = [int(value) for value, count in pixels.items() if count < folds]
    if few:
        return f"got classes {few} with fewer than {folds} pixels; needed one for each fold"
    return ""
