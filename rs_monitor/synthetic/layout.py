"""Parcels of the synthetic township: one coverage without gaps or overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from rs_monitor.grid import MU_M2
from rs_monitor.synthetic.regions import Regions, hill_cells, polygons_of, split_fields
from rs_monitor.synthetic.shapes import Allowed, Ground, NoRoom, blob, ell, quad, snapped

_SNAP_M = 0.01
_LEAST_M2 = 400.0


@dataclass(frozen=True)
class Parcel:
    """One parcel of the synthetic survey: outline (map metres), survey code, where it lies."""

    geometry: shapely.Polygon
    code: str
    place: str


@dataclass(frozen=True)
class Site:
    """A place set into the fields before they are cut: hamlet, pond, idle land and the like."""

    geometry: shapely.Polygon
    code: str


# code, number per km2, least number, size range in mu, outline, where
_SITES = (
    ("0702", 2.2, 4, (8.0, 45.0), quad, "farm"),
    ("1202", 1.5, 4, (6.0, 30.0), quad, "plain"),
    ("0601", 0.9, 3, (8.0, 35.0), ell, "plain"),
    ("1104", 3.0, 5, (3.0, 18.0), blob, "farm"),
    ("1206", 1.2, 4, (4.0, 20.0), blob, "farm"),
    ("0404", 1.8, 4, (4.0, 22.0), quad, "farm"),
    ("0602", 0.7, 3, (14.0, 60.0), blob, "upper"),
)


def place_sites(
    rng: np.random.Generator, ground: Ground, regions: Regions, areas: dict[str, Allowed]
) -> list[Site]:
    """Set the synthetic hamlets, ponds, greenhouses, mines and waste land.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of sizes and places.
    ground : Ground
        What is taken already; grows.
    regions : Regions
        Large forms of the township.
    areas : dict of str to Allowed
        Free ground by name: 'plain', 'farm' (plain and foot), 'upper'.

    Returns
    -------
    list of Site
        The sites, not touching each other.
    """
    km2 = regions.frame.area / 1e6
    sites = []
    for code, density, least, (low, high), outline, where in _SITES:
        # a small township has smaller settlements, not a solid mass of them
        limit = low + (high - low) * min(1.0, km2 / 8.0)
        for size in rng.uniform(low, limit, size=max(least, round(density * km2))):
            try:
                shape = ground.place(
                    rng,
                    areas[where],
                    outline,
                    float(size) * MU_M2,
                    regions.angle_deg,
                    gap_m=12.0,
                    min_share=0.995,
                )
            except NoRoom:
                continue
            sites.append(Site(shape, code))
    return sites


def build_parcels(
    rng: np.random.Generator, regions: Regions, sites: Sequence[Site]
) -> list[Parcel]:
    """Cut the synthetic township into parcels.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of cuts and classes.
    regions : Regions
        Large forms of the township.
    sites : sequence of Site
        Places set into the fields; their outlines are kept.

    Returns
    -------
    list of Parcel
        Parcels that fill the township exactly, sorted north to south.
    """
    owners = _owners(rng, regions, sites)
    faces = _faces([regions.frame, *(owner.geometry for owner in owners)])
    parcels = _dissolved(faces, owners)
    parcels = _without_slivers(parcels)
    return sorted(parcels, key=lambda p: (-round(p.geometry.centroid.y, 1), p.geometry.centroid.x))


def _owners(rng: np.random.Generator, regions: Regions, sites: Sequence[Site]) -> list[Parcel]:
    """Everything that may own ground, most important first."""
    owners = [Parcel(snapped(road), code, "road") for road, code in regions.roads]
    owners += [Parcel(part, "1101", "river") for part in polygons_of(snapped(regions.river))]
    owners += [Parcel(site.geometry, site.code, "site") for site in sites]
    owners += _town_blocks(rng, regions)
    open_ground = regions.open_ground()
    for place, area, low, high in (
        ("plain", regions.plain, 4.0, 22.0),
        ("foot", regions.foot, 3.0, 11.0),
    ):
        for block in polygons_of(area.intersection(open_ground)):
            owners += _fields(rng, block, place, (low, high), regions.angle_deg)
    hill = regions.upper.intersection(open_ground)
    owners += [
        Parcel(cell, _hill_code(rng), "upper") for cell in hill_cells(rng, hill, 45.0 * MU_M2)
    ]
    return owners


def _town_blocks(rng: np.random.Generator, regions: Regions) -> list[Parcel]:
    works = shapely.union_all([road for road, _ in regions.roads])
    blocks = polygons_of(regions.town.difference(works))
    codes = rng.choice(["0701", "0601"], p=[0.72, 0.28], size=len(blocks))
    return [Parcel(block, str(code), "town") for block, code in zip(blocks, codes, strict=True)]


def _fields(
    rng: np.random.Generator,
    block: shapely.Polygon,
    place: str,
    size_mu: tuple[float, float],
    angle_deg: float,
) -> list[Parcel]:
    low, high = np.log(size_mu[0]), np.log(size_mu[1])
    target = float(np.exp(rng.uniform(low, high))) * MU_M2
    turn = angle_deg + float(rng.normal(0.0, 2.0))
    if rng.random() < 0.4:
        turn += 90.0
    if place == "plain":
        habit = str(rng.choice(["0101", "0102", "0103", "0201"], p=[0.50, 0.24, 0.18, 0.08]))
    else:
        habit = str(rng.choice(["0103", "0201", "0202", "0404"], p=[0.48, 0.32, 0.12, 0.08]))
    pieces = split_fields(rng, block, target, turn)
    return [Parcel(piece, _field_code(rng, place, habit), place) for piece in pieces]


def _field_code(rng: np.random.Generator, place: str, habit: str) -> str:
    """Class of one field: mostly that of its block."""
    if rng.random() < 0.84:
        return habit
    if place == "plain":
        options, weights = ["0101", "0102", "0103", "0201", "0307"], [0.3, 0.25, 0.2, 0.14, 0.11]
    else:
        options, weights = ["0103", "0201", "0301", "0305", "0404"], [0.3, 0.25, 0.2, 0.12, 0.13]
    return str(rng.choice(options, p=weights))


def _hill_code(rng: np.random.Generator) -> str:
    options = ["0301", "0302", "0305", "0404", "0201"]
    return str(rng.choice(options, p=[0.66, 0.09, 0.09, 0.13, 0.03]))


def _faces(outlines: Sequence[BaseGeometry]) -> list[shapely.Polygon]:
    """Smallest faces between all outlines, every crossing a shared vertex."""
    lines = shapely.union_all([outline.boundary for outline in outlines], grid_size=_SNAP_M)
    return polygons_of(shapely.polygonize(list(shapely.get_parts(lines))))


def _dissolved(faces: Sequence[shapely.Polygon], owners: Sequence[Parcel]) -> list[Parcel]:
    """Give each face to its most important owner and merge what one owner holds."""
    tree = shapely.STRtree([owner.geometry for owner in owners])
    inside = shapely.point_on_surface(np.asarray(faces, dtype=object))
    face, owner = tree.query(inside, predicate="intersects")
    first = np.full(len(faces), len(owners), dtype=np.int64)
    np.minimum.at(first, face, owner)
    orphans = np.flatnonzero(first == len(owners))
    if orphans.size:
        # snapping can leave a hair-thin face outside every outline
        first[orphans] = tree.nearest(inside[orphans])
    parcels: list[Parcel] = []
    for index in np.unique(first).tolist():
        held = [faces[i] for i in np.flatnonzero(first == index).tolist()]
        whole = shapely.coverage_union_all(held)
        parcels += [
            Parcel(part, owners[index].code, owners[index].place) for part in polygons_of(whole)
        ]
    return parcels


def _without_slivers(parcels: list[Parcel]) -> list[Parcel]:
    """Join fragments too small or thin for a survey to the neighbour with the longest border."""
    for _ in range(4):
        geometries = np.asarray([p.geometry for p in parcels], dtype=object)
        small = [i for i, p in enumerate(parcels) if _is_sliver(p)]
        if not small:
            break
        tree = shapely.STRtree(geometries)
        merged: dict[int, shapely.Polygon] = {}
        gone: set[int] = set()
        for i in small:
            near = [int(j) for j in tree.query(geometries[i], predicate="intersects")]
            near = [j for j in near if j != i and j not in gone]
            if i in merged or not near:
                continue
            own = [j for j in near if parcels[j].place not in ("site", "road", "river")] or near
            shared = [geometries[i].intersection(geometries[j]).length for j in own]
            host = own[int(np.argmax(shared))]
            union = shapely.coverage_union_all([merged.get(host, geometries[host]), geometries[i]])
            if isinstance(union, shapely.Polygon):
                merged[host] = union
                gone.add(i)
        parcels = [
            Parcel(merged.get(i, p.geometry), p.code, p.place)
            for i, p in enumerate(parcels)
            if i not in gone
        ]
    return parcels


def _is_sliver(parcel: Parcel) -> bool:
    area, around = parcel.geometry.area, parcel.geometry.length
    if parcel.place in ("site", "road", "river"):
        return bool(area < 40.0)
    return bool(area < _LEAST_M2 or area / around < 3.0)
