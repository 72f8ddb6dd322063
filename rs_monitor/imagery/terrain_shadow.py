"""Shadow of the relief on every look, so that it is told from the shadow of clouds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import ConfigError
from rs_monitor.grid import require_projected
from rs_monitor.kernels.shadow import relief_shadow
from rs_monitor.lazy import map_window


def relief_margin_px(reach_m: float, pixel_m: float) -> int:
    """Pixels of relief around a block that its shadows depend on."""
    return math.ceil(reach_m / pixel_m - 1e-9) + 1


def terrain_shadow(
    dem: xr.DataArray,
    geobox: GeoBox,
    *,
    times: NDArray[np.datetime64],
    sun_azimuth_deg: Sequence[float],
    sun_elevation_deg: Sequence[float],
    reach_m: float,
) -> xr.DataArray:
    """Find the ground that the relief keeps out of the sun on each look.

    Parameters
    ----------
    dem : DataArray of float
        y, x; metres; NaN = unknown.
    geobox : GeoBox
        Its grid; degrees are refused.
    times : ndarray of datetime64
        Looks, as in the cube.
    sun_azimuth_deg, sun_elevation_deg : sequence of float
        Of each look (``view:sun_azimuth``, ``view:sun_elevation``); NaN where the item does not
        say, and no shadow is claimed there. True north is taken for grid north.
    reach_m : float
        How far the relief is followed; mountains farther away shade nothing.

    Returns
    -------
    DataArray of bool
        time, y, x; True = in cast or self shadow of the relief.

    Raises
    ------
    ConfigError
        If the numbers of looks and angles differ, or a sun stands at or below the horizon.
    """
    require_projected(geobox, "terrain shadow")
    suns = list(zip(sun_azimuth_deg, sun_elevation_deg, strict=False))
    if not len(times) == len(sun_azimuth_deg) == len(sun_elevation_deg):
        problem = f"{len(times)} looks, {len(sun_azimuth_deg)} and {len(sun_elevation_deg)} angles"
        raise ConfigError("sun position", [f"{problem}; one of each is needed for every look"])
    low = [elevation for _, elevation in suns if elevation <= 0 or elevation > 90]
    if low:
        raise ConfigError(
            "sun position", [f"elevation {low[0]:g} degrees; daylight looks only (0 to 90)"]
        )
    looks = [_look(dem, geobox, azimuth, elevation, reach_m) for azimuth, elevation in suns]
    stacked = xr.concat(looks, dim="time", coords="minimal", compat="override")
    stacked = stacked.assign_coords(time=times)
    stacked.attrs = {
        "grid_mapping": "spatial_ref",
        "long_name": "shadow of the relief",
        "method": "ray march",
    }
    return stacked


def _look(
    dem: xr.DataArray, geobox: GeoBox, azimuth_deg: float, elevation_deg: float, reach_m: float
) -> xr.DataArray:
    dx_m, dy_m = abs(geobox.resolution.x), abs(geobox.resolution.y)

    def shade(heights: NDArray[np.float32]) -> NDArray[np.bool_]:
        if math.isnan(azimuth_deg) or math.isnan(elevation_deg):
            return np.zeros(heights.shape, dtype=np.bool_)
        return relief_shadow(heights, dx_m, dy_m, azimuth_deg, elevation_deg, reach_m)

    return map_window(
        shade,
        dem,
        depth_px=relief_margin_px(reach_m, min(dx_m, dy_m)),
        dtype=np.bool_,
        name="terrain_shadow",
        attrs={},
    )
