import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

import rs_monitor.maps.zonal as zonal
from rs_monitor.errors import ConfigError, GridMismatch, UnsuitableCRS
from rs_monitor.maps.zonal import zonal_statistics
from tests.comparison import assert_close

CRS = "EPSG:4548"
GRID = GeoBox((40, 60), Affine(10, 0, 500000, 0, -10, 3500400), CRS)
VALUES = xr.DataArray(
    np.random.default_rng(3).normal(1e5, 1e-2, (40, 60)), dims=("y", "x"), name="values"
)


def boxes(*bounds):
    return gpd.GeoSeries([shapely.box(*b) for b in bounds], crs=CRS)


def fields():
    rng = np.random.default_rng(4)
    centres = np.c_[rng.uniform(500000, 500600, 30), rng.uniform(3500000, 3500400, 30)]
    shapes = [
        shapely.Point(c).buffer(r, quad_segs=3)
        for c, r in zip(centres, rng.uniform(5, 90, 30), strict=True)
    ]
    shapes += [
        shapely.MultiPolygon([shapes[0], shapes[3].difference(shapes[0])]),
        shapely.Polygon(),
    ]
    return gpd.GeoSeries(shapes, index=[f"f{k}" for k in range(32)], crs=CRS)


def test_two_parcels_counted_by_hand():
    values = xr.DataArray(np.arange(2400.0).reshape(40, 60), dims=("y", "x"))
    values[0, 1] = np.nan
    parcels = boxes((500000, 3500380, 500020, 3500400), (500001, 3500391, 500004, 3500394))
    whole = zonal_statistics(values, GRID, parcels, rule="centres")
    assert whole.loc[0].tolist()[:3] == [4, 3, pytest.approx((0 + 60 + 61) / 3)]
    assert whole.loc[0, ["min", "max"]].tolist() == [0, 61]
    assert whole.loc[1, ["n_px", "n_known"]].tolist() == [0, 0]
    assert whole.loc[1, ["mean", "sd", "min", "max"]].isna().all()
    shares = zonal_statistics(values, GRID, parcels, rule="fractions")
    assert shares.loc[1, ["n_px", "mean"]].tolist() == [pytest.approx(0.09), 0.0]


@pytest.mark.parametrize("window_px", [7, 16, 2048])
def test_windows_and_chunks_change_nothing_that_matters(monkeypatch, window_px):
    whole = zonal_statistics(VALUES, GRID, fields(), rule="centres")
    monkeypatch.setattr(zonal, "WINDOW_PX", window_px)
    parted = zonal_statistics(VALUES, GRID, fields(), rule="centres")
    for column in zonal.COLUMNS:
        assert_close(parted[column].to_numpy(), whole[column].to_numpy(), atol=1e-9)
    lazy = zonal_statistics(VALUES.chunk(y=13, x=17), GRID, fields(), rule="centres")
    assert lazy.equals(parted)


def test_spread_about_a_large_mean_is_numpys():
    parcels = boxes((500000, 3500000, 500600, 3500400))
    for rule in ("centres", "fractions"):
        row = zonal_statistics(VALUES, GRID, parcels, rule=rule).loc[0]
        assert_close(row["mean"], np.float64(VALUES.values.mean()), atol=1e-9)
        assert_close(row["sd"], np.float64(VALUES.values.std()), atol=1e-9)


@pytest.mark.parametrize("rule", ["centres", "fractions"])
def test_a_sliver_holds_nothing(rule):
    sliver = boxes((500000, 3500000, 500000 + 1e-7, 3500000 + 1e-7))
    row = zonal_statistics(VALUES, GRID, sliver, rule=rule).loc[0]
    assert row[["n_px", "n_known"]].tolist() == [0, 0]
    assert np.isnan(row["mean"])


def test_polygons_in_degrees_are_brought_to_the_grid():
    there = zonal_statistics(VALUES, GRID, fields().to_crs("EPSG:4490"), rule="centres")
    here = zonal_statistics(VALUES, GRID, fields(), rule="centres")
    assert there["n_px"].tolist() == here["n_px"].tolist()


def test_what_cannot_be_answered_is_refused():
    with pytest.raises(UnsuitableCRS, match="without a CRS"):
        zonal_statistics(VALUES, GRID, gpd.GeoSeries([shapely.box(0, 0, 1, 1)]), rule="centres")
    with pytest.raises(GridMismatch, match="needed the grid it is on"):
        zonal_statistics(VALUES[1:], GRID, fields(), rule="centres")
    with pytest.raises(ConfigError, match="got rule 'touched'"):
        zonal_statistics(VALUES, GRID, fields(), rule="touched")
