"""Score of the Taizhou run on its reference labels, and its digest under other conditions."""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.demo_seeds import markdown
from rs_monitor.codes import Change
from rs_monitor.config.job import load_config
from rs_monitor.config.paths import data_root
from rs_monitor.estimation.agreement import score_change
from rs_monitor.imagery.index import index_folder
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster
from rs_monitor.pipeline.plan import WHOLE_SCENE, make_plan
from rs_monitor.pipeline.run import Run, run

CONDITIONS: dict[str, dict[str, Any]] = {
    "threads, 2 workers": {},
    "threads, 1 worker": {"cluster.workers": 1},
    "chunks of 100 px": {"cluster.chunk_px": 100},
    "chunks of 64 px, 2 processes": {"cluster.chunk_px": 64, "cluster.kind": "local"},
}


def run_taizhou(source: Path, folder: Path, overrides: dict[str, Any]) -> Run:
    configs = data_root() / "configs"
    job = configs / "taizhou.toml"
    items = folder / "taizhou_items.parquet"
    if not items.exists():
        index_folder(source, items, side_table=configs / "index" / "taizhou.toml")
    name = "-".join(f"{k}{v}" for k, v in overrides.items()) or "plain"
    plan = make_plan(load_config(job, overrides), base=configs, data=folder)
    return run(plan, folder / name / "run", config_text=job.read_text(encoding="utf-8"))


def score(done: Run, source: Path) -> dict[str, Any]:
    change = read_raster(map_path(done.path, WHOLE_SCENE, "change"))[0][0]
    labels = read_raster(source / "reference_change.tif")[0][0]
    labelled = labels != 255
    result = score_change(change[labelled] == Change.CHANGE, labels[labelled] == 1)
    return {
        "kappa": round(result.kappa, 4),
        "F1": round(result.f1, 4),
        "precision": round(result.precision, 4),
        "recall": round(result.recall, 4),
        "flagged share of scene %": round(100 * float((change == Change.CHANGE).mean()), 2),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks taizhou", description=__doc__)
    parser.add_argument("--shared", type=Path, default=os.environ.get("RS_MONITOR_SHARED_DATA"))
    given = parser.parse_args(arguments)
    if given.shared is None:
        print("taizhou: name the reference data folder with --shared or RS_MONITOR_SHARED_DATA")
        return
    source = Path(given.shared) / "taizhou_landsat"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, overrides in CONDITIONS.items():
            done = run_taizhou(source, Path(folder), overrides)
            digest = str(done.manifest.content_digest)[:16]
            rows.append({"condition": name, "digest": digest, **score(done, source)})
    print("\n### Taizhou, IR-MAD with two-means\n")
    print(markdown(pd.DataFrame(rows)))
