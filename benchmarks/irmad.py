"""IR-MAD, 2 x 6 bands x 1024^2, 10 reweightings: the fused pass against NumPy and SciPy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg
import xarray as xr
from numpy.typing import NDArray
from scipy.special import chdtrc

from benchmarks.race import (
    Disagreement,
    Entrant,
    Goal,
    Line,
    in_dask_threads,
    kernel_in_threads,
    markdown,
    race,
    strips_of,
)
from rs_monitor.kernels.change import MadTransform, Moments, mad_chi2, mad_moments
from rs_monitor.maps.change import fit_irmad
from rs_monitor.maps.two_date import fit_two_date, two_date_change

STAGE = "IR-MAD"

BANDS = 6
EDGE_PX = 1024
CHUNK_PX = 512
REWEIGHTINGS = 10
CHANGED_FRACTION = 0.1
LARGEST_GAP = 1e-4
"""Of log1p of the statistic."""

PEER = "NumPy + SciPy, float64 (1)"
GOALS = [Goal(PEER, 5)]

Image = NDArray[np.float32]


def make_pair(edge_px: int) -> tuple[Image, Image]:
    """Correlated bands at two dates of other gain and offset, part of the pixels changed."""
    rng = np.random.default_rng(7)
    shape = (BANDS, edge_px, edge_px)
    ground = np.tensordot(rng.normal(size=(BANDS, BANDS)), rng.normal(size=shape), 1)
    before = (ground + 0.3 * rng.normal(size=shape)).astype(np.float32)
    after = (1.4 * ground + 6 + 0.3 * rng.normal(size=shape)).astype(np.float32)
    moved = rng.random(shape[1:]) < CHANGED_FRACTION
    after[:, moved] += rng.normal(0, 5, (BANDS, int(moved.sum()))).astype(np.float32)
    return before, after


def with_numpy(before: Image, after: Image) -> NDArray[np.float64]:
    """The plain way: every pixel of both dates in float64, the weights from SciPy."""
    p = len(before)
    both = np.concatenate([before, after]).reshape(2 * p, -1).astype(np.float64)
    weights = np.ones(both.shape[1])
    for _ in range(REWEIGHTINGS + 1):
        total = weights.sum()
        mean = both @ weights / total
        centred = both - mean[:, None]
        cov = (centred * weights) @ centred.T / total
        sxx, syy, sxy = cov[:p, :p], cov[p:, p:], cov[:p, p:]
        squares, a = scipy.linalg.eigh(sxy @ np.linalg.solve(syy, sxy.T), sxx)
        b = np.linalg.solve(syy, sxy.T) @ a
        b /= np.sqrt(np.diag(b.T @ syy @ b))
        variates = np.hstack([a.T, -b.T]) @ centred
        statistic = np.einsum("k,kn->n", 1 / (2 * (1 - np.sqrt(squares))), variates**2)
        weights = chdtrc(p, statistic)
    return statistic.reshape(before.shape[1:])


def bare(before: Image, after: Image) -> Callable[[], Image]:
    """The fused pass over strips of rows in two threads, then the statistic."""
    strips = [
        tuple(part.reshape(BANDS, -1) for part in parts) for parts in strips_of(before, after)
    ]
    origin = np.concatenate([date.mean(axis=(1, 2), dtype=np.float64) for date in (before, after)])

    def measure(transform: MadTransform | None) -> Moments:
        calls: list[tuple[Any, ...]] = [(one, two, origin, transform) for one, two in strips]
        parts = kernel_in_threads(mad_moments, calls)()
        return sum(parts[1:], parts[0])

    def run() -> Image:
        transform, _ = fit_irmad(measure, origin, max_iterations=REWEIGHTINGS, tolerance=0.0)
        calls: list[tuple[Any, ...]] = [(one, two, transform) for one, two in strips]
        return np.concatenate(kernel_in_threads(mad_chi2, calls)()).reshape(before.shape[1:])

    return run


def public(before: Image, after: Image) -> Callable[[], Image]:
    """``fit_two_date`` and ``two_date_change`` on dask chunks: threshold and mask included."""
    coords = {"band": [f"b{k}" for k in range(BANDS)]}
    dates = [
        xr.DataArray(date, dims=("band", "y", "x"), coords=coords).chunk(y=CHUNK_PX, x=CHUNK_PX)
        for date in (before, after)
    ]

    def make() -> xr.Dataset:
        fit = fit_two_date(
            *dates, method="irmad", threshold="kmeans", max_iterations=REWEIGHTINGS, tolerance=0.0
        )
        return two_date_change(*dates, fit)

    def run() -> Image:
        magnitude: Image = in_dask_threads(make)()["magnitude"].values
        return magnitude * magnitude

    return run


def statistics_agree(ours: Image, peer: NDArray[np.float64]) -> str:
    gap = float(np.abs(np.log1p(ours.astype(np.float64)) - np.log1p(peer)).max())
    if not gap <= LARGEST_GAP:
        raise Disagreement(f"log1p(chi2) differs by {gap:.1g}")
    return f"log1p(chi2) within {gap:.1g}"


def lines(*, quick: bool = False) -> list[Line]:
    before, after = make_pair(256 if quick else EDGE_PX)
    ours = [
        Entrant("kernel (2)", bare(before, after)),
        Entrant("fit_two_date() + two_date_change() (2)", public(before, after)),
    ]
    return race(
        f"{STAGE}, {REWEIGHTINGS} reweightings",
        ours,
        [Entrant(PEER, lambda: with_numpy(before, after))],
        units=before[0].size,
        agreement=statistics_agree,
        goals=GOALS,
        quick=quick,
    )


def main(arguments: Sequence[str]) -> None:
    print(markdown(lines(quick="--quick" in arguments)))
