"""A finished run as an inspector looks at it: records, tables, pixels; nothing is written."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pandas.io.formats.style import Styler

from rs_monitor.codes import Measurability, Status
from rs_monitor.errors import RunError
from rs_monitor.grid import MU_M2
from rs_monitor.imagery.pixels import ChunkJob, Grid, Source, Span, read_chunk, read_header
from rs_monitor.outputs import terms, views
from rs_monitor.outputs.layout import require_finished, stored_plan
from rs_monitor.outputs.manifest import Manifest, OutputRecord
from rs_monitor.outputs.raster import read_geobox
from rs_monitor.outputs.vectors import read_layers

_RANK = {proposal: rank for rank, proposal in enumerate(terms.PROPOSAL_COLOUR)}
_WRAPPED: dict[str, Any] = {
    "white-space": "pre-wrap",
    "word-break": "keep-all",
    "text-align": "left",
    "vertical-align": "top",
}
_OPEN = (Status.INCONCLUSIVE, Status.NOT_EVALUATED)


@dataclass(frozen=True)
class RunView:
    """One finished run, read only.

    Attributes
    ----------
    path : Path
        Run folder.
    manifest : Manifest
    patches, findings : GeoDataFrame
        Records of the register, in the delivered CRS.
    coverage : DataFrame
        One row per zone.
    claims : GeoDataFrame or None
        Answers to claims of new arable land; None when no claims were verified.
    numbers : mapping of str to int
        Number of each patch, as in the report: from the largest.
    """

    path: Path
    manifest: Manifest
    patches: gpd.GeoDataFrame
    findings: gpd.GeoDataFrame
    coverage: pd.DataFrame
    claims: gpd.GeoDataFrame | None
    numbers: dict[str, int] = field(default_factory=dict, repr=False)

    def patch(self, patch_id: str) -> pd.Series[Any]:
        """Record of one patch.

        Raises
        ------
        RunError
            If the run holds no such patch.
        """
        return _one(self.patches, "patch_id", patch_id, self.path)

    def raster(self, zone_id: str, product: str) -> OutputRecord:
        """Record of one map.

        Raises
        ------
        RunError
            If the run made no such map.
        """
        wanted = (zone_id, product)
        for record in self.manifest.outputs:
            if (record.zone, record.product) == wanted:
                return record
        raise RunError(
            f"{self.path.name}: got no map {product} of zone {zone_id}; needed one that was made; "
            "see what the manifest says was not evaluated"
        )

    def geobox(self, zone_id: str) -> GeoBox:
        """Grid of a zone's maps."""
        return read_geobox(self.path / self.raster(zone_id, "change").path)

    def outlines(self, zone_id: str) -> gpd.GeoSeries:
        """Outlines of a zone's patches by id, in the CRS of the zone's grid."""
        own = self.patches[self.patches["zone_id"] == zone_id].set_index("patch_id")
        return own.geometry.to_crs(str(self.geobox(zone_id).crs))

    def outline(self, patch_id: str) -> shapely.Geometry:
        """Outline of one patch, in the CRS of its zone's grid."""
        zone_id = str(self.patch(patch_id)["zone_id"])
        outline: shapely.Geometry = self.outlines(zone_id).loc[patch_id]
        return outline

    def scene_days(self, zone_id: str, period: str) -> list[str]:
        """Days of the scenes of a zone in the period ``before`` or ``after``, in order."""
        plan = stored_plan(self.path) or {}
        used = {i for z in plan.get("zones", ()) if z["zone_id"] == zone_id for i in z[period]}
        return sorted({views.day(s.datetime) for s in self.manifest.inputs if s.id in used})


def open_run(path: Path) -> RunView:
    """Open a finished run.

    Parameters
    ----------
    path : Path
        Run folder.

    Returns
    -------
    RunView

    Raises
    ------
    RunError
        If it is no run folder, the run did not finish, or it holds no findings.
    """
    manifest = require_finished(path)
    found = _layers_with(path, manifest, "patches")
    if not {"patches", "findings", "coverage"} <= set(found):
        raise RunError(
            f"{path}: got a run without patches, findings and coverage; needed the folder of a "
            "whole run; run the job again"
        )
    rows = views.patch_rows(found["patches"], found["findings"])
    return RunView(
        path=path,
        manifest=manifest,
        patches=gpd.GeoDataFrame(found["patches"]),
        findings=gpd.GeoDataFrame(found["findings"]),
        coverage=found["coverage"],
        claims=_layers_with(path, manifest, "claims").get("claims"),
        numbers={row.patch_id: row.number for row in rows},
    )


