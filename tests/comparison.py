"""The one comparison of arrays in these tests."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike


def assert_close(
    actual: ArrayLike,
    expected: ArrayLike,
    *,
    atol: float,
    rtol: float = 0.0,
    circular: float | None = None,
    equal_nan: bool = True,
) -> None:
    """Fail unless shape, dtype and every value agree.

    Parameters
    ----------
    actual, expected : array_like
        Plain Python numbers take the dtype NumPy gives them.
    atol, rtol : float
        Accepted ``abs(actual - expected) <= atol + rtol * abs(expected)``.
    circular : float, optional
        Period of the values, e.g. 360 for aspects.
    equal_nan : bool
        Whether NaN at the same places agrees; NaN in one of them never does.
    """
    got, want = np.asarray(actual), np.asarray(expected)
    if got.shape != want.shape:
        pytest.fail(f"shape {got.shape}; expected {want.shape}")
    if got.dtype != want.dtype:
        pytest.fail(f"dtype {got.dtype}; expected {want.dtype}")
    bad = _differs(got, want, atol=atol, rtol=rtol, circular=circular, equal_nan=equal_nan)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        pytest.fail(
            f"{int(bad.sum())} of {bad.size} values differ by more than {atol:g} + {rtol:g} x "
            f"expected; first at {first}: {got[first]!r}; expected {want[first]!r}"
        )


def _differs(got, want, *, atol, rtol, circular, equal_nan):  # type: ignore[no-untyped-def]
    exact_integers = got.dtype.kind in "iu" and atol == rtol == 0 and circular is None
    if got.dtype.kind not in "fiub" or exact_integers:
        return np.asarray(got != want)
    one, other = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(one - other)
        if circular is not None:
            error = np.minimum(error % circular, -error % circular)
        close = (error <= atol + rtol * np.abs(other)) | (one == other)
    both_missing = np.isnan(one) & np.isnan(other)
    return ~(close | both_missing) if equal_nan else ~close
