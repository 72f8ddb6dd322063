import datetime as dt
from collections.abc import Callable

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter, zoom
from shapely.geometry import Polygon, box
from shapely.ops import unary_union

from rs_monitor.codes import Change
from rs_monitor.outputs.report import ReportContext, ZoneView
from rs_monitor.outputs.runfolder import RunFolder

CRS = "EPSG:4524"
PIXEL_M = 10.0
EVENTS = (
    # kind, before, after, proposal, rule, status, row, column, height, width
    ("building", "upland_crop", "built", "suspected_illegal", "NEG-01", "suspected", 40, 50, 9, 12),
    ("mine", "forest", "mine", "suspected_illegal", "NEG-11", "suspected", 120, 160, 22, 26),
    ("pond", "paddy", "water", "suspected", "NEG-04", "suspected", 90, 60, 8, 7),
    ("road", "upland_crop", "road", "unjudged", "NEG-01", "inconclusive", 20, 120, 3, 40),
    ("orchard", "paddy", "orchard", "suspected", "NEG-03", "suspected", 150, 40, 14, 12),
    (
        "greenhouse",
        "upland_crop",
        "facility_agri",
        "other_agri_facility",
        "NEG-06",
        "recorded",
        60,
        190,
        6,
        9,
    ),
    ("building", "bare", "built", "legal_candidate", "NEG-01", "pass", 180, 110, 8, 8),
    ("forest_clearing", "forest", "bare", "suspected", "NEG-05", "not_evaluated", 30, 200, 12, 9),
    ("abandonment", "paddy", "grass", "unjudged", "NEG-08", "inconclusive", 165, 200, 3, 4),
    ("new_arable", "grass", "upland_crop", "no_change", "NEG-05", "pass", 100, 110, 9, 13),
    ("earthwork", "upland_crop", "bare", "unjudged", "NEG-02", "not_evaluated", 70, 140, 2, 3),
)
COLOURS = {
    "upland_crop": (0.15, 0.14, 0.10),
    "paddy": (0.09, 0.13, 0.08),
    "forest": (0.06, 0.09, 0.05),
    "grass": (0.12, 0.14, 0.08),
    "bare": (0.24, 0.19, 0.14),
    "built": (0.27, 0.26, 0.25),
    "road": (0.19, 0.19, 0.19),
    "mine": (0.30, 0.26, 0.21),
    "water": (0.05, 0.08, 0.09),
    "orchard": (0.06, 0.09, 0.04),
    "facility_agri": (0.33, 0.34, 0.36),
}


def geobox_of(shape: tuple[int, int] = (200, 240), east: float = 36_500_000.0) -> GeoBox:
    affine = Affine(PIXEL_M, 0, east, 0, -PIXEL_M, 3_600_000)
    return GeoBox(shape, affine, CRS)


@pytest.fixture
def geobox() -> GeoBox:
    return geobox_of()


