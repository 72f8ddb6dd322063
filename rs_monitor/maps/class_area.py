"""True area of each class of a map: integer counts first, then one sum in a fixed order.

Counts and integer moments of the columns are the same under any cutting of the map and any order
of its tiles; areas enter once, at the end.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import NoReturn

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError
from rs_monitor.grid import CGCS2000, blocks_of, describe, true_pixel_area_m2
from rs_monitor.kernels.class_counts import MAX_STRIP_PX, MOMENTS, class_moments, codes_present
from rs_monitor.lazy import measure_blocks

COUNTED_BLOCK_PX = 2048
"""Rows and columns counted at once; a multiple of every strip."""

_STRIP_EXTENT_M = 32_768.0
_NODATA = 0


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Pixels of each class in a part of a grid, and where they lie.

    Attributes
    ----------
    row, strip : int
        First row and first strip of columns in the whole grid.
    strip_px : int
        Columns of a strip; the lattice of strips starts at the whole grid's first column.
    codes : ndarray of int64, shape (k,)
        Classes that occur, ascending.
    moments : ndarray of int64, shape (rows, strips, k, 3)
        Pixels, and sums of their columns and squared columns from the start of the strip.
    """

    row: int
    strip: int
    strip_px: int
    codes: NDArray[np.int64]
    moments: NDArray[np.int64]


def class_area(classes: xr.DataArray, geobox: GeoBox) -> pd.DataFrame:
    """Count the pixels of each class and measure their true area.

    Parameters
    ----------
    classes : DataArray of uint8, dimensions y, x
        Class raster, 0 = nodata; lazy ones are read block by block.
    geobox : GeoBox
        Its grid: projected or geographic, turned or not.

    Returns
    -------
    DataFrame
        One row for each class that occurs, nodata left out: ``class``, ``pixels`` (int64),
        ``area_m2`` on the CGCS2000 ellipsoid.

    Raises
    ------
    QuantityError, GridMismatch, MissingCRS
        Of another type than uint8; of another shape than the grid; without a CRS.

    Notes
    -----
    See :func:`area_of_counts`. The result is the same to the last bit under any chunking.
    """
    return area_of_counts(count_classes(classes, geobox), geobox)


def count_classes(classes: xr.DataArray, geobox: GeoBox) -> ClassCounts:
    """Count the pixels of each class by row and strip of columns.

    Parameters
    ----------
    classes, geobox
        As in :func:`class_area`.
    """
    if classes.dims != ("y", "x") or classes.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got classes of shape {classes.shape} over {classes.dims} for the grid "
            f"{describe(geobox)}; needed y, x of that grid; pass the raster's own geobox"
        )
    _require_codes(classes.dtype)
    count = partial(_count_block, strip_px=strip_px_of(geobox))
    parts = measure_blocks(count, classes, block_px=COUNTED_BLOCK_PX)
    tiles = zip(blocks_of(geobox, COUNTED_BLOCK_PX), parts, strict=True)
    strips = COUNTED_BLOCK_PX // strip_px_of(geobox)
    placed = (
        ClassCounts(block.y0, block.col * strips, strip_px_of(geobox), codes, moments)
        for block, (codes, moments) in tiles
    )
    return merge_counts(placed, geobox)


def count_tile(classes: NDArray[np.uint8], geobox: GeoBox, *, row: int, col: int) -> ClassCounts:
    """Count the pixels of each class of one tile of a grid.

    Parameters
    ----------
    classes : ndarray of uint8, shape (rows, columns)
        The tile; tiles must not overlap.
    geobox : GeoBox
        The whole grid.
    row, col : int
        Place of the tile's first pixel in the whole grid.
    """
    height, width = classes.shape
    if row < 0 or col < 0 or row + height > geobox.shape.y or col + width > geobox.shape.x:
        raise GridMismatch(
            f"got a tile of {height}x{width} px at row {row}, column {col}; needed one inside "
            f"{describe(geobox)}; pass the whole grid and the tile's place in it"
        )
    _require_codes(classes.dtype)
    strip_px = strip_px_of(geobox)
    strip, first_px = divmod(col, strip_px)
    codes, moments = _count_block(classes, strip_px=strip_px, first_px=first_px)
    return ClassCounts(row, strip, strip_px, codes, moments)


def merge_counts(parts: Iterable[ClassCounts], geobox: GeoBox) -> ClassCounts:
    """Add the counts of tiles, in any order.

    Parameters
    ----------
    parts : iterable of ClassCounts
        Tiles of one grid that do not overlap.
    geobox : GeoBox
        The whole grid.
    """
    return _merge(list(parts), geobox, slice(0, geobox.shape.y))


