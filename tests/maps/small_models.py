"""A tiny model with its card, and samples with several parcels in several blocks."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

from rs_monitor.codes import LandCover
from rs_monitor.config.rules import load_rules
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.feature_spec import FeatureSpec
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.model_card import (
    ArraysCard,
    ClassCard,
    ImageryCard,
    Interval,
    ModelCard,
    TrainingCard,
    ValidationCard,
    class_name,
)
from rs_monitor.maps.samples import Samples
from rs_monitor.maps.training import train_model

SPEC = FeatureSpec(period="scene", bands=("red", "nir", "swir16"), band_quantiles=(0.5,))
CLASSES = (LandCover.PADDY, LandCover.FOREST, LandCover.BUILT)
OUTSIDE = load_rules("land_cover", Path(), LandCoverRules).outside.model_copy(
    update={"points": 16, "folds": 2}
)
PIXELS = 4


def small_samples(parcels=10, seed=0, classes=CLASSES):
    """Parcels of each class, every one in a spatial block of its own."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(classes, dtype=np.uint8), parcels * PIXELS)
    parcel = np.arange(len(labels)) // PIXELS
    features = rng.normal(size=(len(labels), 3)).astype(np.float32)
    features[:, 0] += labels
    features[rng.random(features.shape) < 0.1] = np.nan
    sources = pd.DataFrame({"cover": labels[::PIXELS]}, index=np.unique(parcel))
    place = np.arange(len(labels), dtype=np.float64)
    return Samples(
        features, labels, parcel, parcel + 100, place.astype(np.uint64), place, place, sources
    )


def small_model(kind="forest", calibration="none", samples=None):
    classifier = LandCoverClassifier(
        kind, trees=6, max_leaves=4, calibration=calibration, folds=2, random_state=0
    )
    samples = small_samples() if samples is None else samples
    return train_model(samples, SPEC.names, classifier, outside=OUTSIDE, seed=0)


def small_card(**changed):
    figure = Interval(estimate=0.9, lower=0.8, upper=0.95)
    card = ModelCard(
        schema_version=1,
        name="small",
        version="1.2.3",
        summary="three classes of a scene",
        kind="forest",
        not_for=("anything but tests",),
        arrays=ArraysCard(sha256="0" * 64, bytes=1),
        imagery=ImageryCard(
            bands=SPEC.required_bands,
            quantity="reflectance",
            sensors=("synthetic-2a",),
            gsd_min_m=8.0,
            gsd_max_m=12.5,
        ),
        features=SPEC,
        feature_names=SPEC.names,
        training=TrainingCard(
            data="random numbers",
            licence="CC0-1.0",
            attribution='the "tests"',
            region="nowhere",
            synthetic=True,
            start=dt.date(2024, 3, 1),
            end=dt.date(2024, 10, 31),
            parcels=30,
            pixels=120,
            seed=0,
        ),
        validation=ValidationCard(method="none", confidence=0.95, overall=figure, parcels=30),
        software={"python": "3.11"},
        classes=tuple(
            ClassCard(value=v, name=class_name(v), parcels=10, pixels=40, users=figure)
            for v in CLASSES
        ),
    )
    return card.model_copy(update=changed)
