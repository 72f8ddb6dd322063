"""Two-date methods at their automatic thresholds: scores on labels, flagged shares of controls."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import rasterio
import xarray as xr

from benchmarks.tables import markdown
from rs_monitor.codes import Change
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import read_toml
from rs_monitor.estimation.agreement import score_change
from rs_monitor.maps.change_rules import ChangeRules
from rs_monitor.maps.two_date import fit_two_date, two_date_change

Method = Callable[[xr.DataArray, xr.DataArray], xr.Dataset]
"""Two dates (band, y, x) in; ``change`` with its ``threshold`` attribute out."""

RULES: list[tuple[str, float | None]] = [
    ("kmeans", None), ("otsu", None), ("chi2", 0.01), ("chi2_rescaled", 0.01),
]  # fmt: skip

PUBLISHED = {"cva": "cva_norm", "mad": "mad", "irmad": "irmad", "isfa": "isfa"}
ETM_BANDS = {"blue": 1, "green": 2, "red": 3, "nir": 4, "swir16": 5, "swir22": 8}
NAIP_BANDS = {"red": 1, "green": 2, "blue": 3, "nir": 4}
TAIZHOU = "taizhou_landsat"


class Pair(NamedTuple):
    name: str
    before: Path
    after: Path
    bands: Mapping[str, int]


def method_with(method: str, rule: str, p: float | None) -> Method:
    def run(before: xr.DataArray, after: xr.DataArray) -> xr.Dataset:
        fit = fit_two_date(before, after, method=method, threshold=rule, p=p)  # type: ignore[arg-type]
        return two_date_change(before, after, fit)

    return run


def variate_methods() -> dict[tuple[str, str], Method]:
    """Every method at every rule, by (method, rule)."""
    return {
        (method, rule if p is None else f"{rule} p={p:g}"): method_with(method, rule, p)
        for method in PUBLISHED
        for rule, p in RULES
    }


def combined_method() -> dict[tuple[str, str], Method]:
    """The combined method by the shipped rules."""
    path = data_root() / "configs" / "rules" / "change.toml"
    rules = ChangeRules.model_validate(read_toml(path))

    def run(before: xr.DataArray, after: xr.DataArray) -> xr.Dataset:
        return two_date_change(
            before, after, fit_two_date(before, after, method="combined", rules=rules)
        )

    return {("combined", "its own"): run}


def read_date(path: Path, bands: Mapping[str, int]) -> xr.DataArray:
    """Numbers of a date; its corner is taken as the origin, as some differ by half a pixel."""
    with rasterio.open(path) as file:
        values = file.read(list(bands.values())).astype(np.float32)
        size_m = file.res[0]
    coords = {
        "band": list(bands),
        "y": -size_m * np.arange(values.shape[1]),
        "x": size_m * np.arange(values.shape[2]),
    }
    return xr.DataArray(values, dims=("band", "y", "x"), coords=coords)


def read_codes(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


def control_pairs(shared: Path) -> list[Pair]:
    """Pairs without known construction: seasons and clouds; crop rotation."""
    etm = shared / "pennsylvania_etm_2002"
    one, two = (etm / f"etm_{day}.tif" for day in ("20020720", "20021125"))
    pairs = [Pair("pennsylvania", one, two, ETM_BANDS)]
    scenes = sorted((shared / "north_dakota_naip").glob("naip_*.tif"))
    for one, two in combinations(scenes, 2):
        years = f"{one.stem[5:9]}-{two.stem[5:9]}"
        pairs.append(Pair(f"north dakota {years}", one, two, NAIP_BANDS))
    return pairs


def taizhou_table(shared: Path, methods: Mapping[tuple[str, str], Method]) -> pd.DataFrame:
    """Scores on the labels, the flagged share of the scene, and equality with published maps."""
    folder = shared / TAIZHOU
    bands = {name: k + 1 for k, name in enumerate(ETM_BANDS)}
    dates = [
        read_date(folder / name, bands) for name in ("t1_20000317_etm.tif", "t2_20030206_etm.tif")
    ]
    labels = read_codes(folder / "reference_change.tif")
    labelled = labels != 255
    rows = []
    for (method, rule), run in methods.items():
        found = run(*dates)["change"]
        change = (found == Change.CHANGE).values
        score = score_change(change[labelled], labels[labelled] == 1)
        row = {"method": method, "threshold": rule, "kappa": score.kappa, "F1": score.f1}
        row |= {"precision": score.precision, "recall": score.recall}
        row |= {"flagged %": 100 * change.mean()}
        if method in PUBLISHED:
            published = read_codes(folder / "published_maps" / f"{PUBLISHED[method]}.tif") == 1
            row["equal to published %"] = 100 * (change == published).mean()
        rows.append(row | {"cut": found.attrs["threshold"]})
    return pd.DataFrame(rows)


def control_table(pairs: Sequence[Pair], methods: Mapping[tuple[str, str], Method]) -> pd.DataFrame:
    """Flagged share of the seen pixels of each pair, percent."""
    rows = {name: dict(zip(("method", "threshold"), name, strict=True)) for name in methods}
    for pair in pairs:
        whole = [read_date(path, pair.bands) for path in (pair.before, pair.after)]
        dates = xr.align(*whole, join="inner", copy=False)
        for name, run in methods.items():
            change = run(*dates)["change"].values
            seen = change != Change.NOT_SEEN
            rows[name][pair.name] = 100 * float((change[seen] == Change.CHANGE).mean())  # type: ignore[assignment]
    return pd.DataFrame(list(rows.values()))


def tables(shared: Path, methods: Mapping[tuple[str, str], Method]) -> tuple[pd.DataFrame, ...]:
    """Scores and controls of a mapping of methods; add your own to :func:`variate_methods`."""
    return taizhou_table(shared, methods), control_table(control_pairs(shared), methods)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks change_methods", description=__doc__)
    parser.add_argument("--shared", type=Path, default=os.environ.get("RS_MONITOR_SHARED_DATA"))
    parser.add_argument("--combined", action="store_true", help="the combined method as well")
    given = parser.parse_args(arguments)
    if given.shared is None:
        print("change_methods: name the reference data with --shared or RS_MONITOR_SHARED_DATA")
        return
    methods = variate_methods() | (combined_method() if given.combined else {})
    scores, controls = tables(Path(given.shared), methods)
    print("\n### Taizhou: labelled pixels, and the whole scene\n")
    print(markdown(scores.round(4)))
    print("\n### Controls: flagged share, percent\n")
    print(markdown(controls.round(2)))
