"""Where the sun stood on each look, and what the relief makes of its light on one block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from shapely.geometry import shape

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

Dem = Path | tuple[SceneItem, ...] | None
Sun = tuple[float, float]
UNKNOWN: Sun = (float("nan"), float("nan"))
UNFITTED = LightFit(None, float("nan"), 0, "the look was not inspected")

LightFits = Mapping[str, Mapping[str, LightFit]]
"""By the items of a look, then by band."""


def elevation(dem: Dem, geobox: GeoBox) -> xr.DataArray:
    """Describe the elevation on a grid, from a file or from items."""
    if isinstance(dem, Path):
        return load_dem(dem, geobox=geobox)
    return mosaic_dem(dem or (), geobox=geobox)


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
    dem: Dem, geobox: GeoBox, cube: xr.Dataset, suns: Sequence[Sun], reach_m: float
) -> xr.DataArray | None:
    """Shadow of the relief on every look at a grid; None where no sun is known."""
    if dem is None or not np.isfinite(suns).all(axis=1).any():
        return None
    margin_px = relief_margin_px(reach_m, abs(geobox.resolution.x))
    padded = geobox.pad(margin_px)
    inner = slice(margin_px, -margin_px)
    shadow = terrain_shadow(
        elevation(dem, padded),
        padded,
        times=cube["time"].values,
        sun_azimuth_deg=[azimuth for azimuth, _ in suns],
        sun_elevation_deg=[height for _, height in suns],
        reach_m=reach_m,
    ).isel(y=inner, x=inner)
    return shadow.assign_coords(y=cube["y"], x=cube["x"])


def light_on(
    dem: Dem, geobox: GeoBox, suns: Sequence[Sun]
) -> tuple[list[xr.DataArray], xr.DataArray]:
    """Cosine of incidence of each look and cosine of the slope, on a grid; NaN on its rim."""
    heights = elevation(dem, geobox)
    lights = [
        cos_incidence(heights, geobox, sun_azimuth_deg=azimuth, sun_elevation_deg=height)
        for azimuth, height in suns
    ]
    return lights, cos_slope(heights, geobox)


def flattened(
    values: xr.Dataset,
    dem: Dem,
    geobox: GeoBox,
    suns: Sequence[Sun],
    fits: LightFits,
    method: Method,
) -> xr.Dataset:
    """Correct the looks at a grid for the light on slopes, with the constants of their zone."""
    looks = [str(ids) for ids in values["item_ids"].values]
    by_band = {
        str(band): [fits.get(look, {}).get(str(band), UNFITTED) for look in looks]
        for band in values.data_vars
    }
    heights = elevation(dem, geobox)
    return flatten_terrain(values, heights, geobox, suns=suns, fits=by_band, method=method)
