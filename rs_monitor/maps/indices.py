"""Spectral indices of surface reflectance."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.lazy import map_pixels


def normalised_difference(
    one: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Difference of two bands over their sum, -1 to 1; NaN where the sum is not positive."""
    total = one + other
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (one - other) / total
    return np.where(total > 0, np.clip(ratio, -1.0, 1.0), np.nan).astype(np.float32)


def ndvi(reflectance: xr.Dataset) -> xr.DataArray:
    """Normalised difference vegetation index, after Rouse et al. (1974), NASA SP-351.

    Parameters
    ----------
    reflectance : Dataset
        Bands ``nir`` and ``red``, float32 0-1.

    Returns
    -------
    DataArray of float32
        -1 to 1; NaN where a band is NaN or both are zero.
    """
    return map_pixels(
        normalised_difference,
        reflectance["nir"],
        reflectance["red"],
        dtype=np.float32,
        name="ndvi",
        attrs={"long_name": "NDVI", "units": "1", "method": "Rouse1974"},
    )


def mndwi(reflectance: xr.Dataset) -> xr.DataArray:
    """Modified normalised difference water index, after Xu (2006).

    Bands ``green`` and ``swir16``; doi:10.1080/01431160600589179. See :func:`ndvi` for the rest.
    """
    return map_pixels(
        normalised_difference,
        reflectance["green"],
        reflectance["swir16"],
        dtype=np.float32,
        name="mndwi",
        attrs={"long_name": "MNDWI", "units": "1", "method": "Xu2006"},
    )


def ndbi(reflectance: xr.Dataset) -> xr.DataArray:
    """Normalised difference built-up index, after Zha et al. (2003).

    Bands ``swir16`` and ``nir``; doi:10.1080/01431160304987. See :func:`ndvi` for the rest.
    """
    return map_pixels(
        normalised_difference,
        reflectance["swir16"],
        reflectance["nir"],
        dtype=np.float32,
        name="ndbi",
        attrs={"long_name": "NDBI", "units": "1", "method": "Zha2003"},
    )
