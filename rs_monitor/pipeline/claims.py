"""Judge claims of new arable land against a finished run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
from numpy.typing import NDArray

from rs_monitor.acceptance.claims import judge_claims
from rs_monitor.acceptance.doubts import table_doubts
from rs_monitor.acceptance.evidence import Evidence
from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.authority.layers import read_layer
from rs_monitor.config.reading import load_table
from rs_monitor.config.rules import find_rules
from rs_monitor.errors import ConfigError, RunError
from rs_monitor.grid import require_same_grid
from rs_monitor.outputs.doctor import check_run
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.manifest import Manifest, read_manifest
from rs_monitor.outputs.raster import read_raster
from rs_monitor.outputs.report import write_report
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.outputs.vectors import read_layers
from rs_monitor.pipeline.class_areas import read_class_areas
from rs_monitor.pipeline.collect import Found, ZoneProducts
from rs_monitor.pipeline.plan import Plan, ZonePlan
from rs_monitor.pipeline.run import FINDINGS_NAME, doubts_of, report_context

CLAIMS_NAME = "claims.gpkg"
FINISHED = ("finished", "finished_with_failures")

READ_BACK = {
    "before": None,
    "after": None,
    "change": "change",
    "land_cover_before": "land_cover_before",
    "land_cover_after": "land_cover_after",
    "slope_deg": "slope_deg",
    "crop_cycles_before": "cycles_before",
    "crop_cycles_after": "cycles_after",
}
"""Maps a judgement reads, and the single band's name; None keeps all bands."""


@dataclass(frozen=True)
class Verified:
    """Answers to claims and the manifest of the run they lean on."""

    path: Path
    claims: gpd.GeoDataFrame
    manifest: Manifest


def verify(plan: Plan, out: Path, *, truth: pd.DataFrame | None = None) -> Verified:
    """Answer every claim of a job from its finished run.

    Parameters
    ----------
    plan : Plan
        With a ``[claims]`` table in its config.
    out : Path
        Folder of the finished run of this very plan.
    truth : DataFrame, optional
        For synthetic jobs: goes into the report again.

    Returns
    -------
    Verified
        One answer per claim; no areas are ever added up.

    Raises
    ------
    ConfigError
        Without claims.
    RunError
        If the run is unfinished or belongs to another job.
    """
    if plan.config.claims is None:
        raise ConfigError(
            plan.config.name, ["claims: missing; verify needs a [claims] table in the job file"]
        )
    _require_sound(plan, out)
    settings = plan.config.claims
    path = plan.path(settings.path)
    claims = read_layer(path, settings.layer, kind="claims")
    products = [read_products(out, zone) for zone in plan.zones]
    # judged before the folder is opened: claims that cannot be judged leave the run as it was
    rules_path = find_rules(plan.config.rules.acceptance, plan.base)
    unsound = unsound_ground(plan, read_manifest(out))
    judged = _judge(plan, claims, products, load_table(rules_path, AcceptanceRules), unsound)
    found = read_found(out)
    with RunFolder.reopen(out) as folder:
        folder.add_vector(
            "claims",
            path,
            features=len(claims),
            crs=claims.crs.to_string(),
            repaired=claims.attrs.get("repaired", ()),
        )
        folder.write_page("rules/acceptance.toml", rules_path.read_text(encoding="utf-8"))
        folder.write_vectors(CLAIMS_NAME, {"claims": judged})
        write_report(folder, report_context(folder, plan, products, found, truth, judged))
        manifest = folder.finish()
    return Verified(out, judged, manifest)


def _require_sound(plan: Plan, out: Path) -> None:
    manifest = read_manifest(out)
    if manifest.status not in FINISHED or manifest.plan_fingerprint != plan.fingerprint:
        raise RunError(
            f"{out}: got a run with status {manifest.status} of plan "
            f"{manifest.plan_fingerprint[:8]}; needed a finished run of plan "
            f"{plan.fingerprint[:8]}; run this job into the folder first"
        )
    problems = check_run(out)
    if problems:
        raise RunError(
            f"{out}: got a run that is not as it was left ({'; '.join(problems[:3])}); needed an "
            "untouched one; run the job again into the folder"
        )


