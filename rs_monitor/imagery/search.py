"""Search of a STAC API, a static catalogue or a stac-geoparquet file, with one answer."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pystac
import rustac
from pystac.stac_io import DefaultStacIO
from shapely.errors import ShapelyError

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.catalog import (
    ItemSet,
    Refusal,
    SceneItem,
    normalise_item,
    parse_utc,
    public_href,
)
from rs_monitor.imagery.dialects import JSON
from rs_monitor.imagery.duplicates import choose_versions
from rs_monitor.imagery.footprints import bbox_parts, touches
from rs_monitor.imagery.signing import Signer, make_signer
from rs_monitor.imagery.stac_api import FAILURES, ApiSearch, Bounds, PatientIO, Span, unreachable

KINDS = ("api", "static", "geoparquet")
Found = tuple[Mapping[str, JSON], str | None]


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of any catalogue."""

    collections: tuple[str, ...]
    boxes: tuple[Bounds, ...]
    span: Span
    max_cloud_fraction: float
    bands: tuple[str, ...]


def search(
    catalog_kind: str,
    href: str,
    *,
    collections: Sequence[str],
    bbox: Bounds | None,
    start: dt.date,
    end: dt.date,
    max_cloud_fraction: float,
    bands: Sequence[str],
    signing: str = "none",
) -> ItemSet:
    """Find the scenes of a place and period.

    Parameters
    ----------
    catalog_kind : {'api', 'static', 'geoparquet'}
        A STAC API, a ``catalog.json``, or a stac-geoparquet file.
    href : str
        URL or path of the catalogue.
    collections : sequence of str
        Collections to look in; empty means all.
    bbox : tuple of float, optional
        West, south, east, north in degrees; west > east: over the antimeridian.
    start, end : date
        First and last day, both included, UTC.
    max_cloud_fraction : float
        0 to 1; cloudier scenes are left out. Below 1, a scene that does not state its cloud
        cover is left out too (refused by name where the catalogue lets us see it).
    bands : sequence of str
        Common names every scene must have.
    signing : {'none', 'planetary-computer', 'query-token', 'bearer'}
        How requests are authorised: :func:`rs_monitor.imagery.signing.make_signer`.

    Returns
    -------
    ItemSet
        Sorted by datetime and id; empty when nothing was found. The same items give the same
        result whatever the catalogue, hrefs apart. Of one acquisition delivered several times
        the newest processing is taken, the others are refused by name.

    Raises
    ------
    CatalogError
        If the catalogue cannot be read after every retry, or gives fewer items than it counts;
        names the request without its query string.
    """
    items: list[SceneItem] = []
    refused: list[Refusal] = []
    for found in iter_items(
        catalog_kind,
        href,
        collections=collections,
        bbox=bbox,
        start=start,
        end=end,
        max_cloud_fraction=max_cloud_fraction,
        bands=bands,
        signing=signing,
    ):
        if isinstance(found, Refusal):
            refused.append(found)
        else:
            items.append(found)
    kept, superseded = choose_versions(items)
    unique, repeated = _once(kept)
    refused += [*superseded, *repeated]
    refused.sort(key=lambda refusal: (refusal.item_id, refusal.reason))
    return ItemSet(unique, tuple(refused))


def iter_items(
    catalog_kind: str,
    href: str,
    *,
    collections: Sequence[str],
    bbox: Bounds | None,
    start: dt.date,
    end: dt.date,
    max_cloud_fraction: float,
    bands: Sequence[str],
    signing: str = "none",
) -> Iterator[SceneItem | Refusal]:
    """Go through what :func:`search` finds, one by one, in flat memory.

    Parameters
    ----------
    catalog_kind, href, collections, bbox, start, end, max_cloud_fraction, bands, signing
        As in :func:`search`.

    Yields
    ------
    SceneItem or Refusal
        In the order of the catalogue; versions of one acquisition are not told apart.

    Raises
    ------
    CatalogError
        As in :func:`search`.

    Notes
    -----
    Memory is flat for ``api``: one page at a time. A static catalogue keeps what it resolved, a
    stac-geoparquet file is read whole.
    """
    question = _Question(
        tuple(collections), _boxes(bbox), Span(start, end), max_cloud_fraction, tuple(bands)
    )
    for found in _found(catalog_kind, href, question, make_signer(signing, href)):
        if isinstance(found, Refusal):
            yield found
        elif (judged := _judge(found, question)) is not None:
            yield judged


def _boxes(bbox: Bounds | None) -> tuple[Bounds, ...]:
    """The box in one part, or in two parts that meet at the antimeridian."""
    if bbox is None:
        return ()
    west, south, east, north = (float(number) for number in bbox)
    inside = -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90
    if not inside or not all(math.isfinite(number) for number in bbox):
        raise CatalogError(
            f"got the bounds {tuple(bbox)}; needed west, south, east, north in degrees, west > "
            "east only over the antimeridian; correct them"
        )
    return bbox_parts((west, south, east, north))


