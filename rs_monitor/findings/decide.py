"""Rules applied to patches, and the decision table that turns findings into a proposal."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np

from rs_monitor.codes import ChangeKind, Measurability, Proposal, Status
from rs_monitor.findings.facts import (
    PatchFacts,
    covering,
    gather,
    possible,
    share_of,
    uncertain_cover,
)
from rs_monitor.findings.identity import finding_id
from rs_monitor.findings.rules import FindingRule, FindingRules
from rs_monitor.register.records import (
    FINDING,
    PROPOSED_PATCH,
    check_findings,
    check_patches,
    record_frame,
)

CONSTRUCTION = frozenset({ChangeKind.BUILDING, ChangeKind.ROAD, ChangeKind.MINE})
"""Kinds that are non-agricultural construction; moved earth is not yet construction."""

_TOO_LITTLE = "too small or too seldom seen"
_OPEN = frozenset({Status.NOT_EVALUATED, Status.INCONCLUSIVE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answer of one rule for one patch."""

    status: Status
    reason: str
    overlap_m2: float
    permit_ids: tuple[str, ...] = ()


def evaluate(
    patches: gpd.GeoDataFrame,
    layers: Mapping[str, gpd.GeoDataFrame],
    rules: FindingRules,
    zones: gpd.GeoDataFrame | None = None,
) -> gpd.GeoDataFrame:
    """Apply every rule to every patch it concerns.

    Parameters
    ----------
    patches : GeoDataFrame
        Records of :data:`rs_monitor.register.records.PATCH`.
    layers : mapping of str to GeoDataFrame
        Authority layers by name; what is absent makes its rules ``not_evaluated``.
    rules : FindingRules
        Rule file.
    zones : GeoDataFrame, optional
        Remediation zones; without it ``layers['zones']``.

    Returns
    -------
    GeoDataFrame
        Records of :data:`rs_monitor.register.records.FINDING`, in the order of patches and rules.
        Every patch has at least one row.

    Raises
    ------
    LayerError, MissingCRS
        If patches or layers lack columns, a code system or a CRS.

    Notes
    -----
    A patch that cannot be decided is ``inconclusive`` even under a permit. A patch that is only
    detected may be ``suspected``; its reason then says that it is below the measuring limit. No
    status from imagery is ever ``fail``. An approval counts when it was given on or before the
    first day of the change window and had not expired by its last. One given or expired inside the
    window, and needed to cover the patch, leaves the rule ``inconclusive``: nobody knows whether
    the works came first.
    """
    check_patches(patches, proposed=False)
    zones = layers.get("zones") if zones is None else zones
    present = set(layers) | ({"zones"} if zones is not None else set())
    facts = gather(patches, layers, rules, zones)
    rows, shapes = [], []
    for patch, shape in zip(facts, patches.geometry, strict=True):
        answers = _answers(patch, rules, present)
        rows += [_record(rule, patch, outcome, rules) for rule, outcome in answers]
        shapes += [shape] * len(answers)
    columns = {column.name: [row[column.name] for row in rows] for column in FINDING}
    return check_findings(record_frame(columns, FINDING, shapes, patches.crs))


