"""Random outlines of exact area, and finding room for them on the synthetic ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import shapely
from odc.geo.geobox import GeoBox
from rasterio import features
from scipy import ndimage
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from rs_monitor.errors import RsMonitorError
from rs_monitor.grid import MU_M2

Mask = npt.NDArray[np.bool_]
Outline = Callable[[np.random.Generator, float, float], shapely.Polygon]
G = TypeVar("G", bound=BaseGeometry)


class NoRoom(RsMonitorError, ValueError):
    """The synthetic township is too small for what is to be planted."""


def log_uniform_mu(
    rng: np.random.Generator, count: int, low_mu: float, high_mu: float
) -> npt.NDArray[np.float64]:
    """Draw stratified log-uniform sizes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the numbers.
    count : int
        How many.
    low_mu, high_mu : float
        Range in mu.

    Returns
    -------
    ndarray, shape (count,), float64
        Sizes in mu, one in each of `count` equal parts of the log range, shuffled.
    """
    # the map grid shrinks areas by up to 0.08 %; stay inside the range on the ellipsoid too
    low, high = np.log(low_mu * 1.002), np.log(high_mu * 0.998)
    part = (rng.permutation(count) + rng.uniform(0.0, 1.0, size=count)) / max(count, 1)
    return np.asarray(np.exp(low + part * (high - low)))


def quad(rng: np.random.Generator, area_m2: float, angle_deg: float) -> shapely.Polygon:
    """Return a field-like four-sided outline of exact area around the origin."""
    half_x = np.sqrt(area_m2 * rng.uniform(1.0, 2.6)) / 2.0
    half_y = area_m2 / (4.0 * half_x)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_x, half_y)
    corners = corners + rng.uniform(-0.12, 0.12, size=(4, 2)) * min(half_x, half_y)
    return _finished(shapely.Polygon(corners), area_m2, angle_deg + rng.normal(0.0, 5.0))


def ell(rng: np.random.Generator, area_m2: float, angle_deg: float) -> shapely.Polygon:
    """Return an L-shaped or rectangular building outline of exact area around the origin."""
    if area_m2 < 3.0 * MU_M2 or rng.random() < 0.5:
        return quad(rng, area_m2, angle_deg)
    cut_x, cut_y = rng.uniform(0.1, 0.5, size=2)
    side = rng.uniform(0.75, 1.3)
    outline = shapely.Polygon(
        [
            (-1, -side),
            (1, -side),
            (1, cut_y * side),
            (cut_x, cut_y * side),
            (cut_x, side),
            (-1, side),
        ]
    )
    return _finished(outline, area_m2, angle_deg + rng.normal(0.0, 5.0))


def blob(rng: np.random.Generator, area_m2: float, angle_deg: float) -> shapely.Polygon:
    """Return a rounded irregular outline of exact area around the origin."""
    turn = np.linspace(0.0, 2.0 * np.pi, 28, endpoint=False)
    radius = np.ones_like(turn)
    for wave in (2, 3, 5):
        radius += rng.normal(0.0, 0.16 / wave) * np.cos(wave * turn + rng.uniform(0, 2 * np.pi))
    stretch = np.sqrt(rng.uniform(1.0, 1.9))
    points = np.column_stack([radius * np.cos(turn) * stretch, radius * np.sin(turn) / stretch])
    return _finished(shapely.Polygon(points), area_m2, angle_deg + rng.uniform(0.0, 360.0))


def strip(rng: np.random.Generator, area_m2: float, angle_deg: float) -> shapely.Polygon:
    """Return a bent strip like a new road, of exact area: 12-20 m wide unless too small."""
    width = rng.uniform(12.0, 20.0)
    width = max(width, min(20.0, area_m2 / 650.0))
    width = min(width, np.sqrt(area_m2 / 3.0))
    length = area_m2 / width
    line = shapely.LineString(_bent_line(rng, length))
    outline = line.buffer(width / 2, cap_style="flat", join_style="mitre")
    quarter = 90.0 * int(rng.integers(0, 2))
    return _finished(outline, area_m2, angle_deg + quarter + rng.normal(0.0, 6.0))


def _bent_line(rng: np.random.Generator, length: float) -> list[tuple[float, float]]:
    """Axis of a strip: nearly straight, or with one right-angled turn."""
    if length > 150.0 and rng.random() < 0.5:
        first = rng.uniform(0.35, 0.65) * length
        side = float(rng.choice([-1.0, 1.0]))
        return [(-first / 2, 0.0), (first / 2, 0.0), (first / 2, side * (length - first))]
    bend = rng.uniform(-0.08, 0.08) * length
    return [(-length / 2, 0.0), (0.0, bend), (length / 2, 0.0)]


def snapped(geometry: G) -> G:
    """Round coordinates to the centimetre, the precision of the synthetic survey."""
    return shapely.transform(geometry, lambda points: np.round(points, 2))


def largest(geometry: BaseGeometry) -> shapely.Polygon:
    """Largest polygon of a geometry."""
    polygons = [part for part in shapely.get_parts(geometry) if isinstance(part, shapely.Polygon)]
    return max(polygons, key=lambda part: float(part.area))


def _finished(outline: shapely.Polygon, area_m2: float, angle_deg: float) -> shapely.Polygon:
    factor = float(np.sqrt(area_m2 / outline.area))
    scaled = affinity.scale(outline, factor, factor, origin=(0.0, 0.0))
    return affinity.rotate(scaled, angle_deg, origin=(0.0, 0.0))


@dataclass
class Ground:
    """Room on the synthetic ground: which cells are taken, and a search for free places.

    Attributes
    ----------
    geobox : GeoBox
        Placement grid.
    taken : ndarray, shape (y, x), bool
        Cells that nothing new may touch.
    """

    geobox: GeoBox
    taken: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.taken = np.zeros((self.geobox.shape[0], self.geobox.shape[1]), dtype=bool)

    def burn(self, shapes: Sequence[BaseGeometry], *, touched: bool = False) -> Mask:
        """Cells covered by any of the shapes."""
        rows, columns = self.geobox.shape[0], self.geobox.shape[1]
        if not shapes:
            return np.zeros((rows, columns), dtype=bool)
        burnt = features.rasterize(
            shapes,
            out_shape=(rows, columns),
            transform=self.geobox.affine,
            all_touched=touched,
            dtype=np.uint8,
        )
        return np.asarray(burnt, dtype=bool)

    def take(self, shape: BaseGeometry, gap_m: float) -> None:
        """Take the cells of a shape and everything nearer than the gap."""
        # the buffer's arcs are chords, and coordinates are rounded: half a metre more
        self.taken |= self.burn([shape.buffer(gap_m + 0.5)], touched=True)

    def is_free(self, shape: BaseGeometry) -> bool:
        """Whether no taken cell touches the shape."""
        window = self._window(shape.bounds)
        if window is None:
            return False
        rows, columns = window
        return not bool((self.taken[rows, columns] & self._local(shape, rows, columns)).any())

    def place(
        self,
        rng: np.random.Generator,
        allowed: Allowed,
        outline: Outline,
        area_m2: float,
        angle_deg: float,
        *,
        gap_m: float = 30.0,
        min_share: float = 0.97,
        what: str = "shape",
    ) -> shapely.Polygon:
        """Find room for a shape, take it and return it in map coordinates.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of shapes and places.
        allowed : Allowed
            Where the shape may lie.
        outline : callable
            Draws the shape around the origin: rng, area, direction to polygon.
        area_m2 : float
            Its area in square metres.
        angle_deg : float
            Its direction.
        gap_m : float
            Distance kept to everything taken, metres.
        min_share : float
            Least share of the shape on allowed cells.
        what : str
            What is placed, for the message.

        Returns
        -------
        shapely.Polygon
            The placed shape, coordinates rounded to the centimetre.

        Raises
        ------
        NoRoom
            No place was found.
        """
        for room in (0.40, 0.25, 0.12, 0.0):
            centres = np.flatnonzero((allowed.depth_m > room * np.sqrt(area_m2)) & ~self.taken)
            if centres.size == 0:
                continue
            for _ in range(200):
                shape = self._moved(rng, outline(rng, area_m2, angle_deg), int(rng.choice(centres)))
                if self._fits(shape, allowed.cells, min_share):
                    self.take(shape, gap_m)
                    return shape
        message = (
            f"got no room for a synthetic {what} of {area_m2:.0f} m2; needed a free place; "
            "use a larger size_px or plant fewer events"
        )
        raise NoRoom(message)

    def _moved(
        self, rng: np.random.Generator, shape: shapely.Polygon, centre: int
    ) -> shapely.Polygon:
        row, column = divmod(centre, self.geobox.shape[1])
        x, y = self.geobox.affine @ tuple(np.array([column, row]) + rng.uniform(0, 1, size=2))
        return snapped(affinity.translate(shape, x, y))

    def _fits(self, shape: shapely.Polygon, cells: Mask, min_share: float) -> bool:
        window = self._window(shape.bounds)
        if window is None:
            return False
        rows, columns = window
        local = self._local(shape, rows, columns)
        if bool((self.taken[rows, columns] & local).any()):
            return False
        return float(cells[rows, columns][local].mean()) >= min_share

    def _window(self, bounds: tuple[float, ...]) -> tuple[slice, slice] | None:
        """Rows and columns around the bounds, None when they leave the grid."""
        to_cell = ~self.geobox.affine
        left, top = to_cell @ (bounds[0], bounds[3])
        right, bottom = to_cell @ (bounds[2], bounds[1])
        first = np.floor([top, left]).astype(int) - 1
        last = np.ceil([bottom, right]).astype(int) + 1
        if (first < 0).any() or last[0] > self.geobox.shape[0] or last[1] > self.geobox.shape[1]:
            return None
        return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))

    def _local(self, shape: BaseGeometry, rows: slice, columns: slice) -> Mask:
        affine = self.geobox.affine
        shift = affine.translation(columns.start, rows.start)
        burnt = features.rasterize(
            [shape],
            out_shape=(rows.stop - rows.start, columns.stop - columns.start),
            transform=affine @ shift,
            all_touched=True,
            dtype=np.uint8,
        )
        return np.asarray(burnt, dtype=bool)


@dataclass(frozen=True)
class Allowed:
    """Cells where a shape may lie, and how deep inside them each cell is (m)."""

    cells: Mask
    depth_m: npt.NDArray[np.float32]

    @classmethod
    def of(cls, cells: Mask, cell_m: float) -> Allowed:
        """Measure the depth of the cells."""
        padded = np.pad(cells, 1)
        depth = ndimage.distance_transform_edt(padded)[1:-1, 1:-1] * cell_m
        return cls(cells, depth.astype(np.float32))
