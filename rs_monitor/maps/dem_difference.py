"""Cut and fill between two elevation models, with the uncertainty of depths and volumes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import fft, stats

from rs_monitor.errors import GridMismatch, MissingCRS, NoObservations
from rs_monitor.grid import pixel_area_m2, require_projected
from rs_monitor.lazy import map_pixels
from rs_monitor.maps.cover import Cover, cover_of, sample
from rs_monitor.maps.dem_shift import SMALLEST_M, nmad
from rs_monitor.maps.slope_error import DemError
from rs_monitor.maps.terrain import require_float
from rs_monitor.maps.terrain_rules import DifferenceRules

FloatArray = NDArray[np.float64]

_CLIP_NMAD = 3.0
"""Differences further from the median are no errors but changes or blunders."""

_FEWEST_LAGS = 3
"""Sill, share and range are fitted."""

_RANGES = 80
"""Ranges tried, evenly spaced in their logarithm."""


def elevation_change(before: xr.DataArray, after: xr.DataArray) -> xr.DataArray:
    """Height after less height before; a cut is negative.

    Parameters
    ----------
    before, after : DataArray of float
        y, x; metres, on one grid and co-registered; NaN = unknown.

    Returns
    -------
    DataArray of float32
        Metres; NaN where one of them is unknown.

    Raises
    ------
    GridMismatch
        If the coordinates differ.
    QuantityError
        If one of them is not float.
    """
    for heights in (before, after):
        require_float(heights.dtype, "elevations", "a change of elevation")

    def change(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float32]:
        return (other.astype(np.float64) - one).astype(np.float32)

    return map_pixels(
        change,
        before,
        after,
        dtype=np.float32,
        name="elevation_change",
        attrs={"long_name": "elevation after less before", "units": "m"},
    )


def difference_error(
    change_m: NDArray[np.floating],
    stable: NDArray[np.bool_],
    geobox: GeoBox,
    correlation: Literal["exponential", "gaussian", "spherical"],
    rules: DifferenceRules,
) -> DemError:
    """Measure the error of a DEM difference on ground that did not change.

    Parameters
    ----------
    change_m : ndarray of float, shape (y, x)
        Of :func:`elevation_change`.
    stable : ndarray of bool, shape (y, x)
    geobox : GeoBox
        Their projected grid.
    correlation : {"exponential", "gaussian", "spherical"}
        Form of the correlation; its range and share are fitted.
    rules : DifferenceRules

    Returns
    -------
    DemError
        Spread: NMAD. Range and correlated share: least squares on the variogram of all pairs up
        to a third of the shorter edge, weighted by their number; a longer range is not seen.

    Raises
    ------
    GridMismatch, QuantityError, UnsuitableCRS
    NoObservations
        With fewer stable cells than the rules ask for; if most differences are equal (rounded
        heights, or copies); on a grid too narrow for a variogram of three distances.

    Notes
    -----
    Hugonnet et al. (2022), doi:10.1109/JSTARS.2022.3188922, with one spread for all ground and one
    correlated part besides white noise. Variogram by Fourier transform: Marcotte (1996),
    doi:10.1016/S0098-3004(96)00026-X.
    """
    require_projected(geobox, "a DEM difference")
    if not change_m.shape == stable.shape == tuple(geobox.shape):
        raise GridMismatch(
            f"got differences of {change_m.shape}, stable ground of {stable.shape} and a grid of "
            f"{tuple(geobox.shape)}; needed one grid; resample them onto it"
        )
    require_float(change_m.dtype, "differences", "an error model")
    known = np.where(stable, change_m, np.nan).astype(np.float64)
    if np.isfinite(known).sum() < rules.min_cells.value:
        raise NoObservations(
            f"got {int(np.isfinite(known).sum())} known stable cells; an error model needs "
            f"{rules.min_cells.value}; give a larger area or more stable ground"
        )
    sigma = nmad(known)
    if sigma < SMALLEST_M:
        raise NoObservations(
            f"got differences that mostly are equal (spread {sigma:g} m); an error model needs "
            "heights that are not rounded, of two surveys; give the unrounded DEMs"
        )
    known -= np.nanmedian(known)
    known[np.abs(known) > _CLIP_NMAD * sigma] = np.nan
    edges_m = abs(geobox.resolution.x), abs(geobox.resolution.y)
    lags = _variogram(known, *edges_m)
    if lags.lag_m.size < _FEWEST_LAGS:
        raise NoObservations(
            f"got stable cells at {lags.lag_m.size} distances up to a third of the grid's shorter "
            f"edge ({tuple(geobox.shape)} cells); a variogram needs {_FEWEST_LAGS}; give a larger "
            "area"
        )
    return _fitted(lags, sigma, correlation, min(edges_m))


class _Variogram(NamedTuple):
    """Half the mean squared difference of pairs, by their distance."""

    lag_m: FloatArray
    gamma: FloatArray
    pairs: FloatArray


def _variogram(values: FloatArray, dx_m: float, dy_m: float) -> _Variogram:
    seen = np.isfinite(values)
    z = np.where(seen, values, 0.0)
    size = [fft.next_fast_len(2 * n, real=True) for n in values.shape]
    one, two, ones = (fft.rfft2(a, s=size) for a in (z, z * z, seen.astype(np.float64)))
    pairs = fft.irfft2(np.abs(ones) ** 2, s=size)
    squares = fft.irfft2(2 * (two * ones.conj()).real - 2 * np.abs(one) ** 2, s=size)
    rows, cols = (np.minimum(np.arange(n), n - np.arange(n)) for n in size)
    lag = np.hypot(rows[:, np.newaxis] * dy_m, cols * dx_m)
    step = min(dx_m, dy_m)
    longest = min(values.shape[0] * dy_m, values.shape[1] * dx_m) / 3.0
    # each pair of cells stands in the table twice
    near = (lag > 0) & (lag <= longest) & (pairs > 0.5)
    bins = np.rint(lag[near] / step).astype(int)
    count = np.bincount(bins, weights=pairs[near])
    total = np.bincount(bins, weights=squares[near])
    mean_lag = np.bincount(bins, weights=pairs[near] * lag[near])
    some = count > 0
    return _Variogram(
        mean_lag[some] / count[some], 0.5 * total[some] / count[some], count[some] / 2.0
    )


def _fitted(
    lags: _Variogram,
    sigma_m: float,
    correlation: Literal["exponential", "gaussian", "spherical"],
    shortest_m: float,
) -> DemError:
    """Range and share that fit best: gamma = sill - part * correlation."""
    weight = np.sqrt(lags.pairs)
    best, least = None, np.inf
    for range_m in np.geomspace(shortest_m / 3.0, max(lags.lag_m.max(), shortest_m), _RANGES):
        shape = DemError(sigma_m=1.0, range_m=float(range_m), correlation=correlation)
        design = np.stack([np.ones_like(weight), -shape.at(lags.lag_m)], axis=1)
        (sill, part), *_ = np.linalg.lstsq(
            design * weight[:, None], lags.gamma * weight, rcond=None
        )
        misfit = float((((design @ (sill, part) - lags.gamma) * weight) ** 2).sum())
        if sill > 0 and part >= 0 and misfit < least:
            least = misfit
            best = (float(range_m), min(1.0, float(part / sill)))
    range_m, share = best if best is not None else (shortest_m, 0.0)
    return DemError(
        sigma_m=sigma_m, range_m=range_m, correlation=correlation, correlated_fraction=share
    )


def cut_fill(
    patches: gpd.GeoDataFrame,
    change_m: xr.DataArray | NDArray[np.floating],
    geobox: GeoBox,
    *,
    error: DemError,
    up_sd_m: float,
    rules: DifferenceRules,
) -> pd.DataFrame:
    """Cut and fill of each patch, each volume with its standard error.

    Parameters
    ----------
    patches : GeoDataFrame
        Polygons.
    change_m : DataArray or ndarray of float, shape (y, x)
        Height after less before, metres, of co-registered DEMs; computed here if lazy.
    geobox : GeoBox
        Its projected grid.
    error : DemError
        Error of the differences, e.g. of :func:`difference_error`.
    up_sd_m : float
        Standard deviation of the vertical co-registration, common to all cells.
    rules : DifferenceRules

    Returns
    -------
    DataFrame
        Index of the patches. ``net_m3`` (fill less cut, all known cells: unbiased),
        ``cut_m3`` and ``fill_m3`` (both positive, cells beyond ``detection_limit_m`` only),
        each with ``_se_m3``; ``mean_change_m``; ``cut_area_m2``, ``fill_area_m2``,
        ``deep_cut_area_m2`` (fallen by more than ``deep_cut_m`` as well, rule NEG-03);
        ``noise_m3``; ``significant`` (net beyond the confidence factor); ``seen_share``: what is
        unknown is not filled in, so a volume is that of the seen part.

    Raises
    ------
    GridMismatch, MissingCRS, QuantityError, UnsuitableCRS
    NoObservations
        If the spread of the co-registration is unknown.

    Notes
    -----
    Variance of a sum over cells of areas a: sigma^2 sum_ij a_i a_j rho(d_ij) + up_sd^2 (sum a)^2,
    the sum over all pairs, whatever the shape of the patch; for large round patches it becomes
    the integral of Rolstad, Haug & Denby (2009), doi:10.3189/002214309789470950. Areas are those
    of the cells on the CGCS2000 ellipsoid. Ground cut or filled by less than the limit is missing
    from ``cut_m3`` and ``fill_m3``, and cells beyond it by error alone are in them: of unchanged
    ground their volume would be ``noise_m3``, which their standard errors include.
    """
    values = np.asarray(change_m)
    if values.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got differences of shape {values.shape}; needed the grid's {tuple(geobox.shape)}; "
            "give the grid they were made on"
        )
    require_float(values.dtype, "differences", "a volume")
    if not (np.isfinite(up_sd_m) and up_sd_m >= 0):
        raise NoObservations(
            f"got a vertical co-registration known to {up_sd_m:g} m; a volume needs its standard "
            "deviation, 0 or more; co-register on a larger stable area"
        )
    if patches.crs is None:
        raise MissingCRS("got patches without CRS; an overlay needs one; read with read_layer")
    row_area_m2 = pixel_area_m2(require_projected(geobox, "volumes"))
    edges_m = abs(geobox.resolution.x), abs(geobox.resolution.y)
    errors = _Errors(error, up_sd_m, *edges_m)
    covers = [cover_of(shape, patches.crs, geobox) for shape in patches.geometry]
    # the empty cover, cut off again, gives a table of no patches its columns
    rows = [
        _patch_volumes(cover, values, row_area_m2, errors, rules)
        for cover in [*covers, Cover.nowhere()]
    ]
    return pd.DataFrame(rows).iloc[:-1].set_axis(patches.index)


class _Errors(NamedTuple):
    """Error of a difference on the grid."""

    error: DemError
    up_sd_m: float
    dx_m: float
    dy_m: float

    def of_sum(self, cover: Cover, area_m2: FloatArray) -> float:
        """Standard deviation of the sum of errors times areas over some cells."""
        if not area_m2.size:
            return 0.0
        window = np.zeros((np.ptp(cover.row) + 1, np.ptp(cover.col) + 1))
        window[cover.row - cover.row.min(), cover.col - cover.col.min()] = area_m2
        size = [fft.next_fast_len(2 * n, real=True) for n in window.shape]
        products = fft.irfft2(np.abs(fft.rfft2(window, s=size)) ** 2, s=size)
        rows, cols = (np.minimum(np.arange(n), n - np.arange(n)) for n in size)
        lag = np.hypot(rows[:, np.newaxis] * self.dy_m, cols * self.dx_m)
        pairs = float((products * self.error.at(lag)).sum())
        common = (self.up_sd_m * float(area_m2.sum())) ** 2
        return float(np.sqrt(max(self.error.sigma_m**2 * pairs, 0.0) + common))


def _patch_volumes(
    cover: Cover,
    values: NDArray[Any],
    row_area_m2: FloatArray,
    errors: _Errors,
    rules: DifferenceRules,
) -> dict[str, Any]:
    change = sample(values, cover, np.nan).astype(np.float64)
    known = np.isfinite(change)
    inner = np.clip(cover.row, 0, row_area_m2.size - 1)
    area = row_area_m2[inner] * cover.fraction
    factor = rules.confidence_factor.value
    spread = float(np.hypot(errors.error.sigma_m, errors.up_sd_m))
    limit = factor * spread
    # mean of a normal error beyond the limit on one side, over all that was seen
    noise_m3 = spread * float(stats.norm.pdf(factor)) * float(area[known].sum())
    found: dict[str, Any] = {"detection_limit_m": limit, "noise_m3": noise_m3}
    for name, cells, sign, doubt_m3 in (
        ("net", known, 1.0, 0.0),
        ("cut", known & (change < -limit), -1.0, noise_m3),
        ("fill", known & (change > limit), 1.0, noise_m3),
    ):
        part = Cover(cover.row[cells], cover.col[cells], cover.fraction[cells])
        found[f"{name}_m3"] = sign * float(change[cells] @ area[cells]) + 0.0
        found[f"{name}_se_m3"] = float(np.hypot(errors.of_sum(part, area[cells]), doubt_m3))
        found[f"{name}_area_m2"] = float(area[cells].sum())
    deep = known & (change < -max(limit, rules.deep_cut_m.value))
    seen_m2 = found.pop("net_area_m2")
    return found | {
        "deep_cut_area_m2": float(area[deep].sum()),
        "mean_change_m": found["net_m3"] / seen_m2 if seen_m2 else float("nan"),
        "significant": bool(abs(found["net_m3"]) > factor * found["net_se_m3"]),
        "seen_share": seen_m2 / float(area.sum()) if area.size else 0.0,
    }
