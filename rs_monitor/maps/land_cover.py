"""Land cover: samples from the county's own survey, a forest, class probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry
from sklearn.ensemble import RandomForestClassifier

from rs_monitor.codes import NODATA, CodeSystem, land_cover_of
from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.kernels.forest import FlatForest, forest_proba

MIN_LEAF = 3
MIN_SAMPLES = 30
"""A class with fewer clean pixels is not learned; the manifest names it."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Labelled pixels, each with a draw order that no tiling changes.

    Attributes
    ----------
    features : ndarray of float32, shape (n, features)
    labels : ndarray of uint8, shape (n,)
        Values of ``LandCover``.
    priority : ndarray of uint64, shape (n,)
        Lowest first.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    priority: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class ForestModel:
    """A trained forest: arrays and the names that must fit.

    Attributes
    ----------
    forest : FlatForest
    classes : tuple of int
        Values of ``LandCover``, in column order of the probabilities.
    features : tuple of str
    """

    forest: FlatForest
    classes: tuple[int, ...]
    features: tuple[str, ...]


def survey_labels(
    geometries: Sequence[BaseGeometry],
    codes: Sequence[str],
    geobox: GeoBox,
    *,
    system: CodeSystem,
) -> NDArray[np.uint8]:
    """Burn the survey into the grid, boundaries left out.

    Parameters
    ----------
    geometries : sequence of polygon
        In the CRS of the grid.
    codes : sequence of str
        Their land codes.
    geobox : GeoBox
        Grid of the labels.
    system : CodeSystem
        Of the codes.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        ``LandCover``; 0 within one pixel of a boundary and where the class has no look.
    """
    edge = abs(geobox.resolution.x)
    shapes = []
    for geometry, code in zip(geometries, codes, strict=True):
        cover = land_cover_of(code, system)
        core = geometry.buffer(-edge)
        if cover is not None and not core.is_empty:
            shapes.append((core, int(cover)))
    if not shapes:
        return np.full(geobox.shape, NODATA, dtype=np.uint8)
    return np.asarray(
        rasterize(
            shapes, out_shape=geobox.shape, transform=geobox.affine, fill=NODATA, dtype="uint8"
        )
    )


def draw_samples(
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    origin: tuple[int, int],
    *,
    per_class: int,
    seed: int,
) -> Samples:
    """Draw labelled pixels of one block, repeatably and free of the tiling.

    Parameters
    ----------
    features : ndarray of float32, shape (features, y, x)
    labels : ndarray of uint8, shape (y, x)
    origin : tuple of int
        Row and column of the block in the CRS's own pixel lattice.
    per_class : int
        At most so many pixels of a class are kept.
    seed : int
    """
    seen = np.isfinite(features).any(axis=0)
    rows, cols = np.nonzero((labels != NODATA) & seen)
    priority = _hash(rows + origin[0], cols + origin[1], seed)
    order = np.argsort(priority, kind="stable")
    picked = _first_of_each_class(labels[rows, cols], order, per_class)
    rows, cols = rows[picked], cols[picked]
    return Samples(features[:, rows, cols].T.copy(), labels[rows, cols], priority[picked])


