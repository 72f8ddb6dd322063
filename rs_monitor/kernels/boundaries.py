"""Boundaries and critical values of fluctuation tests, as R's strucchange has them.

Tests of a finished series (``efp``): recursive CUSUM (Brown, Durbin & Evans 1975), OLS-based CUSUM
(Ploberger & Kramer 1992) and MOSUM (Chu, Hornik & Kuan 1995). Monitoring of a running one
(``mefp``): OLS-based CUSUM and MOSUM (Chu, Stinchcombe & White 1996; Leisch, Hornik & Kuan 2000;
Zeileis et al. 2005, doi:10.1002/jae.776).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.errors import ConfigError
from rs_monitor.kernels.mosum_critical import CRITICAL, LEVELS

BRIDGE_TERMS = 100
MOSUM_SHARES = tuple(0.05 * k for k in range(1, 11))
MOSUM_P_VALUES = (0.1, 0.05, 0.025, 0.01)
MOSUM_TABLE = (
    (0.7552, 0.8017, 0.8444, 0.8977),
    (0.9809, 1.0483, 1.1119, 1.1888),
    (1.1211, 1.2059, 1.2845, 1.3767),
    (1.2170, 1.3158, 1.4053, 1.5131),
    (1.2811, 1.3920, 1.4917, 1.6118),
    (1.3258, 1.4448, 1.5548, 1.6863),
    (1.3514, 1.4789, 1.5946, 1.7339),
    (1.3628, 1.4956, 1.6152, 1.7572),
    (1.3610, 1.4976, 1.6210, 1.7676),
    (1.3751, 1.5115, 1.6341, 1.7808),
)
"""Increments of a Brownian bridge by share and p-value (Chu, Hornik & Kuan 1995, table 1)."""


@njit(nogil=True, error_model="numpy")
def _normal(x):  # type: ignore[no-untyped-def]
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@njit(nogil=True, error_model="numpy")
def recursive_cusum_p_value(statistic):  # type: ignore[no-untyped-def]
    """P-value of a recursive CUSUM: the largest |process| / (1 + 2 t)."""
    x = statistic
    if x < 0.3:
        return 1.0 - 0.1465 * x
    inner = math.exp(-4 * x * x) * (_normal(x) + _normal(5 * x) - 1)
    return 2 * (1 - _normal(3 * x) + inner - math.exp(-16 * x * x) * (1 - _normal(x)))


def ols_cusum_p_value(statistic: float) -> float:
    """P-value of an OLS-based CUSUM: the largest |process|, a Brownian bridge in the limit."""
    if statistic < 0.1:
        return 1.0
    terms = (
        (-1) ** k * math.exp(-2 * k * k * statistic * statistic) for k in range(1, BRIDGE_TERMS + 1)
    )
    return -2 * math.fsum(terms)


def ols_mosum_p_value(statistic: float, share: float) -> float:
    """P-value of an OLS-based MOSUM, between the tabulated ones linearly.

    Parameters
    ----------
    statistic : float
        The largest |process|.
    share : float
        Width of the window as a share of the series; 0.05 to 0.5.
    """
    limits = [0.0, *_mosum_limits(share)]
    return float(np.interp(statistic, limits, [1.0, *MOSUM_P_VALUES]))


def _mosum_limits(share: float) -> list[float]:
    columns = np.array(MOSUM_TABLE).T
    return [float(np.interp(share, MOSUM_SHARES, column)) for column in columns]


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0, by halving, to the last bit."""
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        low, high = (middle, high) if function(middle) > 0 else (low, middle)


def recursive_cusum_critical(alpha: float) -> float:
    """Statistic of a recursive CUSUM whose p-value is alpha; 0.948 at 0.05."""
    return _root(lambda x: recursive_cusum_p_value(x) - alpha, 0.0, 20.0)


def recursive_cusum_boundary(critical: float, length: int) -> NDArray[np.float64]:
    """Boundary of a recursive CUSUM process of some length, its first 0 included."""
    return critical * (1 + 2 * np.arange(length) / (length - 1))


def ols_cusum_critical(alpha: float) -> float:
    """Bound of an OLS-based CUSUM process at alpha; 1.358 at 0.05."""
    return _root(lambda x: ols_cusum_p_value(x) - alpha, 0.0, 20.0)


def ols_mosum_critical(alpha: float, share: float) -> float:
    """Bound of an OLS-based MOSUM process at alpha; share as in :func:`ols_mosum_p_value`."""
    return float(
        np.interp(-alpha, [-1.0, *(-p for p in MOSUM_P_VALUES)], [0.0, *_mosum_limits(share)])
    )


def monitoring_cusum_critical(alpha: float) -> float:
    """Critical value of CUSUM monitoring; 2.795 at 0.05.

    Solves ``2 - 2 (Phi(a) - a phi(a)) = alpha``.
    """

    def excess(a: float) -> float:
        density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
        return 2 - 2 * (float(_normal(a)) - a * density) - alpha

    return _root(excess, 0.0, 10.0)


def monitoring_mosum_critical(alpha: float, share: float, period: int) -> float:
    """Critical value of MOSUM monitoring, from the table of Zeileis et al. 2005.

    Parameters
    ----------
    alpha : float
        0.001 to 0.05.
    share : float
        Width of the window as a share of the history; 0.25, 0.5 or 1.
    period : int
        Length up to which is monitored, in histories; 2, 4, 6, 8 or 10.

    Raises
    ------
    ConfigError
        If the table has no such row or significance.
    """
    row = CRITICAL.get((share, period))
    if row is None or not 0.001 <= alpha <= 0.05:
        got = f"got alpha {alpha}, share {share}, period {period}"
        needed = "needed alpha 0.001-0.05, share 0.25, 0.5 or 1, period 2, 4, 6, 8 or 10"
        raise ConfigError("MOSUM monitoring", [f"{got}; {needed}; choose tabulated ones"])
    return float(np.interp(1 - alpha, LEVELS, row))


@njit(nogil=True, error_model="numpy")
def monitoring_cusum_border(looks, history, critical):  # type: ignore[no-untyped-def]
    """Border of a CUSUM process once there are ``looks``, ``history`` of them history."""
    x = looks / history
    return math.sqrt(x * (x - 1) * (critical * critical + math.log(x / (x - 1))))


@njit(nogil=True, error_model="numpy")
def monitoring_mosum_border(looks, history, critical):  # type: ignore[no-untyped-def]
    """Border of a MOSUM process once there are ``looks``, ``history`` of them history."""
    x = looks / history
    return critical * math.sqrt(2 * (math.log(x) if x > math.e else 1.0))
