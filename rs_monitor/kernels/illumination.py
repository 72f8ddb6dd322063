"""Light on slopes: incidence of the sun, its linear fit to a band, C and SCS+C corrections."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_monitor.kernels.terrain import gradient_horn

Float32 = NDArray[np.float32]


def cos_zenith(sun_elevation_deg: float) -> float:
    """Cosine of the angle between the sun and the vertical, as level ground sees it (float32)."""
    return float(np.float32(math.sin(math.radians(sun_elevation_deg))))


def cos_slope_horn(dem: NDArray[np.floating], dx_m: float, dy_m: float) -> Float32:
    """Cosine of the slope; NaN where the slope is unknown.

    Parameters as in :func:`rs_monitor.kernels.terrain.slope_horn_deg`.
    """
    p, q = gradient_horn(dem, dx_m, dy_m)
    return (1.0 / np.sqrt(1.0 + p * p + q * q)).astype(np.float32)


def cos_incidence_horn(
    dem: NDArray[np.floating],
    dx_m: float,
    dy_m: float,
    sun_azimuth_deg: float,
    sun_elevation_deg: float,
) -> Float32:
    """Cosine of the angle between the sun and the normal of the ground.

    Parameters
    ----------
    dem : ndarray of float, shape (y, x)
        Elevation, metres; row 0 in the north; NaN = unknown.
    dx_m, dy_m : float
        Pixel edges, metres, positive.
    sun_azimuth_deg : float
        Clockwise from north of the grid.
    sun_elevation_deg : float
        Above the horizon.

    Returns
    -------
    ndarray of float32, shape (y, x)
        -1 to 1; at or below 0 the slope turns away from the sun. NaN where the slope is unknown.

    Notes
    -----
    ``cos i = cos s cos z + sin s sin z cos(a - o)`` with slope s, zenith z, azimuth a and aspect o
    (Teillet, Guindon & Goodenough 1982, doi:10.1080/07038992.1982.10855028), written as the scalar
    product of the ground's normal and the sun's direction, which needs no aspect.
    ``tests/kernels/test_illumination.py`` compares both forms.
    """
    p, q = gradient_horn(dem, dx_m, dy_m)
    azimuth, elevation = math.radians(sun_azimuth_deg), math.radians(sun_elevation_deg)
    east = math.cos(elevation) * math.sin(azimuth)
    north = math.cos(elevation) * math.cos(azimuth)
    up = math.sin(elevation)
    return ((up - p * east - q * north) / np.sqrt(1.0 + p * p + q * q)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class LightSums:
    """Sums of a linear fit of reflectance (y) to cos i (x); blocks add up.

    Attributes
    ----------
    count, x, y, xx, xy, yy : float
        Of the pixels used, float64.
    """

    count: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def __add__(self, other: LightSums) -> LightSums:
        return LightSums(
            self.count + other.count,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
        )


@dataclass(frozen=True, slots=True)
class LightLine:
    """A fitted line ``reflectance = intercept + slope * cos i``.

    Attributes
    ----------
    slope, intercept, correlation : float
        NaN if the pixels do not define a line.
    """

    slope: float
    intercept: float
    correlation: float

    @property
    def c(self) -> float:
        """The constant of C and SCS+C: intercept over slope."""
        return self.intercept / self.slope if self.slope else float("nan")


def light_sums(
    values: NDArray[np.floating], cos_i: NDArray[np.floating], usable: NDArray[np.bool_]
) -> LightSums:
    """Sum what the fit needs over usable, sunlit pixels.

    Parameters
    ----------
    values : ndarray of float, shape (y, x)
        Reflectance of one band and date.
    cos_i : ndarray of float, shape (y, x)
        From :func:`cos_incidence_horn`; pixels at or below 0 do not count.
    usable : ndarray of bool, shape (y, x)
        Clear pixels on slopes.
    """
    with np.errstate(invalid="ignore"):
        use = usable & np.isfinite(values) & (cos_i > 0)
    x, y = cos_i[use].astype(np.float64), values[use].astype(np.float64)
    return LightSums(
        float(use.sum()),
        float(x.sum()),
        float(y.sum()),
        float((x * x).sum()),
        float((x * y).sum()),
        float((y * y).sum()),
    )


def light_line(sums: LightSums) -> LightLine:
    """Fit the least-squares line of summed pixels."""
    if sums.count < 2:
        return LightLine(math.nan, math.nan, math.nan)
    across = sums.xx - sums.x * sums.x / sums.count
    both = sums.xy - sums.x * sums.y / sums.count
    along = sums.yy - sums.y * sums.y / sums.count
    # what rounding leaves of equal values is no spread
    if across <= 1e-12 * sums.xx or along <= 1e-12 * sums.yy:
        return LightLine(math.nan, math.nan, math.nan)
    slope = both / across
    intercept = (sums.y - slope * sums.x) / sums.count
    return LightLine(slope, intercept, both / math.sqrt(across * along))


def correct_c(
    values: Float32, cos_i: Float32, *, cos_z: float, c: float, min_cos_i: float
) -> Float32:
    """C-correction: ``L (cos z + c) / (cos i + c)``.

    Parameters
    ----------
    values : ndarray of float32, shape (y, x)
        Reflectance.
    cos_i : ndarray of float32, shape (y, x)
    cos_z : float
        From :func:`cos_zenith`.
    c : float
        Not negative.
    min_cos_i : float
        Not negative; pixels at or below it are left out.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Level ground keeps its value exactly. NaN where the slope is unknown, turned away from the
        sun or in grazing light: what diffuse light alone shows is not corrected but left out.

    Notes
    -----
    Teillet, Guindon & Goodenough (1982), doi:10.1080/07038992.1982.10855028.
    """
    return _scaled(values, cos_i, np.float32(cos_z) + np.float32(c), c, min_cos_i)


def correct_scs_c(
    values: Float32,
    cos_i: Float32,
    cos_slope: Float32,
    *,
    cos_z: float,
    c: float,
    min_cos_i: float,
) -> Float32:
    """SCS+C correction: ``L (cos s cos z + c) / (cos i + c)``.

    Parameters and result as in :func:`correct_c`; ``cos_slope`` from :func:`cos_slope_horn`.

    Notes
    -----
    Soenen, Peddle & Coburn (2005), doi:10.1109/TGRS.2005.852480: trees grow upright on any slope,
    so in forest the sun-canopy-sensor geometry holds, not the one of the surface.
    """
    return _scaled(values, cos_i, cos_slope * np.float32(cos_z) + np.float32(c), c, min_cos_i)


def _scaled(
    values: Float32, cos_i: Float32, above: Float32 | np.float32, c: float, min_cos_i: float
) -> Float32:
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = above / (cos_i + np.float32(c))
        out = np.where(cos_i > min_cos_i, values * factor, np.float32(np.nan))
    return out.astype(np.float32)
