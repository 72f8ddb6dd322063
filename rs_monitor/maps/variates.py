"""Two-date change by linear variates: CVA, MAD, IR-MAD and ISFA; measure, fit, apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.errors import GridMismatch, NoObservations, QuantityError
from rs_monitor.kernels.change import (
    MadTransform,
    Moments,
    covariance_of,
    mad_chi2,
    mad_moments,
    mad_transform,
)
from rs_monitor.kernels.change_vector import change_vector_transform, equivalent_chi_square
from rs_monitor.kernels.slow_features import slow_feature_transform
from rs_monitor.kernels.threshold import histogram
from rs_monitor.lazy import Blocks, lattice_blocks, map_pixels, reduce_time
from rs_monitor.maps.change import SolveMoments, change_layers, fit_irmad
from rs_monitor.maps.change_threshold import (
    Threshold,
    ThresholdRule,
    find_threshold,
    probability_curve,
)

VariateMethod = Literal["cva", "mad", "irmad", "isfa"]

CITATIONS: dict[VariateMethod, str] = {
    "cva": "Malila (1980), Change vector analysis, LARS Symposia 385; on z-scored bands",
    "mad": "Nielsen, Conradsen & Simpson (1998), doi:10.1016/S0034-4257(97)00162-4",
    "irmad": "Nielsen (2007), doi:10.1109/TIP.2006.888195",
    "isfa": "Wu, Du & Zhang (2014), doi:10.1109/TGRS.2013.2266673",
}
SOLVERS: dict[VariateMethod, SolveMoments] = {
    "cva": change_vector_transform,
    "mad": mad_transform,
    "irmad": mad_transform,
    "isfa": slow_feature_transform,
}
REWEIGHTED = ("irmad", "isfa")

COPY = 1e-6
"""Bands correlated closer to 1 are copies: rounding leaves 2e-8, noise of 1 % of it 5e-5."""

PIXELS_PER_BAND = 20
"""Seen pixels needed for each band: ten for each of the 2p means a covariance is taken about."""

HELD_BYTES = 1 << 30
"""Pairs up to this size are read once and kept for the iterations; larger ones are read again."""

PROBABILITY = (
    "1 - local false discovery rate (Efron 2004, doi:10.1198/016214504000000089) of the squared "
    "magnitude against a chi-square rescaled to its median"
)


@dataclass(frozen=True)
class VariateFit:
    """What the statistics of a zone gave; applied tile by tile.

    Attributes
    ----------
    method : str
    transform : MadTransform
    threshold : Threshold
    magnitudes, probabilities : ndarray of float64, shape (k,)
        Probability of change along the magnitude.
    iterations : int
        Reweightings done; 0 for the methods that have none.
    pixels : int
        Seen at both dates.
    bands : tuple of str
    """

    method: VariateMethod
    transform: MadTransform
    threshold: Threshold
    magnitudes: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    iterations: int
    pixels: int
    bands: tuple[str, ...]

    @property
    def margin_px(self) -> int:
        """Neighbours a pixel's change depends on: none."""
        return 0

    @property
    def attrs(self) -> dict[str, Any]:
        """Method, citation and threshold, as written on the layers."""
        return {
            "method": self.method,
            "citation": CITATIONS[self.method],
            "threshold": self.threshold.text,
            "probability_from": PROBABILITY,
            "iterations": self.iterations,
            "pixels": self.pixels,
        }


def fit_variates(
    before: xr.DataArray,
    after: xr.DataArray,
    *,
    method: VariateMethod,
    threshold: ThresholdRule,
    p: float | None = None,
    max_iterations: int = 50,
    tolerance: float = 1e-3,
) -> VariateFit:
    """Measure the zone and fit the variates, the threshold and the probability of change.

    Parameters
    ----------
    before, after : DataArray
        band, y, x on one grid; any linear unit, it need not be the same at both dates; NaN = not
        seen.
    method : str
        ``cva``, ``mad``, ``irmad`` or ``isfa``.
    threshold, p
        As in :func:`~rs_monitor.maps.change_threshold.find_threshold`.
    max_iterations : int
        Of the reweighting.
    tolerance : float
        Move of a canonical correlation at which it ends.

    Returns
    -------
    VariateFit
        The same bytes under any chunking.

    Raises
    ------
    GridMismatch
        If the dates differ in grid or bands.
    NoObservations
        If too few pixels are seen at both dates, or nothing differs.
    QuantityError
        If a band is constant or made of the others.

    Notes
    -----
    Computes: statistics of a fixed lattice of blocks are added in its order, once per iteration.
    """
    require_pair(before, after)
    hold = before.nbytes + after.nbytes <= HELD_BYTES
    blocks = lattice_blocks(_flat, before, after, hold=hold)
    origin, unweighted = _origin(blocks, _names(before))

    def measure(transform: MadTransform | None) -> Moments:
        return unweighted if transform is None else _moments_of(blocks, origin, transform)

    try:
        transform, iterations = _fit_transform(
            measure, origin, method, max_iterations=max_iterations, tolerance=tolerance
        )
    except np.linalg.LinAlgError as error:
        raise QuantityError(
            f"got a band among {', '.join(_names(before))} that is made of the others; needed "
            "independent bands; leave it out"
        ) from error
    degrees, scale = float(len(_names(before))), 1.0
    if method == "cva":
        degrees, scale = equivalent_chi_square(unweighted, origin, transform)
    table = np.sum(blocks.measure(partial(_histogram, transform=transform)), axis=0)
    cut = find_threshold(table, threshold, degrees=degrees, scale=scale, p=p)
    curve = probability_curve(table, degrees)
    return VariateFit(
        method, transform, cut, *curve, iterations, int(unweighted.weight), _names(before)
    )


