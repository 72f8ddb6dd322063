"""Median over time of six bands: counts with 0 = nodata, and reflectance with a mask."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.race import (
    COPY,
    THREADS,
    Disagreement,
    Entrant,
    Goal,
    Line,
    copy_entrant,
    in_dask_threads,
    kernel_in_threads,
    markdown,
    race,
    strips_of,
)
from rs_monitor.imagery.composites import composite
from rs_monitor.kernels.median import median_of_looks

STAGE = "median"

DATES = 24
BANDS = 6
EDGE_PX = 2048
CHUNK_PX = 1024
GAPS_FRACTION = 0.35
SLOW_SHARE = 64
"""The peers that take minutes get one in so many rows."""

BOTTLENECK = "bottleneck.nanmedian (2)"
XARRAY = "xarray + dask .median (2)"
NUMPY = "numpy.nanmedian (1)"
GOALS = [Goal(BOTTLENECK, 6), Goal(XARRAY, 50), Goal(COPY, 0.2)]

Stack = NDArray[Any]


def make_counts(edge_px: int) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Counts (band, time, y, x), 0 where the looks (time, y, x) are not clear."""
    rng = np.random.default_rng(4)
    shape = (DATES, edge_px, edge_px)
    clear = rng.random(shape, dtype=np.float32) >= GAPS_FRACTION
    counts = np.empty((BANDS, *shape), dtype=np.uint16)
    for band in counts:
        band[:] = rng.integers(1, 10_000, shape, dtype=np.uint16)
        band[~clear] = 0
    return counts, clear


def exactly(ours: Stack, peer: Stack) -> str:
    """Equal bit for bit on the rows that the peer was given."""
    mine = np.asarray(ours)[:, : peer.shape[1]]
    if mine.dtype != peer.dtype or not np.array_equal(mine, peer, equal_nan=True):
        raise Disagreement(f"{np.mean(mine != peer):.2%} of the medians differ")
    return "equal"


def bare(stack: Stack, clear: NDArray[np.bool_] | None) -> Callable[[], Stack]:
    """The kernel over strips of every band in two threads."""
    out = np.empty((len(stack), *stack.shape[2:]), dtype=np.float32)
    calls: list[tuple[Any, ...]] = []
    for band, into in zip(stack, out, strict=True):
        seen = np.broadcast_to(np.bool_(True), band.shape) if clear is None else clear
        for part, here, target in strips_of(band, seen, into):
            calls.append((part, None if clear is None else here, target))

    def kernel(part: Stack, seen: NDArray[np.bool_] | None, target: NDArray[np.float32]) -> None:
        median_of_looks(part, seen, out=target)

    run = kernel_in_threads(kernel, calls)

    def into_out() -> Stack:
        run()
        return out

    return into_out


def public(stack: Stack, clear: NDArray[np.bool_]) -> Callable[[], Stack]:
    """``composite(method="median")`` of a lazy cube."""
    cube, seen = lazy_cube(stack, clear)
    names = list(cube.data_vars)
    compute = in_dask_threads(
        lambda: composite(cube, seen, bands=names, method="median", min_looks=1)
    )
    return lambda: compute().data


def lazy_cube(stack: Stack, clear: NDArray[np.bool_]) -> tuple[xr.Dataset, xr.DataArray]:
    """Bands and clear looks in chunks, the whole time axis in each."""
    days = np.arange(len(clear)).astype("datetime64[D]").astype("datetime64[ns]")
    coords = {"time": days, **{d: np.arange(float(stack.shape[-1])) for d in ("y", "x")}}
    dims = ("time", "y", "x")
    arrays = {f"band_{number}": (dims, band) for number, band in enumerate(stack)}
    cube = xr.Dataset(arrays | {"clear": (dims, clear)}, coords=coords)
    cube = cube.chunk({"time": -1, "y": CHUNK_PX, "x": CHUNK_PX})
    return cube.drop_vars("clear"), cube["clear"]


def with_bottleneck(stack: Stack, clear: NDArray[np.bool_]) -> Callable[[], Stack]:
    """Bands in two threads, each blanked and reduced."""

    def run() -> Stack:
        import bottleneck

        out = np.empty((len(stack), *stack.shape[2:]), dtype=np.float32)

        def one(number: int) -> None:
            looks = np.where(clear, stack[number], np.float32(np.nan)).astype("f4", copy=False)
            out[number] = bottleneck.nanmedian(looks, axis=0)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, range(len(stack))))
        return out

    return run


def with_numpy(stack: Stack, clear: NDArray[np.bool_], rows: int) -> Callable[[], Stack]:
    """One thread, part of the rows."""

    def run() -> Stack:
        looks = np.where(clear[:, :rows], stack[:, :, :rows], np.float32(np.nan))
        with np.errstate(all="ignore"):
            return np.nanmedian(looks.astype("f4", copy=False), axis=1)

    return run


def with_xarray(stack: Stack, clear: NDArray[np.bool_], rows: int) -> Callable[[], Stack]:
    """The reduction that xarray gives, bands as chunks, part of the rows."""
    dims = ("band", "time", "y", "x")
    part = xr.DataArray(stack[:, :, :rows], dims=dims).chunk({"band": 1})
    seen = xr.DataArray(clear[:, :rows], dims=dims[1:])
    compute = in_dask_threads(lambda: part.where(seen).astype("f4").median("time"))
    return lambda: compute().data.astype("f4")


def lines(*, quick: bool = False) -> list[Line]:
    """Counts against the peers, then reflectance with a mask."""
    edge_px = 512 if quick else EDGE_PX
    counts, clear = make_counts(edge_px)
    found = _race("uint16", counts, clear, bare(counts, None), quick=quick)
    reflectance = counts * np.float32(1e-4)
    del counts
    return found + _race(
        "float32 + mask", reflectance, clear, bare(reflectance, clear), quick=quick
    )


def _race(
    title: str, stack: Stack, clear: NDArray[np.bool_], kernel: Callable[[], Stack], *, quick: bool
) -> list[Line]:
    units = stack[:, 0].size
    rows = max(1, stack.shape[2] // SLOW_SHARE)
    few = units * rows // stack.shape[2]
    peers: Sequence[Entrant] = [
        Entrant(BOTTLENECK, with_bottleneck(stack, clear)),
        Entrant(XARRAY, with_xarray(stack, clear, rows), units=few),
        Entrant(NUMPY, with_numpy(stack, clear, rows), units=few),
        copy_entrant(stack),
    ]
    ours = [
        Entrant(f"kernel, {title} (2)", kernel),
        Entrant(f"composite(), {title} (2)", public(stack, clear)),
    ]
    stage = f"{STAGE}, T={DATES}, {BANDS} bands"
    return race(
        stage, ours, peers, units=units, unit="px.band", agreement=exactly, goals=GOALS,
        quick=quick,
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    print(markdown(lines(quick="--quick" in arguments)))
