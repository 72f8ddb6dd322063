"""Pixels of one chunk from its source files: plain reads, exact warps, retries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import rasterio
import rasterio.crs
import rasterio.warp
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
)

from rs_monitor.errors import ReadError
from rs_monitor.imagery.catalog import public_href
from rs_monitor.imagery.incidents import failed_requests, record_healed, redacted_reason
from rs_monitor.imagery.jobs import ChunkJob, Grid, Source, Span

__all__ = ["ChunkJob", "Grid", "Source", "Span", "is_remote", "read_chunk", "read_header"]

HTTP_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MAX_RETRY": 5,
        "GDAL_HTTP_RETRY_DELAY": 0.2,
        # 0: no answer at all. Not ALL: a 404 or an expired signature would be asked for 40 s
        "GDAL_HTTP_RETRY_CODES": "0,408,429,500,502,503,504",
        "GDAL_HTTP_CONNECTTIMEOUT": 20,
        "GDAL_HTTP_LOW_SPEED_TIME": 30,
        "GDAL_HTTP_LOW_SPEED_LIMIT": 100,
        "GDAL_HTTP_TIMEOUT": 120,
    }
)
"""GDAL options for remote files; they heal a refused connection and a passing 503."""

FRESH_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http:/vsis3/"}
)
"""Added when a read is repeated: GDAL remembers a failure for the life of the process."""

REMOTE_ATTEMPTS = 3
RETRY_WAIT_S = 0.5
WARP_TILE_PX = 512
"""A warp is computed in tiles fixed to the grid, so a window never changes a value."""

WARP_TOLERANCE_PX = 0.001
_GRID_TOLERANCE_PX = 1e-3
_LASTING = re.compile(r"HTTP response code: 4(0[0134]|10)|Range downloading not supported")
"""Answers that another try would get again."""
_FAILURES = (RasterioError, CPLE_BaseError, OSError)


def read_chunk(job: ChunkJob) -> NDArray[Any]:
    """Make one chunk: the first valid value of the sources in their order.

    Returns
    -------
    ndarray, shape (1, rows, columns)
        In the job's dtype, ``fill`` where no source has a valid value.

    Raises
    ------
    ReadError
        If a source cannot be read after every retry; a failed read never becomes nodata.
    """
    out: NDArray[Any] | None = None
    unseen: NDArray[np.bool_] | None = None
    for source in job.sources:
        values = _read_patiently(source, job)
        if out is None:
            out = values
        else:
            np.copyto(out, values, where=unseen)
        if job.needs_cover or source is job.sources[-1]:
            break
        unseen = _unseen(out, job.fill)
        if not unseen.any():
            break
    if out is None:
        out = np.full(job.span.shape, job.fill, dtype=job.dtype)
    return out[np.newaxis]


def _unseen(values: NDArray[Any], fill: float) -> NDArray[np.bool_]:
    unseen: NDArray[np.bool_] = np.isnan(values) if np.isnan(fill) else values == fill
    return unseen


def read_header(href: str, index: int, item_id: str = "(header)") -> tuple[str, float | None]:
    """Dtype and nodata of a band, from the file header; an error names ``item_id``.

    Raises
    ------
    ReadError
        If the file cannot be opened.
    """
    source = Source(item_id, f"band {index}", href, index, None)
    try:
        for attempt in _attempts(href, []):
            with attempt, _environment(href, attempt.retry_state.attempt_number):
                dtype, nodata = _open_header(source)
    except ReadError:
        raise
    except _FAILURES as error:
        raise _read_error(source, error) from error
    return dtype, None if nodata is None or np.isnan(nodata) else float(nodata)


def _open_header(source: Source) -> tuple[str, float | None]:
    with rasterio.open(source.href) as dataset:
        _require_band(dataset, source)
        return str(dataset.dtypes[source.index - 1]), dataset.nodatavals[source.index - 1]


def is_remote(href: str) -> bool:
    """Whether a file is reached over a network."""
    return "://" in href


def _attempts(href: str, met: list[str]) -> Retrying:
    """Tries of one read; ``met`` gets what each failed one raised."""

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        met.append(str(error.__cause__ or error) if error else "no outcome")

    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(REMOTE_ATTEMPTS if is_remote(href) else 1),
        wait=wait_exponential(multiplier=RETRY_WAIT_S),
        before_sleep=note,
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, _FAILURES) or isinstance(error, ReadError):
        return False
    return not _LASTING.search(str(error.__cause__ or error))


def _environment(href: str, attempt: int) -> rasterio.Env:
    if not is_remote(href):
        return rasterio.Env()
    return rasterio.Env(**HTTP_OPTIONS, **(FRESH_OPTIONS if attempt > 1 else {}))


def _read_patiently(source: Source, job: ChunkJob) -> NDArray[Any]:
    here = replace(job, grid=job.grid.displaced(source.shift))
    with failed_requests() as met:
        try:
            for attempt in _attempts(source.href, met):
                with attempt, _environment(source.href, attempt.retry_state.attempt_number):
                    found = _read(source, here)
        except ReadError:
            raise
        except _FAILURES as error:
            raise _read_error(source, error) from error
    record_healed(source.item_id, source.band, met)
    return found


def _read_error(source: Source, error: BaseException) -> ReadError:
    detail = redacted_reason(str(error.__cause__ or error))
    return ReadError(
        f"item {source.item_id}, band {source.band}: {public_href(source.href)} could not be read "
        f"({detail}); check that the file is whole and reachable, then run again",
        source.item_id,
    )


def _read(source: Source, job: ChunkJob) -> NDArray[Any]:
    """Pixels of one source, ``fill`` wherever it saw nothing."""
    with rasterio.open(source.href) as dataset:
        _require_fit(dataset, source, job)
        corner = _same_grid(dataset, job.grid)
        if corner is None:
            values = _read_warped(dataset, source, job)
        else:
            values = _read_plain(dataset, source, job, corner)
    if not job.needs_cover:
        _mark_unseen(values, job.fill if corner is None else source.nodata, job.fill)
    return values


def _mark_unseen(values: NDArray[Any], nodata: float | None, fill: float) -> None:
    """Give nodata and NaN the value ``fill``; where they already have it nothing is touched."""
    if nodata is not None and not np.isnan(nodata) and nodata != fill:
        values[values == nodata] = fill
    if np.issubdtype(values.dtype, np.floating) and not np.isnan(fill):
        values[np.isnan(values)] = fill


def _require_band(dataset: Any, source: Source) -> None:
    if not 1 <= source.index <= dataset.count:
        raise ReadError(
            f"item {source.item_id}, band {source.band}: {public_href(source.href)} has "
            f"{dataset.count} bands; needed band {source.index}; index the folder again",
            source.item_id,
        )


def _require_fit(dataset: Any, source: Source, job: ChunkJob) -> None:
    _require_band(dataset, source)
    where = f"item {source.item_id}, band {source.band}: {public_href(source.href)}"
    if dataset.crs is None:
        raise ReadError(
            f"{where} has no CRS; one is needed to place it; assign the right one", source.item_id
        )
    dtype = dataset.dtypes[source.index - 1]
    if not (np.can_cast(dtype, job.dtype) or np.issubdtype(job.dtype, np.floating)):
        raise ReadError(
            f"{where} holds {dtype} where the catalogue says {job.dtype}; correct the catalogue "
            "or index the folder again",
            source.item_id,
        )
    if job.needs_cover and not _covers(dataset, job):
        raise ReadError(
            f"{where} ends inside the grid and declares no nodata value, so a pixel that was not "
            "seen could not be told from a dark one; declare nodata in the index's side table or "
            "choose a zone inside the scene",
            source.item_id,
        )


def _covers(dataset: Any, job: ChunkJob) -> bool:
    """Whether the outermost pixel centres of the span lie on the source."""
    span, affine = job.span, Affine(*job.grid.transform)
    rows = np.linspace(span.y0 + 0.5, span.y1 - 0.5, 17)
    cols = np.linspace(span.x0 + 0.5, span.x1 - 0.5, 17)
    edge = [(c, r) for c in cols for r in (rows[0], rows[-1])]
    edge += [(c, r) for r in rows for c in (cols[0], cols[-1])]
    xs, ys = zip(*(affine @ point for point in edge), strict=True)
    xs, ys = rasterio.warp.transform(_crs(job.grid), dataset.crs, xs, ys)
    inverse = ~dataset.transform
    places = [inverse @ point for point in zip(xs, ys, strict=True)]
    slack = 1e-6
    return all(
        -slack <= c <= dataset.width + slack and -slack <= r <= dataset.height + slack
        for c, r in places
    )


def _crs(grid: Grid) -> rasterio.crs.CRS:
    return rasterio.crs.CRS.from_user_input(grid.crs)


def _same_grid(dataset: Any, grid: Grid) -> tuple[int, int] | None:
    """Row and column of the target's corner in the source; None when the grids differ."""
    if dataset.crs != _crs(grid):
        return None
    target = Affine(*grid.transform)
    here = ~dataset.transform @ target
    rows, cols = grid.shape
    drift = max(abs(here.a - 1) * cols, abs(here.e - 1) * rows, abs(here.b) * rows)
    drift = max(drift, abs(here.d) * cols)
    col, row = round(here.c), round(here.f)
    if max(drift, abs(here.c - col), abs(here.f - row)) > _GRID_TOLERANCE_PX:
        return None
    return row, col


