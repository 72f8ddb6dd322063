"""Slow features of two dates: linear combinations of bands that move least between them."""

from __future__ import annotations

import numpy as np

from rs_monitor.kernels.change import Float64, MadTransform, Moments, covariance_of


def slow_feature_transform(moments: Moments, origin: Float64) -> MadTransform:
    """Solve the slow-feature problem of one ISFA iteration.

    Parameters
    ----------
    moments : Moments
        Sums over all blocks.
    origin : ndarray of float64, shape (2p,)
        The origin they were taken about.

    Returns
    -------
    MadTransform
        One set of vectors for both dates on normalised bands, each variate of unit no-change
        variance, the slowest first; ``correlations`` holds ``1 - eigenvalue / 2``.

    Raises
    ------
    ZeroDivisionError
        Without a single weighted pixel.
    numpy.linalg.LinAlgError
        If a band is constant or a combination of the others.

    Notes
    -----
    Wu, Du & Zhang (2014), doi:10.1109/TGRS.2013.2266673: bands normalised by their weighted mean
    and deviation, ``A w = lambda B w`` with A the covariance of the differences and B the mean
    covariance of the two dates. ``tests/kernels/test_slow_features.py`` solves a case by hand.
    """
    centre, cov = covariance_of(moments, origin)
    p = len(origin) // 2
    variances = np.diag(cov)
    if not np.all(variances > 0.0):
        raise np.linalg.LinAlgError("a band is constant")
    deviations = np.sqrt(variances)
    unit = cov / np.outer(deviations, deviations)
    mean = (unit[:p, :p] + unit[p:, p:]) / 2.0
    difference = 2.0 * mean - unit[:p, p:] - unit[p:, :p]
    inverse = np.linalg.inv(np.linalg.cholesky(mean))
    speeds, vectors = np.linalg.eigh(inverse @ difference @ inverse.T)
    scaled = inverse.T @ vectors / np.sqrt(np.maximum(speeds, 1e-12))
    before, after = scaled / deviations[:p, None], scaled / deviations[p:, None]
    return MadTransform(before, after, centre, 1.0 - speeds / 2.0)
