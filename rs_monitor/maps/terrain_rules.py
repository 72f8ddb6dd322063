"""Thresholds of terrain products, as read from a rule file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rs_monitor.config.tables import Model

Probability = Annotated[float, Field(gt=0, lt=1)]


class Origin(Model):
    """What every number carries besides its value."""

    num: Literal["source", "READ", "proposal", "MEM-H"] = Field(description="origin of the number")
    clause: str = Field(min_length=1, description="document and clause, or section of the study")


class Positive(Origin):
    """A number above zero, in the unit its key names."""

    value: float = Field(gt=0)


class Chance(Origin):
    """A probability strictly between 0 and 1."""

    value: Probability


class Whole(Origin):
    """A whole number, at least one."""

    value: int = Field(ge=1)


class Limits(Origin):
    """Upper limits of slope grades 1 to 4, degrees, each included."""

    values: tuple[float, float, float, float]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.values) != sorted(set(self.values)):
            raise ValueError("the limits of the slope grades must rise")
        return self


class GradeRules(Model):
    """Slope grades and the smallest polygon a slope map shows."""

    limits_deg: Limits
    min_map_mm2: Positive
    map_scale: Positive = Field(description="denominator of the map scale")

    @property
    def min_area_m2(self) -> float:
        """Smallest polygon on the ground, square metres."""
        return self.min_map_mm2.value * (self.map_scale.value / 1000.0) ** 2


class BorderlineRules(Model):
    """Probabilities between which a slope is on neither side of a limit."""

    min_probability: Chance
    max_probability: Chance

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_probability.value >= self.max_probability.value:
            raise ValueError("max_probability must exceed min_probability")
        return self


class DifferenceRules(Model):
    """Co-registration and significance of elevation differences."""

    min_slope_deg: Positive
    outlier_nmad: Positive
    tolerance_px: Positive
    interpolation_px: Positive
    max_iterations: Whole
    min_cells: Whole
    jackknife_px: Whole
    confidence_factor: Positive
    deep_cut_m: Positive


class DisplacementRules(Model):
    """When the ground is said to move."""

    rate_mm_a: Positive
    min_seen_fraction: Chance


class TerrainRules(Model):
    """A rule file of terrain products; read with ``config.rules.load_rules``."""

    id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    basis: str = Field(min_length=1)
    grades: GradeRules
    borderline: BorderlineRules
    difference: DifferenceRules
    displacement: DisplacementRules
