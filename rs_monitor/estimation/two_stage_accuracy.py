"""Accuracies and shares of a two-stage sample: the usual figures, and the ones that hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rs_monitor.estimation.accuracy import EstimationRules, Figure
from rs_monitor.estimation.readers import NOT_READ
from rs_monitor.estimation.stehman import Estimate
from rs_monitor.estimation.two_stage import (
    TwoStageSample,
    two_stage_bound,
    two_stage_mean,
    two_stage_ratio,
    usual_interval,
)

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TooFewDraws:
    """An accuracy that so few draws cannot settle.

    Attributes
    ----------
    figure : str
        "user's" or "producer's".
    code : int
        Class.
    met : int
        Draws with a point it rests on.
    best : float
        Lower limit that faultless readings would have reached.
    """

    figure: str
    code: int
    met: int
    best: float


@dataclass(frozen=True, slots=True)
class TwoStageAssessment:
    """What a two-stage sample says of a map and of the ground.

    Attributes
    ----------
    overall : Figure
        Share.
    users, producers, shares : dict of int to Figure
        Shares, by class code; the last of the ground.
    certified : dict of int to float
        One-sided lower bound of each share of the ground.
    too_few : tuple of TooFewDraws
        Accuracies that were not assessable: their draws are too few, whatever was read; user's
        accuracies only of classes the map shows.
    """

    overall: Figure
    users: dict[int, Figure]
    producers: dict[int, Figure]
    shares: dict[int, Figure]
    certified: dict[int, float]
    too_few: tuple[TooFewDraws, ...]


def assess_two_stage(
    mapped: Ints,
    settled: Ints,
    agreed: Ints,
    sample: TwoStageSample,
    mapped_share: Mapping[int, float],
    rules: EstimationRules,
) -> TwoStageAssessment:
    """Accuracies and shares with intervals that hold however alike the pixels of a unit are.

    Parameters
    ----------
    mapped, settled, agreed : ndarray of int, shape (points,)
        Class of the map; likeliest label; label no reader contests. `NOT_READ` where there is none.
    sample : TwoStageSample
    mapped_share : mapping of int to float
        Share of the population the map gives each class to report.
    rules : EstimationRules

    Notes
    -----
    Estimates are of settled labels. Limits take points that are contested or unread at their
    worst; each of the two holds with half of what the level leaves open, by `two_stage_bound`.
    """
    asked = _Asked(sample, settled != NOT_READ, rules)
    same, sure, doubt = mapped == settled, mapped == agreed, agreed == NOT_READ
    everywhere = np.ones_like(doubt)
    users, producers, shares, certified = {}, {}, {}, {}
    too_few: list[TooFewDraws] = []
    for code, known in mapped_share.items():
        shown, found, truly = mapped == code, agreed == code, settled == code
        if known and (few := asked.too_few("user's", code, shown, known)) is not None:
            too_few.append(few)
        users[code] = asked.figure(
            asked.ratio(same & shown, shown),
            asked.bound(sure & shown, shown, known),
            asked.bound(shown & ~sure & ~doubt, shown, known),
        )
        if (few := asked.too_few("producer's", code, truly | ~asked.read)) is not None:
            too_few.append(few)
        producers[code] = asked.figure(
            asked.ratio(same & truly, truly),
            asked.bound(sure & found, found | (doubt & ~shown)),
            asked.bound(found & ~shown, found | (doubt & shown)),
        )
        shares[code] = asked.figure(
            asked.mean(truly),
            asked.bound(found, everywhere),
            asked.bound(~found & ~doubt, everywhere),
        )
        certified[code] = asked.least(found, everywhere, rules.confidence, None)
    overall = asked.figure(
        asked.mean(same), asked.bound(sure, everywhere), asked.bound(~sure & ~doubt, everywhere)
    )
    return TwoStageAssessment(overall, users, producers, shares, certified, tuple(too_few))


@dataclass(frozen=True, slots=True)
class _Asked:
    """One sample, the points read, and how limits are made."""

    sample: TwoStageSample
    read: Mask
    rules: EstimationRules

    def mean(self, hit: Mask) -> Estimate:
        return two_stage_mean(hit[self.read], self.sample.of(self.read))

    def ratio(self, part: Mask, whole: Mask) -> Estimate:
        return two_stage_ratio(part[self.read], whole[self.read], self.sample.of(self.read))

    def least(self, part: Mask, whole: Mask, confidence: float, known: float | None) -> float:
        return two_stage_bound(
            part,
            whole,
            self.sample,
            confidence=confidence,
            full_stake=self.rules.full_stake,
            known_whole=known or None,
        )

    def bound(self, part: Mask, whole: Mask, known: float | None = None) -> float:
        """One of the two limits."""
        return self.least(part, whole, (1.0 + self.rules.confidence) / 2.0, known)

    def figure(self, found: Estimate, least: float, least_of_rest: float) -> Figure:
        """An interval that holds the estimate as well."""
        low, high = least, 1.0 - least_of_rest
        if found.value is not None:
            low, high = min(low, found.value), max(high, found.value)
        usual = usual_interval(found, self.sample.of(self.read), self.rules.confidence)
        return Figure(found, usual, (low, high), float("nan"))

    def too_few(
        self, figure: str, code: int, whole: Mask, known: float | None = None
    ) -> TooFewDraws | None:
        """Whether even faultless readings could not have told the accuracy."""
        best = self.bound(whole, whole, known)
        if best >= self.rules.telling_accuracy:
            return None
        met = int(np.unique(self.sample.place[whole]).size)
        return TooFewDraws(figure, code, met, best)
