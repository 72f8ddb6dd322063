"""Combined two-date method: slow features, reweighted MAD from there, context; lasting loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyproj
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from rs_monitor.codes import Change, LastingLoss
from rs_monitor.errors import GridMismatch, QuantityError
from rs_monitor.kernels.change import MadTransform, Moments, mad_chi2, mad_moments
from rs_monitor.kernels.threshold import histogram, otsu, quantile
from rs_monitor.lazy import ArrayFunction, map_looks, map_pixels, measure_blocks
from rs_monitor.maps.change import change_mask, fit_irmad
from rs_monitor.maps.change_rules import ChangeRules, CombinedRules, LossRules
from rs_monitor.maps.context import ROUNDS, with_context
from rs_monitor.maps.lasting_loss import (
    SHIFT,
    Cover,
    Look,
    LossModel,
    Sums,
    classify,
    cover_tables,
    look_at,
    loss_model,
    sample_sums,
    sample_tables,
)
from rs_monitor.maps.magnitude_cut import Cut, find_cut
from rs_monitor.maps.variates import fit_variates, require_pair

Pair = tuple[xr.DataArray, xr.DataArray]

CITATION = (
    "sum of chi-squares of ISFA (Wu, Du & Zhang 2014, doi:10.1109/TGRS.2013.2266673) and of "
    "IR-MAD (Nielsen 2007, doi:10.1109/TIP.2006.888195) reweighted from the ISFA weights; context "
    "by the mean field of a Potts model (Zhang 1992, doi:10.1109/78.161480)"
)
DARKEST = 0.001
"""Share of pixels below the dark level."""

MAGNITUDE_LAYER, PROBABILITY_LAYER, LOSS_LAYER = range(3)
LEAST_BANDS = 3
EVEN = 0.5
FINEST_M = 0.02
"""Steps below it are degrees."""

SQUARE = 0.05
"""Steps of x and y may differ by this share."""


@dataclass(frozen=True)
class CombinedFit:
    """What the statistics of a zone gave; applied tile by tile.

    Attributes
    ----------
    slow, mad : MadTransform
        Of ISFA, and of IR-MAD started from it.
    cut : Cut
    cover : Cover or None
        How vegetation and water are read; None without bands named red and nir.
    model : LossModel
    rules : ChangeRules
    width_px : int
        Least width of a lasting loss.
    pixels : int
    bands : tuple of str
    """

    slow: MadTransform
    mad: MadTransform
    cut: Cut
    cover: Cover | None
    model: LossModel
    rules: ChangeRules
    width_px: int
    pixels: int
    bands: tuple[str, ...]

    @property
    def margin_px(self) -> int:
        """Pixels a tile must be widened by on each side before it is mapped."""
        return 2 * ROUNDS + self.width_px

    @property
    def attrs(self) -> dict[str, Any]:
        """Method, citation and threshold, as written on the layers."""
        value = float(np.exp(self.cut.at))
        return {
            "method": "combined",
            "citation": CITATION,
            "threshold": f"{self.cut.rule}: magnitude > {value:.6g}, then its neighbours' say",
            "threshold_value": value,
            "probability_from": (
                "linear discriminant of the log magnitude between the two groups, then neighbours"
            ),
            "lasting_loss": self.model.reason or "told from field soil by the scene's own surfaces",
            "pixels": self.pixels,
        }


def fit_combined(before: xr.DataArray, after: xr.DataArray, rules: ChangeRules) -> CombinedFit:
    """Fit the combined method to a zone.

    Parameters
    ----------
    before, after : DataArray
        band, y, x on one grid, three bands or more by name; any linear unit, it need not be the
        same at both dates; NaN = not seen (clouds and shadows among them).
    rules : ChangeRules

    Returns
    -------
    CombinedFit
        The same bytes under any chunking. Computes.

    Raises
    ------
    GridMismatch
        If the dates differ in grid or bands, have fewer than three bands or no grid in metres.
    NoObservations
        If too few pixels are seen at both dates, or nothing differs.
    QuantityError
        If a band is constant or made of the others.

    Notes
    -----
    ISFA compares bands one by one, so it does not take the change of most fields from green to
    bare for the rule of the scene, as IR-MAD may; IR-MAD started from its weights keeps its
    relation and adds the correlation between bands. Statistics are taken in a fixed lattice of
    blocks, whose edges have no neighbours.
    """
    require_pair(before, after)
    bands = tuple(str(band) for band in before["band"].values)
    if len(bands) < LEAST_BANDS:
        raise GridMismatch(
            f"got {len(bands)} bands; needed at least {LEAST_BANDS}; load more of them"
        )
    own = rules.combined
    slow = fit_variates(
        before,
        after,
        method="isfa",
        threshold="kmeans",
        max_iterations=own.max_iterations,
        tolerance=own.tolerance,
    )
    pair = (before, after)
    known = CombinedFit(
        slow.transform,
        _mad_from(pair, slow.transform, own),
        Cut(0.0, 1.0, ""),
        None,
        LossModel(None, None, 0.0, "no bands named red and nir"),
        rules,
        rules.loss.width_px(_resolution_m(before)),
        slow.pixels,
        bands,
    )
    return refit_combined(before, after, known, rules)


def refit_combined(
    before: xr.DataArray, after: xr.DataArray, fit: CombinedFit, rules: ChangeRules
) -> CombinedFit:
    """Keep the transforms of a fit and find all else anew, under rules of its own.

    Parameters
    ----------
    before, after : DataArray
        The pair of the fit.
    fit : CombinedFit
    rules : ChangeRules
        Those of the iteration do not matter any more.

    Returns
    -------
    CombinedFit
    """
    pair = (before, after)
    parts = measure_blocks(partial(_table, slow=fit.slow, mad=fit.mad), *pair)
    cut = find_cut(np.sum(parts, axis=0), len(fit.bands), rules.combined)
    width_px = rules.loss.width_px(_resolution_m(before))
    fit = replace(fit, cut=cut, rules=rules, width_px=width_px)
    if not {"red", "nir"} <= set(fit.bands):
        return fit
    fit = replace(fit, cover=_fit_cover(pair, fit.bands, fit.slow, rules.loss))
    return replace(fit, model=_fit_model(pair, fit))


def _resolution_m(date: xr.DataArray) -> float:
    if min(date.sizes["y"], date.sizes["x"]) < 2:
        raise GridMismatch(f"got {dict(date.sizes)}; needed two rows and columns; take more ground")
    across, step = (float(abs(date[axis].values[1] - date[axis].values[0])) for axis in ("x", "y"))
    if _in_degrees(date) or step < FINEST_M or abs(across / step - 1.0) > SQUARE:
        raise GridMismatch(
            f"got grid steps of {across:g} and {step:g}; needed square pixels on a grid in metres; "
            "reproject the pair"
        )
    return step


def _in_degrees(date: xr.DataArray) -> bool:
    """Whether the pair says it lies on a geographic grid; without a CRS only its steps tell."""
    wkt = date.coords["spatial_ref"].attrs.get("crs_wkt") if "spatial_ref" in date.coords else None
    return wkt is not None and pyproj.CRS(wkt).is_geographic


def _flat(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.reshape(len(values), -1).astype(np.float32, copy=False)


def _moments(
    before: NDArray[Any],
    after: NDArray[Any],
    *,
    origin: NDArray[np.float64],
    transform: MadTransform | None,
) -> Moments:
    return mad_moments(_flat(before), _flat(after), origin, transform)


def _measured(pair: Pair, origin: NDArray[np.float64], transform: MadTransform | None) -> Moments:
    parts = measure_blocks(partial(_moments, origin=origin, transform=transform), *pair)
    total: Moments = sum(parts[1:], parts[0])
    return total


def _mad_from(pair: Pair, slow: MadTransform, rules: CombinedRules) -> MadTransform:
    """IR-MAD whose first weights are those of ISFA."""
    origin = slow.centre

    def measure(last: MadTransform | None) -> Moments:
        return _measured(pair, origin, slow if last is None else last)

    try:
        return fit_irmad(
            measure, origin, max_iterations=rules.max_iterations, tolerance=rules.tolerance
        )[0]
    except np.linalg.LinAlgError as error:
        raise QuantityError(
            "got a band that is made of the others; needed independent bands; leave it out"
        ) from error


def fused_magnitude(
    before: NDArray[Any], after: NDArray[Any], *, slow: MadTransform, mad: MadTransform
) -> NDArray[np.float32]:
    """Root of the summed chi-squares of both transforms, (y, x)."""
    squares = mad_chi2(_flat(before), _flat(after), slow)
    squares += mad_chi2(_flat(before), _flat(after), mad)
    return np.sqrt(squares, out=squares).reshape(before.shape[1:])


def _table(
    before: NDArray[Any], after: NDArray[Any], *, slow: MadTransform, mad: MadTransform
) -> NDArray[np.float64]:
    return histogram(fused_magnitude(before, after, slow=slow, mad=mad))


def _fit_cover(pair: Pair, bands: tuple[str, ...], slow: MadTransform, rules: LossRules) -> Cover:
    """Standard scores of the later date for both, the earlier brought there by ISFA's own lines."""
    p = len(bands)
    moments = _measured(pair, slow.centre, None)
    mean = moments.first / moments.weight
    both = np.sqrt(np.diag(moments.second) / moments.weight - mean**2)
    deviation = both[p:]
    own, after = (
        np.stack([mean + slow.centre, both])[:, side] for side in (slice(p), slice(p, None))
    )
    # ISFA divides either date by its own deviation over the unchanged pixels
    gain = slow.before[:, 0] / slow.after[:, 0]
    middle = slow.centre[:p] + (after[0] - slow.centre[p:]) / gain
    before = np.stack([middle, deviation / gain])
    dark = bands.index("swir16" if "swir16" in bands else "nir")
    cover = Cover(before, after, own, bands.index("red"), bands.index("nir"), dark)
    tables = np.sum(measure_blocks(partial(cover_tables, cover=cover), *pair), axis=0)
    green, greener, darks = tables
    lowest, median = (quantile(darks, share) - SHIFT for share in (DARKEST, 0.5))
    water = lowest + rules.water_fraction * (median - lowest)
    return replace(cover, vegetated=(otsu(green) - SHIFT, otsu(greener) - SHIFT), water=water)


