"""Figures of a run for a notebook; matplotlib is imported only when one is drawn."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import Measurability, Proposal
from rs_monitor.config.imagery import Periods
from rs_monitor.outputs import pictures, terms, views
from rs_monitor.review.look import RunView, load_pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SYNTHETIC = "SYNTHETIC"
_TRUE_COLOUR = ("red", "green", "blue")
_STRONG = (Proposal.SUSPECTED_ILLEGAL, Proposal.SUSPECTED)
_CHIP_MARGIN_PX, _CHIP_LEAST_PX, _MAP_PX = 10, 40, 1200
_BEFORE, _AFTER, _WINDOW, _LEAF = "#4c78a8", "#e0872f", "#c01f2e", "#2b7a3d"
_UNSEEN = "#e2e5e9"


def before_after(view: RunView, patch_id: str) -> Figure:
    """Draw one patch before and after, in true colour.

    Parameters
    ----------
    view : RunView
    patch_id : str

    Returns
    -------
    matplotlib.figure.Figure
        Both pictures share one stretch, that of the zone, so brightness can be compared.

    Raises
    ------
    RunError
        If the run holds no such patch.
    """
    patch = view.patch(patch_id)
    zone_id, outline = str(patch["zone_id"]), view.outline(patch_id)
    window = pictures.chip_window(
        outline, view.geobox(zone_id), margin_px=_CHIP_MARGIN_PX, least_px=_CHIP_LEAST_PX
    )
    limits = _zone_limits(view, zone_id)
    figure = _figure(9.6, 5.85)
    for axes, period in zip(figure.subplots(1, 2), ("before", "after"), strict=True):
        rgb, geobox = load_pixels(
            view, zone_id, period, bands=_colours(view, zone_id), window=window
        )
        _show(axes, rgb, geobox, limits)
        _draw_outline(axes, outline, str(patch["proposal"]), 2.0)
        _scale(axes, geobox)
        axes.set_title(_period_title(view, patch, period), fontsize=9.5)
    _heading(figure, view, _patch_title(view, patch))
    return figure


def zone_map(view: RunView, zone_id: str) -> Figure:
    """Draw a zone after, with its patches coloured by proposal.

    Parameters
    ----------
    view : RunView
    zone_id : str

    Returns
    -------
    matplotlib.figure.Figure
        Suspected patches bear their number of the report; ground not seen is veiled.
    """
    rgb, geobox = load_pixels(
        view, zone_id, "after", bands=_colours(view, zone_id), longest_px=_MAP_PX
    )
    figure = _figure(9.6, 9.6 * geobox.shape.y / geobox.shape.x + 0.8)
    axes = figure.subplots()
    _show(axes, rgb, geobox, _zone_limits(view, zone_id))
    _veil(axes, view, zone_id)
    proposals = view.patches.set_index("patch_id")["proposal"]
    outlines = view.outlines(zone_id)
    for patch_id, outline in outlines.items():
        _draw_outline(axes, outline, proposals[patch_id], 1.4)
        if proposals[patch_id] in _STRONG:
            _number(axes, outline, view.numbers[str(patch_id)])
    _scale(axes, geobox)
    counts = proposals[outlines.index].value_counts()
    _legend(axes, {proposal: int(counts.get(proposal, 0)) for proposal in terms.PROPOSAL_COLOUR})
    _heading(figure, view, [f"Zone {zone_id} · after: {_days(view, zone_id, 'after')}"])
    return figure


def series_figure(
    view: RunView,
    patch_id: str,
    series: pd.DataFrame,
    periods: Periods,
    *,
    least_clear_fraction: float,
) -> Figure:
    """Draw the vegetation curve of a patch with its change window and the two periods.

    Parameters
    ----------
    view : RunView
    patch_id : str
    series : DataFrame
        From :func:`rs_monitor.review.series.patch_series`.
    periods : Periods
        Of the job.
    least_clear_fraction : float
        A look that saw less of the patch is drawn hollow and left out of the line.
    """
    patch = view.patch(patch_id)
    figure = _figure(9.6, 4.3)
    axes = figure.subplots()
    _shade(axes, periods, patch)
    _curve(axes, series, least_clear_fraction)
    axes.set_ylim(-0.25, 1.0)
    axes.set_ylabel("NDVI over the patch")
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    title = f"Patch {view.numbers[patch_id]} · {terms.words(patch['kind'])} · clear looks only"
    _heading(figure, view, [title])
    return figure


def _figure(width: float, height: float) -> Figure:
    """Empty figure that no global state holds on to."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _heading(figure: Figure, view: RunView, lines: list[str]) -> None:
    bold: dict[str, Any] = {"fontsize": 11, "fontweight": "bold"}
    figure.suptitle("\n".join(lines), x=0.01, ha="left", **bold)
    if view.manifest.synthetic:
        figure.text(0.99, 0.99, SYNTHETIC, color=_WINDOW, ha="right", va="top", **bold)


