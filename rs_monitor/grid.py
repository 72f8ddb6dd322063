"""Pixel grids: the same-grid guard, zone grids, fixed blocks, true pixel area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import GridMismatch, MissingCRS, UnsuitableCRS

CGCS2000 = pyproj.Geod(a=6378137.0, rf=298.257222101)
"""The ellipsoid all reported areas refer to."""

MU_M2 = 2000.0 / 3.0
"""Area of one mu."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fixed block of a zone's grid; part of the plan, independent of dask chunks.

    Attributes
    ----------
    row, col : int
        Position in the grid of blocks.
    y0, y1, x0, x1 : int
        Pixel rows and columns of the zone's grid, half open.
    """

    row: int
    col: int
    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def name(self) -> str:
        """Stable name used for files."""
        return f"r{self.row:03d}c{self.col:03d}"

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the block in an array of the whole zone."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def blocks_of(geobox: GeoBox, block_px: int) -> list[Block]:
    """Cut a grid into fixed blocks, in row order.

    Parameters
    ----------
    geobox : GeoBox
        Grid to cover.
    block_px : int
        Edge of a full block in pixels.
    """
    height, width = geobox.shape
    rows = enumerate(range(0, height, block_px))
    return [
        Block(row, col, y0, min(y0 + block_px, height), x0, min(x0 + block_px, width))
        for row, y0 in rows
        for col, x0 in enumerate(range(0, width, block_px))
    ]


Window = tuple[slice, slice]


def widen(window: Window, margin_px: int, geobox: GeoBox) -> tuple[Window, Window]:
    """Put a margin around a window, cut at the edge of its grid.

    Parameters
    ----------
    window : tuple of slice
        Rows and columns of ``geobox``.
    margin_px : int
        Pixels to add on each side.
    geobox : GeoBox
        The whole grid.

    Returns
    -------
    wide, inner : tuple of slice
        The wider window, and where the first one lies in it.
    """
    wide, inner = [], []
    for part, extent in zip(window, geobox.shape, strict=True):
        start, stop = max(part.start - margin_px, 0), min(part.stop + margin_px, extent)
        wide.append(slice(start, stop))
        inner.append(slice(part.start - start, part.stop - start))
    return (wide[0], wide[1]), (inner[0], inner[1])


def require_same_grid(*geoboxes: GeoBox) -> GeoBox:
    """Return the common grid, or refuse.

    Raises
    ------
    GridMismatch
        If any two grids differ in shape, transform or CRS; half a pixel is a difference.
    """
    first = geoboxes[0]
    for other in geoboxes[1:]:
        if other != first:
            raise GridMismatch(
                f"got grids {describe(first)} and {describe(other)}; needed one and the same grid; "
                "load both on the zone's grid before comparing them"
            )
    return first


def describe(geobox: GeoBox) -> str:
    """One line about a grid for messages and logs."""
    a = geobox.affine
    return (
        f"{geobox.shape.y}x{geobox.shape.x} px of {a.a:g} from ({a.c:g}, {a.f:g}) in {geobox.crs}"
    )


def require_projected(geobox: GeoBox, purpose: str) -> GeoBox:
    """Return the grid if its unit is the metre, or refuse.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        Without a CRS; with a CRS in degrees or feet.
    """
    if geobox.crs is None:
        raise MissingCRS(
            f"got a grid without CRS; {purpose} needs metres; assign the CRS of the source file"
        )
    units = {axis.unit_name for axis in pyproj.CRS(str(geobox.crs)).axis_info}
    if units != {"metre"}:
        raise UnsuitableCRS(
            f"got {geobox.crs} with units {sorted(units)}; {purpose} needs a projected CRS in "
            "metres; reproject to the county's CGCS2000 zone or to UTM"
        )
    return geobox


def zone_geobox(
    bounds: tuple[float, float, float, float],
    crs: str,
    resolution_m: float,
    anchor: tuple[float, float] = (0.0, 0.0),
) -> GeoBox:
    """Grid over bounds, snapped to an anchor so that same-grid sources need no warp.

    Parameters
    ----------
    bounds : tuple of float
        left, bottom, right, top in units of ``crs``.
    crs : str
        Projected CRS.
    resolution_m : float
        Pixel edge, metres.
    anchor : tuple of float
        A pixel corner (x, y) of the source grid.
    """
    left, bottom, right, top = bounds
    ax, ay = anchor
    tolerance = 1e-6
    x0 = ax + np.floor((left - ax) / resolution_m + tolerance) * resolution_m
    y1 = ay + np.ceil((top - ay) / resolution_m - tolerance) * resolution_m
    width = int(np.ceil((right - x0) / resolution_m - tolerance))
    height = int(np.ceil((y1 - bottom) / resolution_m - tolerance))
    affine = Affine(resolution_m, 0.0, float(x0), 0.0, -resolution_m, float(y1))
    return require_projected(GeoBox((max(height, 1), max(width, 1)), affine, crs), "a zone's grid")


def pixel_area_m2(geobox: GeoBox) -> NDArray[np.float64]:
    """Measure one pixel of every row on the CGCS2000 ellipsoid, square metres.

    Parameters
    ----------
    geobox : GeoBox
        Projected or geographic grid, north up.

    Returns
    -------
    ndarray of float64, shape (height,)
        Area of the pixel in the middle column of each row.

    Notes
    -----
    Each pixel outline is transformed to geographic coordinates and measured as a geodesic
    polygon; ``tests/test_grid.py`` compares the sum with the geodesic area of the whole grid.
    """
    if geobox.crs is None:
        raise MissingCRS("got a grid without CRS; areas need one; assign the CRS of the source")
    height, width = geobox.shape
    column = width // 2
    rows = np.arange(height)
    corners_x = np.stack([column + dx + 0.0 * rows for dx in (0, 0, 1, 1)], axis=1)
    corners_y = np.stack([rows + dy for dy in (0.0, 1.0, 1.0, 0.0)], axis=1)
    a = geobox.affine
    x = a.c + a.a * corners_x + a.b * corners_y
    y = a.f + a.d * corners_x + a.e * corners_y
    to_geographic = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4490", always_xy=True)
    lon, lat = to_geographic.transform(x, y)
    areas = [abs(CGCS2000.polygon_area_perimeter(lon[i], lat[i])[0]) for i in range(height)]
    return np.asarray(areas, dtype=np.float64)


def row_spacing_m(
    geobox: GeoBox, purpose: str = "row spacing"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the pixel edges of every row.

    Parameters
    ----------
    geobox : GeoBox
        Projected in metres, or geographic in degrees; its axes along the pixels.
    purpose : str
        What needs them, for messages.

    Returns
    -------
    dx_m, dy_m : ndarray of float64, shape (height,)
        Metres towards the east and along the meridian, positive.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        Without a CRS; in other units; with rows at or beyond a pole; turned against its axes.

    Notes
    -----
    On geographic grids, at the latitude of the row's centre on the ellipsoid of the CRS (not at the
    height of the ground: 0.016 % per kilometre): the parallel's radius is ``N cos(lat)``, and the
    meridian's is ``M``, with ``N = a / w`` and ``M = a (1 - e²) / w³``,
    ``w² = 1 - e² sin²(lat)`` (Snyder 1987, USGS Professional Paper 1395, 4-18 to 4-20).
    Lengths of a projected grid are those of its plane: the scale of the projection (0.04 % in the
    middle of a UTM zone) is not removed. ``tests/test_grid.py`` compares with geodesics.
    """
    a = geobox.affine
    if a.b or a.d:
        raise UnsuitableCRS(
            f"got a grid turned against its axes ({describe(geobox)}); {purpose} needs rows along "
            "parallels or northings; warp it to an upright grid"
        )
    height = geobox.shape.y
    crs = None if geobox.crs is None else pyproj.CRS(str(geobox.crs))
    if crs is None or not _in_degrees(crs):
        require_projected(geobox, purpose)
        return np.full(height, abs(a.a)), np.full(height, abs(a.e))
    latitude_deg = np.asarray(a.f + a.e * (np.arange(height) + 0.5), dtype=np.float64)
    if (np.abs(latitude_deg) >= 90).any():
        raise UnsuitableCRS(
            f"got rows at latitudes up to {np.abs(latitude_deg).max():g} in {describe(geobox)}; "
            f"{purpose} needs rows between the poles; cut the grid or check its transform"
        )
    east_m, north_m = _metres_per_degree(crs, latitude_deg)
    return abs(a.a) * east_m, abs(a.e) * north_m


def _in_degrees(crs: pyproj.CRS) -> bool:
    return crs.is_geographic and {axis.unit_name for axis in crs.axis_info[:2]} == {"degree"}


def _metres_per_degree(
    crs: pyproj.CRS, latitude_deg: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    geod = crs.get_geod()
    if geod is None:
        raise UnsuitableCRS(f"got {crs.name} without an ellipsoid; needed one; name another CRS")
    latitude = np.radians(latitude_deg)
    w = np.sqrt(1 - geod.es * np.sin(latitude) ** 2)
    parallel, meridian = geod.a / w * np.cos(latitude), geod.a * (1 - geod.es) / w**3
    return np.radians(parallel), np.radians(meridian)
