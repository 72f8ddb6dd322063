"""Put the blocks together: maps, patches, findings, register, report; the manifest last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from rs_monitor.codes import (
    CHANGE_STYLE,
    LAND_COVER_STYLE,
    LASTING_LOSS_STYLE,
    NODATA,
    TRAINING_DOMAIN_STYLE,
    ClassStyle,
    TrainingDomain,
)
from rs_monitor.config.rules import DetectionRules
from rs_monitor.findings.coverage import coverage, no_coverage
from rs_monitor.findings.decide import evaluate, propose
from rs_monitor.findings.detectability import DetectabilityRules
from rs_monitor.findings.patches import ZoneMaps, delineate
from rs_monitor.findings.rules import FindingRules
from rs_monitor.imagery.lost_looks import REASONS
from rs_monitor.kernels.series import CYCLES_NOT_SEEN
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.pipeline.plan import Plan, ZonePlan
from rs_monitor.pipeline.tasks import APPLY, ApplyTask, generalised_product
from rs_monitor.pipeline.zone_pair import PERIODS

HALF = 0.5
"""Share from which a patch lies in a zone, or repeats another one."""

ROUNDING = 1e-9
"""Relative error of an area of intersection."""


@dataclass(frozen=True)
class ZoneProducts:
    """All maps of one zone, whole.

    Attributes
    ----------
    zone : ZonePlan
    arrays : dict of str to ndarray
        By product; (y, x) or (band, y, x).
    shift_m : float, optional
        Uncertainty of the registration between the periods; None = not measured.
    """

    zone: ZonePlan
    arrays: dict[str, NDArray[Any]]
    shift_m: float | None = None

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Pixels whose centre lies in the zone's outline."""
        return np.asarray(
            geometry_mask(
                [self.zone.outline],
                out_shape=self.zone.geobox.shape,
                transform=self.zone.geobox.affine,
                invert=True,
            )
        )


