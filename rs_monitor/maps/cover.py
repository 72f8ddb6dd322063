"""Pixels of one polygon: exact coverage fractions and what a raster says inside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.grid import require_projected

FloatArray = NDArray[np.float64]
Pixel = TypeVar("Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Cover:
    """Pixels a polygon touches, also those beyond the grid.

    Attributes
    ----------
    row, col : ndarray of int64, shape (n,)
        Pixel indices; negative or past the edge where the polygon leaves the grid.
    fraction : ndarray of float64, shape (n,)
        Share of each pixel inside the polygon, in (0, 1].
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    fraction: FloatArray

    @classmethod
    def nowhere(cls) -> Cover:
        """No pixels."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def interior(self, min_fraction: float) -> Cover:
        """Only the pixels covered to at least this share."""
        kept = self.fraction >= min_fraction
        return Cover(self.row[kept], self.col[kept], self.fraction[kept])


def cover_of(geometry: shapely.Geometry, crs: Any, geobox: GeoBox) -> Cover:
    """Coverage of every pixel by one polygon.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        In ``crs``.
    crs : anything pyproj understands
        CRS of the geometry; it is transformed to the grid's, for pixels only.
    geobox : GeoBox
        Projected grid.

    Returns
    -------
    Cover
        Pixels in row order. A pixel outside the grid belongs to it as well, so that land the
        raster does not reach counts as unseen. Empty of a polygon without area on the grid.

    Notes
    -----
    The polygon is brought into pixel coordinates and cut with unit squares (exact overlay).
    """
    grid = require_projected(geobox, "the cover of a polygon")
    to_grid = _transformer(crs, str(grid.crs))
    inverse = ~grid.affine

    def to_pixels(xy: FloatArray) -> FloatArray:
        x, y = to_grid.transform(xy[:, 0], xy[:, 1])
        x, y = np.asarray(x), np.asarray(y)
        col = inverse.a * x + inverse.b * y + inverse.c
        row = inverse.d * x + inverse.e * y + inverse.f
        return np.stack([col, row], axis=1)

    # a pixel edge that coincides with the polygon's must not become a sliver of the next pixel
    shape = shapely.set_precision(shapely.transform(geometry, to_pixels), 1e-6)
    if shapely.is_empty(shape):
        return Cover.nowhere()
    left, top, right, bottom = (int(v) for v in _pixel_bounds(shape))
    rows, cols = (a.ravel() for a in np.mgrid[top:bottom, left:right])
    squares = shapely.box(cols, rows, cols + 1, rows + 1)
    shapely.prepare(shape)
    touched = shapely.intersects(shape, squares)
    rows, cols, squares = rows[touched], cols[touched], squares[touched]
    fraction = np.ones(rows.size)
    cut = ~shapely.covers(shape, squares)
    fraction[cut] = shapely.area(shapely.intersection(shape, squares[cut]))
    some = fraction > 0
    return Cover(rows[some].astype(np.int64), cols[some].astype(np.int64), fraction[some])


@lru_cache(maxsize=16)
def _transformer(source: Any, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _pixel_bounds(shape: shapely.Geometry) -> FloatArray:
    left, top, right, bottom = shapely.bounds(shape)
    return np.array([np.floor(left), np.floor(top), np.ceil(right), np.ceil(bottom)])


def sample(data: NDArray[Pixel], cover: Cover, outside: float) -> NDArray[Pixel]:
    """Pixel values under a cover; ``outside`` where the polygon leaves the raster.

    Parameters
    ----------
    data : ndarray, shape (y, x)
        Raster on the grid the cover was made for.
    cover : Cover
        Pixels to read.
    outside : float
        Value of pixels beyond the raster, in the dtype of ``data``.
    """
    height, width = data.shape
    inside = (cover.row >= 0) & (cover.row < height) & (cover.col >= 0) & (cover.col < width)
    values = np.full(cover.row.size, outside, dtype=data.dtype)
    values[inside] = data[cover.row[inside], cover.col[inside]]
    return values


def weighted_mean(values: NDArray[Any], weights: FloatArray) -> tuple[float, float]:
    """Mean of the known values, each weighted by its part of the polygon.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        NaN = unknown; never filled.
    weights : ndarray of float64, shape (n,)
        Not negative, e.g. ``Cover.fraction``.

    Returns
    -------
    mean, unknown_share : float
        NaN and 1 where nothing is known; the share is of the weights.
    """
    known = np.isfinite(values)
    if not weights[known].sum() > 0:
        return float("nan"), 1.0
    mean = float(np.average(values[known], weights=weights[known]))
    return mean, float(weights[~known].sum() / weights.sum())
