"""Class shares of a job: those of its survey, refused or warned about before a pixel is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
from odc.geo.geobox import GeoBox

from rs_monitor.codes import CodeSystem, LandCover
from rs_monitor.config.job import RunConfig
from rs_monitor.config.land_cover import LandCoverSettings
from rs_monitor.errors import ConfigError, ModelMismatch
from rs_monitor.maps.class_shares import (
    ClassShares,
    model_at_shares,
    own_shares,
    shares_of_survey,
    surveyed_areas,
)
from rs_monitor.maps.land_cover import LandCoverModel
from rs_monitor.maps.model_card import class_name
from rs_monitor.maps.model_store import StoredModel

KEY = "class_shares"


def surveyed_areas_of(
    config: RunConfig,
    layers: Mapping[str, gpd.GeoDataFrame],
    grids: Sequence[GeoBox],
    model: StoredModel | None,
) -> dict[int, float] | None:
    """Surveyed area of each class in the grids of a job; None where no one asks for its shares.

    Raises
    ------
    ConfigError
        If the job has no survey.
    ModelMismatch
        If a stored model does not say which shares its probabilities go with.
    NoObservations
        If the survey has no class of a stored model in the grids.
    """
    settings, land = config.land_cover, config.authority.land
    if settings is None or settings.class_shares == "sample":
        return None
    if land is None or "land" not in layers:
        raise ConfigError(
            config.name,
            [
                f"land_cover.{KEY}: 'survey' takes the areas of the survey, and the job has none; "
                "add the table [authority.land], or set it to 'sample'"
            ],
        )
    if model is not None and model.model.calibrator is None and 0 in model.pixels:
        raise ModelMismatch(
            f"{config.name}: got land_cover.{KEY} 'survey' and model {model.card.full_name}, "
            "whose card does not say how many pixels each class was learned from; needed them: "
            "its probabilities go with their shares; set it to 'sample', or train the model again"
        )
    areas_m2 = surveyed_areas(layers["land"], grids, system=CodeSystem(land.code_system))
    if model is not None:
        shares_of_survey(areas_m2, model.model.classes)
    return areas_m2


def share_warnings(
    settings: LandCoverSettings | None,
    model: StoredModel | None,
    surveyed_m2: Mapping[int, float] | None,
) -> list[str]:
    """Tell which classes that will be named the survey knows nothing of."""
    if settings is None or surveyed_m2 is None:
        return []
    named = [] if settings.table is None else sorted(set(settings.table.covers.values()))
    if model is not None:
        named = [class_name(value) for value in model.model.classes]
    lacking = [name for name in named if name not in {class_name(v) for v in surveyed_m2}]
    if not lacking:
        return []
    return [
        f"the survey has no {', '.join(lacking)} in the grids: with land_cover.{KEY} 'survey' each "
        "is taken for as rare as the rarest surveyed class"
    ]


def with_class_shares(
    model: LandCoverModel, rows: Sequence[int], surveyed_m2: Mapping[int, float] | None
) -> tuple[LandCoverModel, ClassShares]:
    """The model at the class shares of the survey, or as it is where those are not asked for.

    Parameters
    ----------
    model : LandCoverModel
    rows : sequence of int
        Of each class that it was trained on.
    surveyed_m2 : mapping of int to float, optional
        Of :func:`surveyed_areas_of`.

    Returns
    -------
    tuple
        The model, and the shares that its probabilities go with.
    """
    classes = model.classes
    if surveyed_m2 is None:
        own = tuple(own_shares(model.calibrator, rows).tolist())
        return model, ClassShares(classes, own, {}, ())
    shares = shares_of_survey(surveyed_m2, classes)
    return model_at_shares(model, shares.shares, rows=rows), shares


def shares_record(settings: LandCoverSettings, shares: ClassShares) -> dict[str, Any]:
    """What a manifest keeps of the class shares."""
    return {
        "of": settings.class_shares,
        "shares": _named(dict(zip(shares.classes, shares.shares, strict=True))),
        "left_out_m2": _named(shares.left_out_m2),
        "not_surveyed": [class_name(value) for value in shares.not_surveyed],
    }


def _named(values: Mapping[int, float]) -> dict[str, float]:
    return {class_name(LandCover(cover)): value for cover, value in values.items()}
