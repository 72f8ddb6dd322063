"""Texture maps of a composite."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from rs_monitor.errors import ConfigError, GridMismatch
from rs_monitor.kernels.texture import Measure, window_texture
from rs_monitor.lazy import SPACE, map_window


def texture(
    values: xr.DataArray, *, window_px: int, measures: Sequence[Measure], step: float
) -> xr.DataArray:
    """Texture in a square window around every pixel.

    Parameters
    ----------
    values : DataArray of float
        y, x; such as a median composite of a band or index; NaN = unknown.
    window_px : int
        Edge of the window, odd.
    measures : sequence of {"std", "range", "contrast", "homogeneity"}
    step : float
        Difference of neighbours at which homogeneity is one half, in units of the values.

    Returns
    -------
    DataArray of float32
        measure, y, x; NaN as in :func:`rs_monitor.kernels.texture.window_texture`, which names
        the formulas. Exact at the borders of chunks.

    Raises
    ------
    ConfigError
        If the window has no centre, or homogeneity no step.
    GridMismatch
        If the dimensions are not y, x.
    """
    if window_px < 3 or window_px % 2 == 0:
        raise ConfigError("texture", [f"got a window of {window_px} px; needed an odd edge >= 3"])
    if "homogeneity" in measures and step <= 0:
        raise ConfigError("texture", [f"got a step of {step}; needed more than 0 for homogeneity"])
    if values.dims != SPACE:
        raise GridMismatch(f"got dimensions {values.dims}; needed y, x; take one composite")
    radius = window_px // 2
    return map_window(
        partial(window_texture, radius_px=radius, measures=tuple(measures), step=step),
        values,
        depth_px=radius,
        dtype=np.float32,
        name="texture",
        attrs={
            "long_name": f"texture in windows of {window_px} px",
            "method": "Haralick1973",
            "units": f"of {values.name}; contrast squared, homogeneity 1",
        },
        layers=("measure", list(measures)),
    )
