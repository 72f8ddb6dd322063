"""Official ellipsoidal area of polygons in the reference system they were delivered in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from rs_monitor.errors import LayerError, MissingCRS, UnsuitableCRS
from rs_monitor.grid import CGCS2000
from rs_monitor.kernels.area import MAX_EDGE_M, ring_areas_geographic_m2, ring_areas_gk_m2

GEOGRAPHIC = "EPSG:4490"
AREA_DECIMALS = 2
FALSE_EASTING_M = 500_000.0
ZONE_WIDTH_M = 1_000_000.0

_OLD_DATUMS = ("xian", "xi'an", "beijing")
_OLD_ELLIPSOID_AXES_M = (6378245.0, 6378140.0)
_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
_SEGMENT_DEG = 5e-4

Polygonal = shapely.Polygon | shapely.MultiPolygon
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GaussKruger:
    """What the official series needs to know of a CGCS2000 Gauss-Krueger system."""

    central_meridian_deg: float
    zone: int | None


@dataclass(frozen=True, slots=True)
class _Rings:
    """All rings of a set of polygons as flat arrays."""

    xy: FloatArray
    starts: IntArray
    sign: FloatArray
    owner: IntArray


def require_suitable_crs(crs: Any, what: str) -> pyproj.CRS:
    """Return a coordinate reference system areas can be computed in, or refuse.

    Parameters
    ----------
    crs : anything pyproj understands, or None
        Reference system as delivered.
    what : str
        What carries it, for the message.

    Raises
    ------
    MissingCRS
        Without one.
    UnsuitableCRS
        On Xi'an 1980 or Beijing 1954, which need a local transformation to CGCS2000, or in
        units other than metres or degrees.
    """
    if crs is None:
        raise MissingCRS(
            f"got {what} without a coordinate reference system; areas need the delivered one; "
            "add the .prj file or assign the CRS at the source"
        )
    known = pyproj.CRS.from_user_input(crs)
    if _is_old_datum(known):
        raise UnsuitableCRS(
            f"got {what} in {known.name} (datum of Xi'an 1980 or Beijing 1954); needed CGCS2000; "
            "have the local survey office transform it, a general transformation is metres off"
        )
    units = {axis.unit_name for axis in known.axis_info[:2]}
    if units not in ({"metre"}, {"degree"}):
        raise UnsuitableCRS(
            f"got {what} in {known.name} with units {sorted(units)}; needed metres or degrees; "
            "transform it to the county's CGCS2000 zone"
        )
    return known


@lru_cache(maxsize=64)
def _is_old_datum(crs: pyproj.CRS) -> bool:
    names = [crs.name, crs.geodetic_crs.name if crs.geodetic_crs else ""]
    names += [crs.datum.name if crs.datum else ""]
    named = any(old in name.lower() for name in names for old in _OLD_DATUMS)
    axis = crs.ellipsoid.semi_major_metre if crs.ellipsoid else None
    return named or axis in _OLD_ELLIPSOID_AXES_M


@lru_cache(maxsize=64)
def gauss_kruger_of(crs: pyproj.CRS) -> GaussKruger | None:
    """Central meridian and zone of a CGCS2000 Gauss-Krueger system, None for any other system."""
    operation = crs.coordinate_operation
    if operation is None or not _is_cgcs2000(crs) or "Transverse Mercator" not in _method(crs):
        return None
    values = {p.name: float(p.value) * p.unit_conversion_factor for p in operation.params}
    false_easting = values.get("False easting", 0.0)
    zone, remainder = divmod(false_easting, ZONE_WIDTH_M)
    standard = (
        values.get("Scale factor at natural origin", 1.0) == 1.0
        and values.get("Latitude of natural origin", 0.0) == 0.0
        and values.get("False northing", 0.0) == 0.0
        and remainder == FALSE_EASTING_M
    )
    if not standard:
        return None
    meridian = float(np.degrees(values["Longitude of natural origin"]))
    return GaussKruger(round(meridian, 9), int(zone) or None)


def _method(crs: pyproj.CRS) -> str:
    operation = crs.coordinate_operation
    return "" if operation is None else str(operation.method_name).replace("_", " ")


def _is_cgcs2000(crs: pyproj.CRS) -> bool:
    names = [crs.datum.name if crs.datum else "", crs.geodetic_crs.name if crs.geodetic_crs else ""]
    plain = " ".join(names).lower().replace("_", " ")
    return "cgcs2000" in plain or "china 2000" in plain or "china geodetic" in plain


def official_area_m2(geometry: Polygonal, crs: str) -> float:
    """Official ellipsoidal area of one polygon.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        In the delivered coordinates, x = easting or longitude.
    crs : str
        Delivered reference system; see :func:`areas_m2` for how each kind is treated.

    Returns
    -------
    float
        Square metres on the CGCS2000 ellipsoid, rounded to 0.01 m2.

    Raises
    ------
    MissingCRS, UnsuitableCRS, LayerError
        As :func:`areas_m2`.
    """
    return float(polygon_areas_m2(np.array([geometry], dtype=object), crs)[0])


def areas_m2(frame: gpd.GeoDataFrame) -> FloatArray:
    """Official ellipsoidal area of every polygon of a frame.

    Parameters
    ----------
    frame : GeoDataFrame
        Polygons and multipolygons in the delivered CRS.

    Returns
    -------
    ndarray of float64, shape (n,)
        Square metres on the CGCS2000 ellipsoid, each rounded to 0.01 m2; empty polygons are 0.

    Raises
    ------
    MissingCRS
        Without a CRS.
    UnsuitableCRS
        On an old datum, in foreign units, or with eastings that contradict the zone of the CRS.
    LayerError
        If a geometry is missing or not a polygon.

    Notes
    -----
    Series of 国土调查办发〔2008〕32号 with CGCS2000 constants; see ``kernels.area``. CGCS2000
    Gauss-Krueger coordinates, with or without zone prefix, go through the official inverse
    projection. Geographic coordinates are used vertex by vertex. Any other projected system
    (UTM, for instance) has its edges cut at 70 m in the plane, where they are straight, and its
    vertices transformed to EPSG:4490.
    """
    return polygon_areas_m2(np.asarray(frame.geometry.array, dtype=object), frame.crs)


def polygon_areas_m2(geometries: NDArray[np.object_], crs: Any) -> FloatArray:
    """Official ellipsoidal area of an array of polygons; :func:`areas_m2` without a frame.

    Parameters
    ----------
    geometries : ndarray of shapely geometries, shape (n,)
        Polygons and multipolygons in ``crs``.
    crs : anything pyproj understands
        Delivered CRS.
    """
    crs = require_suitable_crs(crs, "polygons")
    _require_polygons(geometries)
    system = gauss_kruger_of(crs)
    if system is not None:
        rings = _rings(geometries)
        plane = _without_prefix(rings.xy, system, crs)
        areas = ring_areas_gk_m2(plane[:, 1].copy(), plane[:, 0].copy(), rings.starts)
        return _collect(areas, rings, len(geometries))
    rings = _rings(shapely.segmentize(geometries, MAX_EDGE_M) if crs.is_projected else geometries)
    lon, lat = _to_geographic(crs).transform(rings.xy[:, 0], rings.xy[:, 1])
    areas = ring_areas_geographic_m2(np.asarray(lat), np.asarray(lon), rings.starts)
    return _collect(areas, rings, len(geometries))


def geodesic_area_m2(geometry: Polygonal, crs: str) -> float:
    """Area of one polygon by geodesics on the CGCS2000 ellipsoid; the check of the series.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        In the delivered coordinates.
    crs : str
        Delivered reference system.

    Returns
    -------
    float
        Square metres, not rounded.

    Notes
    -----
    Karney's geodesic polygons through pyproj; edges are cut at 70 m (0.0005 degrees) first,
    because an edge is straight in the delivered coordinates and not along a geodesic. Agrees
    with :func:`official_area_m2` to 1e-7 where that cuts edges too, and to 4e-6 for geographic
    coordinates, whose long edges the official trapezoid only approximates. Small parcels differ
    by up to 0.02 m2 for the official rounding of vertices.
    """
    known = require_suitable_crs(crs, "a polygon")
    step = MAX_EDGE_M if known.is_projected else _SEGMENT_DEG
    single = np.array([geometry], dtype=object)
    _require_polygons(single)
    rings = _rings(shapely.segmentize(single, step))
    xy, source = rings.xy, known
    system = gauss_kruger_of(known)
    if system is not None:
        xy = _without_prefix(xy, system, known) + np.array([FALSE_EASTING_M, 0.0])
        source = _without_zone(system)
    lon, lat = _to_geographic(source).transform(xy[:, 0], xy[:, 1])
    areas = [
        abs(CGCS2000.polygon_area_perimeter(lon[start:stop], lat[start:stop])[0])
        for start, stop in zip(rings.starts[:-1], rings.starts[1:], strict=True)
    ]
    return float(np.dot(rings.sign, areas))


@lru_cache(maxsize=64)
def _to_geographic(crs: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(crs, GEOGRAPHIC, always_xy=True)


def _without_zone(system: GaussKruger) -> pyproj.CRS:
    return pyproj.CRS.from_proj4(
        f"+proj=tmerc +lat_0=0 +lon_0={system.central_meridian_deg} +k=1 "
        f"+x_0={FALSE_EASTING_M} +y_0=0 +ellps=GRS80 +units=m"
    )


def _require_polygons(geometries: NDArray[np.object_]) -> None:
    wrong = np.flatnonzero(~np.isin(shapely.get_type_id(geometries), _POLYGONAL))
    if wrong.size:
        kinds = sorted({getattr(geometries[i], "geom_type", "none") for i in wrong})
        raise LayerError(
            f"got {wrong.size} of {len(geometries)} geometries that are {', '.join(kinds)} (first: "
            f"row {wrong[0]}); an area needs polygons; remove or repair these rows"
        )


def _rings(geometries: NDArray[np.object_]) -> _Rings:
    """Flatten polygons; the first ring of a part counts, the others are holes."""
    parts, part_owner = shapely.get_parts(geometries, return_index=True)
    parts_kept = ~shapely.is_empty(parts)
    parts, part_owner = parts[parts_kept], part_owner[parts_kept]
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    xy, vertex_ring = shapely.get_coordinates(rings, return_index=True)
    counts = np.bincount(vertex_ring, minlength=len(rings))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    first = np.concatenate([[True], ring_part[1:] != ring_part[:-1]])[: len(rings)]
    sign = np.where(first, 1.0, -1.0)
    return _Rings(xy, starts, sign, part_owner[ring_part].astype(np.int64))


def _collect(ring_areas: FloatArray, rings: _Rings, count: int) -> FloatArray:
    total = np.bincount(rings.owner, weights=rings.sign * ring_areas, minlength=count)
    return np.asarray(np.round(total, AREA_DECIMALS), dtype=np.float64)


def _without_prefix(xy: FloatArray, system: GaussKruger, crs: pyproj.CRS) -> FloatArray:
    """Distance from the central meridian and northing, rounded to 4 decimals."""
    zones = np.unique(np.floor_divide(xy[:, 0], ZONE_WIDTH_M).astype(int))
    own = {system.zone} if system.zone else {0}
    allowed = own if system.zone else own | _zones_of(system.central_meridian_deg)
    if not set(zones.tolist()) <= allowed or zones.size > 1:
        raise UnsuitableCRS(
            f"got eastings with zone prefixes {zones.tolist()} in {crs.name}; needed one of "
            f"{sorted(allowed)} (0 = no prefix); assign the CRS the coordinates were written in"
        )
    prefix = float(zones[0]) * ZONE_WIDTH_M if zones.size else 0.0
    plane = np.stack([xy[:, 0] - prefix - FALSE_EASTING_M, xy[:, 1]], axis=1)
    return np.asarray(np.round(plane, 4), dtype=np.float64)


def _zones_of(meridian_deg: float) -> set[int]:
    """Numbers a 3 or 6 degree zone on this meridian may carry."""
    three, six = meridian_deg / 3.0, (meridian_deg + 3.0) / 6.0
    return {int(zone) for zone in (three, six) if zone == int(zone)}
