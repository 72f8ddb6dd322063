"""What readers found at the points of a sample: accuracies, areas, and a bound that holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.errors import LayerError
from rs_monitor.estimation.accuracy import Assessment, EstimationRules, Figure, assess
from rs_monitor.estimation.designs import Design, DesignRecord
from rs_monitor.estimation.readers import NOT_READ, reader_model, unanimous
from rs_monitor.estimation.two_stage import TwoStageSample, two_stage_sample
from rs_monitor.estimation.two_stage_accuracy import (
    TooFewDraws,
    TwoStageAssessment,
    assess_two_stage,
)
from rs_monitor.grid import MU_M2, true_pixel_area_m2
from rs_monitor.outputs.digest import file_sha256
from rs_monitor.outputs.sample_files import (
    design_path,
    key_path,
    read_sample,
    write_assessment,
)
from rs_monitor.pipeline.sample_check import UNREADABLE, check_against_map
from rs_monitor.pipeline.sample_reading import SampleReading, reading_of

HA_M2 = 1e4
UNEQUAL_PIXELS = 0.01
"""Spread of the pixels' areas from which it is told; 5e-4 over 100 km of a UTM zone."""

Ints = NDArray[np.int64]
Row = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Report:
    """An assessment as tables.

    Attributes
    ----------
    counts, shares : DataFrame
        Error matrix: rows map, columns reference.
    accuracies, areas : DataFrame
        One row per figure; areas in hectares, the one-sided lower bound in mu as well.
    notes : tuple of str
        What the figures rest on, and what they do not say.
    confidence : float
        Level of intervals and bounds.
    design : DesignRecord
    digests : dict of str to str
        Sha256 of the files read.
    """

    counts: pd.DataFrame
    shares: pd.DataFrame
    accuracies: pd.DataFrame
    areas: pd.DataFrame
    notes: tuple[str, ...]
    confidence: float
    design: DesignRecord
    digests: dict[str, str]


def assess_points(
    points: Path,
    rules: EstimationRules,
    *,
    key: Path | None = None,
    design: Path | None = None,
    map_path: Path | None = None,
) -> Report:
    """Assess a map, and the ground, from the points readers filled in.

    Parameters
    ----------
    points : Path
        Written by a sample, with ``label`` filled in (a class's name or code, or "unreadable");
        several readers give several rows for an ``id``, told apart by ``reader``.
    rules : EstimationRules
    key, design : Path, optional
        Where they lie, if not beside the points.
    map_path : Path, optional
        The map itself: strata are counted and points drawn again, and must be the same.

    Raises
    ------
    LayerError
        Lists points that are missing, moved, unlabelled, doubled, or of other strata; if the key
        or the map is not the one of the design.
    ReadError, ConfigError
        If a file is missing or damaged.
    """
    paths = [points, key or key_path(points), design or design_path(points)]
    files = read_sample(points, key=key, design=design)
    read = reading_of(files, points.name)
    if map_path is not None:
        check_against_map(map_path, files)
        paths.append(map_path)
    report = _assessed(read, rules)
    source = _source_note(read.design, checked=map_path is not None)
    return replace(
        report,
        notes=(*report.notes, source),
        digests={path.name: file_sha256(path) for path in paths},
    )


def write_report(path: Path, report: Report, rules: str) -> Path:
    """Write an assessment with its design and the digests of its files, as JSON.

    Parameters
    ----------
    path : Path
    report : Report
    rules : str
        Rule file and version.

    Raises
    ------
    LayerError
        If the file is there already.
    """
    tables = {
        "error_matrix_points": report.counts,
        "error_matrix_ground_shares": report.shares,
        "accuracies": report.accuracies,
        "areas_ha": report.areas,
    }
    content = {
        "format": 1,
        "rules": rules,
        "confidence": report.confidence,
        "files_sha256": report.digests,
        "design": report.design.model_dump(mode="json"),
        **{name: table.to_dict(orient="records") for name, table in tables.items()},
        "notes": list(report.notes),
    }
    return write_assessment(path, content)


def _assessed(read: SampleReading, rules: EstimationRules) -> Report:
    agreed = np.where(read.untold, NOT_READ, unanimous(read.labels))
    model = reader_model(
        read.labels,
        read.stratum,
        classes=tuple(sorted(read.classes)),
        prior_readings=rules.reader_prior,
        prior_accuracy=rules.reader_accuracy,
    )
    several = read.labels.shape[1] > 1
    settled = model.settled if several else read.labels[:, 0]
    agreed = np.where(agreed == settled, agreed, NOT_READ)
    if read.design.two_stage is not None:
        return _two_stage(read, settled, agreed, rules)
    draws = model.draw(rules.reader_draws, read.design.seed) if several else settled[None]
    return _stratified(read, settled, draws, agreed, rules)


