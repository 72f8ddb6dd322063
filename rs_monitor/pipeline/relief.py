"""Where the sun stood on each look, and what the relief makes of its light on one block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from shapely.geometry import shape

from rs_monitor.grid import Window
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.illumination import (
    LightFit,
    Method,
    cos_incidence,
    cos_slope,
    flatten_terrain,
    sun_position,
)
from rs_monitor.imagery.load import load_dem, mosaic_dem
from rs_monitor.imagery.terrain_shadow import relief_margin_px, terrain_shadow
from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX
from rs_monitor.maps.terrain_features import terrain_features, terrain_reach_px

Dem = Path | tuple[SceneItem, ...] | None
Sun = tuple[float, float]
UNKNOWN: Sun = (float("nan"), float("nan"))
UNFITTED = LightFit(None, float("nan"), 0, "the look was not inspected")

LightFits = Mapping[str, Mapping[str, LightFit]]
"""By the items of a look, then by band."""


@dataclass(frozen=True)
class Ground:
    """Part of a zone's grid, and where its elevation comes from.

    Attributes
    ----------
    dem : Dem
    geobox : GeoBox
        Of the whole zone.
    window : tuple of slice
        Rows and columns of the part.
    """

    dem: Dem
    geobox: GeoBox
    window: Window

    def heights(self, margin_px: int) -> tuple[xr.DataArray, GeoBox]:
        """Elevation of the part with a margin, and its grid.

        Warps are laid out on the grid of the whole zone, so that parts leave no seams.
        """
        padded = self.geobox.pad(margin_px)
        rows, cols = (slice(part.start, part.stop + 2 * margin_px) for part in self.window)
        if isinstance(self.dem, Path):
            found = load_dem(self.dem, geobox=padded, window=(rows, cols))
        else:
            found = mosaic_dem(self.dem or (), geobox=padded, window=(rows, cols))
        return found, padded[rows, cols]


def terrain_on(ground: Ground, names: Sequence[str]) -> xr.Dataset:
    """Named terrain layers of a part of a zone, its DEM read as far around as they look."""
    reach_px = terrain_reach_px(names)
    heights, padded = ground.heights(reach_px)
    rows, cols = (slice(reach_px, size - reach_px) for size in padded.shape)
    layers = terrain_features(heights, padded, names=names).isel(y=rows, x=cols)
    return layers.assign_coords(xr_coords(ground.geobox[ground.window], dims=("y", "x")))


def sun_of(item: SceneItem) -> Sun:
    """Azimuth and elevation of the sun in degrees.

    As the item states them, else from its moment and place; NaN where only the day is known.
    """
    names = ("view:sun_azimuth", "view:sun_elevation")
    azimuth, height = (item.properties.get(name) for name in names)
    if azimuth is not None and height is not None:
        return float(azimuth), float(height)
    if item.properties.get("rs_monitor:datetime_precision") == "day":
        return UNKNOWN
    place = shape(dict(item.footprint)).representative_point()
    return sun_position(item.datetime, place.x, place.y)


def suns_of_looks(cube: xr.Dataset, items: Sequence[SceneItem]) -> list[Sun]:
    """Sun of each time step of a cube: that of its first item; NaN below the horizon."""
    suns = {item.id: sun_of(item) for item in items}
    found = [suns[str(ids).split(";")[0]] for ids in cube["item_ids"].values]
    return [sun if sun[1] > 0 else UNKNOWN for sun in found]


def shadow_of_relief(
    ground: Ground, cube: xr.Dataset, suns: Sequence[Sun], reach_m: float
) -> xr.DataArray | None:
    """Shadow of the relief on every look at a cube's grid; None where no sun is known."""
    if ground.dem is None or not np.isfinite(suns).all(axis=1).any():
        return None
    margin_px = relief_margin_px(reach_m, abs(ground.geobox.resolution.x))
    heights, padded = ground.heights(margin_px)
    inner = slice(margin_px, -margin_px)
    shadow = terrain_shadow(
        heights,
        padded,
        times=cube["time"].values,
        sun_azimuth_deg=[azimuth for azimuth, _ in suns],
        sun_elevation_deg=[height for _, height in suns],
        reach_m=reach_m,
    ).isel(y=inner, x=inner)
    return shadow.assign_coords(y=cube["y"], x=cube["x"])


def light_on(ground: Ground, suns: Sequence[Sun]) -> tuple[list[xr.DataArray], xr.DataArray]:
    """Cosine of incidence of each look and cosine of the slope, on a part of a zone."""
    heights, padded = ground.heights(SLOPE_DEPTH_PX)
    inner = slice(SLOPE_DEPTH_PX, -SLOPE_DEPTH_PX)
    lights = [
        cos_incidence(heights, padded, sun_azimuth_deg=azimuth, sun_elevation_deg=height)
        for azimuth, height in suns
    ]
    return [light[inner, inner] for light in lights], cos_slope(heights, padded)[inner, inner]


def flattened(
    values: xr.Dataset,
    ground: Ground,
    suns: Sequence[Sun],
    fits: LightFits,
    method: Method,
) -> xr.Dataset:
    """Correct the looks at a part of a zone for the light on slopes, with the zone's constants.

    The outermost pixels have no slope and come out as not seen.
    """
    looks = [str(ids) for ids in values["item_ids"].values]
    by_band = {
        str(band): [fits.get(look, {}).get(str(band), UNFITTED) for look in looks]
        for band in values.data_vars
    }
    heights, grid = ground.heights(0)
    return flatten_terrain(values, heights, grid, suns=suns, fits=by_band, method=method)
