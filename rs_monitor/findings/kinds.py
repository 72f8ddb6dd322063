"""What a transition between two classes looks like: one table, plus the shape of the patch."""

from __future__ import annotations

from collections.abc import Collection

from rs_monitor.codes import CROPLAND, SEALED, WOODY, ChangeKind, LandCover, separable
from rs_monitor.config.rules import DetectionRules

_ANY = frozenset(LandCover)
_WET = frozenset({LandCover.WATER, LandCover.WETLAND})
_MINE = frozenset({LandCover.MINE})
_BARE = frozenset({LandCover.BARE})

_TABLE: tuple[tuple[Collection[LandCover], Collection[LandCover], ChangeKind], ...] = (
    (_ANY - SEALED, SEALED, ChangeKind.BUILDING),
    (_ANY - _MINE - _BARE, _MINE, ChangeKind.MINE),
    (_ANY - _WET, _WET, ChangeKind.POND),
    (_ANY, {LandCover.ORCHARD}, ChangeKind.ORCHARD),
    (_ANY, {LandCover.FACILITY_AGRI}, ChangeKind.GREENHOUSE),
    (WOODY, CROPLAND | _BARE | {LandCover.GRASS}, ChangeKind.FOREST_CLEARING),
    (_ANY - WOODY - SEALED - _MINE - {LandCover.FACILITY_AGRI}, _BARE, ChangeKind.EARTHWORK),
    (CROPLAND, {LandCover.GRASS, LandCover.SHRUB}, ChangeKind.ABANDONMENT),
    (_ANY - WOODY - CROPLAND, CROPLAND, ChangeKind.NEW_ARABLE),
)
"""Before, after, kind; the first row that fits decides, none is ``other``.

Shrub counts with forest: survey forest (03) includes shrub, and imagery does not part the two.
"""


def change_kind(
    before: LandCover | None,
    after: LandCover | None,
    *,
    width_m: float,
    elongation: float,
    rules: DetectionRules,
) -> ChangeKind:
    """Kind of a change, from the two classes and the shape of the patch.

    Parameters
    ----------
    before, after : LandCover or None
        Class of the patch in both periods; None where land cover is not known.
    width_m : float
        Mean width, 2 area / perimeter.
    elongation : float
        Length over width of the tightest rotated rectangle.
    rules : DetectionRules
        ``line_width_m`` and ``line_elongation`` tell a road from a building.

    Returns
    -------
    ChangeKind
        ``unclassified`` without both classes; ``other`` for transitions of no named kind and for
        classes that imagery does not tell apart.

    Notes
    -----
    An observation, never a verdict. A winding road has a wide rectangle and is called a building;
    both are sealed surface and meet the same rules.
    """
    if before is None or after is None:
        return ChangeKind.UNCLASSIFIED
    if not separable(before, after):
        return ChangeKind.OTHER
    kind = next((k for b, a, k in _TABLE if before in b and after in a), ChangeKind.OTHER)
    is_line = width_m <= rules.line_width_m and elongation >= rules.line_elongation
    return ChangeKind.ROAD if kind is ChangeKind.BUILDING and is_line else kind
