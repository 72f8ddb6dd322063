"""Settings and cards as TOML text."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LINE = 100


def toml_text(table: Mapping[str, Any]) -> str:
    """Spell a table as TOML.

    Parameters
    ----------
    table : mapping
        Strings, numbers, truth values, dates, lists of them, tables, and lists of tables. A value
        that is None is left out: TOML has no word for it.

    Returns
    -------
    str
        Plain keys first, then tables, then lists of tables, each in the order given.

    Raises
    ------
    TypeError
        For a value that TOML cannot hold.
    """
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    given = {key: value for key, value in table.items() if value is not None}
    tables = {key: value for key, value in given.items() if isinstance(value, Mapping)}
    rows = {key: value for key, value in given.items() if _is_rows(value)}
    plain = given.keys() - tables.keys() - rows.keys()
    lines = [_assignment(key, value) for key, value in given.items() if key in plain]
    for key, value in tables.items():
        lines += ["", f"[{_path(*path, key)}]", *_lines(value, (*path, key))]
    for key, value in rows.items():
        for row in value:
            lines += ["", f"[[{_path(*path, key)}]]", *_lines(row, (*path, key))]
    return lines


def _is_rows(value: Any) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    return listed and bool(value) and all(isinstance(row, Mapping) for row in value)


def _assignment(key: str, value: Any) -> str:
    line = f"{_path(key)} = {_value(value)}"
    if len(line) <= _LINE or not isinstance(value, Sequence) or isinstance(value, str):
        return line
    return "\n".join([f"{_path(key)} = [", *(f"    {_value(part)}," for part in value), "]"])


def _path(*keys: str) -> str:
    return ".".join(key if _BARE.fullmatch(key) else _text(key) for key in keys)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(part) for part in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_path(key)} = {_value(part)}" for key, part in value.items())
        return f"{{ {', '.join(pairs)} }}"
    raise TypeError(
        f"got a {type(value).__name__}; needed text, a number, a date, a list or a table; "
        "convert it first"
    )


def _text(text: str) -> str:
    # JSON escapes what TOML's basic strings escape, but for DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
