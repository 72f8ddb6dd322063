"""The land-cover classifier: forest or boosted trees, balanced, with calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from rs_monitor.config.tables import Model
from rs_monitor.maps.calibration import (
    CalibrationMethod,
    CalibrationRules,
    Calibrator,
    fit_calibrator,
)
from rs_monitor.maps.validation import out_of_fold

Kind = Literal["forest", "boosting"]


class ClassifierRules(Model):
    """Table ``[classifier]`` of ``configs/rules/land_cover.toml``."""

    kind: Kind = Field(description="random forest or histogram gradient boosting")
    trees: int = Field(ge=1, description="trees of the forest; rounds of boosting")
    min_leaf: int = Field(ge=1, description="fewest samples in a leaf")
    max_features: float = Field(
        gt=0, le=1, description="share of the features that a node may choose from"
    )
    max_leaves: int = Field(ge=2, description="most leaves of a boosted tree")
    learning_rate: float = Field(gt=0, le=1, description="step of each boosting round")
    l2: float = Field(ge=0, description="pull of a boosted leaf's value to 0")


class SteadyForest(RandomForestClassifier):  # type: ignore[misc]
    """A forest that sums tree by tree: threads adding as they end would move the last bits."""

    n_jobs: int | None

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean shares of the trees, the same bytes with any ``n_jobs``."""
        asked, self.n_jobs = self.n_jobs, 1
        try:
            return np.asarray(super().predict_proba(X))
        finally:
            self.n_jobs = asked


class GappyBoosting(HistGradientBoostingClassifier):  # type: ignore[misc]
    """Boosting that passes over a feature without any value; scikit-learn's own cannot bin it."""

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> Self:
        """Grow the trees.

        Parameters
        ----------
        X : ndarray of float32, shape (n, features)
            NaN = missing.
        y : ndarray, shape (n,)
        """
        blank = np.isnan(X).all(axis=0)
        fitted: Self = super().fit(np.where(blank, np.float32(0), X) if blank.any() else X, y)
        return fitted


class LandCoverClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Trees with calibrated class probabilities, repeatable from a seed.

    Parameters
    ----------
    kind : {"forest", "boosting"}
        Random forest (Breiman 2001, doi:10.1023/A:1010933404324) or histogram gradient boosting
        (Friedman 2001, doi:10.1214/aos/1013203451), as scikit-learn grows them.
    trees, min_leaf, max_features, max_leaves, learning_rate, l2
        As in :class:`ClassifierRules`; the last three are of boosting only.
    balanced : bool
        Grow the trees as if all classes were equally frequent, so that rare ones are learned.
        Calibration with a bias brings the sample's own class shares back.
    calibration : str
        A method of :func:`rs_monitor.maps.calibration.fit_calibrator`.
    folds, floors, slope_ridge, bias_ridge
        As in :class:`rs_monitor.maps.calibration.CalibrationRules`.
    random_state : int, RandomState or None
    n_jobs : int, optional
        Threads that grow the forest; the result does not depend on them.

    Attributes
    ----------
    classes_ : ndarray
    trees_ : RandomForestClassifier or GappyBoosting
        Grown on all rows.
    calibrator_ : Calibrator or None
        Fitted on probabilities of rows whose whole group the trees had not seen.
    feature_importances_ : ndarray of float64, shape (features,)
        Share of each feature in what the splits gained.

    Notes
    -----
    NaN is a missing value. Boosting runs all its rounds: stopping early would need rows held out,
    which scikit-learn draws by row, from parcels it also trains on. Probabilities are summed tree
    by tree in one thread, so that any number of threads gives the same bytes.
    """

    def __init__(
        self,
        kind: Kind = "forest",
        *,
        trees: int = 200,
        min_leaf: int = 3,
        max_features: float = 0.17,
        max_leaves: int = 31,
        learning_rate: float = 0.1,
        l2: float = 0.0,
        balanced: bool = True,
        calibration: CalibrationMethod = "none",
        folds: int = 5,
        floors: Sequence[float] = (0.0001, 0.001, 0.005, 0.02),
        slope_ridge: float = 1.0,
        bias_ridge: float = 30.0,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.kind = kind
        self.trees = trees
        self.min_leaf = min_leaf
        self.max_features = max_features
        self.max_leaves = max_leaves
        self.learning_rate = learning_rate
        self.l2 = l2
        self.balanced = balanced
        self.calibration = calibration
        self.folds = folds
        self.floors = floors
        self.slope_ridge = slope_ridge
        self.bias_ridge = bias_ridge
        self.random_state = random_state
        self.n_jobs = n_jobs

    @classmethod
    def from_rules(
        cls, rules: ClassifierRules, calibration: CalibrationRules | None, *, seed: int
    ) -> LandCoverClassifier:
        """The classifier of a rules file; without calibration rules, uncalibrated."""
        settings: dict[str, Any] = rules.model_dump()
        if calibration is not None:
            kept = {"folds", "floors", "slope_ridge", "bias_ridge"}
            settings |= calibration.model_dump(include=kept)
            settings["calibration"] = calibration.method
        return cls(**settings, random_state=seed)

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Grow the trees and fit the calibration on rows out of fold.

        Parameters
        ----------
        X : array-like of float, shape (n, features)
            NaN = missing; taken as float32.
        y : array-like, shape (n,)
        groups : array-like, shape (n,), optional
            Parcel or spatial block of each row, never parted by the folds of the calibration;
            without, every row stands alone.

        Returns
        -------
        LandCoverClassifier

        Raises
        ------
        NoObservations
            If a class lies in fewer groups than the calibration has folds.
        ValueError
            If the arrays are not what scikit-learn takes, or a parameter is unknown.
        """
        checked = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan")
        features, labels = np.asarray(checked[0]), np.asarray(checked[1])
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        grown = self._grower()
        self.calibrator_ = self._calibrate(grown, features, labels, groups)
        self.trees_ = clone(grown).fit(features, labels)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Calibrated class probabilities, columns in the order of ``classes_``.

        Parameters
        ----------
        X : array-like of float, shape (n, features)
            NaN = missing.

        Returns
        -------
        ndarray of float64, shape (n, classes)
            Rows sum to 1.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, ensure_all_finite="allow-nan", reset=False)
        raw = self.trees_.predict_proba(X)
        if self.calibrator_ is None:
            return np.asarray(raw, dtype=np.float64)
        return self.calibrator_.apply(raw).astype(np.float64)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each row."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[best])

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Share of each feature in what the splits of all trees gained."""
        check_is_fitted(self)
        if isinstance(self.trees_, RandomForestClassifier):
            return np.asarray(self.trees_.feature_importances_)
        gains = np.zeros(self.n_features_in_)
        for member in self.trees_._predictors:
            for tree in member:
                split = tree.nodes[~tree.nodes["is_leaf"].astype(bool)]
                np.add.at(gains, split["feature_idx"], split["gain"])
        total = gains.sum()
        return gains / total if total > 0 else gains

    def _calibrate(
        self, grown: Any, X: NDArray[np.float32], y: NDArray[Any], groups: ArrayLike | None
    ) -> Calibrator | None:
        if self.calibration == "none" or len(self.classes_) < 2:
            return None
        held_out, classes = out_of_fold(
            lambda: clone(grown),
            X,
            y,
            np.arange(len(y)) if groups is None else np.asarray(groups),
            folds=self.folds,
            seed=int(grown.random_state),
        )
        return fit_calibrator(
            held_out,
            y,
            classes,
            method=self.calibration,
            floors=self.floors,
            slope_ridge=self.slope_ridge,
            bias_ridge=self.bias_ridge,
        )

    def _grower(self) -> Any:
        """Unfitted trees; the seed is drawn once, so that all copies share it."""
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        common = {"min_samples_leaf": self.min_leaf, "max_features": self.max_features}
        common |= {"random_state": int(seed)}
        if self.kind == "forest":
            return SteadyForest(
                n_estimators=self.trees,
                class_weight="balanced_subsample" if self.balanced else None,
                n_jobs=self.n_jobs,
                **common,
            )
        if self.kind == "boosting":
            return GappyBoosting(
                max_iter=self.trees,
                class_weight="balanced" if self.balanced else None,
                max_leaf_nodes=self.max_leaves,
                learning_rate=self.learning_rate,
                l2_regularization=self.l2,
                early_stopping=False,
                **common,
            )
        raise ValueError(
            f"got kind {self.kind!r}; needed 'forest' or 'boosting'; choose one of them"
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
