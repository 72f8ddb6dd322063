import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from scipy import ndimage

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.errors import GridMismatch, NoObservations, QuantityError, UnsuitableCRS
from rs_monitor.grid import zone_geobox
from rs_monitor.maps.dem_shift import DemShift, apply_shift, coregister, nmad, shift_cells
from rs_monitor.maps.slope_error import DemError, simulate_error
from rs_monitor.maps.terrain_rules import TerrainRules
from tests.comparison import assert_close

RULES = load_table(data_root() / "configs" / "rules" / "terrain.toml", TerrainRules).difference


def grid(rows, cols, cell_m=10):
    return zone_geobox((5e5, 35e5, 5e5 + cell_m * cols, 35e5 + cell_m * rows), "EPSG:4548", cell_m)


def hills(east_m=0.0, north_m=0.0, rows=120, cols=140, cell_m=10):
    """Smooth relief read ``east_m`` and ``north_m`` away from each cell."""
    y, x = np.mgrid[:rows, :cols] * float(cell_m)
    x, y = x + east_m, -y + north_m
    return 40 * np.sin(x / 170) * np.cos(y / 210) + 25 * np.sin((x + y) / 130) + 0.05 * x


EVERYWHERE = np.ones((120, 140), bool)
NO_SHIFT = DemShift(
    0, 0, 0, 0, 0, 0, nmad_before_m=0, nmad_after_m=0, n_cells=1, iterations=1, converged=True
)


@pytest.mark.parametrize(("east_m", "north_m"), [(3.3, -4.7), (-12.5, 26.0), (0, 0), (0.4, 0)])
@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
def test_a_planted_shift_is_found(east_m, north_m, method):
    # reading further east means lying too far west: it must be moved east
    moving = hills(east_m, north_m) - 2.5
    found = coregister(hills(), moving, EVERYWHERE, grid(120, 140), RULES, method=method)
    assert (found.east_m, found.north_m) == pytest.approx((east_m, north_m), abs=0.1)
    assert found.up_m == pytest.approx(2.5, abs=0.02)
    assert found.converged
    assert found.nmad_after_m < 0.05


def test_the_shift_lies_within_its_uncertainty():
    noise = DemError(sigma_m=0.5, range_m=60, correlation="exponential")
    z = []
    for seed in range(12):
        moving = hills(3.3, -4.7) - 1.0 + simulate_error((120, 140), (10, 10), noise, seed=seed)
        found = coregister(hills(), moving, EVERYWHERE, grid(120, 140), RULES)
        errors = np.array([found.east_m - 3.3, found.north_m + 4.7, found.up_m - 1.0])
        z.append(errors / (found.east_sd_m, found.north_sd_m, found.up_sd_m))
    # 36 errors; the bare standard error of independent cells would be many times too small
    assert 0.6 < np.sqrt(np.square(z).mean()) < 1.5


def test_changed_ground_left_out_does_not_matter():
    moving, stable = hills(3.3, -4.7), EVERYWHERE.copy()
    moving[30:60, 40:90] -= 20
    stable[28:62, 38:92] = False
    found = coregister(hills(), moving, stable, grid(120, 140), RULES)
    assert (found.east_m, found.north_m, found.up_m) == pytest.approx((3.3, -4.7, 0), abs=0.1)
    # a robust fit bears some of it left in
    stable[28:62, 38:60] = True
    found = coregister(hills(), moving, stable, grid(120, 140), RULES)
    assert (found.east_m, found.north_m, found.up_m) == pytest.approx((3.3, -4.7, 0), abs=0.2)


def test_the_shift_found_is_the_shift_applied():
    geobox = grid(120, 140)
    moving = hills(3.3, -4.7) - 2.5
    moving[50, 60] = np.nan
    shift = coregister(hills(), moving, EVERYWHERE, geobox, RULES)
    dem = xr.DataArray(moving, dims=("y", "x"), coords=xr_coords(geobox, dims=("y", "x")))
    back = apply_shift(dem, geobox, shift)
    error = back.values - hills()
    assert np.nanmax(np.abs(error)) < 0.1
    assert np.isnan(error).sum() == 16 + 120 * 140 - 117 * 137
    assert back.attrs["shift_m"][2] == shift.up_m


def test_whole_cells_are_moved_exactly_and_nothing_is_invented():
    values = np.arange(20.0).reshape(4, 5)
    values[1, 1] = np.nan
    for method in ("bilinear", "bicubic"):
        moved = shift_cells(values, 2.0, -1.0, method)
        expected = np.full((4, 5), np.nan)
        expected[:3, 2:] = values[1:, :3]
        assert_close(moved, expected, atol=0)
        assert_close(shift_cells(values, 0, 0, method), values, atol=0)
        assert np.isnan(shift_cells(values, 9.0, 0, method)).all()
    halfway = shift_cells(values, 0.5, 0, "bilinear")
    assert halfway[0].tolist() == pytest.approx([np.nan, 0.5, 1.5, 2.5, 3.5], nan_ok=True)
    assert np.isnan(halfway[1, 1:3]).all()
    # a cubic reproduces a parabola
    squares = np.tile(np.arange(9.0) ** 2, (4, 1))
    assert shift_cells(squares, -0.25, 0, "bicubic")[0, 3] == pytest.approx(3.25**2)


