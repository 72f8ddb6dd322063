"""Why ground was not seen: the looks each reason took away."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.codes import Sky
from rs_monitor.lazy import reduce_time

REASONS: Mapping[str, tuple[Sky, ...]] = {
    "cloud": (Sky.CLOUD, Sky.CIRRUS, Sky.UNDECIDED),
    "shadow": (Sky.SHADOW,),
    "terrain shadow": (Sky.TERRAIN_SHADOW,),
    "snow": (Sky.SNOW,),
    "no imagery": (Sky.NOT_SEEN,),
}


def lost_looks(reason: xr.DataArray) -> xr.DataArray:
    """Count the looks of a period that were lost, by reason.

    Parameters
    ----------
    reason : DataArray of uint8
        time, y, x; :class:`rs_monitor.codes.Sky`, as from ``screen``.

    Returns
    -------
    DataArray of uint16
        reason, y, x; the reasons of :data:`REASONS`.
    """

    def count(sky: NDArray[np.uint8]) -> NDArray[np.uint16]:
        lost = [np.isin(sky, codes).sum(axis=0) for codes in REASONS.values()]
        return np.asarray(lost, dtype=np.uint16)

    return reduce_time(
        count,
        reason,
        dtype=np.uint16,
        name="lost_looks",
        attrs={"long_name": "looks lost", "units": "1", "method": "count"},
        layers=("reason", list(REASONS)),
    )
