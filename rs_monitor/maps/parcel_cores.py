"""The parts of parcels whose pixels show nothing but the parcel."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Shapes = NDArray[np.object_]

TIE_M = 1e-3
"""A pixel centre this near to the edge of a core lies on it, and belongs to it."""


def eroded_cores(shapes: Shapes, shrink_m: NDArray[np.float64], asked: NDArray[np.bool_]) -> Shapes:
    """Erode parcels.

    Parameters
    ----------
    shapes : ndarray of geometries, shape (n,)
        In metres.
    shrink_m : ndarray of float64, shape (n,)
    asked : ndarray of bool, shape (n,)
        The others stay what they are.

    Returns
    -------
    ndarray of geometries, shape (n,)
    """
    cores = shapes.copy()
    cores[asked] = shapely.buffer(shapes[asked], TIE_M - shrink_m[asked])
    return cores


def is_slight(cores: Shapes, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a core holds no more than its tie; False where not asked."""
    found = np.zeros(len(cores), dtype=np.bool_)
    some = cores[asked]
    found[asked] = shapely.area(some) <= 2 * TIE_M * shapely.length(some)
    return found


def without_disputed(
    cores: Shapes,
    asked: NDArray[np.bool_],
    shapes: Shapes,
    claims: NDArray[np.bool_],
    cover: NDArray[np.integer[Any]],
    shrink_m: NDArray[np.float64],
) -> Shapes:
    """Take from cores what parcels of other classes claim, too, and its margin.

    Parameters
    ----------
    cores : ndarray of geometries, shape (n,)
        Of :func:`eroded_cores`.
    asked : ndarray of bool, shape (n,)
        The other cores stay what they are.
    shapes : ndarray of geometries, shape (n,)
        The whole parcels.
    claims : ndarray of bool, shape (n,)
        Parcels whose claims count; sound geometries all.
    cover : ndarray of int, shape (n,)
        Class of each parcel.
    shrink_m : ndarray of float64, shape (n,)
        Margin that each core keeps from other ground.

    Returns
    -------
    ndarray of geometries, shape (n,)

    Notes
    -----
    Cores lie back from their parcel's edge, so that neighbours which only touch dispute nothing.
    """
    rows, others = np.flatnonzero(asked), np.flatnonzero(claims)
    pairs = shapely.STRtree(shapes[others]).query(cores[rows], predicate="intersects")
    one, other = rows[pairs[0]], others[pairs[1]]
    disputed = cover[one] != cover[other]
    one, other = one[disputed], other[disputed]
    margins = shapely.buffer(shapes[other], shrink_m[one])
    cut = cores.copy()
    for row in np.unique(one):
        cut[row] = shapely.difference(cores[row], shapely.union_all(margins[one == row]))
    return cut
