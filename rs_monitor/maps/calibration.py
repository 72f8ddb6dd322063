"""Calibration of class probabilities, fitted on rows the trees did not see; plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.isotonic import IsotonicRegression

from rs_monitor.config.tables import Model
from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.kernels.calibration import log_linear

CalibrationMethod = Literal["none", "temperature", "bias_temperature", "vector", "isotonic"]

MIN_SLOPE = 1e-3
"""Slopes stay above zero: calibration never turns the order of a class's probabilities round."""

TINY = 1e-6
"""Added before the logarithm where probabilities are not to be smoothed."""

SCALINGS = 200
"""Rounds of scaling to class shares; the last digits of a share do not matter."""


class CalibrationRules(Model):
    """Table ``[calibration]`` of ``configs/rules/land_cover.toml``."""

    method: CalibrationMethod = Field(description="how probabilities are calibrated")
    folds: int = Field(ge=2, description="folds of whole groups that the calibrator is fitted on")
    floors: tuple[Annotated[float, Field(gt=0, lt=0.5)], ...] = Field(
        min_length=1,
        description="added to a probability before its logarithm; the likeliest is kept",
    )
    slope_ridge: float = Field(ge=0, description="weight, in rows, of slopes being 1")
    bias_ridge: float = Field(ge=0, description="weight, in rows, of biases being 0")
    bins: int = Field(ge=2, description="bins of the reliability curve")
    spacing: Literal["mass", "width"] = Field(description="bins of equal rows or of equal width")
    replicates: int = Field(ge=20, description="bootstrap draws of groups for the intervals")
    confidence: float = Field(gt=0.5, lt=1, description="level of the intervals")


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A fitted calibration: curves of each class, then a log-linear map, then shares.

    Attributes
    ----------
    floor : float
        Added to every probability before its logarithm.
    slope : ndarray of float64, shape (classes, classes)
    bias : ndarray of float64, shape (classes,)
    knots, values : ndarray of float64, shape (classes, points)
        Rising curve of each class, applied first; no points = none.
    prior : ndarray of float64, shape (classes,)
        Class shares that the calibrated probabilities go with.
    """

    floor: float
    slope: NDArray[np.float64]
    bias: NDArray[np.float64]
    knots: NDArray[np.float64]
    values: NDArray[np.float64]
    prior: NDArray[np.float64]

    def apply(
        self, probabilities: NDArray[np.floating[Any]], *, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Calibrate rows of probabilities.

        Parameters
        ----------
        probabilities : ndarray of float, shape (n, classes)
            Rows that sum to 1; a row with NaN (not seen) stays NaN.
        out : ndarray of float32, shape (n, classes), optional
            Written to; may be ``probabilities`` itself.

        Returns
        -------
        ndarray of float32, shape (n, classes)
            Rows that sum to 1; the same bytes however the rows are cut into blocks.

        Raises
        ------
        ModelMismatch
            If the number of classes differs.
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.bias):
            raise ModelMismatch(
                f"got probabilities of shape {probabilities.shape}; the calibrator needs rows of "
                f"{len(self.bias)} classes; use the calibrator that was fitted with the model"
            )
        rows = self._curved(probabilities) if self.knots.shape[1] else probabilities
        return log_linear(rows, self.slope, self.bias, floor=self.floor, out=out)

    def _curved(self, probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        curves = zip(probabilities.T, self.knots, self.values, strict=True)
        return np.stack([np.interp(p, knots, values) for p, knots, values in curves], axis=1)

    def with_prior(self, prior: ArrayLike) -> Calibrator:
        """Correct to the class shares of other ground than the sample's.

        Parameters
        ----------
        prior : array-like of float, shape (classes,)
            Class shares there, above 0; scaled to sum to 1.

        Returns
        -------
        Calibrator
            Whose probabilities are those of this one times new share over old, scaled to sum to 1
            (Saerens et al. 2002, doi:10.1162/089976602753284446, equation 2.4). Holds if the
            features of a class are distributed alike in both places.

        Raises
        ------
        ModelMismatch
            If a share is missing or not a finite number above 0.
        """
        shares = np.asarray(prior, dtype=np.float64)
        positive = np.isfinite(shares) & (shares > 0)
        if shares.shape != self.prior.shape or not positive.all():
            raise ModelMismatch(
                f"got class shares {shares.tolist()}; needed {len(self.prior)} shares above 0; "
                "give one for each class of the model"
            )
        shares = shares / shares.sum()
        return replace(self, bias=self.bias + np.log(shares / self.prior), prior=shares)

    @classmethod
    def of_trees(cls, shares: NDArray[np.float64]) -> Calibrator:
        """What leaves the probabilities of trees as they are.

        Parameters
        ----------
        shares : ndarray of float64, shape (classes,)
            Class shares that they go with; sum to 1.

        Returns
        -------
        Calibrator
            Probabilities move by no more than its floor, 1e-6, and the rounding of float32.
        """
        count = len(shares)
        empty = np.empty((count, 0))
        return cls(TINY, np.eye(count), np.zeros(count), empty, empty, shares)

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """The record as named arrays, to be stored without pickle."""
        named = {"floor": np.array([self.floor]), "slope": self.slope, "bias": self.bias}
        return named | {"knots": self.knots, "values": self.values, "prior": self.prior}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibrator:
        """The record of :meth:`to_arrays`.

        Raises
        ------
        ModelMismatch
            If an array is missing or shapes do not fit each other.
        """
        names = ("floor", "slope", "bias", "knots", "values", "prior")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ModelMismatch(
                f"got a calibrator without {', '.join(missing)}; needed all of {', '.join(names)};"
                " store the model again"
            )
        plain = {name: np.asarray(arrays[name], dtype=np.float64) for name in names}
        count = plain["bias"].size
        shapes = {name: plain[name].shape for name in names}
        points = shapes["knots"][-1] if plain["knots"].ndim == 2 else -1
        wanted = {"floor": (1,), "slope": (count, count), "bias": (count,), "prior": (count,)}
        wanted |= dict.fromkeys(("knots", "values"), (count, points))
        if shapes != {name: wanted[name] for name in names}:
            raise ModelMismatch(
                f"got a calibrator with arrays of shapes {shapes}; needed {wanted}; store the "
                "model again"
            )
        floor = float(plain.pop("floor")[0])
        return cls(floor=floor, **plain)


def fit_calibrator(
    probabilities: NDArray[np.floating[Any]],
    labels: ArrayLike,
    classes: ArrayLike,
    *,
    method: CalibrationMethod,
    floors: Sequence[float],
    slope_ridge: float,
    bias_ridge: float,
) -> Calibrator:
    """Fit a calibration to probabilities of rows that the classifier was not trained on.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Out of fold (:func:`rs_monitor.maps.validation.out_of_fold`).
    labels : array-like, shape (n,)
    classes : array-like, shape (classes,)
        Class of each column; every one occurs in ``labels``.
    method : str
        ``temperature``: one slope (Guo et al. 2017, arXiv:1706.04599); keeps the most probable
        class. ``bias_temperature``: one slope and a bias per class (Alexandari et al. 2020,
        arXiv:1901.06852). ``vector``: a slope and a bias per class (Guo et al. 2017; of two
        classes, the sigmoid of Platt 1999). ``isotonic``: a rising curve per class against the
        rest (Zadrozny & Elkan 2002, doi:10.1145/775047.775151). ``none``: leaves them.
    floors, slope_ridge, bias_ridge
        As in :class:`CalibrationRules`; ``none`` and ``isotonic`` do without.

    Returns
    -------
    Calibrator

    Raises
    ------
    NoObservations
        If a class has no row.
    ModelMismatch
        If probabilities are not numbers, or a label is none of the classes.
    ValueError
        If the method is not one of these.

    Notes
    -----
    Trees grown with balanced classes lean to the rare ones. The likelihood is that of the rows as
    they are, so every method but ``temperature``, which has no bias, brings back the sample's own
    class shares: without a ridge the mean probability of a class is exactly its share of the
    rows. The ridge keeps the bias of a class with few rows, which would follow single parcels,
    near what the trees say.
    """
    if method not in get_args(CalibrationMethod):
        raise ValueError(
            f"got calibration {method!r}; needed {', '.join(get_args(CalibrationMethod))}; choose "
            "one of them"
        )
    values = np.asarray(classes)
    truth = np.asarray(labels)[:, None] == values
    shares = truth.mean(axis=0)
    if not np.all(shares > 0):
        raise NoObservations(
            f"got no row of class {values[shares == 0].tolist()}; needed some of each class; "
            "leave the class out of the classifier"
        )
    count = len(values)
    stated = np.asarray(probabilities, dtype=np.float64)
    if not (np.all(stated >= 0) and np.all(np.isfinite(stated)) and truth.any(axis=1).all()):
        raise ModelMismatch(
            "got probabilities that are not numbers from 0, or labels of other classes; needed "
            "rows that were seen, each of one of the classes; leave the others out"
        )
    if method == "isotonic":
        return _isotonic(stated, truth)
    slope, bias = np.eye(count), np.zeros(count)
    floor = TINY
    if method != "none" and count > 1:
        ridges = slope_ridge / len(truth), bias_ridge / len(truth)
        fits = [
            (*_fit_log_linear(np.log(stated + tried), truth, method, ridges), tried)
            for tried in floors
        ]
        _, slope, bias, floor = min(fits, key=lambda fit: fit[0])
    empty = np.empty((count, 0))
    fitted = Calibrator(floor, slope, bias, empty, empty, prior=shares)
    if method in {"none", "temperature"}:
        fitted = replace(fitted, prior=_implied_shares(fitted.apply(stated), shares))
    return fitted


def _implied_shares(
    stated: NDArray[np.float32], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Class shares that probabilities go with when no bias was fitted to those of the sample.

    Those from which a correction to the shares of the sample gives every class its share as mean
    probability; found by scaling columns and rows in turn (Sinkhorn 1967).
    """
    factor = np.ones(len(shares))
    for _ in range(SCALINGS):
        moved = stated * factor
        means = (moved / moved.sum(axis=1, keepdims=True)).mean(axis=0)
        factor *= shares / means
    implied = shares / factor
    return np.asarray(implied / implied.sum())


