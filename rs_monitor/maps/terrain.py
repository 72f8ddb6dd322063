"""Terrain maps from a DEM."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import GridMismatch, QuantityError, UnsuitableCRS
from rs_monitor.grid import describe, row_spacing_m
from rs_monitor.kernels.gradients import Gradient
from rs_monitor.kernels.relief import (
    NEIGHBOUR_DEPTH_PX,
    Curvature,
    Ruggedness,
    curvature_per_m,
    local_relief_m,
    roughness_m,
    terrain_ruggedness_m,
    topographic_position_m,
)
from rs_monitor.kernels.terrain import (
    SLOPE_DEPTH_PX,
    aspect_deg,
    slope_aspect_hillshade,
    slope_deg,
)
from rs_monitor.kernels.terrain import hillshade as hillshade_share
from rs_monitor.lazy import map_window

Spacing = tuple[NDArray[np.float64], NDArray[np.float64]]

CITATIONS = {
    "horn": "Horn (1981), doi:10.1109/PROC.1981.11918",
    "zevenbergen_thorne": "Zevenbergen & Thorne (1987), doi:10.1002/esp.3290120107",
    "riley": "Riley, DeGloria & Elliot (1999), Intermountain Journal of Sciences 5, 23-27",
    "wilson": "Wilson et al. (2007), doi:10.1080/01490410701295962",
}
"""Sources of the methods, as they stand in the attributes of a map."""

_LONG_NAMES = {
    "slope_deg": "slope",
    "aspect_deg": "direction the ground falls towards, clockwise from grid north",
    "hillshade": "cosine of the sun's incidence, 0 = turned away",
}
_UNITS = {"slope_deg": "degree", "aspect_deg": "degree", "hillshade": "1"}


def slope(dem: xr.DataArray, geobox: GeoBox, *, method: Gradient = "horn") -> xr.DataArray:
    """Slope of a DEM.

    Parameters
    ----------
    dem : DataArray of float
        y, x; metres; NaN = unknown.
    geobox : GeoBox
        Its grid: projected in metres, or geographic in degrees. There every row has its own
        metres per pixel on the ellipsoid of the CRS.
    method : {'horn', 'zevenbergen_thorne'}
        Gradient: eight neighbours weighted 1-2-1 (Horn 1981), or the four nearest (Zevenbergen &
        Thorne 1987).

    Returns
    -------
    DataArray of float32
        Degrees; NaN on the outermost ring and where one of the nine cells is unknown.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        As :func:`rs_monitor.grid.row_spacing_m`.
    GridMismatch, QuantityError
        If the DEM has another shape than its grid, or is not float: integers cannot say where
        the ground is unknown.
    """
    spacing = _checked(dem, geobox, "slope")
    return _gradient_map(slope_deg, dem, spacing, "slope_deg", method)


def aspect(dem: xr.DataArray, geobox: GeoBox, *, method: Gradient = "horn") -> xr.DataArray:
    """Direction the ground falls towards.

    Parameters and errors as in :func:`slope`; row 0 must be in the north.

    Returns
    -------
    DataArray of float32
        Degrees clockwise from north of the grid, 0 to below 360; NaN on level ground, on the
        outermost ring and beside unknown cells.
    """
    spacing = _checked(dem, geobox, "aspect", facing=True)
    return _gradient_map(aspect_deg, dem, spacing, "aspect_deg", method)


def hillshade(
    dem: xr.DataArray,
    geobox: GeoBox,
    *,
    sun_azimuth_deg: float = 315.0,
    sun_elevation_deg: float = 45.0,
    z_factor: float = 1.0,
    method: Gradient = "horn",
) -> xr.DataArray:
    """Share of the light of a sun that the ground receives, for display.

    Parameters
    ----------
    dem, geobox, method
        As in :func:`slope`; row 0 must be in the north.
    sun_azimuth_deg, sun_elevation_deg : float
        Clockwise from north of the grid; above the horizon. The cartographers' sun by default.
    z_factor : float
        Exaggeration of the heights.

    Returns
    -------
    DataArray of float32
        Cosine of the angle of incidence, 0 to 1; NaN on the outermost ring and beside unknown
        cells; level ground has the sine of the sun's elevation.
    """
    spacing = _checked(dem, geobox, "hillshade", facing=True)
    sun = _sun(sun_azimuth_deg, sun_elevation_deg, z_factor)
    return _gradient_map(partial(hillshade_share, **sun), dem, spacing, "hillshade", method, sun)


def slope_aspect_and_hillshade(
    dem: xr.DataArray,
    geobox: GeoBox,
    *,
    sun_azimuth_deg: float = 315.0,
    sun_elevation_deg: float = 45.0,
    z_factor: float = 1.0,
    method: Gradient = "horn",
) -> xr.Dataset:
    """Slope, aspect and hillshade in one pass over the DEM.

    Parameters and errors as in :func:`hillshade`.

    Returns
    -------
    Dataset of float32
        ``slope_deg``, ``aspect_deg``, ``hillshade``: the same numbers as of the three functions.
    """
    spacing = _checked(dem, geobox, "slope, aspect and hillshade", facing=True)
    sun = _sun(sun_azimuth_deg, sun_elevation_deg, z_factor)
    names = list(_UNITS)
    whole = map_window(
        partial(slope_aspect_hillshade, method=method, **sun),
        dem,
        depth_px=SLOPE_DEPTH_PX,
        dtype=np.float32,
        name="terrain",
        attrs={},
        per_row=spacing,
        layers=("layer", names),
    )
    light: dict[str, dict[str, Any]] = {"slope_deg": {}, "aspect_deg": {}, "hillshade": sun}
    maps = {
        name: whole.isel(layer=number, drop=True).assign_attrs(
            _attributes(name, method, light[name])
        )
        for number, name in enumerate(names)
    }
    return xr.Dataset(maps)


def curvature(dem: xr.DataArray, geobox: GeoBox, *, kind: Curvature) -> xr.DataArray:
    """Curvature of the ground along the fall line or the contour.

    Parameters
    ----------
    dem, geobox
        As in :func:`slope`.
    kind : {'profile', 'plan'}
        See :func:`rs_monitor.kernels.relief.curvature_per_m`, which names the formulas.

    Returns
    -------
    DataArray of float32
        1 / m, positive = convex; NaN on level ground, on the outermost ring and beside unknown
        cells.
    """
    dx_m, dy_m = _checked(dem, geobox, "curvature")
    return map_window(
        partial(curvature_per_m, kind=kind),
        dem,
        depth_px=NEIGHBOUR_DEPTH_PX,
        dtype=np.float32,
        name=f"{kind}_curvature_per_m",
        attrs={
            "long_name": f"{kind} curvature",
            "units": "1/m",
            "method": "zevenbergen_thorne",
            "citation": CITATIONS["zevenbergen_thorne"],
        },
        per_row=(dx_m, dy_m),
    )


def terrain_ruggedness(
    dem: xr.DataArray, geobox: GeoBox, *, method: Ruggedness = "riley"
) -> xr.DataArray:
    """Terrain ruggedness index, metres.

    Differences to eight neighbours, however far they lie: the index grows with the pixel, and on a
    geographic grid with the latitude.

    Parameters
    ----------
    dem, geobox
        As in :func:`slope`; grids in any unit.
    method : {'riley', 'wilson'}
        Root of the sum of squares (Riley et al. 1999), or mean absolute difference (Wilson et al.
        2007).

    Returns
    -------
    DataArray of float32
        NaN on the outermost ring and beside unknown cells.
    """
    kernel = partial(terrain_ruggedness_m, method=method)
    attrs = {"long_name": "terrain ruggedness index", "method": method}
    return _of_neighbours(kernel, dem, geobox, "terrain_ruggedness_m", attrs, method)


def roughness(dem: xr.DataArray, geobox: GeoBox) -> xr.DataArray:
    """Largest less smallest height among a cell and its neighbours, metres (Wilson et al. 2007).

    Parameters and unknown cells as in :func:`terrain_ruggedness`.
    """
    attrs = {"long_name": "roughness", "method": "range of nine cells"}
    return _of_neighbours(roughness_m, dem, geobox, "roughness_m", attrs, "wilson")


def topographic_position(dem: xr.DataArray, geobox: GeoBox) -> xr.DataArray:
    """Height above the mean of the eight neighbours, metres (Wilson et al. 2007).

    Parameters and unknown cells as in :func:`terrain_ruggedness`.
    """
    attrs = {"long_name": "topographic position index", "method": "less mean of eight cells"}
    return _of_neighbours(
        topographic_position_m, dem, geobox, "topographic_position_m", attrs, "wilson"
    )


def relief(dem: xr.DataArray, geobox: GeoBox, *, radius_px: int) -> xr.DataArray:
    """Largest less smallest height within a distance, metres.

    Parameters
    ----------
    dem, geobox
        As in :func:`slope`; grids in any unit.
    radius_px : int
        Cells whose centres lie no farther count.

    Returns
    -------
    DataArray of float32
        NaN where the circle leaves the grid or holds an unknown cell.
    """
    require_fit(dem, geobox, "relief")
    return map_window(
        partial(local_relief_m, radius_px=radius_px),
        dem,
        depth_px=radius_px,
        dtype=np.float32,
        name="relief_m",
        attrs={
            "long_name": "local relief",
            "units": "m",
            "method": "range within a circle",
            "radius_px": radius_px,
        },
    )


def _gradient_map(
    kernel: Any,
    dem: xr.DataArray,
    spacing: Spacing,
    name: str,
    method: Gradient,
    sun: Mapping[str, float] | None = None,
) -> xr.DataArray:
    return map_window(
        partial(kernel, method=method),
        dem,
        depth_px=SLOPE_DEPTH_PX,
        dtype=np.float32,
        name=name,
        attrs=_attributes(name, method, sun or {}),
        per_row=spacing,
    )


def _of_neighbours(
    kernel: Any,
    dem: xr.DataArray,
    geobox: GeoBox,
    name: str,
    attrs: Mapping[str, str],
    source: str,
) -> xr.DataArray:
    require_fit(dem, geobox, name)
    return map_window(
        kernel,
        dem,
        depth_px=NEIGHBOUR_DEPTH_PX,
        dtype=np.float32,
        name=name,
        attrs={**attrs, "units": "m", "citation": CITATIONS[source]},
    )


def _sun(azimuth_deg: float, elevation_deg: float, z_factor: float) -> dict[str, Any]:
    return {
        "sun_azimuth_deg": azimuth_deg,
        "sun_elevation_deg": elevation_deg,
        "z_factor": z_factor,
    }


def _attributes(name: str, method: Gradient, sun: Mapping[str, float]) -> dict[str, Any]:
    return {
        "long_name": _LONG_NAMES[name],
        "units": _UNITS[name],
        "method": method,
        "citation": CITATIONS[method],
        **sun,
    }


def _checked(dem: xr.DataArray, geobox: GeoBox, purpose: str, *, facing: bool = False) -> Spacing:
    spacing = row_spacing_m(geobox, purpose)
    require_fit(dem, geobox, purpose)
    if facing:
        require_north_up(geobox, purpose)
    return spacing


def require_north_up(geobox: GeoBox, purpose: str) -> None:
    """Refuse a grid whose row 0 is not in the north or whose column 0 is not in the west.

    Raises
    ------
    UnsuitableCRS
    """
    if geobox.affine.a < 0 or geobox.affine.e > 0:
        raise UnsuitableCRS(
            f"got a grid upside down or mirrored ({describe(geobox)}); {purpose} needs row 0 in "
            "the north and column 0 in the west; flip the array and its grid"
        )


def require_fit(dem: xr.DataArray, geobox: GeoBox, purpose: str) -> None:
    """Refuse elevations that are not float, or not on their grid.

    Raises
    ------
    GridMismatch, QuantityError
    """
    if dem.dims != ("y", "x") or dem.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got elevations of {dict(dem.sizes)} and the grid {describe(geobox)}; {purpose} "
            "needs y, x of that grid; load the DEM on it"
        )
    require_float(dem.dtype, "elevations", purpose)


def require_float(dtype: np.dtype[Any], what: str, purpose: str) -> None:
    """Refuse numbers that cannot say where nothing is known.

    Raises
    ------
    QuantityError
    """
    if not np.issubdtype(dtype, np.floating):
        raise QuantityError(
            f"got {what} as {dtype}; {purpose} needs float with NaN where the ground is "
            "unknown; convert them and set the file's nodata to NaN"
        )
