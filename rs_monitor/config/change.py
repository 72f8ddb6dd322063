"""How the two states of a job are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from rs_monitor.config.tables import Model


class TwoDate(Model):
    """Two-date change by linear variates of the two composites."""

    method: Literal["cva", "mad", "irmad", "isfa"]
    threshold: Literal["kmeans", "otsu", "chi2", "chi2_rescaled"] = Field(
        description="how the change mask is cut"
    )
    p: float | None = Field(
        None, validate_default=True, gt=0, lt=1, description="tail probability, for chi2 rules"
    )
    max_iterations: int = Field(50, ge=1, le=500)
    tolerance: float = Field(1e-3, gt=0, description="largest move of a canonical correlation")

    @field_validator("p")
    @classmethod
    def _for_chi2(cls, p: float | None, info: ValidationInfo) -> float | None:
        rule = info.data.get("threshold", "")
        if rule and (p is None) == rule.startswith("chi2"):
            raise ValueError(f"threshold {rule!r} {'needs' if p is None else 'takes no'} p")
        return p


class Combined(Model):
    """Two-date change by the combined method; its parameters stand in the rule file."""

    method: Literal["combined"]


class Posterior(Model):
    """Post-classification comparison on class probabilities of two seasons."""

    method: Literal["posterior"]


CHANGE_METHODS = frozenset({"cva", "mad", "irmad", "isfa", "combined", "posterior"})
