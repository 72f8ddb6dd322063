"""What the inspected blocks of a zone say of its scenes: steps, floors, shifts, light on slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_monitor.errors import NoObservations
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.dark_levels import DarkLevels, dark_levels
from rs_monitor.imagery.illumination import LightFit, fit_light
from rs_monitor.imagery.radiometry import FloorReport, StepReport, floor_test, step_test
from rs_monitor.imagery.registration import (
    SceneShift,
    choose_reference,
    fit_shift,
    reference_shift,
    registration_uncertainty_m,
    shifts_to_apply,
)
from rs_monitor.kernels.illumination import LightSums
from rs_monitor.pipeline.looks import Reading, Shifts, pixel_edge_m
from rs_monitor.pipeline.plan import ZonePlan
from rs_monitor.pipeline.relief import LightFits
from rs_monitor.pipeline.rules import ImageryRules
from rs_monitor.pipeline.tasks import Arrays


@dataclass(frozen=True)
class Inspected:
    """What the scenes of a zone are like.

    Attributes
    ----------
    shifts : tuple of SceneShift
        Of every look of both periods; empty when registration is off.
    applied : mapping of str to (float, float)
        Shifts that are undone, by item.
    shift_m : float, optional
        Uncertainty of the registration between the periods; None = not measured.
    step : StepReport, optional
        Additive steps between dates; None for raw numbers.
    floors : tuple of (str, FloorReport)
        Scenes whose floor is lifted or lowered, by date.
    light : mapping
        Constants of the terrain correction by look and band; empty where it is off.
    asked : bool
        Whether the job asks for registration.
    """

    shifts: tuple[SceneShift, ...] = ()
    applied: Shifts = field(default_factory=dict)
    shift_m: float | None = None
    step: StepReport | None = None
    floors: tuple[tuple[str, FloorReport], ...] = ()
    light: LightFits = field(default_factory=dict)
    asked: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for everything a user should know."""
        told = [f"{date}: {report.reason}" for date, report in self.floors]
        told += [] if self.step is None else _step_warning(self.step)
        return (*told, *_shift_warnings(self), *_light_warnings(self.light))

    @property
    def record(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "registration": [asdict(shift) for shift in self.shifts],
            "applied": {item: list(shift) for item, shift in self.applied.items()},
            "asked": self.asked,
            "shift_m": self.shift_m,
            "step": None if self.step is None else asdict(self.step),
            "floors": {date: asdict(report) for date, report in self.floors},
            "light": self.light_record,
        }

    @property
    def light_record(self) -> dict[str, dict[str, Any]]:
        """Constants of the terrain correction as plain values."""
        return {
            look: {band: asdict(fit) for band, fit in fits.items()}
            for look, fits in self.light.items()
        }


def _step_warning(step: StepReport) -> list[str]:
    if step.status == "clean":
        return []
    if step.suspected:
        return [step_sentence(step)]
    return [f"offsets between dates could not be verified from pixels: {step.reason}"]


def _shift_warnings(found: Inspected) -> list[str]:
    if not found.asked:
        return []
    missing = [shift for shift in found.shifts if not shift.measured]
    told = []
    if missing:
        told.append(
            f"the shift of {len(missing)} of {len(found.shifts)} looks could not be measured: "
            f"{missing[0].reason}"
        )
    if found.shift_m is None:
        told.append(
            "the registration between the periods is not known: too few looks could be measured; "
            "no patch is more than detect_only"
        )
    return told


def _light_warnings(light: LightFits) -> list[str]:
    fits = [fit for bands in light.values() for fit in bands.values()]
    left = [fit for fit in fits if fit.c is None]
    if not left:
        return []
    return [
        f"the light on slopes was left as it is in {len(left)} of {len(fits)} bands of looks: "
        f"{left[0].reason}"
    ]


def step_sentence(step: StepReport) -> str:
    """What a step means, and what to do about it."""
    group = f" ({', '.join(step.groups)})" if step.groups else ""
    return (
        f"got reflectance {step.step:+.3f} off in every band on {', '.join(step.dates)}{group}; "
        "needed one radiometry for all dates; correct scale and offset in the catalogue or leave "
        "these scenes out"
    )


@dataclass(frozen=True)
class _Look:
    """Sums of one look over the inspected blocks."""

    item_ids: str
    time: np.datetime64
    platform: str
    clear_px: int
    counts: NDArray[np.int64]
    light: NDArray[np.float64]

    def __add__(self, other: _Look) -> _Look:
        return replace(
            self,
            clear_px=self.clear_px + other.clear_px,
            counts=self.counts + other.counts,
            light=self.light + other.light,
        )


def gather_levels(blocks: Sequence[Arrays]) -> list[_Look]:
    """Add the looks of all blocks up, in order of time; blocks in grid order."""
    looks: dict[str, _Look] = {}
    for arrays in blocks:
        for index, name in enumerate(arrays["item_ids"].tolist()):
            look = _Look(
                item_ids=name,
                time=np.datetime64(int(arrays["times"][index]), "ns"),
                platform=str(arrays["platform"][index]),
                clear_px=int(arrays["clear_px"][index]),
                counts=arrays["counts"][index],
                light=arrays["light"][index],
            )
            looks[name] = looks[name] + look if name in looks else look
    return sorted(looks.values(), key=lambda look: (look.time, look.item_ids))


def reference_of(looks: Sequence[_Look], pixels: int, rules: ImageryRules) -> tuple[str, ...]:
    """Items of the look the others are compared with; empty where none shows clear ground."""
    try:
        index = choose_reference(
            [look.item_ids for look in looks],
            [look.time for look in looks],
            [look.clear_px / pixels for look in looks],
            rules.registration,
        )
    except NoObservations:
        return ()
    return tuple(looks[index].item_ids.split(";"))


