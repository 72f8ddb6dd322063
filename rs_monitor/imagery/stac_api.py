"""All items of a question to a STAC API: patient, page by page, none lost and none twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pystac
import pystac_client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.catalog import Refusal, public_href
from rs_monitor.imagery.dialects import JSON
from rs_monitor.imagery.signing import Signer

RETRY_WAIT_S = 0.5
"""Wait before the second attempt; doubles with each further one."""
ATTEMPTS = 5
PAGE = 100
"""Items a page: the default of pystac-client, which every public catalogue serves."""
SMALLEST_PAGE = 10
TIMEOUT_S = 60.0
LISTINGS = 2
"""Times a period is listed when the first listing was not whole."""

_TOO_LARGE = frozenset({413, 500, 502, 504})
"""What Earth Search answers to a page beyond the 6 MB of its gateway (Element84/earth-search#17)
and other servers to a page beyond their own limit."""

Bounds = tuple[float, float, float, float]
Key = tuple[str, str]
FAILURES = (APIError, NotImplementedError, OSError, pystac.STACError, KeyError, ValueError)
"""What pystac-client raises of a catalogue that fails or answers nonsense; each is named."""


@dataclass(frozen=True, slots=True)
class Span:
    """Days of a search, both ends included."""

    start: dt.date
    end: dt.date

    def interval(self) -> str:
        """Closed RFC 3339 interval; spans of successive days share no instant."""
        return f"{self.start.isoformat()}T00:00:00Z/{self.end.isoformat()}T23:59:59.999999Z"

    def parts(self) -> tuple[Span, ...]:
        """Two spans that part at the turn of a year; none within one year."""
        if self.start.year == self.end.year:
            return ()
        year = (self.start.year + self.end.year + 1) // 2
        turn = dt.date(year, 1, 1)
        return Span(self.start, turn - dt.timedelta(days=1)), Span(turn, self.end)

    def __str__(self) -> str:
        return f"{self.start}/{self.end}"


class PatientIO(StacApiIO):
    """Repeats each request that failed in passing, and remembers what was asked last."""

    def __init__(self, signer: Signer) -> None:
        super().__init__(max_retries=0, timeout=TIMEOUT_S, request_modifier=signer.authorise)
        self.asked = ""

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Send one request, several times if need be."""
        self.asked = f"{(method or 'GET').upper()} {public_href(href)}"
        for attempt in Retrying(
            retry=retry_if_exception(_passing),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=RETRY_WAIT_S),
            reraise=True,
        ):
            with attempt:
                answer: str = super().request(href, method, headers, parameters)
        return answer


def _passing(error: BaseException) -> bool:
    """Whether a failure may pass: no answer, too many requests, or a server error."""
    if not isinstance(error, APIError):
        return False
    status = getattr(error, "status_code", None)  # absent when there was no answer
    return status is None or status == 429 or status >= 500


def unreachable(href: str, where: str, error: BaseException, signer: Signer) -> CatalogError:
    """Error that names a catalogue and the request that failed, without secrets."""
    lines = signer.conceal(str(error)).splitlines()
    detail = next((line for line in lines if line.strip()), type(error).__name__)
    return CatalogError(
        f"catalogue {public_href(href)} could not be searched: {where}: {detail}; check the "
        "address, that the server runs, and the kind of catalogue"
    )


