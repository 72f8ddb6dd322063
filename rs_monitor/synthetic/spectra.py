"""Reflectance of the materials of the synthetic township.

Everything here is synthetic: rounded values from general knowledge of Sentinel-2 surface
reflectance, not measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

BANDS: Final = ("blue", "green", "red", "nir", "swir16", "swir22")

_TABLE: Final[Mapping[str, tuple[float, ...]]] = {
    # plants
    "wheat": (0.028, 0.055, 0.032, 0.42, 0.19, 0.090),
    "rice": (0.026, 0.055, 0.032, 0.39, 0.16, 0.072),
    "maize": (0.030, 0.060, 0.036, 0.41, 0.20, 0.092),
    "rape": (0.030, 0.068, 0.040, 0.41, 0.19, 0.090),
    "rape_flower": (0.055, 0.150, 0.135, 0.40, 0.21, 0.110),
    "soy": (0.030, 0.068, 0.036, 0.45, 0.21, 0.095),
    "vegetables": (0.034, 0.075, 0.045, 0.38, 0.20, 0.105),
    "weeds": (0.036, 0.075, 0.052, 0.33, 0.22, 0.120),
    "evergreen": (0.021, 0.038, 0.025, 0.26, 0.115, 0.052),
    "deciduous": (0.023, 0.045, 0.026, 0.36, 0.165, 0.070),
    "bamboo": (0.025, 0.052, 0.030, 0.34, 0.145, 0.062),
    "branches": (0.050, 0.065, 0.078, 0.16, 0.21, 0.130),
    "fruit_trees": (0.030, 0.058, 0.038, 0.33, 0.18, 0.085),
    "tea": (0.030, 0.056, 0.040, 0.29, 0.165, 0.080),
    "shrub": (0.034, 0.058, 0.044, 0.27, 0.185, 0.100),
    "grass": (0.036, 0.076, 0.052, 0.33, 0.22, 0.120),
    "dry_grass": (0.080, 0.110, 0.140, 0.23, 0.32, 0.240),
    "straw": (0.092, 0.128, 0.168, 0.26, 0.34, 0.260),
    # ground
    "paddy_soil": (0.066, 0.088, 0.108, 0.160, 0.205, 0.170),
    "brown_soil": (0.080, 0.108, 0.138, 0.200, 0.270, 0.230),
    "yellow_soil": (0.086, 0.122, 0.164, 0.230, 0.310, 0.265),
    "subsoil": (0.115, 0.165, 0.230, 0.300, 0.390, 0.350),
    "red_subsoil": (0.085, 0.130, 0.215, 0.290, 0.380, 0.330),
    "bare_land": (0.110, 0.150, 0.200, 0.265, 0.350, 0.315),
    "rock": (0.165, 0.195, 0.220, 0.255, 0.290, 0.265),
    "pale_rock": (0.240, 0.270, 0.290, 0.320, 0.345, 0.310),
    "quarry_floor": (0.130, 0.155, 0.180, 0.215, 0.255, 0.235),
    # works
    "concrete": (0.190, 0.215, 0.232, 0.265, 0.285, 0.255),
    "asphalt": (0.085, 0.095, 0.105, 0.130, 0.150, 0.138),
    "blue_roof": (0.260, 0.240, 0.190, 0.290, 0.310, 0.260),
    "white_roof": (0.370, 0.385, 0.395, 0.420, 0.370, 0.320),
    "red_tile": (0.095, 0.125, 0.190, 0.245, 0.290, 0.255),
    "grey_roof": (0.140, 0.155, 0.168, 0.195, 0.215, 0.195),
    "dark_roof": (0.070, 0.080, 0.090, 0.112, 0.130, 0.120),
    "plastic": (0.205, 0.225, 0.225, 0.350, 0.270, 0.190),
    "film": (0.185, 0.210, 0.228, 0.300, 0.295, 0.235),
    # water
    "clear_water": (0.038, 0.052, 0.036, 0.020, 0.010, 0.008),
    "turbid_water": (0.068, 0.098, 0.088, 0.050, 0.016, 0.011),
    "muddy_water": (0.078, 0.108, 0.118, 0.085, 0.030, 0.020),
}


def spectrum(name: str) -> Floats:
    """Return the reflectance of one material.

    Parameters
    ----------
    name : str
        A material of the table of this module.

    Returns
    -------
    ndarray, shape (6,), float32
        Reflectance 0-1 in the order of `BANDS`.

    Notes
    -----
    Synthetic values.
    """
    return np.asarray(_TABLE[name], dtype=np.float32)


def varied(name: str, rng: np.random.Generator, *, spread: float = 0.10) -> Floats:
    """Return one individual of a material: brightness and colour jittered.

    Parameters
    ----------
    name : str
        A material of the table of this module.
    rng : numpy.random.Generator
        Source of the jitter.
    spread : float
        Log-normal standard deviation of the brightness; the colour varies by a third of it.

    Returns
    -------
    ndarray, shape (6,), float32
        Reflectance 0-1 in the order of `BANDS`.

    Notes
    -----
    Synthetic values.
    """
    brightness = rng.normal(0.0, spread)
    colour = rng.normal(0.0, spread / 3.0, size=len(BANDS))
    return np.asarray(spectrum(name) * np.exp(brightness + colour), dtype=np.float32)
