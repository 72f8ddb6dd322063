"""Drawing units: repeatable from a seed, and the same under any cutting of the raster."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.designs import FirstStage
from rs_monitor.kernels.pixel_ranks import keep_lowest, pixel_numbers

IntArray = NDArray[np.int64]

_SHUFFLE, _START, _PRIMARY, _SUBSAMPLE = range(4)


class LowestRanked:
    """A simple random sample without replacement of each stratum, taken up part by part.

    Parameters
    ----------
    quotas : ndarray of int64, shape (k,)
        Units wanted of each stratum; the code of a stratum is its position.
    grid_width : int
        Columns of the whole grid.
    seed : int
        0 to 2**64 - 1.

    Notes
    -----
    Every pixel has a permanent random number that depends on the seed and its place only; the
    ``n`` lowest of a stratum are drawn, and a larger sample keeps them (Ohlsson 1995). Memory is
    that of the sample.
    """

    def __init__(self, quotas: IntArray, grid_width: int, seed: int) -> None:
        self._starts = np.concatenate([[0], np.cumsum(quotas)]).astype(np.int64)
        self._sizes = np.zeros(quotas.size, dtype=np.int64)
        self._numbers = np.zeros(int(self._starts[-1]), dtype=np.uint64)
        self._places = np.zeros(int(self._starts[-1]), dtype=np.int64)
        self._width = grid_width
        self._seed = np.uint64(require_seed(seed))

    def add(self, strata: NDArray[Any], row: int, col: int) -> None:
        """Take up a part of the strata raster.

        Parameters
        ----------
        strata : ndarray of integers, shape (rows, columns)
            Codes; those without a quota, and negative ones, are passed over.
        row, col : int
            Place of the part's first pixel in the whole grid.
        """
        keep_lowest(
            strata,
            self._seed,
            (row, col),
            self._width,
            self._starts,
            self._sizes,
            self._numbers,
            self._places,
        )

    def drawn(self, stratum: int) -> tuple[IntArray, IntArray]:
        """Rows and columns drawn of a stratum, lowest number first."""
        start = int(self._starts[stratum])
        part = slice(start, start + int(self._sizes[stratum]))
        order = np.lexsort((self._places[part], self._numbers[part]))
        rows, cols = np.divmod(self._places[part][order], self._width)
        return rows, cols


def require_seed(seed: int) -> int:
    """Return a seed that fits 64 bits, or refuse."""
    if not 0 <= seed < 2**64:
        raise QuantityError(f"got seed {seed}; needed 0 to 2**64 - 1; choose another")
    return seed


def subsample_seed(seed: int, turn: int) -> int:
    """Seed of the subsample of a primary unit that is drawn for the ``turn``-th time, from 0."""
    return int(_numbers(seed, _SUBSAMPLE, turn + 1)[turn])


def shuffled(rows: IntArray, cols: IntArray, seed: int) -> IntArray:
    """Order that tells nothing of stratum or place: positions, first shown first."""
    own = np.uint64(_numbers(seed, _SHUFFLE, 1)[0])
    return np.argsort(pixel_numbers(rows, cols, own), kind="stable")


def systematic_steps(pixels: int, points: int) -> tuple[int, int]:
    """Rows and columns from point to point that give about so many points.

    Parameters
    ----------
    pixels : int
        Units of the population.
    points : int
        Points wanted; what is drawn depends on the random start and the shape of the population.
    """
    if not 1 <= points <= pixels:
        raise QuantityError(
            f"got {points} points for {pixels} pixels; needed 1 to {pixels}; ask for fewer"
        )
    every = pixels / points
    down = max(1, math.isqrt(int(every)))
    return down, max(1, round(every / down))


def systematic_start(steps_px: tuple[int, int], seed: int) -> tuple[int, int]:
    """Random first row and column of an aligned systematic sample."""
    down, right = _numbers(seed, _START, 2).tolist()
    return down % steps_px[0], right % steps_px[1]


def systematic_in(
    valid: NDArray[np.bool_],
    row: int,
    col: int,
    steps_px: tuple[int, int],
    start: tuple[int, int],
) -> tuple[IntArray, IntArray]:
    """Rows and columns of the points of a systematic sample that lie in a part of the grid.

    Parameters
    ----------
    valid : ndarray of bool, shape (rows, columns)
        Pixels of the population in the part.
    row, col : int
        Place of the part's first pixel in the whole grid.
    steps_px, start : tuple of int
        See :func:`systematic_steps`, :func:`systematic_start`.
    """
    first_row = (start[0] - row) % steps_px[0]
    first_col = (start[1] - col) % steps_px[1]
    down, right = np.nonzero(valid[first_row :: steps_px[0], first_col :: steps_px[1]])
    return down * steps_px[0] + first_row + row, right * steps_px[1] + first_col + col


def draw_primary_units(
    pixels: IntArray, drawn: int, seed: int, first_stage: FirstStage
) -> IntArray:
    """Draw primary units.

    Parameters
    ----------
    pixels : ndarray of int64, shape (k,)
        Units of each primary unit; those without any are never drawn.
    drawn : int
        Draws.
    seed : int
    first_stage : FirstStage
        With replacement in proportion to pixels, or without replacement and equally.

    Returns
    -------
    ndarray of int64, shape (drawn,)
        Positions, in order of drawing.

    Raises
    ------
    QuantityError
        With fewer than two draws, which show no spread, or more than there are units.
    """
    holding = np.flatnonzero(pixels > 0)
    limit = holding.size if first_stage is FirstStage.SRS else math.inf
    if not 2 <= drawn <= limit or not holding.size:
        raise QuantityError(
            f"got {drawn} draws among {holding.size} primary units; needed at least 2, and no more "
            "than units when each is drawn once; ask for another number or smaller units"
        )
    if first_stage is FirstStage.SRS:
        numbers = _numbers(seed, _PRIMARY, pixels.size)[holding]
        return holding[np.argsort(numbers, kind="stable")[:drawn]]
    total = int(pixels.sum())
    ordinals = [int(number) * total >> 64 for number in _numbers(seed, _PRIMARY, drawn)]
    return np.searchsorted(np.cumsum(pixels), np.array(ordinals), side="right").astype(np.int64)


def _numbers(seed: int, stream: int, count: int) -> NDArray[np.uint64]:
    """Random 64-bit numbers apart from those of the pixels."""
    rows = np.full(count, -1 - stream, dtype=np.int64)
    return pixel_numbers(rows, np.arange(count, dtype=np.int64), np.uint64(require_seed(seed)))
