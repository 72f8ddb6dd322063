"""The synthetic ground as a fine raster of labels whose meaning changes with the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox
from rasterio import features
from shapely.geometry.base import BaseGeometry

from rs_monitor.synthetic.covers import MIX_OF_CODE, MIXES
from rs_monitor.synthetic.layout import Parcel
from rs_monitor.synthetic.phenology import CoverTable
from rs_monitor.synthetic.planting import Step
from rs_monitor.synthetic.spectra import BANDS

Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

CELLS_PER_PIXEL = 4
"""The truth is drawn in cells of 2.5 m."""
PAD_CELLS = 12


@dataclass(frozen=True)
class Repaint:
    """Cells that get new labels from a day on."""

    day: float
    cells: npt.NDArray[np.int64]
    labels: Labels


@dataclass(frozen=True)
class GroundModel:
    """Synthetic truth: labels of 2.5 m cells (padded), their cover, and what changes when."""

    base: Labels
    repaints: tuple[Repaint, ...]
    table: CoverTable

    def labels(self, day: float) -> Labels:
        """Return the label of every cell on a day.

        Parameters
        ----------
        day : float
            Days since 2024-01-01.

        Returns
        -------
        ndarray, shape (rows, columns), int32
            Labels of the padded fine grid.
        """
        labels = self.base.copy()
        flat = labels.reshape(-1)
        for repaint in self.repaints:
            if repaint.day <= day:
                flat[repaint.cells] = repaint.labels
        return labels

    def reflectance(self, day: float, *, wetness: float) -> Floats:
        """Return the reflectance of every cell on a day.

        Parameters
        ----------
        day : float
            Days since 2024-01-01.
        wetness : float
            Wetness of the soil, 0-1.

        Returns
        -------
        ndarray, shape (rows, columns, 6), float32
            Reflectance 0-1 in the order of `spectra.BANDS`.
        """
        table = self.table.reflectance(day, wetness=wetness)
        cells = np.take(table, self.labels(day).reshape(-1), axis=0)
        return cells.reshape((*self.base.shape, len(BANDS)))


def build_ground(
    rng: np.random.Generator,
    geobox: GeoBox,
    parcels: Sequence[Parcel],
    parcel_labels: Sequence[int | None],
    steps: Sequence[Step],
    materials: dict[str, list[int]],
    table: CoverTable,
) -> GroundModel:
    """Draw the synthetic truth on the fine grid.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the blocks of built and worked places.
    geobox : GeoBox
        The 10 m grid.
    parcels : sequence of Parcel
        All parcels.
    parcel_labels : sequence of int or None
        Label of each parcel; None where its class is a mix of materials.
    steps : sequence of Step
        Everything planted.
    materials : dict of str to list of int
        Labels of the individuals of each material.
    table : CoverTable
        Cover of all labels.

    Returns
    -------
    GroundModel
        The truth.
    """
    fine = _fine(geobox)
    mixes = {name: _blocks(rng, fine.shape[0], name, materials) for name in MIXES}
    numbers = _burn(fine, [(p.geometry, i + 1) for i, p in enumerate(parcels)])
    known = np.array([0] + [-1 if v is None else v for v in parcel_labels], dtype=np.int32)
    inner = known[numbers]
    for code, name in MIX_OF_CODE.items():
        members = np.array([False] + [p.code == code for p in parcels])
        here = members[numbers] & (inner < 0)
        inner[here] = mixes[name][here]
    base = np.pad(inner, PAD_CELLS, mode="edge")
    ordered = sorted(enumerate(steps), key=lambda item: (item[1].day, item[0]))
    repaints = tuple(_repaint(fine, step, mixes) for _, step in ordered)
    return GroundModel(base, repaints, table)


def _fine(geobox: GeoBox) -> GeoBox:
    affine = geobox.affine
    shape = (geobox.shape[0] * CELLS_PER_PIXEL, geobox.shape[1] * CELLS_PER_PIXEL)
    return GeoBox(shape, affine @ affine.scale(1 / CELLS_PER_PIXEL), geobox.crs)


def _burn(fine: GeoBox, shapes: list[tuple[BaseGeometry, int]]) -> Labels:
    burnt = features.rasterize(
        shapes,
        out_shape=(fine.shape[0], fine.shape[1]),
        transform=fine.affine,
        dtype=np.int32,
    )
    return np.asarray(burnt, dtype=np.int32)


def _blocks(
    rng: np.random.Generator, cells: int, name: str, materials: dict[str, list[int]]
) -> Labels:
    """A whole raster of one mix: roofs, yards and gardens in blocks of its size."""
    mix = MIXES[name]
    kinds = sorted(mix.weights)
    individuals = [label for kind in kinds for label in materials[kind]]
    share = [mix.weights[kind] / len(materials[kind]) for kind in kinds for _ in materials[kind]]
    count = cells // mix.block_cells + 2
    drawn = rng.choice(individuals, p=np.asarray(share) / np.sum(share), size=(count, count))
    rows = _uneven(rng, cells, mix.block_cells, count)
    columns = _uneven(rng, cells, mix.block_cells, count)
    return np.asarray(drawn[np.ix_(rows, columns)], dtype=np.int32)


def _uneven(rng: np.random.Generator, cells: int, size: int, count: int) -> npt.NDArray[np.int64]:
    """Block number of each row: blocks of uneven width."""
    edges = np.arange(1, count) * size + rng.integers(-(size // 3), size // 3 + 1, size=count - 1)
    return np.searchsorted(edges, np.arange(cells), side="right").clip(0, count - 1)


def _repaint(fine: GeoBox, step: Step, mixes: dict[str, Labels]) -> Repaint:
    inside = _burn(fine, [(step.geometry, 1)])
    rows, columns = np.nonzero(inside)
    wide = fine.shape[1] + 2 * PAD_CELLS
    cells = (rows + PAD_CELLS) * wide + columns + PAD_CELLS
    if isinstance(step.paint, str):
        labels = mixes[step.paint][rows, columns]
    else:
        labels = np.full(rows.size, step.paint, dtype=np.int32)
    return Repaint(step.day, cells.astype(np.int64), labels.astype(np.int32))
