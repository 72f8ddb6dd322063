"""Co-registration of two elevation models: the shift between them, and its undoing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import GridMismatch, NoObservations
from rs_monitor.grid import require_projected
from rs_monitor.kernels.terrain import gradient_horn
from rs_monitor.lazy import map_window
from rs_monitor.maps.terrain import require_fit, require_float, require_north_up
from rs_monitor.maps.terrain_rules import DifferenceRules

FloatArray = NDArray[np.float64]
Method = Literal["bilinear", "bicubic"]

NMAD = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""

_UNKNOWNS = 3

SMALLEST_M = 1e-6
"""Spread below which differences are rounding."""

_DISTINCT_SHARE = 0.5
"""Share of distinct heights under which they are rounded; measured ones hardly repeat."""


@dataclass(frozen=True, slots=True)
class DemShift:
    """How a moving DEM must be shifted to lie on its reference.

    Attributes
    ----------
    east_m, north_m, up_m : float
        Added to the coordinates and heights of the moving DEM.
    east_sd_m, north_sd_m, up_sd_m : float
        Standard deviations; see :func:`coregister`.
    nmad_before_m, nmad_after_m : float
        Robust spread of the differences on stable ground.
    n_cells : int
        Stable cells of the last fit.
    iterations : int
    converged : bool
        Whether the last step fell under the tolerance.
    """

    east_m: float
    north_m: float
    up_m: float
    east_sd_m: float
    north_sd_m: float
    up_sd_m: float
    nmad_before_m: float
    nmad_after_m: float
    n_cells: int
    iterations: int
    converged: bool


def nmad(values: NDArray[np.floating]) -> float:
    """Normalised median absolute deviation of the known values; NaN without any.

    Notes
    -----
    Hoehle & Hoehle (2009), doi:10.1016/j.isprsjprs.2009.02.003.
    """
    known = values[np.isfinite(values)].astype(np.float64)
    return NMAD * float(np.median(np.abs(known - np.median(known)))) if known.size else math.nan


def coregister(
    reference: NDArray[np.floating],
    moving: NDArray[np.floating],
    stable: NDArray[np.bool_],
    geobox: GeoBox,
    rules: DifferenceRules,
    *,
    method: Method = "bicubic",
) -> DemShift:
    """Find the shift of one DEM against another on ground that did not change.

    Parameters
    ----------
    reference, moving : ndarray of float, shape (y, x)
        Heights, metres, on one grid; NaN = unknown.
    stable : ndarray of bool, shape (y, x)
        Ground that did not change between them.
    geobox : GeoBox
        Their projected grid, north up.
    rules : DifferenceRules
    method : {"bicubic", "bilinear"}
        How the moving DEM is read between its cells.

    Returns
    -------
    DemShift

    Raises
    ------
    GridMismatch
        If shapes differ.
    NoObservations
        If too few stable cells are known on ground steep enough, or all slope one way; if heights
        are rounded so far that most differences are equal.
    QuantityError
        If heights are not float.
    MissingCRS, UnsuitableCRS
        Without metres, or with a grid upside down or mirrored.

    Notes
    -----
    Nuth & Kaeaeb (2011), doi:10.5194/tc-5-271-2011: dh / tan(slope) = a cos(b - aspect) + c, solved
    as dh = a tan(slope) cos(b - aspect) + up, which is linear in both parts of the shift, keeps
    the vertical shift apart and needs no mean slope. Tukey's biweight around the median, scaled
    by the NMAD; repeated on the moving DEM shifted afresh. The standard deviations are a
    jackknife over squares of ``jackknife_px``, which holds for errors correlated over less, and
    ``interpolation_px`` for reading between cells.
    """
    require_projected(geobox, "a co-registration")
    require_north_up(geobox, "a co-registration")
    for heights in (reference, moving):
        require_float(heights.dtype, "elevations", "a co-registration")
    shape = tuple(geobox.shape)
    if not reference.shape == moving.shape == stable.shape == shape:
        raise GridMismatch(
            f"got DEMs of shape {reference.shape} and {moving.shape}, stable ground of "
            f"{stable.shape}, a grid of {shape}; needed one grid; resample them onto it first"
        )
    cell_m = (abs(geobox.resolution.x), abs(geobox.resolution.y))
    rises = gradient_horn(reference, *cell_m)
    shift, before, solved, step = np.zeros(_UNKNOWNS), math.nan, 0, math.inf
    while True:
        dh = reference - shift_cells(moving, *_in_cells(shift, cell_m), method) - shift[2]
        fit = _Fit.of(rises, dh, stable, rules)
        if solved == 0:
            before = nmad(fit.dh)
            _require_unrounded(fit.dh, before, reference[stable])
        if step < rules.tolerance_px.value or solved >= rules.max_iterations.value:
            break
        update = fit.solve()
        shift += update
        solved += 1
        step = float(np.abs(update[:2] / cell_m).max())
    east_m, north_m, up_m = shift.tolist()
    between_cells = rules.interpolation_px.value * np.array([*cell_m, 0.0])
    east_sd_m, north_sd_m, up_sd_m = np.hypot(fit.jackknife_sd(), between_cells).tolist()
    return DemShift(
        east_m,
        north_m,
        up_m,
        east_sd_m,
        north_sd_m,
        up_sd_m,
        nmad_before_m=before,
        nmad_after_m=nmad(fit.dh),
        n_cells=fit.dh.size,
        iterations=solved,
        converged=step < rules.tolerance_px.value,
    )


def _require_unrounded(dh: FloatArray, spread_m: float, heights: NDArray[np.floating]) -> None:
    """Refuse whole metres: equal differences hide a shift. Copies with a local change pass."""
    known = heights[np.isfinite(heights)]
    distinct = np.unique(known).size
    if spread_m < SMALLEST_M < np.ptp(dh) and distinct < _DISTINCT_SHARE * known.size:
        raise NoObservations(
            f"got {known.size} heights of {distinct} values, whose differences mostly are equal; a "
            "co-registration needs heights that are not rounded; give the unrounded DEMs"
        )


def _in_cells(shift: FloatArray, cell_m: tuple[float, float]) -> tuple[float, float]:
    """Columns to the east and rows to the south."""
    return float(shift[0] / cell_m[0]), float(-shift[1] / cell_m[1])


@dataclass(frozen=True, slots=True)
class _Fit:
    """Weighted equations of one iteration, one row per stable cell."""

    dh: FloatArray
    design: FloatArray
    weight: FloatArray
    square: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        rises: tuple[FloatArray, FloatArray],
        dh: FloatArray,
        stable: NDArray[np.bool_],
        rules: DifferenceRules,
    ) -> _Fit:
        """Equations dh = -east * p - north * q + up on stable ground that is steep enough."""
        p, q = rises
        steep = np.hypot(p, q) >= math.tan(math.radians(rules.min_slope_deg.value))
        rows, cols = np.nonzero(stable & np.isfinite(dh) & steep)
        if rows.size < rules.min_cells.value:
            raise NoObservations(
                f"got {rows.size} known stable cells steeper than "
                f"{rules.min_slope_deg.value:g} degrees; a co-registration needs "
                f"{rules.min_cells.value}; give a larger area or more stable ground"
            )
        known = dh[rows, cols].astype(np.float64)
        design = np.stack([-p[rows, cols], -q[rows, cols], np.ones(rows.size)], axis=1)
        spread = max(nmad(known), SMALLEST_M)
        u = (known - np.median(known)) / (rules.outlier_nmad.value * spread)
        weight = np.where(np.abs(u) < 1, (1 - u * u) ** 2, 0.0)
        edge = rules.jackknife_px.value
        _, square = np.unique(
            (rows // edge) * (dh.shape[1] // edge + 1) + cols // edge, return_inverse=True
        )
        return cls(known, design, weight, square)

    def _normals(self) -> tuple[FloatArray, FloatArray]:
        """Normal equations of every square."""
        count = int(self.square.max()) + 1
        weighted = self.design * self.weight[:, np.newaxis]
        left, right = np.zeros((count, _UNKNOWNS, _UNKNOWNS)), np.zeros((count, _UNKNOWNS))
        np.add.at(left, self.square, weighted[:, :, np.newaxis] * self.design[:, np.newaxis, :])
        np.add.at(right, self.square, weighted * self.dh[:, np.newaxis])
        return left, right

    def solve(self) -> FloatArray:
        """Weighted least squares of all cells."""
        left, right = (part.sum(axis=0) for part in self._normals())
        if np.linalg.cond(left) > 1.0 / np.finfo(np.float32).eps:
            raise NoObservations(
                "got stable ground that slopes one way only; a shift needs slopes of several "
                "directions; give a larger area"
            )
        return np.asarray(np.linalg.solve(left, right))

    def jackknife_sd(self) -> FloatArray:
        """Spread of the solution when squares are left out in turn; NaN with fewer than four."""
        left, right = self._normals()
        count = left.shape[0]
        if count <= _UNKNOWNS:
            return np.full(_UNKNOWNS, np.nan)
        rest = left.sum(axis=0) - left, (right.sum(axis=0) - right)[:, :, np.newaxis]
        found = np.linalg.solve(*rest)[:, :, 0]
        return np.asarray(np.sqrt((count - 1) * found.var(axis=0)))


def shift_cells(
    values: NDArray[np.floating], columns: float, rows: float, method: Method
) -> FloatArray:
    """Move a raster by parts of a cell to the east and south, unknown cells kept unknown.

    Parameters
    ----------
    values : ndarray of float, shape (y, x)
        NaN = unknown: every result that would read it is NaN, as is what moves in from outside.
    columns, rows : float
        Cells to the east and to the south.
    method : {"bilinear", "bicubic"}
        Two or four cells along each axis; the cubic is that of Keys (1981,
        doi:10.1109/TASSP.1981.1163711) with a = -0.5.
    """
    moved = np.asarray(values, dtype=np.float64)
    for axis, distance in ((0, rows), (1, columns)):
        moved = _shift_axis(moved, distance, axis, method)
    return moved


def _shift_axis(values: FloatArray, distance: float, axis: int, method: Method) -> FloatArray:
    first = math.floor(-distance)
    out = np.zeros_like(values)
    for tap, weight in _weights(-distance - first, method).items():
        if weight != 0.0:
            out += weight * _whole_shift(values, first + tap, axis)
    return out


def _weights(t: float, method: Method) -> dict[int, float]:
    """Weight of the cells around a point at ``t`` of the way from cell 0 to cell 1."""
    if method == "bilinear":
        return {0: 1 - t, 1: t}
    return {
        -1: ((-0.5 * t + 1.0) * t - 0.5) * t,
        0: (1.5 * t - 2.5) * t * t + 1.0,
        1: ((-1.5 * t + 2.0) * t + 0.5) * t,
        2: (0.5 * t - 0.5) * t * t,
    }


def _whole_shift(values: FloatArray, offset: int, axis: int) -> FloatArray:
    """Read ``offset`` cells further along an axis; NaN from outside."""
    out = np.full_like(values, np.nan)
    length = values.shape[axis]
    kept = slice(max(0, -offset), min(length, length - offset))
    read = slice(max(0, offset), min(length, length + offset))
    if kept.start < kept.stop:
        index = [slice(None), slice(None)]
        index[axis] = kept
        source = [slice(None), slice(None)]
        source[axis] = read
        out[tuple(index)] = values[tuple(source)]
    return out


def apply_shift(
    dem: xr.DataArray, geobox: GeoBox, shift: DemShift, *, method: Method = "bicubic"
) -> xr.DataArray:
    """Shift a DEM as found by :func:`coregister`, on its own grid.

    Parameters
    ----------
    dem : DataArray of float
        y, x; metres; NaN = unknown and kept so.
    geobox : GeoBox
        Its projected grid.
    shift : DemShift
    method : {"bicubic", "bilinear"}
        How it is read between its cells; the method of the co-registration.

    Returns
    -------
    DataArray of float32
        Metres; NaN where a cell read is unknown or lies outside.

    Raises
    ------
    GridMismatch, MissingCRS, QuantityError, UnsuitableCRS
        If the DEM is not on the grid, or not float; of grids as :func:`coregister`.
    """
    require_projected(geobox, "a shift")
    require_north_up(geobox, "a shift")
    require_fit(dem, geobox, "a shift")
    cell_m = (abs(geobox.resolution.x), abs(geobox.resolution.y))
    columns, rows = _in_cells(np.array([shift.east_m, shift.north_m]), cell_m)
    up_m = shift.up_m

    def moved(values: NDArray[np.floating]) -> NDArray[np.float32]:
        return (shift_cells(values, columns, rows, method) + up_m).astype(np.float32)

    return map_window(
        moved,
        dem,
        depth_px=math.ceil(max(abs(columns), abs(rows))) + 2,
        dtype=np.float32,
        name="dem",
        attrs={
            "long_name": "elevation, shifted onto a reference",
            "units": "m",
            "method": f"NuthKaeaeb2011, {method}",
            "shift_m": [shift.east_m, shift.north_m, shift.up_m],
        },
    )
