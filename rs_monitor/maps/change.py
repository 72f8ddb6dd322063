"""Change between two periods: reweighted fits, comparison of class probabilities, their layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.codes import Change, LandCover, separable
from rs_monitor.kernels.change import MadTransform, Moments, mad_transform
from rs_monitor.lazy import map_pixels

MeasureMoments = Callable[[MadTransform | None], Moments]
SolveMoments = Callable[[Moments, NDArray[np.float64]], MadTransform]


def fit_irmad(
    measure: MeasureMoments,
    origin: NDArray[np.float64],
    *,
    max_iterations: int,
    tolerance: float,
    solve: SolveMoments = mad_transform,
) -> tuple[MadTransform, int]:
    """Iterate measure and fit until the canonical correlations stand still.

    Parameters
    ----------
    measure : callable
        Sums the moments of all blocks in their fixed order, given the last transform.
    origin : ndarray of float64, shape (2p,)
        Rough band means.
    max_iterations : int
    tolerance : float
        Largest accepted move of a correlation.
    solve : callable
        Transform of moments; that of IR-MAD, or of slow features for ISFA.

    Returns
    -------
    MadTransform, int
        The fitted transform and the number of iterations.

    Notes
    -----
    Nielsen (2007), doi:10.1109/TIP.2006.888195.
    """
    transform = solve(measure(None), origin)
    for iteration in range(1, max_iterations + 1):
        following = solve(measure(transform), origin)
        moved = np.max(np.abs(following.correlations - transform.correlations))
        transform = following
        if moved < tolerance:
            return transform, iteration
    return transform, max_iterations


def change_mask(
    magnitude: NDArray[np.float32], threshold: float, seen: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Cut a magnitude into ``Change`` codes.

    Parameters
    ----------
    magnitude : ndarray of float32
        NaN = not seen.
    threshold : float
        Above it is change.
    seen : ndarray of bool
        False where the looks do not suffice; such a pixel is never "no change".
    """
    out = np.where(magnitude > threshold, Change.CHANGE, Change.NO_CHANGE).astype(np.uint8)
    out[~(seen & np.isfinite(magnitude))] = Change.NOT_SEEN
    return out


def change_layers(
    magnitude: xr.DataArray,
    probability: xr.DataArray,
    *,
    threshold: float,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """The record every two-date method answers with.

    Parameters
    ----------
    magnitude : DataArray of float32
        y, x; NaN = not seen.
    probability : DataArray of float32
        y, x; of change.
    threshold : float
        Magnitudes above it are change.
    attrs : mapping
        Method, citation and threshold rule, written on every layer.

    Returns
    -------
    Dataset
        ``magnitude``, ``probability``, and ``change`` (uint8, codes of ``Change``).
    """

    def cut(values: NDArray[np.float32]) -> NDArray[np.uint8]:
        return change_mask(values, threshold, np.ones(values.shape, dtype=np.bool_))

    legend = {
        "long_name": "change",
        "flag_values": [int(code) for code in Change],
        "flag_meanings": " ".join(code.name.lower() for code in Change),
    }
    change = map_pixels(cut, magnitude, dtype=np.uint8, name="change", attrs={**attrs, **legend})
    size = {"long_name": "change magnitude", "units": "1", "threshold_value": threshold}
    chance = {"long_name": "probability of change", "units": "1"}
    layers = {
        "magnitude": magnitude.drop_attrs(deep=False).assign_attrs({**attrs, **size}),
        "probability": probability.drop_attrs(deep=False).assign_attrs({**attrs, **chance}),
        "change": change,
    }
    return xr.Dataset(layers, attrs=dict(attrs))


def change_probability(
    before: NDArray[np.float32], after: NDArray[np.float32], classes: Sequence[int]
) -> NDArray[np.float32]:
    """Probability that a pixel went from one class to a separable other.

    Parameters
    ----------
    before, after : ndarray of float32, shape (classes, y, x)
        Class probabilities; NaN = not seen.
    classes : sequence of int
        Values of ``LandCover``, in column order.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Sum of ``p_before(i) p_after(j)`` over separable pairs; NaN where not seen.

    Notes
    -----
    Post-classification comparison on probabilities; the two looks are taken as independent
    given the class (Swain 1978, LARS Technical Report 090478). Pairs that one sensor does not
    separate count as equal. ``tests/maps/test_change.py`` counts an example by hand.
    """
    covers = [LandCover(value) for value in classes]
    total = np.zeros(before.shape[1:], dtype=np.float32)
    for i, one in enumerate(covers):
        partners = [j for j, other in enumerate(covers) if separable(one, other)]
        total += before[i] * after[partners].sum(axis=0, dtype=np.float32)
    total[np.isnan(before[0]) | np.isnan(after[0])] = np.nan
    return total