def _read_plain(
    dataset: Any, source: Source, job: ChunkJob, corner: tuple[int, int]
) -> NDArray[Any]:
    rows, cols = job.span.shape
    row, col = corner[0] + job.span.y0, corner[1] + job.span.x0
    r0, r1 = max(row, 0), min(row + rows, dataset.height)
    c0, c1 = max(col, 0), min(col + cols, dataset.width)
    if r0 >= r1 or c0 >= c1:
        return np.full(job.span.shape, job.fill, dtype=job.dtype)
    window = Window(c0, r0, c1 - c0, r1 - r0)
    if (r1 - r0, c1 - c0) == job.span.shape:
        # straight into the result: masks and copies cost as much as a quarter of the read
        whole: NDArray[Any] = np.empty(job.span.shape, job.dtype)
        dataset.read(source.index, window=window, out=whole)
        return whole
    values = np.full(job.span.shape, job.fill, dtype=job.dtype)
    part = slice(r0 - row, r1 - row), slice(c0 - col, c1 - col)
    values[part] = dataset.read(source.index, window=window)
    return values


def _read_warped(dataset: Any, source: Source, job: ChunkJob) -> NDArray[Any]:
    span = job.span
    values = np.empty(span.shape, dtype=job.dtype)
    for tile in _tiles(span, job.grid.shape):
        buffer = _warp_tile(dataset, source, job, tile)
        y0, y1 = max(tile.y0, span.y0), min(tile.y1, span.y1)
        x0, x1 = max(tile.x0, span.x0), min(tile.x1, span.x1)
        values[y0 - span.y0 : y1 - span.y0, x0 - span.x0 : x1 - span.x0] = buffer[
            y0 - tile.y0 : y1 - tile.y0, x0 - tile.x0 : x1 - tile.x0
        ]
    return values


