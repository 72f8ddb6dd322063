"""Footprints on the globe: cut at the antimeridian, compared with bounding boxes across it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from shapely import MultiPolygon, Polygon, box, make_valid
from shapely.affinity import translate
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from rs_monitor.imagery.dialects import JSON, plain

Bounds = tuple[float, float, float, float]


def cut_footprint(geometry: Mapping[str, JSON]) -> dict[str, JSON]:
    """GeoJSON geometry whose parts never cross 180 degrees (RFC 7946, section 3.1.9).

    Parameters
    ----------
    geometry : mapping
        GeoJSON geometry, longitude and latitude in degrees.

    Returns
    -------
    dict
        A ring that jumps from one edge of the map to the other, as older catalogues write it,
        spans the whole globe when read naively; it is unrolled and cut, its holes are dropped.
        Other geometries stay as given.
    """
    if not any(_jumps(ring) for ring in _rings(geometry)):
        return {"type": geometry["type"], "coordinates": plain(geometry["coordinates"])}
    polygons = [p for p in _parts(shape(dict(geometry))) if isinstance(p, Polygon)]
    cut = [piece for part in polygons for piece in _cut(part)]
    whole = cut[0] if len(cut) == 1 else MultiPolygon(cut)
    return {key: plain(value) for key, value in mapping(whole).items()}


def touches(footprint: Mapping[str, JSON], boxes: Sequence[Bounds]) -> bool:
    """Whether a footprint meets one of some boxes.

    Parameters
    ----------
    footprint : mapping
        GeoJSON geometry; it may count longitudes beyond 180 degrees.
    boxes : sequence of tuple of float
        West, south, east, north in degrees, as :func:`bbox_parts` cuts them; none means the whole
        globe.
    """
    ground = shape(dict(footprint))
    west, _, east, _ = ground.bounds
    turns = [0.0] + [-360.0] * (east > 180) + [360.0] * (west < -180)
    places = [translate(ground, turn) if turn else ground for turn in turns]
    return not boxes or any(place.intersects(box(*bbox)) for place in places for bbox in boxes)


def bbox_parts(bbox: Bounds) -> tuple[Bounds, ...]:
    """A bounding box in degrees in one part, or in two that meet at the antimeridian."""
    west, south, east, north = bbox
    if west <= east:
        return ((west, south, east, north),)
    return (west, south, 180.0, north), (-180.0, south, east, north)


def footprint_bbox(footprint: Mapping[str, JSON]) -> list[float]:
    """West, south, east, north; west > east where the footprint touches both edges of the map."""
    found = shape(dict(footprint))
    west, south, east, north = found.bounds
    bounds = [part.bounds for part in _parts(found)]
    left = [b[2] for b in bounds if b[0] <= -180.0]
    right = [b[0] for b in bounds if b[2] >= 180.0]
    if left and right and len(bounds) > 1:
        west, east = min(right), max(left)
    return [west, south, east, north]


def _parts(geometry: BaseGeometry) -> Sequence[BaseGeometry]:
    return list(getattr(geometry, "geoms", (geometry,)))


def _rings(geometry: Mapping[str, JSON]) -> Iterable[Sequence[Sequence[float]]]:
    """Outer rings of a GeoJSON polygon or multipolygon; none for other geometries."""
    parts = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        parts = [parts]
    elif geometry["type"] != "MultiPolygon":
        return ()
    return (part[0] for part in parts if part)


def _jumps(ring: Sequence[Sequence[float]]) -> bool:
    return any(abs(after[0] - before[0]) > 180.0 for before, after in pairwise(ring))


def _cut(part: Polygon) -> Iterable[Polygon]:
    unrolled = make_valid(Polygon(_unroll(np.asarray(part.exterior.coords)[:, :2])))
    for turn in (-360.0, 0.0, 360.0):
        inside = unrolled.intersection(box(turn - 180.0, -90.0, turn + 180.0, 90.0))
        for piece in _parts(translate(inside, -turn)):
            if isinstance(piece, Polygon) and not piece.is_empty:
                yield piece


def _unroll(ring: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.unwrap(ring[:, 0], period=360.0), ring[:, 1]])
