"""Tables for spreadsheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from rs_monitor.errors import LayerError
from rs_monitor.outputs.atomic import replacing
from rs_monitor.outputs.sample_files import require_new

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def require_csv(path: Path) -> None:
    """Refuse a name that no new table can have.

    Raises
    ------
    LayerError
        With another suffix than ``.csv``; if the file is there already.
    """
    if path.suffix.lower() != ".csv":
        raise LayerError(
            f"{path.name}: got suffix {path.suffix!r}; needed .csv; choose another name"
        )
    require_new(path)


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Write a table atomically: UTF-8 with the mark by which spreadsheets know it.

    Parameters
    ----------
    path : Path
        As :func:`require_csv` wants it.
    table : DataFrame
        Numbers are written so that they read back to the bit. Text that a spreadsheet would take
        for a formula gets an apostrophe before it.
    """
    require_csv(path)
    with replacing(path) as temporary:
        table.map(_as_text).to_csv(temporary, index=False, encoding="utf-8-sig")
    return path


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
