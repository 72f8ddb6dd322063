"""Labelling of changed pixels, and what the pixels of each patch add up to."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.race import Disagreement, Entrant, Goal, Line, markdown, race
from rs_monitor.codes import Change
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.config.rules import DetectionRules
from rs_monitor.findings.groups import group_pixels
from rs_monitor.kernels.labels import label_groups
from rs_monitor.kernels.patch_sums import PatchSums, patch_sums

STAGE = "patches"
EDGE_PX = {False: 4096, True: 512}
EIGHT = np.ones((3, 3), dtype=bool)


def planted_mask(edge_px: int) -> np.ndarray:
    """A tenth of the pixels in smooth blobs, and salt."""
    rng = np.random.default_rng(6)
    smooth = ndimage.gaussian_filter(rng.standard_normal((edge_px, edge_px), np.float32), 3)
    mask = smooth > np.quantile(smooth, 0.9)
    return mask ^ (rng.random(mask.shape) < 0.002)


def every_patch() -> DetectionRules:
    rules = load_table(data_root() / "configs" / "rules" / "detection.toml", DetectionRules)
    return rules.model_copy(update={"min_patch_px": 1})


def same_numbers(ours: Any, peer: Any) -> str:
    if not np.array_equal(ours, peer):
        raise Disagreement("other groups")
    return "equal numbers"


def same_means(ours: PatchSums, peer: tuple[np.ndarray, np.ndarray]) -> str:
    counts, means = peer
    worst = float(np.abs(ours.mean - means).max())
    if not np.array_equal(ours.n_px, counts) or worst > 1e-9:
        raise Disagreement(f"counts or means differ, by up to {worst:g}")
    return f"equal counts, means {worst:.0e}"


def labelling(mask: np.ndarray, *, quick: bool) -> list[Line]:
    change = np.where(mask, Change.CHANGE, Change.NO_CHANGE).astype(np.uint8)
    rules = every_patch()
    ours = [
        Entrant("kernel, 2 threads", lambda: label_groups(mask, threads=2)[0]),
        Entrant("group_pixels", lambda: group_pixels(change, None, rules)),
    ]
    peers = [Entrant("scipy.ndimage.label", lambda: _scipy_label(mask))]
    goals = [Goal("scipy.ndimage.label", 1.3)]
    return race(
        "label", ours, peers, units=mask.size, agreement=same_numbers, goals=goals, quick=quick
    )


def _scipy_label(mask: np.ndarray) -> np.ndarray:
    return ndimage.label(mask, structure=EIGHT, output=np.int32)[0]


def properties(mask: np.ndarray, *, quick: bool) -> list[Line]:
    labels, count = label_groups(mask)
    values = np.random.default_rng(7).random(mask.shape, dtype=np.float32)

    def bincount() -> tuple[np.ndarray, np.ndarray]:
        of = labels.ravel()
        counts = np.bincount(of, minlength=count + 1)[1:]
        return counts, np.bincount(of, values.ravel(), minlength=count + 1)[1:] / counts

    return race(
        "properties",
        [Entrant("patch_sums, 1 thread", lambda: patch_sums(labels, values, count))],
        [Entrant("numpy.bincount", bincount)],
        units=mask.size,
        agreement=same_means,
        goals=[Goal("numpy.bincount", 5.0)],
        quick=quick,
    )


def lines(*, quick: bool) -> list[Line]:
    mask = planted_mask(EDGE_PX[quick])
    return labelling(mask, quick=quick) + properties(mask, quick=quick)


def main(arguments: Sequence[str]) -> None:
    print(markdown(lines(quick="--quick" in arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