def _merge(parts: Sequence[ClassCounts], geobox: GeoBox, band: slice) -> ClassCounts:
    """Add the counts of tiles that lie in some rows of a grid."""
    strip_px = strip_px_of(geobox)
    codes = np.unique(np.concatenate([np.empty(0, np.int64), *(part.codes for part in parts)]))
    height, strips = band.stop - band.start, -(-geobox.shape.x // strip_px)
    whole = np.zeros((height, strips, codes.size, MOMENTS), dtype=np.int64)
    for part in parts:
        if part.strip_px != strip_px:
            raise GridMismatch(
                f"got counts by strips of {part.strip_px} columns; needed {strip_px}; count the "
                "tiles with the whole grid's geobox"
            )
        rows, across = part.moments.shape[:2]
        _require_inside(part, band.stop, strips)
        first = part.row - band.start
        place = whole[first : first + rows, part.strip : part.strip + across]
        place[:, :, np.searchsorted(codes, part.codes)] += part.moments
    merged = ClassCounts(band.start, 0, strip_px, codes, whole)
    if (_seen(merged) > _whole_strips(geobox)).any():
        raise GridMismatch(
            f"got tiles that overlap in {describe(geobox)}: their pixels would count twice; needed "
            "each pixel once; cut the tiles from one grid"
        )
    return merged


def _require_inside(part: ClassCounts, height: int, strips: int) -> None:
    rows, across = part.moments.shape[:2]
    if part.row + rows > height or part.strip + across > strips:
        raise GridMismatch(
            f"got counts of {rows} rows from row {part.row}, {across} strips from strip "
            f"{part.strip}; needed {height} rows and {strips} strips at most; count the tiles with "
            "the whole grid's geobox"
        )


def _seen(counts: ClassCounts) -> NDArray[np.int64]:
    """Moments of all pixels, nodata among them, (row, strip, 3)."""
    return np.asarray(counts.moments.sum(axis=2))


def _whole_strips(geobox: GeoBox) -> NDArray[np.int64]:
    """Moments of strips in which every pixel counts once, (strip, 3)."""
    starts = np.arange(0, geobox.shape.x, strip_px_of(geobox))
    n = np.diff(starts, append=geobox.shape.x)
    return np.stack([n, n * (n - 1) // 2, (n - 1) * n * (2 * n - 1) // 6], axis=1)


def area_of_counts(counts: ClassCounts, geobox: GeoBox) -> pd.DataFrame:
    """True area of counted classes.

    Parameters
    ----------
    counts : ClassCounts
        Of the whole grid.
    geobox : GeoBox
        The grid.

    Returns
    -------
    DataFrame
        As :func:`class_area`.

    Raises
    ------
    GridMismatch
        If a pixel of the grid was not counted, or counted for another.

    Notes
    -----
    A projected pixel's true area varies along its row (5e-4 over 100 km of a UTM zone). Within a
    strip of at most 32 km it is the parabola through three measured pixels, so that the area of
    any set of pixels follows from their number, the sum of their columns and of the squares,
    which are integers. Terms are added exactly and rounded once (``math.fsum``).
    ``tests/maps/test_class_area.py`` compares with the area of every pixel by itself.
    """
    return _area_of_bands([counts], geobox)


def area_of_tiles(tiles: Iterable[ClassCounts], geobox: GeoBox) -> pd.DataFrame:
    """True area of the classes of tiles that come by rows, of which one row is held at a time.

    Parameters
    ----------
    tiles : iterable of ClassCounts
        Of the whole grid, in the order of :func:`rs_monitor.grid.blocks_of`.
    geobox : GeoBox
        The grid.

    Returns
    -------
    DataFrame
        As :func:`area_of_counts` of the merged tiles, to the last bit.

    Raises
    ------
    GridMismatch
        If the tiles do not make the whole grid, or come in another order.
    """
    rows = (list(group) for _, group in groupby(tiles, key=lambda tile: tile.row))
    bands = (_merge(row, geobox, _rows_of(row[0])) for row in rows)
    return _area_of_bands(bands, geobox)


def _rows_of(counts: ClassCounts) -> slice:
    return slice(counts.row, counts.row + counts.moments.shape[0])


def _area_of_bands(bands: Iterable[ClassCounts], geobox: GeoBox) -> pd.DataFrame:
    """Areas of bands of whole rows, from the first row to the last."""
    parabolas = _strip_parabolas(geobox)
    pixels: dict[int, int] = defaultdict(int)
    area_m2: dict[int, list[float]] = defaultdict(list)
    next_row = 0
    for band in bands:
        rows = _rows_of(band)
        _require_next(band, next_row, geobox)
        next_row = rows.stop
        for slot, code in enumerate(band.codes.tolist()):
            pixels[code] += int(band.moments[:, :, slot, 0].sum())
            area_m2[code] += _exact_sum(_terms_m2(band.moments[:, :, slot], parabolas[rows]))
    if next_row != geobox.shape.y:
        _refuse_incomplete((geobox.shape.y - next_row) * geobox.shape.x, geobox)
    kept = sorted(code for code in pixels if code != _NODATA)
    return pd.DataFrame(
        {
            "class": np.array(kept, dtype=np.int64),
            "pixels": np.array([pixels[code] for code in kept], dtype=np.int64),
            "area_m2": np.array([math.fsum(area_m2[code]) for code in kept], dtype=np.float64),
        }
    )


def _require_next(band: ClassCounts, row: int, geobox: GeoBox) -> None:
    if band.row != row:
        raise GridMismatch(
            f"got tiles of row {band.row} where those of row {row} were due; needed tiles row by "
            "row from the top, each once; keep the order of the blocks or merge the tiles first"
        )
    missing = _whole_strips(geobox) - _seen(band)
    if missing.any():
        _refuse_incomplete(int(missing[..., 0].sum()), geobox)


def _refuse_incomplete(pixels: int, geobox: GeoBox) -> NoReturn:
    raise GridMismatch(
        f"got counts that lack {pixels} pixels of {describe(geobox)}, or hold some twice; needed "
        "every pixel once, nodata as well; count all tiles, each in its place"
    )


def _terms_m2(moments: NDArray[np.int64], parabolas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of one class in each row and strip where it occurs."""
    here = moments[..., 0] > 0
    terms = moments[here] * parabolas[here]
    return np.asarray(terms[:, 0] + terms[:, 1] + terms[:, 2])


def _exact_sum(terms: NDArray[np.float64]) -> list[float]:
    """A few numbers that add up to exactly what the terms do, so that cuts change no bit."""
    left, parts = terms.tolist(), []
    while part := math.fsum(left):
        parts.append(part)
        left.append(-part)
    return parts


def strip_px_of(geobox: GeoBox) -> int:
    """Columns of a strip: a power of two, at most 32 km wide unless rows are parallels."""
    if geobox.crs is None:
        raise MissingCRS("got a grid without CRS; areas need one; assign the CRS of the source")
    a = geobox.affine
    if geobox.crs.geographic and a.d == 0.0:
        return MAX_STRIP_PX
    unit_m = geobox.crs.proj.axis_info[0].unit_conversion_factor
    unit_m *= CGCS2000.a if geobox.crs.geographic else 1.0
    fitting = max(1.0, _STRIP_EXTENT_M / (math.hypot(a.a, a.d) * unit_m))
    return min(MAX_STRIP_PX, 1 << int(math.log2(fitting)))


def _require_codes(dtype: np.dtype[np.generic]) -> None:
    if dtype != np.uint8:
        raise QuantityError(
            f"got a raster of {dtype}; class areas need uint8 codes, 0 = nodata; cast the map "
            "or pass the class raster, not its probabilities"
        )


def _count_block(
    classes: NDArray[np.uint8], *, strip_px: int, first_px: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    codes = codes_present(classes)
    return codes, class_moments(classes, codes, first_px=first_px, strip_px=strip_px)


def _strip_parabolas(geobox: GeoBox) -> NDArray[np.float64]:
    """Coefficients of a pixel's area in the columns of its strip, (row, strip, 3)."""
    strip_px, width = strip_px_of(geobox), geobox.shape.x
    starts = np.arange(0, width, strip_px)
    step = np.maximum(np.minimum(starts + strip_px, width) - starts - 1, 1) / 2.0
    columns = starts[:, None] + step[:, None] * np.arange(3)
    areas = true_pixel_area_m2(geobox, columns.ravel()).reshape(-1, starts.size, 3)
    left, middle, right = areas[..., 0], areas[..., 1], areas[..., 2]
    bend = (left - 2.0 * middle + right) / (2.0 * step**2)
    slope = (4.0 * middle - 3.0 * left - right) / (2.0 * step)
    return np.stack([left, slope, bend], axis=-1)
