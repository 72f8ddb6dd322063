"""How undecided class probabilities are: entropy and margin of many pixels at once."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.compiling import IN_KERNEL

LANES = 128

_ROOT_HALF_BITS = np.int32(0x3F3504F3)


@njit(**IN_KERNEL)
def _log2_to(values, bits, logs):  # type: ignore[no-untyped-def]
    """Base-2 logarithms of a lane of normal float32; ``bits`` are the same bytes as int32."""
    for i in range(LANES):
        exponent = (bits[i] - _ROOT_HALF_BITS) >> np.int32(23)
        logs[i] = np.float32(exponent)
        bits[i] = bits[i] - (exponent << np.int32(23))
    for i in range(LANES):
        # 2 atanh(s) / log(2) of s = (m - 1) / (m + 1), |s| < 0.172: the next term is below 2e-9
        s = (values[i] - np.float32(1)) / (values[i] + np.float32(1))
        s2 = s * s
        tail = np.float32(0.57707801) + s2 * (np.float32(0.41219858) + s2 * np.float32(0.32059890))
        logs[i] += s * (np.float32(2.88539008) + s2 * (np.float32(0.96179669) + s2 * tail))


@njit(nogil=True)
def _entropy_and_margin(probabilities, out):  # type: ignore[no-untyped-def]
    classes, pixels = probabilities.shape
    values = np.empty(LANES, dtype=np.float32)
    bits = values.view(np.int32)
    logs = np.empty(LANES, dtype=np.float32)
    entropy = np.empty(LANES, dtype=np.float32)
    best = np.empty(LANES, dtype=np.float32)
    second = np.empty(LANES, dtype=np.float32)
    unit = np.float32(1.0 / math.log2(classes)) if classes > 1 else np.float32(0)
    tiny = np.float32(1e-30)
    for start in range(0, pixels, LANES):
        count = min(LANES, pixels - start)
        entropy[:] = 0
        best[:] = 0
        second[:] = 0
        for c in range(classes):
            row = probabilities[c, start : start + count]
            values[count:] = 1
            for i in range(count):
                v = row[i]
                second[i] = max(second[i], min(best[i], v))
                best[i] = max(best[i], v)
                values[i] = v if v > tiny else tiny
            _log2_to(values, bits, logs)
            for i in range(count):
                entropy[i] -= row[i] * logs[i]
        for i in range(count):
            e = entropy[i] * unit
            seen = e == e
            out[0, start + i] = min(max(e, np.float32(0)), np.float32(1)) if seen else e
            out[1, start + i] = best[i] - second[i] if seen else e


def entropy_and_margin(
    probabilities: NDArray[np.float32], *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Normalised entropy and margin of every pixel.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (classes, ...)
        Sum to 1 over the first axis; NaN = not seen.
    out : ndarray of float32, shape (2, ...), C-contiguous, optional
        Written to.

    Returns
    -------
    ndarray of float32, shape (2, ...)
        Entropy as a fraction of that of equal probabilities (0 certain, 1 nothing known; Shannon
        1948), and margin, the highest probability minus the second (1 certain, 0 a tie; Scheffer
        et al. 2001, doi:10.1007/3-540-44816-0_31). NaN where any probability is NaN. Of a single
        class 0 and 1.

    Notes
    -----
    Logarithms are a polynomial in float32, within 1e-6 of the exact entropy.
    """
    if out is None:
        out = np.empty((2, *probabilities.shape[1:]), dtype=np.float32)
    classes = probabilities.shape[0]
    flat = np.ascontiguousarray(probabilities, dtype=np.float32).reshape(classes, -1)
    _entropy_and_margin(flat, out.reshape(2, -1))
    return out
