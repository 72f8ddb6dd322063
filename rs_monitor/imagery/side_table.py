"""The side table of an index: what the files of a folder do not say themselves (TOML)."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from rs_monitor.config.reading import problems_of, read_toml
from rs_monitor.config.tables import Model
from rs_monitor.errors import ConfigError
from rs_monitor.imagery.catalog import parse_utc
from rs_monitor.imagery.naming import noon_utc

Globs = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class SourceEntry(Model):
    """What holds for the files that fit ``files``."""

    files: Globs = Field(min_length=1, description="globs of paths inside the folder")
    role: Literal["data", "mask", "dem", "ignore"] = Field(
        "data", description="mask: codes, never interpolated; ignore: no imagery"
    )
    datetime: dt.datetime | dt.date | None = Field(
        None, description="acquisition; a time without zone is UTC"
    )
    stand_in_date: bool = Field(
        False, description="the stated date is not known to be the acquisition's; items say so"
    )
    bands: tuple[str, ...] | str | None = Field(
        None, description="names in file order, or a CSV with one row per date of a time stack"
    )
    sensor: str | None = Field(None, description="sensor table that names the bands in file order")
    band: str | None = Field(None, description="for a time stack: the band all its layers hold")
    index_column: str = Field("band", description="CSV column: layer number, from 1")
    date_column: str = Field("datetime", description="CSV column: date or moment")
    id_column: str | None = Field(None, description="CSV column: item id")
    platform_column: str | None = Field(None, description="CSV column: platform")
    platforms: Mapping[str, str] = Field(
        default_factory=dict, description="platform names for the values of platform_column"
    )
    item: str | None = Field(None, description="id of the one item these files form together")
    collection: str | None = None
    platform: str | None = None
    gsd_m: float | None = Field(None, gt=0, description="ground sampling distance, metres")
    scale: float | tuple[float, ...] | None = Field(
        None, description="reflectance = number * scale + offset; one number, or one a band"
    )
    offset: float | tuple[float, ...] | None = None
    nodata: float | None = Field(None, description="value of pixels that were not seen")
    vertical_datum: str | None = Field(None, description="for role dem, e.g. EPSG:5773")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [text for wrong, text in self._checks() if wrong]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _checks(self) -> list[tuple[bool, str]]:
        stack = isinstance(self.bands, str)
        return [
            (stack and not str(self.bands).endswith(".csv"), "bands must be names or a .csv file"),
            (stack and self.band is None, "a time stack needs the key band"),
            (stack and self.datetime is not None, "a time stack takes its dates from the CSV"),
            ((self.scale is None) != (self.offset is None), "give scale and offset together"),
            (self.role != "data" and self.scale is not None, f"a {self.role} has no scale"),
            (
                self.sensor is not None and (self.bands is not None or self.band is not None),
                "give sensor or bands, not both",
            ),
            (self.stand_in_date and self.datetime is None, "stand_in_date needs a datetime"),
            (
                (self.role == "dem") != (self.vertical_datum is not None),
                "vertical_datum must be given exactly when role is 'dem'",
            ),
        ]

    def calibration(self, index: int) -> tuple[float, float] | None:
        """Scale and offset of a band, counted from 1; None where the table states none."""
        if self.scale is None or self.offset is None:
            return None
        return _pick(self.scale, index), _pick(self.offset, index)

    @property
    def when(self) -> tuple[dt.datetime, bool] | None:
        """Acquisition and whether only its day is known."""
        return None if self.datetime is None else moment(self.datetime)


def _pick(value: float | tuple[float, ...], index: int) -> float:
    return value[index - 1] if isinstance(value, tuple) else value


class SideTable(Model):
    """The whole side table."""

    collection: str | None = Field(None, description="collection of all items")
    ignore: tuple[str, ...] = Field((), description="globs of files that are no imagery")
    source: tuple[SourceEntry, ...] = ()

    def ignores(self, relative: str) -> bool:
        """Whether a path inside the folder is to be left alone."""
        return any(fnmatchcase(relative, glob) for glob in self.ignore)

    def entry(self, relative: str) -> SourceEntry | None:
        """Return the entry of a path; the first that fits."""
        fitting = (e for e in self.source if any(fnmatchcase(relative, g) for g in e.files))
        return next(fitting, None)


@dataclass(frozen=True, slots=True)
class Layer:
    """One date of a time stack."""

    index: int
    when: dt.datetime
    day_only: bool
    item_id: str | None
    platform: str | None


def read_side_table(path: Path) -> SideTable:
    """Read and check a side table.

    Raises
    ------
    ConfigError
        Lists every mistake.
    """
    try:
        return SideTable.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(str(path), problems_of(error)) from None


def moment(value: dt.datetime | dt.date | str) -> tuple[dt.datetime, bool]:
    """UTC moment of a date or time, and whether only the day is known (then noon UTC)."""
    if isinstance(value, str):
        text = value.strip()
        value = dt.date.fromisoformat(text) if len(text) <= len("2000-01-01") else parse_utc(text)
    if isinstance(value, dt.datetime):
        return parse_utc(value.isoformat()), False
    return noon_utc(value), True


def read_layers(path: Path, entry: SourceEntry) -> tuple[Layer, ...]:
    """Read the dates of a time stack.

    Raises
    ------
    ConfigError
        Lists missing columns or every row that cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    wanted = [entry.index_column, entry.date_column, entry.id_column, entry.platform_column]
    lacking = [name for name in wanted if name and (not rows or name not in rows[0])]
    if lacking:
        raise ConfigError(path.name, [f"column {name!r} is missing" for name in lacking])
    layers: list[Layer] = []
    problems: list[str] = []
    for number, row in enumerate(rows, start=2):
        try:
            layers.append(_layer(row, entry))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    repeated = len({layer.index for layer in layers}) < len(layers)
    problems += [f"column {entry.index_column!r} repeats a layer number"] if repeated else []
    if problems:
        raise ConfigError(path.name, problems)
    return tuple(layers)


def _layer(row: Mapping[str, str], entry: SourceEntry) -> Layer:
    index = int(row[entry.index_column])
    if index < 1:
        raise ValueError(f"layer number {index}; layers count from 1")
    when, day_only = moment(row[entry.date_column])
    name = row[entry.platform_column] if entry.platform_column else None
    return Layer(
        index=index,
        when=when,
        day_only=day_only,
        item_id=row[entry.id_column] if entry.id_column else None,
        platform=entry.platforms.get(name, name) if name else entry.platform,
    )
