"""Real folders from index to composite: what is seen, what is masked, and pictures to look at."""

import argparse
import datetime as dt
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import dask
import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from benchmarks.panels import Picture, limits_of, ramp, reasons_shown, save_panels, shown
from benchmarks.tables import markdown
from rs_monitor.codes import Sky
from rs_monitor.config.paths import data_root
from rs_monitor.config.rules import load_rules
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.composites import Method, clear_looks, composite, longest_gap
from rs_monitor.imagery.index import index_folder
from rs_monitor.imagery.load import load_cube, to_reflectance
from rs_monitor.imagery.masks import screen
from rs_monitor.imagery.search import search
from rs_monitor.outputs.raster import read_raster
from rs_monitor.pipeline.rules import ImageryRules

Layer = NDArray[np.float32]
MaskBand = Literal["fmask", "cloudmask"]

NATIVE_10_M = ("blue", "green", "red", "nir")
NATIVE_20_M = ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
NATIVE_60_M = ("coastal", "nir09")
THIRTEEN = (*NATIVE_10_M, *NATIVE_20_M, *NATIVE_60_M, "cirrus")
"""Bands of Sentinel-2 Level-1C; cirrus, 60 m as well, shows no ground to align by."""

LULC_FOREST = 2
"""Code of the Slovenian land use raster."""

MOVES = (-3, -1, 0, 1, 3)
HAZE, HAZE_PX = 0.15, 20
"""Blue top-of-atmosphere reflectance and its neighbourhood: more is cloud in this scene."""


@dataclass(frozen=True)
class Case:
    """One real folder and what is made of it."""

    name: str
    short: str
    folder: str
    table: str
    bands: tuple[str, ...]
    colour: tuple[str, ...]
    mask: MaskBand | None
    methods: tuple[Method, ...]
    target_day: dt.date
    min_looks: int


CASES = (
    Case(
        name="Brandenburg, Sentinel-2 L1C",
        short="brandenburg",
        folder="brandenburg_s2_l1c",
        table="brandenburg",
        bands=THIRTEEN,
        colour=("red", "green", "blue"),
        mask=None,
        methods=("median",),
        target_day=dt.date(2017, 2, 16),
        min_looks=1,
    ),
    Case(
        name="Colorado, Landsat 5/7",
        short="colorado",
        folder="colorado_landsat_timeseries",
        table="colorado",
        bands=("red", "nir", "swir16"),
        colour=("swir16", "nir", "red"),
        mask="fmask",
        methods=("median", "geomedian", "medoid", "best_pixel"),
        target_day=dt.date(2010, 7, 15),
        min_looks=3,
    ),
    Case(
        name="Slovenia, NDVI",
        short="slovenia_ndvi",
        folder="slovenia_eopatch",
        table="slovenia",
        bands=("ndvi",),
        colour=("ndvi",),
        mask="cloudmask",
        methods=("median", "best_pixel"),
        target_day=dt.date(2016, 7, 15),
        min_looks=3,
    ),
    Case(
        name="Slovenia, 13 bands",
        short="slovenia",
        folder="slovenia_eopatch",
        table="slovenia",
        bands=THIRTEEN,
        colour=("red", "green", "blue"),
        mask="cloudmask",
        methods=("median", "geomedian", "medoid", "best_pixel"),
        target_day=dt.date(2015, 8, 30),
        min_looks=1,
    ),
)


@dataclass(frozen=True)
class Looks:
    """The screened cube of a case, in memory."""

    case: Case
    items: tuple[SceneItem, ...]
    geobox: GeoBox
    values: xr.Dataset
    sky: xr.Dataset
    seconds: float

    @cached_property
    def composites(self) -> dict[str, xr.DataArray]:
        return {method: self._composite(method) for method in self.case.methods}

    def _composite(self, method: Method) -> xr.DataArray:
        return composite(
            self.values,
            self.sky["clear"],
            bands=list(self.case.bands),
            method=method,
            min_looks=self.case.min_looks,
            target_day=self.case.target_day if method == "best_pixel" else None,
        ).compute()

    @property
    def days(self) -> list[dt.date]:
        return [pd.Timestamp(stamp).date() for stamp in self.values["time"].values]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Looks with a value in every band, before any mask."""
        values = np.stack([self.values[band].values for band in self.case.bands])
        return np.asarray(np.isfinite(values).all(axis=0))

    @property
    def counts(self) -> NDArray[np.uint16]:
        return np.asarray(clear_looks(self.sky["clear"]).values)

    def image(self, index: int, bands: Sequence[str] | None = None) -> Layer:
        """Some bands of one date, band first."""
        wanted = self.case.colour if bands is None else bands
        return np.stack([self.values[band].values[index] for band in wanted])


def found_items(source: Path, case: Case, out: Path) -> tuple[SceneItem, ...]:
    """Index the folder by its side table and search the index."""
    table = data_root() / "configs" / "index" / f"{case.table}.toml"
    report = index_folder(source / case.folder, out, side_table=table)
    if report.refused:
        raise SystemExit(f"{case.folder}: refused {report.refused}")
    masks = [] if case.mask is None else [case.mask]
    return search(
        "geoparquet",
        str(out),
        collections=[],
        bbox=None,
        start=dt.date(1980, 1, 1),
        end=dt.date(2030, 1, 1),
        max_cloud_fraction=1.0,
        bands=[*case.bands, *masks],
    ).items


def grid_of(item: SceneItem) -> GeoBox:
    """Grid of an item's finest bands."""
    return GeoBox(item.shape, rasterio.Affine(*item.transform), item.crs)


