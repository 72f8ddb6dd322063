"""Reflectance of every piece of ground on any day: perennial covers and crop cycles.

Everything here is synthetic. A piece of ground ("label") is green cover, dry cover, water and
bare ground in fractions that follow the day; its reflectance is their linear mixture.
Days count from 2024-01-01.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rs_monitor.synthetic.spectra import spectrum

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

EPOCH: Final = dt.date(2024, 1, 1)
_NEVER: Final = -1.0e6
_CANOPIES: Final = ("wheat", "rice", "maize", "rape", "soy", "vegetables", "weeds")


def day_number(date: dt.date) -> float:
    """Return the day count from 2024-01-01 of a date.

    Parameters
    ----------
    date : datetime.date
        The date.

    Returns
    -------
    float
        Whole days; negative before 2024.
    """
    return float((date - EPOCH).days)


class Cycle(NamedTuple):
    """One synthetic crop cycle; all times are day numbers or days."""

    crop: str
    cover: float
    rise1: float
    rise1_days: float
    share1: float
    rise2: float
    rise2_days: float
    senescence: float
    senescence_days: float
    harvest: float
    flood_start: float = _NEVER
    flood_end: float = _NEVER

    def moved(self, days: float) -> Cycle:
        """Return the cycle with every date moved by `days`."""
        return self._replace(
            rise1=self.rise1 + days,
            rise2=self.rise2 + days,
            senescence=self.senescence + days,
            harvest=self.harvest + days,
            flood_start=self.flood_start + days,
            flood_end=self.flood_end + days,
        )


class Perennial(NamedTuple):
    """Cover that stays the whole year: green between two dates of the year, dry outside."""

    green: str
    dry: str
    cover: float
    green_min: float
    green_max: float
    start_doy: float
    start_days: float
    end_doy: float
    end_days: float


NO_COVER: Final = Perennial("weeds", "dry_grass", 0.0, 0.0, 0.0, 110.0, 12.0, 310.0, 12.0)


class Window(NamedTuple):
    """A material that covers a fraction of a label between two days (film, flood water)."""

    material: str
    fraction: float
    start: float
    end: float


@dataclass
class CoverBook:
    """Builder of the synthetic ground: every label with its ground, plants and cycles."""

    ground: list[Floats] = field(default_factory=list)
    wetting: list[float] = field(default_factory=list)
    perennials: list[Perennial] = field(default_factory=list)
    years: list[tuple[float, float]] = field(default_factory=list)
    cycles: list[tuple[int, Cycle]] = field(default_factory=list)
    windows: list[tuple[int, Window]] = field(default_factory=list)

    def add(
        self,
        ground: Floats,
        *,
        perennial: Perennial = NO_COVER,
        cycles: tuple[Cycle, ...] = (),
        windows: tuple[Window, ...] = (),
        wetting: float = 0.0,
        vigour: tuple[float, float] = (1.0, 1.0),
    ) -> int:
        """Add a label.

        Parameters
        ----------
        ground : ndarray, shape (6,), float32
            Reflectance of the bare ground.
        perennial : Perennial
            Cover that stays.
        cycles : tuple of Cycle
            Crop cycles, not overlapping in time.
        windows : tuple of Window
            Materials lying on top for a time.
        wetting : float
            How strongly rain darkens the ground, 0-1.
        vigour : tuple of float
            Green cover of 2024 and 2025 relative to the mean.

        Returns
        -------
        int
            The label.
        """
        label = len(self.ground)
        self.ground.append(ground)
        self.wetting.append(wetting)
        self.perennials.append(perennial)
        self.years.append(vigour)
        self.cycles.extend((label, cycle) for cycle in cycles)
        self.windows.extend((label, window) for window in windows)
        return label

    def close(self) -> CoverTable:
        """Return the finished table of all labels."""
        return CoverTable(
            ground=np.stack(self.ground).astype(np.float64),
            wetting=np.asarray(self.wetting),
            green=np.stack([spectrum(p.green) for p in self.perennials]).astype(np.float64),
            dry=np.stack([spectrum(p.dry) for p in self.perennials]).astype(np.float64),
            perennial=np.asarray([p[2:] for p in self.perennials], dtype=np.float64),
            vigour=np.asarray(self.years),
            cycle_label=np.asarray([label for label, _ in self.cycles], dtype=np.int64),
            cycle_crop=np.asarray(
                [_CANOPIES.index(cycle.crop) for _, cycle in self.cycles], dtype=np.int64
            ),
            cycle=np.asarray([c[1:] for _, c in self.cycles], dtype=np.float64).reshape(-1, 11),
            windows=tuple(self.windows),
        )


@dataclass(frozen=True)
class CoverTable:
    """Synthetic ground of all labels; answers the reflectance of any day."""

    ground: Doubles
    wetting: Doubles
    green: Doubles
    dry: Doubles
    perennial: Doubles
    vigour: Doubles
    cycle_label: npt.NDArray[np.int64]
    cycle_crop: npt.NDArray[np.int64]
    cycle: Doubles
    windows: tuple[tuple[int, Window], ...]

    def reflectance(self, day: float, *, wetness: float = 0.0) -> Floats:
        """Return the reflectance of every label on one day.

        Parameters
        ----------
        day : float
            Days since 2024-01-01.
        wetness : float
            Wetness of the soil after rain, 0-1.

        Returns
        -------
        ndarray, shape (labels, 6), float32
            Reflectance 0-1 in the order of `spectra.BANDS`.
        """
        mixed, covered = self._perennial(day)
        self._add_crops(day, mixed, covered)
        ground = self.ground * (1.0 - 0.35 * wetness * self.wetting)[:, None]
        over = np.maximum(covered, 1.0)[:, None]
        mixed = mixed / over + ground * (1.0 - np.minimum(covered, 1.0))[:, None]
        self._add_windows(day, mixed)
        return mixed.astype(np.float32)

    def _perennial(self, day: float) -> tuple[Doubles, Doubles]:
        year = 0 if day < 366.0 else 1
        doy = day - 366.0 * year + 1.0
        cover, low, high, start, rise, end, fall = self.perennial.T
        season = _sigmoid((doy - start) / rise) * _sigmoid((end - doy) / fall)
        green = np.minimum((low + (high - low) * season) * self.vigour[:, year], cover)
        mixed = green[:, None] * self.green + (cover - green)[:, None] * self.dry
        return mixed, cover.copy()

    def _add_crops(self, day: float, mixed: Doubles, covered: Doubles) -> None:
        cover, rise1, days1, share1, rise2, days2, sen, sen_days, harvest, wet0, wet1 = self.cycle.T
        grown = cover * (
            share1 * _sigmoid((day - rise1) / days1)
            + (1 - share1) * _sigmoid((day - rise2) / days2)
        )
        alive = _sigmoid((harvest - day) / 0.8)
        young = _sigmoid((sen - day) / sen_days)
        green = grown * young * alive
        after = np.maximum(day - harvest, 0.0)
        straw = 0.9 * grown * (1 - young) * alive + 0.45 * (1 - alive) * np.exp(-after / 14.0)
        flooded = _sigmoid((day - wet0) / 1.5) * _sigmoid((wet1 - day) / 1.5)
        water = 0.88 * flooded * np.clip(1.0 - green - straw, 0.0, 1.0)
        straw = straw * (1.0 - flooded)
        plants = self._canopies(day, sen)
        part = green[:, None] * plants + straw[:, None] * spectrum("straw").astype(np.float64)
        part += water[:, None] * spectrum("muddy_water").astype(np.float64)
        np.add.at(mixed, self.cycle_label, part)
        np.add.at(covered, self.cycle_label, green + straw + water)

    def _canopies(self, day: float, senescence: Doubles) -> Doubles:
        """Canopy spectrum of each cycle; rape turns yellow while it flowers."""
        canopies = np.stack([spectrum(name) for name in _CANOPIES]).astype(np.float64)
        plants = np.asarray(canopies[self.cycle_crop])
        is_rape = self.cycle_crop == _CANOPIES.index("rape")
        bloom = 0.65 * np.exp(-0.5 * ((day - senescence + 40.0) / 9.0) ** 2) * is_rape
        flower = spectrum("rape_flower").astype(np.float64)
        return np.asarray(plants + bloom[:, None] * (flower - plants))

    def _add_windows(self, day: float, mixed: Doubles) -> None:
        for label, window in self.windows:
            inside = _sigmoid(np.asarray((day - window.start) / 1.0))
            share = float(inside * _sigmoid(np.asarray((window.end - day) / 1.0)))
            share *= window.fraction
            top = spectrum(window.material).astype(np.float64)
            mixed[label] = (1.0 - share) * mixed[label] + share * top


def _sigmoid(value: Doubles) -> Doubles:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0))))
