"""The synthetic township before anything happens: relief, parcels, zones, room for claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from rs_monitor.synthetic.ground import GroundModel, build_ground
from rs_monitor.synthetic.layout import Parcel, Site, build_parcels, place_sites
from rs_monitor.synthetic.noise import stream
from rs_monitor.synthetic.phenology import CoverTable
from rs_monitor.synthetic.planting import Step
from rs_monitor.synthetic.regions import Regions, draw_regions
from rs_monitor.synthetic.shapes import Allowed, Ground
from rs_monitor.synthetic.terrain import bare_relief, cut_terraces, draw_hill_line, slope_deg
from rs_monitor.synthetic.zones import draw_zones, inner_zones

_PLACEMENT_CELL_M = 5.0
_CELL_M = 10.0
_TERRACED = ("0103", "0202", "0201")
_GENTLE_DEG = 11.0


@dataclass(frozen=True)
class World:
    """Synthetic ground before any event; parcels are empty until the sites are known."""

    geobox: GeoBox
    regions: Regions
    zones: tuple[shapely.Polygon, shapely.Polygon]
    height_m: npt.NDArray[np.float64]
    slope_deg: npt.NDArray[np.float32]
    placement: GeoBox
    attempt: int = 0
    parcels: tuple[Parcel, ...] = ()

    def room(self, area: BaseGeometry, *, gentle: bool = False) -> Allowed:
        """Cells of an area that lie in open ground, on request only gentle slopes."""
        cells = Ground(self.placement).burn(_parts(area.intersection(self.regions.open_ground())))
        if gentle:
            cells &= np.kron(self.slope_deg < _GENTLE_DEG, np.ones((2, 2), dtype=bool))
        return Allowed.of(cells, _PLACEMENT_CELL_M)

    def room_of_codes(self, codes: Sequence[str], *, places: Sequence[str] = ()) -> Allowed:
        """Cells of the zones that hold parcels of the given classes."""
        held = [
            p.geometry
            for p in self.parcels
            if p.code in codes and (not places or p.place in places)
        ]
        ground = Ground(self.placement)
        inside = ground.burn(_parts(inner_zones(self.zones)))
        return Allowed.of(ground.burn(held) & inside, _PLACEMENT_CELL_M)


def build_world(seed: int, geobox: GeoBox, attempt: int = 0) -> World:
    """Build relief, large forms and zones of the synthetic township.

    Parameters
    ----------
    seed : int
        Seed of the township.
    geobox : GeoBox
        10 m grid.
    attempt : int
        Number of the try; each try is another world.

    Returns
    -------
    World
        A world without parcels.
    """
    box = geobox.boundingbox
    size = box.right - box.left
    hills = draw_hill_line(stream(seed, 2, attempt, 0), box.left, box.top, size)
    regions = draw_regions(stream(seed, 2, attempt, 1), box.left, box.top, size, hills)
    relief = bare_relief(stream(seed, 2, attempt, 2), geobox, hills)
    per_pixel = round(_CELL_M / _PLACEMENT_CELL_M)
    placement = GeoBox(
        (geobox.shape[0] * per_pixel, geobox.shape[1] * per_pixel),
        geobox.affine @ Affine.scale(1 / per_pixel),
        geobox.crs,
    )
    return World(
        geobox=geobox,
        regions=regions,
        zones=draw_zones(stream(seed, 2, attempt, 3), regions.frame),
        height_m=relief,
        slope_deg=slope_deg(relief, _CELL_M),
        placement=placement,
        attempt=attempt,
    )


def with_parcels(seed: int, world: World, hosts: Sequence[Site], ground: Ground) -> World:
    """Return the world cut into parcels, its farmed slopes terraced.

    Parameters
    ----------
    seed : int
        Seed of the township.
    world : World
        The world before.
    hosts : sequence of Site
        Idle land that claims and new fields lie on.
    ground : Ground
        What is taken already; grows.

    Returns
    -------
    World
        With parcels and the final relief.
    """
    regions = world.regions
    farm = shapely.union_all([regions.plain, regions.foot])
    areas = {
        "plain": world.room(regions.plain),
        "farm": world.room(farm),
        "upper": world.room(regions.upper),
    }
    sites = place_sites(stream(seed, 4, world.attempt, 0), ground, regions, areas)
    parcels = build_parcels(stream(seed, 4, world.attempt, 1), regions, [*hosts, *sites])
    terraced = Ground(world.geobox).burn(
        [p.geometry for p in parcels if p.place == "foot" and p.code in _TERRACED]
    )
    height = cut_terraces(world.height_m, terraced)
    slope = slope_deg(height.astype(np.float32), _CELL_M)
    return replace(world, parcels=tuple(parcels), height_m=height, slope_deg=slope)


def ground_of(
    seed: int,
    world: World,
    steps: Sequence[Step],
    parcel_labels: Sequence[int | None],
    materials: dict[str, list[int]],
    table: CoverTable,
) -> GroundModel:
    """Draw the truth of the finished world on the fine grid."""
    return build_ground(
        stream(seed, 6), world.geobox, world.parcels, parcel_labels, steps, materials, table
    )


def _parts(geometry: BaseGeometry) -> list[BaseGeometry]:
    return [part for part in shapely.get_parts(geometry) if part.area > 0.0]
