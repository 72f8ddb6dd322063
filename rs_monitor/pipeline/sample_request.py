"""What a user asks of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import geopandas as gpd

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.designs import Design, FirstStage
from rs_monitor.pipeline.primary_units import read_polygons


class Allocation(StrEnum):
    """How points are shared out among strata."""

    RARE = "rare"
    NEYMAN = "neyman"
    PROPORTIONAL = "proportional"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """What a user asks for.

    Attributes
    ----------
    design : Design
    seed : int
    points : int, optional
        Points in all; by default those that ``standard_error`` needs.
    standard_error : float, optional
        Of overall accuracy, as a fraction.
    allocation : Allocation
        Of a stratified design.
    expected : mapping of str to float
        Conjectured user's accuracy of classes by name; others take that of the rules.
    buffer_around : tuple of str
        Classes that are change: a buffer stratum is made around them.
    buffer_m : float, optional
        Its width; by default that of the rules.
    primary_units : GeoDataFrame, optional
        Townships of a two-stage design.
    drawn : int
        Draws of primary units.
    first_stage : FirstStage
    """

    design: Design
    seed: int
    points: int | None = None
    standard_error: float | None = None
    allocation: Allocation = Allocation.RARE
    expected: Mapping[str, float] = field(default_factory=dict)
    buffer_around: tuple[str, ...] = ()
    buffer_m: float | None = None
    primary_units: gpd.GeoDataFrame | None = None
    drawn: int = 0
    first_stage: FirstStage = FirstStage.PPS


def request_of(
    *,
    design: str,
    seed: int,
    points: int | None = None,
    standard_error: float | None = None,
    allocation: str = "rare",
    expect: Sequence[str] = (),
    buffer_around: Sequence[str] = (),
    buffer_m: float | None = None,
    townships: Path | None = None,
    draws: int = 0,
    first_stage: str = "pps",
) -> SampleRequest:
    """Make a request from words; reads the layer of townships.

    Raises
    ------
    QuantityError, ReadError
        If an expectation is no ``CLASS=SHARE``; if the layer cannot be read.
    """
    return SampleRequest(
        design=Design(design),
        seed=seed,
        points=points,
        standard_error=standard_error,
        allocation=Allocation(allocation),
        expected=dict(_expectation(text) for text in expect),
        buffer_around=tuple(buffer_around),
        buffer_m=buffer_m,
        primary_units=None if townships is None else read_polygons(townships),
        drawn=draws,
        first_stage=FirstStage(first_stage),
    )


def _expectation(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        return name, float(share)
    except ValueError:
        raise QuantityError(
            f"got --expect {text}; needed CLASS=SHARE with a fraction; write built=0.7"
        ) from None
