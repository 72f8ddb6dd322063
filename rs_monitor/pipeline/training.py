"""Draw samples from the survey over all blocks of a job, and train on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rs_monitor.codes import LAND_COVER_STYLE, CodeSystem
from rs_monitor.config.land_cover import LandCoverSettings
from rs_monitor.grid import Block
from rs_monitor.maps.calibration import CalibrationRules
from rs_monitor.maps.class_shares import ClassShares
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.fold_groups import fold_groups, why_not_calibrated
from rs_monitor.maps.label_noise import CleanReport, clean_samples
from rs_monitor.maps.land_cover import LandCoverModel
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.model_card import class_name
from rs_monitor.maps.sample_parcels import SampleParcels, survey_parcels, table_parcels
from rs_monitor.maps.sample_report import SampleReport, sample_report
from rs_monitor.maps.samples import (
    DrawnPixels,
    Samples,
    choose_parcels,
    parcel_labels,
    pool_samples,
)
from rs_monitor.maps.training import Learnable, learnable, train_model
from rs_monitor.pipeline.class_shares import KEY, shares_record, with_class_shares
from rs_monitor.pipeline.plan import Plan
from rs_monitor.pipeline.tasks import SampleTask, sample_block
from rs_monitor.pipeline.work import Work, block_task, values_of

Marks = Mapping[str, Mapping[Block, str]]
"""Observed blocks by zone, each with the fingerprint it was stored under."""

VALUES = {style.name: int(value) for value, style in LAND_COVER_STYLE.items()}
"""Land-cover classes by name."""


@dataclass(frozen=True)
class Drawn:
    """Samples of a job and what the draw could not use.

    Attributes
    ----------
    samples : Samples
    report : SampleReport
    areas_m2 : dict of int to float
        Surveyed area of each class on the usable parcels.
    """

    samples: Samples
    report: SampleReport
    areas_m2: dict[int, float]


@dataclass(frozen=True)
class Taught:
    """A model trained in a job, and what it was trained on.

    Attributes
    ----------
    model : LandCoverModel
    drawn : Drawn
    used : Learnable
    settings : LandCoverSettings
        Of the job.
    shares : ClassShares
        Those that the model's probabilities go with.
    cleaned : CleanReport, optional
        None where cleaning was not asked for.
    calibration : dict, optional
        How probabilities were calibrated, or why not; None where it was not asked for.
    """

    model: LandCoverModel
    drawn: Drawn
    used: Learnable
    settings: LandCoverSettings
    shares: ClassShares
    cleaned: CleanReport | None = None
    calibration: dict[str, Any] | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What a manifest keeps of the training."""
        classes = self.drawn.report.classes
        return {
            "source": self.settings.source,
            "classes": {
                class_name(cover): row
                for cover, row in zip(
                    classes.index.tolist(), classes.to_dict("records"), strict=True
                )
            },
            "left_out": self.drawn.report.left_out.to_dict("records"),
            "not_learned": {class_name(c): n for c, n in self.used.not_learned.items()},
            "cleaned": None if self.cleaned is None else cleaning_record(self.cleaned),
            "calibrated": self.calibration,
            KEY: shares_record(self.settings, self.shares),
        }


def cleaning_record(report: CleanReport) -> dict[str, Any]:
    """What a cleaning removed, as plain values."""
    removed = report.by_class["pixels_removed"]
    return {
        "removed": int(report.removed.sum()),
        "share_removed": report.share_removed,
        "by_class": {
            class_name(cover): count
            for cover, count in zip(removed.index.tolist(), removed.tolist(), strict=True)
        },
        "note": report.note,
        "apart_by": {class_name(cover): unit for cover, unit in report.finer.items()},
    }


def calibration_record(samples: Samples, rules: CalibrationRules) -> dict[str, Any]:
    """How a calibration keeps the samples apart, or why there is none, as plain values."""
    note = why_not_calibrated(samples, rules.folds)
    finer = {} if note else fold_groups(samples, rules.folds).finer
    return {
        "method": "none" if note else rules.method,
        "note": note,
        "apart_by": {class_name(cover): unit for cover, unit in finer.items()},
    }


def training_warnings(record: Mapping[str, Any]) -> list[str]:
    """What was asked of a training and could not be done."""
    notes = {what: (record.get(what) or {}).get("note") for what in ("cleaned", "calibrated")}
    return [f"land cover was not {what}: {note}" for what, note in notes.items() if note]


