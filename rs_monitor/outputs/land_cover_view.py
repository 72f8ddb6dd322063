"""What the report says of the classifier: what it is, and where it was never shown the like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STEP = "land_cover"
OUTSIDE = "outside_training_data"
"""Shares of a zone's seen ground, by zone and period, in the parameters of the step."""
GENERALISED = "generalised"
"""How the maps beside the pixel maps were made, in the parameters of the step."""


@dataclass(frozen=True, slots=True)
class LandCoverView:
    """The classifier of a run, as printed.

    Attributes
    ----------
    source : str
        What it was trained on, or the stored model.
    not_known : str
        Classes it cannot name.
    outside : sequence of str
        One sentence part a zone and period; empty where nothing lies outside.
    generalised : str
        How the generalised maps were made; empty where there are none.
    changed : sequence of str
        What they changed, one sentence part a zone.
    """

    source: str
    not_known: str
    outside: tuple[str, ...]
    generalised: str = ""
    changed: tuple[str, ...] = ()


def land_cover_view(manifest: Mapping[str, Any]) -> LandCoverView | None:
    """What a manifest tells of land cover; None for a run without it."""
    steps = [step for step in manifest.get("steps", ()) if step["name"] == STEP]
    if not steps:
        return None
    told = steps[-1]["parameters"]
    shares = told.get(OUTSIDE, {})
    general = told.get(GENERALISED)
    return LandCoverView(
        source=f"model {told['name']} {told['version']}" if "name" in told else told["source"],
        not_known=", ".join(told.get("classes_not_known", ())),
        outside=tuple(
            f"{share:.1%} of what was seen {label} in zone {zone_id}"
            for zone_id, periods in sorted(shares.items())
            for label, share in periods.items()
            if share > 0
        ),
        generalised="" if general is None else generalised_text(general),
        changed=() if general is None else tuple(_changed(general)),
    )


def generalised_text(told: Mapping[str, Any]) -> str:
    """How generalised maps were made, in words."""
    rules = told["rules"]
    if told["method"] == "smoothed":
        window = 2 * rules["radius_px"] + 1
        return f"class probabilities smoothed in windows of {window} by {window} pixels"
    return f"one class for each {rules['method']} segment, about {rules['mean_size_px']} pixels"


def _changed(told: Mapping[str, Any]) -> Iterator[str]:
    for zone_id, periods in sorted(told["changed"].items()):
        parts = [f"{share:.1%} {label}" for label, share in periods.items()]
        if parts:
            yield f"{', '.join(parts)} in zone {zone_id}"
