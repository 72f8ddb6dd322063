"""Lasting loss of vegetation, told from bare fields by the scene's own surfaces."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import chi2

from rs_monitor.codes import LastingLoss
from rs_monitor.kernels.threshold import histogram
from rs_monitor.maps.change_rules import LossRules
from rs_monitor.maps.context import with_context

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

SHIFT = 20.0
"""Added to standard scores before they are counted: histograms take values from 0 up."""

SHORE_PX = 1
"""Pixels beside water are mixed with it."""

TEXTURE_FLOOR = 0.02
"""Standard scores: noise of a quantised band, so that flat ground has a finite log texture."""

RIDGE = 0.01
"""Added to variances: no class is narrower than a tenth of the scene's spread."""

_SQUARE = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True)
class Cover:
    """How the two dates are read: scores, vegetation, water.

    Attributes
    ----------
    before, after : ndarray of float64, shape (2, p)
        Mean and deviation that make standard scores; the earlier in the radiometry of the later.
    own : ndarray of float64, shape (2, p)
        Mean and deviation of the earlier date itself.
    red, nir, dark : int
        Bands of the vegetation contrast and of water.
    vegetated : tuple of float
        Contrast above it is vegetation, before and after, each date in scores of its own.
    water : float
        Scores of the dark band below it are water.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    own: NDArray[np.float64]
    red: int
    nir: int
    dark: int
    vegetated: tuple[float, float] = (0.0, 0.0)
    water: float = 0.0


class Look(NamedTuple):
    """Both dates of a block, read."""

    before: Floats  # standard scores and texture (p + 1, y, x)
    after: Floats
    candidate: Mask
    soil: Mask
    stays: Mask
    shore: Mask


@dataclass(frozen=True)
class Sums:
    """Weighted sums of features; blocks add up."""

    weight: float
    first: NDArray[np.float64]
    second: NDArray[np.float64]

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Sums)))

    def scaled(self, by: float) -> Sums:
        """The same pixels, each counted ``by`` times."""
        return Sums(self.weight * by, self.first * by, self.second * by)

    def normal(self) -> Normal:
        """Mean and covariance, with the ridge."""
        mean = self.first / self.weight
        cov = self.second / self.weight - np.outer(mean, mean)
        return Normal(mean, cov + RIDGE * np.eye(len(mean)))


class Normal(NamedTuple):
    """Normal distribution of the features of a class."""

    mean: NDArray[np.float64]
    cov: NDArray[np.float64]


@dataclass(frozen=True)
class LossModel:
    """What the scene's surfaces look like.

    Attributes
    ----------
    soil, lasting : Normal or None
        Field soil, and surfaces bare at both dates; None where the scene shows too few.
    log_prior : float
        Log-odds of lasting among the candidates.
    reason : str
        Why nothing can be told, or empty.
    """

    soil: Normal | None
    lasting: Normal | None
    log_prior: float
    reason: str = ""


def scores(values: NDArray[np.floating], line: NDArray[np.float64]) -> Floats:
    """Standard scores of the bands of one date, (p, y, x)."""
    mean, deviation = line[:, :, None, None]
    return np.asarray((values - mean) / deviation, dtype=np.float32)


def contrast(bands: Floats, cover: Cover) -> Floats:
    """Near infrared less red in standard scores: free of gain and offset."""
    return np.asarray(bands[cover.nir] - bands[cover.red])


def cover_tables(
    before: NDArray[np.floating], after: NDArray[np.floating], *, cover: Cover
) -> NDArray[np.float64]:
    """Histograms of a block: contrast of either date, dark band of the later (shifted)."""
    one, other = scores(before, cover.own), scores(after, cover.after)
    seen = np.isfinite(one).all(axis=0) & np.isfinite(other).all(axis=0)
    bands = (contrast(one, cover), contrast(other, cover), other[cover.dark])
    return np.stack([histogram(np.maximum(band[seen] + SHIFT, 0.0)) for band in bands])


def texture(bands: Floats) -> Floats:
    """Log of the local deviation (3 by 3) of brightness in standard scores."""
    grey = bands.mean(axis=0)
    mean = ndimage.uniform_filter(grey, 3, mode="constant")
    share = ndimage.uniform_filter(np.ones_like(grey), 3, mode="constant")
    square = ndimage.uniform_filter(grey * grey, 3, mode="constant") / share
    deviation = np.sqrt(np.maximum(square - (mean / share) ** 2, 0.0))
    return np.asarray(np.log(deviation + TEXTURE_FLOOR), dtype=np.float32)


def look_at(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    changed: Mask,
    cover: Cover,
) -> Look:
    """Read both dates of a block: what lost, gained, stays without vegetation."""
    one, other = scores(before, cover.before), scores(after, cover.after)
    seen = np.isfinite(one).all(axis=0) & np.isfinite(other).all(axis=0)
    one, other = (np.where(seen, date, 0.0).astype(np.float32) for date in (one, other))
    own = scores(before, cover.own)
    green = [
        contrast(date, cover) > limit
        for date, limit in zip((own, other), cover.vegetated, strict=True)
    ]
    wet = [(date[cover.dark] < cover.water) & seen for date in (one, other)]
    shore = ndimage.binary_dilation(wet[0] | wet[1], _SQUARE, iterations=SHORE_PX)
    changed = changed & seen
    features = [np.concatenate([date, texture(date)[None]]) for date in (one, other)]
    return Look(
        features[0],
        features[1],
        candidate=changed & green[0] & ~green[1] & ~wet[1],
        soil=changed & ~green[0] & green[1] & ~shore,
        stays=seen & ~changed & ~green[0] & ~green[1] & ~shore,
        shore=shore,
    )


def sample_tables(look: Look) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts of candidates and of field soil, and the textures of the latter."""
    counts = np.array([look.candidate.sum(), look.soil.sum()], dtype=np.float64)
    return counts, histogram(look.before[-1][look.soil] + SHIFT)