def pool_samples(parts: Sequence[Samples], per_class: int) -> Samples:
    """Merge the samples of all blocks and keep the first ``per_class`` of each class.

    A pixel that two overlapping zones drew counts once.

    Raises
    ------
    NoObservations
        Without a single block.
    """
    if not parts:
        raise NoObservations(
            "got no block that could be read; training needs samples; look at the failures of the "
            "run"
        )
    features = np.concatenate([part.features for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    priority = np.concatenate([part.priority for part in parts])
    _, order = np.unique(priority, return_index=True)
    picked = _first_of_each_class(labels, order, per_class)
    return Samples(features[picked], labels[picked], priority[picked])


def _first_of_each_class(
    labels: NDArray[np.uint8], order: NDArray[np.intp], per_class: int
) -> NDArray[np.intp]:
    ordered = labels[order]
    kept = [order[ordered == value][:per_class] for value in np.unique(ordered)]
    return np.concatenate(kept) if kept else np.empty(0, dtype=np.intp)


def _hash(rows: NDArray[np.int64], cols: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Mix a pixel's place and the seed (finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z ^= cols.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        z += np.uint64(seed) * np.uint64(0x165667B19E3779F9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def train_forest(
    samples: Samples, features: Sequence[str], *, trees: int, seed: int
) -> ForestModel:
    """Train a random forest on survey samples.

    Parameters
    ----------
    samples : Samples
        Pooled over all blocks.
    features : sequence of str
        Names of the feature columns.
    trees, seed : int

    Returns
    -------
    ForestModel
        Classes with fewer than ``MIN_SAMPLES`` pixels are left out.

    Raises
    ------
    NoObservations
        If fewer than two classes can be learned.
    """
    values, counts = np.unique(samples.labels, return_counts=True)
    learnable = values[counts >= MIN_SAMPLES]
    if len(learnable) < 2:
        raise NoObservations(
            f"got {len(learnable)} classes with at least {MIN_SAMPLES} clean pixels; needed two; "
            "give a survey layer with larger parcels or more scenes"
        )
    keep = np.isin(samples.labels, learnable)
    estimator = RandomForestClassifier(
        n_estimators=trees,
        min_samples_leaf=MIN_LEAF,
        class_weight="balanced_subsample",
        random_state=seed,
        n_jobs=1,
    )
    estimator.fit(samples.features[keep], samples.labels[keep])
    classes = tuple(int(value) for value in estimator.classes_)
    return ForestModel(flatten(estimator), classes, tuple(features))


def flatten(estimator: RandomForestClassifier) -> FlatForest:
    """Lay the trees of a scikit-learn forest out as flat arrays."""
    trees = [member.tree_ for member in estimator.estimators_]
    starts = np.cumsum([0] + [tree.node_count for tree in trees[:-1]])
    shares = [tree.value[:, 0, :] for tree in trees]
    return FlatForest(
        roots=starts.astype(np.int64),
        feature=np.concatenate([np.maximum(t.feature, -1) for t in trees]).astype(np.int64),
        threshold=np.concatenate([t.threshold for t in trees]).astype(np.float64),
        left=np.concatenate(
            [t.children_left + s for t, s in zip(trees, starts, strict=True)]
        ).astype(np.int64),
        right=np.concatenate(
            [t.children_right + s for t, s in zip(trees, starts, strict=True)]
        ).astype(np.int64),
        missing_left=np.concatenate([t.missing_go_to_left for t in trees]).astype(np.bool_),
        proba=np.concatenate([s / s.sum(axis=1, keepdims=True) for s in shares]),
    )


def class_probabilities(
    model: ForestModel, features: NDArray[np.float32], names: Sequence[str]
) -> NDArray[np.float32]:
    """Class probabilities of every seen pixel.

    Parameters
    ----------
    model : ForestModel
    features : ndarray of float32, shape (features, y, x)
    names : sequence of str
        Names of the feature layers; must equal the model's.

    Returns
    -------
    ndarray of float32, shape (classes, y, x)
        NaN where nothing was seen.

    Raises
    ------
    ModelMismatch
        If the features differ.
    """
    if tuple(names) != model.features:
        raise ModelMismatch(
            f"got features {', '.join(names)}; the model needs {', '.join(model.features)}; "
            "compute the features it was trained on"
        )
    seen = np.isfinite(features).any(axis=0)
    out = np.full((len(model.classes), *features.shape[1:]), np.nan, dtype=np.float32)
    out[:, seen] = forest_proba(features[:, seen].T, model.forest).T
    return out


def most_probable(
    probabilities: NDArray[np.float32], classes: Sequence[int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Class of highest probability and that probability.

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


def model_arrays(model: ForestModel) -> Mapping[str, NDArray[np.generic]]:
    """The arrays of a model by name, as its digest covers them."""
    forest = model.forest
    return {
        "roots": forest.roots,
        "feature": forest.feature,
        "threshold": forest.threshold,
        "left": forest.left,
        "right": forest.right,
        "missing_left": forest.missing_left,
        "proba": forest.proba,
        "classes": np.asarray(model.classes, dtype=np.int64),
        "features": np.asarray(model.features),
    }
