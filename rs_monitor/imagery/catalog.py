"""Records of found scenes, and the one place where STAC items are brought to one form."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import pystac

from rs_monitor.errors import CatalogError
from rs_monitor.imagery import naming
from rs_monitor.imagery.dialects import (
    JSON,
    absolute_href,
    band_fields,
    band_name,
    calibration,
    crs_of,
    is_measurement,
    nodata_of,
    plain,
    platform_of,
    refusal,
    self_link,
    shape_of,
    transform_of,
)

BAND_INDEX = "rs_monitor:band_index"
"""Asset field of our own index: number of the asset's first band inside its file."""

_KEPT_PROPERTIES = (
    "gsd",
    "constellation",
    "instruments",
    "view:sun_azimuth",
    "view:sun_elevation",
    "view:off_nadir",
    "s2:processing_baseline",
    "s2:product_type",
    "landsat:correction",
    "earthsearch:boa_offset_applied",
    "vertical_datum",
    "rs_monitor:datetime_source",
    "rs_monitor:datetime_precision",
    "rs_monitor:synthetic",
)


@dataclass(frozen=True, slots=True)
class Band:
    """One band of one item.

    Attributes
    ----------
    name : str
        Common name: blue green red nir swir16 swir22 rededge1 scl qa_pixel dem ...
    href : str
        Absolute path or URL; a query string may carry a token and is left out of ``repr`` and
        ``to_dict``.
    index : int
        Band number inside the file, from 1.
    dtype : str, optional
        None: the metadata do not say; the file header decides when the band is loaded.
    nodata : float, optional
        None: not declared; for float bands NaN always means not seen.
    scale, offset : float
        To reflectance; 1 and 0 where the numbers are not scaled reflectance.
    shape, transform : tuple, optional
        Grid of this band where it differs from the item's.
    categorical : bool
        The band holds codes and is never interpolated.
    """

    name: str
    href: str = field(repr=False)
    index: int
    dtype: str | None
    nodata: float | None
    scale: float = 1.0
    offset: float = 0.0
    shape: tuple[int, int] | None = None
    transform: tuple[float, ...] | None = None
    categorical: bool = False

    def to_dict(self) -> dict[str, JSON]:
        """JSON-able form without secrets."""
        return {
            "name": self.name,
            "href": public_href(self.href),
            "index": self.index,
            "dtype": self.dtype,
            "nodata": self.nodata,
            "scale": self.scale,
            "offset": self.offset,
            "shape": list(self.shape) if self.shape else None,
            "transform": list(self.transform) if self.transform else None,
            "categorical": self.categorical,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, JSON]) -> Self:
        """Inverse of :meth:`to_dict`."""
        grid = {key: tuple(raw[key]) if raw[key] else None for key in ("shape", "transform")}
        return cls(**{**raw, **grid})


