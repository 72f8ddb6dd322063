"""Common names of the bands of STAC items: by product first, then by what the asset says."""

from __future__ import annotations

from collections.abc import Mapping

from rs_monitor.imagery import naming
from rs_monitor.imagery.dialects import JSON
from rs_monitor.imagery.families import Family, Product

_ENDINGS = (".tif", "-jp2", "_10m", "_20m", "_60m")
_DEA_COMMON: Mapping[str, str] = {
    "coastal_aerosol": "coastal",
    "panchromatic": "pan",
    "oa_fmask": "dea_fmask",
}
_DEA_LANDSAT: Mapping[str, str] = {"swir_1": "swir16", "swir_2": "swir22"}
_DEA_SENTINEL2: Mapping[str, str] = {
    "red_edge_1": "rededge1",
    "red_edge_2": "rededge2",
    "red_edge_3": "rededge3",
    "nir_1": "nir",
    "nir_2": "nir08",
    "swir_2": "swir16",
    "swir_3": "swir22",
}
_MODIS_PREFIX = "250m_16_days_"


def band_name(key: str | None, fields: Mapping[str, JSON], product: Product) -> str | None:
    """Common name of a band.

    Parameters
    ----------
    key : str, optional
        Key of the asset where it holds this band alone.
    fields : mapping
        The band's metadata, dialects merged.
    product : Product
        Sensor and provider decide before common names, because one common name covers four red
        edges, and HLS, DEA and ESA number the same bands differently.

    Returns
    -------
    str or None
        None when neither the asset nor the band has a name.
    """
    bare = _bare_key(key) if key else None
    name = fields.get("name") or fields.get("id")
    common = fields.get("eo:common_name") or fields.get("common_name")
    for text in (name, bare):
        known = _by_product(str(text), product) if text else None
        if known is not None:
            return known
    if product.platform.startswith("landsat") and "nir08" in (common, bare):
        return "nir"
    if bare in naming.COMMON_NAMES:
        return bare
    text = common or bare or name
    return str(text).lower() if text else None


def _by_product(text: str, product: Product) -> str | None:
    if product.family is Family.HLS_L30:
        return naming.HLS_L30_BANDS.get(text.upper())
    if product.family is Family.HLS_S30:
        return naming.HLS_S30_BANDS.get(text.upper())
    if product.family is Family.DEA_ARD:
        return _dea(text.lower().removeprefix("nbart_"), product.platform)
    if product.family is Family.MOD13Q1:
        short = text.lower().removeprefix(_MODIS_PREFIX)
        return naming.MODIS_BANDS.get(short, short)
    if product.platform.startswith("sentinel-2"):
        return naming.SENTINEL2_BANDS.get(text.upper())
    return None


def _dea(short: str, platform: str) -> str | None:
    own = _DEA_SENTINEL2 if platform.startswith("sentinel") else _DEA_LANDSAT
    return _DEA_COMMON.get(short) or own.get(short)


def _bare_key(key: str) -> str:
    """Asset key without resolution, format and product prefixes."""
    bare = key.lower()
    for ending in _ENDINGS:
        bare = bare.removesuffix(ending)
    return bare.removeprefix("sr_").removeprefix("nbart_")