def _isotonic(stated: NDArray[np.float64], truth: NDArray[np.bool_]) -> Calibrator:
    """Curves of each class; shorter ones are filled up with their last point."""
    fits = [
        IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(p, hit)
        for p, hit in zip(stated.T, truth.T, strict=True)
    ]
    points = max(len(fit.X_thresholds_) for fit in fits)
    knots, values = (
        np.stack([np.pad(curve, (0, points - len(curve)), mode="edge") for curve in curves])
        for curves in ([f.X_thresholds_ for f in fits], [f.y_thresholds_ for f in fits])
    )
    count = len(fits)
    return Calibrator(TINY, np.eye(count), np.zeros(count), knots, values, truth.mean(axis=0))


def _fit_log_linear(
    logs: NDArray[np.float64],
    truth: NDArray[np.bool_],
    method: CalibrationMethod,
    ridges: tuple[float, float],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Least loss per row over the slopes and biases that a method is free to move, and these."""
    rows, count = logs.shape
    slopes = count if method == "vector" else 1
    biases = 0 if method == "temperature" else count
    center = np.repeat([1.0, 0.0], (slopes, biases))
    ridge = np.repeat(ridges, (slopes, biases))

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = logs * theta[:slopes]
        if biases:
            scores += theta[slopes:]
        scores -= logsumexp(scores, axis=1, keepdims=True)
        excess = (np.exp(scores) - truth) / rows
        by_class = np.sum(excess * logs, axis=0)
        moved = by_class if slopes > 1 else by_class.sum(keepdims=True)
        pull = np.concatenate([moved, excess.sum(axis=0)[:biases]])
        away = theta - center
        value = -scores[truth].sum() / rows + 0.5 * np.sum(ridge * away**2)
        return float(value), pull + ridge * away

    found = minimize(
        loss,
        center,
        jac=True,
        method="L-BFGS-B",
        bounds=[(MIN_SLOPE, None)] * slopes + [(None, None)] * biases,
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 2000, "maxfun": 4000},
    )
    bias = found.x[slopes:] if biases else np.zeros(count)
    return float(found.fun), np.eye(count) * found.x[:slopes], bias - bias.mean()
