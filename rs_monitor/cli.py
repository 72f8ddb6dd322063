"""Words to pipeline calls: progress, tables, exit codes (0 done, 1 error, 2 usage, 3 failures)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rs_monitor import __version__
from rs_monitor.errors import ConfigError, RsMonitorError

if TYPE_CHECKING:
    import pandas as pd

    from rs_monitor.config import RunConfig
    from rs_monitor.maps.model_card import ModelCard
    from rs_monitor.outputs.manifest import Manifest
    from rs_monitor.pipeline.demo import Demo
    from rs_monitor.pipeline.plan import Plan
    from rs_monitor.pipeline.work import Progress

DONE, ERROR, USAGE, WITH_FAILURES = 0, 1, 2, 3
PIPED_WIDTH = 140

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

config_argument = click.argument("config", type=FILE)
data_option = click.option(
    "--data", type=FOLDER, help="Folder that data: paths start from (or RS_MONITOR_DATA)."
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the job, e.g. --set cluster.workers=4.",
)
out_option = click.option("--out", type=FOLDER, required=True, help="Run folder; the same resumes.")


class Commands(click.Group):
    """Turns the package's errors into one message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(USAGE)
        except (RsMonitorError, OSError) as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(ERROR)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rs-monitor")
def main() -> None:
    """Watch consolidated land from space and check measured new arable land.

    Imagery is evidence, never a verdict: findings are suspected until a person decides.
    """


@main.command()
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic township.")
@click.option("--out", type=FOLDER, default=Path("demo"), show_default=True)
@set_option
def demo(seed: int, out: Path, settings: tuple[str, ...]) -> None:
    """Run the main job on a SYNTHETIC township and compare with what was planted."""
    from rs_monitor.pipeline.demo import run_demo

    with progress_display() as progress:
        result = run_demo(seed, out, progress=progress, overrides=_overrides(settings))
    _show_demo(result, out)
    sys.exit(_exit_code(result.verified.manifest.status))


@main.command()
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


