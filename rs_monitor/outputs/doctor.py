"""Re-checks everything a run folder says about itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from rs_monitor.errors import CoverageError, ReadError, RunError
from rs_monitor.findings.statement import require_complete
from rs_monitor.outputs.digest import file_sha256
from rs_monitor.outputs.layout import SUMS_NAME, listed_files, stored_plan
from rs_monitor.outputs.manifest import (
    Manifest,
    OutputRecord,
    content_digest_of,
    read_manifest,
)
from rs_monitor.outputs.products import raster_content, vector_file_content
from rs_monitor.outputs.vectors import read_layers

_CONTENT: Mapping[str, Callable[[Path], str]] = {
    "raster": raster_content,
    "vector": vector_file_content,
}


def check_run(path: Path) -> list[str]:
    """Check status, files, hashes, content digests and coverage of a run folder.

    Parameters
    ----------
    path : Path
        Run folder.

    Returns
    -------
    list of str
        One line per problem; empty when everything is as the run left it.

    Raises
    ------
    RunError
        If the folder holds no readable manifest at all.
    """
    try:
        manifest = read_manifest(path)
    except RunError as error:
        if not (path / SUMS_NAME).is_file():
            raise
        return [str(error), *_sum_problems(path)]
    return [
        *_status_problems(manifest),
        *_sum_problems(path),
        *(problem for record in manifest.outputs for problem in _output_problems(path, record)),
        *_digest_problems(manifest),
        *_coverage_problems(path, manifest),
    ]


def _status_problems(manifest: Manifest) -> list[str]:
    if manifest.status in {"finished", "finished_with_failures"}:
        return []
    return [f"status is {manifest.status}: the run did not finish; run it again, it resumes"]


def _sum_problems(path: Path) -> list[str]:
    sums = path / SUMS_NAME
    if not sums.is_file():
        return [f"{SUMS_NAME}: missing; the run did not finish"]
    recorded = _read_sums(sums)
    present = set(listed_files(path))
    missing = [f"{name}: missing" for name in sorted(set(recorded) - present)]
    extra = [f"{name}: not part of the run" for name in sorted(present - set(recorded))]
    changed = [
        f"{name}: bytes differ from {SUMS_NAME}"
        for name in sorted(present & set(recorded))
        if file_sha256(path / name) != recorded[name]
    ]
    return missing + changed + extra


def _read_sums(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in lines if "  " in line)
    return {name: digest for digest, name in pairs}


def _output_problems(path: Path, record: OutputRecord) -> list[str]:
    file = path / record.path
    if not file.is_file():
        return [f"{record.path}: named in the manifest but missing"]
    problems = []
    if file_sha256(file) != record.sha256:
        problems.append(f"{record.path}: bytes differ from the manifest")
    compute = _CONTENT.get(record.kind)
    if compute is not None:
        problems += _content_problems(file, record, compute)
    return problems


def _content_problems(
    file: Path, record: OutputRecord, compute: Callable[[Path], str]
) -> list[str]:
    try:
        same = compute(file) == record.content_digest
    except ReadError as error:
        return [f"{record.path}: cannot be read: {error}"]
    return [] if same else [f"{record.path}: content differs from the manifest's digest"]


def _coverage_problems(path: Path, manifest: Manifest) -> list[str]:
    """Why nothing may be read into what a finished run over zones did not find."""
    layers = {name: path / record.path for record in manifest.outputs for name in record.layers}
    try:
        planned = [zone["zone_id"] for zone in (stored_plan(path) or {}).get("zones", ())]
        if _status_problems(manifest) or not (planned or "patches" in layers):
            return []
        file = layers.get("coverage")
        table = read_layers(file).get("coverage") if file and file.is_file() else None
        require_complete(table, planned)
    except (CoverageError, ReadError, json.JSONDecodeError) as error:
        return [f"coverage: {error}"]
    return []


def _digest_problems(manifest: Manifest) -> list[str]:
    if manifest.content_digest is None:
        return []
    if content_digest_of(manifest.outputs) == manifest.content_digest:
        return []
    return ["run.json: the run's content digest does not follow from its products"]
