"""Freeze what a job will use: items, zone grids, blocks, expected looks and bytes; no pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from rs_monitor.config.job import RunConfig
from rs_monitor.config.paths import resolve_path
from rs_monitor.config.rules import load_rules
from rs_monitor.errors import ConfigError, NoObservations, UnsuitableCRS
from rs_monitor.grid import Block, blocks_of, require_projected, zone_geobox
from rs_monitor.imagery.catalog import Refusal, SceneItem
from rs_monitor.imagery.load import count_looks, dem_reaches
from rs_monitor.maps.feature_spec import FeatureSpec
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.model_store import StoredModel
from rs_monitor.outputs.digest import fingerprint
from rs_monitor.pipeline.class_shares import share_warnings, surveyed_areas_of
from rs_monitor.pipeline.classifier import (
    features_of,
    model_warnings,
    require_elevation,
    require_imagery,
    require_looks,
    stored_model,
)
from rs_monitor.pipeline.generalise import generalise_warnings
from rs_monitor.pipeline.identity import grid_record, identity_of, item_identity
from rs_monitor.pipeline.inputs import (
    delivered_crs,
    find_dem,
    input_digests,
    missing_products,
    product_warnings,
    read_authority,
    read_samples,
    read_zones,
    search_period,
    season_warnings,
)
from rs_monitor.pipeline.rules import ImageryRules

ZONE_MARGIN_M = 200.0
"""Ground loaded around a zone, so that a patch on its edge is seen whole."""

MOST_PIXELS = 2_000_000_000
"""A zone is put together in memory; beyond this the grid is a mistake."""

WHOLE_SCENE = "scene"
"""Name of the zone when the job names none."""


@dataclass(frozen=True)
class ZonePlan:
    """One zone: its grid, its fixed blocks, its scenes.

    Attributes
    ----------
    zone_id, name : str
    geobox : GeoBox
    blocks : tuple of Block
    outline : BaseGeometry
        Of the zone, in the CRS of the grid.
    before, after : tuple of SceneItem
        Scenes of the two periods whose footprint meets the grid.
    """

    zone_id: str
    name: str
    geobox: GeoBox
    blocks: tuple[Block, ...]
    outline: BaseGeometry
    before: tuple[SceneItem, ...]
    after: tuple[SceneItem, ...]


@dataclass(frozen=True)
class Plan:
    """Everything a run depends on, before any pixel is read.

    Attributes
    ----------
    config : RunConfig
    base : Path
        Folder of the job file.
    data : Path or None
        Folder that ``data:`` paths start from.
    zones : tuple of ZonePlan
    refused : tuple of Refusal
        Items that cannot be used, with the reason.
    layers : mapping of str to GeoDataFrame
        Authority layers that were given.
    vector_crs : str
        CRS of the delivered vectors; patches are stored in it.
    zone_layer : GeoDataFrame, optional
        Remediation zones as delivered.
    dem : Path or tuple of SceneItem, optional
        Where elevation comes from.
    model : StoredModel, optional
        Classifier that the job names instead of training one.
    samples : GeoDataFrame, optional
        Table that the job trains on instead of a survey.
    surveyed_m2 : mapping of int to float, optional
        Surveyed area of each land-cover class in the grids, where the job asks for class shares.
    inputs : mapping of str to str
        Digest of every rule file, vector layer, DEM and model the job names.
    not_evaluated : tuple of (str, str)
        Products that cannot be made, and why.
    warnings : tuple of str
        What a user should know before the job runs.
    """

    config: RunConfig
    base: Path
    data: Path | None
    zones: tuple[ZonePlan, ...]
    refused: tuple[Refusal, ...]
    layers: Mapping[str, gpd.GeoDataFrame]
    vector_crs: str
    zone_layer: gpd.GeoDataFrame | None = None
    dem: Path | tuple[SceneItem, ...] | None = None
    model: StoredModel | None = None
    samples: gpd.GeoDataFrame | None = None
    surveyed_m2: Mapping[int, float] | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    not_evaluated: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Identity of the job: inputs, parameters, rules; no addresses, machine or code."""
        return fingerprint(
            {
                "config": identity_of(self.config),
                "zones": [zone_identity(zone) for zone in self.zones],
                "inputs": dict(self.inputs),
            }
        )

    @property
    def features(self) -> FeatureSpec | None:
        """What the classifier of land cover reads; None without one."""
        return features_of(self.config, self.model)

    def path(self, text: str) -> Path:
        """Resolve a path of the job file."""
        return resolve_path(text, base=self.base, data=self.data)

    def summary(self) -> dict[str, Any]:
        """What ``plan`` prints and ``plan.json`` keeps."""
        return {
            "name": self.config.name,
            "fingerprint": self.fingerprint,
            "vector_crs": self.vector_crs,
            "zones": [zone_summary(zone, self.config) for zone in self.zones],
            "refused": [{"item": r.item_id, "reason": r.reason} for r in self.refused],
            "not_evaluated": [{"product": p, "reason": r} for p, r in self.not_evaluated],
            "warnings": list(self.warnings),
        }


