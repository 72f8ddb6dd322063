"""A watch killed at any write: the next run ends in the state of one that was never killed."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rs_monitor.maps.watch import replay
from rs_monitor.outputs.watch_state import WatchStore, advance, state_digest
from tests.maps.shipped_watch import contents
from tests.maps.test_watch import RULES, START, days_of, make_cube
from tests.outputs.test_watch_state import MARK

RULE = RULES["same_season"]


class Killed(BaseException):
    """The process ends here; nothing of the program may catch it."""


@pytest.fixture(scope="module")
def cube():
    values, clear = make_cube(years=3, seed=3)
    values[62:, 0, 0] -= 0.4
    return values[:64], clear[:64]


@pytest.fixture(scope="module")
def straight(cube):
    return replay(*cube, start=START, as_of=days_of(cube[0])[-1], rules=RULE)


def feed(folder, cube):
    with WatchStore(folder, MARK) as store:
        return list(advance(store, *cube, start=START, rules=RULE))


class Countdown:
    """Stands before or after the writes of the file system and raises at one of them."""

    def __init__(self, monkeypatch, at, after):
        self.calls, self.at, self.after = 0, at, after
        monkeypatch.setattr(os, "fsync", self.watch(os.fsync))
        monkeypatch.setattr(Path, "replace", self.watch(Path.replace))
        monkeypatch.setattr(Path, "write_bytes", self.watch(Path.write_bytes))

    def watch(self, function):
        def counted(*arguments):
            self.calls += 1
            due = self.calls == self.at
            if due and not self.after:
                raise Killed
            result = function(*arguments)
            if due:
                raise Killed
            return result

        return counted


def run_until(folder, cube, at, after=False):
    """Feed a watch and die at one write; gives the number of writes of one that lives."""
    with WatchStore(folder, MARK) as store, pytest.MonkeyPatch.context() as patch:
        counter = Countdown(patch, at, after)
        list(advance(store, *cube, start=START, rules=RULE))
        return counter.calls


def test_killed_at_every_write(tmp_path_factory, cube, straight):
    total = run_until(tmp_path_factory.mktemp("count"), cube, at=-1)
    days = [day for day in days_of(cube[0]) if day >= START]
    assert total == 11 * (1 + len(days))  # arrays, record and progress of each state
    for at in range(1, total + 1):
        folder = tmp_path_factory.mktemp("killed")
        with pytest.raises(Killed):
            run_until(folder, cube, at, after=at % 2 == 0)
        feed(folder, cube)
        with WatchStore(folder, MARK) as store:
            recorded = [line.day for line in store.progress[1:]]
            assert recorded == [day.isoformat() for day in days], at
            assert store.progress[-1].content_digest == state_digest(straight), at
            assert contents(store.load().state) == contents(straight), at
        assert not list(folder.rglob(".tmp-*"))


def test_progress_is_never_ahead_of_the_state(tmp_path, cube):
    """At each moment of a run, every recorded state among the newest two can be read."""
    real = Path.replace

    def checked(path, target):
        result = real(path, target)
        if (tmp_path / "progress.json").is_file():
            for line in store_progress(tmp_path)[-2:]:
                block = tmp_path / "blocks" / "watch" / "states" / f"{line}.npz"
                assert block.is_file()
                assert block.with_suffix(".json").is_file()
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", checked)
        feed(tmp_path, cube)


def store_progress(folder):
    content = json.loads((folder / "progress.json").read_text())
    return [line["block"] for line in content["states"]]


KILLER = """
import os, signal, sys
from pathlib import Path
from rs_monitor.outputs.watch_state import WatchStore, advance
from tests.maps.test_watch import RULES, START, make_cube
from tests.outputs.test_watch_state import MARK

values, clear = make_cube(years=3, seed=3)
values[62:, 0, 0] -= 0.4
with WatchStore(Path(sys.argv[1]), MARK) as store:
    feed = advance(store, values[:64], clear[:64], start=START, rules=RULES["same_season"])
    for k, _ in enumerate(feed):
        if k == 2:
            real = Path.replace
            def replace(path, target):
                if Path(target).name == "progress.json":
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(path, target)
            Path.replace = replace
"""


def test_sigkill_between_state_and_progress(tmp_path, cube, straight):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", textwrap.dedent(KILLER), str(tmp_path)]
    done = subprocess.run(command, cwd=root, env=environment, check=False)
    assert done.returncode == -9
    # the state of the next day is there, its record is not
    assert len(store_progress(tmp_path)) == 3
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    feed(tmp_path, cube)
    with WatchStore(tmp_path, MARK) as store:
        assert contents(store.load().state) == contents(straight)
