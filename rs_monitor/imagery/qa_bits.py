"""What the values of each provider's mask band say, as look-up tables.

A table has an entry for every value the band can hold, so decoding is one look-up a pixel, and a
value that the provider never writes is refused by name instead of being read as something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rs_monitor.codes import Sky
from rs_monitor.errors import MaskError

Words = NDArray[np.uint16]
Flags = NDArray[np.bool_]
MaskKind = Literal["scl", "qa_pixel", "bqa", "fmask", "hls_fmask", "cloudmask"]

BESIDE_CLOUD = 254
"""In a table: the provider's own rim around its clouds and shadows."""

REFUSED = 255
"""In a table: a value the provider never writes."""

_NONE, _LOW, _MEDIUM, _HIGH = range(4)
_SHOWN = 5


class SceneClass(IntEnum):
    """Sentinel-2 Level-2A scene classification (Sen2Cor; Sentinel-2 product specification)."""

    NO_DATA = 0
    SATURATED = 1
    DARK_AREA = 2
    CLOUD_SHADOW = 3
    VEGETATION = 4
    NOT_VEGETATED = 5
    WATER = 6
    UNCLASSIFIED = 7
    CLOUD_MEDIUM = 8
    CLOUD_HIGH = 9
    THIN_CIRRUS = 10
    SNOW = 11


CLEAR_SCL = frozenset(
    {
        SceneClass.DARK_AREA,
        SceneClass.VEGETATION,
        SceneClass.NOT_VEGETATED,
        SceneClass.WATER,
        SceneClass.UNCLASSIFIED,
    }
)
"""Classes that show the ground. Dark areas stay: wet ploughed soil and flooded paddy fall there."""


@cache
def sky_table(kind: MaskKind) -> NDArray[np.uint8]:
    """Meaning of every value of a kind of mask band.

    Parameters
    ----------
    kind : {'scl', 'qa_pixel', 'bqa', 'fmask', 'hls_fmask', 'cloudmask'}

    Returns
    -------
    ndarray of uint8, shape (256,) or (65536,)
        A :class:`~rs_monitor.codes.Sky`, ``BESIDE_CLOUD`` or ``REFUSED``; read only.

    Notes
    -----
    ``scl``: Sentinel-2 Level-2A scene classification. ``fmask``: codes of Fmask (Zhu, Woodcock
    2012, doi:10.1016/j.rse.2011.10.028). ``hls_fmask``: HLS v2.0 user guide, table of the Fmask
    layer. ``cloudmask``: 1 = cloud, 255 = no data (s2cloudless). ``qa_pixel``: Landsat
    Collection 2 QA_PIXEL (LSDS-1619, LSDS-1618). ``bqa``: Landsat BQA, Collection 1 (LSDS-1873)
    and, where bits 14-15 are set, Landsat 8 before the collections
    (https://landsat.usgs.gov/qualityband). ``tests/imagery/bqa_table.toml`` and
    ``tests/imagery/test_qa_bits.py`` check them value by value.
    """
    table = _TABLES[kind]()
    table.setflags(write=False)
    return table


def decode(values: NDArray[Any], kind: MaskKind, nodata: float | None = None) -> NDArray[np.uint8]:
    """Turn the values of a mask band into what was seen.

    Parameters
    ----------
    values : ndarray of any number type
        As stored by the provider; NaN = outside the scene.
    kind : {'scl', 'qa_pixel', 'bqa', 'fmask', 'hls_fmask', 'cloudmask'}
    nodata : float, optional
        The band's nodata value; it stands for "not seen" where the kind gives it no meaning of
        its own, and may not be a value of ground.

    Returns
    -------
    ndarray of uint8, same shape
        As in :func:`sky_table`, never ``REFUSED``.

    Raises
    ------
    MaskError
        If a value is none that the provider writes: the band is of another kind, or was
        resampled as if its codes were numbers; or if ``nodata`` is a value of ground.
    """
    require_unambiguous(kind, nodata)
    table = sky_table(kind)
    if np.issubdtype(values.dtype, np.floating):
        outside = np.isnan(values)
        whole = np.where(outside, 0, values)
        strange = (whole != np.rint(whole)) | (whole < 0) | (whole >= table.size)
    else:
        outside = np.zeros(values.shape, dtype=bool)
        whole = values
        strange = (values < 0) | (values.astype(np.int64) >= table.size)
    found = table[np.where(strange, 0, whole).astype(np.intp)]
    found[strange] = REFUSED
    if nodata is not None:
        found[(found == REFUSED) & (values == nodata)] = Sky.NOT_SEEN
    found[outside] = Sky.NOT_SEEN
    if (found == REFUSED).any():
        raise _refusal(np.unique(values[found == REFUSED]), kind)
    return found