def zone_identity(zone: ZonePlan) -> dict[str, Any]:
    """What of a zone can alter a result."""
    return {
        "zone_id": zone.zone_id,
        "grid": grid_record(zone.geobox),
        "blocks": len(zone.blocks),
        "outline": zone.outline.wkb_hex,
        "before": [item_identity(item) for item in zone.before],
        "after": [item_identity(item) for item in zone.after],
    }


def zone_summary(zone: ZonePlan, config: RunConfig) -> dict[str, Any]:
    """Scenes, looks, bytes and memory expected of a zone."""
    bands = len(config.imagery.bands) + (config.imagery.mask_band is not None)
    pixels = int(np.prod(zone.geobox.shape))
    scenes = len(zone.before) + len(zone.after)
    block = max((b.y1 - b.y0) * (b.x1 - b.x0) for b in zone.blocks)
    period = max(len(zone.before), len(zone.after))
    return {
        "zone_id": zone.zone_id,
        "name": zone.name,
        "grid": grid_record(zone.geobox),
        "blocks": len(zone.blocks),
        "before": [item.id for item in zone.before],
        "after": [item.id for item in zone.after],
        "looks_expected": {
            "before": expected_looks(zone.before),
            "after": expected_looks(zone.after),
        },
        "bytes_read": pixels * scenes * bands * 2,
        "memory_per_worker": block * period * bands * 10,
    }


def expected_looks(items: Sequence[SceneItem]) -> float:
    """Clear looks a pixel may expect, from the scenes' cloud fractions."""
    return round(sum(1.0 - (item.cloud_fraction or 0.0) for item in items), 1)


def make_plan(config: RunConfig, *, base: Path, data: Path | None = None) -> Plan:
    """Search, freeze the item list and lay a grid of blocks over each zone.

    Parameters
    ----------
    config : RunConfig
    base : Path
        Folder relative paths start from.
    data : Path, optional
        Folder ``data:`` paths start from.

    Returns
    -------
    Plan

    Raises
    ------
    NoObservations
        If a period has no usable scene at all.
    """
    model = stored_model(config, base, data)
    require_imagery(config, model)
    zones = read_zones(config, base, data)
    layers = read_authority(config, base, data)
    samples = read_samples(config, base, data)
    bbox = None if zones is None else tuple(zones.to_crs("EPSG:4326").total_bounds)
    before = search_period(config, config.periods.before, bbox, base, data)
    after = search_period(config, config.periods.after, bbox, base, data)
    for label, found in (("before", before), ("after", after)):
        if not found.items:
            raise NoObservations(
                f"got no usable scene for the period {label} "
                f"({len(found.refused)} refused); needed at least one; check the catalogue, the "
                "period and the bands"
            )
    vector_crs = delivered_crs(zones, layers)
    dem = find_dem(config, bbox, base, data)
    planned = _plan_zones(config, zones, before.items, after.items, vector_crs)
    require_looks(config, model, _looks_of(planned, config.imagery.bands))
    require_elevation(config, model, _elevation_of(planned, dem))
    grids = [zone.geobox for zone in planned]
    surveyed_m2 = surveyed_areas_of(config, layers, grids, model)
    refused = {(r.item_id, r.reason): r for r in (*before.refused, *after.refused)}
    return Plan(
        config=config,
        base=base,
        data=data,
        zones=planned,
        refused=tuple(refused.values()),
        layers=layers,
        vector_crs=vector_crs or str(planned[0].geobox.crs),
        zone_layer=zones,
        dem=dem,
        model=model,
        samples=samples,
        surveyed_m2=surveyed_m2,
        inputs=input_digests(config, zones, layers, dem, model, samples, base),
        not_evaluated=tuple(missing_products(config)),
        warnings=(
            *season_warnings(config, base, before.items, after.items),
            *product_warnings(config, (*before.items, *after.items)),
            *share_warnings(config.land_cover, model, surveyed_m2),
            *generalise_warnings(
                config.land_cover,
                load_rules(config.rules.land_cover, base, LandCoverRules),
                config.grid,
                grids,
            ),
            *model_warnings(
                config,
                model,
                (*before.items, *after.items),
                load_rules(config.rules.imagery, base, ImageryRules).season,
            ),
        ),
    )


