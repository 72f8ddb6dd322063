"""Bright "clouds" that stay in place are ground: new concrete must survive the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rs_monitor.imagery.sky_rules import InPlaceRules
from rs_monitor.kernels.in_place import FLAGGED, GROUND, UNUSED, stays_in_place

IN_PLACE_BANDS = ("blue", "green", "red", "nir", "nir08", "swir16", "swir22")
"""Bands a surface is recognised by; an index alone looks alike in every cloud."""

_SNOW_TOLD_BY = ("swir16", "swir22")
"""Snow is dark in either of these, and bright in green."""

_VISIBLE = frozenset({"blue", "green", "red"})
_STRIP_ROWS = 64


def in_place_bands(bands: Sequence[str], rules: InPlaceRules) -> tuple[str, ...]:
    """Return the bands the rule can use.

    None where they are too few to know a surface by, or cannot tell snow: no brightness parts
    lying snow from a roof.
    """
    usable = tuple(band for band in bands if band in IN_PLACE_BANDS)
    tells_snow = "green" in usable and not set(_SNOW_TOLD_BY).isdisjoint(usable)
    return usable if tells_snow and len(usable) >= rules.min_bands else ()


def kept_in_place(
    cloud: NDArray[np.bool_],
    ground: NDArray[np.bool_],
    values: Mapping[str, NDArray[np.float32]],
    days: NDArray[np.float64],
    rules: InPlaceRules,
) -> NDArray[np.bool_]:
    """Find the cloud looks that are ground.

    Parameters
    ----------
    cloud, ground : ndarray of bool, shape (time, y, x)
        Looks flagged as cloud, and looks at the ground; ascending in time.
    values : mapping of str to ndarray of float32, shape (time, y, x)
        Reflectance by band, as :func:`in_place_bands` chose them; NaN = not seen.
    days : ndarray of float64, shape (time,)
        Day number of each look.
    rules : InPlaceRules

    Returns
    -------
    ndarray of bool, shape (time, y, x)
        True = flagged, but ground.

    Notes
    -----
    The rule and its reason: :func:`rs_monitor.kernels.in_place.stays_in_place`. Snow that lies
    for weeks stays in place too and is left to the mask by its snow index.
    """
    flagged = cloud & _bright(values, rules.min_brightness) & ~_snow_like(values, rules.snow_ndsi)
    kept = np.zeros_like(cloud)
    for top in range(0, cloud.shape[1], _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        often = flagged[:, rows].sum(axis=0) >= rules.min_looks
        state = np.full((flagged.shape[0], int(often.sum())), UNUSED, dtype=np.uint8)
        state[ground[:, rows][:, often]] = GROUND
        state[flagged[:, rows][:, often]] = FLAGGED
        series = np.stack([band[:, rows][:, often] for band in values.values()], axis=-1)
        kept[:, rows][:, often] = stays_in_place(
            np.ascontiguousarray(state.T),
            np.ascontiguousarray(series.transpose(1, 0, 2)),
            days,
            tolerance=rules.tolerance,
            tolerance_fraction=rules.tolerance_fraction,
            min_looks=rules.min_looks,
            min_days=rules.min_days,
            max_contrary_fraction=rules.max_contrary_fraction,
        ).T
    return kept


def _bright(values: Mapping[str, NDArray[np.float32]], limit: float) -> NDArray[np.bool_]:
    visible = [values[band] for band in sorted(_VISIBLE & set(values))]
    return np.asarray(np.mean(visible, axis=0) >= limit)


def _snow_like(values: Mapping[str, NDArray[np.float32]], limit: float) -> NDArray[np.bool_]:
    green, swir = values["green"], values[next(band for band in _SNOW_TOLD_BY if band in values)]
    return np.asarray(green - swir > limit * (green + swir))
