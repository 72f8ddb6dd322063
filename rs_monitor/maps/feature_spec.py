"""Which features a classifier reads: a record that a model card carries, and the named ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rs_monitor.config.tables import Model
from rs_monitor.errors import ConfigError
from rs_monitor.maps.spectral_catalogue import index_bands, index_units

Fraction = Annotated[float, Field(ge=0, le=1)]
TextureMeasure = Literal["std", "range", "contrast", "homogeneity"]
PeriodKind = Literal["scene", "season", "years"]

_PART_WORDS = {2: "half", 3: "third", 4: "quarter"}
_UNITS_BY_ENDING = {"_deg": "degree", "_m": "m", "_days": "day"}


class FeatureSpec(Model):
    """What is computed of the looks of a period, in the order of ``names``.

    A series is a band (by its common name) or an index (its short name in lower case).
    """

    period: PeriodKind = Field(
        description="scene: no course of time; season: parts of the period; years: parts of the "
        "year that begins on the period's first day, all years together"
    )
    bands: tuple[str, ...] = Field((), description="bands, by their common names")
    indices: tuple[str, ...] = Field((), description="indices, by short name in the catalogue")
    band_quantiles: tuple[Fraction, ...] = Field((), description="along time, of each band")
    index_quantiles: tuple[Fraction, ...] = Field((), description="along time, of each index")
    band_spreads: tuple[tuple[Fraction, Fraction], ...] = Field(
        (), description="pairs of quantiles whose difference is a feature, of each band"
    )
    index_spreads: tuple[tuple[Fraction, Fraction], ...] = Field(
        (), description="pairs of quantiles whose difference is a feature, of each index"
    )
    parts: int = Field(0, ge=0, le=12, description="equal parts of the period or of the year")
    parts_of: tuple[str, ...] = Field((), description="series whose median in each part is taken")
    peak_day_of: tuple[str, ...] = Field(
        (), description="series whose day of greatest value is taken, counted from the first day"
    )
    harmonic_order: int = Field(0, ge=0, le=4, description="harmonics of the year")
    harmonics_of: tuple[str, ...] = Field((), description="series a harmonic model is fitted to")
    harmonic_looks: int = Field(
        0, ge=0, description="clear looks per coefficient that a harmonic model needs"
    )
    texture_of: tuple[str, ...] = Field(
        (), description="series the texture of whose median is taken"
    )
    texture_windows_px: tuple[int, ...] = Field((), description="odd edges of the windows")
    texture_measures: tuple[TextureMeasure, ...] = Field((), description="what of each window")
    texture_step: float = Field(
        0.0, ge=0, description="difference of neighbours at which homogeneity is one half"
    )
    terrain: tuple[str, ...] = Field((), description="variables of the terrain Dataset")
    clear_looks: bool = Field(False, description="whether the number of clear looks is a feature")

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSpec:
        problems = [*self._unknown_series(), *self._half_said(), *self._bad_numbers()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_series(self) -> Iterable[str]:
        known = set(self.series)
        for key in ("parts_of", "peak_day_of", "harmonics_of", "texture_of"):
            unknown = [name for name in getattr(self, key) if name not in known]
            if unknown:
                yield f"{key}: {', '.join(unknown)} is neither a band nor an index of the features"

    def _half_said(self) -> Iterable[str]:
        pairs = (
            ("parts", "parts_of"),
            ("harmonic_order", "harmonics_of"),
            ("texture_of", "texture_windows_px"),
            ("texture_of", "texture_measures"),
        )
        for one, other in pairs:
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                yield f"{one} and {other} need each other"
        if "homogeneity" in self.texture_measures and self.texture_step == 0:
            yield "homogeneity needs texture_step"
        if self.period == "scene" and (self.parts or self.peak_day_of or self.harmonic_order):
            yield "a scene has no course of time: no parts, day of peak or harmonics"

    def _bad_numbers(self) -> Iterable[str]:
        if any(edge < 3 or edge % 2 == 0 for edge in self.texture_windows_px):
            yield "texture_windows_px: needs odd edges of 3 or more"
        if any(low >= high for low, high in (*self.band_spreads, *self.index_spreads)):
            yield "spreads: the first quantile must be the lower"
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            yield f"named twice: {', '.join(twice)}"
        if not self.series:
            yield "needs at least one band or index"

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the bands and indices followed through time."""
        return (*self.bands, *(index.lower() for index in self.indices))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, unique, in the order they are computed in."""
        return (*self.time_names(), *self.texture_names(), *self.terrain)

    @property
    def required_bands(self) -> tuple[str, ...]:
        """Bands a cube must have; raises ``ConfigError`` for an index the catalogue lacks."""
        of_indices = (band for index in self.indices for band in index_bands(index))
        return tuple(dict.fromkeys((*self.bands, *of_indices)))

    @property
    def texture_reach_px(self) -> int:
        """Pixels on each side that texture looks at; 0 without texture."""
        return max((edge // 2 for edge in self.texture_windows_px), default=0)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each feature, in the order of ``names``."""
        return tuple(self._unit(name) for name in self.names)

    def quantiles_of(self, series: str) -> tuple[float, ...]:
        """Quantiles of a series that are features."""
        return self.band_quantiles if series in self.bands else self.index_quantiles

    def spreads_of(self, series: str) -> tuple[tuple[float, float], ...]:
        """Pairs of quantiles of a series whose differences are features."""
        return self.band_spreads if series in self.bands else self.index_spreads

    def part_names(self, series: str) -> tuple[str, ...]:
        """Names of the medians of a series in the parts of the period or year."""
        word = _PART_WORDS.get(self.parts, f"part_of_{self.parts}_")
        kind = "year_" if self.period == "years" else ""
        return tuple(f"{series}_{kind}{word}{k + 1}" for k in range(self.parts))

    def harmonic_names(self, series: str) -> tuple[str, ...]:
        """Names of the coefficients, amplitudes and residual of a series."""
        each = range(1, self.harmonic_order + 1)
        waves = [f"{series}_{wave}{k}" for wave in ("cos", "sin", "amplitude") for k in each]
        return (f"{series}_level", *waves, f"{series}_residual")

    def texture_names(self) -> tuple[str, ...]:
        """Names of the texture features."""
        return tuple(
            f"{series}_{measure}_{edge}px"
            for series in self.texture_of
            for edge in self.texture_windows_px
            for measure in self.texture_measures
        )

    def time_names(self) -> tuple[str, ...]:
        """Names of what each pixel's own looks give."""
        names = [name for series in self.series for name in self._quantile_names(series)]
        names += [name for series in self.parts_of for name in self.part_names(series)]
        names += [f"{series}_peak_days" for series in self.peak_day_of]
        names += [name for series in self.harmonics_of for name in self.harmonic_names(series)]
        return (*names, "clear_looks") if self.clear_looks else tuple(names)

    def within(self, bands: Iterable[str]) -> FeatureSpec:
        """Return the features that a sensor with these bands (or a cube of them) has.

        Parameters
        ----------
        bands : iterable of str
            Common names of the bands there are.

        Returns
        -------
        FeatureSpec
            Without the bands, and the indices made of them, that there are not.

        Raises
        ------
        ConfigError
            If nothing would be left.
        """
        there = set(bands)
        kept = [band for band in self.bands if band in there]
        indices = [index for index in self.indices if there.issuperset(index_bands(index))]
        known = {*kept, *(index.lower() for index in indices)}
        if not known:
            raise ConfigError(
                "features",
                [
                    f"got bands {', '.join(sorted(there)) or 'none'}; the features are of "
                    f"{', '.join(self.series)}; needed any of {', '.join(self.required_bands)}; "
                    "load some of them"
                ],
            )
        values = self.model_dump() | {"bands": kept, "indices": indices}
        for key in ("parts_of", "peak_day_of", "harmonics_of", "texture_of"):
            values[key] = [name for name in values[key] if name in known]
        for key, other in (("parts_of", "parts"), ("harmonics_of", "harmonic_order")):
            values[other] = values[other] if values[key] else 0
        if not values["texture_of"]:
            values |= {"texture_windows_px": (), "texture_measures": ()}
        return FeatureSpec.model_validate(values)

    def _quantile_names(self, series: str) -> list[str]:
        names = [quantile_name(series, q) for q in self.quantiles_of(series)]
        return names + [spread_name(series, *pair) for pair in self.spreads_of(series)]

    def _unit(self, name: str) -> str:
        ending = next((u for end, u in _UNITS_BY_ENDING.items() if name.endswith(end)), None)
        if ending is not None:
            return ending
        unit = next((u for s, u in self._series_units().items() if name.startswith(f"{s}_")), "1")
        if unit != "1" and "_contrast_" in name:
            return f"{unit}2"
        return "1" if "_homogeneity_" in name else unit

    def _series_units(self) -> dict[str, str]:
        return {index.lower(): index_units(index) for index in self.indices}


