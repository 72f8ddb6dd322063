"""Slope of an elevation grid."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

SLOPE_DEPTH_PX = 1
"""Neighbours a slope looks at on each side."""


@njit(nogil=True)
def _horn_gradient(dem, dx, dy, east_rise, north_rise):  # type: ignore[no-untyped-def]
    height, width = dem.shape
    for y in range(1, height - 1):
        north, row, south = dem[y - 1], dem[y], dem[y + 1]
        p, q = east_rise[y], north_rise[y]
        for x in range(1, width - 1):
            east = north[x + 1] + 2.0 * row[x + 1] + south[x + 1]
            west = north[x - 1] + 2.0 * row[x - 1] + south[x - 1]
            up = north[x - 1] + 2.0 * north[x] + north[x + 1]
            down = south[x - 1] + 2.0 * south[x] + south[x + 1]
            unknown = 0.0 * row[x]
            p[x] = (east - west) / (8.0 * dx) + unknown
            q[x] = (up - down) / (8.0 * dy) + unknown


def gradient_horn(
    dem: NDArray[np.floating], dx_m: float, dy_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rise towards the east and towards the north (row 0), metres per metre, after Horn.

    Parameters and unknown cells as in :func:`slope_horn_deg`.
    """
    east_rise, north_rise = np.full((2, *dem.shape), np.nan, dtype=np.float64)
    if min(dem.shape) >= 3:
        _horn_gradient(dem, dx_m, dy_m, east_rise, north_rise)
    return east_rise, north_rise


def slope_horn_deg(dem: NDArray[np.floating], dx_m: float, dy_m: float) -> NDArray[np.float32]:
    """Slope after Horn.

    Parameters
    ----------
    dem : ndarray of float, shape (y, x)
        Elevation, metres; NaN = unknown.
    dx_m, dy_m : float
        Pixel edges, metres, positive.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Degrees from horizontal; NaN on the outermost ring and wherever one of the nine cells
        is unknown: unknown ground never becomes flat.

    Notes
    -----
    Horn (1981), doi:10.1109/PROC.1981.11918: third-order finite differences weighted 1-2-1.
    ``tests/kernels/test_terrain.py`` checks planes of known slope.
    """
    p, q = gradient_horn(dem, dx_m, dy_m)
    return np.degrees(np.arctan(np.sqrt(p * p + q * q))).astype(np.float32)