def variate_change(before: xr.DataArray, after: xr.DataArray, fit: VariateFit) -> xr.Dataset:
    """Apply a fit to a zone or a part of it.

    Parameters
    ----------
    before, after : DataArray
        band, y, x; the bands of the fit.
    fit : VariateFit

    Returns
    -------
    Dataset
        ``magnitude`` (float32, root of the sum of squared variates), ``probability`` (float32),
        ``change`` (uint8, codes of ``Change``); not seen is NaN and 0.
    """
    require_pair(before, after)
    if _names(before) != fit.bands:
        raise GridMismatch(
            f"got bands {', '.join(_names(before))}; needed those of the fit, "
            f"{', '.join(fit.bands)}; select them"
        )
    magnitude = reduce_time(
        partial(_magnitude, transform=fit.transform),
        before,
        after,
        dtype=np.float32,
        name="magnitude",
        attrs={},
    )
    curve = partial(_along, magnitudes=fit.magnitudes, probabilities=fit.probabilities)
    probability = map_pixels(curve, magnitude, dtype=np.float32, name="probability", attrs={})
    return change_layers(magnitude, probability, threshold=fit.threshold.value, attrs=fit.attrs)


def require_pair(before: xr.DataArray, after: xr.DataArray) -> None:
    """Refuse dates that are not (band, y, x) of the same bands on one grid.

    Raises
    ------
    GridMismatch
    """
    for date in (before, after):
        if date.dims != ("band", "y", "x"):
            raise GridMismatch(
                f"got an array of {date.dims}; needed (band, y, x); stack the bands of each date"
            )
    if _names(before) != _names(after):
        raise GridMismatch(
            f"got bands {', '.join(_names(before))} before and {', '.join(_names(after))} after; "
            "needed the same bands in one order; select them"
        )
    for axis in ("y", "x"):
        if not np.array_equal(before[axis].values, after[axis].values):
            raise GridMismatch(
                f"got two dates whose {axis} coordinates differ; needed one grid; load both on the "
                "zone's grid"
            )


def _names(date: xr.DataArray) -> tuple[str, ...]:
    return tuple(str(band) for band in date["band"].values)


def _origin(blocks: Blocks, names: tuple[str, ...]) -> tuple[NDArray[np.float64], Moments]:
    """Means of the bands over the pixels seen at both dates, and the moments about them."""
    first = _moments_of(blocks, np.zeros(2 * len(names)), None)
    needed = PIXELS_PER_BAND * len(names)
    if first.weight < needed:
        raise NoObservations(
            f"got {int(first.weight)} pixels seen at both dates; needed at least {needed} for "
            f"{len(names)} bands; widen the periods, add scenes or take fewer bands"
        )
    origin = first.first / first.weight
    moments = _moments_of(blocks, origin, None)
    spread = np.diag(moments.second) / moments.weight
    constant = np.flatnonzero(spread <= 1e-12 * origin**2)
    if constant.size:
        date = "before" if constant[0] < len(names) else "after"
        raise QuantityError(
            f"got a band {names[constant[0] % len(names)]} that is constant {date}; needed bands "
            "that vary; leave it out"
        )
    _refuse_copies(moments, origin)
    return origin, moments


def _refuse_copies(moments: Moments, origin: NDArray[np.float64]) -> None:
    """Where the dates are one image the variates are rounding, scaled up to unit variance."""
    _, cov = covariance_of(moments, origin)
    p = len(origin) // 2
    deviation = np.sqrt(np.diag(cov))
    alike = np.diag(cov[:p, p:]) / (deviation[:p] * deviation[p:])
    if (alike > 1.0 - COPY).all():
        raise NoObservations(
            "got two dates that are linear copies of each other in every band; needed different "
            "scenes; check that the two periods do not show the same image"
        )


def _fit_transform(
    measure: Callable[[MadTransform | None], Moments],
    origin: NDArray[np.float64],
    method: VariateMethod,
    *,
    max_iterations: int,
    tolerance: float,
) -> tuple[MadTransform, int]:
    solve = SOLVERS[method]
    if method not in REWEIGHTED:
        return solve(measure(None), origin), 0
    return fit_irmad(
        measure, origin, max_iterations=max_iterations, tolerance=tolerance, solve=solve
    )


def _moments_of(
    blocks: Blocks, origin: NDArray[np.float64], transform: MadTransform | None
) -> Moments:
    parts = blocks.measure(partial(mad_moments, origin=origin, transform=transform))
    total: Moments = sum(parts[1:], parts[0])
    return total


def _flat(values: NDArray[Any]) -> NDArray[np.float32]:
    flat = values.reshape(len(values), -1)
    return np.ascontiguousarray(flat, dtype=np.float32)


def _magnitude(
    before: NDArray[Any], after: NDArray[Any], *, transform: MadTransform
) -> NDArray[np.float32]:
    squares = mad_chi2(_flat(before), _flat(after), transform)
    return np.sqrt(squares, out=squares).reshape(before.shape[1:])


def _histogram(
    before: NDArray[np.float32], after: NDArray[np.float32], *, transform: MadTransform
) -> NDArray[np.float64]:
    return histogram(_magnitude(before, after, transform=transform))


def _along(
    magnitude: NDArray[np.float32],
    *,
    magnitudes: NDArray[np.float64],
    probabilities: NDArray[np.float64],
) -> NDArray[np.float32]:
    return np.interp(magnitude, magnitudes, probabilities).astype(np.float32)
