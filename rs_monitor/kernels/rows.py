"""Rows of an array as kernels see them: views in memory order, factors and outputs per row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from rs_monitor.errors import GridMismatch

Metres = float | NDArray[np.floating]
Float32 = NDArray[np.float32]


def flat_rows(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """All of an array as one line of memory, and the elements from row to row.

    A block cut out of a wider grid keeps its gaps between rows: no copy, and loops over a row
    still see neighbours side by side. Other layouts are copied.
    """
    height, width = array.shape
    size = array.itemsize
    if array.size == 0 or array.strides[1] != size or array.strides[0] < width * size:
        array = np.ascontiguousarray(array)
    step = array.strides[0] // size if height > 1 else width
    length = (height - 1) * step + width if array.size else 0
    return as_strided(array, (length,), (size,)), step


def per_row(spacing_m: Metres, height: int, factor: float, dtype: DTypeLike) -> NDArray[Any]:
    """Factor over spacing, for every row.

    Raises
    ------
    GridMismatch
        If there is another number of spacings than rows, or one is not positive.
    """
    spacing = np.asarray(spacing_m, np.float64)
    if spacing.shape not in {(), (height,)} or not (spacing > 0).all():
        raise GridMismatch(
            f"got spacings {spacing_m!r} for {height} rows; needed one positive length in metres "
            "for all rows or one per row; call grid.row_spacing_m"
        )
    return np.broadcast_to(factor / spacing, (height,)).astype(dtype)


def room_for(
    dem: NDArray[Any], out: Float32 | None = None, layers: tuple[int, ...] = ()
) -> Float32:
    """Take the given output, or make one.

    Raises
    ------
    GridMismatch
        If it cannot take the result in place.
    """
    shape = (*layers, *dem.shape)
    if out is None:
        return np.empty(shape, np.float32)
    in_rows = out.strides[-1] == out.itemsize and out.strides[-2] >= dem.shape[1] * out.itemsize
    if out.shape != shape or out.dtype != np.float32 or not in_rows:
        raise GridMismatch(
            f"got out of shape {out.shape} and type {out.dtype}; needed {shape} float32 with "
            "contiguous rows; allocate it with numpy.empty"
        )
    return out
