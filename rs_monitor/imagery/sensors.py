"""Sensor tables: bands of multi-band optical files in file order, without any calibration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.config.tables import Model
from rs_monitor.errors import ConfigError

_NO_SENSORS = frozenset({"harmonisation"})
"""Other tables of that folder."""


class SensorBand(Model):
    """One band of a sensor."""

    name: str = Field(min_length=1, description="name of the band in the package")
    min_nm: float = Field(gt=0, description="lower edge of the spectral range, nanometres")
    max_nm: float = Field(gt=0, description="upper edge, nanometres")
    resolution_m: float = Field(gt=0, description="ground sampling distance at nadir, metres")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_nm >= self.max_nm:
            raise ValueError(f"min_nm {self.min_nm:g} must lie below max_nm {self.max_nm:g}")
        return self


class Sensor(Model):
    """Bands of one multi-band file of a sensor, in file order.

    A table never holds gains: the published coefficients of these sensors change by year and
    camera and lead to radiance. Without a calibration in the side table the numbers stay dn.
    """

    id: str
    title: str
    platforms: tuple[str, ...] = Field(min_length=1, description="STAC platform names")
    source: str = Field(min_length=1, description="who published the numbers")
    verified: bool = Field(description="whether all the numbers were read in that source")
    bands: tuple[SensorBand, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        repeated = [name for name, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise ValueError(f"band names must differ; repeated are {', '.join(repeated)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Band names in file order."""
        return tuple(band.name for band in self.bands)

    @property
    def gsd_m(self) -> float:
        """Finest ground sampling distance, metres."""
        return min(band.resolution_m for band in self.bands)


def sensor_names() -> tuple[str, ...]:
    """Ids of the shipped sensor tables."""
    tables = (path for path in _folder().glob("*.toml") if path.stem not in _NO_SENSORS)
    return tuple(sorted(path.stem for path in tables))


def load_sensor(name: str) -> Sensor:
    """Read a shipped sensor table.

    Parameters
    ----------
    name : str
        Id such as ``gf2-pms``.

    Raises
    ------
    ConfigError
        If there is no such table (names those there are) or it has mistakes.
    """
    if name not in sensor_names():
        known = ", ".join(sensor_names())
        raise ConfigError(
            name, [f"no such sensor table; known are {known}; or state bands = [...]"]
        )
    return load_table(_folder() / f"{name}.toml", Sensor)


def _folder() -> Path:
    return data_root() / "configs" / "sensors"
