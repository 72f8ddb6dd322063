"""Reflectance verified from pixels: additive steps between dates, lifted floors of single scenes.

An offset that was not removed (or removed twice) adds the same amount to every pixel of every band
at once. Nothing on the ground or in the air does that: snow leaves the shortwave infrared dark,
haze and path radiance fade towards it, growth lifts the near infrared and lowers the red. So the
darkest band of a date tells, by its floor (``dark_levels``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rs_monitor.imagery.dark_levels import (
    DarkLevels,
    Floors,
    RadiometryRules,
    dark_levels,
    level_histogram,
)

__all__ = [
    "DarkLevels",
    "FloorReport",
    "RadiometryRules",
    "StepReport",
    "dark_levels",
    "floor_test",
    "level_histogram",
    "step_test",
]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What the step test found.

    Attributes
    ----------
    status : {'step', 'clean', 'cannot_tell'}
        ``clean`` only where a step would have been seen.
    dates : tuple of str
        Dates off the others by the step.
    undecided : tuple of str
        Dates that could not be judged: too few clear pixels, or brighter than a step. All of them
        with ``cannot_tell``.
    step : float
        Median over bands, reflectance; negative: the dates lie below the others. NaN without one.
    spread : float
        Largest less smallest step of a band: zero for a purely additive one.
    groups : tuple of str
        Labels (platform, baseline) that the dates coincide with; empty if they do with none.
    reason : str
        One sentence.
    """

    status: Literal["step", "clean", "cannot_tell"]
    dates: tuple[str, ...]
    undecided: tuple[str, ...]
    step: float
    spread: float
    groups: tuple[str, ...]
    reason: str

    @property
    def suspected(self) -> bool:
        """Whether a step was found."""
        return self.status == "step"


@dataclass(frozen=True, slots=True)
class FloorReport:
    """What the floor test found in one scene.

    Attributes
    ----------
    status : {'lifted', 'lowered', 'plausible', 'cannot_tell'}
        ``lifted``: every band's floor lies about 0.1 too high; ``lowered``: one lies far below 0.
    band : str
        The darkest band.
    floor : float
        Its floor, reflectance.
    reason : str
        One sentence.
    """

    status: Literal["lifted", "lowered", "plausible", "cannot_tell"]
    band: str
    floor: float
    reason: str

    @property
    def suspected(self) -> bool:
        """Whether the scene is named in a warning."""
        return self.status in {"lifted", "lowered"}


def step_test(
    levels: DarkLevels,
    dates: Sequence[str],
    bands: Sequence[str],
    rules: RadiometryRules,
    *,
    labels: Sequence[str] | None = None,
) -> StepReport:
    """Look for an additive step between the dates of a zone.

    Parameters
    ----------
    levels : DarkLevels
        Floors of the dates in their order of time.
    dates : sequence of str
        Their names, e.g. ISO days or scene ids.
    bands : sequence of str
        Names of the bands. Without a shortwave-infrared one (``shortwave_bands``) a step cannot be
        told from snow and haze.
    rules : RadiometryRules
    labels : sequence of str, optional
        Platform and processing baseline of each date; a step that coincides with some of them is
        reported with their names.

    Returns
    -------
    StepReport

    Notes
    -----
    Let ``s(t)`` be the lowest floor of date ``t`` over the bands. All see the same ground, so
    without a step ``s`` varies little; a step of ``d`` in some dates parts them into two groups.
    A split of the sorted ``s`` is a step if its gap is at least ``min_gap``, neither group spans
    more than ``max_group_range``, and the floors of *every* band of the upper dates lie above
    those of the lower ones (``min_band_step``), by ``min_step`` to ``max_step`` in the median band
    and by the same amount within ``max_step_spread``; two such splits cancel each other. The upper
    dates are named; the lower ones if their floor is one no ground has (``lowered_floor``). No
    share of the dates is assumed.

    A low floor acquits a date however few its clear pixels are, for an added offset leaves no dark
    pixel; a high floor accuses only with enough of them (``min_clear_fraction``).
    """
    names = np.array(dates, dtype=object)
    lowest = levels.lowest()
    seen = np.isfinite(lowest) & (levels.clear_px >= rules.min_clear_px)
    ample = _not_bright(lowest, seen & _ample(levels, rules), rules)
    if ample.sum() < rules.min_dates:
        reason = f"{int(ample.sum())} dates could be judged; needed {rules.min_dates}"
        return _no_step("cannot_tell", names, reason)
    splits = _splits(levels.floors, lowest, ample, rules)
    if not splits:
        return _without_step(lowest, seen, ample, names, rules)
    doubt = _doubt(splits, bands, rules)
    if doubt:
        return _no_step("cannot_tell", names, doubt)
    return _with_step(splits[0], lowest, seen, ample, names, labels, rules)