def _judge(found: Found, question: _Question) -> SceneItem | Refusal | None:
    """The scene, why it cannot be used, or None when it was not asked for."""
    raw, base = found
    if question.collections and raw.get("collection") not in question.collections:
        return None
    try:
        item = normalise_item(raw, base_href=base)
    except CatalogError as error:
        refusal = Refusal(str(raw.get("id", "(item without id)")), str(error))
        return refusal if _may_be_meant(raw, question) else None
    if not question.span.start <= item.datetime.date() <= question.span.end:
        return None
    if not touches(item.footprint, question.boxes):
        return None
    if item.cloud_fraction is not None and item.cloud_fraction > question.max_cloud_fraction:
        return None
    reason = _unusable(item, question.max_cloud_fraction, question.bands)
    return item if reason is None else Refusal(item.id, reason)


def _may_be_meant(raw: Mapping[str, JSON], question: _Question) -> bool:
    """Whether an unusable item lies in the place and period, as far as it tells."""
    try:
        when = parse_utc(str(raw["properties"]["datetime"])).date()
        here = touches(raw["geometry"], question.boxes)
    except (KeyError, TypeError, ValueError, AttributeError, ShapelyError):
        return True
    return question.span.start <= when <= question.span.end and here


def _unusable(item: SceneItem, max_cloud_fraction: float, bands: Sequence[str]) -> str | None:
    if max_cloud_fraction < 1 and item.cloud_fraction is None:
        return "does not state its cloud cover; set max_cloud_fraction to 1 to take it"
    lacking = [name for name in bands if name not in item.bands]
    if lacking:
        return f"lacks {', '.join(lacking)}; it has {', '.join(item.bands)}"
    local = {item.bands[name].href for name in bands} or {b.href for b in item.bands.values()}
    absent = sorted(h for h in local if "://" not in h and not h.startswith("/vsi"))
    absent = [h for h in absent if not Path(h).is_file()]
    return f"file {absent[0]} is missing; index the folder again" if absent else None


def _once(items: Sequence[SceneItem]) -> tuple[tuple[SceneItem, ...], list[Refusal]]:
    """Items with distinct ids: an id names one scene in a run."""
    kept: dict[str, SceneItem] = {}
    repeated = []
    for item in items:
        if kept.setdefault(item.id, item) is not item:
            reason = f"the id occurs twice; the item of {kept[item.id].collection} was kept"
            repeated.append(Refusal(item.id, reason))
    return tuple(kept.values()), repeated


def _found(kind: str, href: str, question: _Question, signer: Signer) -> Iterator[Found | Refusal]:
    if kind == "api":
        yield from _from_api(href, question, signer)
        return
    if kind not in KINDS:
        raise CatalogError(f"got catalogue kind {kind!r}; needed 'api', 'static' or 'geoparquet'")
    for raw, base in (_from_static if kind == "static" else _from_geoparquet)(href, signer):
        yield signer.sign(raw, base), base


def _from_api(href: str, question: _Question, signer: Signer) -> Iterator[Found | Refusal]:
    limited = question.max_cloud_fraction < 1
    asked = ApiSearch(
        href,
        signer,
        collections=question.collections,
        boxes=question.boxes,
        most_cloud_percent=round(question.max_cloud_fraction * 100, 8) if limited else None,
    )
    for found in asked.items(question.span):
        yield found if isinstance(found, Refusal) else (found, None)


class _Documents(DefaultStacIO):
    """Reads the documents of a static catalogue, over HTTP as patiently as an API."""

    def __init__(self, signer: Signer) -> None:
        super().__init__()
        self._http = PatientIO(signer)
        self.asked = ""

    def read_text_from_href(self, href: str) -> str:
        """Read a file or an address."""
        self.asked = f"GET {public_href(href)}"
        if href.startswith(("http://", "https://")):
            return self._http.request(href)
        return super().read_text_from_href(href)


def _from_static(href: str, signer: Signer) -> Iterator[Found]:
    documents = _Documents(signer)
    try:
        catalog = pystac.Catalog.from_file(href, stac_io=documents)
        for item in catalog.get_items(recursive=True):
            yield item.to_dict(transform_hrefs=False), item.get_self_href()
    except (*FAILURES, pystac.STACTypeError) as error:
        raise unreachable(href, documents.asked, error, signer) from None


def _from_geoparquet(href: str, signer: Signer) -> Iterator[Found]:
    base = href if "://" in href else str(Path(href).absolute())
    try:
        found = rustac.read_sync(base)
    except (OSError, rustac.RustacError, ValueError) as error:
        raise unreachable(href, f"GET {public_href(base)}", error, signer) from None
    yield from ((raw, base) for raw in found["features"])
