"""The classifier of a job: which features it reads, and a stored model held against the imagery."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from rs_monitor.codes import LAND_COVER_STYLE
from rs_monitor.config.imagery import Period
from rs_monitor.config.job import RunConfig
from rs_monitor.config.paths import resolve_path
from rs_monitor.errors import ConfigError, ModelMismatch
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.seasons import SeasonRules, check_season
from rs_monitor.maps.feature_spec import SEASON, FeatureSpec
from rs_monitor.maps.model_card import ModelCard
from rs_monitor.maps.model_store import StoredModel, find_model, load_model
from rs_monitor.maps.period_statistics import YEAR_DAYS


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
    if config.land_cover is None:
        return None
    return SEASON if model is None else model.card.features


def require_imagery(config: RunConfig, model: StoredModel | None) -> None:
    """Refuse a job whose imagery cannot give the features, before any pixel is read.

    Raises
    ------
    ConfigError
        If bands of the features of training are not loaded.
    ModelMismatch
        If a stored model needs other bands, numbers or pixels.
    """
    spec = features_of(config, model)
    if spec is None:
        return
    lacking = sorted(set(spec.required_bands) - set(config.imagery.bands))
    if model is None:
        if lacking:
            raise ConfigError(
                config.name, [f"imagery.bands: land cover also needs {', '.join(lacking)}"]
            )
        return
    name = model.card.full_name
    if lacking:
        raise ModelMismatch(
            f"{config.name}: got imagery.bands {', '.join(config.imagery.bands)}; model {name} "
            f"needs {', '.join(lacking)} too; add them, or train a model on the bands there are "
            "(rs-monitor train)"
        )
    if config.imagery.quantity != model.card.imagery.quantity:
        raise ModelMismatch(
            f"{config.name}: got imagery.quantity {config.imagery.quantity!r}; model {name} needs "
            f"{model.card.imagery.quantity!r} from 0 to 1; give scale and offset in the catalogue "
            "and set quantity = 'reflectance'"
        )
    _require_gsd(config, model)
    _require_years(config, name, spec)
    if spec.texture_of or spec.terrain:
        raise ModelMismatch(
            f"{config.name}: got model {name}, which reads texture or terrain; a run computes its "
            "features pixel by pixel; use a model without them, or train one here"
        )


def _require_gsd(config: RunConfig, model: StoredModel) -> None:
    low, high = model.card.imagery.gsd_min_m, model.card.imagery.gsd_max_m
    if not low <= config.grid.resolution_m <= high:
        raise ModelMismatch(
            f"{config.name}: got grid.resolution_m {config.grid.resolution_m:g}; model "
            f"{model.card.full_name} was trained on pixels of {low:g} to {high:g} m; set such a "
            "grid, or train a model on this one (rs-monitor train)"
        )


def _require_years(config: RunConfig, name: str, spec: FeatureSpec) -> None:
    if not spec.harmonics_of:
        return
    for label, period in periods_of(config):
        days = (period.end - period.start).days + 1
        if days < int(YEAR_DAYS):
            raise ModelMismatch(
                f"{config.name}: got periods.{label} of {days} days; model {name} reads harmonics "
                "of a year; give a whole year, or use a model of a season"
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