def floor_test(
    levels: DarkLevels, bands: Sequence[str], rules: RadiometryRules, *, date: int = 0
) -> FloorReport:
    """Judge one scene by itself.

    Parameters
    ----------
    levels : DarkLevels
    bands : sequence of str
        Names of the bands.
    rules : RadiometryRules
    date : int
        Which date of ``levels``.

    Returns
    -------
    FloorReport

    Notes
    -----
    Weaker than :func:`step_test`: ground without one dark pixel in any band (bare desert, snow or
    cloud the mask missed) looks the same, so the finding is a warning. Path radiance of uncorrected
    scenes lifts the blue only and is not taken for an offset.
    """
    floors, clear_px = levels.floors[date], int(levels.clear_px[date])
    needed = max(rules.min_clear_px, int(np.ceil(rules.min_clear_fraction * levels.zone_px)))
    if clear_px < needed or not np.isfinite(floors).all():
        reason = f"{clear_px} clear pixels; needed {needed}"
        return FloorReport("cannot_tell", "", float("nan"), reason)
    darkest = int(np.argmin(floors))
    band, floor = bands[darkest], float(floors[darkest])
    if floor >= rules.lifted_floor + rules.max_step:
        reason = f"the floors lie at {floor:.3f} or above: cloud or snow, no dark ground"
        return FloorReport("cannot_tell", band, floor, reason)
    if floor >= rules.lifted_floor:
        return _lifted(band, floor, bands, rules)
    if floor <= rules.lowered_floor:
        reason = f"the floor of {band} lies at {floor:.3f}: an offset was removed twice"
        return FloorReport("lowered", band, floor, reason)
    return FloorReport("plausible", band, floor, f"the floor of {band} lies at {floor:.3f}")


def _doubt(splits: Sequence[_Split], bands: Sequence[str], rules: RadiometryRules) -> str:
    """Why a step that fits is not believed; empty if it is."""
    if len(splits) > 1:
        return f"the dates part into two groups in {len(splits)} ways, each a possible step"
    if not _has_shortwave(bands, rules):
        step = f"some dates lie {splits[0].step:+.3f} off the others"
        return f"{step}, but {_without_shortwave(bands)}"
    return ""


@dataclass(frozen=True, slots=True)
class _Split:
    cut: float  # between the floors of the two groups
    step: float
    spread: float


def _lifted(band: str, floor: float, bands: Sequence[str], rules: RadiometryRules) -> FloorReport:
    text = f"the floors of all {len(bands)} bands lie at {floor:.3f} or above"
    if not _has_shortwave(bands, rules):
        return FloorReport("cannot_tell", band, floor, f"{text}, but {_without_shortwave(bands)}")
    cause = "an offset of about +0.1 was not removed, or no clear pixel is dark in any band"
    return FloorReport("lifted", band, floor, f"{text}: {cause}")


def _has_shortwave(bands: Sequence[str], rules: RadiometryRules) -> bool:
    return not set(rules.shortwave_bands).isdisjoint(bands)


def _without_shortwave(bands: Sequence[str]) -> str:
    return f"without a shortwave-infrared band ({', '.join(bands)}) snow and haze look the same"


def _ample(levels: DarkLevels, rules: RadiometryRules) -> NDArray[np.bool_]:
    return np.asarray(levels.clear_px >= rules.min_clear_fraction * levels.zone_px)


def _not_bright(
    lowest: Floors, ample: NDArray[np.bool_], rules: RadiometryRules
) -> NDArray[np.bool_]:
    """Leave out dates no step explains: cloud or snow that the mask missed."""
    if not ample.any():
        return ample
    # a lifted date lies a step above a lower one that itself may lie a range above the lowest
    limit = lowest[ample].min() + rules.max_group_range + rules.max_step
    return np.asarray(ample & (lowest <= limit))


