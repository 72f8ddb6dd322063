"""The looks at one block: read, screened, corrected; the same for every stage that needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from rs_monitor.codes import Sky
from rs_monitor.config.imagery import ImagerySettings
from rs_monitor.grid import Window, widen
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.harmonise import keys_of_looks, load_harmonisation, to_sentinel2
from rs_monitor.imagery.load import load_cube, to_reflectance
from rs_monitor.imagery.masks import mask_margin_px, screen
from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX
from rs_monitor.pipeline.relief import (
    Dem,
    Ground,
    LightFits,
    flattened,
    shadow_of_relief,
    suns_of_looks,
)
from rs_monitor.pipeline.rules import ImageryRules

Shifts = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Reading:
    """How the looks of a zone are read.

    Attributes
    ----------
    imagery : ImagerySettings
    rules : ImageryRules
    chunk_px : int
    dem : Path or tuple of SceneItem or None
        Elevation; tells shadow of the relief from cloud shadow.
    shifts : mapping of str to (float, float)
        By item: displacement to undo, (down, right) in pixels of the zone's grid.
    light : mapping, optional
        Constants of the terrain correction by look and band; empty where it is off.
    """

    imagery: ImagerySettings
    rules: ImageryRules
    chunk_px: int
    dem: Dem = None
    shifts: Shifts = field(default_factory=dict)
    light: LightFits = field(default_factory=dict)


@dataclass(frozen=True)
class Looks:
    """Looks at a block, lazily.

    Attributes
    ----------
    values : xr.Dataset
        float32, time, y, x; NaN = not seen.
    clear, doubtful : xr.DataArray
        bool; usable looks, and those of them that were flagged as cloud.
    reason : xr.DataArray
        uint8, :class:`rs_monitor.codes.Sky`.
    """

    values: xr.Dataset
    clear: xr.DataArray
    doubtful: xr.DataArray
    reason: xr.DataArray

    def part(self, window: Window) -> Looks:
        """Looks at some of the rows and columns."""
        rows, cols = window
        parts = (getattr(self, field.name).isel(y=rows, x=cols) for field in fields(self))
        return Looks(*parts)


def looks_at(
    items: Sequence[SceneItem],
    geobox: GeoBox,
    part: Window,
    reading: Reading,
    bands: Sequence[str] | None = None,
) -> Looks:
    """Describe the looks at one part of a zone.

    Parameters
    ----------
    items : sequence of SceneItem
    geobox : GeoBox
        Of the whole zone.
    part : tuple of slice
        Rows and columns of the zone: a block, or one with a margin.
    reading : Reading
    bands : sequence of str, optional
        Bands wanted; all of the job's are screened whatever is wanted.

    Returns
    -------
    Looks
        Equal to the same part of the looks at the whole zone: it is read with the margin its mask
        depends on.
    """
    settings = reading.imagery
    masks = [] if settings.mask_band is None else [settings.mask_band]
    window, inner = widen(part, _margin_px(reading, geobox), geobox)
    ground = Ground(reading.dem, geobox, window)
    cube = load_cube(
        items,
        geobox=geobox,
        bands=[*settings.bands, *masks],
        resampling=settings.resampling,
        chunk_px=reading.chunk_px,
        window=window,
        shifts=reading.shifts,
    )
    suns = suns_of_looks(cube, items)
    reach_m = reading.rules.clear_sky.terrain_shadow_reach_m
    sky = screen(
        cube,
        kind=settings.mask,
        band=settings.mask_band,
        spectral_bands=settings.bands,
        rules=reading.rules.clear_sky,
        terrain_shadow=shadow_of_relief(ground, cube, suns, reach_m),
    )
    values = _values(cube, items, settings, settings.bands if bands is None else bands)
    if settings.illumination != "none" and reading.light:
        values = flattened(values, ground, suns, reading.light, settings.illumination)
        sky = _lit(sky, values)
    return Looks(values, sky["clear"], sky["doubtful"], sky["reason"]).part(inner)


def _lit(sky: xr.Dataset, values: xr.Dataset) -> xr.Dataset:
    """Ground the correction for light had to blank is no look at it: it lies in terrain shadow."""
    lit = values.to_dataarray("band").notnull().all("band")
    dark = sky["clear"] & ~lit
    reason = sky["reason"].where(~dark, np.uint8(Sky.TERRAIN_SHADOW)).astype(np.uint8)
    return xr.Dataset(
        {"clear": sky["clear"] & lit, "doubtful": sky["doubtful"] & lit, "reason": reason}
    )


def _margin_px(reading: Reading, geobox: GeoBox) -> int:
    """Pixels around a block that its masks and its light depend on."""
    margin_px = 0
    if reading.imagery.mask != "none":
        margin_px = mask_margin_px(
            reading.rules.clear_sky, pixel_edge_m(geobox), kind=reading.imagery.mask
        )
    lit = reading.imagery.illumination != "none"
    return max(margin_px, SLOPE_DEPTH_PX) if lit else margin_px


def _values(
    cube: xr.Dataset,
    items: Sequence[SceneItem],
    settings: ImagerySettings,
    bands: Sequence[str],
) -> xr.Dataset:
    if settings.quantity == "dn":
        return raw(cube, bands)
    values = to_reflectance(cube, list(bands))[list(bands)]
    if settings.harmonise == "none":
        return values
    keys = keys_of_looks(cube["item_ids"].values, items)
    return to_sentinel2(values, bands, keys=keys, table=load_harmonisation())


def pixel_edge_m(geobox: GeoBox) -> float:
    """Pixel edge of a metric grid, metres."""
    return float(abs(geobox.affine.a))


def raw(cube: xr.Dataset, bands: Sequence[str]) -> xr.Dataset:
    """Source numbers as float32, nodata as NaN, nothing scaled."""
    numbers = {}
    for band in bands:
        nodata = cube[band].attrs.get("nodata")
        values = cube[band].astype(np.float32)
        numbers[band] = values if nodata is None else values.where(cube[band] != nodata)
    return xr.Dataset(numbers, attrs={"quantity": "dn"})
