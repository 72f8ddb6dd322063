"""The cube both nrt and we are given: seeded, so that only answers need to be stored."""

import numpy as np

HISTORY, NEW, SIDE = 80, 20, 16
TIMES = HISTORY + NEW


def dates():
    """One image every sixteen days from 2018-01-03 on."""
    return np.datetime64("2018-01-03", "D") + 16 * np.arange(TIMES)


def cube():
    """Float32 (time, y, x): trend, two harmonics, noise, gaps, outliers, steps and short series."""
    rng = np.random.Generator(np.random.PCG64(20260101))
    days = dates().astype("int64")
    angles = 2 * np.pi * days[:, None] / 365.25
    season = rng.normal(0, 0.1, (4, SIDE * SIDE))
    values = 0.4 + (days[:, None] - days[0]) * rng.normal(0, 2e-5, SIDE * SIDE)
    for k in range(2):
        values = (
            values + np.cos((k + 1) * angles) * season[k] + np.sin((k + 1) * angles) * season[2 + k]
        )
    values = values + rng.normal(0, 0.03, values.shape)
    values[rng.random(values.shape) < 0.01] += 0.6
    stepped = rng.random(SIDE * SIDE) < 0.5
    size = np.where(stepped, rng.uniform(-0.25, 0.25, SIDE * SIDE), 0.0)
    when = HISTORY + rng.integers(0, 10, SIDE * SIDE)
    values = values + np.where(np.arange(TIMES)[:, None] >= when, size, 0.0)
    values[rng.random(values.shape) < 0.35] = np.nan
    values[:74, 5] = np.nan
    values[:, 77] = np.nan
    values[HISTORY:, 130] = np.nan
    return values.astype(np.float32).reshape(TIMES, SIDE, SIDE)
