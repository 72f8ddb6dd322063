"""From the synthetic ground to digital numbers and a scene classification."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from rs_monitor.synthetic.atmosphere import Weather
from rs_monitor.synthetic.ground import CELLS_PER_PIXEL, PAD_CELLS
from rs_monitor.synthetic.noise import smooth_field
from rs_monitor.synthetic.spectra import BANDS

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SCALE: Final = 1e-4
OFFSET: Final = -0.1
_PSF_SIGMA_CELLS: Final = 1.2
_NATIVE_PX: Final = (1.0, 1.0, 1.0, 1.0, 2.0, 2.0)
_NOISE: Final = np.array([0.0035, 0.0032, 0.0032, 0.0050, 0.0045, 0.0045], dtype=np.float32)

SCL_NODATA: Final = 0
SCL_SHADOW: Final = 3
SCL_VEGETATION: Final = 4
SCL_BARE: Final = 5
SCL_WATER: Final = 6
SCL_UNCLASSIFIED: Final = 7
SCL_CLOUD: Final = 8
SCL_CLOUD_HIGH: Final = 9
SCL_CIRRUS: Final = 10


def to_pixels(cells: Floats, pixels: int, shift: tuple[float, float]) -> Floats:
    """Average fine cells into pixels that lie off the grid by a fraction of a pixel.

    Parameters
    ----------
    cells : ndarray, shape (rows, columns, 6), float32
        Reflectance of padded 2.5 m cells.
    pixels : int
        Rows and columns of the result.
    shift : tuple of float
        How far the picture moves, (down, right) in pixels.

    Returns
    -------
    ndarray, shape (pixels, pixels, 6), float32
        Reflectance of 10 m pixels; the two short-wave bands are seen with a 20 m aperture.
    """
    parts = []
    for native in sorted(set(_NATIVE_PX)):
        bands = [i for i, size in enumerate(_NATIVE_PX) if size == native]
        part = cells[..., bands[0] : bands[-1] + 1]
        down = _apertures(pixels, cells.shape[0], shift[0], native)
        right = _apertures(pixels, cells.shape[1], shift[1], native)
        rows = (down @ part.reshape(cells.shape[0], -1)).reshape(pixels, cells.shape[1], -1)
        turned = np.ascontiguousarray(rows.transpose(1, 0, 2)).reshape(cells.shape[1], -1)
        parts.append((right @ turned).reshape(pixels, pixels, -1).transpose(1, 0, 2))
    return np.ascontiguousarray(np.concatenate(parts, axis=-1), dtype=np.float32)


def textured(reflectance: Floats, rng: np.random.Generator, own: np.random.Generator) -> Floats:
    """Add the unevenness of fields, woods and roofs.

    Parameters
    ----------
    reflectance : ndarray, shape (y, x, 6), float32
        Smooth ground.
    rng : numpy.random.Generator
        Stream of the township: the lasting part.
    own : numpy.random.Generator
        Stream of the scene: the part of this day.

    Returns
    -------
    ndarray, shape (y, x, 6), float32
        Reflectance with texture.
    """
    shape = (reflectance.shape[0], reflectance.shape[1])
    grain = rng.standard_normal((2, *shape), dtype=np.float32)
    bright = 0.018 * smooth_field(rng, shape, 5.0) + 0.018 * grain[0]
    green = 0.030 * smooth_field(rng, shape, 7.0) + 0.020 * grain[1]
    green = green + 0.018 * smooth_field(own, shape, 6.0)
    red, nir = reflectance[..., 2], reflectance[..., 3]
    vegetation = np.clip((nir - red) / (nir + red + 1e-6), 0.0, 1.0)
    out = reflectance * (1.0 + bright)[..., None]
    out[..., 3] *= 1.0 + green * vegetation
    out[..., :3] *= (1.0 - 1.2 * green * vegetation)[..., None]
    out[..., 4:] *= (1.0 - 0.6 * green * vegetation)[..., None]
    return np.asarray(out, dtype=np.float32)


def digitised(reflectance: Floats, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Add gain drift and noise and return digital numbers.

    Parameters
    ----------
    reflectance : ndarray, shape (y, x, 6), float32
        What reaches the sensor.
    rng : numpy.random.Generator
        Stream of the scene.

    Returns
    -------
    ndarray, shape (y, x, 6), uint16
        Digital numbers; reflectance is DN * 1e-4 - 0.1 and 0 means nodata.
    """
    gain = (1.0 + rng.normal(0.0, 0.010)) * (1.0 + rng.normal(0.0, 0.009, size=len(BANDS)))
    noise = rng.standard_normal(reflectance.shape, dtype=np.float32)
    level = _NOISE + 0.012 * np.abs(reflectance)
    measured = reflectance * gain.astype(np.float32) + noise * level
    return np.clip(np.rint((measured - OFFSET) / SCALE), 1, 65535).astype(np.uint16)


