"""Order statistics of a few numbers inside a kernel."""

from __future__ import annotations

from numba import njit


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
