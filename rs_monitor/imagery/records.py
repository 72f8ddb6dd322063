"""Bands, items and refusals of a search, and how addresses are written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from rs_monitor.imagery.dialects import JSON
from rs_monitor.imagery.times import format_utc, parse_utc


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
        To reflectance (for other quantities to their unit); 1 and 0 where nothing proven is known.
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