def _patch_title(view: RunView, patch: pd.Series[Any]) -> list[str]:
    number = view.numbers[patch["patch_id"]]
    rules = view.findings[view.findings["patch_id"] == patch["patch_id"]].sort_values("rule_id")
    told = [f"{r} {terms.words(s)}" for r, s in zip(rules["rule_id"], rules["status"], strict=True)]
    return [
        f"Patch {number} · {terms.words(patch['kind'])} · {_size(patch)}",
        f"Proposal: {terms.words(patch['proposal'])} · {', '.join(told) or 'no rule applies'}",
        f"Changed between {patch['first_date']} and {patch['last_date']} · zone {patch['zone_id']}",
    ]


def _size(patch: pd.Series[Any]) -> str:
    """Area with what it is worth: only a measured patch has a measured area."""
    size = str(patch["measurability"])
    told = f"{patch['area_m2']:,.0f} m² = {views.mu(patch['area_m2']):.2f} mu"
    if size == Measurability.MEASURED:
        return f"{told}, measured"
    return f"outline {told}, {terms.words(size)}"


def _period_title(view: RunView, patch: pd.Series[Any], period: str) -> str:
    looks = patch[f"looks_{period}"]
    cover = terms.words(patch[f"class_{period}"])
    days = _days(view, str(patch["zone_id"]), period)
    return f"{period}: {cover}\n{days}, {looks} clear looks"


def _days(view: RunView, zone_id: str, period: str) -> str:
    days = view.scene_days(zone_id, period)
    return f"median of {days[0]} to {days[-1]}" if days else "median of the period"


def _colours(view: RunView, zone_id: str) -> tuple[str, ...]:
    """Bands shown as red, green and blue; the first three where a sensor lacks them."""
    names = view.raster(zone_id, "after").band_names
    return _TRUE_COLOUR if set(_TRUE_COLOUR) <= set(names) else (names * 3)[:3]


def _zone_limits(view: RunView, zone_id: str) -> NDArray[np.float64]:
    bands = _colours(view, zone_id)
    looks = [
        load_pixels(view, zone_id, period, bands=bands, longest_px=_MAP_PX // 2)[0]
        for period in ("before", "after")
    ]
    return pictures.stretch_limits(np.concatenate(looks, axis=2))


def _show(
    axes: Axes, rgb: NDArray[np.float32], geobox: GeoBox, limits: NDArray[np.float64]
) -> None:
    from matplotlib.image import imread

    bounds = geobox.boundingbox
    axes.set_facecolor(_UNSEEN)
    axes.imshow(
        imread(io.BytesIO(pictures.true_colour(rgb, limits))),
        extent=(bounds.left, bounds.right, bounds.bottom, bounds.top),
        interpolation="nearest",
    )
    axes.autoscale(False)
    axes.set_xticks([])
    axes.set_yticks([])


def _veil(axes: Axes, view: RunView, zone_id: str) -> None:
    """Cover the ground that was not seen, whatever the composite shows there."""
    from matplotlib.colors import ListedColormap

    change, geobox = load_pixels(view, zone_id, "change", longest_px=_MAP_PX)
    unseen = np.where(np.isnan(change[0]), 1.0, np.nan)
    bounds = geobox.boundingbox
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    axes.imshow(unseen, extent=extent, cmap=ListedColormap([_UNSEEN]), interpolation="nearest")


def _draw_outline(axes: Axes, outline: shapely.Geometry, proposal: str, width: float) -> None:
    colour = terms.PROPOSAL_COLOUR.get(proposal, terms.UNKNOWN_COLOUR)
    for ring in shapely.get_rings(shapely.get_parts(outline)):
        x, y = shapely.get_coordinates(ring).T
        axes.plot(x, y, color="white", linewidth=width + 1.6, solid_joinstyle="miter")
        axes.plot(x, y, color=colour, linewidth=width, solid_joinstyle="miter")


def _number(axes: Axes, outline: shapely.Geometry, number: int) -> None:
    left, _, right, top = shapely.bounds(outline)
    axes.annotate(
        str(number),
        ((left + right) / 2, top),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.85, "linewidth": 0},
    )


