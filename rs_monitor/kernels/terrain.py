"""Slope, aspect and hillshade of an elevation grid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rs_monitor.kernels.gradients import STEPS, Gradient, gradient_horn_kernel, surface_kernel
from rs_monitor.kernels.rows import Float32, Metres, flat_rows, per_row, room_for

Rows = tuple[int, int]

SLOPE_DEPTH_PX = 1
"""Neighbours a slope looks at on each side."""

_NO_SUN = np.zeros(4, dtype=np.float32)


def gradient_horn(
    dem: NDArray[np.floating], dx_m: Metres, dy_m: Metres
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rise towards the east and towards the north (row 0), metres per metre, after Horn.

    Parameters and unknown cells as in :func:`slope_deg`; computed in float64.
    """
    east_rise, north_rise = np.full((2, *dem.shape), np.nan, dtype=np.float64)
    per_dx, per_dy = (per_row(s, len(dem), 1 / STEPS["horn"], np.float64) for s in (dx_m, dy_m))
    if min(dem.shape) >= 3:
        gradient_horn_kernel(dem, per_dx, per_dy, east_rise, north_rise)
    return east_rise, north_rise


def slope_deg(
    dem: NDArray[np.floating],
    dx_m: Metres,
    dy_m: Metres,
    *,
    method: Gradient = "horn",
    out: Float32 | None = None,
    rows: Rows | None = None,
) -> Float32:
    """Slope of the ground.

    Parameters
    ----------
    dem : ndarray of float, shape (y, x)
        Elevation, metres; row 0 in the north; NaN = unknown.
    dx_m, dy_m : float or ndarray of float, shape (y,)
        Pixel edges, metres, positive: one for all rows, or one per row on a geographic grid.
    method : {'horn', 'zevenbergen_thorne'}
        Gradient: eight neighbours weighted 1-2-1, or the four nearest.
    out : ndarray of float32, shape (y, x), optional
        Takes the result; its rows must be contiguous.
    rows : tuple of int, optional
        First row and the one after the last to fill; the others of ``out`` stay as they are.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Degrees from horizontal; NaN on the outermost ring and wherever one of the nine cells
        is unknown: unknown ground never becomes flat.

    Raises
    ------
    ConfigError
        For another method.
    GridMismatch
        If the spacings or ``out`` do not fit the elevations.

    Notes
    -----
    Horn (1981), doi:10.1109/PROC.1981.11918: third-order finite differences weighted 1-2-1.
    Zevenbergen & Thorne (1987), doi:10.1002/esp.3290120107: second-order finite differences.
    Arctangent of Abramowitz & Stegun (1964), 4.4.49. Within 2e-4 degrees of float64, and
    ``tests/kernels/test_terrain.py`` checks that and planes of known slope.
    """
    return _fill("slope", dem, (dx_m, dy_m), method, _NO_SUN, out, rows)


def slope_horn_deg(dem: NDArray[np.floating], dx_m: Metres, dy_m: Metres) -> Float32:
    """Slope after Horn: :func:`slope_deg` with its default method."""
    return slope_deg(dem, dx_m, dy_m)


def aspect_deg(
    dem: NDArray[np.floating],
    dx_m: Metres,
    dy_m: Metres,
    *,
    method: Gradient = "horn",
    out: Float32 | None = None,
    rows: Rows | None = None,
) -> Float32:
    """Direction the ground falls towards.

    Parameters and sources as in :func:`slope_deg`.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Degrees clockwise from north of the grid, 0 to below 360; NaN on level ground, on the
        outermost ring and beside unknown cells.
    """
    return _fill("aspect", dem, (dx_m, dy_m), method, _NO_SUN, out, rows)


def hillshade(
    dem: NDArray[np.floating],
    dx_m: Metres,
    dy_m: Metres,
    *,
    sun_azimuth_deg: float,
    sun_elevation_deg: float,
    z_factor: float = 1.0,
    method: Gradient = "horn",
    out: Float32 | None = None,
    rows: Rows | None = None,
) -> Float32:
    """Share of the sun's light the ground receives.

    Parameters
    ----------
    dem, dx_m, dy_m, method, out, rows
        As in :func:`slope_deg`.
    sun_azimuth_deg, sun_elevation_deg : float
        Clockwise from north of the grid; above the horizon.
    z_factor : float
        Exaggeration of the heights.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Cosine of the angle of incidence, 0 to 1; 0 = turned away from the sun. Shadows cast by
        other ground are not in it. NaN on the outermost ring and beside unknown cells.

    Notes
    -----
    Horn (1981), doi:10.1109/PROC.1981.11918, Lambert's reflectance. gdaldem stores 1 + 254 times
    this.
    """
    sun = _towards_sun(sun_azimuth_deg, sun_elevation_deg, z_factor)
    return _fill("hillshade", dem, (dx_m, dy_m), method, sun, out, rows)


def slope_aspect_hillshade(
    dem: NDArray[np.floating],
    dx_m: Metres,
    dy_m: Metres,
    *,
    sun_azimuth_deg: float,
    sun_elevation_deg: float,
    z_factor: float = 1.0,
    method: Gradient = "horn",
    out: Float32 | None = None,
    rows: Rows | None = None,
) -> Float32:
    """Slope, aspect and hillshade in one pass over the ground.

    Parameters as in :func:`hillshade`, ``out`` of shape (3, y, x).

    Returns
    -------
    ndarray of float32, shape (3, y, x)
        The same numbers as of the three functions.
    """
    sun = _towards_sun(sun_azimuth_deg, sun_elevation_deg, z_factor)
    return _fill("three", dem, (dx_m, dy_m), method, sun, out, rows)


def _towards_sun(azimuth_deg: float, elevation_deg: float, z_factor: float) -> Float32:
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    flat = z_factor * math.cos(elevation)
    east, north, up = flat * math.sin(azimuth), flat * math.cos(azimuth), math.sin(elevation)
    return np.array([east, north, up, z_factor**2], dtype=np.float32)


def _fill(
    surface: str,
    dem: NDArray[np.floating],
    spacing: tuple[Metres, Metres],
    method: Gradient,
    sun: Float32,
    out: Float32 | None,
    rows: Rows | None,
) -> Float32:
    kernel, height = surface_kernel(surface, method), len(dem)
    layers = (3,) if surface == "three" else ()
    filled = room_for(dem, out, layers)
    per_dx, per_dy = (per_row(s, height, 1.0 / STEPS[method], np.float32) for s in spacing)
    flats, steps = zip(*map(flat_rows, filled if layers else [filled]), strict=True)
    line, step = flat_rows(dem)
    kernel(line, step, dem.shape, per_dx, per_dy, sun, flats, steps, *(rows or (0, height)))
    return filled