def draw(work: Work, usable: Marks, settings: LandCoverSettings) -> Drawn:
    """Draw labelled pixels from every observed block of every zone."""
    rules = work.land_cover_rules.samples
    parcels = _parcels(work.plan, settings, work.land_cover_rules)
    geobox = work.plan.zones[0].geobox
    chosen = choose_parcels(
        parcels.cores,
        geobox,
        per_class=settings.samples_per_class,
        rules=rules,
        seed=settings.seed,
    )
    tasks = []
    for zone in work.plan.zones:
        labels, parcel = parcel_labels(chosen, zone.geobox)
        tasks += [
            SampleTask(
                at=block_task(work, zone, block, observed=mark),
                labels=labels[block.window],
                parcel=parcel[block.window],
                pixels_per_parcel=rules.pixels_per_parcel,
                seed=settings.seed,
            )
            for block, mark in usable[zone.zone_id].items()
        ]
    parts: list[DrawnPixels] = values_of(work.stage("sample", sample_block, tasks))
    samples = pool_samples(
        parts,
        chosen,
        per_class=settings.samples_per_class,
        pixels_per_parcel=rules.pixels_per_parcel,
    )
    areas = parcels.cores.groupby("cover")["area_m2"].sum()
    areas_m2 = {int(cover): float(area) for cover, area in areas.items()}
    return Drawn(samples, sample_report(samples, parcels), areas_m2)


def _parcels(plan: Plan, settings: LandCoverSettings, rules: LandCoverRules) -> SampleParcels:
    grids, land = [zone.geobox for zone in plan.zones], plan.config.authority.land
    if settings.table is not None and plan.samples is not None:
        period = plan.config.periods.before
        return table_parcels(
            plan.samples,
            grids,
            covers={label: VALUES[name] for label, name in settings.table.covers.items()},
            start=period.start,
            end=period.end,
            rules=rules.samples,
            source=settings.table.layer or "table",
        )
    if land is None:
        raise ValueError("training on the survey needs [authority.land]")
    return survey_parcels(
        plan.layers["land"],
        grids,
        system=CodeSystem(land.code_system),
        rules=rules.samples,
        source=land.layer or "land",
    )


def classifier_of(settings: LandCoverSettings, rules: LandCoverRules) -> LandCoverClassifier:
    """The unfitted classifier a job asks for; what it leaves open the rules decide."""
    asked = {"kind": settings.estimator, "trees": settings.trees}
    given = {key: value for key, value in asked.items() if value is not None}
    return LandCoverClassifier.from_rules(
        rules.classifier.model_copy(update=given),
        rules.calibration if settings.calibrate else None,
        seed=settings.seed,
    )


def teach(work: Work, usable: Marks, settings: LandCoverSettings) -> Taught:
    """Train the classifier of a job on its survey."""
    rules = work.land_cover_rules
    spec = work.plan.features
    if spec is None:
        raise ValueError("training needs the table [land_cover]")
    drawn = draw(work, usable, settings)
    work.progress("train", 0, 1)
    samples, cleaned = drawn.samples, None
    if settings.clean:
        cleaned = cleaned_of(samples, settings, rules)
        samples = cleaned.samples
    used = learnable(
        samples,
        min_samples=rules.training.min_samples,
        surveyed=drawn.report.classes.index.tolist(),
    )
    model = train_model(
        used.samples,
        spec.names,
        classifier_of(settings, rules),
        outside=rules.outside,
        seed=settings.seed,
    )
    work.progress("train", 1, 1)
    rows = np.unique(used.samples.labels, return_counts=True)[1].tolist()
    model, shares = with_class_shares(model, rows, work.plan.surveyed_m2)
    calibration = None
    if settings.calibrate:
        calibration = calibration_record(used.samples, rules.calibration)
    return Taught(model, drawn, used, settings, shares, cleaned, calibration)


def cleaned_of(samples: Samples, settings: LandCoverSettings, rules: LandCoverRules) -> CleanReport:
    """Leave out samples that look mislabelled to classifiers that did not see them."""
    plain = settings.model_copy(update={"calibrate": False})
    return clean_samples(
        samples,
        lambda: classifier_of(plain, rules),
        rules=rules.cleaning,
        seed=settings.seed,
        min_pixels=rules.training.min_samples,
    )
