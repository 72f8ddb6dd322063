"""Searches and a plan over 10,000 items in a real pgstac: python -m benchmarks search_scale."""

import argparse
import copy
import datetime as dt
import json
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import rasterio.warp
from shapely.geometry import box

from rs_monitor.config.job import RunConfig
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.search import iter_items, search

SOURCE = (
    "stac_items/odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json"
)
"""A captured item of the Planetary Computer."""
COLLECTION = "many"
SIDE = 10
"""Places on a square grid; each a scene of its own."""
DATES = 100
FIRST = dt.datetime(2019, 1, 7, 21, 25, 29, 24000, tzinfo=dt.UTC)
STEP = dt.timedelta(days=15)
CRS = "EPSG:32606"
EDGE_PX, PIXEL_M = 1098, 10
SPACING_M = 12_000
CORNER = (400_000, 6_600_000)
UNREACHABLE = "http://127.0.0.1:9"
KEPT_ASSETS = ("B04", "B08", "SCL")
LETTERS = "ABCDEFGHJK"
GOAL_S = 2.0
FEW = 1000


def corner(place: int) -> tuple[int, int]:
    """Upper left corner of a place."""
    row, col = divmod(place, SIDE)
    return CORNER[0] + col * SPACING_M, CORNER[1] - row * SPACING_M


def ground(place: int) -> tuple[float, float, float, float]:
    """Bounds of a place in the CRS of the scenes."""
    left, top = corner(place)
    edge = EDGE_PX * PIXEL_M
    return left, top - edge, left + edge, top


def middle(place: int) -> tuple[float, float, float, float]:
    """Bounds in degrees inside one place."""
    left, bottom, right, top = ground(place)
    inner = (left + 3000, bottom + 3000, right - 3000, top - 3000)
    return rasterio.warp.transform_bounds(CRS, "EPSG:4326", *inner)


def many_items(captured: dict[str, Any], dates: int = DATES) -> Iterator[dict[str, Any]]:
    """A captured item at every place and date, its files out of reach."""
    for place in range(SIDE * SIDE):
        left, bottom, right, top = ground(place)
        xs, ys = [left, right, right, left, left], [top, top, bottom, bottom, top]
        lons, lats = rasterio.warp.transform(CRS, "EPSG:4326", xs, ys)
        ring = [[round(x, 7), round(y, 7)] for x, y in zip(lons, lats, strict=True)]
        tile = f"06V{LETTERS[place // SIDE]}{LETTERS[place % SIDE]}"
        placed = _placed(captured, place, tile, ring)
        for number in range(dates):
            yield _dated(placed, FIRST + number * STEP, tile, (place * 7 + number * 13) % 101)


