"""A survey with wrong parcels: accuracy with and without cleaning, and what the cleaning removes.

Trained on spatial blocks of a synthetic township whose parcels carry 0, 10 or 20 % wrong classes,
scored on the true classes of the parcels of the other blocks.
"""

import argparse
import datetime as dt
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from benchmarks.land_cover_data import cube
from benchmarks.land_cover_townships import true_codes
from benchmarks.tables import markdown
from rs_monitor.codes import LAND_COVER_STYLE, CodeSystem, LandCover
from rs_monitor.config.rules import find_rules
from rs_monitor.maps.classifier import ClassifierRules, LandCoverClassifier
from rs_monitor.maps.features import season_features
from rs_monitor.maps.label_noise import CleaningRules, CleanReport, clean_samples
from rs_monitor.maps.lattice import mixed
from rs_monitor.maps.sample_parcels import SampleRules, survey_parcels
from rs_monitor.maps.samples import (
    Samples,
    choose_parcels,
    draw_samples,
    parcel_labels,
    pool_samples,
)
from rs_monitor.synthetic import Township, make_township

SEEDS = (31, 32, 33)
"""Townships of the figures; the rules were chosen on 21 and 22."""

RATES = (0.0, 0.1, 0.2)
SIZE_PX, PER_CLASS, TREES = 400, 600, 100
PLANTED = {"events_per_kind": 2, "lookalikes_per_kind": 2}
START, END = dt.date(2024, 1, 1), dt.date(2024, 12, 31)
UNCLEAR_SCL = (0, 1, 3, 8, 9, 10, 11)
TEST_SHARE = 3
"""One spatial block in three is never trained on."""

CONFUSED: Mapping[int, int] = {
    LandCover.PADDY: LandCover.UPLAND_CROP,
    LandCover.UPLAND_CROP: LandCover.GRASS,
    LandCover.ORCHARD: LandCover.FOREST,
    LandCover.FOREST: LandCover.ORCHARD,
    LandCover.SHRUB: LandCover.FOREST,
    LandCover.GRASS: LandCover.UPLAND_CROP,
    LandCover.BUILT: LandCover.BARE,
    LandCover.MINE: LandCover.BARE,
    LandCover.WATER: LandCover.PADDY,
    LandCover.FACILITY_AGRI: LandCover.BUILT,
    LandCover.BARE: LandCover.GRASS,
}
"""What a hurried or outdated survey says instead: one class for each."""

Wrong = Callable[[NDArray[Any], float, np.random.Generator], NDArray[Any]]


@dataclass(frozen=True)
class Ground:
    """One township: features, the cores of its parcels with their true classes, and the split."""

    seed: int
    geobox: GeoBox
    features: NDArray[np.float32]
    train: gpd.GeoDataFrame
    test: gpd.GeoDataFrame


@dataclass(frozen=True)
class Rules:
    """Tables of the shipped rules that a training needs."""

    samples: SampleRules
    cleaning: CleaningRules
    classifier: ClassifierRules


def shipped_rules() -> Rules:
    tables = tomllib.loads(find_rules("land_cover", Path()).read_text("utf-8"))
    return Rules(
        SampleRules.model_validate(tables["samples"]),
        CleaningRules.model_validate(tables["cleaning"]),
        ClassifierRules.model_validate(tables["classifier"] | {"trees": TREES}),
    )


def make_ground(seed: int, rules: SampleRules, *, size_px: int = SIZE_PX) -> Ground:
    """A township with the true classes of its parcels."""
    town = make_township(seed, size_px=size_px, **PLANTED)
    survey = town.layers["dltb"].rename(columns={"BSM": "feature_id", "SJNF": "year"})
    survey = survey.assign(land_code=true_codes(town, PLANTED))
    cores = survey_parcels(survey, town.geobox, system=CodeSystem.SURVEY3, rules=rules).cores
    blocks = cores["block"].to_numpy()
    held_out = mixed(blocks, np.zeros_like(blocks), seed) % TEST_SHARE == 0
    return Ground(seed, town.geobox, features_of(town), cores[~held_out], cores[held_out])


