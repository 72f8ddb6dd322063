"""The two ways of the land-cover study: ours, and a plain forest on the raw bands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree
from sklearn.ensemble import RandomForestClassifier

from benchmarks.land_cover_data import Array, Season, Site
from rs_monitor.config.rules import load_rules
from rs_monitor.maps.classifier import LandCoverClassifier
from rs_monitor.maps.feature_spec import (
    SCENE,
    SCENE_RED_EDGE,
    SEASON,
    SEASON_RED_EDGE,
    YEARS,
    FeatureSpec,
)
from rs_monitor.maps.features import season_features
from rs_monitor.maps.land_cover import LandCoverModel, class_probabilities
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.objects import mean_by_segment, segments
from rs_monitor.maps.samples import Samples
from rs_monitor.maps.smoothing import smooth_probabilities
from rs_monitor.maps.terrain import slope
from rs_monitor.maps.training import train_model
from rs_monitor.maps.validation import groups_of_each_class, spatial_folds

SEED = 5
FOLDS = 5
PLAIN_TREES = 200
PER_CLASS, PER_PARCEL = 300, 16
"""Training pixels of ours: evenly over the parcels of a class."""

BUFFER_PX = 2.0
"""Nothing nearer than this to a scored pixel is trained on."""

PLAIN, PLAIN_OURS, TREES, OURS, SHARES, SMOOTHED, SEGMENTS = (
    "plain forest, raw bands",
    "plain forest, raw bands, our samples",
    "ours, before calibration",
    "ours",
    "ours, class shares of the survey",
    "ours, smoothed",
    "ours, by segments",
)
METHODS = (PLAIN, PLAIN_OURS, TREES, OURS, SHARES, SMOOTHED, SEGMENTS)


@cache
def rules() -> LandCoverRules:
    return load_rules("land_cover", Path(), LandCoverRules)


@dataclass(frozen=True)
class Answers:
    """What every method says of the scored pixels.

    ``probabilities`` (n, classes) by method, ``outside`` (n,) whether a pixel is unlike the
    training data.
    """

    site: Site
    pixels: pd.DataFrame
    probabilities: Mapping[str, Array]
    outside: Array
    features: int
    raw_features: int


# features


def spec_for(season: Season) -> FeatureSpec:
    """One rule for every data set: by the number of looks, the length and the bands."""
    bands = set(season.reflectance.data_vars)
    looks = season.reflectance.sizes["time"]
    red_edge = "rededge1" in bands
    if looks == 1:
        spec = SCENE_RED_EDGE if red_edge else SCENE
    elif (season.end - season.start).days >= 364:
        spec = YEARS
    else:
        spec = SEASON_RED_EDGE if red_edge else SEASON
        spec = spec.model_copy(update=_texture_of(SCENE))
    if season.height_m is not None:
        spec = spec.model_copy(update={"terrain": ("slope_deg",)})
    return spec.within(bands)


def _texture_of(spec: FeatureSpec) -> dict[str, Any]:
    keys = ("texture_of", "texture_windows_px", "texture_measures")
    return {key: getattr(spec, key) for key in keys}


def our_features(season: Season) -> xr.DataArray:
    """Features of a season, with those of a denser index series where one is delivered."""
    terrain = None
    if season.height_m is not None:
        terrain = slope(season.height_m, season.geobox).rename("slope_deg").to_dataset()
    made = season_features(
        season.reflectance,
        season.clear,
        start=season.start,
        end=season.end,
        spec=spec_for(season),
        terrain=terrain,
    )
    if season.series is None:
        return made.compute()
    return xr.concat([made, series_features(season.series)], dim="feature").compute()


def series_features(series: xr.DataArray) -> xr.DataArray:
    """Features of years of one index."""
    days = series["time"].values.astype("M8[D]").tolist()
    name = str(series.name)
    spec = FeatureSpec(
        period="years",
        bands=(name,),
        band_quantiles=YEARS.index_quantiles,
        band_spreads=YEARS.index_spreads,
        parts=YEARS.parts,
        parts_of=(name,),
        peak_day_of=(name,),
        harmonic_order=YEARS.harmonic_order,
        harmonics_of=(name,),
        harmonic_looks=YEARS.harmonic_looks,
    )
    cube = series.to_dataset().assign_attrs(quantity="reflectance")
    made = season_features(cube, series.notnull(), start=days[0], end=days[-1], spec=spec)
    return made.assign_coords(feature=[f"series_{label}" for label in made["feature"].values])


def raw_features(season: Season, looks: int) -> Array:
    """Every band of every look in order of time, cloudy looks missing; (band and look, y, x)."""
    stacks = []
    for band in season.reflectance.values():
        values = band.where(season.clear).values
        never = ((0, looks - len(values)), (0, 0), (0, 0))
        stacks.append(np.pad(values, never, constant_values=np.nan))
    if season.series is not None:
        stacks.append(season.series.values)
    return np.concatenate(stacks)


# folds and training pixels


def learnable(site: Site, folds: int) -> Site:
    """The data set without the classes that lie in fewer blocks than there are folds."""
    pixels = site.pixels
    group = "season" if site.by_season else "block"
    least = pixels["season"].nunique() if site.by_season else folds
    few = set()
    for column in ("label", "truth"):
        blocks = groups_of_each_class(pixels[group], pixels[column])
        few |= {value for value in range(len(site.classes)) if blocks.get(value, 0) < least}
    kept = ~(pixels["label"].isin(few) | pixels["truth"].isin(few))
    return replace(site, pixels=pixels[kept].reset_index(drop=True))


def folds_of(site: Site, folds: int) -> Array:
    """Fold in which each pixel is tested."""
    if site.by_season:
        return site.pixels["season"].to_numpy()
    return spatial_folds(site.pixels["block"], site.pixels["truth"], folds=folds, seed=SEED)


def allowed(site: Site, fold: Array, tested: int) -> Array:
    """Pixels of the other folds that are not near a scored one."""
    pixels = site.pixels
    apart = (fold != tested).copy()
    scored = pixels["scored"].to_numpy() & (fold == tested)
    for season in pixels["season"].unique():
        here = (pixels["season"] == season).to_numpy()
        places = pixels[["row", "col"]].to_numpy(dtype=float)
        if (here & scored).any():
            # in every season: the same ground a year later is the same ground
            ask = apart if not site.by_season else apart & here
            distance, _ = cKDTree(places[here & scored]).query(places[ask])
            apart[np.flatnonzero(ask)[distance <= BUFFER_PX]] = False
    return apart


def even_draw(pixels: pd.DataFrame, rng: np.random.Generator) -> Array:
    """Positions of training pixels, evenly over the parcels of every class, inside them first."""
    frame = pd.DataFrame(
        {
            "label": pixels["label"].to_numpy(),
            "parcel": pixels["parcel"].to_numpy(),
            "edge": ~pixels["core"].to_numpy(),
            "draw": rng.random(len(pixels)),
        }
    ).sort_values(["edge", "draw"])
    frame["turn"] = frame.groupby(["label", "parcel"]).cumcount()
    # a border pixel is taken only from a parcel that has nothing else
    has_core = ~frame.groupby(["label", "parcel"])["edge"].transform("min")
    frame = frame[(frame["turn"] < PER_PARCEL) & ~(frame["edge"] & has_core)]
    frame = frame.sort_values(["turn", "draw"])
    return frame[frame.groupby("label").cumcount() < PER_CLASS].index.to_numpy()


# models


def our_model(train: pd.DataFrame, features: Array, names: Sequence[str]) -> LandCoverModel:
    """Grow and calibrate the trees as the program does."""
    settings = rules()
    grower = LandCoverClassifier.from_rules(settings.classifier, settings.calibration, seed=SEED)
    return train_model(
        as_samples(train, features),
        tuple(names),
        grower,
        outside=settings.outside,
        seed=SEED,
    )


def as_samples(train: pd.DataFrame, features: Array) -> Samples:
    """Training pixels as the program's own record; class codes are counted from 1."""
    parcel = train["parcel"].to_numpy(dtype=np.int64)
    return Samples(
        features=features,
        labels=(train["label"].to_numpy() + 1).astype(np.uint8),
        parcel=parcel,
        block=train["block"].to_numpy(dtype=np.int64),
        priority=np.arange(len(train), dtype=np.uint64),
        x_m=train["x_m"].to_numpy(),
        y_m=train["y_m"].to_numpy(),
        sources=pd.DataFrame(index=pd.Index(np.unique(parcel), name="parcel")),
    )


