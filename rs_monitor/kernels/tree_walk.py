"""The one walk of many pixels down flat trees that forests and boosting share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.compiling import IN_KERNEL
from rs_monitor.kernels.trees import LEAF_CUT, FlatTrees, require_features

LANES: Final = 256
"""Pixels that go down a tree together: their reads overlap, none waits for another."""

LEVELS_UNASKED: Final = 5
"""Levels walked before it is asked which pixels have arrived."""

MIN_BLOCK_PX: Final = 512
MAX_BLOCK_PX: Final = 4096
BLOCKS_PER_CALL: Final = 32
"""A call is cut into this many blocks, so that what it needs beside its result stays small."""


@njit(nogil=True)
def _next_seen(seen, start, index):  # type: ignore[no-untyped-def]
    """Fill ``index`` with the next seen pixels; how many, and where to go on."""
    count = 0
    for i in range(start, seen.shape[0]):
        if seen[i]:
            if count == index.shape[0]:
                return count, i
            index[count] = i
            count += 1
    return count, seen.shape[0]


@njit(nogil=True)
def _gather(bits, index, keys):  # type: ignore[no-untyped-def]
    """Keys of the block's pixels; -0 is just below 0, which no threshold tells apart."""
    width = bits.shape[2]
    sign, infinity = np.uint32(2**31), np.uint32(0x7F800000)
    for i in range(index.shape[0]):
        row, col = index[i] // width, index[i] % width
        own = keys[i]
        for f in range(bits.shape[0]):
            b = bits[f, row, col]
            size = b & ~sign
            if size > infinity:
                own[f] = LEAF_CUT
            elif b == size:
                own[f] = size | sign
            else:
                own[f] = ~b


@njit(**IN_KERNEL)
def _descend(keys, column, threshold, left, at, active):  # type: ignore[no-untyped-def]
    """Walk pixels down one tree, all by a level at a time; those in leaves fall out."""
    one = np.uint16(1)
    count = keys.shape[0]
    for i in range(count):
        at[i] = np.uint32(0)
        active[i] = np.uint32(i)
    for _ in range(LEVELS_UNASKED):
        for i in range(count):
            node = at[i]
            c = column[node]
            key = np.uint32(keys[i, c >> one] + np.uint32(c & one))
            at[i] = np.uint32(left[node] + np.uint32(key > threshold[node]))
    while count > 0:
        walking = 0
        for k in range(count):
            i = active[k]
            node = at[i]
            c = column[node]
            key = np.uint32(keys[i, c >> one] + np.uint32(c & one))
            child = np.uint32(left[node] + np.uint32(key > threshold[node]))
            at[i] = child
            active[walking] = i
            walking += child != node
        count = walking


@njit(nogil=True, error_model="numpy")
def _sum_leaves(keys, roots, column, threshold, left, leaf, values, output, at, active, sums):  # type: ignore[no-untyped-def]
    """Add what every tree's leaf says: trees outermost, so that one stays in the nearest cache."""
    pixels, width = keys.shape[0], values.shape[1]
    sums[:] = 0.0
    for tree in range(roots.shape[0]):
        first = roots[tree]
        end = roots[tree + 1] if tree + 1 < roots.shape[0] else np.uint32(left.shape[0])
        columns, cuts = column[first:end], threshold[first:end]
        children, leaves = left[first:end], leaf[first:end]
        for start in range(0, pixels, LANES):
            stop = min(start + LANES, pixels)
            _descend(keys[start:stop], columns, cuts, children, at, active)
            for i in range(stop - start):
                said, total = values[leaves[at[i]]], sums[start + i]
                for c in range(width):
                    total[output[tree] + c] += said[c]


@njit(nogil=True)
def _any_finite(bits, seen):  # type: ignore[no-untyped-def]
    beyond = np.uint32(0x7F800000)
    for f in range(bits.shape[0]):
        for row in range(bits.shape[1]):
            for col in range(bits.shape[2]):
                seen[row, col] |= (bits[f, row, col] & beyond) != beyond


