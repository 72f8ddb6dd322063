"""Moments as text and back: UTC, to the millisecond."""

from __future__ import annotations

import datetime as dt


def format_utc(when: dt.datetime) -> str:
    """RFC 3339 text with Z, milliseconds only where there are any."""
    text = when.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return text.replace(".000Z", "Z")


def parse_utc(text: str) -> dt.datetime:
    """Parse RFC 3339 text to UTC, cut to milliseconds; a time without zone is UTC."""
    when = dt.datetime.fromisoformat(text)
    aware = when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)
