"""Of one acquisition delivered several times, keep the newest processing."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from shapely import make_valid
from shapely.geometry import shape

from rs_monitor.imagery.catalog import Refusal, SceneItem, parse_utc
from rs_monitor.imagery.levels import Level, level_of

SAME_MOMENT = dt.timedelta(seconds=60)
"""Catalogues time one acquisition by its datatake or by its tile, some 30 s apart at most; the same
satellite returns after an orbit of more than 90 minutes at the earliest."""
SAME_GROUND_FRACTION = 0.9
"""Share of a scene another must cover to replace it. Two halves of a tile, cut where a ground
station took over, share a seam only; two processings differ by the rim of their footprints."""

_BASELINE = re.compile(r"_N(\d{2})(\d{2})_")
_MGRS = re.compile(r"(?:^|_|\.)T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?=_|\.|$)")
_LANDSAT = re.compile(r"^L[A-Z]\d\d_L\w{3}_(\d{6})_\d{8}_(\d{8})_(\d\d)_")
_MODIS = re.compile(r"^M[OY]D\w+\.(A\d{7}\.h\d\dv\d\d)\.")
_STAMP = re.compile(r"\d{8}T\d{6}")
_NO_MOMENT = frozenset({"day", "unknown"})
_LEVELS = {Level.UNKNOWN: 0, Level.TOA: 1, Level.SURFACE: 2}

Rank = tuple[int, float, dt.datetime, str, str]


def choose_versions(
    items: Iterable[SceneItem],
) -> tuple[tuple[SceneItem, ...], tuple[Refusal, ...]]:
    """Keep one version of each acquisition.

    Parameters
    ----------
    items : iterable of SceneItem

    Returns
    -------
    kept : tuple of SceneItem
        Sorted by datetime, id and collection.
    superseded : tuple of Refusal
        Each names the version that replaces it; sorted by id.

    Notes
    -----
    One acquisition: same platform, same MGRS tile or WRS scene (without either: the same pixel
    grid), at the same moment, and the kept version covers the other. Preferred are surface
    products over top of atmosphere, then the higher processing baseline (Landsat: collection
    number), the later generation time, the later id. One acquisition in two tiles or two UTM
    zones is no duplicate. A scene of which only the day is known shows no moment: two flights of
    a day are kept both, unless their names are those of a product that is made once a day.
    """
    kept: list[SceneItem] = []
    superseded: list[Refusal] = []
    groups: dict[tuple[str, str], list[SceneItem]] = defaultdict(list)
    for item in items:
        groups[item.platform, _acquired(item)].append(item)
    for group in groups.values():
        for versions in _moments(group):
            chosen: list[SceneItem] = []
            for item in versions:
                better = next((other for other in chosen if _covers(other, item)), None)
                if better is None:
                    chosen.append(item)
                else:
                    superseded.append(Refusal(item.id, _reason(item, better)))
            kept += chosen
    kept.sort(key=lambda item: (item.datetime, item.id, item.collection))
    superseded.sort(key=lambda refusal: (refusal.item_id, refusal.reason))
    return tuple(kept), tuple(superseded)


def _moments(group: Sequence[SceneItem]) -> Iterator[list[SceneItem]]:
    """Items of one moment, the best first."""
    ordered = sorted(group, key=lambda item: item.datetime)
    cuts = [
        number
        for number, (early, late) in enumerate(pairwise(ordered), start=1)
        if late.datetime - early.datetime > SAME_MOMENT
    ]
    for first, last in pairwise([0, *cuts, len(ordered)]):
        yield sorted(ordered[first:last], key=_rank, reverse=True)


def _covers(better: SceneItem, item: SceneItem) -> bool:
    ground = make_valid(shape(dict(item.footprint)))
    shared = make_valid(shape(dict(better.footprint))).intersection(ground)
    return bool(shared.area >= SAME_GROUND_FRACTION * ground.area)


def _reason(item: SceneItem, better: SceneItem) -> str:
    place = f" of {better.collection}" if better.collection != item.collection else ""
    baselines = f" ({_baseline(better):05.2f} over {_baseline(item):05.2f})"
    known = _baseline(item) != _baseline(better)
    return f"superseded by {better.id}{place}{baselines if known else ''}: the same acquisition"


def _rank(item: SceneItem) -> Rank:
    level = _LEVELS[level_of(item)]
    return level, _baseline(item), _generated(item), item.id, item.collection


def _baseline(item: SceneItem) -> float:
    stated = item.properties.get("s2:processing_baseline")
    if stated:
        return float(stated)
    named = _BASELINE.search(item.id)
    if named:
        return float(f"{named[1]}.{named[2]}")
    landsat = _LANDSAT.match(item.id)
    return float(landsat[3]) if landsat else 0.0


def _generated(item: SceneItem) -> dt.datetime:
    for key in ("s2:generation_time", "processing:datetime", "created"):
        if item.properties.get(key):
            return parse_utc(str(item.properties[key]))
    stamps = _STAMP.findall(item.id)
    landsat = _LANDSAT.match(item.id)
    text = f"{landsat[2]}T000000" if landsat else stamps[-1] if stamps else "00010101T000000"
    return parse_utc(text)


def _acquired(item: SceneItem) -> str:
    """Name of the ground; where no moment is known, of this scene alone."""
    timed = item.properties.get("rs_monitor:datetime_precision") not in _NO_MOMENT
    # a Landsat scene and a MODIS composite exist once a day
    once_a_day = _LANDSAT.match(item.id) or _MODIS.match(item.id)
    return _ground(item) if timed or once_a_day else f"item {item.id}"


def _ground(item: SceneItem) -> str:
    """Name of the tile or scene, else the pixel grid."""
    fields = item.properties
    named = fields.get("s2:mgrs_tile") or str(fields.get("grid:code") or "").partition("-")[2]
    if named:
        return str(named).zfill(5)
    if fields.get("landsat:wrs_path") and fields.get("landsat:wrs_row"):
        return f"{int(fields['landsat:wrs_path']):03d}{int(fields['landsat:wrs_row']):03d}"
    found = _LANDSAT.match(item.id) or _MGRS.search(item.id)
    return found[1].zfill(5) if found else f"{item.crs} {item.transform} {item.shape}"
