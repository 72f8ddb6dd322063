"""The embedded default: a synthetic township written to disk and sent through the main job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from rs_monitor.cluster import Pool, open_pool, run_tasks
from rs_monitor.config.job import load_config
from rs_monitor.config.paths import data_root
from rs_monitor.errors import RunError
from rs_monitor.imagery.index import index_folder
from rs_monitor.outputs.atomic import write_text
from rs_monitor.outputs.raster import write_cog
from rs_monitor.outputs.vectors import write_layers
from rs_monitor.pipeline.claims import Verified, verify
from rs_monitor.pipeline.identity import code_hash
from rs_monitor.pipeline.plan import Plan, make_plan
from rs_monitor.pipeline.run import Run, run, silent
from rs_monitor.pipeline.truth import (
    compare_events,
    compare_lookalikes,
    event_table,
    false_alarms,
    lookalike_table,
)
from rs_monitor.pipeline.work import Progress
from rs_monitor.synthetic import BANDS, Township, make_township

ITEMS_NAME = "items.parquet"
AUTHORITY_NAME = "authority.gpkg"
CLAIMS_NAME = "claims.gpkg"
TRUTH_NAME = "truth.gpkg"
DEM_NAME = "dem.tif"
CONFIG_NAME = "demo.toml"
SCENES = "scenes"
MARK_NAME = "township.json"
REFLECTANCE_SCALE, REFLECTANCE_OFFSET = 1e-4, -0.1
TOUCH_MARGIN_M = 15.0


@dataclass(frozen=True)
class Demo:
    """What the demo made and how it compares with the planted truth.

    Attributes
    ----------
    run : Run
    verified : Verified
    events, lookalikes : DataFrame
        One row per planted thing.
    claims : DataFrame
        Truth of the claims.
    alarms : GeoDataFrame
        Suspected patches that touch nothing planted.
    area_ha : float
        Ground of the zones.
    """

    run: Run
    verified: Verified
    events: pd.DataFrame
    lookalikes: pd.DataFrame
    claims: pd.DataFrame
    alarms: gpd.GeoDataFrame
    area_ha: float


def write_township(township: Township, folder: Path, progress: Progress = silent) -> Path:
    """Write a synthetic township as an office would hold it: scenes, layers, DEM, claims.

    Parameters
    ----------
    township : Township
    folder : Path
        Gets ``scenes/`` with COGs and a side table, ``items.parquet``, vectors, DEM, job file.
    progress : Progress, optional

    Returns
    -------
    Path
        The job file.
    """
    scenes = folder / SCENES
    scenes.mkdir(parents=True, exist_ok=True)
    with open_pool("threads", workers=2, memory_gb=4.0) as pool:
        _write_scenes(township, scenes, pool, progress)
    write_text(scenes / "index.toml", side_table(township))
    index_folder(scenes, folder / ITEMS_NAME)
    write_cog(
        folder / DEM_NAME,
        township.dem_m[None],
        township.geobox,
        nodata=float("nan"),
        band_names=["elevation_m"],
        overview="average",
    )
    write_layers(folder / AUTHORITY_NAME, dict(township.layers))
    write_layers(folder / CLAIMS_NAME, {"claims": township.claims})
    planted = {"events": township.events, "lookalikes": township.lookalikes}
    write_layers(folder / TRUTH_NAME, {**planted, "claims": township.claims_truth})
    text = (data_root() / "configs" / CONFIG_NAME).read_text(encoding="utf-8")
    return write_text(folder / CONFIG_NAME, text)


def _write_scenes(township: Township, folder: Path, pool: Pool, progress: Progress) -> None:
    total = len(township.acquisitions)
    done = 0

    def tick(_: int) -> None:
        nonlocal done
        done += 1
        progress("write synthetic scenes", done, total)

    write = partial(_write_scene, township, folder)
    for outcome in run_tasks(pool, write, range(total), tick):
        if outcome.error is not None:
            raise outcome.error


def _write_scene(township: Township, folder: Path, index: int) -> None:
    scene = township.scene(index)
    name = township.acquisitions[index].id
    stack = np.stack([scene.bands[band] for band in BANDS])
    write_cog(
        folder / f"{name}_SR.tif",
        stack,
        township.geobox,
        nodata=0,
        band_names=BANDS,
        overview="average",
        tags={"synthetic": "true"},
    )
    write_cog(
        folder / f"{name}_SCL.tif",
        scene.scl[None],
        township.geobox,
        nodata=0,
        band_names=["scl"],
        overview="nearest",
        tags={"synthetic": "true"},
    )


def side_table(township: Township) -> str:
    """Side table that dates the scenes and says what their numbers mean."""
    lines = ['collection = "synthetic-s2"']
    for acquisition in township.acquisitions:
        when = acquisition.datetime.strftime("%Y-%m-%dT%H:%M:%SZ")
        common = [f'item = "{acquisition.id}"', f"datetime = {when}", 'platform = "synthetic-2a"']
        lines += ["", "[[source]]", f'files = "{acquisition.id}_SR.tif"', *common]
        lines += [f"bands = {json.dumps(list(BANDS))}", "nodata = 0"]
        lines += [f"scale = {REFLECTANCE_SCALE}", f"offset = {REFLECTANCE_OFFSET}"]
        lines += ["", "[[source]]", f'files = "{acquisition.id}_SCL.tif"', *common]
        lines += ['role = "mask"', 'bands = ["scl"]', "nodata = 0"]
    return "\n".join(lines) + "\n"


def prepare(seed: int, folder: Path, progress: Progress = silent, **size: int) -> Township:
    """Make a township and write it, unless the folder already holds this very one."""
    township = make_township(seed, **size)
    mark = json.dumps({"seed": seed, "size": size, "code": code_hash("synthetic")}, sort_keys=True)
    marker = folder / MARK_NAME
    held = marker.read_text(encoding="utf-8") if marker.exists() else None
    if held is not None and held != mark:
        raise RunError(
            f"{folder}: got another synthetic township; needed an empty folder or the one of seed "
            f"{seed}; choose another --out or remove this one"
        )
    if held is None:
        write_township(township, folder, progress)
        write_text(marker, mark)
    return township


def run_demo(
    seed: int,
    out: Path,
    *,
    progress: Progress = silent,
    overrides: Mapping[str, Any] | None = None,
    **size: int,
) -> Demo:
    """Run the main job on a synthetic township and compare with what was planted.

    Parameters
    ----------
    seed : int
    out : Path
        Gets ``township/``, ``run/`` and ``register.gpkg``.
    progress : Progress, optional
    overrides : mapping, optional
        Dotted keys of the job, e.g. ``{"cluster.workers": 4}``.
    **size : int
        Size of the township; see :func:`rs_monitor.synthetic.make_township`.
    """
    folder = out / "township"
    township = prepare(seed, folder, progress, **size)
    job = folder / CONFIG_NAME
    plan = make_plan(load_config(job, overrides), base=folder)
    first = run(plan, out / "run", config_text=job.read_text(encoding="utf-8"), progress=progress)
    return _compare(township, plan, first, out)


def _compare(township: Township, plan: Plan, done: Run, out: Path) -> Demo:
    found = done.found
    limit_m2 = float(found.coverage["limit_m2"].max())
    events = compare_events(township.events, found.patches, limit_m2)
    lookalikes = compare_lookalikes(township.lookalikes, found.patches, found.findings)
    planted = {
        "events": township.events,
        "lookalikes": township.lookalikes,
        "claims": township.claims,
    }
    alarms = false_alarms(found.patches, found.findings, planted, TOUCH_MARGIN_M)
    verified = verify(plan, out / "run", truth=truth_rows(events, lookalikes))
    return Demo(
        run=done,
        verified=verified,
        events=events,
        lookalikes=lookalikes,
        claims=township.claims_truth,
        alarms=alarms,
        area_ha=float(found.coverage["area_m2"].sum()) / 1e4,
    )


def truth_rows(events: pd.DataFrame, lookalikes: pd.DataFrame) -> pd.DataFrame:
    """The table the report shows: planted against found."""
    table = event_table(events)
    decoys = lookalike_table(lookalikes)
    rows = pd.DataFrame(
        {
            "kind": "look-alike: " + decoys["kind"],
            "above the limit": decoys["flagged"].astype(str)
            + "/"
            + decoys["planted"].astype(str)
            + " flagged",
        }
    )
    return pd.concat([table, rows], ignore_index=True).fillna("")
