"""Probability that a gradient known with a normal error is longer than a limit."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_REACH = 6.5
"""Standard deviations beyond which a normal density is left out (mass 8e-11)."""


@njit(nogil=True)
def _below(p, q, sd_p, sd_q, limit, nodes, weights):  # type: ignore[no-untyped-def]
    """Mass of the normal density around (p, q) inside the circle of radius ``limit``."""
    low = max(-1.0, min(1.0, (p - _REACH * sd_p) / limit))
    high = max(-1.0, min(1.0, (p + _REACH * sd_p) / limit))
    start, stop = math.asin(low), math.asin(high)
    half, middle = 0.5 * (stop - start), 0.5 * (stop + start)
    total = 0.0
    for k in range(nodes.shape[0]):
        angle = middle + half * nodes[k]
        u, v = limit * math.sin(angle), limit * math.cos(angle)
        z = (u - p) / sd_p
        inner = math.erf((v - q) / (sd_q * math.sqrt(2.0))) + math.erf(
            (v + q) / (sd_q * math.sqrt(2.0))
        )
        total += weights[k] * math.exp(-0.5 * z * z) * v * inner
    return 0.5 * half * total / (sd_p * math.sqrt(2.0 * math.pi))


@njit(nogil=True)
def _exceedance(p, q, sd_p, sd_q, limit, nodes, weights, out):  # type: ignore[no-untyped-def]
    reach = _REACH * max(sd_p, sd_q)
    for y in range(p.shape[0]):
        row_p, row_q, row = p[y], q[y], out[y]
        for x in range(row.shape[0]):
            one, other = row_p[x], row_q[x]
            if not (math.isfinite(one) and math.isfinite(other)):
                row[x] = np.nan
            elif abs(math.hypot(one, other) - limit) >= reach:
                row[x] = 1.0 if math.hypot(one, other) > limit else 0.0
            else:
                # across the narrow side: a density thinner than the nodes is stepped over
                if sd_p <= sd_q:
                    inside = _below(one, other, sd_p, sd_q, limit, nodes, weights)
                else:
                    inside = _below(other, one, sd_q, sd_p, limit, nodes, weights)
                row[x] = min(1.0, max(0.0, 1.0 - inside))


def gradient_exceedance(
    east_rise: NDArray[np.float64],
    north_rise: NDArray[np.float64],
    *,
    sd_east: float,
    sd_north: float,
    limit: float,
) -> NDArray[np.float32]:
    """Probability that a gradient is steeper than a limit.

    Parameters
    ----------
    east_rise, north_rise : ndarray of float64, shape (y, x)
        Measured gradient, metres per metre; NaN = unknown.
    sd_east, sd_north : float
        Standard deviations of their independent normal errors; both 0 give 0 or 1.
    limit : float
        Rise over run, positive.

    Returns
    -------
    ndarray of float32, shape (y, x)
        NaN where unknown.

    Notes
    -----
    With equal deviations the tail of a Rice distribution (noncentral chi-square of two degrees of
    freedom); computed for any two by 40 Gauss-Legendre nodes across the circle of the limit,
    along the axis of the smaller deviation.
    Agrees with ``scipy.stats.ncx2`` to 1e-6: ``tests/maps/test_slope_error.py``.
    """
    out = np.empty(east_rise.shape, dtype=np.float32)
    # an error in one direction only: the density keeps some width in the other
    least = 1e-6 * max(sd_east, sd_north)
    spreads = max(sd_east, least), max(sd_north, least)
    _exceedance(east_rise, north_rise, *spreads, limit, _NODES, _WEIGHTS, out)
    return out
