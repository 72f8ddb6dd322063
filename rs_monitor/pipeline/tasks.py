"""What one worker does with one block: store or reuse, sample, apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import NODATA
from rs_monitor.config.rules import DetectionRules
from rs_monitor.errors import ReadError
from rs_monitor.grid import Block
from rs_monitor.imagery.incidents import ReadIncident, recorded_reads
from rs_monitor.kernels.uncertainty import entropy_and_margin
from rs_monitor.maps.change import change_mask, change_probability
from rs_monitor.maps.generalise import GeneraliseRules, generalise_probabilities, surroundings
from rs_monitor.maps.land_cover import (
    LandCoverModel,
    class_probabilities,
    most_probable,
    training_domain,
)
from rs_monitor.maps.samples import DrawnPixels, draw_samples
from rs_monitor.maps.two_date import TwoDateFit, two_date_change
from rs_monitor.outputs.blocks import BlockStore
from rs_monitor.pipeline.zone_pair import PERIODS, ZonePair, observed_block

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
    generalise : SmoothingRules or ObjectRules, optional
        How class probabilities are generalised for maps of their own.
    """

    at: BlockTask
    rules: DetectionRules
    model: LandCoverModel | None
    features: tuple[str, ...]
    two_date: TwoDateFit | None
    pair: ZonePair
    generalise: GeneraliseRules | None = None


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
        maps |= _cover_maps(task, task.model, arrays)
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


def _cover_maps(task: ApplyTask, model: LandCoverModel, arrays: Arrays) -> Arrays:
    maps: dict[str, NDArray[Any]] = {}
    probabilities = []
    for label in PERIODS:
        if task.generalise is None:
            proba = class_probabilities(model, arrays[f"features_{label}"], task.features)
        else:
            proba, shared = _among_neighbours(task, model, task.generalise, label)
            maps[generalised_product(label)] = most_probable(shared, model.classes)[0]
        probabilities.append(proba)
        cover, confidence = most_probable(proba, model.classes)
        maps[f"land_cover_{label}"] = cover
        maps[f"confidence_{label}"] = confidence
        maps[f"uncertainty_{label}"] = entropy_and_margin(proba)
        if model.domain is not None:
            maps[f"training_domain_{label}"] = training_domain(model, arrays[f"features_{label}"])
    before, after = probabilities
    maps["probability"] = change_probability(before, after, model.classes)
    return maps


def generalised_product(label: str) -> str:
    """Name of the generalised land-cover map of a period."""
    return f"land_cover_generalised_{label}"


def _among_neighbours(
    task: ApplyTask, model: LandCoverModel, rules: GeneraliseRules, label: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Class probabilities of a block: each pixel's own, and shared with its neighbours.

    Neighbours in other blocks count too, so that blocks leave no seams.
    """
    wide, inner = surroundings(task.at.block.window, rules, task.at.geobox)
    near = task.pair.within(wide, (label, f"features_{label}"))
    own = class_probabilities(model, near[f"features_{label}"], task.features)
    shared = generalise_probabilities(
        xr.DataArray(own, dims=("class", "y", "x")),
        xr.DataArray(near[label], dims=("band", "y", "x")),
        rules,
    )
    # copies, so that what lies around the block can be let go
    return own[(..., *inner)].copy(), shared.values[(..., *inner)].copy()
