"""What commands print: progress, tables, cards, plans."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from rs_monitor.maps.model_card import ModelCard
    from rs_monitor.outputs.manifest import Manifest
    from rs_monitor.pipeline.demo import Demo
    from rs_monitor.pipeline.plan import Plan
    from rs_monitor.pipeline.work import Progress

PIPED_WIDTH = 140


@contextmanager
def progress_display() -> Iterator[Progress]:
    """Progress bars on a terminal, one clean line a stage elsewhere."""
    if not sys.stderr.isatty():
        yield _line_log()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def _line_log() -> Progress:
    finished: set[str] = set()

    def report(stage: str, done: int, total: int) -> None:
        if done == total and stage not in finished:
            finished.add(stage)
            click.echo(f"{stage}: {total} done", err=True)

    return report


def show_table(title: str, frame: pd.DataFrame, digits: int = 2) -> None:
    """Print a table; in a pipe as wide as it needs."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title)
    for column in frame.columns:
        table.add_column(str(column), overflow="fold")
    for row in frame.itertuples(index=False):
        cells = [f"{v:,.{digits}f}" if isinstance(v, float) else str(v) for v in row]
        table.add_row(*(escape(cell) for cell in cells))
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(width=width).print(table)


def show_card(card: ModelCard) -> None:
    """What a model was trained on, what it is worth, and where it must not be used."""
    from rs_monitor.maps.model_validation import validation_table

    said, training = card.validation, card.training
    synthetic = "SYNTHETIC " if training.synthetic else ""
    click.echo(f"{card.full_name}: {card.kind}, {card.summary}")
    click.echo(
        f"trained on {synthetic}{training.data}, {training.region}, {training.start} to "
        f"{training.end}: {training.pixels} pixels of {training.parcels} parcels; licence "
        f"{training.licence}; {training.attribution}"
    )
    if card.cleaning is not None:
        click.echo(
            f"left out as mislabelled: {card.cleaning.removed} pixels "
            f"({card.cleaning.share_removed:.1%})"
        )
    show_table(f"Accuracy, {said.confidence:.0%} intervals", validation_table(card.classes))
    click.echo(f"measured: {said.method}")
    for label, figure in (
        ("overall accuracy", said.overall),
        ("calibration error of the trees", said.calibration_error_before),
        ("calibration error", said.calibration_error),
        ("uncertainty ranks errors, AUC", said.error_auc),
    ):
        click.echo(f"{label}: {'not assessable' if figure is None else figure}")
    for use in card.not_for:
        click.echo(f"not for {use}")
    click.echo(f"sha256 {card.arrays.sha256}")


def show_steps(manifest: Manifest) -> None:
    """What a user should know of the scenes, and what may be said where nothing was found."""
    from rs_monitor.outputs.land_cover_view import OUTSIDE

    for step in manifest.steps:
        for warning in step.warnings:
            click.echo(f"warning: {warning}", err=True)
        for read in step.parameters.get("healed", ()):
            click.echo(
                f"healed {read['item']}, band {read['band']}: {read['reads']} reads repeated "
                f"({'; '.join(read['reasons'])})",
                err=True,
            )
        for zone_id, shares in step.parameters.get(OUTSIDE, {}).items():
            told = ", ".join(f"{share:.1%} {label}" for label, share in shares.items())
            click.echo(f"zone {zone_id}: ground unlike the training data: {told or 'not known'}")
        if step.name == "statement":
            click.echo(step.parameters["run"])


def show_plan(planned: Plan) -> None:
    """What a job would use."""
    summary = planned.summary()
    click.echo(f"{summary['name']}: plan {summary['fingerprint'][:8]}")
    for zone in summary["zones"]:
        looks = zone["looks_expected"]
        click.echo(
            f"zone {zone['zone_id']}: scenes {len(zone['before'])} before, {len(zone['after'])} "
            f"after; looks expected {looks['before']}, {looks['after']}; blocks {zone['blocks']}; "
            f"{zone['bytes_read'] / 1e6:.0f} MB to read, "
            f"{zone['memory_per_worker'] / 1e6:.0f} MB a worker"
        )
    for refusal in summary["refused"]:
        click.echo(f"refused {refusal['item']}: {refusal['reason']}")
    for entry in summary["not_evaluated"]:
        click.echo(f"not evaluated {entry['product']}: {entry['reason']}")
    for warning in summary["warnings"]:
        click.echo(f"warning: {warning}", err=True)


def show_demo(result: Demo, out: Path) -> None:
    """What of the planted township was found, and what was flagged beside it."""
    from rs_monitor.grid import MU_M2
    from rs_monitor.pipeline.truth import claim_table, event_table, lookalike_table

    limit_m2 = float(result.run.found.coverage["limit_m2"].max())
    click.echo(
        f"the limit is the smallest patch the sensor measures: {limit_m2:,.0f} m2, "
        f"{limit_m2 / MU_M2:.1f} mu; found: reported patches cover half of the event"
    )
    show_table("SYNTHETIC: events found/planted by size (mu)", event_table(result.events))
    show_table("SYNTHETIC: look-alikes that must not flag", lookalike_table(result.lookalikes))
    show_table("SYNTHETIC: claims", claim_table(result.verified.claims, result.claims))
    alarms = len(result.alarms)
    click.echo(
        f"suspected patches on ground where nothing was planted: {alarms} "
        f"({1000 * alarms / result.area_ha:.1f} per 1,000 ha of zone)"
    )
    click.echo(f"content digest {result.verified.manifest.content_digest}")
    click.echo(f"look at {out / 'run' / 'report' / 'index.html'}")
    click.echo(f"maps in {out / 'run' / 'maps'}, tables in {out / 'run' / 'findings.gpkg'}")
