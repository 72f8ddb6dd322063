"""What the error of an elevation model does to a slope held against a limit."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field

from rs_monitor.codes import SLOPE_LIMIT_STYLE, SlopeLimit
from rs_monitor.config.tables import Model
from rs_monitor.errors import ConfigError
from rs_monitor.grid import require_projected
from rs_monitor.kernels.exceedance import gradient_exceedance
from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX, gradient_horn, slope_horn_deg
from rs_monitor.lazy import map_pixels, map_window
from rs_monitor.maps.terrain import require_fit
from rs_monitor.maps.terrain_rules import BorderlineRules

FloatArray = NDArray[np.float64]


class DemError(Model):
    """Normal, stationary, isotropic error of an elevation model or of a difference of two.

    The correlation at distance h is ``correlated_fraction`` times exp(-h/range) (exponential),
    exp(-(h/range)^2) (gaussian) or 1 - 1.5 h/range + 0.5 (h/range)^3 up to the range and 0 beyond
    (spherical); the remaining variance is white noise of the cells.
    """

    sigma_m: float = Field(ge=0, description="standard deviation, metres")
    range_m: float = Field(gt=0, description="range of the correlation, metres")
    correlation: Literal["exponential", "gaussian", "spherical"]
    correlated_fraction: float = Field(1.0, ge=0, le=1, description="of the variance")

    def at(self, distance_m: FloatArray) -> FloatArray:
        """Correlation of the errors of two cells at a distance."""
        h = np.asarray(distance_m, dtype=np.float64) / self.range_m
        if self.correlation == "exponential":
            smooth = np.exp(-h)
        elif self.correlation == "gaussian":
            smooth = np.exp(-h * h)
        else:
            near = np.minimum(h, 1.0)
            smooth = 1.0 - 1.5 * near + 0.5 * near**3
        return np.where(h == 0.0, 1.0, self.correlated_fraction * smooth)

    def describe(self) -> str:
        """One line for attributes and reports."""
        return (
            f"normal, sd {self.sigma_m:g} m, {self.correlation} correlation of range "
            f"{self.range_m:g} m on {self.correlated_fraction:g} of the variance"
        )


def gradient_sd(error: DemError, dx_m: float, dy_m: float) -> tuple[float, float]:
    """Standard deviations of the two parts of a Horn gradient under a DEM error.

    Parameters
    ----------
    error : DemError
    dx_m, dy_m : float
        Cell edges, metres.

    Returns
    -------
    east, north : float
        Metres per metre. The two errors are uncorrelated: mirroring the window east-west turns
        the sign of one only, and the correlation depends on distance alone.
    """
    offsets = np.array([-1.0, 0.0, 1.0])
    x, y = (a.ravel() for a in np.meshgrid(offsets * dx_m, offsets * dy_m))
    correlation = error.at(np.hypot(x[:, None] - x, y[:, None] - y))
    smooth = np.array([1.0, 2.0, 1.0])
    east = np.outer(smooth, offsets).ravel() / (8.0 * dx_m)
    north = np.outer(offsets, smooth).ravel() / (8.0 * dy_m)
    sd_east, sd_north = (
        error.sigma_m * math.sqrt(max(float(w @ correlation @ w), 0.0)) for w in (east, north)
    )
    return sd_east, sd_north


def exceedance_probability(
    dem: xr.DataArray, geobox: GeoBox, limit_deg: float, error: DemError
) -> xr.DataArray:
    """Probability that the ground is steeper than a limit, given what the DEM is worth.

    Parameters
    ----------
    dem : DataArray of float
        y, x; metres; NaN = unknown.
    geobox : GeoBox
        Its projected grid.
    limit_deg : float
        Degrees, between 0 and 90.
    error : DemError
        Error of the heights.

    Returns
    -------
    DataArray of float32
        0-1; NaN on the outermost ring and beside unknown cells. Slope of the 3 x 3 window after
        Horn: relief finer than the cells is not part of the error.

    Raises
    ------
    ConfigError
        If the limit is no slope.
    MissingCRS, UnsuitableCRS
        Without metres.
    GridMismatch, QuantityError
        If the DEM is not on the grid, or not float.

    Notes
    -----
    The true gradient is the measured one less a normal error whose variance follows from Horn's
    weights and the correlation (Hunter & Goodchild 1997, doi:10.1111/j.1538-4632.1997.tb00944.x;
    Oksanen & Sarjakoski 2005, doi:10.1016/j.cageo.2005.02.014); its length is then Rice
    distributed. A measured slope overstates gentle ground, because noise adds to the length of
    the gradient; this is not corrected for. :func:`simulated_exceedance` is its check.
    """
    if not 0.0 < limit_deg < 90.0:
        raise ConfigError(
            "limit_deg", [f"got {limit_deg:g}; needed degrees between 0 and 90; give a slope"]
        )
    require_projected(geobox, "a slope and its error")
    require_fit(dem, geobox, "a slope and its error")
    dx, dy = abs(geobox.resolution.x), abs(geobox.resolution.y)
    sd_east, sd_north = gradient_sd(error, dx, dy)
    limit = math.tan(math.radians(limit_deg))

    def exceeds(values: NDArray[np.float32]) -> NDArray[np.float32]:
        p, q = gradient_horn(values, dx, dy)
        return gradient_exceedance(p, q, sd_east=sd_east, sd_north=sd_north, limit=limit)

    return map_window(
        exceeds,
        dem,
        depth_px=SLOPE_DEPTH_PX,
        dtype=np.float32,
        name="probability_above",
        attrs={
            "long_name": f"probability of a slope above {limit_deg:g} degrees",
            "units": "1",
            "method": "Horn1981 gradient, bivariate normal error",
            "limit_deg": limit_deg,
            "error_model": error.describe(),
        },
    )


def slope_limit(probability: xr.DataArray, rules: BorderlineRules) -> xr.DataArray:
    """Side of its limit a slope lies on, or borderline.

    Parameters
    ----------
    probability : DataArray of float
        Of :func:`exceedance_probability`; NaN = unknown.
    rules : BorderlineRules
        Probabilities the borderline lies between, both included.

    Returns
    -------
    DataArray of uint8
        Values of ``codes.SlopeLimit``; 0 = unknown.
    """
    low, high = rules.min_probability.value, rules.max_probability.value

    def side(values: NDArray[np.float32]) -> NDArray[np.uint8]:
        code = np.full(values.shape, SlopeLimit.BORDERLINE, dtype=np.uint8)
        code[values < low] = SlopeLimit.BELOW
        code[values > high] = SlopeLimit.ABOVE
        code[np.isnan(values)] = SlopeLimit.UNKNOWN
        return code

    attrs = {
        "long_name": "slope against its limit",
        "flag_values": [int(code) for code in SLOPE_LIMIT_STYLE],
        "flag_meanings": " ".join(style.name for style in SLOPE_LIMIT_STYLE.values()),
        "borderline": [low, high],
    }
    return map_pixels(side, probability, dtype=np.uint8, name="slope_limit", attrs=attrs)


def simulate_error(
    shape: tuple[int, int], cell_m: tuple[float, float], error: DemError, *, seed: int
) -> FloatArray:
    """Draw one field of DEM errors.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    cell_m : tuple of float
        Cell edges dx, dy, metres.
    error : DemError
        Of the field.
    seed : int
        Equal seeds give equal fields of equal shape; a field is drawn whole, never by chunks.

    Returns
    -------
    ndarray of float64, shape (y, x)
        Metres.

    Notes
    -----
    Circulant embedding (Dietrich & Newsam 1997, doi:10.1137/S1064827592240555) on a torus at
    least twice as wide and eight ranges longer; eigenvalues below zero are set to zero.
    """
    size = [
        _even(max(2 * n, n + math.ceil(8 * error.range_m / edge)))
        for n, edge in zip(shape, (cell_m[1], cell_m[0]), strict=True)
    ]
    lag_y, lag_x = (
        np.minimum(np.arange(n), n - np.arange(n)) * edge
        for n, edge in zip(size, (cell_m[1], cell_m[0]), strict=True)
    )
    correlation = error.at(np.hypot(lag_y[:, None], lag_x))
    amplitude = np.sqrt(np.maximum(np.fft.rfft2(correlation).real, 0.0))
    white = np.random.default_rng(seed).standard_normal(size)
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=size)
    return error.sigma_m * field[: shape[0], : shape[1]]


def _even(n: int) -> int:
    return n + n % 2


def simulated_exceedance(
    dem: NDArray[np.floating],
    cell_m: tuple[float, float],
    limit_deg: float,
    error: DemError,
    *,
    runs: int,
    seed: int,
) -> FloatArray:
    """Share of simulated surfaces that are steeper than a limit; the check of the formula.

    Parameters
    ----------
    dem : ndarray of float, shape (y, x)
        Metres, NaN = unknown.
    cell_m : tuple of float
        Cell edges dx, dy, metres.
    limit_deg, error
        As in :func:`exceedance_probability`.
    runs, seed : int
        Surfaces drawn, and the seed of the first.

    Returns
    -------
    ndarray of float64, shape (y, x)
        NaN where the slope is unknown.
    """
    steeper = np.zeros(dem.shape)
    for run in range(runs):
        surface = dem - simulate_error(dem.shape, cell_m, error, seed=seed + run)
        found = slope_horn_deg(surface, *cell_m)
        steeper += np.where(np.isnan(found), np.nan, found > limit_deg)
    return steeper / runs
