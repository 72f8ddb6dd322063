"""The manifest ``run.json``: what was asked, read, run and made, and whether it finished."""

from __future__ import annotations

import datetime as dt
import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import pyproj
import rasterio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import rs_monitor
from rs_monitor.config.reading import problems_of
from rs_monitor.errors import RunError
from rs_monitor.outputs.digest import file_sha256, fingerprint

SCHEMA_VERSION = 1
MANIFEST_NAME = "run.json"

RunStatus = Literal["running", "finished", "finished_with_failures", "failed"]

_PACKAGES = (
    "numpy", "numba", "scipy", "xarray", "dask", "distributed", "pandas", "geopandas", "pyogrio",
    "shapely", "pyproj", "rasterio", "odc-geo", "pystac", "pystac-client", "rustac",
    "scikit-learn", "scikit-image", "pydantic",
)  # fmt: skip


class Record(BaseModel):
    """Base of every part of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SceneInput(Record):
    """One catalogue item that was read; addresses carry no query string and no credentials."""

    id: str
    collection: str
    datetime: str
    href: str | None = None
    assets: dict[str, str] = Field(default_factory=dict)


class VectorInput(Record):
    """One vector or local raster file that was read."""

    role: str
    file: str
    sha256: str
    features: int | None = None
    crs: str | None = None
    repaired: tuple[str, ...] = ()


class ClassEntry(Record):
    """One value of a class raster, as the classification extension spells it."""

    value: int
    name: str
    title: str
    color_hint: str


class OutputRecord(Record):
    """One product: a raster, or one GeoPackage with its layers."""

    path: str
    kind: Literal["raster", "vector", "page", "table"]
    sha256: str
    content_digest: str | None = None
    product: str | None = None
    zone: str | None = None
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    crs: str | None = None
    band_names: tuple[str, ...] = ()
    nodata: float | str | None = None
    valid_fraction: float | None = None
    classes: tuple[ClassEntry, ...] = ()
    layers: dict[str, dict[str, Any]] = Field(default_factory=dict)


class NotEvaluated(Record):
    """A product or rule that was not made, and why."""

    product: str
    reason: str
    zone: str | None = None


class Failure(Record):
    """One thing that went wrong while the rest went on."""

    what: str
    error: str
    zone: str | None = None


class Step(Record):
    """One step of the pipeline with its parameters."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    valid_fraction: float | None = None
    warnings: tuple[str, ...] = ()


class Resumed(Record):
    """How many work blocks were taken over and why the others were not."""

    reused: int = 0
    recomputed: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)


class Manifest(Record):
    """The content of ``run.json``."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    name: str
    status: RunStatus = "running"
    started: str
    updated: str
    finished: str | None = None
    attempts: int = 1
    purpose: str = ""
    synthetic: bool = False
    plan_fingerprint: str
    config_sha256: str
    rules: dict[str, str] = Field(default_factory=dict)
    code: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    platform: dict[str, str] = Field(default_factory=dict)
    cluster: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[SceneInput, ...] = ()
    refused_inputs: tuple[dict[str, str], ...] = ()
    vector_inputs: tuple[VectorInput, ...] = ()
    fitted: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    outputs: tuple[OutputRecord, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    failures: tuple[Failure, ...] = ()
    resumed: Resumed = Resumed()
    content_digest: str | None = None

    def changed(self, **values: Any) -> Self:
        """Return a checked copy with other values and a fresh time of update."""
        known = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate(known | {"updated": utc_now()} | values)

    def output(self, path: str) -> OutputRecord | None:
        """Record of a product by its path inside the run folder."""
        return next((record for record in self.outputs if record.path == path), None)


def utc_now() -> str:
    """Present time in UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def run_id_of(name: str, plan_fingerprint: str) -> str:
    """Return ``<name>-<8 hex>``: the same plan gives the same id."""
    return f"{name}-{plan_fingerprint[:8]}"


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``run.json``.

    Parameters
    ----------
    folder : Path
        Run folder.

    Raises
    ------
    RunError
        If it is missing, unreadable or written by newer code.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunError(
            f"{folder}: got a folder without {MANIFEST_NAME}; needed a run folder; give the folder "
            "a run was written to"
        ) from None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise RunError(
            f"{path}: got {'; '.join(problems_of(error)[:3])}; needed a manifest of schema "
            f"{SCHEMA_VERSION} or older; use the version of rs_monitor that wrote it"
        ) from None


