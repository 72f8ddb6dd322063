"""Judge the scenes of a zone before they are used: dark floors and shifts, from some blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rs_monitor.errors import ReadError
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


def blocks_to_inspect(blocks: Sequence[Block], most: int) -> tuple[Block, ...]:
    """Some blocks, spread evenly over a zone, in grid order."""
    places = np.unique(np.linspace(0, len(blocks) - 1, min(most, len(blocks))).round().astype(int))
    return tuple(blocks[place] for place in places)


def inspect(work: Work) -> dict[str, Inspected]:
    """Judge the scenes of every zone; a step between dates is a failure the run records."""
    config = work.plan.config
    registering = config.imagery.registration != "off"
    if not registering and config.imagery.quantity == "dn":
        return {}
    results: dict[str, Inspected] = {}
    for zone in work.plan.zones:
        found = _inspect_zone(work, zone, registering)
        if found is not None:
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
        ledger.failures.append((zone.zone_id, "radiometry", step_sentence(found.step)))


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
            continue  # reading the block for its maps fails again, and names it
        if outcome.value is None:
            raise outcome.error or RuntimeError("a block ended without a result")
        mark = outcome.value.mark
        work.ledger.note(outcome.value, stage, again=True)
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
            "built_on": list(built_on),
        }
    )
