"""What the observed blocks of a zone hold, over the whole zone or any window of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rs_monitor.errors import RunError
from rs_monitor.grid import Block, Window, widen
from rs_monitor.outputs.blocks import BlockStore

OBSERVE = "observe"
PERIODS = ("before", "after")


class Pair(NamedTuple):
    """Composites of two periods; band, y, x; NaN = not seen."""

    before: xr.DataArray
    after: xr.DataArray


@dataclass(frozen=True)
class ZonePair:
    """Where the observed blocks of a zone lie, and the composites in them.

    Attributes
    ----------
    store : BlockStore
    zone_id : str
    geobox : GeoBox
        Of the whole zone.
    marks : mapping of Block to str
        Observed blocks and their fingerprints; ground of the others is not seen.
    bands : tuple of str
    """

    store: BlockStore
    zone_id: str
    geobox: GeoBox
    marks: Mapping[Block, str]
    bands: tuple[str, ...]

    def lazy(self) -> Pair:
        """Both composites of the zone, each block read when it is needed."""
        height, width = self.geobox.shape
        rows, cols = _edges(self.marks, height, "y"), _edges(self.marks, width, "x")
        return Pair(*(self._lazy(period, rows, cols) for period in PERIODS))

    def _lazy(
        self, period: str, rows: list[tuple[int, int]], cols: list[tuple[int, int]]
    ) -> xr.DataArray:
        by_corner = {(block.y0, block.x0): block for block in self.marks}
        read = delayed(partial(self._read, period))
        grid = [
            [
                da.from_delayed(
                    read(by_corner[y0, x0]), (len(self.bands), y1 - y0, x1 - x0), np.float32
                )
                if (y0, x0) in by_corner
                else da.full((len(self.bands), y1 - y0, x1 - x0), np.nan, dtype=np.float32)
                for x0, x1 in cols
            ]
            for y0, y1 in rows
        ]
        return self._named(da.block(grid), self.geobox)

    def _read(self, period: str, block: Block) -> NDArray[np.float32]:
        mark = self.marks[block]
        return observed_block(self.store, self.zone_id, block, mark, [period])[period]

    def _named(self, data: Any, geobox: GeoBox) -> xr.DataArray:
        coords = {"band": list(self.bands), **xr_coords(geobox)}
        return xr.DataArray(data, dims=("band", "y", "x"), coords=coords)

    def around(self, block: Block, margin_px: int) -> tuple[Pair, Window]:
        """Both composites of a block and its surroundings, and where the block lies in them."""
        whole, inner = widen(block.window, margin_px, self.geobox)
        arrays = self.within(whole, PERIODS)
        there = self.geobox[whole]
        return Pair(*(self._named(arrays[period], there) for period in PERIODS)), inner

    def within(self, window: Window, names: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """Observed arrays over a window of the zone; NaN where no block was observed."""
        arrays: dict[str, NDArray[np.float32]] = {}
        shape = tuple(part.stop - part.start for part in window)
        for block, mark in self.marks.items():
            meets = overlap(block, window)
            if meets is None:
                continue
            source, here = meets
            observed = observed_block(self.store, self.zone_id, block, mark, names)
            for name in names:
                part = observed[name]
                if name not in arrays:
                    arrays[name] = np.full((*part.shape[:-2], *shape), np.nan, np.float32)
                arrays[name][(..., *here)] = part[(..., *source)]
        return arrays


def observed_block(
    store: BlockStore,
    zone_id: str,
    block: Block,
    mark: str,
    only: Collection[str] | None = None,
) -> Mapping[str, NDArray[Any]]:
    """Arrays of an observed block, all or those named ``only``.

    Raises
    ------
    RunError
        If it is no longer what was observed.
    """
    arrays, reason = store.read_block(zone_id, OBSERVE, block.name, mark, only)
    if arrays is None:
        raise RunError(
            f"got block {block.name} of zone {zone_id} in another state ({reason}); needed the one "
            "just observed; run the job again"
        )
    return arrays


def _edges(blocks: Mapping[Block, str], size: int, axis: str) -> list[tuple[int, int]]:
    """First and last pixel of every row or column of blocks, gaps between them included."""
    known = {(getattr(b, f"{axis}0"), getattr(b, f"{axis}1")) for b in blocks}
    cuts = sorted({0, size, *(edge for pair in known for edge in pair)})
    return list(pairwise(cuts))


def overlap(block: Block, window: Window) -> tuple[Window, Window] | None:
    """The part of a block inside a window: its place in the block, and in the window."""
    there, here = [], []
    for part, (first, last) in zip(
        window, ((block.y0, block.y1), (block.x0, block.x1)), strict=True
    ):
        start, stop = max(part.start, first), min(part.stop, last)
        if start >= stop:
            return None
        there.append(slice(start - first, stop - first))
        here.append(slice(start - part.start, stop - part.start))
    return (there[0], there[1]), (here[0], here[1])
