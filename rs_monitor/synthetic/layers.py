"""Authority layers and truth tables of the synthetic township as GeoDataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from odc.geo.geobox import GeoBox
from rasterio import features
from shapely.geometry.base import BaseGeometry

from rs_monitor.grid import CGCS2000
from rs_monitor.synthetic.layout import Parcel

MAP_CRS: Final = "EPSG:32650"
LAYER_CRS: Final = "EPSG:4548"
SURVEY_YEAR: Final = 2023
ARABLE: Final = ("0101", "0102", "0103")
_TOWNSHIP: Final = "340199101"
_GRADE_EDGES_DEG: Final = (2.0, 6.0, 15.0, 25.0)
_STATE_OWNED: Final = ("0601", "0701", "1003", "1004", "1101", "0602")
LAND_NAMES: Final = {
    "0101": "水田",
    "0102": "水浇地",
    "0103": "旱地",
    "0201": "果园",
    "0202": "茶园",
    "0301": "乔木林地",
    "0302": "竹林地",
    "0305": "灌木林地",
    "0307": "其他林地",
    "0404": "其他草地",
    "0601": "工业用地",
    "0602": "采矿用地",
    "0701": "城镇住宅用地",
    "0702": "农村宅基地",
    "1003": "公路用地",
    "1004": "城镇村道路用地",
    "1006": "农村道路",
    "1101": "河流水面",
    "1104": "坑塘水面",
    "1201": "空闲地",
    "1202": "设施农用地",
    "1206": "裸土地",
}
_CONFUSED: Final = {
    "0101": "0103",
    "0102": "0103",
    "0103": "0404",
    "0201": "0103",
    "0202": "0305",
    "0301": "0201",
    "0302": "0301",
    "0305": "0404",
    "0307": "0301",
    "0404": "0103",
    "1104": "0101",
    "1202": "0102",
    "1206": "0404",
}


def delivered(geometries: Sequence[BaseGeometry]) -> gpd.GeoSeries:
    """Bring outlines from the map grid to the delivered CRS, rounded to 0.1 mm.

    Parameters
    ----------
    geometries : sequence of shapely.Geometry
        Outlines in the UTM zone of the township, metres.

    Returns
    -------
    GeoSeries
        The same outlines in EPSG:4548.
    """
    series = gpd.GeoSeries(list(geometries), crs=MAP_CRS).to_crs(LAYER_CRS)
    rounded = shapely.transform(series.to_numpy(), lambda points: np.round(points, 4))
    return gpd.GeoSeries(rounded, crs=LAYER_CRS)


def official_area_m2(series: gpd.GeoSeries) -> npt.NDArray[np.float64]:
    """Areas on the CGCS2000 ellipsoid, square metres rounded to 0.01.

    Parameters
    ----------
    series : GeoSeries
        Polygons with a CRS.

    Returns
    -------
    ndarray, shape (n,), float64
        Geodesic areas.
    """
    lonlat = series.to_crs("EPSG:4490")
    areas = [abs(float(CGCS2000.geometry_area_perimeter(shape)[0])) for shape in lonlat]
    return np.asarray([round(area, 2) for area in areas], dtype=np.float64)


def survey_codes(
    rng: np.random.Generator, parcels: Sequence[Parcel], kept: npt.NDArray[np.bool_]
) -> list[str]:
    """Return the codes the synthetic survey recorded: about 2 % are wrong.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the mistakes.
    parcels : sequence of Parcel
        True classes.
    kept : ndarray, shape (n,), bool
        Parcels whose code must be right.

    Returns
    -------
    list of str
        Survey codes.
    """
    wrong = (rng.random(len(parcels)) < 0.023) & ~kept
    return [
        _CONFUSED.get(parcel.code, parcel.code) if bad else parcel.code
        for parcel, bad in zip(parcels, wrong, strict=True)
    ]


def land_survey(
    parcels: Sequence[Parcel], codes: Sequence[str], geobox: GeoBox, slope: npt.NDArray[np.float32]
) -> gpd.GeoDataFrame:
    """Build the synthetic land survey layer (DLTB).

    Parameters
    ----------
    parcels : sequence of Parcel
        Parcels that fill the township.
    codes : sequence of str
        Recorded survey codes.
    geobox : GeoBox
        Grid of the slope.
    slope : ndarray, shape (y, x), float32
        Slope in degrees.

    Returns
    -------
    GeoDataFrame
        One row per parcel with the fields of the third survey.
    """
    geometry = delivered([p.geometry for p in parcels])
    area = official_area_m2(geometry)
    village = _villages(parcels, geobox)
    grades = _slope_grades(parcels, geobox, slope)
    columns: dict[str, Any] = {
        "BSM": [f"{_TOWNSHIP}{i + 1:09d}" for i in range(len(parcels))],
        "DLBM": list(codes),
        "DLMC": [LAND_NAMES[code] for code in codes],
        "QSXZ": ["20" if code in _STATE_OWNED else "30" for code in codes],
        "ZLDWDM": village,
        "TBMJ": area,
        "TBDLMJ": area,
        "GDPDJB": [
            grade if code in ARABLE else None for grade, code in zip(grades, codes, strict=True)
        ],
        "SJNF": np.full(len(parcels), SURVEY_YEAR, dtype=np.int32),
    }
    return gpd.GeoDataFrame(columns, geometry=geometry, crs=LAYER_CRS)


def basic_farmland(
    survey: gpd.GeoDataFrame, rng: np.random.Generator, excluded: BaseGeometry
) -> gpd.GeoDataFrame:
    """Choose the synthetic permanent basic farmland: most arable parcels away from the town."""
    arable = survey["DLBM"].isin(ARABLE).to_numpy()
    near_town = survey.geometry.intersects(excluded).to_numpy()
    chosen = arable & ~near_town & (rng.random(len(survey)) < 0.72)
    part = survey.loc[chosen].reset_index(drop=True)
    return gpd.GeoDataFrame(
        {
            "YJJBNTTBBH": [f"YN{i + 1:06d}" for i in range(len(part))],
            "DLBM": part["DLBM"].to_list(),
            "YJJBNTMJ": part["TBMJ"].to_numpy(),
        },
        geometry=part.geometry.to_numpy(),
        crs=LAYER_CRS,
    )


def red_line(upper: BaseGeometry, top_m: float, size_m: float) -> gpd.GeoDataFrame:
    """Draw the synthetic ecological red line: two parts of the upper hills."""
    core = upper.buffer(-0.03 * size_m)
    west, _, east, _ = upper.bounds
    bands = [
        shapely.box(west, top_m - 0.36 * size_m, west + 0.72 * (east - west), top_m),
        shapely.box(west, top_m - size_m, west + 0.6 * (east - west), top_m - 0.68 * size_m),
    ]
    parts = [core.intersection(band).buffer(-20).buffer(20) for band in bands]
    return gpd.GeoDataFrame(
        {
            "HXBM": ["HX340199001", "HX340199002"],
            "HXMC": ["合成北岭水源涵养红线", "合成南岭水土保持红线"],
        },
        geometry=delivered(parts),
        crs=LAYER_CRS,
    )


def urban_boundary(town: shapely.Polygon) -> gpd.GeoDataFrame:
    """Draw the synthetic urban development boundary around the town."""
    shape = town.buffer(45.0, join_style="mitre")
    return gpd.GeoDataFrame(
        {"GHFQDM": ["100"], "GHFQMC": ["城镇集中建设区"]},
        geometry=delivered([shape]),
        crs=LAYER_CRS,
    )


def zone_layer(zones: Sequence[shapely.Polygon]) -> gpd.GeoDataFrame:
    """Build the layer of the synthetic remediation zones."""
    return gpd.GeoDataFrame(
        {
            "zone_id": ["Z01", "Z02"],
            "name": ["合成北片整治区", "合成南片整治区"],
            "plan_id": ["SYN-PLAN-2024-01", "SYN-PLAN-2024-02"],
            "plan_approved_on": pd.to_datetime(["2024-06-28", "2024-07-15"]),
        },
        geometry=delivered(zones),
        crs=LAYER_CRS,
    )


def _villages(parcels: Sequence[Parcel], geobox: GeoBox) -> list[str]:
    west, south, east, north = geobox.boundingbox.bbox
    codes = []
    for parcel in parcels:
        point = parcel.geometry.centroid
        quarter = 2 * int(point.y < (south + north) / 2) + int(point.x > (west + east) / 2)
        codes.append(f"{_TOWNSHIP}{201 + quarter:03d}0000000")
    return codes


def _slope_grades(
    parcels: Sequence[Parcel], geobox: GeoBox, slope: npt.NDArray[np.float32]
) -> list[str]:
    """Grade with the largest area in each parcel; a tie goes to the gentler grade."""
    shape = (geobox.shape[0], geobox.shape[1])
    numbers = features.rasterize(
        [(p.geometry, i + 1) for i, p in enumerate(parcels)],
        out_shape=shape,
        transform=geobox.affine,
        dtype=np.int32,
    )
    grade = np.searchsorted(_GRADE_EDGES_DEG, slope, side="left")
    counts = np.zeros((len(parcels) + 1, len(_GRADE_EDGES_DEG) + 1), dtype=np.int64)
    np.add.at(counts, (numbers.ravel(), grade.ravel()), 1)
    for i in np.flatnonzero(counts[1:].sum(axis=1) == 0).tolist():
        point = parcels[i].geometry.representative_point()
        column, row = (int(v) for v in ~geobox.affine @ (point.x, point.y))
        counts[i + 1, grade[min(row, shape[0] - 1), min(column, shape[1] - 1)]] = 1
    return [str(best + 1) for best in counts[1:].argmax(axis=1)]
