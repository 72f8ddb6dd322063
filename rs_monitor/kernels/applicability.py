"""Distance of many pixels to the nearest of a few training points, missing values left out."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.compiling import IN_KERNEL

LANES = 128

AT_ONCE = 4
"""Points whose distances are summed side by side: each load of a pixel serves all of them."""


@njit(**IN_KERNEL)
def _load(features, scale, center, start, count, values, present):  # type: ignore[no-untyped-def]
    """Scaled features of a lane, missing ones as 0 beside a 0 in ``present``."""
    for f in range(features.shape[0]):
        row = features[f, start : start + count]
        value, there = values[f], present[f]
        factor, middle = scale[f], center[f]
        for i in range(count):
            v = (row[i] - middle) * factor
            there[i] = np.float32(v == v)
            value[i] = v if v == v else np.float32(0)


@njit(**IN_KERNEL)
def _seen_of(present, share, seen):  # type: ignore[no-untyped-def]
    seen[:] = 0
    for f in range(share.shape[0]):
        there, s = present[f], share[f]
        for i in range(LANES):
            seen[i] += s * there[i]


@njit(**IN_KERNEL)
def _squares_of_four(values, present, four, one, two, three, last):  # type: ignore[no-untyped-def]
    one[:] = 0
    two[:] = 0
    three[:] = 0
    last[:] = 0
    for f in range(values.shape[0]):
        row, there = values[f], present[f]
        p1, p2, p3, p4 = four[0, f], four[1, f], four[2, f], four[3, f]
        for i in range(LANES):
            v, t = row[i], there[i]
            d1, d2, d3, d4 = (v - p1) * t, (v - p2) * t, (v - p3) * t, (v - p4) * t
            one[i] += d1 * d1
            two[i] += d2 * d2
            three[i] += d3 * d3
            last[i] += d4 * d4


@njit(**IN_KERNEL)
def _squares_of_seen(values, present, point, share, squares, seen):  # type: ignore[no-untyped-def]
    squares[:] = 0
    seen[:] = 0
    for f in range(values.shape[0]):
        p, s = point[f], share[f]
        if p == p:
            row, there = values[f], present[f]
            for i in range(LANES):
                d = (row[i] - p) * there[i]
                squares[i] += d * d
                seen[i] += s * there[i]


@njit(nogil=True)
def _nearest(features, whole, broken, unit, share, center, scale, least, out):  # type: ignore[no-untyped-def]
    count_f, pixels = features.shape
    values = np.zeros((count_f, LANES), dtype=np.float32)
    present = np.zeros((count_f, LANES), dtype=np.float32)
    one, two = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    three, last = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    seen = np.empty(LANES, dtype=np.float32)
    common = np.empty(LANES, dtype=np.float32)
    best = np.empty(LANES, dtype=np.float32)
    nothing = np.float32(math.inf)
    for start in range(0, pixels, LANES):
        count = min(LANES, pixels - start)
        _load(features, scale, center, start, count, values, present)
        _seen_of(present, share, seen)
        best[:] = nothing
        for k in range(0, whole.shape[0], AT_ONCE):
            _squares_of_four(values, present, whole[k : k + AT_ONCE], one, two, three, last)
            u1, u2, u3, u4 = unit[k], unit[k + 1], unit[k + 2], unit[k + 3]
            for i in range(LANES):
                nearest = min(one[i] * u1, two[i] * u2, three[i] * u3, last[i] * u4)
                best[i] = min(best[i], nearest)
        for i in range(LANES):
            best[i] = best[i] / seen[i] if seen[i] >= least else nothing
        for k in range(broken.shape[0]):
            u1 = unit[whole.shape[0] + k]
            _squares_of_seen(values, present, broken[k], share, one, common)
            for i in range(LANES):
                part = one[i] * u1 / common[i] if common[i] >= least else nothing
                best[i] = min(best[i], part)
        for i in range(count):
            gone = True
            for f in range(count_f):
                gone &= present[f, i] == 0
            out[start + i] = np.float32(math.nan) if gone else math.sqrt(best[i])


def nearest_distance(
    features: NDArray[np.float32],
    points: NDArray[np.float32],
    reach: NDArray[np.float32],
    *,
    center: NDArray[np.float32],
    scale: NDArray[np.float32],
    share: NDArray[np.float32],
    min_seen_share: float,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Distance of every pixel to the point that is nearest in its own unit.

    Parameters
    ----------
    features : ndarray of float32, shape (features, ...)
        NaN = missing.
    points : ndarray of float32, shape (points, features)
        Already scaled: ``(value - center) * scale``; NaN = missing.
    reach : ndarray of float32, shape (points,)
        Unit of the distance to each point, above 0.
    center, scale : ndarray of float32, shape (features,)
        Scaling of ``features``.
    share : ndarray of float32, shape (features,)
        Part of each feature in a squared distance; they sum to 1.
    min_seen_share : float
        A point with which less than this is seen in common is no neighbour.
    out : ndarray of float32, shape (...), C-contiguous, optional
        Written to.

    Returns
    -------
    ndarray of float32, shape (...)
        Square root of the sum of squared scaled differences over the features that pixel and
        point both have, divided by the ``share`` that these have (the partial
        distance of Dixon 1979, doi:10.1109/TSMC.1979.4310090), over the point's reach. Infinite
        if no point has enough in common; NaN if the pixel has no feature at all.
    """
    if out is None:
        out = np.empty(features.shape[1:], dtype=np.float32)
    flat = np.ascontiguousarray(features, dtype=np.float32).reshape(features.shape[0], -1)
    gaps = np.isnan(points).any(axis=1)
    order = np.concatenate([np.flatnonzero(~gaps), np.flatnonzero(gaps)])
    filled = int((~gaps).sum())
    order = np.insert(order, filled, np.repeat(order[:1], -filled % AT_ONCE))
    filled += -filled % AT_ONCE
    ordered = points[order]
    unit = (1 / reach.astype(np.float64)[order] ** 2).astype(np.float32)
    # sums of float32 shares end a rounding below their true value
    least = np.float32(max(min_seen_share, 1e-4) - 1e-5)
    whole, broken = ordered[:filled], ordered[filled:]
    _nearest(flat, whole, broken, unit, share, center, scale, least, out.reshape(-1))
    return out
