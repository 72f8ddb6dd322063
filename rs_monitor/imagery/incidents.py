"""Reads that failed and then succeeded: a run names them instead of forgetting them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_REPEATED = re.compile(r"\s*Retrying again in .*", re.DOTALL)
_ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?:[^\s/'\"]+@)?(?P<rest>[^\s?'\"]*)")
_QUERY = re.compile(r"\?[^\s'\"]*")
_PREFIX = re.compile(r"^CPLE_\w+ in ")


@dataclass(frozen=True, slots=True)
class ReadIncident:
    """One read that was repeated until it succeeded.

    Attributes
    ----------
    item_id, band : str
    attempts : int
        Tries in all, those inside GDAL's own requests included; at least 2.
    reason : str
        What the failed tries met, without query strings and credentials.
    """

    item_id: str
    band: str
    attempts: int
    reason: str


_kept: ContextVar[list[ReadIncident] | None] = ContextVar("recorded_reads", default=None)
_met: ContextVar[list[str] | None] = ContextVar("failed_requests", default=None)


@contextmanager
def recorded_reads() -> Iterator[list[ReadIncident]]:
    """Record the reads inside the block that needed more than one try.

    Yields
    ------
    list of ReadIncident
        Filled while pixels are read, in the order the reads ended. Reads of this thread and of
        dask's threads count; in a distributed cluster open the block inside the task.
    """
    found: list[ReadIncident] = []
    token = _kept.set(found)
    try:
        yield found
    finally:
        _kept.reset(token)


@contextmanager
def failed_requests() -> Iterator[list[str]]:
    """Collect what the tries of one read meet; GDAL's silent repeats of a request included."""
    met: list[str] = []
    token = _met.set(met)
    try:
        yield met
    finally:
        _met.reset(token)


def record_healed(item_id: str, band: str, met: list[str]) -> None:
    """Take down a read that succeeded after the failures it met; nothing if there were none."""
    kept = _kept.get()
    if kept is not None and met:
        reasons = dict.fromkeys(redacted_reason(text) for text in met)
        kept.append(ReadIncident(item_id, band, len(met) + 1, "; ".join(reasons)))


def redacted_reason(text: str) -> str:
    """Free text of GDAL without query strings, credentials and its own prefixes."""
    return redacted(_PREFIX.sub("", _REPEATED.sub("", text)).strip().removesuffix("."))


def redacted(text: str) -> str:
    """Text without the query strings and credentials of its addresses."""
    plain = _ADDRESS.sub(lambda found: found["scheme"] + found["rest"], text)
    return _QUERY.sub("?...", plain)


def _note_repeat(record: logging.LogRecord) -> bool:
    """Take down GDAL's warning that it repeats a request; whether the record is wanted."""
    met = _met.get()
    if met is not None and "Retrying again" in (text := record.getMessage()):
        met.append(text)
    return record.levelno >= _GDAL.parent.getEffectiveLevel() if _GDAL.parent else True


def _without_secrets(record: logging.LogRecord) -> bool:
    """Take signatures and credentials out of a record before any handler sees it."""
    text = record.getMessage()
    plain = redacted(text)
    if plain != text:
        record.msg, record.args = plain, None
    return True


# GDAL repeats a request inside one read and only warns; rasterio passes that on in this logger,
# whose own level keeps the warnings coming where a user has silenced those above it.
_GDAL = logging.getLogger("rasterio._env")
_GDAL.addFilter(_note_repeat)
if _GDAL.level == logging.NOTSET:
    _GDAL.setLevel(logging.WARNING)

# each by its name: the filters of a logger do not see the records of those below it
_NAME_ADDRESSES = (
    *("rasterio", "rasterio._env", "rasterio._err", "rasterio._io", "rasterio._base"),
    *("rasterio._warp", "rasterio._filepath", "rasterio._vsiopener", "rasterio.env", "rasterio.io"),
    *("rasterio.session", "rasterio.crs", "rasterio.shutil"),
    *("urllib3.connectionpool", "urllib3.util.retry", "urllib3.poolmanager"),
    *("pystac_client.stac_api_io",),
)
for _name in _NAME_ADDRESSES:
    logging.getLogger(_name).addFilter(_without_secrets)
