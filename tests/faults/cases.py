"""The faults of the table: how each is injected and how it must end."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from rasterio.enums import Resampling
from shapely.geometry import MultiPolygon, box, mapping

from tests.faults.small_job import (
    BANDS,
    CRS,
    DAYS,
    EDGE_PX,
    LEFT,
    LOST,
    PIXEL_M,
    TOP,
    SmallJob,
    item,
    start_server,
    stop_server,
)

HEALED, LEFT_OUT, REFUSED, ERROR = "healed", "left out", "refused", "error"
CHOSEN, TWICE = "chosen", "newest"
NEIGHBOUR = "EPSG:32651"
EAST, EAST_LEFT = "EPSG:32660", 783_000.0
"""UTM zone 60 where the scenes lie across 180 degrees."""


@dataclass
class Arranged:
    """What a case prepared: items for the catalogue, keys of the job, something to end."""

    items: list[dict[str, Any]]
    overrides: dict[str, Any] = field(default_factory=dict)
    end: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes
    ----------
    name : str
        The fault in the issue's words.
    how : str
        How it is injected.
    arrange : callable
    ends : str
        healed: like a clean run; left out: like a run without the scene, which is named as failed;
        refused: the same, named before anything is read; chosen: nothing is lost; newest: like a
        clean run, the older version is named; error: no run.
    says : str
        Regular expression of the record or message.
    options : dict
        GDAL options instead of the quick ones.
    """

    name: str
    how: str
    arrange: Callable[[SmallJob], Arranged]
    ends: Literal["healed", "left out", "refused", "error", "chosen", "newest"]
    says: str
    options: dict[str, Any] = field(default_factory=dict)


def reached_through(kind: str) -> Callable[[SmallJob], Arranged]:
    """One scene's files are reached through a fault of the server."""
    return lambda job: Arranged(job.items({LOST: kind}))


def spoilt(job: SmallJob, spoil: Callable[[Path], None], kind: str = "files") -> Arranged:
    """One scene's files are copies that something was done to."""
    folder = job.folder / f"{job.new_case()}_spoilt"
    shutil.copytree(job.folder / "scenes", folder)
    for band in BANDS:
        spoil(folder / f"{LOST}_{band}.tif")
    return Arranged(replaced(job.items({}), item(LOST, f"{job.url}/{kind}/{folder.name}")))


def truncate(path: Path) -> None:
    """Take away the last third of a file; its header stays."""
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size * 2 // 3)


def damage_tile(path: Path) -> None:
    """Flip the first bytes of the tile in the last row and column."""
    with rasterio.open(path) as source:
        last = EDGE_PX // source.block_shapes[0][0] - 1
        offset = int(source.get_tag_item(f"BLOCK_OFFSET_{last}_{last}", "TIFF", bidx=1))
    content = np.fromfile(path, dtype="uint8")
    content[offset : offset + 64] ^= 0xFF
    content.tofile(path)


def pad(path: Path) -> None:
    """Make a file too large to be fetched whole by a client that asked for a range."""
    with path.open("ab") as stream:
        stream.write(bytes(2_000_000))


def gone_and_back(job: SmallJob) -> Arranged:
    """The files' own server dies before the first read and returns a moment later."""
    server = start_server(job.folder)
    port = int(server.stdout.readline())
    stop_server(server)
    items = [moved(raw, f":{job.port}/", f":{port}/") for raw in job.items({})]
    later = start_server(job.folder, port, 0.6)
    return Arranged(items, end=lambda: stop_server(later))


def without_band(job: SmallJob) -> Arranged:
    """One scene was delivered without its near infrared."""
    items = job.items({})
    del by_id(items)["assets"]["nir"]
    return Arranged(items)


def without_projection(job: SmallJob) -> Arranged:
    """One item does not say where its pixels lie."""
    items = job.items({})
    properties = by_id(items)["properties"]
    for key in [key for key in properties if key.startswith("proj:")]:
        del properties[key]
    return Arranged(items)


