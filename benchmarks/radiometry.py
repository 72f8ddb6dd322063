"""Radiometry checked from pixels on real stacks: steps, floors, harmonisation, illumination."""

import argparse
import datetime as dt
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
from numpy.typing import NDArray

from benchmarks.demo_seeds import markdown
from rs_monitor.config.paths import data_root
from rs_monitor.imagery.dark_levels import (
    DarkLevels,
    RadiometryRules,
    dark_levels,
    level_histogram,
)
from rs_monitor.imagery.harmonise import gain_to_sentinel2, load_harmonisation
from rs_monitor.imagery.illumination import LightFit, fit_light, measure_light, sun_position
from rs_monitor.imagery.radiometry import floor_test, step_test
from rs_monitor.kernels.illumination import (
    LightSums,
    correct_c,
    correct_scs_c,
    cos_incidence_horn,
    cos_slope_horn,
    cos_zenith,
    light_line,
)
from rs_monitor.outputs.raster import load_raster

Image = NDArray[np.float32]

OFFSET = 0.1
"""+1000 DN at a quantification of 10000."""

RANDOM_HALVES = 100
PAIR_DAYS = 8
S2_BANDS = [
    *("coastal", "blue", "green", "red", "rededge071", "rededge075", "rededge078"),
    *("nir", "nir08", "nir09", "cirrus", "swir16", "swir22"),
]
ETM_BANDS = {"blue": 0, "green": 1, "red": 2, "nir": 3, "swir16": 4, "swir22": 7}
ETM_GAINS = {
    "blue": (0.77569, -6.20),
    "green": (0.79569, -6.40),
    "red": (0.61922, -5.00),
    "nir": (0.63725, -5.10),
    "swir16": (0.12573, -1.00),
    "swir22": (0.04373, -0.35),
}
ETM_SUNS = {"20020720": (125.8, 61.4), "20021125": (159.5, 26.2)}
"""Azimuth and elevation from the data's README, as the gains."""


@dataclass(frozen=True)
class Stack:
    """Reflectance of some dates on one grid."""

    bands: dict[str, Image]
    clear: NDArray[np.bool_]
    dates: list[str]
    labels: list[str] | None = None

    def levels(self, rules: RadiometryRules, lifted: NDArray[np.bool_] | None = None) -> DarkLevels:
        """Floors, after the offset was added to every pixel of the lifted dates."""
        added = np.zeros(len(self.dates)) if lifted is None else OFFSET * lifted
        step = added.astype(np.float32)[:, None, None]
        counts = [level_histogram(band + step, self.clear) for band in self.bands.values()]
        return dark_levels(np.stack(counts, axis=1), rules, zone_px=self.clear[0].size)

    def some(self, index: NDArray[np.intp]) -> "Stack":
        """Only some of the dates."""
        bands = {name: band[index] for name, band in self.bands.items()}
        return Stack(bands, self.clear[index], [self.dates[i] for i in index])


def load_rules() -> RadiometryRules:
    path = data_root() / "configs" / "rules" / "imagery.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))["radiometry"]
    return RadiometryRules.model_validate(table)


def reflectance(path: Path, nodata: float) -> Image:
    data = load_raster(path).data.astype(np.float32)
    return np.where(data == nodata, np.float32(np.nan), data / np.float32(10_000))


def colorado(source: Path) -> Stack:
    folder = source / "colorado_landsat_timeseries"
    table = pd.read_csv(folder / "dates.csv")
    files = {"red": "b3", "nir": "b4", "swir16": "b5"}
    bands = {
        name: reflectance(folder / f"{file}_105dates.tif", -9999) for name, file in files.items()
    }
    clear = load_raster(folder / "fmask_105dates.tif").data <= 1
    return Stack(bands, clear, table["date"].tolist(), table["sensor"].tolist())


