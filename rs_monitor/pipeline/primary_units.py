"""Primary units of a two-stage sample on the grid of a map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio.features
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import LayerError, MissingCRS, ReadError
from rs_monitor.estimation.designs import FirstStage, PrimaryUnitRecord, TwoStageRecord
from rs_monitor.estimation.draws import LowestRanked, draw_primary_units, subsample_seed
from rs_monitor.grid import Block

IntArray = NDArray[np.int64]
ValidParts = Iterable[tuple[Block, NDArray[np.bool_]]]
NAME_FIELD = "name"


@dataclass(frozen=True, slots=True)
class DrawnUnits:
    """Primary units that were drawn.

    Attributes
    ----------
    order : ndarray of int64, shape (draws,)
        Position of the unit of each draw, from 0.
    pixels : ndarray of int64, shape (units,)
        Pixels of the population in every unit.
    record : TwoStageRecord
    """

    order: IntArray
    pixels: IntArray
    record: TwoStageRecord


@dataclass(frozen=True, slots=True)
class PrimaryUnits:
    """Polygons on a grid; a pixel belongs to the unit its centre lies in.

    Attributes
    ----------
    polygons : GeoDataFrame
        In the CRS of the grid; ``id`` of a unit is its row, from 1.
    geobox : GeoBox
    """

    polygons: gpd.GeoDataFrame
    geobox: GeoBox

    @classmethod
    def on_grid(cls, polygons: gpd.GeoDataFrame, geobox: GeoBox) -> PrimaryUnits:
        """Bring polygons to the CRS of a grid.

        Raises
        ------
        MissingCRS, LayerError
            Without a CRS; with fewer than two polygons, or a geometry that is none.
        """
        if polygons.crs is None:
            raise MissingCRS("got primary units without CRS; needed the delivered one; assign it")
        kinds = set(polygons.geom_type.dropna()) - {"Polygon", "MultiPolygon"}
        if len(polygons) < 2 or kinds or polygons.geometry.isna().any() or polygons.is_empty.any():
            raise LayerError(
                f"got {len(polygons)} primary units, among them {sorted(kinds) or 'no'} other "
                "geometries or empty ones; needed two polygons or more; repair the layer"
            )
        return cls(polygons.to_crs(str(geobox.crs)).reset_index(drop=True), geobox)

    def on_block(self, block: Block) -> NDArray[np.int32]:
        """Unit of every pixel of a block, 0 outside all of them."""
        shape = (block.y1 - block.y0, block.x1 - block.x0)
        shapes = [(unit, i) for i, unit in enumerate(self.polygons.geometry, start=1)]
        return np.asarray(
            rasterio.features.rasterize(
                shapes,
                out_shape=shape,
                transform=self.geobox.affine @ Affine.translation(block.x0, block.y0),
                dtype="int32",
            )
        )

    def draw(
        self, valid: ValidParts, drawn: int, per_draw: int, seed: int, first_stage: FirstStage
    ) -> DrawnUnits:
        """Draw units by the pixels of the population they hold."""
        pixels = np.zeros(len(self.polygons) + 1, dtype=np.int64)
        for block, inside in valid:
            units = self.on_block(block)[inside]
            pixels += np.bincount(units, minlength=pixels.size)
        pixels = pixels[1:]
        order = draw_primary_units(pixels, drawn, seed, first_stage)
        record = TwoStageRecord(
            first_stage=first_stage,
            units=int((pixels > 0).sum()),
            pixels=int(pixels.sum()),
            drawn=drawn,
            points_per_draw=per_draw,
            primary_units=self._records(order, pixels),
        )
        return DrawnUnits(order, pixels, record)

    def _records(self, order: IntArray, pixels: IntArray) -> tuple[PrimaryUnitRecord, ...]:
        numbers, draws = np.unique(order, return_counts=True)
        names = self.polygons.get(NAME_FIELD, pd.Series(self.polygons.index + 1)).astype(str)
        return tuple(
            PrimaryUnitRecord(id=n + 1, name=str(names.iloc[n]), pixels=int(pixels[n]), draws=d)
            for n, d in zip(numbers.tolist(), draws.tolist(), strict=True)
        )

    def subsample(self, valid: ValidParts, plan: DrawnUnits, seed: int) -> pd.DataFrame:
        """Draw pixels of each draw by itself: a unit drawn twice has two independent samples."""
        turns = pd.Series(plan.order).groupby(plan.order).cumcount().to_numpy()
        wanted = np.minimum(plan.record.points_per_draw, plan.pixels)
        ranked = []
        for turn in range(int(turns.max()) + 1):
            quotas = np.zeros(plan.pixels.size + 1, dtype=np.int64)
            taken = plan.order[turns == turn]
            quotas[taken + 1] = wanted[taken]
            ranked.append(LowestRanked(quotas, self.geobox.shape.x, subsample_seed(seed, turn)))
        for block, inside in valid:
            units = np.where(inside, self.on_block(block), 0)
            for one in ranked:
                one.add(units, block.y0, block.x0)
        parts = []
        order = plan.order.tolist()
        for draw, (drawn_unit, turn) in enumerate(zip(order, turns.tolist(), strict=True)):
            unit = int(drawn_unit)
            rows, cols = ranked[turn].drawn(unit + 1)
            chance = _chance(plan, unit, rows.size)
            parts.append(
                pd.DataFrame(
                    {
                        "row": rows,
                        "col": cols,
                        "primary_unit": unit + 1,
                        "draw": draw + 1,
                        "inclusion_probability": chance,
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)


def _chance(plan: DrawnUnits, unit: int, points: int) -> float:
    """Expected number of times a pixel is drawn; without replacement, its probability."""
    record = plan.record
    if record.first_stage is FirstStage.PPS:
        return record.drawn * points / record.pixels
    return record.drawn / record.units * points / int(plan.pixels[unit])


def read_polygons(path: Path) -> gpd.GeoDataFrame:
    """Read a layer of primary units.

    Raises
    ------
    ReadError
        If it cannot be read.
    """
    try:
        return gpd.read_file(path)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ReadError(
            f"{path}: got {error}; needed a readable layer of polygons; restore the file"
        ) from error
