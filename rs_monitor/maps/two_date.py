"""Two-date change by a named method: fit over the zone, apply anywhere in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr

from rs_monitor.lazy import reduce_time
from rs_monitor.maps.change import change_layers, change_probability
from rs_monitor.maps.change_rules import ChangeRules
from rs_monitor.maps.change_threshold import ThresholdRule
from rs_monitor.maps.combined import CombinedFit, combined_change, fit_combined
from rs_monitor.maps.variates import VariateFit, VariateMethod, fit_variates, variate_change

TwoDateMethod = VariateMethod | Literal["combined"]
TwoDateFit = VariateFit | CombinedFit

POSTERIOR_CITATION = (
    "Post-classification comparison on probabilities, dates independent given the class "
    "(Swain 1978, LARS Technical Report 090478)"
)


def fit_two_date(
    before: xr.DataArray,
    after: xr.DataArray,
    *,
    method: TwoDateMethod,
    threshold: ThresholdRule | None = None,
    p: float | None = None,
    rules: ChangeRules | None = None,
    max_iterations: int = 50,
    tolerance: float = 1e-3,
) -> TwoDateFit:
    """Fit a two-date method and its automatic threshold to a zone.

    Parameters
    ----------
    before, after : DataArray
        band, y, x on one grid; any linear unit, it need not be the same at both dates; NaN = not
        seen.
    method : str
        ``cva`` (Malila 1980), ``mad`` (Nielsen 1998), ``irmad`` (Nielsen 2007), ``isfa``
        (Wu 2014), or ``combined`` (:mod:`rs_monitor.maps.combined`).
    threshold : str, optional
        ``kmeans`` (without a word), ``otsu``, ``chi2`` or ``chi2_rescaled``
        (:func:`~rs_monitor.maps.change_threshold.find_threshold`).
    p : float, optional
        Tail probability of the chi-square rules.
    rules : ChangeRules, optional
        Of the combined method, which needs them and finds its own threshold.
    max_iterations : int
        Of the reweighting.
    tolerance : float
        Move of a canonical correlation at which the reweighting ends.

    Returns
    -------
    TwoDateFit
        The same bytes under any chunking. Computes; pairs larger than 1 GiB are read anew in every
        iteration, so persist them if they fit.

    Raises
    ------
    GridMismatch
        If the dates differ in grid or bands.
    NoObservations
        If too few pixels are seen at both dates, or nothing differs.
    QuantityError
        If a band is constant or made of the others.
    ValueError
        If a choice does not belong to the method.
    """
    if method == "combined":
        if rules is None or threshold is not None or p is not None:
            raise ValueError(
                f"got rules={rules}, threshold={threshold}, p={p} for the combined method; needed "
                "its rules, by which it finds its own threshold; pass rules alone"
            )
        return fit_combined(before, after, rules)
    if rules is not None:
        raise ValueError(
            f"got rules for the method {method}; needed none; pass threshold and p instead"
        )
    return fit_variates(
        before,
        after,
        method=method,
        threshold=threshold or "kmeans",
        p=p,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )


def two_date_change(before: xr.DataArray, after: xr.DataArray, fit: TwoDateFit) -> xr.Dataset:
    """Change of a zone, or of a part of it, by a fitted method.

    Parameters
    ----------
    before, after : DataArray
        band, y, x; the bands of the fit; NaN = not seen.
    fit : TwoDateFit

    Returns
    -------
    Dataset
        ``magnitude`` (float32), ``probability`` (float32), ``change`` (uint8, codes of ``Change``);
        attributes name the method, its citation, and the threshold with its figures. The combined
        method adds layers of its own.
    """
    if isinstance(fit, CombinedFit):
        return combined_change(before, after, fit)
    return variate_change(before, after, fit)


def posterior_change(
    before: xr.DataArray, after: xr.DataArray, *, classes: Sequence[int], threshold: float
) -> xr.Dataset:
    """Post-classification comparison on probabilities, as the same record.

    Parameters
    ----------
    before, after : DataArray of float32
        cover, y, x; class probabilities; NaN = not seen.
    classes : sequence of int
        Values of ``LandCover``, in the order of the first dimension.
    threshold : float
        Probability above which a pixel is change.

    Returns
    -------
    Dataset
        As :func:`two_date_change`; the magnitude is the probability.
    """
    probability = reduce_time(
        partial(change_probability, classes=tuple(classes)),
        before,
        after,
        dtype=np.float32,
        name="probability",
        attrs={},
    )
    attrs = {
        "method": "posterior",
        "citation": POSTERIOR_CITATION,
        "threshold": f"fixed: probability > {threshold:g}",
        "probability_from": "class probabilities of both dates",
    }
    magnitude = probability.rename("magnitude")
    return change_layers(magnitude, probability, threshold=threshold, attrs=attrs)
