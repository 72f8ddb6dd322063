"""Dates, weather and pointing of the synthetic scenes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rs_monitor.synthetic.phenology import EPOCH

_COUNT = 46
_DAYS = 731
_SHIFT_SIGMA_PX = 0.17


@dataclass(frozen=True)
class Acquisition:
    """One synthetic overpass.

    Attributes
    ----------
    id : str
        Name of the scene.
    datetime : datetime.datetime
        Time of the overpass, UTC.
    cloud_fraction : float
        Cloud cover aimed at, 0-1.
    shift : tuple of float
        How far the picture lies off the grid, (down, right) in pixels.
    sun_zenith_deg, sun_azimuth_deg : float
        Where the sun stands.
    """

    id: str
    datetime: dt.datetime
    cloud_fraction: float
    shift: tuple[float, float]
    sun_zenith_deg: float
    sun_azimuth_deg: float


def draw_acquisitions(rng: np.random.Generator) -> tuple[Acquisition, ...]:
    """Draw the overpasses of 2024 and 2025, about every 16 days.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of dates, weather and pointing.

    Returns
    -------
    tuple of Acquisition
        In order of time.
    """
    places = (np.arange(_COUNT) + 0.5) * _DAYS / _COUNT
    days = np.round(places + rng.uniform(-4.0, 4.0, size=_COUNT)).astype(int)
    clouds = _cloudiness(rng, _COUNT)
    shifts = np.clip(rng.normal(0.0, _SHIFT_SIGMA_PX, size=(_COUNT, 2)), -0.45, 0.45)
    minutes = rng.integers(-6, 7, size=_COUNT)
    return tuple(
        _acquisition(int(day), float(cloud), (float(down), float(right)), int(minute))
        for day, cloud, (down, right), minute in zip(days, clouds, shifts, minutes, strict=True)
    )


def clear_scenes(acquisitions: Sequence[Acquisition]) -> list[int]:
    """Numbers of the clearer scenes of March to October 2025, where a missed cloud stands alone.

    Parameters
    ----------
    acquisitions : sequence of Acquisition
        All overpasses.

    Returns
    -------
    list of int
        The clearer half of the season, in order of time.
    """
    season = [
        i
        for i, a in enumerate(acquisitions)
        if a.datetime.year == EPOCH.year + 1 and 3 <= a.datetime.month <= 10
    ]
    by_cloud = sorted(season, key=lambda i: acquisitions[i].cloud_fraction)
    return sorted(by_cloud[: max(3, len(season) // 2)])


def _cloudiness(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Cloud cover aimed at: two in five scenes nearly clear, one in twelve overcast."""
    rank = (rng.permutation(count) + 0.5) / count
    knots = ([0.0, 0.40, 0.75, 0.915, 0.917, 1.0], [0.0, 0.08, 0.45, 0.85, 1.0, 1.0])
    return np.asarray(np.interp(rank, *knots))


def _acquisition(day: int, cloud: float, shift: tuple[float, float], minute: int) -> Acquisition:
    date = EPOCH + dt.timedelta(days=day)
    moment = dt.datetime(date.year, date.month, date.day, 2, 50, tzinfo=dt.UTC)
    moment += dt.timedelta(minutes=minute)
    zenith, azimuth = _sun(date.timetuple().tm_yday)
    name = f"SYN_{moment:%Y%m%dT%H%M%S}"
    return Acquisition(name, moment, cloud, shift, zenith, azimuth)


def _sun(doy: int) -> tuple[float, float]:
    """Zenith and azimuth at 10:45 local solar time, 31.5 degrees north."""
    latitude = np.radians(31.5)
    declination = np.radians(23.44) * np.sin(2 * np.pi * (doy - 81) / 365.25)
    hour = np.radians(-18.75)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(
        hour
    )
    zenith = np.arccos(up)
    south = (np.sin(latitude) * up - np.sin(declination)) / (np.cos(latitude) * np.sin(zenith))
    return float(np.degrees(zenith)), float(180.0 - np.degrees(np.arccos(np.clip(south, -1, 1))))