def _looks_of(zones: Sequence[ZonePlan], bands: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Zone, period and number of looks."""
    for zone in zones:
        for label, items in (("before", zone.before), ("after", zone.after)):
            yield zone.zone_id, label, count_looks(items, geobox=zone.geobox, bands=bands)


def _elevation_of(
    zones: Sequence[ZonePlan], dem: Path | tuple[SceneItem, ...] | None
) -> Iterator[tuple[str, bool]]:
    """Zone, and whether elevation reaches it."""
    items = None if isinstance(dem, Path) else _Footprints.of(dem or ())
    for zone in zones:
        if isinstance(dem, Path):
            yield zone.zone_id, dem_reaches(dem, zone.geobox)
        elif items is not None:
            yield zone.zone_id, bool(items.meeting(zone.geobox))


def _plan_zones(
    config: RunConfig,
    zones: gpd.GeoDataFrame | None,
    before: Sequence[SceneItem],
    after: Sequence[SceneItem],
    vector_crs: str | None,
) -> tuple[ZonePlan, ...]:
    if zones is None:
        return (_whole_scene(config, before, after),)
    crs = _zone_crs((*before, *after), vector_crs)
    anchor = _anchor((*before, *after), crs)
    outlines = zones.to_crs(crs)
    early, late = _Footprints.of(before), _Footprints.of(after)
    planned = []
    for zone_id, name, outline in zip(
        zones["zone_id"], zones["name"], outlines.geometry, strict=True
    ):
        bounds = outline.buffer(ZONE_MARGIN_M).bounds
        geobox = zone_geobox(bounds, crs, config.grid.resolution_m, anchor)
        planned.append(
            ZonePlan(
                zone_id=str(zone_id),
                name=str(name),
                geobox=geobox,
                blocks=_blocks(str(zone_id), geobox, config.grid.block_px),
                outline=outline,
                before=early.meeting(geobox),
                after=late.meeting(geobox),
            )
        )
    return tuple(planned)


def _blocks(zone_id: str, geobox: GeoBox, block_px: int) -> tuple[Block, ...]:
    height, width = geobox.shape
    if height * width > MOST_PIXELS:
        raise ConfigError(
            f"zone {zone_id}",
            [
                f"grid.resolution_m: {height} x {width} pixels, more than {MOST_PIXELS:g}; give a "
                "coarser grid or smaller zones"
            ],
        )
    return tuple(blocks_of(geobox, block_px))


def _whole_scene(
    config: RunConfig, before: Sequence[SceneItem], after: Sequence[SceneItem]
) -> ZonePlan:
    items = (*before, *after)
    crs = _zone_crs(items, None)
    first = items[0]
    affines = [GeoBox(item.shape, Affine(*item.transform[:6]), item.crs) for item in items]
    bounds = [gbox.boundingbox for gbox in affines]
    left, bottom = max(b.left for b in bounds), max(b.bottom for b in bounds)
    right, top = min(b.right for b in bounds), min(b.top for b in bounds)
    if left >= right or bottom >= top:
        raise NoObservations(
            f"got {len(items)} scenes that share no ground; needed common ground when the job "
            "names no zones; add a [zones] table"
        )
    anchor = (first.transform[2], first.transform[5])
    geobox = zone_geobox((left, bottom, right, top), crs, config.grid.resolution_m, anchor)
    return ZonePlan(
        zone_id=WHOLE_SCENE,
        name="the whole scene",
        geobox=geobox,
        blocks=_blocks(WHOLE_SCENE, geobox, config.grid.block_px),
        outline=box(left, bottom, right, top),
        before=tuple(before),
        after=tuple(after),
    )


def _zone_crs(items: Sequence[SceneItem], vector_crs: str | None) -> str:
    """CRS of the zone's grid: the scenes' own, or the delivered vectors' when scenes disagree."""
    found = sorted({item.crs for item in items})
    chosen = found[0] if len(found) == 1 else vector_crs
    if chosen is None:
        raise UnsuitableCRS(
            f"got scenes in {', '.join(found)} and no vectors; needed one CRS; add a [zones] "
            "table in the county's projected CRS"
        )
    require_projected(GeoBox((1, 1), Affine.scale(1.0, -1.0), chosen), "a zone's grid")
    return chosen


def _anchor(items: Sequence[SceneItem], crs: str) -> tuple[float, float]:
    for item in items:
        if item.crs == crs:
            return float(item.transform[2]), float(item.transform[5])
    return 0.0, 0.0


@dataclass(frozen=True)
class _Footprints:
    """Scenes of a period with a tree over their footprints."""

    items: Sequence[SceneItem]
    tree: shapely.STRtree

    @classmethod
    def of(cls, items: Sequence[SceneItem]) -> _Footprints:
        return cls(items, shapely.STRtree([shape(dict(item.footprint)) for item in items]))

    def meeting(self, geobox: GeoBox) -> tuple[SceneItem, ...]:
        """Scenes whose footprint meets a grid, in their order."""
        ground = geobox.geographic_extent.geom
        places = self.tree.query(ground, predicate="intersects")
        return tuple(self.items[place] for place in sorted(places))
