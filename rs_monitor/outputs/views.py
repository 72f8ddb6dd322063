"""Rows and sentences of the report, computed from records."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rs_monitor.codes import Measurability, Proposal, Status
from rs_monitor.findings.statement import CleanStatement
from rs_monitor.grid import MU_M2
from rs_monitor.outputs import terms

HA_M2 = 1e4
_STRONG = (Proposal.SUSPECTED_ILLEGAL, Proposal.SUSPECTED)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule applied to a patch, as printed."""

    rule_id: str
    clause: str
    status: str
    severity: str
    reason: str


@dataclass(frozen=True, slots=True)
class PatchRow:
    """One patch, as printed; ``number`` counts from the largest."""

    number: int
    patch_id: str
    zone_id: str
    kind: str
    class_before: str
    class_after: str
    area_m2: float
    measurability: str
    proposal: str
    reason: str
    first_date: str
    last_date: str
    looks: str
    last_look: str
    doubtful_fraction: float
    shift_m: float
    shift_fraction: float
    slope_deg: float
    probability: float
    n_px: int
    colour: str
    rules: tuple[RuleRow, ...]

    @property
    def is_measured(self) -> bool:
        """Whether the area may be read as a measurement."""
        return self.measurability == Measurability.MEASURED


def patch_rows(patches: pd.DataFrame, findings: pd.DataFrame) -> list[PatchRow]:
    """Patches with their rules, largest first.

    Parameters
    ----------
    patches, findings : DataFrame
        Records of the register.
    """
    rules = _rules_by_patch(findings)
    records = sorted(
        _records(patches), key=lambda r: (-_real(r.get("area_m2"), 0.0), r["patch_id"])
    )
    return [
        _patch_row(number, record, rules.get(record["patch_id"], ()))
        for number, record in enumerate(records, start=1)
    ]


def _patch_row(number: int, record: Mapping[str, Any], rules: Sequence[RuleRow]) -> PatchRow:
    proposal = _text(record.get("proposal")) or Proposal.UNJUDGED.value
    before = _first(record, "looks_before", "clear_looks_before")
    after = _first(record, "looks_after", "clear_looks_after")
    return PatchRow(
        number=number,
        patch_id=str(record["patch_id"]),
        zone_id=_text(record.get("zone_id")),
        kind=_text(record.get("kind")),
        class_before=_text(record.get("class_before")),
        class_after=_text(record.get("class_after")),
        area_m2=_real(record.get("area_m2")),
        measurability=_text(record.get("measurability")),
        proposal=proposal,
        reason=_text(record.get("proposal_reason")),
        first_date=day(record.get("first_date")),
        last_date=day(record.get("last_date")),
        looks=f"{number_or_dash(before)} / {number_or_dash(after)}",
        last_look=day(record.get("last_look")),
        doubtful_fraction=_real(record.get("doubtful_fraction")),
        shift_m=_real(record.get("shift_m")),
        shift_fraction=_real(record.get("shift_fraction")),
        slope_deg=_real(record.get("slope_deg")),
        probability=_real(record.get("probability")),
        n_px=int(_real(record.get("n_px"), 0.0)),
        colour=terms.PROPOSAL_COLOUR.get(proposal, terms.UNKNOWN_COLOUR),
        rules=tuple(rules),
    )


def _rules_by_patch(findings: pd.DataFrame) -> dict[str, list[RuleRow]]:
    """Rules that say something about a patch, the suspicious first."""
    rules: dict[str, list[RuleRow]] = {}
    for record in _records(findings):
        rules.setdefault(str(record["patch_id"]), []).append(_rule_row(record))
    return {patch_id: _condensed(rows) for patch_id, rows in rules.items()}


def _rule_row(record: Mapping[str, Any]) -> RuleRow:
    return RuleRow(
        rule_id=_text(record["rule_id"]),
        clause=_text(record["clause"]),
        status=_text(record["status"]),
        severity=_text(record["severity"]),
        reason=_text(record["reason"]),
    )


def _condensed(rows: Sequence[RuleRow]) -> list[RuleRow]:
    """Rules in order of weight; those that lacked the same input on one line."""
    silent: dict[str, list[RuleRow]] = {}
    for row in rows:
        if row.status == Status.NOT_EVALUATED:
            silent.setdefault(row.reason, []).append(row)
    weight = {Status.SUSPECTED: 0, Status.FAIL: 0, Status.INCONCLUSIVE: 1}
    spoken = [row for row in rows if row.status != Status.NOT_EVALUATED]
    spoken.sort(key=lambda row: (weight.get(Status(row.status), 2), row.rule_id))
    return spoken + [_joined(group) for _, group in sorted(silent.items())]


