"""Shift of one whole pair of tiles to a hundredth of a pixel, beside scikit-image."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from benchmarks.race import THREADS, Disagreement, Entrant, Goal, Line, markdown, race
from rs_monitor.imagery.tile_shift import tile_shift

STAGE = "registration"

EDGE_PX = 2048
SHIFT_PX = (3.37, -7.61)
CUTOFF_CYCLES_PX = 0.14
"""As in configs/rules/imagery.toml."""

MARGIN_PX = 32
"""Ground around the tiles, so that what leaves one side is no neighbour of what enters."""

BLUR_PX = 1.2
MOST_ERROR_PX = 0.02
PEER_ERROR_PX = 0.1
"""More than this and the peer answers something else."""

SKIMAGE = "skimage phase_cross_correlation"
Image = NDArray[np.float32]
Shift = tuple[float, float]


def make_pair(
    edge_px: int, shift: Shift, *, seed: int = 0, noise: float = 0.1
) -> tuple[Image, Image]:
    """Ground blurred as a sensor does, the second image displaced, each with noise of its own."""
    rng = np.random.default_rng(seed)
    size = edge_px + 2 * MARGIN_PX
    ground = scipy.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    fy, fx = np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size)
    ground *= np.exp(-2 * (np.pi * BLUR_PX) ** 2 * (fy**2 + fx**2))
    moved = ground * np.exp(-2j * np.pi * (fy * shift[0] + fx * shift[1]))
    inside = slice(MARGIN_PX, -MARGIN_PX)
    plain, other = (
        scipy.fft.irfft2(spectrum, (size, size))[inside, inside] for spectrum in (ground, moved)
    )
    scale = 1.0 / plain.std()
    grain = (noise * rng.standard_normal(plain.shape, dtype=np.float32) for _ in range(2))
    reference, moving = (scale * image + next(grain) for image in (plain, other))
    return reference.astype(np.float32), moving.astype(np.float32)


def with_skimage(reference: Image, moving: Image, workers: int) -> Callable[[], Shift]:
    """The sign of ours; float32 throughout."""

    def run() -> Shift:
        from skimage.registration import phase_cross_correlation

        with scipy.fft.set_workers(workers):
            found = phase_cross_correlation(reference, moving, upsample_factor=100)[0]
        return -float(found[0]), -float(found[1])

    return run


def with_ours(reference: Image, moving: Image) -> Callable[[], Shift]:
    def run() -> Shift:
        found = tile_shift(reference, moving, cutoff_cycles_px=CUTOFF_CYCLES_PX, workers=THREADS)
        return found.dy_px, found.dx_px

    return run


def errors(ours: Shift, peer: Shift) -> str:
    """Both against the planted shift."""
    own, other = (float(np.hypot(*np.subtract(found, SHIFT_PX))) for found in (ours, peer))
    text = f"error {own:.4f} px, peer {other:.4f}"
    if own > MOST_ERROR_PX or other > PEER_ERROR_PX:
        raise Disagreement(text)
    return text


def transforms(reference: Image, moving: Image) -> Callable[[], None]:
    """What no phase correlation goes below: two transforms and one back."""

    def run() -> None:
        shape = reference.shape
        first = scipy.fft.rfft2(reference, workers=THREADS)
        second = scipy.fft.rfft2(moving, workers=THREADS)
        scipy.fft.irfft2(first * second, shape, workers=THREADS)

    return run


def lines(*, quick: bool = False) -> list[Line]:
    edge_px = 512 if quick else EDGE_PX
    pair = make_pair(edge_px, SHIFT_PX)
    peers = [
        Entrant(f"{SKIMAGE} (1)", with_skimage(*pair, 1)),
        Entrant(f"{SKIMAGE}, 2 workers", with_skimage(*pair, THREADS)),
        Entrant("limit: two rfft2, one irfft2 (2)", transforms(*pair), compared=False),
    ]
    goals = [Goal(peer.name, 2) for peer in peers[:2]]
    return race(
        f"{STAGE}, {edge_px}^2", [Entrant("tile_shift (2)", with_ours(*pair))], peers,
        units=edge_px**2, agreement=errors, goals=goals, quick=quick,
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    print(markdown(lines(quick="--quick" in arguments)))
