"""Lazy cubes: found scenes on one grid, nothing read until something is computed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pyproj
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.enums import Resampling

from rs_monitor.codes import Quantity
from rs_monitor.errors import (
    CatalogError,
    ConfigError,
    MissingCRS,
    NoObservations,
    QuantityError,
    ReadError,
)
from rs_monitor.imagery.catalog import SceneItem, format_utc
from rs_monitor.imagery.chunks import Encoding, lazy_band
from rs_monitor.imagery.encodings import common_encoding, encoded, header
from rs_monitor.imagery.header import RefusedFile, read_header_of
from rs_monitor.imagery.jobs import Source, Span
from rs_monitor.imagery.naming import CATEGORICAL

Shift = tuple[float, float]
"""Rows and columns of the target grid."""

UNMOVED: Shift = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Look:
    """Scenes of one solar day, platform and calibration: one step of the time axis."""

    when: dt.datetime
    items: tuple[SceneItem, ...]


def load_cube(
    items: Sequence[SceneItem],
    *,
    geobox: GeoBox,
    bands: Sequence[str],
    resampling: str = "bilinear",
    chunk_px: int = 2048,
    window: tuple[slice, slice] | None = None,
    categorical: Collection[str] = CATEGORICAL,
    shifts: Mapping[str, Shift] | None = None,
) -> xr.Dataset:
    """Describe the cube of some scenes on a grid; pixels are read when it is computed.

    Parameters
    ----------
    items : sequence of SceneItem
        Scenes; the order does not matter.
    geobox : GeoBox
        Target grid. A source on the same grid is read plainly, any other is warped.
    bands : sequence of str
        Band names; every scene must have them.
    resampling : str
        Method for warped bands (GDAL name); bands of codes are always ``nearest``.
    chunk_px : int
        Edge of a dask chunk in pixels.
    window : tuple of slice, optional
        Rows and columns of ``geobox``: only that part is loaded, with the values a full load has.
    categorical : collection of str
        Further bands of codes, beside those the items mark themselves.
    shifts : mapping of str to (float, float), optional
        By item id the rows and columns of ``geobox`` by which a scene's content lies displaced;
        pixel (row, col) of the cube takes the scene at (row + rows, col + columns). A scene that
        is not named, or with zeros, is read where its header says.

    Returns
    -------
    xr.Dataset
        Dims ``time, y, x``; one variable per band in the dtype of its sources (float32, NaN where
        they disagree about dtype or nodata, or a scene without nodata is shifted), with attrs
        ``nodata``, where floats hold integers without scale their ``unscaled_dtype`` and, where
        it is the same for all times, ``scale`` and ``offset``. Coords ``item_ids`` (ids joined
        by ``;``), ``platform`` and per band ``<band>_scale`` and ``<band>_offset`` along time.
        Attribute ``quantity`` is ``dn``.

    Raises
    ------
    NoObservations
        Without items.
    CatalogError
        If a scene lacks a band or declares a nodata value its dtype cannot hold.
    ConfigError
        If the resampling, the window or a shift cannot be used.
    ReadError
        When computed: a file that cannot be read after every retry, or ends inside the grid
        although nothing in the band's dtype could say "not seen".

    Notes
    -----
    Scenes of one solar day and platform form one time step: the first valid value in the order of
    datetime and id. Scenes that differ in scale or offset are never merged.
    """
    _check_request(items, geobox, bands, resampling)
    moved = _checked_shifts(shifts or {})
    ordered = sorted(items, key=lambda item: (item.datetime, item.id))
    looks = _looks(ordered, bands, geobox)
    span = _span(geobox, window)
    variables = {
        name: _variable(name, looks, geobox, span, chunk_px, resampling, categorical, moved)
        for name in bands
    }
    part = geobox[span.y0 : span.y1, span.x0 : span.x1]
    coords: dict[Any, Any] = dict(xr_coords(part, dims=("y", "x")))
    coords |= _time_coords(looks, bands)
    return xr.Dataset(variables, coords=coords, attrs={"quantity": str(Quantity.DN)})


def count_looks(items: Sequence[SceneItem], *, geobox: GeoBox, bands: Sequence[str]) -> int:
    """Count the time steps that the cube of some scenes has; nothing is read.

    Parameters
    ----------
    items, geobox, bands
        As in :func:`load_cube`.

    Returns
    -------
    int
    """
    return len(_looks(items, bands, geobox))


def dem_reaches(path: Path, geobox: GeoBox) -> bool:
    """Tell whether a local elevation file reaches a grid; only its header is read.

    Parameters
    ----------
    path : Path
    geobox : GeoBox

    Returns
    -------
    bool
        Where both meet the file may still have holes.

    Raises
    ------
    ReadError
        If the file has no CRS or cannot be opened.
    """
    try:
        found = read_header_of(path, path.name)
    except RefusedFile as error:
        raise ReadError(
            f"{path}: got elevation that {error}; needed a raster with a CRS"
        ) from error
    extent = GeoBox(found.shape, Affine(*found.transform[:6]), found.crs).geographic_extent
    return bool(extent.geom.intersects(geobox.geographic_extent.geom))


def mosaic_dem(
    items: Sequence[SceneItem],
    *,
    geobox: GeoBox,
    window: tuple[slice, slice] | None = None,
) -> xr.DataArray:
    """Describe elevation from the DEM items of a catalogue on a grid; read when computed.

    Parameters
    ----------
    items : sequence of SceneItem
        With a band ``dem``, heights in metres; where they overlap the first one counts.
    geobox : GeoBox
        Target grid.
    window : tuple of slice, optional
        Rows and columns of ``geobox`` to load.

    Returns
    -------
    xr.DataArray
        As :func:`load_dem`.
    """
    cube = load_cube(items, geobox=geobox, bands=["dem"], window=window)
    heights = [
        cube["dem"]
        .isel(time=index)
        .astype("float32")
        .where(valid_mask(cube["dem"]).isel(time=index))
        for index in range(cube.sizes["time"])
    ]
    first = heights[0]
    for other in heights[1:]:
        first = first.fillna(other)
    attrs = {"units": "m", "nodata": float("nan"), "grid_mapping": "spatial_ref"}
    return first.drop_vars(set(first.coords) - {"y", "x", "spatial_ref"}).assign_attrs(attrs)


def load_dem(
    path: Path,
    *,
    geobox: GeoBox,
    window: tuple[slice, slice] | None = None,
    resampling: str = "bilinear",
    chunk_px: int = 2048,
) -> xr.DataArray:
    """Describe elevation from a local file on a grid; read when computed.

    Parameters
    ----------
    path : Path
        Single-band raster of heights in metres.
    geobox : GeoBox
        Target grid.
    window : tuple of slice, optional
        Rows and columns of ``geobox`` to load.
    resampling : str
        Method where the grids differ.
    chunk_px : int
        Edge of a dask chunk in pixels.

    Returns
    -------
    xr.DataArray
        float32, dims ``y, x``, NaN where there is no height, attrs ``units`` = m. The vertical
        datum is not in the file: the caller records it.

    Raises
    ------
    ReadError
        If the file cannot be opened.
    """
    _check_geobox(geobox)
    _, nodata = header(str(path), 1, path.name)
    span = _span(geobox, window)
    source = Source(path.name, "dem", str(path), 1, nodata)
    encoding = Encoding("float32", float("nan"))
    data = lazy_band("dem", [[source]], encoding, geobox, span, chunk_px, resampling)[0]
    part = geobox[span.y0 : span.y1, span.x0 : span.x1]
    coords = xr_coords(part, dims=("y", "x"))
    attrs = {"units": "m", "nodata": float("nan"), "grid_mapping": "spatial_ref"}
    return xr.DataArray(data, dims=("y", "x"), coords=coords, attrs=attrs, name="dem")


def to_reflectance(cube: xr.Dataset, bands: Sequence[str]) -> xr.Dataset:
    """Turn raw numbers into reflectance, lazily.

    Parameters
    ----------
    cube : xr.Dataset
        As from :func:`load_cube`.
    bands : sequence of str
        Bands to turn; other variables stay as they are.

    Returns
    -------
    xr.Dataset
        float32 0-1, NaN = not seen, attribute ``quantity`` = ``reflectance``.

    Raises
    ------
    QuantityError
        If the cube is not ``dn``, or a band of integers states no scale.
    """
    got = cube.attrs.get("quantity")
    if got != Quantity.DN:
        raise QuantityError(f"got a cube of {got}; needed dn; reflectance is computed once only")
    out = cube.copy()
    for name in bands:
        out[name] = _reflectance(cube, name)
        out = out.drop_vars([f"{name}_scale", f"{name}_offset"])
    out.attrs = {**cube.attrs, "quantity": str(Quantity.REFLECTANCE)}
    return out


def _reflectance(cube: xr.Dataset, name: str) -> xr.DataArray:
    band = cube[name]
    scale, offset = cube[f"{name}_scale"], cube[f"{name}_offset"]
    if stores_integers(band) and bool((scale == 1).any()):
        which = str(cube["item_ids"].values[np.argmax(scale.values == 1)])
        held = band.attrs.get("unscaled_dtype", band.dtype)
        raise QuantityError(
            f"band {name} of item {which} holds {held} without a reflectance scale; needed "
            "scale and offset; declare them in the side table of the index or use quantity = 'dn'"
        )
    plain_scale = scale.astype("float32").drop_vars(scale.coords)
    plain_offset = offset.astype("float32").drop_vars(offset.coords)
    value = band.astype("float32") * plain_scale + plain_offset
    value = value.where(valid_mask(band)).astype("float32")
    value.attrs = {"nodata": float("nan"), "units": "1", "grid_mapping": "spatial_ref"}
    return value


def stores_integers(band: xr.DataArray) -> bool:
    """Whether files hold integers, of which a cube in floats names those without scale."""
    return band.dtype.kind in "iu" or "unscaled_dtype" in band.attrs


def valid_mask(band: xr.DataArray) -> xr.DataArray:
    """Where a band of a cube was seen: neither its nodata value nor NaN; lazy bool."""
    valid: xr.DataArray = band.notnull()
    nodata = band.attrs.get("nodata")
    if nodata is not None and not np.isnan(nodata):
        valid &= band != nodata
    valid.attrs = {}
    return valid


def _check_geobox(geobox: GeoBox) -> None:
    if geobox.crs is None:
        raise MissingCRS("got a grid without CRS; loading needs one; assign the zone's CRS")


def _check_request(
    items: Sequence[SceneItem], geobox: GeoBox, bands: Sequence[str], resampling: str
) -> None:
    _check_geobox(geobox)
    if not items:
        raise NoObservations("got no scenes; at least one is needed; widen the search")
    if resampling not in Resampling.__members__:
        raise ConfigError(
            "resampling", [f"{resampling!r} is unknown; use nearest, bilinear, cubic"]
        )
    for item in items:
        lacking = [name for name in bands if name not in item.bands]
        if lacking:
            raise CatalogError(
                f"item {item.id} lacks {', '.join(lacking)}; needed {', '.join(bands)}; it has "
                f"{', '.join(item.bands)}"
            )


def _checked_shifts(shifts: Mapping[str, Shift]) -> dict[str, Shift]:
    wrong = [f"{i}: {s}" for i, s in shifts.items() if not np.isfinite(s).all() or len(s) != 2]
    if wrong:
        raise ConfigError("shifts", [f"{line}; needed rows and columns" for line in sorted(wrong)])
    # plain floats and no -0.0: the same shift must give the same keys
    return {
        item_id: (float(rows) + 0.0, float(cols) + 0.0) for item_id, (rows, cols) in shifts.items()
    }


def _span(geobox: GeoBox, window: tuple[slice, slice] | None) -> Span:
    rows, cols = window or (slice(None), slice(None))
    y0, y1, y_step = rows.indices(geobox.shape.y)
    x0, x1, x_step = cols.indices(geobox.shape.x)
    if (y_step, x_step) != (1, 1) or y1 <= y0 or x1 <= x0:
        raise ConfigError("window", [f"{rows}, {cols}: empty or not contiguous on {geobox.shape}"])
    return Span(y0, y1, x0, x1)


def _looks(items: Sequence[SceneItem], bands: Sequence[str], geobox: GeoBox) -> list[_Look]:
    """Group by solar day at the centre of the grid, platform and calibration."""
    shift = dt.timedelta(hours=_centre_longitude(geobox) / 15)
    groups: dict[tuple[Any, ...], list[SceneItem]] = {}
    for item in items:
        calibration = tuple((item.bands[n].scale, item.bands[n].offset) for n in bands)
        day = (item.datetime + shift).date()
        groups.setdefault((day, item.platform, calibration), []).append(item)
    looks = [_Look(group[0].datetime, tuple(group)) for group in groups.values()]
    return sorted(looks, key=lambda look: (look.when, look.items[0].id))


def _centre_longitude(geobox: GeoBox) -> float:
    rows, cols = geobox.shape
    x, y = geobox.affine @ (cols / 2, rows / 2)
    to_degrees = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    return float(to_degrees.transform(x, y)[0])


def _time_coords(looks: Sequence[_Look], bands: Sequence[str]) -> dict[str, Any]:
    stamps = [format_utc(look.when).removesuffix("Z") for look in looks]
    coords: dict[str, Any] = {
        "time": np.array(stamps, dtype="datetime64[ns]"),
        "item_ids": ("time", np.array([";".join(i.id for i in look.items) for look in looks])),
        "platform": ("time", np.array([look.items[0].platform for look in looks])),
    }
    for name in bands:
        firsts = [look.items[0].bands[name] for look in looks]
        coords[f"{name}_scale"] = ("time", np.array([band.scale for band in firsts]))
        coords[f"{name}_offset"] = ("time", np.array([band.offset for band in firsts]))
    return coords


def _variable(
    name: str,
    looks: Sequence[_Look],
    geobox: GeoBox,
    span: Span,
    chunk_px: int,
    resampling: str,
    categorical: Collection[str],
    shifts: Mapping[str, Shift],
) -> tuple[tuple[str, str, str], da.Array, dict[str, Any]]:
    sources = [[(item, *encoded(item, name)) for item in look.items] for look in looks]
    codes = name in categorical or any(i.bands[name].categorical for k in looks for i in k.items)
    plain = [
        [replace(entry[1], shift=shifts.get(entry[0].id, UNMOVED)) for entry in look]
        for look in sources
    ]
    places = [[entry[0] for entry in look] for look in sources]
    stored = [(item, encoding) for look in sources for item, _, encoding in look]
    # a moved scene leaves ground unseen at its rim, which integers without nodata cannot say
    rim = any(source.shift != UNMOVED and source.nodata is None for k in plain for source in k)
    encoding = common_encoding({entry[1] for entry in stored}, needs_unseen=rim)
    method = "nearest" if codes else resampling
    data = lazy_band(name, plain, encoding, geobox, span, chunk_px, method, places)
    return ("time", "y", "x"), data, _attributes(stored, name, encoding)


def _attributes(
    stored: Sequence[tuple[SceneItem, Encoding]], name: str, encoding: Encoding
) -> dict[str, Any]:
    attrs: dict[str, Any] = {"grid_mapping": "spatial_ref"}
    plain = {one.dtype for item, one in stored if item.bands[name].scale == 1}
    integers = sorted(dtype for dtype in plain if np.dtype(dtype).kind in "iu")
    if integers and np.dtype(encoding.dtype).kind == "f":
        attrs["unscaled_dtype"] = " ".join(integers)
    if encoding.nodata is not None:
        integer = np.issubdtype(np.dtype(encoding.dtype), np.integer)
        attrs["nodata"] = int(encoding.nodata) if integer else encoding.nodata
    calibrations = {(i.bands[name].scale, i.bands[name].offset) for i, _ in stored}
    if len(calibrations) == 1:
        attrs["scale"], attrs["offset"] = calibrations.pop()
    return attrs
