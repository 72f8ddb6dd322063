"""Official slope grades: the raster, the slope map with its merge rule, grades of patches."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.authority.area import polygon_areas_m2
from rs_monitor.codes import NODATA, SLOPE_GRADE_STYLE, SlopeGrade
from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError
from rs_monitor.kernels.grades import grade_codes
from rs_monitor.lazy import map_pixels
from rs_monitor.maps.cover import cover_of, sample, weighted_mean
from rs_monitor.maps.fragments import Merge, merge_fragments, part_regions, split_strips
from rs_monitor.maps.terrain import require_float
from rs_monitor.maps.terrain_rules import GradeRules

Codes = NDArray[np.uint8]
Geometries = NDArray[np.object_]

_TIE_M2 = 0.1
"""Overlaps closer than this are equal: official areas are rounded to 0.01 m2 a piece."""


def slope_grade(slope_deg: xr.DataArray, rules: GradeRules) -> xr.DataArray:
    """Official slope grade of every cell.

    Parameters
    ----------
    slope_deg : DataArray of float
        y, x; degrees; NaN or negative = unknown.
    rules : GradeRules
        Limits of the grades, each upper limit included.

    Returns
    -------
    DataArray of uint8
        Values of ``codes.SlopeGrade``; 0 = unknown, never grade 1.

    Raises
    ------
    QuantityError
        If the array says that it is in another unit than degrees, or is not float.

    Notes
    -----
    Five grades of the technical rules for farmland slope from a DEM (2008), domain study B10.
    """
    unit = slope_deg.attrs.get("units", "degree")
    if unit not in ("degree", "degrees"):
        raise QuantityError(
            f"got a slope in {unit!r}; grades need degrees; convert it (atan of the rise)"
        )
    require_float(slope_deg.dtype, "slopes", "a grade")
    limits = rules.limits_deg.values

    def grades(values: NDArray[np.floating]) -> Codes:
        codes = grade_codes(values, limits)
        codes[values < 0] = NODATA
        return codes

    return map_pixels(
        grades,
        slope_deg,
        dtype=np.uint8,
        name="slope_grade",
        attrs={
            "long_name": "official slope grade",
            "flag_values": [int(grade) for grade in SlopeGrade],
            "flag_meanings": " ".join(style.name for style in SLOPE_GRADE_STYLE.values()),
            "limits_deg": list(limits),
            "clause": rules.limits_deg.clause,
        },
    )


def grade_polygons(
    grade: xr.DataArray | Codes, geobox: GeoBox, *, merge: Merge, rules: GradeRules
) -> gpd.GeoDataFrame:
    """Make the slope map: polygons of one grade, small ones merged by the chosen rule.

    Parameters
    ----------
    grade : DataArray or ndarray of uint8, shape (y, x)
        Of :func:`slope_grade`; computed here if lazy.
    geobox : GeoBox
        Its grid.
    merge : {"towards_lower", "largest_neighbour", "none"}
        ``towards_lower`` is the official rule: a polygon under the smallest area goes into its
        neighbour of the nearest lower grade; without a lower one, of the nearest higher grade.
        ``largest_neighbour``: into the largest, of equal ones the one with the longest common
        border, then the first by rows. Smallest polygons go first (of equal ones the first by
        rows); the merged one keeps the grade of the
        neighbour and joins every polygon of that grade it now touches. With either rule polygons
        no wider than one cell that survive are then split evenly between the ground on their
        sides, on half cells.
    rules : GradeRules
        Smallest area: ``min_map_mm2`` at ``map_scale``.

    Returns
    -------
    GeoDataFrame
        ``grade``, ``area_m2`` (CGCS2000 ellipsoid), ``fragment`` (still under the smallest area:
        nothing to merge with) and geometry in the grid's CRS, in the order of their first cell.
        Cells of unknown slope belong to no polygon. Cells that touch at a corner only are two
        polygons.

    Raises
    ------
    GridMismatch, MissingCRS
        If the raster has another shape than the grid; if the grid has no CRS.

    Notes
    -----
    Domain study B10: under 30 mm2 on the map into the neighbour towards the lower grade; strips
    of at most one cell split evenly. Where the text is silent (several lower neighbours, none
    lower) the choices above are ours.
    """
    codes = _plain(grade, geobox)
    regions = part_regions(codes)
    shapes = region_shapes(regions.labels, geobox)
    areas_m2 = polygon_areas_m2(shapes, geobox.crs)
    if merge != "none":
        merged = merge_fragments(regions, areas_m2, rules.min_area_m2, merge)
        split, halved = split_strips(merged)
        if halved:
            geobox, codes = geobox.zoom_to(shape=split.shape), split
            regions = part_regions(codes)
            areas_m2 = polygon_areas_m2(region_shapes(regions.labels, geobox), geobox.crs)
            merged = merge_fragments(regions, areas_m2, rules.min_area_m2, merge)
        regions = part_regions(merged)
        shapes = region_shapes(regions.labels, geobox)
        areas_m2 = polygon_areas_m2(shapes, geobox.crs)
    return gpd.GeoDataFrame(
        {
            "grade": regions.codes,
            "area_m2": areas_m2,
            "fragment": areas_m2 < rules.min_area_m2,
        },
        geometry=shapes,
        crs=str(geobox.crs),
    )


def _plain(grade: xr.DataArray | Codes, geobox: GeoBox) -> Codes:
    codes = np.asarray(grade, dtype=np.uint8)
    if codes.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got grades of shape {codes.shape}; needed the grid's {tuple(geobox.shape)}; give the "
            "grid the grades were made on"
        )
    if geobox.crs is None:
        raise MissingCRS("got a grid without CRS; areas need one; assign the CRS of the source")
    return codes


def region_shapes(labels: NDArray[np.int32], geobox: GeoBox) -> Geometries:
    """Outline regions 1..n, each connected along cell edges, in their order."""
    found = rasterio.features.shapes(
        labels, mask=labels > NODATA, connectivity=4, transform=geobox.affine
    )
    rings: list[NDArray[np.float64]] = []
    owners: list[int] = []
    for geometry, label in found:
        rings.extend(np.asarray(ring) for ring in geometry["coordinates"])
        owners.extend([int(label) - 1] * len(geometry["coordinates"]))
    if not rings:
        return np.empty(0, dtype=object)
    order = np.argsort(owners, kind="stable")
    ring_of = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    lines = np.asarray(shapely.linearrings(np.concatenate(rings), indices=ring_of))
    shapes = shapely.polygons(lines[order], indices=np.asarray(owners)[order])
    return np.asarray(shapes, dtype=object)


def patch_grade_by_overlap(patches: gpd.GeoDataFrame, grades: gpd.GeoDataFrame) -> pd.DataFrame:
    """Grade of each patch: the one with the largest area inside it.

    Parameters
    ----------
    patches : GeoDataFrame
        Polygons; their CRS decides the areas.
    grades : GeoDataFrame
        ``grade`` and geometry: of :func:`grade_polygons` or the authority's slope map; ground of
        grade 0 is unknown.

    Returns
    -------
    DataFrame
        Index of the patches; ``slope_grade`` (0 = no graded ground), ``grade_share`` (of the
        patch, of that grade), ``unknown_share`` (of the patch, without grade) and
        ``overlap_1_m2`` to ``overlap_5_m2`` on the ellipsoid.

    Raises
    ------
    MissingCRS
        If one of the layers has none.
    QuantityError
        If a grade is neither 0 nor one of ``codes.SlopeGrade``.

    Notes
    -----
    Domain study B10 and trap 5: a surveyed patch is not broken, the grade with the largest area
    wins; the mean slope is another measure, see :func:`patch_mean_slope`. The text is silent on
    equal areas; they go to the lower grade, as the merging of the slope map does (就低不就高).
    """
    if patches.crs is None or grades.crs is None:
        raise MissingCRS("got a layer without CRS; an overlay needs both; read with read_layer")
    _require_grades(grades["grade"])
    known = grades[grades["grade"] != NODATA]
    overlaps = _overlaps_m2(patches, known.to_crs(patches.crs))
    areas = polygon_areas_m2(np.asarray(patches.geometry.array, dtype=object), patches.crs)
    largest, graded = overlaps.max(axis=1), overlaps.sum(axis=1)
    tied = (overlaps > 0) & (overlaps >= largest[:, np.newaxis] - _TIE_M2)
    winner = tied.argmax(axis=1)
    area = np.where(areas > 0, areas, np.nan)
    return pd.DataFrame(
        {
            "slope_grade": np.where(largest > 0, winner + 1, NODATA).astype(np.uint8),
            "grade_share": np.clip(largest / area, 0.0, 1.0),
            "unknown_share": np.clip(1.0 - graded / area, 0.0, 1.0),
            **{f"overlap_{int(g)}_m2": overlaps[:, int(g) - 1] for g in SlopeGrade},
        },
        index=patches.index,
    )


def _require_grades(grade: pd.Series[Any]) -> None:
    strange = grade[~grade.isin([NODATA, *SlopeGrade])].unique().tolist()
    if strange:
        raise QuantityError(
            f"got slope grades {strange[:5]}; needed {min(SlopeGrade):d} to {max(SlopeGrade):d}, "
            f"or {NODATA} for unknown ground; translate the codes of the slope map"
        )


def _overlaps_m2(patches: gpd.GeoDataFrame, grades: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Area of each grade inside each patch; patch, grade."""
    own, theirs = (np.asarray(f.geometry.array, dtype=object) for f in (patches, grades))
    one, other = shapely.STRtree(theirs).query(own, predicate="intersects")
    pieces, owner = shapely.get_parts(
        shapely.intersection(own[one], theirs[other]), return_index=True
    )
    codes = grades["grade"].to_numpy(dtype=np.int64)
    areal = shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON
    pieces, owner = pieces[areal], owner[areal]
    flat = one[owner] * len(SlopeGrade) + codes[other[owner]] - 1
    areas = polygon_areas_m2(np.asarray(pieces, dtype=object), patches.crs)
    table = np.bincount(flat, weights=areas, minlength=len(patches) * len(SlopeGrade))
    return np.asarray(table.reshape(len(patches), len(SlopeGrade)), dtype=np.float64)


