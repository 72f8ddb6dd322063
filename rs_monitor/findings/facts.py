"""What is known about a patch before any rule is asked: layers it meets, permits, plans."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from rs_monitor.codes import ChangeKind, CodeSystem, Measurability
from rs_monitor.errors import LayerError
from rs_monitor.findings.overlay import Overlap, metric_shapes, overlap, pairs_of
from rs_monitor.findings.rules import FindingRules

PLAN = "plan"
"""Kind of an approval that is a plan."""

_OVERLAYS = ("pbf", "redline")
_ON_PERMIT = ("permit_id", "kind", "approved_on")
_MISSING = float("nan")


@dataclass(frozen=True, slots=True)
class Approval:
    """A permit or plan where it meets a patch.

    Attributes
    ----------
    id, kind : str
        Number and kind of the approval.
    approved_on, expires_on : date or None
        First and last day; None = not given.
    piece : Geometry
        Part of the patch it covers, in the metric CRS of the patch.
    """

    id: str
    kind: str
    approved_on: dt.date | None
    expires_on: dt.date | None
    piece: shapely.Geometry

    def objection(self, first: dt.date, last: dt.date) -> str | None:
        """Why the approval does not excuse a change inside a window; None = it may."""
        if self.approved_on is None:
            return f"{self.id} carries no date of approval"
        if self.approved_on > last:
            return f"{self.id} was approved {self.approved_on}, after the change"
        if self.expires_on is not None and self.expires_on < first:
            return f"{self.id} had expired {self.expires_on}, before the change"
        return None

    def uncertainty(self, first: dt.date, last: dt.date) -> str | None:
        """Why it cannot be told whether the approval was valid at the works; None = it can."""
        days = []
        if self.approved_on is not None and first < self.approved_on <= last:
            days.append(f"approved {self.approved_on}")
        if self.expires_on is not None and first <= self.expires_on < last:
            days.append(f"expired {self.expires_on}")
        if not days or self.objection(first, last) is not None:
            return None
        noun = PLAN if self.kind == PLAN else "permit"
        return (
            f"{noun} {self.id} {' and '.join(days)} inside the change window {first} to {last}: "
            "whether the works came first cannot be told"
        )


@dataclass(frozen=True, slots=True)
class PatchFacts:
    """One patch with all that the rules ask about.

    Attributes
    ----------
    row : mapping
        The patch record.
    kind, measurability : enum
        Coded values of the record.
    first, last : date
        Change window.
    outline : Geometry
        Outline in a CRS with metres.
    in_zone : bool
        Whether most of the patch lies in remediation zones.
    plans, permits : tuple of Approval
        What meets the patch with more than a sliver.
    parts : mapping of str to (float, bool)
        Area in m2 on each layer or land class known, and whether it is an edge effect.
    """

    row: Mapping[str, Any]
    kind: ChangeKind
    measurability: Measurability
    first: dt.date
    last: dt.date
    outline: shapely.Geometry
    in_zone: bool
    plans: tuple[Approval, ...]
    permits: tuple[Approval, ...]
    parts: Mapping[str, tuple[float, bool]]

    def part_m2(self, name: str) -> float:
        """Area of the patch on a layer; NaN when the layer is missing."""
        return self.parts[name][0] if name in self.parts else _MISSING


def gather(
    patches: gpd.GeoDataFrame,
    layers: Mapping[str, gpd.GeoDataFrame],
    rules: FindingRules,
    zones: gpd.GeoDataFrame | None,
) -> list[PatchFacts]:
    """Overlay patches with every layer, once.

    Parameters
    ----------
    patches : GeoDataFrame
        Patch records.
    layers : mapping of str to GeoDataFrame
        ``land`` (with ``attrs['code_system']``), ``pbf``, ``redline``, ``permits``; any may be
        absent.
    rules : FindingRules
        Land-code classes, slivers and the share that puts a patch in a zone.
    zones : GeoDataFrame, optional
        Remediation zones with ``plan_id`` and ``plan_approved_on``.

    Raises
    ------
    LayerError
        If permits lack a column or the land layer does not name its code system.
    """
    shapes = metric_shapes(patches)
    pixel_m = np.sqrt(patches["area_m2"].to_numpy() / np.maximum(patches["n_px"].to_numpy(), 1))
    overlaps = {
        name: overlap(shapes, frame, pixel_m) for name, frame in _themes(layers, rules).items()
    }
    in_zone = np.zeros(len(patches), dtype=bool)
    if zones is not None:
        in_zone = overlap(shapes, zones, pixel_m).share >= rules.majority_share
    plans = _approvals(shapes, _plans_of(zones), rules.sliver_m2)
    permits = _approvals(shapes, _permits_of(layers), rules.sliver_m2)
    records = patches.drop(columns="geometry").to_dict("records")
    return [
        PatchFacts(
            row=record,
            kind=ChangeKind(record["kind"]),
            measurability=Measurability(record["measurability"]),
            first=dt.date.fromisoformat(record["first_date"]),
            last=dt.date.fromisoformat(record["last_date"]),
            outline=shapes.iloc[i],
            in_zone=bool(in_zone[i]),
            plans=plans[i],
            permits=permits[i],
            parts=_parts(overlaps, i, record["area_m2"]),
        )
        for i, record in enumerate(records)
    ]


def _parts(
    overlaps: Mapping[str, Overlap], i: int, area_m2: float
) -> dict[str, tuple[float, bool]]:
    return {
        name: (float(found.share[i]) * area_m2, bool(found.at_edge[i]))
        for name, found in overlaps.items()
    }


def _themes(
    layers: Mapping[str, gpd.GeoDataFrame], rules: FindingRules
) -> dict[str, gpd.GeoDataFrame]:
    """Layers to overlay: the restricted areas, and the land layer once per big class."""
    themes = {name: layers[name] for name in _OVERLAYS if name in layers}
    if "land" in layers:
        land = layers["land"]
        system = _code_system(land)
        codes = land["land_code"].astype(str)
        for name, members in rules.big_classes.items():
            themes[name] = land[[members.has(code, system) for code in codes]]
    return themes


def _code_system(land: gpd.GeoDataFrame) -> CodeSystem:
    named = land.attrs.get("code_system")
    if named is None:
        raise LayerError(
            "got a land layer without attrs['code_system']; needed survey3 or guide2023, whose "
            "codes collide; read the layer with its code system"
        )
    return CodeSystem(named)


def _permits_of(layers: Mapping[str, gpd.GeoDataFrame]) -> gpd.GeoDataFrame | None:
    permits = layers.get("permits")
    if permits is None:
        return None
    absent = [name for name in _ON_PERMIT if name not in permits]
    if absent:
        raise LayerError(
            f"got permits without {', '.join(absent)}; needed {', '.join(_ON_PERMIT)}; read the "
            "layer as kind 'permits'"
        )
    return permits


def _plans_of(zones: gpd.GeoDataFrame | None) -> gpd.GeoDataFrame | None:
    """Zones with a plan, in the columns of permits."""
    if zones is None or "plan_id" not in zones or "plan_approved_on" not in zones:
        return None
    planned = zones[zones["plan_id"].notna()]
    columns = {"plan_id": "permit_id", "plan_approved_on": "approved_on"}
    return planned.rename(columns=columns).assign(kind=PLAN)


def _approvals(
    shapes: gpd.GeoSeries, frame: gpd.GeoDataFrame | None, sliver_m2: float
) -> list[tuple[Approval, ...]]:
    found: list[list[Approval]] = [[] for _ in range(len(shapes))]
    if frame is not None and len(frame):
        pairs = pairs_of(shapes, frame)
        rows = frame.drop(columns=frame.geometry.name).to_dict("records")
        large = shapely.area(pairs.piece) >= sliver_m2
        for i, j, piece in zip(
            pairs.patch[large], pairs.feature[large], pairs.piece[large], strict=True
        ):
            found[i].append(_approval(rows[j], piece))
    return [tuple(sorted(each, key=lambda approval: approval.id)) for each in found]


def _approval(row: Mapping[Any, Any], piece: shapely.Geometry) -> Approval:
    return Approval(
        id=str(row["permit_id"]),
        kind=str(row["kind"]),
        approved_on=_day(row["approved_on"]),
        expires_on=_day(row.get("expires_on")),
        piece=piece,
    )


def _day(value: Any) -> dt.date | None:
    stamp = pd.to_datetime(value)
    return None if stamp is None or pd.isna(stamp) else stamp.date()


def certain(approvals: Iterable[Approval], facts: PatchFacts) -> list[Approval]:
    """Approvals valid over the whole window of a patch."""
    return [
        approval
        for approval in possible(approvals, facts)
        if approval.uncertainty(facts.first, facts.last) is None
    ]


def possible(approvals: Iterable[Approval], facts: PatchFacts) -> list[Approval]:
    """Approvals that may have been valid when the works were done."""
    return [a for a in approvals if a.objection(facts.first, facts.last) is None]


def share_of(approvals: Sequence[Approval], facts: PatchFacts) -> float:
    """Share of a patch that approvals cover together, 0-1."""
    if not approvals:
        return 0.0
    together = shapely.union_all([a.piece for a in approvals])
    return float(shapely.area(together) / shapely.area(facts.outline))


def covering(
    approvals: Iterable[Approval], facts: PatchFacts, cover_share: float
) -> tuple[tuple[str, ...], float]:
    """Ids of approvals valid over the whole window, and the share of the patch they cover.

    Returns
    -------
    tuple of (tuple of str, float)
        No ids when they cover less than ``cover_share``.
    """
    valid = certain(approvals, facts)
    share = share_of(valid, facts)
    return (tuple(a.id for a in valid) if valid and share >= cover_share else ()), share


def uncertain_cover(
    approvals: Iterable[Approval], facts: PatchFacts, cover_share: float
) -> str | None:
    """Why it is open whether approvals cover a patch; None where no answer could make them do so.

    Notes
    -----
    For approvals that do not cover the patch without those of uncertain validity.
    """
    maybe = possible(approvals, facts)
    if share_of(maybe, facts) < cover_share:
        return None
    texts = [a.uncertainty(facts.first, facts.last) for a in maybe]
    return " and ".join(text for text in texts if text is not None) or None
