"""What every stage of a run shares: the plan, the pool, the rules, the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from rs_monitor.cluster import Outcome, Pool, open_pool, run_tasks
from rs_monitor.config.rules import DetectionRules, load_rules
from rs_monitor.grid import Block
from rs_monitor.imagery.incidents import ReadIncident
from rs_monitor.maps.change_rules import ChangeRules
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.outputs.blocks import BlockStore
from rs_monitor.pipeline.looks import Reading, Shifts
from rs_monitor.pipeline.plan import Plan, ZonePlan
from rs_monitor.pipeline.relief import LightFits
from rs_monitor.pipeline.rules import ImageryRules
from rs_monitor.pipeline.tasks import BlockTask, Receipt

T = TypeVar("T")


class Progress(Protocol):
    """Told of every block that ends."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report ``done`` of ``total`` blocks of a stage."""


@dataclass
class Ledger:
    """What the tasks of a run reported.

    Attributes
    ----------
    blocks : list of (str, str, str, str or None)
        Zone, stage, block, and why it was computed; None = reused.
    failures : list of (str, str, str)
        Zone, item or block, and what happened.
    not_inspected : list of (str, str, str)
        Likewise, while the scenes were inspected.
    fitted : dict of str to dict
        Parameters fitted per zone, for the manifest.
    inspected : dict of str to dict
        What the scenes of each zone are like, for the manifest.
    warnings : list of (str, str)
        Zone, and what a user should know of its scenes.
    land_cover : dict
        What the classifier was trained on, or the stored model's card, for the manifest.
    incidents : list of ReadIncident
        Reads that succeeded only when they were repeated.
    """

    blocks: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    not_inspected: list[tuple[str, str, str]] = field(default_factory=list)
    fitted: dict[str, dict[str, Any]] = field(default_factory=dict)
    inspected: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    land_cover: dict[str, Any] = field(default_factory=dict)
    incidents: list[ReadIncident] = field(default_factory=list)

    def note(self, receipt: Receipt, stage: str, *, inspecting: bool = False) -> None:
        """Take down one receipt; what failed while inspecting is kept apart."""
        self.blocks.append((receipt.zone_id, stage, receipt.block, receipt.reason))
        self.incidents += receipt.incidents
        failed = [(receipt.zone_id, item, why) for item, why in receipt.failures]
        (self.not_inspected if inspecting else self.failures).extend(failed)

    def all_failures(self) -> list[tuple[str, str, str]]:
        """Failures of the maps, then what only the inspection met, each item of a zone once."""
        named = {(zone_id, what) for zone_id, what, _ in self.failures}
        first: dict[tuple[str, str], str] = {}
        for zone_id, what, why in self.not_inspected:
            first.setdefault((zone_id, what), why)
        extra = [(*key, why) for key, why in first.items() if key not in named]
        return [*self.failures, *extra]


@dataclass(frozen=True)
class Work:
    """What every stage of a run shares.

    Attributes
    ----------
    plan : Plan
    store : BlockStore
    pool : Pool
    rules : DetectionRules
    imagery_rules : ImageryRules
    change_rules : ChangeRules
    land_cover_rules : LandCoverRules
    progress : Progress
    ledger : Ledger
    """

    plan: Plan
    store: BlockStore
    pool: Pool
    rules: DetectionRules
    imagery_rules: ImageryRules
    change_rules: ChangeRules
    land_cover_rules: LandCoverRules
    progress: Progress
    ledger: Ledger

    def reading(self, shifts: Shifts | None = None, light: LightFits | None = None) -> Reading:
        """How looks are read, with some shifts undone and the light on slopes corrected."""
        config = self.plan.config
        return Reading(
            imagery=config.imagery,
            rules=self.imagery_rules,
            chunk_px=config.cluster.chunk_px,
            dem=self.plan.dem,
            shifts=shifts or {},
            light=light or {},
        )

    def stage(
        self, name: str, function: Callable[[Any], T], tasks: Sequence[Any]
    ) -> list[Outcome[T]]:
        """Run one stage and report its progress."""
        done = 0

        def tick(_: Any) -> None:
            nonlocal done
            done += 1
            self.progress(name, done, len(tasks))

        return run_tasks(self.pool, function, tasks, tick)


def pool_of(plan: Plan) -> AbstractContextManager[Pool]:
    """Open the place where the tasks of a job run."""
    cluster = plan.config.cluster
    return open_pool(
        cluster.kind,
        workers=cluster.workers,
        memory_gb=cluster.memory_gb,
        address=cluster.address,
    )


def work_of(plan: Plan, store: BlockStore, pool: Pool, progress: Progress, ledger: Ledger) -> Work:
    """Read the rules a job names, and share them."""
    named, base = plan.config.rules, plan.base
    return Work(
        plan=plan,
        store=store,
        pool=pool,
        rules=load_rules(named.detection, base, DetectionRules),
        imagery_rules=load_rules(named.imagery, base, ImageryRules),
        change_rules=load_rules(named.change, base, ChangeRules),
        land_cover_rules=load_rules(named.land_cover, base, LandCoverRules),
        progress=progress,
        ledger=ledger,
    )


def block_task(
    work: Work, zone: ZonePlan, block: Block, *, fingerprint: str = "", observed: str = ""
) -> BlockTask:
    """Where a task on one block reads and writes."""
    return BlockTask(work.store, zone.zone_id, zone.geobox, block, fingerprint, observed)


def values_of(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """Results of tasks that must all have ended well; raises the first error."""
    values = []
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
        if outcome.value is not None:
            values.append(outcome.value)
    return values
