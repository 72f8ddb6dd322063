"""Several readers of one sample: settled labels, equally likely ones, and those all agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOT_READ = 0
"""Class of a unit that a reader was not given, or could not read."""

_ROUNDS = 200
_SETTLED = 1e-9
_ALIKE = 1e-6


@dataclass(frozen=True, slots=True)
class ReaderModel:
    """What the readers say together.

    Attributes
    ----------
    classes : tuple of int
    probabilities : ndarray of float, shape (units, classes)
        Chance of each class; NaN where nobody read the unit.
    confusion : ndarray of float, shape (readers, classes, classes)
        Chance that a reader says the column where the row is true.
    """

    classes: tuple[int, ...]
    probabilities: NDArray[np.float64]
    confusion: NDArray[np.float64]

    @property
    def settled(self) -> NDArray[np.int64]:
        """Likeliest class of each unit, `NOT_READ` where nobody read it or two are as likely."""
        chances = np.nan_to_num(self.probabilities)
        best = chances.argmax(axis=1)
        # the order of class codes must not decide between readers
        alike = (chances > chances.max(axis=1, keepdims=True) - _ALIKE).sum(axis=1) > 1
        known = np.isfinite(self.probabilities[:, 0]) & ~alike
        return np.where(known, np.asarray(self.classes)[best], NOT_READ)

    def draw(self, count: int, seed: int) -> NDArray[np.int64]:
        """Labels drawn from the probabilities, shape (count, units).

        Parameters
        ----------
        count, seed : int
        """
        heap = np.nan_to_num(self.probabilities).cumsum(axis=1)
        spots = np.random.default_rng(seed).random((count, heap.shape[0], 1))
        place = np.minimum((spots > heap).sum(axis=2), len(self.classes) - 1)
        known = np.isfinite(self.probabilities[:, 0])
        return np.where(known, np.asarray(self.classes)[place], NOT_READ)


def unanimous(labels: ArrayLike) -> NDArray[np.int64]:
    """Class that every reader of a unit gave, `NOT_READ` where they differ or nobody could read.

    Parameters
    ----------
    labels : array_like of int, shape (units, readers)
        Class codes, `NOT_READ` where a reader gave none.
    """
    given = np.asarray(labels, dtype=np.int64)
    most = given.max(axis=1)
    least = np.where(given == NOT_READ, np.iinfo(np.int64).max, given).min(axis=1)
    return np.where(most == least, most, NOT_READ)


def reader_model(
    labels: ArrayLike,
    stratum: ArrayLike,
    *,
    classes: tuple[int, ...],
    prior_readings: float,
    prior_accuracy: float,
) -> ReaderModel:
    """Chance of each class at each unit, from readers who err.

    Parameters
    ----------
    labels : array_like of int, shape (units, readers)
        Class codes, `NOT_READ` where a reader gave none.
    stratum : array_like of int, shape (units,)
        Classes are as frequent as their stratum lets expect.
    classes : tuple of int
    prior_readings, prior_accuracy : float
        Readings of each class that a reader is taken to have behind him, and the share right.

    Notes
    -----
    Latent classes after Dawid & Skene 1979 (doi:10.2307/2346806), with frequencies by stratum; the
    prior keeps the readers' errors apart from the ground's. Readers are taken to err independently:
    an error they share stays unseen.
    """
    given = np.asarray(labels, dtype=np.int64)
    place = np.unique(np.asarray(stratum), return_inverse=True)[1]
    said = np.stack([given == code for code in classes], axis=2).astype(np.float64)
    read = said.sum(axis=(1, 2)) > 0
    votes = said.sum(axis=1)
    chance = np.divide(votes, votes.sum(axis=1, keepdims=True), where=read[:, None], out=votes * 0)
    prior = prior_readings * _likeness(len(classes), prior_accuracy)
    confusion = np.empty((given.shape[1], len(classes), len(classes)))
    for _ in range(_ROUNDS):
        confusion = np.einsum("uk,url->rkl", chance, said) + prior
        confusion /= confusion.sum(axis=2, keepdims=True)
        fresh = _expected(chance, said, confusion, place, read)
        moved = float(np.abs(fresh - chance).max(initial=0.0))
        chance = fresh
        if moved < _SETTLED:
            break
    return ReaderModel(classes, np.where(read[:, None], chance, np.nan), confusion)


def _expected(
    chance: NDArray[np.float64],
    said: NDArray[np.float64],
    confusion: NDArray[np.float64],
    place: NDArray[np.intp],
    read: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Bayes' rule with the frequencies of each stratum."""
    frequency = np.zeros((place.max(initial=0) + 1, chance.shape[1]))
    np.add.at(frequency, place[read], chance[read])
    # half a unit of each class keeps a class that was not seen possible
    frequency = (frequency + 0.5) / (frequency + 0.5).sum(axis=1, keepdims=True)
    logs = np.log(frequency)[place] + np.einsum("url,rkl->uk", said, np.log(confusion))
    fresh = np.exp(logs - logs.max(axis=1, keepdims=True))
    fresh /= fresh.sum(axis=1, keepdims=True)
    return np.where(read[:, None], fresh, 0.0)


def _likeness(count: int, accuracy: float) -> NDArray[np.float64]:
    """Right with this share, the rest over the other classes alike."""
    others = (1.0 - accuracy) / max(count - 1, 1)
    return np.full((count, count), others) + (accuracy - others) * np.eye(count)
