from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.config.rules import load_rules
from rs_monitor.maps.generalise import generalise_probabilities, surroundings
from rs_monitor.maps.land_cover_rules import LandCoverRules

SHIPPED = load_rules("land_cover", Path(), LandCoverRules)
SMOOTHING = SHIPPED.smoothing
OBJECTS = SHIPPED.objects.model_copy(update={"block_px": 64})
GRID = GeoBox((200, 170), Affine(10, 0, 500_000, 0, -10, 3_600_000), "EPSG:4549")


@pytest.mark.parametrize(
    ("window", "rules", "wide", "inner"),
    [
        ((slice(64, 96), slice(0, 32)), SMOOTHING, ((61, 99), (0, 35)), ((3, 35), (0, 32))),
        ((slice(192, 200), slice(99, 170)), SMOOTHING, ((189, 200), (96, 170)), ((3, 11), (3, 74))),
        ((slice(64, 128), slice(0, 64)), OBJECTS, ((64, 128), (0, 64)), ((0, 64), (0, 64))),
        ((slice(60, 130), slice(100, 170)), OBJECTS, ((0, 192), (64, 170)), ((60, 130), (36, 106))),
    ],
)  # fmt: skip
def test_surroundings_reach_as_far_as_the_answer_depends(window, rules, wide, inner):
    found = surroundings(window, rules, GRID)
    assert found == tuple(tuple(slice(*part) for part in one) for one in (wide, inner))


@pytest.mark.parametrize("rules", [SMOOTHING, OBJECTS], ids=["smoothed", "segments"])
def test_a_lone_pixel_is_outvoted_and_unseen_ground_stays_unseen(rules):
    rng = np.random.default_rng(3)
    own = np.full((2, 24, 24), 0.05, "f4")
    own[0] = 0.95
    own[:, 12, 12] = 0.4, 0.6
    own[:, 5, 5] = np.nan
    image = (0.2 + 0.001 * rng.random((3, 24, 24))).astype("f4")
    found = generalise_probabilities(
        xr.DataArray(own, dims=("class", "y", "x")),
        xr.DataArray(image, dims=("band", "y", "x")),
        rules,
    )
    assert own[:, 12, 12].argmax() == 1
    assert found.values[:, 12, 12].argmax() == 0
    assert np.isnan(found.values[:, 5, 5]).all()
    assert np.isfinite(np.delete(found.values.reshape(2, -1), 5 * 24 + 5, axis=1)).all()