def _fit_model(pair: Pair, fit: CombinedFit) -> LossModel:
    rules = fit.rules.loss
    counted = measure_blocks(partial(_counts, fit=fit), *pair)
    counts = np.sum([block[0] for block in counted], axis=0)
    textures = np.sum([block[1] for block in counted], axis=0)
    if counts[1] == 0:
        return loss_model([_nothing(fit)] * 4, float(counts[0]), fit.pixels, rules)
    rough = quantile(textures, rules.rough_quantile) - SHIFT
    summed = measure_blocks(partial(_samples, fit=fit, rough=rough), *pair)
    samples = [sum(kind[1:], kind[0]) for kind in zip(*summed, strict=True)]
    return loss_model(samples, float(counts[0]), fit.pixels, rules)


def _nothing(fit: CombinedFit) -> Sums:
    size = len(fit.bands) + 1
    return Sums(0.0, np.zeros(size), np.zeros((size, size)))


def _counts(
    before: NDArray[Any], after: NDArray[Any], *, fit: CombinedFit
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return sample_tables(_look(before, after, fit))


def _samples(
    before: NDArray[Any], after: NDArray[Any], *, fit: CombinedFit, rough: float
) -> list[Sums]:
    return sample_sums(_look(before, after, fit), rough)


def _look(before: NDArray[Any], after: NDArray[Any], fit: CombinedFit) -> Look:
    if fit.cover is None:
        raise ValueError("got a fit without cover; needed bands named red and nir; name them")
    chance = _chance(fused_magnitude(before, after, slow=fit.slow, mad=fit.mad), fit)
    return look_at(before, after, chance > EVEN, fit.cover)


def _chance(magnitude: NDArray[np.float32], fit: CombinedFit) -> NDArray[np.float32]:
    odds = fit.cut.slope * (np.log(np.maximum(magnitude, 1e-3)) - fit.cut.at)
    return with_context(odds.astype(np.float32), fit.rules.combined.context_weight)


def combined_block(
    before: NDArray[Any], after: NDArray[Any], *, fit: CombinedFit
) -> NDArray[np.float32]:
    """Magnitude, probability and code of lasting loss of a block, in the first three layers.

    Parameters
    ----------
    before, after : ndarray of float, shape (p, y, x)
        Widened by ``fit.margin_px`` beyond what is kept.
    fit : CombinedFit

    Returns
    -------
    ndarray of float32, shape (p, y, x)
        Layers beyond the third are 0.
    """
    out = np.zeros(before.shape, dtype=np.float32)
    out[MAGNITUDE_LAYER] = fused_magnitude(before, after, slow=fit.slow, mad=fit.mad)
    out[PROBABILITY_LAYER] = _chance(out[MAGNITUDE_LAYER], fit)
    seen = np.isfinite(out[MAGNITUDE_LAYER])
    if fit.cover is None:
        return _untold(out, seen)
    look = look_at(before, after, out[PROBABILITY_LAYER] > EVEN, fit.cover)
    out[LOSS_LAYER] = classify(
        look,
        seen,
        fit.model,
        fit.rules.loss,
        weight=fit.rules.combined.context_weight,
        width_px=fit.width_px,
    )
    return out


def _untold(out: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Without red and near infrared, change may or may not be lost vegetation."""
    changed = out[PROBABILITY_LAYER] > EVEN
    out[LOSS_LAYER] = np.where(changed, LastingLoss.CANNOT_TELL, LastingLoss.NONE)
    out[LOSS_LAYER][~seen] = LastingLoss.NOT_SEEN
    return out


def combined_change(before: xr.DataArray, after: xr.DataArray, fit: CombinedFit) -> xr.Dataset:
    """Map a zone, or a part of it widened by the margin of the fit.

    Parameters
    ----------
    before, after : DataArray
        band, y, x; the bands of the fit; NaN = not seen.
    fit : CombinedFit

    Returns
    -------
    Dataset
        ``magnitude`` (float32), ``probability`` (float32, of change), ``change`` (uint8, codes of
        ``Change``), ``loss`` (uint8, codes of ``LastingLoss``); NaN and 0 where not seen.
    """
    require_pair(before, after)
    if tuple(str(band) for band in before["band"].values) != fit.bands:
        raise GridMismatch(
            f"got bands {', '.join(map(str, before['band'].values))}; needed those of the fit, "
            f"{', '.join(fit.bands)}; select them"
        )
    layers = map_looks(
        partial(combined_block, fit=fit),
        before,
        after,
        depth_px=fit.margin_px,
        dtype=np.float32,
        name="layers",
        attrs={},
    )
    magnitude, probability, loss = (_layer(layers, k) for k in range(LEAST_BANDS))
    legends: list[tuple[str, xr.DataArray, ArrayFunction, DTypeLike, dict[str, Any]]] = [
        ("magnitude", magnitude, _same, np.float32, {"units": "1"}),
        ("probability", probability, _same, np.float32, {"units": "1"}),
        ("change", probability, _cut, np.uint8, _legend(Change)),
        ("loss", loss, _codes, np.uint8, _legend(LastingLoss)),
    ]
    made = {
        name: map_pixels(function, layer, dtype=dtype, name=name, attrs={**fit.attrs, **legend})
        for name, layer, function, dtype, legend in legends
    }
    return xr.Dataset(made, attrs=fit.attrs)


def _layer(layers: xr.DataArray, number: int) -> xr.DataArray:
    return layers.isel(band=number).drop_vars("band")


def _same(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


def _codes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return values.astype(np.uint8)


def _cut(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    return change_mask(probability, EVEN, np.isfinite(probability))


def _legend(codes: type[Change] | type[LastingLoss]) -> dict[str, Any]:
    return {
        "flag_values": [int(code) for code in codes],
        "flag_meanings": " ".join(code.name.lower() for code in codes),
    }
