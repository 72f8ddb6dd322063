"""Draw the points an accuracy and its areas are measured by, from a class map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_monitor.errors import QuantityError
from rs_monitor.estimation.accuracy_rules import AccuracyRules
from rs_monitor.estimation.allocation import (
    SamplingRules,
    equal_allocation,
    neyman_allocation,
    proportional_allocation,
    rare_class_allocation,
    require_enough,
)
from rs_monitor.estimation.designs import Design, DesignRecord, StratumRecord, TwoStageRecord
from rs_monitor.estimation.draws import (
    LowestRanked,
    systematic_in,
    systematic_start,
    systematic_steps,
)
from rs_monitor.estimation.points import key_digest, key_of, sample_points
from rs_monitor.estimation.sample_size import deviation_of_share, points_for_overall_accuracy
from rs_monitor.grid import MU_M2
from rs_monitor.outputs.class_raster import ClassRaster, open_classes
from rs_monitor.outputs.digest import crs_name, file_sha256
from rs_monitor.pipeline.primary_units import PrimaryUnits
from rs_monitor.pipeline.sample_population import Population, population_of
from rs_monitor.pipeline.sample_request import Allocation, SampleRequest

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Points with everything known of them, and the design."""

    points: gpd.GeoDataFrame
    design: DesignRecord


def draw_sample(path: Path, request: SampleRequest, rules: AccuracyRules) -> Sample:
    """Draw a sample of a class map; it is read block by block, twice or three times.

    Parameters
    ----------
    path : Path
        Class raster: one band of uint8, 0 = nodata.
    request : SampleRequest
    rules : AccuracyRules

    Raises
    ------
    QuantityError
        If the request contradicts itself or the map.
    ReadError, MissingCRS, UnsuitableCRS
        If the map cannot be read, or its grid cannot carry the request.
    """
    with open_classes(path) as raster:
        units = _primary_units(request, raster)
        population = population_of(raster, request, rules.sampling.buffer_m, units)
        points = _wanted(population, request, rules.sampling)
        request = replace(request, points=points)
        draw = {
            Design.SIMPLE: _simple,
            Design.STRATIFIED: _stratified,
            Design.SYSTEMATIC: _systematic,
        }
        if units is not None:
            drawn, two_stage = _two_stage(population, units, request, points)
        else:
            drawn, two_stage = draw[request.design](population, request, points, rules), None
        drawn["map_class"] = population.classes_at(drawn)
        shown = sample_points(drawn, raster.geobox, request.seed)
        record = _record(population, request, rules, shown, path, two_stage)
        return Sample(shown, record)


def _primary_units(request: SampleRequest, raster: ClassRaster) -> PrimaryUnits | None:
    asked, given = request.design is Design.TWO_STAGE, request.primary_units is not None
    if asked != given:
        raise QuantityError(
            f"got design {request.design} {'with' if given else 'without'} primary units; needed "
            "them for two_stage and for no other design; name a layer of townships or leave it out"
        )
    idle = {
        "a buffer with primary units": given and request.buffer_around,
        "a buffer width without a buffer": request.buffer_m is not None
        and not request.buffer_around,
        "draws without primary units": request.drawn and not given,
    }
    if any(idle.values()):
        raise QuantityError(
            f"got {', '.join(what for what, asked in idle.items() if asked)}; needed nothing that "
            "would be passed over; leave it out"
        )
    if request.primary_units is None:
        return None
    return PrimaryUnits.on_grid(request.primary_units, raster.geobox)


def _wanted(population: Population, request: SampleRequest, rules: SamplingRules) -> int:
    if (request.points is None) == (request.standard_error is None):
        raise QuantityError(
            "got both a number of points and a standard error, or neither; needed one of them; "
            "give --n or --standard-error"
        )
    points = request.points
    if points is None and request.standard_error is not None:
        points = points_for_overall_accuracy(
            population.table["pixels"],
            _expected(population, request, rules),
            request.standard_error,
        )
    require_enough([points or 0], rules)
    return int(points or 0)


def _expected(population: Population, request: SampleRequest, rules: SamplingRules) -> list[float]:
    names = population.table["name"].tolist()
    strange = sorted(set(request.expected) - set(names))
    if strange:
        raise QuantityError(
            f"got an expected accuracy of {', '.join(strange)}; needed strata of the map: "
            f"{', '.join(names)}; correct the name"
        )
    return [request.expected.get(name, rules.expected_users_accuracy) for name in names]


def _simple(
    population: Population, request: SampleRequest, points: int, rules: AccuracyRules
) -> pd.DataFrame:
    del rules
    _require_units(points, population.pixels)
    drawn = _ranked(population, request.seed, np.array([0, points]), whole=True)
    return drawn.assign(inclusion_probability=points / population.pixels)


def _stratified(
    population: Population, request: SampleRequest, points: int, rules: AccuracyRules
) -> pd.DataFrame:
    _require_units(points, population.pixels)
    units = population.table["pixels"].to_numpy()
    shared = _allocate(population, request, points, rules.sampling)
    quotas = np.zeros(256, dtype=np.int64)
    quotas[population.table["class"]] = shared
    chances = pd.Series(shared / units, index=population.table["class"])
    drawn = _ranked(population, request.seed, quotas)
    return drawn.assign(inclusion_probability=drawn["stratum"].map(chances).to_numpy())


