"""How often intervals of the area of change, and of accuracies, hold the truth; beside the usual.

Simulated projects with rare change: the map shows part of it, other strata hold what the map
missed. Each scenario draws new populations, a sample from each, and asks every method. A second
study has the sample read by three readers who err.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmarks.tables import markdown
from rs_monitor.config.rules import load_rules
from rs_monitor.estimation.accuracy import assess
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.certified import certified_lower_bound, stratum_weights
from rs_monitor.estimation.error_matrix import ErrorMatrix, error_matrix
from rs_monitor.estimation.intervals import (
    Tally,
    clopper_pearson,
    ratio_interval,
    stratified_interval,
    tally,
)
from rs_monitor.estimation.readers import reader_model, unanimous

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PIXELS = 5_000_000
CONFIDENCE = 0.95
Z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
Z_ONE_SIDED = float(stats.norm.ppf(CONFIDENCE))
UNEXPECTED_WEIGHT = load_rules("accuracy", Path.cwd(), AccuracyRules).estimation.unexpected_weight
COLUMN = np.array([[True, False], [True, False]])
POINTS = 1024
"""Nodes of the convolution; coarser than the default, which errs on the wide side."""

CHANGE = (0.005, 0.01, 0.02, 0.05)
SAMPLED = (50, 200)
MISSED = {"none": 0.0, "little": 0.05, "much": 0.25, "most": 0.75}
STRATA = {
    # parts of the ground beside the mapped change, and the part of the missed change each holds
    "two": ((1.0,), (1.0,)),
    "buffer": ((0.06, 0.94), (0.9, 0.1)),
    "four": ((0.06, 0.24, 0.70), (0.8, 0.2, 0.0)),
}


@dataclass(frozen=True)
class Scenario:
    """Strata and their pixels; populations differ in what the strata hold."""

    change: float
    strata: str
    sampled: int
    missed: str

    @property
    def units(self) -> Ints:
        mapped = round(PIXELS * self.change * (1 - MISSED[self.missed]) / 0.85)
        rest = np.asarray(STRATA[self.strata][0]) * (PIXELS - mapped)
        return np.r_[mapped, rest.round().astype(np.int64)]

    def populations(self, count: int, rng: np.random.Generator) -> Ints:
        """Pixels of change in each stratum, one row a population."""
        units, parts = self.units, np.asarray(STRATA[self.strata][1])
        right = rng.uniform(0.75, 0.95, count)
        missed = PIXELS * self.change * MISSED[self.missed] * rng.uniform(0.5, 1.5, count)
        held = np.column_stack([units[0] * right, missed[:, None] * parts])
        return np.minimum(held.round().astype(np.int64), units)


def scenarios() -> Iterator[Scenario]:
    for values in product(CHANGE, STRATA, SAMPLED, MISSED):
        yield Scenario(*values)


@dataclass(frozen=True)
class Answers:
    """What each method says of one sample: two-sided intervals and one-sided lower bounds."""

    area: dict[str, tuple[float, float]]
    lower: dict[str, float]
    upper: dict[str, float]
    users: dict[str, tuple[float, float]]
    producers: dict[str, tuple[float, float]]


def usual(counted: Tally) -> tuple[float, float]:
    """Area and its standard error (Olofsson et al. 2014, eq. 9 to 11)."""
    share = counted.hits / counted.sampled
    variance = counted.ground**2 * share * (1 - share) / (counted.sampled - 1)
    return float(counted.ground @ share), float(np.sqrt(variance.sum()))


def largest_alone(counted: Tally) -> float:
    """Exact upper limit of the largest stratum, the others known: no valid limit lies far below."""
    large = int(counted.ground.argmax())
    parts = counted.ground * counted.hits / counted.sampled
    hits, sampled = int(counted.hits[large]), int(counted.sampled[large])
    most = counted.ground[large] * clopper_pearson(hits, sampled, CONFIDENCE)[1]
    return float(parts.sum() - parts[large] + most)


def usual_producers(counted: Tally) -> tuple[float, float]:
    """Producer's accuracy and its standard error (eq. 3 and 7); the map shows stratum 0."""
    share = counted.hits / counted.sampled
    parts = counted.ground * share
    total = parts.sum()
    if total == 0:
        return float("nan"), float("nan")
    accuracy = parts[0] / total
    spread = counted.ground**2 * share * (1 - share) / (counted.sampled - 1)
    variance = (1 - accuracy) ** 2 * spread[0] + accuracy**2 * spread[1:].sum()
    return float(accuracy), float(np.sqrt(variance) / total)


