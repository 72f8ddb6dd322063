"""Error matrices and the figures drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class BinaryScore:
    """Agreement of a change mask with labelled pixels.

    Attributes
    ----------
    true_positive, false_positive, false_negative, true_negative : int
        Labelled pixels.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def total(self) -> int:
        """Labelled pixels."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def precision(self) -> float:
        """User's accuracy of change."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Producer's accuracy of change."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        hits = 2 * self.true_positive
        return _ratio(hits, hits + self.false_positive + self.false_negative)

    @property
    def kappa(self) -> float:
        """Agreement beyond chance (Cohen 1960, doi:10.1177/001316446002000104)."""
        n = self.total
        observed = _ratio(self.true_positive + self.true_negative, n)
        mapped = self.true_positive + self.false_positive
        real = self.true_positive + self.false_negative
        expected = _ratio(mapped * real + (n - mapped) * (n - real), n * n)
        return _ratio(observed - expected, 1.0 - expected)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def score_change(changed: NDArray[np.bool_], reference: NDArray[np.bool_]) -> BinaryScore:
    """Compare a change mask with labels on the labelled pixels.

    Parameters
    ----------
    changed, reference : ndarray of bool, shape (n,)
        Labelled pixels only.
    """
    return BinaryScore(
        int(np.sum(changed & reference)),
        int(np.sum(changed & ~reference)),
        int(np.sum(~changed & reference)),
        int(np.sum(~changed & ~reference)),
    )
