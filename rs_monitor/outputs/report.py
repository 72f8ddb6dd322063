"""The report: one page of HTML that opens without a network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import CHANGE_STYLE, LAND_COVER_STYLE, Change
from rs_monitor.findings.statement import clean_statement
from rs_monitor.outputs import pictures, terms, views
from rs_monitor.outputs.class_area_view import (
    MAPPED_NOT_MEASURED,
    class_area_view,
    not_separable_pairs,
)
from rs_monitor.outputs.land_cover_view import land_cover_view
from rs_monitor.outputs.layout import REPORT_NAME
from rs_monitor.outputs.manifest import content_digest_of
from rs_monitor.outputs.runfolder import RunFolder
from rs_monitor.outputs.style import hex_colour

CHIP_LIMIT = 60
TABLE_LIMIT = 2000
AREA_ZONE_LIMIT = 60
_MAP_PX = 900
_CHIP_PX = 300
_CHIP_MARGIN_PX = 10
_CHIP_LEAST_PX = 36


@dataclass(frozen=True, slots=True)
class ZoneView:
    """Pixels of one zone for its pictures.

    Attributes
    ----------
    zone_id : str
        Zone.
    geobox : GeoBox
        Grid of the arrays.
    before, after : ndarray, shape (3, y, x)
        Red, green, blue; NaN, or 0 in every band of integers, = not seen.
    change : ndarray of uint8, shape (y, x)
        Values of :class:`rs_monitor.codes.Change`.
    generalised : mapping of str to ndarray of uint8, shape (y, x)
        Generalised land cover by period, where the run made it.
    """

    zone_id: str
    geobox: GeoBox
    before: NDArray[Any]
    after: NDArray[Any]
    change: NDArray[np.uint8]
    generalised: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportContext:
    """Everything a report shows.

    Attributes
    ----------
    manifest : mapping
        The manifest as JSON.
    zones : sequence of ZoneView
        Zones with maps.
    patches, findings : GeoDataFrame
        Records of the register.
    coverage : DataFrame, optional
        One row per zone; without it the report is refused.
    claims : GeoDataFrame, optional
        Answers to claims of new arable land.
    truth : DataFrame, optional
        For synthetic runs: what was planted beside what was found.
    class_areas : DataFrame, optional
        For runs with land cover: mapped areas by zone, period and class.
    planned : collection of str
        Zones of the plan; each needs its row of coverage.
    outlines : GeoSeries, optional
        Zones by id, in the CRS of the patches.
    doubts, caveats : mapping of str to sequence of str
        By zone: why nothing may be said of it; what else to say.
    """

    manifest: Mapping[str, Any]
    zones: Sequence[ZoneView]
    patches: gpd.GeoDataFrame
    findings: gpd.GeoDataFrame
    coverage: pd.DataFrame | None
    claims: gpd.GeoDataFrame | None = None
    truth: pd.DataFrame | None = None
    class_areas: pd.DataFrame | None = None
    planned: Collection[str] = ()
    outlines: gpd.GeoSeries | None = None
    doubts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    caveats: Mapping[str, Sequence[str]] = field(default_factory=dict)


def write_report(folder: RunFolder, context: ReportContext) -> Path:
    """Write ``report/index.html`` and register it.

    Parameters
    ----------
    folder : RunFolder
        Run the report is about; all other products are registered already.
    context : ReportContext
        What is shown.
    """
    digest = content_digest_of(folder.manifest.outputs)
    return folder.write_page(REPORT_NAME, render_report(context, content_digest=digest))


def render_report(
    context: ReportContext, *, content_digest: str | None = None, chip_limit: int = CHIP_LIMIT
) -> str:
    """Render the page.

    Parameters
    ----------
    context : ReportContext
        What is shown; text is escaped wherever it comes from.
    content_digest : str, optional
        Digest of the run's products; default that of the manifest.
    chip_limit : int
        Patches with before/after pictures, largest first.

    Returns
    -------
    str
        HTML with pictures and style inside; refers to nothing outside itself.

    Raises
    ------
    CoverageError
        If the coverage is missing or incomplete; see :func:`clean_statement`.
    """
    said = clean_statement(
        context.coverage,
        context.patches,
        planned={*context.planned, *(zone.zone_id for zone in context.zones)},
        outlines=context.outlines,
        doubts=context.doubts,
        caveats=context.caveats,
    )
    coverage = pd.DataFrame(context.coverage)
    patches = views.patch_rows(context.patches, context.findings)
    return _template().render(
        manifest=context.manifest,
        content_digest=content_digest or context.manifest.get("content_digest") or "",
        summary=views.summary(context.manifest, patches, coverage),
        said=said,
        patches=patches[:TABLE_LIMIT],
        patch_count=len(patches),
        chip_limit=chip_limit,
        chips=_chips(context, patches[:chip_limit]),
        maps=_maps(context, patches),
        coverage=views.coverage_rows(coverage, said),
        claims=views.claim_rows(context.claims),
        truth=views.plain_table(context.truth),
        not_evaluated=views.grouped_reasons(context.manifest.get("not_evaluated", ())),
        class_areas=class_area_view(context.class_areas),
        area_zone_limit=AREA_ZONE_LIMIT,
        mapped_not_measured=MAPPED_NOT_MEASURED,
        not_separable=not_separable_pairs(),
        land_cover=land_cover_view(context.manifest),
        scenes=views.scenes_by_collection(context.manifest.get("inputs", ())),
        proposals=list(terms.PROPOSAL_COLOUR.items()),
        change_colour=hex_colour(CHANGE_STYLE[Change.CHANGE]),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rs_monitor.outputs", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "zh": terms.zh,
        "zh_cover": terms.zh_cover,
        "zh_column": terms.zh_column,
        "words": terms.words,
        "number": views.number,
        "area": views.area,
        "mu": views.mu,
        "ha": views.ha,
        "signed": views.signed,
    }
    return environment.get_template("report.html.j2")


def _uri(png: bytes) -> Markup:
    """Picture address; only base64 of our own, so it needs no escaping."""
    return Markup(pictures.data_uri(png))  # noqa: S704


def _maps(context: ReportContext, rows: Sequence[views.PatchRow]) -> list[dict[str, Any]]:
    return [_map(zone, _outlines(context, zone, rows)) for zone in context.zones]


def _map(zone: ZoneView, outlines: list[dict[str, Any]]) -> dict[str, Any]:
    height, width = zone.change.shape
    seen = float((zone.change != Change.NOT_SEEN).mean())
    return {
        "zone_id": zone.zone_id,
        "width": width,
        "height": height,
        "badge": max(width, height) / 70,
        "pixel_m": abs(zone.geobox.resolution.x),
        "crs": str(zone.geobox.crs) if zone.geobox.crs and zone.geobox.crs.epsg else "",
        "before": _uri(pictures.true_colour(_unseen_as_nan(zone.before), longest_px=_MAP_PX)),
        "after": _uri(pictures.true_colour(_unseen_as_nan(zone.after), longest_px=_MAP_PX)),
        "unseen": _uri(pictures.mask_overlay(zone.change == Change.NOT_SEEN, longest_px=_MAP_PX)),
        "seen_fraction": seen,
        "scale": views.scale_bar(width, abs(zone.geobox.resolution.x)),
        "outlines": outlines,
        "covers": [
            (label, _uri(pictures.class_picture(cover, LAND_COVER_STYLE, longest_px=_MAP_PX)))
            for label, cover in zone.generalised.items()
        ],
        "classes": _classes_shown(zone.generalised.values()),
    }


def _classes_shown(covers: Iterable[NDArray[np.uint8]]) -> list[tuple[str, str]]:
    """Name and colour of the classes that any of the maps shows."""
    shown = {int(value) for cover in covers for value in np.unique(cover)}
    return [
        (style.name, hex_colour(style))
        for value, style in LAND_COVER_STYLE.items()
        if int(value) in shown
    ]


def _unseen_as_nan(rgb: NDArray[Any]) -> NDArray[Any]:
    if rgb.dtype.kind == "f":
        return rgb
    return np.where((rgb == 0).all(axis=0), np.nan, rgb.astype(np.float32))


def _in_grid(patches: gpd.GeoDataFrame, zone: ZoneView) -> dict[str, Any]:
    """Geometries of a zone's patches by id, in the CRS of its grid."""
    own = patches[patches["zone_id"] == zone.zone_id]
    if own.empty:
        return {}
    shapes = own.geometry
    if own.crs is not None and own.crs != zone.geobox.crs:
        shapes = shapes.to_crs(str(zone.geobox.crs))
    return dict(zip(own["patch_id"], shapes, strict=True))


