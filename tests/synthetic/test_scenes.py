"""The synthetic scenes: determinism, spectra, clouds, and what events do to them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from rasterio import features

from rs_monitor.synthetic import BANDS, Scene, Township, make_township

SMALL = {"size_px": 160, "events_per_kind": 2, "lookalikes_per_kind": 2}
SCL_CODES = {0, 3, 4, 5, 6, 7, 8, 9, 10, 11}


@pytest.fixture(scope="module")
def town() -> Township:
    return make_township(3, **SMALL)


def clearest(town: Township, first: dt.date, last: dt.date) -> int:
    inside = [i for i, a in enumerate(town.acquisitions) if first <= a.datetime.date() <= last]
    return min(inside, key=lambda i: town.acquisitions[i].cloud_fraction)


def surface(town: Township, index: int) -> np.ndarray:
    return town._renderer.surface(index, town.acquisitions[index])


def inside(town: Township, shapes, shrink_m: float = 0.0) -> np.ndarray:
    outlines = [shape.buffer(-shrink_m) for shape in shapes.to_crs("EPSG:32650")]
    outlines = [outline for outline in outlines if not outline.is_empty]
    burnt = features.rasterize(
        outlines, out_shape=town.geobox.shape, transform=town.geobox.affine, dtype=np.uint8
    )
    return burnt.astype(bool)


def land(town: Township, *codes: str) -> np.ndarray:
    survey = town.layers["dltb"]
    return inside(town, survey.geometry[survey["DLBM"].isin(codes)], shrink_m=12.0)


def ratio(image: np.ndarray, one: str, other: str) -> np.ndarray:
    a, b = image[..., BANDS.index(one)], image[..., BANDS.index(other)]
    return (a - b) / (a + b)


def assert_same_scene(one: Scene, other: Scene) -> None:
    assert one.acquisition == other.acquisition
    assert_array_equal(one.scl, other.scl)
    for name in BANDS:
        assert_array_equal(one.bands[name], other.bands[name])


def test_scenes_do_not_depend_on_the_order_they_are_asked_for(town):
    forward = [town.scene(i) for i in (4, 9)]
    fresh = make_township(3, **SMALL)
    backward = [fresh.scene(i) for i in (9, 4)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert_same_scene(one, other)


def test_overpasses_cover_two_years_about_every_sixteen_days(town):
    moments = [a.datetime for a in town.acquisitions]
    assert len(moments) >= 44
    assert moments == sorted(moments)
    assert moments[0].year == 2024
    assert moments[-1] > dt.datetime(2025, 12, 10, tzinfo=dt.UTC)
    gaps = np.diff([m.timestamp() for m in moments]) / 86400.0
    assert 6 < gaps.min() < gaps.max() < 26
    assert np.unique(np.round(gaps)).size > 3
    assert len({a.id for a in town.acquisitions}) == len(moments)


def test_pointing_is_off_by_a_fraction_of_a_pixel(town):
    shifts = np.array([a.shift for a in town.acquisitions])
    assert 0.1 < shifts.std() < 0.25
    assert np.abs(shifts).max() < 0.5


def test_bands_and_classification_have_the_promised_form(town):
    seen = set()
    for index in range(0, len(town.acquisitions), 6):
        scene = town.scene(index)
        assert tuple(scene.bands) == BANDS
        assert all(b.dtype == np.uint16 and b.shape == (160, 160) for b in scene.bands.values())
        assert scene.scl.dtype == np.uint8
        seen |= set(np.unique(scene.scl).tolist())
        assert_array_equal(scene.scl == 0, scene.bands["red"] == 0)
    assert seen <= SCL_CODES
    assert {3, 4, 5, 6} <= seen
    assert seen & {8, 9}


def test_clouds_follow_the_fraction_aimed_at(town):
    clouded = {a.cloud_fraction: i for i, a in enumerate(town.acquisitions)}
    clear, overcast = town.scene(clouded[min(clouded)]), town.scene(clouded[max(clouded)])
    assert np.isin(clear.scl, [8, 9]).mean() < 0.1
    assert np.isin(overcast.scl, [8, 9, 0]).mean() > 0.95


def test_classification_misses_some_cloud_but_little(town):
    index = min(
        range(len(town.acquisitions)),
        key=lambda i: abs(town.acquisitions[i].cloud_fraction - 0.35),
    )
    scene = town.scene(index)
    seen = scene.bands["blue"] * 1e-4 - 0.1
    brighter = seen - surface(town, index)[..., 0] > 0.08
    called_clear = np.isin(scene.scl, [4, 5, 6, 7])
    missed = (brighter & called_clear).sum() / called_clear.sum()
    assert 0.0 < missed < 0.15


def test_sensor_noise_is_a_few_thousandths(town):
    index = clearest(town, dt.date(2024, 3, 1), dt.date(2024, 10, 31))
    scene = town.scene(index)
    plain = land(town, "1101") & np.isin(scene.scl, [6])
    noise = (scene.bands["nir"] * 1e-4 - 0.1 - surface(town, index)[..., 3])[plain]
    assert 0.002 < noise.std() < 0.02


@pytest.mark.parametrize(
    ("codes", "index", "season", "low", "high"),
    [
        (("0101",), ("nir", "red"), ((2024, 8, 10), (2024, 9, 5)), 0.6, 0.95),
        (("0301",), ("nir", "red"), ((2024, 7, 1), (2024, 9, 5)), 0.7, 0.95),
        (("1101", "1104"), ("green", "swir16"), ((2024, 3, 1), (2024, 10, 31)), 0.3, 1.0),
        (("0602", "1206"), ("nir", "red"), ((2024, 3, 1), (2024, 10, 31)), 0.0, 0.35),
        (("0404",), ("nir", "red"), ((2024, 7, 1), (2024, 9, 5)), 0.35, 0.75),
    ],
)
def test_classes_look_as_they_should(town, codes, index, season, low, high):
    scene = clearest(town, *(dt.date(*day) for day in season))
    values = ratio(surface(town, scene), *index)[land(town, *codes)]
    assert values.size > 10
    assert low < np.median(values) < high


def test_paddies_are_flooded_in_early_summer_on_two_dates(town):
    paddy = land(town, "0101")
    wet = {
        a.datetime.date(): ratio(surface(town, i), "green", "swir16")[paddy] > 0.0
        for i, a in enumerate(town.acquisitions)
    }
    season = [wet[day] for day in wet if dt.date(2024, 5, 15) <= day <= dt.date(2024, 7, 5)]
    assert np.any(season, axis=0).mean() > 0.8
    assert 0.1 < season[0].mean() < 0.8
    autumn = [wet[day] for day in wet if dt.date(2024, 8, 1) <= day <= dt.date(2024, 10, 31)]
    # ponds that the survey calls paddies stay wet
    assert np.any(autumn, axis=0).mean() < 0.05


@pytest.mark.parametrize("kind", ["building", "earthwork", "pond", "greenhouse", "mine"])
def test_events_change_the_ground_after_their_date_and_not_before(town, kind):
    events = town.events[town.events["kind"] == kind]
    here = inside(town, events.geometry.buffer(2.0))
    empty = replace(town._renderer.ground, repaints=())
    without = replace(town._renderer, ground=empty)
    before = clearest(town, dt.date(2024, 3, 1), dt.date(2024, 10, 31))
    after = clearest(town, dt.date(2025, 5, 1), dt.date(2025, 10, 31))
    for index, changed in ((before, False), (after, True)):
        difference = surface(town, index) - without.surface(index, town.acquisitions[index])
        assert (np.abs(difference[here]).max() > 0.03) == changed
        if not changed:
            assert_array_equal(difference, 0.0)


def test_missed_clouds_are_called_clear(town):
    renderer = town._renderer
    spots = town.lookalikes[town.lookalikes["kind"] == "cloud_remnant"]
    assert spots["start"].dt.year.eq(2025).all()
    index, opacity = sorted(renderer.remnants.items())[0]
    bare = replace(renderer, remnants={})
    with_cloud = town.scene(index)
    without = bare.render(index, town.acquisitions[index])
    spot = (opacity > 0.25) & np.isin(with_cloud.scl, [4, 5, 6, 7])
    brighter = with_cloud.bands["blue"][spot].astype(int) - without.bands["blue"][spot]
    assert np.median(brighter) > 500
    assert_array_equal(with_cloud.scl, without.scl)


def test_refuses_an_unknown_scene(town):
    with pytest.raises(IndexError, match="got scene 99"):
        town.scene(99)
