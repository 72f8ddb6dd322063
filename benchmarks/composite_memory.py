"""Peak memory of the composite of a whole tile, made chunk by chunk in a process of its own."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from benchmarks.reading import CRS, MASK, TILE_PX, item_of, transform
from benchmarks.tables import markdown
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.composites import Method, composite
from rs_monitor.imagery.load import load_cube, to_reflectance, valid_mask
from rs_monitor.imagery.masks import CLEAR_SCL

EDGE_PX = 10_980
DATES = 24
DISTINCT = 2
WORKERS = 2
CHUNK_PX = 2048
GOAL_GIB = 4.0
STRIP_PX = 512


def write_tile(folder: Path, edge_px: int, dates: int) -> list[SceneItem]:
    """One band and its mask per date; the dates share a few files through links."""
    rng = np.random.default_rng(5)
    for kind, dtype in ((MASK, "uint8"), ("red", "uint16")):
        for number in range(DISTINCT):
            _write(folder / f"{kind}_{number}.tif", kind, dtype, edge_px, rng)
    items = []
    for date in range(dates):
        assets = {}
        for kind in ("red", MASK):
            assets[kind] = folder / f"{date}_{kind}.tif"
            assets[kind].symlink_to(folder / f"{kind}_{date % DISTINCT}.tif")
        items.append(item_of(f"scene-{date}", date, edge_px, assets))
    return items


def _write(path: Path, kind: str, dtype: str, edge_px: int, rng: np.random.Generator) -> None:
    profile = {"driver": "GTiff", "compress": "deflate", "predictor": 2, "zlevel": 1}
    profile |= {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX, "num_threads": WORKERS}
    size = {"count": 1, "height": edge_px, "width": edge_px, "dtype": dtype, "nodata": 0}
    with rasterio.open(path, "w", **profile, **size, crs=CRS, transform=transform()) as target:
        for top in range(0, edge_px, STRIP_PX):
            shape = (min(STRIP_PX, edge_px - top), edge_px)
            rows = np.ones((shape[0], 1))
            if kind == MASK:  # stretches of ground and cloud
                long = np.repeat(rng.integers(3, 10, (1, edge_px // 61 + 1)), 61, axis=1)
                data = rows * long[:, :edge_px]
            else:
                wave = 2500 + 1500 * np.sin(np.arange(edge_px) / 90.0)[np.newaxis]
                data = rows * wave + rng.normal(0, 60, shape)
            target.write(data.astype(dtype), 1, window=Window(0, top, edge_px, shape[0]))


class Sink:
    """A file that takes blocks as dask hands them over."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._lock = threading.Lock()

    def __setitem__(self, place: tuple[slice, ...], block: NDArray[np.float32]) -> None:
        _, rows, cols = place
        size = cols.stop - cols.start, rows.stop - rows.start
        with self._lock:
            self._target.write(block, window=Window(cols.start, rows.start, *size))


def store_composite(
    items: Sequence[SceneItem], geobox: GeoBox, sink: Any, *, chunk_px: int, method: Method
) -> None:
    """From files to blocks of a composite handed to a sink; nothing holds the whole."""
    cube = load_cube(items, geobox=geobox, bands=["red", MASK], chunk_px=chunk_px)
    codes = cube[MASK]
    clear = valid_mask(cube["red"]) & codes.isin([int(code) for code in sorted(CLEAR_SCL)])
    values = to_reflectance(cube, ["red"])
    image = composite(values, clear, bands=["red"], method=method, min_looks=3)
    da.store(image.data, sink, lock=False)


def run_child(folder: Path, edge_px: int, dates: int, chunk_px: int, method: Method) -> None:
    """Make the composite and print what it took, as JSON."""
    items = [
        item_of(
            f"scene-{date}",
            date,
            edge_px,
            {kind: folder / f"{date}_{kind}.tif" for kind in ("red", MASK)},
        )
        for date in range(dates)
    ]
    geobox = GeoBox((edge_px, edge_px), transform(), CRS)
    before = _peak_gib()
    start = time.perf_counter()
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX}
    size = {"count": 1, "height": edge_px, "width": edge_px, "dtype": "float32"}
    place = {"crs": CRS, "transform": transform()}
    with (
        rasterio.open(folder / "out.tif", "w", **profile, **size, **place) as target,
        dask.config.set(scheduler="threads", num_workers=WORKERS),
    ):
        store_composite(items, geobox, Sink(target), chunk_px=chunk_px, method=method)
    seconds = time.perf_counter() - start
    print(json.dumps({"peak": _peak_gib(), "imports": before, "seconds": seconds}))


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def seen_fraction(path: Path) -> float:
    """Share of the composite that holds a value."""
    with rasterio.open(path) as dataset:
        seen = sum(
            int(np.isfinite(dataset.read(1, window=window)).sum())
            for _, window in dataset.block_windows(1)
        )
        return seen / (dataset.width * dataset.height)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks composite_memory", description=__doc__)
    parser.add_argument("--edge-px", type=int, default=EDGE_PX)
    parser.add_argument("--dates", type=int, default=DATES)
    parser.add_argument("--chunk-px", type=int, default=CHUNK_PX)
    parser.add_argument("--methods", nargs="+", default=["median"])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child is not None:
        run_child(given.child, given.edge_px, given.dates, given.chunk_px, given.methods[0])
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tile(folder, given.edge_px, given.dates)
        for method in given.methods:
            command = [sys.executable, "-m", "benchmarks.composite_memory", "--child", name]
            command += ["--edge-px", str(given.edge_px), "--dates", str(given.dates)]
            command += ["--chunk-px", str(given.chunk_px), "--methods", method]
            took = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            rows.append(
                {
                    "method": method,
                    "peak GiB": round(took["peak"], 2),
                    "of it imports": round(took["imports"], 2),
                    "goal": f"< {GOAL_GIB:g}",
                    "": "ok" if took["peak"] < GOAL_GIB else "short",
                    "s": round(took["seconds"]),
                    "seen %": round(100 * seen_fraction(folder / "out.tif"), 1),
                }
            )
    print(
        f"\n### Composite of {given.edge_px} px x {given.dates} dates, one band and its mask, "
        f"chunks of {given.chunk_px}, {WORKERS} threads\n"
    )
    print(markdown(pd.DataFrame(rows)))
    print(f"\n{DISTINCT} distinct files per band, linked to the dates in turn.")


if __name__ == "__main__":
    main(sys.argv[1:])
