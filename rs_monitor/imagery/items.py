"""Bands of files joined to STAC items, and their stac-geoparquet file."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import rasterio.warp
import rustac
from affine import Affine

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.catalog import BAND_INDEX, Refusal, format_utc, normalise_item
from rs_monitor.imagery.dialects import JSON
from rs_monitor.imagery.footprints import cut_footprint, footprint_bbox
from rs_monitor.imagery.header import Header

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A date and where it comes from."""

    moment: dt.datetime
    day_only: bool
    source: str
    precision: str | None = None
    """``unknown`` for a stand-in; else day or second."""


@dataclass(frozen=True, slots=True)
class Part:
    """One band of one file, as it enters an item."""

    item_id: str
    collection: str
    platform: str
    when: Acquisition
    facts: Header
    band: str
    index: int
    nodata: float | None
    scale: float
    offset: float
    role: str
    gsd_m: float | None
    vertical_datum: str | None


def write_items(path: Path, items: Iterable[Mapping[str, JSON]]) -> Path:
    """Write STAC items as stac-geoparquet, sorted by datetime and id.

    Parameters
    ----------
    path : Path
        File to write; replaced in one step.
    items : iterable of dict
        STAC items; relative asset hrefs start at the folder of ``path``.

    Raises
    ------
    CatalogError
        Without items, or if an id occurs twice.
    """
    ordered = sorted(items, key=lambda raw: (raw["properties"]["datetime"], raw["id"]))
    identities = [str(raw["id"]) for raw in ordered]
    repeated = sorted(name for name, count in Counter(identities).items() if count > 1)
    if repeated or not ordered:
        got = f"ids that occur twice: {', '.join(repeated)}" if repeated else "no items"
        raise CatalogError(f"got {got}; needed items with distinct ids to write {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.parquet")
    try:
        rustac.write_sync(str(temporary), [dict(raw) for raw in ordered])
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def group_items(parts: Sequence[Part], out: Path) -> tuple[list[dict[str, JSON]], list[Refusal]]:
    """Join bands that share an item id to STAC items for a catalogue at ``out``."""
    groups: dict[str, dict[str, Part]] = {}
    refused: list[Refusal] = []
    for part in parts:
        group = groups.setdefault(part.item_id, {})
        reason = _clash(part, group)
        if reason is None:
            group[part.band] = part
        elif reason:
            refused.append(Refusal(part.facts.relative, reason))
    items: list[dict[str, JSON]] = []
    for identity, group in groups.items():
        raw = _stac(identity, group, out.absolute().parent)
        try:
            normalise_item(raw, base_href=str(out.absolute()))
        except CatalogError as error:
            refused.append(Refusal(identity, str(error)))
            continue
        items.append(raw)
    return items, refused


def _clash(part: Part, group: Mapping[str, Part]) -> str | None:
    """Why a band cannot join an item; empty when a finer file already gives the band."""
    if not group:
        return None
    first = next(iter(group.values()))
    if (part.when.moment, part.facts.crs) != (first.when.moment, first.facts.crs):
        return (
            f"shares the id {part.item_id} with {first.facts.relative} but not its date and CRS; "
            "state item ids in the side table"
        )
    held = group.get(part.band)
    if held is None:
        return None
    here, there = _pixel(part.facts), _pixel(held.facts)
    if here == there:
        return f"repeats band {part.band} of {held.facts.relative} in item {part.item_id}"
    return None if here < there else ""


def _pixel(facts: Header) -> float:
    return math.hypot(facts.transform[0], facts.transform[3])


def _stac(identity: str, group: Mapping[str, Part], base: Path) -> dict[str, JSON]:
    finest = min(group.values(), key=lambda part: (_pixel(part.facts), part.band))
    footprint, bbox = _outline(finest.facts)
    datums = {part.vertical_datum for part in group.values()} - {None}
    properties: dict[str, JSON] = {
        "datetime": format_utc(finest.when.moment),
        "platform": finest.platform,
        **_projection(finest.facts.crs),
        "proj:shape": list(finest.facts.shape),
        "proj:transform": list(finest.facts.transform),
        "rs_monitor:datetime_source": finest.when.source,
        "rs_monitor:datetime_precision": finest.when.precision
        or ("day" if finest.when.day_only else "second"),
    }
    properties |= {"gsd": finest.gsd_m} if finest.gsd_m is not None else {}
    properties |= {"vertical_datum": datums.pop()} if datums else {}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": identity,
        "collection": finest.collection,
        "geometry": footprint,
        "bbox": bbox,
        "properties": properties,
        "links": [],
        "assets": {name: _asset(group[name], base) for name in sorted(group)},
    }


def _projection(crs: str) -> dict[str, str]:
    return {"proj:code": crs} if crs.startswith("EPSG:") else {"proj:wkt2": crs}


def _asset(part: Part, base: Path) -> dict[str, JSON]:
    path = part.facts.path.absolute()
    href = f"./{path.relative_to(base).as_posix()}" if path.is_relative_to(base) else str(path)
    band: dict[str, JSON] = {"name": part.band, "data_type": part.facts.dtypes[part.index - 1]}
    if part.nodata is not None:
        band["nodata"] = part.nodata
    if (part.scale, part.offset) != (1.0, 0.0):
        band |= {"raster:scale": part.scale, "raster:offset": part.offset}
    jpeg = path.suffix.lower() == ".jp2"
    return {
        "href": href,
        "type": "image/jp2" if jpeg else "image/tiff; application=geotiff",
        "roles": ["mask"] if part.role == "mask" else ["data"],
        "bands": [band],
        BAND_INDEX: part.index,
        "proj:shape": list(part.facts.shape),
        "proj:transform": list(part.facts.transform),
    }


def _outline(facts: Header) -> tuple[dict[str, JSON], list[float]]:
    rows, cols = facts.shape
    affine = Affine(*facts.transform)
    steps = [k / 4 for k in range(4)]
    ring = [(cols * s, 0.0) for s in steps] + [(cols, rows * s) for s in steps]
    ring += [(cols * (1 - s), rows) for s in steps] + [(0.0, rows * (1 - s)) for s in steps]
    xs, ys = zip(*(affine @ point for point in [*ring, ring[0]]), strict=True)
    lons, lats = rasterio.warp.transform(facts.crs, "EPSG:4326", xs, ys)
    points = [[round(lon, 7), round(lat, 7)] for lon, lat in zip(lons, lats, strict=True)]
    footprint = cut_footprint({"type": "Polygon", "coordinates": [points]})
    return footprint, footprint_bbox(footprint)
