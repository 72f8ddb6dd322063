"""Small regions of a class raster merged into their neighbours; narrow strips split evenly."""

from __future__ import annotations

import heapq
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rs_monitor.codes import NODATA
from rs_monitor.kernels.labels import label_groups, renumber_groups

Codes = NDArray[np.uint8]
Merge = Literal["towards_lower", "largest_neighbour", "none"]

_STRIP_CELLS = 3
"""A region of fewer cells has no length to be split along."""

_STRIP_ENDS = 2
"""Cell edges of a strip that may lie open: one at each end."""


class Regions(NamedTuple):
    """Cells of one code connected by their edges.

    Attributes
    ----------
    labels : ndarray of int32, shape (y, x)
        1..n in the order of the first cell by rows; 0 = no code.
    codes : ndarray of uint8, shape (n,)
    """

    labels: NDArray[np.int32]
    codes: Codes


def part_regions(codes: Codes) -> Regions:
    """Part a class raster into its regions.

    Parameters
    ----------
    codes : ndarray of uint8, shape (y, x)
        0 = no region.
    """
    labels = np.zeros(codes.shape, dtype=np.int32)
    count = 0
    for code in np.unique(codes[codes != NODATA]):
        found, n = label_groups(codes == code, diagonal=False)
        labels += np.where(found > 0, found + np.int32(count), np.int32(0))
        count += n
    labels, count = renumber_groups(labels, np.ones(count + 1, dtype=bool))
    of = np.zeros(count + 1, dtype=np.uint8)
    of[labels] = codes
    return Regions(labels, of[1:])


class _Map:
    """Regions, their areas and common borders while they are merged; numbered from 0."""

    def __init__(self, regions: Regions, areas_m2: NDArray[np.float64]) -> None:
        self.grade = regions.codes.astype(int).tolist()
        self.area_m2 = areas_m2.tolist()
        self.first = list(range(len(self.grade)))
        self.owner = list(range(len(self.grade)))
        self.borders = _borders(regions.labels, len(self.grade))

    def target(self, one: int, merge: Merge) -> int | None:
        """Neighbour a region goes into; None without any."""
        around = self.borders[one]
        if merge == "largest_neighbour":
            return min(
                around, key=lambda n: (-self.area_m2[n], -around[n], self.first[n]), default=None
            )
        own = self.grade[one]
        allowed = [n for n in around if self.grade[n] < own] or list(around)
        # neighbours of one grade are all joined, whichever of them is named
        return min(allowed, key=lambda n: abs(self.grade[n] - own), default=None)

    def absorb(self, one: int, target: int) -> int:
        """Give a region the grade of its neighbour and join all of that grade it touches."""
        grade = self.grade[target]
        for other in [n for n in self.borders[one] if self.grade[n] == grade]:
            one = self._join(one, other)
        self.grade[one] = grade
        return one

    def _join(self, one: int, other: int) -> int:
        borders = self.borders
        kept, gone = (one, other) if len(borders[one]) >= len(borders[other]) else (other, one)
        for n, length in borders[gone].items():
            del borders[n][gone]
            if n != kept:
                borders[kept][n] = borders[n][kept] = borders[kept].get(n, 0) + length
        borders[gone] = {}
        self.owner[gone] = kept
        self.area_m2[kept] += self.area_m2[gone]
        self.first[kept] = min(self.first[kept], self.first[gone])
        return kept

    def grades(self) -> Codes:
        """Grade every first region ended up with; entry 0 for cells without region."""
        for k, owner in enumerate(self.owner):
            while self.owner[owner] != owner:
                owner = self.owner[owner]
            self.owner[k] = owner
        return np.array([NODATA, *(self.grade[owner] for owner in self.owner)], dtype=np.uint8)