def load_looks(source: Path, case: Case, folder: Path) -> Looks:
    """Index, search, load on one grid and screen with the shipped rules."""
    began = time.perf_counter()
    items = tuple(
        item
        for item in found_items(source, case, folder / f"{case.table}.parquet")
        if set(case.bands) <= set(item.bands)
    )
    geobox = grid_of(items[0])
    masks = [] if case.mask is None else [case.mask]
    with dask.config.set(scheduler="synchronous"):
        cube = load_cube(items, geobox=geobox, bands=[*case.bands, *masks]).compute()
    sky = screen(
        cube,
        kind=case.mask or "none",
        band=case.mask,
        spectral_bands=case.bands,
        rules=load_rules("imagery", Path(), ImageryRules).clear_sky,
    ).compute()
    values = to_reflectance(cube, case.bands)[list(case.bands)]
    return Looks(case, items, geobox, values, sky, time.perf_counter() - began)


def looks_row(looks: Looks) -> dict[str, Any]:
    """One row of the table of looks."""
    counts, days = looks.counts, looks.days
    clear = looks.sky["clear"]
    gap = longest_gap(clear, start=days[0], end=days[-1]).values
    short = counts < looks.case.min_looks
    return {
        "folder": looks.case.name,
        "items": len(looks.items),
        "looks": len(days),
        "bands": len(looks.case.bands),
        "first to last": f"{days[0]} to {days[-1]}",
        "seen %": _percent(looks.seen),
        "clear %": _percent(clear.values),
        "doubtful %": _percent(looks.sky["doubtful"].values),
        "clear looks min / median / max": (
            f"{counts.min()} / {np.median(counts):g} / {counts.max()}"
        ),
        "longest gap, days": f"{np.median(gap):.0f} (worst {gap.max():.0f})",
        "not seen, px": int(short.sum()),
        "s": round(looks.seconds, 1),
    }


def _percent(part: NDArray[np.bool_]) -> float:
    return round(100 * float(part.mean()), 2)


def reason_row(looks: Looks) -> dict[str, Any]:
    """Share of all looks by what they show."""
    reason = looks.sky["reason"].values
    return {
        "folder": looks.case.name,
        **{sky.name.lower().replace("_", " "): _percent(reason == sky) for sky in Sky},
    }


def composite_rows(looks: Looks) -> Iterator[dict[str, Any]]:
    """One row a method: holes, distance to the median image, and traces of the scan gaps."""
    median = looks.composites["median"].values
    for method, made in looks.composites.items():
        holes = ~np.isfinite(made.values).all(axis=0)
        short = looks.counts < looks.case.min_looks
        apart = np.nanmean(np.abs(made.values - median))
        stripes, chance = stripe_trace(looks, made.values)
        yield {
            "folder": looks.case.name,
            "composite": method,
            "holes, px": int(holes.sum()),
            "of them without too few looks": int((holes ^ short).sum()),
            "mean distance to the median": round(float(apart), 4),
            "trace of the gaps": stripes,
            "by chance up to": chance,
        }


def left_over_row(source: Path, looks: Looks) -> dict[str, Any]:
    """What the provider's mask leaves: looks that cannot be the ground of their season."""
    clear = looks.sky["clear"].values
    if looks.case.short == "colorado":
        red, swir = (looks.values[band].values for band in ("red", "swir16"))
        what, odd = "red > 0.15 and red > SWIR1 (snow)", (red > 0.15) & (red > swir)
        asked = looks.seen
    else:
        cover = read_raster(source / looks.case.folder / "lulc.tif")[0][0]
        summer = np.array([5 <= day.month <= 9 for day in looks.days])
        what, odd = "NDVI < 0.4 of forest, May to September", looks.values["ndvi"].values < 0.4
        asked = looks.seen & (cover == LULC_FOREST) & summer[:, None, None]
    dates = [
        str(day)
        for day, part in zip(looks.days, odd & asked & clear, strict=True)
        if part.sum() > 500
    ]
    return {
        "folder": looks.case.name,
        "what": what,
        "of all looks %": _percent(odd[asked]),
        "of masked looks %": _percent(odd[asked & ~clear]),
        "of clear looks %": _percent(odd[asked & clear]),
        "dates with more than 500 px": ", ".join(dates),
    }


