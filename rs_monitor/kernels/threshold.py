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
    _, low_mean, high_mean = _best_split(table)
    return (low_mean + high_mean) / 2.0


def otsu(table: NDArray[np.float64]) -> float:
    """Upper edge of the bin after which the between-group variance is largest.

    Parameters
    ----------
    table : ndarray of float64, shape (2, BINS)
        Sum of :func:`histogram` over blocks.

    Returns
    -------
    float
        Values above belong to the upper group.

    Raises
    ------
    ValueError
        With fewer than two occupied bins.

    Notes
    -----
    Otsu (1979), doi:10.1109/TSMC.1979.4310076, on the means of the values themselves. The split is
    that of :func:`two_means`; only where the cut stands between the groups differs: here at the
    last value of the lower group, there midway between the means. scikit-image names the centre
    of the same bin (``tests/kernels/test_threshold.py``).
    """
    best, _, _ = _best_split(table)
    return (best + 1) * BIN_WIDTH


def _best_split(table: NDArray[np.float64]) -> tuple[int, float, float]:
    """Last bin of the lower group of the best split, and the means of both groups."""
    counts, sums = np.cumsum(table, axis=1)
    total, grand = counts[-1], sums[-1]
    inside = np.flatnonzero((counts > 0) & (counts < total))
    if not inside.size:
        raise ValueError("all values fall into one bin: there is nothing to split")
    low, low_sum = counts[inside], sums[inside]
    low_mean = low_sum / low
    high_mean = (grand - low_sum) / (total - low)
    between = low * (total - low) * (high_mean - low_mean) ** 2
    best = int(np.argmax(between))
    return int(inside[best]), float(low_mean[best]), float(high_mean[best])


def quantile(table: NDArray[np.float64], share: float) -> float:
    """Value below which a share of the counted values lies, linear inside a bin.

    Parameters
    ----------
    table : ndarray of float64, shape (2, BINS)
        Sum of :func:`histogram` over blocks.
    share : float
        0 to 1.

    Raises
    ------
    ValueError
        Without a single value, or where it lies beyond the histogram.
    """
    counts = np.cumsum(table[0])
    if counts[-1] <= 0:
        raise ValueError("there is no value to take a quantile of")
    wanted = share * counts[-1]
    above = int(np.searchsorted(counts, wanted, side="left"))
    if above == BINS - 1:
        raise ValueError(f"the quantile {share:g} lies beyond {(BINS - 1) * BIN_WIDTH:g}")
    below = counts[above - 1] if above else 0.0
    inside = (wanted - below) / max(table[0, above], 1.0)
    return float((above + inside) * BIN_WIDTH)
