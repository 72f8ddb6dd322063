"""What one worker does with one block: read, measure, apply. Each task writes its own block."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

import dask.config
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import NODATA
from rs_monitor.config.imagery import Period, Periods
from rs_monitor.config.rules import DetectionRules
from rs_monitor.errors import ReadError
from rs_monitor.grid import Block
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.composites import (
    clear_looks,
    composite,
    last_look,
    longest_gap,
    middle_look,
    only_clear,
    shown_look,
)
from rs_monitor.imagery.incidents import ReadIncident, recorded_reads
from rs_monitor.imagery.lost_looks import lost_looks
from rs_monitor.kernels.series import crop_cycles
from rs_monitor.kernels.terrain import SLOPE_DEPTH_PX
from rs_monitor.kernels.uncertainty import entropy_and_margin
from rs_monitor.lazy import reduce_time
from rs_monitor.maps.change import change_mask, change_probability
from rs_monitor.maps.feature_spec import FeatureSpec
from rs_monitor.maps.features import season_features
from rs_monitor.maps.indices import ndvi
from rs_monitor.maps.land_cover import (
    LandCoverModel,
    class_probabilities,
    most_probable,
    training_domain,
)
from rs_monitor.maps.samples import DrawnPixels, draw_samples
from rs_monitor.maps.terrain import slope
from rs_monitor.maps.two_date import TwoDateFit, two_date_change
from rs_monitor.outputs.blocks import BlockStore
from rs_monitor.pipeline.looks import Reading, looks_at
from rs_monitor.pipeline.relief import Ground
from rs_monitor.pipeline.zone_pair import OBSERVE, PERIODS, ZonePair, observed_block

APPLY = "apply"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class BlockTask:
    """Where a task reads and writes.

    Attributes
    ----------
    store : BlockStore
    zone_id : str
    geobox : GeoBox
        Of the whole zone.
    block : Block
    fingerprint : str
        Of everything the task's own result depends on.
    observed : str
        Fingerprint of the observed block it reads; empty where it reads none.
    """

    store: BlockStore
    zone_id: str
    geobox: GeoBox
    block: Block
    fingerprint: str = ""
    observed: str = ""

    def reason_to_compute(self, stage: str) -> str | None:
        """Why the block of a stage cannot be reused; None when it can."""
        return self.store.check_block(self.zone_id, stage, self.block.name, self.fingerprint)

    def save(self, stage: str, arrays: Arrays, mark: str) -> None:
        """Write the block of a stage."""
        self.store.save_block(self.zone_id, stage, self.block.name, arrays, mark)

    def read(self) -> Arrays:
        """Read the observed block.

        Raises
        ------
        RunError
            If it is no longer what was observed.
        """
        return observed_block(self.store, self.zone_id, self.block, self.observed)


class Droppable(Protocol):
    """A task on some items that can go on without one of them."""

    @property
    def skip_broken(self) -> bool:
        """Whether the task may leave items out."""

    def without(self, item_id: str | None) -> Self | None:
        """The task without one item; None when that leaves nothing to do."""


Task = TypeVar("Task", bound=Droppable)
Failures = list[tuple[str, str]]


def without_broken(task: Task, work: Callable[[Task], Arrays]) -> tuple[Arrays, Failures]:
    """Do a task; where an item cannot be read leave it out, name it and try again."""
    failures: Failures = []
    while True:
        try:
            return work(task), failures
        except ReadError as error:
            remaining = task.without(error.item_id) if task.skip_broken else None
            if remaining is None:
                raise
            failures.append((str(error.item_id), str(error)))
            task = remaining


@dataclass(frozen=True)
class ObserveTask:
    """Read the periods of one block: both, or only the one that is learned from."""

    at: BlockTask
    before: tuple[SceneItem, ...]
    after: tuple[SceneItem, ...]
    reading: Reading
    periods: Periods
    rules: DetectionRules
    skip_broken: bool
    features: FeatureSpec | None
    labels: tuple[str, ...] = PERIODS

    def without(self, item_id: str | None) -> Self | None:
        """The task without one item; None when a period would have no scene left."""
        before = tuple(item for item in self.before if item.id != item_id)
        after = tuple(item for item in self.after if item.id != item_id)
        dropped = len(before) + len(after) < len(self.before) + len(self.after)
        left = replace(self, before=before, after=after)
        if not dropped or not all(getattr(left, label) for label in self.labels):
            return None
        return left


@dataclass(frozen=True)
class Receipt:
    """What a block task did.

    Attributes
    ----------
    zone_id, block : str
    mark : str
        Fingerprint the block was stored under.
    reason : str or None
        Why the block was computed; None = it was reused.
    failures : tuple of (str, str)
        Items left out and why.
    incidents : tuple of ReadIncident
        Reads that succeeded only when they were repeated.
    """

    zone_id: str
    block: str
    mark: str
    reason: str | None
    failures: tuple[tuple[str, str], ...] = ()
    incidents: tuple[ReadIncident, ...] = ()


def stored(task: Task, at: BlockTask, stage: str, work: Callable[[Task], Arrays]) -> Receipt:
    """Do the task of a stage and store its block; reuse the block if it is valid."""
    reason = at.reason_to_compute(stage)
    if reason is None:
        return Receipt(at.zone_id, at.block.name, at.fingerprint, None)
    with recorded_reads() as incidents:
        arrays, failures = without_broken(task, work)
    # a block with an item left out must be tried again by the next run
    left_out = ",".join(item for item, _ in failures)
    mark = f"{at.fingerprint} without {left_out}" if left_out else at.fingerprint
    at.save(stage, arrays, mark)
    return Receipt(at.zone_id, at.block.name, mark, reason, tuple(failures), tuple(incidents))


def observe_block(task: ObserveTask) -> Receipt:
    """Read, mask and summarise both periods of one block; reuse the block if it is valid."""
    return stored(task, task.at, OBSERVE, _observe)


def _observe(task: ObserveTask) -> Arrays:
    graph: dict[str, xr.DataArray] = {}
    for label in task.labels:
        graph |= _period_graph(task, label)
    if task.reading.dem is not None:
        graph["slope_deg"] = _slope_graph(task)
    names = list(graph)
    with dask.config.set(scheduler="synchronous"):
        computed = xr.Dataset({name: graph[name].variable for name in names}).compute()
    return {name: computed[name].values for name in names}


def _period_graph(task: ObserveTask, label: str) -> dict[str, xr.DataArray]:
    period: Period = getattr(task.periods, label)
    settings = task.reading.imagery
    looks = looks_at(getattr(task, label), task.at.geobox, task.at.block, task.reading)
    values, clear = looks.values, looks.clear
    graph = {
        label: composite(
            values,
            clear,
            bands=settings.bands,
            method=settings.composite,
            min_looks=task.rules.min_looks,
            target_day=_middle(period) if settings.composite == "best_pixel" else None,
        ),
        f"looks_{label}": clear_looks(clear),
        f"doubtful_{label}": clear_looks(looks.doubtful),
        f"lost_{label}": lost_looks(looks.reason),
        f"gap_{label}": longest_gap(clear, start=period.start, end=period.end),
        f"middle_{label}": _shown(task, values, clear, period),
        f"last_{label}": last_look(clear, start=period.start),
    }
    if task.features is not None:
        graph[f"features_{label}"] = season_features(
            values, clear, spec=task.features, start=period.start, end=period.end
        )
        graph[f"cycles_{label}"] = _cycles(values, clear, task.rules)
    return graph


def _shown(
    task: ObserveTask, values: xr.Dataset, clear: xr.DataArray, period: Period
) -> xr.DataArray:
    """Day of the look that a change is measured from: one look's, or the middle of all."""
    method = task.reading.imagery.composite
    if task.features is not None or method in {"median", "geomedian"}:
        return middle_look(clear, start=period.start)
    return shown_look(
        values,
        clear,
        bands=task.reading.imagery.bands,
        method=method,
        start=period.start,
        min_looks=task.rules.min_looks,
        target_day=_middle(period) if method == "best_pixel" else None,
    )


