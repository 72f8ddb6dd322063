"""Renew the hashed locks, or with --check fail when they no longer fit pyproject.toml."""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = Path(sysconfig.get_path("scripts")) / "uv"
OPTIONS = ["--universal", "--generate-hashes", "--python-version", "3.11"]
QUIET = ["--quiet", "--no-header", "--no-annotate"]


def compile_lock(arguments: list[str], out: Path) -> None:
    command = [str(UV), "pip", "compile", *OPTIONS, *QUIET, *arguments, "-o", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)


def versions(path: Path) -> list[str]:
    return sorted(line.split(" \\")[0] for line in path.read_text().splitlines() if "==" in line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    lock = ROOT / "requirements.lock"
    project = ["pyproject.toml", "--extra", "dev"]
    if not check:
        compile_lock([*project, "--upgrade"], lock)
        tool = ROOT / "bootstrap.in"
        compile_lock([str(tool), "--upgrade"], ROOT / "bootstrap.lock")
        peers = ["benchmarks/peers.in", "--constraint", str(lock), "--upgrade"]
        compile_lock(peers, ROOT / "benchmarks" / "peers.lock")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "requirements.lock"
        again.write_text(lock.read_text())
        compile_lock(project, again)
        if versions(again) != versions(lock):
            print("requirements.lock does not fit pyproject.toml: run `make lock`")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
