"""The only lifts from a kernel to xarray and dask: pixels, windows, looks, time, lattice.

Each lift accepts eager or lazy input and returns the same kind on the same grid; none computes.
Names and attributes are written, never inherited. The one exception is ``Blocks.measure``:
it computes statistics for a fit, over a lattice that does not depend on chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.array.overlap import ensure_minimum_chunksize
from dask.base import compute, persist, tokenize
from dask.delayed import delayed
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import DTypeLike, NDArray

from rs_monitor.errors import GridMismatch

ArrayFunction = Callable[..., NDArray[Any]]
SPACE = ("y", "x")
MEASURED_BLOCK_PX = 512
"""Rows and columns of the blocks whose statistics are added up in float64."""


def is_lazy(array: xr.DataArray) -> bool:
    """Whether an array still has to be computed."""
    return isinstance(array.data, da.Array)


def _require_aligned(arrays: Sequence[xr.DataArray]) -> None:
    first = arrays[0]
    for other in arrays[1:]:
        if other.dims != first.dims:
            raise GridMismatch(
                f"got arrays of {first.dims} and {other.dims}; needed the same dimensions; "
                "transpose one of them"
            )
        for name in first.dims:
            if not np.array_equal(first[name].values, other[name].values):
                raise GridMismatch(
                    f"got two arrays whose {name} coordinates differ; needed one grid and the same "
                    "looks; load both on the zone's grid"
                )


def _same_blocks(arrays: Sequence[xr.DataArray]) -> list[Any]:
    """Cut all like the first lazy one: dask pairs blocks by their number, not by their place."""
    chunks = next(array.data.chunks for array in arrays if is_lazy(array))
    return [da.asarray(array.data).rechunk(chunks) for array in arrays]


def _spatial_coords(array: xr.DataArray) -> dict[str, Any]:
    keep = {"y", "x", "spatial_ref"}
    return {name: coord for name, coord in array.coords.items() if name in keep}


def map_pixels(
    function: ArrayFunction,
    *arrays: xr.DataArray,
    dtype: DTypeLike,
    name: str,
    attrs: Mapping[str, Any],
) -> xr.DataArray:
    """Apply a pixelwise function to arrays of the same dimensions.

    Parameters
    ----------
    function : callable
        Plain arrays in, one array of the same shape out.
    *arrays : DataArray
        Same dimensions and coordinates.
    dtype : dtype
        Of the result; checked by ``tests/test_lazy.py`` against what is computed.
    name, attrs
        Of the result.
    """
    _require_aligned(arrays)
    first = arrays[0]
    if any(is_lazy(a) for a in arrays):
        data: Any = da.map_blocks(
            function,
            *_same_blocks(arrays),
            dtype=dtype,
            meta=_meta(first.ndim, dtype),
        )
    else:
        data = function(*(a.data for a in arrays))
    return xr.DataArray(data, dims=first.dims, coords=first.coords, name=name, attrs=dict(attrs))


def map_window(
    function: ArrayFunction,
    array: xr.DataArray,
    *,
    depth_px: int,
    dtype: DTypeLike,
    name: str,
    attrs: Mapping[str, Any],
    per_row: Sequence[NDArray[Any]] = (),
    layers: tuple[str, Sequence[Any]] | None = None,
) -> xr.DataArray:
    """Apply a function that looks ``depth_px`` neighbours far to a (y, x) array.

    Parameters
    ----------
    function : callable
        A (y, x) array and its part of ``per_row`` in; a new ``(y, x)`` array out, or
        ``(k, y, x)`` with ``layers``. What it answers within ``depth_px`` of the rim is kept
        where the grid ends; where blocks meet it is replaced by what the neighbour's cells give.
    array : DataArray
        Dimensions y, x.
    depth_px : int
        Neighbours looked at on each side.
    dtype, name, attrs
        Of the result.
    per_row : sequence of ndarray, shape (y,)
        Known of each row of the grid.
    layers : tuple of (str, sequence), optional
        Name and labels of a new leading dimension.
    """
    if is_lazy(array):
        count = None if layers is None else len(layers[1])
        data: Any = _window_blocks(function, array.data, depth_px, dtype, per_row, count)
    else:
        data = function(array.data, *per_row)
    coords = _spatial_coords(array)
    dims: tuple[str, ...] = SPACE if layers is None else (layers[0], *SPACE)
    if layers is not None:
        coords[layers[0]] = list(layers[1])
    return xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=dict(attrs))


Near = Mapping[tuple[int, int], NDArray[Any]]
"""Parts of blocks, by the steps down and right to where they lie."""

DEEP_SHARE = 8
"""A window deeper than this part of a block is cheaper on one widened copy of the block."""


def _window_blocks(
    function: ArrayFunction,
    blocks: Any,
    depth_px: int,
    dtype: DTypeLike,
    per_row: Sequence[NDArray[Any]],
    layers: int | None,
) -> Any:
    """Apply to blocks and the rims of their neighbours.

    ``dask.array.map_overlap`` copies every block into a wider one first, which costs a function
    near the memory's speed more than its own work. Here the block itself is handed on, and only
    what the neighbours change is done again.
    """
    sizes = [
        ensure_minimum_chunksize(min(depth_px, n), c)
        for n, c in zip(blocks.shape, blocks.chunks, strict=True)
    ]
    blocks = blocks.rechunk(tuple(sizes))
    token = tokenize(function, blocks.name, depth_px, np.dtype(dtype), per_row, layers)
    rims, name = f"rims-{token}", f"window-{token}"
    first_rows = np.cumsum([0, *blocks.chunks[0]]).tolist()
    graph: dict[Any, Any] = {}
    for row, col in np.ndindex(*blocks.numblocks):
        graph[(rims, row, col)] = (_rims, (blocks.name, row, col), depth_px)
        near = [
            [down, right, (rims, row + down, col + right)]
            for down, right in _around(row, col, blocks.numblocks)
        ]
        start = max(first_rows[row] - depth_px, 0)
        known = [values[start : first_rows[row + 1] + depth_px] for values in per_row]
        place = (row, col) if layers is None else (0, row, col)
        task = partial(_with_rims, function, depth_px, known, first_rows[row] - start)
        graph[(name, *place)] = (task, (blocks.name, row, col), near)
    chunks = blocks.chunks if layers is None else ((layers,), *blocks.chunks)
    whole = HighLevelGraph.from_collections(name, graph, dependencies=[blocks])
    return da.Array(whole, name, chunks=chunks, meta=_meta(len(chunks), dtype))


def _around(row: int, col: int, counts: tuple[int, int]) -> list[tuple[int, int]]:
    steps = [
        (down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)
    ]
    return [
        (down, right)
        for down, right in steps
        if 0 <= row + down < counts[0] and 0 <= col + right < counts[1]
    ]


def _rims(block: NDArray[Any], depth_px: int) -> dict[tuple[int, int], NDArray[Any]]:
    """Small copies of what a neighbour above, below, left or right of a block sees of it."""
    return {
        (1, 0): block[:depth_px].copy(),
        (-1, 0): block[-depth_px:].copy(),
        (0, 1): block[:, :depth_px].copy(),
        (0, -1): block[:, -depth_px:].copy(),
    }


def _rim(rims: Near, depth_px: int, down: int, right: int) -> NDArray[Any]:
    """What is seen of the block that lies ``down`` and ``right``."""
    if down == 0 or right == 0:
        return rims[down, right]
    return rims[down, 0][:, :depth_px] if right == 1 else rims[down, 0][:, -depth_px:]


def _with_rims(
    function: ArrayFunction,
    depth_px: int,
    per_row: Sequence[NDArray[Any]],
    first_row: int,
    block: NDArray[Any],
    near: Sequence[tuple[int, int, Near]],
) -> NDArray[Any]:
    """Answer of a function for a block among its neighbours."""
    rims = {(0, 0): block}
    rims |= {(down, right): _rim(of, depth_px, down, right) for down, right, of in near}
    height, width = block.shape

    def answer(rows: slice, cols: slice) -> NDArray[Any]:
        tall, wide = _reach(rows, depth_px, height, rims, 0), _reach(cols, depth_px, width, rims, 1)
        known = (v[tall.start + first_row : tall.stop + first_row] for v in per_row)
        made = function(_joined(rims, tall, wide, depth_px), *known)
        inner = slice(rows.start - tall.start, rows.stop - tall.start)
        return made[..., inner, cols.start - wide.start : cols.stop - wide.start]

    every, across = slice(0, height), slice(0, width)
    if DEEP_SHARE * depth_px > min(height, width):
        return answer(every, across)
    out = function(block, *(v[first_row : first_row + height] for v in per_row))
    sides = {
        (-1, 0): (slice(0, depth_px), across),
        (1, 0): (slice(height - depth_px, height), across),
        (0, -1): (every, slice(0, depth_px)),
        (0, 1): (every, slice(width - depth_px, width)),
    }
    for side in sides.keys() & rims.keys():
        out[..., *sides[side]] = answer(*sides[side])
    return out


def _reach(part: slice, depth_px: int, length: int, rims: Near, axis: int) -> slice:
    """Rows (axis 0) or columns a part of a block looks at; below 0 is the neighbour's."""
    before, after = ((-1, 0), (1, 0)) if axis == 0 else ((0, -1), (0, 1))
    lowest = -depth_px if before in rims else 0
    highest = length + (depth_px if after in rims else 0)
    return slice(max(part.start - depth_px, lowest), min(part.stop + depth_px, highest))