def patch_mean_slope(
    patches: gpd.GeoDataFrame, slope_deg: xr.DataArray | NDArray[Any], geobox: GeoBox
) -> pd.DataFrame:
    """Mean slope of each patch, every cell weighted by its part inside the patch.

    Parameters
    ----------
    patches : GeoDataFrame
        Polygons.
    slope_deg : DataArray or ndarray of float, shape (y, x)
        Degrees, NaN = unknown; computed here if lazy.
    geobox : GeoBox
        Projected grid of the slope.

    Returns
    -------
    DataFrame
        Index of the patches; ``slope_mean_deg`` (NaN where nothing is known) and
        ``unknown_share`` of the patch, which counts ground beyond the raster and is never filled.

    Raises
    ------
    GridMismatch, MissingCRS, QuantityError, UnsuitableCRS

    Notes
    -----
    Rule PBF-05, domain study A15.6: area-weighted mean of the continuous slope.
    """
    values = np.asarray(slope_deg)
    require_float(values.dtype, "slopes", "a mean slope")
    if values.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got slopes of shape {values.shape}; needed the grid's {tuple(geobox.shape)}; give "
            "the grid the slope was made on"
        )
    if patches.crs is None:
        raise MissingCRS("got patches without CRS; an overlay needs one; read with read_layer")
    covers = [cover_of(shape, patches.crs, geobox) for shape in patches.geometry]
    means = [weighted_mean(sample(values, cover, np.nan), cover.fraction) for cover in covers]
    return pd.DataFrame(
        means, columns=["slope_mean_deg", "unknown_share"], index=patches.index, dtype=np.float64
    )
