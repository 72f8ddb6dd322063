"""Where patches meet layers: shares, and overlaps thinner than half a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from rs_monitor.errors import MissingCRS

Geometries = NDArray[np.object_]
FloatArray = NDArray[np.float64]

_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pieces that patches and features of a layer have in common.

    Attributes
    ----------
    patch, feature : ndarray of int64
        Row of the patch and of the feature, sorted by patch, then feature.
    piece : ndarray of geometry
        Their intersection.
    """

    patch: NDArray[np.int64]
    feature: NDArray[np.int64]
    piece: Geometries


@dataclass(frozen=True, slots=True)
class Overlap:
    """Part of every patch that a layer covers.

    Attributes
    ----------
    share : ndarray of float64
        0-1.
    at_edge : ndarray of bool
        True where the overlap is less than half the patch and vanishes when the patch loses half a
        pixel all around: pixel outlines are not sharper than that.
    """

    share: FloatArray
    at_edge: NDArray[np.bool_]


def metric_shapes(patches: gpd.GeoDataFrame) -> gpd.GeoSeries:
    """Outlines of patches in a CRS with metres: their own, else the UTM zone they lie in."""
    if len(patches) == 0 or pyproj.CRS(patches.crs).is_projected:
        return patches.geometry
    return patches.geometry.to_crs(patches.estimate_utm_crs())


def pairs_of(shapes: gpd.GeoSeries, layer: gpd.GeoDataFrame) -> Pairs:
    """Intersect patches with the features of a layer.

    Parameters
    ----------
    shapes : GeoSeries
        Outlines of patches.
    layer : GeoDataFrame
        Polygons in any CRS.

    Raises
    ------
    MissingCRS
        If the layer has no CRS.
    """
    if layer.crs is None:
        raise MissingCRS("got a layer without CRS; needed one to overlay patches; set its CRS")
    own = np.asarray(shapes, dtype=object)
    others = np.asarray(layer.geometry.to_crs(shapes.crs), dtype=object)
    others = np.asarray(shapely.make_valid(others), dtype=object)
    patch, feature = shapely.STRtree(others).query(own, predicate="intersects")
    order = np.lexsort((feature, patch))
    patch, feature = patch[order].astype(np.int64), feature[order].astype(np.int64)
    return Pairs(patch, feature, _intersection(own[patch], others[feature]))


def overlap(shapes: gpd.GeoSeries, layer: gpd.GeoDataFrame, pixel_m: FloatArray) -> Overlap:
    """Share of every patch that a layer covers, overlapping features counted once.

    Parameters
    ----------
    shapes : GeoSeries
        Outlines of patches in a CRS with metres.
    layer : GeoDataFrame
        Polygons in any CRS.
    pixel_m : ndarray of float64, shape (patches,)
        Pixel edge of each patch.
    """
    own = np.asarray(shapes, dtype=object)
    pairs = pairs_of(shapes, layer)
    share = covered_share(own, pairs.patch, pairs.piece)
    inner = np.asarray(shapely.buffer(own, -_HALF * pixel_m, join_style="mitre"), dtype=object)
    core = _intersection(inner[pairs.patch], pairs.piece)
    inside = np.zeros(len(own))
    np.add.at(inside, pairs.patch, shapely.area(core))
    return Overlap(share, (share > 0) & (share < _HALF) & (inside <= 0.0))


def covered_share(own: Geometries, patch: NDArray[np.int64], piece: Geometries) -> FloatArray:
    """Share of every patch covered by the union of its pieces; pieces sorted by patch."""
    covered = np.zeros(len(own))
    counts = np.bincount(patch, minlength=len(own))
    alone = counts[patch] == 1
    covered[patch[alone]] = shapely.area(piece[alone])
    starts = np.cumsum(counts) - counts
    for row in np.flatnonzero(counts > 1):
        pieces = piece[starts[row] : starts[row] + counts[row]]
        covered[row] = shapely.area(shapely.union_all(pieces))
    whole = shapely.area(own)
    return np.minimum(np.divide(covered, whole, out=covered, where=whole > 0), 1.0)


def _intersection(one: Geometries, other: Geometries) -> Geometries:
    return np.asarray(shapely.intersection(one, other), dtype=object)
