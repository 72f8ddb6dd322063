"""One shift of a whole tile: a fast check of two images before their windows are matched."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from rs_monitor.errors import GridMismatch
from rs_monitor.imagery.orientation import Match
from rs_monitor.kernels.phase import tapered, white_cross_spectrum

HIGHEST_CYCLES_PX = 0.25
"""Frequencies kept: the finer half aliases between dates and would bias the shift."""

REFINED_PX = np.arange(-3, 4) * 0.25
"""Places around the highest pixel where the surface is evaluated."""

_Spectrum = NDArray[np.complex64]


def tile_shift(
    reference: NDArray[np.floating],
    moving: NDArray[np.floating],
    *,
    cutoff_cycles_px: float,
    workers: int = 1,
) -> Match:
    """Measure one shift between two images of one grid.

    Parameters
    ----------
    reference, moving : ndarray of float, shape (y, x)
        Not finite = not seen. A few last rows and columns are left out where that makes the
        transforms fast.
    cutoff_cycles_px : float
        Width of the spectral low-pass, as in ``RegistrationRules``.
    workers : int
        Threads of the transforms.

    Returns
    -------
    Match
        Where the content lies in the moving image, in pixels; ``peak`` is its height over the root
        mean square of the surface. NaN where an image shows nothing.

    Raises
    ------
    GridMismatch
        If the shapes differ.

    Notes
    -----
    Phase correlation under a Hann window (Kuglin & Hines 1975), refined by a discrete Fourier
    transform at a few places (Guizar-Sicairos et al. 2008, doi:10.1364/OL.33.000156) and a parabola
    through the highest. It answers for images that moved as a whole; where ground changed or was
    hidden, let ``window_shifts`` and ``fit_shift`` find the windows that agree.
    """
    if reference.shape != moving.shape or reference.ndim != 2:
        raise GridMismatch(
            f"got images of {reference.shape} and {moving.shape}; needed one shape (y, x); "
            "load both on one grid"
        )
    rows, cols = (_fast_length(extent) for extent in reference.shape)
    ours, own_share = _spectrum(reference[:rows, :cols], workers)
    theirs, other_share = _spectrum(moving[:rows, :cols], workers)
    down, right, energy = _low_pass(rows, cols, cutoff_cycles_px)
    shown = bool(np.any(ours)) and bool(np.any(theirs))
    cross = white_cross_spectrum(ours, theirs, down, right)
    seen = min(own_share, other_share, 1.0)
    if not shown:
        return Match(np.nan, np.nan, np.nan, seen)
    dy, dx, height = _highest(cross, (rows, cols), workers)
    return Match(dy, dx, float(height / np.sqrt(energy)), seen)


def _fast_length(extent: int) -> int:
    """Longest even length up to the extent with small factors only."""
    return 2 * int(scipy.fft.prev_fast_len(extent // 2, real=True))


@lru_cache(maxsize=8)
def _hann(extent: int) -> NDArray[np.float32]:
    return np.hanning(extent + 2)[1:-1].astype(np.float32)


def _kept(extent: int) -> int:
    """Frequencies from 0 up to the highest one kept."""
    return int(HIGHEST_CYCLES_PX * extent) + 1


def _spectrum(image: NDArray[np.floating], workers: int) -> tuple[_Spectrum, float]:
    """Low frequencies: the rows from the lowest to the highest, columns from 0; share seen."""
    rows, cols = image.shape
    values = np.ascontiguousarray(image, dtype=np.float32)
    ready, seen = tapered(values, _hann(rows), _hann(cols))
    along = scipy.fft.rfft(ready, axis=1, workers=workers, overwrite_x=True)
    kept = np.ascontiguousarray(along[:, : _kept(cols)])
    whole = scipy.fft.fft(kept, axis=0, workers=workers, overwrite_x=True)
    count = _kept(rows)
    return np.concatenate([whole[:count], whole[1 - count :]]), seen


def _frequencies(rows: int, cols: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cycles per pixel of the rows and columns of a spectrum."""
    count = _kept(rows)
    along_y = np.concatenate([np.arange(count), np.arange(1 - count, 0)]) / rows
    return along_y, np.arange(_kept(cols)) / cols


@lru_cache(maxsize=8)
def _low_pass(
    rows: int, cols: int, cutoff_cycles_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Factors of the weights, 0 without variation along both axes; energy of the spectrum."""
    fy, fx = _frequencies(rows, cols)
    down, right = (np.exp(-0.5 * (f / cutoff_cycles_px) ** 2) for f in (fy, fx))
    energy = np.square(down).sum() * (_both_halves(len(fx)) * np.square(right)).sum()
    return down.astype(np.float32), right.astype(np.float32), float(energy)


def _both_halves(columns: int) -> NDArray[np.float64]:
    """A column stands for its mirror image, too, save the first."""
    return np.where(np.arange(columns) == 0, 1.0, 2.0)


def _highest(cross: _Spectrum, shape: tuple[int, int], workers: int) -> tuple[float, float, float]:
    """Place and height of the highest point of the correlation surface, pixels."""
    coarse = len(cross) + 1, 2 * cross.shape[1]
    count = (len(cross) + 1) // 2
    padded = np.zeros((coarse[0], cross.shape[1]), dtype=np.complex64)
    padded[:count], padded[1 - count :] = cross[:count], cross[count:]
    surface = scipy.fft.irfft2(padded, coarse, workers=workers, overwrite_x=True)
    top = np.unravel_index(int(surface.argmax()), coarse)
    place = [
        float(np.fft.fftfreq(few)[at] * many)
        for at, few, many in zip(top, coarse, shape, strict=True)
    ]
    return _refined(cross, shape, place[0], place[1])


def _refined(
    cross: _Spectrum, shape: tuple[int, int], dy: float, dx: float
) -> tuple[float, float, float]:
    fy, fx = _frequencies(*shape)
    height = 0.0
    for reach in (4.0, 1.0):  # the coarse surface knows every second pixel
        down = np.exp(2j * np.pi * np.outer(dy + reach * REFINED_PX, fy)).astype(np.complex64)
        right = np.exp(2j * np.pi * np.outer(fx, dx + reach * REFINED_PX))
        right *= _both_halves(len(fx))[:, np.newaxis]
        fine = np.real((down @ cross).astype(np.complex128) @ right)
        y, x = (int(at) for at in np.unravel_index(int(fine.argmax()), fine.shape))
        y, x = (min(max(at, 1), len(REFINED_PX) - 2) for at in (y, x))
        step = reach * (REFINED_PX[1] - REFINED_PX[0])
        dy += reach * REFINED_PX[y] + step * _vertex(fine[y - 1 : y + 2, x])
        dx += reach * REFINED_PX[x] + step * _vertex(fine[y, x - 1 : x + 2])
        height = float(fine[y, x])
    return float(dy), float(dx), height


def _vertex(three: NDArray[np.float64]) -> float:
    """Where a parabola through three neighbours has its vertex, in steps from the middle one."""
    bend = float(three[0] - 2.0 * three[1] + three[2])
    if bend >= 0.0:
        return 0.0
    return float(np.clip(0.5 * (three[0] - three[2]) / bend, -1.0, 1.0))
