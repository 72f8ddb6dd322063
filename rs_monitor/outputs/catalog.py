"""A static STAC catalogue of what a run made, linked to the scenes it was made from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pystac
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from rs_monitor.errors import UnsuitableCRS
from rs_monitor.grid import describe
from rs_monitor.outputs.atomic import write_json
from rs_monitor.outputs.blocks import safe_name
from rs_monitor.outputs.digest import crs_name
from rs_monitor.outputs.layout import CATALOG_NAME
from rs_monitor.outputs.manifest import Manifest, OutputRecord, SceneInput, clean_href
from rs_monitor.outputs.raster import read_geobox
from rs_monitor.outputs.runfolder import RunFolder

_SCHEMAS = "https://stac-extensions.github.io"
_EXTENSIONS = [
    f"{_SCHEMAS}/projection/v2.0.0/schema.json",
    f"{_SCHEMAS}/classification/v2.0.0/schema.json",
    f"{_SCHEMAS}/processing/v1.2.0/schema.json",
    f"{_SCHEMAS}/file/v2.1.0/schema.json",
]
_FOOTPRINT_DECIMALS = 7


def write_catalog(folder: RunFolder, scene_ids: Mapping[str, Sequence[str]] | None = None) -> Path:
    """Write ``stac/catalog.json`` and one item per zone with registered rasters.

    Parameters
    ----------
    folder : RunFolder
        Run whose rasters and scenes are registered.
    scene_ids : mapping of str to sequence of str, optional
        Scenes each zone was made from; without it, all scenes of the run.

    Returns
    -------
    Path
        The catalogue file.
    """
    manifest = folder.manifest
    catalog = pystac.Catalog(
        id=manifest.run_id,
        title=f"{manifest.name}{' (synthetic)' if manifest.synthetic else ''}",
        description=manifest.purpose or f"Products of run {manifest.run_id}.",
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    root = folder.path / CATALOG_NAME
    catalog.set_self_href(str(root))
    for zone_id, rasters in _rasters(manifest).items():
        scenes = _scenes(manifest, None if scene_ids is None else scene_ids.get(zone_id, ()))
        catalog.add_item(_item(folder.path, manifest, zone_id, rasters, scenes), title=zone_id)
    catalog.normalize_hrefs(str(root.parent), strategy=_strategy())
    for item in catalog.get_items():
        write_json(Path(item.self_href), _relative(item).to_dict(include_self_link=False))
    return write_json(root, catalog.to_dict(include_self_link=False))


def _rasters(manifest: Manifest) -> dict[str, list[OutputRecord]]:
    """Registered rasters by zone."""
    zones: dict[str, list[OutputRecord]] = {}
    for record in manifest.outputs:
        if record.kind == "raster" and record.zone is not None and record.product:
            zones.setdefault(record.zone, []).append(record)
    return zones


def _scenes(manifest: Manifest, wanted: Sequence[str] | None) -> list[SceneInput]:
    return [scene for scene in manifest.inputs if wanted is None or scene.id in wanted]


def _strategy() -> pystac.layout.HrefLayoutStrategy:
    def place(item: pystac.Item, parent: str) -> str:
        name = safe_name(str(item.properties["rs_monitor:zone"]))
        return f"{parent}/{name}/{name}.json"

    return pystac.layout.CustomLayoutStrategy(item_func=place)


def _relative(item: pystac.Item) -> pystac.Item:
    item.make_asset_hrefs_relative()
    return item


def _item(
    root: Path,
    manifest: Manifest,
    zone_id: str,
    rasters: Sequence[OutputRecord],
    scenes: Sequence[SceneInput],
) -> pystac.Item:
    geobox = read_geobox(root / rasters[0].path)
    footprint = _footprint(geobox)
    times = sorted(dt.datetime.fromisoformat(scene.datetime) for scene in scenes)
    made = dt.datetime.fromisoformat(manifest.started)
    item = pystac.Item(
        id=f"{manifest.run_id}.{safe_name(zone_id)}",
        geometry=shapely.geometry.mapping(footprint),
        bbox=list(footprint.bounds),
        datetime=None,
        start_datetime=times[0] if times else made,
        end_datetime=times[-1] if times else made,
        properties=_properties(manifest, zone_id, geobox),
        stac_extensions=list(_EXTENSIONS),
    )
    for record in rasters:
        item.add_asset(str(record.product), _asset(root, record))
    for scene in scenes:
        item.add_link(_derived_from(scene))
    return item


def _footprint(geobox: GeoBox) -> BaseGeometry:
    to_degrees = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)

    def degrees(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        lon, lat = to_degrees.transform(xy[:, 0], xy[:, 1])
        return np.stack([lon, lat], axis=1).round(_FOOTPRINT_DECIMALS)

    footprint = shapely.transform(geobox.extent.geom, degrees)
    if not np.isfinite(footprint.bounds).all():
        raise UnsuitableCRS(
            f"got the grid {describe(geobox)}, which lies outside its CRS; needed coordinates on "
            "the Earth; check the zone prefix of the eastings and the CRS of the layer"
        )
    return footprint


def _properties(manifest: Manifest, zone_id: str, geobox: GeoBox) -> dict[str, Any]:
    steps = " -> ".join(step.name for step in manifest.steps)
    return {
        "title": f"{manifest.name}, zone {zone_id}",
        "proj:code": crs_name(geobox.crs),
        "proj:shape": [int(geobox.shape.y), int(geobox.shape.x)],
        "proj:transform": [float(value) for value in tuple(geobox.affine)[:6]],
        "processing:software": {"rs_monitor": str(manifest.code.get("version", "unknown"))},
        **({"processing:lineage": steps} if steps else {}),
        "rs_monitor:zone": zone_id,
        "rs_monitor:run_id": manifest.run_id,
        "rs_monitor:synthetic": manifest.synthetic,
    }


def _asset(root: Path, record: OutputRecord) -> pystac.Asset:
    bands = [{"name": name} for name in record.band_names]
    extra: dict[str, Any] = {
        "bands": bands,
        "data_type": record.dtype,
        "file:checksum": f"1220{record.sha256}",
    }
    if record.nodata is not None:
        extra["nodata"] = record.nodata
    if record.classes:
        extra["classification:classes"] = [_class(entry.model_dump()) for entry in record.classes]
    return pystac.Asset(
        href=str(root / record.path),
        title=record.product,
        media_type=pystac.MediaType.COG,
        roles=["data"],
        extra_fields=extra,
    )


def _class(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"description": f"{entry['name']} {entry['title']}"}


def _derived_from(scene: SceneInput) -> pystac.Link:
    """Link to a source item; without an address of its own, to its first asset."""
    hrefs = [scene.href, *scene.assets.values()]
    href = next((clean_href(text) for text in hrefs if text), scene.id)
    return pystac.Link(
        rel=pystac.RelType.DERIVED_FROM,
        target=href,
        title=scene.id,
        media_type="application/geo+json" if scene.href else None,
    )
