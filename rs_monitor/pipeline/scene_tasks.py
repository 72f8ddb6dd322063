"""What one worker does to judge scenes: clear reflectances and shifts of one block."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace
from typing import Any, Self

import dask.config
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.errors import RunError
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.dark_levels import level_histogram
from rs_monitor.imagery.illumination import measure_light
from rs_monitor.imagery.load import load_cube
from rs_monitor.imagery.registration import COLUMNS, stack_shifts
from rs_monitor.kernels.illumination import LightSums
from rs_monitor.pipeline.looks import Reading, looks_at, raw
from rs_monitor.pipeline.relief import Ground, light_on, suns_of_looks
from rs_monitor.pipeline.tasks import Arrays, BlockTask, Receipt, stored

LEVELS, SHIFTS = "levels", "shifts"
_EDGE_BANDS = frozenset({"green", "red", "nir"})


@dataclass(frozen=True)
class InspectTask:
    """Look at all scenes of a zone in one block.

    Attributes
    ----------
    at : BlockTask
    items : tuple of SceneItem
        Of both periods.
    reading : Reading
    skip_broken : bool
        Leave out an item that cannot be read.
    reference : tuple of str
        Items of the look the others are compared with; empty while floors are measured.
    levels : str
        Fingerprint of the block's levels, which hold its clear pixels.
    """

    at: BlockTask
    items: tuple[SceneItem, ...]
    reading: Reading
    skip_broken: bool
    reference: tuple[str, ...] = ()
    levels: str = ""

    def without(self, item_id: str | None) -> Self | None:
        """The task without one item; None when nothing would be left."""
        kept = tuple(item for item in self.items if item.id != item_id)
        dropped = len(kept) < len(self.items)
        return replace(self, items=kept) if dropped and kept else None


def inspect_levels(task: InspectTask) -> Receipt:
    """Count the clear reflectances of every look and band; reuse the block if it is valid."""
    return stored(task, task.at, LEVELS, _levels)


def inspect_shifts(task: InspectTask) -> Receipt:
    """Measure the windows of every look of a block; reuse the block if it is valid."""
    return stored(task, task.at, SHIFTS, _shifts)


def _levels(task: InspectTask) -> Arrays:
    looks = looks_at(task.items, task.at.geobox, task.at.block.window, task.reading)
    seen = _computed(looks.values.assign(clear=looks.clear))
    clear = seen["clear"].values
    settings, bands = task.reading.imagery, list(looks.values.data_vars)
    if settings.quantity == "dn":  # nothing is known of raw numbers
        bands = []
    stacks = [level_histogram(seen[band].values, clear) for band in bands]
    nothing = np.empty((len(clear), 0))
    return {
        "clear_px": clear.sum(axis=(1, 2)).astype(np.int64),
        "counts": np.stack(stacks, axis=1) if stacks else nothing.astype(np.int64),
        "light": nothing if settings.illumination == "none" else _light(task, seen),
        "clear": np.packbits(clear, axis=-1),
        **_names(looks.clear),
    }


def _light(task: InspectTask, seen: xr.Dataset) -> NDArray[np.float64]:
    """Sums of the fit of reflectance to the light on slopes; time, band, sum."""
    at, bands = task.at, task.reading.imagery.bands
    suns = suns_of_looks(seen, task.items)
    lights, slopes = light_on(Ground(task.reading.dem, at.geobox, at.block.window), suns)
    cos_s = slopes.values
    table = np.zeros((len(suns), len(bands), len(fields(LightSums))))
    for look, light in enumerate(lights):
        cos_i, clear = light.values, seen["clear"].values[look]
        for place, band in enumerate(bands):
            values = seen[band].values[look]
            rules = task.reading.rules.radiometry.illumination
            table[look, place] = astuple(measure_light(values, cos_i, cos_s, clear, rules))
    return table


def _shifts(task: InspectTask) -> Arrays:
    settings, block = task.reading.imagery, task.at.block
    bands = _sharp(task.reading)
    cube = load_cube(
        task.items,
        geobox=task.at.geobox,
        bands=bands,
        resampling=settings.resampling,
        chunk_px=task.reading.chunk_px,
        window=block.window,
    )
    names = _names(cube)
    found = np.flatnonzero(names["item_ids"] == ";".join(task.reference))
    if not len(found):
        return {"windows": np.empty((len(names["item_ids"]), 0, len(COLUMNS))), **names}
    seen = _computed(raw(cube, bands))
    windows = stack_shifts(
        np.stack([seen[band].values for band in bands], axis=1),
        _clear(task, names["item_ids"], block.x1 - block.x0),
        reference=int(found[0]),
        rules=task.reading.rules.registration,
    )
    return {"windows": windows, **names}


def _clear(task: InspectTask, looks: NDArray[np.str_], width: int) -> NDArray[np.bool_]:
    """Clear pixels of some looks, as the block's levels hold them; none of a look they lack."""
    at = task.at
    levels, reason = at.store.read_block(at.zone_id, LEVELS, at.block.name, task.levels)
    if levels is None:
        raise RunError(
            f"got block {at.block.name} of zone {at.zone_id} in another state ({reason}); needed "
            "the one just inspected; run the job again"
        )
    clear = np.unpackbits(levels["clear"], axis=-1, count=width).astype(bool)
    places = {name: place for place, name in enumerate(levels["item_ids"].tolist())}
    nothing = np.zeros(clear.shape[1:], dtype=bool)
    return np.stack([clear[places[name]] if name in places else nothing for name in looks.tolist()])


def _sharp(reading: Reading) -> list[str]:
    """Bands whose edges are compared: the finest ones, or all of a job that names none of them."""
    have = [band for band in reading.imagery.bands if band in _EDGE_BANDS]
    return have or list(reading.imagery.bands)


def _computed(looks: xr.Dataset) -> xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return looks.compute()


def _names(clear: xr.DataArray | xr.Dataset) -> dict[str, NDArray[Any]]:
    """What tells the looks of a block: items, moment, platform."""
    return {
        "item_ids": clear["item_ids"].values.astype(str),
        "times": clear["time"].values.astype("datetime64[ns]").astype(np.int64),
        "platform": clear["platform"].values.astype(str),
    }
