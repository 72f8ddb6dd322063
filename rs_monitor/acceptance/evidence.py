"""What a claim is judged on, and the numbers taken from it for one claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.acceptance.overlay import Overlay, valid_shapes
from rs_monitor.acceptance.rules import AcceptanceRules, SlopeRule
from rs_monitor.codes import CROPLAND, NODATA, SEALED, LandCover, is_arable
from rs_monitor.config.imagery import Period
from rs_monitor.errors import GridMismatch, LayerError
from rs_monitor.kernels.grades import grade_codes
from rs_monitor.maps.cover import Cover, cover_of, sample, weighted_mean

CYCLES_NOT_SEEN = 255

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything known about the place; what is None makes its rules ``not_evaluated``.

    Attributes
    ----------
    land : GeoDataFrame, optional
        Baseline survey with ``land_code``.
    pbf, redline : GeoDataFrame, optional
        Permanent basic farmland (its overlap is reported only) and ecological red line.
    forbidden : mapping of str to GeoDataFrame
        Further layers no new arable land may lie in, by name.
    geobox : GeoBox, optional
        Projected grid of all rasters.
    land_cover_before, land_cover_after : ndarray of uint8, shape (y, x), optional
        Monitor classes, 0 = not seen.
    clear_looks_after : ndarray of uint16, shape (y, x), optional
        Clear looks of the after period.
    doubtful_looks_after : ndarray of uint16, shape (y, x), optional
        Those of them kept as ground though a mask called them cloud.
    crop_cycles_before, crop_cycles_after : ndarray of uint8, shape (y, x), optional
        Crop cycles seen in each period, 255 = not seen.
    slope_deg : ndarray of float32, shape (y, x), optional
        Degrees, NaN = unknown.
    before, after : Period, optional
        Days the rasters cover; without them nothing is known to lie ahead of or after completion.
    unsound : GeoDataFrame, optional
        Areas whose imagery failed a check, e.g. by a radiometric step, with the ``reason`` of
        each: there imagery speaks neither for nor against a claim.

    Raises
    ------
    GridMismatch
        If a raster comes without grid or has another shape than the grid.
    LayerError
        If ``unsound`` gives no reasons.
    """

    land: gpd.GeoDataFrame | None = None
    pbf: gpd.GeoDataFrame | None = None
    redline: gpd.GeoDataFrame | None = None
    forbidden: Mapping[str, gpd.GeoDataFrame] = field(default_factory=dict)
    geobox: GeoBox | None = None
    land_cover_before: NDArray[np.uint8] | None = None
    land_cover_after: NDArray[np.uint8] | None = None
    clear_looks_after: NDArray[np.uint16] | None = None
    doubtful_looks_after: NDArray[np.uint16] | None = None
    crop_cycles_before: NDArray[np.uint8] | None = None
    crop_cycles_after: NDArray[np.uint8] | None = None
    slope_deg: NDArray[np.float32] | None = None
    before: Period | None = None
    after: Period | None = None
    unsound: gpd.GeoDataFrame | None = None

    def __post_init__(self) -> None:
        if self.unsound is not None and "reason" not in self.unsound.columns:
            raise LayerError(
                "got areas of unsound imagery without a column reason; needed one that says why; "
                "name the check that failed"
            )
        wanted = None if self.geobox is None else tuple(self.geobox.shape)
        rasters = {
            "land_cover_before": self.land_cover_before,
            "land_cover_after": self.land_cover_after,
            "clear_looks_after": self.clear_looks_after,
            "doubtful_looks_after": self.doubtful_looks_after,
            "crop_cycles_before": self.crop_cycles_before,
            "crop_cycles_after": self.crop_cycles_after,
            "slope_deg": self.slope_deg,
        }
        for name, raster in rasters.items():
            if raster is not None and raster.shape != wanted:
                raise GridMismatch(
                    f"got {name} of shape {raster.shape}; needed the grid's shape {wanted}; give "
                    "every raster on the one grid of the evidence"
                )

    @property
    def siting_layers(self) -> dict[str, gpd.GeoDataFrame]:
        """Layers new arable land may not lie in, the red line first."""
        first = {} if self.redline is None else {"redline": self.redline}
        return {**first, **self.forbidden}


