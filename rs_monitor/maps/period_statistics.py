"""Statistics of each pixel's own looks over one period, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_monitor.kernels.harmonic import fit_ols, harmonic_regressors
from rs_monitor.kernels.series import peak_days, time_quantiles
from rs_monitor.maps.feature_spec import FeatureSpec, quantile_name, spread_name
from rs_monitor.maps.spectral_catalogue import index_values

YEAR_DAYS = 365.25
STRIP_BYTES = 2**20
"""Of one series in a strip of rows: what is made of it stays in the cache."""

Layer = tuple[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Calendar:
    """Days of the looks and of the period.

    Attributes
    ----------
    days : ndarray of float64, shape (time,)
        Days of the looks since the period's first.
    first_day : int
        Day number of the period's first day since 1970-01-01.
    length_days : int
        Days of the period.
    """

    days: NDArray[np.float64]
    first_day: int
    length_days: int

    def phase_days(self, spec: FeatureSpec) -> NDArray[np.float64]:
        """Days since the period's first day, or since its last return in other years."""
        return self.days % YEAR_DAYS if spec.period == "years" else self.days

    def part(self, spec: FeatureSpec) -> NDArray[np.float64]:
        """Number of the part of the period or year that each look lies in."""
        length = YEAR_DAYS if spec.period == "years" else self.length_days
        return np.minimum(self.phase_days(spec) * spec.parts // length, spec.parts - 1)


def coefficients(spec: FeatureSpec) -> int:
    """Coefficients of the harmonic model of a series."""
    return 1 + 2 * spec.harmonic_order


def min_looks(spec: FeatureSpec) -> int:
    """Fewest clear looks of a harmonic model."""
    return max(coefficients(spec) + 1, spec.harmonic_looks * coefficients(spec))


def hidden_names(spec: FeatureSpec) -> tuple[str, ...]:
    """Medians that texture is taken of and that are no features themselves."""
    medians = (quantile_name(series, 0.5) for series in spec.texture_of)
    return tuple(name for name in medians if name not in spec.names)


def statistics_of_block(
    *stacks: NDArray[Any], bands: Sequence[str], spec: FeatureSpec, calendar: Calendar
) -> NDArray[np.float32]:
    """Compute all layers of one block.

    Parameters
    ----------
    *stacks : ndarray, shape (time, y, x)
        One of float32 for each band, and last the mask of clear looks (bool).
    bands : sequence of str
        Names of the bands.
    spec : FeatureSpec
    calendar : Calendar

    Returns
    -------
    ndarray of float32, shape (layers, y, x)
        ``spec.time_names()``, then :func:`hidden_names`.
    """
    names = (*spec.time_names(), *hidden_names(spec))
    place = {name: k for k, name in enumerate(names)}
    times, height, width = stacks[-1].shape
    out = np.empty((len(names), height, width), dtype=np.float32)
    rows = max(1, STRIP_BYTES // max(1, 4 * times * width))
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        cut = {band: stack[:, strip] for band, stack in zip(bands, stacks, strict=False)}
        for name, layer in _strip_layers(cut, stacks[-1][:, strip], spec, calendar):
            out[place[name], strip] = layer
    return out


def _strip_layers(
    bands: Mapping[str, NDArray[np.float32]],
    clear: NDArray[np.bool_],
    spec: FeatureSpec,
    calendar: Calendar,
) -> Iterator[Layer]:
    # adding nothing or NaN is ten times faster than choosing between values and NaN
    hidden = np.where(clear, np.float32(0), np.float32(np.nan))
    for band in spec.bands:
        values = np.add(bands[band], hidden, dtype=np.float32)
        yield from _series_layers(band, values, spec, calendar)
    for index in spec.indices:
        yield from _series_layers(
            index.lower(), index_values(index, bands) + hidden, spec, calendar
        )
    if spec.clear_looks:
        seen = clear & np.logical_and.reduce([np.isfinite(values) for values in bands.values()])
        yield "clear_looks", seen.sum(axis=0, dtype=np.float32)


def _series_layers(
    series: str, values: NDArray[np.float32], spec: FeatureSpec, calendar: Calendar
) -> Iterator[Layer]:
    yield from _quantile_layers(series, values, spec)
    if series in spec.parts_of:
        part = calendar.part(spec)
        for k, name in enumerate(spec.part_names(series)):
            yield name, time_quantiles(values[part == k], np.array([0.5]))[0]
    if series in spec.peak_day_of:
        yield f"{series}_peak_days", peak_days(values, calendar.phase_days(spec))
    if series in spec.harmonics_of:
        yield from zip(spec.harmonic_names(series), _harmonics(values, spec, calendar), strict=True)


def _quantile_layers(
    series: str, values: NDArray[np.float32], spec: FeatureSpec
) -> Iterator[Layer]:
    shown, spreads = spec.quantiles_of(series), spec.spreads_of(series)
    hidden = (0.5,) if series in spec.texture_of and 0.5 not in shown else ()
    fractions = tuple(dict.fromkeys((*shown, *hidden, *(q for pair in spreads for q in pair))))
    if not fractions:
        return
    layers = dict(zip(fractions, time_quantiles(values, np.array(fractions)), strict=True))
    for fraction in (*shown, *hidden):
        yield quantile_name(series, fraction), layers[fraction]
    for low, high in spreads:
        yield spread_name(series, low, high), layers[high] - layers[low]


def _harmonics(
    values: NDArray[np.float32], spec: FeatureSpec, calendar: Calendar
) -> NDArray[np.float32]:
    """Level, cosines, sines, amplitudes and residual deviation."""
    days = calendar.days + calendar.first_day
    design = harmonic_regressors(days, order=spec.harmonic_order, trend=False)
    fit = fit_ols(values, design, min_looks=min_looks(spec))
    cosines, sines = np.split(fit.coefficients[1:], 2)
    amplitudes = np.hypot(cosines, sines)
    layers = [fit.coefficients, amplitudes, fit.sigma[None]]
    return np.concatenate(layers).astype(np.float32)
