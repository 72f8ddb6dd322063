import datetime as dt
import tomllib

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rs_monitor.errors import ConfigError, GridMismatch, NoObservations, QuantityError
from rs_monitor.imagery.composites import only_clear
from rs_monitor.kernels.harmonic import harmonic_regressors
from rs_monitor.kernels.series import time_quantiles
from rs_monitor.maps import period_statistics
from rs_monitor.maps.feature_spec import (
    NAMED,
    SCENE,
    SEASON,
    SEASON_RED_EDGE,
    YEARS,
    FeatureSpec,
)
from rs_monitor.maps.features import BANDS, feature_names, season_features
from rs_monitor.maps.indices import mndwi, ndbi, ndvi
from rs_monitor.maps.texture import texture
from tests.comparison import assert_close

START, END = dt.date(2024, 3, 1), dt.date(2024, 5, 29)  # 90 days: thirds of 30


def season(days, clear, **bands):
    times = np.datetime64(START, "ns") + np.array(days, "m8[D]")
    dims, shape = ("time", "y", "x"), (len(days), 1, 1)
    plain = dict.fromkeys(BANDS, [0.2] * len(days)) | bands
    coords = {"time": times, "y": [0.0], "x": [0.0]}
    values = {band: (dims, np.array(plain[band], "float32").reshape(shape)) for band in BANDS}
    looks = xr.DataArray(np.array(clear, bool).reshape(shape), dims=dims, coords=coords)
    return xr.Dataset(values, coords=coords), looks


def features_of(days, clear, **bands):
    found = season_features(*season(days, clear, **bands), start=START, end=END)
    return dict(zip(found["feature"].values.tolist(), found.values[:, 0, 0], strict=True))


def test_names_are_unique_and_in_order():
    names = feature_names()
    assert len(names) == len(set(names))
    assert names == SEASON.names
    assert len(names) == 36
    assert names[:3] == ("blue_p25", "blue_p50", "blue_p75")
    found = features_of([0], [1])
    assert tuple(found) == names


def test_quantiles_of_three_clear_looks_by_hand():
    found = features_of(
        [0, 10, 20, 30], [1, 1, 0, 1], nir=[0.1, 0.3, 9.0, 0.2], red=[0.1, 0.1, 0.1, 0.1]
    )
    got = np.array([found[f"nir_p{q}"] for q in (25, 50, 75)])
    assert_close(got, np.array([0.15, 0.2, 0.25], "float32"), atol=1e-6)
    # ndvi of the clear looks: 0, 1/2, 1/3
    got = np.array([found[f"ndvi_p{q}"] for q in (10, 25, 50, 75, 90)])
    expected = [0.2 / 3, 0.5 / 3, 1 / 3, 2.5 / 6, 0.8 / 2 + 0.2 / 3]
    assert_close(got, np.array(expected, "float32"), atol=1e-6)


def test_thirds_of_the_period():
    found = features_of(
        [0, 29, 30, 59, 89],
        [1, 1, 1, 1, 1],
        nir=[0.1, 0.3, 0.4, 0.4, 0.9],
        red=[0.1, 0.1, 0.1, 0.1, 0.1],
    )
    got = np.array([found[f"ndvi_third{k}"] for k in (1, 2, 3)])
    assert_close(got, np.array([0.25, 0.6, 0.8], "float32"), atol=1e-6)


def test_a_third_without_a_clear_look_is_missing():
    found = features_of([5, 40, 80], [1, 0, 1])
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {"ndvi_third2"}


def test_looks_of_other_days_do_not_count():
    one = features_of([0, 40, 89], [1, 1, 1], nir=[0.1, 0.2, 0.3])
    with_others = features_of([-1, 0, 40, 89, 90], [1] * 5, nir=[0.9, 0.1, 0.2, 0.3, 0.9])
    assert with_others == one
    assert np.isnan(list(features_of([-1, 90], [1, 1]).values())).all()


def test_nothing_seen_is_missing_everywhere():
    assert np.isnan(list(features_of([5, 40], [0, 0]).values())).all()


