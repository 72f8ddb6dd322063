"""Thresholds of the imagery as a job names them: one rule file, one table for each concern."""

from __future__ import annotations

from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.findings.detectability import DetectabilityRules
from rs_monitor.imagery.dark_levels import RadiometryRules
from rs_monitor.imagery.registration import RegistrationRules
from rs_monitor.imagery.seasons import SeasonRules
from rs_monitor.imagery.sky_rules import ClearSkyRules


class InspectionRules(Model):
    """How much of a zone is read to judge its scenes."""

    block_px: int = Field(ge=64, description="edge of an inspected block; no matter of the job's")
    blocks: int = Field(ge=1, description="blocks of a zone that are inspected, spread evenly")


class ImageryRules(Model):
    """A rule file of the imagery."""

    id: str
    version: str
    basis: str = Field(description="documents the numbers come from")
    inspection: InspectionRules
    clear_sky: ClearSkyRules
    radiometry: RadiometryRules
    registration: RegistrationRules
    detectability: DetectabilityRules
    season: SeasonRules
