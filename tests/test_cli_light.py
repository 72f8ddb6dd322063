"""The command line without a run: help, jobs shown, mistakes told."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from rs_monitor.cli import main
from rs_monitor.cli.options import USAGE

HEAVY = ("xarray", "numba", "dask", "distributed", "pandas", "rasterio", "sklearn", "pydantic")

FIVE_MISTAKES = """
schema_version = 1
name = "Five Mistakes"
colour = "red"

[catalog]
kind = "ftp"
href = "items.parquet"

[imagery]
bands = ["red", "nir"]
mask = "none"
mask_band = "scl"
quantity = "dn"

[periods]
before = { start = 2020-01-01, end = 2020-12-31 }
after = { start = 2021-01-01, end = 2021-12-31 }

[grid]
resolution_m = 0

[change]
method = "irmad"
threshold = "kmeans"
"""


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["config", "show", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    script = (
        "import json, sys\n"
        "from rs_monitor.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print()\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert len(done.stdout.splitlines()) > 1


def test_help_names_every_command():
    shown = invoke("--help")
    assert shown.exit_code == 0
    commands = ("demo", "index", "plan", "run", "verify", "status", "config", "doctor")
    assert all(f"\n  {command} " in shown.output for command in commands)


def test_five_mistakes_are_all_shown(tmp_path):
    path = tmp_path / "five.toml"
    path.write_text(FIVE_MISTAKES, encoding="utf-8")
    shown = invoke("config", "show", path)
    assert shown.exit_code == USAGE == 2
    assert f"error: {path}: 5 mistakes" in shown.stderr
    for key in ("name", "colour", "catalog.kind", "imagery.mask_band", "grid.resolution_m"):
        assert f"\n  {key}: " in shown.stderr
    assert "Traceback" not in shown.output


@pytest.mark.parametrize("command", ["plan", "run", "verify"])
def test_every_command_tells_the_mistakes(tmp_path, command):
    path = tmp_path / "five.toml"
    path.write_text(FIVE_MISTAKES, encoding="utf-8")
    out = [] if command == "plan" else ["--out", tmp_path / "out"]
    shown = invoke(command, path, *out)
    assert shown.exit_code == USAGE
    assert "5 mistakes" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_no_such_job(tmp_path):
    shown = invoke("config", "show", tmp_path / "none.toml")
    assert shown.exit_code == USAGE
    assert "no such file; give the path of a TOML job file" in shown.stderr


def test_a_template_is_a_job(tmp_path):
    printed = invoke("config", "template", "demo")
    assert printed.exit_code == 0
    path = tmp_path / "job.toml"
    path.write_text(printed.output, encoding="utf-8")
    shown = invoke("config", "show", path)
    assert shown.exit_code == 0
    assert "name = 'demo-synthetic'  # file" in shown.output
    assert "on_failure = 'record'  # default" in shown.output


def test_an_unknown_template_names_the_shipped():
    shown = invoke("config", "template", "mars")
    assert shown.exit_code == USAGE
    assert re.search(r"shipped are .*\bdemo\b.*\btaizhou\b", shown.stderr)


def test_overrides_are_shown_as_such(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(invoke("config", "template", "taizhou").output, encoding="utf-8")
    settings = ("cluster.workers=4", "name=other", "periods.before.end=2000-06-30")
    options = [part for setting in settings for part in ("--set", setting)]
    shown = invoke("config", "show", path, *options)
    assert shown.exit_code == 0
    assert "cluster.workers = 4  # command line" in shown.output
    assert "name = 'other'  # command line" in shown.output
    assert "periods.before.end = '2000-06-30'  # command line" in shown.output


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("workers", "workers: needs KEY=VALUE"),
        ("cluster.workers=many", "cluster.workers: Input should be a valid integer"),
        ("cluster.werkers=4", "cluster.werkers: unknown key"),
        ("name.first=x", "name.first: name is a value, not a table"),
    ],
)
def test_a_wrong_override_is_a_mistake(tmp_path, setting, problem):
    path = tmp_path / "job.toml"
    path.write_text(invoke("config", "template", "taizhou").output, encoding="utf-8")
    shown = invoke("config", "show", path, "--set", setting)
    assert shown.exit_code == USAGE
    assert problem in shown.stderr
