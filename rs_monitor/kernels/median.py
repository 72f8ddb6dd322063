"""Median along time by a network of exchanges of whole rows of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.errors import GridMismatch

LANES = 256
"""Pixels sorted side by side: rows long enough to hide the walk over the network, still in L1."""

_BOTH, _LESSER, _GREATER = 0, 1, 2

_NO_MASK = np.empty(0, dtype=np.uint8)


@cache
def median_network(times: int) -> NDArray[np.int64]:
    """Exchanges that bring the middle of a series into its place.

    Parameters
    ----------
    times : int
        Length of the series.

    Returns
    -------
    ndarray of int64, shape (exchanges, 3)
        Two rows, and whether both results, only the lesser (of the first row) or only the greater
        (of the second) are needed. Ranks ``(times - 1) // 2`` and the next one end up in place.

    Notes
    -----
    Batcher's merge exchange sort for any length (Knuth, The Art of Computer Programming 3,
    algorithm 5.2.2M), without what the two ranks do not depend on.
    """
    needed = {(times - 1) // 2, (times - 1) // 2 + 1}
    kept = []
    for first, second in reversed(merge_exchange(times)):
        if needed.isdisjoint((first, second)):
            continue
        kind = _BOTH if {first, second} <= needed else _LESSER if first in needed else _GREATER
        needed |= {first, second}
        kept.append((first, second, kind))
    return np.array(kept[::-1], dtype=np.int64).reshape(-1, 3)


def merge_exchange(times: int) -> list[tuple[int, int]]:
    """Comparators that sort any number of values (Knuth, TAOCP 3, algorithm 5.2.2M)."""
    pairs = []
    most = 1 << max(0, (times - 1).bit_length() - 1)
    p = most if times > 1 else 0
    while p > 0:
        q, r, d = most, 0, p
        while True:
            pairs += [(i, i + d) for i in range(times - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return pairs


@njit(nogil=True, error_model="numpy")
def _exchange(rows, network):  # type: ignore[no-untyped-def]
    for k in range(network.shape[0]):
        a, b, kind = rows[network[k, 0]], rows[network[k, 1]], network[k, 2]
        if kind == _LESSER:
            for i in range(LANES):
                x, y = a[i], b[i]
                a[i] = x if x < y else y
        elif kind == _GREATER:
            for i in range(LANES):
                x, y = a[i], b[i]
                b[i] = y if x < y else x
        else:
            for i in range(LANES):
                x, y = a[i], b[i]
                a[i] = x if x < y else y
                b[i] = y if x < y else x


@njit(nogil=True, error_model="numpy")
def _is_count(v):  # type: ignore[no-untyped-def]
    return v != 0


@njit(nogil=True, error_model="numpy")
def _is_finite(v):  # type: ignore[no-untyped-def]
    return abs(v) < np.float32(np.inf)


@njit(nogil=True, error_model="numpy")
def _gather(flat, step, first, seen, seen_step, seen_first, n, none, rows):  # type: ignore[no-untyped-def]
    """Looks of a run of pixels; ``none`` where they are not clear."""
    for t in range(rows.shape[0]):
        values, into = flat[t * step + first : t * step + first + n], rows[t]
        if len(seen) == 0:
            for i in range(n):
                into[i] = values[i]
        else:
            clear = seen[t * seen_step + seen_first : t * seen_step + seen_first + n]
            for i in range(n):
                into[i] = values[i] if clear[i] != 0 else none


@njit(nogil=True, error_model="numpy")
def _split_missing(rows, is_value, ends, missed):  # type: ignore[no-untyped-def]
    """Give missing looks the one and the other end of the range in turn, and count them."""
    odd, even = ends
    for t in range(rows.shape[0]):
        row = rows[t]
        for i in range(row.shape[0]):
            v = row[i]
            held = is_value(v)
            row[i] = v if held else even if missed[i] & 1 else odd
            missed[i] += np.uint16(0) if held else np.uint16(1)


@njit(nogil=True, error_model="numpy")
def _middle(lower, upper, missed, times, fewest, out):  # type: ignore[no-untyped-def]
    half = np.float32(0.5)
    for i in range(len(out)):
        looks = times - np.int32(missed[i])
        one, two = np.float32(lower[i]), np.float32(upper[i])
        value = one if looks & 1 else half * (one + two)
        out[i] = value if looks >= fewest else np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _medians(flat, steps, seen, seen_steps, is_value, none, ends, network, times, fewest, out):  # type: ignore[no-untyped-def]
    lines, width = out.shape
    rows = np.zeros((times, LANES), dtype=flat.dtype)
    missed = np.empty(LANES, dtype=np.uint16)
    lower = (times - 1) // 2
    upper = min(lower + 1, times - 1)
    for line in range(lines):
        at, seen_at = line * steps[1], line * seen_steps[1]
        for x in range(0, width, LANES):
            n = min(LANES, width - x)
            _gather(flat, steps[0], at + x, seen, seen_steps[0], seen_at + x, n, none, rows)
            missed[:] = 0
            _split_missing(rows, is_value, ends, missed)
            _exchange(rows, network)
            _middle(rows[lower], rows[upper], missed, times, fewest, out[line, x : x + n])


def median_of_looks(
    stack: NDArray[np.uint16] | NDArray[np.float32],
    clear: NDArray[np.bool_] | None = None,
    *,
    min_looks: int = 1,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Median along time of the looks that are clear and hold a value.

    Parameters
    ----------
    stack : ndarray of uint16 or float32, shape (time, y, x)
        uint16: 0 = not seen. float32: not finite = not seen. Other types are cast to float32.
    clear : ndarray of bool, shape (time, y, x), optional
        False = not seen, whatever the value.
    min_looks : int
        Fewer looks give NaN; at least one is needed.
    out : ndarray of float32, shape (y, x), optional
        C-contiguous, to write into.

    Returns
    -------
    ndarray of float32, shape (y, x)
        The middle look, or the mean of the two middle ones, exactly; NaN = not seen often enough.

    Raises
    ------
    GridMismatch
        If the shapes differ, or ``out`` is no contiguous float32 array.

    Notes
    -----
    Whole rows of pixels are exchanged by minimum and maximum (:func:`median_network`), which the
    compiler turns into packed instructions. Missing looks are split evenly between both ends, so
    that the middle of the others has the same rank in every pixel. Extra memory: one block.
    """
    times = len(stack)
    if out is None:
        out = np.empty(stack.shape[1:], dtype=np.float32)
    _require_fitting(stack, clear, out)
    if times == 0:
        out[:] = np.nan
        return out
    given: list[NDArray[Any]] = [stack] if clear is None else [stack, clear.view(np.uint8)]
    if stack.dtype != np.uint16:
        given[0] = stack.astype(np.float32, copy=False)
    readable = _with_long_rows(given)
    values, mask = readable[0], readable[-1]
    is_value, none, ends = _missing(values.dtype, times)
    network, fewest = median_network(times), np.int32(max(1, min_looks))
    _medians(
        _as_line(values), _steps(values), _NO_MASK if clear is None else _as_line(mask),
        _steps(mask), is_value, none, ends, network, times, fewest, out.reshape(values.shape[1:]),
    )  # fmt: skip
    return out


