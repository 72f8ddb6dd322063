"""Counts of tiles of class maps inside a zone, and of pairs of classes of two maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import NODATA
from rs_monitor.kernels.class_counts import CODES
from rs_monitor.maps.class_area import ClassCounts, area_of_tiles, count_tile

NOT_SEEN = CODES
"""Code of ground inside a zone without a class; no class of uint8 has it."""


def count_zone_tile(
    classes: NDArray[np.uint8], inside: NDArray[np.bool_], geobox: GeoBox, *, row: int, col: int
) -> ClassCounts:
    """Count the pixels of each class of one tile inside a zone, those without a class as well.

    Parameters
    ----------
    classes, geobox, row, col
        As in :func:`rs_monitor.maps.class_area.count_tile`.
    inside : ndarray of bool, shape (rows, columns)
        Pixels of the zone.

    Returns
    -------
    ClassCounts
        Of the classes; :data:`NOT_SEEN` = inside without a class, 0 = outside.
    """
    held = np.where(inside, classes, classes.dtype.type(NODATA))
    counted = count_tile(held, geobox, row=row, col=col)
    unseen = count_tile((inside & (classes == NODATA)).astype(np.uint8), geobox, row=row, col=col)
    if 1 not in unseen.codes:
        return counted
    own = unseen.moments[:, :, unseen.codes == 1]
    moments = np.concatenate([counted.moments, own], axis=2)
    moments[:, :, :1] -= own  # the first code is 0: these pixels have no class
    return replace(counted, codes=np.append(counted.codes, NOT_SEEN), moments=moments)


def count_pair_tile(
    before: NDArray[np.uint8], after: NDArray[np.uint8], geobox: GeoBox, *, row: int, col: int
) -> ClassCounts:
    """Count the pixels of each pair of classes of one tile.

    Parameters
    ----------
    before, after : ndarray of uint8, shape (rows, columns)
        The tile in two class rasters; a pair counts where both have a class.
    geobox, row, col
        As in :func:`rs_monitor.maps.class_area.count_tile`.

    Returns
    -------
    ClassCounts
        Of ``before * 256 + after``, see :func:`transitions_of_tiles`; 0 = no pair.
    """
    both = (before != NODATA) & (after != NODATA)
    pairs = np.where(both, before.astype(np.uint16) * CODES + after, np.uint16(NODATA))
    codes = np.flatnonzero(np.bincount(pairs.ravel(), minlength=1))
    parts = []
    for group in np.split(codes, range(CODES - 1, codes.size, CODES - 1)):
        slots = np.zeros(CODES**2, dtype=np.uint8)
        slots[group] = np.arange(1, group.size + 1)
        counted = count_tile(slots[pairs], geobox, row=row, col=col)
        parts.append(counted.moments[:, :, counted.codes != 0])
    return replace(counted, codes=codes, moments=np.concatenate(parts, axis=2))


def transitions_of_tiles(tiles: Iterable[ClassCounts], geobox: GeoBox) -> pd.DataFrame:
    """True area of counted pairs of classes.

    Parameters
    ----------
    tiles : iterable of ClassCounts
        Of :func:`count_pair_tile`, as :func:`rs_monitor.maps.class_area.area_of_tiles` wants them.
    geobox : GeoBox
        The grid.

    Returns
    -------
    DataFrame
        One row for each pair that occurs: ``class_before``, ``class_after``, ``pixels``,
        ``area_m2`` as in :func:`rs_monitor.maps.class_area.area_of_counts`.
    """
    found = area_of_tiles(tiles, geobox)
    before, after = np.divmod(found.pop("class").to_numpy(), CODES)
    found.insert(0, "class_before", before)
    found.insert(1, "class_after", after)
    return found
