"""Smoothing of class probabilities by what the neighbourhood says (empirical Bayes on logits)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.compiling import IN_KERNEL

LEAST_PROBABILITY = 1e-4
"""Probabilities are kept this far from 0 and 1 before the logit, as the method's authors do."""


@njit(**IN_KERNEL)
def _highest_first(values, count, used):  # type: ignore[no-untyped-def]
    """Bring the ``used`` highest of ``count`` values to the front (Hoare 1961, selection)."""
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if used - 1 <= j:
            high = j
        elif used - 1 >= i:
            low = i
        else:
            return


@njit(**IN_KERNEL)
def _pooled_logit(logits, y, x, radius_px, share, smoothness, near):  # type: ignore[no-untyped-def]
    """Posterior logit of one pixel and class; ``near`` is scratch for the window."""
    height, width = logits.shape
    count = 0
    for row in range(max(0, y - radius_px), min(height, y + radius_px + 1)):
        for col in range(max(0, x - radius_px), min(width, x + radius_px + 1)):
            if not math.isnan(logits[row, col]):
                near[count] = logits[row, col]
                count += 1
    used = math.ceil(share * count)
    if used < 2:
        return logits[y, x]
    _highest_first(near, count, used)
    total = 0.0
    for i in range(used):
        total += near[i]
    mean = total / used
    total = 0.0
    for i in range(used):
        total += (near[i] - mean) ** 2
    variance = total / (used - 1)
    own = variance / (variance + smoothness)
    return own * logits[y, x] + (1.0 - own) * mean


@njit(nogil=True)
def _smooth(probabilities, radius_px, share, smoothness):  # type: ignore[no-untyped-def]
    classes, height, width = probabilities.shape
    logits = np.empty((classes, height, width), dtype=np.float64)
    for k in range(classes):
        for y in range(height):
            for x in range(width):
                p = min(max(probabilities[k, y, x], LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
                # min and max drop a NaN
                seen = not math.isnan(probabilities[k, y, x])
                logits[k, y, x] = math.log(p / (1 - p)) if seen else math.nan
    near = np.empty((2 * radius_px + 1) ** 2, dtype=np.float64)
    out = np.full((classes, height, width), np.nan, dtype=np.float32)
    posterior = np.empty(classes, dtype=np.float64)
    for y in range(height):
        for x in range(width):
            if math.isnan(logits[0, y, x]):
                continue
            total = 0.0
            for k in range(classes):
                logit = _pooled_logit(logits[k], y, x, radius_px, share, smoothness, near)
                posterior[k] = 1 / (1 + math.exp(-logit))
                total += posterior[k]
            for k in range(classes):
                out[k, y, x] = posterior[k] / total
    return out


def bayes_smooth(
    probabilities: NDArray[np.float32], *, radius_px: int, share: float, smoothness: float
) -> NDArray[np.float32]:
    """Draw the class probabilities of each pixel towards those of its neighbours.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (classes, y, x)
        0-1; NaN in all classes where nothing was seen.
    radius_px : int
        Neighbours looked at on each side; 3 is a window of 7 x 7.
    share : float
        Part of the seen neighbours, those of highest logit, that speak for a class; 0-1. Below 1
        keeps edges: of two classes that meet, each is judged by its own side.
    smoothness : float
        Variance of the logit of a pixel given its class; the larger, the more the neighbours count.

    Returns
    -------
    ndarray of float32, shape (classes, y, x)
        Sums to 1 over classes; NaN where the input is.

    Notes
    -----
    With ``x`` the logit of a pixel, ``m`` and ``v`` mean and variance of the chosen neighbours'
    logits and ``s`` the smoothness, the posterior mean is ``(v x + s m) / (v + s)``, class by class
    (Camara et al. 2024, Remote Sensing 16, 4572, doi:10.3390/rs16234572). Windows end at the rim
    of the array; the posteriors, which that paper leaves as they are, are scaled to sum 1.
    ``tests/kernels/test_bayes_smooth.py`` checks the equation.
    """
    return np.asarray(_smooth(probabilities, radius_px, share, smoothness))
