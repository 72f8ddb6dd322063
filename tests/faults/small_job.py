"""A job of six small scenes behind a web server with planned faults: quick, and real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.config.job import parse_config
from rs_monitor.imagery import pixels, stac_api
from rs_monitor.pipeline.plan import make_plan
from rs_monitor.pipeline.run import Run, run

SERVER = Path(__file__).parents[1] / "imagery" / "fault_server.py"
CRS = "EPSG:32650"
LEFT, TOP, PIXEL_M, EDGE_PX = 500000.0, 3500000.0, 10.0, 256
BANDS = ("red", "nir", "swir16")
DAYS = {
    "b1": "2023-05-01",
    "b2": "2023-06-10",
    "b3": "2023-07-20",
    "a1": "2024-05-02",
    "a2": "2024-06-12",
    "a3": "2024-07-22",
}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOST = "a2"
"""The scene whose files meet the fault."""

QUICK = {"GDAL_HTTP_MAX_RETRY": 1, "GDAL_HTTP_RETRY_DELAY": 0.01, "GDAL_HTTP_TIMEOUT": 0.5}


def job_table(url: str) -> dict[str, Any]:
    """The job, as its TOML file would give it."""
    return {
        "schema_version": 1,
        "name": "small",
        "catalog": {"kind": "api", "href": f"{url}/stac"},
        "imagery": {"bands": list(BANDS), "mask": "none", "quantity": "dn"},
        "periods": {
            "before": {"start": "2023-01-01", "end": "2023-12-31"},
            "after": {"start": "2024-01-01", "end": "2024-12-31"},
        },
        "grid": {"resolution_m": PIXEL_M, "block_px": 128},
        "change": {"method": "irmad", "threshold": "kmeans"},
        "rules": {"detection": "detection-two-dates"},
    }


def scene_pixels(number: int, after: bool) -> np.ndarray:
    """Three bands of one date: common ground, its own noise, a changed square later on."""
    ground = np.random.default_rng(5).normal(0, 1, (3, EDGE_PX, EDGE_PX))
    values = 3000 + 600 * ground
    values += np.random.default_rng(100 + number).normal(0, 40, values.shape)
    if after:
        values[:, 30:60, 40:80] += np.array([2500, -1500, 1800])[:, None, None]
    return values.clip(1, 60000).astype("uint16")


def write_scenes(folder: Path) -> None:
    """Write one file per date and band."""
    folder.mkdir(parents=True)
    transform = Affine(PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "crs": CRS, "nodata": 0}
    profile |= {"height": EDGE_PX, "width": EDGE_PX, "transform": transform, "tiled": True}
    profile |= {"blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    for number, scene in enumerate(DAYS):
        for band, values in zip(BANDS, scene_pixels(number, scene[0] == "a"), strict=True):
            with rasterio.open(folder / f"{scene}_{band}.tif", "w", **profile) as target:
                target.write(values, 1)


def item(scene: str, address: str) -> dict[str, Any]:
    """STAC 1.1 item of a scene whose files lie below an address."""
    right, bottom = LEFT + EDGE_PX * PIXEL_M, TOP - EDGE_PX * PIXEL_M
    bbox = rasterio.warp.transform_bounds(CRS, "EPSG:4326", LEFT, bottom, right, TOP)
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": scene,
        "collection": "scenes",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": list(bbox),
        "properties": {
            "datetime": f"{DAYS[scene]}T02:50:00Z",
            "platform": "sentinel-2a",
            "eo:cloud_cover": 0.0,
            "proj:code": CRS,
            "proj:shape": [EDGE_PX, EDGE_PX],
            "proj:transform": [PIXEL_M, 0.0, LEFT, 0.0, -PIXEL_M, TOP],
        },
        "links": [],
        "assets": {
            band: {
                "href": f"{address}/{scene}_{band}.tif?token=hunter2",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
                "bands": [{"name": band, "data_type": "uint16", "nodata": 0}],
            }
            for band in BANDS
        },
    }


def start_server(folder: Path, port: int = 0, delay_s: float = 0.0) -> subprocess.Popen[str]:
    """Start the faulty server in a process of its own; a thread would deadlock with GDAL."""
    command = [sys.executable, str(SERVER), str(folder), str(port), str(delay_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def stop_server(process: subprocess.Popen[str]) -> None:
    """End a server started here."""
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@dataclass
class SmallJob:
    """The job, its server, and a way to run it with faults."""

    folder: Path
    server: subprocess.Popen[str]
    port: int
    cases: int = 0

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def geobox(self) -> GeoBox:
        """Grid of the scenes."""
        return GeoBox((EDGE_PX, EDGE_PX), Affine(PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP), CRS)

    def new_case(self) -> str:
        """Name of a fresh copy of the files: GDAL and the server remember addresses."""
        self.cases += 1
        name = f"case{self.cases}"
        (self.folder / name).symlink_to(self.folder / "scenes")
        return name

    def items(self, faults: Mapping[str, str]) -> list[dict[str, Any]]:
        """Items of a new case; a scene named in ``faults`` is reached through that fault."""
        case = self.new_case()
        return [item(s, f"{self.url}/{faults.get(s, 'files')}/{case}") for s in DAYS]

    def counts(self, kind: str) -> dict[str, int]:
        """Answers given so far below a first part of the path, by status."""
        with DIRECT.open(f"{self.url}/log", timeout=10) as answer:
            found: dict[str, int] = json.loads(answer.read()).get(kind, {})
        return found

    def publish(self, items: list[dict[str, Any]]) -> None:
        """Put items into the catalogue."""
        (self.folder / "items.json").write_text(json.dumps(items))

    def run(self, items: list[dict[str, Any]], out: Path, **overrides: Any) -> Run:
        """Publish items, then search, plan and run the job."""
        self.publish(items)
        config = parse_config(job_table(self.url), source="small job", overrides=overrides)
        plan = make_plan(config, base=self.folder)
        return run(plan, out / "run", config_text="small job")


@contextmanager
def small_job(folder: Path) -> Iterator[SmallJob]:
    """Write the scenes and serve them until the block ends."""
    write_scenes(folder / "scenes")
    server = start_server(folder)
    assert server.stdout is not None
    job = SmallJob(folder, server, int(server.stdout.readline()))
    try:
        yield job
    finally:
        stop_server(job.server)


@contextmanager
def impatient() -> Iterator[None]:
    """Real retries with short waits."""
    held = pixels.HTTP_OPTIONS, pixels.RETRY_WAIT_S, stac_api.RETRY_WAIT_S
    pixels.HTTP_OPTIONS = {**pixels.HTTP_OPTIONS, **QUICK}
    pixels.RETRY_WAIT_S = stac_api.RETRY_WAIT_S = 0.0
    try:
        yield
    finally:
        pixels.HTTP_OPTIONS, pixels.RETRY_WAIT_S, stac_api.RETRY_WAIT_S = held
