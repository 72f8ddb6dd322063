"""Search of a STAC API, a static catalogue or a stac-geoparquet file, with one answer."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pystac
import pystac_client
import rustac
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from shapely.geometry import box, shape
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.catalog import (
    ItemSet,
    Refusal,
    SceneItem,
    normalise_all,
    public_href,
)
from rs_monitor.imagery.dialects import JSON

RETRY_WAIT_S = 0.5
"""Wait before the second attempt; doubles with each further one."""
ATTEMPTS = 5
_PAGE = 200
_TIMEOUT_S = 60.0

Bounds = tuple[float, float, float, float]


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
        West, south, east, north in degrees.
    start, end : date
        First and last day, both included, UTC.
    max_cloud_fraction : float
        0 to 1; cloudier scenes are left out. Below 1, a scene that does not state its cloud
        cover is left out too (refused by name where the catalogue lets us see it).
    bands : sequence of str
        Common names every scene must have.

    Returns
    -------
    ItemSet
        Sorted by datetime and id; empty when nothing was found. The same items give the same
        result whatever the catalogue, hrefs apart.

    Raises
    ------
    CatalogError
        If the catalogue cannot be read after every retry; names its address without query string.
    """
    if catalog_kind == "api":
        raws = _from_api(href, collections, bbox, start, end, max_cloud_fraction)
    elif catalog_kind == "static":
        raws = _from_static(href)
    elif catalog_kind == "geoparquet":
        raws = _from_geoparquet(href)
    else:
        raise CatalogError(
            f"got catalogue kind {catalog_kind!r}; needed 'api', 'static' or 'geoparquet'"
        )
    wanted = [raw for raw in raws if _in_collections(raw[0], collections)]
    items, refused = normalise_all(wanted)
    return _select(items, refused, bbox, start, end, max_cloud_fraction, bands)


def _select(
    items: Iterable[SceneItem],
    refused: Sequence[Refusal],
    bbox: Bounds | None,
    start: dt.date,
    end: dt.date,
    max_cloud_fraction: float,
    bands: Sequence[str],
) -> ItemSet:
    kept: list[SceneItem] = []
    reasons = list(refused)
    for item in items:
        if not start <= item.datetime.date() <= end or not _touches(item, bbox):
            continue
        if item.cloud_fraction is not None and item.cloud_fraction > max_cloud_fraction:
            continue
        reason = _unusable(item, max_cloud_fraction, bands)
        if reason is None:
            kept.append(item)
        else:
            reasons.append(Refusal(item.id, reason))
    kept.sort(key=lambda item: (item.datetime, item.id))
    reasons.sort(key=lambda refusal: (refusal.item_id, refusal.reason))
    return ItemSet(tuple(kept), tuple(reasons))


def _touches(item: SceneItem, bbox: Bounds | None) -> bool:
    return bbox is None or bool(shape(dict(item.footprint)).intersects(box(*bbox)))


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


def _in_collections(raw: Mapping[str, JSON], collections: Sequence[str]) -> bool:
    return not collections or raw.get("collection") in collections


class _PatientIO(StacApiIO):
    """Repeats each request that failed for want of a connection or with a server error."""

    def request(self, *args: Any, **kwargs: Any) -> str:
        """Send one request, several times if need be."""
        for attempt in Retrying(
            retry=retry_if_exception(_passing),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=RETRY_WAIT_S),
            reraise=True,
        ):
            with attempt:
                answer: str = super().request(*args, **kwargs)
        return answer


def _passing(error: BaseException) -> bool:
    """Whether a failure may pass: no answer, too many requests, or a server error."""
    if not isinstance(error, APIError):
        return False
    status = getattr(error, "status_code", None)  # absent when there was no answer
    return status is None or status == 429 or status >= 500


def _from_api(
    href: str,
    collections: Sequence[str],
    bbox: Bounds | None,
    start: dt.date,
    end: dt.date,
    max_cloud_fraction: float,
) -> list[tuple[Mapping[str, JSON], str | None]]:
    percent = round(max_cloud_fraction * 100, 8)
    query = {"eo:cloud_cover": {"lte": percent}} if max_cloud_fraction < 1 else None
    try:
        with warnings.catch_warnings():
            # pgstac sorts and searches although it does not advertise the conformance class.
            warnings.filterwarnings("ignore", message=r".*does not conform to (SORT|QUERY|CONTEXT)")
            client = pystac_client.Client.open(
                href, stac_io=_PatientIO(max_retries=0, timeout=_TIMEOUT_S)
            )
            found = client.search(
                collections=list(collections) or None,
                bbox=bbox,
                datetime=f"{start.isoformat()}T00:00:00Z/{end.isoformat()}T23:59:59.999999Z",
                query=query,
                sortby=[
                    {"field": "properties.datetime", "direction": "asc"},
                    {"field": "id", "direction": "asc"},
                ],
                limit=_PAGE,
            )
            return [(raw, None) for raw in found.items_as_dicts()]
    except (
        APIError,
        NotImplementedError,
        OSError,
        pystac.STACError,
        KeyError,
        ValueError,
    ) as error:
        raise _unreachable(href, error) from error


def _from_static(href: str) -> list[tuple[Mapping[str, JSON], str | None]]:
    try:
        catalog = pystac.Catalog.from_file(href)
        found = list(catalog.get_items(recursive=True))
    except (OSError, pystac.STACError, pystac.STACTypeError, KeyError, ValueError) as error:
        raise _unreachable(href, error) from error
    return [(item.to_dict(transform_hrefs=False), item.get_self_href()) for item in found]


def _from_geoparquet(href: str) -> list[tuple[Mapping[str, JSON], str | None]]:
    base = href if "://" in href else str(Path(href).absolute())
    try:
        found = rustac.read_sync(base)
    except (OSError, rustac.RustacError, ValueError) as error:
        raise _unreachable(href, error) from error
    return [(raw, base) for raw in found["features"]]


def _unreachable(href: str, error: BaseException) -> CatalogError:
    detail = str(error).splitlines()[0] if str(error) else type(error).__name__
    userinfo = urlsplit(href).netloc.rpartition("@")[0] if "://" in href else ""
    for secret in (href.partition("?")[2], userinfo):
        detail = detail.replace(secret, "...") if secret else detail
    return CatalogError(
        f"catalogue {public_href(href)} could not be searched: {detail}; check the address, that "
        "the server runs, and the kind of catalogue"
    )
