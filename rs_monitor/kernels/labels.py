"""Connected groups of pixels: runs of rows joined by union and find."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int32 = NDArray[np.int32]


class _Runs(NamedTuple):
    """Runs of set pixels of a strip, row by row; ``first[y]`` numbers the first run of row y."""

    first: Int32
    start: Int32
    stop: Int32
    parent: Int32


@njit(nogil=True)
def _count_runs(mask, first):  # type: ignore[no-untyped-def]
    total = 0
    for y in range(mask.shape[0]):
        first[y] = total
        row = mask[y]
        total += row[0] != 0
        for x in range(1, row.shape[0]):
            total += (row[x] != 0) & (row[x - 1] == 0)
    first[mask.shape[0]] = total


@njit(nogil=True)
def _find_runs(mask, start, stop):  # type: ignore[no-untyped-def]
    k = 0
    width = mask.shape[1]
    for y in range(mask.shape[0]):
        row = mask[y]
        x = 0
        while x < width:
            if row[x] == 0:
                x += 1
                continue
            start[k] = x
            while x < width and row[x] != 0:
                x += 1
            stop[k] = x
            k += 1


@njit(nogil=True)
def _root(parent, k):  # type: ignore[no-untyped-def]
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@njit(nogil=True)
def _join_rows(above, above_end, below, below_end, reach, start, stop, parent):  # type: ignore[no-untyped-def]
    """Unite runs of two rows that touch; the smaller number leads, so groups keep their order."""
    while above < above_end and below < below_end:
        if start[above] < stop[below] + reach and start[below] < stop[above] + reach:
            one, other = _root(parent, above), _root(parent, below)
            if one < other:
                parent[other] = one
            elif other < one:
                parent[one] = other
        if stop[above] < stop[below]:
            above += 1
        else:
            below += 1


@njit(nogil=True)
def _join_strip(first, start, stop, parent, reach):  # type: ignore[no-untyped-def]
    for k in range(parent.shape[0]):
        parent[k] = k
    for y in range(1, first.shape[0] - 1):
        _join_rows(first[y - 1], first[y], first[y], first[y + 1], reach, start, stop, parent)


@njit(nogil=True)
def _number(parent, start, stop, min_px):  # type: ignore[no-untyped-def]
    """Turn parents into numbers 1..n of the large enough groups, by first run; 0 = too small."""
    size = np.zeros(parent.shape[0], dtype=np.int64)
    for k in range(parent.shape[0]):
        parent[k] = parent[parent[k]]
        size[parent[k]] += stop[k] - start[k]
    count = 0
    for k in range(parent.shape[0]):
        leader = parent[k]
        if leader != k:
            parent[k] = parent[leader]
        elif size[k] >= min_px:
            count += 1
            parent[k] = count
        else:
            parent[k] = 0
    return count


@njit(nogil=True)
def _paint(first, start, stop, number, out):  # type: ignore[no-untyped-def]
    for y in range(out.shape[0]):
        row = out[y]
        row[:] = 0
        for k in range(first[y], first[y + 1]):
            for x in range(start[k], stop[k]):
                row[x] = number[k]


def _strip_runs(mask: NDArray[Any], reach: int) -> _Runs:
    first = np.empty(mask.shape[0] + 1, dtype=np.int32)
    _count_runs(mask, first)
    start, stop, parent = (np.empty(int(first[-1]), dtype=np.int32) for _ in range(3))
    _find_runs(mask, start, stop)
    _join_strip(first, start, stop, parent, reach)
    return _Runs(first, start, stop, parent)


def _joined(strips: list[_Runs], reach: int) -> _Runs:
    """All strips as one, their touching rows united."""
    if len(strips) == 1:
        return strips[0]
    offsets = np.cumsum([0, *(strip.first[-1] for strip in strips)])
    whole = _Runs(
        np.concatenate(
            [strip.first[:-1] + at for strip, at in zip(strips, offsets, strict=False)]
            + [offsets[-1:]]
        ).astype(np.int32),
        np.concatenate([strip.start for strip in strips]),
        np.concatenate([strip.stop for strip in strips]),
        np.concatenate(
            [strip.parent + at for strip, at in zip(strips, offsets, strict=False)],
            dtype=np.int32,
            casting="unsafe",
        ),
    )
    y = 0
    for strip in strips[:-1]:
        y += len(strip.first) - 1
        f = whole.first
        _join_rows(f[y - 1], f[y], f[y], f[y + 1], reach, whole.start, whole.stop, whole.parent)
    return whole


def label_groups(
    mask: NDArray[np.bool_ | np.uint8],
    *,
    diagonal: bool = True,
    min_px: int = 1,
    threads: int = 1,
    out: Int32 | None = None,
) -> tuple[Int32, int]:
    """Number the connected groups of set pixels.

    Parameters
    ----------
    mask : ndarray of bool or uint8, shape (y, x)
        Set where not 0.
    diagonal : bool
        Whether pixels that touch at a corner are connected (8-connected), or only those that
        share an edge (4-connected).
    min_px : int
        Smaller groups are left out, before the others are numbered.
    threads : int
        Strips of rows labelled side by side; the result does not depend on it.
    out : ndarray of int32, shape (y, x), optional
        Written instead of a new array.

    Returns
    -------
    ndarray of int32, shape (y, x)
        1..n in the order of the first pixel by rows; 0 = not set.
    int
        Number of groups.

    Notes
    -----
    Runs instead of pixels: He, Chao & Suzuki (2008), doi:10.1109/TIP.2008.917205. Equal to
    ``scipy.ndimage.label``, numbers included: ``tests/kernels/test_labels.py``.
    """
    labels = np.empty(mask.shape, dtype=np.int32) if out is None else out
    if mask.size == 0:
        return labels, 0
    reach = 1 if diagonal else 0
    rows = np.linspace(0, mask.shape[0], min(threads, mask.shape[0]) + 1).astype(int)
    parts = [slice(a, b) for a, b in itertools.pairwise(rows)]
    with ThreadPoolExecutor(threads) as pool:
        strips = list(pool.map(lambda part: _strip_runs(mask[part], reach), parts))
        runs = _joined(strips, reach)
        count = int(_number(runs.parent, runs.start, runs.stop, min_px))
        list(
            pool.map(
                lambda part: _paint(
                    runs.first[part.start : part.stop + 1],
                    runs.start,
                    runs.stop,
                    runs.parent,
                    labels[part],
                ),
                parts,
            )
        )
    return labels, count


@njit(nogil=True)
def _renumber(labels, numbers, out):  # type: ignore[no-untyped-def]
    count = 0
    for y in range(labels.shape[0]):
        row, new = labels[y], out[y]
        for x in range(labels.shape[1]):
            of = row[x]
            if of > 0 and numbers[of] < 0:
                count += 1
                numbers[of] = count
            new[x] = numbers[of]
    return count


def renumber_groups(labels: Int32, kept: NDArray[np.bool_]) -> tuple[Int32, int]:
    """Number the kept groups anew, in the order of their first pixel by rows.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = no group.
    kept : ndarray of bool, shape (largest label + 1,)
        Which groups stay; the others become 0. Entry 0 does not matter.

    Returns
    -------
    ndarray of int32, shape (y, x)
    int
        Number of groups that are left.
    """
    numbers = np.where(kept, -1, 0).astype(np.int32)
    numbers[0] = 0
    out = np.empty_like(labels)
    return out, _renumber(labels, numbers, out)
