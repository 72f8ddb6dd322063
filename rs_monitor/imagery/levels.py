"""Whether scenes show the ground as seen below the atmosphere or through it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from rs_monitor.errors import ConfigError
from rs_monitor.imagery.families import Family, family_of
from rs_monitor.imagery.records import SceneItem


class Level(StrEnum):
    """What the reflectance of a scene is measured at."""

    SURFACE = "surface"
    TOA = "toa"
    UNKNOWN = "unknown"


_OF_FAMILY = {
    Family.HLS_L30: Level.SURFACE,
    Family.HLS_S30: Level.SURFACE,
    Family.LANDSAT_C2_L2: Level.SURFACE,
    Family.LANDSAT_L1: Level.TOA,
    Family.MOD13Q1: Level.SURFACE,
    Family.DEA_ARD: Level.SURFACE,
}
# L1C, L2SP, MSIL2A, S2MSI2A, landsat-c2l2-sr, sentinel-s2-l2a-cogs
_NAMED = re.compile(r"(?:(?<![A-Z0-9])(?:C[12])?L|MSIL?)([12])(?![0-9])")
_STATED = ("s2:product_type", "s2:product_uri", "landsat:correction")


def level_of(item: SceneItem) -> Level:
    """Level of a scene, from its product family and what it says of itself.

    Parameters
    ----------
    item : SceneItem
        As searched, or as read back from a plan.

    Returns
    -------
    Level
        ``surface`` for Sentinel-2 L2A, Landsat L2, HLS, MODIS vegetation indices and DEA ARD;
        ``toa`` for Sentinel-2 L1C and Landsat L1; ``unknown`` for everything else, whose makers
        use the same words (Level 1A, 2A) for other things.
    """
    known = _OF_FAMILY.get(family_of(item))
    if known is not None:
        return known
    if not item.platform.startswith(("sentinel-2", "landsat")):
        return Level.UNKNOWN
    texts = (*(item.properties.get(key) for key in _STATED), item.id, item.collection)
    named = (_NAMED.search(str(text or "").upper()) for text in texts)
    found = next((match[1] for match in named if match), None)
    return {"1": Level.TOA, "2": Level.SURFACE}.get(str(found), Level.UNKNOWN)


def check_levels(
    items: Iterable[SceneItem], *, harmonise: str = "none", illumination: str = "none"
) -> list[str]:
    """Refuse what may not be compared, and tell what reflectance the scenes hold.

    Parameters
    ----------
    items : iterable of SceneItem
        Every scene of a job, both periods.
    harmonise, illumination : str
        The settings of the job; ``none`` where nothing is corrected.

    Returns
    -------
    list of str
        Warnings: what was got, what was needed, what to do.

    Raises
    ------
    ConfigError
        If surface and top of atmosphere are mixed, or top of atmosphere is to be harmonised.
    """
    held = list(items)
    counts = Counter(level_of(item) for item in held)
    told = ", ".join(f"{counts[level]} {level}" for level in Level if counts[level])
    problems = []
    if counts[Level.SURFACE] and counts[Level.TOA]:
        problems.append(
            f"got scenes of several levels ({told}) in {_collections(held)}; needed one level, for "
            "the haze between them would read as change; name the collections of one level in "
            "catalog.collections"
        )
    if harmonise != "none" and counts[Level.TOA]:
        problems.append(
            f"got {told}; needed surface reflectance, to which the lines of harmonise = "
            f"{harmonise!r} were fitted; name a surface collection in catalog.collections or set "
            "harmonise = 'none'"
        )
    if problems:
        raise ConfigError("imagery", problems)
    return _warnings(counts, told, harmonise, illumination)


def _collections(items: Iterable[SceneItem]) -> str:
    found = Counter((level_of(item), item.collection or "no collection") for item in items)
    return ", ".join(f"{name} ({level}: {n})" for (level, name), n in sorted(found.items()))


def _warnings(counts: Counter[Level], told: str, harmonise: str, illumination: str) -> list[str]:
    warnings = []
    if counts[Level.TOA]:
        also = "; the correction for light takes it for ground" if illumination != "none" else ""
        warnings.append(
            f"got top-of-atmosphere reflectance ({told}); haze is part of it{also}; needed surface "
            "reflectance; name a surface collection in catalog.collections where there is one"
        )
    if counts[Level.UNKNOWN] and (counts.total() > counts[Level.UNKNOWN] or harmonise != "none"):
        warnings.append(
            f"got scenes that do not say their level ({told}); needed surface reflectance "
            "throughout; make sure that those scenes hold it"
        )
    return warnings