def _joined(rows: Sequence[RuleRow]) -> RuleRow:
    names = ", ".join(sorted(row.rule_id for row in rows))
    clause = rows[0].clause if len(rows) == 1 else ""
    return RuleRow(names, clause, rows[0].status, rows[0].severity, rows[0].reason)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures at the head of the report."""

    patches: int
    zones: int
    area_m2: float
    not_seen_m2: float
    seen_fraction: float
    suspected: int
    measured: int
    by_proposal: tuple[tuple[str, int], ...]
    by_measurability: tuple[tuple[str, int], ...]
    by_kind: tuple[tuple[str, int], ...]
    limit_m2: tuple[float, float]
    scenes: int
    first_scene: str
    last_scene: str


def summary(
    manifest: Mapping[str, Any], rows: Sequence[PatchRow], coverage: pd.DataFrame
) -> Summary:
    """Figures at the head of the report.

    Parameters
    ----------
    manifest : mapping
        The manifest as JSON.
    rows : sequence of PatchRow
        All patches.
    coverage : DataFrame
        One row per zone.
    """
    area, unseen = _total(coverage, "area_m2"), _total(coverage, "not_seen_m2")
    days = sorted(day(scene["datetime"]) for scene in manifest.get("inputs", ()))
    return Summary(
        patches=len(rows),
        zones=len(coverage),
        area_m2=area,
        not_seen_m2=unseen,
        seen_fraction=1 - unseen / area if area else float("nan"),
        suspected=sum(row.proposal in _STRONG for row in rows),
        measured=sum(row.is_measured for row in rows),
        by_proposal=_counts((row.proposal for row in rows), list(Proposal)),
        by_measurability=_counts((row.measurability for row in rows), list(Measurability)),
        by_kind=tuple(Counter(row.kind for row in rows).most_common()),
        limit_m2=_range(coverage, "limit_m2"),
        scenes=len(days),
        first_scene=days[0] if days else "",
        last_scene=days[-1] if days else "",
    )


def _counts(values: Iterable[str], order: Sequence[str]) -> tuple[tuple[str, int], ...]:
    counts = Counter(values)
    return tuple((str(name), counts[name]) for name in order if counts[name])


def _total(frame: pd.DataFrame, column: str) -> float:
    return float(frame[column].sum()) if column in frame else 0.0


def _range(frame: pd.DataFrame, column: str) -> tuple[float, float]:
    if column not in frame or frame[column].dropna().empty:
        return float("nan"), float("nan")
    return float(frame[column].min()), float(frame[column].max())


def coverage_rows(coverage: pd.DataFrame, said: CleanStatement) -> list[dict[str, Any]]:
    """Coverage by zone with what is ``said`` about it, the least seen first."""
    plain = pd.DataFrame(coverage.drop(columns="geometry", errors="ignore"))
    zones = {zone.zone_id: zone for zone in said.zones}
    return [
        row | {"said": zones[str(row["zone_id"])]}
        for row in _records(plain.sort_values(["seen_fraction", "zone_id"]))
    ]


@dataclass(frozen=True, slots=True)
class Table:
    """A table printed as it is."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_number: tuple[bool, ...]


