"""Commands on files and folders: index, status, doctor, config."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rs_monitor.cli.options import (
    DONE,
    ERROR,
    FILE,
    FOLDER,
    WITH_FAILURES,
    config_argument,
    exit_code,
    overrides_of,
    set_option,
)
from rs_monitor.errors import ConfigError


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=FILE, help="Catalogue to write; default inside FOLDER.")
@click.option("--side-table", type=FILE, help="TOML with what the files do not say.")
def index(folder: Path, out: Path | None, side_table: Path | None) -> None:
    """Turn a folder of GeoTIFF or JPEG 2000 files into a catalogue."""
    from rs_monitor.imagery.index import index_folder

    report = index_folder(folder, out, side_table=side_table)
    click.echo(f"{report.written} items written to {report.path}")
    for refusal in report.refused:
        click.echo(f"refused {refusal.item_id}: {refusal.reason}", err=True)
    sys.exit(WITH_FAILURES if report.refused else DONE)


@click.command()
@click.argument("folder", type=FOLDER)
def status(folder: Path) -> None:
    """Say where a run stands."""
    from rs_monitor.outputs.manifest import read_manifest

    manifest = read_manifest(folder)
    click.echo(f"{manifest.run_id}: {manifest.status}, attempt {manifest.attempts}")
    click.echo(f"blocks reused {manifest.resumed.reused}, computed {manifest.resumed.recomputed}")
    click.echo(f"products {len(manifest.outputs)}, failures {len(manifest.failures)}")
    for entry in manifest.not_evaluated:
        click.echo(f"not evaluated {entry.product}: {entry.reason}")
    if manifest.content_digest:
        click.echo(f"content digest {manifest.content_digest}")
    sys.exit(exit_code(manifest.status))


@click.command()
@click.argument("folder", type=FOLDER)
def doctor(folder: Path) -> None:
    """Re-check every hash of a run folder."""
    from rs_monitor.outputs.doctor import check_run

    problems = check_run(folder)
    for problem in problems:
        click.echo(problem, err=True)
    click.echo(f"{folder}: {'sound' if not problems else f'{len(problems)} problems'}")
    sys.exit(ERROR if problems else DONE)


@click.group()
def config() -> None:
    """Write a starting job file, or show a job with the origin of each value."""


@config.command()
@click.argument("name", default="demo")
def template(name: str) -> None:
    """Print a shipped job file to start from."""
    from rs_monitor.config.paths import data_root

    folder = data_root() / "configs"
    path = folder / f"{name}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise ConfigError(name, [f"no such template; shipped are {shipped}"])
    click.echo(path.read_text(encoding="utf-8"), nl=False)


@config.command()
@config_argument
@set_option
def show(config: Path, settings: tuple[str, ...]) -> None:
    """Print a job with the origin of each value; lists every mistake."""
    from rs_monitor.config.job import load_config, origins
    from rs_monitor.config.reading import read_toml

    overrides = overrides_of(settings)
    loaded = load_config(config, overrides)
    for key, (value, origin) in origins(loaded, read_toml(config), list(overrides)).items():
        click.echo(f"{key} = {value!r}  # {origin}")
