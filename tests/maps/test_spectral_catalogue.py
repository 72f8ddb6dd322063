import socket
import sys

import numpy as np
import pytest
import spyndex
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.errors import ConfigError, QuantityError
from rs_monitor.imagery.naming import SENTINEL2_BANDS, SPECTRAL
from rs_monitor.maps.feature_spec import SCENE, SEASON, SEASON_RED_EDGE, YEARS
from rs_monitor.maps.indices import mndwi, ndbi, ndvi
from rs_monitor.maps.spectral_catalogue import (
    BAND_OF_LETTER,
    VALID_RANGE,
    index_bands,
    index_map,
    index_units,
    index_values,
    spectral_index,
)
from tests.comparison import assert_close

BANDS = tuple(BAND_OF_LETTER.values())
IN_SPECS = sorted({name for s in (SCENE, SEASON, SEASON_RED_EDGE, YEARS) for name in s.indices})
OTHERS = ("EVI", "EVI2", "SAVI", "GNDVI", "NDMI", "NDCI", "MTCI", "PSRI", "IRECI", "AWEIsh")


def reflectance(seed=0, shape=(3, 4, 5), low=0.02, high=0.5):
    rng = np.random.default_rng(seed)
    return {band: rng.uniform(low, high, shape).astype("float32") for band in BANDS}


def by_library(name, bands):
    letters = {letter: bands[band].astype("float64") for letter, band in BAND_OF_LETTER.items()}
    constants = {key: c.default for key, c in spyndex.constants.items() if c.default is not None}
    return spyndex.computeIndex(name, {**constants, "L": 0.5 if name == "SAVI" else 1.0} | letters)


def test_every_letter_is_one_band_of_sentinel_2_and_means_what_the_catalogue_means():
    assert set(BANDS) <= SPECTRAL
    assert len(set(BANDS)) == len(BANDS)
    names = {code.replace("B0", "B"): band for code, band in SENTINEL2_BANDS.items()}
    for letter, band in BAND_OF_LETTER.items():
        assert names[spyndex.bands[letter].sentinel2a.band.replace("B0", "B")] == band


@pytest.mark.parametrize("name", [*IN_SPECS, *OTHERS])
def test_values_are_those_of_the_catalogue(name):
    bands = reflectance()
    expected = by_library(name, bands)
    low, high = VALID_RANGE.get(name, (-np.inf, np.inf))
    expected = np.where((expected >= low) & (expected <= high), expected, np.nan)
    got = index_values(name, bands)
    assert np.isfinite(got).mean() > 0.2
    assert_close(got, expected.astype("float32"), atol=1e-4 if name == "S2REP" else 0, rtol=2e-4)


@pytest.mark.parametrize(
    ("ours", "name", "bands"),
    [
        (ndvi, "NDVI", ("nir", "red")),
        (mndwi, "MNDWI", ("green", "swir16")),
        (ndbi, "NDBI", ("swir16", "nir")),
    ],
)
def test_our_own_indices_are_the_catalogues(ours, name, bands):
    assert index_bands(name) == spectral_index(name).bands == bands
    assert spectral_index(name).is_normalised_difference
    values = reflectance()
    cube = xr.Dataset({band: (("time", "y", "x"), v) for band, v in values.items()})
    assert np.array_equal(ours(cube).values, index_values(name, values))
    assert_close(ours(cube).values, by_library(name, values).astype("float32"), atol=2e-7)


@pytest.mark.parametrize("name", [*IN_SPECS, *OTHERS])
def test_nothing_infinite_comes_out_whatever_goes_in(name):
    odd = np.array([0, -0.1, 1e-38, 1e38, np.nan, np.inf, 0.3], "float32")
    for first in odd:
        bands = {band: odd if k % 2 else np.full_like(odd, first) for k, band in enumerate(BANDS)}
        assert not np.isinf(index_values(name, bands)).any()
    gone = {band: np.full(1, np.nan, "float32") for band in BANDS}
    assert np.isnan(index_values(name, gone)).all()


def test_division_by_nothing_is_missing():
    one, zero = np.ones(1, "float32"), np.zeros(1, "float32")
    assert np.isnan(index_values("CIRE", {"nir": one, "rededge1": zero}))
    assert np.isnan(index_values("NDREI", {"nir": zero, "rededge1": zero}))


def test_a_red_edge_position_outside_the_red_edge_is_missing():
    flat = {"red": 0.2, "rededge1": 0.1, "rededge2": 0.1001, "rededge3": 0.2}
    edge = {"red": 0.05, "rededge1": 0.1, "rededge2": 0.3, "rededge3": 0.45}
    both = {band: np.array([flat[band], edge[band]], "float32") for band in flat}
    got = index_values("S2REP", both)
    assert np.isnan(got[0])
    assert got[1] == pytest.approx(705 + 35 * (0.25 - 0.1) / 0.2, abs=1e-3)
    assert index_units("S2REP") == spectral_index("S2REP").units == "nm"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(0.25, 4.0), st.sampled_from(["NDVI", "NDREI", "CIRE", "S2REP", "BI", "NBR"]))
def test_ratios_do_not_know_how_bright_the_light_is(factor, name):
    bands = reflectance()
    brighter = {band: (v * np.float32(factor)).astype("float32") for band, v in bands.items()}
    one, other = index_values(name, bands), index_values(name, brighter)
    both = np.isfinite(one) & np.isfinite(other)  # rounding may cross the end of a valid range
    assert both.sum() >= np.isfinite(one).sum() - 1
    assert_close(other[both], one[both], atol=1e-5, rtol=1e-4)


def test_unknown_radar_and_kernel_indices_are_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"did you mean NDVI"):
        index_bands("NDVi")
    with pytest.raises(ConfigError, match=r"needs VV, VH; .*choose another"):
        index_bands("NDPolI")
    with pytest.raises(ConfigError, match=r"needs .*kNN"):
        index_bands("kNDVI")
    with pytest.raises(ConfigError, match=r"needs .*T1"):
        index_bands("NBLIOLI")


def test_a_map_refuses_raw_numbers_integers_and_missing_bands():
    cube = xr.Dataset({band: (("y", "x"), np.ones((2, 2), "float32")) for band in ("nir", "red")})
    assert index_map(cube, "NDVI").attrs["units"] == "1"
    with pytest.raises(ConfigError, match=r"got nir, red; needed also rededge1"):
        index_map(cube, "NDREI")
    with pytest.raises(QuantityError, match="got a cube of dn"):
        index_map(cube.assign_attrs(quantity="dn"), "NDVI")
    with pytest.raises(QuantityError, match=r"got 'nir' as uint16"):
        index_map(cube.assign(nir=cube["nir"].astype("uint16")), "NDVI")


def test_nothing_is_fetched(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    spectral_index.cache_clear()
    assert np.isfinite(index_values("CIRE", reflectance())).all()


def test_the_catalogue_is_read_only_when_an_index_of_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "spyndex", None)
    spectral_index.cache_clear()
    assert SEASON.required_bands == SEASON.bands
    assert set(SEASON.units) == {"1"}
    assert np.isfinite(index_values("NDVI", reflectance())).all()
    with pytest.raises(ImportError):
        _ = SEASON_RED_EDGE.required_bands