def judge_levels(
    looks: Sequence[_Look],
    bands: Sequence[str],
    baselines: Mapping[str, str],
    zone_px: int,
    rules: ImageryRules,
) -> tuple[StepReport | None, tuple[tuple[str, FloorReport], ...]]:
    """Test the dates of a zone against each other, and each one by itself.

    Parameters
    ----------
    looks : sequence of look
        As from :func:`gather_levels`.
    bands : sequence of str
    baselines : mapping of str to str
        Processing baseline by item, where it is known.
    zone_px : int
        Pixels that were inspected.
    rules : ImageryRules

    Returns
    -------
    step : StepReport or None
        None for raw numbers, of which nothing can be said.
    floors : tuple of (str, FloorReport)
        The looks whose floor is lifted or lowered.
    """
    if not looks or not looks[0].counts.size:
        return None, ()
    levels = dark_levels(
        np.stack([look.counts for look in looks]), rules.radiometry, zone_px=zone_px
    )
    dates = [look_name(look) for look in looks]
    labels = [_label(look, baselines) for look in looks]
    step = step_test(levels, dates, bands, rules.radiometry, labels=labels)
    alone = [
        (date, floor_test(_one(levels, index), bands, rules.radiometry))
        for index, date in enumerate(dates)
    ]
    return step, tuple((date, report) for date, report in alone if report.suspected)


def _one(levels: DarkLevels, index: int) -> DarkLevels:
    one = slice(index, index + 1)
    return DarkLevels(levels.floors[one], levels.clear_px[one], levels.zone_px)


def look_name(look: _Look) -> str:
    """Day and first item of a look."""
    return f"{np.datetime_as_string(look.time, unit='D')} {look.item_ids.split(';')[0]}"


def _label(look: _Look, baselines: Mapping[str, str]) -> str:
    baseline = baselines.get(look.item_ids.split(";")[0], "")
    return f"{look.platform} {baseline}".strip()


def fit_lights(
    looks: Sequence[_Look], bands: Sequence[str], rules: ImageryRules
) -> dict[str, dict[str, LightFit]]:
    """Fit the constant of the terrain correction to every look and band of a zone."""
    return {
        look.item_ids: {
            band: fit_light(LightSums(*sums), rules.radiometry.illumination)
            for band, sums in zip(bands, look.light.tolist(), strict=True)
        }
        for look in looks
        if look.light.size
    }


def judge_shifts(
    looks: Sequence[_Look],
    reference: Sequence[str],
    blocks: Sequence[Arrays],
    items: Sequence[SceneItem],
    rules: ImageryRules,
) -> tuple[SceneShift, ...]:
    """Fit one shift to every look of a zone, over the windows of all blocks in grid order."""
    windows: dict[str, list[NDArray[np.float64]]] = {look.item_ids: [] for look in looks}
    for arrays in blocks:
        for name, table in zip(arrays["item_ids"].tolist(), arrays["windows"], strict=True):
            if name in windows:
                windows[name].append(table)
    anchor = ";".join(reference)
    found = [
        reference_shift(name.split(";"))
        if name == anchor
        else fit_shift(tables, rules.registration, item_ids=name.split(";"))
        for name, tables in windows.items()
    ]
    inspected_items = {item for shift in found for item in shift.item_ids}
    lost = [item.id for item in items if item.id not in inspected_items]
    return (*found, *(not_inspected(item) for item in lost))


def not_inspected(item: str) -> SceneShift:
    """The entry of a scene that could not be read while the others were inspected."""
    nan = float("nan")
    reason = "it could not be read while the scenes were inspected"
    return SceneShift((item,), nan, nan, nan, nan, 0, 0, "not_measured", reason)


def uncertainty_m(
    zone: ZonePlan,
    shifts: Sequence[SceneShift],
    applied: Mapping[str, tuple[float, float]],
    rules: ImageryRules,
) -> float | None:
    """Uncertainty of the registration between the periods of a zone, metres."""
    early = {item.id for item in zone.before}
    before = [shift for shift in shifts if shift.item_ids[0] in early]
    after = [shift for shift in shifts if shift.item_ids[0] not in early]
    found = registration_uncertainty_m(
        before, after, pixel_edge_m(zone.geobox), rules.registration, applied=applied
    )
    return None if np.isnan(found) else found


def inspected(
    zone: ZonePlan,
    levels: Sequence[Arrays],
    shifts: Sequence[Arrays],
    reading: Reading,
    reference: Sequence[str],
    zone_px: int,
) -> Inspected:
    """Judge the scenes of a zone from what its inspected blocks hold."""
    rules = reading.rules
    looks = gather_levels(levels)
    baselines = {
        item.id: str(item.properties["s2:processing_baseline"])
        for item in (*zone.before, *zone.after)
        if "s2:processing_baseline" in item.properties
    }
    step, floors = judge_levels(looks, reading.imagery.bands, baselines, zone_px, rules)
    light = fit_lights(looks, reading.imagery.bands, rules)
    asked = reading.imagery.registration != "off"
    if not reference:
        return Inspected(step=step, floors=floors, light=light, asked=asked)
    items = (*zone.before, *zone.after)
    found = judge_shifts(looks, reference, shifts, items, rules)
    undo = reading.imagery.registration == "correct"
    applied = shifts_to_apply(found, rules.registration) if undo else {}
    shift_m = uncertainty_m(zone, found, applied, rules)
    return Inspected(found, applied, shift_m, step, floors, light, asked)