def content_digest_of(outputs: Iterable[OutputRecord]) -> str:
    """Digest over the content digests of all products, in the order of their paths."""
    return fingerprint(
        sorted([o.path, o.content_digest] for o in outputs if o.content_digest is not None)
    )


def versions() -> dict[str, str]:
    """Versions of Python, of the libraries that shape results, and of GDAL and PROJ."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {
        "GDAL": rasterio.__gdal_version__,
        "PROJ": pyproj.proj_version_str,
        "PROJ (GDAL)": rasterio.__proj_version__,
        "PROJ database": pyproj.database.get_database_metadata("EPSG.VERSION") or "unknown",
    }


def machine() -> dict[str, str]:
    """Kind of machine; no names and no addresses."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count()),
    }


@functools.cache
def _code() -> tuple[tuple[str, Any], ...]:
    root = Path(rs_monitor.__file__).resolve().parent.parent
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    dirty = None if commit is None else bool(_git(root, "status", "--porcelain", "-uno"))
    return ("version", rs_monitor.__version__), ("git_commit", commit), ("dirty", dirty)


def code() -> dict[str, Any]:
    """Version of this package, with commit and state when it runs from a checkout."""
    return dict(_code())


def _git(root: Path, *words: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    # fixed words and a resolved program; nothing of a user's reaches this call
    done = subprocess.run(  # noqa: S603
        [git, "-C", str(root), *words], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def clean_href(href: str) -> str:
    """Address without query string, fragment and credentials; a path stays as it is."""
    if href.startswith("/vsi"):
        return redact(href.split("?", 1)[0])
    try:
        parts = urlsplit(href)
    except ValueError:
        return "(unreadable address)"
    if not parts.scheme or not parts.netloc:
        return href
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>]+")
_QUERY = re.compile(r"(?<=://)([^\s\"'<>?]+)\?[^\s\"'<>]*")
_USERINFO = re.compile(r"(?<=://)[^\s/\"']+@")


def redact(text: str) -> str:
    """Free text with the query strings and credentials of every address taken out."""
    return _URL.sub(lambda found: clean_href(found.group()), text)


def redact_userinfo(text: str) -> str:
    """Text with credentials and query strings of addresses taken out; the rest to the letter."""
    return _QUERY.sub(r"\1", _USERINFO.sub("", text))


def redacted(value: Any) -> Any:
    """Apply :func:`redact` to every text inside JSON-like values."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redacted(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [redacted(inner) for inner in value]
    return value


def scene_input(item: Mapping[str, Any]) -> SceneInput:
    """Record of one item.

    Parameters
    ----------
    item : mapping
        Keys ``id``, ``collection``, ``datetime``, and either ``bands`` (name to mapping with
        ``href``) or nothing; ``href`` is the item's own address where one is known.
    """
    moment = item["datetime"]
    bands = item.get("bands") or {}
    entries = bands.items() if isinstance(bands, Mapping) else ((b["name"], b) for b in bands)
    own = item.get("href")
    return SceneInput(
        id=str(item["id"]),
        collection=str(item.get("collection") or ""),
        datetime=moment.isoformat() if isinstance(moment, dt.datetime) else str(moment),
        href=clean_href(str(own)) if own else None,
        assets={str(name): clean_href(str(band["href"])) for name, band in entries},
    )


def vector_input(
    role: str,
    path: Path,
    *,
    features: int | None = None,
    crs: str | None = None,
    repaired: Iterable[object] = (),
) -> VectorInput:
    """Record of a local input file; a folder (File Geodatabase) counts by its files."""
    return VectorInput(
        role=role,
        file=path.name,
        sha256=_path_sha256(path),
        features=features,
        crs=crs,
        repaired=tuple(str(entry) for entry in repaired),
    )


def _path_sha256(path: Path) -> str:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".lock")
        return fingerprint([[p.relative_to(path), file_sha256(p)] for p in files])
    siblings = [path.with_suffix(s) for s in (".shx", ".dbf", ".prj", ".cpg")]
    if path.suffix.lower() == ".shp":
        parts = [path, *(p for p in siblings if p.is_file())]
        return fingerprint([[p.suffix, file_sha256(p)] for p in parts])
    return file_sha256(path)
