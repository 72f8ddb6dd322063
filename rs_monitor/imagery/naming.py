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
HLS_L30_BANDS: Mapping[str, str] = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "nir",
    "B06": "swir16",
    "B07": "swir22",
    "B09": "cirrus",
    "B10": "lwir11",
    "B11": "lwir12",
    "FMASK": "hls_fmask",
}
"""Bands of HLS from Landsat: numbered after OLI, so B05 is near infrared and no red edge."""

HLS_S30_BANDS: Mapping[str, str] = {**SENTINEL2_BANDS, "FMASK": "hls_fmask"}

MODIS_BANDS: Mapping[str, str] = {
    "red_reflectance": "red",
    "nir_reflectance": "nir",
    "blue_reflectance": "blue",
    "mir_reflectance": "swir22",
}

COMMON_NAMES = frozenset(SENTINEL2_BANDS.values()) | {
    "pan",
    "lwir",
    "lwir11",
    "lwir12",
    "qa_pixel",
    "qa_radsat",
    "bqa",
    "fmask",
    "ndvi",
    "evi",
    "dem",
}
"""Band names the package uses; STAC common names where there is one."""

SPECTRAL = (frozenset(SENTINEL2_BANDS.values()) - {"scl", "aot", "wvp"}) | {"pan"}
"""Bands whose numbers can be turned into reflectance."""

CATEGORICAL = frozenset(
    {
        "scl",
        "bqa",
        "qa_pixel",
        "qa_radsat",
        "qa_aerosol",
        "cloud_qa",
        "fmask",
        "hls_fmask",
        "dea_fmask",
        "cloudmask",
        "vi_quality",
        "pixel_reliability",
        "composite_day_of_the_year",
    }
)
"""Bands that hold codes: never interpolated.

``bqa`` is Landsat Collection 1, ``qa_pixel`` Collection 2; ``fmask`` the codes of Fmask itself
(4 cloud), ``hls_fmask`` the bits of HLS, ``dea_fmask`` the codes of Geoscience Australia (2 cloud).
"""

_PREVIEWS = frozenset({"TCI", "PVI", "CLDPRB", "SNWPRB"})
_CHINESE_SENSORS: Mapping[tuple[str, str], str] = {
    ("GF1", "PMS"): "gf1-pms",
    ("GF1", "WFV"): "gf1-wfv",
    ("GF2", "PMS"): "gf2-pms",
    ("GF6", "PMS"): "gf6-pms",
    ("GF6", "WFV"): "gf6-wfv",
    ("ZY3", "MUX"): "zy3-mux",
}
"""Sensor tables of satellites and cameras; GF1B, C and D carry the camera of GF1."""

_SENTINEL2_PRODUCT = re.compile(
    r"(?P<platform>S2[A-D])_MSI(?P<level>L1C|L2A)_(?P<time>\d{8}T\d{6})_N(?P<baseline>\d{4})_"
    r"R\d{3}_(?P<tile>T\d{2}[A-Z]{3})_\d{8}T\d{6}"
)
_SENTINEL2_BAND = re.compile(
    r"(?P<tile>T\d{2}[A-Z]{3})_(?P<time>\d{8}T\d{6})_(?P<band>B\d[\dA]|[A-Z]{3})"
    r"(?:_(?P<res>\d{2})m)?"
)
_LANDSAT = re.compile(
    r"(?P<product>L[CEOT]0(?P<number>\d)_(?P<level>L[12]\w{2})_\d{6}_(?P<day>\d{8})_\d{8}_"
    r"0(?P<collection>[12])_"
    r"(?:RT|T1|T2))_(?P<band>\w+)"
)
_HLS = re.compile(
    r"(?P<product>HLS\.(?P<family>[LS]30)\.T\d{2}[A-Z]{3}\.(?P<time>\d{7}T\d{6})\.v\d\.\d)"
    r"\.(?P<band>\w+)"
)
_MODIS = re.compile(
    r"(?P<product>M[OY]D13Q1\.A(?P<day>\d{7})\.h\d{2}v\d{2}\.\d{3}\.\d{13})"
    r"[._]250m_16_days_(?P<band>\w+)"
)
_HALF_COMPOSITE_DAYS = 8
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
        ``sentinel-2``, ``landsat``, ``hls``, ``modis``, ``gaofen`` or ``ziyuan``.
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
    sensor : str, optional
        Table of ``configs/sensors`` that names the bands.
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
    sensor: str | None = None


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
    return _sentinel2(parts, stem) or _landsat(stem) or _hls(stem) or _modis(stem) or _chinese(stem)


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
    second, level2 = found["collection"] == "2", found["level"].startswith("L2")
    reflectance = second and level2 and found["band"].startswith("SR_B")
    name = landsat_band(number, found["band"])
    collection = f"landsat-c{found['collection']}-{'l2' if level2 else 'l1'}"
    return ProductName(
        product=found["product"],
        family="landsat",
        when=noon_utc(day),
        platform=f"landsat-{number}",
        bands=(name,),
        day_only=True,
        collection=collection,
        scale=LANDSAT_C2_L2_CALIBRATION[0] if reflectance else None,
        offset=LANDSAT_C2_L2_CALIBRATION[1] if reflectance else None,
        nodata=1.0 if name in {"qa_pixel", "bqa"} else 0.0,
    )