def _middle(period: Period) -> dt.date:
    return period.start + (period.end - period.start) // 2


def _cycles(values: xr.Dataset, clear: xr.DataArray, rules: DetectionRules) -> xr.DataArray:
    series = only_clear(ndvi(values), clear)

    def count(stack: NDArray[np.float32]) -> NDArray[np.uint8]:
        return crop_cycles(stack, rules.cycle_low_ndvi, rules.cycle_high_ndvi, rules.min_looks)

    return reduce_time(
        count,
        series,
        dtype=np.uint8,
        name="crop_cycles",
        attrs={"long_name": "crop cycles seen", "units": "1", "method": "ndvi_low_high"},
    )


def _slope_graph(task: ObserveTask) -> xr.DataArray:
    """Slope of the block, its DEM read with a margin so that blocks leave no seams."""
    ground = Ground(task.reading.dem, task.at.geobox, task.at.block.window)
    heights, padded = ground.heights(SLOPE_DEPTH_PX)
    inner = slice(SLOPE_DEPTH_PX, -SLOPE_DEPTH_PX)
    return slope(heights, padded)[inner, inner]


@dataclass(frozen=True)
class SampleTask:
    """Draw training pixels of one block.

    Attributes
    ----------
    at : BlockTask
    labels : ndarray of uint8
        Survey classes of the block.
    parcel : ndarray of int32
        Parcels of the survey they come from.
    pixels_per_parcel, seed : int
    """

    at: BlockTask
    labels: NDArray[np.uint8]
    parcel: NDArray[np.int32]
    pixels_per_parcel: int
    seed: int


