"""What a raster says inside polygons, by one of two named rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, get_args

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import ConfigError, GridMismatch, UnsuitableCRS
from rs_monitor.kernels.zonal import ZonalSums, zonal_sums
from rs_monitor.maps.cover import Cover, cover_of, sample

Rule = Literal["centres", "fractions"]
Offsets = NDArray[np.int64]

WINDOW_PX = 2048
"""Edge of the fixed windows that are read one after another: no table depends on chunks."""

COLUMNS = ("n_px", "n_known", "mean", "sd", "min", "max")


def zonal_statistics(
    values: xr.DataArray, geobox: GeoBox, polygons: gpd.GeoSeries, *, rule: Rule
) -> pd.DataFrame:
    """Count, mean, spread and range of a raster inside each polygon.

    Parameters
    ----------
    values : DataArray of number
        y, x; eager or lazy. Anything not finite is unknown.
    geobox : GeoBox
        Its grid; projected for the rule ``fractions``.
    polygons : GeoSeries of Polygon or MultiPolygon
        In any CRS; an empty one has no pixels. They may overlap.
    rule : {"centres", "fractions"}
        ``centres``: a pixel counts whole if its centre lies inside, as GDAL burns polygons, and
        ``rasterstats`` counts; a small parcel may have none. ``fractions``: a pixel counts by the
        share of it that lies inside, as ``exactextract`` has it.

    Returns
    -------
    DataFrame
        Index of ``polygons``; ``n_px`` pixels inside the polygon, those beyond the raster
        included for ``fractions`` only, ``n_known`` of them with a value, ``mean`` and ``sd`` of
        those (weighted by their share), ``min`` and ``max``; NaN where there is none.

    Raises
    ------
    UnsuitableCRS
        If the polygons have no CRS.
    GridMismatch
        If the raster has another shape than its grid.

    Notes
    -----
    The raster is read by fixed windows of ``WINDOW_PX``, one at a time: memory does not grow with
    the zone and equal values give equal tables under any chunking.
    """
    if rule not in get_args(Rule):
        raise ConfigError(
            "zonal statistics", [f"got rule {rule!r}; needed one of {', '.join(get_args(Rule))}"]
        )
    if polygons.crs is None:
        raise UnsuitableCRS("got polygons without a CRS; needed one; set it as it was delivered")
    if values.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got a raster of {values.shape} for a grid of {tuple(geobox.shape)}; needed the grid "
            "it is on; pass its own geobox"
        )
    if rule == "fractions":
        return _by_fractions(values, geobox, polygons)
    return _by_centres(values, geobox, polygons)


class _Tally:
    """Counts, means and ranges of polygons, joined from windows in their order."""

    def __init__(self, count: int) -> None:
        self.n_px = np.zeros(count, dtype=np.int64)
        self.n_known = np.zeros(count, dtype=np.int64)
        self.mean, self.deviations = np.zeros((2, count))
        self.least, self.most = np.full(count, np.inf), np.full(count, -np.inf)

    def add(self, sums: ZonalSums, origin: float) -> None:
        """Join the sums of one window (Chan, Golub & LeVeque 1983)."""
        self.n_px += sums.n_px
        np.minimum(self.least, sums.least, out=self.least)
        np.maximum(self.most, sums.most, out=self.most)
        some = sums.n_known > 0
        at, n, total = np.flatnonzero(some), sums.n_known[some], sums.total[some]
        before, together = self.n_known[at], self.n_known[at] + n
        step = total / n + origin - self.mean[at]
        within = np.maximum(sums.squares[some] - total * (total / n), 0.0)
        self.deviations[at] += within + step**2 * before * n / together
        self.mean[at] += step * n / together
        self.n_known[at] = together

    def table(self, index: pd.Index) -> pd.DataFrame:
        """Columns of :func:`zonal_statistics`."""
        sd = np.sqrt(self.deviations / np.maximum(self.n_known, 1))
        values = (
            np.where(self.n_known > 0, column, np.nan)
            for column in (self.mean, sd, self.least, self.most)
        )
        return pd.DataFrame(
            dict(zip(COLUMNS, (self.n_px, self.n_known, *values), strict=True)), index=index
        )


def _by_centres(values: xr.DataArray, geobox: GeoBox, polygons: gpd.GeoSeries) -> pd.DataFrame:
    xy, rings, parts = _in_pixels(polygons, geobox)
    tally = _Tally(len(polygons))
    for rows, cols in _windows(geobox):
        part = values[rows, cols].values
        origin = _first_finite(part)
        corner = np.array([[cols.start], [rows.start]])
        tally.add(zonal_sums(part, xy - corner, rings, parts, origin=origin), origin)
    return tally.table(polygons.index)


def _in_pixels(
    polygons: gpd.GeoSeries, geobox: GeoBox
) -> tuple[NDArray[np.float64], Offsets, Offsets]:
    """Columns and rows (2, n) of vertices, where rings begin, and where those of a shape do."""
    on_grid = polygons if _same_crs(polygons, geobox) else polygons.to_crs(str(geobox.crs))
    shapes = np.array(on_grid.values, dtype=object)
    shapes[on_grid.isna().to_numpy()] = shapely.Polygon()
    _, coords, offsets = shapely.to_ragged_array(shapes, include_z=False)
    rings, of_shape = offsets[0].astype(np.int64), offsets[1].astype(np.int64)
    for coarser in offsets[2:]:
        of_shape = of_shape[coarser]
    x, y = coords.T
    inverse = ~geobox.affine
    across = inverse.a * x + inverse.b * y + inverse.c
    return np.stack([across, inverse.d * x + inverse.e * y + inverse.f]), rings, of_shape


def _same_crs(polygons: gpd.GeoSeries, geobox: GeoBox) -> bool:
    return bool(polygons.crs == pyproj.CRS(str(geobox.crs)))


def _windows(geobox: GeoBox) -> Iterator[tuple[slice, slice]]:
    height, width = geobox.shape
    for y in range(0, height, WINDOW_PX):
        for x in range(0, width, WINDOW_PX):
            yield slice(y, min(y + WINDOW_PX, height)), slice(x, min(x + WINDOW_PX, width))


def _first_finite(part: NDArray[np.number]) -> float:
    """A value to take sums about, so that a small spread about a large mean survives."""
    finite = np.isfinite(part)
    return float(part.flat[int(np.argmax(finite))]) if finite.any() else 0.0


def _by_fractions(values: xr.DataArray, geobox: GeoBox, polygons: gpd.GeoSeries) -> pd.DataFrame:
    rows = [_fractions_of(values, geobox, shape, polygons.crs) for shape in polygons]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=polygons.index)


def _fractions_of(
    values: xr.DataArray, geobox: GeoBox, shape: shapely.Geometry | None, crs: object
) -> tuple[float, ...]:
    if shape is None or shapely.is_empty(shape):
        return (0.0, 0.0, *[math.nan] * 4)
    cover = cover_of(shape, crs, geobox)
    if not cover.row.size:
        return (0.0, 0.0, *[math.nan] * 4)
    top, left = max(0, int(cover.row.min())), max(0, int(cover.col.min()))
    part = values[top : int(cover.row.max()) + 1, left : int(cover.col.max()) + 1].values
    moved = Cover(cover.row - top, cover.col - left, cover.fraction)
    inside = sample(part.astype(np.float64), moved, math.nan)
    known = np.isfinite(inside)
    weight, inside = cover.fraction[known], inside[known]
    n_px, n_known = float(cover.fraction.sum()), float(weight.sum())
    if n_known == 0:
        return (n_px, 0.0, *[math.nan] * 4)
    mean = float(np.average(inside, weights=weight))
    sd = math.sqrt(np.average((inside - mean) ** 2, weights=weight))
    return (n_px, n_known, mean, sd, float(inside.min()), float(inside.max()))
