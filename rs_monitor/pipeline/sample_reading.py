"""A sample as readers gave it back: checked, a row per unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rs_monitor.errors import LayerError
from rs_monitor.estimation.designs import DesignRecord
from rs_monitor.estimation.error_matrix import ErrorMatrix, error_matrix
from rs_monitor.estimation.readers import NOT_READ
from rs_monitor.outputs.sample_files import SampleFiles
from rs_monitor.pipeline.sample_check import UNREADABLE, mistakes, texts

UNTOLD = -1
"""Said by a reader who looked and could not tell; `NOT_READ` where the point was not given."""

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SampleReading:
    """One sample, checked: a row per unit.

    Attributes
    ----------
    design : DesignRecord
    key : DataFrame
        Stratum, map class and place of each unit.
    labels : ndarray of int, shape (units, readers)
        Class codes, `NOT_READ` where a reader gave none.
    untold : ndarray of bool, shape (units,)
        A reader looked and could not tell.
    legend : dict of int to str
        Classes that could be given.
    """

    design: DesignRecord
    key: pd.DataFrame
    labels: Ints
    untold: Mask
    legend: dict[int, str]

    @property
    def classes(self) -> dict[int, str]:
        """Classes the map shows, or a reader saw."""
        shown = {s.code for s in self.design.strata} | {*self.key["map_class"]}
        seen = shown | {*np.unique(self.labels).tolist()}
        return {code: name for code, name in sorted(self.legend.items()) if code in seen}

    @property
    def lacking(self) -> frozenset[int]:
        """Classes that the buffer stratum surrounds, and so does not hold."""
        return frozenset() if self.design.buffer is None else frozenset(self.design.buffer.around)

    @property
    def stratum(self) -> Ints:
        """Position of each unit's stratum in the design."""
        codes = [stratum.code for stratum in self.design.strata]
        return np.asarray(pd.Index(codes).get_indexer(pd.Index(self.key["stratum"])))

    def matrix(self, reference: Ints) -> ErrorMatrix:
        """Error matrix of one set of labels.

        Parameters
        ----------
        reference : ndarray of int, shape (units,)
        """
        strata, buffer = self.design.strata, self.design.buffer
        around = [buffer is not None and stratum.code == buffer.code for stratum in strata]
        return error_matrix(
            self.stratum,
            self.key["map_class"],
            reference,
            classes=sorted(self.classes),
            strata=[stratum.name for stratum in strata],
            ground_m2=[stratum.area_m2 for stratum in strata],
            units=[stratum.pixels for stratum in strata],
            filled_by=[None if b else s.code for s, b in zip(strata, around, strict=True)],
            lacking=[self.lacking if b else frozenset() for b in around],
        )


def reading_of(files: SampleFiles, name: str) -> SampleReading:
    """Check what came back and line labels up with the key.

    Parameters
    ----------
    files : SampleFiles
    name : str
        Of the points, for messages.

    Raises
    ------
    LayerError
        With every mistake, a line each.
    """
    table = files.points.reset_index(drop=True)
    if "label" not in table:
        raise LayerError(
            f"{name}: got no column label; needed the points written with the sample, filled in; "
            "name that file"
        )
    reader = table["reader"] if "reader" in table else pd.Series("", index=table.index)
    table = table.assign(reader=texts(reader), label=texts(table["label"]))
    classes = _classes(files, table["label"])
    problems = mistakes(table, files, classes)
    if problems:
        raise LayerError(f"{name}: " + "\n".join(problems))
    titles = texts(pd.Series(list(classes.values()), dtype=object))
    codes = dict(zip(titles, classes, strict=True))
    codes |= {str(code): code for code in classes} | {UNREADABLE: UNTOLD}
    wide = table.assign(code=table["label"].map(codes)).pivot_table(
        index="id", columns="reader", values="code", fill_value=NOT_READ, aggfunc="max"
    )
    key = files.key.set_index("id").loc[wide.index].reset_index()
    said = wide.to_numpy(dtype=np.int64)
    labels = np.where(said == UNTOLD, NOT_READ, said)
    return SampleReading(files.design, key, labels, (said == UNTOLD).any(axis=1), classes)


def _classes(files: SampleFiles, labels: pd.Series) -> dict[int, str]:
    """Classes of the map's legend; without one, of the map and those readers gave by code."""
    design = files.design
    buffer = None if design.buffer is None else design.buffer.code
    classes = design.classes | {s.code: s.name for s in design.strata if s.code != buffer}
    found = {int(code) for code in files.key["map_class"].unique()}
    if not design.classes:
        found |= {int(text) for text in labels.unique() if text.isdecimal() and 0 < int(text) < 256}
    return classes | {code: f"class_{code}" for code in found - classes.keys()}
