"""Arguments, options and exit codes that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rs_monitor.errors import ConfigError

if TYPE_CHECKING:
    from rs_monitor.config.job import RunConfig
    from rs_monitor.pipeline.plan import Plan

DONE, ERROR, USAGE, WITH_FAILURES = 0, 1, 2, 3

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


def planned_job(path: Path, data: Path | None, settings: tuple[str, ...]) -> tuple[Plan, str]:
    """Read a job with its overrides and plan it; returns the text of its file as well."""
    from rs_monitor.config.job import load_config
    from rs_monitor.pipeline.plan import make_plan

    loaded: RunConfig = load_config(path, overrides_of(settings))
    planned = make_plan(loaded, base=path.parent, data=data)
    return planned, path.read_text(encoding="utf-8")


def overrides_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """Values of ``--set KEY=VALUE`` by dotted key; what is no TOML is text."""
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


def exit_code(status: str) -> int:
    """Exit code of a run that ended with a status."""
    return {"finished": DONE, "finished_with_failures": WITH_FAILURES}.get(status, ERROR)
