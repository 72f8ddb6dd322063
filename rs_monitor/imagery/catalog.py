"""The one place where STAC items are brought to one form."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pystac

from rs_monitor.errors import CatalogError
from rs_monitor.imagery import naming
from rs_monitor.imagery.band_names import band_name
from rs_monitor.imagery.calibration import UNCALIBRATED, calibration, fill_value
from rs_monitor.imagery.dialects import (
    JSON,
    absolute_href,
    band_fields,
    crs_of,
    is_measurement,
    nodata_of,
    refusal,
    self_link,
    shape_of,
    transform_of,
)
from rs_monitor.imagery.families import Family, Product, product_of
from rs_monitor.imagery.footprints import cut_footprint
from rs_monitor.imagery.properties import kept_properties
from rs_monitor.imagery.records import (
    Band,
    ItemSet,
    Refusal,
    SceneItem,
    public_href,
)
from rs_monitor.imagery.times import format_utc, parse_utc

__all__ = [
    "BAND_INDEX",
    "Band",
    "ItemSet",
    "Refusal",
    "SceneItem",
    "format_utc",
    "normalise_all",
    "normalise_item",
    "parse_utc",
    "public_href",
]

BAND_INDEX = "rs_monitor:band_index"
"""Asset field of our own index: number of the asset's first band inside its file."""


def normalise_item(
    item: pystac.Item | Mapping[str, JSON], *, base_href: str | None = None
) -> SceneItem:
    """Bring a STAC item of any dialect to one form.

    Parameters
    ----------
    item : pystac.Item or dict
        STAC 1.0 (``eo:bands``, ``raster:bands``, ``proj:epsg``) or 1.1 (``bands``, ``proj:code``).
    base_href : str, optional
        Where the item was read from; relative asset hrefs start there. Default: its self link.

    Returns
    -------
    SceneItem
        Bands by common name. Where several assets carry one band the finest is taken, then
        GeoTIFF before JPEG 2000.

    Raises
    ------
    CatalogError
        Names what is missing: geometry, datetime, projection, grid, raster assets, or a base for
        relative hrefs.
    """
    if isinstance(item, pystac.Item):
        base_href = base_href or item.get_self_href()
        raw: Mapping[str, JSON] = item.to_dict(transform_hrefs=False)
    else:
        raw = item
    try:
        return _normalise(raw, base_href or self_link(raw))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise refusal(
            str(raw.get("id", "(item without id)")),
            f"is malformed ({type(error).__name__}: {error})",
            "check it against the STAC specification",
        ) from error


def _normalise(raw: Mapping[str, JSON], base: str | None) -> SceneItem:
    product = product_of(raw)
    properties = raw.get("properties") or {}
    footprint = _footprint(raw, product.identity)
    when = _datetime(properties, product)
    crs = crs_of(raw, product.identity)
    bands = _bands(raw, product, base)
    shape, transform = _main_grid(properties, bands, product.identity)
    return SceneItem(
        id=product.identity,
        collection=str(raw.get("collection") or ""),
        datetime=when,
        platform=product.platform,
        crs=crs,
        shape=shape,
        transform=transform,
        footprint=footprint,
        cloud_fraction=_cloud_fraction(properties),
        bands={name: _own_grid(bands[name], shape, transform) for name in sorted(bands)},
        properties=kept_properties(raw, product),
    )


def normalise_all(
    raws: Iterable[tuple[Mapping[str, JSON], str | None]],
) -> tuple[list[SceneItem], list[Refusal]]:
    """Normalise many items (with their base hrefs); refuse those that cannot be used."""
    items: dict[str, SceneItem] = {}
    refused: list[Refusal] = []
    for raw, base in raws:
        try:
            scene = normalise_item(raw, base_href=base)
        except CatalogError as error:
            refused.append(Refusal(str(raw.get("id", "(item without id)")), str(error)))
            continue
        if scene.id in items:
            refused.append(Refusal(scene.id, "the id occurs twice; the first item was kept"))
            continue
        items[scene.id] = scene
    return list(items.values()), refused


def _footprint(raw: Mapping[str, JSON], identity: str) -> dict[str, JSON]:
    geometry = raw.get("geometry")
    if not geometry:
        raise refusal(identity, "has no geometry", "a footprint is needed to place it")
    return cut_footprint(geometry)