def _allocate(
    population: Population, request: SampleRequest, points: int, rules: SamplingRules
) -> IntArray:
    units = population.table["pixels"].to_numpy()
    least = rules.min_points_per_stratum
    if request.allocation is Allocation.RARE:
        return rare_class_allocation(units, points, rules)
    if request.allocation is Allocation.NEYMAN:
        deviations = deviation_of_share(_expected(population, request, rules))
        return neyman_allocation(units, deviations, points, least=least)
    if request.allocation is Allocation.PROPORTIONAL:
        return proportional_allocation(units, points, least=least)
    return equal_allocation(units, points)


def _ranked(
    population: Population, seed: int, quotas: IntArray, *, whole: bool = False
) -> pd.DataFrame:
    """Draw from each stratum, or from all pixels as if they were one."""
    ranked = LowestRanked(quotas, population.raster.geobox.shape.x, seed)
    for block, strata in population.parts():
        units = (strata > 0).astype(np.uint8) if whole else strata
        ranked.add(units, block.y0, block.x0)
    parts = []
    for stratum in np.flatnonzero(quotas).tolist():
        rows, cols = ranked.drawn(stratum)
        parts.append(pd.DataFrame({"row": rows, "col": cols, "stratum": stratum}))
    drawn = pd.concat(parts, ignore_index=True)
    return drawn.assign(stratum=population.strata_at(drawn)) if whole else drawn


def _systematic(
    population: Population, request: SampleRequest, points: int, rules: AccuracyRules
) -> pd.DataFrame:
    steps_px = systematic_steps(population.pixels, points)
    drawn = _at_steps(population, request.seed, steps_px)
    require_enough([len(drawn)], rules.sampling)
    return drawn.assign(inclusion_probability=1.0 / (steps_px[0] * steps_px[1]))


def _at_steps(population: Population, seed: int, steps_px: tuple[int, int]) -> pd.DataFrame:
    start = systematic_start(steps_px, seed)
    parts = []
    for block, strata in population.parts():
        rows, cols = systematic_in(strata > 0, block.y0, block.x0, steps_px, start)
        at = strata[rows - block.y0, cols - block.x0].astype(np.int64)
        parts.append(pd.DataFrame({"row": rows, "col": cols, "stratum": at}))
    return pd.concat(parts, ignore_index=True)


def drawn_again(population: Population, record: DesignRecord) -> pd.DataFrame:
    """Draw a sample that is not two-stage once more, by its record: ``row, col, stratum``.

    Parameters
    ----------
    population : Population
        Of the same map, with the strata of the record.
    record : DesignRecord
    """
    if record.design is Design.SYSTEMATIC and record.steps_px is not None:
        return _at_steps(population, record.seed, record.steps_px)
    if record.design is Design.SIMPLE:
        return _ranked(population, record.seed, np.array([0, record.points]), whole=True)
    quotas = np.zeros(256, dtype=np.int64)
    for stratum in record.strata:
        quotas[stratum.code] = stratum.points
    return _ranked(population, record.seed, quotas)


def _two_stage(
    population: Population, units: PrimaryUnits, request: SampleRequest, points: int
) -> tuple[pd.DataFrame, TwoStageRecord]:
    per_draw = -(-points // max(request.drawn, 1))
    valid = ((block, strata > 0) for block, strata in population.parts())
    plan = units.draw(valid, request.drawn, per_draw, request.seed, request.first_stage)
    valid = ((block, strata > 0) for block, strata in population.parts())
    drawn = units.subsample(valid, plan, request.seed)
    return drawn.assign(stratum=population.strata_at(drawn)), plan.record


def _require_units(points: int, pixels: int) -> None:
    if points > pixels:
        raise QuantityError(
            f"got {points} points for {pixels} pixels; needed no more points than pixels; ask for "
            "fewer"
        )


def _record(
    population: Population,
    request: SampleRequest,
    rules: AccuracyRules,
    shown: gpd.GeoDataFrame,
    path: Path,
    two_stage: TwoStageRecord | None,
) -> DesignRecord:
    seen = shown["stratum"].value_counts()
    strata = tuple(
        StratumRecord(
            code=int(code),
            name=name,
            pixels=int(pixels),
            area_m2=float(area_m2),
            points=int(seen.get(code, 0)),
        )
        for code, pixels, area_m2, name in population.table.itertuples(index=False)
    )
    steps_px = None
    if request.design is Design.SYSTEMATIC:
        steps_px = systematic_steps(population.pixels, request.points or 0)
    stratified = request.design is Design.STRATIFIED
    geobox = population.raster.geobox
    return DesignRecord(
        design=request.design,
        seed=request.seed,
        points=len(shown),
        allocation=str(request.allocation) if stratified else "none",
        strata=strata,
        buffer=population.buffer,
        classes=dict(population.raster.names),
        blind=True,
        key_digest=key_digest(key_of(shown)),
        product=path.stem,
        map_digest=file_sha256(path),
        crs=crs_name(geobox.crs),
        transform=tuple(geobox.affine)[:6],
        shape=tuple(geobox.shape),
        steps_px=steps_px,
        two_stage=two_stage,
        rules=f"{rules.id} {rules.version}",
    )


def strata_table(design: DesignRecord) -> pd.DataFrame:
    """Strata of a design for display: pixels, area in mu, points."""
    rows = [stratum.model_dump() for stratum in design.strata]
    table = pd.DataFrame(rows)
    return table.assign(area_mu=table["area_m2"] / MU_M2)[
        ["code", "name", "pixels", "area_mu", "points"]
    ]
