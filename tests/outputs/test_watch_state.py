import datetime as dt
import json

import numpy as np
import pytest

from rs_monitor.errors import NoObservations, RunError
from rs_monitor.maps.watch import replay
from rs_monitor.outputs.blocks import DAMAGED, BlockStore
from rs_monitor.outputs.watch_state import (
    BEGIN,
    JOURNAL_NAME,
    KEPT,
    WatchStore,
    advance,
    state_digest,
    watch_fingerprint,
)
from tests.maps.shipped_watch import contents
from tests.maps.test_watch import RULES, START, days_of, make_cube

RULE = RULES["same_season"]
MARK = watch_fingerprint(RULE, START, {"crs": "EPSG:32650"})


@pytest.fixture(scope="module")
def cube():
    values, clear = make_cube(years=3, seed=3)
    values[65:, 0, 0] -= 0.4
    return values[:75], clear[:75]


@pytest.fixture(scope="module")
def straight(cube):
    return replay(*cube, start=START, as_of=days_of(cube[0])[-1], rules=RULE)


def feed(folder, cube, mark=MARK):
    with WatchStore(folder, mark) as store:
        return list(advance(store, *cube, start=START, rules=RULE))


def newest(folder):
    with WatchStore(folder, MARK) as store:
        return store.load()


def npz_of(folder, line):
    return BlockStore(folder).block_path("watch", "states", line["block"])


def recorded(folder):
    return json.loads((folder / JOURNAL_NAME).read_text())["states"]


def test_a_stored_watch_is_the_watch(tmp_path, cube, straight):
    lines = feed(tmp_path, cube)
    watched = [day.isoformat() for day in days_of(cube[0]) if day >= START]
    assert [line.day for line in lines] == [BEGIN, *watched]
    loaded = newest(tmp_path)
    assert contents(loaded.state) == contents(straight)
    assert lines[-1].content_digest == state_digest(straight)
    assert (loaded.refused, loaded.lost_days) == ((), ())
    assert len(list(tmp_path.rglob("*.npz"))) == KEPT


def test_a_second_run_feeds_nothing_and_a_later_one_only_what_is_new(tmp_path, cube, straight):
    feed(tmp_path, [part[:70] for part in cube])
    assert feed(tmp_path, [part[:70] for part in cube]) == []
    # images before are not needed again; they would be lazy
    assert len(feed(tmp_path, [part[70:] for part in cube])) == 5
    assert contents(newest(tmp_path).state) == contents(straight)


def test_lazy_images_are_read_one_by_one(tmp_path, cube, straight):
    feed(tmp_path, [part.chunk(time=1, x=2) for part in cube])
    assert contents(newest(tmp_path).state) == contents(straight)


def test_a_damaged_state_is_refused_and_the_one_before_goes_on(tmp_path, cube, straight):
    feed(tmp_path, cube)
    path = npz_of(tmp_path, recorded(tmp_path)[-1])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    loaded = newest(tmp_path)
    last = str(cube[0]["time"].values[-1])[:10]
    assert loaded.refused == (f"{last}: {DAMAGED}",)
    assert loaded.lost_days == (last,)
    with pytest.raises(RunError, match=f"needed the images of {last} once more"):
        feed(tmp_path, [part[:-1] for part in cube])
    assert [line.day for line in feed(tmp_path, cube)] == [last]
    assert contents(newest(tmp_path).state) == contents(straight)
    assert [line["day"] for line in recorded(tmp_path)].count(last) == 1


def test_a_state_swapped_for_another_sound_one_is_refused(tmp_path, cube):
    """Block and hash fit each other; the recorded content digest tells."""
    feed(tmp_path, cube)
    last, before = (npz_of(tmp_path, line) for line in recorded(tmp_path)[:-3:-1])
    for ending in (".npz", ".json"):
        last.with_suffix(ending).write_bytes(before.with_suffix(ending).read_bytes())
    assert "content differs" in newest(tmp_path).refused[0]


