"""Training samples: labelled pixels whose draw no tiling changes, each with its provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from rs_monitor.codes import NODATA
from rs_monitor.errors import GridMismatch, NoObservations
from rs_monitor.grid import require_projected
from rs_monitor.maps.lattice import lattice_origin, mixed, place_hash
from rs_monitor.maps.sample_parcels import SampleParcels, SampleRules

NO_PARCEL = -1
"""Value of the parcel raster where no sample may be drawn."""


@dataclass(frozen=True, slots=True)
class DrawnPixels:
    """Pixels drawn from one tile; :func:`pool_samples` makes samples of all tiles' together.

    Attributes
    ----------
    features : ndarray of float32, shape (n, features)
        NaN = missing.
    labels : ndarray of uint8, shape (n,)
    parcel : ndarray of int64, shape (n,)
    priority : ndarray of uint64, shape (n,)
        Lowest first; a hash of the pixel's place and the seed.
    x_m, y_m : ndarray of float64, shape (n,)
        Pixel centre.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    parcel: NDArray[np.int64]
    priority: NDArray[np.uint64]
    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Samples:
    """Labelled pixels or points and where each comes from.

    Attributes
    ----------
    features : ndarray of float32, shape (n, features)
        NaN = missing.
    labels : ndarray of uint8, shape (n,)
        Values of ``LandCover`` (or of the table they were read from).
    parcel : ndarray of int64, shape (n,)
        Index label in ``sources``.
    block : ndarray of int64, shape (n,)
        Spatial block; all samples of a parcel lie in one.
    priority : ndarray of uint64, shape (n,)
        Draw order, lowest first.
    x_m, y_m : ndarray of float64, shape (n,)
        Pixel centre or point in the CRS of the samples.
    sources : DataFrame
        One row for each parcel or point, index ``parcel``: source, feature_id, land_code,
        code_system, cover, area_m2, date, shrink_m, block, area_class.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    parcel: NDArray[np.int64]
    block: NDArray[np.int64]
    priority: NDArray[np.uint64]
    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    sources: pd.DataFrame

    def select(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> Samples:
        """Some of the samples, by mask or positions; sources without samples go."""
        parcel = self.parcel[index]
        return Samples(
            self.features[index],
            self.labels[index],
            parcel,
            self.block[index],
            self.priority[index],
            self.x_m[index],
            self.y_m[index],
            self.sources.loc[np.unique(parcel)],
        )


def choose_parcels(
    cores: gpd.GeoDataFrame, geobox: GeoBox, *, per_class: int, rules: SampleRules, seed: int
) -> gpd.GeoDataFrame:
    """Choose the parcels that samples are drawn from, before a pixel is read.

    Parameters
    ----------
    cores : GeoDataFrame
        Of ``SampleParcels``.
    geobox : GeoBox
        For the size of a pixel.
    per_class : int
        Pixels wanted of each class.
    rules : SampleRules
    seed : int

    Returns
    -------
    GeoDataFrame
        The chosen cores with ``draw``, their turn within the class from 0: one parcel of each
        stratum (area class in a spatial block), then the second of each, and so on.

    Notes
    -----
    Two-stage sampling: parcels first, then a few pixels of each, so that neither a large parcel
    nor one corner of the county dominates. Within a stratum the order is a hash of the parcel's
    place and the seed; the order of the rows changes nothing.
    """
    chosen = cores.copy()
    point = chosen.geometry.representative_point()
    chosen["_hash"] = place_hash(point.x.to_numpy(), point.y.to_numpy(), seed)
    chosen = chosen.sort_values("_hash", kind="stable")
    chosen["_turn"] = chosen.groupby(["cover", "area_class", "block"]).cumcount()
    chosen = chosen.sort_values(["cover", "_turn", "_hash"], kind="stable")
    by_class = chosen.groupby("cover")
    chosen["draw"] = by_class.cumcount()
    pixel_m2 = abs(geobox.resolution.x * geobox.resolution.y)
    expected = np.clip(chosen.geometry.area / pixel_m2, 1, rules.counted_per_parcel)
    before = expected.groupby(chosen["cover"]).cumsum() - expected
    return chosen[before < rules.reserve * per_class].drop(columns=["_hash", "_turn"]).sort_index()


def parcel_labels(
    cores: gpd.GeoDataFrame, geobox: GeoBox
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Burn cores into a grid.

    Parameters
    ----------
    cores : GeoDataFrame
        Of ``SampleParcels``, or those chosen of them.
    geobox : GeoBox
        In the CRS of the cores.

    Returns
    -------
    labels : ndarray of uint8, shape (y, x)
        Class of the core that holds the pixel's centre; 0 = none, or cores of several classes.
    parcel : ndarray of int32, shape (y, x)
        Index of the core; ``NO_PARCEL`` where the label is 0.
    """
    if cores.crs != str(geobox.crs):
        raise GridMismatch(
            f"got cores in {cores.crs} and a grid in {geobox.crs}; needed one CRS; make the cores "
            "on a grid of the same CRS"
        )
    # lowest class first: what lies on top and what lies below agree only where all do
    cores = cores.sort_values("cover", kind="stable")
    numbers = np.arange(1, len(cores) + 1, dtype=np.int32)
    first, last = (_burnt(cores, numbers, geobox, order) for order in (1, -1))
    covers = np.concatenate([[NODATA], cores["cover"].to_numpy()]).astype(np.uint8)
    parcels = np.concatenate([[NO_PARCEL], cores.index.to_numpy()]).astype(np.int32)
    disputed = covers[first] != covers[last]
    first[disputed] = 0
    return covers[first], parcels[first]


