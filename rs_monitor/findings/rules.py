"""Rules of the negative list as data: which patches they concern and what excuses a change."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from rs_monitor.codes import LAND_COVER_STYLE, ChangeKind, CodeSystem
from rs_monitor.config.tables import Model

Input = Literal["land", "pbf", "redline", "udb", "zones", "permits", "dem", "land_cover"]
Overlay = Literal["pbf", "redline"]

_CLASS_NAMES = frozenset(style.name for style in LAND_COVER_STYLE.values())


class LandCodes(Model):
    """Land codes of a big class, by their first characters, in each code system."""

    survey3: tuple[str, ...] = Field(min_length=1)
    guide2023: tuple[str, ...] = Field(min_length=1)

    def has(self, code: str, system: CodeSystem) -> bool:
        """Whether a land code belongs to the class."""
        return code.startswith(self.survey3 if system is CodeSystem.SURVEY3 else self.guide2023)


class FindingRule(Model):
    """One rule of the list; every number stands in the file with its origin."""

    id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    zh: str
    en: str
    clause: str = Field(min_length=1, description="document and clause the rule implements")
    num: str = Field(min_length=1, description="origin of the numbers of the rule")
    severity: Literal["block", "fail", "verify", "info"]
    outcome: Literal["suspected", "recorded"] = Field(description="status when it holds")
    kinds: tuple[ChangeKind, ...] = Field(min_length=1, description="kinds of change concerned")
    classes_before: tuple[str, ...] = Field((), description="land cover before; empty = any")
    classes_after: tuple[str, ...] = Field((), description="land cover after; empty = any")
    inputs: tuple[Input, ...] = Field((), description="without any of them: not_evaluated")
    overlay: Overlay | None = Field(None, description="the patch must touch this layer")
    from_big_class: str | None = Field(None, description="survey land it must have been")
    approval_kinds: tuple[str, ...] = Field((), description="permits that excuse the change")
    plan_excuses: bool = Field(False, description="an approved plan excuses the change")
    fallback: bool = Field(False, description="applies where no other rule of the list did")
    min_report_m2: float = Field(ge=0, description="smaller evidence is inconclusive")
    min_slope_deg: float | None = Field(None, ge=0, lt=90, description="concerns steeper land only")
    note: str = Field("", description="what this version of the rule cannot see")

    @field_validator("classes_before", "classes_after")
    @classmethod
    def _known_classes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        strange = sorted(set(names) - _CLASS_NAMES)
        if strange:
            raise ValueError(f"no such land cover: {', '.join(strange)}; known: {_known()}")
        return names

    @model_validator(mode="after")
    def _inputs_named(self) -> Self:
        needed = {
            "land": self.from_big_class is not None,
            "permits": bool(self.approval_kinds),
            "zones": self.plan_excuses,
            "dem": self.min_slope_deg is not None,
        }
        if self.overlay is not None:
            needed[self.overlay] = True
        absent = [name for name, used in needed.items() if used and name not in self.inputs]
        if absent:
            raise ValueError(f"inputs must also name {', '.join(absent)}: the rule uses them")
        return self


class FindingRules(Model):
    """A rule file: the regime, shared numbers, land-code classes and the rules."""

    id: str = Field(min_length=1)
    version: str = Field(min_length=1)
    regime: Literal["guide_2024", "pilot_2019"]
    basis: str = Field(min_length=1, description="documents the rules come from")
    cover_share: float = Field(gt=0, le=1, description="share an approval or plan must cover")
    majority_share: float = Field(gt=0, le=1, description="share from which a patch lies in a zone")
    sliver_m2: float = Field(ge=0, description="smaller overlaps are drawing noise")
    big_classes: dict[str, LandCodes]
    rules: tuple[FindingRule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [rule.id for rule in self.rules]
        doubled = sorted({name for name in ids if ids.count(name) > 1})
        if doubled:
            raise ValueError(f"rule ids must be unique; doubled: {', '.join(doubled)}")
        used = {rule.from_big_class for rule in self.rules} - {None}
        unknown = sorted(str(name) for name in used - set(self.big_classes))
        if unknown:
            raise ValueError(f"big_classes lacks {', '.join(unknown)}, used by a rule")
        return self


def _known() -> str:
    return ", ".join(sorted(_CLASS_NAMES))