def stripe_trace(looks: Looks, made: Layer) -> tuple[str, str]:
    """Correlation of the fine detail of a composite with that of the count of missing looks.

    Chance: the same with the count moved by whole pixels across the stripes' spacing.
    """
    missing = (~looks.seen).sum(axis=0).astype(np.float64)
    if not missing.any() or not np.isfinite(made).all():
        return "", ""
    detail = _detail(made.astype(np.float64).mean(axis=0))
    moves = [(rows, cols) for rows in range(5, 60, 9) for cols in (7, 23, 41)]
    moved = [_correlation(detail, _detail(np.roll(missing, move, (0, 1)))) for move in moves]
    own = _correlation(detail, _detail(missing))
    return f"{own:+.3f}", f"{np.abs(moved).max():.3f}"


def _detail(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(image - ndimage.uniform_filter(image, 9))


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def alignment_rows(looks: Looks) -> Iterator[dict[str, Any]]:
    """Detail of every upsampled band against the 10 m band most like it, by shift of pixels."""
    ground = away_from_cloud(looks)
    natives = {
        size: {name: ground_detail(looks, name, size, ground) for name in NATIVE_10_M}
        for size in (2, 6)
    }
    for band in (*NATIVE_20_M, *NATIVE_60_M):
        coarse_px = 6 if band in NATIVE_60_M else 2
        coarse = ground_detail(looks, band, coarse_px, ground)
        scores = {name: _moved(coarse, native, 0, 0) for name, native in natives[coarse_px].items()}
        like = max(scores, key=scores.__getitem__)
        surface = correlation_surface(coarse, natives[coarse_px][like])
        middle = surface.shape[0] // 2
        rows, cols = (MOVES[place] for place in np.unravel_index(surface.argmax(), surface.shape))
        yield {
            "band": band,
            "native m": 10 * coarse_px,
            "against": like,
            "correlation": round(float(surface[middle, middle]), 4),
            "next best": round(float(np.delete(surface.ravel(), surface.size // 2).max()), 4),
            "highest at, px": f"{rows}, {cols}",
            "between the pixels": f"{_peak(surface[1:4, middle]):+.2f}, "
            f"{_peak(surface[middle, 1:4]):+.2f}",
        }


def away_from_cloud(looks: Looks) -> NDArray[np.bool_]:
    """Ground of one scene without bright cloud near: every band sees clouds somewhere else."""
    blue = looks.values["blue"].values[0]
    ground = ndimage.gaussian_filter(blue, HAZE_PX) < HAZE
    return np.asarray(ndimage.binary_erosion(ground & looks.seen[0], iterations=5))


def ground_detail(looks: Looks, band: str, coarse_px: int, ground: NDArray[np.bool_]) -> Layer:
    """A band without what is finer than a coarse pixel or wider than a few fields; 0 elsewhere."""
    image = np.nan_to_num(looks.values[band].values[0])
    wide = ndimage.uniform_filter(image, 10 * coarse_px + 1)
    detail = ndimage.gaussian_filter(image, coarse_px / 2) - wide
    return np.where(ground, detail, 0).astype(np.float32)


def correlation_surface(coarse: Layer, native: Layer) -> NDArray[np.float64]:
    """Correlations with the native band moved by MOVES rows and columns."""
    return np.array([[_moved(coarse, native, dy, dx) for dx in MOVES] for dy in MOVES])


def _moved(coarse: Layer, native: Layer, dy: int, dx: int) -> float:
    """Correlation of details, whose means are zero."""
    rim = max(MOVES)
    height, width = coarse.shape
    one = coarse[rim:-rim, rim:-rim].ravel()
    other = native[rim + dy : height - rim + dy, rim + dx : width - rim + dx].ravel()
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def _peak(three: NDArray[np.float64]) -> float:
    """Where the parabola through three values is highest."""
    before, middle, after = three
    return float((before - after) / (2 * (before - 2 * middle + after)))


def brandenburg_pictures(looks: Looks, folder: Path) -> None:
    made = looks.composites["median"]
    scene = {
        "true colour": ("red", "green", "blue"),
        "SWIR1 20 m, NIR, red 10 m": ("swir16", "nir", "red"),
        "coastal 60 m": ("coastal",),
        "cirrus 60 m": ("cirrus",),
    }
    whole = [(name, made.sel(band=list(bands)).values) for name, bands in scene.items()]
    panels = [(name, shown(image, limits_of(image))) for name, image in whole]
    save_panels(folder / "cubes_brandenburg.png", panels, columns=2, edge_px=300)
    part = made[:, 430:530, 900:1000]
    names = ("red", "swir16", "nir08", "nir", "coastal", "nir09")
    parts = [(name, part.sel(band=[name]).values) for name in names]
    cut = [(f"{name}, 1 x 1 km", shown(image, limits_of(image))) for name, image in parts]
    save_panels(folder / "cubes_brandenburg_detail.png", cut, columns=3, edge_px=200)


def dated_panels(looks: Looks, indices: Sequence[int]) -> Iterator[tuple[str, Picture]]:
    """Picture and reasons of some dates, colours over twice the range of the composite."""
    limits = limits_of(looks.composites["median"].sel(band=list(looks.case.colour)).values)
    # clouds and snow are brighter than anything in a composite
    limits[:, 1] += (limits[:, 1] - limits[:, 0]) * (len(limits) == 3)
    for index in indices:
        platform = str(looks.values["platform"].values[index])
        yield f"{looks.days[index]} {platform}", shown(looks.image(index), limits)
        yield "what it shows", reasons_shown(looks.sky["reason"].values[index])


def result_panels(looks: Looks) -> Iterator[tuple[str, Picture]]:
    """Composites, clear looks and longest gap."""
    bands = list(looks.case.colour)
    limits = limits_of(looks.composites["median"].sel(band=bands).values)
    for method, made in looks.composites.items():
        yield method, shown(made.sel(band=bands).values, limits)
    counts = looks.counts
    yield f"clear looks {counts.min()}-{counts.max()}", _whole_range(counts)
    gap = longest_gap(looks.sky["clear"], start=looks.days[0], end=looks.days[-1]).values
    yield f"longest gap {gap.min():.0f}-{gap.max():.0f} d", _whole_range(gap)


def _whole_range(values: NDArray[Any]) -> Picture:
    low, high = float(values.min()), float(values.max())
    return ramp(values.astype(np.float64), low, max(high, low + 1))


def telling_dates(looks: Looks) -> list[int]:
    """Dates of half cloud, most shadow, snow and not seen where there are any, the clearest."""
    share = {sky: (looks.sky["reason"].values == sky).mean(axis=(1, 2)) for sky in Sky}
    mixed = -np.abs(share[Sky.CLOUD] - 0.5)
    special = [share[sky] for sky in (Sky.SHADOW, Sky.SNOW, Sky.NOT_SEEN)]
    rank = (mixed, *(part if part.any() else mixed for part in special), share[Sky.CLEAR])
    chosen: dict[int, None] = {}
    for score in rank:
        order = np.argsort(-score, kind="stable")
        chosen[next(int(index) for index in order if int(index) not in chosen)] = None
    return sorted(chosen)


def write_pictures(looks: Looks, folder: Path) -> None:
    if looks.case.mask is None:
        brandenburg_pictures(looks, folder)
        return
    name = f"cubes_{looks.case.short}"
    dates = list(range(len(looks.days))) if len(looks.days) < 8 else telling_dates(looks)
    save_panels(folder / f"{name}_dates.png", list(dated_panels(looks, dates)), 4, 180)
    save_panels(folder / f"{name}_composites.png", list(result_panels(looks)), 3, 240)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks cubes", description=__doc__)
    parser.add_argument("--shared", type=Path, default=os.environ.get("RS_MONITOR_SHARED_DATA"))
    parser.add_argument("--pictures", type=Path, help="folder for pictures of what was made")
    given = parser.parse_args(arguments)
    if given.shared is None:
        print("cubes: name the reference data folder with --shared or RS_MONITOR_SHARED_DATA")
        return
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    seen: list[dict[str, Any]] = []
    reasons: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = []
    aligned: list[dict[str, Any]] = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            # the second time nothing is left to compile
            for _ in range(2):
                looks = load_looks(Path(given.shared), case, Path(folder))
            seen.append(looks_row(looks))
            reasons.append(reason_row(looks))
            made += composite_rows(looks)
        if case.short in ("colorado", "slovenia_ndvi"):
            left.append(left_over_row(Path(given.shared), looks))
        if case.mask is None:
            aligned += alignment_rows(looks)
        if given.pictures is not None:
            write_pictures(looks, given.pictures)
    for title, rows in (
        ("Real folders as cubes", seen),
        ("What the looks show, % of all", reasons),
        ("What the masks leave", left),
        ("Composites", made),
        ("20 and 60 m bands on the 10 m grid", aligned),
    ):
        print(f"\n### {title}\n\n{markdown(pd.DataFrame(rows))}")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
