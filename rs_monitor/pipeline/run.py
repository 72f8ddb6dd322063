"""Run a planned job: observe, fit, apply, collect."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from rs_monitor.config.rules import DetectionRules, find_rules, load_rules
from rs_monitor.findings.decide import missing_inputs
from rs_monitor.findings.rules import FindingRules
from rs_monitor.findings.statement import clean_statement
from rs_monitor.imagery.incidents import ReadIncident
from rs_monitor.outputs.catalog import write_catalog
from rs_monitor.outputs.land_cover_view import GENERALISED, OUTSIDE, STEP
from rs_monitor.outputs.manifest import Manifest
from rs_monitor.outputs.report import ReportContext, ZoneView, write_report
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.pipeline.class_areas import write_class_areas
from rs_monitor.pipeline.collect import (
    Found,
    ZoneProducts,
    decide,
    generalised_covers,
    generalised_shares,
    mosaic,
    outside_shares,
    unseen_coverage,
    write_maps,
    zone_coverage,
    zone_outlines,
    zone_patches,
)
from rs_monitor.pipeline.inputs import RULE_ROLES
from rs_monitor.pipeline.inspect import RADIOMETRY, inspect
from rs_monitor.pipeline.judge import Inspected
from rs_monitor.pipeline.measure import apply, fit, observe
from rs_monitor.pipeline.plan import Plan
from rs_monitor.pipeline.rules import ImageryRules
from rs_monitor.pipeline.slope_grades import write_slope_grades
from rs_monitor.pipeline.tasks import ApplyTask
from rs_monitor.pipeline.training import training_warnings
from rs_monitor.pipeline.work import Ledger, Progress, pool_of, work_of
from rs_monitor.register.store import Register

log = logging.getLogger(__name__)

FINDINGS_NAME = "findings.gpkg"
INSPECT = "inspect"
"""Name of the step that says what the scenes are like."""

TRUE_COLOUR = ("red", "green", "blue")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    path : Path
    manifest : Manifest
    found : Found
    """

    path: Path
    manifest: Manifest
    found: Found


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def open_run(plan: Plan, out: Path, config_text: str) -> RunFolder:
    """Create the run folder of a plan, or take up the one that is there."""
    paths = {
        f"{role}.toml": find_rules(getattr(plan.config.rules, role), plan.base)
        for role in RULE_ROLES
    }
    folder = RunFolder.open(
        out,
        name=plan.config.name,
        plan=plan.summary(),
        plan_fingerprint=plan.fingerprint,
        config_text=config_text,
        rules={name: path.read_text(encoding="utf-8") for name, path in paths.items()},
        purpose=plan.config.purpose,
        synthetic=plan.config.synthetic,
    )
    _record_inputs(folder, plan)
    return folder


def _record_inputs(folder: RunFolder, plan: Plan) -> None:
    items = {item.id: item for zone in plan.zones for item in (*zone.before, *zone.after)}
    folder.add_scenes(
        (item.to_dict() for item in items.values()),
        ((refusal.item_id, refusal.reason) for refusal in plan.refused),
    )
    authority = plan.config.authority
    for kind, frame in plan.layers.items():
        folder.add_vector(
            kind,
            plan.path(getattr(authority, kind).path),
            features=len(frame),
            crs=frame.crs.to_string(),
            repaired=frame.attrs.get("repaired", ()),
        )
    if isinstance(plan.dem, Path):
        folder.add_vector("dem", plan.dem)
    if plan.config.dem is not None:
        folder.add_step("dem", plan.config.dem.model_dump())
    folder.add_step("plan", warnings=plan.warnings)
    for product, reason in plan.not_evaluated:
        folder.not_evaluated(product, reason)


def run(
    plan: Plan,
    out: Path,
    *,
    config_text: str,
    progress: Progress = silent,
    truth: pd.DataFrame | None = None,
) -> Run:
    """Run a job into a folder; the same folder resumes.

    Parameters
    ----------
    plan : Plan
    out : Path
        Run folder; missing, or that of the same job.
    config_text : str
        The job file as read; kept in the folder.
    progress : Progress, optional
    truth : DataFrame, optional
        For synthetic jobs: what the report sets beside what was found.

    Returns
    -------
    Run
        Its manifest says ``finished`` or ``finished_with_failures``.
    """
    Register(register_path(plan, out)).require_ready(plan.vector_crs)
    with open_run(plan, out, config_text) as folder:
        ledger = Ledger()
        computed = _compute(plan, folder, progress, ledger)
        products = _mosaics(plan, computed)
        found = _collect(plan, folder, products, progress)
        _record_ledger(folder, ledger)
        _record_land_cover(folder, ledger, products)
        _state(plan, folder, found)
        _register(plan, folder, found, out)
        write_catalog(folder, scenes_by_zone(plan))
        write_report(folder, report_context(folder, plan, products, found, truth))
        manifest = folder.finish()
    return Run(out, manifest, found)


