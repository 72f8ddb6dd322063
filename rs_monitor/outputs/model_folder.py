"""Write a model to disk: its arrays in a format that cannot run, and its card."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.numpy import save

from rs_monitor.errors import RunError
from rs_monitor.maps.land_cover import LandCoverModel
from rs_monitor.maps.model_arrays import arrays_of
from rs_monitor.maps.model_card import ArraysCard, ModelCard
from rs_monitor.maps.model_store import ARRAYS_NAME, CARD_NAME
from rs_monitor.outputs.atomic import write_bytes, write_text
from rs_monitor.outputs.blocks import BlockStore
from rs_monitor.outputs.lock import FolderLock
from rs_monitor.outputs.toml_text import toml_text

HEAD = (
    "# Written by rs-monitor train. The arrays are refused unless they are those of this card;\n"
    "# edited by hand, it no longer says what was measured.\n"
)


def arrays_bytes(model: LandCoverModel) -> bytes:
    """Spell the arrays of a model as a safetensors file; equal models give equal bytes."""
    arrays = arrays_of(model)
    return save({name: arrays[name].copy() for name in sorted(arrays)})


def arrays_card(content: bytes) -> ArraysCard:
    """Describe the file of the arrays."""
    return ArraysCard(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def write_model(parent: Path, model: LandCoverModel, card: ModelCard) -> Path:
    """Write ``<name>-<version>/``; the card last, so that no half model has one.

    Parameters
    ----------
    parent : Path
        Folder the model's folder is made in.
    model : LandCoverModel
    card : ModelCard
        Its entry of the arrays is taken from the file itself.

    Returns
    -------
    Path
        The model's folder.

    Raises
    ------
    RunError
        If a model of that name and version lies there.
    """
    content = arrays_bytes(model)
    described = card.model_copy(update={"arrays": arrays_card(content)})
    text = HEAD + toml_text(described.model_dump(mode="python"))
    folder = parent / described.full_name
    _require_absent(folder)
    write_bytes(folder / ARRAYS_NAME, content)
    write_text(folder / CARD_NAME, text)
    return folder


@contextmanager
def training_blocks(parent: Path, full_name: str) -> Iterator[BlockStore]:
    """Blocks of a training: kept when it fails, so that it resumes; removed when it ends well.

    Raises
    ------
    RunError
        If a model of that name and version is there already, or is being trained.
    """
    _require_absent(parent / full_name)
    root = parent / f".{full_name}"
    root.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(root)
    try:
        yield BlockStore(root)
    except BaseException:
        lock.release()
        raise
    lock.release()
    shutil.rmtree(root)


def _require_absent(folder: Path) -> None:
    if (folder / CARD_NAME).exists():
        raise RunError(
            f"{folder}: got a model of this name and version already; a published model never "
            "changes; give a higher --version or another --out"
        )