def mosaic(
    zone: ZonePlan, tasks: Iterable[ApplyTask], shift_m: float | None = None
) -> ZoneProducts:
    """Lay the blocks of one zone side by side.

    Parameters
    ----------
    zone : ZonePlan
    tasks : iterable of ApplyTask
        Those of this zone that were done; ground of the others stays "not seen".
    shift_m : float, optional
        Uncertainty of the registration between the periods.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for task in tasks:
        at = task.at
        observed = at.read()
        applied, reason = at.store.read_block(at.zone_id, APPLY, at.block.name, at.fingerprint)
        if applied is None:
            raise RuntimeError(f"block {at.block.name} of zone {at.zone_id}: {reason}")
        features = {name for name in observed if name.startswith("features_")}
        for name, part in ({**observed, **applied}).items():
            if name not in features:
                _place(arrays, name, part, zone.geobox, at.block.window)
    return ZoneProducts(zone, arrays, shift_m)


def _place(
    arrays: dict[str, NDArray[Any]],
    name: str,
    part: NDArray[Any],
    geobox: GeoBox,
    window: tuple[slice, slice],
) -> None:
    if name not in arrays:
        shape = (*part.shape[:-2], *geobox.shape)
        arrays[name] = np.full(shape, _empty(name, part.dtype), dtype=part.dtype)
    arrays[name][(..., *window)] = part


def _empty(name: str, dtype: np.dtype[Any]) -> float | int:
    if name.startswith("cycles_"):
        return CYCLES_NOT_SEEN
    return float("nan") if dtype.kind == "f" else NODATA


def write_maps(folder: RunFolder, products: ZoneProducts, plan: Plan) -> None:
    """Write the rasters of one zone."""
    arrays = products.arrays
    bands = list(plan.config.imagery.bands)
    for label in ("before", "after"):
        _write(folder, products, label, arrays[label], bands, overview="average")
    looks = np.stack([arrays["looks_before"], arrays["looks_after"]])
    _write(folder, products, "clear_looks", looks, ["before", "after"], nodata=None)
    doubtful = np.stack([arrays["doubtful_before"], arrays["doubtful_after"]])
    _write(folder, products, "doubtful_looks", doubtful, ["before", "after"], nodata=None)
    last = np.stack([arrays["last_before"], arrays["last_after"]])
    _write(folder, products, "last_look_day", last, ["before", "after"])
    gaps = np.stack([arrays["gap_before"], arrays["gap_after"]])
    _write(folder, products, "longest_gap_days", gaps, ["before", "after"])
    _write(folder, products, "change", arrays["change"], ["change"], style=CHANGE_STYLE)
    _write(
        folder,
        products,
        "change_magnitude",
        arrays["change_magnitude"],
        ["change_magnitude"],
        overview="average",
    )
    if "loss" in arrays:
        name = "lasting_loss"
        _write(folder, products, name, arrays["loss"], [name], style=LASTING_LOSS_STYLE)
    for name in ("change_probability", "slope_deg"):
        if name in arrays:
            _write(folder, products, name, arrays[name], [name], overview="average")
    for label in ("before", "after"):
        _write_cover(folder, products, label)


def _write_cover(folder: RunFolder, products: ZoneProducts, label: str) -> None:
    arrays = products.arrays
    name = f"land_cover_{label}"
    if name not in arrays:
        return
    _write(folder, products, name, arrays[name], [name], style=LAND_COVER_STYLE)
    general = generalised_product(label)
    if general in arrays:
        _write(folder, products, general, arrays[general], [general], style=LAND_COVER_STYLE)
    doubt = f"uncertainty_{label}"
    _write(folder, products, f"land_cover_{doubt}", arrays[doubt], ["entropy", "margin"])
    domain = f"training_domain_{label}"
    if domain in arrays:
        _write(folder, products, domain, arrays[domain], [domain], style=TRAINING_DOMAIN_STYLE)
    cycles = f"cycles_{label}"
    _write(folder, products, f"crop_{cycles}", arrays[cycles], [cycles], nodata=CYCLES_NOT_SEEN)


def outside_shares(products: ZoneProducts) -> dict[str, float]:
    """Share of the zone's seen ground that is unlike all training data, by period."""
    shares = {}
    for label in ("before", "after"):
        domain = products.arrays.get(f"training_domain_{label}")
        if domain is None:
            continue
        seen = products.inside & (domain != TrainingDomain.NOT_SEEN)
        if seen.any():
            shares[label] = round(float(np.mean(domain[seen] == TrainingDomain.OUTSIDE)), 4)
    return shares


def generalised_covers(products: ZoneProducts) -> dict[str, NDArray[np.uint8]]:
    """Generalised land cover of a zone by period; empty where none was asked for."""
    found = {label: products.arrays.get(generalised_product(label)) for label in PERIODS}
    return {label: cover for label, cover in found.items() if cover is not None}


def generalised_shares(products: ZoneProducts) -> dict[str, float]:
    """Share of the zone's seen ground whose class the generalised map changes, by period."""
    shares = {}
    for label, general in generalised_covers(products).items():
        cover = products.arrays[f"land_cover_{label}"]
        seen = products.inside & (cover != NODATA)
        if seen.any():
            shares[label] = round(float(np.mean(general[seen] != cover[seen])), 4)
    return shares


def _write(
    folder: RunFolder,
    products: ZoneProducts,
    product: str,
    data: NDArray[Any],
    names: Sequence[str],
    *,
    style: Mapping[int, ClassStyle] | None = None,
    nodata: float | None = np.nan,
    overview: Any = "nearest",
) -> None:
    stack = data if data.ndim == 3 else data[np.newaxis]
    folder.write_map(
        products.zone.zone_id,
        product,
        stack,
        products.zone.geobox,
        nodata=NODATA if style is not None else nodata,
        band_names=list(names),
        style=style,
        overview=overview,
    )


