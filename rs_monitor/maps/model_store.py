"""Models on disk: refused unless the file is the card's own and fits what it is used on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import problems_of, read_toml
from rs_monitor.errors import ConfigError, ModelMismatch
from rs_monitor.maps.class_shares import own_shares
from rs_monitor.maps.land_cover import LandCoverModel
from rs_monitor.maps.model_arrays import Arrays, kind_of, model_of
from rs_monitor.maps.model_card import (
    NAME_PATTERN,
    SCHEMA_VERSION,
    SHARE_SUM_ERROR,
    VERSION_PATTERN,
    ModelCard,
)

CARD_NAME = "card.toml"
ARRAYS_NAME = "model.safetensors"
_FULL_NAME = re.compile(f"{NAME_PATTERN.strip('^$')}-{VERSION_PATTERN.strip('^$')}")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as it lies on disk, checked.

    Attributes
    ----------
    model : LandCoverModel
    card : ModelCard
    """

    model: LandCoverModel
    card: ModelCard

    @property
    def pixels(self) -> tuple[int, ...]:
        """Pixels of each class that it was trained on, in column order."""
        return tuple(entry.pixels for entry in self.card.classes)

    @property
    def record(self) -> dict[str, Any]:
        """What a manifest keeps of the model."""
        card = self.card
        return {
            "name": card.name,
            "version": card.version,
            "sha256": card.arrays.sha256,
            "kind": card.kind,
            "trained_on": card.training.data,
            "synthetic": card.training.synthetic,
            "validation": card.validation.model_dump(mode="json"),
            "not_for": list(card.not_for),
        }


def shipped_folder() -> Path:
    """Folder of the models that come with the program."""
    return data_root() / "models"


def models_in(folder: Path) -> list[Path]:
    """Folders of models in a folder, by name."""
    return sorted(path.parent for path in folder.glob(f"*/{CARD_NAME}"))


def full_name(name: str, version: str) -> str:
    """``<name>-<version>``, the name of a model's folder.

    Raises
    ------
    ConfigError
        If either holds anything but small letters, digits and hyphens; three numbers.
    """
    if re.fullmatch(NAME_PATTERN, name) is None or re.fullmatch(VERSION_PATTERN, version) is None:
        raise ConfigError(
            f"{name}-{version}",
            [
                "not the name of a model; give a name of small letters, digits and hyphens, and a "
                "version of three numbers such as 1.0.0"
            ],
        )
    return f"{name}-{version}"


def find_model(name_or_path: str, base: Path) -> Path:
    """Folder of a model: shipped under a name, or at a path.

    Parameters
    ----------
    name_or_path : str
        ``<name>-<version>``, or a path (anything with a slash), relative ones from ``base``.
    base : Path

    Raises
    ------
    ConfigError
        If there is no such model; names the shipped ones.
    """
    if "/" in name_or_path or "\\" in name_or_path:
        folder = _folder_at(base, name_or_path)
        if folder is not None:
            return folder
        raise ConfigError(
            name_or_path, [f"got a folder without {CARD_NAME}; give the folder of a model"]
        )
    shipped = [path.name for path in models_in(shipped_folder())]
    if _FULL_NAME.fullmatch(name_or_path) is None or name_or_path not in shipped:
        known = ", ".join(shipped) or "none"
        raise ConfigError(
            name_or_path,
            [
                f"no such model; shipped are {known}; give <name>-<version> of one of them, or the "
                "path of a folder written by rs-monitor train (./NAME for one right here)"
            ],
        )
    return shipped_folder() / name_or_path


def _folder_at(base: Path, path: str) -> Path | None:
    try:
        folder = (base / Path(path).expanduser()).resolve()
        return folder if (folder / CARD_NAME).is_file() else None
    except (OSError, RuntimeError, ValueError):
        # too long, a loop of links or an unknown home, a zero byte: no such folder
        return None


def load_card(folder: Path) -> ModelCard:
    """Read the card of a model and hold it against itself.

    Raises
    ------
    ConfigError
        With every mistake in the card.
    ModelMismatch
        If the card is of a newer program, of another folder, or contradicts itself.
    """
    path = folder / CARD_NAME
    table = read_toml(path)
    version = table.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ModelMismatch(
            f"{path}: got a card of schema_version {version}; this program reads up to "
            f"{SCHEMA_VERSION}; install a newer rs-monitor or train the model again"
        )
    try:
        card = ModelCard.model_validate(table)
    except ValidationError as error:
        raise ConfigError(str(path), problems_of(error)) from None
    _require_consistent(card, folder)
    return card


