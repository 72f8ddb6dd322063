"""Finished pieces of work, kept so that a run can be taken up again."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_monitor.errors import QuantityError
from rs_monitor.outputs.atomic import replacing, write_json
from rs_monitor.outputs.digest import file_sha256

ABSENT = "not made yet"
OTHER_INPUTS = "inputs, parameters, model or code changed"
DAMAGED = "file differs from its recorded hash"
NO_RECORD = "its record is missing or unreadable"

_LONGEST_NAME_BYTES = 100
_SAFE = re.compile(r"[^\W.][\w.-]*")


def safe_name(text: str) -> str:
    """Turn any text into one path component.

    Parameters
    ----------
    text : str
        E.g. the id of a zone as delivered.

    Returns
    -------
    str
        The text itself where it is letters, digits, ``_ - .``; otherwise a cleaned form with eight
        hex digits of its hash, so that two ids never share a folder.
    """
    if _SAFE.fullmatch(text) and len(text.encode("utf-8")) <= _LONGEST_NAME_BYTES:
        return text
    cleaned = re.sub(r"\W+", "_", text).strip("_")[:24] or "id"
    return f"{cleaned}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class BlockStore:
    """The blocks of one run folder; small and picklable, so workers can save from anywhere.

    Attributes
    ----------
    root : Path
        The run folder.
    """

    root: Path

    def block_path(self, zone: str, stage: str, name: str) -> Path:
        """Path of the arrays of a block; its record lies beside it as ``.json``."""
        folder = self.root / "blocks" / safe_name(zone) / safe_name(stage)
        return folder / f"{safe_name(name)}.npz"

    def save_block(
        self, zone: str, stage: str, name: str, arrays: Mapping[str, NDArray[Any]], fingerprint: str
    ) -> str:
        """Write the arrays of a block, then its record; both atomically.

        Parameters
        ----------
        zone, stage, name : str
            Which piece of work.
        arrays : mapping of str to ndarray
            Results; objects are refused, nothing is ever pickled.
        fingerprint : str
            Digest of inputs, parameters, model and code the result depends on.

        Returns
        -------
        str
            SHA-256 of the file.
        """
        path = self.block_path(zone, stage, name)
        with replacing(path) as temporary:
            _write_npz(temporary, arrays)
        sha256 = file_sha256(path)
        write_json(path.with_suffix(".json"), {"fingerprint": fingerprint, "sha256": sha256})
        return sha256

    def check_block(self, zone: str, stage: str, name: str, fingerprint: str) -> str | None:
        """Why a block cannot be reused; None when it can."""
        path = self.block_path(zone, stage, name)
        reason, sha256 = _record(path, fingerprint)
        if reason is None and file_sha256(path) != sha256:
            return DAMAGED
        return reason

    def load_block(
        self, zone: str, stage: str, name: str, fingerprint: str
    ) -> dict[str, NDArray[Any]] | None:
        """Arrays of a block; None when :meth:`check_block` names a reason."""
        return self.read_block(zone, stage, name, fingerprint)[0]

    def read_block(
        self,
        zone: str,
        stage: str,
        name: str,
        fingerprint: str,
        only: Collection[str] | None = None,
    ) -> tuple[dict[str, NDArray[Any]] | None, str | None]:
        """Arrays of a block, all or those named ``only``; or None and the reason."""
        path = self.block_path(zone, stage, name)
        reason, sha256 = _record(path, fingerprint)
        if reason is not None:
            return None, reason
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            return None, DAMAGED
        return _read_npz(content, only), None


def _record(path: Path, fingerprint: str) -> tuple[str | None, str]:
    """Reason from the record of a block, and the hash it gives."""
    if not path.is_file():
        return ABSENT, ""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        written, sha256 = record["fingerprint"], str(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return NO_RECORD, ""
    return (None if written == fingerprint else OTHER_INPUTS), sha256


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a plain .npz whose bytes depend on the arrays alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            if np.asarray(array).dtype.hasobject:
                raise QuantityError(
                    f"got array {name!r} of objects; needed numbers or fixed-width text; "
                    "convert it before saving"
                )
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue())


def _read_npz(content: bytes, only: Collection[str] | None) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if only is None or name in only}
