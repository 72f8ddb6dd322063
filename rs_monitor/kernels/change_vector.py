"""Change vectors: differences of the bands of two dates, each band on its own scale."""

from __future__ import annotations

import numpy as np

from rs_monitor.kernels.change import Float64, MadTransform, Moments, covariance_of


def change_vector_transform(moments: Moments, origin: Float64) -> MadTransform:
    """Differences of z-scored bands, the statistics taken over the scene.

    Parameters
    ----------
    moments : Moments
        Unweighted sums over all blocks.
    origin : ndarray of float64, shape (2p,)
        The origin they were taken about.

    Returns
    -------
    MadTransform
        Diagonal; the root of :func:`~rs_monitor.kernels.change.mad_chi2` is the length of the
        change vector. ``correlations`` are those of the bands, in their order.

    Raises
    ------
    ZeroDivisionError
        Without a single pixel.
    numpy.linalg.LinAlgError
        If a band is constant.

    Notes
    -----
    Malila (1980), Change vector analysis, LARS Symposia 385. On raw numbers the gain and offset
    between the dates drown the change, hence the z-scores.
    """
    centre, cov = covariance_of(moments, origin)
    p = len(origin) // 2
    variances = np.diag(cov)
    if not np.all(variances > 0.0):
        raise np.linalg.LinAlgError("a band is constant")
    deviations = np.sqrt(variances)
    correlations = np.diag(cov[:p, p:]) / (deviations[:p] * deviations[p:])
    return MadTransform(
        np.diag(1.0 / deviations[:p]), np.diag(1.0 / deviations[p:]), centre, correlations
    )


def equivalent_chi_square(
    moments: Moments, origin: Float64, transform: MadTransform
) -> tuple[float, float]:
    """Chi-square nearest to a sum of squared, correlated variates: two moments agree.

    Parameters
    ----------
    moments : Moments
        Sums over all blocks.
    origin : ndarray of float64, shape (2p,)
        The origin they were taken about.
    transform : MadTransform
        Its variates.

    Returns
    -------
    degrees : float
        ``trace(S)^2 / trace(S^2)``, S the covariance of the variates: p if they are independent
        and of one variance, down to 1.
    scale : float
        ``trace(S^2) / trace(S)``: the sum divided by it is the chi-square variate.

    Notes
    -----
    Satterthwaite (1946), doi:10.2307/3002019; Box (1954), doi:10.1214/aoms/1177728786.
    """
    _, cov = covariance_of(moments, origin)
    vectors = transform.vectors.astype(np.float64)
    spread = vectors @ cov @ vectors.T
    total, squares = float(np.trace(spread)), float(np.sum(spread * spread))
    return total**2 / squares, squares / total