def sample_block(task: SampleTask) -> DrawnPixels:
    """Labelled pixels of one observed block, from the period the survey describes best."""
    return draw_samples(
        task.at.read()["features_before"],
        task.labels,
        task.parcel,
        task.at.geobox[task.at.block.window],
        pixels_per_parcel=task.pixels_per_parcel,
        seed=task.seed,
    )


@dataclass(frozen=True)
class ApplyTask:
    """Turn one observed block into maps, given what was fitted over the zone.

    Attributes
    ----------
    at : BlockTask
    rules : DetectionRules
    model : LandCoverModel, optional
        Classifier of land cover.
    features : tuple of str
        Names of the feature layers of the observed block.
    two_date : TwoDateFit, optional
        Fitted change between the composites of ``pair``; without it class probabilities are
        compared.
    pair : ZonePair
    """

    at: BlockTask
    rules: DetectionRules
    model: LandCoverModel | None
    features: tuple[str, ...]
    two_date: TwoDateFit | None
    pair: ZonePair


def apply_block(task: ApplyTask) -> Receipt:
    """Maps of one block: land cover, change, magnitude; reuse the block if it is valid."""
    at = task.at
    reason = at.reason_to_compute(APPLY)
    if reason is not None:
        at.save(APPLY, _apply(task, at.read()), at.fingerprint)
    return Receipt(at.zone_id, at.block.name, at.fingerprint, reason)


def _apply(task: ApplyTask, arrays: Arrays) -> Arrays:
    maps: dict[str, NDArray[Any]] = {}
    seen = np.minimum(arrays["looks_before"], arrays["looks_after"]) >= task.rules.min_looks
    if task.model is not None:
        maps |= _cover_maps(task.model, task.features, arrays)
    if task.two_date is None:
        magnitude = maps["probability"]
        maps["change"] = change_mask(magnitude, task.rules.change_probability, seen)
    else:
        layers = _two_date_layers(task.two_date, task)
        magnitude = layers.pop("magnitude")
        maps |= {name: np.where(seen, part, _unseen(part)) for name, part in layers.items()}
    maps["change_magnitude"] = np.where(seen, magnitude, np.float32(np.nan))
    return maps


def _two_date_layers(fit: TwoDateFit, task: ApplyTask) -> dict[str, NDArray[Any]]:
    pair, inner = task.pair.around(task.at.block, fit.margin_px)
    layers = two_date_change(pair.before, pair.after, fit)
    named = {str(name): layers[name].values[inner] for name in layers}
    named["change_probability"] = named.pop("probability")
    return named


def _unseen(part: NDArray[Any]) -> Any:
    return part.dtype.type(np.nan if part.dtype.kind == "f" else NODATA)


def _cover_maps(
    model: LandCoverModel, names: Sequence[str], arrays: Arrays
) -> dict[str, NDArray[Any]]:
    before = class_probabilities(model, arrays["features_before"], names)
    after = class_probabilities(model, arrays["features_after"], names)
    maps: dict[str, NDArray[Any]] = {}
    for label, proba in (("before", before), ("after", after)):
        cover, confidence = most_probable(proba, model.classes)
        maps[f"land_cover_{label}"] = cover
        maps[f"confidence_{label}"] = confidence
        maps[f"uncertainty_{label}"] = entropy_and_margin(proba)
        if model.domain is not None:
            maps[f"training_domain_{label}"] = training_domain(model, arrays[f"features_{label}"])
    maps["probability"] = change_probability(before, after, model.classes)
    return maps
