"""Lasso regression of a few series on a few regressors, by cyclic coordinate descent."""

from __future__ import annotations

import math

from numba import njit

from rs_monitor.kernels.compiling import IN_KERNEL


@njit(**IN_KERNEL)
def _gap(weights, gram, right, total, penalty, pull):  # type: ignore[no-untyped-def]
    """Duality gap and the largest pull of a regressor; ``pull`` receives them all."""
    count = weights.shape[0]
    rest, fit, length, largest = total, 0.0, 0.0, 0.0
    for j in range(count):
        pull[j] = right[j]
        for k in range(count):
            pull[j] -= gram[j, k] * weights[k]
        fit += weights[j] * right[j]
        rest -= weights[j] * (right[j] + pull[j])
        length += abs(weights[j])
        largest = max(largest, abs(pull[j]))
    scale = penalty / largest if largest > penalty else 1.0
    primal = 0.5 * rest + penalty * length
    return primal + 0.5 * scale * scale * rest - scale * (total - fit), largest


@njit(**IN_KERNEL)
def _keep(weights, gram, penalty, gap, largest, pull, active):  # type: ignore[no-untyped-def]
    """Drop regressors that cannot be in the answer (gap safe rule)."""
    reach = math.sqrt(2.0 * max(gap, 0.0)) / penalty
    for j in range(weights.shape[0]):
        slack = 1.0 - abs(pull[j] / max(penalty, largest))
        if active[j] and slack > reach * math.sqrt(gram[j, j]):
            active[j] = False
            weights[j] = 0.0


@njit(**IN_KERNEL)
def _sweep(weights, gram, right, penalty, active):  # type: ignore[no-untyped-def]
    """One pass over the regressors; the largest move and the largest weight."""
    moved, largest = 0.0, 0.0
    for j in range(weights.shape[0]):
        if not active[j]:
            continue
        old = weights[j]
        pull = right[j] + gram[j, j] * old
        for k in range(weights.shape[0]):
            pull -= gram[j, k] * weights[k]
        shrunk = max(abs(pull) - penalty, 0.0) / gram[j, j]
        weights[j] = shrunk if pull > 0 else -shrunk
        moved = max(moved, abs(weights[j] - old))
        largest = max(largest, abs(weights[j]))
    return moved, largest


@njit(nogil=True, error_model="numpy")
def lasso_weights(gram, right, total, penalty, tolerance, sweeps, pull, active, weights):  # type: ignore[no-untyped-def]
    """Weights that minimise ``|y - Xw|^2 / 2 + penalty |w|_1``, from centred products.

    Parameters
    ----------
    gram : ndarray of float64, shape (p, p)
        X'X.
    right : ndarray of float64, shape (p,)
        X'y.
    total : float
        y'y.
    penalty : float
        scikit-learn's ``alpha`` times the number of samples.
    tolerance : float
        Of the duality gap as a share of ``total``, and of the moves as a share of the weights.
    sweeps : int
        At most.
    pull, active : ndarray of float64 and bool, shape (p,)
        Scratch.
    weights : ndarray of float64, shape (p,)
        Result.

    Notes
    -----
    Friedman, Hastie & Tibshirani (2010), doi:10.18637/jss.v033.i01, stopped and screened as
    scikit-learn 1.9 does, so that its unfinished digits are the same.
    """
    weights[:] = 0.0
    for j in range(weights.shape[0]):
        active[j] = gram[j, j] > 0.0
    gap, largest = _gap(weights, gram, right, total, penalty, pull)
    if gap <= tolerance * total:
        return
    _keep(weights, gram, penalty, gap, largest, pull, active)
    for sweep in range(sweeps):
        moved, most = _sweep(weights, gram, right, penalty, active)
        if most == 0.0 or moved <= tolerance * most or sweep == sweeps - 1:
            gap, largest = _gap(weights, gram, right, total, penalty, pull)
            if gap <= tolerance * total:
                return
            _keep(weights, gram, penalty, gap, largest, pull, active)


@njit(nogil=True, error_model="numpy")
def centred_products(table, start, stop, first, last, means, products):  # type: ignore[no-untyped-def]
    """Means of columns ``first`` to ``last`` of rows ``start`` to ``stop``, and their products."""
    count = last - first
    means[:count] = 0.0
    products[:count, :count] = 0.0
    for t in range(start, stop):
        row = table[t, first:last]
        for j in range(count):
            means[j] += row[j]
    for j in range(count):
        means[j] /= stop - start
    for t in range(start, stop):
        row = table[t, first:last]
        for j in range(count):
            centred = row[j] - means[j]
            line = products[j]
            for k in range(j + 1):
                line[k] += centred * (row[k] - means[k])
    for j in range(count):
        for k in range(j):
            products[k, j] = products[j, k]
