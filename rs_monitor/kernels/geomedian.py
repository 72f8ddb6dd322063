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

MOST_RELAXATION = 8.0
"""Largest factor on a Weiszfeld step, as the steps before suggest it."""

SAFE_RELAXATION = 1.7
"""The same after ``ROUNDS_TO_SUGGEST``: any factor under 2 descends for certain."""

ROUNDS_TO_SUGGEST = 3

NEAR = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""Allows fused and approximate float32; leaves NaN and infinity alone."""

STEPS_PER_ROUND = 10
MOST_ROUNDS = 30


@njit(nogil=True, error_model="numpy")
def _load(stack, first, n, samples, ok, centre, looks, sums):  # type: ignore[no-untyped-def]
    """Copy a block of pixels relative to their mean; lanes past the end stay empty."""
    times, bands, _ = stack.shape
    sums[:] = 0.0
    looks[:] = 0.0
    for t in range(times):
        seen = ok[t]
        seen[n:] = 0.0
        for i in range(n):
            seen[i] = 1.0
        for b in range(bands):
            values, into = stack[t, b, first : first + n], samples[t, b]
            for i in range(n):
                into[i] = values[i]
                # an infinite or missing value less itself is not 0
                seen[i] = seen[i] if values[i] - values[i] == 0 else np.float32(0.0)
        for i in range(LANES):
            looks[i] += seen[i]
        for b in range(bands):
            into, total = samples[t, b], sums[b]
            for i in range(LANES):
                into[i] = into[i] if seen[i] > 0 else np.float32(0.0)
                total[i] += into[i]
    _centre(samples, ok, centre, looks, sums)


@njit(nogil=True, error_model="numpy")
def _centre(samples, ok, centre, looks, sums):  # type: ignore[no-untyped-def]
    times, bands, _ = samples.shape
    for b in range(bands):
        for i in range(LANES):
            centre[b, i] = np.float32(sums[b, i] / max(looks[i], np.float32(1.0)))
    for t in range(times):
        seen = ok[t]
        for b in range(bands):
            into, middle = samples[t, b], centre[b]
            for i in range(LANES):
                into[i] = into[i] - middle[i] if seen[i] > 0 else np.float32(0.0)


@njit(nogil=True, error_model="numpy", fastmath=NEAR)
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


@njit(nogil=True, error_model="numpy", fastmath=NEAR)
def _length(vectors, squared):  # type: ignore[no-untyped-def]
    squared[:] = 0.0
    for b in range(vectors.shape[0]):
        row = vectors[b]
        for i in range(LANES):
            squared[i] += row[i] * row[i]
    for i in range(LANES):
        squared[i] = math.sqrt(squared[i])


@njit(nogil=True, error_model="numpy", fastmath=NEAR)
def _descend(point, step, weights, touching, length, looks, active, last, relaxation, most):  # type: ignore[no-untyped-def]
    """One step of Weiszfeld's iteration; a look at the point itself only holds it back.

    ``last`` holds the step before, its squared length in the last row. Returns how many still move.
    """
    bands = point.shape[0]
    along = np.zeros(LANES, dtype=np.float32)
    for b in range(bands):
        toward, before = step[b], last[b]
        for i in range(LANES):
            along[i] += toward[i] * before[i]
    squared = last[bands]
    moving = np.float32(0.0)
    for i in range(LANES):
        pull = length[i] - touching[i]
        going = active[i] > 0 and pull > np.float32(GRADIENT_TOLERANCE) * looks[i]
        active[i] = looks[i] if going else np.float32(0.0)
        moving += np.float32(1.0) if going else np.float32(0.0)
        per = np.float32(1.0) / weights[i] if weights[i] > 0 else np.float32(0.0)
        now, then = (length[i] * per) * (length[i] * per), squared[i]
        bend = then - along[i] * per
        better = relaxation[i] * then / bend if bend > 0 else most
        better = min(max(better, np.float32(1.0)), most)
        relaxation[i] = better if now < then else np.float32(1.0)
        squared[i] = now
        along[i] = per
    for b in range(bands):
        here, toward, before = point[b], step[b], last[b]
        for i in range(LANES):
            before[i] = toward[i] * along[i]
            here[i] += before[i] * relaxation[i] if active[i] > 0 else np.float32(0.0)
    return moving


@njit(nogil=True, error_model="numpy", fastmath=NEAR)
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
    sums = np.empty((bands, LANES), dtype=np.float64)
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
    last = np.empty((bands + 1, LANES), dtype=np.float32)
    relaxation = np.empty(LANES, dtype=np.float32)
    for first in range(0, pixels, LANES):
        n = min(LANES, pixels - first)
        _load(stack, first, n, samples, ok, centre, looks, sums)
        point[:] = 0.0
        active[:] = looks
        relaxation[:] = 1.0
        last[:] = 0.0
        for turn in range(MOST_ROUNDS):
            most = np.float32(MOST_RELAXATION if turn < ROUNDS_TO_SUGGEST else SAFE_RELAXATION)
            for _ in range(STEPS_PER_ROUND):
                _pull(samples, ok, point, step, weights, touching, squared)
                _length(step, length)
                moving = _descend(
                    point, step, weights, touching, length, looks, active, last, relaxation, most
                )
                if moving == 0:
                    break
            if moving == 0:
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
    mean of the looks until the gradient is under ``GRADIENT_TOLERANCE``, its steps lengthened by
    the rule of Barzilai & Borwein 1988, doi:10.1093/imanum/8.1.141. A point at a look is the
    minimum where the others pull no harder than there are looks in that place (Vardi & Zhang 2000,
    doi:10.1073/pnas.97.4.1423). A pixel never sees its neighbours, so tiles do not matter.
    """
    times, bands, rows, cols = stack.shape
    out = np.empty((bands, rows * cols), dtype=np.float32)
    flat = np.ascontiguousarray(stack, dtype=np.float32).reshape(times, bands, rows * cols)
    _solve(flat, out)
    return out.reshape(bands, rows, cols)
