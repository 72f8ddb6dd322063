"""Places that every tiling knows by the same number: pixels, points and spatial blocks."""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.kernels.mixing import mix64


def lattice_origin(geobox: GeoBox) -> tuple[int, int]:
    """Row and column of a grid's corner in the pixel lattice of its CRS."""
    a: Affine = geobox.affine
    return round(a.f / a.e) + 2**31, round(a.c / a.a) + 2**31


def spatial_blocks(
    x_m: NDArray[np.float64], y_m: NDArray[np.float64], block_m: float
) -> NDArray[np.int64]:
    """Number the cell of a square lattice that each point lies in.

    Parameters
    ----------
    x_m, y_m : ndarray of float64, shape (n,)
        In a projected CRS.
    block_m : float
        Side of a cell. The lattice starts at the origin of the CRS, so no tiling changes it.

    Returns
    -------
    ndarray of int64, shape (n,)
        Not negative.
    """
    rows = np.floor(np.asarray(y_m) / block_m).astype(np.int64) + 2**30
    cols = np.floor(np.asarray(x_m) / block_m).astype(np.int64) + 2**30
    return np.asarray((rows << 31) | cols)


def place_hash(x_m: NDArray[np.float64], y_m: NDArray[np.float64], seed: int) -> NDArray[np.uint64]:
    """Mix a place, to the centimetre, with a seed."""
    return mixed(np.round(y_m * 100).astype(np.int64), np.round(x_m * 100).astype(np.int64), seed)


def mixed(rows: NDArray[np.int64], cols: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Mix two numbers and a seed."""
    with np.errstate(over="ignore"):
        z = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z ^= cols.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        z += np.uint64(seed) * np.uint64(0x165667B19E3779F9)
    return np.asarray(mix64(z))
