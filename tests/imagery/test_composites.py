import datetime as dt

import numpy as np
import pytest
import xarray as xr

from rs_monitor.imagery.composites import (
    clear_looks,
    day_numbers,
    longest_gap,
    median_composite,
    middle_look,
    only_clear,
)
from tests.comparison import assert_close

NAN = float("nan")
TIMES = np.array(["2024-03-11T02:50", "2024-03-21T23:59", "2024-04-10T00:00"], "M8[ns]")


def stack(rows, dtype, name="red", **attrs):
    """Three dates of pixels side by side."""
    data = np.array(rows, dtype)[:, np.newaxis, :]
    coords = {"time": TIMES, "y": [5.0], "x": 10.0 * np.arange(data.shape[2]), "spatial_ref": 32650}
    return xr.DataArray(data, dims=("time", "y", "x"), coords=coords, name=name, attrs=attrs)


RED = stack([[1, 5, 4, 7, NAN], [2, 9, 6, 7, 3], [3, 1, NAN, 7, NAN]], "float32", history="x")
CLEAR = stack([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 0, 0, 0]], bool, "clear")


@pytest.mark.parametrize(
    ("min_looks", "expected"),
    [(1, [2, 3, 5, NAN, 3]), (2, [2, 3, 5, NAN, NAN]), (3, [2, NAN, NAN, NAN, NAN])],
)
def test_median_by_hand(min_looks, expected):
    found = median_composite(RED, CLEAR, min_looks=min_looks)
    assert_close(found.values, np.array([expected], "float32"), atol=0)
    assert found.dims == ("y", "x")
    assert set(found.coords) == {"y", "x", "spatial_ref"}
    assert found.attrs["long_name"] == "median red"


def test_only_clear():
    expected = np.where(CLEAR.values, RED.values, np.float32("nan"))
    found = only_clear(RED.assign_attrs(units="1"), CLEAR)
    assert_close(found.values, expected, atol=0)
    assert found.attrs == {"units": "1"}


def test_clear_looks():
    assert_close(clear_looks(CLEAR).values, np.array([[3, 2, 2, 0, 1]], "uint16"), atol=0)


def test_longest_gap():
    # looks on days 10, 20 and 40 of 61
    found = longest_gap(CLEAR, start=dt.date(2024, 3, 1), end=dt.date(2024, 5, 1))
    assert_close(found.values, np.array([[21, 30, 41, 61, 41]], "float32"), atol=0)
    assert found.attrs["units"] == "day"


def test_middle_look():
    # looks on days 10, 20 and 40; the third pixel was seen on the first two only
    found = middle_look(CLEAR, start=dt.date(2024, 3, 1))
    assert_close(found.values, np.array([[20, 25, 15, NAN, 20]], "float32"), atol=0)
    assert found.attrs["units"] == "days since 2024-03-01"


def test_middle_look_of_one_scene_is_its_day():
    found = middle_look(CLEAR[:1], start=dt.date(2024, 3, 1))
    assert_close(found.values, np.array([[10, 10, 10, NAN, NAN]], "float32"), atol=0)


def test_fewer_looks_never_shorten_the_gap_or_add_coverage():
    period = {"start": dt.date(2024, 3, 1), "end": dt.date(2024, 5, 1)}
    for date in range(3):
        less = CLEAR.copy(deep=True)
        less[date] = False
        assert (longest_gap(less, **period) >= longest_gap(CLEAR, **period)).all()
        assert (clear_looks(less) <= clear_looks(CLEAR)).all()
        blanked = median_composite(RED, less, min_looks=2)
        seen = np.isfinite(median_composite(RED, CLEAR, min_looks=2))
        assert (np.isfinite(blanked) <= seen).all()


def test_days_are_whole():
    found = day_numbers(TIMES, dt.date(2024, 3, 1))
    assert_close(found, np.array([10.0, 20.0, 40.0]), atol=0)
