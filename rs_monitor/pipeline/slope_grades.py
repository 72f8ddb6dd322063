"""Slope grades of the zones: a raster by pixel, a layer by the official fragment rule."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import pandas as pd
import xarray as xr

from rs_monitor.codes import NODATA, SLOPE_GRADE_STYLE
from rs_monitor.config.rules import load_rules
from rs_monitor.maps.slope_grades import grade_polygons, slope_grade
from rs_monitor.maps.terrain_rules import TerrainRules
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.pipeline.collect import ZoneProducts
from rs_monitor.pipeline.plan import Plan

PRODUCT = "slope_grade"
LAYER, FILE_NAME = "slope_grades", "slope_grades.gpkg"


def write_slope_grades(folder: RunFolder, products: Sequence[ZoneProducts], plan: Plan) -> None:
    """Write the grades of every zone whose slope is known; without a DEM nothing is written."""
    rules = load_rules(plan.config.rules.terrain, plan.base, TerrainRules)
    layers = [
        _zone_grades(folder, zone, rules).assign(zone_id=zone.zone.zone_id).to_crs(plan.vector_crs)
        for zone in products
        if "slope_deg" in zone.arrays
    ]
    if layers:
        together = gpd.GeoDataFrame(pd.concat(layers, ignore_index=True), crs=plan.vector_crs)
        folder.write_vectors(FILE_NAME, {LAYER: together})


def _zone_grades(
    folder: RunFolder, products: ZoneProducts, rules: TerrainRules
) -> gpd.GeoDataFrame:
    geobox = products.zone.geobox
    slope_deg = xr.DataArray(products.arrays["slope_deg"], dims=("y", "x"))
    grade = slope_grade(slope_deg, rules.grades)
    folder.write_map(
        products.zone.zone_id,
        PRODUCT,
        grade.values[None],
        geobox,
        nodata=NODATA,
        band_names=[PRODUCT],
        style=SLOPE_GRADE_STYLE,
        overview="nearest",
    )
    return grade_polygons(grade, geobox, merge="towards_lower", rules=rules.grades)
