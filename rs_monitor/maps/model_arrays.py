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

MAY_MISS = frozenset({"domain.points"})
"""Arrays in which NaN says that a training pixel had no such feature."""

SHARE_ERROR = 1e-3
"""By which the class shares of a leaf may miss 1 in float32."""

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
    kind = str(_read_json(arrays, KIND + JSON))
    if kind not in TREES:
        raise ModelMismatch(f"got trees of kind {kind!r}; needed one of {', '.join(TREES)}; train")
    names = [field.name for field in fields(TREES[kind])]
    trees = TREES[kind](**{name: _array(arrays, f"trees.{name}") for name in names})
    classes, features = _classes(arrays), _features(arrays)
    check = check_forest if kind == "forest" else check_boost
    check(trees, features=len(features), classes=len(classes))
    if isinstance(trees, FlatForest):
        _require_shares(trees)
    held = {part: _part(arrays, part) for part in PARTS}
    parts = {part: PARTS[part].from_arrays(found) for part, found in held.items() if found}
    model = LandCoverModel(trees=trees, classes=classes, features=features, **parts)
    _require_fitting(model)
    return model


def _classes(arrays: Arrays) -> tuple[int, ...]:
    values = _array(arrays, CLASSES)
    if values.dtype != np.uint8 or values.ndim != 1:
        raise ModelMismatch(
            f"got {CLASSES!r} of {values.dtype} with {values.ndim} dimensions; needed a row of "
            "uint8; train the model again"
        )
    return tuple(values.tolist())


def _features(arrays: Arrays) -> tuple[str, ...]:
    names = _read_json(arrays, FEATURES + JSON)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelMismatch(
            f"got {FEATURES + JSON!r} that is no list of names; needed the features in their "
            "order; train the model again"
        )
    return tuple(names)


def _require_shares(trees: FlatForest) -> None:
    sums = trees.proba.sum(axis=1, dtype=np.float64)
    if not np.allclose(sums, 1.0, rtol=0.0, atol=SHARE_ERROR):
        raise ModelMismatch(
            f"got leaves with class shares that do not add up to 1 but to {sums.min():g} to "
            f"{sums.max():g}; needed the arrays a training wrote; train the model again"
        )


def _require_fitting(model: LandCoverModel) -> None:
    classes, features = len(model.classes), len(model.features)
    calibrated = classes if model.calibrator is None else len(model.calibrator.bias)
    known = features if model.domain is None else len(model.domain.center)
    if (calibrated, known) != (classes, features):
        raise ModelMismatch(
            f"got a calibration of {calibrated} classes and a domain of {known} features; needed "
            f"{classes} and {features}, those of the trees; train the model again"
        )
    if model.calibrator is not None and model.calibrator.floor <= 0:
        raise ModelMismatch(
            f"got a calibration that adds {model.calibrator.floor:g} before its logarithm; needed "
            "more than 0; train the model again"
        )


def _within(part: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {f"{part}.{name}": array for name, array in arrays.items()}


def _part(arrays: Arrays, part: str) -> dict[str, NDArray[Any]]:
    start = f"{part}."
    found = {name: array for name, array in arrays.items() if name.startswith(start)}
    for name, array in found.items():
        _require_numbers(name, array)
    return {name.removeprefix(start): array for name, array in found.items()}


def _require_numbers(name: str, array: NDArray[Any]) -> None:
    """A comparison with NaN is false without a word: all ground would pass for inside."""
    if array.dtype.kind not in "fiu":
        raise ModelMismatch(
            f"got {name!r} of {array.dtype}; needed real numbers; train the model again"
        )
    if name not in MAY_MISS and not np.isfinite(array).all():
        raise ModelMismatch(
            f"got {name!r} that holds NaN or infinity; needed finite numbers; train the model again"
        )


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
        return json.loads(np.asarray(_array(arrays, name), dtype=np.uint8).tobytes())
    except (ValueError, RecursionError) as error:
        raise ModelMismatch(
            f"got {name!r} that cannot be read ({error}); needed a file written by rs-monitor "
            "train; train the model again"
        ) from None