def _warp_tile(dataset: Any, source: Source, job: ChunkJob, tile: Span) -> NDArray[Any]:
    # Into a file in memory: rasterio guards arrays by warnings.catch_warnings, unsafe in threads.
    rows, cols = tile.shape
    corner = Affine(*job.grid.transform) @ Affine.translation(tile.x0, tile.y0)
    profile = {"driver": "GTiff", "count": 1, "dtype": job.dtype, "height": rows, "width": cols}
    with (
        MemoryFile() as memory,
        memory.open(**profile, crs=_crs(job.grid), transform=corner) as target,
    ):
        rasterio.warp.reproject(
            rasterio.band(dataset, source.index),
            rasterio.band(target, 1),
            src_nodata=_warp_nodata(dataset, source),
            dst_nodata=None if job.needs_cover else job.fill,
            resampling=Resampling[job.resampling],
            num_threads=1,
            tolerance=WARP_TOLERANCE_PX,
        )
        values: NDArray[Any] = target.read(1)
    return values


def _warp_nodata(dataset: Any, source: Source) -> float | None:
    floating = np.issubdtype(np.dtype(dataset.dtypes[source.index - 1]), np.floating)
    if source.nodata is None:
        return float("nan") if floating else None
    return source.nodata


def _tiles(span: Span, shape: tuple[int, int]) -> Iterator[Span]:
    edge = WARP_TILE_PX
    for y0 in range(span.y0 // edge * edge, span.y1, edge):
        for x0 in range(span.x0 // edge * edge, span.x1, edge):
            yield Span(y0, min(y0 + edge, shape[0]), x0, min(x0 + edge, shape[1]))
