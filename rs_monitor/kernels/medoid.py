"""Medoid of many bands along time: the look that lies least far from all others."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.series import NO_LOOK

LANES = 64


@njit(nogil=True, error_model="numpy")
def _fill(stack, first, n, samples, ok):  # type: ignore[no-untyped-def]
    times, bands, _ = stack.shape
    samples[:] = 0.0
    ok[:] = 0.0
    for t in range(times):
        for i in range(n):
            seen = True
            for b in range(bands):
                seen = seen and math.isfinite(stack[t, b, first + i])
            if seen:
                ok[t, i] = 1.0
                for b in range(bands):
                    samples[t, b, i] = stack[t, b, first + i]


@njit(nogil=True, error_model="numpy")
def _add_distances(samples, ok, t, squared, total):  # type: ignore[no-untyped-def]
    times, bands, _ = samples.shape
    total[:] = 0.0
    for other in range(times):
        squared[:] = 0.0
        for b in range(bands):
            one, two = samples[t, b], samples[other, b]
            for i in range(LANES):
                gap = one[i] - two[i]
                squared[i] += gap * gap
        seen = ok[other]
        for i in range(LANES):
            # float64 adds float32 distances without rounding: the order of dates cannot matter
            total[i] += np.float64(seen[i] * math.sqrt(squared[i]))


@njit(nogil=True, error_model="numpy")
def _choose(stack, out):  # type: ignore[no-untyped-def]
    times, bands, pixels = stack.shape
    samples = np.empty((times, bands, LANES), dtype=np.float32)
    ok = np.empty((times, LANES), dtype=np.float32)
    squared = np.empty(LANES, dtype=np.float32)
    total = np.empty(LANES, dtype=np.float64)
    least = np.empty(LANES, dtype=np.float64)
    for first in range(0, pixels, LANES):
        n = min(LANES, pixels - first)
        _fill(stack, first, n, samples, ok)
        least[:] = np.inf
        out[first : first + n] = NO_LOOK
        for t in range(times):
            _add_distances(samples, ok, t, squared, total)
            for i in range(n):
                if ok[t, i] > 0 and total[i] < least[i]:
                    least[i] = total[i]
                    out[first + i] = t


def medoid_index(stack: NDArray[np.float32]) -> NDArray[np.int32]:
    """Which look has the least sum of distances to all looks.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, band, y, x)
        A look counts where all its bands are finite.

    Returns
    -------
    ndarray of int32, shape (y, x)
        Index along time, the earliest of equals; ``NO_LOOK`` where there is none.

    Notes
    -----
    Flood 2013, doi:10.3390/rs5126481.
    """
    times, bands, rows, cols = stack.shape
    out = np.empty(rows * cols, dtype=np.int32)
    flat = np.ascontiguousarray(stack, dtype=np.float32).reshape(times, bands, rows * cols)
    _choose(flat, out)
    return out.reshape(rows, cols)
