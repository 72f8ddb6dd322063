"""Order of the work on blocks: observe, fit over the zone, apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_monitor.codes import CodeSystem
from rs_monitor.config import IrMad, LandCoverSettings
from rs_monitor.errors import NoObservations
from rs_monitor.grid import Block
from rs_monitor.kernels.change import MadTransform, Moments
from rs_monitor.kernels.threshold import two_means
from rs_monitor.maps.change import fit_irmad
from rs_monitor.maps.features import feature_names
from rs_monitor.maps.land_cover import (
    ForestModel,
    Samples,
    model_arrays,
    pool_samples,
    survey_labels,
    train_forest,
)
from rs_monitor.outputs.digest import array_digest, fingerprint
from rs_monitor.pipeline.identity import code_hash, file_state, grid_record, item_identity
from rs_monitor.pipeline.judge import Inspected
from rs_monitor.pipeline.plan import Plan, ZonePlan
from rs_monitor.pipeline.tasks import (
    APPLY,
    OBSERVE,
    ApplyTask,
    HistogramTask,
    MomentsTask,
    ObserveTask,
    SampleTask,
    apply_block,
    histogram_block,
    moments_block,
    observe_block,
    sample_block,
)
from rs_monitor.pipeline.work import Work, block_task, values_of

Observed = Mapping[str, Mapping[Block, str]]
"""Blocks that could be read, by zone, each with the fingerprint it was stored under."""


def observe(work: Work, scenes: Mapping[str, Inspected]) -> Observed:
    """Read every block of every zone; name the blocks that could not be read."""
    config = work.plan.config
    tasks = [
        _observe_task(work, zone, block, scenes.get(zone.zone_id, Inspected()))
        for zone in work.plan.zones
        for block in zone.blocks
    ]
    outcomes = work.stage("observe", observe_block, tasks)
    usable: dict[str, dict[Block, str]] = {zone.zone_id: {} for zone in work.plan.zones}
    for task, outcome in zip(tasks, outcomes, strict=True):
        if outcome.value is None:
            if config.on_failure == "stop" or outcome.error is None:
                raise outcome.error or RuntimeError("a block ended without a result")
            block = f"block {task.at.block.name}"
            work.ledger.failures.append((task.at.zone_id, block, str(outcome.error)))
        else:
            work.ledger.note(outcome.value, OBSERVE)
            usable[task.at.zone_id][task.at.block] = outcome.value.mark
    return usable


def _observe_task(work: Work, zone: ZonePlan, block: Block, scenes: Inspected) -> ObserveTask:
    config = work.plan.config
    mark = _observe_print(work, zone, block, scenes)
    return ObserveTask(
        at=block_task(work, zone, block, fingerprint=mark),
        before=zone.before,
        after=zone.after,
        reading=work.reading(scenes.applied, scenes.light),
        periods=config.periods,
        rules=work.rules,
        skip_broken=config.on_failure == "record",
        with_features=config.land_cover is not None,
    )


def _observe_print(work: Work, zone: ZonePlan, block: Block, scenes: Inspected) -> str:
    config = work.plan.config
    return fingerprint(
        {
            "stage": OBSERVE,
            "code": code_hash(),
            "grid": grid_record(zone.geobox),
            "block": block.name,
            "window": [block.y0, block.y1, block.x0, block.x1],
            "before": [item_identity(item) for item in zone.before],
            "after": [item_identity(item) for item in zone.after],
            "files": [file_state(item) for item in (*zone.before, *zone.after)],
            "imagery": config.imagery.model_dump(mode="json"),
            "periods": config.periods.model_dump(mode="json"),
            "rules": work.rules.model_dump(mode="json"),
            "imagery_rules": work.imagery_rules.model_dump(mode="json"),
            "shifts": {item: list(shift) for item, shift in scenes.applied.items()},
            "light": scenes.light_record,
            "features": config.land_cover is not None,
            "dem": work.plan.inputs.get("dem"),
            "harmonisation": work.plan.inputs.get("harmonisation"),
        }
    )


@dataclass(frozen=True)
class Fitted:
    """Parameters of one zone that tiles apply."""

    transform: MadTransform | None
    threshold: float
    model: ForestModel | None
    iterations: int = 0

    @cached_property
    def record(self) -> dict[str, Any]:
        """Plain values for fingerprints and the manifest."""
        table: dict[str, Any] = {"threshold": self.threshold}
        if self.transform is not None:
            parts = (self.transform.before, self.transform.after, self.transform.offset)
            table["iterations"] = self.iterations
            table["correlations"] = self.transform.correlations.tolist()
            table["transform"] = fingerprint([array_digest(part) for part in parts])
        if self.model is not None:
            arrays = model_arrays(self.model)
            table["model"] = fingerprint({k: array_digest(v) for k, v in arrays.items()})
            table["classes"] = list(self.model.classes)
        return table


def fit(work: Work, usable: Observed) -> dict[str, Fitted]:
    """Fit what needs the statistics of whole zones, in one place and in grid order."""
    config = work.plan.config
    model = None if config.land_cover is None else _train(work, usable, config.land_cover)
    fitted = {}
    for zone in work.plan.zones:
        blocks = usable[zone.zone_id]
        if not blocks:
            continue
        if isinstance(config.change, IrMad):
            try:
                fitted[zone.zone_id] = _fit_irmad(work, zone, blocks, config.change, model)
            except NoObservations as error:
                if config.on_failure == "stop" or len(work.plan.zones) == 1:
                    raise
                work.ledger.failures.append((zone.zone_id, "fit", str(error)))
                continue
        else:
            fitted[zone.zone_id] = Fitted(None, work.rules.change_probability, model)
        work.ledger.fitted[zone.zone_id] = fitted[zone.zone_id].record
    return fitted


def _fit_irmad(
    work: Work,
    zone: ZonePlan,
    blocks: Mapping[Block, str],
    settings: IrMad,
    model: ForestModel | None,
) -> Fitted:
    bands = len(work.plan.config.imagery.bands)

    def measure_about(origin: NDArray[np.float64], transform: MadTransform | None) -> Moments:
        tasks = [
            MomentsTask(block_task(work, zone, block, observed=mark), origin, transform)
            for block, mark in blocks.items()
        ]
        parts = values_of(work.stage(f"fit {zone.zone_id}", moments_block, tasks))
        return sum(parts[1:], parts[0])

    first = measure_about(np.zeros(2 * bands), None)
    if first.weight == 0:
        raise NoObservations(
            f"got no pixel of zone {zone.zone_id} seen in both periods; needed some; widen the "
            "periods or add scenes"
        )
    origin = first.first / first.weight
    try:
        transform, iterations = fit_irmad(
            lambda last: measure_about(origin, last),
            origin,
            max_iterations=settings.max_iterations,
            tolerance=settings.tolerance,
        )
    except np.linalg.LinAlgError as error:
        raise NoObservations(
            f"got a band of zone {zone.zone_id} that is constant or made of the others; needed "
            "independent bands; take it out of imagery.bands"
        ) from error
    threshold = _irmad_threshold(work, zone, blocks, transform)
    return Fitted(transform, threshold, model, iterations)


def _irmad_threshold(
    work: Work,
    zone: ZonePlan,
    blocks: Mapping[Block, str],
    transform: MadTransform,
) -> float:
    tasks = [
        HistogramTask(block_task(work, zone, block, observed=mark), transform)
        for block, mark in blocks.items()
    ]
    parts = values_of(work.stage(f"fit {zone.zone_id}", histogram_block, tasks))
    try:
        return two_means(np.sum(parts, axis=0))
    except ValueError as error:
        raise NoObservations(
            f"got one and the same magnitude all over zone {zone.zone_id}; needed some contrast to "
            "cut; check that the two periods hold different scenes"
        ) from error


def _train(work: Work, usable: Observed, settings: LandCoverSettings) -> ForestModel:
    tasks = []
    for zone in work.plan.zones:
        labels = _zone_labels(work.plan, zone)
        tasks += [
            SampleTask(
                at=block_task(work, zone, block, observed=mark),
                labels=labels[block.window],
                per_class=settings.samples_per_class,
                seed=settings.seed,
            )
            for block, mark in usable[zone.zone_id].items()
        ]
    parts: list[Samples] = values_of(work.stage("sample", sample_block, tasks))
    pooled = pool_samples(parts, settings.samples_per_class)
    work.progress("train", 0, 1)
    model = train_forest(pooled, feature_names(), trees=settings.trees, seed=settings.seed)
    work.progress("train", 1, 1)
    return model


def _zone_labels(plan: Plan, zone: ZonePlan) -> NDArray[np.uint8]:
    settings = plan.config.authority.land
    if settings is None:
        raise ValueError("training on the survey needs [authority.land]")
    survey = plan.layers["land"].to_crs(str(zone.geobox.crs))
    return survey_labels(
        list(survey.geometry),
        list(survey["land_code"].astype(str)),
        zone.geobox,
        system=CodeSystem(settings.code_system),
    )


def apply(work: Work, usable: Observed, fitted: Mapping[str, Fitted]) -> list[ApplyTask]:
    """Turn every observed block into maps; return the tasks that were done."""
    tasks = [
        _apply_task(work, zone, block, observed, fitted[zone.zone_id])
        for zone in work.plan.zones
        if zone.zone_id in fitted
        for block, observed in usable[zone.zone_id].items()
    ]
    for receipt in values_of(work.stage("apply", apply_block, tasks)):
        work.ledger.note(receipt, APPLY)
    return tasks


def _apply_task(
    work: Work, zone: ZonePlan, block: Block, observed: str, fitted: Fitted
) -> ApplyTask:
    mark = fingerprint(
        {
            "stage": APPLY,
            "observed": observed,
            "fitted": fitted.record,
            "method": work.plan.config.change.method,
        }
    )
    return ApplyTask(
        at=block_task(work, zone, block, fingerprint=mark, observed=observed),
        rules=work.rules,
        transform=fitted.transform,
        threshold=fitted.threshold,
        model=fitted.model,
        compare_posteriors=work.plan.config.change.method == "posterior",
    )
