"""Change between two periods: IR-MAD on composites, comparison of class probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rs_monitor.codes import Change, LandCover, separable
from rs_monitor.kernels.change import MadTransform, Moments, mad_transform

MeasureMoments = Callable[[MadTransform | None], Moments]


def fit_irmad(
    measure: MeasureMoments,
    origin: NDArray[np.float64],
    *,
    max_iterations: int,
    tolerance: float,
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

    Returns
    -------
    MadTransform, int
        The fitted transform and the number of iterations.

    Notes
    -----
    Nielsen (2007), doi:10.1109/TIP.2006.888195.
    """
    transform = mad_transform(measure(None), origin)
    for iteration in range(1, max_iterations + 1):
        following = mad_transform(measure(transform), origin)
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
