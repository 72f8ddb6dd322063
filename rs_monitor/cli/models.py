"""Commands on land-cover models: train, models."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rs_monitor.cli.display import (
    progress_display,
    show_card,
    show_table,
)
from rs_monitor.cli.options import (
    DONE,
    FOLDER,
    WITH_FAILURES,
    config_argument,
    data_option,
    planned_job,
    set_option,
)
from rs_monitor.errors import RsMonitorError


@click.command()
@config_argument
@click.option("--out", type=FOLDER, required=True, help="Gets NAME-VERSION/; one may be there.")
@click.option("--name", help="Name of the model; default: that of the job.")
@click.option("--version", default="1.0.0", show_default=True, help="Version of the model.")
@data_option
@set_option
def train(
    config: Path,
    out: Path,
    name: str | None,
    version: str,
    data: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Train a model on the job's survey, measure it on held-out ground, write it with a card."""
    from rs_monitor.maps.model_store import full_name
    from rs_monitor.pipeline.train import train as train_model
    from rs_monitor.pipeline.training import training_warnings

    planned, _ = planned_job(config, data, settings)
    chosen = name or planned.config.name.replace("_", "-")
    full_name(chosen, version)
    with progress_display() as progress:
        trained = train_model(planned, out, name=chosen, version=version, progress=progress)
    show_card(trained.card)
    for text in training_warnings(trained.ledger.land_cover):
        click.echo(f"warning: {text}", err=True)
    for zone, what, why in trained.ledger.all_failures():
        click.echo(f"failed {zone}: {what}: {why}", err=True)
    # a path in a job starts from the job's folder, not from here
    place = trained.path.resolve()
    click.echo(f'use it with [land_cover] source = "model", model = "{place}"')
    sys.exit(WITH_FAILURES if trained.ledger.all_failures() else DONE)


@click.group()
def models() -> None:
    """List the stored models, or show the card of one."""


@models.command("list")
@click.option("--in", "folder", type=FOLDER, help="Folder of models; default: those shipped.")
def list_models(folder: Path | None) -> None:
    """Name every model with what it was trained on and what it is worth."""
    import pandas as pd

    from rs_monitor.maps.model_store import load_card, models_in, shipped_folder

    cards, refused = [], False
    for path in models_in(folder or shipped_folder()):
        try:
            cards.append(load_card(path))
        except RsMonitorError as error:
            click.echo(f"refused {path.name}: {error}", err=True)
            refused = True
    rows = [
        {
            "model": card.full_name,
            "kind": card.kind,
            "classes": len(card.classes),
            "overall accuracy": str(card.validation.overall or "not assessable"),
            "trained on": card.training.data,
        }
        for card in cards
    ]
    show_table("Models", pd.DataFrame(rows))
    sys.exit(WITH_FAILURES if refused else DONE)


@models.command("show")
@click.argument("name")
def show_model(name: str) -> None:
    """Show the card of a model (<name>-<version>, or the path of its folder), file checked."""
    from rs_monitor.maps.model_store import find_model, load_model

    show_card(load_model(find_model(name, Path())).card)
