"""One writer per run folder."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from pathlib import Path

from rs_monitor.errors import RunError
from rs_monitor.outputs.manifest import utc_now

LOCK_NAME = ".lock"


class FolderLock:
    """Exclusive hold on a run folder; the system lets go of it when the process dies.

    Parameters
    ----------
    folder : Path
        Run folder.

    Raises
    ------
    RunError
        If another process, or another RunFolder of this process, holds it.

    Notes
    -----
    The file names the holder (process id, start time) for the message; the hold itself is an
    advisory lock of the operating system, so what ``kill -9`` leaves behind never blocks.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._descriptor = self._acquire()
        self.left_behind = self._read()
        self._write()

    def release(self) -> None:
        """Let go; the file is removed while still held, so nobody sees a stale one."""
        if self._descriptor < 0:
            return
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _acquire(self) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise RunError(self._refusal(error)) from None
            if self._is_current(descriptor):
                return descriptor
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file we locked still carries the name (a releasing holder removes it)."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _refusal(self, error: OSError) -> str:
        if not isinstance(error, BlockingIOError):
            return (
                f"{self._path.parent}: got {error.strerror}; needed a file system with locks; put "
                "the run folder on another one"
            )
        try:
            holder = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            holder = {}
        return (
            f"{self._path.parent}: got a folder that process {holder.get('pid', '?')} on "
            f"{holder.get('host', 'this machine')} has been writing since "
            f"{holder.get('since', 'just now')}; needed the folder alone; wait for that run or "
            "choose another --out"
        )

    def _read(self) -> str:
        return os.read(self._descriptor, 4096).decode("utf-8", errors="replace")

    def _write(self) -> None:
        holder = {"pid": os.getpid(), "since": utc_now(), "host": platform.node()}
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, json.dumps(holder).encode("utf-8"))
        os.fsync(self._descriptor)
