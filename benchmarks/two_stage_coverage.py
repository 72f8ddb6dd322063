"""How often intervals of two-stage samples hold the truth; beside the usual and the former ones.

Counties of forty townships of unequal size; a class lies in one, two, five or all of them, its
pixels alike within a township or not; the map finds most of it. A scenario keeps the sizes of its
townships, draws shares of the class, townships (in proportion to size, or equally) and points anew
for every county, and asks every method. What a method cannot tell counts as the interval 0 to 1.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from benchmarks.tables import markdown
from rs_monitor.config.rules import load_rules
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.betting import least_ratio

Floats = NDArray[np.float64]
Limits = tuple[Floats, Floats]

TOWNSHIPS = 40
CONFIDENCE = 0.95
ONE_SIDED = 2 * CONFIDENCE - 1
FULL_STAKE = load_rules("accuracy", Path.cwd(), AccuracyRules).estimation.full_stake
USERS, PRODUCERS = 0.8, 0.85
SPACINGS = 2000
"""Draws of the spacings in Gaffke's limit, the same for every sample."""

DRAWS = {"pps": (5, 12, 40), "srs": (5, 12, 30)}
POINTS = (5, 20)


@dataclass(frozen=True)
class Place:
    """Where a class lies: in so many townships, any or the largest, with a share of the county."""

    townships: int
    share: float
    likenesses: tuple[float, ...]
    largest: bool = False
    spread: float = 0.6
    """Standard deviation of the logarithm of a township's size."""


FULL = 1.0
PLACES = {
    "one township, 0.5 %": Place(1, 0.005, (0.5,)),
    "one township, 2 %": Place(1, 0.02, (0.5,)),
    "two townships, 5 %": Place(2, 0.05, (0.98,)),
    "the two largest, full": Place(2, FULL, (0.5,), largest=True, spread=1.0),
    "five townships, 2 %": Place(5, 0.02, (0.05, 0.98)),
    "five townships, 10 %": Place(5, 0.1, (0.05, 0.98)),
    "the five largest, full": Place(5, FULL, (0.5,), largest=True, spread=1.0),
    "everywhere, 0.5 %": Place(TOWNSHIPS, 0.005, (0.0, 0.3)),
    "everywhere, 2 %": Place(TOWNSHIPS, 0.02, (0.05, 0.98)),
    "everywhere, 10 %": Place(TOWNSHIPS, 0.1, (0.0, 0.3, 0.98)),
    "everywhere, 50 %": Place(TOWNSHIPS, 0.5, (0.0, 0.3, 0.98)),
}


@dataclass(frozen=True)
class Scenario:
    """A class, likeness of the pixels of a township, and a design."""

    place: str
    likeness: float
    stage: str
    draws: int
    points: int


def scenarios() -> Iterator[Scenario]:
    for place, where in PLACES.items():
        for likeness in where.likenesses:
            for stage, numbers in DRAWS.items():
                for draws in numbers:
                    for points in POINTS:
                        yield Scenario(place, likeness, stage, draws, points)


@dataclass(frozen=True)
class Counties:
    """Shares of ground by county and township: right, missed, wrongly shown, neither."""

    size: Floats
    cells: Floats

    @property
    def truth(self) -> Floats:
        """The same of whole counties."""
        return np.asarray(np.einsum("cu,cuk->ck", self.size, self.cells))


def alike(mean: Floats, likeness: float, rng: np.random.Generator) -> Floats:
    """Shares of townships with this intraclass correlation; full ones stay full."""
    if likeness == 0 or (mean == 1).all():
        return mean
    spread = (1 - likeness) / likeness
    return rng.beta(np.maximum(mean * spread, 1e-9), np.maximum((1 - mean) * spread, 1e-9))


def counties(scenario: Scenario, count: int, rng: np.random.Generator) -> Counties:
    where = PLACES[scenario.place]
    size = np.tile(rng.lognormal(0, where.spread, TOWNSHIPS), (count, 1))
    size /= size.sum(axis=1, keepdims=True)
    key = -size if where.largest else rng.random(size.shape)
    holds = key.argsort(axis=1).argsort(axis=1) < where.townships
    held = (size * holds).sum(axis=1, keepdims=True)
    dense = np.minimum(where.share / held, 1.0) * np.ones_like(size)
    own = np.where(holds, alike(dense, scenario.likeness, rng), 0.0)
    right = own * alike(np.full_like(own, PRODUCERS), scenario.likeness, rng)
    wrong = (size * own).sum(axis=1, keepdims=True) * PRODUCERS * (1 / USERS - 1)
    wrong = (1 - own) * alike(np.minimum(wrong, 0.5) * np.ones_like(own), scenario.likeness, rng)
    return Counties(size, np.stack([right, own - right, wrong, 1 - own - wrong], axis=2))


@dataclass(frozen=True)
class Drawn:
    """Shares of the points of each draw, cells as in `Counties`; sizes over the mean size."""

    cells: Floats
    size: Floats
    stage: str
    points: int


