"""Writes that a crash cannot leave half done."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PREFIX = ".tmp-"
"""Start of the name of every unfinished file, sidecars of it included."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside a file; it takes the file's place when the block ends well.

    Parameters
    ----------
    path : Path
        Final name; missing folders are made.

    Yields
    ------
    Path
        Name to write to, with the same ending. It is flushed to disk before the rename, so the
        final name holds either the old content or the whole new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PREFIX}{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically, line ends as given."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> Path:
    """Write readable JSON atomically; numbers that JSON lacks are refused."""
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
    return write_text(path, text + "\n")


def clean_leftovers(folder: Path) -> list[Path]:
    """Remove unfinished files of writers that died; returns what was removed."""
    found = sorted(path for path in folder.rglob(f"{PREFIX}*") if path.is_file())
    for path in found:
        path.unlink()
    return found


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