def quantile_name(series: str, fraction: float) -> str:
    """Name of a quantile of a series."""
    return f"{series}_p{100 * fraction:g}"


def spread_name(series: str, low: float, high: float) -> str:
    """Name of the difference of two quantiles of a series."""
    return f"{series}_p{100 * low:g}_to_p{100 * high:g}"


_OPTICAL = ("blue", "green", "red", "nir", "swir16", "swir22")
_RED_EDGE = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "swir16", "swir22")

SEASON = FeatureSpec(
    period="season",
    bands=_OPTICAL,
    indices=("NDVI", "MNDWI", "NDBI"),
    band_quantiles=(0.25, 0.5, 0.75),
    index_quantiles=(0.1, 0.25, 0.5, 0.75, 0.9),
    parts=3,
    parts_of=("ndvi",),
)
"""A season of any sensor with six optical bands."""

SCENE = FeatureSpec(
    period="scene",
    bands=_OPTICAL,
    indices=("NDVI", "MNDWI", "NDBI", "NDTillI", "NBR", "BI"),
    band_quantiles=(0.5,),
    index_quantiles=(0.5,),
    texture_of=("ndvi", "nir", "swir16"),
    texture_windows_px=(3, 7),
    texture_measures=("std", "contrast"),
)
"""One scene: what the spectrum says, and how even its surroundings are.

Of several looks the median of the period.
"""

