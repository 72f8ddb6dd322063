"""TOML through pydantic, every mistake reported at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rs_monitor.config.change import CHANGE_METHODS
from rs_monitor.errors import ConfigError

Table = TypeVar("Table", bound=BaseModel)


def load_table(path: Path, model: type[Table]) -> Table:
    """Read a TOML file into a model.

    Raises
    ------
    ConfigError
        Lists every mistake with file, key and expectation.
    """
    try:
        return model.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(str(path), problems_of(error)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a syntax error or missing file becomes a ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), ["no such file; give the path of a TOML job file"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from error


def problems_of(error: ValidationError) -> list[str]:
    """One line per mistake: key, expectation, what was got."""
    return [_problem(detail) for detail in error.errors(include_url=False)]


def _problem(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in _without_tag(detail["loc"])) or "(whole file)"
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key; remove it or check its spelling"
    if kind == "missing":
        return f"{key}: missing; it is required"
    message = str(detail["msg"]).removeprefix("Value error, ")
    got = detail.get("input")
    shown = "" if isinstance(got, Mapping) else f"; got {got!r}"
    return f"{key}: {message}{shown}"


def _without_tag(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Drop the chosen method that pydantic puts behind ``change``: it is no key of the file."""
    if location[:1] == ("change",) and location[1:2] and location[1] in CHANGE_METHODS:
        return (location[0], *location[2:])
    return location