@dataclass(frozen=True, slots=True)
class Overlays:
    """The vector layers of the evidence, prepared once for all claims."""

    land: Overlay | None
    arable: Overlay | None
    pbf: Overlay | None
    siting: Mapping[str, Overlay]
    unsound: tuple[tuple[shapely.Geometry, str], ...] = ()

    @classmethod
    def of(cls, evidence: Evidence, crs: pyproj.CRS) -> Self:
        """Bring every layer to the CRS of the claims."""
        land, pbf = evidence.land, evidence.pbf
        return cls(
            land=None if land is None else Overlay(land, crs, "land"),
            arable=None if land is None else Overlay(_arable(land), crs, "land"),
            pbf=None if pbf is None else Overlay(pbf, crs, "pbf"),
            siting={n: Overlay(f, crs, n) for n, f in evidence.siting_layers.items()},
            unsound=_unsound(evidence.unsound, crs),
        )


def _unsound(
    layer: gpd.GeoDataFrame | None, crs: pyproj.CRS
) -> tuple[tuple[shapely.Geometry, str], ...]:
    if layer is None:
        return ()
    # "; " parts the reasons of one claim
    reasons = [str(why).replace("; ", ", ") for why in layer["reason"]]
    return tuple(zip(valid_shapes(layer, crs, "unsound"), reasons, strict=True))


