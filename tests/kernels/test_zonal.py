import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from rs_monitor.kernels.zonal import zonal_sums
from tests.comparison import assert_close


def ragged(polygons):
    _, xy, (rings, parts) = shapely.to_ragged_array(polygons)[:3]
    return np.ascontiguousarray(xy.T), rings.astype(np.int64), parts.astype(np.int64)


def test_a_square_with_a_hole_counted_by_hand():
    square = shapely.box(1, 1, 4, 4).difference(shapely.box(2, 2, 3, 3))
    values = np.arange(25.0).reshape(5, 5)
    values[1, 1] = np.nan
    sums = zonal_sums(values, *ragged([square]))
    assert (sums.n_px.tolist(), sums.n_known.tolist()) == ([8], [7])
    inside = [7, 8, 11, 13, 16, 17, 18]
    assert_close(sums.total, np.array([np.sum(inside)], dtype=float), atol=0)
    assert_close(sums.squares, np.array([np.sum(np.square(inside))], dtype=float), atol=0)
    assert (sums.least[0], sums.most[0]) == (7, 18)


def test_cells_beyond_the_raster_do_not_count():
    sums = zonal_sums(
        np.ones((3, 3)), *ragged([shapely.box(-5, -5, 2, 2), shapely.box(9, 9, 12, 12)])
    )
    assert sums.n_px.tolist() == [4, 0]
    assert sums.least[1] == np.inf


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), corners=st.integers(3, 20))
def test_the_cells_are_those_gdal_burns(seed, corners):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(30, 40)).astype(np.float32)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(0.5, 18, corners)
    polygon = shapely.Polygon(
        np.c_[
            rng.uniform(0, 40) + reach * np.cos(angle), rng.uniform(0, 30) + reach * np.sin(angle)
        ]
    )
    sums = zonal_sums(values, *ragged([polygon]), origin=0.5)
    burnt = rasterize([polygon], out_shape=values.shape).astype(bool)
    assert sums.n_px[0] == burnt.sum()
    expected = np.array([(values[burnt].astype(np.float64) - 0.5).sum()])
    assert_close(sums.total, expected, atol=1e-9)


def test_polygons_can_be_shared_out():
    shapes = [shapely.box(k, 0, k + 2, 3) for k in range(6)]
    values = np.arange(30.0).reshape(3, 10)
    whole = zonal_sums(values, *ragged(shapes))
    one, other = (zonal_sums(values, *ragged(shapes), first=a, last=b) for a, b in [(0, 4), (4, 6)])
    assert_close(one.total + other.total, whole.total, atol=0)
    assert (one.n_px + other.n_px).tolist() == whole.n_px.tolist()
