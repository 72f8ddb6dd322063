"""What readers found at the points of a sample: accuracies, areas, and a bound that holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_monitor.errors import LayerError
from rs_monitor.estimation.accuracy import EstimationRules, Figure, assess
from rs_monitor.estimation.clusters import ClusteredProportion, clustered_proportion
from rs_monitor.estimation.designs import Design, DesignRecord, FirstStage
from rs_monitor.estimation.error_matrix import ErrorMatrix, error_matrix
from rs_monitor.estimation.readers import NOT_READ, reader_model, unanimous
from rs_monitor.grid import MU_M2
from rs_monitor.outputs.sample_files import SampleFiles, read_sample
from rs_monitor.pipeline.sample_population import BUFFER

UNREADABLE = "unreadable"
"""Label of a point that was looked at and could not be told."""

HA_M2 = 1e4
_LEAST_DRAWS = 2
_SHOWN = 5

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
    """

    counts: pd.DataFrame
    shares: pd.DataFrame
    accuracies: pd.DataFrame
    areas: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """One sample, checked: a row per unit."""

    design: DesignRecord
    key: pd.DataFrame
    labels: Ints
    classes: dict[int, str]

    @property
    def stratum(self) -> Ints:
        """Position of each unit's stratum in the design."""
        codes = [stratum.code for stratum in self.design.strata]
        return np.asarray(pd.Index(codes).get_indexer(pd.Index(self.key["stratum"])))

    def matrix(self, reference: Ints) -> ErrorMatrix:
        """Error matrix of one set of labels."""
        strata = self.design.strata
        return error_matrix(
            self.stratum,
            self.key["map_class"],
            reference,
            classes=sorted(self.classes),
            strata=[stratum.name for stratum in strata],
            ground_m2=[stratum.area_m2 for stratum in strata],
            units=[stratum.pixels for stratum in strata],
            filled_by=[None if s.name == BUFFER else s.code for s in strata],
        )


