"""The classifier of a job: which features it reads, and a stored model held against the imagery."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rs_monitor.codes import LAND_COVER_STYLE
from rs_monitor.config.imagery import Period
from rs_monitor.config.job import RunConfig
from rs_monitor.config.paths import resolve_path
from rs_monitor.errors import ConfigError, ModelMismatch, RsMonitorError
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.seasons import SeasonRules, check_season
from rs_monitor.maps.feature_spec import FeatureSpec, features_named
from rs_monitor.maps.model_card import ModelCard
from rs_monitor.maps.model_store import StoredModel, find_model, load_model
from rs_monitor.maps.period_statistics import YEAR_DAYS, min_looks
from rs_monitor.maps.terrain_features import TERRAIN_NAMES

MOST_NAMED = 5
"""Zones and periods a refusal names."""


def stored_model(config: RunConfig, base: Path, data: Path | None) -> StoredModel | None:
    """Load the model a job names; None where it names none.

    Raises
    ------
    ConfigError
        If there is no such model.
    ModelMismatch
        If it is not what its card says.
    """
    settings = config.land_cover
    if settings is None or settings.model is None:
        return None
    name = settings.model
    if name.startswith("data:"):
        name = str(resolve_path(name, base=base, data=data))
    return load_model(find_model(name, base))


def features_of(config: RunConfig, model: StoredModel | None) -> FeatureSpec | None:
    """What the classifier of a job reads; None without land cover."""
    settings = config.land_cover
    if settings is None:
        return None
    if model is not None:
        return model.card.features
    return features_named(
        settings.features or "season", texture=settings.texture, terrain=settings.terrain
    )


@dataclass(frozen=True)
class _Reader:
    """Who reads the features, what to do instead, and how the job is refused."""

    name: str
    other: str
    flat: str
    refusal: Callable[[list[str]], RsMonitorError]


def _reader(config: RunConfig, model: StoredModel | None) -> _Reader:
    if model is not None:
        return _Reader(
            f"model {model.card.full_name}",
            "train a model on what there is (rs-monitor train)",
            "use a model without terrain",
            lambda problems: ModelMismatch(f"{config.name}: {problems[0]}"),
        )
    named = "season" if config.land_cover is None else config.land_cover.features or "season"
    return _Reader(
        f"land_cover.features {named!r}",
        "choose other land_cover.features",
        "set land_cover.terrain = false",
        lambda problems: ConfigError(config.name, problems),
    )


def require_imagery(config: RunConfig, model: StoredModel | None) -> None:
    """Refuse a job that cannot give the features, before any pixel is read.

    Raises
    ------
    ConfigError
        If the features of training need bands, reflectance, elevation or a year that the job does
        not give.
    ModelMismatch
        If a stored model needs them, or other pixels.
    """
    spec = features_of(config, model)
    if spec is None:
        return
    reader = _reader(config, model)
    problems = [*_not_given(config, spec, reader)]
    if problems:
        raise reader.refusal(problems)
    if model is not None:
        _require_gsd(config, model)


def _not_given(config: RunConfig, spec: FeatureSpec, reader: _Reader) -> Iterator[str]:
    """What the features need and the job does not give; with what to do."""
    imagery = config.imagery
    lacking = sorted(set(spec.required_bands) - set(imagery.bands))
    if lacking:
        yield (
            f"got imagery.bands {', '.join(imagery.bands)}; {reader.name} needs "
            f"{', '.join(lacking)} too; add them, or {reader.other}"
        )
    if imagery.quantity != "reflectance":
        yield (
            f"got imagery.quantity {imagery.quantity!r}; {reader.name} needs 'reflectance' from 0 "
            "to 1; give scale and offset in the catalogue and set quantity = 'reflectance'"
        )
    unknown = [name for name in spec.terrain if name not in TERRAIN_NAMES]
    if unknown:
        yield (
            f"got {reader.name}, which reads terrain {', '.join(unknown)}; a run computes "
            f"{', '.join(TERRAIN_NAMES)}; {reader.other}"
        )
    if spec.terrain and config.dem is None:
        yield (
            f"got no table [dem]; {reader.name} with terrain needs elevation; add [dem], or "
            f"{reader.flat}"
        )
    yield from _short_periods(config, spec, reader)


def _short_periods(config: RunConfig, spec: FeatureSpec, reader: _Reader) -> Iterator[str]:
    if not spec.harmonics_of:
        return
    for label, period in periods_of(config):
        days = (period.end - period.start).days + 1
        if days < int(YEAR_DAYS):
            yield (
                f"got periods.{label} of {days} days; {reader.name} reads harmonics of a year; "
                f"give a whole year, or {reader.other}"
            )


def require_looks(
    config: RunConfig, model: StoredModel | None, looks: Iterable[tuple[str, str, int]]
) -> None:
    """Refuse a job with fewer looks than a harmonic model needs, wherever the clouds were.

    Parameters
    ----------
    config : RunConfig
    model : StoredModel, optional
    looks : iterable of (str, str, int)
        Zone, period and the number of its looks.

    Raises
    ------
    ConfigError, ModelMismatch
        As :func:`require_imagery`.
    """
    spec = features_of(config, model)
    if spec is None or not spec.harmonics_of:
        return
    needed, reader = min_looks(spec), _reader(config, model)
    few = [
        f"{count} of zone {zone_id} in periods.{label}"
        for zone_id, label, count in looks
        if count < needed
    ]
    if few:
        problem = (
            f"got looks: {_some(few)}; {reader.name} needs at least "
            f"{needed} for its harmonics; give longer periods or more scenes, or {reader.other}"
        )
        raise reader.refusal([problem])


def require_elevation(
    config: RunConfig, model: StoredModel | None, zones: Iterable[tuple[str, bool]]
) -> None:
    """Refuse a job whose elevation lies elsewhere, where the classifier reads terrain.

    Parameters
    ----------
    config : RunConfig
    model : StoredModel, optional
    zones : iterable of (str, bool)
        Zone, and whether the elevation reaches it.

    Raises
    ------
    ConfigError, ModelMismatch
        As :func:`require_imagery`.
    """
    spec = features_of(config, model)
    if spec is None or not spec.terrain:
        return
    reader = _reader(config, model)
    without = [zone_id for zone_id, reached in zones if not reached]
    if without:
        problem = (
            f"got elevation that does not reach zone {_some(without)}; {reader.name} with terrain "
            f"needs it; give a [dem] that covers the zones, or {reader.flat}"
        )
        raise reader.refusal([problem])


def _some(named: Sequence[str]) -> str:
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return f"{', '.join(named[:MOST_NAMED])}{more}"


def _require_gsd(config: RunConfig, model: StoredModel) -> None:
    low, high = model.card.imagery.gsd_min_m, model.card.imagery.gsd_max_m
    if not low <= config.grid.resolution_m <= high:
        raise ModelMismatch(
            f"{config.name}: got grid.resolution_m {config.grid.resolution_m:g}; model "
            f"{model.card.full_name} was trained on pixels of {low:g} to {high:g} m; set such a "
            "grid, or train a model on this one (rs-monitor train)"
        )


def periods_of(config: RunConfig) -> tuple[tuple[str, Period], ...]:
    """The two periods of a job, by name."""
    return (("before", config.periods.before), ("after", config.periods.after))


def not_known(classes: Collection[int]) -> list[str]:
    """Land-cover classes a model cannot name: such ground gets the name of another class."""
    return [style.name for cover, style in LAND_COVER_STYLE.items() if cover not in classes]


def model_warnings(
    config: RunConfig,
    model: StoredModel | None,
    items: Sequence[SceneItem],
    season: SeasonRules,
) -> list[str]:
    """Tell where a stored model is used on something else than it was trained on."""
    if model is None:
        return []
    card = model.card
    told = []
    if card.training.synthetic and not config.synthetic:
        told.append(
            f"model {card.full_name} was trained on synthetic reflectance and the imagery is "
            "real: nothing may be decided on its land cover; train on a survey (rs-monitor train)"
        )
    others = sorted({item.platform or "unknown" for item in items} - set(card.imagery.sensors))
    if others:
        told.append(
            f"got scenes of {', '.join(others)}; model {card.full_name} was trained on "
            f"{', '.join(card.imagery.sensors)}; check its land cover against samples of your own"
        )
    unnamed = not_known(card.class_values)
    if unnamed:
        told.append(
            f"model {card.full_name} does not know {', '.join(unnamed)}: such ground is mapped as "
            "another class and a change to it is not found as such; train on a survey that has it"
        )
    return [*told, *_other_seasons(config, card, season)]


def _other_seasons(config: RunConfig, card: ModelCard, rules: SeasonRules) -> Iterator[str]:
    """Quantiles of a season stand for that season: of another, or of a part, they differ."""
    if card.features.period != "season":
        return
    learned = (card.training.start, card.training.end)
    for label, period in periods_of(config):
        if not check_season(learned, (period.start, period.end), rules).same:
            yield (
                f"got periods.{label} from {period.start} to {period.end}; model {card.full_name} "
                f"was trained on {learned[0]} to {learned[1]}; give the same months, or train a "
                "model on these (rs-monitor train)"
            )
