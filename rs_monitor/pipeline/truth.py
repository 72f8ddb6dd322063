"""Set what was planted in a synthetic township beside what a run found."""

from __future__ import annotations

from collections.abc import Mapping

import geopandas as gpd
import pandas as pd
import shapely

from rs_monitor.codes import ClaimAnswer, Measurability, Status

FOUND_SHARE = 0.5
"""An event is found when reported patches cover half of it."""

TOUCHED_SHARE = 0.1
"""A look-alike is flagged when suspected patches cover a tenth of it, or lie half inside it."""

REPORTED = (Measurability.MEASURED.value, Measurability.DETECT_ONLY.value)


def suspected(patches: gpd.GeoDataFrame, findings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Patches with at least one suspected finding."""
    held = findings.loc[findings["status"] == Status.SUSPECTED.value, "patch_id"]
    return patches[patches["patch_id"].isin(held)]


def compare_events(
    events: gpd.GeoDataFrame, patches: gpd.GeoDataFrame, limit_m2: float
) -> pd.DataFrame:
    """One row per planted event: found or not, and as what.

    Parameters
    ----------
    events : GeoDataFrame
        event_id, kind, size_class, area_m2.
    patches : GeoDataFrame
        Patches of the run.
    limit_m2 : float
        Smallest patch the product measures.

    Returns
    -------
    DataFrame
        kind, size_class, area_m2, above_limit, found, called, measurability.
    """
    near = patches.to_crs(events.crs)
    rows = []
    for event in events.itertuples():
        touching = near[near.intersects(event.geometry)]
        shares = touching.intersection(event.geometry).area / event.geometry.area
        best = shares.idxmax() if len(shares) else None
        reported = touching["measurability"].isin(REPORTED)
        rows.append(
            {
                "event_id": event.event_id,
                "kind": event.kind,
                "size_class": event.size_class,
                "area_m2": event.area_m2,
                "above_limit": event.area_m2 >= limit_m2,
                "found": float(shares[reported].sum()) >= FOUND_SHARE,
                "called": "" if best is None else touching.loc[best, "kind"],
                "measurability": "" if best is None else touching.loc[best, "measurability"],
            }
        )
    return pd.DataFrame(rows)


def compare_lookalikes(
    lookalikes: gpd.GeoDataFrame, patches: gpd.GeoDataFrame, findings: gpd.GeoDataFrame
) -> pd.DataFrame:
    """One row per planted look-alike: flagged or not, and as what."""
    flags = suspected(patches, findings).to_crs(lookalikes.crs)
    rows = []
    for decoy in lookalikes.itertuples():
        touching = flags[flags.intersects(decoy.geometry)]
        shared = touching.intersection(decoy.geometry).area
        covered = shared.sum() / decoy.geometry.area
        inside = (shared / touching.geometry.area).max() if len(touching) else 0.0
        rows.append(
            {
                "lookalike_id": decoy.lookalike_id,
                "kind": decoy.kind,
                "flagged": bool(covered >= TOUCHED_SHARE or inside >= FOUND_SHARE),
                "called": ", ".join(sorted(set(touching["kind"]))),
            }
        )
    return pd.DataFrame(rows)


def false_alarms(
    patches: gpd.GeoDataFrame,
    findings: gpd.GeoDataFrame,
    planted: Mapping[str, gpd.GeoDataFrame],
    margin_m: float,
) -> gpd.GeoDataFrame:
    """Suspected patches that touch nothing that was planted.

    Parameters
    ----------
    patches, findings : GeoDataFrame
    planted : mapping of str to GeoDataFrame
        Events, look-alikes and claims.
    margin_m : float
        Distance that still counts as touching.
    """
    flags = suspected(patches, findings)
    real = [frame.to_crs(patches.crs).geometry for frame in planted.values()]
    ground = shapely.union_all(pd.concat(real).values).buffer(margin_m)
    return flags[~flags.intersects(ground)]


def event_table(events: pd.DataFrame) -> pd.DataFrame:
    """Planted and found per kind and size class, wide: one row a kind."""
    counts = events.groupby(["kind", "size_class"], observed=True)["found"].agg(["sum", "size"])
    text = counts["sum"].astype(int).astype(str) + "/" + counts["size"].astype(str)
    wide = text.unstack("size_class").fillna("-")
    wide = wide[sorted(wide.columns, key=lambda label: float(str(label).split("-")[0]))]
    above = events[events["above_limit"]].groupby("kind")["found"].agg(["sum", "size"])
    wide["above the limit"] = (
        above["sum"].astype(int).astype(str) + "/" + above["size"].astype(str)
    ).reindex(wide.index, fill_value="-")
    right = events[events["found"]]
    same = (right["kind"] == right["called"]).groupby(right["kind"]).agg(["sum", "size"])
    wide["kind right"] = (same["sum"].astype(str) + "/" + same["size"].astype(str)).reindex(
        wide.index, fill_value="-"
    )
    return wide.reset_index()


def lookalike_table(lookalikes: pd.DataFrame) -> pd.DataFrame:
    """Planted and flagged per kind of look-alike."""
    counts = lookalikes.groupby("kind")["flagged"].agg(["size", "sum"]).reset_index()
    return counts.rename(columns={"size": "planted", "sum": "flagged"})


def claim_table(claims: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Confusion of planted cases and answers."""
    joined = truth.merge(claims[["claim_id", "answer"]], on="claim_id")
    table = pd.crosstab(joined["case"], joined["answer"])
    answers = [answer.value for answer in ClaimAnswer]
    return table.reindex(columns=answers, fill_value=0).reset_index()