def assess_points(
    points: Path,
    rules: EstimationRules,
    *,
    key: Path | None = None,
    design: Path | None = None,
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

    Raises
    ------
    LayerError
        Lists points that are missing, unlabelled, doubled, or of other strata.
    ReadError, ConfigError
        If a file is missing or damaged.
    """
    read = _checked(read_sample(points, key=key, design=design), points.name)
    agreed = unanimous(read.labels)
    model = reader_model(
        read.labels,
        read.stratum,
        classes=tuple(sorted(read.classes)),
        prior_readings=rules.reader_prior,
        prior_accuracy=rules.reader_accuracy,
    )
    several = read.labels.shape[1] > 1
    settled = model.settled if several else read.labels[:, 0]
    if read.design.two_stage is not None:
        return _two_stage(read, settled, agreed, rules)
    draws = model.draw(rules.reader_draws, read.design.seed) if several else settled[None]
    return _stratified(read, settled, draws, agreed, rules)


def _checked(files: SampleFiles, name: str) -> _Read:
    table = files.points.reset_index(drop=True)
    if "label" not in table:
        raise LayerError(
            f"{name}: got no column label; needed the points written with the sample, filled in; "
            "name that file"
        )
    reader = table["reader"] if "reader" in table else pd.Series("", index=table.index)
    table = table.assign(reader=reader.fillna("").astype(str), label=_texts(table["label"]))
    classes = _classes(files, table["label"])
    problems = _problems(table, files, classes)
    if problems:
        raise LayerError(f"{name}: " + "\n".join(problems))
    codes = {title.lower(): code for code, title in classes.items()}
    codes |= {str(code): code for code in classes} | {UNREADABLE: NOT_READ, "": NOT_READ}
    wide = table.assign(code=table["label"].map(codes)).pivot_table(
        index="id", columns="reader", values="code", fill_value=NOT_READ, aggfunc="max"
    )
    key = files.key.set_index("id").loc[wide.index].reset_index()
    return _Read(files.design, key, wide.to_numpy(dtype=np.int64), classes)


def _texts(labels: pd.Series) -> pd.Series:
    return labels.fillna("").astype(str).str.strip().str.lower()


def _classes(files: SampleFiles, labels: pd.Series) -> dict[int, str]:
    """Classes of the map, of the points, and those readers gave by code."""
    classes = {s.code: s.name for s in files.design.strata if s.name != BUFFER}
    given = {int(text) for text in labels.unique() if text.isdecimal() and 0 < int(text) < 256}
    drawn = {int(code) for code in files.key["map_class"].unique()}
    return classes | {code: f"class_{code}" for code in (given | drawn) - classes.keys()}


def _problems(table: pd.DataFrame, files: SampleFiles, classes: dict[int, str]) -> list[str]:
    """Every mistake, a line each."""
    known = {UNREADABLE, *(name.lower() for name in classes.values()), *map(str, classes)}
    empty = table["label"] == ""
    foreign = ~empty & ~table["label"].isin(known)
    doubled = table.duplicated(["id", "reader"])
    strata = {stratum.code for stratum in files.design.strata}
    counted = files.key["stratum"].value_counts()
    wrong = [s.name for s in files.design.strata if int(counted.get(s.code, 0)) != s.points]
    found = (
        (_some(table.loc[empty, "id"]), f"without a label; fill them in, or write {UNREADABLE!r}"),
        (
            _some(table.loc[foreign, "label"]),
            f"labels that are no class; use one of {', '.join(sorted(classes.values()))}, a code, "
            f"or {UNREADABLE!r}",
        ),
        (
            _some(table.loc[doubled, "id"]),
            "more than one label of one reader; name the readers, or keep one row",
        ),
        (
            _some(pd.Series(sorted({*files.key["id"]} - {*table["id"]}), dtype=object)),
            f"drawn and missing here; restore them, write {UNREADABLE!r} where nothing can be told",
        ),
        (
            _some(files.key.loc[~files.key["stratum"].isin(strata), "stratum"]),
            "strata the design does not have; name the design of this sample",
        ),
        (_some(pd.Series(wrong, dtype=object)), "another number of points than the design drew"),
    )
    return [f"{some}: {what}" for some, what in found if some]


def _some(values: pd.Series) -> str:
    unique = values.drop_duplicates().astype(str).tolist()
    more = len(unique) - _SHOWN
    return ", ".join(unique[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _stratified(
    read: _Read, settled: Ints, draws: Ints, agreed: Ints, rules: EstimationRules
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
    return _report(read, settled, agreed, rows, areas, notes)


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


def _two_stage(read: _Read, settled: Ints, agreed: Ints, rules: EstimationRules) -> Report:
    """Townships drawn first: what varies is the township, not the pixel."""
    draw, weights = _draws(read)
    mapped = read.key["map_class"].to_numpy()
    known = settled != NOT_READ
    total_m2 = sum(stratum.area_m2 for stratum in read.design.strata)

    def share(hit: Mask, within: Mask, level: float = rules.confidence) -> ClusteredProportion:
        return clustered_proportion(
            hit[within],
            draw[within],
            weights=weights[within],
            confidence=level,
            min_clusters=_LEAST_DRAWS,
        )

    same, everywhere = mapped == settled, np.ones_like(known)
    rows = [_clustered_row("overall", "", share(same, known))]
    areas = []
    for code, name in sorted(read.classes.items()):
        rows.append(_clustered_row("user's", name, share(same, known & (mapped == code))))
        rows.append(_clustered_row("producer's", name, share(same, settled == code)))
        surely, perhaps = agreed == code, (agreed == code) | (agreed == NOT_READ)
        area = _clustered_row("area, ha", name, share(settled == code, known), total_m2 / HA_M2)
        area["lower"] = _limit(share(surely, everywhere).lower, total_m2)
        area["upper"] = _limit(share(perhaps, everywhere).upper, total_m2)
        bound = share(surely, everywhere, 2.0 * rules.confidence - 1.0).lower
        areas.append(area | _bound(_limit(bound, total_m2) * HA_M2))
    note = (
        f"{np.unique(draw).size} draws of townships: intervals and bounds rest on the variance "
        "between them (Korn and Graubard 1998), which is no exact guarantee"
    )
    return _report(read, settled, agreed, rows, areas, [note])


def _draws(read: _Read) -> tuple[Ints, NDArray[np.float64]]:
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


def _limit(share: float | None, total_m2: float) -> float:
    return float("nan") if share is None else share * total_m2 / HA_M2


def _clustered_row(name: str, title: str, share: ClusteredProportion, unit: float = 1.0) -> Row:
    def shown(value: float | None) -> float:
        return float("nan") if value is None else value * unit

    return {
        "figure": name,
        "class": title,
        "estimate": shown(share.estimate),
        "standard_error": shown(share.standard_error),
        "lower": shown(share.lower),
        "upper": shown(share.upper),
    }


def _report(
    read: _Read, settled: Ints, agreed: Ints, rows: list[Row], areas: list[Row], notes: list[str]
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
    )


def _notes(read: _Read, settled: Ints, agreed: Ints) -> list[str]:
    notes = []
    readers = read.labels.shape[1]
    disputed = int(((agreed == NOT_READ) & (settled != NOT_READ)).sum())
    unread = int((settled == NOT_READ).sum())
    if readers == 1:
        notes.append("one reader: an error of the reader is in no interval")
    else:
        notes.append(
            f"{readers} readers disagree at {disputed} of {settled.size} points: likely labels are "
            "drawn for the intervals, and the points count against the lower bound"
        )
    if unread:
        notes.append(
            f"{unread} points unreadable: left out of the estimates, at their worst in the "
            "intervals, and against the lower bound"
        )
    if read.design.design is Design.SYSTEMATIC:
        notes.append("systematic points are treated as random ones, which overstates most errors")
    notes.append(
        "estimates and bounds of what readers saw; recognition of new arable land rests on "
        "measured plots alone"
    )
    return notes