def test_too_little_ground_flat_ground_and_a_plane_are_refused():
    flat, plane = np.zeros((120, 140)), hills() * 0 + np.arange(140) * 3.0
    for ground, stable, match in [
        (flat, EVERYWHERE, "stable cells steeper than"),
        (hills(), ~EVERYWHERE, "got 0 known stable cells"),
        (plane, EVERYWHERE, "slopes one way only"),
    ]:
        with pytest.raises(NoObservations, match=match):
            coregister(ground, ground, stable, grid(120, 140), RULES)


def test_other_grids_and_degrees_are_refused():
    with pytest.raises(GridMismatch, match="needed one grid"):
        coregister(hills(), hills()[1:], EVERYWHERE, grid(120, 140), RULES)
    with pytest.raises(UnsuitableCRS):
        coregister(hills(), hills(), EVERYWHERE, grid(120, 140).to_crs("EPSG:4490"), RULES)


def test_whole_metres_hide_a_shift():
    # under a tenth of a cell: most rounded differences are 0
    moving = hills(0.8, -0.8)
    found = coregister(hills(), moving, EVERYWHERE, grid(120, 140), RULES)
    assert (found.east_m, found.north_m) == pytest.approx((0.8, -0.8), abs=0.1)
    with pytest.raises(NoObservations, match="heights that are not rounded"):
        coregister(np.rint(hills()), np.rint(moving), EVERYWHERE, grid(120, 140), RULES)


def test_a_copy_with_a_local_change_has_no_shift():
    moving = hills()
    moving[30:50, 40:60] -= 7
    found = coregister(hills(), moving, EVERYWHERE, grid(120, 140), RULES)
    assert (found.east_m, found.north_m, found.up_m) == pytest.approx((0, 0, 0), abs=1e-6)


@pytest.mark.parametrize(("dx", "dy"), [(10, 10), (-10, -10)])
def test_a_mirrored_grid_is_refused(dx, dy):
    mirrored = GeoBox((120, 140), Affine(dx, 0, 5e5, 0, dy, 35e5), "EPSG:4548")
    with pytest.raises(UnsuitableCRS, match="upside down or mirrored"):
        coregister(hills(), hills(), EVERYWHERE, mirrored, RULES)
    dem = xr.DataArray(hills(), dims=("y", "x"))
    with pytest.raises(UnsuitableCRS, match="upside down or mirrored"):
        apply_shift(dem, mirrored, NO_SHIFT)


def test_whole_numbers_and_another_grid_are_refused():
    geobox, whole = grid(120, 140), hills().astype(np.int16)
    for pair in ((whole, hills()), (hills(), whole)):
        with pytest.raises(QuantityError, match="got elevations as int16"):
            coregister(*pair, EVERYWHERE, geobox, RULES)
    with pytest.raises(QuantityError, match="got elevations as int16"):
        apply_shift(xr.DataArray(whole, dims=("y", "x")), geobox, NO_SHIFT)
    with pytest.raises(GridMismatch):
        apply_shift(xr.DataArray(hills()[1:], dims=("y", "x")), geobox, NO_SHIFT)


def test_robust_spread():
    values = np.random.default_rng(3).normal(7, 2, 20_001)
    values[:1000] = 900
    values[1000] = np.nan
    assert nmad(values) == pytest.approx(2, rel=0.1)
    assert np.isnan(nmad(np.array([np.nan])))


def test_a_real_dem_shifted_by_a_known_amount(shared_data):
    with rasterio.open(shared_data / "dem_ecuador_saga" / "elevation_10m.tif") as source:
        dem = source.read(1).astype(float)
        geobox = GeoBox.from_rio(source)
    known = np.isfinite(dem)
    # moved by an interpolator that is not the one under test
    spline = ndimage.shift(np.where(known, dem, 0.0), (0.37, -0.61), order=5, mode="nearest")
    moving = np.where(ndimage.binary_erosion(known, iterations=12), spline, np.nan) + 1.75
    found = coregister(dem, moving, known, geobox, RULES)
    assert found.east_m / 10 == pytest.approx(0.61, abs=0.05)
    assert found.north_m / 10 == pytest.approx(0.37, abs=0.05)
    assert found.up_m == pytest.approx(-1.75, abs=0.05)


def test_a_surface_and_its_terrain_lie_on_each_other(shared_data):
    heights = []
    for name in ("dtm", "dsm"):
        with rasterio.open(shared_data / "lidar_dsm_dtm_2m" / f"{name}.tif") as source:
            heights.append(np.where(source.read_masks(1) > 0, source.read(1), np.nan))
            geobox = GeoBox.from_rio(source)
    dtm, dsm = heights
    bare = np.abs(dsm - dtm) < 0.3
    found = coregister(dtm, dsm, bare, geobox, RULES)
    # one flight: no shift beyond a tenth of a cell on ground both see
    assert abs(found.east_m) < 0.2
    assert abs(found.north_m) < 0.2
