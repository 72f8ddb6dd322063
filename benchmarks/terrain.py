"""Slope, aspect and hillshade, on metres and on degrees: kernels, and the public way in dask."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from scipy.ndimage import gaussian_filter

from benchmarks.race import (
    COPY,
    STRIPS,
    Disagreement,
    Entrant,
    Goal,
    Line,
    copy_entrant,
    in_dask_threads,
    kernel_in_threads,
    markdown,
    race,
)
from rs_monitor.grid import row_spacing_m
from rs_monitor.kernels.terrain import slope_aspect_hillshade, slope_deg
from rs_monitor.maps.terrain import slope, slope_aspect_and_hillshade

STAGE = "terrain"
EDGE_PX = {False: 4096, True: 768}
CHUNK_PX = {False: 2048, True: 256}
PIXEL_M = 10.0
XARRAY_SPATIAL = "xarray-spatial, numpy (1)"
PUBLIC, KERNEL = "public, dask (2)", "kernel, given array (2)"
SUN = {"sun_azimuth_deg": 225.0, "sun_elevation_deg": 25.0}
"""Of xarray-spatial's own default."""

GOALS = [Goal(XARRAY_SPATIAL, 10.0), Goal(COPY, 0.3)]
GOALS_OF_THREE = [Goal(XARRAY_SPATIAL, 15.0)]
AS_ON_METRES = 0.9


class Ground(NamedTuple):
    """One DEM: a plain array, and in contiguous blocks as a loader leaves them."""

    dem: NDArray[np.float32]
    lazy: xr.DataArray
    metres: GeoBox
    degrees: GeoBox


def ground(*, quick: bool) -> Ground:
    edge = EDGE_PX[quick]
    noise = np.random.default_rng(3).standard_normal((edge, edge), np.float32)
    dem = 900 + 4000 * gaussian_filter(noise, 12) + 30 * gaussian_filter(noise, 2)
    metres = GeoBox(dem.shape, Affine(PIXEL_M, 0, 5e5, 0, -PIXEL_M, 35e5), "EPSG:32650")
    degrees = GeoBox(dem.shape, Affine(1 / 3600, 0, 116, 0, -1 / 3600, 46), "EPSG:4326")
    blocks = da.from_array(dem, chunks=CHUNK_PX[quick]).map_blocks(np.ascontiguousarray).persist()
    coords = xr_coords(metres, dims=("y", "x"))
    return Ground(dem, xr.DataArray(blocks, dims=("y", "x"), coords=coords), metres, degrees)


def in_rows(kernel: Callable[..., Any], out: NDArray[np.float32]) -> Callable[[], Any]:
    """A kernel over strips of rows in two threads, into an array that is there already."""
    edges = np.linspace(0, out.shape[-2], STRIPS + 1).astype(int).tolist()
    run = kernel_in_threads(lambda *rows: kernel(out=out, rows=rows), list(pairwise(edges)))

    def filled() -> NDArray[np.float32]:
        run()
        return out

    return filled


def close_slopes(ours: Any, peer: Any) -> str:
    worst = float(np.nanmax(np.abs(np.asarray(ours) - np.asarray(peer))))
    if not worst <= 1e-3 or np.isnan(ours).sum() != np.isnan(peer).sum():
        raise Disagreement(f"slopes differ by up to {worst:g} degrees, or in their gaps")
    return f"max {worst:.0e} deg"


def close_three(ours: Any, peer: tuple[Any, ...]) -> str:
    """Slope and aspect; the peer's hillshade takes pixels for metres and another gradient."""
    steep, facing = (np.asarray(layer) for layer in three_of(ours)[:2])
    text = close_slopes(steep, peer[0])
    off = np.abs(facing - np.asarray(peer[1]))[steep > 2]
    worst = float(np.minimum(off, 360 - off).max())
    # on 1,000 m its float32 sums turn gentle slopes
    if not worst <= 0.05:
        raise Disagreement(f"aspects differ by up to {worst:g} degrees")
    return f"{text}, aspect {worst:.0e} above 2 deg; its hillshade is another formula"


def three_of(result: Any) -> tuple[Any, ...]:
    return tuple(result.data_vars.values()) if isinstance(result, xr.Dataset) else tuple(result)


def spatial(ground: Ground, *names: str) -> Any:
    import xrspatial

    dem = xr.DataArray(ground.dem, dims=("y", "x"), coords=ground.lazy.coords)
    found = tuple(getattr(xrspatial, name)(dem).data for name in names)
    return found if len(found) > 1 else found[0]


def slopes(ground: Ground, *, quick: bool) -> list[Line]:
    kernel = partial(slope_deg, ground.dem, PIXEL_M, PIXEL_M)
    ours = [
        Entrant(KERNEL, in_rows(kernel, np.empty_like(ground.dem))),
        Entrant(PUBLIC, in_dask_threads(lambda: slope(ground.lazy, ground.metres), joined=False)),
    ]
    peers = [Entrant(XARRAY_SPATIAL, lambda: spatial(ground, "slope")), copy_entrant(ground.dem)]
    return race(
        "slope",
        ours,
        peers,
        units=ground.dem.size,
        agreement=close_slopes,
        goals=GOALS,
        quick=quick,
    )


def all_three(ground: Ground, *, quick: bool) -> list[Line]:
    def public() -> xr.Dataset:
        return slope_aspect_and_hillshade(ground.lazy, ground.metres, **SUN)

    kernel = partial(slope_aspect_hillshade, ground.dem, PIXEL_M, PIXEL_M, **SUN)
    ours = [
        Entrant(KERNEL, in_rows(kernel, np.empty((3, *ground.dem.shape), np.float32))),
        Entrant(PUBLIC, in_dask_threads(public, joined=False)),
    ]
    peers = [Entrant(XARRAY_SPATIAL, lambda: spatial(ground, "slope", "aspect", "hillshade"))]
    return race(
        "slope, aspect, hillshade",
        ours,
        peers,
        units=ground.dem.size,
        agreement=close_three,
        goals=GOALS_OF_THREE,
        quick=quick,
    )


def on_degrees(ground: Ground, *, quick: bool) -> list[Line]:
    """The cost of metres that differ from row to row; numbers are those of the tests."""
    plain = partial(slope_deg, ground.dem, PIXEL_M, PIXEL_M)
    per_row = partial(slope_deg, ground.dem, *row_spacing_m(ground.degrees))
    pairs = {
        KERNEL: [in_rows(kernel, np.empty_like(ground.dem)) for kernel in (per_row, plain)],
        PUBLIC: [
            in_dask_threads(partial(slope, ground.lazy, grid), joined=False)
            for grid in (ground.degrees, ground.metres)
        ],
    }
    lines = []
    for name, (degrees, metres) in pairs.items():
        peer = Entrant(f"{name}, on metres", metres, compared=False)
        lines += race(
            "slope on degrees",
            [Entrant(name, degrees)],
            [peer],
            units=ground.dem.size,
            agreement=close_slopes,
            goals=[Goal(peer.name, AS_ON_METRES)],
            quick=quick,
        )
    return lines


def lines(*, quick: bool) -> list[Line]:
    made = ground(quick=quick)
    return [line for stage in (slopes, all_three, on_degrees) for line in stage(made, quick=quick)]


def main(arguments: Sequence[str]) -> int:
    print(markdown(lines(quick="--quick" in arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
