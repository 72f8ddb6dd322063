"""Terrain that a classifier reads beside the looks: layers of a DEM by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import xarray as xr
from odc.geo.geobox import GeoBox

from rs_monitor.errors import ConfigError
from rs_monitor.kernels.relief import NEIGHBOUR_DEPTH_PX
from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX
from rs_monitor.maps.terrain import (
    relief,
    roughness,
    slope,
    terrain_ruggedness,
    topographic_position,
)

RELIEF_PX = 10
"""Radius of local relief: 100 m at 10 m pixels, three cells of a 30 m DEM."""

_Layer = Callable[[xr.DataArray, GeoBox], xr.DataArray]

_LAYERS: Mapping[str, tuple[_Layer, int]] = {
    "slope_deg": (slope, SLOPE_DEPTH_PX),
    "topographic_position_m": (topographic_position, NEIGHBOUR_DEPTH_PX),
    "roughness_m": (roughness, NEIGHBOUR_DEPTH_PX),
    "terrain_ruggedness_m": (terrain_ruggedness, NEIGHBOUR_DEPTH_PX),
    f"relief_{RELIEF_PX}px_m": (partial(relief, radius_px=RELIEF_PX), RELIEF_PX),
}

TERRAIN_NAMES = tuple(_LAYERS)
"""Layers there are."""


def terrain_reach_px(names: Iterable[str]) -> int:
    """Pixels on each side that the layers of these names look at."""
    return max((_LAYERS[name][1] for name in names), default=0)


def terrain_features(dem: xr.DataArray, geobox: GeoBox, *, names: Iterable[str]) -> xr.Dataset:
    """Layers of a DEM that a classifier reads.

    Parameters
    ----------
    dem : DataArray of float
        y, x; metres; NaN = unknown.
    geobox : GeoBox
        Its grid.
    names : iterable of str
        Of ``TERRAIN_NAMES``.

    Returns
    -------
    Dataset of float32
        One variable of each name; NaN where a cell that it looks at is unknown or beyond the
        grid, :func:`terrain_reach_px` at most.

    Raises
    ------
    ConfigError
        If there is no such layer.
    MissingCRS, UnsuitableCRS, GridMismatch, QuantityError
        As :func:`rs_monitor.maps.terrain.slope`.
    """
    wanted = tuple(names)
    require_terrain(wanted, "features")
    return xr.Dataset({name: _LAYERS[name][0](dem, geobox) for name in wanted})


def require_terrain(names: Iterable[str], reader: str) -> None:
    """Refuse names of layers that there are not.

    Raises
    ------
    ConfigError
    """
    unknown = [name for name in names if name not in _LAYERS]
    if unknown:
        raise ConfigError(
            reader,
            [
                f"got terrain {', '.join(unknown)}; needed of {', '.join(TERRAIN_NAMES)}; "
                "choose of these"
            ],
        )