def _scale(axes: Axes, geobox: GeoBox) -> None:
    pixel_m = abs(geobox.resolution.x)
    bar = views.scale_bar(geobox.shape.x, pixel_m)
    bounds = geobox.boundingbox
    inset_m = geobox.shape.x * pixel_m * 0.03
    x, y = bounds.left + inset_m, bounds.bottom + inset_m
    ends = [x, x + bar["width_px"] * pixel_m]
    axes.plot(ends, [y, y], color="black", linewidth=5, solid_capstyle="butt")
    axes.plot(ends, [y, y], color="white", linewidth=3, solid_capstyle="butt")
    axes.annotate(
        bar["label"],
        (x, y),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=8,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
    )


def _legend(axes: Axes, counts: dict[str, int]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D(
            [], [], color=terms.PROPOSAL_COLOUR[name], lw=2.5, label=f"{terms.words(name)} ({n})"
        )
        for name, n in counts.items()
        if n
    ]
    handles.append(Patch(facecolor=_UNSEEN, edgecolor="#9aa2ab", label="not seen"))
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, frameon=False
    )


def _shade(axes: Axes, periods: Periods, patch: pd.Series[Any]) -> None:
    for label, colour in (("before", _BEFORE), ("after", _AFTER)):
        period = getattr(periods, label)
        days = _axis_days(period.start, period.end)
        axes.axvspan(*days, color=colour, alpha=0.12, lw=0, label=f"period {label}")
    change = _axis_days(patch["first_date"], patch["last_date"])
    style: dict[str, Any] = {"facecolor": "none", "edgecolor": _WINDOW, "alpha": 0.4}
    axes.axvspan(*change, hatch="//", label="change window", **style)
    axes.xaxis_date()


def _axis_days(first: Any, last: Any) -> tuple[float, float]:
    from matplotlib.dates import date2num

    days = np.array([first, last], dtype="datetime64[D]")
    start, end = date2num(days)  # type: ignore[no-untyped-call]
    return float(start), float(end)


def _curve(axes: Axes, series: pd.DataFrame, least_clear_fraction: float) -> None:
    full = series[series["clear_fraction"] >= least_clear_fraction]
    partial = series[series["clear_fraction"].between(0, least_clear_fraction, "neither")]
    blind = series[series["clear_fraction"] == 0]
    axes.plot(full.index, full["ndvi_mean"], color=_LEAF, lw=1.2, alpha=0.6)
    axes.vlines(
        full.index, full["ndvi_q10"], full["ndvi_q90"], color=_LEAF, lw=3, alpha=0.35,
        label="10 to 90 % of the pixels",
    )  # fmt: skip
    axes.plot(full.index, full["ndvi_mean"], "o", color=_LEAF, ms=5, label="mean")
    label = f"less than {least_clear_fraction:.0%} of the patch clear"
    axes.plot(partial.index, partial["ndvi_mean"], "o", mfc="none", color=_LEAF, ms=5, label=label)
    axes.plot(
        blind.index, np.full(len(blind), -0.2), "|", color="#5c6670", ms=8, label="not seen (cloud)"
    )
