"""Which looks at a pixel can be used."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal

import xarray as xr

from rs_monitor.errors import ConfigError
from rs_monitor.imagery.load import valid_mask


class SceneClass(IntEnum):
    """Sentinel-2 Level-2A scene classification (Sen2Cor; Sentinel-2 product specification)."""

    NO_DATA = 0
    SATURATED = 1
    DARK_AREA = 2
    CLOUD_SHADOW = 3
    VEGETATION = 4
    NOT_VEGETATED = 5
    WATER = 6
    UNCLASSIFIED = 7
    CLOUD_MEDIUM = 8
    CLOUD_HIGH = 9
    THIN_CIRRUS = 10
    SNOW = 11


CLEAR_SCL = frozenset(
    {
        SceneClass.DARK_AREA,
        SceneClass.VEGETATION,
        SceneClass.NOT_VEGETATED,
        SceneClass.WATER,
        SceneClass.UNCLASSIFIED,
    }
)
"""Classes that show the ground. Dark areas stay: wet ploughed soil and flooded paddy fall there."""


def clear_mask(
    cube: xr.Dataset,
    *,
    kind: Literal["scl", "none"],
    band: str | None,
    spectral_bands: Sequence[str],
) -> xr.DataArray:
    """Tell usable looks at the ground, lazily.

    Parameters
    ----------
    cube : xr.Dataset
        As from ``load_cube`` or ``to_reflectance``.
    kind : {'scl', 'none'}
        How clouds are told; ``none``: only missing values are left out.
    band : str, optional
        Variable with the scene classes, for ``scl``.
    spectral_bands : sequence of str
        A look is usable only where all of these were seen.

    Returns
    -------
    xr.DataArray
        bool, dims ``time, y, x``; True = usable.

    Raises
    ------
    ConfigError
        If the kind is unknown, or the mask band is not given or not in the cube.
    """
    clear = valid_mask(cube[spectral_bands[0]])
    for name in spectral_bands[1:]:
        clear = clear & valid_mask(cube[name])
    if kind == "scl":
        if band is None or band not in cube:
            have = ", ".join(map(str, cube.data_vars))
            raise ConfigError("imagery.mask_band", [f"{band!r} is not in the cube ({have})"])
        clear = clear & cube[band].isin([int(code) for code in sorted(CLEAR_SCL)])
    elif kind != "none":
        raise ConfigError("imagery.mask", [f"{kind!r} is unknown; use 'scl' or 'none'"])
    clear = clear.rename("clear")
    clear.attrs = {"grid_mapping": "spatial_ref"}
    return clear