def around(estimate: float, error: float) -> tuple[float, float]:
    return estimate - Z * error, estimate + Z * error


def ask(hits: Sequence[int], scenario: Scenario) -> Answers:
    units = scenario.units
    sampled = np.full(units.size, scenario.sampled)
    counted = tally(hits, sampled, units, units)
    estimate, error = usual(counted)
    said = {"confidence": CONFIDENCE, "points": POINTS}
    wide = {"confidence": 2 * CONFIDENCE - 1, "points": POINTS}
    first = np.arange(units.size) == 0
    weights = stratum_weights(first, UNEXPECTED_WEIGHT)
    part = tally(np.where(first, hits, 0), sampled, units * first, units)
    rest = tally(np.where(first, 0, hits), sampled, units * ~first, units)
    share = hits[0] / scenario.sampled
    methods = ("melded", "mid")
    return Answers(
        {"usual": around(estimate, error)}
        | {m: stratified_interval(counted, method=m, **said) for m in methods},
        {"usual": estimate - Z_ONE_SIDED * error}
        | {m: stratified_interval(counted, method=m, **wide)[0] for m in methods}
        | {"certified": certified_lower_bound(counted, weights=weights, confidence=CONFIDENCE)},
        {
            "melded": stratified_interval(counted, method="melded", **said)[1],
            "largest stratum alone": largest_alone(counted),
        },
        {
            "usual": around(share, float(np.sqrt(share * (1 - share) / (scenario.sampled - 1)))),
            "melded": clopper_pearson(hits[0], scenario.sampled, CONFIDENCE),
        },
        {
            "usual": around(*usual_producers(counted)),
            "melded": ratio_interval(part, rest, method="melded", **said),
        },
    )


def run(scenario: Scenario, populations: int, seed: Sequence[int]) -> pd.DataFrame:
    """Share of populations held, and mean width, by figure and method."""
    rng = np.random.default_rng(seed)
    units = scenario.units
    held = scenario.populations(populations, rng)
    drawn = rng.hypergeometric(held, units - held, scenario.sampled)
    # equal samples get equal answers
    asked = lru_cache(maxsize=None)(lambda *hits: ask(hits, scenario))
    rows: list[dict[str, Any]] = []
    for truth, hits in zip(held, drawn, strict=True):
        said = asked(*map(int, hits))
        total = float(truth.sum())
        facts = {
            "area": (total, said.area),
            "user's accuracy": (truth[0] / units[0], said.users),
            "producer's accuracy": (truth[0] / total, said.producers),
        }
        for figure, (value, answers) in facts.items():
            for method, (low, high) in answers.items():
                inside = low <= value <= high
                width = (high - low) / total if figure == "area" else min(high, 1) - max(low, 0)
                rows.append({"figure": figure, "method": method, "held": inside, "width": width})
        for method, low in said.lower.items():
            rows.append(
                {
                    "figure": "lower bound of area",
                    "method": method,
                    "held": low <= total,
                    "width": low / total,
                }
            )
        for method, high in said.upper.items():
            rows.append(
                {
                    "figure": "upper limit of area",
                    "method": method,
                    "held": high >= total,
                    "width": high / total,
                }
            )
    found = pd.DataFrame(rows).groupby(["figure", "method"], sort=False).mean().reset_index()
    return found.assign(**vars(scenario), samples=asked.cache_info().currsize)


def study(populations: int, seed: int) -> pd.DataFrame:
    cells = list(scenarios())
    seeds = [(seed, i) for i in range(len(cells))]
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        found = pool.map(run, cells, [populations] * len(cells), seeds, chunksize=4)
        return pd.concat(found, ignore_index=True)


@dataclass(frozen=True)
class Readers:
    """Three readers who mistake this share of the units, each on his own."""

    misread: float

    def labels(self, truth: Ints, rng: np.random.Generator) -> Ints:
        wrong = rng.random((truth.size, 3)) < self.misread
        return np.where(wrong, 3 - truth[:, None], truth[:, None])


def two_class_matrix(place: Ints, units: Ints, reference: Ints) -> ErrorMatrix:
    return error_matrix(
        place,
        place + 1,
        reference,
        classes=[1, 2],
        strata=["change", "rest"],
        ground_m2=units,
        units=units,
        filled_by=[1, 2],
    )