def classified(clear: Floats, weather: Weather, rng: np.random.Generator) -> Bytes:
    """Return a Sentinel-2-like scene classification with its usual mistakes.

    Parameters
    ----------
    clear : ndarray, shape (y, x, 6), float32
        Ground without sky.
    weather : Weather
        The sky; thin cloud and cloud edges are missed.
    rng : numpy.random.Generator
        Stream of the scene.

    Returns
    -------
    ndarray, shape (y, x), uint8
        Classes; never 0.
    """
    shape = weather.cloud.shape
    scl = _surface(clear)
    doubt = 0.10 * smooth_field(rng, (shape[0], shape[1]), 4.0)
    scl[weather.shadow + doubt > 0.34] = SCL_SHADOW
    scl[(weather.haze + doubt > 0.95) & (weather.cloud < 0.3)] = SCL_CIRRUS
    scl[weather.cloud + doubt > 0.34] = SCL_CLOUD
    scl[weather.cloud + doubt > 0.72] = SCL_CLOUD_HIGH
    glaring = (clear[..., 0] > 0.27) & (rng.random(shape) < 0.5)
    scl[glaring & (scl < SCL_CLOUD)] = SCL_CLOUD
    return scl


def swath_gap(rng: np.random.Generator, pixels: int) -> npt.NDArray[np.bool_]:
    """Pixels beyond the edge of the swath: none in most scenes, a wedge in one of fifteen."""
    missing = np.zeros((pixels, pixels), dtype=bool)
    if rng.random() > 1.0 / 15.0:
        return missing
    rows, columns = np.mgrid[0:pixels, 0:pixels] / pixels
    return np.asarray(columns + 0.25 * rows > rng.uniform(0.75, 1.05))


def _surface(clear: Floats) -> Bytes:
    blue, green, red, nir, swir = (clear[..., i] for i in range(5))
    ndvi = (nir - red) / (nir + red + 1e-6)
    wet = (green - swir) / (green + swir + 1e-6)
    scl = np.full(blue.shape, SCL_UNCLASSIFIED, dtype=np.uint8)
    scl[(ndvi < 0.33) & (swir > 0.16)] = SCL_BARE
    scl[ndvi > 0.38] = SCL_VEGETATION
    scl[(wet > 0.15) & (ndvi < 0.25)] = SCL_WATER
    return scl


def _apertures(pixels: int, cells: int, shift_px: float, native_px: float) -> sparse.csr_array:
    """Weights of the cells in each pixel: a box of the native pixel, blurred by the optics."""
    centre = (np.arange(pixels) + 0.5 - shift_px) * CELLS_PER_PIXEL + PAD_CELLS
    half = native_px * CELLS_PER_PIXEL / 2.0
    reach = int(np.ceil(half + 3.0 * _PSF_SIGMA_CELLS))
    columns = np.floor(centre).astype(int)[:, None] + np.arange(-reach, reach + 1)[None, :]
    distance = columns + 0.5 - centre[:, None]
    weight = special.ndtr((distance + half) / _PSF_SIGMA_CELLS)
    weight = weight - special.ndtr((distance - half) / _PSF_SIGMA_CELLS)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(pixels), columns.shape[1])
    inside = np.clip(columns.ravel(), 0, cells - 1)
    matrix = sparse.coo_array((weight.ravel(), (rows, inside)), shape=(pixels, cells))
    return matrix.tocsr().astype(np.float32)
