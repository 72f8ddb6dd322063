"""Geometric median of six bands over time, judged by what it minimises."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.median import lazy_cube
from benchmarks.race import (
    THREADS,
    Disagreement,
    Entrant,
    Goal,
    Line,
    in_dask_threads,
    kernel_in_threads,
    markdown,
    race,
    strips_of,
)
from rs_monitor.imagery.composites import composite
from rs_monitor.kernels.geomedian import geomedian

STAGE = "geomedian"

DATES = 24
BANDS = 6
EDGE_PX = 512
GAPS_FRACTION = 0.35
EPS_DN = 0.5
"""Where the peers stop, as odc-algo has it; ours stops by the gradient."""

WORSE_DN = 0.001
"""By so much the mean objective of ours may lie above that of a peer."""

GEOMAD = "geomad nangeomedian_pcm (2)"
ODC_ALGO = "odc.algo.xr_geomedian (2)"
GOALS = [Goal(GEOMAD, 4), Goal(ODC_ALGO, 5)]

Stack = NDArray[np.float32]


def make_looks(edge_px: int) -> Stack:
    """Reflectance counts (time, band, y, x) around a ground of their own; NaN in all bands."""
    rng = np.random.default_rng(7)
    ground = rng.uniform(300, 4000, (1, BANDS, edge_px, edge_px)).astype(np.float32)
    shape = (DATES, BANDS, edge_px, edge_px)
    looks = ground + 150 * rng.standard_normal(shape, dtype=np.float32)
    cloudy = rng.random((DATES, 1, edge_px, edge_px)) < 0.1
    looks += np.where(cloudy, rng.uniform(500, 5000, cloudy.shape), 0).astype(np.float32)
    hidden = rng.random(cloudy.shape) < GAPS_FRACTION
    looks[np.broadcast_to(hidden, shape)] = np.nan
    return looks


def objective(looks: Stack, image: Stack) -> NDArray[np.float64]:
    """Mean distance of an image (band, y, x) to the looks."""
    total = np.zeros(image.shape[1:])
    for look in looks:
        total += np.nan_to_num(np.sqrt(np.square(look.astype("f8") - image).sum(axis=0)))
    return total / np.maximum(np.isfinite(looks[:, 0]).sum(axis=0), 1)


def no_worse(looks: Stack) -> Callable[[Any, Any], str]:
    """Agreement: the minimiser of one or two looks is not unique, so the objective decides."""

    def compare(ours: Stack, peer: Stack) -> str:
        if not np.array_equal(np.isnan(ours), np.isnan(peer)):
            raise Disagreement("NaN in other places")
        gap = objective(looks, ours) - objective(looks, peer)
        text = f"excess {np.nanmean(gap):+.4f} DN, p99 {np.nanpercentile(gap, 99):+.4f}"
        if np.nanmean(gap) > WORSE_DN:
            raise Disagreement(text)
        return text

    return compare


def bare(looks: Stack) -> Callable[[], Stack]:
    calls = list(strips_of(looks))
    run = kernel_in_threads(geomedian, calls)
    return lambda: np.concatenate(run(), axis=1)


def public(looks: Stack, chunk_px: int) -> Callable[[], Stack]:
    clear = np.isfinite(looks[:, 0])
    cube, seen = lazy_cube(np.ascontiguousarray(looks.transpose(1, 0, 2, 3)), clear)
    sizes = {"y": chunk_px, "x": chunk_px}
    cube, seen = cube.chunk(sizes), seen.chunk(sizes)
    names = list(cube.data_vars)
    compute = in_dask_threads(
        lambda: composite(cube, seen, bands=names, method="geomedian", min_looks=1)
    )
    return lambda: compute().data


def with_geomad(looks: Stack) -> Callable[[], Stack]:
    """Given its own order of dimensions beforehand."""
    turned = np.ascontiguousarray(looks.transpose(2, 3, 1, 0))

    def run() -> Stack:
        from geomad import nangeomedian_pcm

        found = nangeomedian_pcm(
            turned, eps=EPS_DN, maxiters=1000, nodata=np.nan, num_threads=THREADS
        )
        found = found[0] if isinstance(found, tuple) else found
        return found.transpose(2, 0, 1)

    return run


def with_odc_algo(looks: Stack, chunk_px: int) -> Callable[[], Stack]:
    dims = ("time", "y", "x")
    bands = {f"band_{b}": (dims, looks[:, b]) for b in range(BANDS)}
    cube = xr.Dataset(bands).chunk({"time": -1, "y": chunk_px, "x": chunk_px})

    def run() -> Stack:
        from odc.algo import xr_geomedian

        def make() -> xr.Dataset:
            return xr_geomedian(cube, eps=EPS_DN, maxiters=1000, num_threads=1)

        found = in_dask_threads(make)()
        return np.stack([found[name].values for name in bands])

    return run


def lines(*, quick: bool = False) -> list[Line]:
    edge_px = 192 if quick else EDGE_PX
    looks = make_looks(edge_px)
    first = public(looks, edge_px // 2)
    if not np.array_equal(bare(looks)(), first(), equal_nan=True):
        raise Disagreement("strips and chunks give another geomedian")
    ours = [
        Entrant("kernel in strips (2)", bare(looks)),
        Entrant("composite(), other chunks, equal (2)", first),
    ]
    peers = [
        Entrant(GEOMAD, with_geomad(looks)),
        Entrant(ODC_ALGO, with_odc_algo(looks, edge_px // 2)),
    ]
    return race(
        f"{STAGE}, T={DATES}, {BANDS} bands", ours, peers, units=edge_px**2,
        agreement=no_worse(looks), goals=GOALS, quick=quick,
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    print(markdown(lines(quick="--quick" in arguments)))
