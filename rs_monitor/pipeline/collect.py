"""Put the blocks together: maps, patches, findings, register, report; the manifest last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask

from rs_monitor.codes import CHANGE_STYLE, LAND_COVER_STYLE, NODATA, ClassStyle
from rs_monitor.config import DetectionRules
from rs_monitor.findings.coverage import coverage
from rs_monitor.findings.decide import evaluate, propose
from rs_monitor.findings.patches import ZoneMaps, delineate
from rs_monitor.findings.rules import FindingRules
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.kernels.series import CYCLES_NOT_SEEN
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.pipeline.plan import Plan, ZonePlan
from rs_monitor.pipeline.tasks import APPLY, ApplyTask


@dataclass(frozen=True)
class ZoneProducts:
    """All maps of one zone, whole.

    Attributes
    ----------
    zone : ZonePlan
    arrays : dict of str to ndarray
        By product; (y, x) or (band, y, x).
    """

    zone: ZonePlan
    arrays: dict[str, NDArray[Any]]

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


def mosaic(zone: ZonePlan, tasks: Iterable[ApplyTask]) -> ZoneProducts:
    """Lay the blocks of one zone side by side.

    Parameters
    ----------
    zone : ZonePlan
    tasks : iterable of ApplyTask
        Those of this zone that were done; ground of the others stays "not seen".
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
    return ZoneProducts(zone, arrays)


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
    if "slope_deg" in arrays:
        name = "slope_deg"
        _write(folder, products, name, arrays[name], [name], overview="average")
    for label in ("before", "after"):
        _write_cover(folder, products, label)


def _write_cover(folder: RunFolder, products: ZoneProducts, label: str) -> None:
    arrays = products.arrays
    name = f"land_cover_{label}"
    if name not in arrays:
        return
    _write(folder, products, name, arrays[name], [name], style=LAND_COVER_STYLE)
    cycles = f"cycles_{label}"
    _write(folder, products, f"crop_{cycles}", arrays[cycles], [cycles], nodata=CYCLES_NOT_SEEN)


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
        probability=arrays.get("probability"),
        land_cover_before=arrays.get("land_cover_before"),
        land_cover_after=arrays.get("land_cover_after"),
        confidence_before=arrays.get("confidence_before"),
        confidence_after=arrays.get("confidence_after"),
        slope_deg=arrays.get("slope_deg"),
        looks_before=arrays["looks_before"],
        looks_after=arrays["looks_after"],
        first_date=_day(zone.before, last=True),
        last_date=_day(zone.after, last=False),
        scene_ids=tuple(item.id for item in (*zone.before, *zone.after)),
        vector_crs=plan.vector_crs,
        last_look_before=arrays["edge_before"] + plan.config.periods.before.start.toordinal(),
        first_look_after=arrays["edge_after"] + plan.config.periods.after.start.toordinal(),
    )


def _day(items: Sequence[SceneItem], *, last: bool) -> dt.date:
    days = sorted(item.datetime.date() for item in items)
    return days[-1 if last else 0]


def zone_patches(products: ZoneProducts, plan: Plan, rules: DetectionRules) -> gpd.GeoDataFrame:
    """Patches whose inner point lies in the zone; neighbours never report the same one twice."""
    patches = delineate(zone_maps(products, plan), rules)
    if patches.empty:
        return patches
    outline = gpd.GeoSeries([products.zone.outline], crs=str(products.zone.geobox.crs))
    inside = patches.representative_point().within(outline.to_crs(patches.crs).iloc[0])
    return patches[inside].reset_index(drop=True)


def zone_coverage(products: ZoneProducts, rules: DetectionRules, plan: Plan) -> pd.DataFrame:
    """How well one zone was seen."""
    inside = products.inside
    gaps = np.fmax(products.arrays["gap_before"], products.arrays["gap_after"])
    longest = float(np.nanmax(np.where(inside, gaps, np.nan))) if inside.any() else float("nan")
    return coverage(zone_maps(products, plan), rules, inside=inside, longest_gap_days=longest)


@dataclass(frozen=True)
class Found:
    """Tables of a run."""

    patches: gpd.GeoDataFrame
    findings: gpd.GeoDataFrame
    coverage: pd.DataFrame


def decide(
    patches: Sequence[gpd.GeoDataFrame],
    coverages: Sequence[pd.DataFrame],
    plan: Plan,
    rules: FindingRules,
) -> Found:
    """Findings and proposals for the patches of all zones."""
    together = gpd.GeoDataFrame(pd.concat(patches, ignore_index=True), crs=plan.vector_crs)
    layers = {kind: frame.to_crs(plan.vector_crs) for kind, frame in plan.layers.items()}
    findings = evaluate(together, layers, rules, plan.zone_layer)
    proposed = propose(together, findings, layers, rules)
    return Found(proposed, findings, pd.concat(coverages, ignore_index=True))
