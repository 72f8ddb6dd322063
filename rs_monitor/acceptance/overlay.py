"""Polygon layers cut with one claim after the other."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from rs_monitor.authority.area import polygon_areas_m2
from rs_monitor.errors import MissingCRS


class Overlay:
    """A polygon layer in the claims' CRS, ready to be cut with one claim after the other."""

    def __init__(self, layer: gpd.GeoDataFrame, crs: pyproj.CRS, name: str) -> None:
        self._shapes = valid_shapes(layer, crs, name)
        self._tree = shapely.STRtree(self._shapes)
        self._crs = crs

    def overlap_m2(self, geometry: shapely.Geometry) -> float:
        """Official area of the part of a polygon inside the layer; overlaps count once."""
        hits = self._shapes[np.sort(self._tree.query(geometry, predicate="intersects"))]
        return _areal_m2(shapely.union_all(shapely.intersection(hits, geometry)), self._crs)

    @property
    def empty(self) -> bool:
        """Whether the layer holds no area at all, so that it tells nothing."""
        return not bool((shapely.area(self._shapes) > 0).any())


def valid_shapes(layer: gpd.GeoDataFrame, crs: pyproj.CRS, name: str) -> NDArray[np.object_]:
    """Bring the polygons of a layer to another CRS, the invalid ones made valid.

    Parameters
    ----------
    layer : GeoDataFrame
    crs : pyproj.CRS
        CRS wanted.
    name : str
        Of the layer, for messages.

    Returns
    -------
    ndarray of shapely geometry
        One per row.

    Raises
    ------
    MissingCRS
        If the layer has none.
    """
    if layer.crs is None:
        raise MissingCRS(
            f"got layer {name} without a coordinate reference system; an overlay needs one; "
            "read it with read_layer"
        )
    shapes = np.array(layer.geometry.to_crs(crs).array, dtype=object)
    invalid = ~shapely.is_valid(shapes)
    shapes[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
    return shapes


def shared_m2(one: shapely.Geometry, other: shapely.Geometry, crs: pyproj.CRS) -> float:
    """Official area of the ground two polygons share.

    Parameters
    ----------
    one, other : shapely Polygon or MultiPolygon
        Valid, in ``crs``.
    crs : pyproj.CRS
        Delivered CRS.
    """
    return _areal_m2(shapely.intersection(one, other), crs)


def _areal_m2(common: shapely.Geometry, crs: pyproj.CRS) -> float:
    parts = shapely.get_parts(shapely.get_parts(common))
    polygons = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return float(polygon_areas_m2(polygons, crs).sum())
