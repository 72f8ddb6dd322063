"""Judge claims of new arable land one by one.

Each answer concerns one surveyed polygon. Nothing here adds claims up or turns pixels into an
accepted area.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_monitor.acceptance.checks import CHECKS, Case, Claim, Outcome, area_ratio
from rs_monitor.acceptance.doubts import table_doubts
from rs_monitor.acceptance.evidence import (
    Evidence,
    Measures,
    Overlays,
    PixelCounts,
    SlopeSummary,
    measure_claim,
)
from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.authority.area import areas_m2
from rs_monitor.codes import AreaSource, ClaimAnswer, Status
from rs_monitor.errors import LayerError

__all__ = ["Evidence", "answer_of", "judge_claims"]

_AGAINST = frozenset({Status.FAIL, Status.SUSPECTED})
_DECLARED = (
    "claim_id",
    "claimed_area_m2",
    "area_source",
    "survey_id",
    "change_survey_id",
    "completed_on",
)


def judge_claims(
    claims: gpd.GeoDataFrame,
    evidence: Evidence,
    rules: AcceptanceRules,
    *,
    doubts: Sequence[tuple[str, ...]] | None = None,
) -> gpd.GeoDataFrame:
    """Answer SUPPORTED, CONTRADICTED or INCONCLUSIVE for every claim.

    Parameters
    ----------
    claims : GeoDataFrame
        As read by ``read_layer(..., kind="claims")``, in the delivered CRS.
    evidence : Evidence
        Layers and rasters; what is absent makes its rules ``not_evaluated``.
    rules : AcceptanceRules
        Thresholds with their origin.
    doubts : sequence of tuple of str, optional
        Of :func:`rs_monitor.acceptance.doubts.table_doubts`, one entry per claim; needed when
        ``claims`` is a part of a table. By default they are looked for among ``claims``.

    Returns
    -------
    GeoDataFrame
        One row per claim in the delivered order and CRS: the declared fields, ``answer``,
        ``reasons`` (one entry per rule with its numbers, joined by ``"; "``), ``rule_GEO_01`` and
        so on (``Status`` values), ``recomputed_area_m2``, ``area_ratio``,
        ``baseline_arable_fraction``, ``n_px`` (interior pixels), ``seen_fraction``,
        ``crop_fraction_before``, ``crop_fraction_after``, ``built_fraction_after`` and
        ``cycles_fraction`` (of interior pixels, unseen ones in the denominator),
        ``slope_mean_deg``, ``slope_steep_fraction``, ``slope_grade``, ``overlaps`` (m2 per
        layer), ``rules``. Numbers without evidence are NaN.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        If no official area can be computed.
    LayerError
        If declared fields are missing or a polygon has no area.

    Notes
    -----
    SUPPORTED needs a pass of every rule; a rule that fails, or that imagery or terrain speaks
    against (``suspected``), makes the claim CONTRADICTED; all else is INCONCLUSIVE. Imagery that is
    unsound, or after completion mostly of doubtful looks, speaks neither way.
    """
    _require_declared(claims)
    areas = areas_m2(claims)
    _require_areas(claims, areas)
    crs = claims.crs
    overlays = Overlays.of(evidence, crs)
    if doubts is None:
        doubts = table_doubts(claims, rules)
    rows = []
    for record, geometry, area, doubt in zip(
        claims.to_dict("records"), claims.geometry, areas, doubts, strict=True
    ):
        claim = _declared(record)
        measures = measure_claim(geometry, float(area), crs, evidence, overlays, rules)
        outcomes = _outcomes(Case(claim, measures, rules, evidence.before, evidence.after, doubt))
        rows.append(_row(record, measures, outcomes, rules))
    return gpd.GeoDataFrame(
        pd.DataFrame(rows, columns=None if rows else _DECLARED),
        geometry=list(claims.geometry),
        crs=claims.crs,
    )


def answer_of(statuses: Mapping[str, Status]) -> ClaimAnswer:
    """Answer to a claim from the status of every rule.

    Parameters
    ----------
    statuses : mapping of str to Status
        Status by rule id; a rule that is absent counts as not evaluated.
    """
    if _AGAINST & set(statuses.values()):
        return ClaimAnswer.CONTRADICTED
    if all(statuses.get(rule) is Status.PASS for rule in CHECKS):
        return ClaimAnswer.SUPPORTED
    return ClaimAnswer.INCONCLUSIVE


def _outcomes(case: Case) -> dict[str, Outcome]:
    return {rule: check(case) for rule, check in CHECKS.items()}


def _require_declared(claims: gpd.GeoDataFrame) -> None:
    missing = [name for name in _DECLARED if name not in claims.columns]
    if missing:
        raise LayerError(
            f"got claims without {', '.join(missing)}; needed {', '.join(_DECLARED)}; read them "
            "with read_layer(..., kind='claims')"
        )


def _require_areas(claims: gpd.GeoDataFrame, areas: np.typing.NDArray[np.float64]) -> None:
    flat = claims["claim_id"][areas <= 0].tolist()
    if flat:
        raise LayerError(
            f"got claims whose polygon has no area: {', '.join(map(str, flat))}; needed surveyed "
            "polygons; correct their geometry"
        )


def _declared(record: Mapping[str, Any]) -> Claim:
    return Claim(
        claim_id=str(record["claim_id"]),
        claimed_area_m2=float(record["claimed_area_m2"]),
        area_source=AreaSource(record["area_source"]),
        survey_id=_text(record["survey_id"]),
        change_survey_id=_text(record["change_survey_id"]),
        completed_on=_day(record["completed_on"]),
    )


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value).strip() or None


def _day(value: Any) -> dt.date:
    return pd.Timestamp(value).date()


def _row(
    record: Mapping[str, Any],
    measures: Measures,
    outcomes: Mapping[str, Outcome],
    rules: AcceptanceRules,
) -> dict[str, Any]:
    statuses = {rule: outcome.status for rule, outcome in outcomes.items()}
    reasons = [f"{rule} {o.status}: {o.text}" for rule, o in outcomes.items()]
    area = measures.recomputed_area_m2
    return {
        **{name: record[name] for name in _DECLARED},
        "answer": answer_of(statuses).value,
        "reasons": "; ".join(reasons),
        **{f"rule_{rule.replace('-', '_')}": s.value for rule, s in statuses.items()},
        "recomputed_area_m2": area,
        "area_ratio": area_ratio(float(record["claimed_area_m2"]), area),
        "baseline_arable_fraction": _number(measures.arable_share),
        **_pixel_columns(measures),
        **_slope_columns(measures),
        "overlaps": _overlaps(measures),
        "rules": f"{rules.id} {rules.version}",
    }


def _pixel_columns(measures: Measures) -> dict[str, float]:
    pixels = measures.pixels or PixelCounts(n_px=0, interior_share=0.0)
    counts = {
        "seen_fraction": pixels.seen,
        "crop_fraction_before": pixels.crop_before,
        "crop_fraction_after": pixels.crop,
        "built_fraction_after": pixels.built,
        "cycles_fraction": pixels.cropped,
    }
    shares = {
        name: float("nan") if count is None or pixels.n_px == 0 else count / pixels.n_px
        for name, count in counts.items()
    }
    return {"n_px": pixels.n_px, **shares}


def _slope_columns(measures: Measures) -> dict[str, Any]:
    slope = measures.slope or SlopeSummary(float("nan"), float("nan"), 1.0, "")
    return {
        "slope_mean_deg": slope.mean_deg,
        "slope_steep_fraction": slope.steep_share,
        "slope_grade": slope.grade,
    }


def _overlaps(measures: Measures) -> str:
    reported = dict(measures.overlaps_m2)
    if measures.pbf_overlap_m2 is not None:
        reported["pbf"] = measures.pbf_overlap_m2
    return ", ".join(f"{name}={m2:.2f}" for name, m2 in reported.items())


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
