"""Points to be read: what a reader is given, and the key that is kept from the reader."""

from __future__ import annotations

import hashlib

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import MissingCRS, QuantityError
from rs_monitor.estimation.draws import shuffled

GEOGRAPHIC = "EPSG:4490"

TO_BE_READ = ("reader", "label", "confidence", "date")
"""Columns a reader fills in."""

SHOWN = ("id", "x", "y", "lon", "lat", *TO_BE_READ)
"""Columns of a blind reading: nothing tells what the map says."""

KEY = ("id", "stratum", "map_class", "inclusion_probability", "weight", "row", "col")
"""Columns kept apart from the reader."""

TWO_STAGE_KEY = ("primary_unit", "draw")

_BOUND = ("stratum", "map_class", "row", "col", *TWO_STAGE_KEY)


def sample_points(drawn: pd.DataFrame, geobox: GeoBox, seed: int) -> gpd.GeoDataFrame:
    """Turn drawn pixels into points.

    Parameters
    ----------
    drawn : DataFrame
        ``row``, ``col``, ``stratum``, ``map_class``, ``inclusion_probability``; for two-stage
        designs ``primary_unit`` and ``draw`` as well.
    geobox : GeoBox
        Grid of the map.
    seed : int
        Of the order in which points are shown.

    Returns
    -------
    GeoDataFrame
        One point for each pixel's centre, in the map's CRS and an order that tells nothing:
        ``id`` (place in the grid, so that it stays when a sample grows), ``stratum``, ``x``,
        ``y``, ``lon``, ``lat`` (CGCS2000), ``inclusion_probability``, ``weight``, empty columns
        for the reader, and the rest of ``drawn``.

    Raises
    ------
    MissingCRS, QuantityError
        Without a CRS; if a point has no chance of being drawn, or no place on the ellipsoid.
    """
    if geobox.crs is None:
        raise MissingCRS("got a grid without CRS; points need one; assign the CRS of the map")
    if not (drawn["inclusion_probability"] > 0).all():
        raise QuantityError(
            "got points with an inclusion probability of 0; needed a chance for each; draw anew"
        )
    rows, cols = drawn["row"].to_numpy(np.int64), drawn["col"].to_numpy(np.int64)
    frame = drawn.iloc[shuffled(rows, cols, seed)].reset_index(drop=True)
    rows, cols = frame["row"].to_numpy(np.int64), frame["col"].to_numpy(np.int64)
    a = geobox.affine
    x = a.c + a.a * (cols + 0.5) + a.b * (rows + 0.5)
    y = a.f + a.d * (cols + 0.5) + a.e * (rows + 0.5)
    to_geographic = pyproj.Transformer.from_crs(str(geobox.crs), GEOGRAPHIC, always_xy=True)
    lon, lat = to_geographic.transform(x, y)
    if not (np.isfinite(lon) & np.isfinite(lat)).all():
        raise QuantityError(
            "got pixels without a longitude and latitude; needed a grid inside the bounds of its "
            "CRS; cut the map or check its transform"
        )
    placed = {"x": x, "y": y, "lon": lon, "lat": lat, "weight": 1 / frame["inclusion_probability"]}
    read = {name: pd.Series([None] * len(frame), dtype="str") for name in TO_BE_READ}
    frame = frame.assign(id=_names(rows, cols, geobox), **placed, **read)
    extra = [name for name in TWO_STAGE_KEY if name in frame]
    columns = list(dict.fromkeys([*KEY[:2], *SHOWN[1:5], *KEY[3:5], *TO_BE_READ, *KEY, *extra]))
    geometry = gpd.points_from_xy(x, y)
    return gpd.GeoDataFrame(frame[columns], geometry=geometry, crs=str(geobox.crs))


def blind(points: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Leave what a reader must not know: stratum, map class, probability, weight."""
    return points[[*SHOWN, "geometry"]]


def key_of(points: gpd.GeoDataFrame) -> pd.DataFrame:
    """Take what was kept from the reader, by the points' ids."""
    extra = [name for name in TWO_STAGE_KEY if name in points]
    return pd.DataFrame(points[[*KEY, *extra]])


def key_digest(key: pd.DataFrame) -> str:
    """Sha256 of ids, strata, map classes, places and draws: what binds a key to its design.

    Parameters
    ----------
    key : DataFrame
        See :func:`key_of`; the order of its rows does not matter.
    """
    ordered = key.sort_values("id")
    columns = [ordered["id"].astype(str).tolist()]
    columns += [
        ordered[name].astype(np.int64).astype(str).tolist() for name in _BOUND if name in ordered
    ]
    lines = "\n".join(",".join(row) for row in zip(*columns, strict=True))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def _names(rows: NDArray[np.int64], cols: NDArray[np.int64], geobox: GeoBox) -> list[str]:
    """Row and column as a name; a pixel that is drawn again is numbered."""
    tall, wide = (len(str(extent - 1)) for extent in geobox.shape)
    names = [
        f"r{row:0{tall}d}c{col:0{wide}d}"
        for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
    ]
    again = pd.Series(names).groupby(names).cumcount()
    return [f"{name}-{n + 1}" if n else name for name, n in zip(names, again, strict=True)]
