"""Run a study: ``python -m benchmarks demo_seeds`` or ``python -m benchmarks taizhou``."""

import argparse
import sys

from benchmarks import demo_seeds, taizhou

STUDIES = {"demo_seeds": demo_seeds.main, "taizhou": taizhou.main}


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
