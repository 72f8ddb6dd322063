"""Order statistics inside a kernel: of a few numbers, and of many pixels side by side."""

from __future__ import annotations

import numpy as np
from numba import njit

from rs_monitor.kernels.compiling import IN_KERNEL


@njit(nogil=True, error_model="numpy")
def sort_first(values, n):  # type: ignore[no-untyped-def]
    """Sort the first ``n`` numbers in place (Shell 1959; gaps of Knuth)."""
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            v = values[i]
            j = i
            while j >= gap and values[j - gap] > v:
                values[j] = values[j - gap]
                j -= gap
            values[j] = v
        gap //= 3


@njit(nogil=True, error_model="numpy")
def median_of_first(values, n):  # type: ignore[no-untyped-def]
    """Median of the first ``n`` numbers, which are left sorted."""
    sort_first(values, n)
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


@njit(**IN_KERNEL)
def _fill_missing(rows, missing):  # type: ignore[no-untyped-def]
    """Give NaN both ends of the order in turn, so that the middle stays the middle."""
    low = rows.shape[0] % 2
    missing[:] = 0.0
    for t in range(rows.shape[0]):
        row = rows[t]
        for i in range(row.shape[0]):
            v = row[i]
            gone = v != v
            end = -np.inf if (missing[i] % 2 == 0) == (low == 1) else np.inf
            row[i] = end if gone else v
            missing[i] += 1.0 if gone else 0.0


@njit(**IN_KERNEL)
def lane_medians(rows, network, missing, medians):  # type: ignore[no-untyped-def]
    """Median of each column, NaN skipped; ``rows`` (t, n) are left in disorder.

    ``network`` is :func:`rs_monitor.kernels.median.median_network` of t; ``missing`` is scratch.
    """
    times = rows.shape[0]
    _fill_missing(rows, missing)
    for k in range(network.shape[0]):
        a, b = rows[network[k, 0]], rows[network[k, 1]]
        for i in range(a.shape[0]):
            x, y = a[i], b[i]
            a[i] = x if x < y else y
            b[i] = y if x < y else x
    lower, upper = rows[(times - 1) // 2], rows[min((times - 1) // 2 + 1, times - 1)]
    for i in range(medians.shape[0]):
        looks = times - missing[i]
        middle = lower[i] if looks % 2 == 1 else 0.5 * (lower[i] + upper[i])
        medians[i] = middle if looks > 0 else np.nan
