"""Programs for `pytest -m service`: PostgreSQL with PostGIS, a STAC API, a web server, gdaldem.

install  adds what is missing (Debian packages as root; a Python environment from its own lock)
where    prints the programs found, or what is missing
lock     renews tests/services/requirements.lock
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "tests" / "services" / "requirements.lock"
FOLDER_VARIABLE = "RS_MONITOR_SERVICES"
POSTGRES = Path("/usr/lib/postgresql")
POSTGIS = Path("/usr/share/postgresql")
PACKAGES = {
    "postgres": ["postgresql-15", "postgresql-15-postgis-3"],
    "nginx": ["nginx-light"],
    "setpriv": ["util-linux"],
    "gdaldem": ["gdal-bin"],
}
POLICY = Path("/usr/sbin/policy-rc.d")
UV = Path(sysconfig.get_path("scripts")) / "uv"


def environment() -> Path:
    """Python environment of the STAC API: its pins need not fit those of the project."""
    named = os.environ.get(FOLDER_VARIABLE)
    return (Path(named) if named else Path(sys.prefix) / "services") / "stac-api"


def programs() -> tuple[dict[str, Path], list[str]]:
    """Find the programs by name; list the names of those that are missing."""
    found = {"postgres": _postgres()}
    found |= {name: _program(name) for name in ("nginx", "setpriv", "gdaldem")}
    scripts = environment() / "bin"
    found |= {name: scripts / name if _fits_lock() else None for name in ("pypgstac", "uvicorn")}
    missing = [name for name, path in found.items() if path is None]
    return {name: path for name, path in found.items() if path is not None}, missing


def _program(name: str) -> Path | None:
    # Debian keeps servers out of the path of ordinary users
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return Path(path) if path else None


def _postgres() -> Path | None:
    """Newest installed server that has PostGIS."""
    versions = [p.name for p in POSTGRES.glob("*") if (p / "bin" / "postgres").is_file()]
    suitable = [v for v in versions if (POSTGIS / v / "extension" / "postgis.control").is_file()]
    return POSTGRES / max(suitable, key=float) / "bin" / "postgres" if suitable else None


def _mark() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def _fits_lock() -> bool:
    mark = environment() / "lock.sha256"
    return mark.is_file() and mark.read_text() == _mark()


def install() -> int:
    _, missing = programs()
    packages = [package for name in missing for package in PACKAGES.get(name, ())]
    if packages:
        install_packages(packages)
    if not _fits_lock():
        install_environment()
    return where()


def install_packages(packages: list[str]) -> None:
    words = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"missing: {' '.join(packages)}; run as root on Debian: {' '.join(words)}")
    print(f"installing {' '.join(packages)}", flush=True)
    quiet = {
        "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        "stdout": subprocess.DEVNULL,
    }
    refuse_start = not POLICY.exists()
    if refuse_start:
        # the tests start their own servers: installing must start none
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update"], check=True, **quiet)
        subprocess.run(words, check=True, **quiet)
    finally:
        if refuse_start:
            POLICY.unlink()


def install_environment() -> None:
    folder = environment()
    print(f"installing the STAC API from {LOCK.relative_to(ROOT)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    hashed = ["--require-hashes", "-r", str(LOCK)]
    fast = [str(UV), "pip", "install", "--quiet", "--python", python, *hashed]
    if not UV.is_file() or subprocess.run(fast, check=False).returncode != 0:
        slow = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *hashed]
        subprocess.run(slow, check=True)
    (folder / "lock.sha256").write_text(_mark())


def where() -> int:
    found, missing = programs()
    for name, path in found.items():
        print(f"{name}: {path}")
    for name in missing:
        print(f"{name}: missing")
    return 1 if missing else 0


def lock() -> int:
    options = ["--universal", "--generate-hashes", "--python-version", "3.11", "--upgrade"]
    quiet = ["--quiet", "--no-header", "--no-annotate"]
    command = [str(UV), "pip", "compile", *options, *quiet, str(LOCK.with_suffix(".in"))]
    return subprocess.run([*command, "-o", str(LOCK)], check=True).returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["install", "where", "lock"])
    return {"install": install, "where": where, "lock": lock}[parser.parse_args().command]()


if __name__ == "__main__":
    sys.exit(main())
