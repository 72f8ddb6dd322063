"""The synthetic township: layers, truth and scenes from one seed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.synthetic import layers
from rs_monitor.synthetic.acquisitions import Acquisition, clear_scenes, draw_acquisitions
from rs_monitor.synthetic.noise import stream
from rs_monitor.synthetic.permits import permit_layer
from rs_monitor.synthetic.scenes import Renderer, Scene, cover_remnants
from rs_monitor.synthetic.shapes import NoRoom
from rs_monitor.synthetic.terrain import VERTICAL_DATUM
from rs_monitor.synthetic.truth import (
    Truth,
    claims_frame,
    claims_truth_frame,
    events_frame,
    lookalikes_frame,
    plant,
)
from rs_monitor.synthetic.world import World, build_world, ground_of

_LEAST_PX = 160
_ATTEMPTS = 8
_LEFT_M, _TOP_M, _CELL_M = 592_000, 3_492_000, 10


@dataclass(frozen=True)
class Township:
    """A synthetic township with fully known truth.

    Attributes
    ----------
    seed : int
        Seed everything follows from.
    geobox : GeoBox
        10 m grid, EPSG:32650.
    dem_m : ndarray, shape (y, x), float32
        Height in metres above `vertical_datum`.
    vertical_datum : str
        CRS code of the heights.
    layers : mapping of str to GeoDataFrame
        'dltb', 'pbf', 'redline', 'udb', 'zones', 'permits' in EPSG:4548.
    events : GeoDataFrame
        Truth: event_id, kind, size_class, area_m2, date, geometry.
    lookalikes : GeoDataFrame
        Truth: lookalike_id, kind, area_m2, start, end (NaT for what stays), geometry.
    claims : GeoDataFrame
        Claims of new arable land: claim_id, claimed_area_m2, area_source, survey_id,
        change_survey_id, completed_on, geometry.
    claims_truth : DataFrame
        claim_id, case, is_change, changed_area_m2.
    acquisitions : tuple of Acquisition
        Overpasses of 2024 and 2025 in order.
    """

    seed: int
    geobox: GeoBox
    dem_m: npt.NDArray[np.float32]
    vertical_datum: str
    layers: Mapping[str, gpd.GeoDataFrame]
    events: gpd.GeoDataFrame
    lookalikes: gpd.GeoDataFrame
    claims: gpd.GeoDataFrame
    claims_truth: pd.DataFrame
    acquisitions: tuple[Acquisition, ...]
    _renderer: Renderer = field(repr=False, compare=False)

    def scene(self, index: int) -> Scene:
        """Render one synthetic scene.

        Parameters
        ----------
        index : int
            Place in `acquisitions`.

        Returns
        -------
        Scene
            The same for the same seed and index, in whatever order scenes are asked for.

        Raises
        ------
        IndexError
            No such acquisition.
        """
        if not 0 <= index < len(self.acquisitions):
            message = f"got scene {index}; needed 0 to {len(self.acquisitions) - 1}; count from 0"
            raise IndexError(message)
        return self._renderer.render(index, self.acquisitions[index])


def make_township(
    seed: int,
    *,
    size_px: int = 400,
    events_per_kind: int = 8,
    lookalikes_per_kind: int = 6,
) -> Township:
    """Make a synthetic township from a seed.

    Parameters
    ----------
    seed : int
        Any number >= 0; the same seed gives the same township.
    size_px : int
        Side of the township in pixels of 10 m, at least 160.
    events_per_kind : int
        Planted events of each of the ten kinds; also the claims per case, at most four.
    lookalikes_per_kind : int
        Planted look-alikes of each of the six kinds.

    Returns
    -------
    Township
        Layers, truth and scenes; nothing is written.

    Raises
    ------
    ValueError
        The seed or a count is negative, or the township is smaller than 160 pixels.
    NoRoom
        What is to be planted finds no room.

    Notes
    -----
    Everything is synthetic. Reflectances are rounded general knowledge, not measurements.
    """
    _check(seed, size_px, events_per_kind, lookalikes_per_kind)
    geobox = _geobox(seed, size_px)
    acquisitions = draw_acquisitions(stream(seed, 1))
    clear_days = [acquisitions[i].datetime.date() for i in clear_scenes(acquisitions)]
    world, truth = _planted(seed, geobox, events_per_kind, lookalikes_per_kind, clear_days)
    ground = ground_of(seed, world, truth.steps, truth.parcel_labels, truth.materials, truth.table)
    remnants = cover_remnants(
        stream(seed, 11), geobox, acquisitions, [x for x in truth.lookalikes if x.end is not None]
    )
    height = world.height_m.astype(np.float32)
    return Township(
        seed=seed,
        geobox=geobox,
        dem_m=height,
        vertical_datum=VERTICAL_DATUM,
        layers=_authority_layers(seed, world, truth),
        events=events_frame(truth.events),
        lookalikes=lookalikes_frame(truth.lookalikes),
        claims=claims_frame(truth.claims),
        claims_truth=claims_truth_frame(truth.claims),
        acquisitions=acquisitions,
        _renderer=Renderer(seed, geobox, ground, height, remnants),
    )


def _check(seed: int, size_px: int, events: int, lookalikes: int) -> None:
    if seed < 0 or size_px < _LEAST_PX or events < 0 or lookalikes < 0:
        message = (
            f"got seed {seed}, size_px {size_px}, events_per_kind {events}, "
            f"lookalikes_per_kind {lookalikes}; needed seed and counts >= 0 and "
            f"size_px >= {_LEAST_PX}; correct the argument"
        )
        raise ValueError(message)


def _planted(
    seed: int, geobox: GeoBox, events: int, lookalikes: int, clear_days: list[dt.date]
) -> tuple[World, Truth]:
    """A world with everything planted; a crowded one is drawn anew a few times."""
    attempt = 0
    while True:
        try:
            return plant(
                seed,
                build_world(seed, geobox, attempt),
                events_per_kind=events,
                lookalikes_per_kind=lookalikes,
                clear_days=clear_days,
            )
        except NoRoom:
            attempt += 1
            if attempt == _ATTEMPTS:
                raise


def _geobox(seed: int, size_px: int) -> GeoBox:
    east, north = (10 * int(v) for v in stream(seed, 0).integers(0, 400, size=2))
    left, top = _LEFT_M + east, _TOP_M + north
    affine = Affine(_CELL_M, 0.0, left, 0.0, -_CELL_M, top)
    return GeoBox((size_px, size_px), affine, layers.MAP_CRS)


def _authority_layers(seed: int, world: World, truth: Truth) -> Mapping[str, gpd.GeoDataFrame]:
    touched = truth.touched(world.parcels)
    codes = layers.survey_codes(stream(seed, 8), world.parcels, touched)
    survey = layers.land_survey(world.parcels, codes, world.geobox, world.slope_deg)
    town = layers.urban_boundary(world.regions.town)
    _, south, _, north = world.regions.frame.bounds
    untouched = [p for p, hit in zip(world.parcels, touched, strict=True) if not hit]
    return MappingProxyType(
        {
            "dltb": survey,
            "pbf": layers.basic_farmland(survey, stream(seed, 9), town.geometry.iloc[0]),
            "redline": layers.red_line(world.regions.upper, north, north - south),
            "udb": town,
            "zones": layers.zone_layer(world.zones),
            "permits": permit_layer(stream(seed, 10), truth.events, truth.lookalikes, untouched),
        }
    )
