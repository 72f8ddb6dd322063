"""One writer at a time, on any system, and never a lock left behind by a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rs_monitor.errors import RunError

WAIT_S = 60.0
"""How long to wait for another writer."""


@contextmanager
def exclusive(path: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the right to write a file.

    Parameters
    ----------
    path : Path
        File to be written; the lock lies beside it.
    wait_s : float
        Seconds to wait for another writer.

    Raises
    ------
    RunError
        If another writer holds the file for longer.

    Notes
    -----
    The lock is that of an empty SQLite file: the system lets go of it when the process ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with closing(sqlite3.connect(lock, timeout=wait_s, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise RunError(
                f"got {path.name} held by another writer; needed it alone for {wait_s:.0f} s; wait "
                "until the other run has recorded its findings"
            ) from error
        yield