def fields(shape: tuple[int, int], seed: int) -> np.ndarray:
    """A patchwork of fields with woods and a river, reflectance 0-1."""
    rng = np.random.default_rng(seed)
    rows, columns = shape
    names = ["upland_crop", "paddy", "upland_crop", "grass", "paddy"]
    coarse = rng.integers(0, len(names), (rows // 11 + 1, columns // 15 + 1))
    parcel = zoom(coarse, (11, 15), order=0)[:rows, :columns]
    shade = zoom(rng.normal(0, 0.018, coarse.shape), (11, 15), order=0)[:rows, :columns]
    picture = np.array([COLOURS[name] for name in names])[parcel].transpose(2, 0, 1) + shade
    woods = gaussian_filter(rng.normal(size=shape), 14) > 0.028
    picture[:, woods] = np.array(COLOURS["forest"])[:, None]
    y = (rows * 0.55 + 18 * np.sin(np.arange(columns) / 28)).astype(int)
    for offset in range(4):
        picture[:, np.clip(y + offset, 0, rows - 1), np.arange(columns)] = np.array(
            COLOURS["water"]
        )[:, None]
    return picture + rng.normal(0, 0.004, picture.shape)


def outline(row: int, column: int, height: int, width: int, geobox: GeoBox) -> Polygon:
    a = geobox.affine
    left, top = a.c + a.a * column, a.f + a.e * row
    right, bottom = left + a.a * width, top + a.e * height
    notch = box(right - 2 * PIXEL_M, top - PIXEL_M, right, top) if height > 5 else Polygon()
    return box(left, bottom, right, top).difference(unary_union([notch]))


def zone_view(zone_id: str, seed: int) -> ZoneView:
    geobox = geobox_of(east=36_500_000.0 + seed * 10_000)
    before = fields(geobox.shape, seed)
    after = before + np.random.default_rng(seed + 9).normal(0.01, 0.004, before.shape)
    change = np.full(geobox.shape, Change.NO_CHANGE, dtype=np.uint8)
    for event in EVENTS:
        row, column, height, width = event[6:]
        window = (slice(row, row + height), slice(column, column + width))
        for look, name in ((before, event[1]), (after, event[2])):
            look[(slice(None), *window)] = np.array(COLOURS[name])[:, None, None]
        change[window] = Change.CHANGE
    after[:, 160:, :34] = np.nan
    change[160:, :34] = Change.NOT_SEEN
    return ZoneView(zone_id, geobox, before.astype("float32"), after.astype("float32"), change)


def patch_frame(zones: list[ZoneView]) -> gpd.GeoDataFrame:
    rows = []
    for zone in zones:
        for number, event in enumerate(EVENTS):
            kind, before, after, proposal = event[:4]
            geometry = outline(*event[6:], zone.geobox)
            n_px = round(geometry.area / PIXEL_M**2)
            size = "measured" if n_px >= 16 else "detect_only" if n_px >= 9 else "cannot_decide"
            rows.append(
                {
                    "patch_id": f"{zone.zone_id}-{number:04d}-5a7c1e",
                    "zone_id": zone.zone_id,
                    "kind": kind,
                    "class_before": before,
                    "class_after": after,
                    "prob_before": 0.93,
                    "prob_after": 0.88,
                    "probability": 0.97,
                    "first_date": dt.date(2024, 6, 3),
                    "last_date": dt.date(2025, 3, 18),
                    "area_m2": geometry.area * 0.9998,
                    "perimeter_m": geometry.length,
                    "n_px": n_px,
                    "measurability": size,
                    "looks_before": 11,
                    "looks_after": 9,
                    "slope_deg": 3.4 if number % 4 else float("nan"),
                    "scene_ids": "S2A_1;S2B_2",
                    "last_look": "2025-05-01",
                    "doubtful_fraction": 0.35 if kind == "building" else 0.0,
                    "shift_m": 1.8,
                    "shift_fraction": 1 - geometry.buffer(-1.8).area / geometry.area,
                    "proposal": proposal,
                    "proposal_reason": "farmland outside the approved plan, no conversion permit",
                    "geometry": geometry,
                }
            )
    return gpd.GeoDataFrame(rows, crs=CRS)


def finding_frame(patches: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    rows = []
    for position, patch in enumerate(patches.itertuples()):
        event = EVENTS[position % len(EVENTS)]
        for rule, status, clause, reason in (
            (event[4], event[5], "S004 §二(二)4(4)", "1 080 m2 of farmland, no permit covers it"),
            ("NEG-02", "not_evaluated", "S002; S004 §三(三)2", "layer pbf was not given"),
        ):
            rows.append(
                {
                    "finding_id": f"{rule}/{patch.patch_id}",
                    "patch_id": patch.patch_id,
                    "zone_id": patch.zone_id,
                    "rule_id": rule,
                    "rule_version": "1.0.0",
                    "clause": clause,
                    "severity": "verify",
                    "status": status,
                    "reason": reason,
                    "overlap_m2": float("nan"),
                    "geometry": patch.geometry,
                }
            )
    return gpd.GeoDataFrame(rows, crs=CRS)


def coverage_frame(zones: list[ZoneView]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zone_id": [zone.zone_id for zone in zones],
            "area_m2": 4_800_000.0,
            "seen_fraction": [0.9717, 0.884][: len(zones)],
            "looks_before_median": 11.0,
            "looks_after_median": 9.0,
            "longest_gap_days": 47.0,
            "not_seen_m2": [136_000.0, 556_800.0][: len(zones)],
            "limit_m2": 1600.0,
            "detectable_fraction": [0.96129, 0.8512][: len(zones)],
            "detectable_m2": [4_614_192.0, 4_085_760.0][: len(zones)],
            "covers_from": "2024-06-30",
            "covers_until": "2025-03-18",
            "last_look_before": "2024-12-19",
            "last_look_after": "2025-05-04",
            "doubtful_fraction": [0.004, float("nan")][: len(zones)],
            "not_seen_because": ["cloud 71%, no imagery 29%", ""][: len(zones)],
        }
    )


def claim_frame() -> gpd.GeoDataFrame:
    rows = [
        ("XZGD-001", "SUPPORTED", "surveyed", "pass", "pass"),
        ("XZGD-002", "CONTRADICTED", "surveyed", "pass", "fail"),
        ("XZGD-003", "INCONCLUSIVE", "coefficient", "inconclusive", "pass"),
    ]
    return gpd.GeoDataFrame(
        [
            {
                "claim_id": claim_id,
                "claimed_area_m2": 12_345.67,
                "area_source": source,
                "survey_id": "CH-2025-07",
                "change_survey_id": None,
                "completed_on": dt.date(2024, 9, 30),
                "answer": answer,
                "reasons": f"NEW-01 {one}: area source is {source}; NEW-02 {two}: ratio 0.99998",
                "rule_NEW_01": one,
                "rule_NEW_02": two,
                "recomputed_area_m2": 12_345.42,
            }
            for claim_id, answer, source, one, two in rows
        ],
        geometry=[box(0, 0, 1, 1)] * 3,
        crs=CRS,
    )


def truth_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": ["building", "building", "pond", "orchard"],
            "size_class": ["0.2-1 mu", "1-5 mu", "1-5 mu", "5-20 mu"],
            "planted": [6, 8, 5, 4],
            "found": [1, 8, 5, 3],
            "expected": ["cannot_decide", "measured", "measured", "measured"],
        }
    )