def run_readers(readers: Readers, samples: int, seed: Sequence[int]) -> pd.DataFrame:
    """Intervals of the area: one reader believed, the vote believed, and readers who err."""
    rng = np.random.default_rng(seed)
    scenario = Scenario(0.02, "two", 100, "little")
    units, place = scenario.units, np.repeat([0, 1], 100)
    matrix = partial(two_class_matrix, place, units)
    rules = load_rules("accuracy", Path.cwd(), AccuracyRules).estimation
    rows: list[dict[str, Any]] = []
    for held in scenario.populations(samples, rng):
        hits = rng.hypergeometric(held, units - held, 100)
        truth = np.where(np.tile(np.arange(100), 2) < hits[place], 1, 2)
        labels = readers.labels(truth, rng)

        model = reader_model(
            labels,
            place,
            classes=(1, 2),
            prior_readings=rules.reader_prior,
            prior_accuracy=rules.reader_accuracy,
        )
        draws = [matrix(d) for d in model.draw(rules.reader_draws, 1)]
        vote = np.where((labels == 1).sum(axis=1) > 1, 1, 2)
        alone = stratified_interval(
            matrix(labels[:, 0]).tally(COLUMN), confidence=CONFIDENCE, method="melded"
        )
        voted = stratified_interval(
            matrix(vote).tally(COLUMN), confidence=CONFIDENCE, method="melded"
        )
        found = assess(
            matrix(model.settled), rules, readings=draws, agreed=matrix(unanimous(labels))
        )
        total = float(held.sum())
        answers = {
            "one reader, believed": alone,
            "vote of three, believed": voted,
            "three readers, errors carried": found.areas_m2[1].interval,
            "lower bound, three readers": (found.certified_m2[1], np.inf),
        }
        for method, (low, high) in answers.items():
            rows.append({"method": method, "held": low <= total <= high, "low": low / total})
    table = pd.DataFrame(rows).groupby("method", sort=False).mean().reset_index()
    return table.assign(misread=readers.misread)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Coverage over all scenarios, in the worst tenth of them and in the worst."""
    rows = []
    for (figure, method), cells in found.groupby(["figure", "method"], sort=False):
        rows.append(
            {
                "figure": figure,
                "method": method,
                "coverage, mean": f"{100 * cells['held'].mean():.1f} %",
                "worst tenth of scenarios": f"{100 * cells['held'].quantile(0.1):.1f} %",
                "worst scenario": f"{100 * cells['held'].min():.1f} %",
                "mean width (limits: over the truth)": f"{cells['width'].mean():.3f}",
            }
        )
    return pd.DataFrame(rows)


def main(rest: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks interval_coverage", description=__doc__)
    parser.add_argument("--populations", type=int, default=1000, help="of each scenario")
    parser.add_argument("--read", type=int, default=300, help="samples read by three readers")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--cells", type=Path, help="CSV of every scenario")
    given = parser.parse_args(rest)
    start = time.perf_counter()
    found = study(given.populations, given.seed)
    if given.cells:
        found.to_csv(given.cells, index=False)
    cells = len(list(scenarios()))
    error = 100 * np.sqrt(0.95 * 0.05 / given.populations)
    print(
        f"{cells} scenarios of {given.populations} populations, seed {given.seed}; the Monte Carlo "
        f"standard error of a coverage of 95 % is {error:.2f} points in one scenario, "
        f"{error / np.sqrt(cells):.2f} in their mean; {time.perf_counter() - start:.0f} s\n"
    )
    print(markdown(summary(found)))
    area = found[found["figure"] == "area"]
    for by in (["strata", "missed"], ["sampled", "change"]):
        print("\nInterval of the area: coverage, %, and mean width as a share of the truth\n")
        print(markdown(two_values(area, by)))
    print(f"\nThree readers, 1 % and 5 % misread, {given.read} samples each\n")
    tables = [
        run_readers(Readers(m), given.read, (given.seed, i)) for i, m in enumerate((0.01, 0.05))
    ]
    shown = {"held": "share that holds the truth", "low": "lower limit / truth"}
    print(markdown(pd.concat(tables).round(3).rename(columns=shown)))
    print(f"\n{time.perf_counter() - start:.0f} s in all")


def two_values(area: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Coverage and width side by side."""
    wide = area.pivot_table(index=by, columns="method", values=["held", "width"], sort=False)
    wide["held"] *= 100
    wide.columns = [f"{method}, {value}" for value, method in wide.columns]
    return wide.round(2).reset_index()


if __name__ == "__main__":
    main()
