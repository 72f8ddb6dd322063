"""Readers of authority vectors: canonical fields, every mistake of a delivery at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from rs_monitor.authority.area import gauss_kruger_of, require_suitable_crs
from rs_monitor.authority.land_codes import check_code_system
from rs_monitor.authority.schemas import (
    AREA_SOURCE_SPELLINGS,
    LAYER_SCHEMAS,
    PERSONAL_FIELDS,
    FieldType,
    LayerField,
    LayerSchema,
)
from rs_monitor.codes import CodeSystem
from rs_monitor.errors import LayerError, MissingCRS

__all__ = ["LAYER_SCHEMAS", "LayerKind", "read_layer"]

LayerKind = Literal["land", "pbf", "redline", "udb", "zones", "permits", "claims"]

_LOG = logging.getLogger(__name__)
_DBF_NAME_LENGTH = 10
_SHOWN_ROWS = 5
_DATE = r"^(\d{4})(?:[-/.年](\d{1,2})[-/.月](\d{1,2})日?|(\d{2})(\d{2}))(?:[T ].*)?$"
_TEXT_ENCODINGS = ("UTF-8", "GB18030")


def read_layer(
    path: Path,
    layer: str | None,
    *,
    kind: LayerKind,
    code_system: str | None = None,
    id_field: str | None = None,
) -> gpd.GeoDataFrame:
    """Read one authority layer into canonical fields.

    Parameters
    ----------
    path : Path
        Shapefile, file geodatabase, GeoPackage or another vector file.
    layer : str, optional
        Layer inside the file; needed when it holds several and none is recognised by its name.
    kind : str
        Which schema of ``LAYER_SCHEMAS`` applies.
    code_system : str, optional
        ``survey3`` or ``guide2023``; required for ``land``.
    id_field : str, optional
        Delivered name of the id field, when it is none of the schema's.

    Returns
    -------
    GeoDataFrame
        Canonical columns first (absent optional ones are empty), further delivered columns
        after them, geometry last; rows and CRS as delivered. Dates are ``datetime64``. Where no
        id was delivered the row number stands in. ``attrs`` carries ``source``, ``code_system``
        and ``repaired`` (one line per geometry that had to be made valid).

    Raises
    ------
    MissingCRS, UnsuitableCRS
        Without a CRS; on Xi'an 1980 or Beijing 1954.
    LayerError
        Lists every mistake of the table.

    Notes
    -----
    Columns about persons (``PERSONAL_FIELDS``) are dropped. A shapefile without ``.cpg`` is
    read as UTF-8 when all its text is valid UTF-8, else as GB18030, which contains GBK.
    """
    schema = LAYER_SCHEMAS[kind]
    raw = _read(path, _choose_layer(path, layer, schema))
    _check_crs(raw, path)
    raw = raw.drop(columns=[c for c in raw.columns if str(c).upper() in PERSONAL_FIELDS])
    problems: list[str] = []
    frame = _canonical(raw, schema, id_field, problems)
    repaired = _repair(frame, schema, problems)
    system = _code_system(frame, schema, code_system, problems)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise LayerError(
            f"{path.name} as {kind} ({schema.zh}): {len(problems)} mistake(s)\n{lines}"
        )
    frame.attrs = {"source": path.name, "code_system": system, "repaired": repaired}
    return frame


def _choose_layer(path: Path, layer: str | None, schema: LayerSchema) -> str | None:
    if not path.exists():
        raise LayerError(f"got {path}; needed a vector file; check the path of the layer")
    try:
        names = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    except DataSourceError as error:
        raise LayerError(
            f"got {path.name}, which cannot be opened ({error}); needed a vector file; convert it "
            "to GeoPackage"
        ) from error
    if layer is not None or len(names) == 1:
        return layer
    known = [n for n in names if any(k.lower() in n.lower() for k in schema.layer_names)]
    if len(known) == 1:
        return known[0]
    raise LayerError(
        f"got {path.name} with layers {', '.join(names)}; needed the one for {schema.zh}; name it "
        "with 'layer'"
    )


def _read(path: Path, layer: str | None) -> gpd.GeoDataFrame:
    unlabelled = path.suffix.lower() == ".shp" and not any(
        path.with_suffix(suffix).exists() for suffix in (".cpg", ".CPG")
    )
    try:
        return _read_unlabelled(path) if unlabelled else _dataframe(path, layer, None)
    except (DataLayerError, DataSourceError) as error:
        raise LayerError(
            f"got layer {layer!r} of {path.name}, which cannot be read ({error}); needed an "
            "existing vector layer; check its name"
        ) from error


def _dataframe(path: Path, layer: str | None, encoding: str | None) -> gpd.GeoDataFrame:
    frame = pyogrio.read_dataframe(path, layer=layer, encoding=encoding)
    if not isinstance(frame, gpd.GeoDataFrame):
        raise LayerError(
            f"got {path.name} without geometry; needed a polygon layer; check the layer's name"
        )
    return frame


def _read_unlabelled(path: Path) -> gpd.GeoDataFrame:
    for encoding in _TEXT_ENCODINGS:
        try:
            frame = _dataframe(path, None, encoding)
        except UnicodeDecodeError:
            continue
        _LOG.info("%s has no .cpg; its text is read as %s", path.name, encoding)
        return frame
    raise LayerError(
        f"got {path.name} without .cpg and with text in neither {' nor '.join(_TEXT_ENCODINGS)}; "
        "needed a known encoding; add a .cpg file that names it"
    )


def _check_crs(frame: gpd.GeoDataFrame, path: Path) -> None:
    if frame.crs is None:
        raise MissingCRS(
            f"got {path.name} without a coordinate reference system; needed the delivered one; "
            f"add the .prj file{_crs_hint(frame)}"
        )
    crs = require_suitable_crs(frame.crs, path.name)
    system = gauss_kruger_of(crs)
    if system is not None and not frame.empty:
        prefix = int(np.floor(np.nanmin(frame.geometry.bounds["minx"]) / 1e6))
        if prefix != (system.zone or 0):
            raise LayerError(
                f"got {path.name} in {crs.name} with eastings of prefix {prefix}; needed prefix "
                f"{system.zone or 0}; correct its .prj{_crs_hint(frame)}"
            )


def _crs_hint(frame: gpd.GeoDataFrame) -> str:
    """Guess from coordinate ranges; only ever a hint for a person."""
    if frame.empty or not np.isfinite(frame.total_bounds).all():
        return ""
    left, bottom, right, top = frame.total_bounds
    zone = int(left // 1e6)
    if 25 <= zone <= 45:
        return f" (the eastings look like zone {zone}, EPSG:{4488 + zone}; confirm)"
    if 73 <= left <= right <= 136 and 3 <= bottom <= top <= 54:
        return " (the coordinates look like degrees, EPSG:4490; confirm)"
    return ""


def _canonical(
    raw: gpd.GeoDataFrame, schema: LayerSchema, id_field: str | None, problems: list[str]
) -> gpd.GeoDataFrame:
    if id_field not in {None, schema.fields[0].name, *raw.columns}:
        problems.append(f"{id_field}: no such field; it was named as the id; check its spelling")
    sources = {f.name: _source_column(raw, schema, f, id_field) for f in schema.fields}
    columns: dict[str, Any] = {}
    for field in schema.fields:
        source = sources[field.name]
        if source is None:
            columns[field.name] = _absent(raw, schema, field, problems)
        else:
            columns[field.name] = _converted(raw[source], field, problems)
    _check_ids(columns[schema.fields[0].name], schema, problems)
    used = {*sources.values(), raw.geometry.name, *columns}
    extras = {str(c): raw[c] for c in raw.columns if c not in used}
    table = pd.DataFrame({**columns, **extras}, index=raw.index)
    geometry = gpd.GeoSeries(shapely.force_2d(raw.geometry.array), index=raw.index, crs=raw.crs)
    return gpd.GeoDataFrame(table, geometry=geometry).reset_index(drop=True)


def _source_column(
    raw: gpd.GeoDataFrame, schema: LayerSchema, field: LayerField, id_field: str | None
) -> str | None:
    names = [field.name, *field.aliases]
    if field is schema.fields[0] and id_field is not None:
        names = [id_field, *names]
    delivered = {str(c).lower(): str(c) for c in raw.columns if c != raw.geometry.name}
    for name in [*names, *(name[:_DBF_NAME_LENGTH] for name in names)]:
        if name.lower() in delivered:
            return delivered[name.lower()]
    return None


def _absent(
    raw: gpd.GeoDataFrame, schema: LayerSchema, field: LayerField, problems: list[str]
) -> pd.Series[Any]:
    if field.column:
        problems.append(
            f"{field.name}: no such field; needed one of "
            f"{', '.join([field.name, *field.aliases])}; add it or rename the delivered field"
        )
    if field is schema.fields[0]:
        return pd.Series([f"row-{i}" for i in range(1, len(raw) + 1)], index=raw.index)
    empty = {
        FieldType.NUMBER: "float64",
        FieldType.YEAR: "Int64",
        FieldType.DATE: "datetime64[ms]",
    }
    return pd.Series(None, index=raw.index, dtype=empty.get(field.type, "str"))


def _converted(values: pd.Series[Any], field: LayerField, problems: list[str]) -> pd.Series[Any]:
    if field.type is FieldType.CODE and pd.api.types.is_numeric_dtype(values):
        problems.append(
            f"{field.name}: got numbers in {values.name}; codes are text with leading zeros; "
            "export the field as text"
        )
    readers = {
        FieldType.NUMBER: _numbers,
        FieldType.YEAR: _years,
        FieldType.DATE: _dates,
        FieldType.AREA_SOURCE: _area_sources,
    }
    text = _text(values)
    result = readers[field.type](values, text) if field.type in readers else text
    unread = result.isna() & text.notna()
    _complain(unread, field, f"values that are no {field.type.replace('_', ' ')}", text, problems)
    if field.value:
        _complain(text.isna(), field, "rows without a value", text, problems)
    if field.positive:
        _complain(result <= 0, field, "values not above zero", text, problems)
    return result


def _complain(
    wrong: pd.Series[Any], field: LayerField, what: str, text: pd.Series[Any], problems: list[str]
) -> None:
    rows = np.flatnonzero(wrong.fillna(False).to_numpy(dtype=bool))
    if rows.size:
        shown = ", ".join(_row(i, text) for i in rows[:_SHOWN_ROWS])
        more = ", ..." if rows.size > _SHOWN_ROWS else ""
        problems.append(f"{field.name}: {rows.size} {what}: {shown}{more}")


def _row(i: int, text: pd.Series[Any]) -> str:
    value = text.iloc[i]
    return f"row {i + 1}" if pd.isna(value) else f"row {i + 1} ({value})"


def _text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Trimmed text; blank is missing, whole numbers lose their decimals."""
    if pd.api.types.is_datetime64_any_dtype(values):
        days: pd.Series[Any] = values.dt.strftime("%Y-%m-%d").astype("str")
        return days
    plain = [None if pd.isna(v) else _plain(v) for v in values]
    return pd.Series([v or None for v in plain], index=values.index, dtype="str")


