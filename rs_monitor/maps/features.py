"""What a scene, a season or some years look like: per-pixel statistics that a classifier reads."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import TypeVar

import numpy as np
import xarray as xr

from rs_monitor.errors import ConfigError, GridMismatch, NoObservations, QuantityError
from rs_monitor.imagery.composites import day_numbers
from rs_monitor.lazy import SPACE, reduce_time
from rs_monitor.maps.baseline import day_number
from rs_monitor.maps.feature_spec import SEASON, FeatureSpec, quantile_name
from rs_monitor.maps.period_statistics import (
    YEAR_DAYS,
    Calendar,
    hidden_names,
    min_looks,
    statistics_of_block,
)
from rs_monitor.maps.spectral_catalogue import require_reflectance
from rs_monitor.maps.texture import texture

_Looks = TypeVar("_Looks", xr.Dataset, xr.DataArray)

BANDS = SEASON.bands
"""Bands the features of a season are made of."""


def feature_names() -> tuple[str, ...]:
    """Names of the features of a season."""
    return SEASON.names


def season_features(
    reflectance: xr.Dataset,
    clear: xr.DataArray,
    *,
    start: dt.date,
    end: dt.date,
    spec: FeatureSpec = SEASON,
    terrain: xr.Dataset | None = None,
) -> xr.DataArray:
    """Statistics of bands and indices from the clear looks of one period.

    Parameters
    ----------
    reflectance : Dataset of float32
        ``spec.required_bands``; time, y, x; 0-1, NaN = not seen. One look, a season or years.
    clear : DataArray of bool
        Same dimensions; True = usable look at the ground.
    start, end : date
        The period, both days included; looks of other days do not count. Parts of it and days of
        peaks are counted from ``start``. A scene of several looks is their median.
    spec : FeatureSpec
        Which features.
    terrain : Dataset of float32, optional
        ``spec.terrain``; y, x on the same grid; as :mod:`rs_monitor.maps.terrain` makes them.

    Returns
    -------
    DataArray of float32
        feature, y, x; named ``spec.names``; NaN = missing: nothing clear in the period or the
        part, too few looks for a harmonic model, a window that shows nothing. Terrain, too, where
        no look shows the pixel: ground nobody saw has no features.

    Raises
    ------
    ConfigError
        If bands or terrain that the features need are missing, or the period ends before it
        starts or is shorter than the year that harmonics describe.
    QuantityError
        If the cube holds raw numbers, or the mask is not bool.
    NoObservations
        If there are too few looks for the harmonics, wherever the clouds were.
    GridMismatch
        If mask or terrain lie on another grid.
        All before a pixel is read.

    Notes
    -----
    Looks of one pixel are taken together whatever their order; a look that is not clear counts as
    one that never was. Of one look all quantiles are its value.
    """
    require_reflectance(reflectance, spec.required_bands, what="features")
    _require_mask(clear)
    reflectance, clear = _of_period(reflectance, start, end), _of_period(clear, start, end)
    days = day_numbers(reflectance["time"].values, start)
    _require_period(spec, start, end, len(days))
    ground = _terrain_layers(reflectance, spec, terrain)
    calendar = Calendar(days, int(day_number(start)), _span(start, end))
    layers = _time_layers(reflectance, clear, spec, calendar)
    return _joined([layers, *_texture_layers(layers, spec), *_where_seen(ground, layers)], spec)


def _of_period(looks: _Looks, start: dt.date, end: dt.date) -> _Looks:
    days = day_numbers(looks["time"].values, start)
    inside = (days >= 0) & (days < _span(start, end))
    return looks if inside.all() else looks.isel(time=inside)


def _span(start: dt.date, end: dt.date) -> int:
    return (end - start).days + 1


def _require_mask(clear: xr.DataArray) -> None:
    if clear.dtype != bool:
        raise QuantityError(
            f"got a mask of {clear.dtype}; needed bool, as a missing value would count as clear; "
            "fill it with False"
        )


def _require_period(spec: FeatureSpec, start: dt.date, end: dt.date, looks: int) -> None:
    if end < start:
        raise ConfigError("features", [f"got a period from {start} to {end}; turn it round"])
    if not spec.harmonics_of:
        return
    needed = min_looks(spec)
    if looks < needed:
        raise NoObservations(
            f"got {looks} looks; needed at least {needed} for harmonics of order "
            f"{spec.harmonic_order}; load more images, or choose features of a season or scene"
        )
    if _span(start, end) < int(YEAR_DAYS):
        raise ConfigError(
            "features",
            [
                f"got a period of {_span(start, end)} days; needed a whole year for harmonics; "
                "choose a longer period, or features of a season"
            ],
        )


def _time_layers(
    reflectance: xr.Dataset, clear: xr.DataArray, spec: FeatureSpec, calendar: Calendar
) -> xr.DataArray:
    """Layers that each pixel's own looks give, in one pass over the blocks."""
    bands = spec.required_bands
    function = partial(statistics_of_block, bands=bands, spec=spec, calendar=calendar)
    return reduce_time(
        function,
        *(reflectance[band] for band in bands),
        clear,
        dtype=np.float32,
        name="features",
        attrs={},
        layers=("feature", [*spec.time_names(), *hidden_names(spec)]),
    )


