"""How a band is stored in its files and in the cube."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.chunks import Encoding
from rs_monitor.imagery.jobs import Source
from rs_monitor.imagery.pixels import read_header

_FITS_FLOAT32 = frozenset({"uint8", "int8", "uint16", "int16", "float32"})


def encoded(item: SceneItem, name: str) -> tuple[Source, Encoding]:
    """Source of a band and its encoding; the file header fills what the metadata omit."""
    band = item.bands[name]
    dtype, nodata = band.dtype, band.nodata
    if dtype is None or nodata is None:
        found_dtype, found_nodata = header(band.href, band.index, item.id)
        dtype = dtype or found_dtype
        nodata = found_nodata if nodata is None else nodata
    kind = np.dtype(dtype)
    if np.issubdtype(kind, np.floating):
        encoding = Encoding(dtype, float("nan") if nodata is None else nodata)
    else:
        _check_nodata(item, name, kind, nodata)
        encoding = Encoding(dtype, nodata)
    return Source(item.id, name, band.href, band.index, nodata), encoding


def _check_nodata(item: SceneItem, name: str, kind: np.dtype[Any], nodata: float | None) -> None:
    if nodata is None:
        return
    limits = np.iinfo(kind)
    if not limits.min <= nodata <= limits.max or nodata != int(nodata):
        raise CatalogError(
            f"item {item.id}, band {name}: nodata {nodata:g} cannot occur in {kind}; correct it in "
            "the catalogue or the side table"
        )


def header(href: str, index: int, item_id: str) -> tuple[str, float | None]:
    """Dtype and nodata from a file header, read once as long as the file is the same."""
    local = Path(href)
    stamp = local.stat().st_mtime_ns if "://" not in href and local.exists() else 0
    return _cached_header(href, index, stamp, item_id)


@lru_cache(maxsize=8192)
def _cached_header(href: str, index: int, stamp: int, item_id: str) -> tuple[str, float | None]:
    del stamp
    return read_header(href, index, item_id)


def common_encoding(encodings: Collection[Encoding], *, needs_unseen: bool = False) -> Encoding:
    """One encoding for all times; float with NaN where the sources disagree.

    ``needs_unseen``: float with NaN too where no value says "not seen".
    """
    distinct = {(e.dtype, str(e.nodata)): e for e in encodings}
    if len(distinct) == 1:
        only = next(iter(distinct.values()))
        if only.nodata is not None or not needs_unseen:
            return only
    small = all(e.dtype in _FITS_FLOAT32 for e in encodings)
    return Encoding("float32" if small else "float64", float("nan"))
