"""Relief of the synthetic township: a plain, a river valley, hills with terraces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from rs_monitor.synthetic.noise import smooth_field

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

VERTICAL_DATUM = "EPSG:5737"
_PLAIN_M = 14.0
_TERRACE_STEP_M = 2.5


@dataclass(frozen=True)
class HillLine:
    """Where the synthetic hills begin: everything west of a wavy north-south line.

    Attributes
    ----------
    top_m, size_m : float
        Northing of the upper edge and side of the township.
    base_m : float
        Mean easting of the line.
    foot_m : float
        Width of the gentle foot of the hills.
    waves : ndarray, shape (n, 3)
        Amplitude (m), cycles per side and phase of each wave.
    """

    top_m: float
    size_m: float
    base_m: float
    foot_m: float
    waves: Doubles

    def easting(self, northing: Doubles) -> Doubles:
        """Return the easting (m) of the line at the given northings (m)."""
        along = (self.top_m - northing) / self.size_m
        line = np.full_like(along, self.base_m)
        for amplitude, cycles, phase in self.waves:
            line = line + amplitude * np.sin(2 * np.pi * (cycles * along + phase))
        return np.asarray(line)


def draw_hill_line(
    rng: np.random.Generator, left_m: float, top_m: float, size_m: float
) -> HillLine:
    """Draw the foot line of the synthetic hills.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the waves.
    left_m, top_m, size_m : float
        Upper left corner and side of the township in metres.

    Returns
    -------
    HillLine
        The line.
    """
    waves = np.column_stack(
        [size_m * np.array([0.035, 0.015]), [1.0, 2.5], rng.uniform(0.0, 1.0, size=2)]
    )
    base = left_m + size_m * rng.uniform(0.36, 0.40)
    return HillLine(top_m, size_m, base, min(340.0, 0.15 * size_m), waves)


def bare_relief(rng: np.random.Generator, geobox: GeoBox, hills: HillLine) -> Doubles:
    """Return the synthetic relief before terraces are cut.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of ridges and gullies.
    geobox : GeoBox
        Metric grid.
    hills : HillLine
        Where the hills begin.

    Returns
    -------
    ndarray, shape (y, x), float64
        Height in metres.
    """
    shape = (geobox.shape[0], geobox.shape[1])
    x, y = _centres(geobox)
    depth = hills.easting(y)[:, None] - x[None, :]
    foot = np.clip(depth, 0.0, hills.foot_m)
    upper = np.clip(depth - hills.foot_m, 0.0, None)
    cell = abs(geobox.resolution.x)
    ridges = smooth_field(rng, shape, 260.0 / cell) + 0.4 * smooth_field(rng, shape, 110.0 / cell)
    rise = 0.085 * foot + 260.0 * (1.0 - np.exp(-0.34 * upper / 260.0))
    height = (
        _PLAIN_M + rise * (1.0 + 0.10 * np.tanh(ridges)) + 0.045 * ridges * np.minimum(upper, 300)
    )
    plain = 0.0006 * (x[None, :] - x[0]) + 0.25 * smooth_field(rng, shape, 300.0 / cell)
    return np.asarray(height + plain, dtype=np.float64)


def cut_terraces(relief: Doubles, terraced: npt.NDArray[np.bool_]) -> Doubles:
    """Return the relief with flat treads and short risers where fields are terraced.

    Parameters
    ----------
    relief : ndarray, shape (y, x), float64
        Height in metres.
    terraced : ndarray, shape (y, x), bool
        Terraced fields.

    Returns
    -------
    ndarray, shape (y, x), float64
        Height in metres.
    """
    step = relief / _TERRACE_STEP_M
    riser = np.clip((step - np.floor(step) - 0.6) / 0.4, 0.0, 1.0)
    stepped = (np.floor(step) + riser) * _TERRACE_STEP_M
    return np.asarray(np.where(terraced, stepped, relief))


def gradient(height: npt.NDArray[np.floating], cell_m: float) -> tuple[Doubles, Doubles]:
    """Return Horn's gradient, eastward and southward, edges repeated.

    Parameters
    ----------
    height : ndarray, shape (y, x)
        Height in metres.
    cell_m : float
        Cell size in metres.

    Returns
    -------
    tuple of ndarray, shape (y, x), float64
        dz/dx and dz/dy (rows downward), metres per metre.
    """
    p = np.pad(np.asarray(height, dtype=np.float64), 1, mode="edge")
    west = p[:-2, :-2] + 2 * p[1:-1, :-2] + p[2:, :-2]
    east = p[:-2, 2:] + 2 * p[1:-1, 2:] + p[2:, 2:]
    north = p[:-2, :-2] + 2 * p[:-2, 1:-1] + p[:-2, 2:]
    south = p[2:, :-2] + 2 * p[2:, 1:-1] + p[2:, 2:]
    return (east - west) / (8 * cell_m), (south - north) / (8 * cell_m)


def slope_deg(height: npt.NDArray[np.floating], cell_m: float) -> Floats:
    """Return the slope after Horn in degrees.

    Parameters
    ----------
    height : ndarray, shape (y, x)
        Height in metres.
    cell_m : float
        Cell size in metres.

    Returns
    -------
    ndarray, shape (y, x), float32
        Slope, 0-90.
    """
    dx, dy = gradient(height, cell_m)
    return np.degrees(np.arctan(np.hypot(dx, dy))).astype(np.float32)


def illumination(
    height: npt.NDArray[np.floating], cell_m: float, zenith_deg: float, azimuth_deg: float
) -> Floats:
    """Return cos(incidence) over cos(zenith) of direct sunlight.

    Parameters
    ----------
    height : ndarray, shape (y, x)
        Height in metres.
    cell_m : float
        Cell size in metres.
    zenith_deg, azimuth_deg : float
        Where the sun stands; azimuth clockwise from north.

    Returns
    -------
    ndarray, shape (y, x), float32
        1 on flat ground, 0 in own shade.
    """
    dx, dy = gradient(height, cell_m)
    zenith, azimuth = np.radians(zenith_deg), np.radians(azimuth_deg)
    east, north, up = (
        np.sin(zenith) * np.sin(azimuth),
        np.sin(zenith) * np.cos(azimuth),
        np.cos(zenith),
    )
    facing = (up - east * dx + north * dy) / np.sqrt(1.0 + dx**2 + dy**2)
    return np.asarray(np.clip(facing, 0.0, None) / up, dtype=np.float32)


def _centres(geobox: GeoBox) -> tuple[Doubles, Doubles]:
    """Easting of the columns and northing of the rows."""
    affine = geobox.affine
    rows, columns = geobox.shape[0], geobox.shape[1]
    return (
        affine.c + affine.a * (np.arange(columns) + 0.5),
        affine.f + affine.e * (np.arange(rows) + 0.5),
    )
