"""Neighbours speak for a pixel: mean-field posterior of a two-class Potts model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

ROUNDS = 3
"""Mean-field updates, each of which looks one pixel further."""

LIMIT = 6.0
"""Log-odds are cut here: no pixel is surer of itself than 400 to 1."""

_NEIGHBOURS = np.ones((3, 3), dtype=np.float32)
_NEIGHBOURS[1, 1] = 0.0


def with_context(log_odds: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Posterior probability of a pixel given its own evidence and its neighbourhood.

    Parameters
    ----------
    log_odds : ndarray of float32, shape (y, x)
        Evidence for the class against the other; NaN = takes no part.
    weight : float
        Log-odds that a neighbour of the class adds, one of the other class takes.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Depends on pixels up to ``ROUNDS`` away; NaN where the evidence is.

    Notes
    -----
    Mean field of a Potts model on eight neighbours (Zhang 1992, doi:10.1109/78.161480).
    ``tests/maps/test_combined.py`` counts a case by hand.
    """
    seen = np.isfinite(log_odds)
    own = np.where(seen, np.clip(log_odds, -LIMIT, LIMIT), 0.0).astype(np.float32)
    votes = np.where(seen, 2.0 * expit(own) - 1.0, 0.0).astype(np.float32)
    total = own
    for _ in range(ROUNDS):
        total = own + np.float32(weight) * ndimage.convolve(votes, _NEIGHBOURS, mode="constant")
        votes = np.where(seen, 2.0 * expit(total) - 1.0, 0.0).astype(np.float32)
    return np.where(seen, (votes + 1.0) / 2.0, np.nan).astype(np.float32)
