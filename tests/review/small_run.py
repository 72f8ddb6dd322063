"""A finished run of one zone with known numbers."""

import datetime as dt
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.codes import CHANGE_STYLE, Change
from rs_monitor.imagery.catalog import Band, SceneItem
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.register.records import FINDING, PROPOSED_PATCH, record_frame

GRID_CRS, VECTOR_CRS = "EPSG:32650", "EPSG:4548"
BANDS = ("blue", "green", "red")
GEOBOX = GeoBox((50, 60), Affine(10, 0, 600_000, 0, -10, 3_500_000), GRID_CRS)
PLAIN = {"text": "", "float": 1.5, "int": 3, "bool": True}
PATCHES = (
    # id, kind, proposal, measurability, rows, columns
    ("small", "other", "unjudged", "cannot_decide", (40, 42), (50, 52)),
    ("built", "building", "suspected_illegal", "measured", (20, 24), (30, 35)),
    ("large", "new_arable", "no_change", "measured", (5, 15), (5, 15)),
    ("pit", "mine", "suspected", "detect_only", (30, 33), (10, 13)),
)
FINDINGS = (
    # patch, rule, status, reason
    ("built", "NEG-02", "inconclusive", "layer pbf meets it in one pixel"),
    ("built", "NEG-01", "suspected", "2000 m2 of farmland, no permit"),
    ("built", "NEG-06", "pass", "outside the boundary"),
    ("pit", "NEG-02", "inconclusive", "too small"),
    ("pit", "NEG-07", "not_evaluated", "layer plans was not given"),
)


def outline(rows: tuple[int, int], columns: tuple[int, int]) -> shapely.Polygon:
    left, top = GEOBOX.affine @ (columns[0], rows[0])
    right, bottom = GEOBOX.affine @ (columns[1], rows[1])
    return shapely.box(left, bottom, right, top)


def patch_frame() -> gpd.GeoDataFrame:
    shapes = [outline(rows, columns) for *_, rows, columns in PATCHES]
    values = {c.name: [PLAIN[c.type]] * len(PATCHES) for c in PROPOSED_PATCH}
    values |= {
        "patch_id": [patch[0] for patch in PATCHES],
        "zone_id": ["Z1"] * len(PATCHES),
        "kind": [patch[1] for patch in PATCHES],
        "proposal": [patch[2] for patch in PATCHES],
        "measurability": [patch[3] for patch in PATCHES],
        "area_m2": [shape.area for shape in shapes],
        "class_before": ["upland_crop"] * len(PATCHES),
        "class_after": ["built"] * len(PATCHES),
        "first_date": ["2024-10-20"] * len(PATCHES),
        "last_date": ["2025-03-05"] * len(PATCHES),
    }
    return record_frame(values, PROPOSED_PATCH, shapes, GRID_CRS).to_crs(VECTOR_CRS)


def finding_frame(patches: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    values = {c.name: [PLAIN[c.type]] * len(FINDINGS) for c in FINDING}
    values |= {
        "finding_id": [f"{patch}/{rule}" for patch, rule, *_ in FINDINGS],
        "patch_id": [finding[0] for finding in FINDINGS],
        "rule_id": [finding[1] for finding in FINDINGS],
        "clause": ["S004 §二(二)4(4)"] * len(FINDINGS),
        "status": [finding[2] for finding in FINDINGS],
        "reason": [finding[3] for finding in FINDINGS],
        "kind": ["building"] * len(FINDINGS),
        "measurability": ["measured"] * len(FINDINGS),
    }
    shapes = patches.set_index("patch_id").geometry
    return record_frame(values, FINDING, [shapes[f[0]] for f in FINDINGS], VECTOR_CRS)


def coverage_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zone_id": ["Z1"],
            "area_m2": [200_000.0],
            "seen_fraction": [0.98765],
            "not_seen_m2": [2470.0],
            "looks_before_median": [9.0],
            "looks_after_median": [8.0],
            "longest_gap_days": [61.0],
            "limit_m2": [1600.0],
        }
    )


def claim_frame() -> gpd.GeoDataFrame:
    rows = [("C1", "SUPPORTED", "pass"), ("C2", "CONTRADICTED", "fail")]
    table = {
        "claim_id": [claim_id for claim_id, *_ in rows],
        "claimed_area_m2": 4000.5,
        "area_source": "surveyed",
        "survey_id": "SV",
        "change_survey_id": "BG",
        "completed_on": dt.date(2025, 1, 2),
        "answer": [answer for _, answer, _ in rows],
        "reasons": [f"NEW-01 {one}: survey SV; NEW-02 pass: ratio 0.00000" for *_, one in rows],
        "rule_NEW_01": [one for *_, one in rows],
        "rule_NEW_02": "pass",
        "recomputed_area_m2": 4000.5,
    }
    shapes = [outline((5, 15), (5, 15))] * len(rows)
    return gpd.GeoDataFrame(table, geometry=shapes, crs=GRID_CRS)


def scene_item(identity: str, when: str, bands: dict[str, Band]) -> SceneItem:
    return SceneItem(
        id=identity,
        collection="test",
        datetime=dt.datetime.fromisoformat(when),
        platform="test-1",
        crs=GRID_CRS,
        shape=tuple(GEOBOX.shape),
        transform=tuple(GEOBOX.affine)[:6],
        footprint=GEOBOX.geographic_extent.json,
        cloud_fraction=None,
        bands=bands,
        properties={},
    )


SCENES = (
    ("B1", "2024-04-02T02:50:00Z"),
    ("B2", "2024-10-20T02:50:00Z"),
    ("A1", "2025-03-05T02:50:00Z"),
)


def write_run(path: Path, *, finish: bool = True, synthetic: bool = True, claims: bool = True):
    """A run of one zone: value of band i is (i + 1) / 10 before, doubled after; column 0 unseen."""
    zone = {"zone_id": "Z1", "before": ["B1", "B2"], "after": ["A1"]}
    job = {"name": "test", "plan": {"zones": [zone]}, "config_text": 'name = "test"\n'}
    patches = patch_frame()
    with RunFolder.open(path, synthetic=synthetic, **job) as folder:
        folder.add_scenes(scene_item(i, when, {}).to_dict() for i, when in SCENES)
        level = np.arange(1, 4, dtype=np.float32)[:, None, None] / 10
        ground = np.broadcast_to(level, (3, *GEOBOX.shape)).copy()
        ground[:, :, 0] = np.nan
        change = np.full(GEOBOX.shape, Change.NO_CHANGE, dtype=np.uint8)
        change[:, 0] = Change.NOT_SEEN
        for period, factor in (("before", 1), ("after", 2)):
            data = ground * np.float32(factor)
            folder.write_map("Z1", period, data, GEOBOX, nodata=float("nan"), band_names=BANDS)
        folder.write_map(
            "Z1", "change", change, GEOBOX, nodata=0, band_names=["change"], style=CHANGE_STYLE
        )
        layers = {
            "patches": patches,
            "findings": finding_frame(patches),
            "coverage": coverage_frame(),
        }
        folder.write_vectors("findings.gpkg", layers)
        if claims:
            folder.write_vectors("claims.gpkg", {"claims": claim_frame()})
        folder.not_evaluated("slope_deg", "no DEM")
        if finish:
            folder.finish()
    return path
