"""Terrain maps from a DEM."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.grid import require_projected
from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX, slope_horn_deg
from rs_monitor.lazy import map_window


def slope(dem: xr.DataArray, geobox: GeoBox) -> xr.DataArray:
    """Slope of a DEM on a metric grid, degrees, method of Horn (1981).

    Parameters
    ----------
    dem : DataArray of float32
        y, x; metres; NaN = unknown.
    geobox : GeoBox
        Its grid; degrees are refused.

    Returns
    -------
    DataArray of float32
        Degrees; NaN on the outermost ring and beside unknown cells.
    """
    require_projected(geobox, "slope")
    dx, dy = abs(geobox.resolution.x), abs(geobox.resolution.y)

    def horn(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return slope_horn_deg(values, dx, dy)

    return map_window(
        horn,
        dem,
        depth_px=SLOPE_DEPTH_PX,
        dtype=np.float32,
        name="slope_deg",
        attrs={"long_name": "slope", "units": "degree", "method": "Horn1981"},
    )