@dataclass(frozen=True)
class Computed:
    """Blocks of a run, and what its scenes are like.

    Attributes
    ----------
    tasks : list of ApplyTask
        Those that were done.
    scenes : dict of str to Inspected
        By zone.
    """

    tasks: list[ApplyTask]
    scenes: dict[str, Inspected]


def _compute(
    plan: Plan,
    folder: RunFolder,
    progress: Progress,
    ledger: Ledger,
) -> Computed:
    with pool_of(plan) as pool:
        folder.set_cluster(**pool.shape())
        work = work_of(plan, folder.blocks, pool, progress, ledger)
        scenes = inspect(work)
        observed = observe(work, scenes)
        return Computed(apply(work, observed, fit(work, observed)), scenes)


def _mosaics(plan: Plan, computed: Computed) -> list[ZoneProducts]:
    by_zone: dict[str, list[ApplyTask]] = defaultdict(list)
    for task in computed.tasks:
        by_zone[task.at.zone_id].append(task)
    return [
        mosaic(zone, by_zone[zone.zone_id], computed.scenes.get(zone.zone_id, Inspected()).shift_m)
        for zone in plan.zones
        if by_zone[zone.zone_id]
    ]


def _collect(
    plan: Plan,
    folder: RunFolder,
    products: list[ZoneProducts],
    progress: Progress,
) -> Found:
    named = plan.config.rules
    rules = load_rules(named.detection, plan.base, DetectionRules)
    detectability = load_rules(named.imagery, plan.base, ImageryRules).detectability
    finding_rules = load_rules(named.findings, plan.base, FindingRules)
    patches, coverages = [], []
    for done, zone in enumerate(products, start=1):
        write_maps(folder, zone, plan)
        patches.append(zone_patches(zone, plan, rules, detectability))
        coverages.append(zone_coverage(zone, rules, plan))
        progress("collect", done, len(products))
    write_slope_grades(folder, products, plan)
    made = {zone.zone.zone_id for zone in products}
    unseen = [zone for zone in plan.zones if zone.zone_id not in made]
    coverages += [unseen_coverage(zone, rules, plan) for zone in unseen]
    found = decide(patches, coverages, plan, finding_rules)
    for rule, lacking in missing_inputs(finding_rules, _inputs_at_hand(plan)).items():
        folder.not_evaluated(f"rule {rule}", f"lacks {', '.join(lacking)}")
    folder.write_vectors(
        FINDINGS_NAME,
        {"patches": found.patches, "findings": found.findings, "coverage": found.coverage},
    )
    return replace(found, class_areas=write_class_areas(folder, products, plan))


def _inputs_at_hand(plan: Plan) -> set[str]:
    given = {
        "zones": plan.zone_layer is not None,
        "dem": plan.dem is not None,
        "land_cover": plan.config.land_cover is not None,
    }
    return set(plan.layers) | {name for name, there in given.items() if there}


def _state(plan: Plan, folder: RunFolder, found: Found) -> None:
    """Record what may be said where nothing was found; refused without complete coverage."""
    statement = clean_statement(
        found.coverage,
        found.patches,
        planned=[zone.zone_id for zone in plan.zones],
        outlines=zone_outlines(plan),
        doubts=doubts_of(folder.manifest),
        caveats=caveats_of(folder.manifest),
    )
    zones = {zone.zone_id: zone.text for zone in statement.zones}
    folder.add_step("statement", {"run": statement.text, "zones": zones})


