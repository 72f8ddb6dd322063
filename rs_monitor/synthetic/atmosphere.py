"""Clouds, their shadows and haze over the synthetic township."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from rs_monitor.synthetic.acquisitions import Acquisition
from rs_monitor.synthetic.noise import smooth_field

Floats = npt.NDArray[np.float32]

_CLOUD: Final = np.array([0.52, 0.53, 0.54, 0.57, 0.42, 0.33], dtype=np.float32)
_HAZE: Final = np.array([0.050, 0.037, 0.027, 0.014, 0.004, 0.002], dtype=np.float32)
_SHADE: Final = np.array([0.52, 0.58, 0.62, 0.68, 0.70, 0.70], dtype=np.float32)


@dataclass(frozen=True)
class Weather:
    """State of the synthetic sky: opacity of cloud, depth of shadow, amount of haze (y, x)."""

    cloud: Floats
    shadow: Floats
    haze: Floats


def draw_weather(
    rng: np.random.Generator, shape: tuple[int, int], acquisition: Acquisition
) -> Weather:
    """Draw the sky over one synthetic scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the sky.
    shape : tuple of int
        Rows and columns of 10 m pixels.
    acquisition : Acquisition
        The overpass.

    Returns
    -------
    Weather
        Opacity 0-1, shadow 0-1 and haze (1 is a hazy day).
    """
    height_px = rng.uniform(60.0, 180.0)
    margin = 48
    wide = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    cloud = _clouds(rng, wide, acquisition.cloud_fraction)
    shadow = _cast(cloud, height_px, acquisition, margin)
    inner = slice(margin, -margin)
    amount = abs(rng.normal(0.0, 0.35)) + 0.5 * acquisition.cloud_fraction
    haze = amount * np.clip(0.7 + 0.45 * smooth_field(rng, shape, 90.0), 0.0, None)
    return Weather(cloud[inner, inner], shadow, haze.astype(np.float32))


def through(reflectance: Floats, weather: Weather, remnant: Floats | None) -> Floats:
    """Return what the sensor sees through the synthetic sky.

    Parameters
    ----------
    reflectance : ndarray, shape (y, x, 6), float32
        Ground.
    weather : Weather
        The sky.
    remnant : ndarray, shape (y, x), float32, or None
        Opacity of clouds that the scene classification will miss.

    Returns
    -------
    ndarray, shape (y, x, 6), float32
        Reflectance with haze, shadow and cloud.
    """
    shaded = reflectance * (1.0 - weather.shadow[..., None] * _SHADE)
    haze = weather.haze[..., None]
    hazy = shaded * (1.0 - 0.10 * np.minimum(haze, 2.0)) + haze * _HAZE
    missed = np.float32(0.0) if remnant is None else remnant
    opacity = 1.0 - (1.0 - weather.cloud) * (1.0 - missed)
    seen = hazy + opacity[..., None] * (_CLOUD - hazy)
    return np.asarray(seen, dtype=np.float32)


def _clouds(rng: np.random.Generator, shape: tuple[int, int], fraction: float) -> Floats:
    field = (
        smooth_field(rng, shape, 110.0)
        + 0.55 * smooth_field(rng, shape, 38.0)
        + 0.28 * smooth_field(rng, shape, 12.0)
        + 0.12 * smooth_field(rng, shape, 4.0)
    )
    if fraction >= 0.99:
        return np.asarray(np.clip(0.9 + 0.05 * field, 0.7, 1.0), dtype=np.float32)
    if fraction <= 0.01:
        return np.zeros(shape, dtype=np.float32)
    level = np.quantile(field, 1.0 - fraction)
    return np.asarray(np.clip((field - level) / 0.45 + 0.25, 0.0, 1.0), dtype=np.float32)


def _cast(cloud: Floats, height_px: float, acquisition: Acquisition, margin: int) -> Floats:
    """Shadow of the clouds on the ground, away from the sun."""
    away = height_px * np.tan(np.radians(acquisition.sun_zenith_deg)) * 0.35
    azimuth = np.radians(acquisition.sun_azimuth_deg)
    down = int(np.clip(round(away * np.cos(azimuth)), -margin, margin))
    right = int(np.clip(round(-away * np.sin(azimuth)), -margin, margin))
    rows = slice(margin - down, cloud.shape[0] - margin - down)
    columns = slice(margin - right, cloud.shape[1] - margin - right)
    return np.asarray(ndimage.gaussian_filter(cloud[rows, columns], 1.0), dtype=np.float32)
