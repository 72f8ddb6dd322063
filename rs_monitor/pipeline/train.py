"""Train a model on the survey of a job, measure it on held-out ground, write it with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import rs_monitor
from rs_monitor.codes import CodeSystem
from rs_monitor.config.land_cover import LandCoverSettings
from rs_monitor.errors import ConfigError
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.feature_spec import FeatureSpec
from rs_monitor.maps.label_noise import CleanReport
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.model_arrays import kind_of
from rs_monitor.maps.model_card import (
    SCHEMA_VERSION,
    ClassSharesCard,
    CleaningCard,
    ImageryCard,
    ModelCard,
    TrainingCard,
    class_name,
)
from rs_monitor.maps.model_store import full_name
from rs_monitor.maps.model_validation import (
    Validation,
    class_cards,
    validate_classifier,
    validation_card,
    validation_table,
)
from rs_monitor.outputs.manifest import versions
from rs_monitor.outputs.model_folder import arrays_bytes, arrays_card, training_blocks, write_model
from rs_monitor.pipeline.inspect import inspect
from rs_monitor.pipeline.measure import observe
from rs_monitor.pipeline.plan import Plan
from rs_monitor.pipeline.run import silent
from rs_monitor.pipeline.training import Taught, classifier_of, cleaning_record, teach
from rs_monitor.pipeline.work import Ledger, Progress, Work, pool_of, work_of

LEARNED_FROM = ("before",)
"""The period the survey describes."""

SUMMARY = {"scene": "one scene", "season": "one season", "years": "whole years"}

SOFTWARE = ("python", "numpy", "scikit-learn", "numba", "scipy")

NOT_FOR = (
    "verdicts on law or area: its maps are evidence, areas come from a sample with its interval",
    "other sensors, other pixel sizes, other features or raw numbers: refused or warned about",
    "other regions, other seasons and classes not listed here, before it was checked on samples",
)


@dataclass(frozen=True)
class TrainedModel:
    """A model on disk and what is to be said of it.

    Attributes
    ----------
    path : Path
        Its folder.
    card : ModelCard
    table : DataFrame
        One row per class.
    ledger : Ledger
        Failures and warnings met on the way.
    """

    path: Path
    card: ModelCard
    table: pd.DataFrame
    ledger: Ledger


def train(
    plan: Plan, out: Path, *, name: str, version: str, progress: Progress = silent
) -> TrainedModel:
    """Train a model on the survey of a job and write it.

    Parameters
    ----------
    plan : Plan
        Of a job with ``[land_cover]`` and a survey; the period ``before`` is learned from.
    out : Path
        Folder that gets ``<name>-<version>/``.
    name, version : str
    progress : Progress, optional

    Returns
    -------
    TrainedModel

    Raises
    ------
    ConfigError
        If the job trains nothing, or the name is not that of a model.
    RunError
        If a model of that name and version is there.
    NoObservations
        If too little could be read or learned.
    """
    settings, folder_name = _require_training(plan), full_name(name, version)
    ledger = Ledger()
    with training_blocks(out, folder_name) as store, pool_of(plan) as pool:
        work = work_of(plan, store, pool, ledger=ledger, progress=progress)
        usable = observe(work, inspect(work), LEARNED_FROM)
        taught = teach(work, usable, settings)
        ledger.land_cover = taught.record
        validation = validate(work, taught, settings)
        card = card_of(work, taught, validation, name=name, version=version)
        path = write_model(out, taught.model, card)
    return TrainedModel(path, card, validation_table(card.classes), ledger)


def _require_training(plan: Plan) -> LandCoverSettings:
    settings = plan.config.land_cover
    if settings is None or settings.source == "model":
        raise ConfigError(
            plan.config.name,
            ["land_cover.source: train needs 'survey' (with [authority.land]) or 'table'"],
        )
    return settings


def validate(work: Work, taught: Taught, settings: LandCoverSettings) -> Validation:
    """Hold spatial blocks out of the training and compare with all labels drawn."""
    rules = work.land_cover_rules
    drawn = taught.drawn.samples
    samples = drawn.select(np.isin(drawn.labels, taught.model.classes))
    work.progress("validate", 0, 1)
    found = validate_classifier(
        samples,
        lambda calibrated: _classifier(settings, rules, calibrated),
        trusted=np.isin(samples.priority, taught.used.samples.priority),
        areas_m2=taught.drawn.areas_m2,
        folds=rules.training.folds,
        min_parcels=rules.training.min_parcels,
        confidence=rules.training.confidence,
        calibration=rules.calibration,
        seed=settings.seed,
        shares=_asked_shares(taught),
    )
    work.progress("validate", 1, 1)
    return found


def _asked_shares(taught: Taught) -> dict[int, float] | None:
    if taught.settings.class_shares == "sample":
        return None
    return dict(zip(taught.shares.classes, taught.shares.shares, strict=True))


def _classifier(
    settings: LandCoverSettings, rules: LandCoverRules, calibrated: bool
) -> LandCoverClassifier:
    asked = settings if calibrated else settings.model_copy(update={"calibrate": False})
    return classifier_of(asked, rules)


def card_of(
    work: Work, taught: Taught, validation: Validation, *, name: str, version: str
) -> ModelCard:
    """Write down what a model was trained on and what it is worth."""
    plan, config = work.plan, work.plan.config
    settings, spec = _require_training(plan), plan.features
    if spec is None:
        raise ValueError("a model needs features")
    synthetic = ("real decisions: trained on synthetic reflectance",) if config.synthetic else ()
    return ModelCard(
        schema_version=SCHEMA_VERSION,
        name=name,
        version=version,
        summary=f"land cover of {SUMMARY[spec.period]}, trained on the survey of job {config.name}",
        kind=kind_of(taught.model),
        not_for=(*synthetic, *_uncalibrated(taught), *settings.card.not_for, *NOT_FOR),
        arrays=arrays_card(arrays_bytes(taught.model)),
        imagery=_imagery(work, spec),
        features=spec,
        feature_names=spec.names,
        training=_training(plan, settings, taught),
        cleaning=None if taught.cleaned is None else _cleaning(taught.cleaned),
        validation=validation_card(validation),
        software=software(),
        classes=class_cards(validation, taught.used.samples),
        class_shares=_class_shares(taught),
    )


def _uncalibrated(taught: Taught) -> tuple[str, ...]:
    note = (taught.calibration or {}).get("note")
    return (f"chances: its probabilities could not be calibrated: {note}",) if note else ()


def software() -> dict[str, str]:
    """Versions that shape the trees."""
    found = versions()
    kept = {package: found[package] for package in SOFTWARE if package in found}
    return {"rs-monitor": rs_monitor.__version__, **kept}


def _imagery(work: Work, spec: FeatureSpec) -> ImageryCard:
    plan, tolerance = work.plan, work.land_cover_rules.training.gsd_tolerance
    items = [item for zone in plan.zones for item in zone.before]
    gsd_m = plan.config.grid.resolution_m
    return ImageryCard(
        bands=spec.required_bands,
        quantity="reflectance",
        sensors=tuple(sorted({item.platform or "unknown" for item in items})),
        gsd_min_m=round(gsd_m * (1 - tolerance), 3),
        gsd_max_m=round(gsd_m / (1 - tolerance), 3),
    )


def _training(plan: Plan, settings: LandCoverSettings, taught: Taught) -> TrainingCard:
    samples = taught.used.samples
    survey = plan.config.authority.land if settings.table is None else None
    source = settings.table or survey
    layer = "" if source is None else f"{Path(source.path).name} {source.layer or ''}".strip()
    period = plan.config.periods.before
    return TrainingCard(
        data=settings.card.data or layer,
        licence=settings.card.licence,
        attribution=settings.card.attribution,
        region=settings.card.region or plan.config.name,
        synthetic=plan.config.synthetic,
        start=period.start,
        end=period.end,
        code_system=None if survey is None else CodeSystem(survey.code_system),
        parcels=len(np.unique(samples.parcel)),
        pixels=len(samples.labels),
        seed=settings.seed,
    )


def _class_shares(taught: Taught) -> ClassSharesCard:
    shares = zip(taught.shares.classes, taught.shares.shares, strict=True)
    named = {class_name(cover): share for cover, share in shares}
    return ClassSharesCard(of=taught.settings.class_shares, shares=named)


def _cleaning(report: CleanReport) -> CleaningCard:
    record = cleaning_record(report)
    return CleaningCard(
        method="confident learning on spatial folds (doi:10.1613/jair.1.12125)",
        removed=record["removed"],
        share_removed=round(record["share_removed"], 4),
        by_class={name: count for name, count in record["by_class"].items() if count},
    )
