"""What a run may say about ground where it found nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from rs_monitor.codes import Proposal
from rs_monitor.errors import CoverageError
from rs_monitor.grid import MU_M2

SUSPICIONS = frozenset({Proposal.SUSPECTED, Proposal.SUSPECTED_ILLEGAL})

_NUMBERS = ("area_m2", "seen_fraction", "not_seen_m2", "limit_m2", "detectable_fraction")
_DAYS = ("covers_from", "covers_until")
_WHERE = "where one could have been detected"
_ROUNDING = 1e-3
_NONE: Mapping[str, Sequence[str]] = MappingProxyType({})
_PERCENT_DIGITS = 2


@dataclass(frozen=True, slots=True)
class ZoneStatement:
    """What is said about one zone.

    Attributes
    ----------
    zone_id : str
    clean : bool
        Whether no suspected change, and none left open, was found where one would have shown, in
        imagery nothing speaks against.
    text : str
        The sentence; it carries size, dates and the share it holds for.
    detectable_percent : float
        That share as printed, rounded down; 0 where the imagery is in doubt.
    """

    zone_id: str
    clean: bool
    text: str
    detectable_percent: float


@dataclass(frozen=True, slots=True)
class CleanStatement:
    """What is said about a run: one sentence for the whole, one for each zone."""

    text: str
    zones: tuple[ZoneStatement, ...]

    @property
    def clean(self) -> bool:
        """Whether every zone is clean."""
        return bool(self.zones) and all(zone.clean for zone in self.zones)


def clean_statement(
    coverage: pd.DataFrame | None,
    patches: gpd.GeoDataFrame,
    *,
    planned: Collection[str] = (),
    outlines: gpd.GeoSeries | None = None,
    doubts: Mapping[str, Sequence[str]] = _NONE,
    caveats: Mapping[str, Sequence[str]] = _NONE,
) -> CleanStatement:
    """Say of which zones no suspected change is known, and how far that goes.

    Parameters
    ----------
    coverage : DataFrame, optional
        Records of :data:`rs_monitor.register.records.COVERAGE`, one row per zone.
    patches : GeoDataFrame
        Records of :data:`rs_monitor.register.records.PROPOSED_PATCH` of the whole run.
    planned : collection of str
        Zones of the plan; all of them, and all zones with patches, must be in the coverage.
    outlines : GeoSeries, optional
        Zones by id, in the CRS of the patches: a patch then counts in every zone it meets, also
        where overlapping zones report it once.
    doubts : mapping of str to sequence of str
        By zone what makes its imagery unfit to show a change or none, e.g. a radiometric step: the
        zone is never clean and its sentence says why.
    caveats : mapping of str to sequence of str
        By zone what its sentence must also say, e.g. that shifts could not be measured.

    Returns
    -------
    CleanStatement

    Raises
    ------
    CoverageError
        If the coverage is missing, lacks a zone (also one of ``doubts`` or ``caveats``) or a
        column, or holds a number or day that is not known: without it silence would read as "no
        change".

    Notes
    -----
    A zone is clean when no patch is suspected and no patch of at least ``limit_m2`` is left
    unjudged. A zone where no change of that size could have been detected, or whose imagery is in
    doubt, is never clean.
    """
    named = {*planned, *patches["zone_id"].astype(str), *doubts, *caveats}
    table = require_complete(coverage, named)
    met = _zones_met(patches, outlines)
    zones = []
    for row in table.to_dict("records"):
        zone = str(row["zone_id"])
        said = _zone_statement(row, _Found.of(row, patches, met), doubts.get(zone, ()))
        zones.append(_with_caveats(said, caveats.get(zone, ())))
    reserved = sum(bool(caveats.get(zone.zone_id)) for zone in zones)
    return CleanStatement(_whole(table, zones) + _reserved(reserved), tuple(zones))


def require_complete(coverage: pd.DataFrame | None, planned: Collection[str]) -> pd.DataFrame:
    """Return the coverage of a run, or refuse to speak from it.

    Raises
    ------
    CoverageError
        Lists everything that is missing; see :func:`clean_statement`.
    """
    nothing = ["there is no coverage table"]
    problems = nothing if coverage is None else _problems(coverage, planned)
    if coverage is None or problems:
        raise CoverageError(
            f"got a run where {'; '.join(problems)}; needed the coverage of every planned zone, or "
            "silence would read as no change; run the job again"
        )
    return coverage


def _problems(coverage: pd.DataFrame, planned: Collection[str]) -> list[str]:
    absent = [name for name in ("zone_id", *_NUMBERS, *_DAYS) if name not in coverage]
    if absent:
        return [f"the coverage lacks {', '.join(absent)}"]
    held = coverage["zone_id"].astype(str)
    lacking = sorted(set(map(str, planned)) - set(held))
    problems = [f"the coverage lacks zone {', '.join(lacking)}"] if lacking else []
    problems += [] if len(coverage) else ["the coverage holds no zone"]
    problems += [f"the coverage holds zone {zone} twice" for zone in held[held.duplicated()]]
    watched = np.array(
        [_shown_share(share) > 0 for share in coverage["detectable_fraction"]], dtype=bool
    )
    unknown = {name: ~np.isfinite(coverage[name].to_numpy("float64")) for name in _NUMBERS}
    for name in _DAYS:
        unknown[name] = watched & (coverage[name].isna() | (coverage[name] == "")).to_numpy()
    return problems + [
        f"{name} of zone {', '.join(held[rows])} is not known"
        for name, rows in unknown.items()
        if rows.any()
    ]


@dataclass(frozen=True, slots=True)
class _Found:
    """Patches of a zone that keep it from being clean."""

    suspected: int
    unjudged: int

    @classmethod
    def of(
        cls, row: Mapping[Any, Any], patches: gpd.GeoDataFrame, met: Mapping[str, set[int]]
    ) -> _Found:
        own = patches["zone_id"].astype(str).to_numpy() == str(row["zone_id"])
        own[list(met.get(str(row["zone_id"]), ()))] = True
        mine = patches[own]
        large = mine["area_m2"] >= float(row["limit_m2"]) * (1 - _ROUNDING)
        return cls(
            suspected=int(mine["proposal"].isin(SUSPICIONS).sum()),
            unjudged=int((large & (mine["proposal"] == Proposal.UNJUDGED)).sum()),
        )


def _zones_met(patches: gpd.GeoDataFrame, outlines: gpd.GeoSeries | None) -> dict[str, set[int]]:
    """Rows of the patches that share ground with each zone."""
    if outlines is None or patches.empty:
        return {}
    shapes: NDArray[np.object_] = np.asarray(patches.geometry, dtype=object)
    zones = shapely.make_valid(np.asarray(outlines, dtype=object))
    zone, patch = shapely.STRtree(shapes).query(zones, predicate="intersects")
    shared = shapely.area(shapely.intersection(zones[zone], shapes[patch])) > 0
    met: dict[str, set[int]] = {}
    for z, p in zip(zone[shared], patch[shared], strict=True):
        met.setdefault(str(outlines.index[z]), set()).add(int(p))
    return met


def _zone_statement(row: Mapping[Any, Any], found: _Found, doubts: Sequence[str]) -> ZoneStatement:
    size = _size(float(row["limit_m2"]))
    share = 0.0 if doubts else _shown_share(float(row["detectable_fraction"]))
    known = _counted(found)
    if doubts:
        text = f"Nothing can be said of a change of {size}: {'; '.join(doubts)}"
        text += f"; {known} there." if known else "."
    elif share == 0:
        text = f"Nothing can be said: no change of {size} could have been detected in the zone"
        text += f"; {known} there." if known else "."
    else:
        text = (
            f"{f'{known}; no other' if known else 'No'} suspected change of {size} between "
            f"{row['covers_from']} and {row['covers_until']} in the {_percent(share)} of the zone "
            f"{_WHERE}; {_rest(share)}."
        )
    clean = share > 0 and found.suspected == found.unjudged == 0
    return ZoneStatement(str(row["zone_id"]), clean, text, share)


def _with_caveats(said: ZoneStatement, caveats: Sequence[str]) -> ZoneStatement:
    if not caveats:
        return said
    return replace(said, text=f"{said.text.removesuffix('.')}; {'; '.join(caveats)}.")


def _reserved(zones: int) -> str:
    return f" {zones} zone{'s' if zones != 1 else ''} with a reservation." if zones else ""


def _whole(table: pd.DataFrame, zones: Sequence[ZoneStatement]) -> str:
    told = np.array([zone.detectable_percent > 0 for zone in zones])
    area, watched = float(table["area_m2"].sum()), float(_watched_m2(table)[told].sum())
    share = _shown_share(watched / area if area else 0.0)
    many = f"{len(zones)} zone{'s' if len(zones) != 1 else ''}"
    clean = [zone.clean for zone in zones]
    rest = f"{_rest(share)} of the ground"
    if not any(clean):
        return f"None of {many} can be called free of suspected change; {rest}."
    of = table[clean]
    said = (
        f"o suspected change of {_size(float(of['limit_m2'].max()))} between "
        f"{of['covers_from'].max()} and {of['covers_until'].min()}"
    )
    if all(clean):
        return f"N{said} in the {_percent(share)} of {many} {_WHERE}; {rest}."
    return f"In {sum(clean)} of {many} n{said} {_WHERE}; over the whole job {rest}."


def _rest(share: float) -> str:
    return f"nothing can be said about {_percent(100 - share)}"


def _watched_m2(table: pd.DataFrame) -> pd.Series[Any]:
    return table["area_m2"] * table["detectable_fraction"]


def _counted(found: _Found) -> str:
    plural = "s" if found.suspected != 1 else ""
    parts = {
        f"{found.suspected} suspected change{plural}": found.suspected,
        f"{found.unjudged} left unjudged": found.unjudged,
    }
    return " and ".join(part for part, count in parts.items() if count)


def _size(area_m2: float) -> str:
    return f"at least {area_m2:,.0f} m² ({area_m2 / MU_M2:,.2f} mu)"


def _shown_share(fraction: float) -> float:
    """Percent as printed, rounded down: what is said never holds for less ground."""
    if not math.isfinite(fraction):
        return 0.0
    step = 10.0**_PERCENT_DIGITS
    return math.floor(fraction * 100 * step + 1e-6) / step


def _percent(share: float) -> str:
    return f"{share:.{_PERCENT_DIGITS}f} %"