def _joined(rims: Near, tall: slice, wide: slice, depth_px: int) -> NDArray[Any]:
    height, width = rims[0, 0].shape
    rows, cols = _pieces(tall, height, depth_px), _pieces(wide, width, depth_px)
    if rows.keys() == cols.keys() == {0}:
        return rims[0, 0][rows[0], cols[0]]
    lines = [
        np.concatenate([rims[down, right][above, left] for right, left in cols.items()], axis=1)
        for down, above in rows.items()
    ]
    return np.concatenate(lines)


def _pieces(reach: slice, length: int, depth_px: int) -> dict[int, slice]:
    """Parts of a reach that lie in the neighbour before (-1), in the block (0) and after (1)."""
    pieces = {
        -1: slice(min(reach.start, 0) + depth_px, depth_px),
        0: slice(max(reach.start, 0), min(reach.stop, length)),
        1: slice(0, reach.stop - length),
    }
    return {side: piece for side, piece in pieces.items() if piece.stop > piece.start}


def map_looks(
    function: ArrayFunction,
    *stacks: xr.DataArray,
    depth_px: int,
    dtype: DTypeLike,
    name: str,
    attrs: Mapping[str, Any],
) -> xr.DataArray:
    """Apply a function that sees all looks and ``depth_px`` neighbours of every pixel.

    Parameters
    ----------
    function : callable
        ``(time, y, x)`` arrays in, one of the same shape out. What it answers for a pixel must
        depend on pixels up to ``depth_px`` rows and columns away only, the rim of the array
        being cut off, not padded.
    *stacks : DataArray
        Dimensions time, y, x.
    depth_px : int
        Neighbours looked at on each side.
    dtype, name, attrs
        Of the result.
    """
    _require_aligned(stacks)
    first = stacks[0]
    if any(is_lazy(stack) for stack in stacks):
        whole = [blocks.rechunk({0: -1}) for blocks in _same_blocks(stacks)]
        data: Any = _with_margin(function, whole, depth_px, dtype)
    else:
        data = function(*(stack.data for stack in stacks))
    return xr.DataArray(data, dims=first.dims, coords=first.coords, name=name, attrs=dict(attrs))


