"""Reading a stack on its own grid: our lazy cube against rasterio with one file per thread."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import dask
import numpy as np
import pandas as pd
import rasterio
import rasterio.warp
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter

from benchmarks import race as racing
from benchmarks.tables import markdown
from rs_monitor.imagery.catalog import SceneItem, normalise_item
from rs_monitor.imagery.load import load_cube

STAGE = "reading"
THREADS = 2
DATES = 6
BANDS = ("blue", "green", "red", "nir")
MASK = "scl"
EDGE_PX = 2048
TILE_PX = 512
CRS = "EPSG:32650"
CORNER = (500000.0, 3500000.0)
GOALS = {"rasterio": 0.9, "odc-stac": 1.5}
"""Least rate relative to a peer: docs/performance.md of the study, stage 1."""

Cube = dict[str, NDArray[Any]]
Reader = Callable[[Sequence[SceneItem], GeoBox], Cube]


def write_stack(folder: Path, edge_px: int, dates: int, seed: int = 1) -> list[SceneItem]:
    """COGs of one grid, deflate with predictor 2, and their items."""
    rng = np.random.default_rng(seed)
    # smooth ground with sensor noise: deflate reaches about the ratio it has on real scenes
    ground = gaussian_filter(rng.normal(size=(edge_px, edge_px)), 3) * 9000 + 2500
    items = []
    for date in range(dates):
        assets = {}
        for number, band in enumerate(BANDS):
            noise = rng.normal(0, 60, ground.shape)
            dn = np.clip(ground * (0.6 + 0.15 * number) + 30 * date + noise, 0, 65535)
            assets[band] = _write(folder / f"{date}_{band}.tif", dn.astype("uint16"))
        codes = (gaussian_filter(rng.normal(size=ground.shape), 12) * 60 + 5).clip(0, 11)
        assets[MASK] = _write(folder / f"{date}_{MASK}.tif", codes.astype("uint8"))
        items.append(item_of(f"scene-{date}", date, edge_px, assets))
    return items


def _write(path: Path, data: NDArray[Any]) -> Path:
    profile = {"driver": "COG", "compress": "deflate", "predictor": 2, "blocksize": TILE_PX}
    with rasterio.open(
        path,
        "w",
        **profile,
        overviews="none",
        count=1,
        dtype=data.dtype,
        nodata=0,
        height=data.shape[0],
        width=data.shape[1],
        crs=CRS,
        transform=transform(),
    ) as target:
        target.write(data, 1)
    return path


def transform() -> Affine:
    """Grid of every file."""
    return Affine(10, 0, CORNER[0], 0, -10, CORNER[1])


def item_of(identity: str, date: int, edge_px: int, assets: dict[str, Path]) -> SceneItem:
    """Item of one date; its bands are files of the same grid."""
    left, top = CORNER
    side = 10.0 * edge_px
    box = rasterio.warp.transform_bounds(CRS, "EPSG:4326", left, top - side, left + side, top)
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    kinds = {name: "uint8" if name == MASK else "uint16" for name in assets}
    return normalise_item(
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": identity,
            "collection": "scenes",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": list(box),
            "properties": {
                "datetime": f"2024-05-{date + 1:02d}T02:50:00Z",
                "platform": "sentinel-2a",
                "proj:code": CRS,
                "proj:shape": [edge_px, edge_px],
                "proj:transform": list(transform())[:6],
            },
            "links": [],
            "assets": {
                name: {
                    "href": str(path),
                    "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                    "roles": ["data"],
                    "bands": [
                        {
                            "name": name,
                            "eo:common_name": name,
                            "data_type": kinds[name],
                            "nodata": 0,
                            "raster:scale": 1.0 if name == MASK else 1e-4,
                        }
                    ],
                }
                for name, path in assets.items()
            },
        }
    )


def ours(chunk_px: int, *, joined: bool) -> Reader:
    """Our lazy cube in dask threads: left in chunks, as a job reads it, or joined at the end."""

    def read(items: Sequence[SceneItem], geobox: GeoBox) -> Cube:
        cube = load_cube(items, geobox=geobox, bands=[*BANDS, MASK], chunk_px=chunk_px)
        with dask.config.set(scheduler="threads", num_workers=THREADS):
            (loaded,) = dask.compute(cube) if joined else dask.persist(cube)
        return {name: loaded[name].data for name in (*BANDS, MASK)}

    return read


def rasterio_threads(items: Sequence[SceneItem], geobox: GeoBox) -> Cube:
    """The strongest simple peer: one whole file per thread, into arrays that are there already."""
    shape = (len(items), *geobox.shape)
    out = {name: np.empty(shape, "uint8" if name == MASK else "uint16") for name in (*BANDS, MASK)}

    def one(job: tuple[int, str]) -> None:
        date, name = job
        with rasterio.open(items[date].bands[name].href) as dataset:
            dataset.read(1, out=out[name][date])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, [(date, name) for date in range(len(items)) for name in out]))
    return out


def odc_stac_eager() -> Reader | None:
    """odc-stac with as many readers, where it is installed."""
    try:
        from odc.stac import load
    except ImportError:
        return None

    def read(items: Sequence[SceneItem], geobox: GeoBox) -> Cube:
        raw = [_pystac(item) for item in items]
        cube = load(raw, bands=[*BANDS, MASK], geobox=geobox, pool=THREADS, groupby="time")
        return {name: cube[name].values for name in (*BANDS, MASK)}

    return read


def _pystac(item: SceneItem) -> Any:
    import pystac

    found = pystac.Item(
        item.id,
        item.footprint,
        None,
        item.datetime,
        {
            "proj:code": item.crs,
            "proj:shape": list(item.shape),
            "proj:transform": list(item.transform),
        },
        stac_extensions=["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
    )
    for name, band in item.bands.items():
        asset = pystac.Asset(band.href, media_type=pystac.MediaType.COG, roles=["data"])
        asset.extra_fields["raster:bands"] = [{"data_type": band.dtype, "nodata": band.nodata}]
        found.add_asset(name, asset)
    return found


def warps(items: Sequence[SceneItem], geobox: GeoBox) -> int:
    """Number of warps during one load."""
    with mock.patch.object(rasterio.warp, "reproject", wraps=rasterio.warp.reproject) as spy:
        ours(1024, joined=True)(items, geobox)
    return int(spy.call_count)


class Taken(NamedTuple):
    """Seconds of one reading; on a busy machine only those of the CPU mean much."""

    wall: float
    cpu: float


def compare(
    readers: dict[str, Reader], items: Sequence[SceneItem], geobox: GeoBox, rounds: int
) -> dict[str, list[Taken]]:
    """Time readers that agree: rounds there and back again, so that drift hits all alike."""
    first, *others = (read(items, geobox) for read in readers.values())
    for name, other in zip(list(readers)[1:], others, strict=True):
        for band, values in first.items():
            if not np.array_equal(np.asarray(values), np.asarray(other[band])):
                raise SystemExit(f"{name} disagrees in {band}")
    del first, others
    taken: dict[str, list[Taken]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name in [*readers, *reversed(readers)]:
            wall, cpu = time.perf_counter(), time.process_time()
            readers[name](items, geobox)
            taken[name].append(Taken(time.perf_counter() - wall, time.process_time() - cpu))
    return taken


def table(taken: dict[str, list[Taken]], peer: str, goals: dict[str, float]) -> pd.DataFrame:
    """Each row a rate relative to the peer: the median of the paired ratios."""
    rows = []
    for name, own in taken.items():
        pairs = list(zip(own, taken[peer], strict=True))
        ratio = statistics.median(other.wall / one.wall for one, other in pairs)
        work = statistics.median(other.cpu / one.cpu for one, other in pairs)
        goal = goals.get(name)
        verdict = "" if goal is None else "ok" if ratio >= goal else "short"
        rows.append(
            {
                "reader": name,
                f"rate / {peer}": round(ratio, 2),
                "goal": "" if goal is None else f">= {goal:.2f}",
                "": verdict,
                "same per CPU second": round(work, 2),
                "s": round(statistics.median(one.wall for one in own), 2),
            }
        )
    return pd.DataFrame(rows)


def equal_cubes(ours: Cube, peer: Cube) -> str:
    """Agreement: every band bit for bit."""
    for band, values in peer.items():
        if not np.array_equal(np.asarray(ours[band]), np.asarray(values)):
            raise racing.Disagreement(f"{band} differs")
    return "equal"


def lines(*, quick: bool = False) -> list[racing.Line]:
    """Our cube in chunks beside rasterio and odc-stac with as many threads.

    Joining the chunks to one array is one more copy into fresh pages; a job never does it.
    """
    edge_px, dates = (1024, 2) if quick else (EDGE_PX, DATES)
    geobox = GeoBox((edge_px, edge_px), transform(), CRS)
    with tempfile.TemporaryDirectory() as folder:
        items = write_stack(Path(folder), edge_px, dates)

        def entrant(name: str, reader: Reader) -> racing.Entrant:
            return racing.Entrant(name, lambda: reader(items, geobox))

        def eager() -> Cube:
            reader = odc_stac_eager()
            if reader is None:
                raise ModuleNotFoundError("odc-stac")
            return reader(items, geobox)

        threads, odc = "rasterio, one file per thread (2)", "odc-stac, eager (2)"
        return racing.race(
            f"{STAGE}, {dates} dates x {len(BANDS)} bands + mask",
            [entrant("load_cube, chunks of 2048 (2)", ours(2048, joined=False))],
            [entrant(threads, rasterio_threads), racing.Entrant(odc, eager)],
            units=edge_px**2 * dates * (len(BANDS) + 1),
            unit="sample",
            agreement=equal_cubes,
            goals=[
                racing.Goal(threads, GOALS["rasterio"]),
                racing.Goal(odc, GOALS["odc-stac"]),
            ],
            quick=quick,
        )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks reading", description=__doc__)
    parser.add_argument("--edge-px", type=int, default=EDGE_PX)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    geobox = GeoBox((given.edge_px, given.edge_px), transform(), CRS)
    peer = "rasterio, one file per thread"
    readers: dict[str, Reader] = {
        peer: rasterio_threads,
        "ours, chunks of 2048": ours(2048, joined=False),
        "ours, chunks of 1024": ours(1024, joined=False),
        "ours, chunks of 2048, joined to one array": ours(2048, joined=True),
    }
    eager = odc_stac_eager()
    if eager is not None:
        readers["odc-stac, eager"] = eager
    with tempfile.TemporaryDirectory() as folder:
        items = write_stack(Path(folder), given.edge_px, DATES)
        stored = sum(path.stat().st_size for path in Path(folder).glob("*.tif"))
        whole = given.edge_px**2 * DATES * (2 * len(BANDS) + 1)
        taken = compare(readers, items, geobox, given.rounds)
        warped = warps(items, geobox)
    goals = {name: GOALS["rasterio"] for name in readers if name.startswith("ours")}
    print(
        f"\n### Reading on the same grid: {DATES} dates x {len(BANDS)} bands + mask, "
        f"{given.edge_px} px, deflate {whole / stored:.2f}:1, {THREADS} threads\n"
    )
    print(markdown(table(taken, peer, goals)))
    if eager is None:
        print("\nodc-stac is not installed: not compared.")
    else:
        print()
        print(markdown(table(taken, "odc-stac, eager", dict.fromkeys(goals, GOALS["odc-stac"]))))
    print(f"\nwarps during a load on the sources' own grid: {warped}")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
