"""Commands that carry a job out: plan, run, verify, the demo."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rs_monitor.cli.display import (
    progress_display,
    show_demo,
    show_plan,
    show_steps,
    show_table,
)
from rs_monitor.cli.options import (
    FOLDER,
    config_argument,
    data_option,
    exit_code,
    out_option,
    overrides_of,
    planned_job,
    set_option,
)


@click.command()
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic township.")
@click.option("--out", type=FOLDER, default=Path("demo"), show_default=True)
@set_option
def demo(seed: int, out: Path, settings: tuple[str, ...]) -> None:
    """Run the main job on a SYNTHETIC township and compare with what was planted."""
    from rs_monitor.pipeline.demo import run_demo

    with progress_display() as progress:
        result = run_demo(seed, out, progress=progress, overrides=overrides_of(settings))
    show_demo(result, out)
    sys.exit(exit_code(result.verified.manifest.status))


@click.command()
@config_argument
@data_option
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
def plan(config: Path, data: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Show what a job would use: scenes, looks, blocks, bytes; reads no pixel."""
    planned, _ = planned_job(config, data, settings)
    if as_json:
        import json

        click.echo(json.dumps(planned.summary(), indent=2, ensure_ascii=False))
    else:
        show_plan(planned)


@click.command()
@config_argument
@out_option
@data_option
@set_option
def run(config: Path, out: Path, data: Path | None, settings: tuple[str, ...]) -> None:
    """Run a job into a folder; the same folder resumes."""
    from rs_monitor.pipeline.run import run as run_plan

    planned, text = planned_job(config, data, settings)
    with progress_display() as progress:
        done = run_plan(planned, out, config_text=text, progress=progress)
    manifest = done.manifest
    resumed = manifest.resumed
    click.echo(f"{manifest.status}: {len(done.found.patches)} patches")
    click.echo(f"blocks reused {resumed.reused}, computed {resumed.recomputed}")
    show_steps(manifest)
    for failure in manifest.failures:
        click.echo(f"failed {failure.zone}: {failure.what}: {failure.error}", err=True)
    click.echo(f"content digest {manifest.content_digest}")
    click.echo(f"report {out / 'report' / 'index.html'}")
    sys.exit(exit_code(manifest.status))


@click.command()
@config_argument
@out_option
@data_option
@set_option
def verify(config: Path, out: Path, data: Path | None, settings: tuple[str, ...]) -> None:
    """Answer claims of new arable land: SUPPORTED, CONTRADICTED or INCONCLUSIVE."""
    from rs_monitor.pipeline.claims import verify as verify_claims
    from rs_monitor.pipeline.run import run as run_plan

    planned, text = planned_job(config, data, settings)
    if not (out / "SHA256SUMS").exists():
        with progress_display() as progress:
            run_plan(planned, out, config_text=text, progress=progress)
    verified = verify_claims(planned, out)
    columns = ["claim_id", "answer", "claimed_area_m2", "recomputed_area_m2", "reasons"]
    show_table("Claims of new arable land", verified.claims[columns])
    sys.exit(exit_code(verified.manifest.status))