def _splits(
    floors: Floors, lowest: Floors, judged: NDArray[np.bool_], rules: RadiometryRules
) -> list[_Split]:
    """Every gap between dates across which all bands take the same step."""
    levels, table = lowest[judged], floors[judged]
    ordered = np.sort(levels)
    found = []
    for at in np.flatnonzero(np.diff(ordered) >= rules.min_gap):
        within = max(ordered[at] - ordered[0], ordered[-1] - ordered[at + 1])
        cut = float(ordered[at] + ordered[at + 1]) / 2
        steps = _steps(table, levels > cut)
        if within <= rules.max_group_range and _additive(steps, rules):
            found.append(_Split(cut, float(np.median(steps)), float(np.ptp(steps))))
    return found


def _additive(steps: Floors, rules: RadiometryRules) -> bool:
    return bool(
        steps.min() >= rules.min_band_step
        and rules.min_step <= np.median(steps) <= rules.max_step
        and np.ptp(steps) <= rules.max_step_spread
    )


def _steps(table: Floors, upper: NDArray[np.bool_]) -> Floors:
    """Step of each band: between the groups, or between neighbours in time if that varies less.

    Neighbours are of one season, but where one group follows the other only one pair touches.
    """
    between = np.median(table[upper], axis=0) - np.median(table[~upper], axis=0)
    lower_at = np.flatnonzero(~upper)
    place = np.searchsorted(lower_at, np.flatnonzero(upper))
    previous = table[lower_at[np.maximum(place - 1, 0)]]
    following = table[lower_at[np.minimum(place, len(lower_at) - 1)]]
    near = np.median(table[upper] - (previous + following) / 2, axis=0)
    return min(between, near, key=np.ptp)


def _no_step(
    status: Literal["clean", "cannot_tell"], undecided: NDArray[Any], reason: str
) -> StepReport:
    nothing = float("nan")
    return StepReport(status, (), tuple(undecided), nothing, nothing, (), reason)


def _without_step(
    lowest: Floors,
    seen: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    names: NDArray[Any],
    rules: RadiometryRules,
) -> StepReport:
    least, most = float(lowest[judged].min()), float(lowest[judged].max())
    # a floor among those of the judged dates acquits a date of few clear pixels too
    undecided = names[~judged & ~(seen & (lowest <= most))]
    text = f"the floors of {int(judged.sum())} dates lie between {least:.3f} and {most:.3f}"
    if least >= rules.lifted_floor:
        reason = f"{text}: all dates may be lifted, or the ground has nothing dark"
        return _no_step("cannot_tell", names, reason)
    if most - least > rules.max_group_range:
        return _no_step("cannot_tell", names, f"{text}: a step could hide in that range")
    return _no_step("clean", undecided, text)


def _with_step(
    split: _Split,
    lowest: Floors,
    seen: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    names: NDArray[Any],
    labels: Sequence[str] | None,
    rules: RadiometryRules,
) -> StepReport:
    upper = judged & (lowest > split.cut)
    lowered = float(np.median(lowest[judged & ~upper])) <= rules.lowered_floor
    accused = judged & ~upper if lowered else upper
    acquitted = seen & (lowest <= split.cut)
    undecided = ~accused & ~judged & (~acquitted | lowered)
    step = -split.step if lowered else split.step
    groups = _coinciding(accused, judged, labels)
    where = f", the dates of {', '.join(groups)}" if groups else ""
    reason = (
        f"{int(accused.sum())} of {int(judged.sum())} judged dates{where} lie {step:+.3f} off the "
        f"others in every band (bands differ by {split.spread:.3f})"
    )
    return StepReport(
        "step", tuple(names[accused]), tuple(names[undecided]), step, split.spread, groups, reason
    )


def _coinciding(
    accused: NDArray[np.bool_], judged: NDArray[np.bool_], labels: Sequence[str] | None
) -> tuple[str, ...]:
    """Labels that all accused dates and none of the others carry."""
    if labels is None:
        return ()
    given = np.array(labels, dtype=object)
    inside, outside = set(given[accused]), set(given[judged & ~accused])
    return () if inside & outside else tuple(sorted(inside))
