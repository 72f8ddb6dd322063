"""Known shifts of real images recovered, chance agreement of unrelated ground, real date pairs."""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import read_toml
from rs_monitor.imagery.registration import (
    RegistrationRules,
    SceneShift,
    fit_shift,
    stack_shifts,
    window_shifts,
)
from rs_monitor.outputs.raster import read_raster

LENGTHS_PX = (0.1, 0.25, 0.5, 1.0, 2.3, 3.0)
ANGLES_DEG = (0.0, 90.0, 217.0, 323.0)
EDGE_PX = 4
"""Coarse pixels kept free around both images, so that a shifted one needs no ground beyond."""

NAIP_YEARS = ("20090818", "20120731", "20160816", "20200831")
SLOVENIA_DAYS = ("20150711", "20150830", "20150909")
ETM = (0, 1, 2, 3, 4, 7)
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """Two dates of one place on one grid, the bands used, and the coarsening of the study."""

    name: str
    dates: str
    pixel_m: float
    before: Image
    after: Image
    bands: tuple[int, ...]
    other_bands: tuple[int, ...]
    factor: int = 2

    @property
    def title(self) -> str:
        return f"{self.name} {self.factor * self.pixel_m:g} m, {self.dates}"

    @property
    def two_dates(self) -> bool:
        return self.after is not self.before


def registration_rules() -> RegistrationRules:
    table = read_toml(data_root() / "configs" / "rules" / "imagery.toml")
    return RegistrationRules.model_validate(table["registration"])


def read(path: Path) -> Image:
    return read_raster(path)[0].astype(np.float32)


def taizhou(source: Path) -> Pair:
    folder = source / "taizhou_landsat"
    before, after = read(folder / "t1_20000317_etm.tif"), read(folder / "t2_20030206_etm.tif")
    return Pair("Taizhou ETM+", "2000 / 2003", 30.0, before, after, (2, 3, 4), (1,))


def north_dakota(source: Path) -> Pair:
    before, after = (
        read(source / "north_dakota_naip" / f"naip_{year}.tif")[:, :723]
        for year in NAIP_YEARS[1:4:2]
    )
    return Pair("North Dakota NAIP", "2012 / 2020", 5.0, before, after, (0, 3), (1,))


def pennsylvania(source: Path) -> Pair:
    before, after = (
        read(source / "pennsylvania_etm_2002" / f"etm_{day}.tif")[list(ETM)]
        for day in ("20020720", "20021125")
    )
    return Pair("Pennsylvania ETM+", "July / November", 30.0, before, after, (2, 3, 4), (1,))


def brandenburg(source: Path) -> Pair:
    folder = source / "brandenburg_s2_l1c" / "IMG_DATA"
    image = np.concatenate(
        [read(folder / f"T33UUU_20170216T102101_{band}.jp2") for band in ("B02", "B04", "B08")]
    )
    return Pair("Brandenburg S2", "one date", 10.0, image, image, (1, 2), (0,))


def slovenia(source: Path) -> list[Image]:
    """The 10 m bands: those of 20 m are repeated pixels here, which quantise any shift."""
    folder = source / "slovenia_eopatch"
    return [read(folder / f"s2_l1c_{day}.tif")[[1, 2, 3, 7]] for day in SLOVENIA_DAYS]


def small(source: Path) -> Pair:
    days = slovenia(source)
    return Pair("Slovenia S2 (42 px)", "11 Jul / 30 Aug", 10.0, days[0], days[1], (2, 3), (1,))


def area_average(
    image: Image, factor: int, start: tuple[float, float], shape: tuple[int, int]
) -> Image:
    """Coarse pixels as exact integrals over fine ones, from any place between them.

    The fine image is the ground: what a coarse sensor displaced by a fraction of its pixel
    measures follows by area alone, without interpolation or a Fourier shift.
    """
    sums = np.pad(
        np.cumsum(np.cumsum(image.astype(np.float64), axis=1), axis=2), ((0, 0), (1, 0), (1, 0))
    )
    corners = np.meshgrid(
        *(factor * (s + np.arange(n + 1)) for s, n in zip(start, shape, strict=True)), indexing="ij"
    )
    at = np.stack([ndimage.map_coordinates(layer, corners, order=1) for layer in sums])
    boxes = at[:, 1:, 1:] - at[:, :-1, 1:] - at[:, 1:, :-1] + at[:, :-1, :-1]
    return np.asarray(boxes / factor**2, dtype=np.float32)


def coarse(image: Image, factor: int, shift: tuple[float, float]) -> Image:
    """The ground as seen by a coarse sensor whose content lies displaced by the shift, pixels."""
    shape = image.shape[1] // factor - 2 * EDGE_PX, image.shape[2] // factor - 2 * EDGE_PX
    return area_average(image, factor, (EDGE_PX - shift[0], EDGE_PX - shift[1]), shape)


