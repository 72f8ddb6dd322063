"""Area of the classes of a county: 100 million pixels, three chunkings and shuffled tiles."""

import argparse
import hashlib
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from benchmarks.tables import markdown
from rs_monitor.grid import blocks_of, true_pixel_area_m2
from rs_monitor.maps.class_area import area_of_counts, class_area, count_tile, merge_counts

EDGE_PX = 10_000
FIELD_PX = 16
CHUNKS = {
    "chunks of 1024": (1024, 1024),
    "chunks of 2048": (2048, 2048),
    "chunks of 1000 x 3333": (1000, 3333),
}
TILES = "tiles of 777, shuffled"


def grid(edge_px: int) -> GeoBox:
    """100 km of a UTM zone, from 100 km west of its meridian: pixels differ by 1e-4."""
    return GeoBox((edge_px, edge_px), Affine(10, 0, 400000, 0, -10, 3500000), "EPSG:32650")


def tile_of(y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    """Classes of a tile: square fields of 13 covers and a tenth of lone pixels, by their place."""
    y = np.arange(y0, y1, dtype=np.uint32)[:, None]
    x = np.arange(x0, x1, dtype=np.uint32)[None, :]
    fields = ((y // FIELD_PX) * np.uint32(2654435761)) ^ ((x // FIELD_PX) * np.uint32(40503))
    lone = (y * np.uint32(2246822519)) ^ (x * np.uint32(3266489917))
    lone = (lone ^ (lone >> np.uint32(15))) * np.uint32(2654435761)
    odd = (lone >> np.uint32(16)) % np.uint32(10) == 0
    mixed = np.where(odd, lone >> np.uint32(20), (fields ^ (fields >> np.uint32(13))) >> 4)
    return (mixed % np.uint32(14)).astype(np.uint8)


def lazy(edge_px: int, chunks: tuple[int, int]) -> xr.DataArray:
    """The map, made chunk by chunk."""

    def make(block_info: dict | None = None) -> np.ndarray:
        (y0, y1), (x0, x1) = block_info[None]["array-location"]
        return tile_of(y0, y1, x0, x1)

    sizes = da.core.normalize_chunks(chunks, (edge_px, edge_px))
    return xr.DataArray(
        da.map_blocks(make, chunks=sizes, dtype=np.uint8, meta=np.empty((0, 0), np.uint8)),
        dims=("y", "x"),
    )


def by_tiles(edge_px: int) -> pd.DataFrame:
    geobox = grid(edge_px)
    blocks = blocks_of(geobox, 777)
    np.random.default_rng(7).shuffle(blocks)
    parts = (
        count_tile(tile_of(b.y0, b.y1, b.x0, b.x1), geobox, row=b.y0, col=b.x0) for b in blocks
    )
    return area_of_counts(merge_counts(parts, geobox), geobox)


def off_pixels(edge_px: int) -> float:
    """Largest relative difference of a class from its pixels measured one by one, in 20 bands."""
    worst = 0.0
    for y in np.linspace(0, edge_px - 10, 20).astype(int).tolist():
        band, rows = grid(edge_px)[y : y + 10], tile_of(y, y + 10, 0, edge_px)
        each_m2 = true_pixel_area_m2(band, np.arange(edge_px))
        found = class_area(xr.DataArray(rows, dims=("y", "x")), band)
        for code, area_m2 in zip(found["class"], found["area_m2"], strict=True):
            worst = max(worst, abs(area_m2 / math.fsum(each_m2[rows == code]) - 1))
    return worst


def in_memory_seconds(edge_px: int) -> float:
    """Time of the counting and the sum alone."""
    bands = [tile_of(y, min(y + 500, edge_px), 0, edge_px) for y in range(0, edge_px, 500)]
    classes = xr.DataArray(np.concatenate(bands), dims=("y", "x"))
    start = time.perf_counter()
    class_area(classes, grid(edge_px))
    return time.perf_counter() - start


def ways(edge_px: int) -> dict[str, Callable[[], pd.DataFrame]]:
    made = {
        name: lambda chunks=chunks: class_area(lazy(edge_px, chunks), grid(edge_px))
        for name, chunks in CHUNKS.items()
    }
    return made | {TILES: lambda: by_tiles(edge_px)}


def digest(table: pd.DataFrame) -> str:
    bits = [table[name].to_numpy().tobytes() for name in ("class", "pixels", "area_m2")]
    return hashlib.sha256(b"".join(bits)).hexdigest()[:16]


def peak_mb() -> float:
    """Most memory of this process that its own pages took, not counting the one that started it."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def one(name: str, edge_px: int) -> None:
    """One way, in a process of its own: seconds, peak memory, digest, area."""
    ways(64)[name]()
    before = peak_mb()
    start = time.perf_counter()
    table = ways(edge_px)[name]()
    seconds = time.perf_counter() - start
    total = math.fsum(table["area_m2"])
    print(f"{seconds:.3f};{before:.0f};{peak_mb():.0f};{digest(table)};{total!r}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks class_area", description=__doc__)
    parser.add_argument("--edge-px", type=int, default=EDGE_PX)
    parser.add_argument("--one", choices=list(ways(1)), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.one:
        one(given.one, given.edge_px)
        return 0
    rows = []
    for name in ways(1):
        command = [sys.executable, "-m", "benchmarks", "class_area"]
        command += ["--one", name, "--edge-px", str(given.edge_px)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, before, peak, marks, total = said.strip().split(";")
        rows.append((name, seconds, f"{before} -> {peak}", marks, float(total)))
    print(
        f"{given.edge_px**2:,} pixels of 10 m, 14 values, EPSG:32650; the map is made on the way\n"
    )
    head = ["way", "seconds", "memory MB before -> peak", "digest", "area m2"]
    print(markdown(pd.DataFrame([(*row[:4], f"{row[4]:.4f}") for row in rows], columns=head)))
    equal = len({row[3] for row in rows}) == 1
    worst = off_pixels(given.edge_px)
    print(f"\ncounting and summing a map in memory: {in_memory_seconds(given.edge_px):.2f} s")
    print(f"equal to the last bit: {equal}")
    print(f"200 rows pixel by pixel: {worst:.1e} off at most")
    return 0 if equal else 1
