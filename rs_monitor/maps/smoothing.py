"""Class probabilities that listen to their neighbours."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr
from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.kernels.bayes_smooth import bayes_smooth
from rs_monitor.lazy import map_looks


class SmoothingRules(Model):
    """How strongly neighbours count; table ``[smoothing]`` of the land-cover rules."""

    radius_px: int = Field(ge=1, le=10, description="neighbours looked at on each side")
    share: float = Field(gt=0, le=1, description="part of them that speaks for a class")
    smoothness: float = Field(gt=0, description="variance of a pixel's logit given its class")


def smooth_probabilities(probabilities: xr.DataArray, rules: SmoothingRules) -> xr.DataArray:
    """Smooth class probabilities by empirical Bayes in a window.

    Parameters
    ----------
    probabilities : DataArray of float32
        class, y, x; NaN where nothing was seen.
    rules : SmoothingRules

    Returns
    -------
    DataArray of float32
        class, y, x; sums to 1 over classes, NaN where the input is.

    Notes
    -----
    See :func:`rs_monitor.kernels.bayes_smooth.bayes_smooth`. A patch narrower than the window's
    radius can vanish: smooth what is mapped as area, never what flags single small patches.
    """
    smooth = partial(bayes_smooth, **rules.model_dump())
    return map_looks(
        smooth,
        probabilities,
        depth_px=rules.radius_px,
        dtype=np.float32,
        name="probabilities",
        attrs={
            "long_name": "class probabilities, smoothed",
            "units": "1",
            "method": f"bayes_smooth radius={rules.radius_px} share={rules.share:g} "
            f"smoothness={rules.smoothness:g}",
        },
    )