def drawn_of(scenario: Scenario, made: Counties, rng: np.random.Generator) -> Drawn:
    count = made.size.shape[0]
    if scenario.stage == "pps":
        spots = rng.random((count, scenario.draws, 1))
        heap = made.size.cumsum(axis=1)[:, None, :]
        units = np.minimum((spots > heap).sum(axis=2), TOWNSHIPS - 1)
    else:
        units = rng.random(made.size.shape).argsort(axis=1)[:, : scenario.draws]
    row = np.arange(count)[:, None]
    chance = np.clip(made.cells[row, units], 0, 1)
    cells = rng.multinomial(scenario.points, chance / chance.sum(axis=2, keepdims=True))
    return Drawn(
        cells / scenario.points,
        made.size[row, units] * TOWNSHIPS,
        scenario.stage,
        scenario.points,
    )


@dataclass(frozen=True)
class Question:
    """Share of some points in others, by draw, and the whole's share of the county if known."""

    part: Floats
    whole: Floats
    drawn: Drawn
    known: Floats | None = None

    @property
    def rest(self) -> "Question":
        return Question(self.whole - self.part, self.whole, self.drawn, self.known)

    @property
    def weight(self) -> Floats:
        return np.ones_like(self.drawn.size) if self.drawn.stage == "pps" else self.drawn.size


def new(asked: Question, confidence: float) -> Limits:
    """The bound of the package, from either side."""
    return two_sides(asked, confidence, _least)


def _least(asked: Question, confidence: float) -> Floats:
    return least_ratio(
        asked.part,
        asked.whole,
        asked.weight,
        confidence=confidence,
        full_stake=FULL_STAKE,
        known_whole=asked.known,
    )


def gaffke(asked: Question, confidence: float) -> Limits:
    """Gaffke 2005, a conjecture: what the proof costs."""
    return two_sides(asked, confidence, _gaffke)


def _gaffke(asked: Question, confidence: float) -> Floats:
    values = asked.weight * asked.part
    gaps = np.random.default_rng(1).standard_exponential((values.shape[1] + 1, SPACINGS))
    gaps /= gaps.sum(axis=0)
    return np.asarray(np.quantile(values @ gaps[1:], 1 - confidence, axis=1))


def two_sides(
    asked: Question, confidence: float, least: Callable[[Question, float], Floats]
) -> Limits:
    tail = (1 + confidence) / 2
    estimate = ratio_of(asked)[0]
    low, high = least(asked, tail), 1 - least(asked.rest, tail)
    return np.fmin(low, estimate), np.fmax(high, estimate)


def ratio_of(asked: Question) -> tuple[Floats, Floats, Floats]:
    """Estimate, weights of the draws, and what each draw's points say against the estimate."""
    weight = asked.weight
    with np.errstate(invalid="ignore"):
        estimate = (weight * asked.part).sum(axis=1) / (weight * asked.whole).sum(axis=1)
    return estimate, weight, weight * (asked.part - estimate[:, None] * asked.whole)


def usual(asked: Question, confidence: float) -> Limits:
    """Variance between draws (ultimate clusters, Taylor), Student's t."""
    estimate, weight, residual = ratio_of(asked)
    n = weight.shape[1]
    left = 1 - n / TOWNSHIPS if asked.drawn.stage == "srs" else 1.0
    with np.errstate(invalid="ignore"):
        error = np.sqrt(left * n / (n - 1) * (residual**2).sum(axis=1))
        error /= (weight * asked.whole).sum(axis=1)
    reach = stats.t.ppf((1 + confidence) / 2, n - 1) * error
    return told(estimate - reach, 0.0), told(estimate + reach, 1.0)


def former(asked: Question, confidence: float) -> Limits:
    """Exact interval on the effective sample (Korn & Graubard 1998), as `clustered_proportion`."""
    estimate, weight, residual = ratio_of(asked)
    ground = weight * asked.whole
    clusters, m = (ground > 0).sum(axis=1), asked.drawn.points
    units, hits = (np.rint(m * v).sum(axis=1) for v in (asked.whole, asked.part))
    rarer = np.where((2 * hits < units)[:, None], asked.part, asked.whole - asked.part)
    tail = (1 + confidence) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        error2 = clusters / (clusters - 1) * (residual**2).sum(axis=1) / ground.sum(axis=1) ** 2
        independent = ground.sum(axis=1) ** 2 / (ground**2).sum(axis=1)
        n = units / np.maximum(error2 * units / (estimate * (1 - estimate)), 1)
        n *= (stats.t.ppf(tail, units - 1) / stats.t.ppf(tail, clusters - 1)) ** 2
        share = 1 / (1 + (rarer > 0).sum(axis=1))
        kept = 1 / ((1 - share) / n + share / independent)
    kept = np.where((hits > 0) & (hits < units), kept, independent)
    yes, no = estimate * kept, (1 - estimate) * kept
    low = np.where(hits > 0, special.betaincinv(np.maximum(yes, 1e-9), no + 1, 1 - tail), 0.0)
    high = np.where(hits < units, special.betaincinv(yes + 1, np.maximum(no, 1e-9), tail), 1.0)
    few = clusters < 2
    return np.where(few, 0.0, told(low, 0.0)), np.where(few, 1.0, told(high, 1.0))


