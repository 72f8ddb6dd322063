"""Reflectance coefficients of Landsat Level 1 from the MTL file beside the bands."""

from __future__ import annotations

import math
import re
from pathlib import Path

from rs_monitor.imagery.header import RefusedFile

_ENTRY = re.compile(r"^\s*(\w+)\s*=\s*\"?([^\"\n]*?)\"?\s*$", re.MULTILINE)
_BAND = re.compile(r"_B(\d{1,2})$")


def mtl_calibration(band_file: Path, product: str) -> tuple[float, float] | None:
    """Scale and offset to top-of-atmosphere reflectance of one band file.

    Parameters
    ----------
    band_file : Path
        Such as ``LC08_L1TP_119038_20200101_20200823_02_T1_B4.TIF``; read is the text file
        ``<product>_MTL.txt`` in its folder.
    product : str
        Product id.

    Returns
    -------
    tuple of float or None
        None without an MTL file or where it holds no coefficients for the band.

    Raises
    ------
    RefusedFile
        If a coefficient is no number.

    Notes
    -----
    USGS, Using the USGS Landsat Level-1 Data Product: (REFLECTANCE_MULT * DN + REFLECTANCE_ADD) /
    sin(SUN_ELEVATION), with the sun at the centre of the scene.
    """
    path = band_file.with_name(f"{product}_MTL.txt")
    band = _BAND.search(band_file.stem)
    if band is None or not path.is_file():
        return None
    values = dict(_ENTRY.findall(path.read_text(encoding="utf-8", errors="replace")))
    names = [f"REFLECTANCE_{what}_BAND_{band[1]}" for what in ("MULT", "ADD")]
    if not all(name in values for name in [*names, "SUN_ELEVATION"]):
        return None
    try:
        scale, offset, elevation = (float(values[name]) for name in [*names, "SUN_ELEVATION"])
    except ValueError as error:
        raise RefusedFile(f"its {path.name} holds no number: {error}") from error
    sun = math.sin(math.radians(elevation))
    return (scale / sun, offset / sun) if sun > 0 else None
