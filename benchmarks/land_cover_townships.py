"""The synthetic township as labelled data of the land-cover study."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from benchmarks.land_cover_data import (
    NO_CLASS,
    Array,
    Season,
    Site,
    cube,
    every,
    inner,
    labelled_pixels,
    layer,
)
from rs_monitor.codes import LAND_COVER_STYLE, NOT_SEPARABLE, CodeSystem, LandCover, land_cover_of
from rs_monitor.synthetic.acquisitions import clear_scenes
from rs_monitor.synthetic.shapes import NoRoom
from rs_monitor.synthetic.township import Township, make_township
from rs_monitor.synthetic.truth import plant
from rs_monitor.synthetic.world import build_world

START, END = dt.date(2024, 1, 1), dt.date(2024, 10, 31)
"""The season before the first planted event."""

BLOCK_M = 500.0
UNCLEAR_SCL = (0, 1, 3, 8, 9, 10, 11)
MARGIN_M = 20.0
ATTEMPTS = 8


def townships(seeds: Sequence[int], *, size_px: int, planted: int = 6) -> tuple[Site, Site]:
    """One township in spatial blocks, and townships that are tested by each other's survey."""
    counts = {"events_per_kind": planted, "lookalikes_per_kind": planted}
    towns = [make_township(seed, size_px=size_px, **counts) for seed in seeds]
    truths = [_covers(true_codes(town, counts)) for town in towns]
    known = sorted({cover for covers in truths for cover in covers if cover is not None})
    frames = [
        _pixels(town, covers, known, season)
        for season, (town, covers) in enumerate(zip(towns, truths, strict=True))
    ]
    seasons = tuple(_season(town) for town in towns)
    names = tuple(LAND_COVER_STYLE[cover].name for cover in known)
    within = _site("within a township", seeds[:1], names, seasons[:1], frames[0], by_season=False)
    across = _site(
        "another township", seeds, names, seasons, _one_after_another(frames), by_season=True
    )
    return within, across


def _site(
    where: str,
    seeds: Sequence[int],
    names: tuple[str, ...],
    seasons: tuple[Season, ...],
    pixels: pd.DataFrame,
    *,
    by_season: bool,
) -> Site:
    pairs = [tuple(LAND_COVER_STYLE[c].name for c in sorted(pair)) for pair in NOT_SEPARABLE]
    return Site(
        f"synthetic, {where}",
        "accuracy",
        "full truth of the synthetic township, seed " + " and ".join(map(str, seeds)),
        names,
        seasons,
        pixels,
        {" or ".join(pair): pair for pair in pairs if set(pair) <= set(names)},
        by_season=by_season,
        notes=(
            "trained on the survey layer (about 2 % of its codes are wrong), scored on the truth, "
            f"every second pixel each way; {MARGIN_M:.0f} m round planted events and claims are "
            "not scored",
        ),
    )


def true_codes(town: Township, counts: Mapping[str, int]) -> list[str]:
    """Codes of the parcels before the survey made its mistakes."""
    days = [town.acquisitions[i].datetime.date() for i in clear_scenes(town.acquisitions)]
    for attempt in range(ATTEMPTS):
        try:
            world, _ = plant(
                town.seed,
                build_world(town.seed, town.geobox, attempt),
                clear_days=days,
                **counts,
            )
        except NoRoom:
            continue
        return [parcel.code for parcel in world.parcels]
    raise NoRoom(f"got no room for what is planted with seed {town.seed}; take another seed")


def _covers(codes: Sequence[str]) -> list[LandCover | None]:
    return [land_cover_of(code, CodeSystem.SURVEY3) for code in codes]


def _pixels(
    town: Township, truth: Sequence[LandCover | None], known: Sequence[LandCover], season: int
) -> pd.DataFrame:
    survey = town.layers["dltb"].to_crs(town.geobox.crs)
    owner = _burnt(survey, range(1, len(survey) + 1), town.geobox)
    index: Mapping[Any, int] = {cover: k for k, cover in enumerate(known)}
    said, true = (
        np.array([NO_CLASS, *(index.get(cover, NO_CLASS) for cover in covers)])[owner]
        for covers in (_covers(survey["DLBM"]), truth)
    )
    planted = pd.concat([town.events[["geometry"]], town.claims[["geometry"]]])
    planted = planted.to_crs(town.geobox.crs).buffer(MARGIN_M).to_frame("geometry")
    untouched = _burnt(planted, [1] * len(planted), town.geobox) == 0
    scored = untouched & every(owner.shape, 2)
    return labelled_pixels(
        said, true, owner, inner(owner), scored, town.geobox, block_m=BLOCK_M, season=season
    )


def _burnt(layer: gpd.GeoDataFrame, values: Sequence[int], geobox: GeoBox) -> Array:
    return rasterize(
        zip(layer.geometry, values, strict=True),
        out_shape=geobox.shape,
        transform=geobox.affine,
        dtype="int32",
    )


def _one_after_another(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all seasons; parcels and blocks of one are not those of another."""
    moved = []
    for frame in frames:
        first = max((int(m["parcel"].max()) + 1 for m in moved), default=0)
        owned = max((int(m["owner"].max()) + 1 for m in moved), default=0)
        moved.append(
            frame.assign(
                parcel=frame["parcel"] + first,
                owner=frame["owner"] + owned,
                block=frame["block"] + len(moved) * 10**12,
            )
        )
    return pd.concat(moved, ignore_index=True)


def _season(town: Township) -> Season:
    looks = [k for k, a in enumerate(town.acquisitions) if START <= a.datetime.date() <= END]
    scenes = [town.scene(k) for k in looks]
    bands = {
        name: np.stack(
            [
                np.where(scene.bands[name] == 0, np.nan, scene.bands[name] * 1e-4 - 0.1)
                for scene in scenes
            ]
        )
        for name in scenes[0].bands
    }
    days = [scene.acquisition.datetime.date() for scene in scenes]
    reflectance = cube(bands, days, town.geobox)
    unclear = np.isin(np.stack([scene.scl for scene in scenes]), UNCLEAR_SCL)
    clear = reflectance["nir"].notnull() & ~unclear
    return Season(reflectance, clear, START, END, layer(town.dem_m, "height", town.geobox))
