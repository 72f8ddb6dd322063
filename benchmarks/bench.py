"""Every stage beside its peers, as one table: ``python -m benchmarks bench``."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.race import Line, markdown

FOLDER = Path(__file__).parent
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}
"""Kernels call BLAS from threads of their own; it must not start more."""

BAD = ("disagrees", "failed")


def modules_with(pattern: str) -> list[str]:
    """Modules of this folder whose text holds a line that matches; none is imported."""
    found = [p.stem for p in sorted(FOLDER.glob("*.py")) if re.search(pattern, p.read_text(), re.M)]
    return [name for name in found if not name.startswith("__")]


def stages() -> list[str]:
    """Modules with a ``STAGE`` and ``lines(quick=)``."""
    return [name for name in modules_with(r"^STAGE\b") if name != "bench"]


def lines_of(name: str, *, quick: bool) -> list[Line]:
    """Lines of a stage, made in a process of its own: memory and threads are its own, too."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder, "lines.json")
        command = [sys.executable, "-m", "benchmarks.bench", "--one", name, "--into", str(into)]
        done = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            env=os.environ | ONE_THREAD,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return [Line(*fields) for fields in json.loads(into.read_text())]
    print(done.stderr, file=sys.stderr)
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    nan = float("nan")
    return [Line(name, "", "", reason[:160], nan, nan, nan, "", None, "failed")]


def run_one(name: str, into: Path, *, quick: bool) -> None:
    """Run a stage here and leave its lines in a file."""
    lines = import_module(f"benchmarks.{name}").lines(quick=quick)
    into.write_text(json.dumps(lines))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks bench", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[*stages(), []], default=[])
    parser.add_argument("--quick", action="store_true", help="small and short: a smoke test")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one is not None:
        run_one(given.one, given.into, quick=given.quick)
        return 0
    lines: list[Line] = []
    for name in given.stages or stages():
        print(f"{name} ...", file=sys.stderr, flush=True)
        lines += lines_of(name, quick=given.quick)
    print(markdown(lines))
    return int(any(line.verdict in BAD for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