def _stratified(
    read: SampleReading, settled: Ints, draws: Ints, agreed: Ints, rules: EstimationRules
) -> Report:
    """Simple, stratified and systematic samples; without strata, map classes stratify after."""
    matrix = read.matrix(settled)
    readings = [read.matrix(labels) for labels in draws]
    found = assess(matrix, rules, readings=readings, agreed=read.matrix(agreed))
    names = read.classes
    rows = _accuracy_rows(found, names)
    areas = [
        _row("area, ha", names[code], figure, HA_M2) | _bound(found.certified_m2[code])
        for code, figure in found.areas_m2.items()
    ]
    notes = []
    unseen = [s for s, n in zip(matrix.strata, matrix.read, strict=True) if not n]
    if unseen:
        notes.append(
            f"no point read in {', '.join(unseen)}: no estimate where that ground counts; "
            "intervals and bounds take it at its worst"
        )
    if found.thin_strata:
        notes.append(
            f"fewer than two points read in {', '.join(found.thin_strata)}: the usual formula has "
            "no variance there; the interval holds what those strata may hide"
        )
    if found.certain_strata:
        notes.append(
            f"every point alike in {', '.join(found.certain_strata)}: the usual formula takes "
            "those strata as known, which makes its interval too narrow"
        )
    return _report(read, settled, agreed, rows, areas, notes, rules.confidence)


def _accuracy_rows(found: Assessment | TwoStageAssessment, names: dict[int, str]) -> list[Row]:
    rows = [_row("overall", "", found.overall)]
    rows += [_row("user's", names[code], figure) for code, figure in found.users.items()]
    rows += [_row("producer's", names[code], figure) for code, figure in found.producers.items()]
    return rows


def _row(name: str, title: str, figure: Figure, unit: float = 1.0) -> Row:
    def shown(value: float | None) -> float:
        return float("nan") if value is None else value / unit

    low, high = figure.usual or (None, None)
    return {
        "figure": name,
        "class": title,
        "estimate": shown(figure.estimate.value),
        "standard_error": shown(figure.estimate.standard_error),
        "readers_error": figure.between_readings / unit,
        "lower": figure.interval[0] / unit,
        "upper": figure.interval[1] / unit,
        "usual_lower": shown(low),
        "usual_upper": shown(high),
    }


def _bound(bound_m2: float) -> Row:
    return {"lower_bound": bound_m2 / HA_M2, "lower_bound_mu": bound_m2 / MU_M2}


def _two_stage(read: SampleReading, settled: Ints, agreed: Ints, rules: EstimationRules) -> Report:
    """Townships drawn first: what varies is the township, not the pixel."""
    sample, area_m2 = _draws(read), sum(stratum.area_m2 for stratum in read.design.strata)
    pixels = {stratum.code: stratum.pixels for stratum in read.design.strata}
    total = sum(pixels.values())
    found = assess_two_stage(
        read.key["map_class"].to_numpy(),
        settled,
        agreed,
        sample,
        {code: pixels.get(code, 0) / total for code in read.classes},
        rules,
    )
    names, unit = read.classes, HA_M2 / area_m2
    rows = _accuracy_rows(found, names)
    areas = [
        _row("area, ha", names[code], figure, unit) | _bound(found.certified[code] * area_m2)
        for code, figure in found.shares.items()
    ]
    for row in (*rows, *areas):
        del row["readers_error"]
    notes = [
        f"{sample.points.size} draws of townships: what a township that was not drawn may hold is "
        "in the intervals, so draws narrow them and points within a township hardly do"
    ]
    if found.too_few:
        notes.append(_too_few_note(found.too_few, names))
    return _report(read, settled, agreed, rows, areas, notes, rules.confidence)


def _too_few_note(found: tuple[TooFewDraws, ...], names: dict[int, str]) -> str:
    said = [
        f"{few.figure} of {names[few.code]} (met in {few.met}; {few.best:.2f})" for few in found
    ]
    return (
        "not assessable with so few draws (in brackets: draws that met it; the lower limit had "
        f"every reading been right): {', '.join(said)}"
    )