def _with_margin(
    function: ArrayFunction, blocks: Sequence[Any], depth_px: int, dtype: DTypeLike
) -> Any:
    """Apply to blocks widened by their neighbours; an axis shorter than the margin is one block."""
    ndim = blocks[0].ndim
    depth = dict.fromkeys(range(ndim), 0)
    short = {}
    for axis in (ndim - 2, ndim - 1):
        if depth_px < blocks[0].shape[axis]:
            depth[axis] = depth_px
        else:
            short[axis] = -1
    return da.map_overlap(
        function,
        *(block.rechunk(short) if short else block for block in blocks),
        depth=depth,
        boundary="none",
        dtype=dtype,
        meta=_meta(ndim, dtype),
        allow_rechunk=True,
    )


def reduce_time(
    function: ArrayFunction,
    *stacks: xr.DataArray,
    dtype: DTypeLike,
    name: str,
    attrs: Mapping[str, Any],
    layers: tuple[str, Sequence[Any]] | None = None,
) -> xr.DataArray:
    """Apply a function that eats the time axis.

    Parameters
    ----------
    function : callable
        ``(time, y, x)`` arrays in; ``(y, x)`` out, or ``(k, y, x)`` with ``layers``.
    *stacks : DataArray
        Dimensions time, y, x.
    dtype, name, attrs
        Of the result.
    layers : tuple of (str, sequence), optional
        Name and labels of a new leading dimension.
    """
    _require_aligned(stacks)
    first = stacks[0]
    dims: tuple[str, ...] = SPACE if layers is None else (layers[0], *SPACE)
    if any(is_lazy(stack) for stack in stacks):
        data = _reduce_lazily(function, stacks, dtype, None if layers is None else len(layers[1]))
    else:
        data = function(*(stack.data for stack in stacks))
    coords = _spatial_coords(first)
    if layers is not None:
        coords[layers[0]] = list(layers[1])
    return xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=dict(attrs))