def zone_maps(products: ZoneProducts, plan: Plan) -> ZoneMaps:
    """What delineation needs of a zone."""
    zone, arrays = products.zone, products.arrays
    return ZoneMaps(
        zone_id=zone.zone_id,
        geobox=zone.geobox,
        change=arrays["change"],
        magnitude=arrays["change_magnitude"],
        probability=arrays.get("change_probability", arrays.get("probability")),
        land_cover_before=arrays.get("land_cover_before"),
        land_cover_after=arrays.get("land_cover_after"),
        confidence_before=arrays.get("confidence_before"),
        confidence_after=arrays.get("confidence_after"),
        slope_deg=arrays.get("slope_deg"),
        looks_before=arrays["looks_before"],
        looks_after=arrays["looks_after"],
        first_date=min(item.datetime.date() for item in zone.before),
        last_date=max(item.datetime.date() for item in zone.after),
        scene_ids=tuple(item.id for item in (*zone.before, *zone.after)),
        vector_crs=plan.vector_crs,
        middle_look_before=arrays["middle_before"] + plan.config.periods.before.start.toordinal(),
        middle_look_after=arrays["middle_after"] + plan.config.periods.after.start.toordinal(),
        last_look_before=arrays["last_before"] + plan.config.periods.before.start.toordinal(),
        last_look_after=arrays["last_after"] + plan.config.periods.after.start.toordinal(),
        doubtful=doubtful_share(arrays),
        shift_m=products.shift_m,
        registration_asked=plan.config.imagery.registration != "off",
    )


