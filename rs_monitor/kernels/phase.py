"""Passes around the transforms of phase correlation: taper before, whiten after."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _weighted_mean(image, down, right):  # type: ignore[no-untyped-def]
    """Mean of the finite values under the taper, and the share of the taper they hold."""
    total, weight = 0.0, 0.0
    for y in range(image.shape[0]):
        row = image[y]
        line, held = 0.0, 0.0
        for x in range(row.shape[0]):
            v = row[x]
            seen = abs(v) < np.float32(np.inf)
            line += np.float64(right[x]) * v if seen else 0.0
            held += np.float64(right[x]) if seen else 0.0
        total += down[y] * line
        weight += down[y] * held
    return total / weight if weight > 0 else 0.0, weight


@njit(nogil=True, error_model="numpy")
def _taper(image, mean, down, right, out):  # type: ignore[no-untyped-def]
    for y in range(image.shape[0]):
        row, into, factor = image[y], out[y], down[y]
        for x in range(row.shape[0]):
            v = row[x]
            seen = abs(v) < np.float32(np.inf)
            into[x] = (v - mean) * (factor * right[x]) if seen else np.float32(0.0)


@njit(nogil=True, error_model="numpy")
def _whiten(reference, moving, down, right):  # type: ignore[no-untyped-def]
    tiny = np.float32(1e-30)
    for y in range(reference.shape[0]):
        a, b, factor = reference[y], moving[y], down[y]
        for x in range(right.shape[0]):
            re = b[2 * x] * a[2 * x] + b[2 * x + 1] * a[2 * x + 1]
            im = b[2 * x + 1] * a[2 * x] - b[2 * x] * a[2 * x + 1]
            weight = factor * right[x] / math.sqrt(re * re + im * im + tiny)
            b[2 * x] = re * weight
            b[2 * x + 1] = im * weight


def tapered(
    image: NDArray[np.float32], down: NDArray[np.float32], right: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Take off the mean and fade an image out towards its edges.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
        Not finite = not seen: becomes the mean.
    down, right : ndarray of float32, shape (y,) and (x,)
        Factors of the taper.

    Returns
    -------
    ndarray of float32, shape (y, x)
    float
        Share of the taper on pixels that were seen.
    """
    mean, weight = _weighted_mean(image, down, right)
    out = np.empty_like(image)
    _taper(image, np.float32(mean), down, right, out)
    return out, float(weight / (down.sum(dtype=np.float64) * right.sum(dtype=np.float64)))


def white_cross_spectrum(
    reference: NDArray[np.complex64],
    moving: NDArray[np.complex64],
    down: NDArray[np.float32],
    right: NDArray[np.float32],
) -> NDArray[np.complex64]:
    """Cross spectrum without its amplitudes, weighted; overwrites ``moving``.

    Parameters
    ----------
    reference, moving : ndarray of complex64, shape (y, x)
        C-contiguous.
    down, right : ndarray of float32, shape (y,) and (x,)
        Factors of the weights.
    """
    _whiten(reference.view(np.float32), moving.view(np.float32), down, right)
    return moving
