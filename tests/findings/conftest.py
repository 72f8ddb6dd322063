import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.codes import Change, CodeSystem, LandCover
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table, read_toml
from rs_monitor.config.rules import DetectionRules
from rs_monitor.findings.patches import ZoneMaps, delineate
from rs_monitor.findings.rules import FindingRules

CRS = "EPSG:4548"
WEST, NORTH, PIXEL_M = 500_000.0, 3_600_000.0, 10.0
FIRST, LAST = dt.date(2024, 3, 1), dt.date(2025, 2, 20)


def box_of(y0: int, y1: int, x0: int, x1: int) -> shapely.Polygon:
    return shapely.box(
        WEST + x0 * PIXEL_M, NORTH - y1 * PIXEL_M, WEST + x1 * PIXEL_M, NORTH - y0 * PIXEL_M
    )


@pytest.fixture
def box() -> Callable[[int, int, int, int], shapely.Polygon]:
    return box_of


@pytest.fixture
def detection() -> DetectionRules:
    shipped = DetectionRules.model_validate(
        read_toml(data_root() / "configs" / "rules" / "detection.toml")
    )
    return shipped.model_copy(
        update={"min_looks": 2, "min_patch_px": 2, "min_detect_px": 4, "min_reliable_px": 9}
    )


@pytest.fixture
def rules() -> FindingRules:
    return load_table(data_root() / "configs" / "rules" / "findings-guide-2024.toml", FindingRules)


def maps_of(changed: np.ndarray, **changes: Any) -> ZoneMaps:
    shape = changed.shape
    ones = np.ones(shape, dtype=np.float32)
    maps = ZoneMaps(
        zone_id="Z1",
        geobox=GeoBox(shape, Affine(PIXEL_M, 0, WEST, 0, -PIXEL_M, NORTH), CRS),
        change=np.where(changed, Change.CHANGE, Change.NO_CHANGE).astype(np.uint8),
        magnitude=ones,
        probability=ones,
        land_cover_before=None,
        land_cover_after=None,
        confidence_before=None,
        confidence_after=None,
        slope_deg=None,
        looks_before=np.full(shape, 5, dtype=np.uint16),
        looks_after=np.full(shape, 6, dtype=np.uint16),
        first_date=FIRST,
        last_date=LAST,
        scene_ids=("a", "b"),
        vector_crs=CRS,
    )
    return replace(maps, **changes)


@pytest.fixture
def make_maps() -> Callable[..., ZoneMaps]:
    return maps_of


@pytest.fixture
def patch(detection: DetectionRules) -> Callable[..., gpd.GeoDataFrame]:
    """One rectangular patch; default rows and columns 5 to 10, so 2500 m2."""

    def build(
        before: LandCover | None,
        after: LandCover | None,
        *,
        size: tuple[int, int] = (5, 5),
        slope_deg: float | None = None,
        looks: int = 5,
    ) -> gpd.GeoDataFrame:
        changed = np.zeros((30, 30), dtype=bool)
        changed[5 : 5 + size[0], 5 : 5 + size[1]] = True

        def filled(value: float | None, dtype: type) -> np.ndarray | None:
            return None if value is None else np.full(changed.shape, value, dtype=dtype)

        maps = maps_of(
            changed,
            land_cover_before=filled(before, np.uint8),
            land_cover_after=filled(after, np.uint8),
            confidence_before=filled(0.9, np.float32),
            confidence_after=filled(0.8, np.float32),
            slope_deg=filled(slope_deg, np.float32),
            looks_after=filled(looks, np.uint16),
        )
        return delineate(maps, detection)

    return build


@pytest.fixture
def layers() -> Callable[..., dict[str, gpd.GeoDataFrame]]:
    """Every layer over the whole scene, unless another geometry is given; no permits in it."""
    everywhere, nowhere = box_of(-5, 35, -5, 35), box_of(100, 110, 100, 110)

    def build(
        *,
        land_code: str = "0103",
        pbf: shapely.Polygon | None = None,
        redline: shapely.Polygon | None = None,
        permits: list[dict[str, Any]] | None = None,
        plan: str | None = None,
    ) -> dict[str, gpd.GeoDataFrame]:
        land = gpd.GeoDataFrame({"land_code": [land_code]}, geometry=[everywhere], crs=CRS)
        land.attrs["code_system"] = CodeSystem.SURVEY3.value
        columns = {
            name: [permit.get(name) for permit in permits or []]
            for name in ("permit_id", "kind", "approved_on", "expires_on")
        }
        shapes = [permit.get("geometry", everywhere) for permit in permits or []]
        zones = gpd.GeoDataFrame(
            {"zone_id": ["Z1"], "plan_id": [plan], "plan_approved_on": [dt.date(2024, 1, 10)]},
            geometry=[everywhere],
            crs=CRS,
        )
        return {
            "land": land,
            "pbf": gpd.GeoDataFrame(geometry=[pbf or nowhere], crs=CRS),
            "redline": gpd.GeoDataFrame(geometry=[redline or nowhere], crs=CRS),
            "permits": gpd.GeoDataFrame(columns, geometry=shapes, crs=CRS),
            "zones": zones,
        }

    return build