def mato_grosso(source: Path) -> Stack:
    folder = source / "mato_grosso_modis_timeseries"
    files = {"blue": "blue", "red": "red", "nir": "nir", "swir22": "mir"}
    bands = {
        name: reflectance(folder / f"{file}_137dates.tif", -32768) for name, file in files.items()
    }
    dates = pd.read_csv(folder / "dates.csv")["date"].tolist()
    return Stack(bands, np.ones(bands["red"].shape, dtype=bool), dates)


def slovenia(source: Path) -> Stack:
    folder = source / "slovenia_eopatch"
    files = sorted(folder.glob("s2_l1c_*.tif"))
    scenes = np.stack([load_raster(file).data for file in files])
    dates = [file.stem[-8:] for file in files]
    days = pd.read_csv(folder / "dates.csv")["datetime"].str[:10].str.replace("-", "")
    cloudy = load_raster(folder / "cloudmask_68dates.tif").data
    clear = np.stack([cloudy[days.tolist().index(date)] == 0 for date in dates])
    return Stack({name: scenes[:, k] for k, name in enumerate(S2_BANDS)}, clear, dates)


def costa_rica(source: Path) -> Stack:
    scenes = [
        reflectance(source / "costa_rica_l5_1986_2001" / f"l5tsr_{year}.tif", -9999)
        for year in (1986, 2001)
    ]
    # the source's visible bands of 1986 are ten times too big
    scenes[0][:3] /= 10
    both = np.stack(scenes)
    bands = dict(zip(("blue", "green", "red", "nir"), both.swapaxes(0, 1), strict=True))
    return Stack(bands, np.ones(both[:, 0].shape, dtype=bool), ["1986", "2001"])


STACKS: dict[str, Callable[[Path], Stack]] = {
    "Colorado, Landsat 5/7": colorado,
    "Mato Grosso, MODIS": mato_grosso,
    "Slovenia, Sentinel-2 L1C": slovenia,
    "Costa Rica, Landsat 5": costa_rica,
}


