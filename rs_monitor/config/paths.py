"""Where files of a job and of the package lie."""

from __future__ import annotations

import os
from pathlib import Path

from rs_monitor.errors import ConfigError

DATA_VARIABLE = "RS_MONITOR_DATA"
"""Environment variable that names the folder ``data:`` paths start from."""


def data_root() -> Path:
    """Folder that holds ``configs`` and ``models``: inside the wheel or the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_data"
    return installed if installed.is_dir() else package.parent


def resolve_path(text: str, *, base: Path, data: Path | None) -> Path:
    """Turn a path of a job file into a real one.

    Parameters
    ----------
    text : str
        ``data:NAME`` starts from the data folder, a relative path from ``base``.
    base : Path
        Folder of the job file.
    data : Path, optional
        ``--data``; without it the environment variable ``RS_MONITOR_DATA``.
    """
    if text.startswith("data:"):
        root = data or (Path(os.environ[DATA_VARIABLE]) if DATA_VARIABLE in os.environ else None)
        if root is None:
            raise ConfigError(
                text,
                [f"needs a data folder; pass --data DIR or set the variable {DATA_VARIABLE}"],
            )
        return (root / text.removeprefix("data:")).resolve()
    path = Path(text).expanduser()
    return (path if path.is_absolute() else base / path).resolve()


def require_file(path: Path, key: str) -> Path:
    """Return the path if something lies there.

    Raises
    ------
    ConfigError
        Names the key of the job file.
    """
    if not path.exists():
        raise ConfigError(
            str(path), [f"{key}: no such file; relative paths start from the job file's folder"]
        )
    return path
