"""What a job names: zones, layers, scenes, elevation; read or found before any pixel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import geopandas as gpd
from pyogrio.errors import DataLayerError, DataSourceError

from rs_monitor.authority.layers import read_layer
from rs_monitor.codes import LAND_COVER_STYLE
from rs_monitor.config.imagery import Period
from rs_monitor.config.job import RunConfig
from rs_monitor.config.paths import require_file, resolve_path
from rs_monitor.config.rules import find_rules, load_rules
from rs_monitor.config.tables import LayerSettings
from rs_monitor.errors import ConfigError, LayerError, MissingCRS, NoObservations
from rs_monitor.imagery.catalog import ItemSet, Refusal, SceneItem
from rs_monitor.imagery.harmonise import check_harmonisable, load_harmonisation
from rs_monitor.imagery.levels import check_levels
from rs_monitor.imagery.search import search
from rs_monitor.imagery.seasons import check_season, pair_by_season
from rs_monitor.maps.model_store import StoredModel
from rs_monitor.outputs.digest import file_sha256, fingerprint, table_digest
from rs_monitor.pipeline.identity import item_identity
from rs_monitor.pipeline.rules import ImageryRules

LayerKind = Literal["land", "pbf", "redline", "udb", "permits"]
LAYER_KINDS: tuple[LayerKind, ...] = ("land", "pbf", "redline", "udb", "permits")
Bounds = tuple[float, float, float, float]
RULE_ROLES = ("detection", "findings", "imagery", "change", "terrain", "land_cover")
"""Rule files of a run; those of acceptance belong to its claims."""

DATE_PRECISION = "rs_monitor:datetime_precision"
EARLIEST, LATEST = dt.date(1970, 1, 1), dt.date(2100, 12, 31)


def read_zones(config: RunConfig, base: Path, data: Path | None) -> gpd.GeoDataFrame | None:
    """Read the remediation zones of a job, if it names any."""
    if config.zones is None:
        return None
    path = require_file(resolve_path(config.zones.path, base=base, data=data), "zones.path")
    zones = read_layer(path, config.zones.layer, kind="zones", id_field=config.zones.id_field)
    if zones.empty:
        raise LayerError(f"{path}: got a zone layer without zones; needed at least one polygon")
    return zones


def read_authority(config: RunConfig, base: Path, data: Path | None) -> dict[str, gpd.GeoDataFrame]:
    """Read the authority layers a job names."""
    given: dict[LayerKind, LayerSettings | None] = {
        kind: getattr(config.authority, kind) for kind in LAYER_KINDS
    }
    layers: dict[str, gpd.GeoDataFrame] = {}
    for kind, settings in given.items():
        if settings is None:
            continue
        path = resolve_path(settings.path, base=base, data=data)
        require_file(path, f"authority.{kind}.path")
        system = getattr(settings, "code_system", None)
        layers[kind] = read_layer(path, settings.layer, kind=kind, code_system=system)
    return layers


def read_samples(config: RunConfig, base: Path, data: Path | None) -> gpd.GeoDataFrame | None:
    """Read the table of samples a job trains on, if it names one."""
    settings = None if config.land_cover is None else config.land_cover.table
    if settings is None:
        return None
    key = "land_cover.table"
    path = require_file(resolve_path(settings.path, base=base, data=data), f"{key}.path")
    known = {style.name for style in LAND_COVER_STYLE.values()}
    unknown = sorted(set(settings.covers.values()) - known)
    if unknown:
        raise ConfigError(
            config.name,
            [f"{key}.covers: no class {', '.join(unknown)}; give of {', '.join(sorted(known))}"],
        )
    return _sample_table(path, settings.layer)


def _sample_table(path: Path, layer: str | None) -> gpd.GeoDataFrame:
    try:
        table = gpd.read_file(path, layer=layer)
    except (DataLayerError, DataSourceError) as error:
        raise LayerError(
            f"got land_cover.table {path.name}, layer {layer!r}, which cannot be read ({error}); "
            "needed an existing vector layer; check its name"
        ) from error
    wanted = {"label", "from", "to", "geometry"}
    lacking = sorted(wanted - set(table.columns))
    if lacking:
        raise LayerError(
            f"got land_cover.table {path.name} without {', '.join(lacking)}; needed points or "
            "polygons with label, from and to; add the columns"
        )
    if table.crs is None:
        raise MissingCRS(
            f"got land_cover.table {path.name} without CRS; needed the one it was drawn in; "
            "declare it in the layer"
        )
    return table


def search_period(
    config: RunConfig,
    period: Period,
    bbox: Bounds | None,
    base: Path,
    data: Path | None,
) -> ItemSet:
    """Find the scenes of one period."""
    wanted = list(config.imagery.bands)
    if config.imagery.mask_band is not None:
        wanted.append(config.imagery.mask_band)
    found = search(
        config.catalog.kind,
        _catalog_href(config, base, data),
        collections=config.catalog.collections,
        bbox=bbox,
        start=period.start,
        end=period.end,
        max_cloud_fraction=config.imagery.max_cloud_fraction,
        bands=wanted,
        signing=config.catalog.signing,
    )
    return _dated(found)


def _dated(found: ItemSet) -> ItemSet:
    """Refuse scenes whose date is a stand-in: nobody knows which period they show."""
    undated = {item.id for item in found.items if item.properties.get(DATE_PRECISION) == "unknown"}
    reason = "its date is not known; give it in the side table and index the folder again"
    return ItemSet(
        tuple(item for item in found.items if item.id not in undated),
        (*found.refused, *(Refusal(item_id, reason) for item_id in sorted(undated))),
    )


def find_dem(
    config: RunConfig, bbox: Bounds | None, base: Path, data: Path | None
) -> Path | tuple[SceneItem, ...] | None:
    """Find where elevation comes from: a file, or items of the catalogue."""
    if config.dem is None:
        return None
    if config.dem.path is not None:
        return require_file(resolve_path(config.dem.path, base=base, data=data), "dem.path")
    found = search(
        config.catalog.kind,
        _catalog_href(config, base, data),
        collections=(str(config.dem.collection),),
        bbox=bbox,
        start=EARLIEST,
        end=LATEST,
        max_cloud_fraction=1.0,
        bands=["dem"],
        signing=config.catalog.signing,
    )
    if not found.items:
        raise NoObservations(
            f"got no DEM item in collection {config.dem.collection} ({len(found.refused)} "
            "refused); needed one over the zones; check the collection or give dem.path"
        )
    return found.items


def _catalog_href(config: RunConfig, base: Path, data: Path | None) -> str:
    if config.catalog.kind == "api" or "://" in config.catalog.href:
        return config.catalog.href
    path = resolve_path(config.catalog.href, base=base, data=data)
    return str(require_file(path, "catalog.href"))


def input_digests(
    config: RunConfig,
    zones: gpd.GeoDataFrame | None,
    layers: Mapping[str, gpd.GeoDataFrame],
    dem: Path | tuple[SceneItem, ...] | None,
    model: StoredModel | None,
    samples: gpd.GeoDataFrame | None,
    base: Path,
) -> dict[str, str]:
    """Digest of every rule file, vector layer, DEM and model of a job."""
    digests = {f"layer:{kind}": table_digest(frame, frame.crs) for kind, frame in layers.items()}
    if zones is not None:
        digests["layer:zones"] = table_digest(zones, zones.crs)
    if isinstance(dem, Path):
        digests["dem"] = file_sha256(dem)
    elif dem is not None:
        digests["dem"] = fingerprint([item_identity(item) for item in dem])
    if config.imagery.harmonise != "none":
        digests["harmonisation"] = fingerprint(load_harmonisation().model_dump(mode="json"))
    if samples is not None:
        digests["layer:samples"] = table_digest(samples, samples.crs)
    if model is not None:
        digests["model"] = fingerprint(model.card)
    for role in RULE_ROLES:
        digests[f"rules:{role}"] = file_sha256(find_rules(getattr(config.rules, role), base))
    return digests


def delivered_crs(
    zones: gpd.GeoDataFrame | None, layers: Mapping[str, gpd.GeoDataFrame]
) -> str | None:
    """CRS the vectors were delivered in; None without vectors."""
    frames = ([] if zones is None else [zones]) + list(layers.values())
    for frame in frames:
        if frame.crs is not None:
            return str(frame.crs.to_string())
    return None


def missing_products(config: RunConfig) -> list[tuple[str, str]]:
    """Products whose input the job does not name."""
    missing = []
    if config.land_cover is None:
        missing.append(("land_cover", "no survey layer to train on and no model named"))
    if config.dem is None:
        missing += [("slope_deg", "no DEM"), ("slope_grade", "no DEM")]
    if config.zones is None:
        missing.append(("zones", "no remediation zones: the whole scene was taken as one"))
    if config.imagery.mask == "none":
        missing.append(("cloud_mask", "the source carries no mask: clouds are not screened"))
    missing += [
        (f"layer:{kind}", "layer not given")
        for kind in LAYER_KINDS
        if getattr(config.authority, kind) is None
    ]
    if config.claims is None:
        missing.append(("claims", "no claims given"))
    return missing


def season_warnings(
    config: RunConfig, base: Path, before: Sequence[SceneItem], after: Sequence[SceneItem]
) -> list[str]:
    """Tell when what changes between the periods may be the season alone."""
    rules = load_rules(config.rules.imagery, base, ImageryRules).season
    periods = config.periods
    check = check_season(
        (periods.before.start, periods.before.end), (periods.after.start, periods.after.end), rules
    )
    if not check.same:
        return [check.reason]
    days = [[item.datetime.date() for item in items] for items in (before, after)]
    if pair_by_season(days[0], days[1], rules):
        return []
    return [
        f"got {len(before)} scenes before and {len(after)} after, none within "
        f"{rules.max_apart_days} days of the year of another; needed the same season in both "
        "periods; read crops that come and go as a season, not as a change"
    ]


def product_warnings(config: RunConfig, items: Sequence[SceneItem]) -> list[str]:
    """Refuse scenes that may not be compared with each other; tell what is doubtful of the rest."""
    settings = config.imagery
    if settings.quantity == "dn":
        return []
    if settings.harmonise != "none":
        check_harmonisable(items, settings.bands, load_harmonisation())
    return check_levels(items, harmonise=settings.harmonise, illumination=settings.illumination)
