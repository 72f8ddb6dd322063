"""The register as a GeoPackage: patches and findings of every run."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd
import pyogrio
import pyproj

from rs_monitor.codes import Status
from rs_monitor.errors import RunError, UnsuitableCRS
from rs_monitor.register.locking import exclusive
from rs_monitor.register.records import (
    FINDING,
    LATER,
    PROPOSED_PATCH,
    Schema,
    check_findings,
    check_patches,
    with_later_columns,
)

RUN_ID: Final = "run_id"
_RUNS: Final = "runs"
_SCHEMAS: Final[dict[str, Schema]] = {"patches": PROPOSED_PATCH, "findings": FINDING}
_KEYS: Final = {"patches": "patch_id", "findings": "finding_id"}
_OPEN: Final = (Status.SUSPECTED.value, Status.INCONCLUSIVE.value)


class Register:
    """Patches and findings of all runs in one file.

    Parameters
    ----------
    path : Path
        GeoPackage; made by the first :meth:`record_run`.

    Notes
    -----
    Rows of an earlier version read with its missing columns empty
    (:data:`rs_monitor.register.records.LATER`); the next :meth:`record_run` writes them so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def require_ready(self, crs: str) -> None:
        """Refuse a register that could not take records of a run, before anything is computed.

        Parameters
        ----------
        crs : str
            CRS of the run's patches.

        Raises
        ------
        RunError
            If its folder cannot be written to, another writer holds it, it is no register, or one
            of another version that cannot be carried over.
        UnsuitableCRS
            If it holds another CRS.
        """
        try:
            with exclusive(self.path):
                if self.path.exists():
                    for name in _SCHEMAS:
                        self._require_crs(self._layer(name, None), crs)
        except (OSError, sqlite3.Error) as error:
            raise RunError(
                f"got register {self.path}, which cannot be opened ({error}); needed a file in a "
                "folder that can be written to; name another one in [register]"
            ) from error

    def _require_crs(self, held: gpd.GeoDataFrame, crs: object) -> None:
        if not pyproj.CRS(held.crs).equals(pyproj.CRS(crs), ignore_axis_order=True):
            raise UnsuitableCRS(
                f"got patches in {crs}; needed {held.crs}, the CRS of {self.path.name}; keep one "
                "register per CRS"
            )

    def record_run(
        self, run_id: str, patches: gpd.GeoDataFrame, findings: gpd.GeoDataFrame
    ) -> None:
        """Add a run; recording the same run again replaces what it had recorded.

        Parameters
        ----------
        run_id : str
            Run the rows come from.
        patches, findings : GeoDataFrame
            Records of :mod:`rs_monitor.register.records`, both in one CRS.

        Raises
        ------
        LayerError, MissingCRS
            If a frame is not a record.
        UnsuitableCRS
            If the register holds another CRS: outlines are kept as delivered.
        RunError
            If another writer holds the register, or the file is not a register.

        Notes
        -----
        The new file is written beside the old one and put in its place in one step: a crash leaves
        the old register.
        """
        given = {"patches": check_patches(patches), "findings": check_findings(findings)}
        with exclusive(self.path):
            runs = self.runs()
            merged = {name: self._with_run(name, run_id, frame) for name, frame in given.items()}
            if run_id not in set(runs[RUN_ID]):
                sequence = int(runs["sequence"].max()) + 1 if len(runs) else 1
                row = pd.DataFrame({RUN_ID: [run_id], "sequence": [sequence]})
                runs = pd.concat([runs, row], ignore_index=True)
            self._replace(runs, merged)

    def runs(self) -> pd.DataFrame:
        """Runs recorded, in the order they first came in: ``run_id``, ``sequence``."""
        if not self.path.exists():
            return pd.DataFrame(
                {RUN_ID: pd.Series(dtype=object), "sequence": pd.Series(dtype="int64")}
            )
        runs = self._read(_RUNS)
        return pd.DataFrame(runs).sort_values("sequence", ignore_index=True)

    def patches(self, run_id: str | None = None) -> gpd.GeoDataFrame:
        """Patches of one run or of all, with ``run_id`` as first column."""
        return self._layer("patches", run_id)

    def findings(self, run_id: str | None = None) -> gpd.GeoDataFrame:
        """Findings of one run or of all, with ``run_id`` as first column."""
        return self._layer("findings", run_id)

    def open_findings(self, decided: Collection[str] = ()) -> gpd.GeoDataFrame:
        """Findings that wait for a person, across runs.

        Parameters
        ----------
        decided : collection of str
            Ids of findings a person has decided about, e.g. the keys of
            :func:`rs_monitor.register.decisions.fold`.

        Returns
        -------
        GeoDataFrame
            One row per finding, as the latest run saw it, if that is ``suspected`` or
            ``inconclusive``; ``first_run_id`` and ``runs_seen`` tell its history. A finding that a
            later run did not meet again stays open.
        """
        rows = self.findings()
        sequence = self.runs().set_index(RUN_ID)["sequence"]
        rows = rows.iloc[rows[RUN_ID].map(sequence).argsort(kind="stable")]
        by_finding = rows.groupby("finding_id", sort=False)[RUN_ID]
        rows = rows.assign(
            first_run_id=by_finding.transform("first"), runs_seen=by_finding.transform("size")
        )
        latest = rows.drop_duplicates("finding_id", keep="last")
        waiting = latest["status"].isin(_OPEN) & ~latest["finding_id"].isin(list(decided))
        return latest[waiting].reset_index(drop=True)

    def _layer(self, name: str, run_id: str | None) -> gpd.GeoDataFrame:
        if not self.path.exists():
            raise RunError(f"got no register at {self.path.name}; needed one; record a run first")
        rows = self._in_this_version(name, gpd.GeoDataFrame(self._read(name)))
        kept = rows if run_id is None else rows[rows[RUN_ID] == run_id]
        return kept.reset_index(drop=True)

    def _in_this_version(self, name: str, rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        lacking = [c.name for c in _SCHEMAS[name] if c.name not in rows and c.name not in LATER]
        if lacking:
            raise RunError(
                f"got {self.path.name} whose {name} lack {', '.join(lacking)}; needed a register "
                "this version can carry over; name another file in [register], and read this one "
                "with the version that wrote it"
            )
        return with_later_columns(rows, _SCHEMAS[name])

    def _read(self, name: str) -> pd.DataFrame:
        try:
            rows: pd.DataFrame = pyogrio.read_dataframe(self.path, layer=name)
        except (pyogrio.errors.DataLayerError, pyogrio.errors.DataSourceError) as error:
            raise RunError(
                f"got {self.path.name} without the layer {name}; needed a register of this "
                "program; name another file"
            ) from error
        return rows

    def _with_run(self, name: str, run_id: str, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Rows of the other runs followed by those of this one."""
        columns = [column.name for column in _SCHEMAS[name]]
        new = frame[[*columns, "geometry"]].copy()
        new.insert(0, RUN_ID, run_id)
        if self.path.exists():
            new = self._behind_others(name, run_id, new)
        return new.sort_values([RUN_ID, _KEYS[name]], ignore_index=True)

    def _behind_others(self, name: str, run_id: str, new: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        old = self._layer(name, None)
        self._require_crs(old, new.crs)
        others = old[old[RUN_ID] != run_id]
        parts = [part for part in (others, new.set_crs(old.crs, allow_override=True)) if len(part)]
        return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True)) if parts else new

    def _replace(self, runs: pd.DataFrame, layers: dict[str, gpd.GeoDataFrame]) -> None:
        folder = self.path.parent
        with tempfile.TemporaryDirectory(prefix=f".{self.path.name}.", dir=folder) as beside:
            new = Path(beside) / self.path.name
            for name, frame in layers.items():
                pyogrio.write_dataframe(
                    frame,
                    new,
                    layer=name,
                    driver="GPKG",
                    geometry_type="MultiPolygon",
                    promote_to_multi=True,
                    append=new.exists(),
                )
            pyogrio.write_dataframe(runs, new, layer=_RUNS, driver="GPKG", append=True)
            _sync(new)
            new.replace(self.path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
