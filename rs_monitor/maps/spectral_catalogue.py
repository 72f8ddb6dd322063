"""Spectral indices by their short name in the Awesome Spectral Indices catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.errors import ConfigError, QuantityError
from rs_monitor.lazy import map_pixels
from rs_monitor.maps.indices import normalised_difference

BAND_OF_LETTER: Mapping[str, str] = {
    "A": "coastal",
    "B": "blue",
    "G": "green",
    "R": "red",
    "RE1": "rededge1",
    "RE2": "rededge2",
    "RE3": "rededge3",
    "N": "nir",
    "N2": "nir08",
    "WV": "nir09",
    "S1": "swir16",
    "S2": "swir22",
}
"""Letters of the catalogue's formulas and the bands of this package that they mean."""

_CONSTANTS: Mapping[str, Mapping[str, float]] = {"SAVI": {"L": 0.5}}
"""Where the catalogue's one default is not the index's own: Huete (1988) has L = 0.5."""

_UNITS: Mapping[str, str] = {"S2REP": "nm"}

VALID_RANGE: Mapping[str, tuple[float, float]] = {
    "S2REP": (705.0, 740.0),
    "EVI": (-0.2, 1.0),
    "EVI2": (-0.2, 1.0),
}
"""Values beyond are not looks at the ground but small denominators, and become NaN.

S2REP interpolates between bands at 705 and 740 nm (Frampton et al. 2013,
doi:10.1016/j.isprsjprs.2013.04.007); the enhanced vegetation indices have the valid range of
MOD13 (Didan et al. 2015, MODIS Vegetation Index User's Guide).
"""

_NORMALISED = re.compile(r"\((\w+)-(\w+)\)/\(\1\+\2\)")


@dataclass(frozen=True)
class SpectralIndex:
    """One index of the catalogue, in the terms of this package.

    Attributes
    ----------
    name : str
        Short name in the catalogue, such as ``NDVI``.
    long_name, formula, reference : str
        As the catalogue has them; letters of ``BAND_OF_LETTER`` stand for bands.
    bands : tuple of str
        Bands it is made of; those of a normalised difference in its order.
    constants : mapping
        Numbers of the formula that are no bands.
    units : str
    """

    name: str
    long_name: str
    formula: str
    reference: str
    bands: tuple[str, ...]
    constants: Mapping[str, float] = field(hash=False)
    units: str

    @property
    def is_normalised_difference(self) -> bool:
        """Whether it is (a - b) / (a + b) of two bands."""
        return _NORMALISED.fullmatch(self.formula) is not None


_OURS: Mapping[str, tuple[str, str]] = {
    "NDVI": ("nir", "red"),
    "MNDWI": ("green", "swir16"),
    "NDBI": ("swir16", "nir"),
}
"""Indices of :mod:`rs_monitor.maps.indices`: known without reading the catalogue."""


@cache
def spectral_index(name: str) -> SpectralIndex:
    """Look an index up.

    Parameters
    ----------
    name : str
        Short name, spelt as in the catalogue.

    Raises
    ------
    ConfigError
        If the catalogue has no such index, or it needs what no band or constant gives: radar,
        temperatures, kernels.

    Notes
    -----
    Catalogue: Montero et al. (2023), doi:10.1038/s41597-023-02096-0, as shipped with spyndex;
    nothing is fetched.
    """
    import spyndex

    entry = spyndex.indices.get(name)
    if entry is None:
        raise ConfigError(
            "spectral index",
            [f"got {name!r}; needed a short name of the catalogue {_near(name, spyndex.indices)}"],
        )
    constants = {
        letter: float(value)
        for letter in entry.bands
        if letter not in BAND_OF_LETTER and (value := _constant(name, letter)) is not None
    }
    unknown = [k for k in entry.bands if k not in BAND_OF_LETTER and k not in constants]
    if unknown:
        raise ConfigError(
            "spectral index",
            [
                f"got {name}, whose formula {entry.formula} needs {', '.join(unknown)}; needed "
                "reflectance bands and constants only; choose another index"
            ],
        )
    shape = _NORMALISED.fullmatch(entry.formula)
    letters = shape.groups() if shape else [k for k in entry.bands if k in BAND_OF_LETTER]
    return SpectralIndex(
        name,
        entry.long_name,
        entry.formula,
        entry.reference,
        tuple(BAND_OF_LETTER[letter] for letter in letters),
        constants,
        _UNITS.get(name, "1"),
    )


