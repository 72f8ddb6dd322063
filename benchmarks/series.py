"""The cube of the benchmarks of image series: trend, two harmonics, noise, gaps, steps."""

import numpy as np
from numpy.typing import NDArray

HISTORY, NEW = 80, 20
EDGE_PX = 384
QUICK_EDGE_PX = 64
GAPS_FRACTION = 0.35
DATES = np.datetime64("2018-01-03", "D") + 16 * np.arange(HISTORY + NEW)
DAYS = DATES.astype("int64").astype(np.float64)


def make_series(edge_px: int) -> NDArray[np.float32]:
    """Values (time, y, x), NaN in a third of the looks; two fifths of the pixels with a step."""
    rng = np.random.default_rng(7)
    pixels = edge_px * edge_px
    angles = 2 * np.pi * DAYS[:, None] / 365.25
    values = 0.4 + (DAYS[:, None] - DAYS[0]) * rng.normal(0, 2e-5, pixels)
    for k in (1, 2):
        values += np.cos(k * angles) * rng.normal(0, 0.1, pixels)
        values += np.sin(k * angles) * rng.normal(0, 0.1, pixels)
    values += rng.normal(0, 0.03, values.shape)
    values[rng.random(values.shape) < 0.005] += 0.5
    stepped = rng.random(pixels) < 0.4
    size = np.where(stepped, rng.uniform(-0.2, 0.2, pixels), 0.0)
    values[HISTORY + NEW // 4 :] += size
    values[rng.random(values.shape) < GAPS_FRACTION] = np.nan
    return values.astype(np.float32).reshape(-1, edge_px, edge_px)
