"""Content digests: equal content, equal digest, whatever the container."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import rasterio.crs
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel

_ROWS_AT_ONCE = 512
_METRE_DECIMALS = 6
_DEGREE_DECIMALS = 11


def file_sha256(path: Path) -> str:
    """SHA-256 of the bytes of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """SHA-256 of a text in UTF-8, as hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def fingerprint(obj: Any) -> str:
    """SHA-256 over the canonical JSON of a value.

    Parameters
    ----------
    obj : object
        Anything made of JSON values, tuples, sets, dates, enums, paths, numpy values, dataclasses
        and pydantic models.

    Returns
    -------
    str
        64 hex digits; equal for equal content, whatever the order of keys.

    Raises
    ------
    TypeError
        For a value that has no canonical form.
    """
    return text_sha256(canonical_json(obj))


json_digest = fingerprint


def canonical_json(obj: Any) -> str:
    """One spelling of a value: sorted keys, no spaces, NaN as text; see :func:`fingerprint`."""
    return json.dumps(
        plain(obj), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def plain(obj: Any) -> Any:
    """Turn a value into JSON types; see :func:`fingerprint` for what is understood."""
    if obj is None or isinstance(obj, bool):
        return obj
    if isinstance(obj, Enum):
        return plain(obj.value)
    if isinstance(obj, str | int):
        return obj
    if isinstance(obj, float):
        return _plain_float(obj)
    if isinstance(obj, np.generic | np.ndarray):
        return plain(obj.tolist())
    if isinstance(obj, dt.date | dt.datetime):
        return _iso(obj)
    if isinstance(obj, PurePath):
        return obj.as_posix()
    return _plain_container(obj)


def _plain_container(obj: Any) -> Any:
    if isinstance(obj, BaseModel):
        return plain(obj.model_dump(mode="json", by_alias=True))
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return {f.name: plain(getattr(obj, f.name)) for f in dataclasses.fields(obj)}
    if isinstance(obj, Mapping):
        return {str(plain(key)): plain(value) for key, value in obj.items()}
    if isinstance(obj, AbstractSet):
        return sorted((plain(value) for value in obj), key=repr)
    if isinstance(obj, Sequence):
        return [plain(value) for value in obj]
    raise TypeError(
        f"got a {type(obj).__name__}; needed JSON values, dates, enums, paths, numpy values or "
        "dataclasses; convert it first"
    )


def _plain_float(value: float) -> float | str:
    if math.isfinite(value):
        return value + 0.0
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _iso(value: dt.date) -> str:
    """Dates as days, times in UTC to the millisecond; a naive midnight counts as a day."""
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    if value.tzinfo is not None:
        return value.astimezone(dt.UTC).isoformat(timespec="milliseconds")
    midnight = value.time() == dt.time()
    return value.date().isoformat() if midnight else value.isoformat(timespec="milliseconds")


def crs_name(crs: Any) -> str:
    """Stable name of a CRS: its authority code, else its PROJ definition.

    Parameters
    ----------
    crs : CRS-like or None
        Anything pyproj or odc-geo understands.

    Returns
    -------
    str
        ``"EPSG:32651"``; a PROJ string where no authority knows it; ``""`` without a CRS.
    """
    if crs is None or crs == "":
        return ""
    text = crs if isinstance(crs, str) else str(crs)
    parsed = pyproj.CRS.from_user_input(text)
    authority = parsed.to_authority(min_confidence=70)
    if authority is not None:
        return ":".join(authority)
    return str(rasterio.crs.CRS.from_wkt(parsed.to_wkt()).to_proj4())


def raster_digest(
    data: NDArray[Any], geobox: GeoBox, band_names: Sequence[str], nodata: float | None
) -> str:
    """Digest of decoded pixels and their grid.

    Parameters
    ----------
    data : ndarray, shape (y, x) or (band, y, x)
        Pixel values; every NaN is the same, and so are 0.0 and -0.0.
    geobox : GeoBox
        Grid; the transform counts to ten significant digits.
    band_names : sequence of str
        One per band.
    nodata : float, optional
        Declared nodata value.

    Returns
    -------
    str
        64 hex digits, independent of compression, tiling and overviews.
    """
    bands = data[np.newaxis] if data.ndim == 2 else data
    head = {
        "shape": list(bands.shape),
        "dtype": bands.dtype.newbyteorder("=").name,
        "bands": list(band_names),
        "nodata": None if nodata is None else float(nodata),
        "crs": crs_name(geobox.crs),
        "transform": [f"{value + 0.0:.9e}" for value in tuple(geobox.affine)[:6]],
    }
    running = hashlib.sha256(canonical_json(head).encode("utf-8"))
    for band in bands:
        for start in range(0, band.shape[0], _ROWS_AT_ONCE):
            running.update(_canonical_pixels(band[start : start + _ROWS_AT_ONCE]).tobytes())
    return running.hexdigest()


def _canonical_pixels(rows: NDArray[Any]) -> NDArray[Any]:
    little = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<"))
    if little.dtype.kind != "f":
        return little
    unsigned = little + little.dtype.type(0)
    unsigned[np.isnan(unsigned)] = np.nan
    return np.ascontiguousarray(unsigned, dtype=rows.dtype.newbyteorder("<"))


def array_digest(array: NDArray[Any]) -> str:
    """Digest of shape, dtype and values of an array; see :func:`raster_digest` for the rules."""
    head = {"shape": list(array.shape), "dtype": array.dtype.newbyteorder("=").name}
    running = hashlib.sha256(canonical_json(head).encode("utf-8"))
    running.update(_canonical_pixels(np.atleast_1d(array)).tobytes())
    return running.hexdigest()


def table_digest(frame: pd.DataFrame, crs: Any = None) -> str:
    """Digest of a table or layer, independent of row order, column order and file format.

    Parameters
    ----------
    frame : DataFrame or GeoDataFrame
        Rows; lists and mappings count as their JSON text.
    crs : CRS-like, optional
        CRS of the coordinates; without it the frame's own.

    Returns
    -------
    str
        64 hex digits. Geometry counts in normal form, to 1e-6 m (1e-11 degrees); a one-part
        multi-geometry equals its part; missing values are all alike.
    """
    spatial = _has_geometry(frame)
    name = crs_name(crs if crs is not None else (frame.crs if spatial else None))
    columns = _canonical_columns(frame, name if spatial else "")
    head = canonical_json({"columns": sorted(columns), "crs": name, "rows": len(frame)})
    cells = [columns[column] for column in sorted(columns)]
    rows = sorted(canonical_json(row) for row in zip(*cells, strict=True))
    return text_sha256("\n".join([head, *rows]))


def _has_geometry(frame: pd.DataFrame) -> bool:
    return isinstance(frame, gpd.GeoDataFrame) and frame.active_geometry_name is not None


def _canonical_columns(frame: pd.DataFrame, crs: str) -> dict[str, list[Any]]:
    active = frame.active_geometry_name if isinstance(frame, gpd.GeoDataFrame) else None
    columns = {
        str(column): [cell_text(value) for value in frame[column]]
        for column in frame.columns
        if column != active
    }
    if active is not None:
        columns["geometry"] = _canonical_geometries(frame[active].to_numpy(), crs)
    return columns


def _canonical_geometries(geometries: NDArray[Any], crs: str) -> list[str | None]:
    degrees = bool(crs) and pyproj.CRS.from_user_input(crs).is_geographic
    decimals = _DEGREE_DECIMALS if degrees else _METRE_DECIMALS
    flat = shapely.force_2d(geometries)
    single = (shapely.get_type_id(flat) >= 4) & (shapely.get_num_geometries(flat) == 1)
    flat = np.where(single, shapely.get_geometry(flat, 0), flat)
    rounded = shapely.transform(flat, lambda xy: np.round(xy, decimals) + 0.0)
    return list(shapely.to_wkb(shapely.normalize(rounded), hex=True, byte_order=1))


def cell_text(value: Any) -> str | None:
    """One spelling of a table cell, the same before and after a trip through a file.

    Whole numbers are spelled alike whether stored as integer, float or boolean, because a
    column with gaps changes its type on the way.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping | Sequence | AbstractSet | np.ndarray):
        return canonical_json(value)
    if pd.isna(value):
        return None
    if isinstance(value, dt.date):
        return _iso(value)
    if isinstance(value, np.datetime64):
        return _iso(pd.Timestamp(value))
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float) and not number.is_integer():
        return f"{number:.12g}"
    return str(int(number)) if isinstance(number, int | float) else str(number)
