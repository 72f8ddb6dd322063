"""Reflectance of Landsat and HLS brought to the bands of Sentinel-2, by published lines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from rs_monitor.codes import Quantity
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.config.tables import Model
from rs_monitor.errors import CatalogError, ConfigError, QuantityError
from rs_monitor.imagery.families import Family, family_of
from rs_monitor.imagery.records import SceneItem


class Line(Model):
    """A published line between two sensors' reflectance of one band."""

    slope: float = Field(gt=0)
    offset: float


class Adjustment(Model):
    """Lines of some platforms or harmonised products, as their source gives them."""

    platforms: tuple[str, ...] = Field(
        min_length=1, description="platforms, or products whose numbers are those of a platform"
    )
    published: Literal["from_these_platforms", "to_these_platforms"] = Field(
        description="which side of the published equation these platforms stand on"
    )
    other: str = Field(description="the platform on the other side")
    source: str
    unchanged: tuple[str, ...] = Field((), description="bands that are the other's own already")
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
    """What is done to one band of one product: ``value * slope + offset``."""

    slope: float
    offset: float

    def then(self, other: Gain) -> Gain:
        """Apply this one first, then the other."""
        return Gain(self.slope * other.slope, self.offset * other.slope + other.offset)


IDENTITY = Gain(1.0, 0.0)
_PRODUCTS = frozenset({Family.HLS_L30, Family.HLS_S30})
"""Families whose numbers are not those of the platform they name."""


def load_harmonisation() -> HarmonisationTable:
    """Read the shipped table of adjustments."""
    path = data_root() / "configs" / "sensors" / "harmonisation.toml"
    return load_table(path, HarmonisationTable)


def harmonisation_key(item: SceneItem) -> str:
    """Name under which the table knows the numbers of a scene.

    Parameters
    ----------
    item : SceneItem
        As searched, or as read back from a plan.

    Returns
    -------
    str
        ``hls-l30`` or ``hls-s30`` for HLS, whatever platform the item names; else its platform.
    """
    family = family_of(item)
    return str(family) if family in _PRODUCTS else item.platform


def keys_of_looks(item_ids: Iterable[str], items: Iterable[SceneItem]) -> list[str]:
    """Key of each time step of a loaded cube.

    Parameters
    ----------
    item_ids : iterable of str
        The coordinate ``item_ids`` of the cube: ids joined by ``;``.
    items : iterable of SceneItem
        The scenes it was loaded from, after :func:`check_harmonisable`: the scenes of one step
        share a platform, and that check leaves one key per platform.
    """
    keys = {item.id: harmonisation_key(item) for item in items}
    return [keys[str(ids).split(";", maxsplit=1)[0]] for ids in item_ids]


def check_harmonisable(
    items: Iterable[SceneItem], bands: Sequence[str], table: HarmonisationTable
) -> None:
    """Refuse a job whose scenes cannot all be brought to Sentinel-2 bands.

    Parameters
    ----------
    items : iterable of SceneItem
        Every scene of the job.
    bands : sequence of str
        Bands to adjust, by common name.
    table : HarmonisationTable
        From :func:`load_harmonisation`.

    Raises
    ------
    ConfigError
        Lists every product and band without a published line, and every platform of which both
        HLS and the product it is made of were found.
    """
    counts = Counter((item.platform, harmonisation_key(item)) for item in items)
    keys: dict[str, set[str]] = defaultdict(set)
    for platform, key in counts:
        keys[platform].add(key)
    problems = [
        f"got {platform} as {' and as '.join(sorted(found))}; needed one product per platform, for "
        "looks of a day are joined; name its collection in catalog.collections"
        for platform, found in sorted(keys.items())
        if len(found) > 1
    ]
    for key in sorted({key for _, key in counts}):
        number = sum(count for (_, other), count in counts.items() if other == key)
        problems += [f"{text} (items: {number})" for text in _unpublished(table, key, bands)]
    if problems:
        raise ConfigError("imagery.harmonise", problems)


def _unpublished(table: HarmonisationTable, key: str, bands: Sequence[str]) -> list[str]:
    """Why bands of a product cannot be adjusted, one line a band."""
    reasons = []
    for band in bands:
        try:
            gain_to_sentinel2(table, key, band)
        except CatalogError as error:
            reasons.append(str(error))
    return reasons


def gain_to_sentinel2(table: HarmonisationTable, key: str, band: str) -> Gain:
    """Chain the published lines from a platform or product to Sentinel-2.

    Parameters
    ----------
    table : HarmonisationTable
    key : str
        Of :func:`harmonisation_key`, e.g. ``landsat-7`` or ``hls-s30``.
    band : str
        Common name.

    Raises
    ------
    CatalogError
        If no line leads from this platform or product, or none is published for the band.
    """
    total, here = IDENTITY, key.lower()
    while here not in table.native:
        step = next((entry for entry in table.adjustment if here in entry.platforms), None)
        if step is None or band not in (*step.bands, *step.unchanged):
            known = sorted({name for entry in table.adjustment for name in entry.platforms})
            have = ", ".join(known) if step is None else ", ".join((*step.bands, *step.unchanged))
            raise CatalogError(
                f"got band {band} of {key!r}; needed a published adjustment to Sentinel-2, known "
                f"for {have}; leave it out or set harmonise = 'none'"
            )
        total, here = total.then(_forward(step, band)), step.other
    return total


def _forward(step: Adjustment, band: str) -> Gain:
    if band in step.unchanged:
        return IDENTITY
    line = step.bands[band]
    if step.published == "from_these_platforms":
        return Gain(line.slope, line.offset)
    return Gain(1.0 / line.slope, -line.offset / line.slope)


def to_sentinel2(
    cube: xr.Dataset,
    bands: Sequence[str],
    *,
    keys: Sequence[str],
    table: HarmonisationTable,
) -> xr.Dataset:
    """Bring the Landsat and HLS dates of a cube to Sentinel-2 bands, lazily.

    Parameters
    ----------
    cube : xr.Dataset
        Surface reflectance; dims time, y, x.
    bands : sequence of str
        Bands to adjust, by common name.
    keys : sequence of str
        One per time, from :func:`keys_of_looks`.
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
        If a platform, product or band has no published adjustment.

    Notes
    -----
    Claverie et al. (2018), doi:10.1016/j.rse.2018.09.002; Roy et al. (2016),
    doi:10.1016/j.rse.2015.12.024. HLS S30 was brought to OLI by the first, so that it is brought
    back with L30 by one line: the same ground keeps one value. The lines remove what differs
    between the bands on average; they do nothing about the angles of sun and view, which move
    single dates more.
    """
    if cube.attrs.get("quantity") != Quantity.REFLECTANCE:
        raise QuantityError(
            f"got a cube of {cube.attrs.get('quantity')}; needed reflectance; call to_reflectance"
        )
    out = cube.copy()
    for band in bands:
        gains = [gain_to_sentinel2(table, key, band) for key in keys]
        slope = xr.DataArray(np.array([g.slope for g in gains], np.float32), dims="time")
        offset = xr.DataArray(np.array([g.offset for g in gains], np.float32), dims="time")
        out[band] = (cube[band] * slope + offset).assign_attrs(cube[band].attrs)
    return out