def draw_samples(
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    parcel: NDArray[np.int32],
    geobox: GeoBox,
    *,
    pixels_per_parcel: int,
    seed: int,
) -> DrawnPixels:
    """Draw labelled pixels of one tile, repeatably and free of the tiling.

    Parameters
    ----------
    features : ndarray of float32, shape (features, y, x)
        NaN and infinities = missing; a pixel without any feature gives no sample.
    labels, parcel : ndarray, shape (y, x)
        Of :func:`parcel_labels`.
    geobox : GeoBox
        Grid of the tile.
    pixels_per_parcel : int
        At most so many pixels of a parcel are kept.
    seed : int
    """
    require_projected(geobox, "drawing samples")
    if features.shape[1:] != labels.shape or labels.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got features {features.shape[1:]}, labels {labels.shape} and a grid of "
            f"{tuple(geobox.shape)}; needed one tile; cut all three by the same window"
        )
    seen = np.isfinite(features).any(axis=0)
    rows, cols = np.nonzero((labels != NODATA) & seen)
    top, left = lattice_origin(geobox)
    priority = mixed(rows + top, cols + left, seed)
    kept = _rank_within(parcel[rows, cols], priority) < pixels_per_parcel
    rows, cols = rows[kept], cols[kept]
    x_m, y_m = _centres(geobox, rows, cols)
    return DrawnPixels(
        _finite(features[:, rows, cols].T),
        labels[rows, cols],
        parcel[rows, cols].astype(np.int64),
        priority[kept],
        x_m,
        y_m,
    )


def pool_samples(
    parts: Sequence[DrawnPixels],
    chosen: gpd.GeoDataFrame,
    *,
    per_class: int,
    pixels_per_parcel: int,
) -> Samples:
    """Merge the pixels of all tiles and keep ``per_class`` of each class.

    Parameters
    ----------
    parts : sequence of DrawnPixels
        Of any tiling; a pixel that two overlapping zones drew counts once.
    chosen : GeoDataFrame
        Of :func:`choose_parcels`.
    per_class, pixels_per_parcel : int

    Returns
    -------
    Samples
        Of each class the first pixel of every parcel in their turn, then the second ones, until
        the number is reached; in order of class and turn.

    Raises
    ------
    NoObservations
        Without a single tile.
    """
    if not parts:
        raise NoObservations(
            "got no block that could be read; training needs samples; look at the failures of the "
            "run"
        )
    priority = np.concatenate([part.priority for part in parts])
    _, once = np.unique(priority, return_index=True)
    labels, parcel = (
        np.concatenate([getattr(part, name) for part in parts])[once]
        for name in ("labels", "parcel")
    )
    rank = _rank_within(parcel, priority[once])
    turn = chosen["draw"].loc[parcel].to_numpy()
    order = np.lexsort((turn, rank, labels))
    order = order[rank[order] < pixels_per_parcel]
    order = order[_rank_within(labels[order], np.arange(len(order))) < per_class]
    sources = pd.DataFrame(chosen.drop(columns=[chosen.geometry.name, "draw"]))
    sources = sources.loc[np.unique(parcel[order])]
    features, x_m, y_m = (
        np.concatenate([getattr(part, name) for part in parts])[once[order]]
        for name in ("features", "x_m", "y_m")
    )
    block = sources["block"].loc[parcel[order]].to_numpy(np.int64)
    return Samples(
        features,
        labels[order],
        parcel[order],
        block,
        priority[once[order]],
        x_m,
        y_m,
        sources,
    )


