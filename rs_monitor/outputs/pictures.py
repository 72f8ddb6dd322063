"""Pictures of patches, zones and class maps, as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from rs_monitor.codes import ClassStyle
from rs_monitor.errors import QuantityError

_LOW_PERCENT, _HIGH_PERCENT = 2.0, 98.0
_GAMMA = 0.8
_SAMPLE = 200_000
_VEIL = (226, 229, 233, 235)
_STRIPE = (148, 156, 166, 255)


def stretch_limits(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """2nd and 98th percentile of each band, for one look over several pictures.

    Parameters
    ----------
    rgb : ndarray, shape (3, y, x)
        NaN = not seen.

    Returns
    -------
    ndarray of float64, shape (3, 2)
        Zeros and ones where a band holds nothing.
    """
    limits = np.tile([0.0, 1.0], (3, 1))
    for i, band in enumerate(_colour(rgb)):
        seen = band[np.isfinite(band)]
        if seen.size:
            step = max(1, seen.size // _SAMPLE)
            limits[i] = np.percentile(seen[::step], (_LOW_PERCENT, _HIGH_PERCENT))
    limits[:, 1] = np.maximum(limits[:, 1], limits[:, 0] + 1e-6)
    return limits


def true_colour(
    rgb: NDArray[Any], limits: NDArray[np.float64] | None = None, *, longest_px: int | None = None
) -> bytes:
    """PNG of three bands; pixels not seen are transparent.

    Parameters
    ----------
    rgb : ndarray, shape (3, y, x)
        Red, green, blue; NaN in any band = not seen.
    limits : ndarray, shape (3, 2), optional
        Values shown black and white; default from the picture itself.
    longest_px : int, optional
        Larger pictures are reduced to this edge; viewers enlarge smaller ones.
    """
    colour = _colour(rgb)
    low, high = (stretch_limits(colour) if limits is None else limits).T
    scaled = (colour - low[:, None, None]) / (high - low)[:, None, None]
    seen = np.isfinite(colour).all(axis=0)
    shown = np.where(seen, np.clip(scaled, 0.0, 1.0), 0.0) ** _GAMMA
    layers = [*(np.round(band * 255).astype(np.uint8) for band in shown)]
    layers.append(np.where(seen, 255, 0).astype(np.uint8))
    image = Image.fromarray(np.dstack(layers))
    return _png(_reduced(image, longest_px))


def mask_overlay(mask: NDArray[np.bool_], *, longest_px: int) -> bytes:
    """PNG that veils the pixels of a mask and is clear elsewhere.

    Parameters
    ----------
    mask : ndarray of bool, shape (y, x)
        Pixels to veil.
    longest_px : int
        Longest edge of the picture.
    """
    height, width = mask.shape
    factor = longest_px / max(mask.shape)
    rows = np.arange(max(1, round(height * factor)))
    columns = np.arange(max(1, round(width * factor)))
    veiled = mask[np.ix_(_nearest(rows, height), _nearest(columns, width))]
    stripes = np.add.outer(rows, columns) // 3 % 3 == 0
    shades = np.where(veiled, np.where(stripes, 2, 1), 0).astype(np.uint8)
    image = Image.fromarray(shades, mode="P")
    image.putpalette(bytes([0, 0, 0, 0, *_VEIL, *_STRIPE]), rawmode="RGBA")
    return _png(image)


def class_picture(
    values: NDArray[np.uint8], style: Mapping[int, ClassStyle], *, longest_px: int
) -> bytes:
    """PNG of a class raster in the colours of its style; values without one are transparent.

    Parameters
    ----------
    values : ndarray of uint8, shape (y, x)
        Values of the style; others = not seen.
    style : mapping of int to ClassStyle
        Colour of each value.
    longest_px : int
        Larger pictures are reduced to this edge; viewers enlarge smaller ones.
    """
    factor = min(1.0, longest_px / max(values.shape))
    rows, columns = (
        _nearest(np.arange(max(1, round(length * factor))), length) for length in values.shape
    )
    palette = np.zeros((256, 4), dtype=np.uint8)
    for value, entry in style.items():
        palette[value] = (*entry.rgb, 255)
    image = Image.fromarray(values[np.ix_(rows, columns)], mode="P")
    image.putpalette(palette.tobytes(), rawmode="RGBA")
    return _png(image)


def _nearest(indices: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    return (indices * length) // max(len(indices), 1)


def _colour(rgb: NDArray[Any]) -> NDArray[np.float64]:
    if rgb.ndim != 3 or rgb.shape[0] != 3:
        raise QuantityError(
            f"got an array of shape {rgb.shape}; needed (3, y, x); name the bands to show as red, "
            "green and blue"
        )
    return np.asarray(rgb, dtype=np.float64)


def _reduced(image: Image.Image, longest_px: int | None) -> Image.Image:
    if longest_px is None or max(image.size) <= longest_px:
        return image
    factor = longest_px / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BOX)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def data_uri(png: bytes) -> str:
    """PNG as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def chip_window(
    geometry: shapely.Geometry, geobox: GeoBox, *, margin_px: int, least_px: int
) -> tuple[slice, slice]:
    """Square window of pixels around a patch, kept inside the grid.

    Parameters
    ----------
    geometry : shapely geometry
        Patch in the CRS of the grid.
    geobox : GeoBox
        Grid, north up.
    margin_px, least_px : int
        Pixels left around the patch; least edge of the window.
    """
    x0, y0, x1, y1 = pixel_bounds(geometry, geobox)
    edge = max(x1 - x0, y1 - y0) + 2 * margin_px
    edge = int(np.ceil(max(edge, least_px)))
    height, width = geobox.shape
    return _span((y0 + y1) / 2, edge, height), _span((x0 + x1) / 2, edge, width)


def _span(middle: float, edge: int, length: int) -> slice:
    edge = min(edge, length)
    start = min(max(round(middle - edge / 2), 0), length - edge)
    return slice(start, start + edge)


def pixel_bounds(geometry: shapely.Geometry, geobox: GeoBox) -> tuple[float, float, float, float]:
    """Bounds of a geometry in pixels of a grid: left, top, right, bottom."""
    xy = to_pixels(shapely.get_coordinates(geometry), geobox)
    if not len(xy):
        return 0.0, 0.0, 0.0, 0.0
    (left, top), (right, bottom) = xy.min(axis=0), xy.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def to_pixels(xy: NDArray[np.float64], geobox: GeoBox) -> NDArray[np.float64]:
    """Ground coordinates, shape (n, 2), as fractional columns and rows."""
    inverse = ~geobox.affine
    x, y = xy[:, 0], xy[:, 1]
    columns = inverse.a * x + inverse.b * y + inverse.c
    rows = inverse.d * x + inverse.e * y + inverse.f
    return np.stack([columns, rows], axis=1)


def svg_path(
    geometry: shapely.Geometry, geobox: GeoBox, offset: tuple[float, float] = (0.0, 0.0)
) -> str:
    """Path data of a polygon for an SVG whose unit is the pixel.

    Parameters
    ----------
    geometry : shapely geometry
        Polygon or multi-polygon in the CRS of the grid.
    geobox : GeoBox
        Grid.
    offset : tuple of float
        Column and row of the picture's upper left corner.
    """
    parts = shapely.get_parts(geometry)
    rings = shapely.get_rings(parts)
    return " ".join(_ring(shapely.get_coordinates(ring), geobox, offset) for ring in rings)


def _ring(xy: NDArray[np.float64], geobox: GeoBox, offset: tuple[float, float]) -> str:
    points = to_pixels(xy, geobox) - np.asarray(offset)
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) + "Z"
