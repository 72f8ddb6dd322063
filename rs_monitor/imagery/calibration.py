"""From stored numbers to reflectance: what the metadata prove, and what they contradict.

A declared scale and offset is believed only where it agrees with the specification of the product
it belongs to. What contradicts the specification is refused by name, because a wrong offset of 0.1
looks like a change of every dark surface.

Sources
-------
ESA, Sentinel-2 Products Specification Document (PSD) issue 14.9 and 15, section on
``Product_Image_Characteristics``; SentiWiki S2 Products: since processing baseline 04.00
reflectance = (DN + BOA_ADD_OFFSET or RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE with -1000 and 10000,
before without offset; AOT and WVP have quantification 1000. USGS LSDS-1619 and LSDS-1618, Landsat
Collection 2 Level 2 Science Product Guides: 0.0000275 and -0.2. HLS Product User Guide 2.0: 0.0001,
fill -9999. MOD13 User Guide (Collection 6.1): 0.0001, fill -3000 (indices) and -1000 (bands).
Geoscience Australia, DEA Surface Reflectance: 0.0001, fill -999.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rs_monitor.imagery import naming
from rs_monitor.imagery.dialects import JSON, refusal
from rs_monitor.imagery.families import Family, Product

UNCALIBRATED = (1.0, 0.0)
"""Scale and offset of numbers nobody vouches for: they stay digital numbers."""

_FIXED: Mapping[Family, tuple[float, float]] = {
    Family.HLS_L30: (0.0001, 0.0),
    Family.HLS_S30: (0.0001, 0.0),
    Family.LANDSAT_C2_L2: naming.LANDSAT_C2_L2_CALIBRATION,
    Family.MOD13Q1: (0.0001, 0.0),
    Family.DEA_ARD: (0.0001, 0.0),
}
_FILL: Mapping[Family, float] = {
    Family.SENTINEL2: 0.0,
    Family.HLS_L30: -9999.0,
    Family.HLS_S30: -9999.0,
    Family.LANDSAT_C2_L2: 0.0,
    Family.MOD13Q1: -1000.0,
    Family.DEA_ARD: -999.0,
}
_INDICES = frozenset({"ndvi", "evi"})
_NAMED_FILL: Mapping[tuple[Family, str], float] = {
    (Family.HLS_L30, "hls_fmask"): 255.0,
    (Family.HLS_S30, "hls_fmask"): 255.0,
    (Family.LANDSAT_C2_L2, "qa_pixel"): 1.0,
    (Family.LANDSAT_L1, "qa_pixel"): 1.0,
    (Family.MOD13Q1, "ndvi"): -3000.0,
    (Family.MOD13Q1, "evi"): -3000.0,
}
_SENTINEL2_ATMOSPHERE = frozenset({"aot", "wvp"})
_SENTINEL2_OFFSETS = (0.0, -0.1)
_QUANTIFICATION = 10000
_BY_HAND = "correct the item, or state scale and offset in the side table of an index"
_REFLECTANCE_UNITS = frozenset({"", "1", "none", "reflectance", "unitless", "dimensionless"})


def calibration(name: str, fields: Mapping[str, JSON], product: Product) -> tuple[float, float]:
    """Scale and offset of one band.

    Parameters
    ----------
    name : str
        Common name of the band.
    fields : mapping
        The band's own metadata, dialects merged.
    product : Product
        What the item says of itself.

    Returns
    -------
    tuple of float
        reflectance = number * scale + offset; ``UNCALIBRATED`` where nothing proves one.

    Raises
    ------
    CatalogError
        If the metadata contradict each other or the product's specification.
    """
    declared = _declared(fields)
    if product.family is Family.SENTINEL2:
        return _sentinel2(name, fields, product, declared)
    if product.family in _FIXED and (name in naming.SPECTRAL or name in _INDICES):
        return _fixed(name, product, declared)
    if name in naming.SPECTRAL and not _is_reflectance(fields):
        return UNCALIBRATED  # radiance: its coefficients do not lead to reflectance
    scale, offset = declared
    if offset is not None and name in naming.SPECTRAL and _tells_of_sentinel2(fields, product):
        _check_offset(name, offset, product)
    return UNCALIBRATED if scale is None else (scale, _offset(offset, product))


def fill_value(name: str, product: Product) -> float | None:
    """Nodata value by the product's specification, for items that do not declare it.

    Parameters
    ----------
    name : str
        Common name of the band.
    product : Product
        What the item says of itself.

    Returns
    -------
    float or None
        None where the specification names none; the file header decides then.
    """
    known = _NAMED_FILL.get((product.family, name))
    if known is not None or name not in naming.SPECTRAL:
        return known
    return _FILL.get(product.family)


def _offset(declared: float | None, product: Product) -> float:
    return 0.0 if product.offset_applied else declared or 0.0


def _declared(fields: Mapping[str, JSON]) -> tuple[float | None, float | None]:
    scale = fields.get("raster:scale", fields.get("scale"))
    offset = fields.get("raster:offset", fields.get("offset"))
    return (None if scale is None else float(scale), None if offset is None else float(offset))


def _is_reflectance(fields: Mapping[str, JSON]) -> bool:
    unit = fields.get("unit")
    return unit is None or str(unit).strip().lower() in _REFLECTANCE_UNITS


def _near(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-9)


def _fixed(
    name: str, product: Product, declared: tuple[float | None, float | None]
) -> tuple[float, float]:
    known = _FIXED[product.family]
    wrong = [
        f"{what} {got:g} (specified {wanted:g})"
        for what, got, wanted in zip(("scale", "offset"), declared, known, strict=True)
        if got is not None and not _near(got, wanted)
    ]
    if wrong:
        raise refusal(
            product.identity,
            f"band {name} declares {' and '.join(wrong)} for a {product.family} product",
            "correct the item, or index the files with a side table",
        )
    return known


def _sentinel2(
    name: str,
    fields: Mapping[str, JSON],
    product: Product,
    declared: tuple[float | None, float | None],
) -> tuple[float, float]:
    known = naming.sentinel2_calibration(product.baseline)
    if name in _SENTINEL2_ATMOSPHERE:
        return 0.001, 0.0
    scale, offset = declared
    floating = str(fields.get("data_type", "")).startswith("float")
    if name not in naming.SPECTRAL or floating or known is None:
        return (1.0 if scale is None else scale), offset or 0.0
    if scale is not None and not _near(scale, known[0]):
        got = f"band {name} declares scale {scale:g}; known for Sentinel-2 is {known[0]:g}"
        raise refusal(product.identity, got, _BY_HAND)
    if offset is not None:
        _check_offset(name, offset, product)
        _check_baseline(name, offset, product, known[1])
    return known[0], _offset(known[1], product)


def _tells_of_sentinel2(fields: Mapping[str, JSON], product: Product) -> bool:
    """Whether an item without a stated baseline holds the integers of a Sentinel-2 product."""
    floating = str(fields.get("data_type", "")).startswith("float")
    known = product.family is Family.OTHER and product.platform.startswith("sentinel-2")
    return known and not product.by_hand and not floating


def _check_offset(name: str, offset: float, product: Product) -> None:
    if any(_near(offset, allowed) for allowed in _SENTINEL2_OFFSETS):
        return
    raise refusal(
        product.identity,
        f"band {name} declares offset {offset:g} ({offset * _QUANTIFICATION:.0f} DN); the "
        "Sentinel-2 product specification knows 0 and -0.1 (-1000 DN) only",
        f"look up BOA_ADD_OFFSET or RADIO_ADD_OFFSET in the product's metadata and {_BY_HAND}",
    )


def _check_baseline(name: str, offset: float, product: Product, known: float) -> None:
    if product.offset_applied or _near(offset, known):
        return
    raise refusal(
        product.identity,
        f"band {name} declares offset {offset:g} at processing baseline {product.baseline:05.2f}, "
        f"where the product specification says {known:g}, and nothing says that the pixels were "
        "changed",
        f"state earthsearch:boa_offset_applied if they were, or {_BY_HAND}",
    )
