"""What could have been detected, and what a patch is worth as a measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from rs_monitor.codes import Measurability
from rs_monitor.config.rules import DetectionRules
from rs_monitor.config.tables import Model


class DetectabilityRules(Model):
    """What a shift between the dates takes from a patch."""

    max_shift_fraction: float = Field(
        gt=0, le=1, description="share within the shift of its edge from which no area is measured"
    )
    artefact_shift_fraction: float = Field(
        gt=0, le=1, description="share from which the shift alone may have made the patch"
    )


def detectable(seen: NDArray[np.bool_], n_px: int) -> NDArray[np.bool_]:
    """Tell where a change of a stated size could have been detected.

    Parameters
    ----------
    seen : ndarray of bool, shape (height, width)
        Pixels seen well enough in both periods.
    n_px : int
        Pixels of the change.

    Returns
    -------
    ndarray of bool, shape (height, width)
        True where a fully seen square of ``ceil(sqrt(n_px))`` pixels holds the pixel.

    Raises
    ------
    ValueError
        If ``n_px`` is not positive.

    Notes
    -----
    Morphological opening with a square: a subset of ``seen`` that never grows when ``seen``
    shrinks. What lies outside the array counts as not seen.
    """
    if n_px < 1:
        raise ValueError(f"got a change of {n_px} pixels; needed at least one; give its size")
    side = math.isqrt(n_px - 1) + 1
    opened = ndimage.grey_opening(seen.astype(np.uint8), size=(side, side), mode="constant", cval=0)
    return np.asarray(opened, dtype=bool)


def shift_fraction(outlines: NDArray[np.object_], shift_m: float) -> NDArray[np.float64]:
    """Share of each patch that lies within the registration uncertainty of its edge.

    Parameters
    ----------
    outlines : ndarray of shapely geometry
        Patches in a CRS with metres.
    shift_m : float
        Uncertainty of the registration, metres; NaN = not measured.

    Returns
    -------
    ndarray of float64
        0-1; NaN where ``shift_m`` is NaN.
    """
    if math.isnan(shift_m):
        return np.full(len(outlines), np.nan)
    inner = shapely.area(shapely.buffer(outlines, -shift_m))
    return np.asarray(1.0 - inner / shapely.area(outlines), dtype=np.float64)


def measurability(
    columns: Mapping[str, object],
    rules: DetectionRules,
    shift_rules: DetectabilityRules | None = None,
    *,
    registration_asked: bool = False,
) -> list[str]:
    """What the sensor can say about patches of their size, looks and registration.

    Parameters
    ----------
    columns : mapping
        ``n_px``, ``looks_before``, ``looks_after`` and ``shift_fraction``, one value per patch.
    rules : DetectionRules
        Pixels and looks needed.
    shift_rules : DetectabilityRules, optional
        Without them the share says nothing.
    registration_asked : bool
        Whether shifts were to be measured: no area is measured where the share is then NaN, for a
        shift that could not be found is not none. If nobody asked, NaN says nothing.

    Returns
    -------
    list of str
        Values of :class:`rs_monitor.codes.Measurability`.
    """
    n_px, before, after = (
        np.asarray(columns[name]) for name in ("n_px", "looks_before", "looks_after")
    )
    blind = (n_px < rules.min_detect_px) | (np.minimum(before, after) < rules.min_looks)
    vague = n_px < rules.min_reliable_px
    share = np.asarray(columns["shift_fraction"], dtype=np.float64)
    if shift_rules is not None:
        blind |= share >= shift_rules.artefact_shift_fraction
        vague |= share >= shift_rules.max_shift_fraction
    if registration_asked:
        vague |= np.isnan(share)
    words = np.where(
        blind,
        Measurability.CANNOT_DECIDE.value,
        np.where(vague, Measurability.DETECT_ONLY.value, Measurability.MEASURED.value),
    )
    return [str(word) for word in words]