@dataclass
class _Ledger:
    """What one period has given so far."""

    given: set[Key] = field(default_factory=set)
    listed: set[Key] = field(default_factory=set)
    repeated: set[Key] = field(default_factory=set)
    counted: int | None = None
    pages: int = 0

    def begin(self) -> None:
        """Start another listing of the period."""
        self.listed, self.repeated, self.pages = set(), set(), 0

    def take(self, page: Mapping[str, JSON]) -> Iterator[Mapping[str, JSON]]:
        """Items of a page that were not given before."""
        self.counted = _counted(page)
        before = len(self.listed)
        for raw in page["features"]:
            key = _key(raw)
            if key in self.listed:
                self.repeated.add(key)
            self.listed.add(key)
            if key not in self.given:
                self.given.add(key)
                yield raw
        if len(self.listed) == before and _has_more(page):
            raise ValueError("gives items of earlier pages only: its links to the next page loop")
        self.pages += 1

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, as far as the catalogue lets us see."""
        if self.counted is None:
            return not self.repeated
        return len(self.given) >= self.counted


def _key(raw: Mapping[str, JSON]) -> Key:
    return str(raw.get("collection") or ""), str(raw["id"])


def _counted(page: Mapping[str, JSON]) -> int | None:
    """Number of matches a catalogue states; many state none."""
    number = page.get("numberMatched", (page.get("context") or {}).get("matched"))
    return None if number is None else int(number)


def _has_more(page: Mapping[str, JSON]) -> bool:
    return any(link.get("rel") == "next" for link in page.get("links") or ())


class ApiSearch:
    """One question to a STAC API.

    Parameters
    ----------
    href : str
    signer : Signer
    collections : sequence of str
    boxes : sequence of tuple
        West, south, east, north each, asked one after the other; empty: everywhere.
    most_cloud_percent : float, optional
        Sent as a number: as text some servers compare it letter by letter.
    """

    def __init__(
        self,
        href: str,
        signer: Signer,
        *,
        collections: Sequence[str],
        boxes: Sequence[Bounds],
        most_cloud_percent: float | None,
    ) -> None:
        self._href, self._signer = href, signer
        self._collections = list(collections) or None
        self._boxes = boxes
        limit = {"eo:cloud_cover": {"lte": most_cloud_percent}}
        self._query = None if most_cloud_percent is None else limit
        self._page = PAGE
        self._io = PatientIO(signer)
        self._client = self._open()

    def _open(self) -> pystac_client.Client:
        try:
            client = pystac_client.Client.open(
                self._href,
                stac_io=self._io,
                modifier=self._signer.modify,
                # given again: opening sets both anew on the transport it was handed
                request_modifier=self._signer.authorise,
                timeout=TIMEOUT_S,
            )
            # pgstac sorts and searches without advertising it; pystac-client would warn each time
            for ability in ("SORT", "QUERY"):
                if not client.conforms_to(ability):
                    client.add_conforms_to(ability)
        except FAILURES as error:
            raise unreachable(self._href, self._io.asked, error, self._signer) from None
        return client

    def items(self, span: Span) -> Iterator[Mapping[str, JSON] | Refusal]:
        """Items of a span, each once; memory holds one page and the ids of adjoining periods.

        A span of several years whose answer exceeds one page is parted at turns of years, so that
        paging stays short of the depth where servers stop (10,000 items, stac-utils/stac-server
        #111). A listing that repeats items (microsoft/PlanetaryComputer#163) or falls short of
        the stated number is made a second time, for what it missed.
        """
        if len(self._boxes) < 2:
            yield from self._span(span, next(iter(self._boxes), None), set())
            return
        seen: set[Key] = set()
        for bbox in self._boxes:
            for raw in self._span(span, bbox, set()):
                if isinstance(raw, Refusal):
                    yield raw
                elif _key(raw) not in seen:
                    seen.add(_key(raw))
                    yield raw

    def _span(
        self, span: Span, bbox: Bounds | None, known: set[Key]
    ) -> Iterator[Mapping[str, JSON] | Refusal]:
        """Items that ``known``, the ids of the period before, does not hold; replaces it."""
        ledger = _Ledger()
        for _ in range(LISTINGS):
            parts = yield from self._listing(span, bbox, ledger, known)
            for part in parts:
                yield from self._span(part, bbox, known)
            if parts:
                return
            if ledger.whole:
                break
        known.clear()
        known |= ledger.given
        yield from self._doubts(span, ledger)

    def _listing(
        self, span: Span, bbox: Bounds | None, ledger: _Ledger, known: set[Key]
    ) -> Generator[Mapping[str, JSON], None, tuple[Span, ...]]:
        """Page through a span once; gives its parts instead when it is long."""
        ledger.begin()
        try:
            for page in self._pages(span, bbox):
                if not ledger.given and _has_more(page) and (parts := span.parts()):
                    return parts
                for raw in ledger.take(page):
                    if _key(raw) not in known:
                        yield raw
        except FAILURES as error:
            if getattr(error, "status_code", None) not in _TOO_LARGE or self._page <= SMALLEST_PAGE:
                where = f"{self._io.asked}, {span}, page {ledger.pages + 1}"
                raise unreachable(self._href, where, error, self._signer) from None
        else:
            return ()
        self._page = max(SMALLEST_PAGE, self._page // 4)
        return (yield from self._listing(span, bbox, ledger, known))

    def _pages(self, span: Span, bbox: Bounds | None) -> Iterator[Mapping[str, JSON]]:
        found = self._client.search(
            collections=self._collections,
            bbox=bbox,
            datetime=span.interval(),
            query=self._query,
            sortby=[
                {"field": "properties.datetime", "direction": "asc"},
                {"field": "id", "direction": "asc"},
            ],
            limit=self._page,
        )
        return found.pages_as_dicts()

    def _doubts(self, span: Span, ledger: _Ledger) -> Iterator[Refusal]:
        if ledger.whole:
            return
        if ledger.counted is not None:
            raise CatalogError(
                f"catalogue {public_href(self._href)}: {self._io.asked}, {span}: its pages give "
                f"{len(ledger.given)} items of the {ledger.counted} it counts, twice over; needed "
                "all; search a shorter period or a smaller place"
            )
        for _, identity in sorted(ledger.repeated):
            yield Refusal(
                identity,
                f"came on two pages of {span} and was taken once: the catalogue's order is not "
                "stable and it states no count, so another item may be missing",
            )
