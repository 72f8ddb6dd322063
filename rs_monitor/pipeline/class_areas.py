"""Mapped areas of land-cover classes: counted pixels times their true area, by zone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from rs_monitor.authority.layers import read_layer
from rs_monitor.codes import LAND_COVER_STYLE, NODATA
from rs_monitor.errors import LayerError
from rs_monitor.grid import Block, blocks_of
from rs_monitor.maps.class_area import COUNTED_BLOCK_PX, ClassCounts, area_of_tiles
from rs_monitor.maps.class_tiles import (
    NOT_SEEN,
    count_pair_tile,
    count_zone_tile,
    transitions_of_tiles,
)
from rs_monitor.outputs.class_area_view import AFTER, BEFORE, NOT_SEEN_NAME
from rs_monitor.outputs.class_raster import ClassRaster, open_classes
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.outputs.vectors import read_layers
from rs_monitor.pipeline.collect import ROUNDING, ZoneProducts
from rs_monitor.pipeline.plan import Plan

FILE_NAME = "class_areas.gpkg"
AREAS, TRANSITIONS = "class_areas", "class_transitions"
PERIODS = (BEFORE, AFTER)
WHOLE_MAP = "whole_map"
_PX_DIGITS = 6

_NAMES = {int(code): style.name for code, style in LAND_COVER_STYLE.items()}


def write_class_areas(
    folder: RunFolder, products: Sequence[ZoneProducts], plan: Plan
) -> pd.DataFrame | None:
    """Write the mapped areas of every planned zone; without land cover nothing is written.

    Returns
    -------
    DataFrame, optional
        The table ``class_areas``.
    """
    if not any(_cover_name(BEFORE) in zone.arrays for zone in products):
        return None
    made = {zone.zone.zone_id: zone for zone in products}
    zones = [made.get(zone.zone_id, ZoneProducts(zone, {})) for zone in plan.zones]
    areas = pd.concat([zone_class_areas(zone) for zone in zones], ignore_index=True)
    moves = pd.concat([zone_transitions(zone) for zone in zones], ignore_index=True)
    folder.write_vectors(FILE_NAME, {AREAS: areas, TRANSITIONS: moves})
    return areas


def read_class_areas(run: Path) -> pd.DataFrame | None:
    """Table ``class_areas`` of a run folder; None for a run without land cover."""
    path = run / FILE_NAME
    return read_layers(path)[AREAS] if path.is_file() else None


def zone_class_areas(products: ZoneProducts) -> pd.DataFrame:
    """Mapped area of each class in one zone, both periods.

    Parameters
    ----------
    products : ZoneProducts

    Returns
    -------
    DataFrame
        ``zone_id``, ``period``, ``class``, ``class_name``, ``pixels``, ``mapped_area_m2``,
        ``fraction_of_seen``. Pixels whose centre lies in the zone's outline; those without a
        class are the row ``not_seen`` of each period, so that rows add up to the zone.
    """
    geobox, inside = products.zone.geobox, products.inside
    tables = []
    for period in PERIODS:
        cover = _cover(products, period)
        parts = (
            count_zone_tile(
                cover[block.window], inside[block.window], geobox, row=block.y0, col=block.x0
            )
            for block in blocks_of(geobox, COUNTED_BLOCK_PX)
        )
        table = _class_table(parts, geobox, _NAMES)
        table.insert(0, "zone_id", products.zone.zone_id)
        table.insert(1, "period", period)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def zone_transitions(products: ZoneProducts) -> pd.DataFrame:
    """Mapped area of each pair of classes in one zone, of pixels seen in both periods.

    Returns
    -------
    DataFrame
        ``zone_id``, ``class_before``, ``class_before_name``, ``class_after``,
        ``class_after_name``, ``pixels``, ``mapped_area_m2``; a class that stays is a pair as well.
    """
    geobox, inside = products.zone.geobox, products.inside
    before, after = (_cover(products, period) for period in PERIODS)
    held = np.where(inside, before, np.uint8(NODATA))
    parts = (
        count_pair_tile(held[block.window], after[block.window], geobox, row=block.y0, col=block.x0)
        for block in blocks_of(geobox, COUNTED_BLOCK_PX)
    )
    found = transitions_of_tiles(parts, geobox)
    table = {"zone_id": pd.Series([products.zone.zone_id] * len(found), dtype="str")}
    for side in ("class_before", "class_after"):
        table[side] = found[side]
        table[f"{side}_name"] = found[side].map(lambda code: _name(code, _NAMES)).astype("str")
    table |= {"pixels": found["pixels"], "mapped_area_m2": found["area_m2"]}
    return pd.DataFrame(table)


def _cover_name(period: str) -> str:
    return f"land_cover_{period}"


def _cover(products: ZoneProducts, period: str) -> NDArray[np.uint8]:
    """Classes of a period; nothing where no block of the zone could be read."""
    unseen = np.full(products.zone.geobox.shape, NODATA, dtype=np.uint8)
    return products.arrays.get(_cover_name(period), unseen)


def _class_table(
    parts: Iterable[ClassCounts], geobox: GeoBox, names: Mapping[int, str]
) -> pd.DataFrame:
    """Classes in ascending order, then the ground not seen, which every zone has a row of."""
    counted = area_of_tiles(parts, geobox)
    classes = counted[counted["class"] != NOT_SEEN]
    unseen = counted[counted["class"] == NOT_SEEN]
    seen_m2 = math.fsum(classes["area_m2"])
    codes = classes["class"].tolist()
    return pd.DataFrame(
        {
            "class": [*codes, NODATA],
            "class_name": [*(_name(code, names) for code in codes), NOT_SEEN_NAME],
            "pixels": [*classes["pixels"], int(unseen["pixels"].sum())],
            "mapped_area_m2": [*classes["area_m2"], float(unseen["area_m2"].sum())],
            "fraction_of_seen": [*(classes["area_m2"] / seen_m2), np.nan],
        }
    )


def _name(code: int, names: Mapping[int, str]) -> str:
    return names.get(int(code), f"class_{code}")


@dataclass(frozen=True, slots=True)
class MapAreas:
    """Mapped areas of a class raster.

    Attributes
    ----------
    table : DataFrame
        ``zone_id``, ``class``, ``class_name``, ``pixels``, ``mapped_area_m2``,
        ``fraction_of_seen``; ground without a class is the row ``not_seen``.
    notes : tuple of str
        What to know of single zones.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def map_class_areas(
    path: Path,
    zones: Path | None = None,
    *,
    layer: str | None = None,
    id_field: str | None = None,
    block_px: int = COUNTED_BLOCK_PX,
) -> MapAreas:
    """Count a class raster block by block, whole or by zones.

    Parameters
    ----------
    path : Path
        Raster of one band of uint8; its nodata, or 0 where it declares none, = no class.
    zones : Path, optional
        Polygons in any CRS; a pixel belongs to every zone its centre lies in.
    layer, id_field : str, optional
        Of the zones, as in :func:`rs_monitor.authority.layers.read_layer`.
    block_px : int
        Edge of what is read at once; never changes a result.

    Raises
    ------
    ReadError, MissingCRS, QuantityError
        If the raster cannot be read; without a CRS; if it is no class raster.
    LayerError
        If a zone lies off the raster, or the layer has mistakes or no zone; for the name of a
        layer without a file of zones.
    """
    frame = _zones(zones, layer, id_field)
    with open_classes(path, any_nodata=True) as raster:
        if frame is None:
            return MapAreas(_whole(raster, block_px), ())
        placed = _placed(frame.to_crs(str(raster.geobox.crs)), raster)
        tables = [_in_zone(raster, zone, block_px) for zone in placed]
    pairs = zip(placed, tables, strict=True)
    notes = tuple(note for zone, table in pairs for note in _notes(zone, table))
    return MapAreas(pd.concat(tables, ignore_index=True), notes)


