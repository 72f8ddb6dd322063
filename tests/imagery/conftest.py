import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.imagery.catalog import normalise_item

CRS = "EPSG:32650"
LEFT, TOP = 500000.0, 3500000.0


def grid(rows, cols, pixel=10.0, left=LEFT, top=TOP, crs=CRS):
    return GeoBox((rows, cols), Affine(pixel, 0, left, 0, -pixel, top), crs)


def write_tif(path, data, *, pixel=10.0, left=LEFT, top=TOP, crs=CRS, **profile):
    layers = data if data.ndim == 3 else data[np.newaxis]
    tags, descriptions = profile.pop("tags", {}), profile.pop("descriptions", None)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=layers.shape[0],
        height=layers.shape[1],
        width=layers.shape[2],
        dtype=layers.dtype,
        crs=crs,
        transform=Affine(pixel, 0, left, 0, -pixel, top),
        **profile,
    ) as target:
        target.write(layers)
        target.update_tags(**tags)
        for number, text in enumerate(descriptions or (), start=1):
            target.set_band_description(number, text)
    return path


def stac_item(
    identity,
    assets,
    *,
    when="2024-05-01T02:50:00Z",
    platform="sentinel-2a",
    shape=(60, 80),
    pixel=10.0,
    left=LEFT,
    top=TOP,
    crs=CRS,
    cloud=0.0,
    **properties,
):
    """A STAC 1.1 item; assets: name -> dict(href, dtype, nodata, ...)."""
    rows, cols = shape
    right, bottom = left + cols * pixel, top - rows * pixel
    west, south, east, north = rasterio.warp.transform_bounds(
        crs, "EPSG:4326", left, bottom, right, top
    )
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": identity,
        "collection": "scenes",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": when,
            "platform": platform,
            "eo:cloud_cover": cloud,
            "proj:code": crs,
            "proj:shape": list(shape),
            "proj:transform": [pixel, 0.0, left, 0.0, -pixel, top],
            **properties,
        },
        "links": [],
        "assets": {name: _asset(name, **fields) for name, fields in assets.items()},
    }


def _asset(name, href, dtype=None, nodata=None, scale=None, offset=None, roles=("data",), **more):
    band = {"name": name, "eo:common_name": name, "data_type": dtype, "nodata": nodata}
    band |= {"raster:scale": scale, "raster:offset": offset}
    kept = {key: value for key, value in band.items() if value is not None}
    media = "image/tiff; application=geotiff"
    return {"href": str(href), "type": media, "roles": list(roles), "bands": [kept], **more}


@pytest.fixture
def numbers():
    """Distinct values without symmetry, never 0."""
    return np.random.default_rng(7).integers(1, 9000, (60, 80)).astype("uint16")


@pytest.fixture
def scene(tmp_path):
    """Write one scene and give its normalised item."""

    def make(identity, data, *, band="red", nodata=0, declared=True, pixel=10.0, **fields):
        left, top = fields.pop("left", LEFT), fields.pop("top", TOP)
        scale, offset = fields.pop("scale", None), fields.pop("offset", None)
        roles = fields.pop("roles", ("data",))
        path = write_tif(
            tmp_path / f"{identity}_{band}.tif",
            data,
            nodata=nodata,
            pixel=pixel,
            left=left,
            top=top,
            tiled=True,
            blockxsize=16,
            blockysize=16,
        )
        asset = {"href": path, "scale": scale, "offset": offset, "roles": roles}
        if declared:
            asset |= {"dtype": str(data.dtype), "nodata": nodata}
        raw = stac_item(
            identity,
            {band: asset},
            shape=data.shape[-2:],
            pixel=pixel,
            left=left,
            top=top,
            **fields,
        )
        return normalise_item(raw)

    return make


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A faulty web server in a process of its own: a thread would deadlock with GDAL."""
    folder = tmp_path_factory.mktemp("web")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fault_server.py")), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    port = int(server.stdout.readline())
    yield folder, f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture(scope="session")
def make():
    """The builders of this file, for tests of several files."""

    return SimpleNamespace(grid=grid, tif=write_tif, item=stac_item, LEFT=LEFT, TOP=TOP, CRS=CRS)