def _require_consistent(card: ModelCard, folder: Path) -> None:
    if folder.resolve().name != card.full_name:
        raise ModelMismatch(
            f"{folder}: got the card of {card.full_name}; needed a folder of that name; restore "
            "the name, a model is known by it"
        )
    if card.feature_names != card.features.names:
        raise ModelMismatch(
            f"{folder}: {_difference(card.feature_names, card.features.names)} in the card's "
            "feature_names beside its own table features; the card was edited: take the folder "
            "from its source again, or train"
        )
    lacking = sorted(set(card.features.required_bands) - set(card.imagery.bands))
    if lacking:
        raise ModelMismatch(
            f"{folder}: got a card whose bands are {', '.join(card.imagery.bands)}; its features "
            f"need {', '.join(lacking)} too; the card was edited: take the folder from its source "
            "again, or train"
        )


def load_model(folder: Path) -> StoredModel:
    """Load a model; the only way into the program, for maps and findings alike.

    Parameters
    ----------
    folder : Path
        As from :func:`find_model`; holds ``card.toml`` and ``model.safetensors``.

    Returns
    -------
    StoredModel

    Raises
    ------
    ConfigError
        With every mistake in the card.
    ModelMismatch
        If the file is not the one the card names, is no safetensors file, or holds other classes,
        features or trees than the card says.

    Notes
    -----
    The SHA-256 of the bytes is compared before anything of them is parsed; the format holds
    numbers only, so nothing in it can run.
    """
    card = load_card(folder)
    arrays = _parse(folder / ARRAYS_NAME, _checked_bytes(folder / ARRAYS_NAME, card))
    try:
        model = model_of(arrays)
    except ModelMismatch as error:
        raise ModelMismatch(f"{folder}: {error}") from None
    _require_card(model, card, folder)
    return StoredModel(model, card)


def _checked_bytes(path: Path, card: ModelCard) -> bytes:
    if not path.is_file():
        raise ModelMismatch(
            f"{path}: got no file; needed the arrays of {card.full_name}; take the folder from its "
            "source again, or train"
        )
    size = path.stat().st_size
    content = path.read_bytes() if size == card.arrays.bytes else b""
    found = hashlib.sha256(content).hexdigest() if content else f"{size} bytes"
    if found != card.arrays.sha256:
        raise ModelMismatch(
            f"{path}: got sha256 {found[:16]}, the card says {card.arrays.sha256[:16]} of "
            f"{card.arrays.bytes} bytes; the file was changed after training: do not use it; take "
            "the folder from its source again, or train"
        )
    return content


def _parse(path: Path, content: bytes) -> Arrays:
    try:
        parsed = parse_arrays(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelMismatch(
            f"{path}: got {_looks_like(content)}, not a safetensors file ({error}); needed arrays "
            "written by rs-monitor train; nothing in the file was run; do not use it"
        ) from None
    # parsed arrays are read-only views; kernels would be compiled a second time for them
    return {name: np.array(array) for name, array in parsed.items()}


def _looks_like(content: bytes) -> str:
    known = {b"PK\x03\x04": "a zip archive (joblib, npz or keras)", b"\x93NUMPY": "an npy file"}
    for start, what in known.items():
        if content.startswith(start):
            return what
    pickled = content[:1] == b"\x80" and content[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    return "a pickle" if pickled else "something"


def _require_card(model: LandCoverModel, card: ModelCard, folder: Path) -> None:
    edited = "the card was edited: take the folder from its source again, or train"
    if model.classes != card.class_values:
        raise ModelMismatch(
            f"{folder}: got a card with classes {_listed(card.class_values)}; the arrays hold "
            f"{_listed(model.classes)}; {edited}"
        )
    if kind_of(model) != card.kind:
        raise ModelMismatch(
            f"{folder}: got a card of kind {card.kind}; the arrays hold {kind_of(model)}; {edited}"
        )
    if model.features != card.feature_names:
        raise ModelMismatch(
            f"{folder}: {_difference(card.feature_names, model.features)} the arrays were trained "
            f"on; {edited}"
        )
    _require_shares(model, card, f"{folder}: ", edited)


def _require_shares(model: LandCoverModel, card: ModelCard, where: str, edited: str) -> None:
    if card.class_shares is None:
        return
    told = list(card.class_shares.shares.values())
    held = own_shares(model.calibrator, StoredModel(model, card).pixels)
    if not np.allclose(told, held, rtol=0.0, atol=SHARE_SUM_ERROR):
        raise ModelMismatch(
            f"{where}got a card with class shares {_listed(told)}; those of the arrays are "
            f"{_listed(held.round(6).tolist())}; {edited}"
        )


def _difference(got: Sequence[str], needed: Sequence[str]) -> str:
    """The first place in which two lists of features part."""
    pairs = zip(got, needed, strict=False)
    place = next((k for k, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    if place is None:
        return f"got {len(got)} features instead of the {len(needed)}"
    return f"got feature {got[place]!r} in place {place + 1} instead of {needed[place]!r}"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values)) or "none"