def _hls(stem: str) -> ProductName | None:
    found = _HLS.fullmatch(stem)
    when = _moment(found["time"], "%Y%jT%H%M%S") if found else None
    if found is None or when is None:
        return None
    landsat = found["family"] == "L30"
    name = (HLS_L30_BANDS if landsat else HLS_S30_BANDS).get(found["band"].upper())
    return ProductName(
        product=found["product"],
        family="hls",
        when=when,
        platform="landsat-8-9" if landsat else "sentinel-2",
        bands=(name or found["band"].lower(),),
        day_only=False,
        collection="hls-l30" if landsat else "hls-s30",
        scale=0.0001 if name in SPECTRAL else None,
        offset=0.0 if name in SPECTRAL else None,
        nodata=255.0 if name == "hls_fmask" else -9999.0 if name in SPECTRAL else None,
    )


def _modis(stem: str) -> ProductName | None:
    found = _MODIS.fullmatch(stem)
    first = _moment(found["day"], "%Y%j") if found else None
    if found is None or first is None:
        return None
    short = found["band"].lower()
    name = MODIS_BANDS.get(short, short)
    index = name in {"ndvi", "evi"}
    scaled = index or name in SPECTRAL
    return ProductName(
        product=found["product"],
        family="modis",
        when=noon_utc(first.date() + dt.timedelta(days=_HALF_COMPOSITE_DAYS)),
        platform="terra" if found["product"].startswith("MOD") else "aqua",
        bands=(name,),
        day_only=True,
        collection="modis-13q1",
        scale=0.0001 if scaled else None,
        offset=0.0 if scaled else None,
        nodata=-3000.0 if index else -1000.0 if name in SPECTRAL else None,
    )


def _chinese(stem: str) -> ProductName | None:
    found = _CHINESE.match(stem)
    day = _day(found["day"]) if found else None
    if found is None or day is None:
        return None
    pan = found["part"] == "PAN" or found["sensor"] in {"NAD", "FWD", "BWD"}
    multi = found["part"] in {"MSS", "MUX"} or found["sensor"] in {"MUX", "WFV"}
    gaofen = found["platform"].startswith("GF")
    satellite = re.sub(r"^(GF1)[BCD]$|^(ZY3)0\d$", r"\1\2", found["platform"])
    return ProductName(
        product=stem,
        family="gaofen" if gaofen else "ziyuan",
        when=noon_utc(day),
        platform=found["platform"].lower(),
        bands=("pan",) if pan else (),
        day_only=True,
        collection="gaofen" if gaofen else "ziyuan",
        sensor=_CHINESE_SENSORS.get((satellite, found["sensor"])) if multi and not pan else None,
    )


def _day(text: str) -> dt.date | None:
    try:
        day = dt.date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
    return day if _FIRST_YEAR <= day.year < 2100 else None


def _moment(text: str, form: str = "%Y%m%dT%H%M%S") -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
