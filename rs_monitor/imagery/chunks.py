"""The dask graph of one band: a task per time and chunk, keys that depend on plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pyproj
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from odc.geo.geobox import GeoBox

from rs_monitor.imagery.catalog import Band, SceneItem
from rs_monitor.imagery.jobs import ChunkJob, Grid, Source, Span
from rs_monitor.imagery.pixels import read_chunk

_SKIP_MARGIN_PX = 4.0


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a band is stored in the cube; ``nodata`` None: every source must cover the chunk."""

    dtype: str
    nodata: float | None

    @property
    def fill(self) -> float:
        """Value of pixels that no source saw."""
        return 0.0 if self.nodata is None else self.nodata


def lazy_band(
    name: str,
    looks: Sequence[Sequence[Source]],
    encoding: Encoding,
    geobox: GeoBox,
    span: Span,
    chunk_px: int,
    resampling: str,
    places: Sequence[Sequence[SceneItem]] | None = None,
) -> da.Array:
    """Describe one band as a dask array (time, y, x); nothing is read.

    Parameters
    ----------
    name : str
        Band name, for the keys.
    looks : sequence of sequence of Source
        Per time step the sources in mosaic order.
    encoding : Encoding
        Dtype and nodata of the result.
    geobox : GeoBox
        The whole target grid.
    span : Span
        The part of it to make.
    chunk_px : int
        Edge of a chunk, pixels.
    resampling : str
        GDAL name of the method.
    places : sequence of sequence of SceneItem, optional
        The scene of each source; a chunk leaves out the scenes that cannot reach it.
    """
    grid = Grid(str(geobox.crs), tuple(geobox.affine)[:6], (geobox.shape.y, geobox.shape.x))
    rows, cols = _edges(span.y0, span.y1, chunk_px), _edges(span.x0, span.x1, chunk_px)
    parts = {(i, j): Span(*row, *col) for i, row in enumerate(rows) for j, col in enumerate(cols)}
    seen = _Overlap(grid, parts)
    token = tokenize(
        [[astuple(s) for s in look] for look in looks],
        *(astuple(grid), astuple(span), chunk_px, resampling),
        *(encoding.dtype, str(encoding.nodata)),
    )
    key = f"load-{name}-{token}"
    graph: dict[Any, Any] = {}
    for t, look in enumerate(looks):
        for place, part in parts.items():
            chosen = tuple(
                source
                for k, source in enumerate(look)
                if encoding.nodata is None
                or places is None
                or seen.touches(place, places[t][k], source.shift)
            )
            job = ChunkJob(
                chosen, grid, part, encoding.dtype, encoding.fill, encoding.nodata is None,
                resampling,
            )  # fmt: skip
            graph[(key, t, *place)] = (partial(read_chunk, job),)
    chunks = ((1,) * len(looks), tuple(b - a for a, b in rows), tuple(b - a for a, b in cols))
    layers = HighLevelGraph.from_collections(key, graph, dependencies=())
    return da.Array(layers, key, chunks=chunks, dtype=encoding.dtype)


def _edges(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    return [(a, min(a + step, stop)) for a in range(start, stop, step)]


class _Overlap:
    """Which chunks a scene can reach, from the catalogue's grid with a margin."""

    def __init__(self, grid: Grid, parts: Mapping[tuple[int, int], Span]) -> None:
        self._grid = grid
        self._parts = parts
        self._known: dict[tuple[Any, ...], bool] = {}

    def touches(self, place: tuple[int, int], item: SceneItem, shift: tuple[float, float]) -> bool:
        """Whether the scene, its content displaced by a shift, may hold pixels of the chunk."""
        key = (place, shift, item.crs, item.shape, item.transform)
        if key not in self._known:
            displaced = self._grid.displaced(shift)
            self._known[key] = self._compute(self._parts[place], item, displaced)
        return self._known[key]

    def _compute(self, part: Span, item: SceneItem, grid: Grid) -> bool:
        a, b, c, d, e, f = grid.transform
        corners = [(col, row) for col in (part.x0, part.x1) for row in (part.y0, part.y1)]
        xs = [a * col + b * row + c for col, row in corners]
        ys = [d * col + e * row + f for col, row in corners]
        change = pyproj.Transformer.from_crs(grid.crs, item.crs, always_xy=True)
        west, south, east, north = change.transform_bounds(min(xs), min(ys), max(xs), max(ys))
        if not np.isfinite([west, south, east, north]).all() or west > east:
            return True
        return _reaches(item, (west, south, east, north))


def _reaches(item: SceneItem, bounds: tuple[float, float, float, float]) -> bool:
    a, b, c, d, e, f = item.transform
    rows, cols = item.shape
    xs = [a * col + b * row + c for col in (0, cols) for row in (0, rows)]
    ys = [d * col + e * row + f for col in (0, cols) for row in (0, rows)]
    margin = _SKIP_MARGIN_PX * max(abs(a) + abs(b), abs(d) + abs(e))
    margin = max(margin, *(_coarsest(band) for band in item.bands.values()))
    west, south, east, north = bounds
    return bool(
        west <= max(xs) + margin
        and east >= min(xs) - margin
        and south <= max(ys) + margin
        and north >= min(ys) - margin
    )


def _coarsest(band: Band) -> float:
    return _SKIP_MARGIN_PX * abs(band.transform[0]) if band.transform else 0.0