def plain_model() -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=PLAIN_TREES, random_state=SEED)


def in_columns(probabilities: Array, classes: Sequence[int], count: int) -> Array:
    full = np.zeros((len(probabilities), count), dtype=np.float32)
    full[:, np.asarray(classes, dtype=int)] = probabilities
    return full


# one data set


@dataclass(frozen=True)
class Ground:
    """A data set ready to be learned: layers of every season, and its segments."""

    site: Site
    names: tuple[str, ...]
    ours: tuple[Array, ...]
    raw: tuple[Array, ...]
    segments: tuple[Array, ...]
    fold: Array


def prepared(site: Site, folds: int) -> Ground:
    made = [our_features(season) for season in site.seasons]
    looks = max(season.reflectance.sizes["time"] for season in site.seasons)
    names = tuple(map(str, made[0]["feature"].values))
    middle = [k for k, name in enumerate(names) if name in {f"{b}_p50" for b in SEGMENT_BANDS}]
    return Ground(
        site,
        names,
        tuple(layers.values for layers in made),
        tuple(raw_features(season, looks) for season in site.seasons),
        tuple(segments(layers.values[middle], rules().objects) for layers in made),
        folds_of(site, folds),
    )


SEGMENT_BANDS = ("red", "nir", "swir16", "swir22")


