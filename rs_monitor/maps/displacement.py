"""Displacement rates from an external InSAR product: where the ground moves, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.codes import MOTION_STYLE, Motion, Status
from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError
from rs_monitor.grid import pixel_area_m2, require_projected
from rs_monitor.lazy import map_pixels
from rs_monitor.maps.cover import cover_of, sample, weighted_mean
from rs_monitor.maps.terrain import require_float
from rs_monitor.maps.terrain_rules import DisplacementRules

Line = Literal["los", "vertical"]
Sign = Literal["away", "towards", "down", "up"]

_TO_MM_A = {"mm/a": 1.0, "cm/a": 10.0, "m/a": 1000.0}
_SIGNS: dict[str, dict[str, float]] = {
    "los": {"towards": 1.0, "away": -1.0},
    "vertical": {"up": 1.0, "down": -1.0},
}
_NO_HORIZONTAL = "no horizontal motion: vertical = line of sight / cos(incidence)"


def subsidence(
    velocity: xr.DataArray,
    geobox: GeoBox,
    *,
    quantity: Line,
    positive: Sign,
    unit: Literal["mm/a", "cm/a", "m/a"],
    rules: DisplacementRules,
    incidence_deg: xr.DataArray | float | None = None,
    result: Line | None = None,
) -> xr.Dataset:
    """Displacement rate and where it passes the limit.

    Parameters
    ----------
    velocity : DataArray of float
        y, x; NaN = not seen (layover, shadow, lost coherence).
    geobox : GeoBox
        Its grid.
    quantity : {"los", "vertical"}
        What the product measured: along the line of sight, or already vertical.
    positive : {"towards", "away"} or {"up", "down"}
        Meaning of a positive number, towards or away from the sensor; producers differ.
    unit : {"mm/a", "cm/a", "m/a"}
    rules : DisplacementRules
        Rate from which the ground is said to move.
    incidence_deg : DataArray or float, optional
        Angle between the line of sight and the vertical, degrees, of every cell or of all.
    result : {"los", "vertical"}, optional
        Wanted rate; that of the product by default.

    Returns
    -------
    Dataset
        ``rate_mm_a`` float32, positive up or towards the sensor, NaN = not seen; ``motion`` uint8
        of ``codes.Motion``, 0 = not seen. Attributes name the line, the sign and the assumption.

    Raises
    ------
    QuantityError
        If sign and quantity do not fit; if a vertical rate is wanted of a line of sight without
        its incidence angle, or the other way round; if an angle is no incidence angle; if the
        velocities are not float.
    GridMismatch
        If the raster is not on the grid.

    Notes
    -----
    Rule MIN-02. One line of sight does not tell vertical from horizontal motion (Fialko et al.
    2001, doi:10.1029/2001GL013174): it is only projected on request, and says so.
    """
    _require_shape(velocity, geobox, "velocities")
    require_float(velocity.dtype, "velocities", "a displacement rate")
    factor = _TO_MM_A[unit] * _sign(quantity, positive)
    line = result or quantity
    scale = _projection(quantity, line, incidence_deg)
    limit = rules.rate_mm_a.value

    def rate(values: NDArray[np.floating], *angles: NDArray[np.floating]) -> NDArray[np.float32]:
        scaled = values.astype(np.float64) * (factor * scale(*angles))
        with np.errstate(over="ignore"):
            rates = scaled.astype(np.float32)
        return np.where(np.isfinite(rates), rates, np.float32(np.nan))

    rasters = [velocity]
    if line != quantity and isinstance(incidence_deg, xr.DataArray):
        rasters.append(incidence_deg)
    attrs = {
        "long_name": "vertical displacement rate" if line == "vertical" else "line-of-sight rate",
        "units": "mm/a",
        "line": line,
        "positive": "up" if line == "vertical" else "towards the sensor",
        "assumption": _NO_HORIZONTAL if line != quantity else "none: as measured",
    }
    rates = map_pixels(rate, *rasters, dtype=np.float32, name="rate_mm_a", attrs=attrs)
    motion = map_pixels(
        lambda values: _motion(values, limit),
        rates,
        dtype=np.uint8,
        name="motion",
        attrs={
            "long_name": f"motion beyond {limit:g} mm/a",
            "flag_values": [int(code) for code in MOTION_STYLE],
            "flag_meanings": " ".join(style.name for style in MOTION_STYLE.values()),
            "line": line,
            "clause": rules.rate_mm_a.clause,
        },
    )
    return xr.Dataset({"rate_mm_a": rates, "motion": motion})


def _sign(quantity: Line, positive: Sign) -> float:
    known = _SIGNS[quantity]
    if positive not in known:
        raise QuantityError(
            f"got a {quantity} velocity that is positive {positive!r}; needed one of "
            f"{', '.join(known)}; look up the sign in the product's description"
        )
    return known[positive]


def _projection(
    quantity: Line, line: Line, incidence_deg: xr.DataArray | float | None
) -> Callable[..., Any]:
    """What a rate is multiplied by; takes the incidence of the cells when that is a raster."""
    if line == quantity:
        return lambda: 1.0
    if quantity == "vertical":
        raise QuantityError(
            "got vertical velocities and a wish for the line of sight; needed its direction; use "
            "the product's own line-of-sight velocities"
        )
    if incidence_deg is None:
        raise QuantityError(
            "got line-of-sight velocities without incidence angle; a vertical rate needs it; give "
            "incidence_deg, or keep the rate along the line of sight"
        )
    if isinstance(incidence_deg, xr.DataArray):
        return _upright
    if not 0.0 <= incidence_deg < 90.0:
        raise QuantityError(
            f"got an incidence angle of {incidence_deg:g}; needed degrees from the vertical below "
            "90; convert it"
        )
    constant = 1.0 / float(np.cos(np.radians(incidence_deg)))
    return lambda: constant


def _upright(incidence_deg: NDArray[np.floating]) -> NDArray[np.float64]:
    """Inverse cosine of the incidence; NaN where that is unknown or no angle below 90."""
    known = (incidence_deg >= 0.0) & (incidence_deg < 90.0)
    angle = np.where(known, incidence_deg, np.nan).astype(np.float64)
    return np.asarray(1.0 / np.cos(np.radians(angle)))


def _motion(rate_mm_a: NDArray[np.float32], limit: float) -> NDArray[np.uint8]:
    code = np.full(rate_mm_a.shape, Motion.STILL, dtype=np.uint8)
    code[rate_mm_a < -limit] = Motion.DOWN
    code[rate_mm_a > limit] = Motion.UP
    code[np.isnan(rate_mm_a)] = Motion.NOT_SEEN
    return code


def _require_shape(raster: xr.DataArray, geobox: GeoBox, what: str) -> None:
    if raster.dims != ("y", "x") or raster.shape != tuple(geobox.shape):
        raise GridMismatch(
            f"got {what} of {dict(raster.sizes)}; needed y, x of the grid's {tuple(geobox.shape)}; "
            "resample the product onto the zone's grid first"
        )


def subsiding_area(
    polygons: gpd.GeoDataFrame, displacement: xr.Dataset, geobox: GeoBox, rules: DisplacementRules
) -> pd.DataFrame:
    """Extent and rate of subsidence in each polygon.

    Parameters
    ----------
    polygons : GeoDataFrame
        Patches, parcels or zones.
    displacement : Dataset
        Of :func:`subsidence`; computed here if lazy.
    geobox : GeoBox
        Its projected grid.
    rules : DisplacementRules

    Returns
    -------
    DataFrame
        Index of the polygons. ``status`` (``recorded``, or ``not_evaluated`` with less than
        ``min_seen_fraction`` seen) and ``reason``; ``seen_fraction``; ``moving_area_m2`` beyond
        the limit either way (rule MIN-02) and ``sinking_area_m2`` of it down, or away from the
        sensor (CGCS2000 ellipsoid, seen cells only); ``mean_rate_mm_a`` and ``lowest_rate_mm_a``;
        ``line``: whether rates are vertical. Numbers of a polygon not evaluated are NaN.

    Raises
    ------
    GridMismatch, MissingCRS, UnsuitableCRS
    """
    _require_shape(displacement["rate_mm_a"], geobox, "rates")
    if polygons.crs is None:
        raise MissingCRS("got polygons without CRS; an overlay needs one; read with read_layer")
    row_area_m2 = pixel_area_m2(require_projected(geobox, "subsiding areas"))
    rate = displacement["rate_mm_a"].values
    motion = displacement["motion"].values
    rows = []
    for shape in polygons.geometry:
        cover = cover_of(shape, polygons.crs, geobox)
        inner = np.clip(cover.row, 0, row_area_m2.size - 1)
        area_m2 = row_area_m2[inner] * cover.fraction
        rows.append(
            _summary(
                sample(rate, cover, np.nan), sample(motion, cover, Motion.NOT_SEEN), area_m2, rules
            )
        )
    nothing = _summary(np.empty(0, np.float32), np.empty(0, np.uint8), np.empty(0), rules)
    table = pd.DataFrame([*rows, nothing]).iloc[:-1].set_axis(polygons.index)
    return table.assign(line=displacement["rate_mm_a"].attrs["line"])


def _summary(
    rate: NDArray[np.float32],
    motion: NDArray[np.uint8],
    area_m2: NDArray[np.float64],
    rules: DisplacementRules,
) -> dict[str, Any]:
    mean, unseen = weighted_mean(rate, area_m2)
    needed = rules.min_seen_fraction.value
    if 1.0 - unseen < needed or np.isnan(mean):
        nan = float("nan")
        status, reason = Status.NOT_EVALUATED, f"seen on {1 - unseen:.2f}, needed {needed:g}"
        numbers = dict.fromkeys(
            ("moving_area_m2", "sinking_area_m2", "mean_rate_mm_a", "lowest_rate_mm_a"), nan
        )
    else:
        status, reason = Status.RECORDED, ""
        numbers = {
            "moving_area_m2": float(area_m2[np.isin(motion, (Motion.DOWN, Motion.UP))].sum()),
            "sinking_area_m2": float(area_m2[motion == Motion.DOWN].sum()),
            "mean_rate_mm_a": mean,
            "lowest_rate_mm_a": float(np.nanmin(rate)),
        }
    head = {"status": str(status), "reason": reason, "seen_fraction": 1.0 - unseen}
    return {**head, **numbers}