def _arable(land: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return land[[is_arable(code) for code in land["land_code"]]]


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Interior pixels of a claim by what was seen on them; None where a raster is absent.

    Attributes
    ----------
    n_px : int
        Interior pixels, seen or not.
    interior_share : float
        Their area as a share of the official area.
    seen, crop, bare, built, standing, other, unsure : int, optional
        Seen after, and seen as each; ``standing`` is built ground without a crop cycle, ``unsure``
        any ground whose class and season disagree.
    cycles_seen, cropped : int, optional
        With a known number of crop cycles, and with enough of them.
    doubtful_share : float, optional
        Share of their clear looks after that a mask called cloud; None also without a look.
    seen_before, crop_before, tilled_before : int, optional
        Seen before, classed cropland before, and of those with a crop cycle seen.
    """

    n_px: int
    interior_share: float
    seen: int | None = None
    crop: int | None = None
    bare: int | None = None
    built: int | None = None
    standing: int | None = None
    other: int | None = None
    unsure: int | None = None
    cycles_seen: int | None = None
    cropped: int | None = None
    doubtful_share: float | None = None
    seen_before: int | None = None
    crop_before: int | None = None
    tilled_before: int | None = None


@dataclass(frozen=True, slots=True)
class SlopeSummary:
    """Slope of a claim weighted by the part of each pixel inside it."""

    mean_deg: float
    steep_share: float
    unknown_share: float
    grade: str


@dataclass(frozen=True, slots=True)
class Measures:
    """All numbers about one claim; shares 0-1, areas in m2 on the ellipsoid."""

    recomputed_area_m2: float
    arable_share: float | None
    baseline_share: float | None
    pbf_overlap_m2: float | None
    overlaps_m2: Mapping[str, float]
    empty_layers: tuple[str, ...]
    pixels: PixelCounts | None
    slope: SlopeSummary | None
    unsound: tuple[str, ...] = ()


def measure_claim(
    geometry: shapely.Geometry,
    area_m2: float,
    crs: pyproj.CRS,
    evidence: Evidence,
    overlays: Overlays,
    rules: AcceptanceRules,
) -> Measures:
    """Take every number about one claim.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        Surveyed polygon in ``crs``.
    area_m2 : float
        Its official area, square metres.
    crs : pyproj.CRS
        Delivered CRS of the claims.
    evidence : Evidence
        Layers and rasters.
    overlays : Overlays
        The layers of ``evidence``, prepared.
    rules : AcceptanceRules
        Which pixels count.
    """
    covered = None
    if evidence.geobox is not None:
        covered = cover_of(geometry, crs, evidence.geobox)
    return Measures(
        recomputed_area_m2=area_m2,
        arable_share=_share(overlays.arable, geometry, area_m2),
        baseline_share=_share(overlays.land, geometry, area_m2),
        pbf_overlap_m2=None if overlays.pbf is None else overlays.pbf.overlap_m2(geometry),
        overlaps_m2={
            name: o.overlap_m2(geometry) for name, o in overlays.siting.items() if not o.empty
        },
        empty_layers=tuple(name for name, o in overlays.siting.items() if o.empty),
        pixels=None if covered is None else _count(covered, area_m2, evidence, rules),
        slope=None if covered is None else _slope(covered, evidence.slope_deg, rules.slp_01),
        unsound=tuple(
            dict.fromkeys(
                why for area, why in overlays.unsound if shapely.intersects(area, geometry)
            )
        ),
    )


def _share(overlay: Overlay | None, geometry: shapely.Geometry, area_m2: float) -> float | None:
    return None if overlay is None else overlay.overlap_m2(geometry) / area_m2


def _count(cover: Cover, area_m2: float, evidence: Evidence, rules: AcceptanceRules) -> PixelCounts:
    inner = cover.interior(rules.pixels.interior_cover.value)
    counts: dict[str, int] = {}
    if evidence.clear_looks_after is not None:
        enough = sample(evidence.clear_looks_after, inner, 0) >= rules.pixels.min_looks.value
        cycles = _cycles(evidence.crop_cycles_after, inner, enough)
        seasons = rules.new_04.min_seasons.value
        counts |= _count_after(evidence.land_cover_after, inner, enough, cycles, seasons)
        if cycles is not None:
            known = cycles != CYCLES_NOT_SEEN
            counts["cycles_seen"] = int(known.sum())
            counts["cropped"] = int((known & (cycles >= seasons)).sum())
    if evidence.land_cover_before is not None:
        classes = sample(evidence.land_cover_before, inner, NODATA)
        counts["seen_before"] = int((classes != NODATA).sum())
        crop = np.isin(classes, list(CROPLAND))
        counts["crop_before"] = int(crop.sum())
        cycles = _cycles(evidence.crop_cycles_before, inner, classes != NODATA)
        tilled = crop & _had_crop(cycles, rules.new_04.min_seasons.value, crop)
        counts["tilled_before"] = int(tilled.sum())
    n_px = inner.fraction.size
    return PixelCounts(
        n_px,
        n_px * _pixel_m2(evidence.geobox) / area_m2,
        doubtful_share=_doubtful_share(evidence, inner),
        **counts,
    )


def _doubtful_share(evidence: Evidence, inner: Cover) -> float | None:
    if evidence.clear_looks_after is None or evidence.doubtful_looks_after is None:
        return None
    looks = int(sample(evidence.clear_looks_after, inner, 0).sum(dtype=np.int64))
    doubtful = int(sample(evidence.doubtful_looks_after, inner, 0).sum(dtype=np.int64))
    return doubtful / looks if looks else None


def _pixel_m2(geobox: GeoBox | None) -> float:
    return 0.0 if geobox is None else abs(geobox.resolution.x * geobox.resolution.y)


def _count_after(
    land_cover: NDArray[np.uint8] | None,
    inner: Cover,
    enough: Bools,
    cycles: NDArray[np.uint8] | None,
    seasons: int,
) -> dict[str, int]:
    if land_cover is None:
        return {}
    classes = np.where(enough, sample(land_cover, inner, NODATA), NODATA)
    crop_class = np.isin(classes, list(CROPLAND))
    bare_class = classes == LandCover.BARE
    had_crop = _had_crop(cycles, seasons, bare_class)
    # ground classed bare on which a canopy grew is a young field
    grown = bare_class & had_crop
    # class and season disagree: this ground speaks neither for nor against the claim
    unsure = (classes != NODATA) & ~crop_class & ~bare_class & had_crop
    counts = {
        "seen": classes != NODATA,
        "crop": crop_class | grown,
        "bare": bare_class & ~grown,
        "built": np.isin(classes, list(SEALED)),
        "standing": np.isin(classes, list(SEALED)) & ~had_crop,
        "unsure": unsure,
        "other": (classes != NODATA) & ~crop_class & ~bare_class & ~unsure,
    }
    return {name: int(pixels.sum()) for name, pixels in counts.items()}


def _had_crop(cycles: NDArray[np.uint8] | None, seasons: int, like: Bools) -> Bools:
    if cycles is None:
        return np.zeros_like(like)
    return np.asarray((cycles != CYCLES_NOT_SEEN) & (cycles >= seasons))


def _cycles(
    cycles: NDArray[np.uint8] | None, inner: Cover, enough: Bools
) -> NDArray[np.uint8] | None:
    """Crop cycles of the interior pixels; not seen where the looks do not suffice."""
    if cycles is None:
        return None
    values = sample(cycles, inner, CYCLES_NOT_SEEN)
    return np.where(enough, values, np.uint8(CYCLES_NOT_SEEN))


def _slope(
    cover: Cover, slope_deg: NDArray[np.float32] | None, rule: SlopeRule
) -> SlopeSummary | None:
    if slope_deg is None:
        return None
    slope = sample(slope_deg, cover, np.nan)
    weight = cover.fraction
    mean_deg, unknown_share = weighted_mean(slope, weight)
    if unknown_share == 1.0:
        return SlopeSummary(float("nan"), 0.0, 1.0, "")
    grades = grade_codes(slope, rule.grade_limits.values)
    per_grade = np.bincount(grades[grades != NODATA], weights=weight[grades != NODATA])
    return SlopeSummary(
        mean_deg=mean_deg,
        steep_share=float(weight[slope > rule.steep_above.value].sum() / weight.sum()),
        unknown_share=unknown_share,
        grade=str(int(per_grade.argmax())),
    )