def mixed_zones(job: SmallJob) -> Arranged:
    """One scene comes in the neighbouring UTM zone; the zone layer names the grid."""
    case = job.new_case()
    folder = job.folder / f"{case}_zone51"
    folder.mkdir()
    grid = {band: warp_to_neighbour(job, folder, band) for band in BANDS}[BANDS[0]]
    raw = item(LOST, f"{job.url}/files/{folder.name}")
    raw["properties"] |= {"proj:code": NEIGHBOUR, **grid}
    return Arranged(replaced(job.items({}), raw), zone_layer(job, case, CRS))


def mixed_zones_unnamed(job: SmallJob) -> Arranged:
    """The same without a zone layer: nothing says which grid is meant."""
    return Arranged(mixed_zones(job).items)


def over_the_antimeridian(job: SmallJob) -> Arranged:
    """The same scenes at 180 degrees, with footprints split there, and a zone across it."""
    case = job.new_case()
    folder = job.folder / f"{case}_180"
    folder.mkdir()
    for path in sorted((job.folder / "scenes").glob("*.tif")):
        with rasterio.open(path) as source:
            profile, values = source.profile, source.read()
        profile |= {"crs": EAST, "transform": Affine(PIXEL_M, 0, EAST_LEFT, 0, -PIXEL_M, TOP)}
        with rasterio.open(folder / path.name, "w", **profile) as target:
            target.write(values)
    items = [at_180(item(scene, f"{job.url}/files/{folder.name}")) for scene in DAYS]
    return Arranged(items, zone_layer(job, case, EAST, EAST_LEFT))


def at_180(raw: dict[str, Any]) -> dict[str, Any]:
    """The item moved to the antimeridian."""
    right, bottom = EAST_LEFT + EDGE_PX * PIXEL_M, TOP - EDGE_PX * PIXEL_M
    west, south, east, north = rasterio.warp.transform_bounds(
        EAST, "EPSG:4326", EAST_LEFT, bottom, right, TOP
    )
    halves = [box(west, south, 180, north), box(-180, south, east, north)]
    raw["geometry"] = mapping(MultiPolygon(halves))
    raw["bbox"] = [west, south, east, north]
    transform = [PIXEL_M, 0.0, EAST_LEFT, 0.0, -PIXEL_M, TOP]
    raw["properties"] |= {"proj:code": EAST, "proj:transform": transform}
    return raw


def delivered_twice(job: SmallJob) -> Arranged:
    """One acquisition a second time with an older processing, whose pixels differ."""
    items = job.items({})
    old = item(LOST, f"{job.url}/files/{job.new_case()}")
    for band in BANDS:
        old["assets"][band]["href"] = by_id(items, "b1")["assets"][band]["href"]
    by_id(items)["properties"]["s2:processing_baseline"] = "05.10"
    old["properties"]["s2:processing_baseline"] = "04.00"
    old["id"] = f"{LOST}-old"
    return Arranged([*items, old])


def nothing_found(job: SmallJob) -> Arranged:
    """A period without a scene."""
    empty = {"periods.after.start": "2030-01-01", "periods.after.end": "2030-12-31"}
    return Arranged(job.items({}), empty)


def by_id(items: list[dict[str, Any]], scene: str = LOST) -> dict[str, Any]:
    """The item of a scene."""
    return next(raw for raw in items if raw["id"] == scene)