@main.command()
@config_argument
@data_option
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
def plan(config: Path, data: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Show what a job would use: scenes, looks, blocks, bytes; reads no pixel."""
    planned, _ = _plan(config, data, settings)
    if as_json:
        import json

        click.echo(json.dumps(planned.summary(), indent=2, ensure_ascii=False))
    else:
        _show_plan(planned)


@main.command()
@config_argument
@out_option
@data_option
@set_option
def run(config: Path, out: Path, data: Path | None, settings: tuple[str, ...]) -> None:
    """Run a job into a folder; the same folder resumes."""
    from rs_monitor.pipeline.run import run as run_plan

    planned, text = _plan(config, data, settings)
    with progress_display() as progress:
        done = run_plan(planned, out, config_text=text, progress=progress)
    manifest = done.manifest
    resumed = manifest.resumed
    click.echo(f"{manifest.status}: {len(done.found.patches)} patches")
    click.echo(f"blocks reused {resumed.reused}, computed {resumed.recomputed}")
    _show_steps(manifest)
    for failure in manifest.failures:
        click.echo(f"failed {failure.zone}: {failure.what}: {failure.error}", err=True)
    click.echo(f"content digest {manifest.content_digest}")
    click.echo(f"report {out / 'report' / 'index.html'}")
    sys.exit(_exit_code(manifest.status))


@main.command()
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

    planned, _ = _plan(config, data, settings)
    chosen = name or planned.config.name.replace("_", "-")
    full_name(chosen, version)
    with progress_display() as progress:
        trained = train_model(planned, out, name=chosen, version=version, progress=progress)
    _show_card(trained.card)
    for zone, what, why in trained.ledger.all_failures():
        click.echo(f"failed {zone}: {what}: {why}", err=True)
    # a path in a job starts from the job's folder, not from here
    place = trained.path.resolve()
    click.echo(f'use it with [land_cover] source = "model", model = "{place}"')
    sys.exit(WITH_FAILURES if trained.ledger.all_failures() else DONE)


@main.group()
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
    _show_table("Models", pd.DataFrame(rows))
    sys.exit(WITH_FAILURES if refused else DONE)


@models.command("show")
@click.argument("name")
def show_model(name: str) -> None:
    """Show the card of a model (<name>-<version>, or the path of its folder), file checked."""
    from rs_monitor.maps.model_store import find_model, load_model

    _show_card(load_model(find_model(name, Path())).card)


@main.command()
@config_argument
@out_option
@data_option
@set_option
def verify(config: Path, out: Path, data: Path | None, settings: tuple[str, ...]) -> None:
    """Answer claims of new arable land: SUPPORTED, CONTRADICTED or INCONCLUSIVE."""
    from rs_monitor.pipeline.claims import verify as verify_claims
    from rs_monitor.pipeline.run import run as run_plan

    planned, text = _plan(config, data, settings)
    if not (out / "SHA256SUMS").exists():
        with progress_display() as progress:
            run_plan(planned, out, config_text=text, progress=progress)
    verified = verify_claims(planned, out)
    columns = ["claim_id", "answer", "claimed_area_m2", "recomputed_area_m2", "reasons"]
    _show_table("Claims of new arable land", verified.claims[columns])
    sys.exit(_exit_code(verified.manifest.status))


@main.command()
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
    from rs_monitor.estimation.accuracy_rules import load_accuracy_rules
    from rs_monitor.outputs.sample_files import write_sample
    from rs_monitor.pipeline.sample_request import request_of
    from rs_monitor.pipeline.sampling import draw_sample, strata_table

    loaded = load_accuracy_rules(rules, Path.cwd())
    drawn = draw_sample(map_path, request_of(**asked), loaded)
    written = write_sample(out, drawn.points, drawn.design, show_strata=show_strata)
    _show_table(f"{drawn.design.points} points, {drawn.design.design}", strata_table(drawn.design))
    for path in written:
        click.echo(f"written {path}")


@main.command()
@click.argument("points", type=FILE)
@click.option("--key", type=FILE, help="Strata and probabilities; default beside the points.")
@click.option("--design", type=FILE, help="Design of the sample; default beside the points.")
@click.option("--map", "map_path", type=FILE, help="The map: count it and draw again, to compare.")
@click.option("--out", type=FILE, help="Write everything as JSON as well.")
@click.option("--rules", default="accuracy", show_default=True, help="Rule file or its name.")
def assess(points: Path, out: Path | None, rules: str, **paths: Path | None) -> None:
    """Estimate accuracies and areas from points that were read, with a lower bound."""
    from rs_monitor.estimation.accuracy_rules import load_accuracy_rules
    from rs_monitor.pipeline.assessment import assess_points, write_report

    loaded = load_accuracy_rules(rules, Path.cwd())
    report = assess_points(points, loaded.estimation, **paths)
    level = f"{100 * report.confidence:g} %"
    _show_table("Error matrix, points (rows: map)", report.counts)
    if len(report.shares):
        _show_table("Error matrix, shares of the ground", report.shares, digits=4)
    _show_table(f"Accuracies, intervals of {level}", report.accuracies, digits=3)
    _show_table(f"Areas in ha, intervals and one-sided lower bound of {level}", report.areas)
    for note in report.notes:
        click.echo(note)
    if out is not None:
        click.echo(f"written {write_report(out, report, f'{loaded.id} {loaded.version}')}")


@main.command()
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
    sys.exit(_exit_code(manifest.status))


@main.command()
@click.argument("folder", type=FOLDER)
def doctor(folder: Path) -> None:
    """Re-check every hash of a run folder."""
    from rs_monitor.outputs.doctor import check_run

    problems = check_run(folder)
    for problem in problems:
        click.echo(problem, err=True)
    click.echo(f"{folder}: {'sound' if not problems else f'{len(problems)} problems'}")
    sys.exit(ERROR if problems else DONE)


@main.group()
def config() -> None:
    """Write a starting job file, or show a job with the origin of each value."""


@config.command()
@click.argument("name", default="demo")
def template(name: str) -> None:
    """Print a shipped job file to start from."""
    from rs_monitor.config import data_root

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
    from rs_monitor.config import load_config, origins, read_toml

    overrides = _overrides(settings)
    loaded = load_config(config, overrides)
    for key, (value, origin) in origins(loaded, read_toml(config), list(overrides)).items():
        click.echo(f"{key} = {value!r}  # {origin}")


def _plan(path: Path, data: Path | None, settings: tuple[str, ...]) -> tuple[Plan, str]:
    from rs_monitor.config import load_config
    from rs_monitor.pipeline.plan import make_plan

    loaded: RunConfig = load_config(path, _overrides(settings))
    planned = make_plan(loaded, base=path.parent, data=data)
    return planned, path.read_text(encoding="utf-8")


def _overrides(settings: tuple[str, ...]) -> dict[str, Any]:
    import tomllib

    overrides: dict[str, Any] = {}
    problems = []
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            problems.append(f"{setting}: needs KEY=VALUE")
            continue
        try:
            overrides[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key.strip()] = text
    if problems:
        raise ConfigError("--set", problems)
    return overrides


def _exit_code(status: str) -> int:
    return {"finished": DONE, "finished_with_failures": WITH_FAILURES}.get(status, ERROR)


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


def _show_table(title: str, frame: pd.DataFrame, digits: int = 2) -> None:
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


def _show_card(card: ModelCard) -> None:
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
    _show_table(f"Accuracy, {said.confidence:.0%} intervals", validation_table(card.classes))
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


def _show_steps(manifest: Manifest) -> None:
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


def _show_plan(planned: Plan) -> None:
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


def _show_demo(result: Demo, out: Path) -> None:
    from rs_monitor.grid import MU_M2
    from rs_monitor.pipeline.truth import claim_table, event_table, lookalike_table

    limit_m2 = float(result.run.found.coverage["limit_m2"].max())
    click.echo(
        f"the limit is the smallest patch the sensor measures: {limit_m2:,.0f} m2, "
        f"{limit_m2 / MU_M2:.1f} mu; found: reported patches cover half of the event"
    )
    _show_table("SYNTHETIC: events found/planted by size (mu)", event_table(result.events))
    _show_table("SYNTHETIC: look-alikes that must not flag", lookalike_table(result.lookalikes))
    _show_table("SYNTHETIC: claims", claim_table(result.verified.claims, result.claims))
    alarms = len(result.alarms)
    click.echo(
        f"suspected patches on ground where nothing was planted: {alarms} "
        f"({1000 * alarms / result.area_ha:.1f} per 1,000 ha of zone)"
    )
    click.echo(f"content digest {result.verified.manifest.content_digest}")
    click.echo(f"look at {out / 'run' / 'report' / 'index.html'}")
    click.echo(f"maps in {out / 'run' / 'maps'}, tables in {out / 'run' / 'findings.gpkg'}")
