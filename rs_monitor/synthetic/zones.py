"""Remediation zones of the synthetic township."""

from __future__ import annotations

import numpy as np
import shapely
from shapely import ops
from shapely.geometry.base import BaseGeometry

from rs_monitor.synthetic.shapes import largest, snapped

_EDGE_M = 55.0


def draw_zones(
    rng: np.random.Generator, frame: shapely.Polygon
) -> tuple[shapely.Polygon, shapely.Polygon]:
    """Draw two adjacent synthetic zones that cover most of the township.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the outline and the dividing line.
    frame : shapely.Polygon
        The township.

    Returns
    -------
    tuple of shapely.Polygon
        The northern and the southern zone; they share their border exactly.
    """
    west, south, east, north = frame.buffer(-_EDGE_M).bounds
    outline = shapely.Polygon([(west, south), (east, south), (east, north), (west, north)])
    middle = (south + north) / 2 + rng.uniform(-0.06, 0.06) * (north - south)
    x = np.linspace(west, east, 6)
    y = middle + rng.normal(0.0, 0.02 * (north - south), size=6)
    divide = shapely.LineString(np.column_stack([x, y]))
    lower, upper = sorted(
        ops.split(outline, ops.snap(divide, outline, 0.01)).geoms, key=lambda p: p.centroid.y
    )
    return snapped(largest(upper)), snapped(largest(lower))


def inner_zones(zones: tuple[shapely.Polygon, shapely.Polygon]) -> BaseGeometry:
    """Ground well inside one of the zones, away from their borders."""
    return shapely.union_all([zone.buffer(-15.0) for zone in zones])
