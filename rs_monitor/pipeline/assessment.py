"""What readers found at the points of a sample: accuracies, areas, and a bound that holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_monitor.errors import LayerError
from rs_monitor.estimation.accuracy import EstimationRules, Figure, assess
from rs_monitor.estimation.clusters import ClusteredProportion, clustered_proportion
from rs_monitor.estimation.designs import Design, DesignRecord, FirstStage
from rs_monitor.estimation.readers import NOT_READ, reader_model, unanimous
from rs_monitor.grid import MU_M2
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
_LEAST_DRAWS = 2

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
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
    rows = [_row("overall", "", found.overall)]
    rows += [_row("user's", names[code], figure) for code, figure in found.users.items()]
    rows += [_row("producer's", names[code], figure) for code, figure in found.producers.items()]
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
    """Townships drawn first: what varies is the township, not the pixel.

    Estimates are of settled labels; limits take units that are contested or unread at their worst.
    """
    draw, weights = _draws(read)
    mapped = read.key["map_class"].to_numpy()
    known, doubt = settled != NOT_READ, agreed == NOT_READ
    everywhere = np.ones_like(known)
    total_ha = sum(stratum.area_m2 for stratum in read.design.strata) / HA_M2

    def share(hit: Mask, within: Mask, level: float = rules.confidence) -> ClusteredProportion:
        return clustered_proportion(
            hit[within],
            draw[within],
            weights=weights[within],
            confidence=level,
            min_clusters=_LEAST_DRAWS,
        )

    same, sure = mapped == settled, mapped == agreed
    overall = share(sure, everywhere), share(sure | doubt, everywhere)
    rows = [_clustered_row("overall", "", share(same, known), overall)]
    areas = []
    for code, name in read.classes.items():
        shown, found = mapped == code, agreed == code
        users = share(sure, shown), share(sure | doubt, shown)
        rows.append(_clustered_row("user's", name, share(same, known & shown), users))
        producers = share(sure, found | (doubt & ~shown)), share(shown, found | (doubt & shown))
        rows.append(_clustered_row("producer's", name, share(same, settled == code), producers))
        limits = share(found, everywhere), share(found | doubt, everywhere)
        bound = share(found, everywhere, 2.0 * rules.confidence - 1.0).lower
        area = _clustered_row("area, ha", name, share(settled == code, known), limits, total_ha)
        areas.append(area | _bound(_scaled(bound, total_ha) * HA_M2))
    note = (
        f"{np.unique(draw).size} draws of townships: intervals and bounds rest on the variance "
        "between them (Korn and Graubard 1998), which is no exact guarantee; upper limits are too "
        "low where a class lies in few townships and none of them was drawn"
    )
    return _report(read, settled, agreed, rows, areas, [note], rules.confidence)


def _draws(read: SampleReading) -> tuple[Ints, NDArray[np.float64]]:
    """Draw of each unit, and the ground the unit stands for."""
    stage = read.design.two_stage
    if stage is None or "draw" not in read.key:
        raise LayerError(
            f"{read.design.product}: got a key without draws; needed those of the two-stage "
            "design; name its own key"
        )
    points = read.key.groupby("draw")["id"].transform("size").to_numpy(dtype=np.float64)
    if stage.first_stage is FirstStage.PPS:
        return read.key["draw"].to_numpy(), 1.0 / points
    sizes = {unit.id: float(unit.pixels) for unit in stage.primary_units}
    held = read.key["primary_unit"].map(sizes).to_numpy(dtype=np.float64)
    return read.key["draw"].to_numpy(), held / points


def _scaled(share: float | None, unit: float) -> float:
    return float("nan") if share is None else share * unit


def _clustered_row(
    name: str,
    title: str,
    share: ClusteredProportion,
    limits: tuple[ClusteredProportion, ClusteredProportion],
    unit: float = 1.0,
) -> Row:
    low, high = limits
    return {
        "figure": name,
        "class": title,
        "estimate": _scaled(share.estimate, unit),
        "standard_error": _scaled(share.standard_error, unit),
        "lower": _scaled(low.lower, unit),
        "upper": _scaled(high.upper, unit),
    }


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
    return (
        f"{readers} readers disagree, or one could not tell, at {disputed} of {settled.size} "
        "points: likely labels are drawn for the intervals, and the points count against the lower "
        f"bound; {alone} points have the label of one reader only, which nobody contests"
    )


def _source_note(design: DesignRecord, *, checked: bool) -> str:
    if not checked:
        return "map not given: strata, areas and points are taken from the record as it stands"
    if design.design is Design.TWO_STAGE:
        return "map given: its classes at the points are those of the key; townships not redrawn"
    return "map given: strata counted and points drawn again, the same as recorded"
