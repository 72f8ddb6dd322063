"""What lies where in a run folder, and when it may be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rs_monitor.errors import RunError
from rs_monitor.outputs.atomic import PREFIX
from rs_monitor.outputs.blocks import safe_name
from rs_monitor.outputs.digest import file_sha256
from rs_monitor.outputs.lock import LOCK_NAME
from rs_monitor.outputs.manifest import MANIFEST_NAME, Manifest, read_manifest

SUMS_NAME = "SHA256SUMS"
PLAN_NAME = "plan.json"
CONFIG_NAME = "config.toml"
LOG_NAME = "log.jsonl"
REPORT_NAME = "report/index.html"
CATALOG_NAME = "stac/catalog.json"


def map_path(run: Path, zone: str, product: str) -> Path:
    """Where a raster product of a zone lies."""
    return run / "maps" / safe_name(zone) / f"{safe_name(product)}.tif"


def require_usable(path: Path, mark: str) -> None:
    """Refuse a folder that is not ours to write in.

    Parameters
    ----------
    path : Path
        The folder asked for.
    mark : str
        Fingerprint of the plan.

    Raises
    ------
    RunError
        If it is a file, holds foreign files, or belongs to another plan.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path}: got a file; needed a folder; choose another --out")
    if (path / MANIFEST_NAME).is_file():
        manifest = read_manifest(path)
        if manifest.plan_fingerprint != mark:
            raise RunError(
                f"{path}: got the folder of another plan ({manifest.run_id}, plan "
                f"{manifest.plan_fingerprint[:8]}); needed plan {mark[:8]}; choose an empty "
                "--out, or restore the job file and inputs the folder was made with"
            )
        return
    strangers = sorted(p.name for p in path.iterdir() if not _ours(p.name))
    if strangers:
        raise RunError(
            f"{path}: got a folder with {', '.join(strangers[:3])} and no {MANIFEST_NAME}; needed "
            "an empty folder or a run folder; choose another --out"
        )


def _ours(name: str) -> bool:
    return name == LOCK_NAME or name.startswith(PREFIX)


def listed_files(path: Path) -> list[str]:
    """Every file the sums cover, as sorted relative paths."""
    names = (p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return sorted(name for name in names if name not in {SUMS_NAME, LOCK_NAME})


def sums_text(path: Path) -> str:
    """Text of ``SHA256SUMS``, as ``sha256sum --check`` reads it."""
    return "".join(f"{file_sha256(path / name)}  {name}\n" for name in listed_files(path))


def is_finished(path: Path) -> bool:
    """Whether a folder may be reported from: final status and sums are both there."""
    if not (path / MANIFEST_NAME).is_file() or not (path / SUMS_NAME).is_file():
        return False
    return read_manifest(path).status in {"finished", "finished_with_failures"}


def require_finished(path: Path) -> Manifest:
    """Return the manifest of a finished run, or refuse.

    Raises
    ------
    RunError
        If the folder is no run folder or the run did not finish.
    """
    manifest = read_manifest(path)
    if not is_finished(path):
        raise RunError(
            f"{path}: got a run with status {manifest.status}; needed a finished one; run the same "
            "command again, it resumes"
        )
    return manifest


def stored_plan(path: Path) -> dict[str, Any] | None:
    """Plan frozen in a run folder; None where there is none yet."""
    file = path / PLAN_NAME
    if not file.is_file():
        return None
    plan: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return plan
