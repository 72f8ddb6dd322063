import datetime as dt
import tomllib

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rs_monitor.config.paths import data_root
from rs_monitor.errors import QuantityError, UnsuitableCRS
from rs_monitor.imagery.dark_levels import RadiometryRules
from rs_monitor.imagery.illumination import (
    LightFit,
    cos_incidence,
    cos_slope,
    fit_light,
    flatten_terrain,
    measure_light,
    sun_position,
)
from rs_monitor.kernels.illumination import LightSums, cos_zenith
from tests.comparison import assert_close

TABLE = tomllib.loads((data_root() / "configs" / "rules" / "imagery.toml").read_text())
RULES = RadiometryRules.model_validate(TABLE["radiometry"]).illumination
SHAPE = (60, 60)
GEOBOX = GeoBox(SHAPE, Affine(30, 0, 500000, 0, -30, 3500000), "EPSG:32650")
SUN = (150.0, 35.0)


@pytest.fixture(scope="module")
def dem():
    rows, cols = np.mgrid[:60, :60] / 7
    heights = (400 + 80 * np.sin(rows) + 70 * np.cos(cols + rows / 2)).astype("float32")
    return xr.DataArray(heights, dims=("y", "x"), coords=xr_coords(GEOBOX, dims=("y", "x")))


def light(dem, sun=SUN):
    return cos_incidence(dem, GEOBOX, sun_azimuth_deg=sun[0], sun_elevation_deg=sun[1])


def fitted(values, dem, clear=None):
    clear = np.ones(SHAPE, bool) if clear is None else clear
    sums = measure_light(values, light(dem).values, cos_slope(dem, GEOBOX).values, clear, RULES)
    return fit_light(sums, RULES)


def cube(dem, *dates, quantity="reflectance"):
    stack = np.stack(dates).astype("float32")
    coords = {**dem.coords, "time": np.arange(len(dates)).astype("M8[D]").astype("M8[ns]")}
    red = xr.DataArray(stack, dims=("time", "y", "x"), coords=coords, attrs={"units": "1"})
    return xr.Dataset({"red": red}, attrs={"quantity": quantity})


def test_light_that_shows_is_fitted(dem):
    noise = np.random.default_rng(0).normal(0, 0.01, SHAPE)
    fit = fitted(0.05 + 0.2 * light(dem).values + noise, dem)
    assert_close(fit.c, 0.25, atol=0.01)
    assert fit.correlation > 0.9
    assert fit.reason == ""
    assert fit.min_cos_i == RULES.min_cos_incidence


def test_light_that_explains_little_is_left_alone(dem):
    noise = np.random.default_rng(0).normal(0, 0.3, SHAPE)
    fit = fitted(0.3 + 0.02 * light(dem).values + noise, dem)
    assert fit.c is None
    assert fit.reason.startswith("correlation with cos i")
    assert fitted(0.6 - 0.3 * light(dem).values, dem).c is None


def test_too_few_slopes_or_none_are_not_fitted(dem):
    clear = np.zeros(SHAPE, bool)
    clear[:20, :20] = True
    fit = fitted(0.2 * light(dem).values, dem, clear)
    assert fit.c is None
    assert "clear pixels on slopes; needed 1000" in fit.reason
    level = xr.full_like(dem, 5.0)
    assert fitted(np.full(SHAPE, 0.2), level).pixels == 0
    assert fit_light(LightSums(), RULES).c is None


def test_a_negative_constant_becomes_lamberts_cosine(dem):
    fit = fitted(-0.02 + 0.3 * light(dem).values, dem)
    assert fit.c == 0.0
    assert fit.reason == "fitted constant -0.067 is negative: set to 0"


@pytest.mark.parametrize("method", ["c", "scs_c"])
def test_dates_are_corrected_by_their_own_fit(dem, method):
    values = 0.05 + 0.2 * light(dem).values
    fit = fitted(values, dem)
    unfitted = LightFit(None, 0.0, 0, "weak")
    given = cube(dem, values, values)
    done = flatten_terrain(
        given, dem, GEOBOX, suns=[SUN, SUN], fits={"red": [fit, unfitted]}, method=method
    )
    assert_close(done["red"].values[1], given["red"].values[1], atol=0)
    corrected = done["red"].values[0]
    seen = np.isfinite(corrected)
    assert (seen == (light(dem).values > RULES.min_cos_incidence)).all()
    assert done["red"].attrs == {"units": "1"}
    if method == "c":
        level = 0.05 + 0.2 * cos_zenith(SUN[1])
        assert_close(corrected[seen], np.full(seen.sum(), level, np.float32), atol=1e-4)


def test_raw_numbers_and_degrees_are_refused(dem):
    given = cube(dem, np.ones(SHAPE), quantity="dn")
    with pytest.raises(QuantityError, match="got a cube of dn; needed reflectance"):
        flatten_terrain(given, dem, GEOBOX, suns=[SUN], fits={}, method="c")
    degrees = GeoBox(SHAPE, Affine(1e-4, 0, 100, 0, -1e-4, 30), "EPSG:4326")
    with pytest.raises(UnsuitableCRS, match="terrain illumination needs"):
        cos_slope(dem, degrees)


def test_the_sun_stands_where_the_worked_example_puts_it():
    # Reda & Andreas 2004, appendix: Golden, Colorado; topocentric, without refraction
    when = dt.datetime(2003, 10, 17, 12, 30, 30, tzinfo=dt.timezone(dt.timedelta(hours=-7)))
    azimuth, elevation = sun_position(when, -105.1786, 39.742476)
    assert_close(azimuth, 194.34024, atol=0.02)
    assert_close(elevation, 39.872046, atol=0.02)


def test_at_noon_on_the_equinox_the_sun_stands_over_the_equator():
    noon = dt.datetime(2024, 3, 20, 12, 7, 30, tzinfo=dt.UTC)
    assert sun_position(noon, 0.0, 0.0)[1] > 89.5
    azimuth, elevation = sun_position(noon, 0.0, 30.0)
    assert_close(azimuth, 180.0, atol=0.5)
    assert_close(elevation, 60.0, atol=0.3)
    assert sun_position(noon, 180.0, 0.0)[1] < -89


def test_november_light_is_removed_from_real_slopes(shared_data):
    from benchmarks.radiometry import illumination_table, lit_scenes, load_rules

    assert any(scene.name == "Pennsylvania 20021125" for scene in lit_scenes(shared_data))
    table = illumination_table(shared_data, load_rules()).set_index(["scene", "band"])
    november = table.loc["Pennsylvania 20021125"]
    assert (november["r with cos i"] > 0.45).all()
    for method in ("c", "scs_c"):
        assert (november[f"r after {method}"].astype(float).abs() < 0.05).all()
        assert (november[f"sd after / before {method}"] < 0.96).all()
    # where the sun stands high, cover leads and the guard holds
    july = table.loc["Pennsylvania 20020720"]
    assert july["c"]["blue"] == july["c"]["swir22"] == "left as it is"