def _layers_with(path: Path, manifest: Manifest, layer: str) -> dict[str, pd.DataFrame]:
    """Every layer of the GeoPackage that holds a layer; the manifest knows which one it is."""
    files = [record.path for record in manifest.outputs if layer in record.layers]
    return read_layers(path / files[0]) if files else {}


def _one(frame: pd.DataFrame, key: str, value: str, path: Path) -> pd.Series[Any]:
    found = frame[frame[key] == value]
    if len(found) != 1:
        raise RunError(
            f"{path.name}: got {key} {value!r}; needed one of the {len(frame)} of this run; copy "
            "it from the table"
        )
    return found.iloc[0]


def load_pixels(
    view: RunView,
    zone_id: str,
    product: str,
    *,
    bands: tuple[str, ...] | None = None,
    window: tuple[slice, slice] | None = None,
    longest_px: int | None = None,
) -> tuple[NDArray[np.float32], GeoBox]:
    """Read a map, or a window of it, or a reduced picture of it.

    Parameters
    ----------
    view : RunView
    zone_id, product : str
    bands : tuple of str, optional
        Names; default all.
    window : tuple of slice, optional
        Rows and columns; only these are read.
    longest_px : int, optional
        A larger map is reduced to this edge: means of numbers, nearest of classes.

    Returns
    -------
    data : ndarray of float32, shape (band, y, x)
        NaN = nodata.
    geobox : GeoBox
        Grid of ``data``.
    """
    record = view.raster(zone_id, product)
    path = str(view.path / record.path)
    whole = read_geobox(view.path / record.path)
    if longest_px is not None and max(whole.shape) > longest_px:
        whole = whole.zoom_to(longest_px)
    part = whole if window is None else whole[window]
    top, left = (0, 0) if window is None else (window[0].start, window[1].start)
    span = Span(top, top + part.shape.y, left, left + part.shape.x)
    method = "nearest" if record.classes else "average"
    places = [record.band_names.index(name) + 1 for name in bands or record.band_names]
    return np.stack([_band(path, place, whole, span, method) for place in places]), part


def _band(path: str, index: int, geobox: GeoBox, span: Span, method: str) -> NDArray[np.float32]:
    _, nodata = read_header(path, index)
    job = ChunkJob(
        sources=(Source("map", f"band {index}", path, index, nodata),),
        grid=Grid(str(geobox.crs), tuple(geobox.affine)[:6], (geobox.shape.y, geobox.shape.x)),
        span=span,
        dtype="float32",
        fill=float("nan"),
        needs_cover=False,
        resampling=method,
    )
    pixels: NDArray[np.float32] = read_chunk(job)[0]
    return pixels


def coverage_table(view: RunView) -> pd.DataFrame:
    """How well each zone was seen, the least seen first; what was not seen stands beside it."""
    table = view.coverage.sort_values(["seen_fraction", "zone_id"])
    return pd.DataFrame(
        {
            "zone 整治区域": table["zone_id"],
            "area, mu": (table["area_m2"] / MU_M2).round(0),
            "seen, %": (table["seen_fraction"] * 100).round(2),
            "not seen, m²": table["not_seen_m2"].round(0),
            "clear looks before": table["looks_before_median"].round(0),
            "clear looks after": table["looks_after_median"].round(0),
            "longest gap, days": table["longest_gap_days"].round(0),
            "smallest measurable, m²": table["limit_m2"].round(0),
        }
    ).reset_index(drop=True)


def ranked_patches(view: RunView) -> pd.DataFrame:
    """Patches, strongest suspicion first and the larger first; areas in m2 and mu.

    Returns
    -------
    DataFrame
        Index ``no.``: number of the patch in the report and on the maps.
    """
    order = view.patches.assign(
        rank=view.patches["proposal"].map(_RANK), no=view.patches["patch_id"].map(view.numbers)
    ).sort_values(["rank", "no"])
    return pd.DataFrame(
        {
            "patch_id": order["patch_id"],
            "zone": order["zone_id"],
            "kind 变化类型": _both(order["kind"]),
            "area, m²": order["area_m2"].round(0),
            "area, mu": (order["area_m2"] / MU_M2).round(2),
            "size": _both(order["measurability"]),
            "proposal 建议": _both(order["proposal"]),
            "changed after": order["first_date"],
            "changed before": order["last_date"],
            "why": order["proposal_reason"],
        }
    ).set_index(pd.Index(order["no"], name="no."))


def finding_card(view: RunView, patch_id: str) -> pd.DataFrame:
    """Every rule applied to one patch: rule id, clause, status, reason.

    Parameters
    ----------
    view : RunView
    patch_id : str

    Returns
    -------
    DataFrame
        In the order of the rule ids; empty where no rule speaks about this kind of change.

    Raises
    ------
    RunError
        If the run holds no such patch.
    """
    view.patch(patch_id)
    own = view.findings[view.findings["patch_id"] == patch_id].sort_values("rule_id")
    card = pd.DataFrame(own[["rule_id", "clause", "status", "reason"]])
    card["status"] = _both(card["status"])
    return card.reset_index(drop=True)