def _draws(read: SampleReading) -> TwoStageSample:
    """The points by draw."""
    stage = read.design.two_stage
    if stage is None or "draw" not in read.key:
        raise LayerError(
            f"{read.design.product}: got a key without draws; needed those of the two-stage "
            "design; name its own key"
        )
    return two_stage_sample(read.key["draw"], read.key["primary_unit"], stage)


def _report(
    read: SampleReading,
    settled: Ints,
    agreed: Ints,
    rows: list[Row],
    areas: list[Row],
    notes: list[str],
    confidence: float,
) -> Report:
    matrix = read.matrix(settled)
    titles = [read.classes[code] for code in matrix.classes]
    counts = pd.DataFrame(matrix.total_counts, columns=titles)
    shares = pd.DataFrame(matrix.proportions, columns=titles)
    counts[UNREADABLE] = matrix.unread.sum(axis=0)
    for table in (counts, shares):
        table.insert(0, "map", titles)
    if read.design.two_stage is not None:
        shares = shares.iloc[:0]
    return Report(
        counts,
        shares,
        pd.DataFrame(rows),
        pd.DataFrame(areas).drop(columns="figure"),
        (*notes, *_notes(read, settled, agreed)),
        confidence,
        read.design,
        {},
    )


def _notes(read: SampleReading, settled: Ints, agreed: Ints) -> list[str]:
    notes = [_readers_note(read, settled, agreed)]
    said = (read.labels != NOT_READ).any(axis=1)
    divided, unread = int((said & (settled == NOT_READ)).sum()), int((~said).sum())
    if divided:
        notes.append(
            f"{divided} points on which readers are evenly divided: left out of the estimates, "
            "not of the intervals"
        )
    if unread:
        notes.append(
            f"{unread} points unreadable: left out of the estimates, at their worst in the "
            "intervals, and against the lower bound"
        )
    shown = {s.code for s in read.design.strata} | {*read.key["map_class"]}
    unmapped = [name for code, name in read.classes.items() if code not in shown]
    if unmapped:
        notes.append(f"seen by readers alone, nowhere on the map: {', '.join(unmapped)}")
    if not read.design.blind:
        notes.append("readers were shown what the map says: their labels may follow it")
    if read.design.design is Design.SYSTEMATIC:
        notes.append(
            "systematic points are treated as random ones: too wide as a rule, too narrow where "
            "the ground repeats itself at the step of the points; the bound is no guarantee here"
        )
    notes += _unequal_pixels_note(read.design)
    notes.append("intervals and bounds hold for one class at a time, not for all of them together")
    notes.append(
        "estimates and bounds of what readers saw; recognition of new arable land rests on "
        "measured plots alone"
    )
    return notes


def _readers_note(read: SampleReading, settled: Ints, agreed: Ints) -> str:
    readers = read.labels.shape[1]
    if readers == 1:
        return "one reader: an error of the reader is in no interval"
    disputed = int(((agreed == NOT_READ) & (read.labels != NOT_READ).any(axis=1)).sum())
    alone = int(((read.labels != NOT_READ).sum(axis=1) == 1).sum())
    taken = "likely labels are drawn for the intervals"
    if read.design.two_stage is not None:
        taken = "the intervals take them at their worst"
    return (
        f"{readers} readers disagree, or one could not tell, at {disputed} of {settled.size} "
        f"points: {taken}, and the points count against the lower bound; {alone} points have the "
        "label of one reader only, which nobody contests"
    )


def _unequal_pixels_note(design: DesignRecord) -> list[str]:
    """Points tell shares of pixels, which are shares of ground where pixels are alike."""
    geobox = GeoBox(design.shape, Affine(*design.transform), design.crs)
    areas_m2 = true_pixel_area_m2(geobox, np.array([0, geobox.shape.x - 1]))
    spread = float(areas_m2.max() / areas_m2.min()) - 1.0
    if spread <= UNEQUAL_PIXELS:
        return []
    return [
        f"pixels of this map differ by up to {spread:.1%} in area: shares are of pixels, and areas "
        "made of them may be off by as much, which is in no interval or bound; a map in an "
        "equal-area projection has no such doubt"
    ]


def _source_note(design: DesignRecord, *, checked: bool) -> str:
    if not checked:
        return "map not given: strata, areas and points are taken from the record as it stands"
    if design.design is Design.TWO_STAGE:
        return "map given: its classes at the points are those of the key; townships not redrawn"
    return "map given: strata counted and points drawn again, the same as recorded"