def told(limit: Floats, otherwise: float) -> Floats:
    return np.where(np.isfinite(limit), limit, otherwise)


METHODS: dict[str, Callable[[Question, float], Limits]] = {
    "usual": usual,
    "former": former,
    "new": new,
}


def run(scenario: Scenario, count: int, seed: Sequence[int]) -> pd.DataFrame:
    """Share of samples whose limits hold, and their width, by figure and method."""
    rng = np.random.default_rng(seed)
    made = counties(scenario, count, rng)
    truth, drawn = made.truth, drawn_of(scenario, made, rng)
    right, missed, wrong = (drawn.cells[..., k] for k in range(3))
    all_points = np.ones_like(right)
    area = Question(right + missed, all_points, drawn)
    # a county that happens to lack the class has no accuracy of it to be missed
    shown, held = (np.maximum(truth[:, 0] + truth[:, k], 1e-12) for k in (2, 1))
    figures = {
        "area": (held, area, METHODS | {"Gaffke": gaffke}),
        "user's accuracy": (
            truth[:, 0] / shown,
            Question(right, right + wrong, drawn, shown),
            METHODS,
        ),
        "producer's accuracy": (
            truth[:, 0] / held,
            Question(right, right + missed, drawn),
            METHODS,
        ),
        "overall accuracy": (
            1 - truth[:, 1] - truth[:, 2],
            Question(1 - missed - wrong, all_points, drawn),
            METHODS,
        ),
    }
    rows = []
    for figure, (value, asked, methods) in figures.items():
        for method, limits in methods.items():
            low, high = limits(asked, CONFIDENCE)
            rows.append(
                {
                    "figure": figure,
                    "method": method,
                    "held": np.mean((low <= value) & (value <= high)),
                    "above": np.mean(value > high),
                    "width": np.mean(np.minimum(high, 1) - np.maximum(low, 0)),
                }
            )
    for method, limits in (METHODS | {"Gaffke": gaffke}).items():
        low = limits(area, ONE_SIDED)[0]
        rows.append(
            {
                "figure": "lower bound of area",
                "method": method,
                "held": np.mean(low <= held),
                "above": 0.0,
                "width": np.mean(np.maximum(low, 0)) / np.mean(held),
            }
        )
    return pd.DataFrame(rows).assign(**vars(scenario))


def study(count: int, seed: int) -> pd.DataFrame:
    cells = list(scenarios())
    seeds = [(seed, i) for i in range(len(cells))]
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        found = pool.map(run, cells, [count] * len(cells), seeds, chunksize=4)
        return pd.concat(found, ignore_index=True)


def percent(share: Any) -> str:
    return f"{100 * share:.1f}"


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Coverage over all scenarios, in the worst tenth of them and in the worst."""
    rows = []
    for (figure, method), cells in found.groupby(["figure", "method"], sort=False):
        rows.append(
            {
                "figure": figure,
                "method": method,
                "held, %: mean": percent(cells["held"].mean()),
                "worst tenth": percent(cells["held"].quantile(0.1)),
                "worst": percent(cells["held"].min()),
                "truth above, worst": percent(cells["above"].max()),
                "mean width (bound: share of the truth)": f"{cells['width'].mean():.3f}",
            }
        )
    return pd.DataFrame(rows)


def by_place(found: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Worst coverage of the area's interval in percent, and mean width in points of the county."""
    area = found[found["figure"] == "area"].assign(
        held=lambda t: 100 * t["held"], width=lambda t: 100 * t["width"]
    )
    grouped = area.groupby([*by, "method"], sort=False).agg(
        held=("held", "min"), width=("width", "mean")
    )
    wide = pd.DataFrame(grouped.unstack("method"))
    wide = wide.set_axis([f"{name[1]}, {name[0]}" for name in wide.columns.to_list()], axis=1)
    return wide.round(1).reset_index()


def main(rest: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks two_stage_coverage", description=__doc__)
    parser.add_argument("--counties", type=int, default=1000, help="of each scenario")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--cells", type=Path, help="CSV of every scenario")
    given = parser.parse_args(rest)
    start = time.perf_counter()
    found = study(given.counties, given.seed)
    if given.cells:
        found.to_csv(given.cells, index=False)
    cells = len(list(scenarios()))
    error = 100 * np.sqrt(0.95 * 0.05 / given.counties)
    print(
        f"{cells} scenarios of {given.counties} counties, seed {given.seed}; the Monte Carlo "
        f"standard error of a coverage of 95 % is {error:.2f} points in one scenario; "
        f"{time.perf_counter() - start:.0f} s\n"
    )
    print(markdown(summary(found)))
    for by in (["stage", "draws"], ["place"], ["points"]):
        print("\nInterval of the area: worst coverage, %, mean width in points of the county\n")
        print(markdown(by_place(found, by)))


if __name__ == "__main__":
    main()
