"""Upper tail of the chi-square distribution, many values side by side."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 256
"""Pixels worked on side by side: whole vectors, and the buffers stay in the first-level cache."""

KEEPS_NAN = {"contract", "reassoc", "nsz", "arcp"}
"""Freedoms the compiler may take with sums; none of them deletes a test for NaN."""

DEEPEST = 80.0
"""Half the largest value looked at; beyond it the tail is under 1e-30 for up to 40 degrees."""

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453


@njit(nogil=True, error_model="numpy", fastmath=KEEPS_NAN)
def exp_of_negative(rows, powers, out):  # type: ignore[no-untyped-def]
    """``exp(-rows)`` of float32 from 0 to ``DEEPEST``, into ``out``; ``powers`` is scratch.

    Range reduction by powers of two and the Taylor polynomial of degree 7 on half an octave:
    within 3e-7 of the value.
    """
    exponent = powers.view(np.int32)
    for i in range(LANES):
        octaves = rows[i] * np.float32(-LOG2_E)
        whole = np.int32(octaves - np.float32(0.5))
        exponent[i] = (whole + np.int32(127)) << np.int32(23)
        r = (octaves - np.float32(whole)) * np.float32(LN_2)
        tail = np.float32(1 / 120) + r * (np.float32(1 / 720) + r * np.float32(1 / 5040))
        tail = np.float32(1 / 6) + r * (np.float32(1 / 24) + r * tail)
        out[i] = np.float32(1.0) + r * (np.float32(1.0) + r * (np.float32(0.5) + r * tail))
    for i in range(LANES):
        out[i] *= powers[i]


@njit(nogil=True, error_model="numpy", fastmath=KEEPS_NAN)
def _odd_start(half, density, term, total):  # type: ignore[no-untyped-def]
    """First terms of odd degrees: erfc by Abramowitz & Stegun 7.1.26, its exp taken out."""
    for i in range(LANES):
        root = math.sqrt(half[i])
        t = np.float32(1.0) / (np.float32(1.0) + np.float32(0.3275911) * root)
        inner = np.float32(-1.453152027) + t * np.float32(1.061405429)
        inner = np.float32(-0.284496736) + t * (np.float32(1.421413741) + t * inner)
        total[i] = t * (np.float32(0.254829592) + t * inner)
        term[i] = root * np.float32(2.0 / math.sqrt(math.pi))
    if density:
        for i in range(LANES):
            total[i] += term[i]


@njit(nogil=True, error_model="numpy", fastmath=KEEPS_NAN)
def survival_lanes(x, dof, half, term, total, out):  # type: ignore[no-untyped-def]
    """Upper tail of ``LANES`` non-negative float32 ``x`` into ``out``; the rest is scratch."""
    for i in range(LANES):
        half[i] = min(max(np.float32(0.5) * x[i], np.float32(0.0)), np.float32(DEEPEST))
    exp_of_negative(half, term, out)
    if dof % 2 == 0:
        term[:] = np.float32(1.0)
        total[:] = np.float32(1.0)
    else:
        _odd_start(half, dof > 1, term, total)
    offset = 0.5 * (dof % 2)
    for k in range(1, (dof + 1) // 2 - dof % 2):
        share = np.float32(1.0 / (k + offset))
        for i in range(LANES):
            term[i] *= half[i] * share
            total[i] += term[i]
    for i in range(LANES):
        out[i] = min(out[i] * total[i], np.float32(1.0))


@njit(nogil=True, error_model="numpy")
def _survival_all(values, dof, out):  # type: ignore[no-untyped-def]
    x = np.zeros(LANES, np.float32)
    half, term, total, tail = (np.empty_like(x), np.empty_like(x), np.empty_like(x), x.copy())
    for start in range(0, values.size, LANES):
        n = min(LANES, values.size - start)
        for i in range(n):
            x[i] = np.float32(min(values[start + i], 2.0 * DEEPEST))
        survival_lanes(x, dof, half, term, total, tail)
        for i in range(n):
            value = values[start + i]
            out[start + i] = np.float32(np.nan) if math.isnan(value) else tail[i]


def chi2_survival(values: NDArray[np.floating], dof: int) -> NDArray[np.float32]:
    """Probability that a chi-square variate exceeds each value.

    Parameters
    ----------
    values : ndarray of float
        Any shape; negative counts as 0, NaN stays NaN.
    dof : int
        Degrees of freedom, >= 1.

    Returns
    -------
    ndarray of float32
        Same shape; within 1e-6 of the exact probability (0 past 160).

    Notes
    -----
    Finite series of Abramowitz & Stegun (1964), 26.4.4 (odd) and 26.4.5 (even degrees of
    freedom), their error function by 7.1.26. ``tests/kernels/test_chi_square.py`` compares it
    with SciPy.
    """
    values = np.asarray(values)
    out = np.empty(values.shape, np.float32)
    _survival_all(values.reshape(-1), dof, out.reshape(-1))
    return out
