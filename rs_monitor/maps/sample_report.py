"""What a draw of samples used of a survey, and what it could not use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rs_monitor.maps.sample_parcels import SampleParcels
from rs_monitor.maps.samples import Samples


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What a draw used and what it could not use.

    Attributes
    ----------
    classes : DataFrame
        Index ``cover``; usable parcels, drawn parcels, pixels, blocks, largest share of one
        parcel and of one block in the pixels of the class.
    left_out : DataFrame
        Columns reason, land_code, parcels, area_m2; most parcels first.
    """

    classes: pd.DataFrame
    left_out: pd.DataFrame


def sample_report(samples: Samples, parcels: SampleParcels) -> SampleReport:
    """Say what a draw used, by class, and what it could not use, by reason.

    Parameters
    ----------
    samples : Samples
    parcels : SampleParcels
        That the samples were drawn from.
    """
    usable = parcels.cores.groupby("cover").size()
    drawn = pd.DataFrame(
        {"cover": samples.labels, "parcel": samples.parcel, "block": samples.block}
    ).groupby("cover")
    classes = pd.DataFrame(
        {
            "parcels_usable": usable,
            "parcels_drawn": drawn["parcel"].nunique(),
            "pixels": drawn.size(),
            "blocks": drawn["block"].nunique(),
            "largest_parcel_share": drawn["parcel"].agg(_largest_share),
            "largest_block_share": drawn["block"].agg(_largest_share),
        }
    )
    counts = ["parcels_usable", "parcels_drawn", "pixels", "blocks"]
    classes[counts] = classes[counts].fillna(0).astype(np.int64)
    left_out = (
        parcels.left_out.groupby(["reason", "land_code"], dropna=False)["area_m2"]
        .agg(parcels="size", area_m2="sum")
        .reset_index()
        .sort_values(["parcels", "reason", "land_code"], ascending=[False, True, True])
    )
    return SampleReport(classes.rename_axis("cover"), left_out.reset_index(drop=True))


def _largest_share(values: pd.Series) -> float:
    return float(values.value_counts(normalize=True).iloc[0])