def _constant(name: str, letter: str) -> float | None:
    import spyndex

    own = _CONSTANTS.get(name, {}).get(letter)
    known = spyndex.constants.get(letter)
    return own if own is not None or known is None else known.default


def _near(name: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    by_lower = {other.lower(): other for other in known}
    near = [by_lower[k] for k in get_close_matches(name.lower(), by_lower, n=3)]
    return f"(did you mean {', '.join(near)}?)" if near else "of spyndex"


def index_bands(name: str) -> tuple[str, ...]:
    """Bands an index is made of; raises as :func:`spectral_index`."""
    return _OURS[name] if name in _OURS else spectral_index(name).bands


def index_units(name: str) -> str:
    """Unit of an index; raises as :func:`spectral_index`."""
    return _UNITS.get(name, "1")


def index_values(name: str, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Values of an index.

    Parameters
    ----------
    name : str
        Short name in the catalogue.
    bands : mapping of str to ndarray of float32
        Reflectance by band name, 0-1, NaN = not seen; arrays of one shape.

    Returns
    -------
    ndarray of float32
        NaN where a band is NaN, where the formula divides by nothing or leaves the real numbers,
        and beyond ``VALID_RANGE``.

    Raises
    ------
    ConfigError
        As :func:`spectral_index`.

    Notes
    -----
    Normalised differences are those of :func:`rs_monitor.maps.indices.normalised_difference`; all
    other formulas are the catalogue's, evaluated by spyndex.
    """
    if name in _OURS or spectral_index(name).is_normalised_difference:
        one, other = index_bands(name)
        return normalised_difference(bands[one], bands[other])
    return _by_catalogue(name, bands)


def _by_catalogue(name: str, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    import spyndex

    index = spectral_index(name)
    letters = {letter: band for letter, band in BAND_OF_LETTER.items() if band in index.bands}
    params = {letter: bands[band] for letter, band in letters.items()}
    with np.errstate(all="ignore"):
        values = np.asarray(spyndex.computeIndex(name, {**params, **index.constants}), np.float32)
    low, high = VALID_RANGE.get(name, (-np.inf, np.inf))
    good = np.isfinite(values) & (values >= low) & (values <= high)
    return np.where(good, values, np.float32(np.nan))


def index_map(reflectance: xr.Dataset, name: str) -> xr.DataArray:
    """Index of every look.

    Parameters
    ----------
    reflectance : Dataset of float32
        Bands by name, 0-1, NaN = not seen.
    name : str
        Short name in the catalogue.

    Returns
    -------
    DataArray of float32
        As :func:`index_values`; named in lower case.

    Raises
    ------
    ConfigError
        As :func:`spectral_index`, and if the Dataset lacks a band.
    QuantityError
        If the numbers are not reflectance.
    """
    needed = index_bands(name)
    require_reflectance(reflectance, needed, what=name)
    known = spectral_index(name)
    return map_pixels(
        partial(_of_stacks, name=name, bands=needed),
        *(reflectance[band] for band in needed),
        dtype=np.float32,
        name=name.lower(),
        attrs={"long_name": known.long_name, "units": known.units, "method": known.reference},
    )


def _of_stacks(
    *stacks: NDArray[np.float32], name: str, bands: tuple[str, ...]
) -> NDArray[np.float32]:
    return index_values(name, dict(zip(bands, stacks, strict=True)))


def require_reflectance(cube: xr.Dataset, bands: tuple[str, ...], *, what: str) -> None:
    """Refuse a cube that lacks bands or is not of reflectance, before a pixel is read.

    Parameters
    ----------
    cube : Dataset
    bands : tuple of str
        What is needed.
    what : str
        What needs them, for the message.

    Raises
    ------
    ConfigError
        If bands are missing.
    QuantityError
        If the cube says that it holds raw numbers, or the bands are integers.
    """
    lacking = [band for band in bands if band not in cube.data_vars]
    if lacking:
        have = ", ".join(map(str, cube.data_vars)) or "no band"
        raise ConfigError(
            what,
            [
                f"got {have}; needed also {', '.join(lacking)}; load what is missing, or choose "
                "features without it"
            ],
        )
    if cube.attrs.get("quantity") == "dn":
        raise QuantityError("got a cube of dn; needed reflectance; call to_reflectance")
    for band in bands:
        if cube[band].dtype.kind != "f":
            raise QuantityError(
                f"got {band!r} as {cube[band].dtype}; needed float reflectance with NaN where not "
                "seen; call to_reflectance"
            )