@dataclass(frozen=True, slots=True)
class SceneItem:
    """One scene, normalised once on entry.

    Attributes
    ----------
    id, collection, platform : str
        As in the catalogue; the platform in lower case with dashes.
    datetime : datetime
        Acquisition, UTC, to the millisecond (what stac-geoparquet keeps).
    crs : str
        ``EPSG:...`` or WKT.
    shape : tuple of int
        Rows and columns of the finest grid.
    transform : tuple of float
        Affine coefficients a to f of that grid.
    footprint : dict
        GeoJSON geometry, longitude and latitude.
    cloud_fraction : float, optional
        0 to 1.
    bands : mapping of str to Band
        By name, sorted.
    properties : mapping
        The further metadata the package uses.
    """

    id: str
    collection: str
    datetime: dt.datetime
    platform: str
    crs: str
    shape: tuple[int, int]
    transform: tuple[float, ...]
    footprint: Mapping[str, JSON]
    cloud_fraction: float | None
    bands: Mapping[str, Band]
    properties: Mapping[str, JSON]

    def to_dict(self) -> dict[str, JSON]:
        """JSON-able form without secrets; goes into the plan."""
        return {
            "id": self.id,
            "collection": self.collection,
            "datetime": format_utc(self.datetime),
            "platform": self.platform,
            "crs": self.crs,
            "shape": list(self.shape),
            "transform": list(self.transform),
            "footprint": dict(self.footprint),
            "cloud_fraction": self.cloud_fraction,
            "bands": {name: band.to_dict() for name, band in self.bands.items()},
            "properties": dict(self.properties),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, JSON]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(
            **{
                **raw,
                "datetime": parse_utc(raw["datetime"]),
                "shape": tuple(raw["shape"]),
                "transform": tuple(raw["transform"]),
                "bands": {name: Band.from_dict(band) for name, band in raw["bands"].items()},
            }
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item or file that was not taken, and why."""

    item_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ItemSet:
    """Result of a search: items sorted by datetime and id, and what was refused."""

    items: tuple[SceneItem, ...]
    refused: tuple[Refusal, ...]


def public_href(href: str) -> str:
    """Href without query string, fragment and credentials."""
    if "://" not in href:
        return href
    parts = urlsplit(href)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def format_utc(when: dt.datetime) -> str:
    """RFC 3339 text with Z, milliseconds only where there are any."""
    text = when.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return text.replace(".000Z", "Z")


def parse_utc(text: str) -> dt.datetime:
    """Parse RFC 3339 text to UTC, cut to milliseconds; a time without zone is UTC."""
    when = dt.datetime.fromisoformat(text)
    aware = when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


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
    identity = str(raw.get("id", "(item without id)"))
    properties = raw.get("properties") or {}
    footprint = _footprint(raw, identity)
    when = _datetime(properties, identity)
    crs = crs_of(raw, identity)
    base = base_href or self_link(raw)
    bands = _bands(raw, identity, base)
    shape, transform = _main_grid(properties, bands, identity)
    return SceneItem(
        id=identity,
        collection=str(raw.get("collection") or ""),
        datetime=when,
        platform=platform_of(properties),
        crs=crs,
        shape=shape,
        transform=transform,
        footprint=footprint,
        cloud_fraction=_cloud_fraction(properties),
        bands={name: _own_grid(bands[name], shape, transform) for name in sorted(bands)},
        properties={key: plain(properties[key]) for key in _KEPT_PROPERTIES if key in properties},
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
    return {"type": geometry["type"], "coordinates": plain(geometry["coordinates"])}


def _datetime(properties: Mapping[str, JSON], identity: str) -> dt.datetime:
    text = properties.get("datetime")
    if not text:
        raise refusal(identity, "has no datetime", "a moment is needed; a span is not enough")
    try:
        return parse_utc(str(text))
    except ValueError:
        raise refusal(identity, f"datetime {text!r}", "RFC 3339 text is needed") from None


def _cloud_fraction(properties: Mapping[str, JSON]) -> float | None:
    percent = properties.get("eo:cloud_cover")
    return None if percent is None else round(float(percent) / 100, 10)


@dataclass(frozen=True, slots=True)
class _Candidate:
    order: tuple[bool, float, bool, str]
    band: Band


def _bands(raw: Mapping[str, JSON], identity: str, base: str | None) -> dict[str, Band]:
    best: dict[str, _Candidate] = {}
    for key, asset in (raw.get("assets") or {}).items():
        if not is_measurement(key, asset):
            continue
        href = absolute_href(str(asset["href"]), base, identity)
        for number, fields in enumerate(band_fields(asset, raw), start=1):
            band = _band(key, number, asset, fields, raw, href)
            candidate = _Candidate(_preference(key, asset, band), band)
            held = best.get(band.name)
            if held is None or candidate.order < held.order:
                best[band.name] = candidate
    if not best:
        raise refusal(
            identity, "has no GeoTIFF or JPEG 2000 asset", "a measured band is needed; use another"
        )
    return {name: candidate.band for name, candidate in best.items()}


def _band(
    key: str,
    number: int,
    asset: Mapping[str, JSON],
    fields: Mapping[str, JSON],
    raw: Mapping[str, JSON],
    href: str,
) -> Band:
    single = len(band_fields(asset, raw)) == 1
    name = band_name(key if single else None, fields, raw) or f"{key.lower()}_{number}"
    roles = set(asset.get("roles") or ())
    categorical = bool(
        name in naming.CATEGORICAL
        or roles & {"cloud", "cloud-shadow", "data-mask", "mask"}
        or "classification:classes" in fields
    )
    scale, offset = (1.0, 0.0) if categorical else calibration(name, fields, raw)
    return Band(
        name=name,
        href=href,
        index=number - 1 + int(asset.get(BAND_INDEX, 1)),
        dtype=str(fields["data_type"]) if fields.get("data_type") else None,
        nodata=nodata_of(fields.get("nodata")),
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
