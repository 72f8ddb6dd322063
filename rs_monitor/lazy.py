"""The only lifts from a kernel to xarray and dask: pixels, windows, looks, time.

Each accepts eager or lazy input and returns the same kind on the same grid; none computes. Names
and attributes are written, never inherited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from rs_monitor.errors import GridMismatch

ArrayFunction = Callable[..., NDArray[Any]]
SPACE = ("y", "x")


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
) -> xr.DataArray:
    """Apply a function that looks ``depth_px`` neighbours far to a (y, x) array.

    The function must leave its outermost ``depth_px`` rows and columns as NaN; where blocks
    meet they are replaced by the neighbour's values.
    """
    if is_lazy(array):
        data: Any = _with_margin(function, [array.data], depth_px, dtype)
    else:
        data = function(array.data)
    coords = _spatial_coords(array)
    return xr.DataArray(data, dims=SPACE, coords=coords, name=name, attrs=dict(attrs))


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
        return da.map_blocks(function, *whole, dtype=dtype, drop_axis=0, meta=_meta(2, dtype))
    chunks = ((layers,), *whole[0].chunks[1:])
    return da.map_blocks(function, *whole, dtype=dtype, chunks=chunks, meta=_meta(3, dtype))


def _meta(ndim: int, dtype: DTypeLike) -> NDArray[Any]:
    return np.empty((0,) * ndim, dtype=dtype)