def require_unambiguous(kind: MaskKind, nodata: float | None, band: str = "mask") -> None:
    """Refuse a nodata value that the kind calls ground: what was not seen would read as clear.

    Raises
    ------
    MaskError
    """
    table = sky_table(kind)
    if nodata is None or not (0 <= nodata < table.size and nodata == int(nodata)):
        return
    if table[int(nodata)] in (Sky.CLEAR, BESIDE_CLOUD):
        raise MaskError(
            f"got nodata {nodata:g} for band {band}; needed a value that {kind} does not use for "
            "ground, or what was not seen would read as clear; remove that nodata value in the "
            "side table of the index, or give the one the provider writes"
        )


def _refusal(strange: NDArray[Any], kind: MaskKind) -> MaskError:
    shown = ", ".join(f"{value:g}" for value in strange[:_SHOWN])
    more = f" and {strange.size - _SHOWN} more" if strange.size > _SHOWN else ""
    fits = [other for other in _TABLES if other != kind and _all_known(strange, other)]
    guess = f"they are values of {' or '.join(fits)}" if fits else "no kind known here writes them"
    return MaskError(
        f"got a mask band with the values {shown}{more}; needed values of {kind} ({guess}); set "
        "imagery.mask to the kind of the band, and resample masks by nearest neighbour only"
    )


def _all_known(values: NDArray[Any], kind: MaskKind) -> bool:
    table = sky_table(kind)
    whole = np.all((values == np.rint(values)) & (values >= 0) & (values < table.size))
    return bool(whole and (table[values.astype(np.intp)] != REFUSED).all())


def _listed(meanings: Mapping[int, Sky]) -> NDArray[np.uint8]:
    table = np.full(256, REFUSED, dtype=np.uint8)
    for value, sky in meanings.items():
        table[value] = sky
    return table


def _scl() -> NDArray[np.uint8]:
    meanings = dict.fromkeys(map(int, CLEAR_SCL), Sky.CLEAR)
    return _listed(
        {
            **meanings,
            SceneClass.NO_DATA: Sky.NOT_SEEN,
            SceneClass.SATURATED: Sky.NOT_SEEN,
            SceneClass.CLOUD_SHADOW: Sky.SHADOW,
            SceneClass.CLOUD_MEDIUM: Sky.CLOUD,
            SceneClass.CLOUD_HIGH: Sky.CLOUD,
            SceneClass.THIN_CIRRUS: Sky.CIRRUS,
            SceneClass.SNOW: Sky.SNOW,
        }
    )


def _fmask() -> NDArray[np.uint8]:
    land, water, shadow, snow, cloud, fill = 0, 1, 2, 3, 4, 255
    return _listed(
        {
            land: Sky.CLEAR,
            water: Sky.CLEAR,
            shadow: Sky.SHADOW,
            snow: Sky.SNOW,
            cloud: Sky.CLOUD,
            fill: Sky.NOT_SEEN,
        }
    )


def _cloudmask() -> NDArray[np.uint8]:
    clear, cloud, fill = 0, 1, 255
    return _listed({clear: Sky.CLEAR, cloud: Sky.CLOUD, fill: Sky.NOT_SEEN})


def _hls_fmask() -> NDArray[np.uint8]:
    words = np.arange(256, dtype=np.uint16)
    table = np.full(256, Sky.CLEAR, dtype=np.uint8)
    # bits 5 (water) and 6-7 (aerosol level) leave the ground visible; a later line outranks
    _mark(table, _bit(words, 2), BESIDE_CLOUD)
    _mark(table, _bit(words, 4), Sky.SNOW)
    _mark(table, _bit(words, 3), Sky.SHADOW)
    _mark(table, _bit(words, 0), Sky.CIRRUS)
    _mark(table, _bit(words, 1), Sky.CLOUD)
    table[255] = Sky.NOT_SEEN
    return table


def _qa_pixel() -> NDArray[np.uint8]:
    words = np.arange(1 << 16).astype(np.uint16)
    table = np.full(words.size, Sky.CLEAR, dtype=np.uint8)
    _mark(table, _bit(words, 1), BESIDE_CLOUD)
    _mark(table, _bit(words, 5), Sky.SNOW)
    _mark(table, _bit(words, 4), Sky.SHADOW)
    _mark(table, _bit(words, 2), Sky.CIRRUS)
    _mark(table, _bit(words, 3), Sky.CLOUD)
    # a value both layouts allow is Collection 1 as soon as its own flags contradict each other
    doubtful = ~_qa_pixel_flags_agree(words) & _is_collection_1(words)
    table[~_is_qa_pixel(words) | doubtful] = REFUSED
    return _with_fill(table, words)


