"""Words to pipeline calls: progress, tables, exit codes (0 done, 1 error, 2 usage, 3 failures)."""

from __future__ import annotations

from typing import Any

import click

from rs_monitor import __version__
from rs_monitor.cli import accuracy, areas, files, jobs, models
from rs_monitor.cli.options import ERROR, USAGE
from rs_monitor.errors import ConfigError, RsMonitorError


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


for _command in (
    jobs.demo,
    files.index,
    jobs.plan,
    jobs.run,
    jobs.verify,
    models.train,
    models.models,
    accuracy.sample,
    accuracy.assess,
    areas.areas,
    files.status,
    files.doctor,
    files.config,
):
    main.add_command(_command)
