"""The state of a watch on disk: saved first, then recorded as progress."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.errors import NoObservations, RunError
from rs_monitor.kernels.alerts import FIELDS
from rs_monitor.maps.baseline import LEVEL, SPREAD, day_numbers
from rs_monitor.maps.watch import WatchRules, start_watch, update
from rs_monitor.outputs.atomic import clean_leftovers, write_json
from rs_monitor.outputs.blocks import BlockStore
from rs_monitor.outputs.digest import array_digest, fingerprint
from rs_monitor.outputs.lock import FolderLock
from rs_monitor.outputs.manifest import utc_now

STATE_FORMAT = 2
"""Raised whenever a kernel of the watch would continue an old state differently."""

BEGIN = "begin"
"""Day of the state that holds the baseline and no look."""

JOURNAL_NAME = "progress.json"
KEPT = 2
"""Newest states that stay on disk: if one is damaged, the watch goes on from the one before."""

_PLACE = ("watch", "states")
_DIMS = {LEVEL: ("level", "y", "x"), SPREAD: ("width", "y", "x")}


def state_digest(state: xr.Dataset) -> str:
    """Content digest of a state: every variable, coordinate and attribute.

    Parameters
    ----------
    state : Dataset
        In memory.

    Returns
    -------
    str
        64 hex digits.
    """
    return _content_digest(_arrays(state), _marks(state))


def _content_digest(arrays: Mapping[str, NDArray[Any]], attrs: Mapping[str, Any]) -> str:
    digests = {name: array_digest(array) for name, array in arrays.items()}
    return fingerprint({"arrays": digests, "attrs": dict(attrs)})


def _marks(state: xr.Dataset) -> dict[str, Any]:
    """Attributes, and those of the CRS."""
    crs = state.coords.get("spatial_ref")
    return dict(state.attrs) | ({} if crs is None else {"spatial_ref": dict(crs.attrs)})


def _arrays(state: xr.Dataset) -> dict[str, NDArray[Any]]:
    names = [name for name, _ in FIELDS] + [LEVEL, SPREAD, "y", "x"]
    return {name: np.asarray(state[name].values) for name in names}


def watch_fingerprint(rules: WatchRules, start: dt.date, grid: Mapping[str, Any]) -> str:
    """What makes two watches the same: rules, first day, grid, input and code of the kernels.

    Parameters
    ----------
    rules : WatchRules
    start : date
    grid : mapping
        CRS, transform, shape, name of the index: whatever the values depend on.

    Returns
    -------
    str
        64 hex digits.
    """
    return fingerprint({"format": STATE_FORMAT, "rules": rules, "start": start, "grid": dict(grid)})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of the progress: a state that was safely on disk before the line was written."""

    day: str
    block: str
    content_digest: str
    processed: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store gave: the newest sound state, why newer ones were refused, and their days."""

    state: xr.Dataset | None
    refused: tuple[str, ...]
    lost_days: tuple[str, ...]


class WatchStore:
    """States of one watch in one folder; one writer at a time.

    Parameters
    ----------
    folder : Path
        Made if missing.
    mark : str
        See :func:`watch_fingerprint`.

    Raises
    ------
    RunError
        If the folder is being written to, or belongs to another watch.

    Notes
    -----
    A state is written under a name of its own, flushed and renamed; only then the progress that
    names it is replaced, in one step. Whatever happens between the two, the progress names a whole
    state, and the days after it are fed again: nothing is lost and nothing counts twice.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._blocks = BlockStore(folder)
        self._mark = mark
        self._lock = FolderLock(folder)
        try:
            clean_leftovers(folder)
            self._progress = self._read_progress()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> WatchStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def progress(self) -> tuple[Recorded, ...]:
        """Days fed so far, oldest first, with when each was processed."""
        return self._progress

    def _read_progress(self) -> tuple[Recorded, ...]:
        path = self.folder / JOURNAL_NAME
        if not path.is_file():
            return ()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            mark, lines = content["fingerprint"], content["states"]
            progress = tuple(Recorded(**line) for line in lines)
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}: got {type(error).__name__}: {error}; needed the progress of a watch; "
                "restore the file or start again in another folder"
            ) from error
        if mark != self._mark:
            raise RunError(
                f"{path}: got a watch of other rules, start, grid or code; needed the same ones; "
                "replay all looks in another folder"
            )
        return progress

    def load(self) -> Loaded:
        """Read the newest state whose bytes are those recorded.

        Returns
        -------
        Loaded
            Without a state if none was saved, or none is sound. States after the one given are
            forgotten, so that their days are fed again.
        """
        refused: list[str] = []
        for k in range(len(self._progress) - 1, max(-1, len(self._progress) - 1 - KEPT), -1):
            state, reason = self._read(self._progress[k])
            if state is not None:
                lost = tuple(line.day for line in self._progress[k + 1 :])
                self._progress = self._progress[: k + 1]
                return Loaded(state, tuple(refused), lost)
            refused.append(f"{self._progress[k].day}: {reason}")
        return Loaded(None, tuple(refused), tuple(line.day for line in self._progress))

    def _read(self, line: Recorded) -> tuple[xr.Dataset | None, str | None]:
        arrays, reason = self._blocks.read_block(*_PLACE, line.block, self._mark)
        if arrays is None:
            return None, reason
        state = _unpack(arrays)
        if state_digest(state) != line.content_digest:
            return None, "content differs from the recorded digest"
        return state, None

    def save(self, state: xr.Dataset) -> Recorded:
        """Write a state, then record it as progress.

        Parameters
        ----------
        state : Dataset
            In memory; of :func:`rs_monitor.maps.watch.update`.

        Returns
        -------
        Recorded
        """
        arrays, attrs = _arrays(state), _marks(state)
        digest = _content_digest(arrays, attrs)
        day = attrs["last_day"] or BEGIN
        block = f"{day}-{digest[:8]}"
        text = np.array(json.dumps(attrs, sort_keys=True))
        self._blocks.save_block(*_PLACE, block, {**arrays, "attrs": text}, self._mark)
        line = Recorded(day, block, digest, utc_now())
        self._record((*self._progress, line))
        return line

    def _record(self, progress: tuple[Recorded, ...]) -> None:
        lines = [dataclasses.asdict(line) for line in progress]
        write_json(self.folder / JOURNAL_NAME, {"fingerprint": self._mark, "states": lines})
        self._progress = progress
        kept = {line.block for line in progress[-KEPT:]}
        folder = self._blocks.block_path(*_PLACE, BEGIN).parent
        for path in sorted(folder.iterdir()):
            if path.stem not in kept:
                path.unlink()