def doubtful_share(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Share of the looks that were flagged as cloud but kept as ground; NaN without looks."""
    looks = arrays["looks_before"].astype(np.float32) + arrays["looks_after"]
    doubtful = arrays["doubtful_before"].astype(np.float32) + arrays["doubtful_after"]
    share = np.full(looks.shape, np.nan, dtype=np.float32)
    np.divide(doubtful, looks, out=share, where=looks > 0)
    return share


def zone_patches(
    products: ZoneProducts,
    plan: Plan,
    rules: DetectionRules,
    shift_rules: DetectabilityRules,
) -> gpd.GeoDataFrame:
    """Patches of one zone; see :func:`in_zone` for which of them belong to it."""
    patches = delineate(zone_maps(products, plan), rules, shift_rules)
    outline = gpd.GeoSeries([products.zone.outline], crs=str(products.zone.geobox.crs))
    return in_zone(patches, outline.to_crs(patches.crs).iloc[0], rules.min_patch_px)


def in_zone(
    patches: gpd.GeoDataFrame, outline: BaseGeometry, min_patch_px: int
) -> gpd.GeoDataFrame:
    """Keep the patches that concern a zone.

    Parameters
    ----------
    patches : GeoDataFrame
        Records of :data:`rs_monitor.register.records.PATCH`.
    outline : BaseGeometry
        Of the zone, in the CRS of the patches.
    min_patch_px : int
        Pixels of the smallest patch.

    Returns
    -------
    GeoDataFrame
        Patches, whole, with at least ``min_patch_px`` pixels or half of their area inside.
    """
    share = _share_inside(patches.geometry, np.full(len(patches), outline, dtype=object))
    pixels = share * patches["n_px"].to_numpy()
    kept = (share >= HALF - ROUNDING) | (pixels >= min_patch_px * (1 - ROUNDING))
    return patches[kept].reset_index(drop=True)


def _share_inside(shapes: gpd.GeoSeries, outlines: NDArray[np.object_]) -> NDArray[np.float64]:
    """Share of each shape inside the outline of its row, 0-1."""
    own = np.asarray(shapes, dtype=object)
    part = shapely.intersection(own, shapely.make_valid(outlines))
    return np.asarray(shapely.area(part) / shapely.area(own), dtype=np.float64)


def without_repeats(patches: gpd.GeoDataFrame, outlines: gpd.GeoSeries) -> gpd.GeoDataFrame:
    """Report what several zones found on the same ground once.

    Parameters
    ----------
    patches : GeoDataFrame
        Records of :data:`rs_monitor.register.records.PATCH` of all zones.
    outlines : GeoSeries
        Zones by id, in the CRS of the patches.

    Returns
    -------
    GeoDataFrame
        The patches kept, in their order.

    Notes
    -----
    Two patches of different zones repeat each other when they share at least half of the smaller
    one's area. The one with more area inside its own zone stays; ties go to the smaller zone id,
    then the smaller patch id. Patches are taken in that order and left out only where they repeat
    one that stays, so that a chain of repeats never loses ground no other patch reports.
    """
    zones = patches["zone_id"].to_numpy()
    own = np.asarray(outlines.loc[zones], dtype=object)
    held_m2 = np.round(_share_inside(patches.geometry, own) * patches["area_m2"].to_numpy(), 2)
    rivals = _repeats(patches)
    dropped: set[int] = set()
    for row in np.lexsort((patches["patch_id"], zones.astype(str), -held_m2)):
        if row not in dropped:
            dropped |= rivals.get(int(row), set())
    # an empty list would select no columns instead of no rows
    kept = np.array([row not in dropped for row in range(len(patches))], dtype=np.bool_)
    return patches[kept].reset_index(drop=True)


def _repeats(patches: gpd.GeoDataFrame) -> dict[int, set[int]]:
    """Rows of other zones that share half of the smaller area, by row."""
    shapes = np.asarray(patches.geometry, dtype=object)
    zones = patches["zone_id"].to_numpy()
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    apart = zones[one] != zones[other]
    one, other = one[apart], other[apart]
    common = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    smaller = np.minimum(shapely.area(shapes[one]), shapely.area(shapes[other]))
    repeats: dict[int, set[int]] = {}
    for i in np.flatnonzero(common >= smaller * (HALF - ROUNDING)):
        repeats.setdefault(int(one[i]), set()).add(int(other[i]))
    return repeats


def zone_coverage(products: ZoneProducts, rules: DetectionRules, plan: Plan) -> pd.DataFrame:
    """How well one zone was seen."""
    inside = products.inside
    gaps = np.fmax(products.arrays["gap_before"], products.arrays["gap_after"])
    longest = float(np.nanmax(np.where(inside, gaps, np.nan))) if inside.any() else float("nan")
    lost = products.arrays["lost_before"].astype(np.uint32) + products.arrays["lost_after"]
    return coverage(
        zone_maps(products, plan),
        rules,
        inside=inside,
        longest_gap_days=longest,
        lost_looks=dict(zip(REASONS, lost, strict=True)),
    )


def unseen_coverage(zone: ZonePlan, rules: DetectionRules, plan: Plan) -> pd.DataFrame:
    """Coverage of a planned zone of which no block could be read: nothing of it was seen."""
    periods = plan.config.periods
    days = max((each.end - each.start).days for each in (periods.before, periods.after))
    inside = ZoneProducts(zone, {}).inside
    return no_coverage(
        zone.zone_id, zone.geobox, rules, inside=inside, longest_gap_days=float(days)
    )


@dataclass(frozen=True)
class Found:
    """Tables of a run."""

    patches: gpd.GeoDataFrame
    findings: gpd.GeoDataFrame
    coverage: pd.DataFrame
    class_areas: pd.DataFrame | None = None


def decide(
    patches: Sequence[gpd.GeoDataFrame],
    coverages: Sequence[pd.DataFrame],
    plan: Plan,
    rules: FindingRules,
) -> Found:
    """Findings and proposals for the patches of all zones, the same ground reported once."""
    reported = gpd.GeoDataFrame(pd.concat(patches, ignore_index=True), crs=plan.vector_crs)
    together = without_repeats(reported, zone_outlines(plan))
    layers = {kind: frame.to_crs(plan.vector_crs) for kind, frame in plan.layers.items()}
    findings = evaluate(together, layers, rules, plan.zone_layer)
    proposed = propose(together, findings, layers, rules)
    return Found(proposed, findings, pd.concat(coverages, ignore_index=True))


def zone_outlines(plan: Plan) -> gpd.GeoSeries:
    """Outlines of the planned zones by id, in the CRS of the vectors."""
    moved = [
        gpd.GeoSeries([zone.outline], crs=str(zone.geobox.crs)).to_crs(plan.vector_crs).iloc[0]
        for zone in plan.zones
    ]
    ids = [zone.zone_id for zone in plan.zones]
    return gpd.GeoSeries(moved, index=ids, crs=plan.vector_crs)