@pytest.fixture
def make_folder(tmp_path, geobox) -> Callable[..., RunFolder]:
    """Opens the same job again and again, or another one through ``plan``."""

    def opened(**changes) -> RunFolder:
        settings = {"name": "demo", "plan": {"items": ["a"]}, "config_text": 'name = "demo"\n'}
        return RunFolder.open(tmp_path / "run", **(settings | changes))

    return opened


@pytest.fixture
def make_context(make_folder) -> Callable[..., ReportContext]:
    """A realistic report of two zones, with any part exchanged."""

    def made(**changes) -> ReportContext:
        zones = [zone_view("白杨村 A", 1), zone_view("石桥村 B", 2)]
        patches = patch_frame(zones)
        with make_folder(synthetic=True, purpose="Quarterly check of two zones") as folder:
            folder.add_scenes(
                {
                    "id": f"SYN_2024{month:02d}{date:02d}_T50",
                    "collection": "sentinel-2-l2a",
                    "datetime": dt.datetime(2024, month, date, 3, tzinfo=dt.UTC),
                    "bands": {"red": {"href": "https://host.invalid/r.tif?sig=secret"}},
                }
                for month in range(1, 13)
                for date in (4, 19)
            )
            folder.not_evaluated("slope_deg", "no DEM was given", zone=zones[0].zone_id)
            folder.not_evaluated("slope_deg", "no DEM was given", zone=zones[1].zone_id)
            folder.not_evaluated("NEG-02", "layer pbf was not given")
            folder.add_failure("block r001c002", "ReadError: item SYN_x, band red: timed out")
            manifest = folder.manifest.model_dump(mode="json")
        parts = {
            "manifest": manifest,
            "zones": zones,
            "patches": patches,
            "findings": finding_frame(patches),
            "coverage": coverage_frame(zones),
            "claims": claim_frame(),
            "truth": truth_frame(),
        }
        return ReportContext(**(parts | changes))

    return made
