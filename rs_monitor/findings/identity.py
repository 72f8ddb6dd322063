"""Ids that survive a re-run, so that decisions of inspectors keep their finding."""

from __future__ import annotations

import uuid

NAMESPACE = uuid.UUID("6f4f1a53-51a0-5e0f-9d57-0f1a35a3c0de")


def patch_id(zone_id: str, window: str, crs: str, outline_hex: str) -> str:
    """Id of a patch.

    Parameters
    ----------
    zone_id : str
        Zone of the patch.
    window : str
        First and last day of the change window.
    crs : str
        CRS of the outline.
    outline_hex : str
        Normalised outline, rounded to a centimetre, as hexadecimal WKB.
    """
    return str(uuid.uuid5(NAMESPACE, "|".join((zone_id, window, crs, outline_hex))))


def finding_id(rule_id: str, rule_version: str, patch: str) -> str:
    """Id of a rule applied to a patch; the patch id carries zone, dates and geometry."""
    return str(uuid.uuid5(NAMESPACE, "|".join((rule_id, rule_version, patch))))
