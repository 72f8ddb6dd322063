"""Run ``bench``, one study by name, or all studies: ``python -m benchmarks radiometry``."""

import argparse
import sys
from importlib import import_module

from benchmarks import bench


def main() -> int:
    studies = [name for name in bench.modules_with(r"^def main\(") if name != "bench"]
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("study", choices=["bench", *studies, "all"], nargs="?", default="bench")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.study == "bench":
        return bench.main(given.rest)
    # a library that only one study needs is looked for when that study is asked for
    for name in studies if given.study == "all" else [given.study]:
        import_module(f"benchmarks.{name}").main(given.rest if given.study != "all" else [])
    return 0


if __name__ == "__main__":
    sys.exit(main())
