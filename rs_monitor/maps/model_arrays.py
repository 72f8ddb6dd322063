"""A land-cover model as named arrays and back: what is stored, and what its digest covers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_monitor.errors import ModelMismatch
from rs_monitor.kernels.boosting import FlatBoost, check_boost
from rs_monitor.kernels.forest import FlatForest, check_forest
from rs_monitor.maps.applicability import Domain
from rs_monitor.maps.calibration import Calibrator
from rs_monitor.maps.land_cover import LandCoverModel

Arrays = Mapping[str, NDArray[Any]]

KIND, CLASSES, FEATURES = "kind", "classes", "features"
JSON = ".json"
"""Ending of an array that holds UTF-8 JSON: what a record keeps beside its arrays."""

TREES: Mapping[str, type[Any]] = {"forest": FlatForest, "boosting": FlatBoost}
PARTS: Mapping[str, type[Any]] = {"calibrator": Calibrator, "domain": Domain}


def arrays_of(model: LandCoverModel) -> dict[str, NDArray[Any]]:
    """Lay a model out as arrays by name; numbers and JSON only, never objects."""
    trees = {field.name: getattr(model.trees, field.name) for field in fields(model.trees)}
    arrays = {
        KIND + JSON: _json(kind_of(model)),
        CLASSES: np.asarray(model.classes, dtype=np.uint8),
        FEATURES + JSON: _json(model.features),
        **_within("trees", trees),
    }
    for part in PARTS:
        record = getattr(model, part)
        arrays |= {} if record is None else _within(part, record.to_arrays())
    return arrays


def kind_of(model: LandCoverModel) -> str:
    """What grew the trees of a model."""
    return next(kind for kind, record in TREES.items() if isinstance(model.trees, record))


def model_of(arrays: Arrays) -> LandCoverModel:
    """Put a model together from its arrays.

    Raises
    ------
    ModelMismatch
        If something is missing, or the trees would lead a walk out of their arrays or ask for
        features or classes that the model does not have.
    """
    kind = _read_json(arrays, KIND + JSON)
    if kind not in TREES:
        raise ModelMismatch(f"got trees of kind {kind!r}; needed one of {', '.join(TREES)}; train")
    names = [field.name for field in fields(TREES[kind])]
    trees = TREES[kind](**{name: _array(arrays, f"trees.{name}") for name in names})
    classes = tuple(_array(arrays, CLASSES).tolist())
    features = _read_json(arrays, FEATURES + JSON)
    check = check_forest if kind == "forest" else check_boost
    check(trees, features=len(features), classes=len(classes))
    held = {part: _part(arrays, part) for part in PARTS}
    parts = {part: PARTS[part].from_arrays(found) for part, found in held.items() if found}
    model = LandCoverModel(trees=trees, classes=classes, features=features, **parts)
    _require_fitting(model)
    return model


def _require_fitting(model: LandCoverModel) -> None:
    classes, features = len(model.classes), len(model.features)
    calibrated = classes if model.calibrator is None else len(model.calibrator.bias)
    known = features if model.domain is None else len(model.domain.center)
    if (calibrated, known) != (classes, features):
        raise ModelMismatch(
            f"got a calibration of {calibrated} classes and a domain of {known} features; needed "
            f"{classes} and {features}, those of the trees; train the model again"
        )


def _within(part: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {f"{part}.{name}": array for name, array in arrays.items()}


def _part(arrays: Arrays, part: str) -> dict[str, NDArray[Any]]:
    start = f"{part}."
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def _array(arrays: Arrays, name: str) -> NDArray[Any]:
    if name not in arrays:
        raise ModelMismatch(
            f"got arrays without {name!r}; needed a file written by rs-monitor train; train again"
        )
    return arrays[name]


def _json(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8).copy()


def _read_json(arrays: Arrays, name: str) -> Any:
    try:
        value = json.loads(np.asarray(_array(arrays, name), dtype=np.uint8).tobytes())
    except ValueError as error:
        raise ModelMismatch(
            f"got {name!r} that cannot be read ({error}); needed a file written by rs-monitor "
            "train; train the model again"
        ) from None
    return tuple(value) if isinstance(value, list) else value
