"""Shift between dates: measured window by window, fitted per scene, carried as uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.errors import GridMismatch, NoObservations
from rs_monitor.imagery.orientation import Edges, edges_of, match_window, matcher

COLUMNS = ("dy_px", "dx_px", "peak", "seen_fraction")
"""Columns of a table of windows."""

MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

MEDIAN_TO_MEAN_ERROR = 1.2533
"""Standard error of the median of a normal sample over that of its mean."""

WINDOWS_OVER_A_PLACE = 4
"""Windows half a window apart show every place four times: so many are one measurement."""

NOTHING_APPLIED: Mapping[str, tuple[float, float]] = MappingProxyType({})


class RegistrationRules(Model):
    """Thresholds of registration; every number stands in the rule file with its origin."""

    window_px: int = Field(ge=16, description="edge of a window")
    min_window_px: int = Field(ge=16, description="smallest window on small grids")
    cutoff_cycles_px: float = Field(gt=0, le=0.5, description="width of the spectral low-pass")
    search_px: int = Field(ge=1, description="largest shift looked for along each axis")
    min_seen_fraction: float = Field(gt=0, le=1, description="of a window, by both scenes")
    min_peak: float = Field(gt=0, description="peak over the noise of its surface")
    agreement_px: float = Field(gt=0, description="windows this near one another agree")
    min_agreeing_windows: int = Field(ge=2, description="fewer decide nothing")
    min_agreeing_fraction: float = Field(gt=0, le=1, description="of the windows with a peak")
    method_px: float = Field(ge=0, description="error of the method itself")
    correct_above_px: float = Field(gt=0, description="smaller shifts are left")
    min_measured_fraction: float = Field(gt=0, le=1, description="of the scenes of a period")
    reference_clear_tolerance: float = Field(ge=0, lt=1, description="as good as the clearest")


@dataclass(frozen=True, slots=True)
class SceneShift:
    """Shift of one time step against the reference scene.

    Attributes
    ----------
    item_ids : tuple of str
        Items the time step was made of.
    dy_px, dx_px : float
        Where the content of the scene lies relative to the reference, in pixels of the target
        grid; ``dx_px`` > 0: displaced to larger columns. NaN unless measured.
    spread_px : float
        Robust standard deviation of the agreeing windows: how far a place may lie from the shift.
    uncertainty_px : float
        Of the shift itself.
    windows_used, windows : int
        Windows that agree, and windows of the grid.
    status : {'measured', 'not_measured'}
    reason : str
        What was found, or why nothing was.
    """

    item_ids: tuple[str, ...]
    dy_px: float
    dx_px: float
    spread_px: float
    uncertainty_px: float
    windows_used: int
    windows: int
    status: Literal["measured", "not_measured"]
    reason: str

    @property
    def measured(self) -> bool:
        """Whether there is a shift to speak of."""
        return self.status == "measured"

    @property
    def length_px(self) -> float:
        """Length of the shift."""
        return float(np.hypot(self.dy_px, self.dx_px))


def window_shifts(
    reference: NDArray[np.floating],
    moving: NDArray[np.floating],
    reference_seen: NDArray[np.bool_],
    moving_seen: NDArray[np.bool_],
    rules: RegistrationRules,
) -> NDArray[np.float64]:
    """Measure the shift of each window of a block of two scenes.

    Parameters
    ----------
    reference, moving : ndarray of float, shape (y, x) or (band, y, x)
        On one grid; any unit. Not-finite values count as not seen.
    reference_seen, moving_seen : ndarray of bool, shape (y, x)
        Clear looks at the ground.
    rules : RegistrationRules
        Sizes and thresholds.

    Returns
    -------
    ndarray of float64, shape (windows, 4)
        Columns as :data:`COLUMNS`, windows in row order; NaN where a window was too little seen
        or shows no peak inside the search.

    Raises
    ------
    GridMismatch
        If the shapes differ.
    """
    ours, theirs = (a if a.ndim == 3 else a[np.newaxis] for a in (reference, moving))
    if ours.shape != theirs.shape or {reference_seen.shape, moving_seen.shape} != {ours.shape[1:]}:
        shapes = [a.shape for a in (reference, moving, reference_seen, moving_seen)]
        raise GridMismatch(
            f"got scenes and masks of {shapes}; needed one shape; load both on one grid"
        )
    return _match_all(_edges(ours, reference_seen), _edges(theirs, moving_seen), rules)


def stack_shifts(
    values: NDArray[np.floating],
    seen: NDArray[np.bool_],
    *,
    reference: int,
    rules: RegistrationRules,
) -> NDArray[np.float64]:
    """Measure the windows of every date of a block against one of them.

    Parameters
    ----------
    values : ndarray of float, shape (time, band, y, x)
    seen : ndarray of bool, shape (time, y, x)
    reference : int
        Index of the reference date; its own rows are NaN.
    rules : RegistrationRules

    Returns
    -------
    ndarray of float64, shape (time, windows, 4)
        As :func:`window_shifts`; concatenate blocks along the second axis.
    """
    anchor = _edges(values[reference], seen[reference])
    tables = [
        _no_windows(len(_windows(seen.shape[1:], rules)))
        if index == reference
        else _match_all(anchor, _edges(values[index], seen[index]), rules)
        for index in range(len(values))
    ]
    return np.stack(tables)


def _edges(bands: NDArray[np.floating], seen: NDArray[np.bool_]) -> Edges:
    return edges_of(bands, seen & np.isfinite(bands).all(axis=0))


def _match_all(reference: Edges, moving: Edges, rules: RegistrationRules) -> NDArray[np.float64]:
    shape = reference.usable.shape
    windows = _windows(shape, rules)
    table = _no_windows(len(windows))
    using = matcher(_size(shape, rules), rules.cutoff_cycles_px, rules.search_px)
    for line, (row, col) in enumerate(windows):
        match = match_window(
            reference, moving, row, col, using=using, min_seen_fraction=rules.min_seen_fraction
        )
        table[line] = match.dy_px, match.dx_px, match.peak, match.seen_fraction
    return table


def _no_windows(count: int) -> NDArray[np.float64]:
    return np.full((count, len(COLUMNS)), np.nan)


def _size(shape: tuple[int, ...], rules: RegistrationRules) -> int:
    """Edge of the windows of a block: small blocks take smaller ones, so that several fit."""
    half = min(shape) // 2
    return max(min(rules.window_px, half - half % 2), rules.min_window_px)


def _windows(shape: tuple[int, ...], rules: RegistrationRules) -> list[tuple[int, int]]:
    """Upper left corners, half a window apart or a little less, spread over the block."""
    size = _size(shape, rules)
    if min(shape) < size:
        return []
    rows, cols = (_starts(extent, size) for extent in shape)
    return [(row, col) for row in rows for col in cols]


def _starts(extent: int, size: int) -> list[int]:
    steps = -(-2 * (extent - size) // size)
    return [round((extent - size) * step / max(steps, 1)) for step in range(steps + 1)]


def fit_shift(
    windows: Sequence[NDArray[np.float64]], rules: RegistrationRules, *, item_ids: Sequence[str]
) -> SceneShift:
    """Fit one shift to the windows of all blocks of a scene.

    Parameters
    ----------
    windows : sequence of ndarray, shape (n, 4)
        Tables of :func:`window_shifts`, in grid order.
    rules : RegistrationRules
    item_ids : sequence of str
        Items of the scene.

    Returns
    -------
    SceneShift
        The median of the largest group of windows that agree; ``not_measured`` with the reason
        when too few do.

    Notes
    -----
    Windows on changed ground, water or cloud remnants match by chance, anywhere in the search:
    agreement tells them from the shift of the scene (compare the outlier levels of Scheffler et
    al. 2017, doi:10.3390/rs9070676).
    """
    table = np.concatenate([_no_windows(0), *windows])
    found = table[table[:, 2] >= rules.min_peak, :2]
    group = _agreeing(found, rules.agreement_px)
    problem = _problem(table, len(found), len(group), rules)
    if problem:
        return _not_measured(item_ids, len(group), len(table), problem)
    middle = np.median(group, axis=0)
    spread = float(np.hypot(*(MAD_TO_SD * np.median(np.abs(group - middle), axis=0))))
    error = MEDIAN_TO_MEAN_ERROR * spread / np.sqrt(max(len(group) / WINDOWS_OVER_A_PLACE, 1.0))
    return SceneShift(
        item_ids=tuple(item_ids),
        dy_px=float(middle[0]),
        dx_px=float(middle[1]),
        spread_px=spread,
        uncertainty_px=float(np.hypot(error, rules.method_px)),
        windows_used=len(group),
        windows=len(table),
        status="measured",
        reason=f"{len(group)} of {len(found)} windows with a match agree",
    )


def _agreeing(found: NDArray[np.float64], radius_px: float) -> NDArray[np.float64]:
    """Largest group of windows around one of them, centred once more on its median."""
    if len(found) == 0:
        return found
    near = np.hypot(*(found[:, np.newaxis] - found[np.newaxis]).T) <= radius_px
    centre = np.median(found[near[int(near.sum(axis=0).argmax())]], axis=0)
    return found[np.flatnonzero(np.hypot(*(found - centre).T) <= radius_px)]


def _problem(
    table: NDArray[np.float64], matches: int, agreeing: int, rules: RegistrationRules
) -> str | None:
    windows, needed = len(table), rules.min_agreeing_windows
    seen = int((table[:, 3] >= rules.min_seen_fraction).sum())
    if windows == 0:
        return f"the grid holds no window of {rules.min_window_px} px"
    if seen < needed:
        return f"{seen} of {windows} windows were seen by both scenes; needed {needed}"
    if matches < needed:
        return f"{matches} of {seen} seen windows show a match; needed {needed}"
    if agreeing < max(needed, rules.min_agreeing_fraction * seen):
        share = f"{rules.min_agreeing_fraction:.0%} of {seen} seen windows"
        return f"{agreeing} of {matches} matches agree; needed {needed} and {share}"
    return None


def _not_measured(item_ids: Sequence[str], agreeing: int, windows: int, reason: str) -> SceneShift:
    nan = float("nan")
    return SceneShift(
        tuple(item_ids), nan, nan, nan, nan, agreeing, windows, "not_measured", reason
    )


def reference_shift(item_ids: Sequence[str]) -> SceneShift:
    """The entry of the reference scene itself: no shift, by definition."""
    return SceneShift(tuple(item_ids), 0.0, 0.0, 0.0, 0.0, 0, 0, "measured", "the reference scene")


def choose_reference(
    item_ids: Sequence[str],
    times: Sequence[np.datetime64] | NDArray[np.datetime64],
    clear_fraction: Sequence[float] | NDArray[np.floating],
    rules: RegistrationRules,
) -> int:
    """Choose the scene the others are compared with: clear, and near the middle of the span.

    Parameters
    ----------
    item_ids : sequence of str
        Of each time step.
    times : sequence of datetime64
        Of each time step.
    clear_fraction : sequence of float
        Share of clear ground of each time step, of the whole zone.
    rules : RegistrationRules

    Returns
    -------
    int
        Index of the step nearest the middle of the span among those as clear as the clearest
        within the tolerance; the clearer, then the earlier, then the smaller id decides a tie.

    Raises
    ------
    NoObservations
        Without a scene that shows any ground.
    """
    clear = np.asarray(clear_fraction, dtype=np.float64)
    if len(clear) == 0 or not clear.max() > 0:
        raise NoObservations(
            f"got {len(clear)} scenes without clear ground; needed one to compare the others with; "
            "widen the period or leave registration off"
        )
    moments = np.asarray(times, dtype="datetime64[ns]").astype(np.int64)
    from_middle = np.abs(2 * moments - (moments.min() + moments.max()))
    candidates = np.flatnonzero(clear >= clear.max() - rules.reference_clear_tolerance)
    order = [(from_middle[i], -clear[i], moments[i], item_ids[i], i) for i in candidates.tolist()]
    return int(min(order)[-1])


def shifts_to_apply(
    shifts: Sequence[SceneShift], rules: RegistrationRules
) -> dict[str, tuple[float, float]]:
    """Shifts worth undoing, of every item of their time steps.

    Parameters
    ----------
    shifts : sequence of SceneShift
    rules : RegistrationRules

    Returns
    -------
    dict
        Item id to (dy_px, dx_px), as ``load_cube(shifts=...)`` takes them; sorted by id. Only
        measured shifts longer than ``correct_above_px`` and than twice their own uncertainty.
    """
    worth = [
        shift
        for shift in shifts
        if shift.measured
        and shift.length_px > max(rules.correct_above_px, 2.0 * shift.uncertainty_px)
    ]
    pairs = {item: (s.dy_px, s.dx_px) for s in worth for item in s.item_ids}
    return dict(sorted(pairs.items()))


def registration_uncertainty_m(
    before: Sequence[SceneShift],
    after: Sequence[SceneShift],
    pixel_m: float,
    rules: RegistrationRules,
    *,
    applied: Mapping[str, tuple[float, float]] = NOTHING_APPLIED,
) -> float:
    """How far a place may lie apart in the images of two periods.

    Parameters
    ----------
    before, after : sequence of SceneShift
        Scenes of either period, against one reference.
    pixel_m : float
        Pixel edge.
    rules : RegistrationRules
    applied : mapping, optional
        Shifts that were undone (:func:`shifts_to_apply`); what is left of them counts.

    Returns
    -------
    float
        Metres; NaN where too few scenes of a period could be measured.

    Notes
    -----
    Distance between the mean remaining shifts of the periods, joined in quadrature with the
    scatter of the remaining shifts, the spread of the windows and the uncertainty of the fits.
    None of these is divided by the number of scenes: a patch sits in one place, where the same
    distortion may stand in all of them.
    """
    ours, theirs = (_remaining(shifts, rules, applied) for shifts in (before, after))
    if ours is None or theirs is None:
        return float("nan")
    apart = np.hypot(*(ours[0] - theirs[0]))
    return float(np.hypot(apart, np.hypot(ours[1], theirs[1])) * pixel_m)


def _remaining(
    shifts: Sequence[SceneShift],
    rules: RegistrationRules,
    applied: Mapping[str, tuple[float, float]],
) -> tuple[NDArray[np.float64], float] | None:
    """Mean remaining shift of a period and the scatter about it, pixels."""
    known = [shift for shift in shifts if shift.measured]
    if not known or len(known) < rules.min_measured_fraction * len(shifts):
        return None
    undone = np.array([applied.get(s.item_ids[0], (0.0, 0.0)) for s in known])
    left = np.array([(s.dy_px, s.dx_px) for s in known]) - undone
    middle = left.mean(axis=0)
    square = np.square(left - middle).sum(axis=1)
    square += [s.spread_px**2 + s.uncertainty_px**2 for s in known]
    return middle, float(np.sqrt(square.mean()))