def _unpack(arrays: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    fields = {name: (("y", "x"), arrays[name]) for name, _ in FIELDS}
    baseline = {name: (dims, arrays[name]) for name, dims in _DIMS.items()}
    coords: dict[str, Any] = {"y": arrays["y"], "x": arrays["x"]}
    attrs = json.loads(str(arrays["attrs"]))
    if "spatial_ref" in attrs:
        coords["spatial_ref"] = ((), 0, attrs.pop("spatial_ref"))
    return xr.Dataset({**baseline, **fields}, coords, attrs)


def advance(
    store: WatchStore,
    values: xr.DataArray,
    clear: xr.DataArray,
    *,
    start: dt.date,
    rules: WatchRules,
) -> Iterator[Recorded]:
    """Feed every image that is not recorded yet, one day after the other, saving each.

    Parameters
    ----------
    store : WatchStore
    values : DataArray of float32
        time, y, x; may be lazy, only the images needed are read. Ascending, one a day.
    clear : DataArray of bool
        Same dimensions.
    start : date
        First day of the watch; images before make the baseline, when there is no state yet.
    rules : WatchRules

    Yields
    ------
    Recorded
        After each state is saved.

    Raises
    ------
    RunError
        If states were recorded and none of them is sound, or if images must be fed again after a
        damaged state and are not among those given, or if the watch began on another day.
    NoObservations
        If the images are not one a day, ascending, or one was not fed in its turn.
    """
    numbers = day_numbers(values["time"].values)
    if np.any(np.diff(numbers) <= 0):
        raise NoObservations(
            "got images that are not one a day, ascending; needed days in order; sort them and "
            "merge those of one day"
        )
    loaded = store.load()
    _require_sound(store, loaded, {str(number.astype("M8[D]")) for number in numbers})
    state = loaded.state
    _require_start(store, state, start)
    _require_no_late(store, state, numbers, start)
    if state is None:
        state = start_watch(values, clear, start=start, rules=rules).compute()
        yield store.save(state)
    for k, number in enumerate(numbers):
        day: dt.date = number.astype("M8[D]").item()
        if day < start or day.isoformat() <= state.attrs["last_day"]:
            continue
        image, seen = values.isel(time=k, drop=True), clear.isel(time=k, drop=True)
        state = update(state, image.compute(), seen.compute(), day, rules)
        yield store.save(state)


def _require_start(store: WatchStore, state: xr.Dataset | None, start: dt.date) -> None:
    if state is not None and state.attrs["start"] != start.isoformat():
        raise RunError(
            f"{store.folder}: got a start of {start}; needed that of the state, "
            f"{state.attrs['start']}; give it, or begin again in another folder"
        )


def _require_no_late(
    store: WatchStore, state: xr.Dataset | None, numbers: NDArray[np.int64], start: dt.date
) -> None:
    """Refuse images of days the watch has passed without them: they would never count."""
    last = state.attrs["last_day"] if state is not None else ""
    fed = {line.day for line in store.progress}
    given = [str(day) for day in numbers.astype("M8[D]")]
    late = [day for day in given if start.isoformat() <= day <= last and day not in fed]
    if late:
        raise NoObservations(
            f"got images of {', '.join(late)} after the state of {last}; needed days in order; "
            "replay all images in another folder, or leave these out"
        )


def _require_sound(store: WatchStore, loaded: Loaded, given: set[str]) -> None:
    reasons = "; ".join(loaded.refused)
    if loaded.state is None and loaded.refused:
        raise RunError(
            f"{store.folder}: got no sound state ({reasons}); needed one of the last {KEPT}; "
            "restore the files, or begin again in another folder"
        )
    missing = sorted(set(loaded.lost_days) - given)
    if missing:
        raise RunError(
            f"{store.folder}: got a damaged state ({reasons}); needed the images of "
            f"{', '.join(missing)} once more; give them or restore the file"
        )
