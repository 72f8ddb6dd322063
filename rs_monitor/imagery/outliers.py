"""Clouds and shadows told by comparing the looks at a pixel with each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rs_monitor.codes import Sky
from rs_monitor.errors import ConfigError
from rs_monitor.imagery.sky_rules import OutlierRules
from rs_monitor.kernels.median import median_of_looks
from rs_monitor.kernels.series import time_quantiles

Stack = NDArray[np.float32]

_BRIGHT_BANDS = ("blue", "green", "red")
_DARK_BANDS = ("nir", "nir08", "swir16", "swir22")
_TO_SIGMA = 1.4826


def outlier_sky(values: Mapping[str, Stack], rules: OutlierRules) -> NDArray[np.uint8]:
    """Tell clouds and shadows of a source without a mask of its own.

    Parameters
    ----------
    values : mapping of str to ndarray of float32, shape (time, y, x)
        Reflectance by band; NaN = not seen. The first of blue, green, red shows clouds; a shadow
        is dark in every infrared band (without one, shadows are not told).
    rules : OutlierRules

    Returns
    -------
    ndarray of uint8, shape (time, y, x)
        ``CLEAR``, ``CLOUD``, ``SHADOW``, ``NOT_SEEN``, or ``UNDECIDED`` where a pixel has too
        few looks.

    Raises
    ------
    ConfigError
        Without a visible band.

    Notes
    -----
    After Tmask (Zhu, Woodcock 2014, doi:10.1016/j.rse.2014.06.012): a cloud rises above, a
    shadow falls below what the pixel shows at other times. Instead of a fitted season, the
    level is a low quantile of the looks (clouds only brighten, so the median itself is a cloud
    where they are frequent) and the scale the median absolute deviation of the looks below it.
    """
    bright = next((values[band] for band in _BRIGHT_BANDS if band in values), None)
    if bright is None:
        raise ConfigError(
            "imagery.mask", ["'outlier' needs blue, green or red among imagery.bands"]
        )
    sky = np.full(bright.shape, Sky.CLEAR, dtype=np.uint8)
    dark = [values[band] for band in _DARK_BANDS if band in values]
    if dark:
        sky[np.all([_falls(band, rules) for band in dark], axis=0)] = Sky.SHADOW
    sky[_rises(bright, rules)] = Sky.CLOUD
    seen = np.all([np.isfinite(band) for band in (bright, *dark)], axis=0)
    sky[:, seen.sum(axis=0) < rules.min_looks] = Sky.UNDECIDED
    sky[~seen] = Sky.NOT_SEEN
    return sky


def _rises(stack: Stack, rules: OutlierRules) -> NDArray[np.bool_]:
    level = time_quantiles(stack, np.array([rules.clear_quantile]))[0]
    limit = np.maximum(rules.rise_factor * _spread_below(stack, level), rules.min_rise)
    return np.asarray(stack - level > limit)


def _falls(stack: Stack, rules: OutlierRules) -> NDArray[np.bool_]:
    level = median_of_looks(stack)
    limit = np.maximum(rules.fall_factor * _spread(np.abs(stack - level)), rules.min_fall)
    return np.asarray(level - stack > limit)


def _spread_below(stack: Stack, level: NDArray[np.float32]) -> NDArray[np.float32]:
    return _spread(np.where(stack <= level, level - stack, np.float32(np.nan)))


def _spread(deviation: Stack) -> NDArray[np.float32]:
    """Standard deviation by the median absolute deviation."""
    return np.asarray(np.float32(_TO_SIGMA) * median_of_looks(deviation))
