"""Opening and growing of mask classes, by distance on the ground."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Looks = NDArray[np.bool_]

_SHIFTED_UP_TO_PX = 4
"""Discs up to here are laid by shifting the looks (29 shifts for 3 pixels): 10 times faster."""

_HAIR = 1e-6
"""So that a distance equal to the radius counts on every machine."""


def reach_px(distance_m: float, pixel_m: float) -> int:
    """Whole pixels a distance on the ground can touch."""
    return math.floor(distance_m / pixel_m + _HAIR)


def grown(looks: Looks, radius_m: float, pixel_m: float) -> Looks:
    """Widen what is set in each look by a disc; shape (time, y, x)."""
    return looks if reach_px(radius_m, pixel_m) == 0 else _near(looks, radius_m / pixel_m)


def opened(looks: Looks, radius_m: float, pixel_m: float) -> Looks:
    """Take out of each look what no disc of the radius fits into; shape (time, y, x).

    Notes
    -----
    The ground beyond the rim of the array counts as set, so that a cloud cut by the rim stays.
    """
    if reach_px(radius_m, pixel_m) == 0:
        return looks
    radius = radius_m / pixel_m
    return looks & _near(looks & ~_near(~looks, radius), radius)


def open_sky(ground: Looks, seen: Looks, radius_m: float, pixel_m: float, share: float) -> Looks:
    """Tell where the ground around a pixel lies open on the same look.

    Parameters
    ----------
    ground, seen : ndarray of bool, shape (time, y, x)
        Looks at the ground; looks at anything.
    radius_m : float
        Half the edge of the square around a pixel.
    pixel_m : float
        Pixel edge, metres.
    share : float
        Of the seen pixels of the square that must be ground.
    """
    reach = reach_px(radius_m, pixel_m)
    return np.asarray(
        (_square_sum(ground & seen, reach) >= share * _square_sum(seen, reach)) & seen
    )


def _square_sum(looks: Looks, reach: int) -> NDArray[np.int64]:
    """Pixels that are set in the square around each pixel, cut at the rim of the array."""
    total = np.asarray(looks, dtype=np.int64)
    for axis in (1, 2):
        length = total.shape[axis]
        sums = np.insert(np.cumsum(total, axis=axis), 0, 0, axis=axis)
        place = np.arange(length)
        upper, lower = np.minimum(place + reach + 1, length), np.maximum(place - reach, 0)
        total = np.take(sums, upper, axis=axis) - np.take(sums, lower, axis=axis)
    return total


def _near(looks: Looks, radius: float) -> Looks:
    """Pixels no farther than the radius, in pixels, from one that is set in the same look."""
    if radius < _SHIFTED_UP_TO_PX + 1:
        return _near_by_shifts(looks, radius)
    return np.stack([_near_by_distance(look, radius) for look in looks])


def _near_by_shifts(looks: Looks, radius: float) -> Looks:
    near = looks.copy()
    reach = math.floor(radius + _HAIR)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if 0 < math.hypot(down, right) <= radius + _HAIR:
                to_rows, from_rows = _overlap(down, looks.shape[1])
                to_cols, from_cols = _overlap(right, looks.shape[2])
                near[:, to_rows, to_cols] |= looks[:, from_rows, from_cols]
    return near


def _overlap(shift: int, length: int) -> tuple[slice, slice]:
    """Target and source of a shift along an axis; empty where it leaves the array."""
    ahead, back = max(shift, 0), max(-shift, 0)
    return slice(ahead, max(length - back, ahead)), slice(back, max(length - ahead, back))


def _near_by_distance(look: Looks, radius: float) -> Looks:
    if not look.any():
        return np.zeros_like(look)
    return np.asarray(ndimage.distance_transform_edt(~look) <= radius + _HAIR)