def test_with_no_sound_state_left_nothing_is_guessed(tmp_path, cube):
    feed(tmp_path, cube)
    for path in tmp_path.rglob("*.npz"):
        path.unlink()
    before = (tmp_path / JOURNAL_NAME).read_text()
    with pytest.raises(RunError, match="got no sound state"):
        feed(tmp_path, cube)
    assert (tmp_path / JOURNAL_NAME).read_text() == before


def test_another_watch_is_refused(tmp_path, cube):
    feed(tmp_path, cube)
    others = [
        watch_fingerprint(RULE.model_copy(update={"spreads": 4.0}), START, {"crs": "EPSG:32650"}),
        watch_fingerprint(RULE, START + dt.timedelta(days=1), {"crs": "EPSG:32650"}),
        watch_fingerprint(RULE, START, {"crs": "EPSG:32651"}),
    ]
    for mark in others:
        with pytest.raises(RunError, match="other rules, start, grid or code"):
            WatchStore(tmp_path, mark)
    # the folder was let go of
    assert newest(tmp_path).state is not None


def test_code_that_would_continue_differently_is_another_watch(monkeypatch):
    monkeypatch.setattr("rs_monitor.outputs.watch_state.STATE_FORMAT", 99)
    assert watch_fingerprint(RULE, START, {"crs": "EPSG:32650"}) != MARK


@pytest.mark.parametrize("text", ["{", "[]", '{"fingerprint": "x"}', '{"states": [{"day": 1}]}'])
def test_broken_progress_is_told(tmp_path, text):
    (tmp_path / JOURNAL_NAME).write_text(text)
    with pytest.raises(RunError, match="needed the progress of a watch"):
        WatchStore(tmp_path, MARK)


def test_one_writer_at_a_time(tmp_path):
    with WatchStore(tmp_path, MARK), pytest.raises(RunError, match="needed the folder alone"):
        WatchStore(tmp_path, MARK)


def test_nothing_is_pickled(tmp_path, cube):
    feed(tmp_path, cube)
    for path in tmp_path.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as archive:
            assert {archive[name].dtype.hasobject for name in archive.files} == {False}


def test_images_out_of_order_and_two_of_one_day_are_refused(tmp_path, cube):
    turned = [part[::-1] for part in cube]
    twice = [part.isel(time=[*range(66), 65]) for part in cube]
    for images in (turned, twice, [part.sortby("time") for part in twice]):
        with pytest.raises(NoObservations, match="not one a day, ascending"):
            feed(tmp_path, images)
    assert newest(tmp_path).state is None


def test_a_late_image_is_refused(tmp_path, cube):
    late = days_of(cube[0])[66]
    without = [part.isel(time=[k for k in range(70) if k != 66]) for part in cube]
    feed(tmp_path, without)
    with pytest.raises(NoObservations, match=f"got images of {late} after the state of"):
        feed(tmp_path, cube)
    assert feed(tmp_path, without) == []


def test_another_start_is_refused(tmp_path, cube):
    feed(tmp_path, cube)
    later = START + dt.timedelta(days=1)
    with (
        WatchStore(tmp_path, MARK) as store,
        pytest.raises(RunError, match=f"got a start of {later}; needed that of the state, {START}"),
    ):
        list(advance(store, *cube, start=later, rules=RULE))


def test_the_crs_is_kept_and_in_the_digest(tmp_path, cube):
    crs = {"crs_wkt": "PROJCRS of zone 50", "grid_mapping_name": "transverse_mercator"}
    placed = [part.assign_coords(spatial_ref=((), 0, crs)) for part in cube]
    lines = feed(tmp_path, placed)
    state = newest(tmp_path).state
    assert state["spatial_ref"].attrs == crs
    straight = replay(*placed, start=START, as_of=days_of(cube[0])[-1], rules=RULE)
    assert lines[-1].content_digest == state_digest(straight) == state_digest(state)
    other = state.assign_coords(spatial_ref=((), 0, crs | {"crs_wkt": "PROJCRS of zone 51"}))
    assert (
        state_digest(other) != state_digest(state) != state_digest(state.drop_vars("spatial_ref"))
    )