ALL_BANDS = SEASON_RED_EDGE.bands
YEAR = dt.date(2022, 3, 1)


def cube(looks, *, years=1, seed=0, shape=(4, 3)):
    """Random looks in any order of days, a third of them clouded."""
    rng = np.random.default_rng(seed)
    days = rng.choice(365 * years, looks, replace=False)
    dims = ("time", "y", "x")
    coords = {"time": np.datetime64(YEAR, "ns") + days.astype("m8[D]")}
    coords |= {"y": np.arange(shape[0]) * -10.0, "x": np.arange(shape[1]) * 10.0}
    size = (looks, *shape)
    bands = {b: (dims, rng.uniform(0.02, 0.5, size).astype("float32")) for b in ALL_BANDS}
    clear = xr.DataArray(rng.random(size) < 0.67, dims=dims, coords=coords)
    return xr.Dataset(bands, coords=coords), clear


def features(seen, clear, spec, *, years=1, terrain=None):
    end = YEAR + dt.timedelta(365 * years)
    return season_features(seen, clear, start=YEAR, end=end, spec=spec, terrain=terrain)


def only(period="season", **said):
    return FeatureSpec(period=period, bands=("nir", "red"), indices=("NDVI",), **said)


@pytest.mark.parametrize("spec", NAMED.values(), ids=NAMED)
def test_a_record_survives_the_text_of_a_card(spec):
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else value!r}"
        for key, value in spec.model_dump(mode="json").items()
    ]
    assert FeatureSpec.model_validate(tomllib.loads("\n".join(lines))) == spec
    assert len(set(spec.names)) == len(spec.names) == len(spec.units)


@pytest.mark.parametrize("spec", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("years", [1, 3])
def test_features_are_named_finite_or_missing_and_float32(spec, years):
    found = features(*cube(60, years=years), spec, years=years)
    assert found["feature"].values.tolist() == list(spec.names)
    assert found.dtype == np.float32
    assert not np.isinf(found.values).any()
    assert np.isfinite(found.values).mean() > 0.7


def test_the_features_of_a_season_are_what_they_always_were():
    # written out once more as they were first made: stored models and runs rest on these numbers
    seen, clear = cube(20)
    series = [only_clear(seen[band], clear) for band in BANDS]
    indices = [only_clear(index(seen), clear) for index in (ndvi, mndwi, ndbi)]
    parts = [time_quantiles(s.values, np.array([0.25, 0.5, 0.75])) for s in series]
    parts += [time_quantiles(s.values, np.array([0.1, 0.25, 0.5, 0.75, 0.9])) for s in indices]
    days = (seen["time"].values - np.datetime64(YEAR, "ns")) // np.timedelta64(1, "D")
    third = np.minimum(days * 3 // 366, 2)
    parts += [time_quantiles(indices[0].values[third == k], np.array([0.5])) for k in range(3)]
    assert features(seen, clear, SEASON).values.tobytes() == np.concatenate(parts).tobytes()


@pytest.mark.parametrize("spec", NAMED.values(), ids=NAMED)
def test_a_look_that_is_masked_is_a_look_that_never_was(spec):
    seen, clear = cube(40)
    masked = clear.copy()
    masked[7] = False
    gone = [t for t in range(40) if t != 7]
    expected = features(seen.isel(time=gone), clear.isel(time=gone), spec)
    assert_same_features(features(seen, masked, spec), expected)
    blank = seen.copy(deep=True)
    for band in blank.data_vars:
        blank[band][7] = np.nan
    assert_same_features(features(blank, clear, spec), expected)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.permutations(range(40)))
def test_the_order_of_looks_does_not_matter(order):
    seen, clear = cube(40)
    for spec in NAMED.values():
        expected = features(seen, clear, spec)
        got = features(seen.isel(time=order), clear.isel(time=order), spec)
        assert_same_features(got, expected)


def assert_same_features(got, expected):
    """The same but for the sums of a harmonic fit, whose order rounds."""
    fitted = [n for n in expected["feature"].values if n.split("_")[-1][:3] in FITTED]
    plain = [n for n in expected["feature"].values if n not in fitted]
    assert_close(got.sel(feature=plain).values, expected.sel(feature=plain).values, atol=0)
    got, expected = got.sel(feature=fitted), expected.sel(feature=fitted)
    assert_close(got.values, expected.values, atol=1e-6)


FITTED = {"lev", "cos", "sin", "amp", "res"}


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(1, 30), st.integers(0, 2**16))
def test_quantiles_rise_and_spreads_are_their_differences(looks, seed):
    fractions = (0.0, 0.1, 0.5, 0.8, 1.0)
    spec = only(index_quantiles=fractions, index_spreads=((0.1, 0.8), (0.0, 1.0)))
    found = features(*cube(looks, seed=seed), spec).values
    levels, (narrow, wide) = found[:5], found[5:]
    with np.errstate(invalid="ignore"):
        assert not (np.diff(levels, axis=0) < -1e-6).any()
    assert_close(narrow, levels[3] - levels[1], atol=0)
    assert_close(wide, levels[4] - levels[0], atol=0)