def table_samples(parcels: SampleParcels, features: NDArray[np.float32], *, seed: int) -> Samples:
    """Samples of a table that brings its own features, such as points with time series.

    Parameters
    ----------
    parcels : SampleParcels
        Of :func:`rs_monitor.maps.sample_parcels.table_parcels`.
    features : ndarray of float32, shape (rows of the table, features)
        In the order of the table, left-out rows included; rows without any value give no sample.
    seed : int

    Returns
    -------
    Samples
        One of each row, in row order; every row is a parcel of its own.

    Raises
    ------
    GridMismatch
        If the features are not those of the table.
    """
    rows = len(parcels.cores) + len(parcels.left_out)
    if features.ndim != 2 or len(features) != rows:
        raise GridMismatch(
            f"got features of shape {features.shape} for a table of {rows} rows; needed one row of "
            "features for each; keep the order of the table"
        )
    seen = np.asarray(np.isfinite(features).any(axis=1))
    cores = parcels.cores[seen[parcels.cores.index.to_numpy()]]
    parcel = cores.index.to_numpy(np.int64)
    points = cores.geometry.representative_point()
    x_m, y_m = points.x.to_numpy(), points.y.to_numpy()
    days = cores["date"].to_numpy("datetime64[D]").astype(np.int64)
    return Samples(
        _finite(features[parcel]),
        cores["cover"].to_numpy(np.uint8),
        parcel,
        cores["block"].to_numpy(np.int64),
        mixed(place_hash(x_m, y_m, seed).astype(np.int64), days, seed),
        x_m,
        y_m,
        pd.DataFrame(cores.drop(columns=cores.geometry.name)),
    )


def _finite(features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """What is not a number a sensor can give counts as missing."""
    return np.where(np.isfinite(features), features, np.nan).astype(np.float32)


def _rank_within(
    groups: NDArray[np.integer[Any]], order: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Place of each row within its group, from 0 for the lowest order."""
    sequence = np.lexsort((order, groups))
    ranked = groups[sequence]
    new = np.ones(len(ranked), dtype=np.bool_)
    new[1:] = ranked[1:] != ranked[:-1]
    position = np.arange(len(ranked))
    rank = np.empty(len(ranked), dtype=np.int64)
    rank[sequence] = position - np.maximum.accumulate(np.where(new, position, 0))
    return rank


def _burnt(
    cores: gpd.GeoDataFrame, numbers: NDArray[np.int32], geobox: GeoBox, order: int
) -> NDArray[np.int32]:
    """Numbers of the cores, the last (order 1) or the first (-1) on top."""
    if not len(cores):
        return np.zeros(geobox.shape, dtype=np.int32)
    shapes = list(zip(cores.geometry, numbers.tolist(), strict=True))[::order]
    return np.asarray(
        rasterize(shapes, out_shape=geobox.shape, transform=geobox.affine, fill=0, dtype="int32")
    )


def _centres(
    geobox: GeoBox, rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a = geobox.affine
    x, y = cols + 0.5, rows + 0.5
    return a.c + a.a * x + a.b * y, a.f + a.d * x + a.e * y
