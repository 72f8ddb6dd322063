"""Order of the work on blocks: observe, fit over the zone, apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import dask.config
import numpy as np

from rs_monitor.config.change import Posterior, TwoDate
from rs_monitor.config.tables import Model
from rs_monitor.errors import NoObservations, QuantityError
from rs_monitor.grid import Block, widen
from rs_monitor.maps.generalise import GeneraliseRules, surroundings
from rs_monitor.maps.land_cover import LandCoverModel
from rs_monitor.maps.model_arrays import arrays_of
from rs_monitor.maps.two_date import TwoDateFit, fit_two_date
from rs_monitor.outputs.digest import array_digest, fingerprint
from rs_monitor.outputs.land_cover_view import GENERALISED
from rs_monitor.pipeline.class_shares import KEY, shares_record, with_class_shares
from rs_monitor.pipeline.classifier import not_known
from rs_monitor.pipeline.generalise import generalise_rules
from rs_monitor.pipeline.identity import code_hash, file_state, grid_record, item_identity
from rs_monitor.pipeline.judge import Inspected
from rs_monitor.pipeline.observe_tasks import ObserveTask, observe_block
from rs_monitor.pipeline.plan import ZonePlan
from rs_monitor.pipeline.tasks import APPLY, ApplyTask, apply_block
from rs_monitor.pipeline.training import teach
from rs_monitor.pipeline.work import Work, block_task, values_of
from rs_monitor.pipeline.zone_pair import OBSERVE, PERIODS, ZonePair, overlap

Observed = Mapping[str, Mapping[Block, str]]
"""Blocks that could be read, by zone, each with the fingerprint it was stored under."""


def observe(
    work: Work, scenes: Mapping[str, Inspected], labels: tuple[str, ...] = PERIODS
) -> Observed:
    """Read every block of every zone in some periods; name the blocks that could not be read.

    Raises
    ------
    NoObservations
        If none of them could be read.
    """
    config = work.plan.config
    tasks = [
        _observe_task(work, zone, block, scenes.get(zone.zone_id, Inspected()), labels)
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
    if not any(usable.values()):
        failures = work.ledger.failures
        raise NoObservations(
            f"got no readable block ({len(failures)} failures, the first: "
            f"{failures[0][2] if failures else 'none'}); needed at least one; "
            "check that the imagery can be reached"
        )
    return usable


def _observe_task(
    work: Work, zone: ZonePlan, block: Block, scenes: Inspected, labels: tuple[str, ...]
) -> ObserveTask:
    config = work.plan.config
    mark = _observe_print(work, zone, block, scenes, labels)
    return ObserveTask(
        at=block_task(work, zone, block, fingerprint=mark),
        before=zone.before,
        after=zone.after,
        reading=work.reading(scenes.applied, scenes.light),
        periods=config.periods,
        rules=work.rules,
        skip_broken=config.on_failure == "record",
        features=work.plan.features,
        labels=labels,
    )


def _observe_print(
    work: Work, zone: ZonePlan, block: Block, scenes: Inspected, labels: tuple[str, ...]
) -> str:
    config = work.plan.config
    return fingerprint(
        {
            "stage": OBSERVE,
            "labels": list(labels),
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
            "features": plain(work.plan.features),
            "dem": work.plan.inputs.get("dem"),
            "harmonisation": work.plan.inputs.get("harmonisation"),
        }
    )


@dataclass(frozen=True)
class Fitted:
    """Parameters of one zone that tiles apply; without ``two_date`` posteriors are compared."""

    two_date: TwoDateFit | None
    model: LandCoverModel | None
    probability_limit: float

    @cached_property
    def record(self) -> dict[str, Any]:
        """Plain values for fingerprints and the manifest."""
        if self.two_date is None:
            table: dict[str, Any] = {"method": "posterior", "threshold": self.probability_limit}
        else:
            table = {**self.two_date.attrs, "fit": fingerprint(plain(self.two_date))}
        if self.model is not None:
            arrays = arrays_of(self.model)
            table["model"] = fingerprint({k: array_digest(v) for k, v in arrays.items()})
            table["classes"] = list(self.model.classes)
        return table


def plain(value: Any) -> Any:
    """A fitted record as what a fingerprint takes: arrays by their digest."""
    if isinstance(value, np.ndarray):
        return array_digest(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Model):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return value


def fit(work: Work, usable: Observed) -> dict[str, Fitted]:
    """Fit what needs the statistics of whole zones, in one place and in grid order."""
    config = work.plan.config
    model = _model(work, usable)
    fitted = {}
    for zone in work.plan.zones:
        blocks = usable[zone.zone_id]
        if not blocks:
            continue
        try:
            two_date = None if isinstance(config.change, Posterior) else _fit(work, zone, blocks)
        except (NoObservations, QuantityError) as error:
            if config.on_failure == "stop" or len(work.plan.zones) == 1:
                raise
            work.ledger.failures.append((zone.zone_id, "fit", str(error)))
            continue
        fitted[zone.zone_id] = Fitted(two_date, model, work.rules.change_probability)
        work.ledger.fitted[zone.zone_id] = fitted[zone.zone_id].record
    return fitted


def _model(work: Work, usable: Observed) -> LandCoverModel | None:
    """The classifier of land cover: the stored one, or trained here; None where none is asked."""
    plan, settings = work.plan, work.plan.config.land_cover
    if settings is None:
        return None
    if plan.model is not None:
        model, shares = with_class_shares(plan.model.model, plan.model.pixels, plan.surveyed_m2)
        record = {"source": "model", **plan.model.record, KEY: shares_record(settings, shares)}
    else:
        taught = teach(work, usable, settings)
        model, record = taught.model, taught.record
    work.ledger.land_cover = record | {
        "features": list(model.features),
        "classes_not_known": not_known(model.classes),
    }
    rules = generalise_rules(settings, work.land_cover_rules)
    if rules is not None:
        work.ledger.land_cover[GENERALISED] = {
            "method": settings.generalise,
            "rules": plain(rules),
        }
    return model


def _fit(work: Work, zone: ZonePlan, blocks: Mapping[Block, str]) -> TwoDateFit:
    """Fit the change of a zone in this process; blocks are read by its threads."""
    settings = work.plan.config.change
    work.progress(f"fit {zone.zone_id}", 0, 1)
    with dask.config.set(scheduler="threads", num_workers=work.plan.config.cluster.workers):
        before, after = zone_pair(work, zone, blocks).lazy()
        try:
            if isinstance(settings, TwoDate):
                chosen = settings.model_dump()
                found = fit_two_date(before, after, **chosen)
            else:
                found = fit_two_date(before, after, method="combined", rules=work.change_rules)
        except (NoObservations, QuantityError) as error:
            raise type(error)(f"zone {zone.zone_id}: {error}") from error
    work.progress(f"fit {zone.zone_id}", 1, 1)
    return found


def zone_pair(work: Work, zone: ZonePlan, blocks: Mapping[Block, str]) -> ZonePair:
    """Where the composites of a zone lie."""
    bands = tuple(work.plan.config.imagery.bands)
    return ZonePair(work.store, zone.zone_id, zone.geobox, blocks, bands)


def apply(work: Work, usable: Observed, fitted: Mapping[str, Fitted]) -> list[ApplyTask]:
    """Turn every observed block into maps; return the tasks that were done."""
    tasks = [
        _apply_task(work, zone, block, usable[zone.zone_id], fitted[zone.zone_id])
        for zone in work.plan.zones
        if zone.zone_id in fitted
        for block in usable[zone.zone_id]
    ]
    for receipt in values_of(work.stage("apply", apply_block, tasks)):
        work.ledger.note(receipt, APPLY)
    return tasks


def _apply_task(
    work: Work, zone: ZonePlan, block: Block, blocks: Mapping[Block, str], fitted: Fitted
) -> ApplyTask:
    generalise = generalise_rules(work.plan.config.land_cover, work.land_cover_rules)
    near = {other: blocks[other] for other in _near(zone, block, blocks, fitted, generalise)}
    mark = fingerprint(
        {
            "stage": APPLY,
            "observed": {other.name: observed for other, observed in near.items()},
            "fitted": fitted.record,
            "generalise": plain(generalise),
        }
    )
    return ApplyTask(
        at=block_task(work, zone, block, fingerprint=mark, observed=blocks[block]),
        rules=work.rules,
        model=fitted.model,
        features=() if work.plan.features is None else work.plan.features.names,
        two_date=fitted.two_date,
        pair=zone_pair(work, zone, near),
        generalise=generalise,
    )


def _near(
    zone: ZonePlan,
    block: Block,
    blocks: Mapping[Block, str],
    fitted: Fitted,
    generalise: GeneraliseRules | None,
) -> list[Block]:
    """Blocks that the maps of a block depend on."""
    margin_px = 0 if fitted.two_date is None else fitted.two_date.margin_px
    windows = [widen(block.window, margin_px, zone.geobox)[0]]
    if generalise is not None:
        windows.append(surroundings(block.window, generalise, zone.geobox)[0])
    return [
        other for other in blocks if any(overlap(other, window) is not None for window in windows)
    ]
