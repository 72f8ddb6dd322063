import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from rs_monitor.authority.layers import LAYER_SCHEMAS, read_layer
from rs_monitor.errors import LayerError, MissingCRS, UnsuitableCRS

BOXES = [shapely.box(500000 + 100 * i, 3500000, 500080 + 100 * i, 3500080) for i in range(3)]


def dltb(**columns):
    base = {
        "BSM": ["340001", "340002", "340003"],
        "DLBM": ["0101", "0601", "0404"],
        "DLMC": ["水田", "工业用地", "其他草地"],
        "TBMJ": [6400.0, 6400.0, 6400.0],
        "SJNF": [2023, 2023, 2023],
        "QSDWMC": ["一村", "一村", "二村"],
        "LXDH": ["1", "2", "3"],
    }
    return gpd.GeoDataFrame({**base, **columns}, geometry=BOXES, crs="EPSG:4548")


def claim_table(**columns):
    base = {
        "claim_id": ["C1", "C2", "C3"],
        "claimed_area_m2": [6400.0, 6400.0, 6400.0],
        "area_source": ["surveyed", "desk", "系数"],
        "survey_id": ["S1", None, " "],
        "change_survey_id": ["B1", "B2", "B3"],
        "completed_on": ["2024-05-01", "2024年5月1日", "20240501"],
    }
    return gpd.GeoDataFrame({**base, **columns}, geometry=BOXES, crs="EPSG:4548")


def write(frame, path, **options):
    pyogrio.write_dataframe(frame, path, **options)
    return path


def test_land_layer_gets_canonical_fields_in_delivered_order(tmp_path):
    path = write(dltb(), tmp_path / "dltb.gpkg")
    land = read_layer(path, None, kind="land", code_system="survey3")
    assert list(land.columns) == [
        *("feature_id", "land_code", "land_name", "area_m2", "net_m2", "slope_grade", "year"),
        *("QSDWMC", "geometry"),
    ]
    assert land["land_code"].tolist() == ["0101", "0601", "0404"]
    assert land["year"].tolist() == [2023, 2023, 2023]
    assert land["net_m2"].isna().all()
    assert land.crs == "EPSG:4548"
    assert land.attrs == {"source": "dltb.gpkg", "code_system": "survey3", "repaired": []}


def test_personal_columns_never_arrive(tmp_path):
    path = write(dltb(lxdh2=["x"] * 3, zrrmc=["a", "b", "c"]), tmp_path / "dltb.gpkg")
    land = read_layer(path, None, kind="land", code_system="survey3")
    assert not {"LXDH", "zrrmc"} & set(land.columns)
    assert "lxdh2" in land.columns


@pytest.mark.parametrize("encoding", ["GBK", "UTF-8"])
def test_shapefile_without_cpg(tmp_path, encoding):
    path = write(dltb(), tmp_path / "dltb.shp", encoding=encoding)
    path.with_suffix(".cpg").unlink()
    land = read_layer(path, None, kind="land", code_system="survey3")
    assert land["land_name"].tolist() == ["水田", "工业用地", "其他草地"]


def test_shapefile_without_prj_is_refused_with_a_hint(tmp_path):
    frame = dltb()
    frame["geometry"] = frame.geometry.translate(39_000_000)
    path = write(frame.set_crs("EPSG:4527", allow_override=True), tmp_path / "dltb.shp")
    path.with_suffix(".prj").unlink()
    with pytest.raises(MissingCRS, match=r"look like zone 39, EPSG:4527; confirm"):
        read_layer(path, None, kind="land", code_system="survey3")


def test_eastings_that_contradict_the_prj_are_refused(tmp_path):
    frame = dltb()
    frame["geometry"] = frame.geometry.translate(39_000_000)
    path = write(frame, tmp_path / "dltb.gpkg")
    with pytest.raises(LayerError, match=r"eastings of prefix 39; needed prefix 0.*EPSG:4527"):
        read_layer(path, None, kind="land", code_system="survey3")


def test_old_datum_is_refused(tmp_path):
    path = write(dltb().set_crs("EPSG:2384", allow_override=True), tmp_path / "old.gpkg")
    with pytest.raises(UnsuitableCRS, match="Xi'an 1980"):
        read_layer(path, None, kind="land", code_system="survey3")


def test_wrong_code_system_is_refused(tmp_path):
    frame = dltb(DLBM=["0601"] * 3, DLMC=["工业用地"] * 3)
    path = write(frame, tmp_path / "dltb.gpkg")
    with pytest.raises(LayerError, match=r"0\.0% match guide2023"):
        read_layer(path, None, kind="land", code_system="guide2023")
    with pytest.raises(LayerError, match="code_system: got None; needed one of survey3, guide2023"):
        read_layer(path, None, kind="land")


def test_codes_delivered_as_numbers_are_refused(tmp_path):
    path = write(dltb(DLBM=[101, 601, 404]), tmp_path / "dltb.gpkg")
    with pytest.raises(LayerError, match="land_code: got numbers in DLBM"):
        read_layer(path, None, kind="land", code_system="survey3")


