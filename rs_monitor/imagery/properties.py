"""The further metadata of a scene under one name each, whatever the catalogue calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rs_monitor.imagery.dialects import JSON, plain
from rs_monitor.imagery.families import Family, Product
from rs_monitor.imagery.times import format_utc, parse_utc

_KEPT = (
    "gsd",
    "constellation",
    "instruments",
    "view:off_nadir",
    "s2:product_uri",
    "s2:datatake_id",
    "sat:relative_orbit",
    "landsat:correction",
    "landsat:collection_number",
    "landsat:collection_category",
    "landsat:scene_id",
    "earthsearch:boa_offset_applied",
    "sentinel:boa_offset_applied",
    "odc:product",
    "vertical_datum",
    "rs_monitor:datetime_source",
    "rs_monitor:datetime_precision",
    "rs_monitor:synthetic",
)
_TIMES: Mapping[str, tuple[str, ...]] = {
    "s2:generation_time": ("s2:generation_time", "processing:datetime"),
    "created": ("created",),
    "updated": ("updated",),
}


def kept_properties(raw: Mapping[str, JSON], product: Product) -> dict[str, JSON]:
    """What the package uses of an item's properties, in one dialect.

    Parameters
    ----------
    raw : mapping
        The STAC item.
    product : Product
        Its product.

    Returns
    -------
    dict
        Sorted by key; what the item does not say is absent.

    Notes
    -----
    ``view:sun_elevation`` and ``view:sun_azimuth`` in degrees, also from ``s2:mean_solar_*`` and
    ``eo:sun_*``; ``s2:processing_baseline`` as ``05.09``; ``grid:code`` as ``MGRS-36NYH``;
    ``landsat:wrs_path`` and ``landsat:wrs_row`` with three digits; times in UTC.
    """
    properties = raw.get("properties") or {}
    found = {key: plain(properties[key]) for key in _KEPT if properties.get(key) is not None}
    made: Mapping[str, Callable[[Mapping[str, JSON]], JSON]] = {
        "view:sun_elevation": _sun_elevation,
        "view:sun_azimuth": _sun_azimuth,
        "grid:code": _grid_code,
        "s2:product_type": _product_type,
        "landsat:wrs_path": lambda p: _three_digits(p.get("landsat:wrs_path")),
        "landsat:wrs_row": lambda p: _three_digits(p.get("landsat:wrs_row")),
    }
    found |= {key: value for key, make in made.items() if (value := make(properties)) is not None}
    found |= {key: value for key in _TIMES if (value := _time(key, properties)) is not None}
    if product.baseline is not None:
        found["s2:processing_baseline"] = f"{product.baseline:05.2f}"
    if product.family is Family.MOD13Q1 and not properties.get("datetime"):
        found["rs_monitor:datetime_source"] = "centre of start_datetime and end_datetime"
        found["rs_monitor:datetime_precision"] = "span"
    return dict(sorted(found.items()))


def _time(key: str, properties: Mapping[str, JSON]) -> str | None:
    text = next((properties[name] for name in _TIMES[key] if properties.get(name)), None)
    return None if text is None else format_utc(parse_utc(str(text)))


def _sun_elevation(properties: Mapping[str, JSON]) -> float | None:
    zenith = properties.get("s2:mean_solar_zenith")
    stated = properties.get("view:sun_elevation", properties.get("eo:sun_elevation"))
    if stated is not None:
        return float(stated)
    return None if zenith is None else 90.0 - float(zenith)


def _sun_azimuth(properties: Mapping[str, JSON]) -> float | None:
    names = ("view:sun_azimuth", "eo:sun_azimuth", "s2:mean_solar_azimuth")
    stated = next((properties[name] for name in names if properties.get(name) is not None), None)
    return None if stated is None else float(stated)


def _product_type(properties: Mapping[str, JSON]) -> str | None:
    stated = properties.get("s2:product_type") or properties.get("product:type")
    return str(stated) if str(stated or "").startswith("S2MSI") else None


def _grid_code(properties: Mapping[str, JSON]) -> str | None:
    if properties.get("grid:code"):
        return str(properties["grid:code"]).replace("MGRS-T", "MGRS-")
    if properties.get("s2:mgrs_tile"):
        return f"MGRS-{str(properties['s2:mgrs_tile']).removeprefix('T')}"
    prefix = next((p for p in ("mgrs", "sentinel") if properties.get(f"{p}:grid_square")), None)
    if prefix is None or not properties.get(f"{prefix}:utm_zone"):
        return None
    zone = int(properties[f"{prefix}:utm_zone"])
    band, square = (properties[f"{prefix}:{k}"] for k in ("latitude_band", "grid_square"))
    return f"MGRS-{zone:02d}{band}{square}"


def _three_digits(value: JSON) -> str | None:
    return None if value is None else f"{int(value):03d}"