def _datetime(properties: Mapping[str, JSON], product: Product) -> dt.datetime:
    text = properties.get("datetime")
    span = (properties.get("start_datetime"), properties.get("end_datetime"))
    if not text and product.family is Family.MOD13Q1 and all(span):
        first, last = (parse_utc(str(end)) for end in span)
        return parse_utc((first + (last - first) / 2).isoformat())
    if not text:
        raise refusal(
            product.identity, "has no datetime", "a moment is needed; a span is not enough"
        )
    try:
        return parse_utc(str(text))
    except ValueError:
        raise refusal(product.identity, f"datetime {text!r}", "RFC 3339 text is needed") from None


def _cloud_fraction(properties: Mapping[str, JSON]) -> float | None:
    percent = properties.get("eo:cloud_cover")
    return None if percent is None else round(float(percent) / 100, 10)


@dataclass(frozen=True, slots=True)
class _Candidate:
    order: tuple[bool, float, bool, str]
    band: Band


def _bands(raw: Mapping[str, JSON], product: Product, base: str | None) -> dict[str, Band]:
    best: dict[str, _Candidate] = {}
    for key, asset in (raw.get("assets") or {}).items():
        if not is_measurement(key, asset):
            continue
        href = absolute_href(str(asset["href"]), base, product.identity)
        every = band_fields(asset, raw)
        # our own index already decided: a side table outranks the product's specification
        known = product
        if BAND_INDEX in asset:
            known = replace(product, family=Family.OTHER, by_hand=True)
        for number, fields in enumerate(every, start=1):
            name = band_name(key if len(every) == 1 else None, fields, known)
            band = _band(name or f"{key.lower()}_{number}", number, asset, fields, known, href)
            candidate = _Candidate(_preference(key, asset, band), band)
            held = best.get(band.name)
            if held is None or candidate.order < held.order:
                best[band.name] = candidate
    if not best:
        raise refusal(
            product.identity,
            "has no GeoTIFF or JPEG 2000 asset",
            "a measured band is needed; use another",
        )
    return {name: candidate.band for name, candidate in best.items()}


def _band(
    name: str,
    number: int,
    asset: Mapping[str, JSON],
    fields: Mapping[str, JSON],
    product: Product,
    href: str,
) -> Band:
    roles = set(asset.get("roles") or ())
    categorical = bool(
        name in naming.CATEGORICAL
        or roles & {"cloud", "cloud-shadow", "data-mask", "mask"}
        or "classification:classes" in fields
    )
    scale, offset = UNCALIBRATED if categorical else calibration(name, fields, product)
    declared = "nodata" in fields
    return Band(
        name=name,
        href=href,
        index=number - 1 + int(asset.get(BAND_INDEX, 1)),
        dtype=str(fields["data_type"]) if fields.get("data_type") else None,
        nodata=nodata_of(fields["nodata"]) if declared else fill_value(name, product),
        scale=scale,
        offset=offset,
        shape=shape_of(asset.get("proj:shape")),
        transform=transform_of(asset.get("proj:transform")),
        categorical=categorical,
    )


def _pixel(transform: Sequence[float] | None) -> float:
    return math.hypot(transform[0], transform[3]) if transform else math.inf


def _preference(key: str, asset: Mapping[str, JSON], band: Band) -> tuple[bool, float, bool, str]:
    pixel = _pixel(band.transform)
    jpeg = str(asset.get("type") or "").lower().startswith("image/jp2")
    return math.isinf(pixel), pixel, jpeg, key


def _main_grid(
    properties: Mapping[str, JSON], bands: Mapping[str, Band], identity: str
) -> tuple[tuple[int, int], tuple[float, ...]]:
    shape, transform = (
        shape_of(properties.get("proj:shape")),
        transform_of(properties.get("proj:transform")),
    )
    if shape and transform:
        return shape, transform
    own = [(b.transform, b.shape) for b in bands.values() if b.transform and b.shape]
    if not own:
        raise refusal(
            identity,
            "has a CRS but no pixel grid",
            "proj:shape and proj:transform are needed on the item or its assets",
        )
    transform, shape = min(own, key=lambda grid: (_pixel(grid[0]), grid))
    return shape, transform


def _own_grid(band: Band, shape: tuple[int, int], transform: tuple[float, ...]) -> Band:
    """Keep a band's grid only where it differs from the item's."""
    if band.shape != shape or band.transform != transform:
        return band
    return replace(band, shape=None, transform=None)
