"""Shadow of the relief: ground the sun does not reach."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def _height(dem, row, col):  # type: ignore[no-untyped-def]
    """Height between two cells; at least one of the coordinates is whole."""
    top, left = math.floor(row), math.floor(col)
    down, right = row - top, col - left
    here = dem[top, left]
    if down > 0.0:
        return here + down * (dem[top + 1, left] - here)
    if right > 0.0:
        return here + right * (dem[top, left + 1] - here)
    return here


@njit(nogil=True)
def _march(dem, step_row, step_col, climb, steps, top, out):  # type: ignore[no-untyped-def]
    height, width = dem.shape
    for y in range(height):
        for x in range(width):
            for k in range(1, steps + 1):
                row, col = y + k * step_row, x + k * step_col
                ray = dem[y, x] + k * climb
                # not (<=), so that a cell of unknown height ends its ray
                if row < 0 or col < 0 or row > height - 1 or col > width - 1 or not ray <= top:
                    break
                if _height(dem, row, col) > ray:
                    out[y, x] = True
                    break


def relief_shadow(
    dem: NDArray[np.floating],
    dx_m: float,
    dy_m: float,
    sun_azimuth_deg: float,
    sun_elevation_deg: float,
    reach_m: float,
) -> NDArray[np.bool_]:
    """Find the cells that the relief keeps out of the sun.

    Parameters
    ----------
    dem : ndarray of float, shape (y, x)
        Elevation, metres, north up; NaN = unknown, which shades nothing.
    dx_m, dy_m : float
        Pixel edges, metres, positive.
    sun_azimuth_deg : float
        Where the sun stands, clockwise from grid north.
    sun_elevation_deg : float
        Above the horizon, more than 0 and at most 90.
    reach_m : float
        How far towards the sun the relief is followed.

    Returns
    -------
    ndarray of bool, shape (y, x)
        True = in cast or self shadow; ground beyond the rim of the array shades nothing.

    Notes
    -----
    Ray march: from each cell towards the sun in steps of one row or one column, whichever is
    reached first, heights interpolated between the two cells beside the ray; a cell is shaded
    where the relief rises above the ray (the horizon test of Dozier, Bruno, Downey 1981,
    doi:10.1016/0098-3004(81)90026-2, for one direction). A slope that faces away from the sun
    more steeply than the ray falls is shaded by its own upper neighbour. Curvature of the Earth
    (2 m over 5 km) is left out. ``tests/kernels/test_shadow.py`` counts cells by hand.
    """
    azimuth = math.radians(sun_azimuth_deg)
    east, north = math.sin(azimuth) / dx_m, math.cos(azimuth) / dy_m
    stride_m = 1.0 / max(abs(east), abs(north))
    # rounded, so that a ray along a row stays on it and one that touches a crest passes
    step_row, step_col = round(-north * stride_m, 12), round(east * stride_m, 12)
    heights = np.ascontiguousarray(dem, dtype=np.float64)
    shaded = np.zeros(dem.shape, dtype=np.bool_)
    known = np.isfinite(heights)
    if known.any():
        climb = round(stride_m * math.tan(math.radians(sun_elevation_deg)), 9)
        steps = int(reach_m / stride_m + 1e-9)
        _march(heights, step_row, step_col, climb, steps, heights[known].max(), shaded)
    return shaded
