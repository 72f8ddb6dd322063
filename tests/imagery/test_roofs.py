"""New bright roofs must survive the mask while clouds do not.

Thresholds were set on townships 101 to 103; these are others.
"""

from __future__ import annotations

import numpy as np
import pytest

from rs_monitor.imagery.growth import grown
from rs_monitor.imagery.masks import screen
from rs_monitor.synthetic import BANDS
from tests.imagery.planted_roofs import Planted, plant_roofs
from tests.imagery.shipped_rules import CLEAR_SKY

OPAQUE = 0.34  # opacity from which the classification itself calls a pixel cloud
OPEN_SKY = 0.05
NEEDED_LOOKS = 3


@pytest.fixture(scope="module", params=[1, 2, 3])
def planted(request) -> Planted:
    return plant_roofs(request.param)


def screened(planted: Planted, rules) -> np.ndarray:
    result = screen(planted.cube, kind="scl", band="scl", spectral_bands=BANDS, rules=rules)
    return result["clear"].values


def open_looks(planted: Planted, away_m: float) -> np.ndarray:
    """Looks with nothing in the sky, nor so near that the mask's rim may reach the pixel."""
    sky = (planted.cloud < OPEN_SKY) & (planted.shadow < OPEN_SKY) & planted.seen
    return sky & ~grown(planted.cloud + planted.shadow > OPEN_SKY, away_m, 10.0)


def roofs_seen(planted: Planted, clear: np.ndarray) -> float:
    return float((clear.sum(axis=0) >= NEEDED_LOOKS)[planted.roof].mean())


def test_roofs_survive_and_clouds_do_not(planted, record_property):
    clear = screened(planted, CLEAR_SKY)
    sky = open_looks(planted, 100.0)
    kept_looks = clear[sky & planted.roof].mean()
    kept_pixels = roofs_seen(planted, clear & sky)
    missed = float(clear[(planted.cloud >= OPAQUE) & planted.seen].mean())

    off = CLEAR_SKY.model_copy(
        update={"in_place": CLEAR_SKY.in_place.model_copy(update={"min_looks": 10_000})}
    )
    without = screened(planted, off)
    record_property("roof pixels kept", kept_pixels)
    record_property("without the rule", roofs_seen(planted, without & sky))
    record_property("clouds missed", missed)
    assert kept_pixels >= 0.95
    assert kept_looks >= 0.95
    assert missed < 0.05
    assert roofs_seen(planted, without & sky) < 0.05


def test_ground_beside_a_roof_is_not_masked_with_it(planted):
    clear = screened(planted, CLEAR_SKY)
    beside = grown(planted.roof[None], 40.0, 10.0)[0] & ~grown(planted.roof[None], 15.0, 10.0)[0]
    sky = open_looks(planted, 100.0)
    raw = np.isin(planted.cube["scl"].values, [2, 4, 5, 6, 7])
    assert clear[sky & beside & raw].mean() > 0.97
