"""The rule file of acceptance: thresholds with unit, origin and clause."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rs_monitor.config.tables import Model

Origin = Literal["source", "READ", "proposal", "MEM-H"]
Severity = Literal["block", "fail", "verify", "info", "recorded"]
Share = Annotated[float, Field(ge=0, le=1)]


class Threshold(Model):
    """What every number carries besides its value."""

    num: Origin = Field(description="where the number comes from; proposal = to be confirmed")
    clause: str = Field(min_length=1, description="document and clause, or section of the study")


class Ratio(Threshold):
    """A share or relative difference, 0-1."""

    value: Share
    unit: Literal["ratio"]


class Count(Threshold):
    """A whole number of pixels, looks, seasons or days, at least one."""

    value: int = Field(ge=1)
    unit: Literal["px", "looks", "seasons", "days"]


class Area(Threshold):
    """Square metres."""

    value: float = Field(ge=0)
    unit: Literal["m2"]


class Slope(Threshold):
    """Degrees from the horizontal."""

    value: float = Field(ge=0, lt=90)
    unit: Literal["degree"]


class SlopeGrades(Threshold):
    """Upper limits of slope grades 1 to 4, degrees."""

    values: tuple[float, float, float, float]
    unit: Literal["degree"]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.values) != sorted(set(self.values)):
            raise ValueError("the limits of the slope grades must rise")
        return self


class Rule(Model):
    """What every rule carries besides its thresholds."""

    zh: str
    en: str
    clause: str = Field(min_length=1)
    std: Origin = Field(description="where the requirement comes from")
    severity: Severity


class PixelRules(Model):
    """When pixels of a claim may speak at all."""

    min_reliable_px: Count
    interior_cover: Ratio
    min_looks: Count
    min_interior_share: Ratio
    max_doubtful_share: Ratio


class TableRules(Model):
    """How the claims of one table may lie to each other."""

    max_mutual_overlap: Area


class StandingRule(Rule):
    """GEO-01; that a repaired polygon supports nothing is not a setting."""


class FormalRule(Rule):
    """NEW-01; which area sources are admissible is not a setting."""

    placeholder_ids: tuple[str, ...] = Field(min_length=1)


class AreaRule(Rule):
    """NEW-02."""

    max_area_ratio: Ratio
    rounding: Area


class BaselineRule(Rule):
    """NEW-03."""

    max_arable_share: Ratio
    min_baseline_share: Ratio
    max_crop_share_before: Ratio
    contradict_crop_share_before: Ratio

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.contradict_crop_share_before.value <= self.max_crop_share_before.value:
            raise ValueError("contradict_crop_share_before must exceed max_crop_share_before")
        return self


class CroppedRule(Rule):
    """NEW-04."""

    min_seasons: Count
    season: Count
    min_cycle_share: Ratio
    max_built_share: Ratio
    contradict_built_share: Ratio

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.contradict_built_share.value <= self.max_built_share.value:
            raise ValueError("contradict_built_share must exceed max_built_share")
        return self


class ExtentRule(Rule):
    """NEW-05."""

    min_crop_share: Ratio
    contradict_other_share: Ratio
    partial_crop_share: Ratio
    contradict_uncropped_share: Ratio

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        most_uncropped = 1 - self.min_crop_share.value
        against = (self.contradict_other_share.value, self.contradict_uncropped_share.value)
        if min(against) <= most_uncropped:
            raise ValueError(
                "contradict_other_share and contradict_uncropped_share must exceed "
                "1 - min_crop_share"
            )
        return self


class SitingRule(Rule):
    """NEW-07."""

    max_overlap: Area
    required_layers: tuple[str, ...] = Field(min_length=1)


class SlopeRule(Rule):
    """SLP-01."""

    steep_above: Slope
    max_steep_share: Ratio
    caution_above: Slope
    grade_limits: SlopeGrades


class AcceptanceRules(Model):
    """All rules a claim is judged by; every one is required for SUPPORTED."""

    id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    regime: Literal["guide_2024", "pilot_2019"]
    basis: str = Field(min_length=1)
    pixels: PixelRules
    claims: TableRules
    geo_01: StandingRule = Field(alias="GEO-01")
    new_01: FormalRule = Field(alias="NEW-01")
    new_02: AreaRule = Field(alias="NEW-02")
    new_03: BaselineRule = Field(alias="NEW-03")
    new_04: CroppedRule = Field(alias="NEW-04")
    new_05: ExtentRule = Field(alias="NEW-05")
    new_07: SitingRule = Field(alias="NEW-07")
    slp_01: SlopeRule = Field(alias="SLP-01")