def replaced(items: list[dict[str, Any]], raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The items with one of them in place of its namesake."""
    return [raw if held["id"] == raw["id"] else held for held in items]


def moved(raw: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The item with its files at another address."""
    other = copy.deepcopy(raw)
    for asset in other["assets"].values():
        asset["href"] = asset["href"].replace(old, new)
    return other


def zone_layer(job: SmallJob, case: str, crs: str, left: float = LEFT) -> dict[str, Any]:
    """Write a zone well inside the scenes; keys of the job that name it."""
    right, bottom = left + EDGE_PX * PIXEL_M, TOP - EDGE_PX * PIXEL_M
    outline = box(left + 400, bottom + 400, right - 400, TOP - 400)
    path = job.folder / f"{case}_zones.gpkg"
    frame = gpd.GeoDataFrame({"zone_id": ["z1"], "name": ["one"]}, geometry=[outline], crs=crs)
    frame.to_file(path, layer="zones", engine="pyogrio")
    return {"zones.path": str(path), "zones.layer": "zones"}


def warp_to_neighbour(job: SmallJob, folder: Any, band: str) -> dict[str, Any]:
    """Write a band of the scene in the neighbouring zone; its grid as STAC fields."""
    source_grid = Affine(PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP)
    right, bottom = LEFT + EDGE_PX * PIXEL_M, TOP - EDGE_PX * PIXEL_M
    transform, width, height = rasterio.warp.calculate_default_transform(
        CRS, NEIGHBOUR, EDGE_PX, EDGE_PX, LEFT, bottom, right, TOP, resolution=PIXEL_M
    )
    with rasterio.open(job.folder / "scenes" / f"{LOST}_{band}.tif") as source:
        values = source.read(1)
    there = np.zeros((height, width), dtype="uint16")
    rasterio.warp.reproject(
        values,
        there,
        src_transform=source_grid,
        src_crs=CRS,
        dst_transform=transform,
        dst_crs=NEIGHBOUR,
        src_nodata=0,
        dst_nodata=0,
        resampling=Resampling.nearest,
    )
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "crs": NEIGHBOUR, "nodata": 0}
    profile |= {"height": height, "width": width, "transform": transform}
    with rasterio.open(folder / f"{LOST}_{band}.tif", "w", **profile) as target:
        target.write(there, 1)
    return {"proj:shape": [height, width], "proj:transform": list(transform)[:6]}


LONG = {"GDAL_HTTP_MAX_RETRY": 6, "GDAL_HTTP_RETRY_DELAY": 0.2}

PASSES = (
    ("503 once", "first request of each file", "once", "code: 503"),
    ("time-out once", "first request of each file unanswered", "lag", "code: 0"),
    ("body cut once", "one answer of pixels cut short", "cut", "IReadBlock failed"),
)
LASTS = (
    ("503 for ever", "every request", "dead", "code: 503"),
    ("time-out for ever", "no request answered", "stall", "timed out"),
    ("body cut for ever", "every answer but the header cut", "cuts", "could not be read"),
    ("404", "every request", "status-404", "code: 404"),
    ("403", "every request", "status-403", "code: 403"),
    ("401", "every request", "status-401", "code: 401"),
)
SPOILT = (
    ("truncated file", "the last third is missing", truncate, "files", "could not be read"),
    ("corrupt tile", "head of one tile flipped", damage_tile, "files", "IReadBlock failed"),
    ("no byte ranges", "the whole large file is sent", pad, "norange", "Range downloading not"),
)


def spoiling(spoil: Callable[[Path], None], kind: str) -> Callable[[SmallJob], Arranged]:
    """One scene's files are spoilt copies."""
    return lambda job: spoilt(job, spoil, kind)


CASES = (
    *(Case(n, how, reached_through(kind), HEALED, says) for n, how, kind, says in PASSES),
    Case("server gone and back", "refused for 0.6 s", gone_and_back, HEALED, "code: 0", LONG),
    *(Case(n, how, reached_through(kind), LEFT_OUT, says) for n, how, kind, says in LASTS),
    *(Case(n, how, spoiling(f, kind), LEFT_OUT, says) for n, how, f, kind, says in SPOILT),
    Case("missing band", "item without nir", without_band, REFUSED, "lacks nir"),
    Case("no projection", "item without proj:*", without_projection, REFUSED, "proj"),
    Case("mixed UTM zones", "one scene in zone 51", mixed_zones, CHOSEN, ""),
    Case("antimeridian", "zone across 180 degrees", over_the_antimeridian, CHOSEN, ""),
    Case("acquisition twice", "older baseline too", delivered_twice, TWICE, "superseded by a2"),
    Case("mixed UTM zones, no layer", "nothing names a CRS", mixed_zones_unnamed, ERROR, "one CRS"),
    Case("empty search", "a period without scenes", nothing_found, ERROR, "no usable scene"),
)
