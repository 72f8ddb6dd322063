"""Two-date methods on pairs without construction and on synthetic pairs: what each one flags.

The numbers of ``configs/rules/change.toml`` were set on synthetic seeds 11 to 14 and on the
controls; the synthetic figures here come from other seeds.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

from benchmarks.demo_seeds import markdown
from rs_monitor.codes import Change, LastingLoss
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import read_toml
from rs_monitor.estimation.agreement import score_change
from rs_monitor.maps.change_rules import ChangeRules
from rs_monitor.maps.combined import CombinedFit, combined_change, fit_combined, refit_combined
from rs_monitor.maps.lasting_loss import look_at
from rs_monitor.maps.two_date import fit_two_date, two_date_change
from rs_monitor.outputs.raster import read_raster
from rs_monitor.synthetic.pairs import Pair, PairSpec, synthetic_pair
from rs_monitor.synthetic.spectra import BANDS

BASELINES = ("cva", "mad", "irmad", "isfa")
METHODS = (*BASELINES, "combined")
SEEDS = (211, 212, 213)
SHARES = (0.1, 0.5, 0.9)
SENSORS = {"6 bands 30 m": (BANDS, 30.0), "4 bands 5 m": (BANDS[:4], 5.0)}
NAIP_DAYS = ("20090818", "20120731", "20160816", "20200831")
NAIP_SHAPE = (723, 934)
STEP = 0.25
UNTOUCHED = ("max_iterations", "tolerance", "min_patch_m2", "min_patch_px")
LABELLED, UNLABELLED = 1, 255

Masks = dict[str, tuple[np.ndarray, np.ndarray]]


class Control(NamedTuple):
    name: str
    before: xr.DataArray
    after: xr.DataArray
    resolution_m: float


def date(path: Path, bands: dict[str, int], resolution_m: float, shape: Any = None) -> xr.DataArray:
    stack = read_raster(path)[0]
    rows, columns = shape or stack.shape[1:]
    picked = np.stack([stack[k - 1, :rows, :columns] for k in bands.values()]).astype(np.float32)
    coords = {
        "band": list(bands),
        "y": -resolution_m * np.arange(rows),
        "x": resolution_m * np.arange(columns),
    }
    return xr.DataArray(picked, dims=("band", "y", "x"), coords=coords)


def controls(shared: Path) -> Iterator[Control]:
    numbers = (1, 2, 3, 4, 5, 8)
    etm = dict(zip(BANDS, numbers, strict=True))
    folder = shared / "pennsylvania_etm_2002"
    days = [date(folder / f"etm_{day}.tif", etm, 30.0) for day in ("20020720", "20021125")]
    yield Control("Pennsylvania July-November", days[0], days[1], 30.0)
    naip = {"blue": 3, "green": 2, "red": 1, "nir": 4}
    folder = shared / "north_dakota_naip"
    years = {day[:4]: date(folder / f"naip_{day}.tif", naip, 5.0, NAIP_SHAPE) for day in NAIP_DAYS}
    for i, one in enumerate(years):
        for other in list(years)[i + 1 :]:
            yield Control(f"NAIP {one}-{other}", years[one], years[other], 5.0)


def masks(
    before: xr.DataArray, after: xr.DataArray, rules: ChangeRules, methods: tuple[str, ...]
) -> Masks:
    """Change and lasting loss by each method; for the baselines all lost vegetation is lasting."""
    fit = fit_combined(before, after, rules)
    found: Masks = {}
    for method in methods:
        if method == "combined":
            layers = combined_change(before, after, fit)
            lasting = layers["loss"].values == LastingLoss.LASTING
            found[method] = (layers["change"].values == Change.CHANGE, lasting)
        else:
            own = fit_two_date(before, after, method=method, threshold="kmeans")  # type: ignore[arg-type]
            change = two_date_change(before, after, own)["change"].values == Change.CHANGE
            found[method] = (change, lost_vegetation(before, after, change, fit))
    return found


def lost_vegetation(
    before: xr.DataArray, after: xr.DataArray, change: np.ndarray, fit: CombinedFit
) -> np.ndarray:
    """Changed, vegetated before, neither vegetated nor water after."""
    if fit.cover is None:
        raise ValueError("got bands without red and nir; needed both; name them")
    return look_at(before.values, after.values, change, fit.cover).candidate


def patches(mask: np.ndarray, least_px: int) -> tuple[np.ndarray, int]:
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    large = sizes >= least_px
    large[0] = False
    kept, count = ndimage.label(large[labels], np.ones((3, 3)))
    return kept, count


def hit_share(one: np.ndarray, other: np.ndarray, least_px: int) -> float:
    """Share of the patches of one mask that lie on the other by three tenths of their area."""
    labels, count = patches(one, least_px)
    if count == 0:
        return float("nan")
    return float(np.mean(ndimage.mean(other, labels, np.arange(1, count + 1)) >= 0.3))


def control_rows(control: Control, rules: ChangeRules, methods: tuple[str, ...]) -> list[Any]:
    least = rules.loss.patch_px(control.resolution_m)
    found = masks(control.before, control.after, rules, methods)
    area_ha = found["combined"][0].size * control.resolution_m**2 / 1e4
    return [
        {
            "control": control.name,
            "method": method,
            "flagged %": round(100 * float(change.mean()), 1),
            "lasting loss, patches per 1,000 ha": round(
                1000 * patches(loss, least)[1] / area_ha, 2
            ),
            "lasting loss, % of area": round(100 * float((patches(loss, least)[0] > 0).mean()), 3),
        }
        for method, (change, loss) in found.items()
    ]


def synthetic_rows(
    rules: ChangeRules, methods: tuple[str, ...], seeds: tuple[int, ...], shares: tuple[float, ...]
) -> pd.DataFrame:
    rows = []
    for sensor, (bands, resolution_m) in SENSORS.items():
        least = rules.loss.patch_px(resolution_m)
        for share in shares:
            for seed in seeds:
                spec = PairSpec(seed, share, bands=bands, resolution_m=resolution_m, size_px=200)
                pair = synthetic_pair(spec)
                pure = ~pair.truth["mixed"].values
                works = pair.truth["lasting_loss"].values
                found = masks(pair.before, pair.after, rules, methods)
                for method, (change, loss) in found.items():
                    score = score_change(change[pure], pair.truth["change"].values[pure])
                    rows.append(
                        {"sensor": sensor, "fields changed": share, "method": method}
                        | {"kappa": score.kappa, "F1": score.f1, "recall": score.recall}
                        | {"loss precision": hit_share(loss, works, least)}
                        | {"loss recall": hit_share(works, loss, least)}
                    )
    keys = ["sensor", "fields changed", "method"]
    return pd.DataFrame(rows).groupby(keys, sort=False).mean().round(3).reset_index()


def moved(rules: ChangeRules) -> Iterator[tuple[str, ChangeRules]]:
    """The rules with each number of ours moved by a quarter; probabilities by their complement."""
    yield "as shipped", rules
    for group in ("combined", "loss"):
        table = getattr(rules, group)
        for key, value in table.model_dump().items():
            if key in UNTOUCHED:
                continue
            for sign in (-1, 1):
                near_one = 0.5 < value < 1.0 and key != "context_weight"
                by = 1.0 + sign * STEP
                number = 1.0 - (1.0 - value) / by if near_one else value * by
                changed = table.model_copy(update={key: number})
                yield f"{key} {number:.4g}", rules.model_copy(update={group: changed})


def sensitivity(shared: Path | None, rules: ChangeRules, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Mean scores of synthetic pairs and false alarms of the controls, transforms kept."""
    synthetic = [
        (synthetic_pair(PairSpec(seed, share, bands=bands, resolution_m=size, size_px=200)), size)
        for bands, size in SENSORS.values()
        for share in SHARES
        for seed in seeds
    ]
    fits = [fit_combined(pair.before, pair.after, rules) for pair, _ in synthetic]
    known = [] if shared is None else list(controls(shared))
    known_fits = [fit_combined(c.before, c.after, rules) for c in known]
    rows = []
    for name, one in moved(rules):
        scores = [
            synthetic_score(pair, refit_combined(pair.before, pair.after, fit, one), size)
            for (pair, size), fit in zip(synthetic, fits, strict=True)
        ]
        row = {"numbers": name, **pd.DataFrame(scores).mean().round(3)}
        for control, fit in zip(known, known_fits, strict=True):
            again = refit_combined(control.before, control.after, fit, one)
            layers = combined_change(control.before, control.after, again)
            lasting = layers["loss"].values == LastingLoss.LASTING
            count = patches(lasting, one.loss.patch_px(control.resolution_m))[1]
            area_ha = lasting.size * control.resolution_m**2 / 1e4
            row[f"{control.name} /1,000 ha"] = round(1000 * count / area_ha, 1)
        rows.append(row)
    return pd.DataFrame(rows)


