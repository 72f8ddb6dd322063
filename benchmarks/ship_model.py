"""Train the shipped general model on synthetic townships and measure it on others.

``python -m benchmarks ship_model --out models --replace`` writes ``models/<name>-<version>/``.
Without ``--out`` it only measures; without ``--replace`` it refuses a name that is taken, since a
published model never changes. The same seeds and versions of the libraries give the same bytes.
"""

import argparse
import dataclasses
import datetime as dt
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.xr import xr_coords

from benchmarks.land_cover_townships import true_codes
from benchmarks.tables import markdown
from rs_monitor.codes import CodeSystem
from rs_monitor.config.rules import load_rules
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.feature_spec import SEASON
from rs_monitor.maps.features import season_features
from rs_monitor.maps.land_cover import LandCoverModel, class_probabilities
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.model_arrays import kind_of
from rs_monitor.maps.model_card import SCHEMA_VERSION, ImageryCard, ModelCard, TrainingCard
from rs_monitor.maps.model_store import load_model
from rs_monitor.maps.model_validation import (
    class_cards,
    judge,
    validation_card,
    validation_table,
)
from rs_monitor.maps.sample_parcels import survey_parcels
from rs_monitor.maps.samples import (
    Samples,
    choose_parcels,
    draw_samples,
    parcel_labels,
    pool_samples,
)
from rs_monitor.maps.training import learnable, train_model
from rs_monitor.outputs.model_folder import arrays_bytes, arrays_card, write_model
from rs_monitor.pipeline.demo import REFLECTANCE_OFFSET, REFLECTANCE_SCALE
from rs_monitor.pipeline.train import software
from rs_monitor.synthetic.township import Township, make_township

NAME, VERSION = "synthetic-township-season36", "1.0.0"
TRAINED_ON, MEASURED_ON = (101, 102, 103, 104), (201, 202)
START, END = dt.date(2024, 3, 1), dt.date(2024, 10, 31)
UNCLEAR_SCL = (0, 1, 3, 8, 9, 10, 11)
PLANTED = {"events_per_kind": 3, "lookalikes_per_kind": 3}
"""Of a township; they come after the season that is learned from."""

PER_CLASS = 400
"""Pixels of a class in one township."""

SIZE = {"kind": "boosting", "trees": 40, "max_leaves": 15}
"""Rounds and leaves; keeps the file below 1 MB."""

SEED = 0


def features_of(town: Township) -> np.ndarray:
    """Features of the season before anything was planted."""
    looks = [k for k, a in enumerate(town.acquisitions) if START <= a.datetime.date() <= END]
    scenes = [town.scene(k) for k in looks]
    times = np.array(
        [scene.acquisition.datetime.replace(tzinfo=None) for scene in scenes], "M8[ns]"
    )
    coords = {"time": times, **xr_coords(town.geobox)}
    bands = {
        name: (("time", "y", "x"), np.stack([_reflectance(scene.bands[name]) for scene in scenes]))
        for name in SEASON.required_bands
    }
    cube = xr.Dataset(bands, coords=coords, attrs={"quantity": "reflectance"})
    scl = np.stack([scene.scl for scene in scenes])
    clear = xr.DataArray(~np.isin(scl, UNCLEAR_SCL), dims=("time", "y", "x"), coords=coords)
    return season_features(cube, clear, spec=SEASON, start=START, end=END).values


def _reflectance(numbers: np.ndarray) -> np.ndarray:
    seen = numbers * np.float32(REFLECTANCE_SCALE) + np.float32(REFLECTANCE_OFFSET)
    return np.where(numbers == 0, np.float32(np.nan), seen).astype(np.float32)


def samples_of(
    seed: int, rules: LandCoverRules, *, size_px: int, truth: bool
) -> tuple[Samples, dict[int, float]]:
    """Samples of one township by its survey, or by the truth the survey was made from."""
    town = make_township(seed, size_px=size_px, **PLANTED)
    survey = town.layers["dltb"].rename(columns={"DLBM": "land_code"})
    if truth:
        survey = survey.assign(land_code=true_codes(town, PLANTED))
    parcels = survey_parcels(
        survey, town.geobox, system=CodeSystem.SURVEY3, rules=rules.samples, source=f"seed {seed}"
    )
    chosen = choose_parcels(
        parcels.cores, town.geobox, per_class=PER_CLASS, rules=rules.samples, seed=SEED
    )
    labels, parcel = parcel_labels(chosen, town.geobox)
    most = rules.samples.pixels_per_parcel
    drawn = draw_samples(
        features_of(town), labels, parcel, town.geobox, pixels_per_parcel=most, seed=SEED
    )
    samples = pool_samples([drawn], chosen, per_class=PER_CLASS, pixels_per_parcel=most)
    areas = parcels.cores.groupby("cover")["area_m2"].sum()
    return samples, {int(cover): float(area) for cover, area in areas.items()}


def together(parts: Sequence[Samples]) -> Samples:
    """Samples of several townships; parcels and blocks of one are not those of another."""
    moved, parcels = [], 0
    for number, part in enumerate(parts):
        moved.append(
            dataclasses.replace(
                part,
                parcel=part.parcel + parcels,
                block=part.block * len(parts) + number,
                sources=part.sources.set_axis(part.sources.index + parcels),
            )
        )
        parcels += int(part.parcel.max()) + 1
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in moved])
        for field in dataclasses.fields(Samples)
        if field.name != "sources"
    }
    return Samples(**arrays, sources=pd.concat([part.sources for part in moved]))