def plain_table(frame: pd.DataFrame | None) -> Table | None:
    """Any frame as text cells; None or no columns gives None."""
    if frame is None or frame.columns.empty:
        return None
    shown = pd.DataFrame(frame.drop(columns="geometry", errors="ignore"))
    columns = [shown[name] for name in shown.columns]
    cells = zip(*([_cell(value) for value in column] for column in columns), strict=True)
    numeric = tuple(
        pd.api.types.is_numeric_dtype(c) and not pd.api.types.is_bool_dtype(c) for c in columns
    )
    return Table(tuple(str(c) for c in shown.columns), tuple(cells), numeric)


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim of new arable land, as printed; ``rules`` are (rule id, status, sentence)."""

    claim_id: str
    answer: str
    claimed_area_m2: float
    recomputed_area_m2: float
    area_source: str
    survey_id: str
    change_survey_id: str
    completed_on: str
    rules: tuple[tuple[str, str, str], ...]


def claim_rows(claims: pd.DataFrame | None) -> list[ClaimRow] | None:
    """Answers to claims in the delivered order; None without claims.

    Parameters
    ----------
    claims : DataFrame, optional
        As :func:`rs_monitor.acceptance.claims.judge_claims` returns them.
    """
    return None if claims is None else [_claim(record) for record in _records(claims)]


def _claim(record: Mapping[str, Any]) -> ClaimRow:
    sentences = _text(record.get("reasons")).split("; ")
    told = {text.split(" ", 1)[0]: text.split(": ", 1)[-1] for text in sentences if ": " in text}
    statuses = {
        name.removeprefix("rule_").replace("_", "-"): _text(value)
        for name, value in record.items()
        if str(name).startswith("rule_")
    }
    return ClaimRow(
        claim_id=_text(record.get("claim_id")),
        answer=_text(record.get("answer")),
        claimed_area_m2=_real(record.get("claimed_area_m2")),
        recomputed_area_m2=_real(record.get("recomputed_area_m2")),
        area_source=_text(record.get("area_source")),
        survey_id=_text(record.get("survey_id")),
        change_survey_id=_text(record.get("change_survey_id")),
        completed_on=day(record.get("completed_on")),
        rules=tuple((rule, status, told.get(rule, "")) for rule, status in statuses.items()),
    )


def grouped_reasons(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries of ``not_evaluated`` with the same product and reason, once with their zones."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        zones = groups.setdefault((entry["product"], entry["reason"]), [])
        if entry.get("zone"):
            zones.append(str(entry["zone"]))
    return [{"product": p, "reason": r, "zones": zones} for (p, r), zones in groups.items()]


def scenes_by_collection(inputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scene ids by collection, in time order."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for scene in sorted(inputs, key=lambda s: (str(s["datetime"]), str(s["id"]))):
        groups.setdefault(str(scene["collection"]), []).append(scene)
    return [
        {"collection": name, "scenes": [(s["id"], day(s["datetime"])) for s in scenes]}
        for name, scenes in sorted(groups.items())
    ]


def scale_bar(width_px: int, pixel_m: float) -> dict[str, Any]:
    """Round length for a scale bar of about a fifth of a map: pixels and label."""
    aim_m = max(width_px * pixel_m / 5, 1e-6)
    power = 10 ** math.floor(math.log10(aim_m))
    length_m = max(step for step in (power, 2 * power, 5 * power) if step <= aim_m)
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    return {"width_px": length_m / pixel_m, "label": label}


def day(value: Any) -> str:
    """A date, time or ISO text as ``YYYY-MM-DD``; empty where it is missing."""
    if isinstance(value, str):
        return value[:10]
    if value is None or pd.isna(value):
        return ""
    return value.isoformat()[:10] if isinstance(value, dt.date) else str(value)[:10]


def number(value: Any, digits: int = 1, suffix: str = "") -> str:
    """A number with thousands separated; a dash where it is missing."""
    real = _real(value)
    return "–" if math.isnan(real) else f"{real:,.{digits}f}{suffix}"


def number_or_dash(value: Any) -> str:
    """A whole number, or a dash."""
    return number(value, 0)


def area(value_m2: Any) -> str:
    """An area in m2 and mu."""
    real = _real(value_m2)
    return "–" if math.isnan(real) else f"{real:,.0f} m² · {mu(real):,.2f} mu"


def mu(value_m2: Any) -> float:
    """An area in mu."""
    return _real(value_m2) / MU_M2


def ha(value_m2: Any) -> float:
    """An area in hectares."""
    return _real(value_m2) / HA_M2


def signed(value: Any, digits: int = 1) -> str:
    """A difference with its sign; a dash where it is missing."""
    real = _real(value)
    return "–" if math.isnan(real) else f"{real:+,.{digits}f}"


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple | set | np.ndarray):
        return "; ".join(str(part) for part in value)
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
    return day(value) if isinstance(value, dt.date) else str(value)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in record.items()} for record in frame.to_dict("records")]


def _first(record: Mapping[str, Any], *names: str) -> Any:
    return next((record[name] for name in names if name in record), None)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    return "" if value is None or pd.isna(value) else str(value)


def _real(value: Any, missing: float = float("nan")) -> float:
    return missing if value is None or pd.isna(value) else float(value)