def _bqa() -> NDArray[np.uint8]:
    words = np.arange(1 << 16).astype(np.uint16)
    table = np.full(words.size, REFUSED, dtype=np.uint8)
    table[_is_collection_1(words)] = Sky.CLEAR
    one = table == Sky.CLEAR
    _mark(table, one & (_pair(words, 9) == _HIGH), Sky.SNOW)
    _mark(table, one & (_pair(words, 7) == _HIGH), Sky.SHADOW)
    _mark(table, one & (_pair(words, 11) == _HIGH), Sky.CIRRUS)
    _mark(table, one & _bit(words, 4), Sky.CLOUD)
    older = _is_before_collections(words)
    table[older] = Sky.CLEAR
    # this layout has no cloud flag, so a medium confidence counts
    _mark(table, older & (_pair(words, 10) == _HIGH), Sky.SNOW)
    _mark(table, older & (_pair(words, 12) == _HIGH), Sky.CIRRUS)
    _mark(table, older & (_pair(words, 14) >= _MEDIUM), Sky.CLOUD)
    return _with_fill(table, words)


def _is_qa_pixel(words: Words) -> Flags:
    """Confidences a Collection 2 pixel can have.

    Cloud is always rated; shadow and snow are low or high; cirrus too, and none for Landsat 4-7.
    Bit 6 ("clear") is not asked: over water it is wrong in early Landsat 4-7 deliveries, and the
    first table of the guide has it set on dilated clouds.
    """
    rated: Flags = (_pair(words, 8) != _NONE) & (_pair(words, 14) != _MEDIUM)
    return rated & _low_or_high(_pair(words, 10)) & _low_or_high(_pair(words, 12))


def _qa_pixel_flags_agree(words: Words) -> Flags:
    """Whether each flag of a Collection 2 pixel goes with a high confidence (cloud: medium)."""
    agree: Flags = ~_bit(words, 3) | (_pair(words, 8) >= _MEDIUM)
    for flag, confidence in ((4, 10), (5, 12), (2, 14)):
        agree &= _bit(words, flag) == (_pair(words, confidence) == _HIGH)
    return agree


def _is_collection_1(words: Words) -> Flags:
    """Collection 1: bits 13-15 unused; confidences as in Collection 2, cirrus none for TM, ETM+."""
    cloud = _pair(words, 5)
    rated: Flags = (cloud != _NONE) & (_pair(words, 11) != _MEDIUM) & (words < 1 << 13)
    agree: Flags = ~_bit(words, 4) | (cloud == _HIGH)
    return rated & agree & _low_or_high(_pair(words, 7)) & _low_or_high(_pair(words, 9))


def _is_before_collections(words: Words) -> Flags:
    """Landsat 8 before the collections: cloud and cirrus always rated, bits 3 and 6-9 never set."""
    unused = np.uint16(0b11_1100_1000)
    rated: Flags = (_pair(words, 14) != _NONE) & (_pair(words, 12) != _NONE)
    free: Flags = words & unused == 0
    return rated & free


def _low_or_high(confidence: Words) -> Flags:
    return np.isin(confidence, [_LOW, _HIGH])


def _bit(words: Words, place: int) -> Flags:
    return np.asarray(words >> np.uint16(place) & np.uint16(1), dtype=bool)


def _pair(words: Words, place: int) -> Words:
    return np.asarray(words >> np.uint16(place) & np.uint16(3), dtype=np.uint16)


def _mark(table: NDArray[np.uint8], where: Flags, meaning: int) -> None:
    table[where] = meaning


def _with_fill(table: NDArray[np.uint8], words: Words) -> NDArray[np.uint8]:
    """Fill is bit 0 and nothing else in every layout; 0 is what lies outside a file."""
    table[_bit(words, 0)] = REFUSED
    table[:2] = Sky.NOT_SEEN
    return table


_TABLES: Mapping[MaskKind, Callable[[], NDArray[np.uint8]]] = {
    "scl": _scl,
    "qa_pixel": _qa_pixel,
    "bqa": _bqa,
    "fmask": _fmask,
    "hls_fmask": _hls_fmask,
    "cloudmask": _cloudmask,
}