def test_invalid_geometry_is_repaired_and_named(tmp_path):
    bow = shapely.Polygon([(0, 0), (80, 80), (80, 0), (0, 80)])
    frame = dltb()
    frame.loc[1, "geometry"] = shapely.affinity.translate(bow, 500100, 3500000)
    path = write(frame, tmp_path / "dltb.gpkg")
    land = read_layer(path, None, kind="land", code_system="survey3")
    assert land.is_valid.all()
    assert land.area.tolist() == [6400, 3200, 6400]
    (line,) = land.attrs["repaired"]
    assert line.startswith("340002: Self-intersection")


def test_red_line_without_ids_gets_row_numbers(tmp_path):
    frame = gpd.GeoDataFrame({"MC": ["北岭", None]}, geometry=BOXES[:2], crs="EPSG:4490")
    frame["geometry"] = [shapely.box(117, 31, 117.1, 31.1), shapely.box(118, 31, 118.1, 31.1)]
    redline = read_layer(write(frame, tmp_path / "r.gpkg"), None, kind="redline")
    assert redline["feature_id"].tolist() == ["row-1", "row-2"]
    assert redline["name"].fillna("").tolist() == ["北岭", ""]


def test_zone_id_field_is_the_users(tmp_path):
    frame = gpd.GeoDataFrame({"NR": [7.0, 8.0, 9.0]}, geometry=BOXES, crs="EPSG:4548")
    path = write(frame, tmp_path / "zones.gpkg")
    zones = read_layer(path, None, kind="zones", id_field="NR")
    assert zones["zone_id"].tolist() == ["7", "8", "9"]
    assert zones["plan_approved_on"].isna().all()
    with pytest.raises(LayerError, match="NUMBER: no such field; it was named as the id"):
        read_layer(path, None, kind="zones", id_field="NUMBER")


def test_layer_is_found_by_its_name_or_asked_for(tmp_path):
    path = tmp_path / "all.gpkg"
    write(dltb(), path, layer="DLTB_2023")
    write(dltb(), path, layer="XZQ", append=True)
    assert len(read_layer(path, None, kind="land", code_system="survey3")) == 3
    with pytest.raises(
        LayerError, match="with layers DLTB_2023, XZQ; needed the one for 生态保护红线"
    ):
        read_layer(path, None, kind="redline")
    with pytest.raises(LayerError, match=r"got layer 'PDT' of all\.gpkg, which cannot be read"):
        read_layer(path, "PDT", kind="redline")


def test_what_is_no_vector_file_is_refused(tmp_path):
    text = tmp_path / "a.gpkg"
    text.write_text("nothing")
    with pytest.raises(LayerError, match=r"got a\.gpkg, which cannot be opened"):
        read_layer(text, None, kind="pbf")
    with pytest.raises(LayerError, match="check the path of the layer"):
        read_layer(tmp_path / "b.gpkg", None, kind="pbf")


def test_claims_are_read(tmp_path):
    claims = read_layer(write(claim_table(), tmp_path / "c.gpkg"), None, kind="claims")
    assert list(claims.columns[:6]) == [f.name for f in LAYER_SCHEMAS["claims"].fields]
    assert claims["area_source"].tolist() == ["surveyed", "desk", "coefficient"]
    assert claims["completed_on"].tolist() == [pd.Timestamp("2024-05-01")] * 3
    assert claims["survey_id"].isna().tolist() == [False, True, True]


def test_claims_from_a_shapefile_with_short_names(tmp_path):
    renamed = claim_table().rename(columns=lambda c: c if c == "geometry" else c[:10])
    claims = read_layer(write(renamed, tmp_path / "c.shp", encoding="UTF-8"), None, kind="claims")
    assert claims["claimed_area_m2"].tolist() == [6400.0] * 3
    assert claims["change_survey_id"].tolist() == ["B1", "B2", "B3"]


def test_every_mistake_of_a_claims_table_is_listed(tmp_path):
    frame = claim_table(
        claim_id=["C1", "C1", None],
        claimed_area_m2=["6400", "much", "-3"],
        area_source=["surveyed", "guessed", None],
        completed_on=["2024-13-01", "2024111", "2024-05-01"],
    ).drop(columns=["survey_id"])
    frame.loc[2, "geometry"] = None
    with pytest.raises(LayerError) as error:
        read_layer(write(frame, tmp_path / "c.gpkg"), None, kind="claims")
    assert str(error.value).splitlines() == [
        "c.gpkg as claims (新增耕地申报): 9 mistake(s)",
        "  claim_id: 1 rows without a value: row 3",
        "  claimed_area_m2: 1 values that are no number: row 2 (much)",
        "  claimed_area_m2: 1 values not above zero: row 3 (-3)",
        "  area_source: 1 values that are no area source: row 2 (guessed)",
        "  area_source: 1 rows without a value: row 3",
        "  survey_id: no such field; needed one of survey_id, SCBGBH, 实测报告编号; add it or "
        "rename the delivered field",
        "  completed_on: 2 values that are no date: row 1 (2024-13-01), row 2 (2024111)",
        "  claim_id: 1 id(s) occur more than once: C1; needed one row per id",
        "  geometry: 1 missing, empty or not polygons: row 3; needed polygons with an area",
    ]
