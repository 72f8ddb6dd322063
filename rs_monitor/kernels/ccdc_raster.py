"""Continuous change detection over a stack: the latest break of every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rs_monitor.kernels.ccdc import END_FIT, START_FIT, find_segments, load_series
from rs_monitor.kernels.ccdc_model import CcdcSettings, lasso_regressors, room_for, scratch
from rs_monitor.kernels.compiling import IN_KERNEL
from rs_monitor.kernels.least_squares import as_rows

SUMMARY = (
    "segments",
    "breaks",
    "looks",
    "stable_models",
    "break_day",
    "previous_look_day",
    "probability",
)
"""What :func:`ccdc_layers` answers ahead of the magnitudes, in order."""

BLOCK = 16
"""Pixels whose series are read together: a cache line of each date."""


@njit(**IN_KERNEL)
def _summarise(found, count, looks, scale, answer):  # type: ignore[no-untyped-def]
    """Layers of one pixel."""
    answer[:] = np.nan
    answer[0], answer[1], answer[2], answer[3] = count, 0.0, looks, 0.0
    for k in range(count):
        numbers = found.numbers[k]
        if numbers[5] in (START_FIT, END_FIT):
            continue
        answer[3] += 1
        answer[6] = numbers[4]
        if numbers[4] < 1:
            continue
        answer[1] += 1
        answer[4], answer[5] = numbers[2], numbers[1]
        for band in range(found.rmse.shape[1]):
            answer[7 + band] = found.magnitude[k, band] / scale


@njit(nogil=True, error_model="numpy")
def _layers(memories, time_steps, row_steps, count, cols, days, regressors, low, high, scale,  # type: ignore[no-untyped-def]
            work, found, screened, detection, limits, settings, out):  # fmt: skip
    bands, times = len(memories), days.shape[0]
    series = np.empty((BLOCK, bands, times))
    seen = np.empty((BLOCK, times), dtype=np.bool_)
    answer = np.empty(out.shape[0])
    for row in range(count):
        for first in range(0, cols, BLOCK):
            n = min(BLOCK, cols - first)
            seen[:] = True
            for band in range(bands):
                memory = memories[band]
                for t in range(times):
                    at = t * time_steps[band] + row * row_steps[band] + first
                    line = memory[at : at + n]
                    for i in range(n):
                        v = line[i]
                        series[i, band, t] = v * scale
                        seen[i, t] &= (v > low) & (v < high)
            for i in range(n):
                looks = load_series(work, days, regressors, series[i], seen[i])
                segments = find_segments(work, found, looks, screened, detection, limits, settings)
                _summarise(found, segments, looks, scale, answer)
                out[:, row * cols + first + i] = answer


def ccdc_layers(
    bands: Sequence[NDArray[Any]],
    days: NDArray[np.float64],
    *,
    valid: tuple[float, float],
    scale: float,
    screened: NDArray[np.int64],
    detection: NDArray[np.int64],
    limits: NDArray[np.float64],
    settings: CcdcSettings,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Latest break of every pixel of a stack.

    Parameters
    ----------
    bands : sequence of ndarray of float, shape (time, y, x)
        A look counts only where all bands lie inside ``valid``; NaN = not seen.
    days : ndarray of float64, shape (time,)
        Ascending; see :func:`rs_monitor.kernels.ccdc_model.lasso_regressors` for the origin.
    valid : tuple of float
        Limits of a value, themselves excluded.
    scale : float
        Values are multiplied with it: the penalty of the models is not free of units.
    screened, detection, limits, settings
        See :func:`rs_monitor.kernels.ccdc.ccdc_segments`.
    out : ndarray of float32, shape (7 + band, y, x), optional

    Returns
    -------
    ndarray of float32, shape (7 + band, y, x)
        ``SUMMARY``: segments; breaks; looks; stable models; first look after the latest break
        and last look before it (NaN = none); probability that the latest model has ended: 1 at a
        break, else the share of the looks that a break needs which lie outside at the very end.
        Then the magnitude of the latest break in each band.
    """
    days = np.floor(days)
    shape = bands[0].shape[1:]
    out = np.empty((len(SUMMARY) + len(bands), *shape), np.float32) if out is None else out
    stacks = [as_rows(band) for band in bands]
    if len({stack[3:] for stack in stacks}) > 1:
        stacks = [as_rows(np.ascontiguousarray(band)) for band in bands]
    _layers(
        tuple(stack.memory for stack in stacks),
        np.array([stack.time_step for stack in stacks]),
        np.array([stack.row_step for stack in stacks]),
        stacks[0].rows,
        stacks[0].cols,
        days,
        lasso_regressors(days, settings.year_days),
        *valid,
        scale,
        scratch(len(days), len(bands)),
        room_for(len(days), len(bands), settings),
        screened,
        detection,
        limits,
        settings,
        out.reshape(len(out), -1, copy=False),
    )
    return out
