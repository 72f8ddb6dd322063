"""Records of written products, taken from the files themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_monitor.codes import ClassStyle
from rs_monitor.outputs.digest import crs_name, file_sha256, fingerprint, raster_digest
from rs_monitor.outputs.manifest import ClassEntry, OutputRecord
from rs_monitor.outputs.raster import load_raster
from rs_monitor.outputs.style import hex_colour
from rs_monitor.outputs.vectors import LayerRecord, describe_layer, read_layers


def raster_record(
    root: Path,
    path: Path,
    *,
    zone: str | None = None,
    product: str | None = None,
    style: Mapping[int, ClassStyle] | None = None,
) -> OutputRecord:
    """Read a raster back and describe it for the manifest.

    Parameters
    ----------
    root, path : Path
        Run folder, and the raster inside it.
    zone, product : str, optional
        What the raster is.
    style : mapping of int to ClassStyle, optional
        Values of a class raster.
    """
    raster = load_raster(path)
    return OutputRecord(
        path=path.relative_to(root).as_posix(),
        kind="raster",
        sha256=file_sha256(path),
        content_digest=raster_digest(raster.data, raster.geobox, raster.band_names, raster.nodata),
        product=product,
        zone=zone,
        dtype=raster.data.dtype.name,
        shape=raster.data.shape,
        crs=crs_name(raster.geobox.crs),
        band_names=raster.band_names,
        nodata=_spell_nodata(raster.nodata),
        valid_fraction=round(valid_fraction(raster.data, raster.nodata), 9),
        classes=_classes(style),
    )


def raster_content(path: Path) -> str:
    """Content digest of a raster file."""
    raster = load_raster(path)
    return raster_digest(raster.data, raster.geobox, raster.band_names, raster.nodata)


def vector_record(root: Path, path: Path, layers: Mapping[str, LayerRecord]) -> OutputRecord:
    """Describe a GeoPackage for the manifest."""
    return OutputRecord(
        path=path.relative_to(root).as_posix(),
        kind="vector",
        sha256=file_sha256(path),
        content_digest=vector_content(layers),
        layers={name: asdict(layer) for name, layer in layers.items()},
    )


def vector_content(layers: Mapping[str, LayerRecord]) -> str:
    """Content digest of a GeoPackage from those of its layers."""
    return fingerprint({name: layer.content_digest for name, layer in layers.items()})


def vector_file_content(path: Path) -> str:
    """Content digest of a GeoPackage file."""
    return vector_content({name: describe_layer(f) for name, f in read_layers(path).items()})


def valid_fraction(data: NDArray[Any], nodata: float | None) -> float:
    """Share of pixels that carry a value in every band."""
    if nodata is None:
        seen = np.isfinite(data) if data.dtype.kind == "f" else np.ones(data.shape, dtype=bool)
    else:
        seen = ~np.isnan(data) if math.isnan(nodata) else data != nodata
    return float(seen.all(axis=0).mean())


def _spell_nodata(nodata: float | None) -> float | str | None:
    return "nan" if nodata is not None and math.isnan(nodata) else nodata


def _classes(style: Mapping[int, ClassStyle] | None) -> tuple[ClassEntry, ...]:
    return tuple(
        ClassEntry(
            value=int(value),
            name=entry.name,
            title=entry.zh,
            color_hint=hex_colour(entry).removeprefix("#"),
        )
        for value, entry in (style or {}).items()
    )
