"""Which looks at a pixel can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from rs_monitor.codes import Quantity, Sky
from rs_monitor.errors import ConfigError
from rs_monitor.imagery.growth import grown, open_sky, opened, reach_px
from rs_monitor.imagery.in_place import in_place_bands, kept_in_place
from rs_monitor.imagery.load import stores_integers, valid_mask
from rs_monitor.imagery.outliers import outlier_sky
from rs_monitor.imagery.qa_bits import (
    BESIDE_CLOUD,
    CLEAR_SCL,
    SceneClass,
    decode,
    require_unambiguous,
)
from rs_monitor.imagery.sky_rules import ClearSkyRules
from rs_monitor.lazy import map_looks, map_pixels

__all__ = ["CLEAR_SCL", "SceneClass", "mask_margin_px", "screen"]

ScreenKind = Literal["scl", "qa_pixel", "bqa", "fmask", "hls_fmask", "cloudmask", "outlier", "none"]

_WITH_RIM = ("qa_pixel", "hls_fmask")
_GROUND = (Sky.CLEAR, Sky.DOUBTFUL)


def mask_margin_px(rules: ClearSkyRules, pixel_m: float, *, kind: ScreenKind | None = None) -> int:
    """Pixels around a block that its mask depends on.

    Parameters
    ----------
    rules : ClearSkyRules
    pixel_m : float
        Pixel edge, metres.
    kind : str, optional
        What the mask band holds, as for :func:`screen`; unknown: enough for any.

    Returns
    -------
    int
        A block screened with this margin and cropped equals the same part of the whole.
    """
    if kind == "none":
        return 0
    rim = rules.provider_rim_m if kind in (None, *_WITH_RIM) else 0.0
    steps = [
        (rules.cloud_opening_m, max(rules.cloud_growth_m, rim)),
        (rules.shadow_opening_m, max(rules.shadow_growth_m, rim)),
        (0.0, rules.snow_growth_m),
    ]
    around = reach_px(rules.in_place.open_radius_m, pixel_m)
    return around + max(
        2 * reach_px(speck, pixel_m) + reach_px(wide, pixel_m) for speck, wide in steps
    )


def screen(
    cube: xr.Dataset,
    *,
    kind: ScreenKind,
    band: str | None,
    spectral_bands: Sequence[str],
    rules: ClearSkyRules,
    terrain_shadow: xr.DataArray | None = None,
) -> xr.Dataset:
    """Tell what every look at every pixel shows, lazily.

    Parameters
    ----------
    cube : xr.Dataset
        As from ``load_cube`` or ``to_reflectance``, on a metric grid, ascending in time.
    kind : {'scl', 'qa_pixel', 'bqa', 'fmask', 'hls_fmask', 'cloudmask', 'outlier', 'none'}
        What the mask band holds; ``outlier``: there is none, looks are compared with each
        other; ``none``: only missing values are left out.
    band : str, optional
        Variable of the mask, for every kind but the last two.
    spectral_bands : sequence of str
        A look is usable only where all of these were seen.
    rules : ClearSkyRules
        Table ``clear_sky`` of the imagery rules.
    terrain_shadow : DataArray of bool, optional
        time, y, x; True where the relief hides the sun
        (:func:`rs_monitor.imagery.terrain_shadow.terrain_shadow`).

    Returns
    -------
    xr.Dataset
        dims ``time, y, x``: ``clear`` (bool, usable look at the ground), ``doubtful`` (bool, the
        part of ``clear`` that the provider flagged as cloud) and ``reason`` (uint8,
        :class:`rs_monitor.codes.Sky`).

    Raises
    ------
    ConfigError
        If the kind is unknown, or the mask band is not given or not in the cube.
    MaskError
        If the band's nodata value is one that the kind calls ground; when computed: the band
        holds values that the kind never has.

    Notes
    -----
    In this order: decode; bright "clouds" that stay in place become ground; the provider's rim
    is dropped where its cloud was; shadow of the relief is told from cloud shadow; specks are
    taken out; clouds and shadows grow. Same result for any chunking, and for any block read with
    :func:`mask_margin_px` around it.
    """
    if kind not in get_args(ScreenKind):
        known = ", ".join(get_args(ScreenKind))
        raise ConfigError("imagery.mask", [f"{kind!r} is unknown; use one of {known}"])
    levels = {name: _level(cube, name) for name in spectral_bands}
    stacks = list(levels.values())
    nodata = None
    if kind != "outlier" and kind != "none":
        name = _mask_band(cube, band)
        nodata = cube[name].attrs.get("nodata")
        require_unambiguous(kind, nodata, band=name)
        stacks.append(cube[name])
    if terrain_shadow is not None:
        stacks.append(terrain_shadow)
    plan = _Plan(
        kind=kind,
        bands=tuple(levels),
        in_place=in_place_bands(_in_reflectance(cube, tuple(levels)), rules.in_place),
        nodata=nodata,
        relief=terrain_shadow is not None,
        days=tuple(_days(cube)),
        pixel_m=_pixel_m(cube),
        rules=rules,
    )
    reason = map_looks(
        partial(_screened, plan),
        *stacks,
        depth_px=mask_margin_px(rules, plan.pixel_m, kind=kind),
        dtype=np.uint8,
        name="reason",
        attrs={"grid_mapping": "spatial_ref", **_flags()},
    )
    return xr.Dataset(
        {
            "clear": _where_reason(reason, "clear", _GROUND),
            "doubtful": _where_reason(reason, "doubtful", (Sky.DOUBTFUL,)),
            "reason": reason,
        }
    )


@dataclass(frozen=True)
class _Plan:
    """Everything but pixels that the mask of a chunk depends on."""

    kind: ScreenKind
    bands: tuple[str, ...]
    in_place: tuple[str, ...]
    nodata: float | None
    relief: bool
    days: tuple[float, ...]
    pixel_m: float
    rules: ClearSkyRules


def _screened(plan: _Plan, *stacks: NDArray[Any]) -> NDArray[np.uint8]:
    values = dict(zip(plan.bands, stacks, strict=False))
    relief = stacks[-1] if plan.relief else None
    seen = np.all([np.isfinite(band) for band in values.values()], axis=0)
    if plan.kind == "none":
        sky = np.where(seen, np.uint8(Sky.CLEAR), np.uint8(Sky.NOT_SEEN))
        return sky if relief is None else _with_relief(sky, relief)
    if plan.kind == "outlier":
        sky = outlier_sky(values, plan.rules.outlier)
    else:
        sky = decode(stacks[len(plan.bands)], plan.kind, plan.nodata)
    return _cleaned(sky, seen, values, relief, plan)


def _cleaned(
    sky: NDArray[np.uint8],
    seen: NDArray[np.bool_],
    values: Mapping[str, NDArray[np.float32]],
    relief: NDArray[np.bool_] | None,
    plan: _Plan,
) -> NDArray[np.uint8]:
    """From decoded classes to reasons: in place, provider's rim, relief, specks, growth."""
    rules, pixel_m = plan.rules, plan.pixel_m
    flagged, shadow = sky == Sky.CLOUD, sky == Sky.SHADOW
    cloud = flagged
    if plan.in_place:
        used = {name: values[name] for name in plan.in_place}
        ground = (sky == Sky.CLEAR) & seen
        alone = flagged & open_sky(
            ground, seen, rules.in_place.open_radius_m, pixel_m, rules.in_place.open_fraction
        )
        cloud = flagged & ~kept_in_place(alone, ground, used, _array(plan), rules.in_place)
    cloud = opened(cloud, rules.cloud_opening_m, pixel_m)
    if relief is not None:
        shadow = shadow & ~relief
    shadow = opened(shadow, rules.shadow_opening_m, pixel_m)
    rim = sky == BESIDE_CLOUD
    if rim.any():
        rim &= grown(cloud | shadow, rules.provider_rim_m, pixel_m)

    reason = np.full(sky.shape, Sky.CLEAR, dtype=np.uint8)
    reason[flagged] = Sky.DOUBTFUL
    _mark(reason, grown(sky == Sky.SNOW, rules.snow_growth_m, pixel_m), Sky.SNOW)
    if relief is not None:
        reason = _with_relief(reason, relief)
    _mark(reason, grown(shadow, rules.shadow_growth_m, pixel_m), Sky.SHADOW)
    _mark(reason, sky == Sky.CIRRUS, Sky.CIRRUS)
    _mark(reason, rim | grown(cloud, rules.cloud_growth_m, pixel_m), Sky.CLOUD)
    _mark(reason, sky == Sky.UNDECIDED, Sky.UNDECIDED)
    _mark(reason, ~seen | (sky == Sky.NOT_SEEN), Sky.NOT_SEEN)
    return reason


