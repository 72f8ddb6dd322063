from pathlib import Path

import numpy as np
import pystac
import pytest

from rs_monitor.codes import CHANGE_STYLE
from rs_monitor.errors import UnsuitableCRS
from rs_monitor.outputs.catalog import write_catalog
from rs_monitor.outputs.doctor import check_run


def scene(scene_id, day, **more):
    return {"id": scene_id, "collection": "c", "datetime": f"{day}T03:00:00+00:00", **more}


@pytest.fixture
def catalogued(make_folder, geobox):
    with make_folder(synthetic=True) as folder:
        folder.add_scenes(
            [
                scene("s1", "2024-05-01", href="https://api.invalid/items/s1?token=x"),
                scene("s2", "2025-05-01", bands={"red": {"href": "https://h.invalid/r.tif?s=1"}}),
                scene("s3", "2025-06-01"),
            ]
        )
        pixels = np.ones(geobox.shape, dtype="uint8")
        for zone in ("z1", "村 2"):
            folder.write_map(
                zone,
                "change",
                pixels,
                geobox,
                nodata=0,
                band_names=["change"],
                style=CHANGE_STYLE,
            )
        write_catalog(folder, {"z1": ["s1", "s2"], "村 2": ["s3"]})
        folder.finish()
    return folder.path


def test_catalogue_reads_back(catalogued):
    catalog = pystac.Catalog.from_file(str(catalogued / "stac" / "catalog.json"))
    items = {item.properties["rs_monitor:zone"]: item for item in catalog.get_items()}
    assert set(items) == {"z1", "村 2"}
    item = items["z1"]
    assert item.properties["proj:code"] == "EPSG:4524"
    assert item.properties["proj:shape"] == [200, 240]
    assert item.properties["start_datetime"] == "2024-05-01T03:00:00Z"
    assert item.properties["end_datetime"] == "2025-05-01T03:00:00Z"
    assert item.properties["processing:software"] == {"rs_monitor": "0.1.0"}
    assert item.properties["rs_monitor:synthetic"] is True
    west, south, east, north = item.bbox
    assert 107.9 < west < east < 108.1
    assert 32 < south < north < 33
    asset = item.assets["change"]
    assert Path(asset.get_absolute_href()) == catalogued / "maps" / "z1" / "change.tif"
    assert not Path(asset.href).is_absolute()
    classes = asset.extra_fields["classification:classes"]
    assert [(c["value"], c["name"], c["color_hint"]) for c in classes] == [
        (1, "no_change", "ebebe1"),
        (2, "change", "d01c2c"),
    ]
    assert check_run(catalogued) == []


def test_items_lead_back_to_their_scenes_without_secrets(catalogued):
    catalog = pystac.Catalog.from_file(str(catalogued / "stac" / "catalog.json"))
    (item,) = (i for i in catalog.get_items() if i.properties["rs_monitor:zone"] == "z1")
    links = {link.title: link.href for link in item.links if link.rel == "derived_from"}
    assert links == {"s1": "https://api.invalid/items/s1", "s2": "https://h.invalid/r.tif"}


def test_catalogue_can_be_moved(catalogued):
    for path in (catalogued / "stac").rglob("*.json"):
        assert str(catalogued) not in path.read_text(encoding="utf-8")


def test_grid_outside_its_crs_is_refused(make_folder, geobox):
    wrong = type(geobox)(geobox.shape, geobox.affine.translation(5e5, 3.6e6), "EPSG:4524")
    with make_folder() as folder:
        folder.write_map(
            "z1", "x", np.ones(wrong.shape, "uint8"), wrong, nodata=0, band_names=["x"]
        )
        with pytest.raises(UnsuitableCRS, match="which lies outside its CRS"):
            write_catalog(folder)