def _require_fitting(
    stack: NDArray[Any], clear: NDArray[np.bool_] | None, out: NDArray[np.float32]
) -> None:
    if clear is not None and clear.shape != stack.shape:
        raise GridMismatch(
            f"got looks of {stack.shape} and a mask of {clear.shape}; needed one shape; "
            "load both on one grid"
        )
    if out.shape != stack.shape[1:] or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise GridMismatch(
            f"got out of {out.shape} {out.dtype}; needed contiguous {stack.shape[1:]} float32; "
            "leave it out or make it with numpy.empty"
        )


def _missing(dtype: np.dtype[Any], times: int) -> tuple[Any, Any, tuple[Any, Any]]:
    """What tells a look from none, what stands for none, and where the missing go in turn."""
    counts = dtype == np.uint16
    none, least, greatest = (0, 0, 65535) if counts else (np.nan, -np.inf, np.inf)
    # an odd one out among the missing goes to where the lower middle rank stays the same
    ends = (least, greatest) if times % 2 else (greatest, least)
    is_value = _is_count if counts else _is_finite
    return is_value, dtype.type(none), (dtype.type(ends[0]), dtype.type(ends[1]))


def _with_long_rows(stacks: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Stacks of one shape (time, line, pixel) whose lines are contiguous; copied only if need be.

    The planes of a strip are one line, those of a wide chunk of a larger stack many.
    """
    times, _, width = stacks[0].shape
    if all(_has_lines(stack) for stack in stacks):
        if all(stack[0].flags.c_contiguous for stack in stacks):
            return [stack.reshape(times, 1, -1) for stack in stacks]
        if width >= LANES:
            return list(stacks)
    return [np.ascontiguousarray(stack).reshape(times, 1, -1) for stack in stacks]


def _has_lines(stack: NDArray[Any]) -> bool:
    whole = all(step >= 0 and step % stack.itemsize == 0 for step in stack.strides)
    return whole and stack.strides[2] == stack.itemsize


def _steps(stack: NDArray[Any]) -> tuple[int, int]:
    """From plane to plane and from line to line, in values."""
    return stack.strides[0] // stack.itemsize, stack.strides[1] // stack.itemsize


def _as_line(stack: NDArray[Any]) -> NDArray[Any]:
    """Memory from the first value of a stack to its last one."""
    if stack.size == 0:
        return stack.reshape(-1)
    last = sum((n - 1) * step for n, step in zip(stack.shape, stack.strides, strict=True))
    length = last // stack.itemsize + 1
    return np.lib.stride_tricks.as_strided(stack, (length,), (stack.itemsize,), writeable=False)
