"""One image per period, and how well the ground was seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.errors import ConfigError, QuantityError
from rs_monitor.kernels.geomedian import geomedian
from rs_monitor.kernels.median import median_of_looks
from rs_monitor.kernels.medoid import medoid_index
from rs_monitor.kernels.series import NO_LOOK, longest_gap_days, nearest_look
from rs_monitor.lazy import map_pixels, reduce_time

Method = Literal["median", "geomedian", "medoid", "best_pixel"]

_STRIP_BYTES = 8 * 2**20
"""Size of the copy that brings the bands side by side."""

_BLANK = np.array([np.nan, -0.0], dtype=np.float32)
"""What is added to a look that is not clear, and to one that is."""

_FromLooks = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Looks (time, band, y, x), NaN = not seen, to layers of one image (layer, y, x)."""

_Choice = Callable[[NDArray[np.float32]], NDArray[np.int32]]
"""Looks (time, band, y, x) to the one each pixel takes, an index along time (y, x)."""


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
    if clear.dtype != bool:
        raise QuantityError(
            f"got a mask of {clear.dtype}; needed bool, as a missing value would count as clear; "
            "fill it with False"
        )

    def blank(v: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.where(seen, v, np.float32(np.nan)).astype(np.float32, copy=False)

    attrs = {key: values.attrs[key] for key in ("units", "long_name") if key in values.attrs}
    return map_pixels(blank, values, clear, dtype=np.float32, name=str(values.name), attrs=attrs)


def _require_unseen_mark(values: xr.DataArray) -> None:
    """Refuse integers whose nodata would count as a look."""
    if values.dtype.kind != "f" and values.dtype != np.uint16:
        raise QuantityError(
            f"got {values.name!r} as {values.dtype}; needed float with NaN, or uint16 with 0 = "
            "not seen; blank its nodata"
        )


def median_composite(
    values: xr.DataArray, clear: xr.DataArray, *, min_looks: int = 1
) -> xr.DataArray:
    """Median of the clear looks of a period.

    Parameters
    ----------
    values : DataArray of float32 or uint16
        time, y, x; one band. NaN, in uint16 0, is a look without a value.
    clear : DataArray of bool
        Same dimensions.
    min_looks : int
        Fewer clear looks give nodata, never a guess; a look without a value is none.

    Returns
    -------
    DataArray of float32
        y, x; NaN = not seen often enough.

    Raises
    ------
    QuantityError
        If the values are of another type, which has no mark for a look without a value.
    """
    _require_unseen_mark(values)

    def median(v: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        return median_of_looks(v, seen, min_looks=min_looks)

    return reduce_time(
        median,
        values,
        clear,
        dtype=np.float32,
        name=str(values.name),
        attrs={"long_name": f"median {values.name}", "units": "1", "method": "median"},
    )


def composite(
    values: xr.Dataset,
    clear: xr.DataArray,
    *,
    bands: Sequence[str],
    method: Method,
    min_looks: int,
    target_day: dt.date | None = None,
) -> xr.DataArray:
    """One image of a period, all bands, from its clear looks.

    Parameters
    ----------
    values : Dataset of float32 or uint16
        One variable per band; time, y, x. NaN, in uint16 0, is a look without a value.
    clear : DataArray of bool
        Same dimensions.
    bands : sequence of str
        Bands of the image, in its order.
    method : {"median", "geomedian", "medoid", "best_pixel"}
        See Notes.
    min_looks : int
        Fewer clear looks give nodata, never a guess.
    target_day : date, optional
        Day that ``best_pixel`` looks for; the other methods take none.

    Returns
    -------
    DataArray of float32
        band, y, x; NaN in all bands = not seen often enough (``median``: band by band).

    Raises
    ------
    ConfigError
        If the method is unknown, or lacks or does not take a target day.
    QuantityError
        If a band is of another type, which has no mark for a look without a value.

    Notes
    -----
    ``median`` takes each band alone. ``geomedian`` is the point with the least mean distance to
    all looks (Roberts et al. 2017, doi:10.1109/TGRS.2017.2723896), ``medoid`` the look with the
    least sum of distances to the others (Flood 2013, doi:10.3390/rs5126481), ``best_pixel`` the
    look nearest to the target day: of the scores of Griffiths et al. 2013
    (doi:10.1109/JSTARS.2012.2228167) only the one for the day; the distance to clouds is the
    margin of the mask. Equals: the earliest. The last three take a look only where every band
    was seen, and the last two return one real look, so its bands belong together.
    """
    _check_method(method, target_day)
    for band in bands:
        _require_unseen_mark(values[band])
    attrs = {"long_name": f"{method} of the clear looks", "units": "1", "method": method}
    if method == "median":
        layers = [median_composite(values[band], clear, min_looks=min_looks) for band in bands]
        joined = xr.concat(layers, dim="band", coords="minimal", compat="override")
        return joined.assign_coords(band=list(bands)).rename("composite").assign_attrs(attrs)
    if target_day is not None:
        attrs["target_day"] = target_day.isoformat()
    days = clear["time"].values

    def combine(*stacks: NDArray[Any]) -> NDArray[np.float32]:
        *looks, seen = stacks
        choose = _choice(method, days, target_day)
        image = geomedian if choose is None else partial(_chosen, choose)
        return _in_strips(image, looks, seen, min_looks, layers=len(bands))

    return reduce_time(
        combine,
        *(values[band] for band in bands),
        clear,
        dtype=np.float32,
        name="composite",
        attrs=attrs,
        layers=("band", list(bands)),
    )


def _check_method(method: str, target_day: dt.date | None) -> None:
    if method not in get_args(Method):
        raise ConfigError(
            "composite", [f"got {method!r}; needed one of {', '.join(get_args(Method))}"]
        )
    if (target_day is not None) != (method == "best_pixel"):
        got = "no target day" if target_day is None else f"target day {target_day}"
        raise ConfigError(
            "composite", [f"got {got} for {method}; best_pixel needs one, no other method does"]
        )


def _choice(
    method: str, times: NDArray[np.datetime64], target_day: dt.date | None
) -> _Choice | None:
    """How a method picks one look per pixel; None where it blends all of them."""
    if method == "medoid":
        return medoid_index
    if target_day is None:
        return None
    apart = np.abs(day_numbers(times, target_day)).astype(np.float32)

    def nearest(looks: NDArray[np.float32]) -> NDArray[np.int32]:
        return nearest_look(_complete(looks), apart)

    return nearest


def _complete(looks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where every band of a look was seen; time, y, x."""
    return np.asarray(np.isfinite(looks).all(axis=1))


def _chosen(choose: _Choice, looks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values of one look per pixel; any where there is none."""
    index = choose(looks)
    if len(looks) == 0:
        return np.full(looks.shape[1:], np.nan, dtype=np.float32)
    place = np.where(index == NO_LOOK, 0, index)[np.newaxis, np.newaxis]
    return np.asarray(np.take_along_axis(looks, place, axis=0)[0])


def _in_strips(
    function: _FromLooks,
    bands: Sequence[NDArray[np.float32]],
    seen: NDArray[np.bool_],
    min_looks: int,
    *,
    layers: int,
) -> NDArray[np.float32]:
    """Bring bands side by side a few rows at a time, so the copy stays small."""
    times, rows, cols = seen.shape
    out = np.empty((layers, rows, cols), dtype=np.float32)
    height = max(1, _STRIP_BYTES // max(1, 4 * times * len(bands) * cols))
    for first in range(0, rows, height):
        part = slice(first, first + height)
        # a sum, as choosing value by value is five times slower; -0.0 changes no value at all
        blank = _BLANK[seen[:, part].view(np.uint8)]
        looks = np.empty((times, len(bands), *blank.shape[1:]), dtype=np.float32)
        for number, band in enumerate(bands):
            np.add(band[:, part], blank, out=looks[:, number])
            if band.dtype == np.uint16:
                looks[:, number][band[:, part] == 0] = np.nan
        enough = _complete(looks).sum(axis=0) >= max(1, min_looks)
        out[:, part] = np.where(enough, function(looks), np.float32(np.nan))
    return out


def clear_looks(clear: xr.DataArray) -> xr.DataArray:
    """Count the clear looks of a period: the observation count; uint16, y, x."""

    def count(seen: NDArray[np.bool_]) -> NDArray[np.uint16]:
        return np.asarray(seen.sum(axis=0), dtype=np.uint16)

    return reduce_time(
        count,
        clear,
        dtype=np.uint16,
        name="clear_looks",
        attrs={"long_name": "observation count", "units": "1", "method": "count"},
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
    lies after the middle look of the first and before the middle look of the second. For
    composites of one look see :func:`shown_look`.
    """
    days = day_numbers(clear["time"].values, start).astype(np.float32)

    def middle(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        return _middle_day(days, seen)

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


def shown_look(
    values: xr.Dataset,
    clear: xr.DataArray,
    *,
    bands: Sequence[str],
    method: Method,
    start: dt.date,
    min_looks: int,
    target_day: dt.date | None = None,
) -> xr.DataArray:
    """Day whose state a composite shows, counted from ``start``.

    Parameters
    ----------
    values, clear, bands, method, min_looks, target_day
        As :func:`composite` takes them.
    start : date
        Day 0.

    Returns
    -------
    DataArray of float32
        y, x; NaN where there are too few looks with every band.

    Raises
    ------
    ConfigError
        If the method is unknown, or lacks or does not take a target day.
    QuantityError
        If a band is neither float nor uint16.

    Notes
    -----
    ``medoid`` and ``best_pixel`` show one look, and this is its day; ``median`` and ``geomedian``
    show the state of most looks, and this is the day of the middle one. A change between two
    composites lies between their shown looks. What is made from all looks of a period, such as
    seasonal features, is dated by the middle look whatever the composite.
    """
    _check_method(method, target_day)
    for band in bands:
        _require_unseen_mark(values[band])
    times = clear["time"].values
    days = day_numbers(times, start).astype(np.float32)
    choose = _choice(method, times, target_day)

    def shown(*stacks: NDArray[Any]) -> NDArray[np.float32]:
        *looks, seen = stacks
        day = partial(_day_shown, choose, days)
        layer: NDArray[np.float32] = _in_strips(day, looks, seen, min_looks, layers=1)[0]
        return layer

    return reduce_time(
        shown,
        *(values[band] for band in bands),
        clear,
        dtype=np.float32,
        name="shown_look_day",
        attrs={"long_name": "look shown", "units": f"days since {start}", "method": method},
    )


def _day_shown(
    choose: _Choice | None, days: NDArray[np.float32], looks: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One layer: the day of the chosen look, or of the middle one; any where there is none."""
    if choose is None or len(looks) == 0:
        return _middle_day(days, _complete(looks))[np.newaxis]
    index = choose(looks)
    day: NDArray[np.float32] = days[np.where(index == NO_LOOK, 0, index)]
    return day[np.newaxis]


def _middle_day(days: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    return median_of_looks(np.broadcast_to(days[:, np.newaxis, np.newaxis], seen.shape), seen)


def last_look(clear: xr.DataArray, *, start: dt.date) -> xr.DataArray:
    """Day of the last clear look, counted from ``start``.

    Parameters
    ----------
    clear : DataArray of bool
        time, y, x, ascending in time.
    start : date
        Day 0.

    Returns
    -------
    DataArray of float32
        y, x; NaN where there is none.
    """
    days = day_numbers(clear["time"].values, start).astype(np.float32)

    def last(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        day = np.full(seen.shape[1:], np.nan, dtype=np.float32)
        for here, number in zip(seen, days, strict=True):
            day[here] = number
        return day

    return reduce_time(
        last,
        clear,
        dtype=np.float32,
        name="last_look_day",
        attrs={"long_name": "last clear look", "units": f"days since {start}", "method": "last"},
    )


def day_numbers(
    times: NDArray[np.datetime64] | Sequence[np.datetime64], start: dt.date
) -> NDArray[np.float64]:
    """Whole days since ``start`` of each time stamp."""
    days = np.asarray(times).astype("datetime64[D]") - np.datetime64(start, "D")
    return days.astype(np.float64)
