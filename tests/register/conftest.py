from collections.abc import Callable

import geopandas as gpd
import pytest
import shapely

from rs_monitor.register.records import FINDING, PROPOSED_PATCH, Schema, record_frame

CRS = "EPSG:4548"
PLAIN = {"text": "x", "float": 1.5, "int": 3, "bool": True}
CODED = {
    "kind": "building",
    "measurability": "measured",
    "status": "suspected",
    "proposal": "suspected_illegal",
}


def records(schema: Schema, key: str, ids: list[str], **changes: list) -> gpd.GeoDataFrame:
    columns = {
        column.name: [CODED.get(column.name, PLAIN[column.type])] * len(ids) for column in schema
    }
    columns[key] = ids
    columns.update(changes)
    shapes = [shapely.box(500_000 + i, 3_600_000, 500_010 + i, 3_600_010) for i in range(len(ids))]
    return record_frame(columns, schema, shapes, CRS)


@pytest.fixture
def make_findings() -> Callable[..., gpd.GeoDataFrame]:
    return lambda *ids, **changes: records(FINDING, "finding_id", list(ids), **changes)


@pytest.fixture
def make_patches() -> Callable[..., gpd.GeoDataFrame]:
    return lambda *ids: records(PROPOSED_PATCH, "patch_id", list(ids))


@pytest.fixture
def findings(make_findings) -> gpd.GeoDataFrame:
    return make_findings("f1", "f2")


@pytest.fixture
def patches(make_patches) -> gpd.GeoDataFrame:
    return make_patches("p1", "p2")
