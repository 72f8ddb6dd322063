"""Run one study by name, or all of them: ``python -m benchmarks radiometry``."""

import argparse
import sys

from benchmarks import (
    composite_memory,
    cubes,
    demo_seeds,
    fault_table,
    radiometry,
    reading,
    registration,
    search_scale,
    taizhou,
)

STUDIES = {
    "demo_seeds": demo_seeds.main,
    "taizhou": taizhou.main,
    "fault_table": fault_table.main,
    "radiometry": radiometry.main,
    "registration": registration.main,
    "reading": reading.main,
    "composite_memory": composite_memory.main,
    "cubes": cubes.main,
    "search_scale": search_scale.main,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("study", choices=[*STUDIES, "all"], nargs="?", default="all")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    names = list(STUDIES) if given.study == "all" else [given.study]
    for name in names:
        STUDIES[name](given.rest if given.study != "all" else [])
    return 0


if __name__ == "__main__":
    sys.exit(main())