def trained(samples: Samples, rules: LandCoverRules) -> LandCoverModel:
    """The model, its calibration and domain drawn over whole spatial blocks."""
    classifier = LandCoverClassifier.from_rules(
        rules.classifier.model_copy(update=SIZE), rules.calibration, seed=SEED
    )
    return train_model(samples, SEASON.names, classifier, outside=rules.outside, seed=SEED)


def stated(model: LandCoverModel, samples: Samples) -> np.ndarray:
    """Probabilities of samples, as a run computes them."""
    stack = np.ascontiguousarray(samples.features.T)[:, None, :]
    return class_probabilities(model, stack, SEASON.names)[:, 0].T.astype(np.float64)


def card_of(
    model: LandCoverModel,
    samples: Samples,
    held_out: Samples,
    areas_m2: dict[int, float],
    rules: LandCoverRules,
    *,
    seeds: Sequence[int],
    tested: Sequence[int],
) -> ModelCard:
    """What the model was trained on and what it is worth on townships it never saw."""
    raw = dataclasses.replace(model, calibrator=None)
    measured = judge(
        held_out,
        np.array(model.classes),
        stated(model, held_out),
        stated(raw, held_out),
        areas_m2=areas_m2,
        method=(
            f"{len(tested)} synthetic townships not trained on (seeds {_listed(tested)}); "
            "compared with their truth; classes weighted by area; intervals know the parcels "
            "(Korn and Graubard 1998)"
        ),
        min_parcels=rules.training.min_parcels,
        confidence=rules.training.confidence,
        calibration=rules.calibration,
        seed=SEED,
    )
    tolerance = rules.training.gsd_tolerance
    return ModelCard(
        schema_version=SCHEMA_VERSION,
        name=NAME,
        version=VERSION,
        summary="land cover of a growing season (March to October) at 10 m; SYNTHETIC",
        kind=kind_of(model),
        not_for=(
            "real decisions: trained on synthetic reflectance, rounded general knowledge",
            "figures of accuracy on real ground: those here hold for synthetic townships only",
            "a county that has a survey: train on it (rs-monitor train)",
        ),
        arrays=arrays_card(arrays_bytes(model)),
        imagery=ImageryCard(
            bands=SEASON.required_bands,
            quantity="reflectance",
            sensors=("synthetic-2a",),
            gsd_min_m=10.0 * (1 - tolerance),
            gsd_max_m=round(10.0 / (1 - tolerance), 3),
        ),
        features=SEASON,
        feature_names=SEASON.names,
        training=TrainingCard(
            data=f"survey layers of synthetic townships, seeds {_listed(seeds)}",
            licence="Apache-2.0",
            attribution="The rs_monitor developers",
            region="synthetic township of a northern plain",
            synthetic=True,
            start=START,
            end=END,
            code_system=CodeSystem.SURVEY3,
            parcels=len(np.unique(samples.parcel)),
            pixels=len(samples.labels),
            seed=SEED,
        ),
        validation=validation_card(measured),
        software=software(),
        classes=class_cards(measured, samples),
    )


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def shipped(out: Path, model: LandCoverModel, card: ModelCard) -> Path:
    """Write the model beside its place, load it as a user would, then put it there."""
    folder = out / card.full_name
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as beside:
        made = write_model(Path(beside), model, card)
        load_model(made)
        if folder.exists():
            shutil.rmtree(folder)
        return made.rename(folder)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="ship_model", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder that gets the model")
    parser.add_argument("--replace", action="store_true", help="of a model not yet published")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(TRAINED_ON))
    parser.add_argument("--tested", type=int, nargs="+", default=list(MEASURED_ON))
    parser.add_argument("--size", type=int, default=320, help="side of a township, pixels")
    given = parser.parse_args(argv)
    taken = given.out is not None and (given.out / f"{NAME}-{VERSION}").exists()
    if taken and not given.replace:
        parser.error(f"{NAME}-{VERSION} is there already; give --replace, or raise its version")
    rules = load_rules("land_cover", Path(), LandCoverRules)
    draw = partial(samples_of, rules=rules, size_px=given.size)
    drawn = together([draw(seed, truth=False)[0] for seed in given.seeds])
    samples = learnable(drawn, min_samples=rules.training.min_samples).samples
    model = trained(samples, rules)
    tested = [draw(seed, truth=True) for seed in given.tested]
    areas_m2 = {cover: sum(areas.get(cover, 0.0) for _, areas in tested) for cover in model.classes}
    held_out = together([part for part, _ in tested])
    held_out = held_out.select(np.isin(held_out.labels, model.classes))
    card = card_of(
        model, samples, held_out, areas_m2, rules, seeds=given.seeds, tested=given.tested
    )
    if given.out is not None:
        print(f"written to {shipped(given.out, model, card)}\n")
    print(markdown(validation_table(card.classes)))
    print(f"\noverall {card.validation.overall}; {card.arrays.bytes} bytes")
