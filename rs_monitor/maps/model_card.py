"""The card of a land-cover model: its training data, its accuracy, where it must not be used."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from rs_monitor.codes import LAND_COVER_STYLE, CodeSystem, LandCover
from rs_monitor.config.tables import Model
from rs_monitor.maps.feature_spec import FeatureSpec

SCHEMA_VERSION = 2
"""2: class shares are stated; a card of version 1 is read as it was."""

NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
VERSION_PATTERN = r"^[0-9]+\.[0-9]+\.[0-9]+$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"

SHARE_SUM_ERROR = 1e-6
"""By which class shares may miss 1: decimals of a text file."""

Share = Annotated[float, Field(ge=0, le=1)]


class Interval(Model):
    """A figure with its interval; shares from 0 to 1."""

    estimate: Share
    lower: Share
    upper: Share

    def __str__(self) -> str:
        return f"{self.estimate:.3f} ({self.lower:.3f} to {self.upper:.3f})"

    @field_validator("upper")
    @classmethod
    def _ordered(cls, upper: float, info: ValidationInfo) -> float:
        if info.data.get("lower", 0.0) > upper:
            raise ValueError(f"must not lie below lower {info.data['lower']}")
        return upper


class ClassCard(Model):
    """One class: what it was learned from and how well it is told.

    Attributes
    ----------
    value, name
        Of ``LandCover``.
    parcels, pixels
        Independent polygons, and pixels drawn from them.
    users, producers
        Accuracy with interval; absent where it cannot be assessed.
    not_assessable
        Why there is no accuracy; empty where there is one.
    """

    value: int
    name: str
    parcels: int = Field(ge=0)
    pixels: int = Field(ge=0)
    users: Interval | None = None
    producers: Interval | None = None
    not_assessable: str = ""

    @field_validator("name")
    @classmethod
    def _of_the_value(cls, name: str, info: ValidationInfo) -> str:
        value = info.data.get("value", 0)
        if value not in set(LandCover):
            raise ValueError(f"value {value} is no land-cover class of this program")
        if name != class_name(value):
            raise ValueError(f"value {value} is called {class_name(value)!r} here")
        return name


def class_name(value: int) -> str:
    """Name of a ``LandCover`` value, as rasters carry it."""
    return LAND_COVER_STYLE[LandCover(value)].name


class TrainingCard(Model):
    """Where the labels and the imagery came from."""

    data: str = Field(min_length=1, description="name of the data set")
    licence: str = Field(min_length=1)
    attribution: str = Field(min_length=1)
    region: str = Field(min_length=1)
    synthetic: bool
    start: dt.date = Field(description="first day of the imagery")
    end: dt.date = Field(description="last day of the imagery")
    code_system: CodeSystem | None = Field(None, description="land codes of the survey")
    parcels: int = Field(ge=0)
    pixels: int = Field(ge=0)
    seed: int = Field(ge=0)


class CleaningCard(Model):
    """What was taken for mislabelled and left out."""

    method: str
    removed: int = Field(ge=0)
    share_removed: Share
    by_class: dict[str, int] = Field(default_factory=dict)


class ImageryCard(Model):
    """Imagery the model may be used on."""

    bands: tuple[str, ...] = Field(min_length=1)
    quantity: Literal["reflectance"]
    units: Literal["1"] = Field("1", description="reflectance 0-1")
    sensors: tuple[str, ...] = Field(min_length=1)
    gsd_min_m: float = Field(gt=0)
    gsd_max_m: float = Field(gt=0)


class ValidationCard(Model):
    """How well the model does on ground it was not trained on."""

    method: str = Field(min_length=1)
    confidence: float = Field(gt=0, lt=1, description="level of the intervals")
    overall: Interval | None = None
    parcels: int = Field(ge=0)
    calibration_error_before: Interval | None = Field(
        None, description="expected calibration error of the trees' own shares"
    )
    calibration_error: Interval | None = Field(None, description="and of what the model states")
    error_auc: float | None = Field(None, ge=0, le=1, description="uncertainty ranks errors")


class ClassSharesCard(Model):
    """Class shares that the model's probabilities go with."""

    of: Literal["sample", "survey"] = Field(
        description="sample: as trained; survey: areas surveyed where it was trained"
    )
    shares: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        description="share of each class; a job elsewhere moves from these to its own"
    )


class ArraysCard(Model):
    """The file of the arrays."""

    sha256: str = Field(pattern=SHA256_PATTERN)
    bytes: int = Field(gt=0)


class ModelCard(Model):
    """``card.toml``."""

    schema_version: Literal[1, 2]
    name: str = Field(pattern=NAME_PATTERN, max_length=64)
    version: str = Field(pattern=VERSION_PATTERN, max_length=32)
    summary: str = Field(min_length=1)
    kind: Literal["forest", "boosting"]
    not_for: tuple[str, ...] = Field(min_length=1, description="where it must not be used")
    arrays: ArraysCard
    imagery: ImageryCard
    features: FeatureSpec
    feature_names: tuple[str, ...] = Field(min_length=1)
    training: TrainingCard
    cleaning: CleaningCard | None = None
    validation: ValidationCard
    software: dict[str, str]
    classes: tuple[ClassCard, ...] = Field(min_length=2)
    class_shares: ClassSharesCard | None = Field(None, description="absent in cards of version 1")

    @field_validator("classes")
    @classmethod
    def _once(cls, classes: tuple[ClassCard, ...]) -> tuple[ClassCard, ...]:
        names = [entry.name for entry in classes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"got {', '.join(twice)} twice; a class has one column")
        return classes

    @field_validator("class_shares")
    @classmethod
    def _of_the_classes(
        cls, given: ClassSharesCard | None, info: ValidationInfo
    ) -> ClassSharesCard | None:
        names = [entry.name for entry in info.data.get("classes", ())]
        if given is not None and names and list(given.shares) != names:
            raise ValueError(f"shares must be of {', '.join(names)}, in this order")
        if given is not None and abs(sum(given.shares.values()) - 1) > SHARE_SUM_ERROR:
            raise ValueError(f"shares must add up to 1, not {sum(given.shares.values()):g}")
        return given

    @property
    def full_name(self) -> str:
        """Name of the folder: ``<name>-<version>``."""
        return f"{self.name}-{self.version}"

    @property
    def class_values(self) -> tuple[int, ...]:
        """Values of ``LandCover``, in column order of the probabilities."""
        return tuple(entry.value for entry in self.classes)