def features_of(town: Township) -> NDArray[np.float32]:
    looks = [k for k, a in enumerate(town.acquisitions) if START <= a.datetime.date() <= END]
    scenes = [town.scene(k) for k in looks]
    bands = {
        name: np.stack(
            [np.where(s.bands[name] == 0, np.nan, s.bands[name] * 1e-4 - 0.1) for s in scenes]
        )
        for name in scenes[0].bands
    }
    values = cube(bands, [s.acquisition.datetime.date() for s in scenes], town.geobox)
    unclear = np.isin(np.stack([s.scl for s in scenes]), UNCLEAR_SCL)
    clear = values["nir"].notnull() & ~unclear
    return season_features(values, clear, start=START, end=END).values


def random_wrong(covers: NDArray[Any], rate: float, rng: np.random.Generator) -> NDArray[Any]:
    """Exactly so many parcels get any other class of the township."""
    wrong = covers.copy()
    known = np.unique(covers)
    for k in rng.choice(len(covers), round(rate * len(covers)), replace=False):
        wrong[k] = rng.choice(known[known != covers[k]])
    return wrong


def systematic_wrong(covers: NDArray[Any], rate: float, rng: np.random.Generator) -> NDArray[Any]:
    """Exactly so many parcels get the class theirs is confused with."""
    wrong = covers.copy()
    able = np.flatnonzero(np.isin(covers, list(CONFUSED)))
    for k in rng.choice(able, min(round(rate * len(covers)), len(able)), replace=False):
        wrong[k] = CONFUSED[covers[k]]
    return wrong


KINDS: Mapping[str, Wrong] = {"random": random_wrong, "systematic": systematic_wrong}


def drawn(ground: Ground, covers: NDArray[Any], rules: SampleRules, per_class: int) -> Samples:
    """Samples of the training blocks as a survey with these classes gives them."""
    cores = ground.train.assign(cover=covers.astype(np.uint8))
    chosen = choose_parcels(
        cores, ground.geobox, per_class=per_class, rules=rules, seed=ground.seed
    )
    labels, parcel = parcel_labels(chosen, ground.geobox)
    asked = {"pixels_per_parcel": rules.pixels_per_parcel}
    part = draw_samples(ground.features, labels, parcel, ground.geobox, seed=ground.seed, **asked)
    return pool_samples([part], chosen, per_class=per_class, **asked)


