"""Where a model is asked about ground unlike any it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from rs_monitor.codes import TrainingDomain
from rs_monitor.config.tables import Model
from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.kernels.applicability import nearest_distance
from rs_monitor.lazy import map_pixels, reduce_time
from rs_monitor.maps.validation import spatial_folds


class OutsideRules(Model):
    """Table ``[outside]`` of ``configs/rules/land_cover.toml``."""

    points: int = Field(ge=8, description="most training points that distances are taken to")
    folds: int = Field(ge=2, description="folds of whole groups that the reaches are drawn from")
    min_seen_share: float = Field(
        gt=0, le=1, description="share of the scaled features that must be seen"
    )
    whisker: float = Field(gt=0, description="quartile ranges above the upper quartile")
    largest_share: float = Field(
        gt=0, lt=0.5, description="of the training rows, held out, that may lie outside"
    )


@dataclass(frozen=True, slots=True)
class Domain:
    """The ground a model knows, as a few scaled training points.

    Attributes
    ----------
    points : ndarray of float32, shape (points, features)
        ``(value - center) * scale``; NaN = missing.
    reach : ndarray of float32, shape (points,)
        How far from such a point ground of its class lies: the unit of the dissimilarity.
    center, scale : ndarray of float32, shape (features,)
        Mean, and importance over standard deviation, of the training features.
    share : ndarray of float32, shape (features,)
        Squares of the importances, summing to 1: the part of each feature in a distance.
    threshold : float
        Dissimilarity above which a pixel is outside.
    min_seen_share : float
        As in :class:`OutsideRules`.
    """

    points: NDArray[np.float32]
    reach: NDArray[np.float32]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    share: NDArray[np.float32]
    threshold: float
    min_seen_share: float

    def dissimilarity(
        self, features: NDArray[np.float32], *, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Distance to the nearest training point, in reaches of its class.

        Parameters
        ----------
        features : ndarray of float32, shape (features, ...)
            NaN = missing.
        out : ndarray of float32, shape (...), C-contiguous, optional
            Written to.

        Returns
        -------
        ndarray of float32, shape (...)
            0 = as trained on; above ``threshold`` = outside; infinite = too little seen to say;
            NaN = nothing seen.

        Raises
        ------
        ModelMismatch
            If the number of features differs.
        """
        if features.shape[0] != len(self.center):
            raise ModelMismatch(
                f"got {features.shape[0]} features; the domain needs {len(self.center)}; compute "
                "the features the model was trained on"
            )
        return nearest_distance(
            features,
            self.points,
            self.reach,
            center=self.center,
            scale=self.scale,
            share=self.share,
            min_seen_share=self.min_seen_share,
            out=out,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The record as named arrays, to be stored without pickle."""
        numbers = np.array([self.threshold, self.min_seen_share], dtype=np.float64)
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return arrays | {"numbers": numbers}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Domain:
        """The record of :meth:`to_arrays`.

        Raises
        ------
        ModelMismatch
            If an array is missing or shapes do not fit each other.
        """
        names = (*_ARRAYS, "numbers")
        shapes = {name: np.shape(arrays[name]) for name in names if name in arrays}
        rows, count = (shapes.get(name, (0,))[:1] for name in ("reach", "center"))
        wanted = dict(zip(names, (rows + count, rows, count, count, count, (2,)), strict=True))
        if shapes != wanted or not np.all(np.asarray(arrays["reach"]) > 0):
            raise ModelMismatch(
                f"got a domain with arrays of shapes {shapes}; needed {wanted} and reaches above "
                "0; store the model again"
            )
        points, reach, center, scale, share = (
            np.ascontiguousarray(arrays[name], dtype=np.float32) for name in _ARRAYS
        )
        threshold, min_seen_share = (float(number) for number in arrays["numbers"])
        return cls(points, reach, center, scale, share, threshold, min_seen_share)


_ARRAYS = ("points", "reach", "center", "scale", "share")


def fit_domain(
    features: NDArray[np.float32],
    labels: ArrayLike,
    groups: ArrayLike,
    importances: NDArray[np.float64],
    *,
    rules: OutsideRules,
    seed: int,
) -> Domain:
    """Learn which ground is like the training data.

    Parameters
    ----------
    features : ndarray of float32, shape (n, features)
        Training rows; NaN = missing.
    labels, groups : array-like, shape (n,)
        Class, and parcel or spatial block, of each row.
    importances : ndarray of float64, shape (features,)
        ``LandCoverClassifier.feature_importances_``.
    rules : OutsideRules
    seed : int

    Returns
    -------
    Domain

    Raises
    ------
    NoObservations
        If a class lies in fewer groups than folds, or no feature varies.

    Notes
    -----
    After the dissimilarity index and area of applicability of Meyer & Pebesma 2021
    (doi:10.1111/2041-210X.13650): features standardised and scaled by importance, distance to the
    nearest training point; the threshold is the upper whisker of the training rows' own index,
    each taken to points of other folds only, and no lower than leaves
    ``rules.largest_share`` of them outside. Two things differ. Theirs keeps every training row;
    here each class gives equally many, drawn at random, so that the cost of a pixel is bounded.
    Theirs divides by one mean distance; here each point has the reach of its class, the upper
    whisker of the distances of that class's rows to its points of other folds: the spread of
    built-up ground then does not hide a new kind of water. Missing values:
    :func:`rs_monitor.kernels.applicability.nearest_distance`.
    """
    class_ids = np.asarray(labels)
    values = np.where(np.isfinite(features), features, np.nan).astype(np.float32)
    center, scale, share = _scaling(values, importances)
    known = _Known((values - center) * scale, class_ids, rules.points, seed)
    fold = spatial_folds(groups, class_ids, folds=rules.folds, seed=seed)
    measure = partial(
        nearest_distance,
        center=center,
        scale=scale,
        share=share,
        min_seen_share=rules.min_seen_share,
    )
    held_out = [(np.flatnonzero(fold == k), known.drawn(fold != k)) for k in range(rules.folds)]
    reach = _reaches(known, values, held_out, measure, rules.whisker)
    index = np.concatenate(
        [measure(values[tested].T, known.scaled[drawn], reach[drawn]) for tested, drawn in held_out]
    )
    drawn = known.drawn(np.ones(len(values), dtype=np.bool_))
    return Domain(
        known.scaled[drawn],
        reach[drawn],
        center,
        scale,
        share,
        threshold=_threshold(index[np.isfinite(index)], rules),
        min_seen_share=rules.min_seen_share,
    )


def outside(features: xr.DataArray, domain: Domain) -> xr.Dataset:
    """Where the model is asked about ground unlike its training data.

    Parameters
    ----------
    features : DataArray of float32, dimensions (feature, y, x)
        NaN = missing.
    domain : Domain

    Returns
    -------
    Dataset
        ``dissimilarity``: float32, as :meth:`Domain.dissimilarity`; NaN where nothing was seen.
        ``training_domain``: uint8 ``TrainingDomain``; outside above the threshold and where too
        little was seen to say.
    """
    dissimilarity = reduce_time(
        domain.dissimilarity,
        features,
        dtype=np.float32,
        name="dissimilarity",
        attrs={
            "units": "1",
            "long_name": "distance to the training data, in reaches of the nearest class",
            "threshold": domain.threshold,
        },
    )
    judged = map_pixels(
        partial(judge, threshold=domain.threshold),
        dissimilarity,
        dtype=np.uint8,
        name="training_domain",
        attrs={"long_name": "inside or outside the training data"},
    )
    return xr.Dataset({"dissimilarity": dissimilarity, "training_domain": judged})


def judge(dissimilarity: NDArray[np.float32], *, threshold: float) -> NDArray[np.uint8]:
    """``TrainingDomain`` of a dissimilarity, of any shape."""
    side = np.where(dissimilarity > threshold, TrainingDomain.OUTSIDE, TrainingDomain.INSIDE)
    return np.where(np.isnan(dissimilarity), TrainingDomain.NOT_SEEN, side).astype(np.uint8)


@dataclass(frozen=True)
class _Known:
    """Scaled training rows, and the draw of a few of each class."""

    scaled: NDArray[np.float32]
    labels: NDArray[Any]
    points: int
    seed: int

    def drawn(self, kept: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Rows drawn of those kept, equally many of each class."""
        order = np.random.default_rng(self.seed).permutation(np.flatnonzero(kept))
        values = np.unique(self.labels[order])
        each = max(self.points // len(values), 1)
        picked = [order[self.labels[order] == value][:each] for value in values]
        return np.concatenate(picked).astype(np.intp)


def _scaling(
    values: NDArray[np.float32], importances: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean, importance over standard deviation (0 for a feature that never varies), share."""
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(axis=0), 1)
    filled = np.where(seen, values, 0).astype(np.float64)
    mean = filled.sum(axis=0) / count
    spread = np.sqrt(np.sum(np.where(seen, filled - mean, 0) ** 2, axis=0) / count)
    weight = importances / importances.max() if importances.max() > 0 else np.ones(len(mean))
    scale = np.divide(weight, spread, out=np.zeros(len(mean)), where=spread > 0)
    if not np.any(scale > 0):
        raise NoObservations(
            "got training features that never vary; needed one that does; look at the features "
            "and the masks"
        )
    squares = np.where(scale > 0, weight, 0) ** 2
    center, scale, share = (v.astype(np.float32) for v in (mean, scale, squares / squares.sum()))
    return center, scale, share


def _reaches(
    known: _Known,
    values: NDArray[np.float32],
    held_out: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    measure: Callable[..., NDArray[np.float32]],
    whisker: float,
) -> NDArray[np.float32]:
    """For each row, the upper whisker of its class's distances to own points of other folds."""
    reach = np.zeros(len(values), dtype=np.float32)
    for value in np.unique(known.labels):
        own = known.labels == value
        distances = []
        for tested, drawn in held_out:
            rows, points = tested[own[tested]], drawn[own[drawn]]
            ones = np.ones(len(points), dtype=np.float32)
            distances.append(measure(values[rows].T, known.scaled[points], ones))
        found = np.concatenate(distances)
        found = found[np.isfinite(found)]
        reach[own] = _upper_whisker(found, whisker) if found.size else 0
    if not np.any(reach > 0):
        raise NoObservations(
            "got training rows that have too few features in common, or are all the same; needed "
            "rows that can be compared; look at the masks of the training imagery"
        )
    # a class without a reach of its own (all rows alike) gets the least of the others'
    return np.where(reach > 0, reach, reach[reach > 0].min())


def _threshold(index: NDArray[np.float32], rules: OutsideRules) -> float:
    """Upper whisker, or higher where distances of a few common features spread it too wide."""
    highest = float(np.quantile(index, 1 - rules.largest_share))
    return max(_upper_whisker(index, rules.whisker), highest)


def _upper_whisker(values: NDArray[np.floating[Any]], whisker: float) -> float:
    """Largest value within so many quartile ranges above the upper quartile."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    return float(values[values <= upper + whisker * (upper - lower)].max())
