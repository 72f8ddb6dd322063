"""One error tree: what was got; what was needed; what to do."""

from __future__ import annotations

from collections.abc import Sequence


class RsMonitorError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(RsMonitorError, ValueError):
    """A job, rule or table file says something that cannot be used.

    Parameters
    ----------
    source : str
        The file (or name) the mistakes were found in.
    problems : sequence of str
        One line per mistake; all of them are shown.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "mistake" if count == 1 else "mistakes"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{source}: {count} {noun}\n{lines}")

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.problems)


class CatalogError(RsMonitorError, RuntimeError):
    """A catalogue could not be searched or an item could not be used."""


class ReadError(RsMonitorError, OSError):
    """An asset could not be read after every retry.

    Parameters
    ----------
    message : str
    item_id : str, optional
        The item the asset belongs to, so that a run can name and leave it out.
    """

    def __init__(self, message: str, item_id: str | None = None) -> None:
        self.message = message
        self.item_id = item_id
        super().__init__(message)

    def __reduce__(self) -> tuple[type[ReadError], tuple[str, str | None]]:
        return type(self), (self.message, self.item_id)


class NoObservations(RsMonitorError, LookupError):
    """Nothing usable was found for a zone and period."""


class GridMismatch(RsMonitorError, ValueError):
    """Two rasters that must share a grid do not."""


class MissingCRS(RsMonitorError, ValueError):
    """Coordinates without a coordinate reference system."""


class UnsuitableCRS(RsMonitorError, ValueError):
    """A coordinate reference system that cannot serve the purpose."""


class QuantityError(RsMonitorError, TypeError):
    """Pixel values of another quantity than the function needs."""


class MaskError(RsMonitorError, ValueError):
    """A mask band whose values are not of the kind it was said to be."""


class LayerError(RsMonitorError, ValueError):
    """An authority layer that lacks fields or contradicts itself."""


class ModelMismatch(RsMonitorError, ValueError):
    """Features, classes or checksum differ from the model card."""


class CoverageError(RsMonitorError, ValueError):
    """A statement about ground whose coverage is missing or incomplete."""


class RunError(RsMonitorError, RuntimeError):
    """A run folder is incomplete, foreign or newer than the code."""