@pytest.mark.parametrize("spec", [SCENE, SEASON, SEASON_RED_EDGE])
def test_of_one_look_all_quantiles_are_its_value(spec):
    seen, clear = cube(1)
    found = features(seen, clear, spec)
    for band in spec.bands:
        values = np.where(clear.values[0], seen[band].values[0], np.nan)
        for name in (n for n in spec.names if n.startswith(f"{band}_p")):
            assert_close(found.sel(feature=name).values, values.astype("float32"), atol=0)


def test_a_missing_look_is_no_zero_and_its_count_is_a_feature_only_if_asked():
    seen, clear = cube(12)
    clear[:, 0, 0] = False
    spec = only(index_quantiles=(0.5,), clear_looks=True)
    found = features(seen, clear, spec)
    assert np.isnan(found.sel(feature="ndvi_p50").values[0, 0])
    assert_close(
        found.sel(feature="clear_looks").values, clear.values.sum(axis=0).astype("float32"), atol=0
    )
    seen["red"][3] = np.nan
    less = features(seen, clear, spec).sel(feature="clear_looks").values
    assert less.sum() == clear.values.sum() - clear.values[3].sum()
    assert "clear_looks" not in SEASON.names


def test_day_of_the_peak_in_the_period_and_in_the_year():
    seen, clear = cube(3, shape=(1, 1))
    days = np.array([700, 10, 400], "m8[D]")
    seen = seen.assign_coords(time=np.datetime64(YEAR, "ns") + days)
    clear = xr.full_like(clear, True).assign_coords(time=seen["time"])
    seen["nir"][:, 0, 0] = [0.3, 0.2, 0.45]
    said = {"band_quantiles": (0.5,), "peak_day_of": ("nir",)}
    season = features(seen, clear, only(**said), years=2)
    years = features(seen, clear, only("years", **said), years=2)
    assert season.sel(feature="nir_peak_days").item() == 400
    assert years.sel(feature="nir_peak_days").item() == pytest.approx(400 - 365.25)
    seen["nir"][:] = 0.2
    assert features(seen, clear, only(**said), years=2).sel(feature="nir_peak_days").item() == 10
    hidden = features(seen, xr.full_like(clear, False), only(**said), years=2)
    assert np.isnan(hidden.sel(feature="nir_peak_days").item())


def test_quarters_of_the_year_pool_all_years():
    seen, clear = cube(6, shape=(1, 1))
    days = np.array([5, 365 + 8, 100, 730 + 100, 200, 1020], "m8[D]")
    seen = seen.assign_coords(time=np.datetime64(YEAR, "ns") + days)
    clear = xr.full_like(clear, True).assign_coords(time=seen["time"])
    seen["nir"][:, 0, 0] = [0.1, 0.3, 0.4, 0.4, 0.9, 0.5]
    spec = only("years", parts=4, parts_of=("nir",))
    got = features(seen, clear, spec, years=3)
    assert spec.names == tuple(f"nir_year_quarter{k}" for k in (1, 2, 3, 4))
    assert_close(got.values[:, 0, 0], np.array([0.2, 0.4, 0.9, 0.5], "float32"), atol=1e-6)


