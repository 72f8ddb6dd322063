import math

import numpy as np
import pytest
import xarray as xr
from odc.geo.xr import xr_coords
from scipy import stats

from rs_monitor.codes import SlopeLimit
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.errors import ConfigError, GridMismatch, QuantityError, UnsuitableCRS
from rs_monitor.grid import zone_geobox
from rs_monitor.kernels.exceedance import gradient_exceedance
from rs_monitor.kernels.terrain import gradient_horn, slope_horn_deg
from rs_monitor.maps.slope_error import (
    DemError,
    exceedance_probability,
    gradient_sd,
    simulate_error,
    simulated_exceedance,
    slope_limit,
)
from rs_monitor.maps.terrain_rules import TerrainRules
from tests.comparison import assert_close

RULES = load_table(data_root() / "configs" / "rules" / "terrain.toml", TerrainRules).borderline
ERROR = DemError(sigma_m=0.8, range_m=40, correlation="exponential")


def hill(rows=24, cols=30, cell_m=(10, 10)):
    y, x = np.mgrid[:rows, :cols]
    height = 60 * np.exp(-(((x - 12) / 8.0) ** 2) - ((y - 11) / 7.0) ** 2)
    return (height + 0.3 * x).astype("float32")


def raster(values, cell_m=10):
    geobox = zone_geobox(
        (5e5, 35e5, 5e5 + cell_m * values.shape[1], 35e5 + cell_m * values.shape[0]),
        "EPSG:4548",
        cell_m,
    )
    return xr.DataArray(values, dims=("y", "x"), coords=xr_coords(geobox, dims=("y", "x"))), geobox


def probability(values, limit_deg, error):
    dem, geobox = raster(values)
    return exceedance_probability(dem, geobox, limit_deg, error)


@pytest.mark.parametrize("sd", [0.002, 0.05, 0.4, 3.0])
def test_equal_errors_give_the_rice_tail(sd):
    p, q = np.meshgrid(np.linspace(-0.6, 0.6, 13), np.linspace(-0.6, 0.6, 13))
    limit = math.tan(math.radians(15))
    got = gradient_exceedance(p, q, sd_east=sd, sd_north=sd, limit=limit)
    expected = stats.ncx2.sf((limit / sd) ** 2, 2, (p**2 + q**2) / sd**2)
    assert_close(got, expected.astype("float32"), atol=1e-6)


def test_unequal_errors_agree_with_draws():
    rng = np.random.default_rng(5)
    draws = np.hypot(
        0.2 + 0.05 * rng.standard_normal(200_000), 0.1 + 0.15 * rng.standard_normal(200_000)
    )
    got = gradient_exceedance(
        np.array([[0.2]]), np.array([[0.1]]), sd_east=0.05, sd_north=0.15, limit=0.25
    )
    share = (draws > 0.25).mean()
    assert got.item() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 200_000))


@pytest.mark.parametrize("thin", [0.0, 1e-4, 2e-3])
def test_an_error_in_one_direction_only(thin):
    # |p| > sqrt(0.25^2 - 0.1^2) for a normal p of mean 0.2
    side = math.sqrt(0.25**2 - 0.1**2)
    expected = stats.norm.sf(side, 0.2, 0.05) + stats.norm.cdf(-side, 0.2, 0.05)
    p, q = np.array([[0.2]]), np.array([[0.1]])
    one = gradient_exceedance(p, q, sd_east=0.05, sd_north=thin, limit=0.25)
    other = gradient_exceedance(q, p, sd_east=thin, sd_north=0.05, limit=0.25)
    assert one.item() == other.item() == pytest.approx(expected, abs=1e-3)
    assert expected == pytest.approx(0.281, abs=0.005)


def test_whole_numbers_and_other_grids_are_refused():
    dem, geobox = raster(hill())
    for wrong, error in ((dem.astype("uint16"), QuantityError), (dem[1:], GridMismatch)):
        with pytest.raises(error, match="a slope and its error needs"):
            exceedance_probability(wrong, geobox, 15.0, ERROR)