def _outlines(
    context: ReportContext, zone: ZoneView, rows: Sequence[views.PatchRow]
) -> list[dict[str, Any]]:
    shapes = _in_grid(context.patches, zone)
    return [_outline(row, shapes[row.patch_id], zone) for row in rows if row.patch_id in shapes]


def _outline(row: views.PatchRow, shape: Any, zone: ZoneView) -> dict[str, Any]:
    left, top, right, _ = pictures.pixel_bounds(shape, zone.geobox)
    height, width = zone.change.shape
    margin = max(width, height) / 50
    return {
        "row": row,
        "path": pictures.svg_path(shape, zone.geobox),
        "x": min(max((left + right) / 2, margin), width - margin),
        "y": max(top - margin, margin),
    }


def _chips(context: ReportContext, rows: Sequence[views.PatchRow]) -> list[dict[str, Any]]:
    chips: dict[str, dict[str, Any]] = {}
    for zone in context.zones:
        shapes = _in_grid(context.patches, zone)
        before, after = _unseen_as_nan(zone.before), _unseen_as_nan(zone.after)
        limits = pictures.stretch_limits(before), pictures.stretch_limits(after)
        for row in _with_shape(rows, shapes):
            shape = shapes[row.patch_id]
            chips[row.patch_id] = _chip(row, shape, zone.geobox, (before, after), limits)
    return [chips[row.patch_id] for row in rows if row.patch_id in chips]


def _with_shape(
    rows: Sequence[views.PatchRow], shapes: Mapping[str, Any]
) -> Iterable[views.PatchRow]:
    return (row for row in rows if row.patch_id in shapes)


def _chip(
    row: views.PatchRow,
    shape: Any,
    geobox: GeoBox,
    looks: tuple[NDArray[Any], NDArray[Any]],
    limits: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> dict[str, Any]:
    rows, columns = pictures.chip_window(
        shape, geobox, margin_px=_CHIP_MARGIN_PX, least_px=_CHIP_LEAST_PX
    )
    before, after = (
        _uri(pictures.true_colour(look[:, rows, columns], limit, longest_px=_CHIP_PX))
        for look, limit in zip(looks, limits, strict=True)
    )
    return {
        "row": row,
        "before": before,
        "after": after,
        "width": columns.stop - columns.start,
        "height": rows.stop - rows.start,
        "path": pictures.svg_path(shape, geobox, (columns.start, rows.start)),
        "ground_m": (columns.stop - columns.start) * abs(geobox.resolution.x),
    }
