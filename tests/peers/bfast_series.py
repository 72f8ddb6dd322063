"""The series that bfast, strucchange and nrt were asked about, made anew for every test."""

import numpy as np

HISTORY, LATER, SIZE = 80, 24, 12
NODATA = -32768


def days_since_1970():
    """A look in 16 days from 2015-01-03 on."""
    return np.datetime64("2015-01-03", "D").astype(int) + 16.0 * np.arange(HISTORY + LATER)


def stack():
    """int16 (time, y, x): season, trend, 35 % gaps; breaks in both parts of many pixels."""
    rng = np.random.default_rng(20120222)
    days = days_since_1970()
    shape = (len(days), SIZE, SIZE)
    values = 500 + 200 * np.sin(2 * np.pi * days / 365.25)[:, None, None]
    values = values + 0.02 * (days - days[0])[:, None, None] + rng.normal(0, 40, shape)
    late = rng.random(shape[1:]) < 0.4
    values[HISTORY + 5 :, late] -= rng.uniform(60, 200, late.sum())
    early = rng.random(shape[1:]) < 0.4
    when = rng.integers(0, HISTORY, shape[1:])
    values -= np.where(early & (np.arange(len(days))[:, None, None] > when), 150.0, 0.0)
    values = values.round().astype(np.int16)
    values[rng.random(shape) < 0.35] = NODATA
    return values
