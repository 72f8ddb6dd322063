"""Terrain illumination: how the sun falls on slopes, and the C and SCS+C corrections.

Measure: sums per band and date over a block. Fit: one line per band and date of the zone. Apply:
the correction with the fitted constant, so that no seam shows between blocks.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field

from rs_monitor.codes import Quantity
from rs_monitor.config.tables import Model
from rs_monitor.errors import QuantityError
from rs_monitor.grid import require_projected
from rs_monitor.kernels.illumination import (
    LightSums,
    correct_c,
    correct_scs_c,
    cos_incidence_horn,
    cos_slope_horn,
    cos_zenith,
    light_line,
    light_sums,
)
from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX
from rs_monitor.lazy import is_lazy, map_pixels, map_window

Method = Literal["c", "scs_c"]


class IlluminationRules(Model):
    """Guards of the terrain correction; read from ``configs/rules``, each with its origin."""

    min_slope_deg: float = Field(gt=0, description="flatter pixels do not enter the fit")
    min_px: int = Field(ge=2, description="clear pixels on slopes the fit needs")
    min_correlation: float = Field(
        gt=0, lt=1, description="of reflectance with cos i; below it the band is left as it is"
    )
    min_cos_incidence: float = Field(
        ge=0, lt=1, description="of the sun's incidence; at or below it a corrected pixel is NaN"
    )


@dataclass(frozen=True, slots=True)
class LightFit:
    """The fitted constant of one band and date, or why there is none.

    Attributes
    ----------
    c : float or None
        None: the band stays as it is.
    correlation : float
        Of reflectance with cos i before the correction; NaN if not defined.
    pixels : int
        In the fit.
    reason : str
        Why there is no constant, or another than the fitted one; else empty.
    min_cos_i : float
        Corrected pixels at or below this cosine of incidence are NaN.
    """

    c: float | None
    correlation: float
    pixels: int
    reason: str
    min_cos_i: float = math.nan


def cos_incidence(
    dem: xr.DataArray, geobox: GeoBox, *, sun_azimuth_deg: float, sun_elevation_deg: float
) -> xr.DataArray:
    """Cosine of the sun's angle to the normal of the ground, lazily.

    Parameters
    ----------
    dem : DataArray of float32
        y, x; metres; NaN = unknown.
    geobox : GeoBox
        Its grid; degrees are refused. Its north is taken for north: the convergence of the
        meridians (some 2 degrees at the edge of a UTM zone) is not removed.
    sun_azimuth_deg, sun_elevation_deg : float
        ``view:sun_azimuth`` (clockwise from north) and ``view:sun_elevation`` of the item.

    Returns
    -------
    DataArray of float32
        -1 to 1; NaN on the outermost ring and beside unknown cells.
    """
    require_projected(geobox, "terrain illumination")
    kernel = partial(
        cos_incidence_horn,
        dx_m=abs(geobox.resolution.x),
        dy_m=abs(geobox.resolution.y),
        sun_azimuth_deg=sun_azimuth_deg,
        sun_elevation_deg=sun_elevation_deg,
    )
    return _over_terrain(kernel, dem, "cos_incidence", "cosine of the sun's angle of incidence")


def cos_slope(dem: xr.DataArray, geobox: GeoBox) -> xr.DataArray:
    """Cosine of the slope, lazily; parameters and gaps as in :func:`cos_incidence`."""
    require_projected(geobox, "terrain illumination")
    dx, dy = abs(geobox.resolution.x), abs(geobox.resolution.y)
    kernel = partial(cos_slope_horn, dx_m=dx, dy_m=dy)
    return _over_terrain(kernel, dem, "cos_slope", "cosine of the slope")


def _over_terrain(kernel: Any, dem: xr.DataArray, name: str, long_name: str) -> xr.DataArray:
    attrs = {"long_name": long_name, "units": "1"}
    return map_window(
        kernel, dem, depth_px=SLOPE_DEPTH_PX, dtype=np.float32, name=name, attrs=attrs
    )


def measure_light(
    values: NDArray[np.floating],
    cos_i: NDArray[np.floating],
    cos_s: NDArray[np.floating],
    clear: NDArray[np.bool_],
    rules: IlluminationRules,
) -> LightSums:
    """Sum what the fit of one band and date needs over a block.

    Parameters
    ----------
    values : ndarray of float, shape (y, x)
        Reflectance; NaN = not seen.
    cos_i, cos_s : ndarray of float, shape (y, x)
        From :func:`cos_incidence` and :func:`cos_slope`.
    clear : ndarray of bool, shape (y, x)
        Usable looks.
    rules : IlluminationRules

    Returns
    -------
    LightSums
        Those of the blocks add up to those of the zone.
    """
    with np.errstate(invalid="ignore"):
        steep = cos_s <= math.cos(math.radians(rules.min_slope_deg))
    return light_sums(values, cos_i, clear & steep)


def fit_light(sums: LightSums, rules: IlluminationRules) -> LightFit:
    """Fit the constant of one band and date.

    Parameters
    ----------
    sums : LightSums
        Of the whole zone.
    rules : IlluminationRules

    Returns
    -------
    LightFit
        Without a constant where too few slopes were seen or light explains too little of the band.
        A negative constant becomes 0, Lambert's cosine: ground cannot answer light more than that,
        and the correction would divide by numbers near zero.
    """
    line, pixels = light_line(sums), int(sums.count)
    if pixels < rules.min_px:
        reason = f"{pixels} clear pixels on slopes; needed {rules.min_px}"
    elif not line.correlation >= rules.min_correlation:
        reason = f"correlation with cos i {line.correlation:.3f}; needed {rules.min_correlation}"
    else:
        note = f"fitted constant {line.c:.3f} is negative: set to 0" if line.c < 0 else ""
        lowest = rules.min_cos_incidence
        return LightFit(max(line.c, 0.0), line.correlation, pixels, note, lowest)
    return LightFit(None, line.correlation, pixels, reason)


def flatten_terrain(
    cube: xr.Dataset,
    dem: xr.DataArray,
    geobox: GeoBox,
    *,
    suns: Sequence[tuple[float, float]],
    fits: Mapping[str, Sequence[LightFit]],
    method: Method,
) -> xr.Dataset:
    """Correct the bands of a cube for the light on slopes, lazily.

    Parameters
    ----------
    cube : xr.Dataset
        Reflectance; dims time, y, x.
    dem : DataArray of float32
        y, x on the same grid; metres.
    geobox : GeoBox
        The grid.
    suns : sequence of (float, float)
        Azimuth and elevation in degrees, one per time.
    fits : mapping of str to sequence of LightFit
        By band, one per time; bands that are not named stay as they are.
    method : {'c', 'scs_c'}
        ``c`` (Teillet et al. 1982) for bare ground, crops and grass, ``scs_c`` (Soenen et al. 2005)
        for forest; level ground keeps its values under both.

    Returns
    -------
    xr.Dataset
        float32; NaN where a corrected band lies on ground turned away from the sun, in grazing
        light or of unknown slope: not seen, never guessed.

    Raises
    ------
    QuantityError
        If the cube is not reflectance: a line fitted to raw numbers has another constant.
    """
    if cube.attrs.get("quantity") not in {Quantity.REFLECTANCE, Quantity.TOA}:
        raise QuantityError(
            f"got a cube of {cube.attrs.get('quantity')}; needed reflectance; call to_reflectance"
        )
    slopes = cos_slope(dem, geobox)
    lights = [
        cos_incidence(dem, geobox, sun_azimuth_deg=azimuth, sun_elevation_deg=elevation)
        for azimuth, elevation in suns
    ]
    out = cube.copy()
    for band, of_band in fits.items():
        dates = [
            _corrected(cube[band].isel(time=at), light, slopes, sun[1], fit, method)
            for at, (light, sun, fit) in enumerate(zip(lights, suns, of_band, strict=True))
        ]
        out[band] = _stacked(cube[band], dates)
    return out


def _corrected(
    values: xr.DataArray,
    cos_i: xr.DataArray,
    cos_s: xr.DataArray,
    sun_elevation_deg: float,
    fit: LightFit,
    method: Method,
) -> xr.DataArray:
    if fit.c is None:
        return values.astype(np.float32)
    known: dict[str, Any] = {"cos_z": cos_zenith(sun_elevation_deg), "c": fit.c}
    known["min_cos_i"] = fit.min_cos_i
    terrain = (cos_i,) if method == "c" else (cos_i, cos_s)
    kernel = partial(correct_c if method == "c" else correct_scs_c, **known)
    return map_pixels(
        kernel, values, *terrain, dtype=np.float32, name=str(values.name), attrs=values.attrs
    )


def _stacked(band: xr.DataArray, dates: Sequence[xr.DataArray]) -> xr.DataArray:
    if any(is_lazy(date) for date in dates):
        data: Any = da.stack([da.asarray(date.data) for date in dates])
        data = data.rechunk(band.chunks) if is_lazy(band) else data
    else:
        data = np.stack([date.data for date in dates])
    return band.copy(data=data)


def sun_position(
    when: dt.datetime, longitude_deg: float, latitude_deg: float
) -> tuple[float, float]:
    """Azimuth and elevation of the sun, for items that do not state them.

    Parameters
    ----------
    when : datetime
        With its time zone.
    longitude_deg, latitude_deg : float
        East and north positive.

    Returns
    -------
    float, float
        Degrees: azimuth clockwise from north, elevation above the horizon without refraction.

    Notes
    -----
    Low-precision ephemeris of the Astronomical Almanac as in Michalsky (1988),
    doi:10.1016/0038-092X(88)90045-X: within 0.01 degrees from 1950 to 2050. Tested on the worked
    example of Reda & Andreas (2004), doi:10.1016/j.solener.2003.12.003.
    """
    days = (when - dt.datetime(2000, 1, 1, 12, tzinfo=dt.UTC)) / dt.timedelta(days=1)
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    mean_longitude = 280.460 + 0.9856474 * days
    ecliptic = math.radians(
        mean_longitude + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    tilt = math.radians(23.439 - 0.0000004 * days)
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    sidereal_deg = (280.46061837 + 360.98564737 * days + longitude_deg) % 360
    hour = math.radians(sidereal_deg) - ascension
    latitude = math.radians(latitude_deg)
    elevation = math.asin(
        math.sin(latitude) * math.sin(declination)
        + math.cos(latitude) * math.cos(declination) * math.cos(hour)
    )
    azimuth = math.atan2(
        -math.sin(hour) * math.cos(declination),
        math.cos(latitude) * math.sin(declination)
        - math.sin(latitude) * math.cos(declination) * math.cos(hour),
    )
    return math.degrees(azimuth) % 360, math.degrees(elevation)
