"""Kernels of slope, aspect and hillshade.

One formula per gradient; the surfaces are float32 and free of libm, so that loops over a row become
vector code. No fast-math flag is set: a pixel has the same bits wherever a block begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numba import njit

from rs_monitor.errors import ConfigError

Gradient = Literal["horn", "zevenbergen_thorne"]

STEPS: dict[Gradient, float] = {"horn": 8.0, "zevenbergen_thorne": 2.0}
"""Pixel edges a sum of differences spans."""

_DEGREES = np.float32(180.0 / math.pi)
_ZERO, _ONE, _QUARTER, _HALF, _FULL = np.array([0, 1, 90, 180, 360], dtype=np.float32)
_NAN = np.float32(np.nan)

# Abramowitz & Stegun (1964), 4.4.49: |error| <= 2e-8 on [0, 1]
_A2, _A4, _A6, _A8, _A10, _A12, _A14, _A16 = np.array(
    [
        *(-0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393),
        *(-0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257),
    ],
    dtype=np.float32,
)


def rises_of(method: Gradient, real: type[np.floating]) -> Callable[..., Any]:
    """Sums of differences towards the east and towards the north (row 0) around a cell.

    Neighbours are subtracted before anything is added: elevation itself costs no digits. An
    unknown or infinite height among the nine makes both NaN.
    """
    zero = real(0.0)

    @njit
    def horn(north, row, south, x):  # type: ignore[no-untyped-def]
        across = real(row[x + 2] - row[x])
        along = real(north[x + 1] - south[x + 1])
        north_east, south_west = real(north[x + 2] - south[x]), real(north[x] - south[x + 2])
        east = (north_east - south_west) + (across + across)
        up = (north_east + south_west) + (along + along)
        unknown = zero * (real(row[x + 1]) + (east + up))
        return east + unknown, up + unknown

    @njit
    def zevenbergen_thorne(north, row, south, x):  # type: ignore[no-untyped-def]
        corners = (north[x] + north[x + 2]) + (south[x] + south[x + 2])
        east, up = real(row[x + 2] - row[x]), real(north[x + 1] - south[x + 1])
        unknown = zero * (real(corners + row[x + 1]) + (east + up))
        return east + unknown, up + unknown

    return horn if method == "horn" else zevenbergen_thorne  # type: ignore[no-any-return]


@njit(fastmath={"contract"})
def _atan_deg(t, u):  # type: ignore[no-untyped-def]
    """Arctangent of t from 0 to 1 with square u, degrees.

    Every sum here holds one product: fusing them leaves the compiler no choice of rounding.
    """
    high = _A8 + u * (_A10 + u * (_A12 + u * (_A14 + u * _A16)))
    return _DEGREES * t * (_ONE + u * (_A2 + u * (_A4 + u * (_A6 + u * high))))


@njit
def _gentle_deg(square):  # type: ignore[no-untyped-def]
    """Arctangent of the root of 0 to 1, degrees."""
    return _atan_deg(np.sqrt(square), square)


@njit
def _steepness_deg(square):  # type: ignore[no-untyped-def]
    """Arctangent of the root of 0 to infinity, degrees."""
    steep = square > _ONE
    u = (_ONE if steep else square) / (square if steep else _ONE)
    angle = _gentle_deg(u)
    return _QUARTER - angle if steep else angle


@njit
def _downslope_deg(east_rise, north_rise):  # type: ignore[no-untyped-def]
    """Azimuth the ground falls towards, 0 <= degrees < 360; NaN on level ground (0 / 0)."""
    east, north = abs(east_rise), abs(north_rise)
    wide = east > north
    share = (north if wide else east) / (east if wide else north)
    angle = _atan_deg(share, share * share)
    angle = _QUARTER - angle if wide else angle
    angle = _HALF - angle if north_rise > _ZERO else angle
    angle = _FULL - angle if east_rise > _ZERO else angle
    return angle - _FULL if angle >= _FULL else angle


@njit
def _lit(p, q, pp_qq, sun):  # type: ignore[no-untyped-def]
    """Cosine of the sun's incidence, 0 in its own shadow; the sun's east and north hold z."""
    light = (sun[2] - (p * sun[0] + q * sun[1])) / np.sqrt(_ONE + sun[3] * pp_qq)
    return _ZERO if light < _ZERO else light


@njit
def _aspect_cell(p, q, _sun):  # type: ignore[no-untyped-def]
    return _downslope_deg(p, q)


@njit
def _hillshade_cell(p, q, sun):  # type: ignore[no-untyped-def]
    return _lit(p, q, p * p + q * q, sun)


def _surface(rises: Any, cell: Any) -> Callable[..., Any]:
    """Kernel of one surface over rows ``first`` to ``last`` of a grid."""

    @njit(nogil=True, error_model="numpy")
    def kernel(dem, step, shape, per_dx, per_dy, sun, outs, steps, first, last):  # type: ignore
        height, width = shape
        for y in range(first, last):
            line = outs[0][y * steps[0] : y * steps[0] + width]
            if y == 0 or y == height - 1 or width < 3:
                line[:] = _NAN
                continue
            start = y * step
            row, inner = dem[start : start + width], line[1:-1]
            north, south = dem[start - step : start - step + width], dem[start + step :]
            kx, ky = per_dx[y], per_dy[y]
            for x in range(width - 2):
                east, up = rises(north, row, south, x)
                inner[x] = cell(east * kx, up * ky, sun)
            line[0] = line[width - 1] = _NAN

    return kernel


def _slope_surface(rises: Any) -> Callable[..., Any]:
    """Kernel of slope: a row without slopes above 45 degrees is spared the division."""

    @njit(nogil=True, error_model="numpy")
    def kernel(dem, step, shape, per_dx, per_dy, _sun, outs, steps, first, last):  # type: ignore
        height, width = shape
        for y in range(first, last):
            line = outs[0][y * steps[0] : y * steps[0] + width]
            if y == 0 or y == height - 1 or width < 3:
                line[:] = _NAN
                continue
            start = y * step
            row, inner = dem[start : start + width], line[1:-1]
            north, south = dem[start - step : start - step + width], dem[start + step :]
            kx, ky = per_dx[y], per_dy[y]
            steep = False
            for x in range(width - 2):
                east, up = rises(north, row, south, x)
                p, q = east * kx, up * ky
                square = p * p + q * q
                inner[x] = square
                steep |= square > _ONE
            if steep:
                for x in range(width - 2):
                    inner[x] = _steepness_deg(inner[x])
            else:
                for x in range(width - 2):
                    inner[x] = _gentle_deg(inner[x])
            line[0] = line[width - 1] = _NAN

    return kernel


def _three_surfaces(rises: Any) -> Callable[..., Any]:
    """Kernel of slope, aspect and hillshade in one pass."""

    @njit(nogil=True, error_model="numpy")
    def kernel(dem, step, shape, per_dx, per_dy, sun, outs, steps, first, last):  # type: ignore
        height, width = shape
        for y in range(first, last):
            slope = outs[0][y * steps[0] : y * steps[0] + width]
            aspect = outs[1][y * steps[1] : y * steps[1] + width]
            shade = outs[2][y * steps[2] : y * steps[2] + width]
            if y == 0 or y == height - 1 or width < 3:
                slope[:] = aspect[:] = shade[:] = _NAN
                continue
            start = y * step
            row, south = dem[start : start + width], dem[start + step :]
            north = dem[start - step : start - step + width]
            kx, ky = per_dx[y], per_dy[y]
            steep, facing, lit = slope[1:-1], aspect[1:-1], shade[1:-1]
            for x in range(width - 2):
                east, up = rises(north, row, south, x)
                p, q = east * kx, up * ky
                pp_qq = p * p + q * q
                steep[x] = _steepness_deg(pp_qq)
                facing[x] = _downslope_deg(p, q)
                lit[x] = _lit(p, q, pp_qq, sun)
            slope[0] = slope[width - 1] = aspect[0] = _NAN
            aspect[width - 1] = shade[0] = shade[width - 1] = _NAN

    return kernel


@lru_cache
def surface_kernel(surface: str, method: Gradient) -> Callable[..., Any]:
    """Kernel of slope, aspect, hillshade or all three; compiled at its first call."""
    if method not in STEPS:
        raise ConfigError("gradient", [f"{method!r}; one of {sorted(STEPS)} is needed"])
    rises = rises_of(method, np.float32)
    if surface in {"slope", "three"}:
        return _slope_surface(rises) if surface == "slope" else _three_surfaces(rises)
    return _surface(rises, _aspect_cell if surface == "aspect" else _hillshade_cell)


def _gradient(rises: Any) -> Callable[..., Any]:
    @njit(nogil=True)
    def kernel(dem, per_dx, per_dy, east_rise, north_rise):  # type: ignore[no-untyped-def]
        height, width = dem.shape
        for y in range(1, height - 1):
            north, row, south = dem[y - 1], dem[y], dem[y + 1]
            p, q = east_rise[y], north_rise[y]
            for x in range(width - 2):
                east, up = rises(north, row, south, x)
                p[x + 1], q[x + 1] = east * per_dx[y], up * per_dy[y]

    return kernel


gradient_horn_kernel = _gradient(rises_of("horn", np.float64))
