"""Geometric median of many bands along time: the point with the least mean distance to looks."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 64
"""Pixels solved side by side: shorter constant loops are unrolled before they vectorise."""

GRADIENT_TOLERANCE = 1e-4
"""Where the iteration stops: length of the gradient of the mean distance.

A pure number from 0 (the minimum) to 1, so scale and unit of the data do not matter. The mean
distance is convex, so its excess is at most this times the distance to the minimiser.
"""

OVER_RELAXATION = 1.7
"""Factor on a Weiszfeld step; any value under 2 still descends."""

STEPS_PER_ROUND = 10
MOST_ROUNDS = 30


@njit(nogil=True, error_model="numpy")
def _load(stack, first, n, samples, ok, centre, looks):  # type: ignore[no-untyped-def]
    """Copy a block of pixels relative to their mean; lanes past the end stay empty."""
    times, bands, _ = stack.shape
    sums = np.zeros((bands, LANES), dtype=np.float64)
    looks[:] = 0.0
    ok[:] = 0.0
    samples[:] = 0.0
    for t in range(times):
        for i in range(n):
            seen = True
            for b in range(bands):
                seen = seen and math.isfinite(stack[t, b, first + i])
            if seen:
                ok[t, i] = 1.0
                looks[i] += 1.0
                for b in range(bands):
                    sums[b, i] += stack[t, b, first + i]
    for b in range(bands):
        for i in range(LANES):
            centre[b, i] = np.float32(sums[b, i] / max(looks[i], 1.0))
    for t in range(times):
        for b in range(bands):
            for i in range(n):
                if ok[t, i] > 0:
                    samples[t, b, i] = stack[t, b, first + i] - centre[b, i]


@njit(nogil=True, error_model="numpy")
def _pull(samples, ok, point, step, weights, touching, squared):  # type: ignore[no-untyped-def]
    """Sum up unit vectors to the looks (``step``), 1/distance, and the looks at the point."""
    times, bands, _ = samples.shape
    step[:] = 0.0
    weights[:] = 0.0
    touching[:] = 0.0
    for t in range(times):
        seen = ok[t]
        squared[:] = 0.0
        for b in range(bands):
            here, there = samples[t, b], point[b]
            for i in range(LANES):
                gap = here[i] - there[i]
                squared[i] += gap * gap
        for i in range(LANES):
            apart = np.float32(1.0) if squared[i] > 0 else np.float32(0.0)
            touching[i] += seen[i] * (np.float32(1.0) - apart)
            squared[i] = seen[i] * apart / math.sqrt(squared[i] + (np.float32(1.0) - apart))
            weights[i] += squared[i]
        for b in range(bands):
            here, there, toward = samples[t, b], point[b], step[b]
            for i in range(LANES):
                toward[i] += squared[i] * (here[i] - there[i])


@njit(nogil=True, error_model="numpy")
def _length(vectors, squared):  # type: ignore[no-untyped-def]
    squared[:] = 0.0
    for b in range(vectors.shape[0]):
        row = vectors[b]
        for i in range(LANES):
            squared[i] += row[i] * row[i]
    for i in range(LANES):
        squared[i] = math.sqrt(squared[i])


@njit(nogil=True, error_model="numpy")
def _descend(point, step, weights, touching, length, looks, active):  # type: ignore[no-untyped-def]
    """One step of Weiszfeld's iteration; a look at the point itself only holds it back."""
    bands = point.shape[0]
    for i in range(LANES):
        pull = length[i] - touching[i]
        if pull <= np.float32(GRADIENT_TOLERANCE) * looks[i]:
            active[i] = 0.0
        moving = active[i] > 0 and weights[i] > 0
        length[i] = np.float32(OVER_RELAXATION) / weights[i] if moving else np.float32(0.0)
    for b in range(bands):
        here, toward = point[b], step[b]
        for i in range(LANES):
            here[i] += toward[i] * length[i]


@njit(nogil=True, error_model="numpy")
def _nearest(samples, ok, point, nearest, squared, least):  # type: ignore[no-untyped-def]
    times, bands, _ = samples.shape
    least[:] = np.inf
    nearest[:] = 0.0
    for t in range(times):
        squared[:] = 0.0
        for b in range(bands):
            here, there = samples[t, b], point[b]
            for i in range(LANES):
                gap = here[i] - there[i]
                squared[i] += gap * gap
        for i in range(LANES):
            if ok[t, i] > 0 and squared[i] < least[i]:
                least[i] = squared[i]
                for b in range(bands):
                    nearest[b, i] = samples[t, b, i]


@njit(nogil=True, error_model="numpy")
def _solve(stack, out):  # type: ignore[no-untyped-def]
    times, bands, pixels = stack.shape
    samples = np.empty((times, bands, LANES), dtype=np.float32)
    ok = np.empty((times, LANES), dtype=np.float32)
    centre = np.empty((bands, LANES), dtype=np.float32)
    point = np.empty((bands, LANES), dtype=np.float32)
    step = np.empty((bands, LANES), dtype=np.float32)
    nearest = np.empty((bands, LANES), dtype=np.float32)
    looks = np.empty(LANES, dtype=np.float32)
    weights = np.empty(LANES, dtype=np.float32)
    touching = np.empty(LANES, dtype=np.float32)
    length = np.empty(LANES, dtype=np.float32)
    squared = np.empty(LANES, dtype=np.float32)
    active = np.empty(LANES, dtype=np.float32)
    for first in range(0, pixels, LANES):
        n = min(LANES, pixels - first)
        _load(stack, first, n, samples, ok, centre, looks)
        point[:] = 0.0
        active[:] = looks
        for _ in range(MOST_ROUNDS):
            for _ in range(STEPS_PER_ROUND):
                _pull(samples, ok, point, step, weights, touching, squared)
                _length(step, length)
                _descend(point, step, weights, touching, length, looks, active)
                if active.max() == 0:
                    break
            # a look that is itself the minimum is approached ever more slowly: test and take it
            _nearest(samples, ok, point, nearest, squared, length)
            _pull(samples, ok, nearest, step, weights, touching, squared)
            _length(step, length)
            for i in range(LANES):
                # strictly: on a line of evenly many looks the minimum is no single point
                if length[i] < touching[i] - np.float32(GRADIENT_TOLERANCE) * looks[i]:
                    active[i] = 0.0
                    for b in range(bands):
                        point[b, i] = nearest[b, i]
            if active.max() == 0:
                break
        for b in range(bands):
            for i in range(n):
                out[b, first + i] = centre[b, i] + point[b, i] if looks[i] > 0 else np.nan


def geomedian(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Geometric median along time, all bands together.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, band, y, x)
        A look counts where all its bands are finite.

    Returns
    -------
    ndarray of float32, shape (band, y, x)
        NaN where there is no look; the look itself where there is one, the middle of two.

    Notes
    -----
    Roberts, Mueller & McIntyre 2017, doi:10.1109/TGRS.2017.2723896. Weiszfeld's iteration from the
    mean of the looks, over-relaxed, until the gradient is under ``GRADIENT_TOLERANCE``. A point at
    a look is the minimum where the others pull no harder than there are looks in that place (Vardi
    & Zhang 2000, doi:10.1073/pnas.97.4.1423). A pixel never sees its neighbours, so tiles do not
    matter.
    """
    times, bands, rows, cols = stack.shape
    out = np.empty((bands, rows * cols), dtype=np.float32)
    flat = np.ascontiguousarray(stack, dtype=np.float32).reshape(times, bands, rows * cols)
    _solve(flat, out)
    return out.reshape(bands, rows, cols)