def clouds(shape: tuple[int, int], fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask with holes of about ten pixels; True = seen."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 5.0)
    return np.asarray(field > np.quantile(field, fraction))


def shifts() -> Iterator[tuple[float, float]]:
    for length in LENGTHS_PX:
        for angle in np.radians(ANGLES_DEG):
            yield float(length * np.sin(angle)), float(length * np.cos(angle))


def measure(
    reference: Image,
    moving: Image,
    rules: RegistrationRules,
    seen: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> SceneShift:
    whole = np.ones(reference.shape[1:], bool)
    ours, theirs = seen or (whole, whole)
    return fit_shift(
        [window_shifts(reference, moving, ours, theirs, rules)], rules, item_ids=["moving"]
    )


def measured_under(
    condition: str, pair: Pair, shift: tuple[float, float], rules: RegistrationRules, seed: int
) -> SceneShift:
    """Measure a known shift under one condition; deterministic in the seed."""
    rng = np.random.default_rng(seed)
    source = pair.after if condition == "other date" else pair.before
    bands = pair.other_bands if condition == "other band" else pair.bands
    reference = coarse(pair.before[list(pair.bands)][: len(bands)], pair.factor, (0.0, 0.0))
    moving = coarse(source[list(bands)], pair.factor, shift)
    seen = None
    if condition == "noise":
        deviation = 0.25 * reference.std(axis=(1, 2), keepdims=True)
        reference = reference + deviation * rng.standard_normal(reference.shape).astype(np.float32)
        moving = moving + deviation * rng.standard_normal(moving.shape).astype(np.float32)
    if condition == "30 % cloud, each":
        seen = clouds(moving.shape[1:], 0.3, rng), clouds(moving.shape[1:], 0.3, rng)
        top = moving.max()
        reference, moving = np.where(seen[0], reference, top), np.where(seen[1], moving, top)
    if condition == "other light":
        ramp = np.linspace(0.5, 1.0, moving.shape[2], dtype=np.float32)
        moving = 20.0 + ramp * moving.max() * (moving / moving.max()) ** np.float32(1.5)
    return measure(reference, moving, rules, seen)


CONDITIONS = ("same scene", "noise", "30 % cloud, each", "other light", "other band", "other date")


def accuracy(pairs: Sequence[Pair], rules: RegistrationRules) -> pd.DataFrame:
    """Error against the known shift, over all lengths and directions.

    Another date has a shift of its own, which nobody knows: it is measured once without any added
    shift and taken off, so that row says how well the added one is followed.
    """
    rows = []
    for pair in pairs:
        for condition in CONDITIONS:
            if condition == "other date" and not pair.two_dates:
                continue
            own = measured_under(condition, pair, (0.0, 0.0), rules, 99)
            base = (own.dy_px, own.dx_px) if condition == "other date" else (0.0, 0.0)
            found = [measured_under(condition, pair, s, rules, i) for i, s in enumerate(shifts())]
            rows.append({"data": pair.title, "condition": condition, **_errors(found, base)})
    return pd.DataFrame(rows)


def _errors(found: Sequence[SceneShift], base: tuple[float, float]) -> dict[str, object]:
    errors = [
        float(np.hypot(f.dy_px - s[0] - base[0], f.dx_px - s[1] - base[1]))
        for f, s in zip(found, shifts(), strict=True)
        if f.measured
    ]
    return {
        "measured": f"{len(errors)}/{len(found)}",
        "mean error px": round(float(np.mean(errors)), 3) if errors else "-",
        "max error px": round(max(errors), 3) if errors else "-",
        "windows used %": round(100 * float(np.mean([f.windows_used / f.windows for f in found]))),
        "spread px": round(float(np.nanmean([f.spread_px for f in found])), 3) if errors else "-",
        "uncertainty px": round(float(np.nanmean([f.uncertainty_px for f in found])), 3)
        if errors
        else "-",
    }


def skimage_shift(
    reference: Image, moving: Image, size: int, *, taper: bool
) -> tuple[float, float]:
    """The plain way: gradient magnitude of one band, windows, median of scikit-image's shifts."""
    ours, theirs = (
        ndimage.gaussian_gradient_magnitude(image[0], 1.0) for image in (reference, moving)
    )
    hann = np.hanning(size + 2)[1:-1]
    weight = np.outer(hann, hann) if taper else np.ones((size, size))
    found = []
    for row in range(0, ours.shape[0] - size + 1, size // 2):
        for col in range(0, ours.shape[1] - size + 1, size // 2):
            window = np.s_[row : row + size, col : col + size]
            a, b = (weight * (image[window] - image[window].mean()) for image in (ours, theirs))
            found.append(-phase_cross_correlation(a, b, upsample_factor=100)[0])
    dy, dx = np.median(found, axis=0)
    return float(dy), float(dx)


def peers(pairs: Sequence[Pair], rules: RegistrationRules) -> pd.DataFrame:
    """Mean and largest error beside scikit-image on the same windows, same scene and other date."""
    rows = []
    for pair in pairs:
        for condition, after in (("same scene", pair.before), ("other date", pair.after)):
            if condition == "other date" and not pair.two_dates:
                continue
            row: dict[str, object] = {"data": pair.title, "condition": condition}
            for name, taper in (("skimage + Hann", True), ("skimage bare", False)):
                images = [
                    coarse(i[list(pair.bands)], pair.factor, (0.0, 0.0))
                    for i in (pair.before, after)
                ]
                base = skimage_shift(*images, rules.window_px, taper=taper)
                error = []
                for shift in shifts():
                    moving = coarse(after[list(pair.bands)], pair.factor, shift)
                    dy, dx = skimage_shift(images[0], moving, rules.window_px, taper=taper)
                    error.append(np.hypot(dy - shift[0] - base[0], dx - shift[1] - base[1]))
                row |= {f"{name}: mean / max error px": f"{np.mean(error):.3f} / {max(error):.3f}"}
            rows.append(row)
    return pd.DataFrame(rows)


def unrelated(
    pairs: Sequence[Pair], rules: RegistrationRules, sizes: Sequence[int]
) -> pd.DataFrame:
    """How often two different places are called measured: any shift found there is a mistake."""
    images = [
        image[list(p.bands)[:2]]
        for p in pairs
        for image in {id(i): i for i in (p.before, p.after)}.values()
    ]
    rows = []
    for size in sizes:
        crops = [list(_crops(image, size)) for image in images]
        peaks, measured, trials = [], 0, 0
        for a, ours in enumerate(crops):
            for b in range(a, len(crops)):
                for first, second in _different(ours, crops[b], same_place=b - a <= 1):
                    seen = np.ones((size, size), bool)
                    table = window_shifts(first, second, seen, seen, rules)
                    peaks.append(table[:, 2])
                    measured += fit_shift([table], rules, item_ids=["x"]).measured
                    trials += 1
        known = np.concatenate(peaks)
        rows.append(
            {
                "size px": size,
                "pairs": trials,
                "called measured": measured,
                "windows": len(known),
                "windows over min_peak %": round(100 * float(np.mean(known >= rules.min_peak)), 2),
                "peak: 95 % / max": f"{np.nanpercentile(known, 95):.1f} / {np.nanmax(known):.1f}",
            }
        )
    return pd.DataFrame(rows)


def _crops(image: Image, size: int) -> Iterator[Image]:
    for row in range(0, image.shape[1] - size + 1, size):
        for col in range(0, image.shape[2] - size + 1, size):
            yield image[:, row : row + size, col : col + size]


def _different(
    ours: list[Image], theirs: list[Image], *, same_place: bool
) -> Iterator[tuple[Image, Image]]:
    """A handful of pairs of crops, never the same place of two dates."""
    for step in (1, 2, 5):
        for index in range(0, min(len(ours), len(theirs)), 3):
            other = (index + step) % len(theirs)
            if not (same_place and other == index):
                yield ours[index], theirs[other]


def residuals(source: Path, pairs: Sequence[Pair], rules: RegistrationRules) -> pd.DataFrame:
    """Shifts between real dates as delivered, on their own pixels."""
    rows: list[tuple[str, Image, Image, float]] = [
        (
            f"{p.name} {p.pixel_m:g} m, {p.dates}",
            *(i[list(p.bands)] for i in (p.before, p.after)),
            p.pixel_m,
        )
        for p in pairs
        if p.two_dates
    ]
    days = slovenia(source)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        title = f"Slovenia S2 10 m, {SLOVENIA_DAYS[a]} / {SLOVENIA_DAYS[b]}"
        rows.append((title, days[a], days[b], 10.0))
    folder = source / "costa_rica_l5_1986_2001"
    early, late = (read(folder / f"l5tsr_{year}.tif")[[2, 3]] for year in ("1986", "2001"))
    rows.append(("Costa Rica TM 30 m, 1986 / 2001", early, late, 30.0))
    return pd.DataFrame([_residual(*row, rules) for row in rows])


def _residual(
    name: str, before: Image, after: Image, pixel_m: float, rules: RegistrationRules
) -> dict[str, object]:
    shift = measure(before, after, rules)
    return {
        "pair": name,
        "status": shift.status,
        "dy px": round(shift.dy_px, 2),
        "dx px": round(shift.dx_px, 2),
        "length m": round(shift.length_px * pixel_m, 1),
        "spread px": round(shift.spread_px, 2),
        "windows": f"{shift.windows_used}/{shift.windows}",
    }


def colorado(source: Path, rules: RegistrationRules) -> pd.DataFrame:
    """Dates of the Landsat series against the clearest, gaps of the line corrector included.

    The way over a second reference must end at the same place: closure is what is left.
    """
    folder = source / "colorado_landsat_timeseries"
    names = ("b3", "b4", "b5")
    bands = np.stack([read(folder / f"{name}_105dates.tif") for name in names], axis=1)
    seen = (read(folder / "fmask_105dates.tif") <= 1) & ((bands > 0) & (bands < 16000)).all(axis=1)
    share = seen.mean(axis=(1, 2))
    first, second = (int(i) for i in np.argsort(-share, kind="stable")[[0, 5]])
    direct, around = (_against(index, bands, seen, rules) for index in (first, second))
    etm = pd.read_csv(folder / "dates.csv")["sensor"].eq("LE07").to_numpy()
    rows = []
    for name, of in (("ETM+ with gaps", etm), ("TM", ~etm)):
        for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 1.01)):
            chosen = np.flatnonzero(of & (share >= low) & (share < high))
            chosen = chosen[~np.isin(chosen, (first, second))]
            known = chosen[np.isfinite(direct[chosen, 0])]
            gap = np.hypot(*(direct[known] - around[known] - direct[second]).T)
            row = {"sensor": name, "clear share": f"{low:.1f} to {min(high, 1.0):.1f}"}
            row |= {"dates": len(chosen), "measured": len(known)}
            if len(known):
                row |= {"median length px": round(float(np.median(np.hypot(*direct[known].T))), 2)}
                row |= {
                    "closure: median / max px": f"{np.nanmedian(gap):.2f} / {np.nanmax(gap):.2f}"
                }
            rows.append(row)
    return pd.DataFrame(rows).fillna("-")


def _against(
    reference: int, bands: Image, seen: NDArray[np.bool_], rules: RegistrationRules
) -> NDArray[np.float64]:
    table = stack_shifts(bands, seen, reference=reference, rules=rules)
    found = [fit_shift([windows], rules, item_ids=["x"]) for windows in table]
    return np.array([(shift.dy_px, shift.dx_px) for shift in found])


def featureless(rules: RegistrationRules) -> pd.DataFrame:
    """Ground that cannot be measured, and the reason given."""
    rng = np.random.default_rng(5)
    flat = np.full((1, 200, 200), 0.1, np.float32)
    noise = [flat + rng.normal(0, 0.01, flat.shape).astype(np.float32) for _ in range(2)]
    stripes = np.broadcast_to(np.sin(np.arange(200) / 3.0), flat.shape).astype(np.float32)
    tiny = rng.random((1, 30, 30)).astype(np.float32)
    ground = ndimage.gaussian_filter(rng.standard_normal((1, 220, 220)), (0, 1, 1))
    ground = ground.astype(np.float32)
    cases = {
        "constant": (flat, flat),
        "independent noise (water)": (noise[0], noise[1]),
        "stripes one way only": (stripes + 0.3 * noise[0], stripes + 0.3 * noise[1]),
        "30 x 30 px": (tiny, tiny),
        "displaced by 20 px": (ground[:, :200, :200], ground[:, 20:, :200]),
    }
    return pd.DataFrame(
        [
            {"ground": name, "status": s.status, "reason": s.reason}
            for name, s in ((name, measure(*images, rules)) for name, images in cases.items())
        ]
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks registration", description=__doc__)
    parser.add_argument("--shared", type=Path, default=os.environ.get("RS_MONITOR_SHARED_DATA"))
    given = parser.parse_args(arguments)
    if given.shared is None:
        print(
            "registration: name the reference data folder with --shared or RS_MONITOR_SHARED_DATA"
        )
        return
    from benchmarks.demo_seeds import markdown

    source, rules = Path(given.shared), registration_rules()
    pairs = [make(source) for make in (taizhou, north_dakota, pennsylvania, brandenburg)]
    tables = {
        "Known shifts of 0.1 to 3 px in four directions": lambda: accuracy(
            [*pairs, small(source)], rules
        ),
        "The same with scikit-image": lambda: peers(pairs, rules),
        "Unrelated ground": lambda: unrelated(pairs, rules, (61, 100, 200)),
        "Ground without features": lambda: featureless(rules),
        "Real pairs of dates as delivered": lambda: residuals(source, pairs, rules),
        "Colorado TM and ETM+ 30 m, 61 x 61 px, against the clearest date": lambda: colorado(
            source, rules
        ),
    }
    for title, make in tables.items():
        print(f"\n### {title}\n")
        print(markdown(make()), flush=True)