def _plain(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _numbers(values: pd.Series[Any], text: pd.Series[Any]) -> pd.Series[Any]:
    source = values if pd.api.types.is_numeric_dtype(values) else text
    numbers: pd.Series[Any] = pd.to_numeric(source, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _years(values: pd.Series[Any], text: pd.Series[Any]) -> pd.Series[Any]:
    numbers = _numbers(values, text)
    years: pd.Series[Any] = numbers.where(numbers == np.floor(numbers)).astype("Int64")
    return years


def _dates(values: pd.Series[Any], text: pd.Series[Any]) -> pd.Series[Any]:
    """Calendar days written as 2024-05-01, 2024/5/1, 2024年5月1日 or 20240501."""
    if pd.api.types.is_datetime64_any_dtype(values):
        days: pd.Series[Any] = values.dt.tz_localize(None).dt.normalize()
        return days.astype("datetime64[ms]")
    parts = text.str.extract(_DATE)
    month, day = parts[1].fillna(parts[3]).str.zfill(2), parts[2].fillna(parts[4]).str.zfill(2)
    iso = parts[0] + "-" + month + "-" + day
    return pd.to_datetime(iso, format="%Y-%m-%d", errors="coerce").astype("datetime64[ms]")


def _area_sources(values: pd.Series[Any], text: pd.Series[Any]) -> pd.Series[Any]:
    known = [None if pd.isna(v) else AREA_SOURCE_SPELLINGS.get(v.lower()) for v in text]
    plain = [None if source is None else source.value for source in known]
    return pd.Series(plain, index=values.index, dtype="str")


def _check_ids(ids: pd.Series[Any], schema: LayerSchema, problems: list[str]) -> None:
    if not schema.unique_id:
        return
    repeated = ids[ids.notna() & ids.duplicated()].unique()
    if len(repeated):
        shown = ", ".join(str(i) for i in repeated[:_SHOWN_ROWS])
        problems.append(
            f"{schema.fields[0].name}: {len(repeated)} id(s) occur more than once: {shown}; needed "
            "one row per id"
        )


def _repair(frame: gpd.GeoDataFrame, schema: LayerSchema, problems: list[str]) -> list[str]:
    """Make invalid polygons valid in place; one line per repaired row."""
    ids = frame[schema.fields[0].name]
    geometries = np.array(frame.geometry.array, dtype=object)
    wrong = [i for i, g in enumerate(geometries) if g is None or g.is_empty or not _areal(g)]
    problems += _geometry_problem(wrong, "missing, empty or not polygons")
    invalid = [i for i in _invalid(geometries) if i not in set(wrong)]
    lines = [f"{ids.iloc[i]}: {shapely.is_valid_reason(geometries[i])}" for i in invalid]
    for i in invalid:
        geometries[i] = shapely.make_valid(geometries[i], method="structure", keep_collapsed=False)
    collapsed = [i for i in invalid if geometries[i].is_empty]
    problems += _geometry_problem(collapsed, "without area once made valid")
    frame["geometry"] = gpd.GeoSeries(geometries, crs=frame.crs)
    for line in lines:
        _LOG.warning("geometry made valid: %s", line)
    return lines


def _areal(geometry: shapely.Geometry) -> bool:
    return isinstance(geometry, shapely.Polygon | shapely.MultiPolygon)


def _invalid(geometries: NDArray[np.object_]) -> list[int]:
    return [int(i) for i in np.flatnonzero(~shapely.is_valid(geometries))]


def _geometry_problem(rows: list[int], what: str) -> list[str]:
    if not rows:
        return []
    shown = ", ".join(f"row {i + 1}" for i in rows[:_SHOWN_ROWS])
    return [f"geometry: {len(rows)} {what}: {shown}; needed polygons with an area"]


def _code_system(
    frame: gpd.GeoDataFrame, schema: LayerSchema, given: str | None, problems: list[str]
) -> str | None:
    known = [system.value for system in CodeSystem]
    if given is None or given not in known:
        if schema.coded or given is not None:
            problems.append(
                f"code_system: got {given}; needed one of {', '.join(known)}, for their codes "
                "collide; take it from the delivery's metadata"
            )
        return None
    if {"land_code", "land_name"} <= set(frame.columns) and frame["land_name"].notna().any():
        try:
            check_code_system(frame, CodeSystem(given))
        except LayerError as error:
            problems.append(f"land_code: {error}")
    return given
