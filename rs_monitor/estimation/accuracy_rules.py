"""Numbers of accuracy and area, as read from a rule file: one table for each concern."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from rs_monitor.config import Model, find_rules, load_table
from rs_monitor.estimation.accuracy import EstimationRules
from rs_monitor.estimation.allocation import SamplingRules


class AccuracyRules(Model):
    """The rule file."""

    id: str
    version: str
    basis: str = Field(description="documents the numbers come from")
    sampling: SamplingRules
    estimation: EstimationRules


def load_accuracy_rules(name_or_path: str, base: Path) -> AccuracyRules:
    """Read the numbers of accuracy and area.

    Raises
    ------
    ConfigError
        If there is no such rule file, or with every mistake in it.
    """
    return load_table(find_rules(name_or_path, base), AccuracyRules)
