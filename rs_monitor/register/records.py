"""Columns of patches, findings and coverage, and the checks a frame must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
from pandas.api import types

from rs_monitor.codes import ChangeKind, Measurability, Proposal, Status
from rs_monitor.errors import LayerError, MissingCRS

ColumnType = Literal["text", "float", "int", "bool"]

_DTYPES: Mapping[ColumnType, str] = {
    "text": "object",
    "float": "float64",
    "int": "int64",
    "bool": "bool",
}


def _is_text(column: pd.Series[Any]) -> bool:
    return types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype)


_FITS: Mapping[ColumnType, Callable[[pd.Series[Any]], bool]] = {
    "text": _is_text,
    "float": lambda column: types.is_float_dtype(column.dtype),
    "int": lambda column: types.is_integer_dtype(column.dtype),
    "bool": lambda column: types.is_bool_dtype(column.dtype),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a record.

    Attributes
    ----------
    name : str
        Name; the unit stands in it.
    type : str
        ``text`` (dates are ISO 8601 text), ``float`` (NaN = unknown), ``int`` or ``bool``.
    meaning : str
        One line for readers of the file.
    allowed : tuple of str
        Values a coded text may take; empty = free text.
    """

    name: str
    type: ColumnType
    meaning: str
    allowed: tuple[str, ...] = ()


Schema = tuple[Column, ...]

PATCH: Schema = (
    Column("patch_id", "text", "stable id: zone, change window and outline"),
    Column("zone_id", "text", "remediation zone"),
    Column("kind", "text", "what the change looks like", tuple(ChangeKind)),
    Column("class_before", "text", "land cover before, or unknown"),
    Column("class_after", "text", "land cover after, or unknown"),
    Column("prob_before", "float", "lower bound of the mean probability of class_before"),
    Column("prob_after", "float", "lower bound of the mean probability of class_after"),
    Column("probability", "float", "mean posterior probability of change"),
    Column("magnitude", "float", "mean change magnitude, in the unit of its map"),
    Column("first_date", "text", "the change lies on or after this day"),
    Column("last_date", "text", "the change lies on or before this day"),
    Column("area_m2", "float", "area on the CGCS2000 ellipsoid, of the pixel outline"),
    Column("perimeter_m", "float", "length of the pixel outline"),
    Column("width_m", "float", "mean width, 2 area / perimeter"),
    Column("elongation", "float", "length over width of the tightest rectangle"),
    Column("n_px", "int", "changed pixels"),
    Column("measurability", "text", "what the sensor can say at this size", tuple(Measurability)),
    Column("looks_before", "int", "clear looks before: 10th percentile over the pixels"),
    Column("looks_after", "int", "clear looks after: 10th percentile over the pixels"),
    Column("slope_deg", "float", "mean slope; NaN without a DEM"),
    Column("scene_ids", "text", "scenes used, joined by ;"),
    Column(
        "last_look", "text", "last clear look: 10th percentile over the pixels; empty = unknown"
    ),
    Column("doubtful_fraction", "float", "share kept as ground though a mask called it cloud"),
    Column("shift_m", "float", "uncertainty of the registration; NaN = not measured"),
    Column("shift_fraction", "float", "share of the patch within shift_m of its edge"),
)
"""What delineation knows about a patch."""

LATER = frozenset({"last_look", "doubtful_fraction", "shift_m", "shift_fraction"})
"""Columns that records of earlier versions lack; they read as empty text or NaN."""

PROPOSED_PATCH: Schema = (
    *PATCH,
    Column("proposal", "text", "outcome of the decision table", tuple(Proposal)),
    Column("proposal_reason", "text", "why"),
)
"""A patch after the decision table."""

FROM_IMAGERY = tuple(status for status in Status if status is not Status.FAIL)
"""Statuses a finding may have; imagery never fails anybody."""

FINDING: Schema = (
    Column("finding_id", "text", "stable id: rule, its version and the patch"),
    Column("patch_id", "text", "patch the rule was applied to"),
    Column("zone_id", "text", "remediation zone of the patch"),
    Column("rule_id", "text", "rule"),
    Column("rule_version", "text", "version of the rule"),
    Column("clause", "text", "document and clause the rule implements"),
    Column("severity", "text", "weight of the rule in its source"),
    Column("status", "text", "outcome", FROM_IMAGERY),
    Column("reason", "text", "what was seen and what excuses or is missing"),
    Column("kind", "text", "what the change looks like", tuple(ChangeKind)),
    Column("measurability", "text", "what the sensor can say at this size", tuple(Measurability)),
    Column("area_m2", "float", "area of the patch on the ellipsoid"),
    Column("overlap_m2", "float", "part of the patch the rule is about; NaN = not known"),
    Column("pbf_m2", "float", "part on permanent basic farmland; NaN = layer missing"),
    Column("redline_m2", "float", "part inside the red line; NaN = layer missing"),
    Column("in_zone", "bool", "most of the patch lies in a remediation zone"),
    Column("plan_ids", "text", "approved plans that cover the patch, joined by ;"),
    Column("permit_ids", "text", "permits that excuse the patch, joined by ;"),
    Column("first_date", "text", "the change lies on or after this day"),
    Column("last_date", "text", "the change lies on or before this day"),
)
"""One rule applied to one patch."""

