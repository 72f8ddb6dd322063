"""Where the edges of one image lie in another: orientation correlation of tapered windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

FILL_SIGMA_PX = 3.0
"""Unseen pixels take a Gaussian mean of their surroundings, so that a gap makes no edge."""

PEAK_LOBE_PX = 4
"""Pixels around a peak that belong to it; beyond them the surface is noise."""

RECENTRINGS = 2
REFINEMENTS_PX = ((1.0, 0.1), (0.1, 0.01))

Complex = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Edges:
    """Edge orientations of one image.

    Attributes
    ----------
    fields : ndarray of complex64, shape (k, y, x)
        Two per band: the direction of the gradient, and its square, which stays the same when the
        bright side of an edge becomes the dark one.
    usable : ndarray of bool, shape (y, x)
        Every pixel that counts was seen.
    """

    fields: Complex
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Match:
    """Displacement of one window.

    Attributes
    ----------
    dy_px, dx_px : float
        Where the content lies in the moving image, relative to the reference; NaN where there is
        none within the search.
    peak : float
        Height of the peak over the root mean square of the surface elsewhere.
    seen_fraction : float
        Share of the tapered window that both images saw.
    """

    dy_px: float
    dx_px: float
    peak: float
    seen_fraction: float


def edges_of(bands: NDArray[np.floating], seen: NDArray[np.bool_]) -> Edges:
    """Turn bands into edge orientations.

    Parameters
    ----------
    bands : ndarray of float, shape (band, y, x)
        Any unit; gain and offset do not matter.
    seen : ndarray of bool, shape (y, x)
        False where the ground is hidden.

    Notes
    -----
    Fitch et al. (2002), Orientation Correlation, BMVC: correlating gradient directions makes
    illumination matter little; the squared form is theirs too. The gradient is divided by the
    hypotenuse of its length and the median length rather than by its length alone, which would
    lift noise on featureless ground to the weight of an edge.
    """
    usable = np.asarray(ndimage.binary_erosion(seen, np.ones((3, 3), bool), border_value=1))
    fields = np.empty((2 * len(bands), *seen.shape), np.complex64)
    for number, band in enumerate(bands):
        direction = _direction(_filled(band, seen), usable)
        fields[2 * number] = direction
        fields[2 * number + 1] = _doubled(direction)
    return Edges(fields, usable)


def _filled(band: NDArray[np.floating], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    values = np.where(seen, band, 0.0).astype(np.float32)
    if seen.all():
        return values
    weight = ndimage.gaussian_filter(seen.astype(np.float32), FILL_SIGMA_PX)
    mean = ndimage.gaussian_filter(values, FILL_SIGMA_PX) / np.maximum(weight, 1e-3)
    return np.where(seen, values, mean).astype(np.float32)


def _direction(image: NDArray[np.float32], usable: NDArray[np.bool_]) -> Complex:
    slope, smooth = [0.5, 0.0, -0.5], [0.25, 0.5, 0.25]
    down = ndimage.convolve1d(ndimage.convolve1d(image, slope, axis=0), smooth, axis=1)
    right = ndimage.convolve1d(ndimage.convolve1d(image, slope, axis=1), smooth, axis=0)
    length = np.hypot(down, right)
    typical = float(np.median(length[usable])) if usable.any() else 0.0
    scale = np.hypot(length, typical)
    gradient = (right + 1j * down).astype(np.complex64)
    return _divided(gradient, scale)


def _doubled(direction: Complex) -> Complex:
    """Twice the angle at the same length."""
    return _divided(direction * direction, np.abs(direction))


def _divided(fields: Complex, length: NDArray[np.float32]) -> Complex:
    """Quotient, 0 where the length is 0."""
    out = np.zeros_like(fields)
    np.divide(fields, length, out=out, where=length > 0)
    return out


@dataclass(frozen=True, slots=True)
class Matcher:
    """The fixed parts of matching windows of one size.

    Attributes
    ----------
    taper : ndarray of float32, shape (n, n)
        Hann window; without one the borders of the windows lock the result on zero.
    weights : ndarray of float32, shape (n, n)
        Gaussian low-pass over the spectrum: beyond it sampling aliases edges and biases the result.
    frequencies : ndarray of float64, shape (n,)
        Cycles per pixel.
    search_px : int
        Largest displacement looked for, along each axis.
    """

    taper: NDArray[np.float32]
    weights: NDArray[np.float32]
    frequencies: NDArray[np.float64]
    search_px: int

    @property
    def size_px(self) -> int:
        """Edge of a window."""
        return len(self.frequencies)


@lru_cache(maxsize=8)
def matcher(size_px: int, cutoff_cycles_px: float, search_px: int) -> Matcher:
    """Prepare matching of windows of one size."""
    hann = np.hanning(size_px + 2)[1:-1]
    frequencies = np.fft.fftfreq(size_px).astype(np.float64)
    lowpass = np.exp(-0.5 * (frequencies / cutoff_cycles_px) ** 2)
    weights = np.outer(lowpass, lowpass)
    weights[0, 0] = 0.0
    return Matcher(
        np.outer(hann, hann).astype(np.float32), weights.astype(np.float32), frequencies, search_px
    )


def match_window(
    reference: Edges,
    moving: Edges,
    row: int,
    col: int,
    *,
    using: Matcher,
    min_seen_fraction: float,
) -> Match:
    """Find the displacement of one window, centred on it as far as the images reach.

    Parameters
    ----------
    reference, moving : Edges
        Of the same bands and shape.
    row, col : int
        Upper left pixel of the window in the reference.
    using : Matcher
        For windows of the wanted size.
    min_seen_fraction : float
        Windows less seen than this are left out (NaN).
    """
    wanted, done = (0, 0), None
    match = Match(np.nan, np.nan, np.nan, 0.0)
    for _ in range(1 + RECENTRINGS):
        rows = _paired(row, wanted[0], reference.usable.shape[0], using.size_px)
        cols = _paired(col, wanted[1], reference.usable.shape[1], using.size_px)
        offset = rows[1] - rows[0], cols[1] - cols[0]
        if offset == done:
            break
        match = _match_at(reference, moving, rows, cols, using, min_seen_fraction)
        if not np.isfinite(match.dy_px):
            break
        wanted, done = (round(match.dy_px), round(match.dx_px)), offset
    return match


def _paired(start: int, shift: int, extent: int, size: int) -> tuple[int, int]:
    """Starts of the two windows of one axis, as far apart as the shift where there is room."""
    last = extent - size
    moving = min(max(start + shift, 0), last)
    reference = min(max(moving - shift, 0), last)
    return reference, min(max(reference + shift, 0), last)


def _match_at(
    reference: Edges,
    moving: Edges,
    rows: tuple[int, int],
    cols: tuple[int, int],
    using: Matcher,
    min_seen_fraction: float,
) -> Match:
    n = using.size_px
    here = np.s_[..., rows[0] : rows[0] + n, cols[0] : cols[0] + n]
    there = np.s_[..., rows[1] : rows[1] + n, cols[1] : cols[1] + n]
    ours, theirs = reference.usable[here], moving.usable[there]
    seen = float((using.taper * (ours & theirs)).sum() / using.taper.sum())
    if seen < min_seen_fraction:
        return Match(np.nan, np.nan, np.nan, seen)
    # each its own gaps: gaps common to both would lift the peaks of unrelated ground
    spectrum = _white_spectrum(
        _tapered(reference.fields[here], using.taper * ours),
        _tapered(moving.fields[there], using.taper * theirs),
    )
    start = rows[1] - rows[0], cols[1] - cols[0]
    dy, dx, peak = _peak(spectrum * using.weights, using, start)
    return Match(dy, dx, peak, seen)


def _white_spectrum(reference: Complex, moving: Complex) -> Complex:
    """Cross spectrum without its amplitudes, summed over the fields."""
    cross = scipy.fft.fft2(moving) * np.conj(scipy.fft.fft2(reference))
    return np.asarray(_divided(cross, np.abs(cross)).sum(axis=0), dtype=np.complex64)


def _tapered(fields: Complex, weight: NDArray[np.float32]) -> Complex:
    mean = (fields * weight).sum(axis=(-2, -1), keepdims=True) / weight.sum()
    return np.asarray((fields - mean) * weight, dtype=np.complex64)


def _peak(spectrum: Complex, using: Matcher, start: tuple[int, int]) -> tuple[float, float, float]:
    """Displacement of the highest point within the search, and how far it stands out."""
    n, search = using.size_px, using.search_px
    surface = np.real(scipy.fft.ifft2(spectrum)) * np.float32(n * n)
    near = np.roll(surface, (search, search), axis=(0, 1))[: 2 * search + 1, : 2 * search + 1]
    top = np.unravel_index(int(near.argmax()), near.shape)
    whole = int(top[0]) - search, int(top[1]) - search
    noise = _noise(surface, whole)
    dy, dx, height = _refined(spectrum, using.frequencies, whole)
    found = dy + start[0], dx + start[1]
    if noise == 0.0 or max(abs(whole[0]), abs(whole[1])) == search or max(map(abs, found)) > search:
        return np.nan, np.nan, np.nan
    return found[0], found[1], height / noise


def _noise(surface: NDArray[np.floating], peak: tuple[int, int]) -> float:
    lobe = PEAK_LOBE_PX
    centred = np.roll(surface, (lobe - peak[0], lobe - peak[1]), axis=(0, 1)).astype(np.float64)
    centred[: 2 * lobe + 1, : 2 * lobe + 1] = 0.0
    return float(np.sqrt(np.square(centred).sum() / (centred.size - (2 * lobe + 1) ** 2)))


def _refined(
    spectrum: Complex, frequencies: NDArray[np.float64], whole: tuple[int, int]
) -> tuple[float, float, float]:
    """Climb the surface between the pixels: a DFT at a few fine positions.

    Guizar-Sicairos et al. (2008), doi:10.1364/OL.33.000156, as in scikit-image.
    """
    dy, dx, height = float(whole[0]), float(whole[1]), 0.0
    for reach, step in REFINEMENTS_PX:
        offsets = np.linspace(-reach, reach, 2 * round(reach / step) + 1)
        down = np.exp(2j * np.pi * np.outer(dy + offsets, frequencies))
        right = np.exp(2j * np.pi * np.outer(frequencies, dx + offsets))
        # not @: waking the threads of BLAS costs ten times so small a product
        fine = np.real(np.einsum("ij,jk->ik", np.einsum("ij,jk->ik", down, spectrum), right))
        top = np.unravel_index(int(fine.argmax()), fine.shape)
        dy, dx, height = dy + offsets[top[0]], dx + offsets[top[1]], float(fine[top])
    return float(dy), float(dx), height