def read_products(run: Path, zone: ZonePlan) -> ZoneProducts:
    """Read the maps of one zone back from a run folder."""
    arrays: dict[str, NDArray[Any]] = {}
    for product, name in READ_BACK.items():
        path = map_path(run, zone.zone_id, product)
        if path.exists():
            stack, geobox, _ = read_raster(path)
            require_same_grid(zone.geobox, geobox)
            arrays[name or product] = stack if name is None else stack[0]
    looks = map_path(run, zone.zone_id, "clear_looks")
    if looks.exists():
        arrays["looks_before"], arrays["looks_after"] = read_raster(looks)[0]
    doubtful = map_path(run, zone.zone_id, "doubtful_looks")
    if doubtful.exists():
        arrays["doubtful_before"], arrays["doubtful_after"] = read_raster(doubtful)[0]
    return ZoneProducts(zone, arrays)


def read_found(path: Path) -> Found:
    """Read patches, findings, coverage and class areas of a run folder."""
    layers = read_layers(path / FINDINGS_NAME)
    found = Found(layers["patches"], layers["findings"], layers["coverage"])
    return replace(found, class_areas=read_class_areas(path))


def _judge(
    plan: Plan,
    claims: gpd.GeoDataFrame,
    products: list[ZoneProducts],
    rules: AcceptanceRules,
    unsound: gpd.GeoDataFrame | None = None,
) -> gpd.GeoDataFrame:
    seats = _seats(claims, products)
    # over the whole table: the claim a ground is shared with may lie in another zone
    doubts = table_doubts(claims, rules)
    parts = []
    for seat in sorted(set(seats)):
        where = [i for i, place in enumerate(seats) if place == seat]
        evidence = _evidence(plan, products[seat] if seat >= 0 else None, unsound)
        judged = judge_claims(
            claims.iloc[where], evidence, rules, doubts=[doubts[i] for i in where]
        )
        parts.append(judged.set_index(pd.Index(where)))
    return gpd.GeoDataFrame(pd.concat(parts).sort_index().reset_index(drop=True), crs=claims.crs)


def _seats(claims: gpd.GeoDataFrame, products: list[ZoneProducts]) -> list[int]:
    """Zone whose outline holds most of each claim; -1 where no zone meets it."""
    seats = []
    for geometry in claims.geometry:
        shares = []
        for index, product in enumerate(products):
            outline = gpd.GeoSeries([product.zone.outline], crs=str(product.zone.geobox.crs))
            shared = outline.to_crs(claims.crs).iloc[0].intersection(geometry).area
            shares.append((shared, index))
        best = max(shares, default=(0.0, -1), key=lambda pair: pair[0])
        seats.append(best[1] if best[0] > 0 else -1)
    return seats


def unsound_ground(plan: Plan, manifest: Manifest) -> gpd.GeoDataFrame | None:
    """Zones whose imagery failed the check of its radiometry, with the reason."""
    doubts = doubts_of(manifest)
    zones = [zone for zone in plan.zones if zone.zone_id in doubts]
    parts = [
        gpd.GeoDataFrame(
            {"reason": ["; ".join(doubts[zone.zone_id])]},
            geometry=[zone.outline],
            crs=str(zone.geobox.crs),
        ).to_crs(plan.vector_crs)
        for zone in zones
    ]
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True)) if parts else None


def _evidence(
    plan: Plan, products: ZoneProducts | None, unsound: gpd.GeoDataFrame | None = None
) -> Evidence:
    layers = plan.layers
    vectors = Evidence(
        land=layers.get("land"),
        pbf=layers.get("pbf"),
        redline=layers.get("redline"),
        unsound=unsound,
    )
    if products is None:
        return vectors
    arrays = products.arrays
    return replace(
        vectors,
        doubtful_looks_after=arrays.get("doubtful_after"),
        geobox=products.zone.geobox,
        land_cover_before=arrays.get("land_cover_before"),
        land_cover_after=arrays.get("land_cover_after"),
        clear_looks_after=arrays.get("looks_after"),
        crop_cycles_before=arrays.get("cycles_before"),
        crop_cycles_after=arrays.get("cycles_after"),
        slope_deg=arrays.get("slope_deg"),
        before=plan.config.periods.before,
        after=plan.config.periods.after,
    )
