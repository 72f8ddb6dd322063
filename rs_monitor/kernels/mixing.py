"""Well mixed 64-bit numbers: what makes a place and a seed a random number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@njit(nogil=True)
def mix64(z: Any) -> Any:
    """Finisher of SplitMix64 (Steele et al. 2014, doi:10.1145/2714064.2660195).

    Parameters
    ----------
    z : uint64, or ndarray of it

    Returns
    -------
    uint64, or ndarray of it
        One to one.
    """
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))
