"""Error matrix of a stratified sample, in counts and in shares of the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rs_monitor.estimation.intervals import Tally


@dataclass(frozen=True, slots=True)
class ErrorMatrix:
    """Sampled units by stratum, class of the map and class of the reference.

    Attributes
    ----------
    classes : tuple of int
        Class codes, in the order of the matrix.
    strata : tuple of str
        Names.
    counts : ndarray of int, shape (strata, classes, classes)
        Rows: map; columns: reference.
    ground_m2 : ndarray of float, shape (strata,)
        Area of each stratum.
    units : ndarray of int, shape (strata,)
        Sampling units each stratum holds.
    filled_by : tuple of int or None, shape (strata,)
        Class that the map shows everywhere in the stratum, None where it shows several.
    unread : ndarray of int, shape (strata, classes)
        Sampled units without a reference class, by class of the map.
    lacking : tuple of frozenset of int, shape (strata,)
        Classes that the map is known to show nowhere in the stratum; empty where nothing is known.
    """

    classes: tuple[int, ...]
    strata: tuple[str, ...]
    counts: NDArray[np.int64]
    ground_m2: NDArray[np.float64]
    units: NDArray[np.int64]
    filled_by: tuple[int | None, ...]
    unread: NDArray[np.int64]
    lacking: tuple[frozenset[int], ...]

    def may_show(self, code: int) -> NDArray[np.bool_]:
        """Strata where the map can show a class, by design.

        Parameters
        ----------
        code : int
        """
        known = zip(self.filled_by, self.lacking, strict=True)
        return np.array(
            [code not in lacks if filled is None else filled == code for filled, lacks in known]
        )

    @property
    def read(self) -> NDArray[np.int64]:
        """Units of each stratum with a reference class."""
        return np.asarray(self.counts.sum(axis=(1, 2)))

    @property
    def total_counts(self) -> NDArray[np.int64]:
        """The matrix in counts, shape (classes, classes)."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def proportions(self) -> NDArray[np.float64]:
        """The matrix in estimated shares of the ground; NaN where a stratum has no sample."""
        read = self.read.astype(np.float64)
        read[read == 0] = np.nan
        weights = self.ground_m2 / self.ground_m2.sum() / read
        return np.asarray(np.einsum("h,hmr->mr", weights, self.counts))

    def tally(self, cells: NDArray[np.bool_]) -> Tally:
        """Units in some cells of the matrix, among those read.

        Parameters
        ----------
        cells : ndarray of bool, shape (classes, classes)
        """
        return Tally(self._hits(cells), self.read, self.ground_m2, self.units)

    def fewest(self, cells: NDArray[np.bool_]) -> Tally:
        """The same among all units sampled; those not read lie elsewhere."""
        sampled = self.read + self.unread.sum(axis=1)
        return Tally(self._hits(cells), sampled, self._ground(cells), self.units)

    def most(self, cells: NDArray[np.bool_]) -> Tally:
        """The same; those not read lie in these cells where the class of the map allows it."""
        sampled = self.read + self.unread.sum(axis=1)
        hits = self._hits(cells) + self.unread[:, cells.any(axis=1)].sum(axis=1)
        return Tally(hits, sampled, self._ground(cells), self.units)

    def _ground(self, cells: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Ground that can lie in these cells: none of a stratum where the map shows no such."""
        rows = [code for code, row in zip(self.classes, cells, strict=True) if row.any()]
        possible = np.zeros(self.ground_m2.size, dtype=bool)
        for code in rows:
            possible |= self.may_show(code)
        return np.where(possible, self.ground_m2, 0.0)

    def _hits(self, cells: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.asarray(self.counts[:, cells].sum(axis=1))


def error_matrix(
    stratum: ArrayLike,
    mapped: ArrayLike,
    reference: ArrayLike,
    *,
    classes: Sequence[int],
    strata: Sequence[str],
    ground_m2: ArrayLike,
    units: ArrayLike,
    filled_by: Sequence[int | None] | None = None,
    lacking: Sequence[frozenset[int]] | None = None,
) -> ErrorMatrix:
    """Count sampled units.

    Parameters
    ----------
    stratum : array_like of int, shape (n,)
        Position of each unit's stratum in ``strata``.
    mapped, reference : array_like of int, shape (n,)
        Class codes; reference 0 = not read.
    classes : sequence of int
        Every code that occurs, in the order wanted.
    strata : sequence of str
        Names.
    ground_m2, units : array_like, shape (strata,)
        Area and number of sampling units of each stratum.
    filled_by : sequence of int or None, optional
        See `ErrorMatrix`; by default every stratum may hold several map classes.
    lacking : sequence of frozenset of int, optional
        See `ErrorMatrix`; by default every stratum that is not filled may show every class.
    """
    order = {int(code): k for k, code in enumerate(classes)}
    shown, found = (np.asarray(values) for values in (mapped, reference))
    foreign = sorted(
        {*np.unique(shown).tolist(), *np.unique(found[found != 0]).tolist()} - {*order}
    )
    if foreign:
        raise ValueError(
            f"class codes {foreign} occur in the sample; classes {sorted(order)} were named; name "
            "every class"
        )
    counts = np.zeros((len(strata), len(order), len(order)), dtype=np.int64)
    unread = np.zeros(counts.shape[:2], dtype=np.int64)
    place = np.asarray(stratum, dtype=np.intp)
    rows = np.array([order[int(c)] for c in shown], dtype=np.intp)
    read = found != 0
    columns = np.array([order[int(c)] for c in found[read]], dtype=np.intp)
    np.add.at(counts, (place[read], rows[read], columns), 1)
    np.add.at(unread, (place[~read], rows[~read]), 1)
    return ErrorMatrix(
        tuple(order),
        tuple(strata),
        counts,
        np.asarray(ground_m2, dtype=np.float64),
        np.asarray(units, dtype=np.int64),
        tuple(filled_by) if filled_by is not None else (None,) * len(strata),
        unread,
        tuple(lacking) if lacking is not None else (frozenset(),) * len(strata),
    )


def map_class_matrix(
    counts: ArrayLike, *, classes: Sequence[int], ground_m2: ArrayLike, units: ArrayLike
) -> ErrorMatrix:
    """Error matrix of a design whose strata are the map's classes (Olofsson et al. 2014).

    Parameters
    ----------
    counts : array_like of int, shape (classes, classes)
        Rows: map; columns: reference.
    classes : sequence of int
    ground_m2, units : array_like, shape (classes,)
        Mapped area and pixels of each class.
    """
    table = np.asarray(counts, dtype=np.int64)
    cube = np.zeros((*table.shape, table.shape[1]), dtype=np.int64)
    diagonal = np.arange(table.shape[0])
    cube[diagonal, diagonal] = table
    return ErrorMatrix(
        tuple(classes),
        tuple(str(code) for code in classes),
        cube,
        np.asarray(ground_m2, dtype=np.float64),
        np.asarray(units, dtype=np.int64),
        tuple(classes),
        np.zeros_like(table),
        (frozenset(),) * len(classes),
    )
