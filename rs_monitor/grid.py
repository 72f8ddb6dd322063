"""Pixel grids: the same-grid guard, zone grids, fixed blocks, true pixel area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        Projected or geographic grid, turned or not.

    Returns
    -------
    ndarray of float64, shape (height,)
        Area of the pixel in the middle column of each row.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        As :func:`true_pixel_area_m2`.
    """
    return true_pixel_area_m2(geobox, np.array([geobox.shape.x // 2]))[:, 0]


_CELL_M = 200.0
_POLE_ROUNDING_DEG = 1e-9
_ROWS_AT_ONCE = 2048


def true_pixel_area_m2(geobox: GeoBox, columns: NDArray[Any]) -> NDArray[np.float64]:
    """Measure pixels of every row on the CGCS2000 ellipsoid, square metres.

    Parameters
    ----------
    geobox : GeoBox
        Projected or geographic grid, turned or not.
    columns : ndarray, shape (k,)
        Columns to measure; halves lie on the edge of two pixels.

    Returns
    -------
    ndarray of float64, shape (height, k)

    Raises
    ------
    MissingCRS, UnsuitableCRS
        Without a CRS; where a pixel has no place on the ellipsoid.

    Notes
    -----
    The corners of a cell are transformed to geographic coordinates, laid out on the cylindrical
    equal-area projection (Snyder 1987, USGS Professional Paper 1395, 10-1 and 3-12) and measured
    there as a plane polygon: exact where the sides are meridians and parallels. On a projected
    grid the cell is 200 m wide and centred on the pixel, so that rounding of the corners (1e-8
    of a 10 m pixel) does not count; areal scale bends by (200 m / R)^2 / 12 within it, 1e-10.
    ``tests/test_grid.py`` compares with geodesic polygons.
    """
    if geobox.crs is None:
        raise MissingCRS("got a grid without CRS; areas need one; assign the CRS of the source")
    crs = pyproj.CRS(str(geobox.crs))
    to_geographic = pyproj.Transformer.from_crs(crs, "EPSG:4490", always_xy=True)
    widening = 1.0 if crs.is_geographic else _widening(geobox, crs)
    height = geobox.shape.y
    parts = [
        _cell_areas_m2(
            geobox.affine,
            np.arange(y, min(y + _ROWS_AT_ONCE, height)),
            columns,
            widening,
            to_geographic,
        )
        for y in range(0, height, _ROWS_AT_ONCE)
    ]
    areas = np.concatenate(parts) / widening**2
    if not (np.isfinite(areas) & (areas > 0)).all():
        raise UnsuitableCRS(
            f"got pixels without a place on the ellipsoid in {describe(geobox)}; areas need a grid "
            "inside the bounds of its CRS; cut the grid or check its transform"
        )
    return areas


def _widening(geobox: GeoBox, crs: pyproj.CRS) -> float:
    a = geobox.affine
    edge = max(np.hypot(a.a, a.d), np.hypot(a.b, a.e)) * crs.axis_info[0].unit_conversion_factor
    return max(1.0, float(_CELL_M / edge))


def _cell_areas_m2(
    affine: Affine,
    rows: NDArray[np.int64],
    columns: NDArray[Any],
    widening: float,
    to_geographic: pyproj.Transformer,
) -> NDArray[np.float64]:
    steps = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]) * widening
    col = (columns + 0.5)[:, None] + steps[:, 1]
    row = (rows + 0.5)[:, None, None] + steps[:, 0]
    x = affine.c + affine.a * col + affine.b * row
    y = affine.f + affine.d * col + affine.e * row
    lonlat_deg = np.stack(to_geographic.transform(x, y))
    lon_deg, lat_deg = np.where(np.isfinite(lonlat_deg), lonlat_deg, np.nan)
    lat_deg = np.where(np.abs(lat_deg) <= 90.0 + _POLE_ROUNDING_DEG, lat_deg, np.nan)
    turn_deg = lon_deg - lon_deg[..., :1]
    east = np.radians(turn_deg - 360.0 * np.round(turn_deg / 360.0))
    north = _equal_area_m2(lat_deg)
    north = north - north[..., :1]
    across = [east[..., i] * north[..., i + 1] - east[..., i + 1] * north[..., i] for i in (1, 2)]
    return np.asarray(np.abs(across[0] + across[1]) / 2.0, dtype=np.float64)


def _equal_area_m2(latitude_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area between the equator and a parallel, of a radian of longitude."""
    eccentricity, sine = np.sqrt(CGCS2000.es), np.sin(np.radians(latitude_deg))
    bulge = np.arctanh(eccentricity * sine) / eccentricity
    q = (1.0 - CGCS2000.es) * (sine / (1.0 - CGCS2000.es * sine**2) + bulge)
    return np.asarray(CGCS2000.a**2 / 2.0 * q, dtype=np.float64)


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
