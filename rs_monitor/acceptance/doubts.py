"""What a table of claims itself says against supporting one of them."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rs_monitor.acceptance.overlay import shared_m2
from rs_monitor.acceptance.rules import AcceptanceRules
from rs_monitor.authority.area import require_suitable_crs


def table_doubts(claims: gpd.GeoDataFrame, rules: AcceptanceRules) -> list[tuple[str, ...]]:
    """Reasons in the table why a claim can never be SUPPORTED.

    Parameters
    ----------
    claims : GeoDataFrame
        The whole table as read by ``read_layer(..., kind="claims")``, its ``attrs`` included.
    rules : AcceptanceRules
        Tolerance of ground claimed twice.

    Returns
    -------
    list of tuple of str
        Per claim in the delivered order; empty where nothing speaks against it. Named are every
        other claim with the ground shared, and a polygon that is or was invalid.

    Raises
    ------
    MissingCRS, UnsuitableCRS
        If no official area can be computed.
    """
    shapes = np.array(claims.geometry.array, dtype=object)
    doubts = _invalid(claims, shapes)
    invalid = ~shapely.is_valid(shapes)
    shapes[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
    crs = require_suitable_crs(claims.crs, "claims")
    ids = claims["claim_id"].astype(str).tolist()
    limit = rules.claims.max_mutual_overlap
    for one, other in _neighbours(shapes):
        shared = shared_m2(shapes[one], shapes[other], crs)
        if shared > limit.value:
            text = f"shares {shared:.2f} m2 with claim {{}}, limit {limit.value:g} [{limit.num}]"
            doubts[one].append(text.format(ids[other]))
            doubts[other].append(text.format(ids[one]))
    return [tuple(found) for found in doubts]


def _invalid(claims: gpd.GeoDataFrame, shapes: NDArray[np.object_]) -> list[list[str]]:
    """Per claim its note of repair, as ``read_layer`` left it, or its fault."""
    repaired = [str(line) for line in claims.attrs.get("repaired", ())]
    doubts = []
    for name, shape in zip(claims["claim_id"].astype(str), shapes, strict=True):
        notes = [line for line in repaired if line.startswith(f"{name}: ")]
        faults = [f"polygon had to be repaired ({line[len(name) + 2 :]})" for line in notes]
        if not shapely.is_valid(shape):
            faults.append(f"polygon is invalid ({shapely.is_valid_reason(shape)})")
        doubts.append(faults)
    return doubts


def _neighbours(shapes: NDArray[np.object_]) -> list[tuple[int, int]]:
    """Pairs of polygons that meet, each once."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    return sorted((int(i), int(j)) for i, j in zip(one, other, strict=True) if i < j)