SCENE_RED_EDGE = SCENE.model_copy(
    update={
        "bands": _RED_EDGE,
        "indices": (*SCENE.indices, "NDREI", "CIRE", "S2REP"),
    }
)
"""One scene of Sentinel-2."""

SEASON_RED_EDGE = FeatureSpec(
    period="season",
    bands=_RED_EDGE,
    indices=("NDVI", "MNDWI", "NDBI", "NDREI", "CIRE", "S2REP"),
    band_quantiles=(0.25, 0.5, 0.75),
    index_quantiles=(0.1, 0.25, 0.5, 0.75, 0.9),
    parts=3,
    parts_of=("ndvi", "ndrei"),
)
"""A season of Sentinel-2: red-edge bands and indices beside those of ``SEASON``."""

YEARS = FeatureSpec(
    period="years",
    bands=_OPTICAL,
    indices=("NDVI", "MNDWI", "NDBI"),
    band_quantiles=(0.25, 0.5, 0.75),
    index_quantiles=(0.1, 0.25, 0.5, 0.75, 0.9),
    index_spreads=((0.25, 0.75), (0.1, 0.9)),
    parts=4,
    parts_of=("ndvi", "mndwi", "nir", "swir16"),
    peak_day_of=("ndvi",),
    harmonic_order=2,
    harmonics_of=("ndvi", "mndwi"),
    harmonic_looks=3,
)
"""A whole year or several: the course of the year, all years together.

Three looks per coefficient as in Zhu & Woodcock (2014), doi:10.1016/j.rse.2014.01.011.
"""

NAMED: Mapping[str, FeatureSpec] = {
    "scene": SCENE,
    "scene_red_edge": SCENE_RED_EDGE,
    "season": SEASON,
    "season_red_edge": SEASON_RED_EDGE,
    "years": YEARS,
}
"""The records a job can name."""

TERRAIN = ("slope_deg", "topographic_position_m", "relief_10px_m")
"""What a job adds of the ground: how steep, above or below its neighbours, in hills or a plain.

Neither height nor aspect: they tell where a place lies, not what grows there.
"""


def features_named(name: str, *, texture: bool = False, terrain: bool = False) -> FeatureSpec:
    """Return a named record, with texture or terrain added.

    Parameters
    ----------
    name : str
        One of ``NAMED``.
    texture : bool
        Add the texture of ``SCENE`` to a record that has none.
    terrain : bool
        Add ``TERRAIN``.

    Returns
    -------
    FeatureSpec
    """
    spec = NAMED[name]
    added: dict[str, Any] = {"terrain": TERRAIN} if terrain else {}
    if texture and not spec.texture_of:
        keys = ("texture_of", "texture_windows_px", "texture_measures")
        added |= {key: getattr(SCENE, key) for key in keys}
    return FeatureSpec.model_validate(spec.model_dump() | added)