def synthetic_score(pair: Pair, fit: CombinedFit, resolution_m: float) -> dict[str, float]:
    layers = combined_change(pair.before, pair.after, fit)
    pure = ~pair.truth["mixed"].values
    change = layers["change"].values == Change.CHANGE
    lasting = layers["loss"].values == LastingLoss.LASTING
    works = pair.truth["lasting_loss"].values
    least = fit.rules.loss.patch_px(resolution_m)
    return {
        "kappa": score_change(change[pure], pair.truth["change"].values[pure]).kappa,
        "loss precision": hit_share(lasting, works, least),
        "loss recall": hit_share(works, lasting, least),
    }


def taizhou_rows(shared: Path, rules: ChangeRules, methods: tuple[str, ...]) -> list[Any]:
    """Scores on the labels; run only when the numbers of the rule file are committed."""
    folder = shared / "taizhou_landsat"
    six = {band: k for k, band in enumerate(BANDS, start=1)}
    names = ("t1_20000317_etm.tif", "t2_20030206_etm.tif")
    before, after = (date(folder / name, six, 30.0) for name in names)
    labels = read_raster(folder / "reference_change.tif")[0][0]
    labelled = labels != UNLABELLED
    rows = []
    for method, (change, _) in masks(before, after, rules, methods).items():
        score = score_change(change[labelled], labels[labelled] == LABELLED)
        figures = {"kappa": score.kappa, "F1": score.f1, "recall": score.recall}
        flagged = round(100 * float(change.mean()), 2)
        rounded = {name: round(value, 4) for name, value in figures.items()}
        rows.append({"method": method, **rounded, "flagged % of scene": flagged})
    return rows


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks change_controls", description=__doc__)
    parser.add_argument("--shared", type=Path, default=os.environ.get("RS_MONITOR_SHARED_DATA"))
    parser.add_argument("--sensitivity", action="store_true")
    parser.add_argument("--taizhou", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args(arguments)
    shared = Path(given.shared) if given.shared else None
    path = data_root() / "configs" / "rules" / "change.toml"
    rules = ChangeRules.model_validate(read_toml(path))
    if given.sensitivity:
        show("each number moved by a quarter", sensitivity(shared, rules, tuple(given.seeds[:2])))
        if given.taizhou and shared is not None:
            rows = [
                {"numbers": name, **taizhou_rows(shared, one, ("combined",))[0]}
                for name, one in moved(rules)
            ]
            show("Taizhou, each number moved by a quarter", pd.DataFrame(rows))
        return
    table = synthetic_rows(rules, METHODS, tuple(given.seeds), SHARES)
    show("synthetic pairs", table)
    if shared is None:
        print("change_controls: name the reference data folder with --shared for the controls")
        return
    rows = [row for control in controls(shared) for row in control_rows(control, rules, METHODS)]
    show("pairs without construction", pd.DataFrame(rows))
    if given.taizhou:
        show("Taizhou", pd.DataFrame(taizhou_rows(shared, rules, METHODS)))


def show(title: str, table: pd.DataFrame) -> None:
    print(f"\n### {title}\n")
    print(markdown(table), flush=True)
