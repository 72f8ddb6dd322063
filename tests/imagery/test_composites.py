import datetime as dt

import numpy as np
import pytest
import xarray as xr

from rs_monitor.errors import ConfigError, QuantityError
from rs_monitor.imagery import composites
from rs_monitor.imagery.composites import (
    clear_looks,
    composite,
    day_numbers,
    last_look,
    longest_gap,
    median_composite,
    middle_look,
    only_clear,
    shown_look,
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


def test_last_look():
    found = last_look(CLEAR, start=dt.date(2024, 3, 1))
    assert_close(found.values, np.array([[40, 40, 20, NAN, 20]], "float32"), atol=0)
    assert found.attrs["units"] == "days since 2024-03-01"


def test_a_clear_look_without_a_value_is_none():
    holes = stack([[1, NAN, NAN], [2, NAN, 4], [NAN, 3, NAN]], "float32")
    everywhere = stack([[1, 1, 1]] * 3, bool, "clear")
    found = median_composite(holes, everywhere, min_looks=2)
    assert_close(found.values, np.array([[1.5, NAN, NAN]], "float32"), atol=0)


# four pixels: an outlier, a look without NIR, one look only, none
BANDS = xr.Dataset(
    {
        "red": stack([[1, 5, 2, 7], [2, 6, 3, 7], [9, 7, 4, 7]], "float32"),
        "nir": stack([[1, 5, 8, 7], [3, NAN, 8, 7], [9, 7, 8, 7]], "float32", "nir"),
    }
)
SEEN = stack([[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]], bool, "clear")
TARGET = dt.date(2024, 3, 20)  # a day before the second look


def combined(method, min_looks=1, bands=("red", "nir"), **options):
    found = composite(BANDS, SEEN, bands=bands, method=method, min_looks=min_looks, **options)
    assert found.dims == ("band", "y", "x")
    assert found["band"].values.tolist() == list(bands)
    assert found.attrs["method"] == method
    assert found.name == "composite"
    return found


@pytest.mark.parametrize(
    ("method", "options", "red", "nir"),
    [
        ("median", {}, [2, 6, 3, NAN], [3, 6, 8, NAN]),
        ("geomedian", {}, [2, 6, 3, NAN], [3, 6, 8, NAN]),
        ("medoid", {}, [2, 5, 3, NAN], [3, 5, 8, NAN]),
        ("best_pixel", {"target_day": TARGET}, [2, 5, 3, NAN], [3, 5, 8, NAN]),
        ("best_pixel", {"target_day": dt.date(2024, 4, 30)}, [9, 7, 3, NAN], [9, 7, 8, NAN]),
        # five days from the first and from the second look: the earliest
        ("best_pixel", {"target_day": dt.date(2024, 3, 16)}, [1, 5, 3, NAN], [1, 5, 8, NAN]),
    ],
)
def test_composites_by_hand(method, options, red, nir):
    found = combined(method, **options)
    assert_close(found.values, np.array([[red], [nir]], "float32"), atol=0.002)


@pytest.mark.parametrize("method", ["median", "geomedian", "medoid", "best_pixel"])
def test_too_few_looks_give_nodata(method):
    options = {"target_day": TARGET} if method == "best_pixel" else {}
    for min_looks, seen in [
        (0, [1, 1, 1, 0]),
        (2, [1, 1, 0, 0]),
        (3, [1, 0, 0, 0]),
        (4, [0, 0, 0, 0]),
    ]:
        found = combined(method, min_looks=min_looks, **options).sel(band="nir")
        assert np.isfinite(found.values[0]).astype(int).tolist() == seen


@pytest.mark.parametrize("method", ["medoid", "best_pixel"])
def test_chosen_looks_are_real_ones(method):
    options = {"target_day": TARGET} if method == "best_pixel" else {}
    found = combined(method, **options).values[:, 0]
    looks = np.stack([BANDS["red"].values[:, 0], BANDS["nir"].values[:, 0]], axis=1)
    for pixel in range(3):
        assert any((looks[t, :, pixel] == found[:, pixel]).all() for t in range(3))


def looks_shown(method, min_looks=1, **options):
    start = dt.date(2024, 3, 1)
    ways = {"bands": ["red", "nir"], "method": method, "min_looks": min_looks} | options
    return shown_look(BANDS, SEEN, start=start, **ways)


@pytest.mark.parametrize(
    ("method", "options", "days"),
    [
        # looks on days 10, 20 and 40; the second pixel has no NIR on day 20
        ("median", {}, [20, 25, 20, NAN]),
        ("geomedian", {}, [20, 25, 20, NAN]),
        ("medoid", {}, [20, 10, 20, NAN]),
        ("best_pixel", {"target_day": TARGET}, [20, 10, 20, NAN]),
        ("best_pixel", {"target_day": dt.date(2024, 4, 30)}, [40, 40, 20, NAN]),
        ("median", {"min_looks": 3}, [20, NAN, NAN, NAN]),
        ("medoid", {"min_looks": 2}, [20, 10, NAN, NAN]),
    ],
)
def test_looks_shown_by_hand(method, options, days):
    found = looks_shown(method, **options)
    assert_close(found.values, np.array([days], "float32"), atol=0)
    assert found.attrs["units"] == "days since 2024-03-01"
    assert found.attrs["method"] == method


@pytest.mark.parametrize("method", ["medoid", "best_pixel"])
def test_the_look_shown_is_the_one_the_composite_took(method):
    options = {"target_day": TARGET} if method == "best_pixel" else {}
    days, image = looks_shown(method, **options).values[0], combined(method, **options).values
    for pixel in range(3):
        taken = [10, 20, 40].index(days[pixel])
        look = [BANDS[band].values[taken, 0, pixel] for band in ("red", "nir")]
        assert image[:, 0, pixel].tolist() == look


def test_a_best_pixel_after_a_change_is_not_dated_before_it():
    # changed on 1 May: most looks lie before it, the one nearest to the target day after it
    days = ["2023-04-01", "2023-04-03", "2023-04-05", "2023-06-14", "2023-06-20"]
    shape, dims = (5, 1, 1), ("time", "y", "x")
    coords = {"time": np.array(days, "M8[ns]"), "y": [0.0], "x": [0.0]}
    red = np.array([0.1, 0.1, 0.1, 0.5, 0.5], "float32").reshape(shape)
    cube = xr.Dataset({"red": (dims, red)}, coords=coords)
    clear = xr.DataArray(np.ones(shape, bool), dims=dims, coords=coords)
    start = dt.date(2023, 4, 1)
    assert middle_look(clear, start=start).item() == 4
    ways = {"bands": ["red"], "min_looks": 1, "method": "best_pixel"}
    ways["target_day"] = dt.date(2023, 6, 16)
    assert composite(cube, clear, **ways).item() == np.float32(0.5)
    assert shown_look(cube, clear, start=start, **ways).item() == 74  # 14 June


def test_no_look_at_all_shows_no_day():
    none = {"values": BANDS.isel(time=[]), "clear": SEEN.isel(time=[]), "bands": ["red"]}
    for method in ("median", "medoid"):
        ways = {"method": method, "start": TARGET, "min_looks": 1}
        assert np.isnan(shown_look(**none, **ways).values).all()


def test_bands_come_in_the_order_asked():
    turned = combined("medoid", bands=("nir", "red"))
    assert_close(turned.sel(band="red").values, combined("medoid").sel(band="red").values, atol=0)


@pytest.mark.parametrize("method", ["geomedian", "medoid"])
def test_strips_do_not_matter(method, monkeypatch):
    rng = np.random.default_rng(2)
    shape = (4, 9, 11)
    coords = {"time": np.arange("2024-03-01", "2024-03-05", dtype="M8[D]").astype("M8[ns]")}
    coords |= {"y": np.arange(9.0), "x": np.arange(11.0)}
    dims = ("time", "y", "x")
    cube = xr.Dataset(
        {b: (dims, rng.random(shape).astype("float32")) for b in ("red", "nir")}, coords=coords
    )
    clear = xr.DataArray(rng.random(shape) < 0.7, dims=dims, coords=coords)
    options = {"bands": ["red", "nir"], "method": method, "min_looks": 2}
    whole = composite(cube, clear, **options)
    monkeypatch.setattr(composites, "_STRIP_BYTES", 1)
    xr.testing.assert_identical(composite(cube, clear, **options), whole)


@pytest.mark.parametrize(
    ("method", "options", "problem"),
    [
        ("mean", {}, "got 'mean'; needed one of median, geomedian, medoid, best_pixel"),
        ("best_pixel", {}, "got no target day for best_pixel"),
        ("medoid", {"target_day": TARGET}, "got target day 2024-03-20 for medoid"),
    ],
)
def test_composites_that_cannot_be_made_are_named(method, options, problem):
    with pytest.raises(ConfigError, match=problem):
        combined(method, **options)
    with pytest.raises(ConfigError, match=problem):
        looks_shown(method, **options)


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


def test_a_mask_with_gaps_is_refused():
    # NaN is true: a missing value would count as clear
    with pytest.raises(QuantityError, match="got a mask of float32; needed bool"):
        only_clear(RED, CLEAR.astype("float32").where(CLEAR))


@pytest.mark.parametrize("method", ["median", "geomedian", "medoid", "best_pixel"])
def test_zero_in_uint16_is_not_a_look(method):
    options = {"target_day": TARGET} if method == "best_pixel" else {}
    rows = [[0, 0, 3], [0, 0, 3], [5000, 0, 3]]
    cube = xr.Dataset({"red": stack(rows, "uint16"), "nir": stack(rows, "uint16", "nir")})
    seen = stack(np.ones((3, 3)), bool, "clear")
    ways = {"bands": ["red", "nir"], "method": method} | options
    for min_looks, expected in [(1, [5000, NAN, 3]), (2, [NAN, NAN, 3])]:
        found = composite(cube, seen, min_looks=min_looks, **ways)
        assert_close(found.values, np.array([[expected]] * 2, "float32"), atol=0.002)
    shown = shown_look(cube, seen, start=dt.date(2024, 3, 1), min_looks=1, **ways).values[0]
    assert shown[0] == 40
    assert np.isnan(shown[1])


@pytest.mark.parametrize("method", ["median", "geomedian", "medoid"])
def test_signed_integers_are_refused(method):
    numbers = stack([[-9999], [-9999], [5000]], "int16")
    seen = stack([[1]] * 3, bool, "clear")
    problem = "got 'red' as int16; needed float with NaN, or uint16 with 0 = not seen"
    with pytest.raises(QuantityError, match=problem):
        median_composite(numbers, seen)
    ways = {"bands": ["red"], "method": method, "min_looks": 1}
    with pytest.raises(QuantityError, match=problem):
        composite(numbers.to_dataset(), seen, **ways)
    with pytest.raises(QuantityError, match=problem):
        shown_look(numbers.to_dataset(), seen, start=TARGET, **ways)