def _zones(path: Path | None, layer: str | None, id_field: str | None) -> gpd.GeoDataFrame | None:
    if path is None:
        if layer is not None:
            raise LayerError(
                f"got layer {layer!r} without a file of zones; needed the file as well; give "
                "--zones or leave the layer out"
            )
        return None
    zones = read_layer(path, layer, kind="zones", id_field=id_field)
    if zones.empty:
        raise LayerError(
            f"{path.name}: got a layer without a zone; needed one polygon or more; name another "
            "layer, or none for the whole map"
        )
    return zones


def _whole(raster: ClassRaster, block_px: int) -> pd.DataFrame:
    parts = (
        _count(raster.read(block.window), None, raster.geobox, block)
        for block in blocks_of(raster.geobox, block_px)
    )
    return _map_table(raster, WHOLE_MAP, parts, raster.geobox)


def _map_table(
    raster: ClassRaster, zone_id: str, parts: Iterable[ClassCounts], geobox: GeoBox
) -> pd.DataFrame:
    """Table of a zone by the values of the file."""
    table = _class_table(parts, geobox, raster.names)
    table["class"] = table["class"].map(raster.stored)
    table.insert(0, "zone_id", zone_id)
    return table


def _count(
    classes: NDArray[np.uint8], inside: NDArray[np.bool_] | None, geobox: GeoBox, block: Block
) -> ClassCounts:
    everywhere = np.ones(classes.shape, dtype=np.bool_) if inside is None else inside
    return count_zone_tile(classes, everywhere, geobox, row=block.y0, col=block.x0)


