"""One date brought to the radiometry of another by the pixels that did not change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from rs_monitor.errors import NoObservations, QuantityError
from rs_monitor.kernels.change import MadTransform, mad_chi2
from rs_monitor.kernels.chi_square import chi2_survival
from rs_monitor.kernels.normalise import HeldOut, PairSums, held_out, orthogonal_line, pair_sums
from rs_monitor.lazy import measure_blocks
from rs_monitor.maps.variates import VariateFit, require_pair

CITATION = "Canty & Nielsen (2008), doi:10.1016/j.rse.2007.07.013"


@dataclass(frozen=True)
class Normalisation:
    """Lines that take each band of one date to the reference.

    Attributes
    ----------
    slope, intercept : ndarray of float64, shape (p,)
    bands : tuple of str
    pixels, held_out_pixels : int
        Invariant pixels fitted on, and kept to test.
    test : HeldOut
        Differences on the held-out pixels.
    equal_means_p, equal_variances_p : ndarray of float64, shape (p,)
        Two-sided paired t-test and F-test on them; with many pixels small differences count too,
        so read them beside ``test.mean_difference``.
    """

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    bands: tuple[str, ...]
    pixels: int
    held_out_pixels: int
    test: HeldOut
    equal_means_p: NDArray[np.float64]
    equal_variances_p: NDArray[np.float64]


def fit_normalisation(
    target: xr.DataArray,
    reference: xr.DataArray,
    fit: VariateFit,
    *,
    no_change_probability: float,
    min_pixels: int,
) -> Normalisation:
    """Fit lines from a date to a reference on their invariant pixels.

    Parameters
    ----------
    target, reference : DataArray
        band, y, x; the pair of the fit: its before (target) and after (reference).
    fit : VariateFit
        By ``irmad`` on the same pair.
    no_change_probability : float
        Pixels whose chi-square probability of no change exceeds it are invariant; 0.95 in the
        paper.
    min_pixels : int
        Invariant pixels needed.

    Returns
    -------
    Normalisation

    Raises
    ------
    NoObservations
        If too few pixels are invariant.
    QuantityError
        If the fit is not by IR-MAD, or the dates of a band do not vary together.

    Notes
    -----
    Canty & Nielsen (2008): orthogonal regression by band, a third of the pixels held out for
    paired t-tests and F-tests. Computes, block by block of the fixed lattice.
    """
    require_pair(target, reference)
    if fit.method != "irmad":
        raise QuantityError(
            f"got a fit by {fit.method}; needed irmad, whose no-change probabilities choose the "
            "invariant pixels; fit the pair with method='irmad'"
        )
    origin = fit.transform.centre
    measure = partial(
        _invariant_sums, transform=fit.transform, origin=origin, least=no_change_probability
    )
    parts = measure_blocks(measure, target, reference)
    fitted_on, kept = (sum(side[1:], side[0]) for side in zip(*parts, strict=True))
    pixels = int(fitted_on.count + kept.count)
    if pixels < max(min_pixels, 6):
        raise NoObservations(
            f"got {pixels} invariant pixels; needed at least {max(min_pixels, 6)}; lower "
            "no_change_probability, or choose dates of the same season"
        )
    try:
        slope, intercept = orthogonal_line(fitted_on, origin)
    except np.linalg.LinAlgError as error:
        raise QuantityError(
            "got a band whose two dates do not vary together on the invariant pixels; needed "
            "bands of the same kind; leave it out"
        ) from error
    test = held_out(kept, origin, slope, intercept)
    return _tested(slope, intercept, fit.bands, int(fitted_on.count), int(kept.count), test)


def _invariant_sums(
    target: NDArray[np.floating],
    reference: NDArray[np.floating],
    *,
    transform: MadTransform,
    origin: NDArray[np.float64],
    least: float,
) -> tuple[PairSums, PairSums]:
    one, other = (date.reshape(len(date), -1) for date in (target, reference))
    squares = mad_chi2(one, other, transform)
    invariant = chi2_survival(squares, len(one)) > least
    return pair_sums(one, other, invariant, origin)


def _tested(
    slope: NDArray[np.float64],
    intercept: NDArray[np.float64],
    bands: tuple[str, ...],
    pixels: int,
    kept: int,
    test: HeldOut,
) -> Normalisation:
    equal_means = 2.0 * t_distribution.sf(np.abs(test.t), kept - 1)
    tail = f_distribution.sf(test.variance_ratio, kept - 1, kept - 1)
    equal_variances = 2.0 * np.minimum(tail, 1.0 - tail)
    return Normalisation(slope, intercept, bands, pixels, kept, test, equal_means, equal_variances)


def normalise(target: xr.DataArray, normalisation: Normalisation) -> xr.DataArray:
    """Bring a date to the radiometry of the reference.

    Parameters
    ----------
    target : DataArray
        band, y, x; the bands of the fit.
    normalisation : Normalisation

    Returns
    -------
    DataArray of float32
        ``intercept + slope x`` by band; NaN stays NaN.
    """
    names = tuple(str(band) for band in target["band"].values)
    if names != normalisation.bands:
        raise QuantityError(
            f"got bands {', '.join(names)}; needed those of the fit, "
            f"{', '.join(normalisation.bands)}; select them"
        )
    slope, intercept = (
        xr.DataArray(values, dims="band")
        for values in (normalisation.slope, normalisation.intercept)
    )
    scaled = (target.astype(np.float64) * slope + intercept).astype(np.float32)
    attrs = {"long_name": "normalised to the reference date", "citation": CITATION}
    return xr.DataArray(
        scaled.data, dims=target.dims, coords=target.coords, name="normalised", attrs=attrs
    )
