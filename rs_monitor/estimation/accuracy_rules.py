"""Numbers of accuracy and area, as read from a rule file: one table for each concern."""

from __future__ import annotations

from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.estimation.accuracy import EstimationRules
from rs_monitor.estimation.allocation import SamplingRules


class AccuracyRules(Model):
    """The rule file."""

    id: str
    version: str
    basis: str = Field(description="documents the numbers come from")
    sampling: SamplingRules
    estimation: EstimationRules
