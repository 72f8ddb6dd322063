"""The dialects of STAC 1.0 and 1.1: one reading of each field, whatever its spelling."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pyproj
from pyproj.exceptions import CRSError

from rs_monitor.errors import CatalogError

JSON = Any

_SKIPPED_KEYS = ("visual", "preview", "thumbnail", "overview", "rendered", "tilejson", "tci")
_SKIPPED_ROLES = frozenset({"visual", "overview", "thumbnail"})
_RASTER_ENDINGS = (".tif", ".tiff", ".jp2")
_ASSET_WIDE = (
    "data_type",
    "nodata",
    "unit",
    "raster:scale",
    "raster:offset",
    "classification:classes",
)
_UNKNOWN_DATUMS = ("Xian 1980", "Xian_1980", "Beijing 1954", "Beijing_1954")


def unsuitable_datum(crs: pyproj.CRS) -> str | None:
    """Name of a datum that has no public transformation to CGCS2000, if the CRS uses one."""
    wkt = crs.to_wkt()
    return next((name for name in _UNKNOWN_DATUMS if name in wkt), None)


def refusal(identity: str, got: str, action: str) -> CatalogError:
    """Error that names an item, what was found and what to do."""
    return CatalogError(f"item {identity}: {got}; {action}")


def plain(value: JSON) -> JSON:
    """Numbers as floats, tuples as lists: what every catalogue agrees on."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value)}
    if isinstance(value, Iterable):
        return [plain(entry) for entry in value]
    return str(value)


def crs_of(raw: Mapping[str, JSON], identity: str) -> str:
    """CRS of an item as ``EPSG:...`` or WKT; refuses what has no projection or no public datum."""
    found = _crs_value(raw.get("properties") or {})
    if found is None:
        assets = (raw.get("assets") or {}).values()
        values = {json.dumps(v) for asset in assets if (v := _crs_value(asset)) is not None}
        if len(values) > 1:
            raise refusal(
                identity,
                f"its assets are in several projections: {', '.join(sorted(values))}",
                "split it into one item a projection",
            )
        found = json.loads(values.pop()) if values else None
    if found is None:
        raise refusal(
            identity,
            "has no projection (proj:code, proj:epsg, proj:wkt2)",
            "add the projection extension",
        )
    try:
        text, datum = _normal_crs(json.dumps(found))
    except CRSError as error:
        raise refusal(identity, f"its projection is unreadable: {error}", "correct it") from None
    if datum is not None:
        raise refusal(
            identity,
            f"its datum is {datum}, which has no public transformation",
            "deliver the image in CGCS2000 or WGS 84",
        )
    return text


@lru_cache(maxsize=256)
def _normal_crs(encoded: str) -> tuple[str, str | None]:
    """CRS as text and the name of its datum if that is unsuitable; a catalogue repeats few."""
    crs = pyproj.CRS.from_user_input(json.loads(encoded))
    epsg = crs.to_epsg(min_confidence=100)
    return f"EPSG:{epsg}" if epsg else crs.to_wkt(), unsuitable_datum(crs)


def _crs_value(fields: Mapping[str, JSON]) -> JSON:
    if fields.get("proj:code"):
        return fields["proj:code"]
    if fields.get("proj:epsg"):
        return f"EPSG:{int(fields['proj:epsg'])}"
    return fields.get("proj:wkt2") or fields.get("proj:projjson")


def self_link(raw: Mapping[str, JSON]) -> str | None:
    """Address an item gives for itself."""
    links = raw.get("links") or ()
    return next((str(link["href"]) for link in links if link.get("rel") == "self"), None)


def platform_of(properties: Mapping[str, JSON]) -> str:
    """Platform in lower case with dashes."""
    name = properties.get("platform") or properties.get("eo:platform") or "unknown"
    return str(name).strip().lower().replace("_", "-").replace(" ", "-")


def is_measurement(key: str, asset: Mapping[str, JSON]) -> bool:
    """Whether an asset holds pixels to measure: a GeoTIFF or JPEG 2000, no picture."""
    if key.lower().startswith(_SKIPPED_KEYS):
        return False
    roles = set(asset.get("roles") or ())
    if roles & _SKIPPED_ROLES and "data" not in roles:
        return False
    media = str(asset.get("type") or "").lower()
    if media:
        return "geotiff" in media or media.startswith(("image/tiff", "image/jp2"))
    return urlsplit(str(asset.get("href", ""))).path.lower().endswith(_RASTER_ENDINGS)


def absolute_href(href: str, base: str | None, identity: str) -> str:
    """Href of an asset as an absolute path or URL."""
    if "://" in href:
        return href.removeprefix("file://")
    if os.path.isabs(href):  # noqa: PTH117 - text, not a path: keep it as written
        return href
    if base is None:
        raise refusal(
            identity, f"asset href {href!r} is relative", "give the address the item came from"
        )
    if "://" in base and not base.startswith("file://"):
        return urljoin(base, href)
    folder = Path(base.removeprefix("file://")).absolute().parent
    return os.path.normpath(folder / href)


def band_fields(asset: Mapping[str, JSON], raw: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    """One dict per band of an asset, the dialects merged; asset fields hold for every band."""
    parts = [list(asset.get(key) or ()) for key in ("eo:bands", "raster:bands", "bands")]
    parts[0] = [_eo_band(entry, raw) for entry in parts[0]]
    shared = {key: asset[key] for key in _ASSET_WIDE if key in asset}
    count = max(1, *(len(part) for part in parts))
    return [
        shared | {k: v for part in parts if i < len(part) for k, v in part[i].items()}
        for i in range(count)
    ]


def _eo_band(entry: JSON, raw: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Beta catalogues give a position in the item's own list instead of the band itself."""
    if isinstance(entry, Mapping):
        return entry
    listed = (raw.get("properties") or {}).get("eo:bands") or []
    known = isinstance(entry, int) and 0 <= entry < len(listed)
    return listed[entry] if known else {}


def nodata_of(value: JSON) -> float | None:
    """Nodata value; None where there is none or it is NaN."""
    if value is None:
        return None
    number = float(value)
    return None if math.isnan(number) else number


def shape_of(value: JSON) -> tuple[int, int] | None:
    """Rows and columns of ``proj:shape``."""
    return (int(value[0]), int(value[1])) if value else None


def transform_of(value: JSON) -> tuple[float, ...] | None:
    """Six affine coefficients of ``proj:transform``."""
    return tuple(float(number) for number in value[:6]) if value else None
