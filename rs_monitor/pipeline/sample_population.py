"""The population a sample is drawn of: a class map and its strata, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.designs import BufferRecord
from rs_monitor.grid import Block, blocks_of, widen
from rs_monitor.maps.buffer_stratum import (
    buffer_depth_px,
    pixel_edges_m,
    require_code,
    with_buffer,
)
from rs_monitor.maps.class_area import (
    COUNTED_BLOCK_PX,
    area_of_tiles,
    count_tile,
)
from rs_monitor.outputs.class_raster import ClassRaster
from rs_monitor.pipeline.primary_units import PrimaryUnits
from rs_monitor.pipeline.sample_request import SampleRequest

BUFFER = "buffer"


@dataclass(frozen=True, slots=True)
class Population:
    """The map, its strata block by block, and how many pixels each holds.

    Attributes
    ----------
    raster : ClassRaster
    blocks : tuple of Block
        In the order they are read.
    strata_of : callable
        Block in, uint8 strata out, 0 = outside the population.
    table : DataFrame
        ``class`` (code of a stratum), ``pixels``, ``area_m2``, ``name``.
    buffer : BufferRecord, optional
    """

    raster: ClassRaster
    blocks: tuple[Block, ...]
    strata_of: Callable[[Block], NDArray[np.uint8]]
    table: pd.DataFrame
    buffer: BufferRecord | None

    @property
    def pixels(self) -> int:
        """Pixels in all."""
        return int(self.table["pixels"].sum())

    def strata_at(self, drawn: pd.DataFrame) -> NDArray[np.int64]:
        """Stratum of drawn pixels."""
        return _values_at(self.parts(), drawn)

    def classes_at(self, drawn: pd.DataFrame) -> NDArray[np.int64]:
        """Class of drawn pixels on the map."""
        parts = ((block, self.raster.read(block.window)) for block in self.blocks)
        return _values_at(parts, drawn)

    def parts(self) -> Iterator[tuple[Block, NDArray[np.uint8]]]:
        """Strata of every block."""
        for block in self.blocks:
            yield block, self.strata_of(block)


def population_of(
    raster: ClassRaster,
    request: SampleRequest,
    usual_buffer_m: float,
    units: PrimaryUnits | None,
) -> Population:
    """Count the strata a request asks for.

    Parameters
    ----------
    raster : ClassRaster
    request : SampleRequest
    usual_buffer_m : float
        Where the request names none.
    units : PrimaryUnits, optional
        The population is what lies inside them.

    Raises
    ------
    QuantityError
        For classes the map does not have, or a map without any.
    """
    blocks = tuple(blocks_of(raster.geobox, COUNTED_BLOCK_PX))
    strata_of: Callable[[Block], NDArray[np.uint8]] = partial(_read, raster)
    names = dict(raster.names)
    buffer = None
    if units is not None:
        strata_of = partial(_inside, raster, units)
    elif request.buffer_around:
        width_m = usual_buffer_m if request.buffer_m is None else request.buffer_m
        buffer = BufferRecord(
            code=require_code(_highest(raster, blocks, names) + 1),
            around=tuple(sorted({_code_of(name, names) for name in request.buffer_around})),
            width_m=width_m,
        )
        strata_of = partial(_buffered, raster, buffer)
        names[buffer.code] = BUFFER if BUFFER not in names.values() else f"{BUFFER}_stratum"
    table = _count(raster, blocks, strata_of)
    _require_change(table, buffer)
    table["name"] = [names.get(code, f"class_{code}") for code in table["class"]]
    if table.empty:
        where = "" if units is None else " inside the primary units"
        raise QuantityError(
            f"{raster.path.name}: got a map without a single class{where}; needed pixels other "
            "than nodata; name another map or other units"
        )
    return Population(raster, blocks, strata_of, table, buffer)


def _read(raster: ClassRaster, block: Block) -> NDArray[np.uint8]:
    return raster.read(block.window)


def _inside(raster: ClassRaster, units: PrimaryUnits, block: Block) -> NDArray[np.uint8]:
    return np.where(units.on_block(block) > 0, raster.read(block.window), np.uint8(0))


def _require_change(table: pd.DataFrame, buffer: BufferRecord | None) -> None:
    absent = sorted({*buffer.around} - {*table["class"]}) if buffer is not None else []
    if absent:
        raise QuantityError(
            f"got a buffer around classes {absent}, of which the map has no pixel; needed classes "
            "it shows; name others or leave the buffer out"
        )


def _buffered(raster: ClassRaster, buffer: BufferRecord, block: Block) -> NDArray[np.uint8]:
    depth_px = buffer_depth_px(raster.geobox, buffer.width_m)
    wide, inner = widen(block.window, depth_px, raster.geobox)
    strata = with_buffer(
        raster.read(wide),
        around=buffer.around,
        width_m=buffer.width_m,
        code=buffer.code,
        pixel_m=pixel_edges_m(raster.geobox),
    )
    return strata[inner]


def _highest(raster: ClassRaster, blocks: tuple[Block, ...], names: Mapping[int, str]) -> int:
    return max(*(int(raster.read(block.window).max()) for block in blocks), *names, 0)


def _code_of(name: str, names: Mapping[int, str]) -> int:
    codes = {title: code for code, title in names.items()}
    if name in codes:
        return codes[name]
    if name.isdecimal():
        return int(name)
    raise QuantityError(
        f"got class {name!r}; needed one of {', '.join(sorted(codes)) or 'no names'} or a number; "
        "look at the map's legend"
    )


def _count(
    raster: ClassRaster,
    blocks: tuple[Block, ...],
    strata_of: Callable[[Block], NDArray[np.uint8]],
) -> pd.DataFrame:
    parts = (
        count_tile(strata_of(block), raster.geobox, row=block.y0, col=block.x0) for block in blocks
    )
    return area_of_tiles(parts, raster.geobox)


def _values_at(
    parts: Iterable[tuple[Block, NDArray[np.uint8]]], drawn: pd.DataFrame
) -> NDArray[np.int64]:
    rows, cols = drawn["row"].to_numpy(), drawn["col"].to_numpy()
    out = np.zeros(rows.size, dtype=np.int64)
    for block, values in parts:
        here = (rows >= block.y0) & (rows < block.y1) & (cols >= block.x0) & (cols < block.x1)
        out[here] = values[rows[here] - block.y0, cols[here] - block.x0]
    return out
