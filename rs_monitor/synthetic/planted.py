"""Known changes planted into real series, and series simulated whole."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rs_monitor.kernels.harmonic import fit_ols, harmonic_regressors

PlantedKind = Literal["step", "ramp", "seasonal_shift"]
YEAR_DAYS = 365.25
SEASON_ORDER = 2
"""Harmonics of the season that a seasonal shift moves."""


def change_days(
    rng: np.random.Generator, count: int, *, first: int, last: int
) -> NDArray[np.int64]:
    """Random days of change, the same for the same generator.

    Parameters
    ----------
    rng : Generator
    count : int
    first, last : int
        Days since 1970-01-01, both possible.
    """
    return rng.integers(first, last + 1, count)


def plant(
    values: NDArray[np.float32],
    days: NDArray[np.int64],
    at: NDArray[np.int64],
    *,
    kind: PlantedKind,
    magnitude: float,
    ramp_days: float = YEAR_DAYS,
) -> NDArray[np.float32]:
    """Change each series from its own day on.

    Parameters
    ----------
    values : ndarray of float32, shape (time, pixel)
        NaN = not seen, and stays so.
    days : ndarray of int64, shape (time,)
        Since 1970-01-01.
    at : ndarray of int64, shape (pixel,)
        First day of the change.
    kind : {"step", "ramp", "seasonal_shift"}
        A fall at once; a fall along a straight line over ``ramp_days``; the season of the pixel
        comes later.
    magnitude : float
        Of step and ramp the fall in the unit of the values, of a seasonal shift the days.
    ramp_days : float
        Days until a ramp has fallen by all of its magnitude.

    Returns
    -------
    ndarray of float32, shape (time, pixel)

    Notes
    -----
    The noise, the gaps and whatever else really happened to a pixel stay. Its season is its own
    least squares fit of two harmonics; what the fit leaves over is not moved.
    """
    since = days[:, None] - at[None, :]
    if kind == "seasonal_shift":
        move = np.where(since >= 0, _season_moved(values, days, magnitude), 0.0)
    elif kind == "step":
        move = np.where(since >= 0, -magnitude, 0.0)
    else:
        move = -magnitude * np.clip(since / ramp_days, 0.0, 1.0)
    return np.asarray(values + move, dtype=np.float32)


def _season_moved(
    values: NDArray[np.float32], days: NDArray[np.int64], shift_days: float
) -> NDArray[np.float64]:
    """Difference a season makes that comes later; none where no season can be fitted."""
    when = days.astype(np.float64)
    now = harmonic_regressors(when, order=SEASON_ORDER, trend=False)
    later = harmonic_regressors(when - shift_days, order=SEASON_ORDER, trend=False)
    fit = fit_ols(np.ascontiguousarray(values[:, None, :]), now)
    difference: NDArray[np.float64] = (later - now).T @ fit.coefficients[:, 0, :]
    return np.nan_to_num(difference)


def simulated_series(
    rng: np.random.Generator,
    days: NDArray[np.int64],
    count: int,
    *,
    clear_share: float = 0.6,
    noise: float = 0.03,
    amplitude_jitter: float = 0.05,
    phase_jitter_days: float = 8.0,
) -> NDArray[np.float32]:
    """Vegetation index of fields and woods: season, years that differ, noise, clouds.

    Parameters
    ----------
    rng : Generator
    days : ndarray of int64, shape (time,)
        Since 1970-01-01.
    count : int
        Pixels.
    clear_share : float
        Share of the looks that see the ground.
    noise : float
        Standard deviation of a look; a third of it is common to looks that follow each other.
    amplitude_jitter, phase_jitter_days : float
        Standard deviation from year to year.

    Returns
    -------
    ndarray of float32, shape (time, count)
        NaN = not seen. Nothing changes in these series.
    """
    years = np.floor(days / YEAR_DAYS).astype(int)
    place = years - years.min()
    yearly = (place.max() + 1, count)
    level = rng.uniform(0.35, 0.75, count)
    amplitude = rng.uniform(0.02, 0.3, count) + rng.normal(0, amplitude_jitter, yearly)[place]
    peak = rng.uniform(150, 250, count) + rng.normal(0, phase_jitter_days, yearly)[place]
    season = amplitude * np.cos(2 * np.pi * (days[:, None] - peak) / YEAR_DAYS)
    values = level + season + _noise(rng, season.shape, noise)
    values[rng.random(values.shape) >= clear_share] = np.nan
    return np.asarray(values, dtype=np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> NDArray[np.float64]:
    """White noise and a part that fades from look to look."""
    own, common = rng.normal(0, sigma, shape), rng.normal(0, sigma / 3, shape)
    for t in range(1, shape[0]):
        common[t] = 0.6 * common[t - 1] + 0.8 * common[t]
    return own + common