def _placed(captured: dict[str, Any], place: int, tile: str, ring: list[Any]) -> dict[str, Any]:
    raw = copy.deepcopy(captured)
    left, top = corner(place)
    lons, lats = [x for x, _ in ring], [y for _, y in ring]
    raw["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    raw["bbox"] = [min(lons), min(lats), max(lons), max(lats)]
    raw["properties"]["s2:mgrs_tile"] = tile
    raw["links"] = []
    raw["assets"] = {key: raw["assets"][key] for key in KEPT_ASSETS}
    for asset in raw["assets"].values():
        asset.pop("proj:bbox")
        asset["proj:shape"] = [EDGE_PX, EDGE_PX]
        asset["proj:transform"] = [PIXEL_M, 0, left, 0, -PIXEL_M, top]
    return raw


def _dated(placed: dict[str, Any], when: dt.datetime, tile: str, cloud: int) -> dict[str, Any]:
    identity = f"S2B_MSIL2A_{when:%Y%m%dT%H%M%S}_R043_T{tile}_20201006T080531"
    dated = {
        "datetime": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "eo:cloud_cover": cloud,
    }
    assets = {
        key: asset | {"href": f"{UNREACHABLE}/{identity}_{key}.tif"}
        for key, asset in placed["assets"].items()
    }
    properties = placed["properties"] | dated
    return placed | {
        "id": identity,
        "collection": COLLECTION,
        "properties": properties,
        "assets": assets,
    }


def question(**changes: Any) -> dict[str, Any]:
    """Options of a search over everything."""
    asked = {
        "collections": [COLLECTION],
        "bbox": None,
        "start": FIRST.date(),
        "end": (FIRST + DATES * STEP).date(),
        "max_cloud_fraction": 1.0,
        "bands": ["red", "nir", "scl"],
    }
    return asked | changes


def write_zones(folder: Path, count: int) -> Path:
    """A layer with one zone in each of the first places."""
    shapes, names = [], []
    for place in range(count):
        left, bottom, _, _ = ground(place)
        shapes.append(box(left + 4000, bottom + 4000, left + 5000, bottom + 5000))
        names.append(f"Z{place:03d}")
    frame = gpd.GeoDataFrame({"zone_id": names, "name": names}, geometry=shapes, crs=CRS)
    path = folder / "zones.gpkg"
    frame.to_file(path)
    return path


def job(url: str, zones: Path, looks: int = DATES // 2) -> RunConfig:
    """A job over two periods of so many dates each."""
    turn = (FIRST + looks * STEP).date()
    asked = question(end=(FIRST + 2 * looks * STEP).date() - dt.timedelta(days=1))
    return RunConfig.model_validate(
        {
            "schema_version": 1,
            "name": "many",
            "catalog": {"kind": "api", "href": url, "collections": (COLLECTION,)},
            "imagery": {
                "bands": ("red", "nir"),
                "mask": "scl",
                "mask_band": "scl",
                "quantity": "reflectance",
            },
            "periods": {
                "before": {"start": asked["start"], "end": turn - dt.timedelta(days=1)},
                "after": {"start": turn, "end": asked["end"]},
            },
            "grid": {"resolution_m": 10.0},
            "zones": {"path": str(zones)},
            "change": {"method": "irmad", "threshold": "kmeans"},
        }
    )


def walk(url: str) -> None:
    """Go through all items; print their ids, and the growth of memory at 1,000 and at the end."""
    start, seen, growth = memory_kib("VmRSS"), [], []
    for item in iter_items("api", url, **question()):
        seen.append(item.id if isinstance(item, SceneItem) else f"refused {item}")
        if len(seen) == FEW:
            growth.append(memory_kib("VmHWM") - start)
    growth.append(memory_kib("VmHWM") - start)
    print(json.dumps({"ids": seen, "growth_kib": growth}))


def memory_kib(entry: str) -> int:
    """Memory of this process as the kernel counts it; VmHWM is its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(entry)).split()[1])


def walked_apart(url: str) -> dict[str, Any]:
    """What :func:`walk` prints in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.search_scale", "--walk", url]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def timed(task: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Median seconds and the last result."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = task()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), result


def measure(url: str, folder: Path, rounds: int) -> pd.DataFrame:
    """Rows of the table: what was asked, how many items, seconds, verdict."""
    from rs_monitor.pipeline.plan import make_plan

    zones = write_zones(folder, SIDE * SIDE)
    hundred, found = timed(lambda: search("api", url, **question(bbox=middle(0))), rounds)
    everything, walked = timed(lambda: walked_apart(url), 1)
    planning, plan = timed(lambda: make_plan(job(url, zones), base=folder), 1)
    looks = sum(len(zone.before) + len(zone.after) for zone in plan.zones)
    few, all_of_them = (kib / 1024 for kib in walked["growth_kib"])
    rows = [
        ("search of one place", len(found.items), hundred, _verdict(hundred)),
        ("all items, page by page", len(walked["ids"]), everything, ""),
        (f"plan of {len(plan.zones)} zones", looks, planning, ""),
    ]
    table = pd.DataFrame(rows, columns=["what", "items", "s", ""]).round({"s": 2})
    table["memory grew, MiB"] = ["", f"{few:.1f} at {FEW:,} items, {all_of_them:.1f} in all", ""]
    return table


def _verdict(seconds: float) -> str:
    return f"goal < {GOAL_S:g} s: {'ok' if seconds < GOAL_S else 'short'}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks search_scale", description=__doc__)
    parser.add_argument("--items", type=Path, help="a captured item; default: reference data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--walk", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.walk:
        walk(given.walk)
        return
    from benchmarks.demo_seeds import markdown
    from tests.conftest import shared_folder
    from tests.services import conftest as servers

    data = shared_folder()
    path = given.items or (data / SOURCE if data else None)
    programs, missing = runpy.run_path(str(servers.INSTALLER))["programs"]()
    if path is None or missing:
        print("search_scale: not measured, needs the reference data and the services")
        return
    captured = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="rs_monitor_search_") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            servers.postgres(programs, folder) as reach,
            servers.stac_server(programs, reach, folder) as api,
        ):
            loading, _ = timed(lambda: api.load(COLLECTION, many_items(captured)), 1)
            print(
                f"\n### Search of {SIDE * SIDE * DATES:,} items, pgstac loaded in {loading:.0f} s\n"
            )
            print(markdown(measure(api.url, folder, given.rounds)))


if __name__ == "__main__":
    main(sys.argv[1:])