def answers(site: Site, *, folds: int = FOLDS) -> Answers:
    """Out-of-fold answers of every method at the scored pixels."""
    ground = prepared(learnable(site, folds), folds)
    pixels = ground.site.pixels
    shape = (len(pixels), len(site.classes))
    found = {name: np.full(shape, np.nan, dtype=np.float32) for name in METHODS}
    outside = np.zeros(len(pixels), dtype=bool)
    for tested in np.unique(ground.fold):
        scored = np.flatnonzero((ground.fold == tested) & pixels["scored"].to_numpy())
        answer = one_fold(ground, int(tested), scored)
        for name, values in answer.probabilities.items():
            found[name][scored] = values
        outside[scored] = answer.outside
    kept = np.flatnonzero(np.isfinite(found[SMOOTHED]).all(axis=1))
    return Answers(
        ground.site,
        pixels.iloc[kept].reset_index(drop=True).assign(fold=ground.fold[kept]),
        {name: found[name][kept] for name in METHODS},
        outside[kept],
        len(ground.names),
        len(ground.raw[0]),
    )


@dataclass(frozen=True)
class FoldAnswer:
    probabilities: Mapping[str, Array]
    outside: Array


def one_fold(ground: Ground, tested: int, scored: Array) -> FoldAnswer:
    """Train on the other folds, answer in this one."""
    pixels, count = ground.site.pixels, len(ground.site.classes)
    rng = np.random.default_rng([SEED, tested])
    free = np.flatnonzero(allowed(ground.site, ground.fold, tested))
    ours = free[even_draw(pixels.iloc[free], rng)]
    at_random = rng.permutation(free)[: len(ours)]
    label = pixels["label"].to_numpy()
    test = pixels.iloc[scored].reset_index(drop=True)
    found = {}
    for name, drawn in ((PLAIN, at_random), (PLAIN_OURS, ours)):
        plain = plain_model().fit(values_at(ground.raw, pixels.iloc[drawn]), label[drawn])
        proba = plain.predict_proba(values_at(ground.raw, test))
        found[name] = in_columns(proba, plain.classes_, count)
    train = pixels.iloc[ours]
    model = our_model(train, values_at(ground.ours, train), ground.names)
    at_test = values_at(ground.ours, test)
    found[TREES] = answer_of(replace(model, calibrator=None), at_test, count)
    found[OURS] = answer_of(model, at_test, count)
    shares = np.bincount(label[free], minlength=count)[np.array(model.classes) - 1]
    told = replace(model, calibrator=model.calibrator.with_prior(shares))
    found[SHARES] = answer_of(told, at_test, count)
    found[SMOOTHED], found[SEGMENTS] = with_neighbours(ground, model, test, train)
    far = model.domain.dissimilarity(np.ascontiguousarray(at_test.T)) > model.domain.threshold
    return FoldAnswer(found, far)


def answer_of(model: LandCoverModel, features: Array, count: int) -> Array:
    """Probabilities of pixels (n, features), columns in the order of the data set."""
    layers = np.ascontiguousarray(features.T)[:, None, :]
    proba = class_probabilities(model, layers, model.features)[:, 0, :].T
    return in_columns(proba, np.array(model.classes) - 1, count)


def values_at(planes: Sequence[Array], pixels: pd.DataFrame) -> Array:
    """Features of pixels; (n, features)."""
    out = np.empty((len(pixels), len(planes[0])), dtype=np.float32)
    for season, rows in pixels.reset_index(drop=True).groupby("season"):
        out[rows.index] = planes[int(season)][:, rows["row"], rows["col"]].T
    return out


def with_neighbours(
    ground: Ground, model: LandCoverModel, test: pd.DataFrame, train: pd.DataFrame
) -> tuple[Array, Array]:
    """Probabilities smoothed, and by segment; trained pixels have no say in either."""
    settings, count = rules().smoothing, len(ground.site.classes)
    smooth, grouped = (np.empty((len(test), count), dtype=np.float32) for _ in range(2))
    for season, rows in test.groupby("season"):
        layers = ground.ours[int(season)]
        wanted = near(rows, layers.shape[1:], settings.radius_px)
        learned = train[train["season"] == season] if ground.site.by_season else train
        wanted[learned["row"], learned["col"]] = False
        wanted[rows["row"], rows["col"]] = True
        wanted &= np.isfinite(layers).any(axis=0)
        chart = np.full((count, *layers.shape[1:]), np.nan, dtype=np.float32)
        chart[:, wanted] = answer_of(model, layers[:, wanted].T, count).T
        dims = ("class", *ground.site.seasons[int(season)].geobox.dimensions)
        softer = smooth_probabilities(xr.DataArray(chart, dims=dims), settings).values
        smooth[rows.index] = softer[:, rows["row"], rows["col"]].T
        means = mean_by_segment(chart, ground.segments[int(season)])
        grouped[rows.index] = means[:, rows["row"], rows["col"]].T
    return smooth, grouped


def near(rows: pd.DataFrame, shape: tuple[int, ...], radius_px: int) -> Array:
    """Pixels in the window of a scored one."""
    wanted = np.zeros(shape, dtype=bool)
    for down in range(-radius_px, radius_px + 1):
        for right in range(-radius_px, radius_px + 1):
            row = np.clip(rows["row"] + down, 0, shape[0] - 1)
            col = np.clip(rows["col"] + right, 0, shape[1] - 1)
            wanted[row, col] = True
    return wanted
