"""Cloud-optimised GeoTIFFs with everything a reader needs inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import ClassStyle
from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError, ReadError
from rs_monitor.grid import describe
from rs_monitor.outputs.atomic import replacing
from rs_monitor.outputs.style import colour_table, write_qml

_TILE_PX = 256


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster file, decoded.

    Attributes
    ----------
    data : ndarray, shape (band, y, x)
        Pixel values as stored.
    geobox : GeoBox
        Grid and CRS.
    band_names : tuple of str
        Band descriptions.
    nodata : float or None
        Declared nodata value.
    tags : dict of str
        GDAL metadata of the dataset.
    """

    data: NDArray[Any]
    geobox: GeoBox
    band_names: tuple[str, ...]
    nodata: float | None
    tags: Mapping[str, str]


def write_cog(
    path: Path,
    data: NDArray[Any],
    geobox: GeoBox,
    *,
    nodata: float | None,
    band_names: Sequence[str],
    style: Mapping[int, ClassStyle] | None = None,
    tags: Mapping[str, str] | None = None,
    overview: Literal["nearest", "average"] = "nearest",
) -> Path:
    """Write a cloud-optimised GeoTIFF atomically.

    Parameters
    ----------
    path : Path
        Final name, ending in ``.tif``.
    data : ndarray, shape (y, x) or (band, y, x)
        Any dtype GeoTIFF knows; booleans are refused.
    geobox : GeoBox
        Grid of the pixels.
    nodata : float, optional
        Value of pixels that carry nothing.
    band_names : sequence of str
        One description per band.
    style : mapping of int to ClassStyle, optional
        For uint8 class rasters: gives a colour table, ``flag_values`` / ``flag_meanings`` tags and
        a QGIS style file beside the raster.
    tags : mapping of str, optional
        Further GDAL metadata.
    overview : {"nearest", "average"}
        Resampling of the overviews: nearest for classes and counts.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    GridMismatch, MissingCRS, QuantityError
        If array, names and grid do not fit each other.
    """
    bands = data[np.newaxis] if data.ndim == 2 else data
    _check(path, bands, geobox, band_names)
    _check_type(path, bands.dtype, nodata, coded=style is not None)
    profile = _profile(bands, geobox, nodata, overview)
    with replacing(path) as temporary, rasterio.open(temporary, "w", **profile) as target:
        target.write(bands)
        target.descriptions = tuple(band_names)
        target.update_tags(**_class_tags(style), **(tags or {}))
        if style is not None:
            target.write_colormap(1, colour_table(style))
    if style is not None:
        write_qml(path.with_suffix(".qml"), style)
    return path


def _profile(
    bands: NDArray[Any], geobox: GeoBox, nodata: float | None, overview: str
) -> dict[str, Any]:
    count, height, width = bands.shape
    return {
        "driver": "COG",
        "dtype": bands.dtype.name,
        "count": count,
        "height": height,
        "width": width,
        "crs": str(geobox.crs),
        "transform": geobox.affine,
        "nodata": nodata,
        "compress": "DEFLATE",
        "predictor": "YES",
        "blocksize": _TILE_PX,
        "bigtiff": "IF_SAFER",
        "overviews": "IGNORE_EXISTING",
        "overview_count": _overview_count(height, width),
        "overview_resampling": overview.upper(),
    }


def _overview_count(height: int, width: int) -> int:
    """Halvings until one tile holds the picture, at least one so that every viewer finds one."""
    longest = max(height, width)
    return max(1, int(np.ceil(np.log2(max(longest / _TILE_PX, 1)))))


def _class_tags(style: Mapping[int, ClassStyle] | None) -> dict[str, str]:
    if style is None:
        return {}
    values = " ".join(str(int(value)) for value in style)
    return {"flag_values": values, "flag_meanings": " ".join(s.name for s in style.values())}


def _check(path: Path, bands: NDArray[Any], geobox: GeoBox, band_names: Sequence[str]) -> None:
    if geobox.crs is None:
        raise MissingCRS(f"{path.name}: got a grid without CRS; a product needs one; assign it")
    if bands.ndim != 3 or bands.shape[1:] != tuple(geobox.shape):
        raise GridMismatch(
            f"{path.name}: got an array of shape {bands.shape} for the grid {describe(geobox)}; "
            "needed (y, x) or (band, y, x) of that grid; pass the array's own geobox"
        )
    if len(band_names) != bands.shape[0]:
        raise GridMismatch(
            f"{path.name}: got {len(band_names)} band names for {bands.shape[0]} bands; needed one "
            "each; name every band"
        )


def _check_type(path: Path, dtype: np.dtype[Any], nodata: float | None, *, coded: bool) -> None:
    if dtype == np.bool_ or (coded and dtype != np.uint8):
        raise QuantityError(
            f"{path.name}: got dtype {dtype}; needed uint8 for classes and a number type "
            "otherwise; cast it first"
        )
    if nodata is None or dtype.kind == "f":
        return
    limits = np.iinfo(dtype)
    if not (float(nodata).is_integer() and limits.min <= nodata <= limits.max):
        raise QuantityError(
            f"{path.name}: got nodata {nodata} for dtype {dtype}; needed a value of that type; "
            "name another one or cast the array"
        )


def load_raster(path: Path) -> Raster:
    """Read a raster file with its grid, names and tags.

    Raises
    ------
    ReadError
        If the file cannot be opened or read.
    """
    try:
        with rasterio.open(path) as source:
            names = tuple(name or f"band_{i}" for i, name in enumerate(source.descriptions, 1))
            geobox = GeoBox((source.height, source.width), source.transform, source.crs)
            return Raster(source.read(), geobox, names, source.nodata, source.tags())
    except rasterio.errors.RasterioError as error:
        raise ReadError(
            f"{path.name}: got {error}; needed a readable raster; restore the file or run again"
        ) from error


def read_geobox(path: Path) -> GeoBox:
    """Grid of a raster file; reads no pixel."""
    with rasterio.open(path) as source:
        return GeoBox((source.height, source.width), source.transform, source.crs)


def read_raster(path: Path) -> tuple[NDArray[Any], GeoBox, tuple[str, ...]]:
    """Read pixels, grid and band names.

    Parameters
    ----------
    path : Path
        Raster file.

    Returns
    -------
    data : ndarray, shape (band, y, x)
        Always three dimensions, also for one band.
    geobox : GeoBox
        Grid and CRS.
    band_names : tuple of str
        Band descriptions.
    """
    raster = load_raster(path)
    return raster.data, raster.geobox, raster.band_names
