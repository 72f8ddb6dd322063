"""Accuracies and areas of a stratified sample: the usual figures, and the ones that hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rs_monitor.config.tables import Model
from rs_monitor.estimation.certified import certified_lower_bound, stratum_weights
from rs_monitor.estimation.error_matrix import ErrorMatrix
from rs_monitor.estimation.intervals import Method, Tally, ratio_interval, stratified_interval
from rs_monitor.estimation.stehman import Estimate, stratified_ratio, stratified_total

Cells = NDArray[np.bool_]


class EstimationRules(Model):
    """Numbers of the estimators."""

    confidence: float = Field(gt=0.5, lt=1, description="level of intervals and bounds")
    interval: Method = Field(description="how strata are combined: melded or mid")
    unexpected_weight: float = Field(
        gt=0, le=1, description="say of strata where the map shows none, in the certified bound"
    )
    full_stake: float = Field(
        gt=0, lt=1, description="part of the money bet whole on each township, in two-stage bounds"
    )
    telling_accuracy: float = Field(
        gt=0, lt=1, description="lower limit that faultless readings must reach to tell anything"
    )
    reader_draws: int = Field(ge=2, description="labels drawn for units readers disagree on")
    reader_prior: float = Field(gt=0, description="readings a reader is taken to have behind him")
    reader_accuracy: float = Field(gt=0.5, lt=1, description="share of those that were right")


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate, the usual interval, and the one that stays honest.

    Attributes
    ----------
    estimate : Estimate
        Of the units read.
    usual : tuple of float or None
        Symmetric interval of the usual formula.
    interval : tuple of float
        Holds unread units at their worst, and the spread between readings.
    between_readings : float
        Standard error that comes from readers who disagree (Rubin 1987, eq. 3.1.5); NaN in
        two-stage samples, whose limits take contested units at their worst.
    """

    estimate: Estimate
    usual: tuple[float, float] | None
    interval: tuple[float, float]
    between_readings: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a sample says of a map and of the ground.

    Attributes
    ----------
    matrix : ErrorMatrix
    confidence : float
    overall : Figure
        Share.
    users, producers : dict of int to Figure
        Shares, by class code.
    areas_m2 : dict of int to Figure
    certified_m2 : dict of int to float
        One-sided lower bound of each area; units that readers dispute or could not read count
        against it.
    thin_strata : tuple of str
        Strata with fewer than two units read: the usual formula has no variance there.
    certain_strata : tuple of str
        Strata whose units all got one class: the usual formula takes them as free of error.
    """

    matrix: ErrorMatrix
    confidence: float
    overall: Figure
    users: dict[int, Figure]
    producers: dict[int, Figure]
    areas_m2: dict[int, Figure]
    certified_m2: dict[int, float]
    thin_strata: tuple[str, ...]
    certain_strata: tuple[str, ...]


def assess(
    matrix: ErrorMatrix,
    rules: EstimationRules,
    *,
    readings: Sequence[ErrorMatrix] = (),
    agreed: ErrorMatrix | None = None,
) -> Assessment:
    """Accuracies and areas with intervals.

    Parameters
    ----------
    matrix : ErrorMatrix
        Settled labels.
    rules : EstimationRules
    readings : sequence of ErrorMatrix, optional
        Equally likely readings where readers disagree (see `rs_monitor.estimation.readers`).
    agreed : ErrorMatrix, optional
        Labels on which all readers agree, the others unread; the certified bound rests on it.

    Notes
    -----
    Estimates and usual intervals after Stehman 2014, which gives those of Olofsson et al. 2014
    where strata are map classes; the other intervals after `stratified_interval` and
    `ratio_interval`. Systematic samples are treated as random ones, which as a rule overstates the
    error.
    """
    asked = _Asked(matrix, tuple(readings) or (matrix,), rules)
    same = np.eye(len(matrix.classes), dtype=bool)
    users, producers, areas, certified = {}, {}, {}, {}
    for k, code in enumerate(matrix.classes):
        row, column = np.zeros_like(same), np.zeros_like(same)
        row[k], column[:, k] = True, True
        users[code] = asked.users(k)
        producers[code] = asked.ratio(row & same, column)
        areas[code] = asked.total(column)
        certified[code] = certified_lower_bound(
            (agreed or matrix).fewest(column),
            weights=stratum_weights(_mapped_share(matrix, code), rules.unexpected_weight),
            confidence=rules.confidence,
        )
    return Assessment(
        matrix,
        rules.confidence,
        _scaled(asked.total(same), float(matrix.ground_m2.sum())),
        users,
        producers,
        areas,
        certified,
        _named(matrix, matrix.read < 2),
        _named(matrix, (matrix.counts.sum(axis=1) > 0).sum(axis=1) == 1),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One sample, its readings, and how intervals are made."""

    matrix: ErrorMatrix
    readings: tuple[ErrorMatrix, ...]
    rules: EstimationRules

    def total(self, cells: Cells, strata: Cells | None = None) -> Figure:
        """Ground in some cells, of all strata or of some."""

        def of(counted: Tally) -> Tally:
            return counted if strata is None else counted.of(strata)

        interval = stratified_interval(
            [of(m.fewest(cells)) for m in self.readings],
            at_most=[of(m.most(cells)) for m in self.readings],
            confidence=self.rules.confidence,
            method=self.rules.interval,
        )
        values = [stratified_total(of(m.tally(cells))) for m in self.readings]
        return self._figure(stratified_total(of(self.matrix.tally(cells))), interval, values)

    def ratio(self, part: Cells, whole: Cells) -> Figure:
        """Share of some cells in others."""
        rest = whole & ~part
        interval = ratio_interval(
            [m.fewest(part) for m in self.readings],
            [m.fewest(rest) for m in self.readings],
            part_at_most=[m.most(part) for m in self.readings],
            rest_at_most=[m.most(rest) for m in self.readings],
            confidence=self.rules.confidence,
            method=self.rules.interval,
        )
        estimate, *values = (
            stratified_ratio(m.tally(part), m.tally(whole)) for m in (self.matrix, *self.readings)
        )
        return self._figure(estimate, interval, values)

    def users(self, k: int) -> Figure:
        """User's accuracy: no ratio is needed where the class fills whole strata.

        A class that other strata may show, drawn there or not, needs the ratio.
        """
        code = self.matrix.classes[k]
        strata = np.array([filled == code for filled in self.matrix.filled_by])
        row = np.zeros_like(np.eye(len(self.matrix.classes), dtype=bool))
        row[k] = True
        same = np.eye(len(self.matrix.classes), dtype=bool)
        if not strata.any() or (self.matrix.may_show(code) & ~strata).any():
            return self.ratio(row & same, row)
        ground = float(self.matrix.ground_m2[strata].sum())
        return _scaled(self.total(row & same, strata), ground)

    def _figure(
        self, estimate: Estimate, interval: tuple[float, float], values: Sequence[Estimate]
    ) -> Figure:
        known = [value.value for value in values if value.value is not None]
        between = 0.0
        if len(known) > 1:
            between = float(np.sqrt((1.0 + 1.0 / len(known)) * np.var(known, ddof=1)))
        return Figure(estimate, estimate.interval(self.rules.confidence), interval, between)


def _mapped_share(matrix: ErrorMatrix, code: int) -> list[float]:
    """By design: the whole of a stratum filled by the class, none of one filled by another."""
    return [1.0 if filled == code else 0.0 for filled in matrix.filled_by]


def _named(matrix: ErrorMatrix, chosen: Cells) -> tuple[str, ...]:
    return tuple(name for name, take in zip(matrix.strata, chosen, strict=True) if take)


def _scaled(figure: Figure, whole: float) -> Figure:
    """A ground as a share of the whole."""

    def share(value: float | None) -> float | None:
        return None if value is None else value / whole

    estimate = Estimate(share(figure.estimate.value), share(figure.estimate.standard_error))
    usual = None if figure.usual is None else (figure.usual[0] / whole, figure.usual[1] / whole)
    lower, upper = figure.interval
    return Figure(estimate, usual, (lower / whole, upper / whole), figure.between_readings / whole)
