"""Rendering one synthetic scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox
from rasterio import features
from scipy import ndimage

from rs_monitor.synthetic import sensor
from rs_monitor.synthetic.acquisitions import Acquisition, clear_scenes
from rs_monitor.synthetic.atmosphere import draw_weather, through
from rs_monitor.synthetic.ground import GroundModel
from rs_monitor.synthetic.noise import stream
from rs_monitor.synthetic.phenology import day_number
from rs_monitor.synthetic.planting import Planted
from rs_monitor.synthetic.spectra import BANDS
from rs_monitor.synthetic.terrain import illumination

Floats = npt.NDArray[np.float32]

_RELIEF_LEFT = 0.25


@dataclass(frozen=True)
class Scene:
    """One synthetic scene.

    Attributes
    ----------
    acquisition : Acquisition
        The overpass.
    bands : mapping of str to ndarray, shape (y, x), uint16
        Digital numbers; reflectance is DN * 1e-4 - 0.1 and 0 means nodata.
    scl : ndarray, shape (y, x), uint8
        Scene classification with the codes of Sentinel-2, not free of mistakes.
    """

    acquisition: Acquisition
    bands: Mapping[str, npt.NDArray[np.uint16]]
    scl: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Renderer:
    """Turns the synthetic truth into scenes; every scene has its own random stream."""

    seed: int
    geobox: GeoBox
    ground: GroundModel
    height_m: Floats
    remnants: Mapping[int, Floats]

    def surface(self, index: int, acquisition: Acquisition) -> Floats:
        """Return the clear surface as the sensor grid sees it, without sky and noise.

        Parameters
        ----------
        index : int
            Number of the scene.
        acquisition : Acquisition
            Its overpass.

        Returns
        -------
        ndarray, shape (y, x, 6), float32
            Reflectance 0-1 in the order of `spectra.BANDS`.
        """
        wetness = float(stream(self.seed, 20, index, 0).beta(1.2, 2.0))
        day = day_number(acquisition.datetime.date())
        cells = self.ground.reflectance(day, wetness=wetness)
        smooth = sensor.to_pixels(cells, self.geobox.shape[0], acquisition.shift)
        rough = sensor.textured(smooth, stream(self.seed, 21), stream(self.seed, 20, index, 1))
        return rough * self._light(acquisition)[..., None]

    def render(self, index: int, acquisition: Acquisition) -> Scene:
        """Return a finished scene.

        Parameters
        ----------
        index : int
            Number of the scene.
        acquisition : Acquisition
            Its overpass.

        Returns
        -------
        Scene
            Bands and scene classification.
        """
        clear = self.surface(index, acquisition)
        rows, columns = clear.shape[:2]
        weather = draw_weather(stream(self.seed, 20, index, 2), (rows, columns), acquisition)
        seen = through(clear, weather, self.remnants.get(index))
        rng = stream(self.seed, 20, index, 3)
        numbers = sensor.digitised(seen, rng)
        scl = sensor.classified(clear, weather, rng)
        beyond = sensor.swath_gap(rng, rows)
        numbers[beyond] = 0
        scl[beyond] = sensor.SCL_NODATA
        bands = {name: np.ascontiguousarray(numbers[..., i]) for i, name in enumerate(BANDS)}
        return Scene(acquisition, bands, scl)

    def _light(self, acquisition: Acquisition) -> Floats:
        """What the terrain correction leaves of the relief."""
        facing = illumination(
            self.height_m,
            abs(self.geobox.resolution.x),
            acquisition.sun_zenith_deg,
            acquisition.sun_azimuth_deg,
        )
        return np.asarray(1.0 + _RELIEF_LEFT * (facing - 1.0), dtype=np.float32)


def cover_remnants(
    rng: np.random.Generator,
    geobox: GeoBox,
    acquisitions: Sequence[Acquisition],
    lookalikes: Sequence[Planted],
) -> dict[int, Floats]:
    """Draw the clouds that the scene classification misses.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of their density.
    geobox : GeoBox
        10 m grid.
    acquisitions : sequence of Acquisition
        All overpasses.
    lookalikes : sequence of Planted
        Look-alikes; those of kind 'cloud_remnant' are drawn on every fairly clear scene between
        their first and last day.

    Returns
    -------
    dict of int to ndarray, shape (y, x), float32
        Opacity by number of the scene.
    """
    remnants: dict[int, Floats] = {}
    for item in lookalikes:
        if item.kind != "cloud_remnant" or item.end is None:
            continue
        shape = features.rasterize(
            [item.geometry.buffer(12.0)],
            out_shape=(geobox.shape[0], geobox.shape[1]),
            transform=geobox.affine,
            dtype=np.uint8,
        )
        soft = ndimage.gaussian_filter(shape.astype(np.float32), 1.2)
        for index in clear_scenes(acquisitions):
            if item.date <= acquisitions[index].datetime.date() <= item.end:
                opacity = soft * np.float32(rng.uniform(0.35, 0.6))
                remnants[index] = np.maximum(remnants.get(index, opacity), opacity)
    return remnants
