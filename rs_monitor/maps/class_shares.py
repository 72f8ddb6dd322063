"""Class shares that probabilities go with: those of a survey, and moving probabilities to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from odc.geo.geobox import GeoBox

from rs_monitor.authority.area import polygon_areas_m2
from rs_monitor.codes import CodeSystem, LandCover
from rs_monitor.errors import ModelMismatch, NoObservations
from rs_monitor.maps.calibration import Calibrator
from rs_monitor.maps.land_cover import LandCoverModel
from rs_monitor.maps.sample_parcels import training_cover


@dataclass(frozen=True, slots=True)
class ClassShares:
    """Shares of the classes of a model on some ground.

    Attributes
    ----------
    classes : tuple of int
        Values of ``LandCover``, in column order of the probabilities.
    shares : tuple of float
        Of each class; above 0, sum to 1.
    left_out_m2 : dict of int to float
        Surveyed classes that the model cannot name, and their area.
    not_surveyed : tuple of int
        Classes of the model that the survey does not have.
    """

    classes: tuple[int, ...]
    shares: tuple[float, ...]
    left_out_m2: dict[int, float]
    not_surveyed: tuple[int, ...]


def surveyed_areas(
    survey: gpd.GeoDataFrame, geobox: GeoBox | Sequence[GeoBox], *, system: CodeSystem
) -> dict[int, float]:
    """Area of each land-cover class in a survey, within the grids of a job.

    Parameters
    ----------
    survey : GeoDataFrame
        Polygons with text ``land_code``.
    geobox : GeoBox or sequence of GeoBox
        Of one CRS; ground in several counts once.
    system : CodeSystem
        Of the codes.

    Returns
    -------
    dict of int to float
        Square metres on the CGCS2000 ellipsoid by value of ``LandCover``, ascending.

    Notes
    -----
    All parcels count whose code teaches one class (:func:`rs_monitor.maps.sample_parcels.
    training_cover`), those too narrow to train on included: roads are ground, too. Without a
    class, and not counted: field ridges, swamp under trees or shrubs, uses without a cover,
    unknown codes, invalid geometries. A parcel across the rim counts by its part within, measured
    in the plane of the grid; ground in two parcels counts for both.
    """
    grids = (geobox,) if isinstance(geobox, GeoBox) else tuple(geobox)
    found = {code: training_cover(code, system) for code in set(survey["land_code"])}
    covers = np.array(
        [int(c) if isinstance(c, LandCover) else 0 for c in map(found.get, survey["land_code"])]
    )
    shapes = survey.geometry.to_numpy()
    counted = (covers > 0) & shapely.is_valid(shapes) & (shapely.get_dimensions(shapes) == 2)
    kept = survey.geometry[counted]
    areas = polygon_areas_m2(kept.to_numpy(), survey.crs) * _share_within(kept, grids)
    values = np.unique(covers[counted][areas > 0])
    return {int(v): float(areas[covers[counted] == v].sum()) for v in values}


def _share_within(parcels: gpd.GeoSeries, grids: Sequence[GeoBox]) -> NDArray[np.float64]:
    """Part of each parcel that lies in any of the grids."""
    shapes = parcels.to_crs(str(grids[0].crs)).to_numpy()
    ground = shapely.union_all([shapely.box(*grid.boundingbox) for grid in grids])
    shapely.prepare(ground)
    share = np.asarray(shapely.intersects(ground, shapes), dtype=np.float64)
    cut = (share > 0) & ~shapely.covers(ground, shapes)
    share[cut] = shapely.area(shapely.intersection(shapes[cut], ground)) / shapely.area(shapes[cut])
    return share


def shares_of_survey(areas_m2: Mapping[int, float], classes: Sequence[int]) -> ClassShares:
    """Shares of the classes of a model among the surveyed area of those classes.

    Parameters
    ----------
    areas_m2 : mapping of int to float
        Of :func:`surveyed_areas`.
    classes : sequence of int
        Values of ``LandCover`` that the model can name.

    Returns
    -------
    ClassShares

    Raises
    ------
    NoObservations
        If the survey has none of the classes.

    Notes
    -----
    A class of the model that the survey does not have gets the smallest share of those it has:
    with none it could never be found, and new cover is what a monitor looks for.
    """
    known = {value: areas_m2[value] for value in classes if areas_m2.get(value, 0.0) > 0}
    if not known:
        raise NoObservations(
            "got a survey without any class of the model within the grids; needed one at least; "
            "check the layer, or set land_cover.class_shares = 'sample'"
        )
    least = min(known.values())
    areas = np.array([known.get(value, least) for value in classes])
    return ClassShares(
        classes=tuple(classes),
        shares=tuple((areas / areas.sum()).tolist()),
        left_out_m2={value: area for value, area in areas_m2.items() if value not in classes},
        not_surveyed=tuple(value for value in classes if value not in known),
    )


def at_shares(
    probabilities: NDArray[np.floating[Any]], own: ArrayLike, new: ArrayLike
) -> NDArray[np.float64]:
    """Move probabilities from the class shares they go with to those of other ground.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Rows that sum to 1; a row with NaN stays NaN.
    own, new : array-like of float, shape (classes,)
        Shares they go with, and shares there; above 0, scaled to sum to 1.

    Returns
    -------
    ndarray of float64, shape (n, classes)
        Rows that sum to 1.

    Notes
    -----
    Bayes' rule: times new share over own, scaled (Saerens et al. 2002,
    doi:10.1162/089976602753284446, equation 2.4). Holds if the features of a class are
    distributed alike in both places.
    """
    ratio = np.asarray(new, dtype=np.float64) / np.asarray(own, dtype=np.float64)
    moved = probabilities * ratio
    return np.asarray(moved / moved.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class EstimatedShares:
    """Class shares of some ground, estimated from its probabilities alone.

    Attributes
    ----------
    shares : ndarray of float64, shape (classes,)
        Sum to 1.
    gains : ndarray of float64, shape (rounds + 1,)
        Mean log-likelihood ratio of the rows, of the shares before each round and at the end
        against those the probabilities go with; starts at 0 and never falls.
    settled : bool
        Whether the shares came to rest before the last round.
    """

    shares: NDArray[np.float64]
    gains: NDArray[np.float64]
    settled: bool


def estimated_shares(
    probabilities: NDArray[np.floating[Any]],
    own: ArrayLike,
    *,
    tolerance: float,
    max_rounds: int,
) -> EstimatedShares:
    """Estimate the class shares of ground that nobody surveyed from the probabilities there.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Calibrated; rows with NaN (not seen) are left out.
    own : array-like of float, shape (classes,)
        Shares that the probabilities go with; above 0, scaled to sum to 1.
    tolerance : float
        Rounds end when no share moves by more.
    max_rounds : int

    Returns
    -------
    EstimatedShares

    Raises
    ------
    ModelMismatch
        If the shares are not of the columns.
    NoObservations
        If no row was seen.

    Notes
    -----
    Expectation-maximisation of Saerens, Latinne & Decaestecker 2002
    (doi:10.1162/089976602753284446, equations 2.9): the mean of the probabilities moved to the
    shares of the round before. The likelihood is concave in the shares, so the start does not
    matter. Only as good as the calibration, and only where the features of a class are
    distributed as in training: a class that looks different there is counted as another.
    """
    start = np.asarray(own, dtype=np.float64)
    if probabilities.ndim != 2 or start.shape != probabilities.shape[1:] or not (start > 0).all():
        raise ModelMismatch(
            f"got shares {start.tolist()} and probabilities of shape {probabilities.shape}; needed "
            "a share above 0 for each column; give those the probabilities go with"
        )
    start = start / start.sum()
    rows = np.asarray(probabilities[np.isfinite(probabilities).all(axis=1)], dtype=np.float64)
    if not len(rows):
        raise NoObservations(
            "got no row that was seen; needed probabilities of some ground; give other ground"
        )
    evidence, shares, gains, step = rows / start, start, [], np.inf
    while True:
        joint = evidence * shares
        totals = joint.sum(axis=1, keepdims=True)
        gains.append(float(np.log(totals).mean()))
        if step <= tolerance or len(gains) > max_rounds:
            return EstimatedShares(shares, np.array(gains), step <= tolerance)
        moved = (joint / totals).mean(axis=0)
        step, shares = float(np.abs(moved - shares).max()), moved


def own_shares(calibrator: Calibrator | None, rows: ArrayLike) -> NDArray[np.float64]:
    """Class shares that the probabilities of a classifier of this program go with.

    Parameters
    ----------
    calibrator : Calibrator or None
        As fitted; None = the trees' own shares.
    rows : array-like of int, shape (classes,)
        Rows of each class that it was trained on.

    Returns
    -------
    ndarray of float64, shape (classes,)
        Those of the calibrator; without one, those of the rows.

    Notes
    -----
    Balanced class weights would give equal shares if leaves held many rows. Leaves of three rows
    are nearly pure, whatever their rows weigh, and so vote as often as the class occurs near by:
    in simulations forests lie 60 to 90 % of the way from equal shares to those of the rows, and
    boosting 25 to 60 % (logarithms of odds; docs/landcover.md). An even draw keeps the two near.
    """
    if calibrator is not None:
        return calibrator.prior
    counts = np.asarray(rows, dtype=np.float64)
    return np.asarray(counts / counts.sum())


def model_at_shares(model: LandCoverModel, shares: ArrayLike, *, rows: ArrayLike) -> LandCoverModel:
    """The same model with probabilities for other class shares.

    Parameters
    ----------
    model : LandCoverModel
    shares : array-like of float, shape (classes,)
        In column order of the probabilities.
    rows : array-like of int, shape (classes,)
        Rows of each class that it was trained on.

    Returns
    -------
    LandCoverModel
        Whose calibrator moves the probabilities (:meth:`Calibrator.with_prior`); one that was not
        calibrated gets one that does nothing else.

    Raises
    ------
    ModelMismatch
        If a share is missing or not a finite number above 0.
    """
    calibrator = model.calibrator
    if calibrator is None:
        calibrator = Calibrator.of_trees(own_shares(None, rows))
    return replace(model, calibrator=calibrator.with_prior(shares))
