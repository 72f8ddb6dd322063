"""What a season looks like: per-pixel statistics that a classifier reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.imagery.composites import day_numbers, only_clear
from rs_monitor.kernels.series import time_quantiles
from rs_monitor.lazy import reduce_time
from rs_monitor.maps.indices import mndwi, ndbi, ndvi

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
"""Bands the features are made of."""

BAND_QUANTILES = (0.25, 0.5, 0.75)
INDEX_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
THIRDS = 3


def feature_names() -> tuple[str, ...]:
    """Names of the features, in the order of :func:`season_features`."""
    bands = [f"{band}_p{round(100 * q)}" for band in BANDS for q in BAND_QUANTILES]
    indices = [
        f"{index}_p{round(100 * q)}" for index in ("ndvi", "mndwi", "ndbi") for q in INDEX_QUANTILES
    ]
    thirds = [f"ndvi_third{k + 1}" for k in range(THIRDS)]
    return (*bands, *indices, *thirds)


def season_features(
    reflectance: xr.Dataset, clear: xr.DataArray, *, start: dt.date, end: dt.date
) -> xr.DataArray:
    """Seasonal statistics of bands and indices from the clear looks of one period.

    Parameters
    ----------
    reflectance : Dataset of float32
        Bands of ``BANDS``; time, y, x; 0-1, NaN = not seen.
    clear : DataArray of bool
        Same dimensions.
    start, end : date
        The period, cut into thirds.

    Returns
    -------
    DataArray of float32
        feature, y, x; named by :func:`feature_names`; NaN = missing.
    """
    series = [only_clear(reflectance[band], clear) for band in BANDS]
    indices = [only_clear(index(reflectance), clear) for index in (ndvi, mndwi, ndbi)]
    parts = [_quantiles(band, BAND_QUANTILES) for band in series]
    parts += [_quantiles(index, INDEX_QUANTILES) for index in indices]
    parts.append(_third_medians(indices[0], start, end))
    stacked = xr.concat(parts, dim="feature", coords="minimal", compat="override", join="override")
    stacked = stacked.assign_coords(feature=list(feature_names()))
    stacked.name = "features"
    stacked.attrs = {"long_name": "seasonal features", "units": "1", "method": "quantiles"}
    return stacked


def _quantiles(values: xr.DataArray, fractions: Sequence[float]) -> xr.DataArray:
    q = np.array(fractions)

    def reduce(stack: NDArray[np.float32]) -> NDArray[np.float32]:
        return time_quantiles(stack, q)

    labels = ("feature", list(range(len(fractions))))
    return reduce_time(
        reduce, values, dtype=np.float32, name=str(values.name), attrs={}, layers=labels
    )


def _third_medians(values: xr.DataArray, start: dt.date, end: dt.date) -> xr.DataArray:
    days = day_numbers(values["time"].values, start)
    length = (end - start).days + 1
    third = np.minimum(days * THIRDS // length, THIRDS - 1)

    def reduce(stack: NDArray[np.float32]) -> NDArray[np.float32]:
        half = np.array([0.5])
        return np.concatenate([time_quantiles(stack[third == k], half) for k in range(THIRDS)])

    labels = ("feature", list(range(THIRDS)))
    return reduce_time(reduce, values, dtype=np.float32, name="thirds", attrs={}, layers=labels)
