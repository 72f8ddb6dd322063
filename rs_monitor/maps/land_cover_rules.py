"""Numbers of land cover, as read from a rule file: one table for each concern."""

from __future__ import annotations

from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.maps.applicability import OutsideRules
from rs_monitor.maps.calibration import CalibrationRules
from rs_monitor.maps.classifier import ClassifierRules
from rs_monitor.maps.label_noise import CleaningRules
from rs_monitor.maps.objects import ObjectRules
from rs_monitor.maps.sample_parcels import SampleRules
from rs_monitor.maps.smoothing import SmoothingRules


class TrainingRules(Model):
    """What a class and a validation need."""

    min_samples: int = Field(ge=2, description="clean pixels a class needs to be learned")
    min_parcels: int = Field(ge=2, description="independent parcels an accuracy needs")
    folds: int = Field(ge=2, description="folds of the validation, whole spatial blocks each")
    confidence: float = Field(gt=0.5, lt=1, description="level of every interval")
    gsd_tolerance: float = Field(
        ge=0, lt=1, description="share by which pixels may differ in size from those trained on"
    )


class LandCoverRules(Model):
    """The rule file."""

    id: str
    version: str
    basis: str = Field(description="documents the numbers come from")
    training: TrainingRules
    samples: SampleRules
    cleaning: CleaningRules
    classifier: ClassifierRules
    calibration: CalibrationRules
    outside: OutsideRules
    smoothing: SmoothingRules
    objects: ObjectRules
