"""QGIS styles of class rasters."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from rs_monitor.codes import NODATA, ClassStyle
from rs_monitor.outputs.atomic import write_bytes


def hex_colour(style: ClassStyle) -> str:
    """Colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*style.rgb)


def colour_table(style: Mapping[int, ClassStyle]) -> dict[int, tuple[int, int, int, int]]:
    """Colour table of a band, nodata transparent."""
    table = {int(value): (*entry.rgb, 255) for value, entry in style.items()}
    return {NODATA: (0, 0, 0, 0), **table}


def write_qml(path: Path, style: Mapping[int, ClassStyle]) -> Path:
    """Write a QGIS layer style (paletted values with names) beside a class raster.

    Parameters
    ----------
    path : Path
        Name of the style file; QGIS picks up ``x.qml`` beside ``x.tif``.
    style : mapping of int to ClassStyle
        Name and colour of each value.
    """
    root = ET.Element("qgis", {"version": "3.28.0", "styleCategories": "Symbology"})
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe,
        "rasterrenderer",
        {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1"},
    )
    palette = ET.SubElement(renderer, "colorPalette")
    for value, entry in style.items():
        ET.SubElement(palette, "paletteEntry", _entry(int(value), entry))
    ET.indent(root)
    doctype = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return write_bytes(path, doctype + ET.tostring(root, encoding="utf-8") + b"\n")


def _entry(value: int, style: ClassStyle) -> dict[str, str]:
    label = f"{style.name} {style.zh}"
    return {"value": str(value), "label": label, "color": hex_colour(style), "alpha": "255"}
