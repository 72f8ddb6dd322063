"""What one worker does with the looks at one block: summarise every period of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Self

import dask.config
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.config.imagery import Period, Periods
from rs_monitor.config.rules import DetectionRules
from rs_monitor.grid import widen
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
from rs_monitor.imagery.lost_looks import lost_looks
from rs_monitor.kernels.series import crop_cycles
from rs_monitor.lazy import reduce_time
from rs_monitor.maps.feature_spec import FeatureSpec
from rs_monitor.maps.features import season_features
from rs_monitor.maps.indices import ndvi
from rs_monitor.pipeline.looks import Looks, Reading, looks_at
from rs_monitor.pipeline.relief import Ground, terrain_on
from rs_monitor.pipeline.tasks import Arrays, BlockTask, Receipt, stored
from rs_monitor.pipeline.zone_pair import OBSERVE, PERIODS


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


def observe_block(task: ObserveTask) -> Receipt:
    """Read, mask and summarise both periods of one block; reuse the block if it is valid."""
    return stored(task, task.at, OBSERVE, _observe)


def _observe(task: ObserveTask) -> Arrays:
    graph: dict[str, xr.DataArray] = {}
    for label in task.labels:
        graph |= _period_graph(task, label)
    if task.reading.dem is not None:
        ground = Ground(task.reading.dem, task.at.geobox, task.at.block.window)
        graph["slope_deg"] = terrain_on(ground, ["slope_deg"])["slope_deg"]
    names = list(graph)
    with dask.config.set(scheduler="synchronous"):
        computed = xr.Dataset({name: graph[name].variable for name in names}).compute()
    return {name: computed[name].values for name in names}


def _period_graph(task: ObserveTask, label: str) -> dict[str, xr.DataArray]:
    period: Period = getattr(task.periods, label)
    settings = task.reading.imagery
    reach_px = 0 if task.features is None else task.features.texture_reach_px
    wide, inner = widen(task.at.block.window, reach_px, task.at.geobox)
    around = looks_at(getattr(task, label), task.at.geobox, wide, task.reading)
    looks = around.part(inner)
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
        ground = Ground(task.reading.dem, task.at.geobox, wide)
        made = _features(task.features, around, ground, period)
        graph[f"features_{label}"] = made[(..., *inner)]
        graph[f"cycles_{label}"] = _cycles(values, clear, task.rules)
    return graph


def _features(spec: FeatureSpec, looks: Looks, ground: Ground, period: Period) -> xr.DataArray:
    return season_features(
        looks.values,
        looks.clear,
        start=period.start,
        end=period.end,
        spec=spec,
        terrain=terrain_on(ground, spec.terrain) if spec.terrain else None,
    )


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
