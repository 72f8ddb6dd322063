"""Per-pixel uncertainty of class probabilities, and whether it ranks the errors."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score

from rs_monitor.kernels.uncertainty import entropy_and_margin
from rs_monitor.lazy import reduce_time

MEASURES = ("entropy", "margin")

_LONG_NAMES = {
    "entropy": "entropy of the class probabilities, as a fraction of equal probabilities'",
    "margin": "highest class probability minus the second",
}


def uncertainty(probabilities: xr.DataArray) -> xr.Dataset:
    """Entropy and margin of every pixel.

    Parameters
    ----------
    probabilities : DataArray of float32, dimensions (class, y, x)
        Sum to 1 over the classes; NaN = not seen.

    Returns
    -------
    Dataset
        ``entropy`` (0 certain, 1 nothing known) and ``margin`` (1 certain, 0 a tie), float32
        fractions, NaN where not seen; :func:`rs_monitor.kernels.uncertainty.entropy_and_margin`.
    """
    both = reduce_time(
        entropy_and_margin,
        probabilities,
        dtype=np.float32,
        name="uncertainty",
        attrs={},
        layers=("measure", list(MEASURES)),
    )
    layers = {
        name: both.isel(measure=k, drop=True)
        .rename(name)
        .assign_attrs(units="1", long_name=_LONG_NAMES[name])
        for k, name in enumerate(MEASURES)
    }
    return xr.Dataset(layers)


def error_ranking_auc(uncertain: ArrayLike, wrong: ArrayLike) -> float:
    """Chance that a wrong pixel is less certain than a right one.

    Parameters
    ----------
    uncertain : array-like of float, shape (n,)
        Higher = less certain: the entropy, or 1 minus the margin. NaN (not seen) is left out.
    wrong : array-like of bool, shape (n,)

    Returns
    -------
    float
        Area under the curve of error detection: 0.5 tells nothing, 1 ranks every error first
        (Hendrycks & Gimpel 2017, arXiv:1610.02136). NaN if all seen pixels are right, or all
        wrong.
    """
    scores, errors = np.asarray(uncertain, dtype=np.float64), np.asarray(wrong, dtype=bool)
    seen = np.isfinite(scores)
    if len(np.unique(errors[seen])) < 2:
        return np.nan
    return float(roc_auc_score(errors[seen], scores[seen]))
