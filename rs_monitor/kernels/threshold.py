"""Automatic thresholds from histograms that blocks add up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BIN_WIDTH = 0.01
BINS = 20_000


def histogram(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Count and sum values in fixed bins.

    Parameters
    ----------
    values : ndarray of float
        Non-negative; NaN does not count.

    Returns
    -------
    ndarray of float64, shape (2, BINS)
        Counts, and sums of the values in each bin; the last bin takes everything beyond.
    """
    seen = values[np.isfinite(values)].astype(np.float64)
    bins = np.minimum(seen / BIN_WIDTH, BINS - 1).astype(np.int64)
    counts = np.bincount(bins, minlength=BINS).astype(np.float64)
    sums = np.bincount(bins, weights=seen, minlength=BINS)
    return np.stack([counts, sums])


def two_means(table: NDArray[np.float64]) -> float:
    """Split a histogram into two groups of least within-group variance.

    Parameters
    ----------
    table : ndarray of float64, shape (2, BINS)
        Sum of :func:`histogram` over blocks.

    Returns
    -------
    float
        Midpoint of the two group means: values above belong to the upper group.

    Raises
    ------
    ValueError
        With fewer than two occupied bins.

    Notes
    -----
    The exact optimum of one-dimensional 2-means, found over all splits; the same criterion as
    Otsu (1979), doi:10.1109/TSMC.1979.4310076.
    """
    counts, sums = np.cumsum(table, axis=1)
    total, grand = counts[-1], sums[-1]
    inside = (counts > 0) & (counts < total)
    if not inside.any():
        raise ValueError("all values fall into one bin: there is nothing to split")
    low, low_sum = counts[inside], sums[inside]
    low_mean = low_sum / low
    high_mean = (grand - low_sum) / (total - low)
    between = low * (total - low) * (high_mean - low_mean) ** 2
    best = int(np.argmax(between))
    return float((low_mean[best] + high_mean[best]) / 2.0)
