"""What the header of an image file says."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from rs_monitor.imagery.dialects import unsuitable_datum

_ACQUISITION_TAGS = frozenset(
    {"acquisitiondate", "acquisitiondatetime", "dateacquired", "datetimeoriginal", "sensingtime"}
)


@dataclass(frozen=True, slots=True)
class Header:
    """Header of one file."""

    path: Path
    relative: str
    crs: str
    shape: tuple[int, int]
    transform: tuple[float, ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    acquired: str | None
    created: str | None


class RefusedFile(Exception):
    """A file that cannot be indexed; the message is the reason."""


def read_header_of(path: Path, relative: str) -> Header:
    """Read a header; refuses a file without CRS, with complex numbers, or unreadable."""
    try:
        with warnings.catch_warnings():
            # no CRS is a refusal below, not a warning
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return _header(path, relative)
    except RasterioError as error:
        raise RefusedFile(f"cannot be opened: {error}") from error


def _header(path: Path, relative: str) -> Header:
    with rasterio.open(path) as dataset:
        crs = _crs(dataset)
        if any(np.issubdtype(kind, np.complexfloating) for kind in dataset.dtypes):
            raise RefusedFile("holds complex numbers, which are no optical measurement")
        tags = {**dataset.tags(ns="IMAGERY"), **dataset.tags()}
        plain = {re.sub(r"[^a-z]", "", key.lower()): value for key, value in tags.items()}
        acquired = (plain[key] for key in sorted(_ACQUISITION_TAGS & plain.keys()))
        return Header(
            path=path,
            relative=relative,
            crs=crs,
            shape=tuple(dataset.shape),
            transform=tuple(dataset.transform)[:6],
            dtypes=tuple(dataset.dtypes),
            nodata=tuple(dataset.nodatavals),
            scales=tuple(dataset.scales),
            offsets=tuple(dataset.offsets),
            descriptions=tuple(dataset.descriptions),
            acquired=next(acquired, None),
            created=tags.get("TIFFTAG_DATETIME"),
        )


def _crs(dataset: Any) -> str:
    if dataset.crs is None:
        rough = dataset.rpcs is not None or bool(dataset.gcps[0])
        more = ", only RPCs or control points: orthorectify it first" if rough else ""
        raise RefusedFile(f"has no CRS{more}; assign the CRS it was made in")
    if dataset.transform.is_identity:
        raise RefusedFile("has no position (identity transform); georeference it first")
    crs = pyproj.CRS.from_user_input(dataset.crs)
    datum = unsuitable_datum(crs)
    if datum is not None:
        raise RefusedFile(
            f"is in {datum}, which has no public transformation; deliver it in CGCS2000 or WGS 84"
        )
    epsg = crs.to_epsg(min_confidence=100)
    return f"EPSG:{epsg}" if epsg else crs.to_wkt()
