"""What a pixel is expected to show on a day of the year, from the looks of earlier years."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.errors import NoObservations, QuantityError
from rs_monitor.imagery.composites import only_clear
from rs_monitor.kernels.alerts import season_levels
from rs_monitor.kernels.harmonic import fit_ols, harmonic_regressors
from rs_monitor.lazy import reduce_time

YEAR_DAYS = 365.25
LEVEL, SPREAD = "baseline_level", "baseline_spread"
"""Variables of a baseline; their parameters run along ``level`` and ``width``."""


class BaselineRules(Model):
    """What a pixel is expected to show on a day, from the looks before the watch."""

    kind: Literal["same_season", "harmonic"] = Field(
        description="same_season: median of the calendar window in earlier years; harmonic: OLS"
    )
    seasons: int = Field(ge=4, le=73, description="seasons of the year, evenly spaced")
    window_days: float = Field(gt=0, description="looks this far from a season's middle count")
    min_looks: int = Field(ge=2, description="fewer looks in a season give no baseline for it")
    order: int = Field(ge=1, le=5, description="harmonics of the year")
    min_fit_looks: int = Field(ge=4, description="fewer looks give no harmonic fit")


def day_numbers(stamps: NDArray[Any]) -> NDArray[np.int64]:
    """Days since 1970-01-01 of time stamps; hours are cut off."""
    return stamps.astype("M8[D]").astype(np.int64)


def day_number(day: dt.date) -> int:
    """Days since 1970-01-01."""
    return int(np.datetime64(day, "D").astype(np.int64))


def require_unscaled(values: xr.DataArray) -> None:
    """Refuse integers: their nodata would count as looks."""
    if values.dtype.kind != "f":
        raise QuantityError(
            f"got {values.name!r} as {values.dtype}; needed floats with NaN where not seen; "
            "blank its nodata and scale it"
        )


def baseline_weights(
    days: NDArray[np.int64], rules: BaselineRules
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each parameter of level and of spread counts on each day, shape (time, parameter)."""
    if rules.kind == "harmonic":
        design = harmonic_regressors(days.astype(np.float64), order=rules.order, trend=False)
        return np.ascontiguousarray(design.T), np.ones((len(days), 1))
    # between two seasons their levels are joined by a straight line
    place = (days % YEAR_DAYS) / (YEAR_DAYS / rules.seasons)
    left = np.floor(place).astype(np.int64)
    share = place - left
    weights = np.zeros((len(days), rules.seasons))
    rows = np.arange(len(days))
    weights[rows, left % rules.seasons] = 1.0 - share
    weights[rows, (left + 1) % rules.seasons] += share
    return weights, weights


def parameter_counts(rules: BaselineRules) -> tuple[int, int]:
    """Return the numbers of parameters of level and spread."""
    if rules.kind == "harmonic":
        return 1 + 2 * rules.order, 1
    return rules.seasons, rules.seasons


def fit_baseline(
    values: xr.DataArray, clear: xr.DataArray, *, before: dt.date, rules: BaselineRules
) -> xr.Dataset:
    """Learn what each pixel shows through the year.

    Parameters
    ----------
    values : DataArray of float32
        time, y, x; NaN = not seen.
    clear : DataArray of bool
        Same dimensions; True = usable look at the ground.
    before : date
        Looks on this day and later are not used.
    rules : BaselineRules

    Returns
    -------
    Dataset of float32
        ``baseline_level`` and ``baseline_spread`` (parameter, y, x); NaN = too few looks.

    Raises
    ------
    NoObservations
        If there is no look before the day.
    """
    require_unscaled(values)
    past = day_numbers(values["time"].values) < day_number(before)
    if not past.any():
        raise NoObservations(
            f"got no look before {before}; needed earlier years as a baseline; start later or load "
            "older images"
        )
    days = day_numbers(values["time"].values[past])
    fit = partial(_fit_block, days=days, rules=rules)
    levels, spreads = parameter_counts(rules)
    both = reduce_time(
        fit,
        only_clear(values.isel(time=past), clear.isel(time=past)),
        dtype=np.float32,
        name="baseline",
        attrs={},
        layers=("layer", range(levels + spreads)),
    )
    return xr.Dataset(
        {
            LEVEL: _renamed(both.isel(layer=slice(levels)), "level"),
            SPREAD: _renamed(both.isel(layer=slice(levels, None)), "width"),
        },
    )


def _renamed(layers: xr.DataArray, dim: str) -> xr.DataArray:
    return layers.drop_vars("layer").rename({"layer": dim})


def _fit_block(
    values: NDArray[np.float32], *, days: NDArray[np.int64], rules: BaselineRules
) -> NDArray[np.float32]:
    if rules.kind == "harmonic":
        design = harmonic_regressors(days.astype(np.float64), order=rules.order, trend=False)
        fit = fit_ols(values, design, min_looks=rules.min_fit_looks)
        return np.concatenate([fit.coefficients, fit.sigma[None]]).astype(np.float32)
    level, spread = season_levels(
        values,
        (days % YEAR_DAYS).astype(np.float64),
        bins=rules.seasons,
        window_days=rules.window_days,
        min_looks=rules.min_looks,
        year_days=YEAR_DAYS,
    )
    return np.concatenate([level, spread])
