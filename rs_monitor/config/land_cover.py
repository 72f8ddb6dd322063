"""Land cover of a job: what it is trained on, or which model names it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from rs_monitor.config.tables import LayerSettings, Model

FeatureSet = Literal["season", "season_red_edge", "scene", "scene_red_edge", "years"]


class ModelCardSettings(Model):
    """What a job says of its training data; goes into the card of a model trained on it."""

    data: str | None = Field(None, description="name of the survey; default: file and layer")
    licence: str = Field(
        "not stated: ask the owner of the survey before passing the model on", min_length=1
    )
    attribution: str = Field("not stated", min_length=1)
    region: str | None = Field(None, description="where; default: name of the job")
    not_for: tuple[str, ...] = Field((), description="uses to refuse, beside the standing ones")


class SampleTableSettings(LayerSettings):
    """Points or polygons with columns ``label``, ``from`` and ``to``."""

    covers: dict[str, str] = Field(
        min_length=1, description="class of each label, by name, e.g. soy = 'upland_crop'"
    )


class LandCoverSettings(Model):
    """Land cover of both periods: trained in the run, or by a model that is there."""

    source: Literal["survey", "table", "model"] = Field(
        description="survey: train on the county's own survey layer; table: on dated points or "
        "polygons; model: use a stored one"
    )
    table: SampleTableSettings | None = Field(
        None, validate_default=True, description="for source 'table'"
    )
    model: str | None = Field(
        None,
        validate_default=True,
        description="for source 'model': <name>-<version> of a shipped one, or its folder's path",
    )
    features: FeatureSet | None = Field(
        None, description="what is learned from; default: season; a stored model brings its own"
    )
    texture: bool = Field(
        False, description="add the texture of the period's medians; a scene has it anyway"
    )
    terrain: bool = Field(False, description="add slope, position and relief; needs [dem]")
    estimator: Literal["forest", "boosting"] | None = Field(
        None, description="what is trained; default: that of the rules"
    )
    trees: int | None = Field(
        None, ge=10, le=1000, description="trees, or rounds of boosting; default: as the rules say"
    )
    calibrate: bool = Field(
        True, description="turn shares of trees into probabilities that hold, fitted out of fold"
    )
    class_shares: Literal["sample", "survey"] = Field(
        "sample",
        description="class shares that probabilities go with: sample: as trained, rare classes as "
        "likely as common ones or nearly so; survey: the areas surveyed in the job's grids",
    )
    clean: bool = Field(True, description="leave out samples that look mislabelled; reported")
    generalise: Literal["none", "smoothed", "segments"] = Field(
        "none", description="also write land cover smoothed, or by segment, for reading the map"
    )
    samples_per_class: int = Field(1500, ge=50, le=50_000)
    seed: int = Field(0, ge=0)
    card: ModelCardSettings = Field(default_factory=ModelCardSettings)

    @field_validator("model", "table")
    @classmethod
    def _named(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = info.data.get("source") == info.field_name
        if "source" in info.data and wanted == (value is None):
            raise ValueError(f"must be given exactly when source is {info.field_name!r}")
        return value

    @field_validator("features", "texture", "terrain")
    @classmethod
    def _of_training(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("source") == "model":
            raise ValueError(
                "a stored model brings its own features; leave this out, or train here with "
                "source 'survey' or 'table'"
            )
        return value
