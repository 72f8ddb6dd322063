"""Accuracy of the demo over seeds: events found, look-alikes flagged, claims answered.

The detection thresholds were set on seeds 101 to 103; no figure here comes from those.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

from rs_monitor.cli.options import overrides_of
from rs_monitor.pipeline.demo import Demo, run_demo
from rs_monitor.pipeline.truth import claim_table, event_table, lookalike_table

SEEDS = (1, 2, 3, 4, 5)


def collect(demos: dict[int, Demo]) -> dict[str, pd.DataFrame]:
    events = pd.concat([d.events.assign(seed=s) for s, d in demos.items()])
    lookalikes = pd.concat([d.lookalikes.assign(seed=s) for s, d in demos.items()])
    claims = pd.concat([claim_table(d.verified.claims, d.claims) for d in demos.values()])
    return {
        "events found / planted": event_table(events),
        "above the limit, per seed": per_seed(events),
        "look-alikes": lookalike_table(lookalikes),
        "claims": claims.groupby("case").sum().reset_index(),
        "false alarms": alarms(demos),
    }


def per_seed(events: pd.DataFrame) -> pd.DataFrame:
    above = events[events["above_limit"]]
    table = above.pivot_table(index="kind", columns="seed", values="found", aggfunc="mean")
    table["all"] = above.groupby("kind")["found"].mean()
    return (100 * table).round(0).fillna(-1).astype(int).reset_index()


def alarms(demos: dict[int, Demo]) -> pd.DataFrame:
    rows = [
        {
            "seed": seed,
            "suspected where nothing was planted": len(demo.alarms),
            "per 1,000 ha": round(1000 * len(demo.alarms) / demo.area_ha, 2),
        }
        for seed, demo in demos.items()
    ]
    return pd.DataFrame(rows)


def verdict(events: pd.DataFrame, lookalikes: pd.DataFrame) -> str:
    above = events[events["above_limit"]].groupby("kind")["found"].mean()
    flagged = lookalikes["flagged"].mean()
    return (
        f"kinds with at least 80 % found: {int((above >= 0.8).sum())} of {len(above)}; "
        f"look-alikes flagged: {100 * flagged:.1f} %"
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks demo_seeds", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    overrides = overrides_of(tuple(given.settings))
    demos: dict[int, Demo] = {}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in given.seeds:
            demos[seed] = run_demo(seed, Path(folder) / str(seed), overrides=overrides)
            print(f"seed {seed}: {time.perf_counter() - started:.0f} s since the start", flush=True)
    for title, table in collect(demos).items():
        print(f"\n### {title}\n")
        print(markdown(table))
    events = pd.concat([d.events for d in demos.values()])
    lookalikes = pd.concat([d.lookalikes for d in demos.values()])
    print(f"\n{verdict(events, lookalikes)}")


def markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|---" * table.shape[1] + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)
