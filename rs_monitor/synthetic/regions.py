"""The large forms of the synthetic township: hills, river, roads, town, and the blocks between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from rs_monitor.synthetic.shapes import largest
from rs_monitor.synthetic.terrain import HillLine


@dataclass(frozen=True)
class Regions:
    """Large forms of a synthetic township, polygons in map coordinates (m).

    Attributes
    ----------
    frame : shapely.Polygon
        The township.
    roads : tuple of (polygon, survey code)
        Roads and streets, wider first.
    river, town : shapely geometry
        The river and the town.
    upper, foot, plain : shapely.Geometry
        Hills, foot of the hills and plain; together the township.
    angle_deg : float
        Common direction of fields and hamlets.
    """

    frame: shapely.Polygon
    roads: tuple[tuple[shapely.Polygon, str], ...]
    river: BaseGeometry
    town: shapely.Polygon
    upper: BaseGeometry
    foot: BaseGeometry
    plain: BaseGeometry
    angle_deg: float

    def open_ground(self) -> BaseGeometry:
        """Township without roads, river and town."""
        works = [road for road, _ in self.roads] + [self.river, self.town]
        return self.frame.difference(shapely.union_all(works))


def draw_regions(
    rng: np.random.Generator, left_m: float, top_m: float, size_m: float, hills: HillLine
) -> Regions:
    """Draw the large forms of a synthetic township.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all positions.
    left_m, top_m, size_m : float
        Upper left corner and side in metres.
    hills : HillLine
        Foot line of the hills.

    Returns
    -------
    Regions
        The forms.
    """
    frame = shapely.box(left_m, top_m - size_m, left_m + size_m, top_m)
    north = np.linspace(top_m + 50.0, top_m - size_m - 50.0, max(16, int(size_m / 60)))
    edge = hills.easting(north)
    upper = _west_of(edge - hills.foot_m, north, left_m).intersection(frame)
    hill = _west_of(edge, north, left_m).intersection(frame)
    angle = float(rng.uniform(-6.0, 6.0))
    road_x, road_y = (
        left_m + size_m * rng.uniform(0.66, 0.72),
        top_m - size_m * rng.uniform(0.42, 0.5),
    )
    river = _river(rng, left_m, size_m, north).intersection(frame)
    town = largest(_town(rng, road_x, road_y, size_m, angle).intersection(frame))
    main = _main_roads(rng, frame, road_x, road_y)
    rural = _rural_roads(rng, frame, (road_x, road_y), upper, angle)
    streets = _streets(rng, town, angle)
    return Regions(
        frame=frame,
        roads=tuple(main + streets + rural),
        river=river,
        town=town,
        upper=upper,
        foot=hill.difference(upper),
        plain=frame.difference(hill),
        angle_deg=angle,
    )


def split_fields(
    rng: np.random.Generator, block: shapely.Polygon, target_m2: float, angle_deg: float
) -> list[shapely.Polygon]:
    """Split a block of synthetic farmland into fields by repeated cuts.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the cuts.
    block : shapely.Polygon
        The block.
    target_m2 : float
        Typical area of a field.
    angle_deg : float
        Direction of the field edges.

    Returns
    -------
    list of shapely.Polygon
        Fields that fill the block.
    """
    origin = (block.centroid.x, block.centroid.y)
    pending = [affinity.rotate(block, -angle_deg, origin=origin)]
    done: list[shapely.Polygon] = []
    while pending:
        piece = pending.pop()
        if piece.area < target_m2 * rng.uniform(1.0, 1.8):
            done.append(affinity.rotate(piece, angle_deg, origin=origin))
        else:
            pending.extend(_halves(rng, piece))
    return done


def hill_cells(
    rng: np.random.Generator, area: BaseGeometry, cell_m2: float
) -> list[shapely.Polygon]:
    """Split synthetic hills into irregular cells (Voronoi).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the cell centres.
    area : shapely.Geometry
        The hills.
    cell_m2 : float
        Mean area of a cell.

    Returns
    -------
    list of shapely.Polygon
        Cells that fill the area.
    """
    west, south, east, north = area.bounds
    count = max(4, int((east - west) * (north - south) / cell_m2))
    points = rng.uniform((west, south), (east, north), size=(count, 2))
    cells = shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=area)
    return [part for cell in cells.geoms for part in polygons_of(cell.intersection(area))]


def polygons_of(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """Polygon parts of any geometry."""
    parts = shapely.get_parts(geometry)
    nested = [q for p in parts for q in (shapely.get_parts(p) if hasattr(p, "geoms") else [p])]
    return [p for p in nested if isinstance(p, shapely.Polygon) and not p.is_empty]


def _halves(rng: np.random.Generator, piece: shapely.Polygon) -> list[shapely.Polygon]:
    west, south, east, north = piece.bounds
    wide, high = east - west, north - south
    upright = wide > high * rng.uniform(0.45, 1.1)
    share = float(np.clip(rng.normal(0.5, 0.08), 0.3, 0.7))
    if upright:
        cut = west + share * wide
        boxes = (shapely.box(west, south, cut, north), shapely.box(cut, south, east, north))
    else:
        cut = south + share * high
        boxes = (shapely.box(west, south, east, cut), shapely.box(west, cut, east, north))
    return [part for half in boxes for part in polygons_of(piece.intersection(half))]


def _west_of(
    east: np.ndarray[tuple[int], np.dtype[np.float64]],
    north: np.ndarray[tuple[int], np.dtype[np.float64]],
    left_m: float,
) -> shapely.Polygon:
    line = list(zip(east, north, strict=True))
    return shapely.Polygon([*line, (left_m - 100.0, north[-1]), (left_m - 100.0, north[0])])


def _river(
    rng: np.random.Generator,
    left_m: float,
    size_m: float,
    north: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> shapely.Polygon:
    along = np.linspace(0.0, 1.0, north.size)
    east = left_m + size_m * (
        rng.uniform(0.53, 0.57)
        + 0.022 * np.sin(2 * np.pi * (1.3 * along + rng.uniform()))
        + 0.008 * np.sin(2 * np.pi * (3.7 * along + rng.uniform()))
    )
    line = shapely.LineString(np.column_stack([east, north]))
    return line.buffer(max(18.0, 0.0065 * size_m), quad_segs=4)


def _town(
    rng: np.random.Generator, road_x: float, road_y: float, size_m: float, angle: float
) -> shapely.Polygon:
    half = size_m * np.array([rng.uniform(0.09, 0.12), rng.uniform(0.07, 0.10)])
    outline = shapely.box(-half[0], -half[1], half[0], half[1])
    turned = affinity.rotate(outline, angle, origin=(0, 0))
    return largest(affinity.translate(turned, road_x + 0.06 * size_m, road_y + 0.05 * size_m))


def _bent(
    rng: np.random.Generator, start: np.ndarray, end: np.ndarray, width: float
) -> shapely.Polygon:
    """Road between two points with a few gentle bends."""
    steps = np.linspace(0.0, 1.0, 6)[:, None]
    points = start + steps * (end - start)
    points[1:-1] += rng.normal(0.0, 9.0, size=(4, 2))
    return shapely.LineString(points).buffer(width / 2, cap_style="square", join_style="mitre")


def _main_roads(
    rng: np.random.Generator, frame: shapely.Polygon, x: float, y: float
) -> list[tuple[shapely.Polygon, str]]:
    west, south, east, north = frame.bounds
    lines = (
        (np.array([west - 30, y]), np.array([east + 30, y]), 24.0),
        (np.array([x, south - 30]), np.array([x, north + 30]), 18.0),
    )
    return [(largest(_bent(rng, a, b, width).intersection(frame)), "1003") for a, b, width in lines]


def _rural_roads(
    rng: np.random.Generator,
    frame: shapely.Polygon,
    crossing: tuple[float, float],
    upper: BaseGeometry,
    angle: float,
) -> list[tuple[shapely.Polygon, str]]:
    west, south, east, north = frame.bounds
    tilt = np.tan(np.radians(angle))
    roads = []
    for axis, (low, high) in enumerate(((west, east), (south, north))):
        for place in np.arange(low + rng.uniform(120, 320), high - 60.0, 430.0):
            place += rng.normal(0.0, 35.0)
            if abs(place - crossing[axis]) < 150.0:
                continue
            lean = tilt * (north - south) / 2
            if axis == 0:
                ends = np.array([[place + lean, south - 30], [place - lean, north + 30]])
            else:
                ends = np.array([[west - 30, place - lean], [east + 30, place + lean]])
            road = _bent(rng, ends[0], ends[1], rng.uniform(10.0, 13.0)).intersection(frame)
            roads += [(part, "1006") for part in polygons_of(road.difference(upper))]
    return roads


def _streets(
    rng: np.random.Generator, town: shapely.Polygon, angle: float
) -> list[tuple[shapely.Polygon, str]]:
    blocks = split_fields(rng, town, 22000.0, angle)
    edges = shapely.union_all([block.exterior for block in blocks]).difference(
        town.exterior.buffer(1.0)
    )
    streets = edges.buffer(6.0, cap_style="flat", join_style="mitre").intersection(town)
    return [(part, "1004") for part in polygons_of(streets)]