def missing_inputs(rules: FindingRules, present: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Rules that cannot be evaluated in a run, with the inputs they lack.

    Parameters
    ----------
    rules : FindingRules
        Rule file.
    present : collection of str
        Inputs the run has: names of layers, ``zones``, ``dem``, ``land_cover``.
    """
    lacking = {
        rule.id: tuple(name for name in rule.inputs if name not in present) for rule in rules.rules
    }
    return {rule_id: names for rule_id, names in lacking.items() if names}


def _answers(
    patch: PatchFacts, rules: FindingRules, present: Collection[str]
) -> list[tuple[FindingRule, Outcome]]:
    for fallback in (False, True):
        asked = [rule for rule in rules.rules if rule.fallback is fallback]
        judged = [(rule, judge(rule, patch, rules, present)) for rule in asked]
        answers = [(rule, outcome) for rule, outcome in judged if outcome is not None]
        if answers:
            return answers
    return []


def judge(
    rule: FindingRule, patch: PatchFacts, rules: FindingRules, present: Collection[str]
) -> Outcome | None:
    """Apply one rule to one patch.

    Parameters
    ----------
    rule : FindingRule
        The rule.
    patch : PatchFacts
        The patch and what it meets.
    rules : FindingRules
        Shared numbers.
    present : collection of str
        Names of the layers given.

    Returns
    -------
    Outcome or None
        None where the rule does not concern the patch.
    """
    if not _concerns(rule, patch):
        return None
    overlap_m2 = _overlap_m2(rule, patch)
    if _ties(rule) and overlap_m2 < rules.sliver_m2:
        return None
    seen = _evidence(rule, patch, overlap_m2)
    lacking = _lacking(rule, patch, present)
    if lacking:
        reason = f"{seen}; not evaluated: {', '.join(lacking)} missing"
        return Outcome(Status.NOT_EVALUATED, reason, overlap_m2)
    doubt = _doubt(rule, patch, overlap_m2)
    if doubt:
        return Outcome(Status.INCONCLUSIVE, f"{seen}; {doubt}", overlap_m2)
    permit_ids, excuse, objections = _excuse(rule, patch, rules)
    if excuse:
        return Outcome(Status.PASS, f"{seen}; {excuse}", overlap_m2, permit_ids)
    untold = _untold(rule, patch, rules)
    if untold:
        return Outcome(Status.INCONCLUSIVE, f"{seen}; {untold}", overlap_m2)
    parts = [seen, *objections, *_limit(patch)]
    return Outcome(Status(rule.outcome), "; ".join(parts), overlap_m2)


def _concerns(rule: FindingRule, patch: PatchFacts) -> bool:
    if patch.kind is ChangeKind.UNCLASSIFIED and not rule.fallback:
        return rule.overlay is not None and rule.overlay in patch.parts
    row = patch.row
    slope = float(row["slope_deg"])
    flat = rule.min_slope_deg is not None and slope < rule.min_slope_deg
    return (
        patch.kind in rule.kinds
        and (not rule.classes_before or row["class_before"] in rule.classes_before)
        and (not rule.classes_after or row["class_after"] in rule.classes_after)
        and not flat
    )


def _ties(rule: FindingRule) -> list[str]:
    """Layers and land classes the patch must lie on."""
    return [name for name in (rule.overlay, rule.from_big_class) if name is not None]


def _overlap_m2(rule: FindingRule, patch: PatchFacts) -> float:
    """Area the rule is about; NaN while a layer it needs is missing."""
    areas = [patch.part_m2(name) for name in _ties(rule)]
    return float(np.min(areas)) if areas else float(patch.row["area_m2"])


def _lacking(rule: FindingRule, patch: PatchFacts, present: Collection[str]) -> list[str]:
    known = {
        "dem": math.isfinite(float(patch.row["slope_deg"])),
        "land_cover": patch.kind is not ChangeKind.UNCLASSIFIED,
    }
    if patch.kind is ChangeKind.UNCLASSIFIED and not rule.fallback:
        return []
    return [name for name in rule.inputs if not known.get(name, name in present)]


def _evidence(rule: FindingRule, patch: PatchFacts, overlap_m2: float) -> str:
    row = patch.row
    text = (
        f"{patch.kind.value}: {row['class_before']}{_percent(row['prob_before'])} to "
        f"{row['class_after']}{_percent(row['prob_after'])}, {row['area_m2']:.0f} m2"
    )
    known = [name for name in _ties(rule) if name in patch.parts]
    return f"{text}, {overlap_m2:.0f} m2 of it on {' and '.join(known)}" if known else text


def _percent(probability: float) -> str:
    return f" ({probability:.0%})" if math.isfinite(probability) else ""


def _doubt(rule: FindingRule, patch: PatchFacts, overlap_m2: float) -> str | None:
    """Why nothing can be concluded; None = the evidence is enough."""
    row = patch.row
    if patch.measurability is Measurability.CANNOT_DECIDE:
        looks = f"{row['looks_before']} and {row['looks_after']} clear looks"
        shift = _shift(row)
        why = "too small, too seldom seen or too near its edge" if shift else _TOO_LITTLE
        return f"{why} to decide: {row['n_px']} pixels, {looks}{shift}"
    if patch.kind is ChangeKind.UNCLASSIFIED:
        return "the kind of the change is not known"
    if overlap_m2 < rule.min_report_m2:
        return f"below {rule.min_report_m2:.0f} m2, from which the rule reports"
    if any(patch.parts[name][1] for name in _ties(rule)):
        return "the overlap is thinner than half a pixel along the edge"
    return None


def _excuse(
    rule: FindingRule, patch: PatchFacts, rules: FindingRules
) -> tuple[tuple[str, ...], str | None, list[str]]:
    """Permits that excuse the change, the sentence for it, and why others do not."""
    permits = [permit for permit in patch.permits if permit.kind in rule.approval_kinds]
    ids, share = covering(permits, patch, rules.cover_share)
    at_most = share_of(possible(permits, patch), patch)
    if ids:
        return ids, f"approved by {', '.join(ids)} on {share:.0%} of the patch", []
    if rule.plan_excuses and patch.in_zone:
        plans, _ = covering(patch.plans, patch, rules.cover_share)
        if plans:
            return (), f"inside a zone with approved plan {', '.join(plans)}", []
    window = (patch.first, patch.last)
    objections = [p.objection(*window) or p.uncertainty(*window) for p in permits]
    reasons = [text for text in objections if text is not None]
    if at_most > 0:
        cover = f"{at_most:.0%} of the patch{' at most' if at_most > share else ''}"
        reasons.append(f"valid permits cover {cover}, needed {rules.cover_share:.0%}")
    if rule.approval_kinds and not permits:
        reasons.append(f"no permit of kind {' or '.join(rule.approval_kinds)}")
    return (), None, reasons


def _untold(rule: FindingRule, patch: PatchFacts, rules: FindingRules) -> str | None:
    """Approvals that would excuse the change if they were valid when it was made."""
    permits = [permit for permit in patch.permits if permit.kind in rule.approval_kinds]
    plans = patch.plans if rule.plan_excuses and patch.in_zone else ()
    found = [uncertain_cover(each, patch, rules.cover_share) for each in (permits, plans)]
    return " and ".join(text for text in found if text is not None) or None


def _limit(patch: PatchFacts) -> list[str]:
    if patch.measurability is not Measurability.DETECT_ONLY:
        return []
    size = f"{patch.row['n_px']} pixels{_shift(patch.row)}"
    return [f"below the sensor's measuring limit: {size}, area indicative"]


def _shift(row: Mapping[str, Any]) -> str:
    """How much of a patch a shift between the dates could explain; empty where not measured."""
    share = float(row["shift_fraction"])
    return f", {share:.0%} of it within a shift of {row['shift_m']:.1f} m" if share > 0 else ""


def _record(
    rule: FindingRule, patch: PatchFacts, outcome: Outcome, rules: FindingRules
) -> dict[str, Any]:
    plans, _ = covering(patch.plans, patch, rules.cover_share)
    same = ("patch_id", "zone_id", "area_m2", "first_date", "last_date", "kind", "measurability")
    return {
        **{name: patch.row[name] for name in same},
        "finding_id": finding_id(rule.id, rule.version, patch.row["patch_id"]),
        "rule_id": rule.id,
        "rule_version": rule.version,
        "clause": rule.clause,
        "severity": rule.severity,
        "status": outcome.status.value,
        "reason": outcome.reason,
        "overlap_m2": outcome.overlap_m2,
        "pbf_m2": patch.part_m2("pbf"),
        "redline_m2": patch.part_m2("redline"),
        "in_zone": patch.in_zone,
        "plan_ids": ";".join(plans),
        "permit_ids": ";".join(outcome.permit_ids),
    }


def propose(
    patches: gpd.GeoDataFrame,
    findings: gpd.GeoDataFrame,
    layers: Mapping[str, gpd.GeoDataFrame],
    rules: FindingRules,
) -> gpd.GeoDataFrame:
    """Put every patch through the decision table.

    Parameters
    ----------
    patches : GeoDataFrame
        Records of :data:`rs_monitor.register.records.PATCH`.
    findings : GeoDataFrame
        What :func:`evaluate` answered for them.
    layers : mapping of str to GeoDataFrame
        The layers it was given; without farmland and red-line layers nothing is excused.
    rules : FindingRules
        Shared numbers.

    Returns
    -------
    GeoDataFrame
        The patches with ``proposal`` and ``proposal_reason``.

    Notes
    -----
    Decision table of the domain study, Part C, after S004 §二(二)4(4). A proposal is for a person
    to confirm. Rural roads are not told from other roads: their width is below the pixel.
    """
    by_patch: dict[str, list[dict[str, Any]]] = {}
    for row in findings.drop(columns="geometry").to_dict("records"):
        by_patch.setdefault(str(row["patch_id"]), []).append(row)
    absent = [name for name in ("pbf", "redline") if name not in layers]
    proposals = [
        _proposal(patch, by_patch.get(str(patch["patch_id"]), []), absent, rules)
        for patch in patches.drop(columns="geometry").to_dict("records")
    ]
    columns = {name: list(patches[name]) for name in patches.columns if name != "geometry"}
    columns["proposal"] = [proposal.value for proposal, _ in proposals]
    columns["proposal_reason"] = [reason for _, reason in proposals]
    return check_patches(record_frame(columns, PROPOSED_PATCH, patches.geometry, patches.crs))


def _proposal(
    patch: Mapping[Any, Any],
    rows: Sequence[Mapping[str, Any]],
    absent: Sequence[str],
    rules: FindingRules,
) -> tuple[Proposal, str]:
    """First row of the decision table that fits, most serious first."""
    kind = ChangeKind(patch["kind"])
    if patch["measurability"] == Measurability.CANNOT_DECIDE or kind is ChangeKind.UNCLASSIFIED:
        return Proposal.UNJUDGED, "the imagery does not decide what happened here"
    suspected = _suspicions(rows)
    if suspected:
        serious = kind in CONSTRUCTION
        proposal = Proposal.SUSPECTED_ILLEGAL if serious else Proposal.SUSPECTED
        return proposal, f"suspected under {suspected}"
    still_open = [row for row in rows if row["status"] in _OPEN]
    if still_open:
        return Proposal.UNJUDGED, f"open: {'; '.join(_open_point(row) for row in still_open)}"
    restricted = _restriction(rows, absent, rules)
    if restricted:
        return Proposal.UNJUDGED, restricted
    return _unsuspicious(kind, rows)


def _unsuspicious(kind: ChangeKind, rows: Sequence[Mapping[str, Any]]) -> tuple[Proposal, str]:
    permits = ", ".join(sorted({row["permit_ids"] for row in rows} - {""}))
    if kind in CONSTRUCTION:
        if permits:
            return Proposal.LEGAL_CANDIDATE, f"approved by {permits}; a person confirms"
        return Proposal.UNJUDGED, "construction that no rule of the list concerns"
    if permits:
        facility = kind is ChangeKind.GREENHOUSE
        proposal = Proposal.OTHER_AGRI_FACILITY if facility else Proposal.NO_CHANGE
        return proposal, f"approved by {permits}"
    plans = sorted({row["plan_ids"] for row in rows if row["in_zone"]} - {""})
    if plans:
        text = f"in a zone under approved plan {', '.join(plans)}, no non-agricultural construction"
        return Proposal.NO_CHANGE, text
    return Proposal.UNJUDGED, "no approved plan covers the patch: check against the plans"


def _suspicions(rows: Sequence[Mapping[str, Any]]) -> str:
    found = [row for row in rows if row["status"] == Status.SUSPECTED]
    return ", ".join(f"{row['rule_id']} ({row['status']})" for row in found)


def _open_point(row: Mapping[str, Any]) -> str:
    """Rule and why it is open: what the reason says after the evidence."""
    return f"{row['rule_id']} ({row['status']}): {row['reason'].rpartition('; ')[2]}"


def _restriction(
    rows: Sequence[Mapping[str, Any]], absent: Sequence[str], rules: FindingRules
) -> str | None:
    """Why nothing may be excused: restricted land is touched, or not known."""
    if absent:
        return f"{' and '.join(absent)} missing: restricted land is not known"
    names = {"pbf_m2": "permanent basic farmland", "redline_m2": "the red line"}
    touched = [
        text
        for name, text in names.items()
        if any(float(row[name]) >= rules.sliver_m2 for row in rows)
    ]
    return f"touches {' and '.join(touched)}: a person checks the approval" if touched else None
