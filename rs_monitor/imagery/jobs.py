"""What is to be read for one chunk, in plain values that are cheap to ship to a worker."""

from __future__ import annotations

from dataclasses import dataclass, replace

from affine import Affine


@dataclass(frozen=True, slots=True)
class Grid:
    """A target grid in plain values, cheap to ship to a worker."""

    crs: str
    transform: tuple[float, ...]
    shape: tuple[int, int]

    def displaced(self, shift: tuple[float, float]) -> Grid:
        """Return the grid moved by rows and columns; itself when they are zero."""
        if shift == (0.0, 0.0):
            return self
        moved = Affine(*self.transform) @ Affine.translation(shift[1], shift[0])
        return replace(self, transform=tuple(moved)[:6])


@dataclass(frozen=True, slots=True)
class Span:
    """Rows and columns of the target grid, half open."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0


@dataclass(frozen=True, slots=True)
class Source:
    """One band of one file.

    ``shift``: rows and columns of the target grid by which the file's content lies displaced.
    """

    item_id: str
    band: str
    href: str
    index: int
    nodata: float | None
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """Everything needed to make one chunk.

    Attributes
    ----------
    sources : tuple of Source
        In mosaic order: the first valid value of a pixel is kept.
    grid : Grid
        The whole target grid.
    span : Span
        The part of it to make.
    dtype : str
        Of the result; every source fits in it.
    fill : float
        Value of pixels that no source saw.
    needs_cover : bool
        No value marks "not seen": each source must cover the span.
    resampling : str
        GDAL name of the method, for sources on another grid.
    """

    sources: tuple[Source, ...]
    grid: Grid
    span: Span
    dtype: str
    fill: float
    needs_cover: bool
    resampling: str