def _record_ledger(folder: RunFolder, ledger: Ledger) -> None:
    folder.add_step(
        INSPECT,
        ledger.inspected,
        warnings=[f"zone {zone_id}: {text}" for zone_id, text in ledger.warnings],
    )
    folder.add_step("read", {"healed": healed_reads(ledger.incidents)})
    for zone_id, fitted in ledger.fitted.items():
        folder.set_fitted(zone_id, fitted)
    for zone_id, what, why in ledger.all_failures():
        folder.add_failure(what, why, zone=zone_id)
    for zone_id, stage, block, reason in ledger.blocks:
        folder.note_block(zone_id, stage, block, reason)


def _record_land_cover(folder: RunFolder, ledger: Ledger, products: list[ZoneProducts]) -> None:
    """What the classifier is, and how much of each zone it was never shown the like of."""
    if not ledger.land_cover:
        return
    shares = {zone.zone.zone_id: outside_shares(zone) for zone in products}
    told = ledger.land_cover | {OUTSIDE: shares}
    if GENERALISED in told:
        changed = {zone.zone.zone_id: generalised_shares(zone) for zone in products}
        told[GENERALISED] = told[GENERALISED] | {"changed": changed}
    folder.add_step(STEP, told, warnings=training_warnings(told))


def doubts_of(manifest: Manifest) -> dict[str, list[str]]:
    """Why nothing may be said of a zone: its scenes failed the check of their radiometry."""
    doubts: dict[str, list[str]] = defaultdict(list)
    for failure in manifest.failures:
        if failure.what == RADIOMETRY and failure.zone is not None:
            doubts[failure.zone].append(failure.error)
    return dict(doubts)


def caveats_of(manifest: Manifest) -> dict[str, list[str]]:
    """What else to say of a zone: its registration was asked for and could not be measured."""
    steps = [step.parameters for step in manifest.steps if step.name == INSPECT]
    return {
        zone_id: ["the registration between the periods is not known"]
        for zones in steps
        for zone_id, scenes in zones.items()
        if scenes["asked"] and scenes["shift_m"] is None
    }


def healed_reads(incidents: Iterable[ReadIncident]) -> list[dict[str, Any]]:
    """Reads that had to be repeated, summed by item and band."""
    found: dict[tuple[str, str], list[ReadIncident]] = defaultdict(list)
    for incident in incidents:
        found[incident.item_id, incident.band].append(incident)
    return [
        {
            "item": item,
            "band": band,
            "reads": len(met),
            "attempts": max(incident.attempts for incident in met),
            "reasons": sorted({incident.reason for incident in met}),
        }
        for (item, band), met in sorted(found.items())
    ]


def register_path(plan: Plan, out: Path) -> Path:
    """Where the register of this job lies."""
    named = plan.config.register_.path
    return plan.path(named) if named is not None else out.parent / "register.gpkg"


def _register(plan: Plan, folder: RunFolder, found: Found, out: Path) -> None:
    register = Register(register_path(plan, out))
    register.record_run(folder.run_id, found.patches, found.findings)


def report_context(
    folder: RunFolder,
    plan: Plan,
    products: list[ZoneProducts],
    found: Found,
    truth: pd.DataFrame | None = None,
    claims: gpd.GeoDataFrame | None = None,
) -> ReportContext:
    """Everything the report shows."""
    return ReportContext(
        manifest=folder.manifest.model_dump(mode="json"),
        zones=tuple(_zone_view(zone, plan) for zone in products),
        patches=found.patches,
        findings=found.findings,
        coverage=found.coverage,
        planned=[zone.zone_id for zone in plan.zones],
        outlines=zone_outlines(plan),
        doubts=doubts_of(folder.manifest),
        caveats=caveats_of(folder.manifest),
        claims=claims,
        truth=truth,
        class_areas=found.class_areas,
    )


def _zone_view(products: ZoneProducts, plan: Plan) -> ZoneView:
    bands = list(plan.config.imagery.bands)
    colour = TRUE_COLOUR if set(TRUE_COLOUR) <= set(bands) else tuple((bands * 3)[:3])
    picked = [bands.index(band) for band in colour]
    return ZoneView(
        zone_id=products.zone.zone_id,
        geobox=products.zone.geobox,
        before=products.arrays["before"][picked],
        after=products.arrays["after"][picked],
        change=products.arrays["change"],
        generalised=generalised_covers(products),
    )


def scenes_by_zone(plan: Plan) -> dict[str, list[str]]:
    """Ids of the scenes each zone was made from."""
    return {zone.zone_id: [i.id for i in (*zone.before, *zone.after)] for zone in plan.zones}
