"""Landsat reflectance brought to the bands of Sentinel-2, by published linear adjustments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from rs_monitor.codes import Quantity
from rs_monitor.config import Model, data_root, load_table
from rs_monitor.errors import CatalogError, QuantityError


class Line(Model):
    """A published line between two sensors' reflectance of one band."""

    slope: float = Field(gt=0)
    offset: float


class Adjustment(Model):
    """Lines of some platforms, as their source gives them."""

    platforms: tuple[str, ...] = Field(min_length=1)
    published: Literal["from_these_platforms", "to_these_platforms"] = Field(
        description="which side of the published equation these platforms stand on"
    )
    other: str = Field(description="the platform on the other side")
    source: str
    bands: Mapping[str, Line]


class HarmonisationTable(Model):
    """``configs/sensors/harmonisation.toml``."""

    id: str
    version: str
    basis: str
    target: str
    native: tuple[str, ...] = Field(min_length=1, description="platforms left as they are")
    adjustment: tuple[Adjustment, ...]


@dataclass(frozen=True, slots=True)
class Gain:
    """What is done to one band of one platform: ``value * slope + offset``."""

    slope: float
    offset: float

    def then(self, other: Gain) -> Gain:
        """Apply this one first, then the other."""
        return Gain(self.slope * other.slope, self.offset * other.slope + other.offset)


IDENTITY = Gain(1.0, 0.0)


def load_harmonisation() -> HarmonisationTable:
    """Read the shipped table of adjustments."""
    path = data_root() / "configs" / "sensors" / "harmonisation.toml"
    return load_table(path, HarmonisationTable)


def gain_to_sentinel2(table: HarmonisationTable, platform: str, band: str) -> Gain:
    """Chain the published lines from a platform to Sentinel-2.

    Parameters
    ----------
    table : HarmonisationTable
    platform : str
        As the items name it, e.g. ``landsat-7``.
    band : str
        Common name.

    Raises
    ------
    CatalogError
        If no line leads from this platform, or none is published for the band.
    """
    total, here = IDENTITY, platform.lower()
    while here not in table.native:
        step = next((entry for entry in table.adjustment if here in entry.platforms), None)
        if step is None or band not in step.bands:
            known = sorted({name for entry in table.adjustment for name in entry.platforms})
            have = ", ".join(known) if step is None else ", ".join(step.bands)
            raise CatalogError(
                f"got band {band} of platform {platform!r}; needed a published adjustment to "
                f"Sentinel-2, known for {have}; leave it out or set harmonise = 'none'"
            )
        total, here = total.then(_forward(step, band)), step.other
    return total


def _forward(step: Adjustment, band: str) -> Gain:
    line = step.bands[band]
    if step.published == "from_these_platforms":
        return Gain(line.slope, line.offset)
    return Gain(1.0 / line.slope, -line.offset / line.slope)


def to_sentinel2(
    cube: xr.Dataset,
    bands: Sequence[str],
    *,
    platforms: Sequence[str],
    table: HarmonisationTable,
) -> xr.Dataset:
    """Bring the Landsat dates of a cube to Sentinel-2 bands, lazily.

    Parameters
    ----------
    cube : xr.Dataset
        Surface reflectance; dims time, y, x.
    bands : sequence of str
        Bands to adjust, by common name.
    platforms : sequence of str
        One per time; the coordinate ``platform`` of a loaded cube.
    table : HarmonisationTable
        From :func:`load_harmonisation`.

    Returns
    -------
    xr.Dataset
        float32; Sentinel-2 dates are unchanged, NaN stays NaN.

    Raises
    ------
    QuantityError
        If the cube is not surface reflectance: the lines were fitted to it.
    CatalogError
        If a platform or band has no published adjustment.

    Notes
    -----
    Claverie et al. (2018), doi:10.1016/j.rse.2018.09.002; Roy et al. (2016),
    doi:10.1016/j.rse.2015.12.024. The lines remove what differs between the bands on average;
    they do nothing about the angles of sun and view, which move single dates more.
    """
    if cube.attrs.get("quantity") != Quantity.REFLECTANCE:
        raise QuantityError(
            f"got a cube of {cube.attrs.get('quantity')}; needed reflectance; call to_reflectance"
        )
    out = cube.copy()
    for band in bands:
        gains = [gain_to_sentinel2(table, str(platform), band) for platform in platforms]
        slope = xr.DataArray(np.array([g.slope for g in gains], np.float32), dims="time")
        offset = xr.DataArray(np.array([g.offset for g in gains], np.float32), dims="time")
        out[band] = (cube[band] * slope + offset).assign_attrs(cube[band].attrs)
    return out
