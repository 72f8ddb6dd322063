"""What a sample was drawn by: the record that an assessment reads back."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from rs_monitor.config.tables import Model


class Design(StrEnum):
    """How units are chosen."""

    SIMPLE = "simple"
    STRATIFIED = "stratified"
    SYSTEMATIC = "systematic"
    TWO_STAGE = "two_stage"


class FirstStage(StrEnum):
    """How primary units are chosen."""

    PPS = "pps"
    SRS = "srs"


class StratumRecord(Model):
    """One stratum of the population.

    For designs without strata, one class of the map.
    """

    code: int = Field(ge=0, description="value in the strata raster")
    name: str
    pixels: int = Field(ge=0, description="units of the stratum")
    area_m2: float = Field(ge=0, description="true area on the CGCS2000 ellipsoid")
    points: int = Field(ge=0, description="units drawn")


class PrimaryUnitRecord(Model):
    """One primary unit that was drawn."""

    id: int
    name: str
    pixels: int = Field(ge=1, description="units of the primary unit")
    draws: int = Field(ge=1, description="times it was drawn")


class TwoStageRecord(Model):
    """The first stage of a two-stage design.

    ``pps``: drawn with replacement in proportion to pixels, an independent subsample for each
    draw. ``srs``: drawn without replacement with equal probability.
    """

    first_stage: FirstStage
    units: int = Field(ge=1, description="primary units of the population")
    pixels: int = Field(ge=1, description="pixels of the population")
    drawn: int = Field(ge=1, description="draws of primary units")
    points_per_draw: int = Field(ge=1, description="pixels wanted of each draw")
    primary_units: tuple[PrimaryUnitRecord, ...]


class BufferRecord(Model):
    """A stratum around classes of the map."""

    code: int = Field(ge=1, le=255, description="value in the strata raster")
    around: tuple[int, ...] = Field(min_length=1, description="classes it surrounds, and lacks")
    width_m: float = Field(gt=0, description="from centre to centre of pixels")


class DesignRecord(Model):
    """Everything an estimator must know of a sample."""

    format: Literal[1] = 1
    design: Design
    seed: int = Field(ge=0)
    points: int = Field(ge=1, description="units drawn")
    allocation: str = Field(description="how points were shared out among strata")
    strata: tuple[StratumRecord, ...] = Field(min_length=1)
    buffer: BufferRecord | None = None
    classes: dict[int, str] = Field(description="legend of the map; empty where it has none")
    blind: bool = Field(description="readers were not shown what the map says")
    key_digest: str = Field(description="sha256 of ids, strata and places of the points")
    product: str = Field(description="name of the map")
    map_digest: str = Field(description="sha256 of the map the strata come from")
    crs: str
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int] = Field(description="rows, columns")
    steps_px: tuple[int, int] | None = Field(
        default=None, description="rows and columns from point to point of a systematic design"
    )
    two_stage: TwoStageRecord | None = None
    rules: str = Field(description="rule file and version")

    @model_validator(mode="after")
    def _sums(self) -> DesignRecord:
        points = sum(stratum.points for stratum in self.strata)
        pixels, room = sum(stratum.pixels for stratum in self.strata), self.shape[0] * self.shape[1]
        if points != self.points or pixels > room:
            raise ValueError(
                f"strata hold {points} points and {pixels} pixels; the sample has {self.points} "
                f"points and the grid {room} pixels; restore the record of the draw"
            )
        twice = self.two_stage is not None
        if twice != (self.design is Design.TWO_STAGE) or (
            not twice and any(stratum.points > stratum.pixels for stratum in self.strata)
        ):
            raise ValueError(
                f"design {self.design} with{'' if twice else 'out'} primary units, or strata with "
                "more points than pixels; restore the record of the draw"
            )
        codes = [stratum.code for stratum in self.strata]
        names = {stratum.name.lower() for stratum in self.strata}
        if len({*codes}) < len(codes) or len(names) < len(codes):
            raise ValueError("two strata of one code or name; restore the record of the draw")
        return self