@dataclass(frozen=True, slots=True)
class _PlacedZone:
    """A zone on the grid of a map: outline in pixels, the window that holds it, share on the map.

    Ties are settled once: an outline through a pixel centre falls alike in every block.
    """

    zone_id: str
    outline_px: BaseGeometry
    rows: slice
    cols: slice
    share_on_map: float


def _notes(zone: _PlacedZone, table: pd.DataFrame) -> list[str]:
    notes = []
    off = 1.0 - zone.share_on_map
    if off > ROUNDING:
        notes.append(f"zone {zone.zone_id}: {off:.2%} of it lies off the map and is not counted")
    if not table["pixels"].any():
        notes.append(f"zone {zone.zone_id}: holds no pixel centre of the map")
    return notes


def _placed(zones: gpd.GeoDataFrame, raster: ClassRaster) -> list[_PlacedZone]:
    pairs = zip(zones["zone_id"].astype(str), zones.geometry, strict=True)
    placed = {zone_id: _place(zone_id, shape, raster.geobox) for zone_id, shape in pairs}
    off = [zone_id for zone_id, zone in placed.items() if zone is None]
    if off:
        raise LayerError(
            f"got zones that lie off {raster.path.name}: {', '.join(off)}; needed zones on the "
            "map; check their CRS or leave them out"
        )
    return [zone for zone in placed.values() if zone is not None]


def _place(zone_id: str, outline: BaseGeometry, geobox: GeoBox) -> _PlacedZone | None:
    height, width = geobox.shape
    back: Any = ~geobox.affine
    in_px = shapely.transform(
        outline, lambda xy: np.stack(back * (xy[:, 0], xy[:, 1]), axis=1).round(_PX_DIGITS)
    )
    held = shapely.intersection(in_px, shapely.box(0, 0, width, height))
    if not held.area > 0:
        return None
    x0, y0, x1, y1 = held.bounds
    rows, cols = slice(int(y0), int(np.ceil(y1))), slice(int(x0), int(np.ceil(x1)))
    return _PlacedZone(zone_id, in_px, rows, cols, float(held.area / in_px.area))


def _in_zone(raster: ClassRaster, zone: _PlacedZone, block_px: int) -> pd.DataFrame:
    own = raster.geobox[zone.rows, zone.cols]
    return _map_table(raster, zone.zone_id, _zone_parts(raster, zone, own, block_px), own)


def _zone_parts(
    raster: ClassRaster, zone: _PlacedZone, own: GeoBox, block_px: int
) -> Iterable[ClassCounts]:
    top, left = zone.rows.start, zone.cols.start
    for block in blocks_of(own, block_px):
        rows, cols = block.window
        classes = raster.read(
            (slice(rows.start + top, rows.stop + top), slice(cols.start + left, cols.stop + left))
        )
        inside = geometry_mask(
            [zone.outline_px],
            out_shape=classes.shape,
            transform=Affine.translation(left + block.x0, top + block.y0),
            invert=True,
        )
        yield _count(classes, inside, own, block)
