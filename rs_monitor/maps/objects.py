"""Class probabilities by segment: pixels that look alike and lie together share one answer."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import felzenszwalb, slic

from rs_monitor.config.tables import Model
from rs_monitor.lazy import map_lattice

NO_SEGMENT = 0
SPREAD = (2.0, 98.0)
"""Percentiles of a band that the segmentation sees as 0 and 1."""


class ObjectRules(Model):
    """How pixels are grouped; table ``[objects]`` of the land-cover rules."""

    method: Literal["slic", "felzenszwalb"]
    mean_size_px: int = Field(ge=4, description="pixels of a segment, about; the least of them")
    compactness: float = Field(gt=0, description="slic: place against colour")
    scale: float = Field(gt=0, description="felzenszwalb: the larger, the larger the segments")
    block_px: int = Field(ge=64, description="edge of the fixed blocks that are segmented alone")


def segments(image: NDArray[np.float32], rules: ObjectRules) -> NDArray[np.int32]:
    """Group the pixels of one image.

    Parameters
    ----------
    image : ndarray of float32, shape (bands, y, x)
        Reflectance or features; a pixel with a NaN band belongs to no segment.
    rules : ObjectRules

    Returns
    -------
    ndarray of int32, shape (y, x)
        1, 2, ...; 0 where not seen.

    Notes
    -----
    ``slic`` after Achanta et al. (2012), doi:10.1109/TPAMI.2012.120; ``felzenszwalb`` after
    Felzenszwalb and Huttenlocher (2004), doi:10.1023/B:VISI.0000022288.19776.77; both of
    scikit-image, on bands stretched from their 2nd to their 98th percentile; the second on at most
    three principal components of them. Ground not seen looks like the nearest that was.
    """
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(image).all(axis=0))
    if not seen.any():
        return np.zeros(image.shape[1:], dtype=np.int32)
    shown = _filled(_stretched(image, seen), seen)
    if rules.method == "slic":
        # its own mask compares every pixel with every segment: 2 GB for a block of 512 pixels
        found = slic(
            shown,
            n_segments=max(1, seen.size // rules.mean_size_px),
            compactness=rules.compactness,
            channel_axis=0,
            start_label=1,
            convert2lab=False,
        )
    else:
        found = 1 + felzenszwalb(
            _three_axes(shown),
            scale=rules.scale,
            sigma=0,
            min_size=rules.mean_size_px,
            channel_axis=0,
        )
    return np.where(seen, found, NO_SEGMENT).astype(np.int32)


def _stretched(image: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    low, high = np.percentile(image[:, seen].astype(np.float64), SPREAD, axis=1)
    width = np.where(high > low, high - low, 1.0)
    stretched = (image - low[:, None, None]) / width[:, None, None]
    return np.asarray(np.clip(stretched, 0.0, 1.0), dtype=np.float64)


def _filled(image: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The image, pixels not seen like the nearest seen one."""
    if seen.all():
        return image
    rows, cols = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    return image[:, rows, cols]


def _three_axes(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """More than three bands as their first principal components; distances all but stay."""
    if len(image) <= 3 or image[0].size == 1:
        return image[:3]
    flat = image.reshape(len(image), -1)
    _, axes = np.linalg.eigh(np.cov(flat))
    return np.asarray((axes[:, -3:].T @ flat).reshape(3, *image.shape[1:]))


def mean_by_segment(
    probabilities: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Give every pixel the mean class probabilities of its segment.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (classes, y, x)
        NaN where not classified; such pixels take no part.
    labels : ndarray of int32, shape (y, x)
        0 = in no segment.

    Returns
    -------
    ndarray of float32, shape (classes, y, x)
        A pixel in no segment keeps its own; one that was not classified stays NaN.
    """
    classified = np.isfinite(probabilities).all(axis=0)
    grouped = classified & (labels != NO_SEGMENT)
    owner = labels[grouped]
    size = np.maximum(np.bincount(owner), 1)
    out = np.array(probabilities, dtype=np.float32)
    for plane, source in zip(out, probabilities, strict=True):
        total = np.bincount(owner, weights=source[grouped].astype(np.float64))
        plane[grouped] = (total / size)[owner]
    return out


def object_probabilities(
    probabilities: xr.DataArray, image: xr.DataArray, rules: ObjectRules
) -> xr.DataArray:
    """Class probabilities by segment of an image of the same grid.

    Parameters
    ----------
    probabilities : DataArray of float32
        class, y, x; NaN where nothing was seen.
    image : DataArray of float32
        band, y, x: what segments are drawn from.
    rules : ObjectRules

    Returns
    -------
    DataArray of float32
        class, y, x. The most probable class of it is the segment's.

    Notes
    -----
    Segments end at the lines of a fixed lattice of ``rules.block_px``, so that they depend neither
    on chunks nor on the size of the county. A patch smaller than a segment is outvoted: for what
    is mapped as area, never for flagging single small patches.
    """

    def regroup(proba: NDArray[np.float32], bands: NDArray[np.float32]) -> NDArray[np.float32]:
        return mean_by_segment(proba, segments(bands, rules))

    return map_lattice(
        regroup,
        probabilities,
        image,
        block_px=rules.block_px,
        dtype=np.float32,
        name="probabilities",
        attrs={
            "long_name": "class probabilities by segment",
            "units": "1",
            "method": f"{rules.method} mean_size_px={rules.mean_size_px}",
        },
    )