def _reduce_lazily(
    function: ArrayFunction, stacks: Sequence[xr.DataArray], dtype: DTypeLike, layers: int | None
) -> Any:
    whole = [blocks.rechunk({0: -1}) for blocks in _same_blocks(stacks)]
    if layers is None:
        return _reduce_to_plane(function, whole, dtype)
    chunks = ((layers,), *whole[0].chunks[1:])
    return da.map_blocks(function, *whole, dtype=dtype, chunks=chunks, meta=_meta(3, dtype))


def _reduce_to_plane(function: ArrayFunction, whole: Sequence[Any], dtype: DTypeLike) -> Any:
    """As ``map_blocks`` with ``drop_axis``, which copies each block to join it with no other."""

    def on_blocks(*alone: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return function(*(blocks[0] for blocks in alone))

    placed = [part for blocks in whole for part in (blocks, "tyx")]
    return da.blockwise(
        on_blocks,
        "yx",
        *placed,
        dtype=dtype,
        meta=_meta(2, dtype),
        concatenate=False,
        align_arrays=False,
    )


def map_lattice(
    function: ArrayFunction,
    first: xr.DataArray,
    *others: xr.DataArray,
    block_px: int,
    dtype: DTypeLike,
    name: str,
    attrs: Mapping[str, Any],
) -> xr.DataArray:
    """Apply a function to the blocks of a fixed lattice, whatever the chunks.

    For what depends on a whole neighbourhood, such as segments: the answer changes where blocks
    meet, so the blocks must not depend on how the arrays happen to be cut.

    Parameters
    ----------
    function : callable
        ``(k, y, x)`` arrays of one block in; one of the first one's shape out.
    first, *others : DataArray
        Three dimensions, y and x the last two and the same; the leading ones may differ.
    block_px : int
        Rows and columns of a block, counted from the first row and column.
    dtype, name, attrs
        Of the result.
    """
    arrays = (first, *others)
    _require_aligned([array[0].drop_vars([array.dims[0]], errors="ignore") for array in arrays])
    height, width = first.shape[-2:]
    if any(is_lazy(array) for array in arrays):
        data: Any = _lattice_chunks(function, arrays, block_px, dtype)
    else:
        data = np.empty(first.shape, dtype=dtype)
        for y, x in np.ndindex(-(-height // block_px), -(-width // block_px)):
            place = (
                slice(None),
                slice(y * block_px, (y + 1) * block_px),
                slice(x * block_px, (x + 1) * block_px),
            )
            data[place] = function(*(array.data[place] for array in arrays))
    return xr.DataArray(data, dims=first.dims, coords=first.coords, name=name, attrs=dict(attrs))


def _lattice_chunks(
    function: ArrayFunction, arrays: Sequence[xr.DataArray], block_px: int, dtype: DTypeLike
) -> Any:
    cut = {0: -1, 1: block_px, 2: block_px}
    placed: list[Any] = []
    for number, array in enumerate(arrays):
        placed += [da.asarray(array.data).rechunk(cut), (f"k{number}", "y", "x")]
    return da.blockwise(
        function,
        ("k0", "y", "x"),
        *placed,
        dtype=dtype,
        meta=_meta(3, dtype),
        concatenate=True,
        align_arrays=False,
    )


@dataclass(frozen=True)
class Blocks:
    """Blocks of a fixed lattice, to be measured again and again.

    Attributes
    ----------
    parts : sequence
        Arrays of each block by rows of blocks, or what will be them.
    lazy : bool
    """

    parts: Sequence[Any]
    lazy: bool

    def measure(self, function: Callable[..., Any]) -> list[Any]:
        """Compute a small statistic of every block; results in the order of the blocks."""
        if not self.lazy:
            return [function(*part) for part in self.parts]
        measured = delayed(_spread, pure=False)
        return list(compute(*(measured(function, part) for part in self.parts)))


def lattice_blocks(
    prepare: ArrayFunction,
    *arrays: xr.DataArray,
    hold: bool,
    block_px: int = MEASURED_BLOCK_PX,
) -> Blocks:
    """Cut arrays into the blocks that statistics are taken of, whatever their chunks.

    Parameters
    ----------
    prepare : callable
        Array of one block in, what is measured out.
    *arrays : DataArray
        Same dimensions and coordinates, y and x the last two.
    hold : bool
        Compute the prepared blocks now and keep them in memory; else lazy arrays are computed anew
        by every measure.
    block_px : int
        Rows and columns of a block, counted from the first row and column; those at the far edges
        are smaller.

    Notes
    -----
    Measure, fit, apply: transforms and thresholds need the statistics of a whole zone before the
    first pixel can be mapped. Sums are taken by block and added in this order, so they do not
    depend on how the arrays are cut into chunks.
    """
    _require_aligned(arrays)
    height, width = arrays[0].shape[-2:]
    windows = [
        (..., slice(y, y + block_px), slice(x, x + block_px))
        for y in range(0, height, block_px)
        for x in range(0, width, block_px)
    ]
    pieces = [[array.data[window] for array in arrays] for window in windows]
    if not any(is_lazy(array) for array in arrays):
        return Blocks([[prepare(piece) for piece in part] for part in pieces], lazy=False)
    prepared = delayed(_each, pure=False)
    parts: Sequence[Any] = [prepared(prepare, part) for part in pieces]
    return Blocks(persist(*parts) if hold else parts, lazy=True)


def measure_blocks(
    function: Callable[..., Any], *arrays: xr.DataArray, block_px: int = MEASURED_BLOCK_PX
) -> list[Any]:
    """Compute a statistic of every block of the fixed lattice, once.

    Parameters
    ----------
    function : callable
        Plain arrays of one block in, a small statistic out.
    *arrays : DataArray
        Same dimensions and coordinates, y and x the last two.
    block_px : int
        As in :func:`lattice_blocks`.

    Returns
    -------
    list
        Results by rows of blocks, to be reduced in this order.
    """
    return lattice_blocks(np.asarray, *arrays, hold=False, block_px=block_px).measure(function)


def _each(prepare: ArrayFunction, part: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    return [prepare(piece) for piece in part]


def _spread(function: Callable[..., Any], part: Sequence[NDArray[Any]]) -> Any:
    return function(*part)


def _meta(ndim: int, dtype: DTypeLike) -> NDArray[Any]:
    return np.empty((0,) * ndim, dtype=dtype)
