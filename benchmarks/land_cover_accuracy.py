"""Land cover beside a plain random forest, on reference data, in spatial blocks.

``python -m benchmarks land_cover_accuracy`` prints per-class user's and producer's accuracy with
intervals, the difference between the two ways, and what the probabilities are worth.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.land_cover_data import (
    Array,
    Site,
    brandenburg,
    mato_grosso,
    north_carolina,
    slovenia,
)
from benchmarks.land_cover_methods import (
    OURS,
    PLAIN,
    PLAIN_OURS,
    SHARES,
    SMOOTHED,
    TREES,
    Answers,
    answers,
)
from benchmarks.land_cover_townships import townships
from benchmarks.tables import markdown
from rs_monitor.estimation.clusters import ClusteredProportion, clustered_accuracy
from rs_monitor.kernels.uncertainty import entropy_and_margin
from rs_monitor.maps.reliability import (
    expected_calibration_error,
    group_interval,
    reliability_curve,
)
from rs_monitor.maps.uncertainty import error_ranking_auc

SEEDS = (21, 22)
MIN_PARCELS, CONFIDENCE = 30, 0.95
REPLICATES = 1000
BINS = 15
BOOTSTRAP_SEED = 8


def sites(shared: Path, *, quick: bool) -> Iterator[Site]:
    """Every data set; a quick run takes the small ones."""
    yield mato_grosso(shared)
    yield slovenia(shared)
    if not quick:
        yield from townships(SEEDS, size_px=240, planted=4)
        yield north_carolina(shared)
        yield brandenburg(shared)


# what the scored pixels say of one class


def groups_of(site: Site) -> dict[str, tuple[int, ...]]:
    """Classes, and the merged ones, as the classes they are made of."""
    alone = {name: (k,) for k, name in enumerate(site.classes)}
    merged = {
        name: tuple(site.classes.index(part) for part in parts)
        for name, parts in site.merged.items()
    }
    return alone | merged


def parcels_of(pixels: pd.DataFrame, members: Sequence[int]) -> int:
    return int(pixels.loc[pixels["truth"].isin(members), "owner"].nunique())


def class_rows(found: Answers) -> Iterator[dict[str, Any]]:
    """A row per class: counts, and the figures of both ways where it is assessable."""
    pixels = found.pixels
    for name, members in groups_of(found.site).items():
        here = pixels["truth"].isin(members)
        parcels = parcels_of(pixels, members)
        row = {
            "data": found.site.name,
            "class": name if len(members) == 1 else f"*{name}*",
            "parcels": parcels,
            "blocks": pixels.loc[here, "block"].nunique(),
            "pixels": int(here.sum()),
        }
        if parcels < MIN_PARCELS:
            blank = dict.fromkeys(FIGURES, "")
            reason = "not learned: in too few blocks" if not parcels else "not assessable"
            yield row | blank | {"note": reason}
            continue
        yield row | class_figures(found, members) | {"note": ""}


FIGURES = ("user's, plain", "user's, ours", "producer's, plain", "producer's, ours")


def class_figures(found: Answers, members: Sequence[int]) -> dict[str, str]:
    pixels = found.pixels
    truth = pixels["truth"].isin(members).to_numpy().astype(int)
    figures = {}
    for name, method in (("plain", PLAIN), ("ours", OURS)):
        mapped = np.isin(found.probabilities[method].argmax(axis=1), members).astype(int)
        accuracy = clustered_accuracy(
            mapped,
            truth,
            pixels["parcel"],
            classes=[1],
            min_clusters=MIN_PARCELS,
            confidence=CONFIDENCE,
        )
        figures[f"user's, {name}"] = percent(accuracy.users[1])
        figures[f"producer's, {name}"] = percent(accuracy.producers[1])
    return {name: figures[name] for name in FIGURES}


def percent(share: ClusteredProportion) -> str:
    if share.estimate is None or share.lower is None or share.upper is None:
        return "n/a"
    return f"{100 * share.estimate:.0f} ({100 * share.lower:.0f}-{100 * share.upper:.0f})"


# the two ways against each other


def block_matrices(found: Answers, method: str) -> Array:
    """Error matrix of every block; (block, mapped, truth)."""
    count = len(found.site.classes)
    block = pd.factorize(found.pixels["block"])[0]
    matrices = np.zeros((block.max() + 1, count, count))
    mapped = found.probabilities[method].argmax(axis=1)
    np.add.at(matrices, (block, mapped, found.pixels["truth"].to_numpy()), 1)
    return matrices


def macro(matrices: Array, groups: Sequence[Sequence[int]]) -> dict[str, Array]:
    """Means over the classes of user's, producer's and F1; ``matrices`` (..., mapped, truth)."""
    user, producer, f1 = [], [], []
    for members in groups:
        rows = matrices[..., members, :].sum(axis=-2)
        right, mapped = rows[..., members].sum(axis=-1), rows.sum(axis=-1)
        true = matrices[..., :, members].sum(axis=(-1, -2))
        with np.errstate(invalid="ignore"):
            user.append(right / mapped)
            producer.append(right / true)
            f1.append(2 * right / (mapped + true))
    parts = {"user's": user, "producer's": producer, "F1": f1}
    return {name: np.nanmean(values, axis=0) for name, values in parts.items()}


def redrawn(matrices: Array, draws: Array) -> Array:
    """Error matrices of blocks drawn anew; ``draws`` (replicate, block) counts."""
    return np.einsum("rb,bij->rij", draws, matrices)


def assessable(found: Answers) -> dict[str, tuple[int, ...]]:
    """Classes with enough parcels; where fewer than two have, merged ones."""
    enough = {
        name: members
        for name, members in groups_of(found.site).items()
        if parcels_of(found.pixels, members) >= MIN_PARCELS
    }
    alone = {name: members for name, members in enough.items() if len(members) == 1}
    return alone if len(alone) >= 2 else enough


def difference_rows(found: Answers) -> Iterator[dict[str, Any]]:
    """Macro figures of every method, and by how much each differs from the plain forest."""
    pixels = found.pixels
    present = np.unique(pixels["truth"])
    sets = {"all": [(k,) for k in present], "assessable": list(assessable(found).values())}
    matrices = {name: block_matrices(found, name) for name in found.probabilities}
    blocks = len(matrices[PLAIN])
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    draws = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=REPLICATES)
    for which, groups in sets.items():
        for method in found.probabilities:
            figures = macro(matrices[method].sum(axis=0), groups)
            row = {
                "data": found.site.name,
                "classes": f"{which} ({len(groups)})",
                "blocks": blocks,
                "method": method,
            }
            row |= {f"macro {name}": f"{100 * value:.1f}" for name, value in figures.items()}
            row |= {"F1 minus plain (95 %)": "", "verdict": "", "F1 minus plain, our samples": ""}
            if method != PLAIN:
                gain, row["verdict"] = compared(matrices[method], matrices[PLAIN], draws, groups)
                row["F1 minus plain (95 %)"] = gain
            if method not in (PLAIN, PLAIN_OURS):
                gain, _ = compared(matrices[method], matrices[PLAIN_OURS], draws, groups)
                row["F1 minus plain, our samples"] = gain
            yield row


def compared(ours: Array, plain: Array, draws: Array, groups: Any) -> tuple[str, str]:
    """Paired difference of the macro F1 with its verdict; both are redrawn with the same blocks."""
    f1 = [macro(redrawn(m, draws), groups)["F1"] for m in (ours, plain)]
    low, high = 100 * np.nanquantile(f1[0] - f1[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    whole = [float(macro(m.sum(axis=0), groups)["F1"]) for m in (ours, plain)]
    value = 100 * (whole[0] - whole[1])
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})", verdict


# what the probabilities are worth


def probability_row(found: Answers) -> dict[str, Any]:
    """Calibration error before and after, and whether uncertainty finds the errors."""
    truth, blocks = found.pixels["truth"].to_numpy(), found.pixels["block"].to_numpy()
    interval = partial(
        group_interval,
        groups=blocks,
        replicates=REPLICATES // 4,
        confidence=CONFIDENCE,
        seed=BOOTSTRAP_SEED,
    )
    error = partial(calibration_error, classes=np.arange(len(found.site.classes)))
    ours = found.probabilities[OURS]
    stages = {
        "plain forest": found.probabilities[PLAIN],
        "before": found.probabilities[TREES],
        "after": ours,
        "after, shares of the survey": found.probabilities[SHARES],
        "smoothed": found.probabilities[SMOOTHED],
    }
    row: dict[str, Any] = {"data": found.site.name}
    for name, values in stages.items():
        row[f"ECE %, {name}"] = written(error, interval, values, truth)
    entropy, margin = certainty(ours)
    wrong = ours.argmax(axis=1) != truth
    row["AUC of errors, entropy"] = written(error_ranking_auc, interval, entropy, wrong, digits=2)
    row["AUC of errors, margin"] = written(error_ranking_auc, interval, 1 - margin, wrong, digits=2)
    row |= outside_figures(wrong, found.outside)
    return row


def certainty(probabilities: Array) -> Array:
    """Entropy and margin of pixels (n, classes); (2, n)."""
    return entropy_and_margin(np.ascontiguousarray(probabilities.T))


def outside_figures(wrong: Array, outside: Array) -> dict[str, str]:
    """Share of pixels unlike the training data, and how often both kinds are wrong."""
    parts = (wrong[~outside], wrong[outside])
    rates = [f"{100 * part.mean():.1f}" if len(part) else "" for part in parts]
    return {
        "outside, %": f"{100 * outside.mean():.1f}",
        "wrong inside, %": rates[0],
        "wrong outside, %": rates[1],
    }


def calibration_error(values: Array, truth: Array, *, classes: Array) -> float:
    return expected_calibration_error(values, truth, classes, bins=BINS, spacing="mass")


def written(
    statistic: Callable[..., float],
    interval: Callable[..., tuple[float, float]],
    *arrays: Array,
    digits: int = 0,
) -> str:
    value, (low, high) = statistic(*arrays), interval(statistic, *arrays)
    if digits:
        return f"{value:.{digits}f} ({low:.{digits}f}-{min(high, 1.0):.{digits}f})"
    return f"{100 * value:.1f} ({100 * low:.1f}-{100 * high:.1f})"


# printing


def site_row(found: Answers) -> dict[str, Any]:
    site = found.site
    return {
        "data": site.name,
        "kind": site.kind,
        "labels": site.against,
        "looks": site.seasons[0].reflectance.sizes["time"],
        "features, plain": found.raw_features,
        "features, ours": found.features,
        "scored pixels": len(found.pixels),
        "blocks": found.pixels["block"].nunique(),
        "folds": found.pixels["fold"].nunique(),
    }


def tables(all_found: Sequence[Answers]) -> Mapping[str, pd.DataFrame]:
    return {
        "Data": pd.DataFrame([site_row(found) for found in all_found]),
        "Classes: user's and producer's, % (95 %)": pd.DataFrame(
            [row for found in all_found for row in class_rows(found)]
        ),
        "Against the plain forest": pd.DataFrame(
            [row for found in all_found for row in difference_rows(found)]
        ),
        "Probabilities": pd.DataFrame([probability_row(found) for found in all_found]),
    }


def draw_reliability(all_found: Sequence[Answers], path: Path) -> None:
    """Stated against true shares, before and after calibration, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(all_found), 3.4), layout="constrained")
    panels = figure.subplots(1, len(all_found), squeeze=False)[0]
    for axes, found in zip(panels, all_found, strict=True):
        stages = {"trees": found.probabilities[TREES], "calibrated": found.probabilities[SHARES]}
        truth, classes = found.pixels["truth"].to_numpy(), np.arange(len(found.site.classes))
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, values in stages.items():
            curve = reliability_curve(values, truth, classes, bins=BINS, spacing="mass")
            axes.plot(curve["stated_fraction"], curve["true_fraction"], marker=".", label=name)
        credit = "\n".join(wrap(found.site.against, 36))
        axes.set_title(f"{found.site.name}\n{credit}", fontsize=8)
        axes.set(xlabel="stated", ylabel="true", xlim=(0, 1), ylim=(0, 1))
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def shared_folder() -> Path:
    named = os.environ.get("RS_MONITOR_SHARED_DATA")
    return Path(named) if named else Path(__file__).parents[2] / "shared" / "data"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="land_cover_accuracy", description=__doc__)
    parser.add_argument("--data", type=Path, default=shared_folder())
    parser.add_argument("--quick", action="store_true", help="the two small data sets")
    parser.add_argument("--picture", type=Path, help="where to draw the reliability curves")
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    found = [answers(site) for site in sites(given.data, quick=given.quick)]
    if given.picture is not None:
        draw_reliability(found, given.picture)
    for title, table in tables(found).items():
        print(f"\n### {title}\n\n{markdown(table)}")
    print()
    for one in found:
        print(f"* {one.site.name} ({one.site.kind}): " + "; ".join(one.site.notes))
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