def _with_relief(sky: NDArray[np.uint8], relief: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Ground the sun does not reach shows the sky's light only: no look at it."""
    hidden = relief & np.isin(sky, _GROUND)
    return np.where(hidden, np.uint8(Sky.TERRAIN_SHADOW), sky)


def _mark(reason: NDArray[np.uint8], where: NDArray[np.bool_], sky: Sky) -> None:
    reason[where] = sky


def _array(plan: _Plan) -> NDArray[np.float64]:
    return np.array(plan.days, dtype=np.float64)


def _where_reason(reason: xr.DataArray, name: str, wanted: Sequence[Sky]) -> xr.DataArray:
    attrs = {"grid_mapping": "spatial_ref"}
    is_one = partial(np.isin, test_elements=[int(sky) for sky in wanted])
    return map_pixels(is_one, reason, dtype=np.bool_, name=name, attrs=attrs)


def _flags() -> dict[str, Any]:
    """CF description of the reasons."""
    return {
        "long_name": "what the look shows",
        "flag_values": [int(sky) for sky in Sky],
        "flag_meanings": " ".join(sky.name.lower() for sky in Sky),
    }


def _in_reflectance(cube: xr.Dataset, bands: Sequence[str]) -> tuple[str, ...]:
    """Bands whose levels are reflectance on every date; raw numbers know no brightness."""
    if cube.attrs.get("quantity") == Quantity.REFLECTANCE:
        return tuple(bands)
    known = [band for band in bands if f"{band}_scale" in cube.coords]
    return tuple(
        band
        for band in known
        if not stores_integers(cube[band]) or bool((cube[f"{band}_scale"] != 1).all())
    )


def _level(cube: xr.Dataset, name: str) -> xr.DataArray:
    """Reflectance, or the plain numbers of a cube without scale; float32, NaN = not seen."""
    band = cube[name]
    value = band.astype("float32")
    if f"{name}_scale" in cube.coords:
        scale, offset = cube[f"{name}_scale"], cube[f"{name}_offset"]
        plain = [part.astype("float32").drop_vars(part.coords) for part in (scale, offset)]
        value = value * plain[0] + plain[1]
    return value.where(valid_mask(band)).astype("float32")


def _mask_band(cube: xr.Dataset, band: str | None) -> str:
    if band is None or band not in cube:
        have = ", ".join(map(str, cube.data_vars))
        raise ConfigError("imagery.mask_band", [f"{band!r} is not in the cube ({have})"])
    return band


def _days(cube: xr.Dataset) -> list[float]:
    stamps = cube["time"].values.astype("datetime64[s]").astype(np.int64)
    return [float(stamp) / 86400.0 for stamp in stamps - stamps[:1]]


def _pixel_m(cube: xr.Dataset) -> float:
    edges = [abs(float(cube[dim][1] - cube[dim][0])) for dim in ("y", "x") if cube.sizes[dim] > 1]
    # a single pixel has no neighbours to measure a distance to
    return max(edges, default=1.0)