def _borders(labels: NDArray[np.int32], count: int) -> list[dict[int, int]]:
    """Cell edges each region shares with each neighbour."""
    pairs = []
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        meet = (one != other) & (one > 0) & (other > 0)
        low, high = np.minimum(one[meet], other[meet]), np.maximum(one[meet], other[meet])
        pairs.append(low.astype(np.int64) * (count + 1) + high)
    keys, edges = np.unique(np.concatenate(pairs), return_counts=True)
    borders: list[dict[int, int]] = [{} for _ in range(count)]
    for key, length in zip(keys.tolist(), edges.tolist(), strict=True):
        one, other = key // (count + 1) - 1, key % (count + 1) - 1
        borders[one][other] = borders[other][one] = length
    return borders


def merge_fragments(
    regions: Regions, areas_m2: NDArray[np.float64], min_area_m2: float, merge: Merge
) -> Codes:
    """Merge regions under an area into their neighbours, the smallest first.

    Parameters
    ----------
    regions : Regions
        Codes in a rising order of grades.
    areas_m2 : ndarray of float64, shape (n,)
        Area of each region.
    min_area_m2 : float
        Regions strictly smaller are merged.
    merge : {"towards_lower", "largest_neighbour", "none"}
        See :func:`rs_monitor.maps.slope_grades.grade_polygons`.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        The class raster after merging. A region without neighbour stays whatever its size.
    """
    graph = _Map(regions, areas_m2)
    small = np.flatnonzero(areas_m2 < min_area_m2).tolist() if merge != "none" else []
    waiting = [(graph.area_m2[k], k, k) for k in small]
    heapq.heapify(waiting)
    while waiting:
        area_m2, _, one = heapq.heappop(waiting)
        target = graph.target(one, merge)
        if target is None or graph.owner[one] != one or graph.area_m2[one] != area_m2:
            continue
        one = graph.absorb(one, target)
        if graph.area_m2[one] < min_area_m2:
            heapq.heappush(waiting, (graph.area_m2[one], graph.first[one], one))
    return graph.grades()[regions.labels]


def split_strips(codes: Codes) -> tuple[Codes, bool]:
    """Split regions no wider than one cell evenly between the ground on their sides.

    Parameters
    ----------
    codes : ndarray of uint8, shape (y, x)

    Returns
    -------
    codes : ndarray of uint8
        On half cells, shape (2y, 2x), each half cell of a strip with the code of the nearest
        ground beside it; the raster as it came when it holds no strip.
    split : bool
        Whether there was any strip.

    Notes
    -----
    A strip is a region of at least three cells in which no two by two of them meet, with known
    ground all along both sides: only its two ends may lie at unknown cells or the rim. Strips
    are taken one after the other, the shortest first, so that strips side by side each see ground.
    """
    labels, of = part_regions(codes)
    same = (labels[:-1, :-1] == labels[1:, :-1]) & (labels[:-1, 1:] == labels[1:, 1:])
    wide = np.unique(labels[:-1, :-1][same & (labels[:-1, :-1] == labels[:-1, 1:])])
    cells = np.bincount(labels.ravel(), minlength=of.size + 1)
    long = (cells >= _STRIP_CELLS) & (_open_edges(labels, of.size) <= _STRIP_ENDS)
    strips = np.setdiff1d(np.flatnonzero(long), np.append(wide, NODATA))
    if not strips.size:
        return codes, False
    halves, owner = (np.repeat(np.repeat(a, 2, axis=0), 2, axis=1) for a in (codes, labels))
    boxes = ndimage.find_objects(owner)
    for strip in strips[np.argsort(cells[strips], kind="stable")]:
        window = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in boxes[strip - 1])
        _give_away(halves[window], owner[window] == strip)
    return halves, True


def _open_edges(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Cell edges of each region at unknown cells or the rim of the raster."""
    around = np.pad(labels, 1)
    sides = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    unknown = sum((side == NODATA).astype(np.int64) for side in sides)
    return np.bincount(labels.ravel(), weights=np.ravel(unknown), minlength=count + 1).astype(int)


def _give_away(codes: Codes, strip: NDArray[np.bool_]) -> None:
    """Overwrite the cells of a strip with the nearest code beside it, if there is any."""
    ground = (codes != NODATA) & ~strip
    if ground.any():
        rows, cols = ndimage.distance_transform_edt(
            ~ground, return_distances=False, return_indices=True
        )
        codes[strip] = codes[rows[strip], cols[strip]]
