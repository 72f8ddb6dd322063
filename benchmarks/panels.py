"""Pictures a study leaves to be looked at: values, reasons and counts as captioned panels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rs_monitor.codes import Sky

Picture = NDArray[np.uint8]
Layer = NDArray[np.float32]

SKY_COLOURS = {
    Sky.NOT_SEEN: (0, 0, 0),
    Sky.CLEAR: (70, 150, 70),
    Sky.CLOUD: (245, 245, 245),
    Sky.CIRRUS: (170, 210, 240),
    Sky.SHADOW: (60, 60, 140),
    Sky.TERRAIN_SHADOW: (110, 60, 140),
    Sky.SNOW: (80, 220, 230),
    Sky.DOUBTFUL: (240, 160, 30),
    Sky.UNDECIDED: (150, 150, 150),
}
_RAMP = np.array([(60, 40, 110), (40, 120, 140), (90, 190, 100), (250, 230, 60)], dtype=float)
_NOTHING = (255, 140, 0)
"""Not seen, in pictures of values."""

_TEXT_PX = 14
_COLOURS = 128


def shown(image: Layer, limits: NDArray[np.float64]) -> Picture:
    """Values as colours: three bands as they are, one along a ramp."""
    if image.shape[0] == 1:
        return ramp(image[0], float(limits[0, 0]), float(limits[0, 1]))
    low, high = limits.T[:, :, None, None]
    share = np.clip((image - low) / (high - low), 0, 1)
    seen = np.isfinite(image).all(axis=0)
    colours = np.moveaxis(np.where(seen, share, 0) ** 0.8 * 255, 0, -1).astype(np.uint8)
    colours[~seen] = _NOTHING
    return colours


def ramp(values: NDArray[Any], low: float, high: float) -> Picture:
    """One band from dark violet to yellow."""
    place = np.clip((values - low) / (high - low), 0, 1) * (len(_RAMP) - 1)
    bands = [np.interp(place, np.arange(len(_RAMP)), _RAMP[:, k]) for k in range(3)]
    seen = np.isfinite(values)
    colours = np.where(seen, bands, 0).transpose(1, 2, 0).astype(np.uint8)
    colours[~seen] = _NOTHING
    return colours


def reasons_shown(reason: NDArray[np.uint8]) -> Picture:
    palette = np.zeros((max(Sky) + 1, 3), dtype=np.uint8)
    for sky, colour in SKY_COLOURS.items():
        palette[sky] = colour
    return palette[reason]


def limits_of(image: Layer) -> NDArray[np.float64]:
    """1st and 99th percentile of every band."""
    return np.array([np.nanpercentile(band, (1, 99)) for band in image])


def save_panels(
    path: Path, panels: Sequence[tuple[str, Picture]], columns: int, edge_px: int
) -> None:
    """Write captioned panels side by side as a small PNG."""
    tiles = [_tile(title, picture, edge_px) for title, picture in panels]
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (width + 4), rows * (height + 4)), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * (width + 4), number // columns * (height + 4)))
    sheet.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def _tile(title: str, picture: Picture, edge_px: int) -> Image.Image:
    image = Image.fromarray(picture)
    factor = edge_px / max(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    method = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    tile = Image.new("RGB", (size[0], size[1] + _TEXT_PX), "white")
    tile.paste(image.resize(size, method), (0, _TEXT_PX))
    ImageDraw.Draw(tile).text((2, 1), title, fill="black")
    return tile