def halves(count: int, how_many: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Half of the dates: the second, every other one, and at random."""
    order = np.arange(count)
    yield "second half", order >= count - count // 2
    yield "alternate", order % 2 == 1
    rng = np.random.default_rng(0)
    for number in range(how_many):
        yield f"random {number}", np.isin(order, rng.permutation(count)[: count // 2])


def verdict(
    stack: Stack, rules: RadiometryRules, lifted: NDArray[np.bool_]
) -> tuple[str, int, int]:
    """Whether exactly the lifted dates are named, as far as they could be judged."""
    bands = list(stack.bands)
    report = step_test(stack.levels(rules, lifted), stack.dates, bands, rules)
    wanted = {date for date, up in zip(stack.dates, lifted, strict=True) if up}
    named = set(report.dates)
    exact = named <= wanted and wanted - named <= set(report.undecided)
    if report.suspected:
        return ("exact" if exact else "wrong"), len(named), len(wanted - named)
    if exact:
        return "cannot tell", 0, len(wanted)
    return "missed", 0, len(wanted)


def step_table(source: Path, rules: RadiometryRules, random: int) -> pd.DataFrame:
    rows = []
    for name, load in STACKS.items():
        stack = load(source)
        clean = step_test(stack.levels(rules), stack.dates, list(stack.bands), rules)
        tried = [
            (how, verdict(stack, rules, half)) for how, half in halves(len(stack.dates), random)
        ]
        first = {
            how: f"{found}: {named} named, {left} not judged" for how, (found, named, left) in tried
        }
        outcomes = [found for _, (found, _, _) in tried]
        rows.append(
            {
                "stack": name,
                "dates": len(stack.dates),
                "not judged": len(clean.undecided),
                "as it is": clean.status,
                "second half lifted": first["second half"],
                "alternate": first["alternate"],
                **{f"halves {kind}": outcomes.count(kind) for kind in OUTCOMES},
            }
        )
    return pd.DataFrame(rows)


OUTCOMES = ("exact", "cannot tell", "wrong", "missed")


def subset_table(source: Path, rules: RadiometryRules, repeats: int) -> pd.DataFrame:
    """Random few dates of the long stacks: how few are enough."""
    rows = []
    rng = np.random.default_rng(1)
    for name in ("Colorado, Landsat 5/7", "Mato Grosso, MODIS"):
        stack = STACKS[name](source)
        ample = stack.clear.mean(axis=(1, 2)) >= rules.min_clear_fraction
        for size in (3, 4, 6, 10):
            statuses, outcomes = [], []
            for _ in range(repeats):
                some = stack.some(np.sort(rng.choice(np.flatnonzero(ample), size, replace=False)))
                bands = list(some.bands)
                statuses.append(step_test(some.levels(rules), some.dates, bands, rules).status)
                half = np.isin(np.arange(size), rng.permutation(size)[: size // 2])
                outcomes.append(verdict(some, rules, half)[0])
            rows.append(
                {
                    "stack": name,
                    "dates": size,
                    "draws": repeats,
                    "clean: step raised": statuses.count("step"),
                    "clean: cannot tell": statuses.count("cannot_tell"),
                    **{f"half lifted: {kind}": outcomes.count(kind) for kind in OUTCOMES},
                }
            )
    return pd.DataFrame(rows)


def single_scenes(
    source: Path, rules: RadiometryRules
) -> Iterator[tuple[str, DarkLevels, list[str]]]:
    quirk = load_raster(source / "sentinel2_boa_offset_quirk" / "sen2.tif").data
    names = [name for name in S2_BANDS if name != "cirrus"]
    yield "sentinel2_boa_offset_quirk", scene_levels(list(quirk), rules), names
    folder = source / "brandenburg_s2_l1c" / "IMG_DATA"
    codes = [f"{k:02d}" for k in range(1, 9)] + ["8A", "09", "10", "11", "12"]
    bands = [reflectance(next(folder.glob(f"*_B{code}.jp2")), 0)[0] for code in codes]
    yield "brandenburg_s2_l1c", scene_levels(bands, rules), S2_BANDS
    for stack in (slovenia(source), mato_grosso(source), colorado(source)):
        levels = stack.levels(rules)
        for at, date in enumerate(stack.dates):
            one = DarkLevels(
                levels.floors[at : at + 1], levels.clear_px[at : at + 1], levels.zone_px
            )
            yield date, one, list(stack.bands)


def scene_levels(bands: Sequence[NDArray[Any]], rules: RadiometryRules) -> DarkLevels:
    """Floors of one scene whose bands may have pixels of different size."""
    counts = [level_histogram(band[None], np.ones((1, *band.shape), dtype=bool)) for band in bands]
    return dark_levels(np.stack(counts, axis=1), rules, zone_px=min(band.size for band in bands))


def floor_table(source: Path, rules: RadiometryRules) -> pd.DataFrame:
    rows = []
    groups = {13: "Slovenia, 5 scenes", 4: "Mato Grosso, 137 dates", 3: "Colorado, 105 dates"}
    for name, levels, bands in single_scenes(source, rules):
        group = name if name.startswith(("sentinel2", "brandenburg")) else groups[len(bands)]
        lifted = DarkLevels(levels.floors + OFFSET, levels.clear_px, levels.zone_px)
        as_it_is = floor_test(levels, bands, rules)
        rows.append(
            {
                "scenes": group,
                "floor": as_it_is.floor,
                "as it is": as_it_is.status,
                "lifted": floor_test(lifted, bands, rules).status,
            }
        )
    table = pd.DataFrame(rows)
    counted = table.groupby("scenes", sort=False).agg(
        highest_floor=("floor", "max"),
        as_it_is=("as it is", lambda s: ", ".join(f"{v} {k}" for k, v in s.value_counts().items())),
        with_offset=(
            "lifted",
            lambda s: ", ".join(f"{v} {k}" for k, v in s.value_counts().items()),
        ),
    )
    return counted.round(3).reset_index()


def gain_table() -> pd.DataFrame:
    table = load_harmonisation()
    rows = []
    for platform in ("landsat-8", "landsat-7", "sentinel-2a"):
        for band in ("blue", "green", "red", "nir", "swir16", "swir22"):
            gain = gain_to_sentinel2(table, platform, band)
            moved = [gain.slope * value + gain.offset - value for value in (0.05, 0.3)]
            rows.append(
                {
                    "platform": platform,
                    "band": band,
                    "slope": round(gain.slope, 4),
                    "offset": round(gain.offset, 4),
                    "moves 0.05 by": round(moved[0], 4),
                    "moves 0.30 by": round(moved[1], 4),
                }
            )
    return pd.DataFrame(rows)


def harmonisation_table(source: Path) -> pd.DataFrame:
    """Landsat 7 less Landsat 5 on the same clear pixels, summer dates eight days apart."""
    stack, table = colorado(source), load_harmonisation()
    days = pd.to_datetime(pd.Series(stack.dates))
    pairs = [
        (five, seven)
        for five in range(len(days))
        for seven in range(len(days))
        if abs((days[seven] - days[five]).days) <= PAIR_DAYS
        and (stack.labels or [])[five] == "LT05"
        and (stack.labels or [])[seven] == "LE07"
        and days[five].month in (7, 8, 9)
    ]
    rows = []
    for band, values in stack.bands.items():
        gain = gain_to_sentinel2(table, "landsat-7", band)
        differences = [_difference(values, stack.clear, *pair) for pair in pairs]
        known = np.array([d for d in differences if np.isfinite(d)])
        ground = float(np.nanmedian(values[stack.clear & np.isfinite(values)]))
        rows.append(
            {
                "band": band,
                "pairs": len(known),
                "ETM+ less TM, median": round(float(np.median(known)), 4),
                "after": round(float(np.median(known)) * gain.slope, 4),
                "spread over pairs (sd)": round(float(known.std()), 4),
                "adjustment at the median ground": round(
                    gain.slope * ground + gain.offset - ground, 4
                ),
            }
        )
    return pd.DataFrame(rows)


def _difference(values: Image, clear: NDArray[np.bool_], five: int, seven: int) -> float:
    both = clear[five] & clear[seven] & np.isfinite(values[five]) & np.isfinite(values[seven])
    if both.sum() < 500:
        return float("nan")
    return float(np.median(values[seven][both] - values[five][both]))


@dataclass(frozen=True)
class Lit:
    """One date over terrain."""

    name: str
    bands: dict[str, Image]
    clear: NDArray[np.bool_]
    dem: Image
    pixel_m: float
    sun: tuple[float, float]


def lit_scenes(source: Path) -> Iterator[Lit]:
    folder = source / "pennsylvania_etm_2002"
    dem = load_raster(folder / "dem.tif").data[0]
    for date, sun in ETM_SUNS.items():
        data = load_raster(folder / f"etm_{date}.tif").data.astype(np.float32)
        # radiance: up to a factor per band it is reflectance, which neither c nor r depends on
        bands = {
            name: data[ETM_BANDS[name]] * np.float32(gain) + np.float32(offset)
            for name, (gain, offset) in ETM_GAINS.items()
        }
        # July has clouds: bright in the blue; November is clear
        clear = data[0] < 90
        yield Lit(f"Pennsylvania {date}", bands, clear, dem, 30.0, sun)
    yield from slovenian_scenes(source)


def slovenian_scenes(source: Path) -> Iterator[Lit]:
    folder = source / "slovenia_eopatch"
    raster = load_raster(folder / "dem.tif")
    west, south, east, north = raster.geobox.extent.boundingbox
    to_degrees = pyproj.Transformer.from_crs(str(raster.geobox.crs), "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform((west + east) / 2, (south + north) / 2)
    stack, times = slovenia(source), pd.read_csv(folder / "dates.csv")["datetime"]
    for at, date in enumerate(stack.dates):
        if not stack.clear[at].any():
            continue
        when = next(t for t in times if t[:10].replace("-", "") == date)
        moment = dt.datetime.fromisoformat(when).replace(tzinfo=dt.UTC)
        sun = sun_position(moment, longitude, latitude)
        bands = {name: stack.bands[name][at] for name in ("blue", "red", "nir", "swir16", "swir22")}
        pixel_m = abs(raster.geobox.resolution.x)
        yield Lit(f"Slovenia {date}", bands, stack.clear[at], raster.data[0], pixel_m, sun)


def illumination_table(source: Path, rules: RadiometryRules) -> pd.DataFrame:
    return (
        pd.DataFrame([row for scene in lit_scenes(source) for row in _lit_rows(scene, rules)])
        .astype(object)
        .fillna("-")
    )


def _lit_rows(scene: Lit, rules: RadiometryRules) -> Iterator[dict[str, Any]]:
    azimuth, elevation = scene.sun
    size = scene.pixel_m
    cos_i = cos_incidence_horn(scene.dem, size, size, azimuth, elevation)
    cos_s = cos_slope_horn(scene.dem, size, size)
    for band, values in scene.bands.items():
        fit = fit_light(_sums(values, cos_i, cos_s, scene, rules), rules.illumination)
        row = {
            "scene": scene.name,
            "sun azimuth, elevation": f"{azimuth:.1f}, {elevation:.1f}",
            "band": band,
            "r with cos i": round(fit.correlation, 3),
            "c": "left as it is" if fit.c is None else round(fit.c, 3),
        }
        for method in ("c", "scs_c") if fit.c is not None else ():
            done = _corrected(method, values, cos_i, cos_s, cos_zenith(elevation), fit)
            seen = scene.clear & np.isfinite(done)
            after = light_line(_sums(done, cos_i, cos_s, scene, rules)).correlation
            row[f"r after {method}"] = f"{after:+.3f}"
            row[f"sd after / before {method}"] = round(
                float(done[seen].std() / values[seen].std()), 2
            )
        yield row


def _sums(
    values: Image, cos_i: Image, cos_s: Image, scene: Lit, rules: RadiometryRules
) -> LightSums:
    return measure_light(values, cos_i, cos_s, scene.clear, rules.illumination)


def _corrected(
    method: str, values: Image, cos_i: Image, cos_s: Image, cos_z: float, fit: LightFit
) -> Image:
    known: dict[str, Any] = {"cos_z": cos_z, "c": fit.c, "min_cos_i": fit.min_cos_i}
    if method == "c":
        return correct_c(values, cos_i, **known)
    return correct_scs_c(values, cos_i, cos_s, **known)


def tables(source: Path, random: int = RANDOM_HALVES) -> dict[str, pd.DataFrame]:
    rules = load_rules()
    return {
        "Step of +0.1 in half of the dates": step_table(source, rules, random),
        "Few dates": subset_table(source, rules, random),
        "Floors of single scenes": floor_table(source, rules),
        "Adjustment to Sentinel-2A": gain_table(),
        "Landsat 7 against Landsat 5, Colorado": harmonisation_table(source),
        "Light on slopes": illumination_table(source, rules),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks radiometry", description=__doc__)
    parser.add_argument("--shared", type=Path, default=os.environ.get("RS_MONITOR_SHARED_DATA"))
    parser.add_argument("--random", type=int, default=RANDOM_HALVES)
    given = parser.parse_args(arguments)
    if given.shared is None:
        print("radiometry: name the reference data folder with --shared or RS_MONITOR_SHARED_DATA")
        return
    for title, table in tables(Path(given.shared), given.random).items():
        print(f"\n### {title}\n")
        print(markdown(table))