def accuracies(ground: Ground, samples: Samples, classifier: Any) -> pd.DataFrame:
    """User's and producer's accuracy of the classes in the held-out blocks, by their truth."""
    classifier.fit(samples.features, samples.labels)
    labels, _ = parcel_labels(ground.test, ground.geobox)
    asked = (labels > 0) & np.isfinite(ground.features).any(axis=0)
    truth = labels[asked]
    said = classifier.predict(ground.features[:, asked].T)
    right = truth == said
    rows = {
        cover: {
            "users": right[said == cover].mean() if (said == cover).any() else np.nan,
            "producers": right[truth == cover].mean(),
            "pixels": int((truth == cover).sum()),
            "overall": right.mean(),
        }
        for cover in np.unique(truth)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("cover")


def cleaning_row(report: CleanReport, given: pd.Series, truth: pd.Series) -> dict[str, float]:
    """How many of the removed parcels were wrong, and of the wrong ones removed."""
    drawn_parcels = report.by_class["parcels"].sum()
    removed = report.suspects.index[report.suspects["removed"]]
    kept = np.unique(report.samples.parcel)
    wrong = given != truth
    hit, missed = int(wrong.loc[removed].sum()), int(wrong.loc[kept].sum())
    return {
        "removed": len(removed) / drawn_parcels,
        "precision": hit / len(removed) if len(removed) else np.nan,
        "recall": hit / (hit + missed) if hit + missed else np.nan,
    }


def cases(
    ground: Ground, rules: Rules, *, rates: Sequence[float] = RATES, per_class: int = PER_CLASS
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Summary and accuracies by class of each kind and rate, without and with cleaning."""
    truth = ground.train["cover"]

    def classifier() -> LandCoverClassifier:
        return LandCoverClassifier.from_rules(rules.classifier, None, seed=ground.seed)

    for kind, rate in [("none", 0.0), *((k, r) for k in KINDS for r in rates if r > 0)]:
        rng = np.random.default_rng([ground.seed, round(1000 * rate)])
        given = truth
        if rate > 0:
            given = pd.Series(KINDS[kind](truth.to_numpy(), rate, rng), truth.index)
        samples = drawn(ground, given.to_numpy(), rules.samples, per_class)
        report = clean_samples(samples, classifier, rules=rules.cleaning, seed=ground.seed)
        told = {"seed": ground.seed, "noise": kind, "wrong": rate}
        found = cleaning_row(report, given, truth)
        for name, used in (("as surveyed", samples), ("cleaned", report.samples)):
            table = accuracies(ground, used, classifier())
            means = table[["users", "producers"]].fillna(0.0).mean()
            yield (
                told
                | {"training": name, "overall": table["overall"].iloc[0], **means}
                | (found if name == "cleaned" else {}),
                table.reset_index().assign(**told, training=name),
            )


def spread(values: pd.Series) -> str:
    """Mean and standard deviation over the townships, per cent."""
    if values.isna().all():
        return ""
    return f"{100 * values.mean():.1f} ± {100 * values.std(ddof=0):.1f}"


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    wanted = ["overall", "users", "producers", "removed", "precision", "recall"]
    groups = rows.groupby(["noise", "wrong", "training"], sort=False)
    table = groups[wanted].agg(spread).reset_index()
    table["wrong"] = (100 * table["wrong"]).map("{:.0f} %".format)
    return table.rename(
        columns={
            "noise": "wrong classes",
            "wrong": "of the parcels",
            "overall": "overall %",
            "users": "user's, mean of classes %",
            "producers": "producer's, mean of classes %",
            "removed": "parcels removed %",
            "precision": "of them wrong %",
            "recall": "of the wrong removed %",
        }
    )


def by_class(tables: pd.DataFrame) -> pd.DataFrame:
    """User's / producer's accuracy of each class, mean over the townships."""
    groups = tables.groupby(["cover", "noise", "wrong", "training"], sort=False)
    means = groups[["users", "producers"]].mean()
    text = means.map(lambda v: "-" if np.isnan(v) else f"{100 * v:.0f}")
    pairs = (text["users"] + " / " + text["producers"]).reset_index(name="pair")
    pairs["case"] = [
        f"{'no' if kind == 'none' else kind} noise{f' {100 * rate:.0f} %' if rate else ''}, {how}"
        for kind, rate, how in zip(pairs["noise"], pairs["wrong"], pairs["training"], strict=True)
    ]
    wide = pairs.pivot(index="case", columns="cover", values="pair")
    wide = wide.reindex(pairs["case"].unique())
    wide.columns = [LAND_COVER_STYLE[cover].name for cover in wide.columns]
    return wide.reset_index()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks label_noise", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args(arguments)
    rules = shipped_rules()
    rows, tables = [], []
    started = time.perf_counter()
    for seed in given.seeds:
        ground = make_ground(seed, rules.samples)
        for row, table in cases(ground, rules):
            rows.append(row)
            tables.append(table)
        print(f"seed {seed}: {time.perf_counter() - started:.0f} s since the start", flush=True)
    print("\n### Accuracy in blocks not trained on, mean ± spread of townships\n")
    print(markdown(summary(pd.DataFrame(rows))))
    print("\n### User's / producer's accuracy by class, %\n")
    print(markdown(by_class(pd.concat(tables))))
