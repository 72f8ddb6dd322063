"""A stratum around mapped change, where omissions hide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from rs_monitor.errors import QuantityError
from rs_monitor.grid import require_projected
from rs_monitor.lazy import map_window

_NODATA = 0
_ROUNDING = 1e-9


def buffer_stratum(
    classes: xr.DataArray,
    geobox: GeoBox,
    *,
    around: Sequence[int],
    width_m: float,
    code: int,
) -> xr.DataArray:
    """Make a stratum of the pixels near mapped change.

    Parameters
    ----------
    classes : DataArray of uint8, dimensions y, x
        Class raster, 0 = nodata.
    geobox : GeoBox
        Its grid, in metres.
    around : sequence of int
        Classes that are change.
    width_m : float
        Pixels whose centre lies within this distance of a pixel of change, from centre to centre.
    code : int
        Of the new stratum; a value no class has.

    Returns
    -------
    DataArray of uint8
        Strata: change and nodata stay, near pixels become ``code``, the rest keeps its class.

    Raises
    ------
    MissingCRS, UnsuitableCRS, QuantityError
        Without a CRS in metres; for a width that reaches no neighbour, or a code out of range.

    Notes
    -----
    Olofsson et al. 2020 (doi:10.1016/j.rse.2019.111492): one omission in a large stratum weighs as
    much as all that was mapped; most lie along the edges of what was mapped. Exact distances
    (``scipy.ndimage.distance_transform_edt``); the same under any chunking.
    """
    near = partial(
        with_buffer,
        around=tuple(around),
        width_m=width_m,
        code=require_code(code),
        pixel_m=pixel_edges_m(geobox),
    )
    return map_window(
        near,
        classes,
        depth_px=buffer_depth_px(geobox, width_m),
        dtype=np.uint8,
        name="strata",
        attrs={"long_name": "sampling strata", "buffer": code, "buffer_m": width_m},
    )


def with_buffer(
    classes: NDArray[np.uint8],
    *,
    around: Sequence[int],
    width_m: float,
    code: int,
    pixel_m: tuple[float, float],
) -> NDArray[np.uint8]:
    """Strata of an array of classes; see :func:`buffer_stratum`.

    Parameters
    ----------
    classes : ndarray of uint8, shape (rows, columns)
    around, width_m, code
        As in :func:`buffer_stratum`.
    pixel_m : tuple of float
        Height and width of a pixel.
    """
    change = np.isin(classes, np.asarray(around, dtype=np.uint8))
    if not change.any():
        return classes.copy()
    distance_m = ndimage.distance_transform_edt(~change, sampling=pixel_m)
    near = (distance_m <= width_m * (1 + _ROUNDING)) & ~change & (classes != _NODATA)
    return np.where(near, np.uint8(code), classes)


def buffer_depth_px(geobox: GeoBox, width_m: float) -> int:
    """Pixels a buffer reaches.

    Raises
    ------
    QuantityError
        If it reaches none.
    """
    reach = width_m / min(pixel_edges_m(geobox))
    if not reach >= 1:
        raise QuantityError(
            f"got a buffer of {width_m:g} m on pixels of {min(pixel_edges_m(geobox)):g} m; needed "
            "a pixel or more; widen it"
        )
    return math.floor(reach * (1 + _ROUNDING))


def pixel_edges_m(geobox: GeoBox) -> tuple[float, float]:
    """Height and width of a pixel of a grid in metres, turned or not."""
    a = require_projected(geobox, "a buffer").affine
    return math.hypot(a.b, a.e), math.hypot(a.a, a.d)


def require_code(code: int) -> int:
    """Return the code of a stratum if it fits, or refuse."""
    if not _NODATA < code <= np.iinfo(np.uint8).max:
        raise QuantityError(f"got stratum code {code}; needed 1 to 255; free a class code")
    return code
