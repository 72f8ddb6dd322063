import numpy as np
import pytest
import xarray as xr

from rs_monitor.errors import ConfigError
from rs_monitor.imagery.masks import CLEAR_SCL, SceneClass, clear_mask


@pytest.fixture
def cube():
    codes = np.arange(12, dtype="uint8").reshape(1, 3, 4)
    red = np.full((1, 3, 4), 100, dtype="uint16")
    red[0, 1, 0] = 0
    nir = np.full((1, 3, 4), 0.5, dtype="float32")
    nir[0, 1, 1] = np.nan
    dims = ("time", "y", "x")
    return xr.Dataset(
        {
            "red": (dims, red, {"nodata": 0}),
            "nir": (dims, nir, {"nodata": float("nan")}),
            "scl": (dims, codes, {"nodata": 0}),
        }
    ).chunk(x=2)


def test_clear_classes_are_the_ground():
    assert {c.name for c in CLEAR_SCL} == {
        "DARK_AREA",
        "VEGETATION",
        "NOT_VEGETATED",
        "WATER",
        "UNCLASSIFIED",
    }
    assert SceneClass.SNOW == 11


def test_scl(cube):
    clear = clear_mask(cube, kind="scl", band="scl", spectral_bands=["red"])
    assert clear.dtype == bool
    assert clear.chunks is not None
    # class 4 is vegetation, but red was not seen there
    assert np.flatnonzero(clear.values).tolist() == [2, 5, 6, 7]


def test_every_spectral_band_must_be_seen(cube):
    clear = clear_mask(cube, kind="none", band=None, spectral_bands=["red", "nir"])
    assert np.flatnonzero(~clear.values).tolist() == [4, 5]


def test_refusals(cube):
    with pytest.raises(ConfigError, match=r"'cloud' is not in the cube \(red, nir, scl\)"):
        clear_mask(cube, kind="scl", band="cloud", spectral_bands=["red"])
    with pytest.raises(ConfigError, match="'fmask' is unknown"):
        clear_mask(cube, kind="fmask", band="scl", spectral_bands=["red"])
