"""Known product names and band names: what a file or asset name says about its content."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SENTINEL2_BANDS: Mapping[str, str] = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
    "SCL": "scl",
    "AOT": "aot",
    "WVP": "wvp",
}
_TM_BANDS: Mapping[str, str] = {
    "B1": "blue",
    "B2": "green",
    "B3": "red",
    "B4": "nir",
    "B5": "swir16",
    "B6": "lwir",
    "B7": "swir22",
}
_OLI_BANDS: Mapping[str, str] = {
    "B1": "coastal",
    "B2": "blue",
    "B3": "green",
    "B4": "red",
    "B5": "nir",
    "B6": "swir16",
    "B7": "swir22",
    "B9": "cirrus",
    "B10": "lwir11",
    "B11": "lwir12",
}
COMMON_NAMES = frozenset(SENTINEL2_BANDS.values()) | {
    "pan",
    "lwir",
    "lwir11",
    "lwir12",
    "qa_pixel",
    "qa_radsat",
    "dem",
}
"""Band names the package uses; STAC common names where there is one."""

SPECTRAL = frozenset(SENTINEL2_BANDS.values()) - {"scl", "aot", "wvp"}
"""Bands whose numbers can be turned into reflectance."""

CATEGORICAL = frozenset({"scl", "qa_pixel", "qa_radsat", "qa_aerosol", "fmask", "cloudmask"})
"""Bands that hold codes: never interpolated."""

_PREVIEWS = frozenset({"TCI", "PVI", "CLDPRB", "SNWPRB"})
_FOUR_BANDS = ("blue", "green", "red", "nir")

_SENTINEL2_PRODUCT = re.compile(
    r"(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<time>\d{8}T\d{6})_N(?P<baseline>\d{4})_"
    r"R\d{3}_(?P<tile>T\d{2}[A-Z]{3})_\d{8}T\d{6}"
)
_SENTINEL2_BAND = re.compile(
    r"(?P<tile>T\d{2}[A-Z]{3})_(?P<time>\d{8}T\d{6})_(?P<band>B\d[\dA]|[A-Z]{3})"
    r"(?:_(?P<res>\d{2})m)?"
)
_LANDSAT = re.compile(
    r"(?P<product>L[CEOT]0(?P<number>\d)_(?P<level>L[12]\w{2})_\d{6}_(?P<day>\d{8})_\d{8}_02_"
    r"(?:RT|T1|T2))_(?P<band>\w+)"
)
_CHINESE = re.compile(
    r"(?P<platform>GF\d[A-D]?|ZY302|ZY303|ZY3|ZY1E|ZY1F)_(?P<sensor>[A-Z]+)\d?_"
    r"[EW][\d.]+_[NS][\d.]+_(?P<day>\d{8})_L\w+(?:-(?P<part>MSS|PAN|MUX)\d?)?"
)
_EIGHT_DIGITS = re.compile(r"(?<!\d)(\d{8})(?!\d)")
_FIRST_YEAR = 1972


@dataclass(frozen=True, slots=True)
class ProductName:
    """What the name of a file says.

    Attributes
    ----------
    product : str
        Id shared by all files of one acquisition.
    family : str
        ``sentinel-2``, ``landsat``, ``gaofen`` or ``ziyuan``.
    when : datetime
        Acquisition, UTC; noon where the name carries the day only.
    platform : str
        STAC platform name.
    bands : tuple of str
        Band names of the file; empty where the name does not tell.
    day_only : bool
        Whether ``when`` is known to the day only.
    collection : str
        STAC collection of such products.
    scale, offset : float, optional
        From the product's specification; None where the name does not settle them.
    nodata : float, optional
        From the product's specification.
    preview : bool
        A picture, not a measurement.
    """

    product: str
    family: str
    when: dt.datetime
    platform: str
    bands: tuple[str, ...]
    day_only: bool
    collection: str
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    preview: bool = False


def noon_utc(day: dt.date) -> dt.datetime:
    """Noon UTC: the one hour whose solar day is the given day at every longitude."""
    return dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC)


def parse_name(parts: Sequence[str]) -> ProductName | None:
    """Read a known product name.

    Parameters
    ----------
    parts : sequence of str
        Path of the file inside the folder, split; the last part is the file name. Folders are
        looked at because a Sentinel-2 band file does not repeat its processing baseline.

    Returns
    -------
    ProductName or None
        None when the name is of no known kind.
    """
    stem = parts[-1].rsplit(".", 1)[0]
    return _sentinel2(parts, stem) or _landsat(stem) or _chinese(stem)


def generic_day(stem: str) -> dt.date | None:
    """Day in a name like ``t1_20000317_etm``; None unless exactly one date stands there."""
    days = {day for text in _EIGHT_DIGITS.findall(stem) if (day := _day(text)) is not None}
    return days.pop() if len(days) == 1 else None


def landsat_band(number: int, band: str) -> str:
    """Common name of a Landsat band such as ``SR_B4`` or ``QA_PIXEL``."""
    short = band.upper().removeprefix("SR_").removeprefix("ST_")
    table = _OLI_BANDS if number >= 8 else _TM_BANDS
    return table.get(short, short.lower())


def sentinel2_calibration(baseline: float | None) -> tuple[float, float] | None:
    """Scale and offset to reflectance of a Sentinel-2 product; None when the baseline is unknown.

    Notes
    -----
    Quantification value 10000; since processing baseline 04.00 (25 January 2022, and all
    reprocessed products) RADIO_ADD_OFFSET -1000 is to be added to the numbers.
    """
    if baseline is None:
        return None
    return 0.0001, (-0.1 if baseline >= 4.0 else 0.0)


LANDSAT_C2_L2_CALIBRATION = (0.0000275, -0.2)
"""Scale and offset of Landsat Collection 2 Level 2 surface reflectance (USGS product guide)."""


def _sentinel2(parts: Sequence[str], stem: str) -> ProductName | None:
    product = next((m for p in reversed(parts) if (m := _SENTINEL2_PRODUCT.match(p))), None)
    band = _SENTINEL2_BAND.fullmatch(stem)
    if band is None and (product is None or not _SENTINEL2_PRODUCT.match(stem)):
        return None
    found = band or product
    when = _moment(found["time"]) if found is not None else None
    if found is None or when is None:
        return None
    baseline = int(product["baseline"]) / 100 if product else None
    known = sentinel2_calibration(baseline)
    code = band["band"] if band else None
    name = SENTINEL2_BANDS.get(code, code.lower()) if code else None
    spectral = name is None or name in SPECTRAL
    return ProductName(
        product=product.group(0) if product else f"{found['tile']}_{found['time']}",
        family="sentinel-2",
        when=when,
        platform=f"sentinel-2{product['platform'][-1].lower()}" if product else "sentinel-2",
        bands=(name,) if name else (),
        day_only=False,
        collection=f"sentinel-2-{product['level'].lower()}" if product else "sentinel-2",
        scale=known[0] if known and spectral else None,
        offset=known[1] if known and spectral else None,
        nodata=0.0,
        preview=code in _PREVIEWS,
    )


def _landsat(stem: str) -> ProductName | None:
    found = _LANDSAT.fullmatch(stem)
    day = _day(found["day"]) if found else None
    if found is None or day is None:
        return None
    number = int(found["number"])
    level2 = found["level"].startswith("L2")
    reflectance = level2 and found["band"].startswith("SR_B")
    name = landsat_band(number, found["band"])
    return ProductName(
        product=found["product"],
        family="landsat",
        when=noon_utc(day),
        platform=f"landsat-{number}",
        bands=(name,),
        day_only=True,
        collection="landsat-c2-l2" if level2 else "landsat-c2-l1",
        scale=LANDSAT_C2_L2_CALIBRATION[0] if reflectance else None,
        offset=LANDSAT_C2_L2_CALIBRATION[1] if reflectance else None,
        nodata=1.0 if name == "qa_pixel" else 0.0,
    )


def _chinese(stem: str) -> ProductName | None:
    found = _CHINESE.match(stem)
    day = _day(found["day"]) if found else None
    if found is None or day is None:
        return None
    pan = found["part"] == "PAN" or found["sensor"] in {"NAD", "FWD", "BWD"}
    multi = found["part"] in {"MSS", "MUX"} or found["sensor"] in {"MUX", "WFV"}
    gaofen = found["platform"].startswith("GF")
    return ProductName(
        product=stem,
        family="gaofen" if gaofen else "ziyuan",
        when=noon_utc(day),
        platform=found["platform"].lower(),
        bands=("pan",) if pan else _FOUR_BANDS if multi else (),
        day_only=True,
        collection="gaofen" if gaofen else "ziyuan",
    )


def _day(text: str) -> dt.date | None:
    try:
        day = dt.date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
    return day if _FIRST_YEAR <= day.year < 2100 else None


def _moment(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
