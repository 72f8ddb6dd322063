"""Generalised class probabilities: smoothed, or by segment; for reading a map, not for flags."""

from __future__ import annotations

import xarray as xr
from odc.geo.geobox import GeoBox

from rs_monitor.grid import Window, widen
from rs_monitor.maps.objects import ObjectRules, object_probabilities
from rs_monitor.maps.smoothing import SmoothingRules, smooth_probabilities

GeneraliseRules = SmoothingRules | ObjectRules


def generalise_probabilities(
    probabilities: xr.DataArray, image: xr.DataArray, rules: GeneraliseRules
) -> xr.DataArray:
    """Let each pixel's class be decided together with its neighbours.

    Parameters
    ----------
    probabilities : DataArray of float32
        class, y, x; NaN where nothing was seen.
    image : DataArray of float32
        band, y, x: what segments are drawn from; not looked at by smoothing.
    rules : SmoothingRules or ObjectRules
        Smoothing in a window, or means of segments.

    Returns
    -------
    DataArray of float32
        class, y, x; NaN where the input is.

    Notes
    -----
    See :func:`rs_monitor.maps.smoothing.smooth_probabilities` and
    :func:`rs_monitor.maps.objects.object_probabilities`. Both outvote what is smaller than a
    window or a segment.
    """
    if isinstance(rules, SmoothingRules):
        return smooth_probabilities(probabilities, rules)
    return object_probabilities(probabilities, image, rules)


def surroundings(window: Window, rules: GeneraliseRules, geobox: GeoBox) -> tuple[Window, Window]:
    """Ground that the generalised map of a window depends on.

    Parameters
    ----------
    window : tuple of slice
        Rows and columns of ``geobox``.
    rules : SmoothingRules or ObjectRules
    geobox : GeoBox
        The whole grid.

    Returns
    -------
    wide, inner : tuple of slice
        The wider window, and where the first one lies in it. Wider by the radius of the smoothing,
        or as far as the lines of the segments' lattice, which starts at the grid's first pixel.
    """
    if isinstance(rules, SmoothingRules):
        return widen(window, rules.radius_px, geobox)
    return _whole_cells(window, rules.block_px, geobox)


def _whole_cells(window: Window, cell_px: int, geobox: GeoBox) -> tuple[Window, Window]:
    wide, inner = [], []
    for part, extent in zip(window, geobox.shape, strict=True):
        start = part.start // cell_px * cell_px
        stop = min(-(-part.stop // cell_px) * cell_px, extent)
        wide.append(slice(start, stop))
        inner.append(slice(part.start - start, part.stop - start))
    return (wide[0], wide[1]), (inner[0], inner[1])