def sample_sums(look: Look, rough: float) -> list[Sums]:
    """Sums over field soil, candidates, smooth and rough surfaces that stay."""
    rougher = look.after[-1] > rough
    return [
        _sums(look.before[:, look.soil]),
        _sums(look.after[:, look.candidate & ~look.shore]),
        _sums(look.after[:, look.stays & ~rougher]),
        _sums(look.after[:, look.stays & rougher]),
    ]


def _sums(sample: Floats) -> Sums:
    values = sample.astype(np.float64)
    return Sums(float(values.shape[1]), values.sum(axis=1), values @ values.T)


def loss_model(
    samples: list[Sums], candidates: float, pixels: float, rules: LossRules
) -> LossModel:
    """Model field soil and lasting surfaces from the samples of the scene.

    Parameters
    ----------
    samples : list of Sums
        As :func:`sample_sums`, over all blocks.
    candidates, pixels : float
        Pixels that lost vegetation, and all seen.
    rules : LossRules

    Returns
    -------
    LossModel

    Notes
    -----
    What lost vegetation beyond the share of ground that can be built is field soil as well, and
    so are smooth surfaces that stay bare; rough ones stand for roofs, yards and roads.
    """
    soil, lost, smooth, rough = samples
    share = max(candidates / pixels, 1e-12)
    prior = min(0.5, rules.max_works_share / share)
    log_prior = float(np.log(prior / (1.0 - prior)))
    least = rules.min_sample_share * pixels
    if soil.weight < least:
        return LossModel(None, None, log_prior, "no field was bare before and green after")
    if rough.weight < least:
        return LossModel(None, None, log_prior, "no built surface stays to compare with")
    beyond = max(0.0, 1.0 - rules.max_works_share / share)
    ground = soil + lost.scaled(beyond) + smooth
    return LossModel(ground.normal(), rough.normal(), log_prior)


def classify(
    look: Look, seen: Mask, model: LossModel, rules: LossRules, *, weight: float, width_px: int
) -> NDArray[np.uint8]:
    """Codes of ``LastingLoss`` of a block.

    Parameters
    ----------
    look : Look
    seen : ndarray of bool, shape (y, x)
    model : LossModel
    rules : LossRules
    weight : float
        Of the context.
    width_px : int
        Narrower lasting losses are not told from the rims of fields.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        Depends on the look at pixels up to ``ROUNDS + width_px`` away.
    """
    out = np.full(seen.shape, LastingLoss.NONE, dtype=np.uint8)
    out[look.candidate] = LastingLoss.CANNOT_TELL
    if model.soil is not None and model.lasting is not None:
        far, lasting = _distance(look, model.lasting)
        odds = lasting - _distance(look, model.soil)[1] + model.log_prior
        chance = with_context(np.where(look.candidate, odds, np.nan).astype(np.float32), weight)
        out[chance < 1.0 - rules.certain_probability] = LastingLoss.NONE
        bulk = far < chi2.ppf(rules.bulk_probability, len(model.soil.mean))
        certain = (chance > rules.certain_probability) & bulk & ~look.shore
        square = np.ones((width_px, width_px), dtype=np.bool_)
        out[ndimage.binary_opening(certain, square)] = LastingLoss.LASTING
    out[~seen] = LastingLoss.NOT_SEEN
    return out


def _distance(look: Look, normal: Normal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared Mahalanobis distance of the later date, and log density (less a constant)."""
    shape = look.candidate.shape
    far = np.zeros(shape)
    rest = look.after[:, look.candidate].astype(np.float64) - normal.mean[:, None]
    far[look.candidate] = np.einsum("ij,ij->j", rest, np.linalg.solve(normal.cov, rest))
    return far, -0.5 * (far + np.linalg.slogdet(normal.cov)[1])
