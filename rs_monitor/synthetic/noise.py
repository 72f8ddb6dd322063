"""Random streams and smooth random fields of the synthetic township."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]


def stream(seed: int, *keys: int) -> np.random.Generator:
    """Return the random stream of one purpose, independent of all others.

    Parameters
    ----------
    seed : int
        Seed of the township, >= 0.
    *keys : int
        What the stream is for.

    Returns
    -------
    numpy.random.Generator
        A fresh generator; the same arguments give the same numbers.
    """
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=keys))


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Floats:
    """Return a smooth random field with zero mean and unit variance.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the numbers.
    shape : tuple of int
        Rows and columns.
    scale_px : float
        Correlation length in pixels.

    Returns
    -------
    ndarray, shape `shape`, float32
        The field.
    """
    knots = [int(np.ceil(n / scale_px)) + 5 for n in shape]
    coarse = ndimage.spline_filter(rng.standard_normal(knots), order=3)
    offset = rng.uniform(1.0, 2.0, size=2)
    rows, columns = (
        _spline_rows(n, knot, off, scale_px)
        for n, knot, off in zip(shape, knots, offset, strict=True)
    )
    field = rows @ coarse @ columns.T
    # knots have unit variance; a cubic spline through them keeps about 0.6 of it
    return np.asarray(field / 0.8, dtype=np.float32)


def _spline_rows(n: int, knots: int, offset: float, scale_px: float) -> npt.NDArray[np.float64]:
    """Matrix (n, knots) of cubic B-spline weights at evenly spaced positions."""
    position = offset + np.arange(n) / scale_px
    distance = np.abs(position[:, None] - np.arange(knots)[None, :])
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0
    return np.where(distance < 1.0, near, far)
