"""What becomes of each fault over real HTTP: what the user sees, what the manifest holds."""

import argparse
import collections
import logging
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.tables import markdown
from rs_monitor.errors import RsMonitorError
from rs_monitor.imagery import pixels
from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.incidents import recorded_reads
from rs_monitor.imagery.load import load_cube
from rs_monitor.pipeline.run import Run
from tests.faults.cases import CASES, Arranged, Case
from tests.faults.small_job import BANDS, DAYS, LOST, SmallJob, impatient, small_job

Row = dict[str, Any]
_LOCAL = re.compile(r"http://127\.0\.0\.1:\d+")


@contextmanager
def options(extra: dict[str, Any]) -> Any:
    """GDAL options of one case."""
    held = pixels.HTTP_OPTIONS
    pixels.HTTP_OPTIONS = {**held, **extra}
    try:
        yield
    finally:
        pixels.HTTP_OPTIONS = held


def rasters(done: Run) -> dict[str, Any]:
    return {o.path: o.content_digest for o in done.manifest.outputs if o.kind == "raster"}


def shortened(text: str) -> str:
    plain = _LOCAL.sub("http://SERVER", text).replace("\n", " ").replace("|", "/")
    return plain if len(plain) < 240 else f"{plain[:237]}..."


def record(done: Run) -> str:
    """What the manifest says of the fault."""
    parts = []
    lost: dict[str, list[str]] = {}
    for failure in done.manifest.failures:
        lost.setdefault(failure.what, []).append(failure.error)
    for what, errors in lost.items():
        why = errors[0].partition(" (")[2].partition(");")[0]
        parts.append(f"failures: {len(errors)} of 4 blocks without {what} ({why})")
    parts += [f"refused_inputs: {list(r.values())}" for r in done.manifest.refused_inputs]
    healed = [entry for step in done.manifest.steps for entry in step.parameters.get("healed", ())]
    if healed:
        parts.append(f"steps.read.healed: {len(healed)} entries, the first {healed[0]}")
    return shortened("; ".join(parts) or "nothing lost, nothing to record")


def judged(done: Run, clean: Run, without: Run) -> str:
    """How the maps of a run compare with those of a clean one."""
    if rasters(done) == rasters(clean):
        return "digests of the clean run"
    if rasters(done) == rasters(without):
        return f"digests of a run without {LOST}"
    if len(done.manifest.inputs) == len(DAYS) and not done.manifest.failures:
        return "other grid, every scene read"
    return f"{LOST} left out where it could not be read"


def run_case(case: Case, job: SmallJob, folder: Path, clean: Run, without: Run) -> Row:
    row: Row = {"fault": case.name, "injected": case.how, "ends": case.ends}
    with options(case.options):
        ready = case.arrange(job)
        try:
            done = job.run(ready.items, folder, **ready.overrides)
        except RsMonitorError as error:
            seen = f"{type(error).__name__}: {error}"
            return row | {"user sees": shortened(seen), "manifest": "no run", "maps": "none"}
        finally:
            ready.end()
    return row | {
        "user sees": sees(done),
        "manifest": record(done),
        "maps": judged(done, clean, without),
    }


def sees(done: Run) -> str:
    """Status and the first message."""
    errors = [failure.error for failure in done.manifest.failures]
    return shortened(": ".join([done.manifest.status, *errors[:1]]))


def retries_of(case: Case, job: SmallJob) -> str:
    """Recorded retries of one load of the same fault."""
    with options(case.options), recorded_reads() as found:
        ready: Arranged = case.arrange(job)
        try:
            items = [normalise_item(raw) for raw in ready.items]
            load_cube(items, geobox=job.geobox, bands=list(BANDS)).compute()
        finally:
            ready.end()
    first = found[0]
    said = f"{len(found)} reads, {first.attempts} tries: {first.reason}"
    return shortened(said)


def five_in_a_hundred(job: SmallJob, folder: Path, clean: Run) -> Row:
    """A run in which one request in twenty fails."""
    before = collections.Counter(job.counts("few"))
    many = {**pixels.FRESH_OPTIONS, "GDAL_HTTP_MAX_RETRY": 2}
    held, pixels.FRESH_OPTIONS = pixels.FRESH_OPTIONS, {}
    try:
        with options(many):
            done = job.run(job.items(dict.fromkeys(DAYS, "few")), folder)
    finally:
        pixels.FRESH_OPTIONS = held
    counts = collections.Counter(job.counts("few")) - before
    same = done.manifest.content_digest == clean.manifest.content_digest
    return {
        "requests": sum(counts.values()),
        "failed": counts["503"],
        "status": done.manifest.status,
        "digest": str(done.manifest.content_digest)[:16],
        "same as clean": same,
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks fault_table", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names of faults")
    only = parser.parse_args(arguments).only
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    chosen = [case for case in CASES if not only or case.name in only]
    with (
        tempfile.TemporaryDirectory() as name,
        impatient(),
        small_job(Path(name) / "www") as job,
    ):
        root = Path(name)
        clean = job.run(job.items({}), root / "clean")
        without = job.run([r for r in job.items({}) if r["id"] != LOST], root / "without")
        rows = [
            run_case(case, job, root / str(number), clean, without)
            for number, case in enumerate(chosen)
        ]
        retries = [
            {"fault": case.name, "recorded": retries_of(case, job)}
            for case in chosen
            if case.ends == "healed"
        ]
        few = five_in_a_hundred(job, root / "few", clean)
    print("\n### Faults over HTTP: 6 scenes, 3 bands, 256 px, 4 blocks\n")
    print(markdown(pd.DataFrame(rows)))
    if retries:
        print("\n### Retries recorded in one load\n")
        print(markdown(pd.DataFrame(retries)))
    print("\n### One request in twenty fails\n")
    print(markdown(pd.DataFrame([few])))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
