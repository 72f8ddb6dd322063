"""Which provider's product an item is, and which processing baseline it states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from rs_monitor.imagery.dialects import JSON, platform_of, refusal
from rs_monitor.imagery.records import SceneItem, public_href


class Family(StrEnum):
    """Products whose radiometry is fixed by a published specification."""

    SENTINEL2 = "sentinel-2"
    """ESA Level-1C or Level-2A with a stated processing baseline."""
    HLS_L30 = "hls-l30"
    HLS_S30 = "hls-s30"
    LANDSAT_C2_L2 = "landsat-c2-l2"
    LANDSAT_L1 = "landsat-l1"
    """Collection 1 or 2: the coefficients are in the scene's MTL file."""
    MOD13Q1 = "mod13q1"
    DEA_ARD = "dea-ard"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Product:
    """What decides the names and the radiometry of an item's bands.

    Attributes
    ----------
    identity : str
        Id of the item, for messages.
    family : Family
    platform : str
        Lower case with dashes.
    baseline : float, optional
        Sentinel-2 processing baseline, e.g. 5.09.
    offset_applied : bool
        Whether the catalogue says that it added the offset to the pixels itself.
    by_hand : bool
        Whether scale and offset come from our own index, whose side table outranks specifications.
    """

    identity: str
    family: Family
    platform: str
    baseline: float | None
    offset_applied: bool
    by_hand: bool = False


_APPLIED_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINE = re.compile(r"N?(\d{2})\.?(\d{2})")
_BASELINE_IN_NAME = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_\d{8}T\d{6}_N(\d{4})_")
_LANDSAT_ID = re.compile(r"L[CEOTM]0\d_L(?P<level>[12])\w{2}_\d{6}_\d{8}(?:_\d{8})?_0(?P<c>[12])_")
_DEA_PRODUCT = re.compile(r"ga_(?:ls\d[a-z]|s2[a-d]m)_ard")
_TOOLBOX_BASELINE = 99.99
"""Written by Sen2Cor outside the ground segment: says nothing about the offset."""


def product_of(raw: Mapping[str, JSON]) -> Product:
    """Product of an item, from its id, collection and properties.

    Raises
    ------
    CatalogError
        If two fields of the item name different processing baselines.
    """
    properties = raw.get("properties") or {}
    platform = platform_of(properties)
    baseline = baseline_of(raw) if platform.startswith("sentinel-2") else None
    return Product(
        identity=str(raw.get("id", "(item without id)")),
        family=_family(raw, platform, baseline),
        platform=platform,
        baseline=baseline,
        offset_applied=any(properties.get(flag) is True for flag in _APPLIED_FLAGS),
    )


def family_of(item: SceneItem) -> Family:
    """Product family of a normalised scene.

    Parameters
    ----------
    item : SceneItem
        As searched, or as read back from a plan.

    Returns
    -------
    Family
        From what a scene keeps of its item; a scene indexed under another name is known by the
        names of its files.
    """
    stated = item.properties.get("s2:processing_baseline")
    baseline = None if stated is None else float(stated)
    raw = {"collection": item.collection, "properties": item.properties}
    names = [PurePosixPath(public_href(band.href)).name for band in item.bands.values()]
    found = (_family({**raw, "id": name}, item.platform, baseline) for name in (item.id, *names))
    return next((family for family in found if family is not Family.OTHER), Family.OTHER)


def _family(raw: Mapping[str, JSON], platform: str, baseline: float | None) -> Family:
    properties = raw.get("properties") or {}
    identity, collection = str(raw.get("id", "")), str(raw.get("collection") or "").lower()
    if identity.startswith("HLS.L30.") or collection.startswith(("hlsl30", "hls2-l30")):
        return Family.HLS_L30
    if identity.startswith("HLS.S30.") or collection.startswith(("hlss30", "hls2-s30")):
        return Family.HLS_S30
    if identity.startswith(("MOD13Q1.", "MYD13Q1.")) or collection.startswith("modis-13q1"):
        return Family.MOD13Q1
    if _DEA_PRODUCT.match(str(properties.get("odc:product") or collection)):
        return Family.DEA_ARD
    if platform.startswith("landsat"):
        return _landsat_family(identity, properties)
    return Family.OTHER if baseline is None else Family.SENTINEL2


def _landsat_family(identity: str, properties: Mapping[str, JSON]) -> Family:
    named = _LANDSAT_ID.match(identity)
    level = str(properties.get("landsat:correction") or "")[:2] or (named and f"L{named['level']}")
    number = str(properties.get("landsat:collection_number") or (named and named["c"]) or "")
    if level == "L1":
        return Family.LANDSAT_L1
    known = level == "L2" and number.lstrip("0") == "2"
    return Family.LANDSAT_C2_L2 if known else Family.OTHER


def baseline_of(raw: Mapping[str, JSON]) -> float | None:
    """Processing baseline of a Sentinel-2 item.

    Parameters
    ----------
    raw : mapping
        The STAC item.

    Returns
    -------
    float or None
        E.g. 5.09; None where it is not stated. Read from ``s2:processing_baseline``,
        ``sentinel:processing_baseline``, ``processing:version`` of ESA's items, and the product
        name in ``s2:product_uri``, ``sentinel:product_id`` or the id.

    Raises
    ------
    CatalogError
        If two fields of the item name different baselines.
    """
    found = dict(_stated_baselines(raw))
    values = set(found.values())
    if len(values) > 1:
        told = ", ".join(f"{value:05.2f} in {source}" for source, value in sorted(found.items()))
        raise refusal(
            str(raw.get("id", "")),
            f"names several processing baselines ({told}), and the offset depends on it",
            "correct the item, or state scale and offset in the side table of an index",
        )
    return values.pop() if values else None


def _stated_baselines(raw: Mapping[str, JSON]) -> Iterator[tuple[str, float]]:
    properties = raw.get("properties") or {}
    fields = ["s2:processing_baseline", "sentinel:processing_baseline"]
    # the processing extension carries any software's version; only ESA's items name it so
    fields += ["processing:version"] if "product:type" in properties else []
    for key in fields:
        value = properties.get(key)
        text = f"{value:05.2f}" if isinstance(value, int | float) else str(value or "")
        if found := _BASELINE.fullmatch(text):
            yield from _known(key, int(found[1]) + int(found[2]) / 100)
    names = {key: properties.get(key) for key in ("s2:product_uri", "sentinel:product_id")}
    for key, name in {**names, "id": raw.get("id")}.items():
        if found := _BASELINE_IN_NAME.match(str(name or "")):
            yield from _known(key, int(found[1]) / 100)


def _known(source: str, baseline: float) -> Iterator[tuple[str, float]]:
    if baseline != _TOOLBOX_BASELINE:
        yield source, round(baseline, 2)
