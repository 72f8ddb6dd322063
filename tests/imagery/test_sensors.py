import pytest
from pydantic import ValidationError

from rs_monitor.errors import ConfigError
from rs_monitor.imagery import naming
from rs_monitor.imagery.sensors import Sensor, load_sensor, sensor_names

FOUR = ("blue", "green", "red", "nir")


@pytest.mark.parametrize("name", sensor_names())
def test_every_shipped_table_is_sound(name):
    sensor = load_sensor(name)
    assert sensor.id == name
    assert set(sensor.names) - naming.SPECTRAL <= {"yellow"}
    for band in sensor.bands:
        assert 400 <= band.min_nm < band.max_nm <= 2500


def test_bands_in_file_order():
    for name in ("gf1-pms", "gf1-wfv", "gf2-pms", "gf6-pms", "zy3-mux"):
        assert load_sensor(name).names == FOUR
    more = ("rededge1", "rededge2", "coastal", "yellow")
    assert load_sensor("gf6-wfv").names == (*FOUR, *more)
    assert load_sensor("uav-rgbn").names == ("red", "green", "blue", "nir")
    assert load_sensor("sentinel2-msi").names == tuple(naming.SENTINEL2_BANDS.values())[:13]


def test_numbers_of_a_table():
    sensor = load_sensor("gf2-pms")
    red = sensor.bands[2]
    assert (red.min_nm, red.max_nm, red.resolution_m, sensor.gsd_m) == (630.0, 690.0, 4.0, 4.0)
    assert load_sensor("sentinel2-msi").gsd_m == 10.0


def test_every_sensor_a_name_leads_to_exists():
    assert set(naming._CHINESE_SENSORS.values()) <= set(sensor_names())


def test_unknown_sensor_names_those_there_are():
    with pytest.raises(ConfigError, match=r"known are gf1-pms, .*zy3-mux; or state bands"):
        load_sensor("gf9")
    with pytest.raises(ConfigError, match="no such sensor table"):
        load_sensor("../rules/imagery")


def test_a_table_cannot_bring_gains_or_repeat_bands():
    band = {"name": "red", "min_nm": 630, "max_nm": 690, "resolution_m": 4}
    whole = {"id": "x", "title": "x", "platforms": ["x"], "source": "x", "verified": True}
    Sensor.model_validate(whole | {"bands": [band]})
    for wrong, text in (
        ([band, band], "repeated are red"),
        ([band | {"gain": 0.1}], "Extra inputs"),
        ([band | {"max_nm": 600}], "must lie below"),
    ):
        with pytest.raises(ValidationError, match=text):
            Sensor.model_validate(whole | {"bands": wrong})