COVERAGE: Schema = (
    Column("zone_id", "text", "remediation zone"),
    Column("area_m2", "float", "area of the zone on the ellipsoid"),
    Column("seen_fraction", "float", "share of the zone with enough looks in both periods"),
    Column("not_seen_m2", "float", "area for which nothing can be said"),
    Column("looks_before_median", "float", "median clear looks before"),
    Column("looks_after_median", "float", "median clear looks after"),
    Column("longest_gap_days", "float", "longest time without a clear look; NaN = not known"),
    Column("limit_m2", "float", "smallest patch the sensor can measure here"),
    Column("detectable_fraction", "float", "share of the zone where a change of limit_m2 shows"),
    Column("detectable_m2", "float", "area where a change of limit_m2 would have been detected"),
    Column("covers_from", "text", "wherever detectable, a change after this day would show"),
    Column("covers_until", "text", "wherever detectable, a change before this day would show"),
    Column("last_look_before", "text", "last clear look before: median; empty = unknown"),
    Column("last_look_after", "text", "last clear look after: median; empty = unknown"),
    Column("doubtful_fraction", "float", "seen share kept though a mask called it cloud"),
    Column("not_seen_because", "text", "what cost the looks of ground not seen; empty = unknown"),
)
"""How well a zone was seen."""


def check_patches(frame: gpd.GeoDataFrame, *, proposed: bool = True) -> gpd.GeoDataFrame:
    """Return a frame of patches, or refuse it with every problem at once.

    Parameters
    ----------
    frame : GeoDataFrame
        One row per patch.
    proposed : bool
        Whether the decision table has been applied.

    Raises
    ------
    LayerError
        Columns missing, of another type or with values outside their code list; doubled ids.
    MissingCRS
        A frame without CRS.
    """
    schema = PROPOSED_PATCH if proposed else PATCH
    return _checked(frame, schema, key="patch_id", what="patches")


def check_findings(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return a frame of findings, or refuse it; the status ``fail`` is refused.

    Raises
    ------
    LayerError, MissingCRS
        See :func:`check_patches`.
    """
    return _checked(frame, FINDING, key="finding_id", what="findings")


def check_coverage(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of coverage rows, or refuse it; see :func:`check_patches`."""
    _check_columns(frame, COVERAGE, key="zone_id", what="coverage")
    return frame


def record_frame(
    columns: Mapping[str, Any], schema: Schema, geometry: Iterable[Any], crs: Any
) -> gpd.GeoDataFrame:
    """Build a frame with the columns, types and order of a schema, geometry last.

    Parameters
    ----------
    columns : mapping
        One sequence per column of the schema; all of one length.
    schema : Schema
        Columns wanted.
    geometry : iterable of shapely geometry
        One per row.
    crs : CRS or str
        CRS of the geometry.
    """
    data = {
        column.name: pd.Series(list(columns[column.name]), dtype=_DTYPES[column.type])
        for column in schema
    }
    shapes = gpd.GeoSeries(np.asarray(list(geometry), dtype=object), crs=crs)
    return gpd.GeoDataFrame(data, geometry=shapes, crs=crs)


def with_later_columns(frame: gpd.GeoDataFrame, schema: Schema) -> gpd.GeoDataFrame:
    """Add the columns of :data:`LATER` that a frame lacks, as empty text or NaN.

    Parameters
    ----------
    frame : GeoDataFrame
        Records of this version or an earlier one.
    schema : Schema
        Columns wanted; the order of those the frame has stays.
    """
    lacking = [c for c in schema if c.name in LATER and c.name not in frame]
    empty = {c.name: "" if c.type == "text" else np.nan for c in lacking}
    return frame.assign(**empty) if empty else frame


def _checked(frame: gpd.GeoDataFrame, schema: Schema, *, key: str, what: str) -> gpd.GeoDataFrame:
    if frame.crs is None:
        raise MissingCRS(f"got {what} without CRS; needed the CRS of their coordinates; set it")
    _check_columns(frame, schema, key=key, what=what)
    return frame


def _check_columns(frame: pd.DataFrame, schema: Schema, *, key: str, what: str) -> None:
    problems = [problem for column in schema for problem in _problems(frame, column)]
    if key in frame and frame[key].duplicated().any():
        doubled = sorted(frame.loc[frame[key].duplicated(), key].unique())[:3]
        problems.append(f"{key} must be unique; doubled: {', '.join(map(str, doubled))}")
    if problems:
        raise LayerError(
            f"got {what} that cannot be kept; needed the record of this version; correct\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )


def _problems(frame: pd.DataFrame, column: Column) -> Sequence[str]:
    if column.name not in frame:
        return [f"{column.name}: missing ({column.meaning})"]
    if len(frame) and not _FITS[column.type](frame[column.name]):
        return [f"{column.name}: must be {column.type}; got {frame[column.name].dtype}"]
    if column.allowed:
        strange = sorted(set(map(str, frame[column.name])) - set(column.allowed))
        if strange:
            return [f"{column.name}: must be one of {list(column.allowed)}; got {strange[:3]}"]
    return []
