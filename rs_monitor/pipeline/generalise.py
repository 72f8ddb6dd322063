"""Generalised land cover of a job: the rules it takes, and what its blocks make it cost."""

from __future__ import annotations

from collections.abc import Sequence

from odc.geo.geobox import GeoBox

from rs_monitor.config.imagery import GridSettings
from rs_monitor.config.land_cover import LandCoverSettings
from rs_monitor.grid import blocks_of
from rs_monitor.maps.generalise import GeneraliseRules, surroundings
from rs_monitor.maps.land_cover_rules import LandCoverRules
from rs_monitor.maps.objects import ObjectRules


def generalise_rules(
    settings: LandCoverSettings | None, rules: LandCoverRules
) -> GeneraliseRules | None:
    """How a job wants its land cover generalised; None where it does not."""
    if settings is None or settings.generalise == "none":
        return None
    return rules.smoothing if settings.generalise == "smoothed" else rules.objects


def generalise_warnings(
    settings: LandCoverSettings | None,
    rules: LandCoverRules,
    grid: GridSettings,
    grids: Sequence[GeoBox],
) -> list[str]:
    """Tell where blocks cut the lattice of segments, whose cells are then classified repeatedly."""
    wanted = generalise_rules(settings, rules)
    if not isinstance(wanted, ObjectRules):
        return []
    windows = [
        surroundings(block.window, wanted, geobox)[0]
        for geobox in grids
        for block in blocks_of(geobox, grid.block_px)
    ]
    classified = sum((y.stop - y.start) * (x.stop - x.start) for y, x in windows)
    ground = sum(geobox.shape.y * geobox.shape.x for geobox in grids)
    if classified == ground:
        return []
    return [
        f"got grid.block_px {grid.block_px}; segments end at lines every {wanted.block_px} pixels, "
        f"so that pixels are classified {classified / ground:.1f} times on average; the maps are "
        f"the same with a multiple of {wanted.block_px}, and sooner there"
    ]