@pytest.mark.parametrize("correlation", ["exponential", "gaussian", "spherical"])
def test_spread_of_the_gradient_is_that_of_drawn_fields(correlation):
    error = DemError(sigma_m=1.3, range_m=45, correlation=correlation, correlated_fraction=0.9)
    fields = [simulate_error((130, 150), (10, 15), error, seed=k) for k in range(12)]
    assert np.std(fields) == pytest.approx(1.3, rel=0.05)
    parts = np.array([gradient_horn(field, 10, 15) for field in fields])
    east, north = np.nanstd(parts, axis=(0, 2, 3))
    assert (east, north) == pytest.approx(gradient_sd(error, 10, 15), rel=0.05)
    both = parts[:, :, 1:-1, 1:-1].swapaxes(0, 1).reshape(2, -1)
    assert abs(np.corrcoef(both)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("correlation", "half_range"),
    [("exponential", math.exp(-0.5)), ("gaussian", math.exp(-0.25)), ("spherical", 0.3125)],
)
def test_correlation_by_distance(correlation, half_range):
    error = DemError(sigma_m=2, range_m=30, correlation=correlation, correlated_fraction=0.6)
    found = error.at(np.array([0.0, 15.0, 300.0]))
    assert found.tolist() == pytest.approx([1, 0.6 * half_range, 0], abs=1e-4)


def test_white_noise_follows_from_the_weights_alone():
    white = DemError(sigma_m=1, range_m=1, correlation="spherical", correlated_fraction=0)
    assert gradient_sd(white, 10, 20) == pytest.approx((math.sqrt(12) / 80, math.sqrt(12) / 160))


@pytest.mark.parametrize(
    "error", [ERROR, DemError(sigma_m=1.5, range_m=25, correlation="gaussian")]
)
@pytest.mark.parametrize("limit_deg", [6.0, 15.0, 25.0])
def test_formula_agrees_with_simulated_surfaces(error, limit_deg):
    runs = 300
    formula = probability(hill(), limit_deg, error).values[1:-1, 1:-1]
    drawn = simulated_exceedance(hill(), (10, 10), limit_deg, error, runs=runs, seed=100)[
        1:-1, 1:-1
    ]
    spread = np.sqrt(np.maximum(formula * (1 - formula), 1 / runs) / runs)
    z = (drawn - formula) / spread
    assert np.abs(z).max() < 5
    middle = (formula > 0.05) & (formula < 0.95)
    assert middle.sum() > 30
    assert np.sqrt((z[middle] ** 2).mean()) == pytest.approx(1, abs=0.25)


def test_no_error_is_a_plain_comparison():
    still = DemError(sigma_m=0, range_m=40, correlation="exponential")
    slope = slope_horn_deg(hill(), 10, 10)
    expected = np.where(np.isnan(slope), np.nan, slope > 15).astype("float32")
    assert_close(probability(hill(), 15.0, still).values, expected, atol=0)


def test_an_error_common_to_all_cells_moves_no_slope():
    far = DemError(sigma_m=5, range_m=1e9, correlation="gaussian")
    found = probability(hill(), 15.0, far).values[1:-1, 1:-1]
    assert_close(found, np.round(found), atol=1e-6)
    assert 0 < found.mean() < 1
    spreads = [
        gradient_sd(DemError(sigma_m=5, range_m=r, correlation="exponential"), 10, 10)[0]
        for r in (10, 100, 1000, 1e6)
    ]
    assert spreads == sorted(spreads, reverse=True)


def test_unknown_cells_stay_unknown():
    dem = hill()
    dem[5, 5] = np.nan
    found = probability(dem, 6.0, ERROR)
    assert np.isnan(found.values[4:7, 4:7]).all()
    assert np.isnan(found.values[0]).all()
    assert np.isfinite(found.values[10, 10])
    assert found.attrs["error_model"].startswith("normal, sd 0.8 m, exponential")


def test_sides_of_the_limit():
    chances = np.array([[0, 0.19, 0.21, 0.79, 0.81, 1, np.nan]], "float32")
    below, middle, above = SlopeLimit.BELOW, SlopeLimit.BORDERLINE, SlopeLimit.ABOVE
    found = slope_limit(xr.DataArray(chances, dims=("y", "x")), RULES)
    expected = [below, below, middle, middle, above, above, SlopeLimit.UNKNOWN]
    assert_close(found.values, np.array([expected], "uint8"), atol=0)


def test_a_draw_depends_on_its_seed_only():
    one, again, other = (simulate_error((9, 7), (10, 10), ERROR, seed=s) for s in (1, 1, 2))
    assert_close(one, again, atol=0)
    assert not np.allclose(one, other)


def test_what_is_no_limit_and_no_grid_is_refused():
    with pytest.raises(ConfigError, match="needed degrees between 0 and 90"):
        probability(hill(), 90.0, ERROR)
    dem, geobox = raster(hill())
    with pytest.raises(UnsuitableCRS):
        exceedance_probability(dem, geobox.to_crs("EPSG:4490"), 15.0, ERROR)
