"""The folder of one run: opened by one coordinator, resumable, finished last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import ClassStyle
from rs_monitor.outputs.atomic import clean_leftovers, write_json, write_text
from rs_monitor.outputs.blocks import BlockStore, safe_name
from rs_monitor.outputs.digest import file_sha256, fingerprint, plain, text_sha256
from rs_monitor.outputs.layout import (
    CONFIG_NAME,
    LOG_NAME,
    PLAN_NAME,
    SUMS_NAME,
    map_path,
    require_finished,
    require_usable,
    sums_text,
)
from rs_monitor.outputs.lock import FolderLock
from rs_monitor.outputs.manifest import (
    MANIFEST_NAME,
    Failure,
    Manifest,
    NotEvaluated,
    OutputRecord,
    Resumed,
    Step,
    code,
    content_digest_of,
    machine,
    read_manifest,
    redact,
    redact_userinfo,
    redacted,
    run_id_of,
    scene_input,
    utc_now,
    vector_input,
    versions,
)
from rs_monitor.outputs.products import raster_record, vector_record
from rs_monitor.outputs.raster import write_cog
from rs_monitor.outputs.vectors import write_layers


class RunFolder:
    """Create or open with :meth:`open`, or :meth:`reopen` an existing one; use as a context.

    Only the coordinator holds a RunFolder. Workers get :attr:`blocks`, which is picklable.
    An exception that leaves the context marks the run ``failed`` and keeps its blocks.
    """

    def __init__(self, path: Path, lock: FolderLock, manifest: Manifest) -> None:
        self.path = path
        self.blocks = BlockStore(path)
        self._lock = lock
        self._manifest = manifest
        self._outputs = {entry.path: entry for entry in manifest.outputs}
        self._by_workers = manifest.resumed
        self._verdicts: dict[tuple[str, str, str], str | None] = {}

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        name: str,
        plan: Mapping[str, Any],
        config_text: str,
        plan_fingerprint: str | None = None,
        rules: Mapping[str, str] | None = None,
        purpose: str = "",
        synthetic: bool = False,
    ) -> Self:
        """Create a run folder, or take up the one that is there.

        Parameters
        ----------
        path : Path
            The folder; missing, empty, or the folder of the same job.
        name : str
            Name of the job; starts the run id.
        plan : mapping
            The frozen plan, JSON-able.
        config_text : str
            The job file as it was read.
        plan_fingerprint : str, optional
            What makes two jobs the same; default the fingerprint of ``plan``.
        rules : mapping of str to str, optional
            File name to text of each rule file used.
        purpose, synthetic
            Go into the manifest.

        Raises
        ------
        RunError
            If the folder belongs to another job, is no run folder, or is being written to.
        """
        mark = plan_fingerprint or fingerprint(plan)
        require_usable(path, mark)
        path.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(path)
        try:
            require_usable(path, mark)
            manifest = _starting_manifest(path, name, mark, config_text, rules or {})
            manifest = manifest.changed(purpose=redact(purpose), synthetic=synthetic)
            folder = cls._begin(path, lock, manifest)
            folder._write_request(plan, config_text, rules or {})
        except BaseException:
            lock.release()
            raise
        return folder

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Open the folder of a finished run to add to it; what it holds stays registered.

        Raises
        ------
        RunError
            If it is no run folder, the run did not finish, or it is being written to.
        """
        require_finished(path)
        lock = FolderLock(path)
        try:
            manifest = require_finished(path)
            return cls._begin(path, lock, manifest.changed(status="running", finished=None))
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _begin(cls, path: Path, lock: FolderLock, manifest: Manifest) -> Self:
        (path / SUMS_NAME).unlink(missing_ok=True)
        folder = cls(path, lock, manifest)
        folder.save()
        removed = clean_leftovers(path)
        _end_last_line(path / LOG_NAME)
        folder.log("opened", attempt=manifest.attempts, leftovers_removed=len(removed))
        if lock.left_behind:
            folder.log("took_over", holder=lock.left_behind)
        return folder

    def _write_request(
        self, plan: Mapping[str, Any], config_text: str, rules: Mapping[str, str]
    ) -> None:
        write_text(self.path / CONFIG_NAME, redact_userinfo(config_text))
        for file_name, text in rules.items():
            write_text(self.path / "rules" / safe_name(file_name), text)
        write_json(self.path / PLAN_NAME, plain(plan))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self.fail(error)
        self.close()

    def close(self) -> None:
        """Let go of the folder without changing its status."""
        self._lock.release()

    @property
    def run_id(self) -> str:
        """``<name>-<8 hex of the plan's fingerprint>``."""
        return self._manifest.run_id

    @property
    def manifest(self) -> Manifest:
        """The manifest as it stands, with products so far and the counts of reused blocks."""
        outputs = tuple(self._outputs[path] for path in sorted(self._outputs))
        return self._manifest.changed(outputs=outputs, resumed=self._resumed())

    def save(self) -> None:
        """Write ``run.json`` as it stands."""
        write_json(self.path / MANIFEST_NAME, self.manifest.model_dump(mode="json"))

    def log(self, event: str, **fields: Any) -> None:
        """Append one line to ``log.jsonl``; addresses lose query strings and credentials."""
        line = {"at": utc_now(), "event": event, **redacted(plain(fields))}
        with (self.path / LOG_NAME).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")

    def block_path(self, zone: str, stage: str, name: str) -> Path:
        """Path of the arrays of a block."""
        return self.blocks.block_path(zone, stage, name)

    def save_block(
        self, zone: str, stage: str, name: str, arrays: Mapping[str, NDArray[Any]], fingerprint: str
    ) -> None:
        """See :meth:`BlockStore.save_block`."""
        self.blocks.save_block(zone, stage, name, arrays, fingerprint)

    def load_block(
        self, zone: str, stage: str, name: str, fingerprint: str
    ) -> dict[str, NDArray[Any]] | None:
        """Arrays of a reusable block, else None; the reason is recorded."""
        arrays, reason = self.blocks.read_block(zone, stage, name, fingerprint)
        self.note_block(zone, stage, name, reason)
        return arrays

    def reusable(self, zone: str, stage: str, name: str, fingerprint: str) -> bool:
        """Whether a block can be reused, without reading its arrays; the reason is recorded."""
        reason = self.blocks.check_block(zone, stage, name, fingerprint)
        self.note_block(zone, stage, name, reason)
        return reason is None

    def note_block(self, zone: str, stage: str, name: str, reason: str | None) -> None:
        """Record why a block was computed (None: it was reused); the first answer counts."""
        key = (zone, stage, name)
        if key in self._verdicts:
            return
        self._verdicts[key] = reason
        if self._manifest.attempts > 1:
            self.log("block", zone=zone, stage=stage, name=name, reused=not reason, reason=reason)

    def set_resumed(self, reused: int, recomputed: int, reasons: Mapping[str, int]) -> None:
        """Record what workers found in their block stores; adds to what was asked here."""
        self._by_workers = Resumed(reused=reused, recomputed=recomputed, reasons=dict(reasons))

    def _resumed(self) -> Resumed:
        here = Counter(reason for reason in self._verdicts.values() if reason is not None)
        there = self._by_workers
        return Resumed(
            reused=len(self._verdicts) - here.total() + there.reused,
            recomputed=here.total() + there.recomputed,
            reasons=dict(sorted((here + Counter(there.reasons)).items())),
        )

    def map_path(self, zone: str, product: str) -> Path:
        """Where a raster product of a zone lies."""
        return map_path(self.path, zone, product)

    def write_map(
        self,
        zone: str,
        product: str,
        data: NDArray[Any],
        geobox: GeoBox,
        *,
        nodata: float | None,
        band_names: Sequence[str],
        style: Mapping[int, ClassStyle] | None = None,
        tags: Mapping[str, str] | None = None,
        overview: Literal["nearest", "average"] = "nearest",
    ) -> Path:
        """Write a raster product of a zone and register it; see :func:`write_cog`."""
        marks = {"run_id": self.run_id, "zone": zone, "product": product}
        if self._manifest.synthetic:
            marks["synthetic"] = "true"
        path = write_cog(
            self.map_path(zone, product),
            data,
            geobox,
            nodata=nodata,
            band_names=band_names,
            style=style,
            tags=marks | dict(tags or {}),
            overview=overview,
        )
        self.register(raster_record(self.path, path, zone=zone, product=product, style=style))
        return path

    def write_vectors(self, file_name: str, layers: Mapping[str, pd.DataFrame]) -> Path:
        """Write a GeoPackage at the top of the folder and register its layers."""
        path = self.path / file_name
        self.register(vector_record(self.path, path, write_layers(path, layers)))
        return path

    def write_page(self, relative: str, text: str) -> Path:
        """Write a text file (report, table) and register it; it has no content digest."""
        path = write_text(self.path / relative, text)
        self.register(OutputRecord(path=relative, kind="page", sha256=file_sha256(path)))
        return path

    def register(self, record: OutputRecord) -> None:
        """Add a product to the manifest, or replace its record."""
        self._outputs[record.path] = record
        self.log("written", path=record.path, content_digest=record.content_digest)

    def add_scenes(
        self, items: Iterable[Mapping[str, Any]], refused: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Record the items read (see :func:`scene_input`) and the (id, reason) of the others."""
        self._manifest = self._manifest.changed(
            inputs=tuple(scene_input(item) for item in items),
            refused_inputs=tuple({"id": i, "reason": redact(reason)} for i, reason in refused),
        )

    def add_vector(
        self,
        role: str,
        path: Path,
        *,
        features: int | None = None,
        crs: str | None = None,
        repaired: Iterable[object] = (),
    ) -> None:
        """Record a local input file with its hash and feature count."""
        entry = vector_input(role, path, features=features, crs=crs, repaired=repaired)
        others = [known for known in self._manifest.vector_inputs if known.role != role]
        self._manifest = self._manifest.changed(vector_inputs=(*others, entry))

    def add_step(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        valid_fraction: float | None = None,
        warnings: Iterable[str] = (),
    ) -> None:
        """Record a step of the pipeline with its parameters."""
        step = Step(
            name=name,
            parameters=redacted(plain(parameters or {})),
            valid_fraction=valid_fraction,
            warnings=tuple(redact(text) for text in warnings),
        )
        self._manifest = self._manifest.changed(steps=(*self._manifest.steps, step))
        self.log("step", name=name)

    def set_fitted(self, name: str, values: Any) -> None:
        """Record fitted parameters."""
        fitted = self._manifest.fitted | {name: plain(values)}
        self._manifest = self._manifest.changed(fitted=fitted)

    def set_cluster(self, **shape: Any) -> None:
        """Record kind, workers, threads and memory of the cluster; never an address."""
        kept = {key: value for key, value in shape.items() if key != "address"}
        self._manifest = self._manifest.changed(cluster=redacted(plain(kept)))

    def not_evaluated(self, product: str, reason: str, zone: str | None = None) -> None:
        """Record that a product or rule was not made, and why."""
        entry = NotEvaluated(product=product, reason=redact(reason), zone=zone)
        if entry not in self._manifest.not_evaluated:
            entries = (*self._manifest.not_evaluated, entry)
            self._manifest = self._manifest.changed(not_evaluated=entries)
            self.log("not_evaluated", **entry.model_dump())

    def add_failure(self, what: str, error: BaseException | str, zone: str | None = None) -> None:
        """Record something that went wrong while the rest goes on."""
        entry = Failure(what=what, error=redact(_spell(error)), zone=zone)
        self._manifest = self._manifest.changed(failures=(*self._manifest.failures, entry))
        self.log("failure", **entry.model_dump())

    def finish(self) -> Manifest:
        """Close the books: manifest with its final status, then the sums of every file.

        Returns
        -------
        Manifest
            With status ``finished`` or ``finished_with_failures`` and the run's content digest.
        """
        self._drop_unregistered()
        status = "finished_with_failures" if self._manifest.failures else "finished"
        digest = content_digest_of(self._outputs.values())
        self.log("finished", status=status, content_digest=digest)
        self._manifest = self._manifest.changed(
            status=status, finished=utc_now(), content_digest=digest
        )
        self.save()
        write_text(self.path / SUMS_NAME, sums_text(self.path))
        return self.manifest

    def fail(self, error: BaseException) -> None:
        """Mark the run failed; its blocks stay for the next attempt."""
        self.add_failure("run", error)
        self._manifest = self._manifest.changed(status="failed")
        self.save()

    def _drop_unregistered(self) -> None:
        """Remove products that an earlier attempt left and this one did not make."""
        kept = {self.path / path for path in self._outputs}
        kept |= {path.with_suffix(".qml") for path in kept}
        products = [*(self.path / "maps").rglob("*"), *self.path.glob("*.gpkg")]
        for path in sorted(products):
            if path.is_file() and path not in kept:
                path.unlink()
                self.log("dropped", path=path.relative_to(self.path).as_posix())


def _starting_manifest(
    path: Path, name: str, mark: str, config_text: str, rules: Mapping[str, str]
) -> Manifest:
    """Build a fresh manifest; of an earlier attempt only its start and count are kept."""
    now = utc_now()
    earlier = read_manifest(path) if (path / MANIFEST_NAME).is_file() else None
    return Manifest(
        run_id=run_id_of(name, mark),
        name=name,
        started=earlier.started if earlier else now,
        updated=now,
        attempts=earlier.attempts + 1 if earlier else 1,
        plan_fingerprint=mark,
        config_sha256=text_sha256(config_text),
        rules={file_name: text_sha256(text) for file_name, text in sorted(rules.items())},
        code=code(),
        versions=versions(),
        platform=machine(),
    )


def _end_last_line(path: Path) -> None:
    """End the line that a killed writer broke off."""
    if path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as stream:
            stream.write(b"\n")


def _spell(error: BaseException | str) -> str:
    return error if isinstance(error, str) else f"{type(error).__name__}: {error}"