def test_harmonics_find_the_wave_a_series_was_made_of():
    seen, clear = cube(90, years=3)
    days = (seen["time"].values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    truth = np.array([0.4, 0.1, -0.02, 0.05, 0.03])
    wave = truth @ harmonic_regressors(np.floor(days), order=2, trend=False)
    seen["nir"][:] = wave[:, None, None].astype("float32")
    spec = only("years", harmonic_order=2, harmonics_of=("nir",), harmonic_looks=3)
    found = features(seen, clear, spec, years=3)
    amplitudes = [np.hypot(truth[1], truth[3]), np.hypot(truth[2], truth[4])]
    expected = np.array([*truth, *amplitudes, 0.0], "float32")
    assert_close(found.values[:, 0, 0], expected, atol=1e-5)
    clear[14:, 0, 0] = False  # one look short of three for each of five coefficients
    few = features(seen, clear, spec, years=3).values
    assert np.isnan(few[:, 0, 0]).all()
    assert np.isfinite(few[:, 1:, 1:]).all()


def test_texture_is_that_of_the_median_which_need_not_be_a_feature():
    seen, clear = cube(5)
    said = {"texture_of": ("nir",), "texture_windows_px": (3,), "texture_measures": ("contrast",)}
    spec = only(index_quantiles=(0.5,), **said)
    assert spec.names == ("ndvi_p50", "nir_contrast_3px")
    median = xr.zeros_like(clear[0], dtype="float32").drop_vars("time")
    median[:] = time_quantiles(only_clear(seen["nir"], clear).values, np.array([0.5]))[0]
    expected = texture(median, window_px=3, measures=("contrast",), step=0.0)
    found = features(seen, clear, spec).sel(feature="nir_contrast_3px").values
    assert_close(found, expected.values[0], atol=0)


def test_terrain_of_the_same_grid_stands_beside_and_has_its_units():
    seen, clear = cube(3)
    ground = seen["nir"][0].drop_vars("time")
    terrain = xr.Dataset({"slope_deg": ground * 40, "height_m": ground * 900})
    spec = only(index_quantiles=(0.5,), terrain=("height_m", "slope_deg"))
    found = features(seen, clear, spec, terrain=terrain)
    assert spec.units == ("1", "m", "degree")
    assert_close(found.values[1], terrain["height_m"].values, atol=0)
    assert found.attrs["feature_units"] == "1 m degree"
    with pytest.raises(GridMismatch, match="terrain 'height_m' on another grid"):
        features(seen, clear, spec, terrain=terrain.assign_coords(x=terrain["x"] + 5))
    with pytest.raises(GridMismatch, match="another grid"):
        features(seen, clear, spec, terrain=terrain.isel(y=slice(2)))
    with pytest.raises(ConfigError, match="got terrain of nothing; needed height_m, slope_deg"):
        features(seen, clear, spec)
    with pytest.raises(ConfigError, match="needed slope_deg; compute it from a DEM"):
        features(seen, clear, spec, terrain=terrain[["height_m"]])


def test_ground_that_no_look_shows_has_no_terrain_either():
    seen, clear = cube(6)
    clear[:, 1, 2] = False
    seen["nir"][:, 3, 0] = np.nan  # red is still seen there
    terrain = xr.Dataset({"slope_deg": xr.ones_like(seen["nir"][0]).drop_vars("time")})
    spec = only(band_quantiles=(0.5,), terrain=("slope_deg",), clear_looks=True)
    slope = features(seen, clear, spec, terrain=terrain).sel(feature="slope_deg").values
    assert np.isnan(slope[1, 2])
    assert np.isnan(slope).sum() == (clear.sum("time") == 0).sum()


def test_what_cannot_be_made_is_refused_before_a_pixel_is_read():
    seen, clear = cube(30)
    lazy, mask = seen.chunk(y=2), clear.chunk(y=2)
    with pytest.raises(ConfigError, match=r"needed also rededge1, .*choose features without"):
        features(lazy.drop_vars(["rededge1", "rededge2"]), mask, SEASON_RED_EDGE)
    with pytest.raises(QuantityError, match="got a cube of dn"):
        features(lazy.assign_attrs(quantity="dn"), mask, SEASON)
    with pytest.raises(QuantityError, match="got 'blue' as uint16"):
        features(lazy.astype("uint16"), mask, SEASON)
    with pytest.raises(QuantityError, match="got a mask of float32"):
        features(lazy, mask.astype("float32"), SEASON)
    with pytest.raises(NoObservations, match=r"got 1 looks; needed at least 15 .*season or scene"):
        features(lazy.isel(time=[0]), mask.isel(time=[0]), YEARS)
    with pytest.raises(ConfigError, match="got a period of 245 days; needed a whole year"):
        season_features(lazy, mask, start=YEAR, end=YEAR + dt.timedelta(244), spec=YEARS)
    with pytest.raises(ConfigError, match="turn it round"):
        season_features(lazy, mask, start=YEAR, end=dt.date(2021, 1, 1))
    with pytest.raises(GridMismatch):
        features(lazy, mask.assign_coords(x=mask["x"] + 5), SEASON)


def test_a_block_worked_in_strips_is_the_block(monkeypatch):
    seen, clear = cube(30)
    whole = features(seen, clear, YEARS)
    monkeypatch.setattr(period_statistics, "STRIP_BYTES", 1)
    xr.testing.assert_identical(features(seen, clear, YEARS), whole)


def test_a_sensor_without_some_bands_has_the_rest():
    assert SEASON_RED_EDGE.within(ALL_BANDS) == SEASON_RED_EDGE
    few = YEARS.within(("red", "nir", "swir22"))
    assert few.series == ("red", "nir", "swir22", "ndvi")
    assert (few.harmonics_of, few.parts_of) == (("ndvi",), ("ndvi", "nir"))
    none = YEARS.within(("blue",))
    assert (none.series, none.parts, none.harmonic_order) == (("blue",), 0, 0)
    assert SCENE.within(("green",)).texture_measures == ()
    with pytest.raises(ConfigError, match=r"got bands pan; .*needed any of blue"):
        SCENE.within(("pan",))


def test_an_index_that_comes_as_a_band_is_followed_like_one():
    spec = FeatureSpec(
        period="season", bands=("ndvi",), band_quantiles=(0.5,), parts=2, parts_of=("ndvi",)
    )
    assert spec.required_bands == ("ndvi",)
    assert spec.names == ("ndvi_p50", "ndvi_half1", "ndvi_half2")
    with pytest.raises(ValidationError, match="named twice: ndvi_p50"):
        FeatureSpec(
            period="season",
            bands=("ndvi",),
            indices=("NDVI",),
            band_quantiles=(0.5,),
            index_quantiles=(0.5,),
        )


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"parts": 3}, "parts and parts_of need each other"),
        ({"parts": 3, "parts_of": ("evi",)}, "evi is neither a band nor an index"),
        ({"harmonics_of": ("nir",)}, "harmonic_order and harmonics_of need each other"),
        ({"texture_of": ("nir",), "texture_measures": ("std",)}, "texture_windows_px need"),
        ({"texture_windows_px": (4,)}, "odd edges of 3 or more"),
        ({"index_spreads": ((0.9, 0.1),)}, "the first quantile must be the lower"),
        ({"period": "scene", "peak_day_of": ("nir",)}, "no course of time"),
        ({"band_quantiles": (0.5, 0.5)}, "named twice: nir_p50"),
        ({"band_quantiles": (50,)}, "less than or equal to 1"),
        ({"terrain": ("nir_p50",), "band_quantiles": (0.5,)}, "named twice"),
        ({"third": 3}, "Extra inputs"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(said, problem):
    with pytest.raises(ValidationError, match=problem):
        only(**said)


def test_homogeneity_needs_its_grey_level():
    said = {"texture_of": ("nir",), "texture_windows_px": (3,)}
    with pytest.raises(ValidationError, match="homogeneity needs texture_step"):
        only(**said, texture_measures=("homogeneity",))
