"""Judge the scenes of a zone before they are used: dark floors and shifts, from some blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rs_monitor.errors import CatalogError, ReadError
from rs_monitor.grid import Block, blocks_of
from rs_monitor.outputs.digest import fingerprint
from rs_monitor.pipeline.identity import code_hash, file_state, grid_record, item_identity
from rs_monitor.pipeline.judge import (
    Inspected,
    gather_levels,
    inspected,
    reference_of,
    step_sentence,
)
from rs_monitor.pipeline.plan import ZonePlan
from rs_monitor.pipeline.scene_tasks import (
    LEVELS,
    SHIFTS,
    InspectTask,
    inspect_levels,
    inspect_shifts,
)
from rs_monitor.pipeline.tasks import Arrays, Receipt
from rs_monitor.pipeline.work import Work, block_task

RADIOMETRY = "radiometry"
"""What a failure of the radiometry is called in the manifest."""


def blocks_to_inspect(blocks: Sequence[Block], most: int) -> tuple[Block, ...]:
    """Some blocks of a grid of blocks, on a lattice over all of it, in grid order."""
    rows, cols = blocks[-1].row + 1, blocks[-1].col + 1
    side = math.isqrt(most)
    down, across = _spread(rows, max(side, most // cols)), _spread(cols, max(side, most // rows))
    return tuple(block for block in blocks if block.row in down and block.col in across)


def _spread(count: int, most: int) -> frozenset[int]:
    """At most so many of the numbers below ``count``, each in the middle of its part."""
    wanted = min(count, most)
    return frozenset(int((part + 0.5) * count / wanted) for part in range(wanted))


def inspect(work: Work) -> dict[str, Inspected]:
    """Judge the scenes of every zone; a step between dates is a failure the run records."""
    config = work.plan.config
    registering = config.imagery.registration != "off"
    if not registering and config.imagery.quantity == "dn":
        return {}
    results: dict[str, Inspected] = {}
    for zone in work.plan.zones:
        if not (zone.before or zone.after):
            # nothing to judge; its blocks fail one by one, as any that cannot be read
            results[zone.zone_id] = Inspected(asked=registering)
            continue
        found = _inspect_zone(work, zone, registering)
        if found is None:
            text = "no inspected block could be read: offsets and shifts are not known; run again"
            work.ledger.failures.append((zone.zone_id, "inspect", text))
            found = Inspected(asked=registering)
        results[zone.zone_id] = found
        _note(work, zone, found)
    return results


@dataclass(frozen=True)
class _Measured:
    """A block of a stage, and the fingerprint it was stored under."""

    block: Block
    mark: str
    arrays: Arrays


def _inspect_zone(work: Work, zone: ZonePlan, registering: bool) -> Inspected | None:
    """None when no block of the zone could be read."""
    rules = work.imagery_rules.inspection
    blocks = blocks_to_inspect(blocks_of(zone.geobox, rules.block_px), rules.blocks)
    levels = _measured(work, zone, LEVELS, inspect_levels, dict.fromkeys(blocks, ""), ())
    if not levels:
        return None
    pixels = sum((b.y1 - b.y0) * (b.x1 - b.x0) for b in blocks)
    held = [found.arrays for found in levels]
    reference: tuple[str, ...] = ()
    shifts: list[_Measured] = []
    if registering:
        reference = reference_of(gather_levels(held), pixels, work.imagery_rules)
    if reference:
        marks = {found.block: found.mark for found in levels}
        shifts = _measured(work, zone, SHIFTS, inspect_shifts, marks, reference)
    windows = [found.arrays for found in shifts]
    return inspected(zone, held, windows, work.reading(), reference, pixels)


def _note(work: Work, zone: ZonePlan, found: Inspected) -> None:
    ledger = work.ledger
    ledger.inspected[zone.zone_id] = found.record
    ledger.warnings += [(zone.zone_id, text) for text in found.warnings]
    if found.step is not None and found.step.suspected:
        if work.plan.config.on_failure == "stop":
            raise CatalogError(f"zone {zone.zone_id}: {step_sentence(found.step)}")
        ledger.failures.append((zone.zone_id, RADIOMETRY, step_sentence(found.step)))


def _measured(
    work: Work,
    zone: ZonePlan,
    stage: str,
    function: Callable[[InspectTask], Receipt],
    blocks: Mapping[Block, str],
    reference: tuple[str, ...],
) -> list[_Measured]:
    """Do one stage on some blocks, in grid order; those that cannot be read are left out."""
    marks = [
        _print(work, zone, block, stage, [levels, *reference]) for block, levels in blocks.items()
    ]
    tasks = [
        InspectTask(
            at=block_task(work, zone, block, fingerprint=mark),
            items=(*zone.before, *zone.after),
            reading=work.reading(),
            skip_broken=work.plan.config.on_failure == "record",
            reference=reference,
            levels=levels,
        )
        for (block, levels), mark in zip(blocks.items(), marks, strict=True)
    ]
    kept: list[_Measured] = []
    outcomes = work.stage(f"inspect {zone.zone_id}", function, tasks)
    for task, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome.error, ReadError) and task.skip_broken:
            name = f"{stage} of block {task.at.block.name}"
            work.ledger.not_inspected.append((zone.zone_id, name, str(outcome.error)))
            continue
        if outcome.value is None:
            raise outcome.error or RuntimeError("a block ended without a result")
        mark = outcome.value.mark
        work.ledger.note(outcome.value, stage, inspecting=True)
        arrays, _ = task.at.store.read_block(zone.zone_id, stage, task.at.block.name, mark)
        if arrays is not None:
            kept.append(_Measured(task.at.block, mark, arrays))
    return kept


def _print(work: Work, zone: ZonePlan, block: Block, stage: str, built_on: Sequence[str]) -> str:
    items = (*zone.before, *zone.after)
    return fingerprint(
        {
            "stage": stage,
            "code": code_hash(),
            "grid": grid_record(zone.geobox),
            "window": [block.y0, block.y1, block.x0, block.x1],
            "items": [item_identity(item) for item in items],
            "files": [file_state(item) for item in items],
            "imagery": work.plan.config.imagery.model_dump(mode="json"),
            "rules": work.imagery_rules.model_dump(mode="json"),
            "dem": work.plan.inputs.get("dem"),
            "harmonisation": work.plan.inputs.get("harmonisation"),
            "built_on": list(built_on),
        }
    )
