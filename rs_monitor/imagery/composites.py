"""One image per period, and how well the ground was seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.kernels.series import longest_gap_days, time_quantiles
from rs_monitor.lazy import map_pixels, reduce_time

MEDIAN = np.array([0.5])


def only_clear(values: xr.DataArray, clear: xr.DataArray) -> xr.DataArray:
    """Blank every look that is not clear.

    Parameters
    ----------
    values : DataArray of float32
        time, y, x.
    clear : DataArray of bool
        Same dimensions; True = usable look at the ground.

    Returns
    -------
    DataArray of float32
        NaN where the ground was not seen.
    """

    def blank(v: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.where(seen, v, np.float32(np.nan))

    attrs = {key: values.attrs[key] for key in ("units", "long_name") if key in values.attrs}
    return map_pixels(blank, values, clear, dtype=np.float32, name=str(values.name), attrs=attrs)


def median_composite(
    values: xr.DataArray, clear: xr.DataArray, *, min_looks: int = 1
) -> xr.DataArray:
    """Median of the clear looks of a period.

    Parameters
    ----------
    values : DataArray of float32
        time, y, x; one band.
    clear : DataArray of bool
        Same dimensions.
    min_looks : int
        Fewer clear looks give nodata, never a guess.

    Returns
    -------
    DataArray of float32
        y, x; NaN = not seen often enough.
    """

    def median(v: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        blanked = np.where(seen, v, np.float32(np.nan))
        result: NDArray[np.float32] = time_quantiles(blanked, MEDIAN)[0]
        result[seen.sum(axis=0) < min_looks] = np.nan
        return result

    return reduce_time(
        median,
        values,
        clear,
        dtype=np.float32,
        name=str(values.name),
        attrs={"long_name": f"median {values.name}", "units": "1", "method": "median"},
    )


def clear_looks(clear: xr.DataArray) -> xr.DataArray:
    """Count the clear looks of a period; uint16, y, x."""

    def count(seen: NDArray[np.bool_]) -> NDArray[np.uint16]:
        return np.asarray(seen.sum(axis=0), dtype=np.uint16)

    return reduce_time(
        count,
        clear,
        dtype=np.uint16,
        name="clear_looks",
        attrs={"long_name": "clear looks", "units": "1", "method": "count"},
    )


def longest_gap(clear: xr.DataArray, *, start: dt.date, end: dt.date) -> xr.DataArray:
    """Longest span of a period without a clear look, days.

    Parameters
    ----------
    clear : DataArray of bool
        time, y, x, ascending in time.
    start, end : date
        The period.
    """
    origin = np.datetime64(start, "D")
    days = day_numbers(clear["time"].values, start)
    last = float((np.datetime64(end, "D") - origin).astype(int))

    def gap(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        return longest_gap_days(seen, days, 0.0, last)

    return reduce_time(
        gap,
        clear,
        dtype=np.float32,
        name="longest_gap_days",
        attrs={"long_name": "longest gap between clear looks", "units": "day", "method": "gap"},
    )


def middle_look(clear: xr.DataArray, *, start: dt.date) -> xr.DataArray:
    """Day of the median clear look of a period, counted from ``start``.

    Parameters
    ----------
    clear : DataArray of bool
        time, y, x.
    start : date
        Day 0.

    Returns
    -------
    DataArray of float32
        y, x; between the two middle looks where their number is even, NaN where there is none.

    Notes
    -----
    Medians over a period show the state of most of its looks, so a change between two periods
    lies after the middle look of the first and before the middle look of the second.
    """
    days = day_numbers(clear["time"].values, start).astype(np.float32)

    def middle(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        looks = np.where(seen, days[:, np.newaxis, np.newaxis], np.float32(np.nan))
        result: NDArray[np.float32] = time_quantiles(looks, MEDIAN)[0]
        return result

    return reduce_time(
        middle,
        clear,
        dtype=np.float32,
        name="middle_look_day",
        attrs={
            "long_name": "middle clear look",
            "units": f"days since {start}",
            "method": "median",
        },
    )


def day_numbers(
    times: NDArray[np.datetime64] | Sequence[np.datetime64], start: dt.date
) -> NDArray[np.float64]:
    """Whole days since ``start`` of each time stamp."""
    days = np.asarray(times).astype("datetime64[D]") - np.datetime64(start, "D")
    return days.astype(np.float64)
