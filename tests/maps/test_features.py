import datetime as dt

import numpy as np
import xarray as xr

from rs_monitor.maps.features import (
    BAND_QUANTILES,
    BANDS,
    INDEX_QUANTILES,
    THIRDS,
    feature_names,
    season_features,
)
from tests.comparison import assert_close

START, END = dt.date(2024, 3, 1), dt.date(2024, 5, 29)  # 90 days: thirds of 30


def season(days, clear, **bands):
    times = np.datetime64(START, "ns") + np.array(days, "m8[D]")
    dims, shape = ("time", "y", "x"), (len(days), 1, 1)
    plain = dict.fromkeys(BANDS, [0.2] * len(days)) | bands
    coords = {"time": times, "y": [0.0], "x": [0.0]}
    values = {band: (dims, np.array(plain[band], "float32").reshape(shape)) for band in BANDS}
    looks = xr.DataArray(np.array(clear, bool).reshape(shape), dims=dims, coords=coords)
    return xr.Dataset(values, coords=coords), looks


def features_of(days, clear, **bands):
    found = season_features(*season(days, clear, **bands), start=START, end=END)
    return dict(zip(found["feature"].values.tolist(), found.values[:, 0, 0], strict=True))


def test_names_are_unique_and_in_order():
    names = feature_names()
    assert len(names) == len(set(names))
    assert len(names) == len(BANDS) * len(BAND_QUANTILES) + 3 * len(INDEX_QUANTILES) + THIRDS
    assert names[:3] == ("blue_p25", "blue_p50", "blue_p75")
    found = features_of([0], [1])
    assert tuple(found) == names


def test_quantiles_of_three_clear_looks_by_hand():
    found = features_of(
        [0, 10, 20, 30], [1, 1, 0, 1], nir=[0.1, 0.3, 9.0, 0.2], red=[0.1, 0.1, 0.1, 0.1]
    )
    got = np.array([found[f"nir_p{q}"] for q in (25, 50, 75)])
    assert_close(got, np.array([0.15, 0.2, 0.25], "float32"), atol=1e-6)
    # ndvi of the clear looks: 0, 1/2, 1/3
    got = np.array([found[f"ndvi_p{q}"] for q in (10, 25, 50, 75, 90)])
    expected = [0.2 / 3, 0.5 / 3, 1 / 3, 2.5 / 6, 0.8 / 2 + 0.2 / 3]
    assert_close(got, np.array(expected, "float32"), atol=1e-6)


def test_thirds_of_the_period():
    found = features_of(
        [0, 29, 30, 59, 89],
        [1, 1, 1, 1, 1],
        nir=[0.1, 0.3, 0.4, 0.4, 0.9],
        red=[0.1, 0.1, 0.1, 0.1, 0.1],
    )
    got = np.array([found[f"ndvi_third{k}"] for k in (1, 2, 3)])
    assert_close(got, np.array([0.25, 0.6, 0.8], "float32"), atol=1e-6)


def test_a_third_without_a_clear_look_is_missing():
    found = features_of([5, 40, 80], [1, 0, 1])
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {"ndvi_third2"}


def test_nothing_seen_is_missing_everywhere():
    assert np.isnan(list(features_of([5, 40], [0, 0]).values())).all()
