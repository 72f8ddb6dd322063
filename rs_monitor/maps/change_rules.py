"""Numbers of the combined two-date method and of lasting loss, as read from a rule file."""

from __future__ import annotations

import math

from pydantic import Field

from rs_monitor.config.tables import Model


class CombinedRules(Model):
    """Magnitude, context and threshold of the combined method."""

    max_iterations: int = Field(ge=1, description="of each reweighting")
    tolerance: float = Field(gt=0, description="move of a correlation at which it ends")
    context_weight: float = Field(ge=0, description="log-odds a fully changed neighbour adds")
    min_excess: float = Field(
        ge=1, description="pixels above the cut, as a multiple of what noise explains"
    )
    max_unchanged_spread: float = Field(
        gt=0, description="spread of the log magnitude of an unchanged scene, in a chi-square's"
    )
    unchanged_tail: float = Field(
        gt=0, lt=0.5, description="noise beyond the cut where nothing is apart"
    )


class LossRules(Model):
    """Which lost vegetation is lasting."""

    max_works_share: float = Field(gt=0, lt=0.5, description="share of the ground built, at most")
    water_fraction: float = Field(gt=0, lt=1, description="water lies below, darkest to median")
    min_sample_share: float = Field(gt=0, lt=1, description="share a learning sample needs")
    rough_quantile: float = Field(gt=0, lt=1, description="of bare fields; rougher is built")
    bulk_probability: float = Field(gt=0, lt=1, description="inner part of the lasting surfaces")
    certain_probability: float = Field(ge=0.5, lt=1, description="at which the answer is called")
    min_patch_m2: float = Field(gt=0, description="official minimum patch")
    min_patch_px: int = Field(ge=1, description="smallest patch in pixels")

    def width_px(self, resolution_m: float) -> int:
        """Least width reported: the side of a square minimum patch."""
        return max(1, round(math.sqrt(self.min_patch_m2) / resolution_m))

    def patch_px(self, resolution_m: float) -> int:
        """Smallest patch in pixels of a size."""
        return max(self.min_patch_px, math.ceil(self.min_patch_m2 / resolution_m**2))


class ChangeRules(Model):
    """The rule file."""

    id: str
    version: str
    basis: str
    combined: CombinedRules
    loss: LossRules
