"""GeoPackages: written whole or not at all, digested over canonical rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely

from rs_monitor.errors import MissingCRS, ReadError
from rs_monitor.outputs.atomic import replacing
from rs_monitor.outputs.digest import canonical_json, crs_name, table_digest


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What one written layer holds.

    Attributes
    ----------
    rows : int
        Number of rows.
    crs : str
        Name of the CRS; empty for a table without geometry.
    content_digest : str
        See :func:`rs_monitor.outputs.digest.table_digest`.
    """

    rows: int
    crs: str
    content_digest: str


def write_layers(path: Path, layers: Mapping[str, pd.DataFrame]) -> dict[str, LayerRecord]:
    """Write a GeoPackage atomically.

    Parameters
    ----------
    path : Path
        Final name, ending in ``.gpkg``.
    layers : mapping of str to DataFrame or GeoDataFrame
        Layers in order; a plain DataFrame becomes a table without geometry. Lists and mappings in
        cells are stored as JSON text.

    Returns
    -------
    dict of str to LayerRecord
        Rows, CRS and content digest of each layer.

    Raises
    ------
    MissingCRS
        If a layer with geometry has no CRS.
    """
    prepared = {name: _storable(name, frame) for name, frame in layers.items()}
    with replacing(path) as temporary:
        for name, frame in prepared.items():
            _write_layer(temporary, name, frame)
    return {name: describe_layer(frame) for name, frame in prepared.items()}


def read_layers(path: Path) -> dict[str, pd.DataFrame]:
    """Read every layer of a GeoPackage, in file order.

    Raises
    ------
    ReadError
        If the file cannot be opened or read.
    """
    try:
        names = [str(name) for name, _ in pyogrio.list_layers(path)]
        return {name: pyogrio.read_dataframe(path, layer=name) for name in names}
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ReadError(
            f"{path.name}: got {error}; needed a readable GeoPackage; restore the file or run again"
        ) from error


def describe_layer(frame: pd.DataFrame) -> LayerRecord:
    """Rows, CRS and content digest of a table or layer."""
    crs = crs_name(frame.crs) if isinstance(frame, gpd.GeoDataFrame) else ""
    return LayerRecord(len(frame), crs, table_digest(frame))


def _storable(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Drop the index, flatten cells that no file format holds, insist on a CRS."""
    if isinstance(frame, gpd.GeoDataFrame) and frame.active_geometry_name is None:
        frame = pd.DataFrame(frame)
    spatial = isinstance(frame, gpd.GeoDataFrame)
    if spatial and frame.crs is None:
        raise MissingCRS(
            f"layer {name}: got geometry without CRS; needed the delivered CRS; call set_crs first"
        )
    stored = frame.reset_index(drop=True).copy()
    active = frame.active_geometry_name if spatial else None
    for column in stored.columns:
        if column != active and stored[column].dtype == object:
            stored[column] = _flat(stored[column])
    return stored


def _flat(column: pd.Series[Any]) -> pd.Series[Any]:
    values = [canonical_json(v) if _is_nested(v) else v for v in column]
    if all(v is None or (not isinstance(v, str) and pd.isna(v)) for v in values):
        return pd.Series([None] * len(values), index=column.index, dtype="str", name=column.name)
    plain = [str(v) if isinstance(v, str) else v for v in values]
    return pd.Series(plain, index=column.index, dtype=object, name=column.name).infer_objects()


def _is_nested(value: object) -> bool:
    nested = isinstance(value, Mapping | Sequence | AbstractSet | np.ndarray)
    return nested and not isinstance(value, str)


def _write_layer(path: Path, name: str, frame: pd.DataFrame) -> None:
    if not isinstance(frame, gpd.GeoDataFrame):
        pyogrio.write_dataframe(frame, path, layer=name, driver="GPKG", use_arrow=True)
        return
    pyogrio.write_dataframe(
        frame, path, layer=name, driver="GPKG", use_arrow=True, **_geometry_type(frame)
    )


def _geometry_type(frame: gpd.GeoDataFrame) -> dict[str, Any]:
    """Polygons are stored as multi-polygons, so that one layer has one type."""
    kinds = set(np.unique(shapely.get_type_id(frame.geometry.to_numpy()))) - {-1}
    polygons = {int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON)}
    if kinds <= polygons:
        return {"geometry_type": "MultiPolygon", "promote_to_multi": True}
    return {"geometry_type": "Unknown"} if len(kinds) > 1 else {}