def claims_table(view: RunView) -> pd.DataFrame:
    """Claims with their answers; nothing is added up."""
    if view.claims is None:
        return pd.DataFrame(columns=["claim_id", "answer 结论"])
    claims = view.claims
    return pd.DataFrame(
        {
            "claim_id": claims["claim_id"],
            "answer 结论": _both(claims["answer"]),
            "area source 面积来源": claims["area_source"],
            "claimed, m² 申报面积": claims["claimed_area_m2"],
            "recomputed, m² 椭球面积": claims["recomputed_area_m2"],
            "completed on": [views.day(value) for value in claims["completed_on"]],
        }
    )


def claim_card(view: RunView, claim_id: str) -> pd.DataFrame:
    """Every rule applied to one claim: rule id, status, what was seen.

    Raises
    ------
    RunError
        If the run holds no such claim.
    """
    rows = [row for row in views.claim_rows(view.claims) or () if row.claim_id == claim_id]
    if not rows:
        known = 0 if view.claims is None else len(view.claims)
        raise RunError(
            f"{view.path.name}: got claim {claim_id!r}; needed one of the {known} of this run; "
            "copy it from the table"
        )
    card = pd.DataFrame(rows[0].rules, columns=["rule_id", "status", "reason"])
    card["status"] = _both(card["status"])
    return card


def unanswered(view: RunView) -> pd.DataFrame:
    """Everything the run did not answer: products, ground, sizes, rules, inputs, failures."""
    rows = [*_missing_products(view), *_not_seen(view), *_too_small(view), *_open_rules(view)]
    return pd.DataFrame(rows, columns=["what", "where", "why"])


def _missing_products(view: RunView) -> list[tuple[str, str, str]]:
    manifest = view.manifest
    entries = [(n.product, n.zone or "all zones", n.reason) for n in manifest.not_evaluated]
    entries += [(f"failed: {f.what}", f.zone or "all zones", f.error) for f in manifest.failures]
    refused = [(f"scene {r['id']}", "all zones", r["reason"]) for r in manifest.refused_inputs]
    return entries + refused


def _not_seen(view: RunView) -> list[tuple[str, str, str]]:
    rows = zip(view.coverage["zone_id"], view.coverage["not_seen_m2"], strict=True)
    return [
        (f"{m2:,.0f} m² of ground", str(zone), "too few clear looks in a period: not seen")
        for zone, m2 in rows
        if m2 > 0
    ]


def _too_small(view: RunView) -> list[tuple[str, str, str]]:
    told = {
        Measurability.DETECT_ONLY: "a change is there, its area cannot be measured at this size",
        Measurability.CANNOT_DECIDE: "too small or too seldom seen: nothing is said about them",
    }
    counts = view.patches.groupby(["zone_id", "measurability"]).size()
    return [
        (f"{count} patches: {terms.words(size)} {terms.zh(size)}", str(zone), told[size])
        for (zone, size), count in counts.items()
        if size in told
    ]


def _open_rules(view: RunView) -> list[tuple[str, str, str]]:
    silent = view.findings[view.findings["status"].isin(_OPEN)]
    return [
        (f"rule {rule}: {terms.words(status)} {terms.zh(status)}", f"{len(group)} patches", why)
        for (rule, status), group in silent.groupby(["rule_id", "status"])
        for why in [_example(group["reason"])]
    ]


def _example(reasons: pd.Series[Any]) -> str:
    distinct = reasons.unique()
    return str(distinct[0]) if len(distinct) == 1 else f"for example: {distinct[0]}"


def styled(table: pd.DataFrame) -> Styler:
    """A table for a notebook: texts wrapped, numbers to the right, no row numbers."""
    numbers: list[Hashable] = list(table.select_dtypes("number").columns)
    whole = [name for name in numbers if (table[name].dropna() % 1 == 0).all()]
    style = table.style.set_properties(None, **_WRAPPED)
    style = style.set_properties(subset=numbers, **{"text-align": "right"})
    style = style.set_table_styles([{"selector": "th", "props": [("text-align", "left")]}])
    style = style.format(precision=2, thousands=",", na_rep="–")
    style = style.format(precision=0, thousands=",", na_rep="–", subset=whole)
    return style if table.index.name else style.hide(axis="index")


def _both(codes: pd.Series[Any]) -> list[str]:
    """Coded terms as words with the official Chinese term."""
    return [f"{terms.words(code)} {terms.zh(code)}".strip() for code in codes]
