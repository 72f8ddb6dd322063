"""Dark floors of dates and bands: the low quantile of clear reflectance, from histograms.

Measure: histograms per date and band, which blocks add up. Fit: the floors of the zone, which
``radiometry`` judges. Chavez (1988), doi:10.1016/0034-4257(88)90019-3, takes the same floor for the
haze of a band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.imagery.illumination import IlluminationRules

LOWEST = -0.3
BIN_WIDTH = 0.002
BINS = 500

Counts = NDArray[np.int64]
Floors = NDArray[np.float64]


class RadiometryRules(Model):
    """Thresholds of the radiometry checks; read from ``configs/rules``, each with its origin."""

    floor_quantile: float = Field(gt=0, lt=0.5, description="share of clear pixels below the floor")
    min_clear_px: int = Field(ge=1, description="clear pixels a date needs to be looked at")
    min_clear_fraction: float = Field(
        gt=0, le=1, description="of the zone's pixels; below it a high floor proves nothing"
    )
    min_dates: int = Field(ge=2, description="judged dates a step test needs")
    min_gap: float = Field(gt=0, description="reflectance between the floors of the two groups")
    max_group_range: float = Field(
        gt=0, description="reflectance the floors of one group may span; more could hide a step"
    )
    min_step: float = Field(gt=0, description="smallest median step over bands, reflectance")
    max_step: float = Field(gt=0, description="largest; a larger one is cloud or snow left over")
    min_band_step: float = Field(gt=0, description="smallest step of a single band, reflectance")
    max_step_spread: float = Field(gt=0, description="largest difference of steps between bands")
    shortwave_bands: tuple[str, ...] = Field(
        min_length=1, description="bands that stay dark over snow and haze; one must be there"
    )
    lifted_floor: float = Field(gt=0, description="lowest floor of a scene from which it is lifted")
    lowered_floor: float = Field(lt=0, description="lowest floor at or below which it is lowered")
    illumination: IlluminationRules = Field(description="guards of the terrain correction")


@dataclass(frozen=True, slots=True)
class DarkLevels:
    """Dark floors of a zone.

    Attributes
    ----------
    floors : ndarray of float64, shape (time, band)
        Reflectance; NaN without clear pixels.
    clear_px : ndarray of int64, shape (time,)
        Clear pixels of the band that has the fewest.
    zone_px : int
        Pixels of the zone.
    """

    floors: Floors
    clear_px: Counts
    zone_px: int

    def lowest(self) -> Floors:
        """Floor of the darkest band of each date; NaN where a band has none."""
        whole = np.isfinite(self.floors).all(axis=1)
        return np.where(whole, self.floors.min(axis=1), np.nan)


def level_histogram(values: NDArray[np.floating], clear: NDArray[np.bool_]) -> Counts:
    """Count the clear reflectances of one band per date.

    Parameters
    ----------
    values : ndarray of float, shape (time, y, x)
        Reflectance of a block; NaN = not seen.
    clear : ndarray of bool, shape (time, y, x)
        Usable looks.

    Returns
    -------
    ndarray of int64, shape (time, BINS)
        Bins of ``BIN_WIDTH`` from ``LOWEST``; the first and last take everything beyond. Histograms
        of blocks add up to that of the zone.
    """
    counts = np.zeros((len(values), BINS), dtype=np.int64)
    for date, usable, row in zip(values, clear, counts, strict=True):
        seen = date[usable & np.isfinite(date)].astype(np.float64)
        bins = np.clip((seen - LOWEST) / BIN_WIDTH, 0, BINS - 1).astype(np.int64)
        row += np.bincount(bins, minlength=BINS)
    return counts


def dark_levels(counts: Counts, rules: RadiometryRules, *, zone_px: int) -> DarkLevels:
    """Read the floors off histograms.

    Parameters
    ----------
    counts : ndarray of int64, shape (time, band, BINS)
        Sum of :func:`level_histogram` over blocks, bands stacked.
    rules : RadiometryRules
    zone_px : int
        Pixels of the zone, clear or not.

    Returns
    -------
    DarkLevels
        The floor of a date and band is the ``floor_quantile`` of its clear pixels, linear inside
        its bin, so within ``BIN_WIDTH`` of the exact one.
    """
    below = np.cumsum(counts, axis=-1)
    total = below[..., -1]
    wanted = rules.floor_quantile * total
    index = np.argmax(below > wanted[..., None], axis=-1)
    inside = np.take_along_axis(counts, index[..., None], axis=-1)[..., 0]
    before = np.take_along_axis(below, index[..., None], axis=-1)[..., 0] - inside
    part = (wanted - before) / np.maximum(inside, 1)
    floors = np.where(total > 0, LOWEST + BIN_WIDTH * (index + part), np.nan)
    return DarkLevels(floors, total.min(axis=-1), zone_px)
