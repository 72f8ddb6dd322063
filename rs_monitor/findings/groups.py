"""Changed pixels to numbered groups, and groups to outlines."""

from __future__ import annotations

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from skimage.segmentation import watershed

from rs_monitor.codes import CROPLAND, SEALED, WOODY, Change, LandCover
from rs_monitor.config.rules import DetectionRules
from rs_monitor.kernels.labels import label_groups, renumber_groups

Labels = NDArray[np.int32]

CLASSES = int(max(LandCover)) + 1
"""Length of a table by class code."""

_LIKE: tuple[frozenset[LandCover], ...] = (
    CROPLAND,
    WOODY,
    SEALED,
    frozenset({LandCover.WATER, LandCover.WETLAND}),
)
"""Classes after a change that never part a group of changed pixels."""


def group_pixels(
    change: NDArray[np.uint8], land_cover_after: NDArray[np.uint8] | None, rules: DetectionRules
) -> Labels:
    """Number the groups of changed pixels.

    Parameters
    ----------
    change : ndarray of uint8, shape (height, width)
        Values of :class:`rs_monitor.codes.Change`.
    land_cover_after : ndarray of uint8, shape (height, width), optional
        Values of :class:`rs_monitor.codes.LandCover`, 0 = nodata; large parts of unlike classes
        are groups of their own.
    rules : DetectionRules
        Smallest group, and smallest part that stands alone.

    Returns
    -------
    ndarray of int32, shape (height, width)
        1..n in the order of their first pixel; 0 = no group.
    """
    changed = change == Change.CHANGE
    if land_cover_after is None:
        return label_groups(changed, min_px=rules.min_patch_px, threads=2)[0]
    core_px = max(rules.min_reliable_px, rules.min_patch_px)
    groups = _part(label_groups(changed)[0], land_cover_after, core_px)
    return _drop_small(groups, rules.min_patch_px)


def _part(groups: Labels, after: NDArray[np.uint8], core_px: int) -> Labels:
    """Part groups between their large cores of one class; every group keeps at least one part."""
    cores = np.zeros_like(groups)
    like = _like_after()[after]
    for code in np.unique(like[groups > 0]):
        if code:
            parts, _ = label_groups((groups > 0) & (like == code), min_px=core_px)
            cores = np.where(parts > 0, parts + cores.max(initial=0), cores)
    has_core = np.zeros(int(groups.max(initial=0)) + 1, dtype=bool)
    has_core[np.unique(groups[cores > 0])] = True
    whole = (groups > 0) & ~has_core[groups]
    markers = np.where(whole, groups + cores.max(initial=0), cores)
    flat = np.zeros(groups.shape, dtype=np.uint8)
    flooded = watershed(flat, markers=markers, mask=groups > 0, connectivity=2)
    return _drop_small(flooded.astype(np.int32), 0)


def _like_after() -> NDArray[np.uint8]:
    """Code of the coarse group of every class, by class code; 0 = no class."""
    table = np.arange(CLASSES, dtype=np.uint8)
    for members in _LIKE:
        table[sorted(members)] = min(members)
    return table


def _drop_small(labels: Labels, min_px: int) -> Labels:
    """Number the groups of at least ``min_px`` pixels 1..n in the order of their first pixel."""
    return renumber_groups(labels, np.bincount(labels.ravel()) >= min_px)[0]


def outline_groups(labels: Labels, geobox: GeoBox) -> NDArray[np.object_]:
    """Pixel edges of the groups 1..n, in the CRS of the grid.

    Parameters
    ----------
    labels : ndarray of int32, shape (height, width)
        Of :func:`group_pixels`, at least one group.
    geobox : GeoBox
        Their grid.

    Returns
    -------
    ndarray of shapely Polygon or MultiPolygon, shape (n,)
        One valid shape each.
    """
    found = rasterio.features.shapes(
        labels, mask=labels > 0, connectivity=4, transform=geobox.affine
    )
    rings, owners, values = [], [], []
    for owner, (geometry, value) in enumerate(found):
        rings.extend(geometry["coordinates"])
        owners.extend([owner] * len(geometry["coordinates"]))
        values.append(int(value))
    sizes = [len(ring) for ring in rings]
    points = np.concatenate([np.asarray(ring, dtype=np.float64) for ring in rings])
    lines = _array(shapely.linearrings(points, indices=np.repeat(np.arange(len(rings)), sizes)))
    polygons = _array(shapely.polygons(lines, indices=np.asarray(owners)))
    order = np.argsort(values, kind="stable")
    shapes = _array(shapely.multipolygons(polygons[order], indices=np.asarray(values)[order] - 1))
    single = shapely.get_num_geometries(shapes) == 1
    shapes[single] = shapely.get_geometry(shapes[single], 0)
    return _array(shapely.make_valid(shapes))


def _array(geometries: object) -> NDArray[np.object_]:
    return np.asarray(geometries, dtype=object)
