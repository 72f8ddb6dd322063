"""Class rasters read window by window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
import rasterio.enums
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import MissingCRS, QuantityError, ReadError
from rs_monitor.grid import Window


@dataclass(frozen=True, slots=True)
class ClassRaster:
    """An open class raster.

    Attributes
    ----------
    path : Path
    geobox : GeoBox
        Grid and CRS.
    names : mapping of int to str
        Names of the classes as read, as far as the file tells.
    nodata : int
        What the file holds where there is no class; :meth:`read` exchanges it with 0.
    """

    path: Path
    geobox: GeoBox
    names: Mapping[int, str]
    _source: rasterio.DatasetReader
    nodata: int = 0

    def stored(self, code: int) -> int:
        """Value of the file that is read as a code."""
        return {0: self.nodata, self.nodata: 0}.get(code, code)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Classes of a window, uint8, (rows, columns); 0 = no class.

        Raises
        ------
        ReadError
            If the file is damaged.
        """
        rows, cols = window
        try:
            classes = np.asarray(
                self._source.read(1, window=((rows.start, rows.stop), (cols.start, cols.stop)))
            )
        except rasterio.errors.RasterioError as error:
            raise ReadError(
                f"{self.path.name}: got {error}; needed a readable raster; restore the file"
            ) from error
        return classes if self.nodata == 0 else _exchanged(classes, self.nodata)


def _exchanged(classes: NDArray[np.uint8], nodata: int) -> NDArray[np.uint8]:
    codes = np.arange(256, dtype=np.uint8)
    codes[[0, nodata]] = nodata, 0
    return codes[classes]


@contextmanager
def open_classes(path: Path, *, any_nodata: bool = False) -> Iterator[ClassRaster]:
    """Open a class raster: one band of uint8, 0 = nodata.

    Parameters
    ----------
    path : Path
    any_nodata : bool
        Also open a raster that declares another nodata, whose 0 is then a class; it is read as
        that other value.

    Raises
    ------
    ReadError
        If the file cannot be opened.
    MissingCRS, QuantityError
        Without a CRS; if it is no class raster.
    """
    try:
        source = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise ReadError(
            f"{path}: got {error}; needed a class raster; name one of the run's maps"
        ) from error
    with source:
        _require_classes(path, source, any_nodata=any_nodata)
        geobox = GeoBox((source.height, source.width), source.transform, source.crs)
        nodata = int(source.nodata or 0)
        raster = ClassRaster(path, geobox, {}, source, nodata)
        told = _class_names(path, source.tags())
        names = {raster.stored(code): name for code, name in told.items() if code != nodata}
        yield replace(raster, names=names)


def _require_classes(path: Path, source: rasterio.DatasetReader, *, any_nodata: bool) -> None:
    if source.crs is None:
        raise MissingCRS(f"{path.name}: got no CRS; needed the CRS of the map; assign it")
    if source.transform == source.transform.identity():
        raise QuantityError(
            f"{path.name}: got no place of the grid on the ground; needed origin and pixel size; "
            "georeference the map"
        )
    held = source.nodata in (0, None) or (any_nodata and source.nodata in range(256))
    if source.count != 1 or source.dtypes[0] != "uint8" or not held:
        raise QuantityError(
            f"{path.name}: got {source.count} bands of {source.dtypes[0]} with nodata "
            f"{source.nodata}; needed one band of uint8 classes, 0 = nodata; name a class raster"
        )
    if rasterio.enums.MaskFlags.per_dataset in source.mask_flag_enums[0]:
        raise QuantityError(
            f"{path.name}: got a mask beside the classes; needed 0 where there is no class; write "
            "the mask into the classes"
        )


def _class_names(path: Path, tags: Mapping[str, str]) -> dict[int, str]:
    values, names = tags.get("flag_values", "").split(), tags.get("flag_meanings", "").split()
    whole = all(value.isdecimal() for value in values)
    titles = {name.lower() for name in names}
    if not whole or not len(values) == len(names) == len({*values}) == len(titles):
        raise QuantityError(
            f"{path.name}: got {len(values)} flag_values with {len(names)} flag_meanings; needed "
            "one name for each whole number, none twice; correct the tags or remove them"
        )
    return {int(value): name for value, name in zip(values, names, strict=True)}