def seen_pixels(x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels with a finite value in any feature.

    Parameters
    ----------
    x : ndarray of float32, shape (features, y, x)

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    seen = np.zeros(x.shape[1:], dtype=np.bool_)
    _any_finite(np.asarray(x, dtype=np.float32).view(np.uint32), seen)
    return seen


def pixel_planes(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """View pixels (n, features) as planes (features, n, 1); planes stay what they are."""
    return x if x.ndim == 3 else x.T[:, :, None]


def leaf_sums(
    x: NDArray[np.float32],
    trees: FlatTrees,
    values: NDArray[Any],
    output: NDArray[np.uint16],
    columns: int,
    seen: NDArray[np.bool_],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Sums over the trees, block by block of seen pixels.

    Parameters
    ----------
    x : ndarray of float32, shape (features, y, x)
        Any strides.
    trees : FlatTrees
    values : ndarray of float32 or float64, shape (leaves, k)
        What a leaf adds to ``k`` columns.
    output : ndarray of uint16, shape (trees,)
        First of the columns a tree adds to.
    columns : int
        Of the sums.
    seen : ndarray of bool, shape (y * x,)

    Yields
    ------
    tuple of ndarray
        Index of each pixel in ``seen``, and its sums (pixels, columns); overwritten by the next
        block.
    """
    bits = x.view(np.uint32)
    block = min(max(len(seen) // BLOCKS_PER_CALL, MIN_BLOCK_PX), MAX_BLOCK_PX)
    index = np.empty(block, dtype=np.int64)
    keys = np.empty((block, len(bits)), dtype=np.uint32)
    sums = np.empty((block, columns), dtype=np.float64)
    at, active = np.empty(LANES, dtype=np.uint32), np.empty(LANES, dtype=np.uint32)
    arrays = (trees.roots, trees.column, trees.threshold, trees.left, trees.leaf, values, output)
    start = 0
    while start < len(seen):
        count, start = _next_seen(seen, start, index)
        _gather(bits, index[:count], keys)
        _sum_leaves(keys[:count], *arrays, at, active, sums[:count])
        yield index[:count], sums[:count]


Finish = Callable[[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32]], None]


def walk_pixels(
    x: NDArray[np.float32],
    trees: FlatTrees,
    values: NDArray[Any],
    output: NDArray[np.uint16],
    shape: tuple[int, int],
    finish: Finish,
    *,
    seen: NDArray[np.bool_] | None,
    out: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Class probabilities of pixels or planes of pixels.

    Parameters
    ----------
    x : ndarray of float32, shape (n, features) or (features, y, x)
    trees, values, output
        As in :func:`leaf_sums`.
    shape : tuple of int
        Columns of the sums, classes.
    finish : callable
        (index of pixels, their sums, planes of the result) writes the probabilities.
    seen : ndarray of bool, shape (n,) or (y, x), optional
    out : ndarray of float32, shape (n, classes) or (classes, y, x), optional

    Raises
    ------
    ModelMismatch
        If the trees ask for features that ``x`` lacks.
    ValueError
        If ``seen`` or ``out`` does not fit ``x``.
    """
    x = np.asarray(x, dtype=np.float32)
    columns, classes = shape
    if x.ndim not in (2, 3):
        raise ValueError(
            f"got pixels of shape {x.shape}; needed (n, features) or (features, y, x); reshape them"
        )
    planes = pixel_planes(x)
    require_features(trees, len(planes))
    space = x.shape[1:] if x.ndim == 3 else x.shape[:1]
    wanted = (classes, *space) if x.ndim == 3 else (*space, classes)
    out = np.empty(wanted, dtype=np.float32) if out is None else out
    _require_fits("out", out, wanted, np.float32)
    every = np.ones(space, dtype=np.bool_) if seen is None else seen
    _require_fits("seen", every, space, np.bool_)
    target, flat = pixel_planes(out), np.ascontiguousarray(every).reshape(-1)
    if seen is not None:
        np.copyto(target, np.float32(np.nan), where=~flat.reshape(target.shape[1:]))
    for index, sums in leaf_sums(planes, trees, values, output, columns, flat):
        finish(index, sums, target)
    return out


def _require_fits(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"got {name} of {array.dtype} {array.shape}; needed {np.dtype(dtype).name} {shape}; "
            "give an array for the same pixels"
        )
