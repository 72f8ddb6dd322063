"""What makes two jobs, scenes or grids the same; addresses never count."""

from __future__ import annotations

import math
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox

import rs_monitor
from rs_monitor.config.job import RunConfig
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.harmonise import harmonisation_key
from rs_monitor.pipeline.relief import sun_of


def identity_of(config: RunConfig) -> dict[str, Any]:
    """The part of a config that can alter a run; claims are judged on a finished one."""
    table = config.model_dump(mode="json", by_alias=True)
    for key in ("catalog", "cluster", "purpose", "register", "on_failure", "claims"):
        table.pop(key)
    table["rules"].pop("acceptance")
    return table


@cache
def code_hash(room: str = "") -> str:
    """Hash of the package's own source, or of one room: changed code never reuses old blocks."""
    root = Path(rs_monitor.__file__).parent / room
    digest = sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def item_identity(item: SceneItem) -> dict[str, Any]:
    """What of an item can alter a result: everything but its addresses."""
    bands = {
        name: [band.index, band.dtype, band.nodata, band.scale, band.offset]
        for name, band in sorted(item.bands.items())
    }
    return {
        "id": item.id,
        "datetime": item.datetime.isoformat(),
        "crs": item.crs,
        "transform": list(item.transform),
        "shape": list(item.shape),
        "platform": item.platform,
        "product": harmonisation_key(item),
        "sun": [None if math.isnan(angle) else round(angle, 2) for angle in sun_of(item)],
        "bands": bands,
    }


def file_state(item: SceneItem) -> list[list[Any]]:
    """Size and time of change of an item's local files: the same name may get other pixels."""
    paths = sorted({band.href for band in item.bands.values() if "://" not in band.href})
    states = [Path(path).stat() for path in paths if Path(path).exists()]
    return [[state.st_size, state.st_mtime_ns] for state in states]


def grid_record(geobox: GeoBox) -> dict[str, Any]:
    """A grid as plain values."""
    return {
        "crs": str(geobox.crs),
        "transform": list(geobox.affine)[:6],
        "shape": [int(n) for n in geobox.shape],
    }
