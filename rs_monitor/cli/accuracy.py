"""Commands on the accuracy of a map: sample, assess."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rs_monitor.cli.display import show_table
from rs_monitor.cli.options import FILE

if TYPE_CHECKING:
    from rs_monitor.estimation.accuracy_rules import AccuracyRules


@click.command()
@click.argument("map_path", metavar="MAP", type=FILE)
@click.option(
    "--design",
    type=click.Choice(["simple", "stratified", "systematic", "two_stage"]),
    default="stratified",
    show_default=True,
)
@click.option("--n", "points", type=int, help="Points in all.")
@click.option("--standard-error", type=float, help="Of overall accuracy; instead of --n.")
@click.option(
    "--allocation",
    type=click.Choice(["rare", "neyman", "proportional", "equal"]),
    default="rare",
    show_default=True,
    help="How a stratified design shares points out.",
)
@click.option("--expect", multiple=True, metavar="CLASS=SHARE", help="Conjectured accuracy.")
@click.option("--buffer-around", multiple=True, metavar="CLASS", help="Stratum around change.")
@click.option("--buffer-m", type=float, help="Its width in metres.")
@click.option("--townships", type=FILE, help="Polygons: primary units of a two-stage design.")
@click.option("--draws", type=int, default=0, help="Draws of townships.")
@click.option("--first-stage", type=click.Choice(["pps", "srs"]), default="pps", show_default=True)
@click.option("--seed", type=int, required=True, help="Same seed, same points.")
@click.option("--rules", default="accuracy", show_default=True, help="Rule file or its name.")
@click.option("--show-strata", is_flag=True, help="Tell readers what the map says.")
@click.option("--out", type=FILE, required=True, help="Points: .gpkg, .geojson or .csv.")
def sample(map_path: Path, out: Path, rules: str, show_strata: bool, **asked: Any) -> None:
    """Draw points of a class map to be read, with their probabilities kept apart."""
    from rs_monitor.outputs.sample_files import write_sample
    from rs_monitor.pipeline.sample_request import request_of
    from rs_monitor.pipeline.sampling import draw_sample, strata_table

    loaded = accuracy_rules(rules)
    drawn = draw_sample(map_path, request_of(**asked), loaded)
    written = write_sample(out, drawn.points, drawn.design, show_strata=show_strata)
    show_table(f"{drawn.design.points} points, {drawn.design.design}", strata_table(drawn.design))
    for path in written:
        click.echo(f"written {path}")


@click.command()
@click.argument("points", type=FILE)
@click.option("--key", type=FILE, help="Strata and probabilities; default beside the points.")
@click.option("--design", type=FILE, help="Design of the sample; default beside the points.")
@click.option("--map", "map_path", type=FILE, help="The map: count it and draw again, to compare.")
@click.option("--out", type=FILE, help="Write everything as JSON as well.")
@click.option("--rules", default="accuracy", show_default=True, help="Rule file or its name.")
def assess(points: Path, out: Path | None, rules: str, **paths: Path | None) -> None:
    """Estimate accuracies and areas from points that were read, with a lower bound."""
    from rs_monitor.pipeline.assessment import assess_points, write_report

    loaded = accuracy_rules(rules)
    report = assess_points(points, loaded.estimation, **paths)
    level = f"{100 * report.confidence:g} %"
    show_table("Error matrix, points (rows: map)", report.counts)
    if len(report.shares):
        show_table("Error matrix, shares of the ground", report.shares, digits=4)
    show_table(f"Accuracies, intervals of {level}", report.accuracies, digits=3)
    show_table(f"Areas in ha, intervals and one-sided lower bound of {level}", report.areas)
    for note in report.notes:
        click.echo(note)
    if out is not None:
        click.echo(f"written {write_report(out, report, f'{loaded.id} {loaded.version}')}")


def accuracy_rules(name_or_path: str) -> AccuracyRules:
    """Read the rules of accuracy a command names; a relative path starts from here."""
    from rs_monitor.config.rules import load_rules
    from rs_monitor.estimation.accuracy_rules import AccuracyRules

    return load_rules(name_or_path, Path.cwd(), AccuracyRules)
