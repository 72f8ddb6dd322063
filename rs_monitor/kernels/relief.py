"""Curvature, ruggedness, roughness, position and relief of an elevation grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.errors import ConfigError
from rs_monitor.kernels.rows import Float32, Metres, flat_rows, per_row, room_for

Curvature = Literal["profile", "plan"]
Ruggedness = Literal["riley", "wilson"]

NEIGHBOUR_DEPTH_PX = 1
"""Neighbours all of these look at on each side, :func:`local_relief` apart."""

_ZERO, _ONE, _TWO = np.array([0, 1, 2], dtype=np.float32)
_EIGHTH, _QUARTER, _HALF = np.array([1 / 8, 1 / 4, 1 / 2], dtype=np.float32)
_NAN = np.float32(np.nan)


def _neighbourhood(cell: Any) -> Callable[..., Any]:
    """Kernel that hands a cell its eight neighbours as differences to it, north-west first.

    An unknown cell makes all eight differences unknown.
    """

    @njit(nogil=True, error_model="numpy")
    def kernel(dem, step, shape, per_dx, per_dy, out, out_step):  # type: ignore[no-untyped-def]
        height, width = shape
        for y in range(height):
            line = out[y * out_step : y * out_step + width]
            if y == 0 or y == height - 1 or width < 3:
                line[:] = _NAN
                continue
            start = y * step
            row, south = dem[start : start + width], dem[start + step :]
            north = dem[start - step : start - step + width]
            inner = line[1:-1]
            kx, ky = per_dx[y], per_dy[y]
            for x in range(width - 2):
                here = row[x + 1]
                nw, n, ne = north[x] - here, north[x + 1] - here, north[x + 2] - here
                w, e = row[x] - here, row[x + 2] - here
                sw, s, se = south[x] - here, south[x + 1] - here, south[x + 2] - here
                f = np.float32
                inner[x] = cell(f(nw), f(n), f(ne), f(w), f(e), f(sw), f(s), f(se), kx, ky)
            line[0] = line[width - 1] = _NAN

    return kernel


@njit
def _riley(nw, n, ne, w, e, sw, s, se, _kx, _ky):  # type: ignore[no-untyped-def]
    squares = (nw * nw + n * n) + (ne * ne + w * w) + (e * e + sw * sw) + (s * s + se * se)
    return np.sqrt(squares)


@njit
def _wilson(nw, n, ne, w, e, sw, s, se, _kx, _ky):  # type: ignore[no-untyped-def]
    north, south = (abs(nw) + abs(n)) + (abs(ne) + abs(w)), (abs(e) + abs(sw)) + (abs(s) + abs(se))
    return _EIGHTH * (north + south)


@njit
def _position(nw, n, ne, w, e, sw, s, se, _kx, _ky):  # type: ignore[no-untyped-def]
    return -_EIGHTH * (((nw + n) + (ne + w)) + ((e + sw) + (s + se)))


@njit
def _higher(a, b):  # type: ignore[no-untyped-def]
    return a if a > b else b


@njit
def _lower(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@njit
def _roughness(nw, n, ne, w, e, sw, s, se, _kx, _ky):  # type: ignore[no-untyped-def]
    top, low = _higher(nw, n), _lower(nw, n)
    top, low = _higher(top, ne), _lower(low, ne)
    top, low = _higher(top, w), _lower(low, w)
    top, low = _higher(top, e), _lower(low, e)
    top, low = _higher(top, sw), _lower(low, sw)
    top, low = _higher(top, s), _lower(low, s)
    top, low = _higher(_higher(top, se), _ZERO), _lower(_lower(low, se), _ZERO)
    # comparisons lose unknowns; a sum keeps them
    return (top - low) + _ZERO * (((nw + n) + (ne + w)) + ((e + sw) + (s + se)))


@njit
def _second_order(nw, n, ne, w, e, sw, s, se, kx, ky):  # type: ignore[no-untyped-def]
    """Derivatives p, q, r, s, t of the quartic surface at its centre."""
    p, q = (e - w) * _HALF * kx, (n - s) * _HALF * ky
    r, t = (e + w) * (kx * kx), (n + s) * (ky * ky)
    both = ((ne - nw) - (se - sw)) * _QUARTER * (kx * ky)
    return p, q, r, both, t


@njit
def _profile(nw, n, ne, w, e, sw, s, se, kx, ky):  # type: ignore[no-untyped-def]
    p, q, r, both, t = _second_order(nw, n, ne, w, e, sw, s, se, kx, ky)
    pp_qq = p * p + q * q
    tilt = _ONE + pp_qq
    return -(p * p * r + _TWO * p * q * both + q * q * t) / (pp_qq * tilt * np.sqrt(tilt))


@njit
def _plan(nw, n, ne, w, e, sw, s, se, kx, ky):  # type: ignore[no-untyped-def]
    p, q, r, both, t = _second_order(nw, n, ne, w, e, sw, s, se, kx, ky)
    pp_qq = p * p + q * q
    return -(q * q * r - _TWO * p * q * both + p * p * t) / (pp_qq * np.sqrt(pp_qq))


@lru_cache
def _kernel(name: str) -> Callable[..., Any]:
    cells = {"riley": _riley, "wilson": _wilson, "position": _position, "roughness": _roughness}
    cells |= {"profile": _profile, "plan": _plan}
    return _neighbourhood(cells[name])


def _named(kind: str, known: tuple[str, ...], what: str) -> str:
    if kind not in known:
        raise ConfigError(what, [f"{kind!r}; one of {sorted(known)} is needed"])
    return kind


def _fill(
    name: str, dem: NDArray[Any], out: Float32 | None, dx_m: Metres = 1.0, dy_m: Metres = 1.0
) -> Float32:
    filled = room_for(dem, out)
    per_dx, per_dy = (per_row(spacing, len(dem), 1.0, np.float32) for spacing in (dx_m, dy_m))
    line, step = flat_rows(dem)
    _kernel(name)(line, step, dem.shape, per_dx, per_dy, *flat_rows(filled))
    return filled


def curvature_per_m(
    dem: NDArray[np.floating],
    dx_m: Metres,
    dy_m: Metres,
    *,
    kind: Curvature,
    out: Float32 | None = None,
) -> Float32:
    """Curvature of the ground.

    Parameters
    ----------
    dem : ndarray of float, shape (y, x)
        Elevation, metres; row 0 in the north; NaN = unknown.
    dx_m, dy_m : float or ndarray of float, shape (y,)
        Pixel edges, metres, positive: one for all rows, or one per row.
    kind : {'profile', 'plan'}
        Along the line of steepest fall, positive where the slope steepens downhill (convex); or of
        the contour line, positive where the ground spreads the flow (ridge).
    out : ndarray of float32, shape (y, x), optional
        Takes the result.

    Returns
    -------
    ndarray of float32, shape (y, x)
        1 / m. NaN where the ground is level (neither line is defined), on the outermost ring and
        beside unknown cells.

    Raises
    ------
    ConfigError
        For another kind.

    Notes
    -----
    Derivatives of the surface of Zevenbergen & Thorne (1987), doi:10.1002/esp.3290120107. The
    values are curvatures of lines on that surface, as SAGA has them:
    ``-(p²r + 2pqs + q²t) / ((p² + q²)(1 + p² + q²)^1.5)`` and
    ``-(q²r - 2pqs + p²t) / (p² + q²)^1.5``. The paper's own profile leaves the power of
    ``1 + p² + q²`` out, and its plan divides by ``p² + q²`` only; both are second derivatives, not
    curvatures. ``tests/peers/test_saga.py`` compares all cells of a real DEM.
    """
    return _fill(_named(kind, ("profile", "plan"), "curvature"), dem, out, dx_m, dy_m)


def terrain_ruggedness_m(
    dem: NDArray[np.floating], *, method: Ruggedness, out: Float32 | None = None
) -> Float32:
    """Terrain ruggedness index.

    Parameters
    ----------
    dem, out
        As in :func:`curvature_per_m`.
    method : {'riley', 'wilson'}
        Root of the sum, or mean of the absolute values, of the differences to eight neighbours.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Metres; NaN on the outermost ring and beside unknown cells.

    Notes
    -----
    Riley, DeGloria & Elliot (1999), Intermountain Journal of Sciences 5, 23-27; Wilson et al.
    (2007), doi:10.1080/01490410701295962.
    """
    return _fill(_named(method, ("riley", "wilson"), "ruggedness"), dem, out)


def roughness_m(dem: NDArray[np.floating], *, out: Float32 | None = None) -> Float32:
    """Largest less smallest height among a cell and its neighbours, metres.

    Parameters and unknown cells as in :func:`terrain_ruggedness_m`; Wilson et al. (2007),
    doi:10.1080/01490410701295962.
    """
    return _fill("roughness", dem, out)


def topographic_position_m(dem: NDArray[np.floating], *, out: Float32 | None = None) -> Float32:
    """Height of a cell above the mean of its eight neighbours, metres.

    Parameters and unknown cells as in :func:`terrain_ruggedness_m`; Weiss (2001) with the smallest
    window, as Wilson et al. (2007), doi:10.1080/01490410701295962.
    """
    return _fill("position", dem, out)


@njit(nogil=True)
def _relief(dem, halves, out):  # type: ignore[no-untyped-def]
    height, width = dem.shape
    radius = len(halves) // 2
    inner = width - 2 * radius
    top, low = np.empty(inner, dem.dtype), np.empty(inner, dem.dtype)
    lost = np.empty(inner, dem.dtype)
    for y in range(radius, height - radius):
        top[:] = low[:] = dem[y, radius : radius + inner]
        lost[:] = 0.0
        for k in range(len(halves)):
            row = dem[y + k - radius]
            for shift in range(radius - halves[k], radius + halves[k] + 1):
                near = row[shift : shift + inner]
                for x in range(inner):
                    z = near[x]
                    top[x] = z if z > top[x] else top[x]
                    low[x] = z if z < low[x] else low[x]
                    # comparisons lose unknowns; a sum keeps them
                    lost[x] += z - z
        line = out[y]
        for x in range(inner):
            line[radius + x] = top[x] - low[x] + lost[x]


def local_relief_m(dem: NDArray[np.floating], *, radius_px: int) -> Float32:
    """Largest less smallest height within a distance.

    Parameters
    ----------
    dem : ndarray of float, shape (y, x)
        Elevation, metres; NaN = unknown.
    radius_px : int
        Cells whose centres lie no farther count; at least 1.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Metres; NaN where the circle leaves the grid or holds an unknown cell.

    Raises
    ------
    ConfigError
        For a radius below one pixel.
    """
    if radius_px < 1:
        raise ConfigError("relief", [f"radius {radius_px} px; at least 1 is needed"])
    across = range(-radius_px, radius_px + 1)
    halves = np.array([math.isqrt(radius_px**2 - row**2) for row in across], dtype=np.int64)
    out = np.full(dem.shape, np.nan, dtype=np.float32)
    if min(dem.shape) > 2 * radius_px:
        _relief(np.ascontiguousarray(dem), halves, out)
    return out