def _texture_layers(layers: xr.DataArray, spec: FeatureSpec) -> list[xr.DataArray]:
    measures, made = spec.texture_measures, []
    for series in spec.texture_of:
        median = layers.sel(feature=quantile_name(series, 0.5), drop=True)
        for edge in spec.texture_windows_px:
            found = texture(median, window_px=edge, measures=measures, step=spec.texture_step)
            made.append(found.rename(measure="feature"))
    return made


def _terrain_layers(
    reflectance: xr.Dataset, spec: FeatureSpec, terrain: xr.Dataset | None
) -> list[xr.DataArray]:
    if not spec.terrain:
        return []
    have = () if terrain is None else tuple(map(str, terrain.data_vars))
    lacking = [name for name in spec.terrain if name not in have]
    if terrain is None or lacking:
        raise ConfigError(
            "features",
            [
                f"got terrain of {', '.join(have) or 'nothing'}; needed {', '.join(lacking)}; "
                "compute it from a DEM on the zone's grid, or choose features without terrain"
            ],
        )
    return [_on_grid(terrain[name], reflectance) for name in spec.terrain]


def _on_grid(layer: xr.DataArray, reflectance: xr.Dataset) -> xr.DataArray:
    same = layer.dims == SPACE and all(
        np.array_equal(layer[dim].values, reflectance[dim].values) for dim in SPACE
    )
    if not same:
        raise GridMismatch(
            f"got terrain {layer.name!r} on another grid than the bands; needed the same rows and "
            "columns; load the DEM on the zone's grid"
        )
    return layer.astype(np.float32).expand_dims(feature=[str(layer.name)])


def _where_seen(ground: list[xr.DataArray], layers: xr.DataArray) -> list[xr.DataArray]:
    if not ground:
        return []
    named = [name for name in layers["feature"].values if name != "clear_looks"]
    seen = layers.sel(feature=named).notnull().any("feature")
    return [layer.where(seen) for layer in ground]


def _joined(parts: list[xr.DataArray], spec: FeatureSpec) -> xr.DataArray:
    """One array in the order of the names, without the layers that only served others."""
    whole = parts[0]
    if hidden_names(spec):
        whole = whole.isel(feature=slice(len(spec.time_names())))
    if len(parts) > 1:
        whole = xr.concat(
            [whole, *parts[1:]], dim="feature", coords="minimal", compat="override", join="override"
        )
    whole = whole.assign_coords(feature=list(spec.names))
    whole.name = "features"
    whole.attrs = _attrs(spec)
    return whole


def _attrs(spec: FeatureSpec) -> dict[str, str]:
    units = set(spec.units)
    given = {"units": "1"} if units == {"1"} else {"feature_units": " ".join(spec.units)}
    parts = {
        "quantiles": spec.band_quantiles or spec.index_quantiles,
        "harmonics": spec.harmonics_of,
        "texture": spec.texture_of,
        "terrain": spec.terrain,
    }
    method = ", ".join(name for name, used in parts.items() if used)
    kind = {
        "scene": "features of a scene",
        "season": "seasonal features",
        "years": "features of years",
    }
    return {"long_name": kind[spec.period], **given, "method": method}
