"""What texture and terrain add to the features of a season, on synthetic townships.

Trained on the survey layer of the other spatial blocks, or of the other township; scored on the
full truth, borders of parcels included. The same training pixels and trees for every set.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.land_cover_accuracy import (
    BOOTSTRAP_SEED,
    REPLICATES,
    assessable,
    block_matrices,
    compared,
    macro,
)
from benchmarks.land_cover_data import Array, Season, Site
from benchmarks.land_cover_methods import (
    FOLDS,
    SEED,
    Answers,
    allowed,
    even_draw,
    folds_of,
    in_columns,
    learnable,
    rules,
    values_at,
)
from benchmarks.land_cover_townships import townships
from benchmarks.tables import markdown
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.feature_spec import FeatureSpec, features_named
from rs_monitor.maps.features import season_features
from rs_monitor.maps.terrain_features import terrain_features

SEEDS = (41, 42)
"""Townships on which nothing was chosen."""

SIZE_PX, PLANTED, TREES = 240, 4, 100
SEASON = "season"
SETS: Mapping[str, FeatureSpec] = {
    SEASON: features_named("season"),
    "season, texture": features_named("season", texture=True),
    "season, terrain": features_named("season", terrain=True),
    "season, texture, terrain": features_named("season", texture=True, terrain=True),
    "scene: median of the season": features_named("scene"),
    "scene: the clearest look": features_named("scene"),
}


def features_of(season: Season, name: str) -> Array:
    spec, seen, clear = SETS[name], season.reflectance, season.clear
    if "clearest" in name:
        best = int(clear.sum(("y", "x")).values.argmax())
        seen, clear = seen.isel(time=[best]), clear.isel(time=[best])
    terrain = None
    if spec.terrain and season.height_m is not None:
        terrain = terrain_features(season.height_m, season.geobox, names=spec.terrain)
    made = season_features(
        seen, clear, start=season.start, end=season.end, spec=spec, terrain=terrain
    )
    return made.values


def answers(site: Site) -> Answers:
    """Out-of-fold answers of every set at the scored pixels."""
    site = learnable(site, FOLDS)
    pixels, fold = site.pixels, folds_of(site, FOLDS)
    drawn = {int(k): drawn_for(site, fold, int(k)) for k in np.unique(fold)}
    found = {}
    for name in SETS:
        planes = [features_of(season, name) for season in site.seasons]
        proba = np.full((len(pixels), len(site.classes)), np.nan, dtype=np.float32)
        for tested, train in drawn.items():
            scored = np.flatnonzero((fold == tested) & pixels["scored"].to_numpy())
            proba[scored] = one_fold(planes, pixels, train, scored, len(site.classes))
        found[name] = proba
    kept = np.flatnonzero(np.isfinite(found[SEASON]).all(axis=1))
    return Answers(
        site,
        pixels.iloc[kept].reset_index(drop=True),
        {name: proba[kept] for name, proba in found.items()},
        np.zeros(len(kept), dtype=bool),
        0,
        0,
    )


def drawn_for(site: Site, fold: Array, tested: int) -> Array:
    free = np.flatnonzero(allowed(site, fold, tested))
    return free[even_draw(site.pixels.iloc[free], np.random.default_rng([SEED, tested]))]


def one_fold(
    planes: list[Array], pixels: pd.DataFrame, train: Array, scored: Array, count: int
) -> Array:
    given = rules().classifier.model_copy(update={"trees": TREES})
    grower = LandCoverClassifier.from_rules(given, None, seed=SEED)
    labels = pixels["label"].to_numpy()[train]
    grower.fit(values_at(planes, pixels.iloc[train]), labels)
    proba = grower.predict_proba(values_at(planes, pixels.iloc[scored]))
    return in_columns(proba, grower.classes_, count)


def rows(found: Answers) -> Iterator[dict[str, Any]]:
    """Overall agreement and macro F1 of every set, and by how much it differs from the season."""
    truth = found.pixels["truth"].to_numpy()
    groups = {
        "all": [(k,) for k in np.unique(truth)],
        "assessable": list(assessable(found).values()),
    }
    matrices = {name: block_matrices(found, name) for name in found.probabilities}
    blocks = len(matrices[SEASON])
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    draws = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=REPLICATES)
    for name, proba in found.probabilities.items():
        right = np.mean(proba.argmax(axis=1) == truth)
        row = {"data": found.site.name, "blocks": blocks, "features": name}
        row |= {"number": len(SETS[name].names), "overall %": f"{100 * right:.1f}"}
        for which, members in groups.items():
            key = f"macro F1, {which} ({len(members)})"
            row[key] = f"{100 * macro(matrices[name].sum(axis=0), members)['F1']:.1f}"
            gain, said = compared(matrices[name], matrices[SEASON], draws, members)
            row[f"minus season, {which} (95 %)"] = "" if name == SEASON else f"{gain}: {said}"
        yield row


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks feature_sets", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=list(SEEDS))
    parser.add_argument("--size", type=int, default=SIZE_PX, help="edge of a township, pixels")
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    for site in townships(given.seeds, size_px=given.size, planted=PLANTED):
        print(f"\n{site.name}: {site.against}\n", flush=True)
        found = answers(site)
        print(markdown(pd.DataFrame(list(rows(found)))))
    print(f"\n{time.perf_counter() - started:.0f} s")
