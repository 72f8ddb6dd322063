import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from odc.geo.xr import xr_coords

from rs_monitor.codes import Motion, Status
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError
from rs_monitor.grid import zone_geobox
from rs_monitor.maps.displacement import subsidence, subsiding_area
from rs_monitor.maps.terrain_rules import TerrainRules
from tests.comparison import assert_close

RULES = load_table(data_root() / "configs" / "rules" / "terrain.toml", TerrainRules).displacement
CRS = "EPSG:4548"
GRID = zone_geobox((500000, 3500000, 500040, 3500010), CRS, 10)


def raster(*values):
    data = np.array([values], "float32")
    return xr.DataArray(data, dims=("y", "x"), coords=xr_coords(GRID, dims=("y", "x")))


def found(values, **options):
    settings = {"quantity": "vertical", "positive": "up", "unit": "mm/a", **options}
    return subsidence(values, GRID, rules=RULES, **settings)


def test_rates_beyond_the_limit_move():
    product = found(raster(-10.5, -10, np.nan, 12))
    expected = [[Motion.DOWN, Motion.STILL, Motion.NOT_SEEN, Motion.UP]]
    assert product["motion"].values.tolist() == expected
    assert product["rate_mm_a"].attrs["positive"] == "up"


def test_the_sign_and_unit_are_those_declared():
    for options in ({"positive": "down"}, {"quantity": "los", "positive": "away"}):
        product = found(raster(0.02, -0.005, np.nan, 0), unit="m/a", **options)
        assert_close(product["rate_mm_a"].values, np.array([[-20, 5, np.nan, 0]], "f4"), atol=1e-5)
        assert product["motion"].values[0, 0] == Motion.DOWN


@pytest.mark.parametrize(
    ("quantity", "positive"), [("los", "up"), ("los", "down"), ("vertical", "towards")]
)
def test_a_sign_of_the_other_line_is_refused(quantity, positive):
    with pytest.raises(QuantityError, match="needed one of"):
        found(raster(1, 1, 1, 1), quantity=quantity, positive=positive)


def test_a_line_of_sight_stays_one_unless_asked():
    product = found(raster(-9, 0, 0, 0), quantity="los", positive="towards", incidence_deg=60.0)
    assert product["rate_mm_a"].values[0, 0] == -9
    assert product["rate_mm_a"].attrs["line"] == "los"
    assert product["rate_mm_a"].attrs["assumption"] == "none: as measured"


def test_vertical_of_a_line_of_sight_needs_its_angle():
    los = {"quantity": "los", "positive": "towards", "result": "vertical"}
    with pytest.raises(QuantityError, match="a vertical rate needs it"):
        found(raster(-9, 0, 0, 0), **los)
    with pytest.raises(QuantityError, match="got an incidence angle of 90"):
        found(raster(-9, 0, 0, 0), **los, incidence_deg=90.0)
    product = found(raster(-9, 4, np.nan, 0), **los, incidence_deg=60.0)
    assert_close(product["rate_mm_a"].values, np.array([[-18, 8, np.nan, 0]], "f4"), atol=1e-5)
    assert product["motion"].values[0, 0] == Motion.DOWN
    assert product["rate_mm_a"].attrs["assumption"].startswith("no horizontal motion")


def test_each_cell_by_its_own_angle():
    angles = raster(60, 0, 30, 120)
    product = found(
        raster(-9, -9, np.nan, -9), quantity="los", positive="towards", result="vertical",
        incidence_deg=angles,
    )  # fmt: skip
    assert_close(
        product["rate_mm_a"].values, np.array([[-18, -9, np.nan, np.nan]], "f4"), atol=1e-5
    )


def test_a_vertical_rate_is_not_turned_into_a_line_of_sight():
    with pytest.raises(QuantityError, match="needed its direction"):
        found(raster(1, 1, 1, 1), result="los")


def test_extent_and_rate_of_polygons():
    product = found(raster(-20, -12, 15, np.nan))
    boxes = [(0, 30), (20, 40), (30, 40), (5, 15)]
    polygons = gpd.GeoDataFrame(
        geometry=[shapely.box(500000 + a, 3500000, 500000 + b, 3500010) for a, b in boxes],
        crs=CRS, index=["all", "half", "unseen", "parts"],
    )  # fmt: skip
    table = subsiding_area(polygons, product, GRID, RULES)
    assert table["status"].tolist() == [
        *(Status.RECORDED, Status.RECORDED, Status.NOT_EVALUATED, Status.RECORDED)
    ]
    assert table["seen_fraction"].tolist() == pytest.approx([1, 0.5, 0, 1])
    assert table.loc["all", "moving_area_m2"] == pytest.approx(300, rel=1e-4)
    assert table.loc["all", "sinking_area_m2"] == pytest.approx(200, rel=1e-4)
    assert table.loc["all", "lowest_rate_mm_a"] == -20
    assert table.loc["parts", "mean_rate_mm_a"] == pytest.approx(-16)
    assert table.loc["half", "moving_area_m2"] == pytest.approx(100, rel=1e-4)
    assert table.loc["unseen"].isna().sum() == 4
    assert table.loc["unseen", "reason"] == "seen on 0.00, needed 0.5"
    assert set(table["line"]) == {"vertical"}


def test_a_rate_that_is_not_finite_was_not_seen():
    product = found(raster(np.inf, -np.inf, 3e38, 0), unit="m/a")
    assert product["motion"].values.tolist() == [[Motion.NOT_SEEN] * 3 + [Motion.STILL]]
    assert np.isnan(product["rate_mm_a"].values[0, :3]).all()


def test_whole_numbers_are_no_velocities():
    with pytest.raises(QuantityError, match="got velocities as int16"):
        found(raster(-9999, 1, 1, 1).astype("int16"))


def test_no_polygons_and_one_without_area():
    speck = shapely.box(500005, 3500005, 500005 + 1e-6, 3500005 + 1e-6)
    polygons = gpd.GeoDataFrame(geometry=[speck], crs=CRS)
    product = found(raster(-20, -12, 15, 0))
    table = subsiding_area(polygons, product, GRID, RULES)
    assert table["status"].tolist() == [Status.NOT_EVALUATED]
    none = subsiding_area(polygons[:0], product, GRID, RULES)
    assert none.empty
    assert list(none) == list(table)


def test_other_grids_and_layers_without_crs_are_refused():
    with pytest.raises(GridMismatch, match="resample the product"):
        found(raster(1, 1, 1, 1)[:, :2])
    with pytest.raises(GridMismatch, match="needed y, x"):
        found(raster(1, 1, 1, 1).rename(x="lon"))
    with pytest.raises(MissingCRS):
        subsiding_area(
            gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]),
            found(raster(1, 1, 1, 1)),
            GRID,
            RULES,
        )
