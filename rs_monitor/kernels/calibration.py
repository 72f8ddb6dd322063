"""Log-linear calibration of class probabilities, row by row: no row hears of another."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def _log_linear(proba, slope, bias, floor, out):  # type: ignore[no-untyped-def]
    rows, classes = proba.shape
    logs = np.empty(classes)
    scores = np.empty(classes)
    diagonal = True
    for c in range(classes):
        for d in range(classes):
            if c != d and slope[c, d] != 0.0:
                diagonal = False
    for i in range(rows):
        for c in range(classes):
            logs[c] = math.log(proba[i, c] + floor)
        top = -math.inf
        for c in range(classes):
            score = bias[c]
            if diagonal:
                score += slope[c, c] * logs[c]
            else:
                for d in range(classes):
                    score += slope[c, d] * logs[d]
            scores[c] = score
            top = max(top, score)
        total = 0.0
        for c in range(classes):
            scores[c] = math.exp(scores[c] - top)
            total += scores[c]
        for c in range(classes):
            out[i, c] = scores[c] / total


def log_linear(
    probabilities: NDArray[np.floating],
    slope: NDArray[np.float64],
    bias: NDArray[np.float64],
    *,
    floor: float,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Softmax of a linear map of the logarithms of probabilities.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        A row with NaN stays NaN.
    slope : ndarray of float64, shape (classes, classes)
    bias : ndarray of float64, shape (classes,)
    floor : float
        Added to every probability, so that none has the logarithm of zero; above 0.
    out : ndarray of float32, shape (n, classes), optional
        Written to; may be ``probabilities`` itself.

    Returns
    -------
    ndarray of float32, shape (n, classes)
        Rows sum to 1.

    Notes
    -----
    Sums are taken in float64 in class order, one row at a time (no BLAS, whose answer for a row
    depends on how many stand beside it), so blocks of rows give the same bytes as the whole.
    """
    if out is None:
        out = np.empty(probabilities.shape, dtype=np.float32)
    _log_linear(probabilities, slope, bias, floor, out)
    return out
