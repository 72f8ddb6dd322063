"""New bright roofs on the synthetic township, which the scene classification takes for clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from odc.geo.xr import xr_coords

from rs_monitor.imagery.qa_bits import SceneClass
from rs_monitor.synthetic import BANDS, Township, make_township, sensor
from rs_monitor.synthetic.atmosphere import Weather, draw_weather, through
from rs_monitor.synthetic.noise import stream
from rs_monitor.synthetic.spectra import varied

SIDE_PX = 160
YEAR = 2025
PARTS = 4
ROOFS_PX = [(3, 3), (3, 5), (4, 4), (4, 6), (6, 6), (8, 5), (5, 10), (10, 12), (16, 14), (30, 24)]
MATERIALS = ("white_roof", "blue_roof", "concrete", "plastic", "pale_rock")
FLAGGED_FROM = 0.3  # share of a pixel under the roof from which it is taken for a cloud


class Planted(NamedTuple):
    """A year of scenes and the truth about them; arrays of (time, y, x) but ``roof`` (y, x)."""

    cube: xr.Dataset
    roof: np.ndarray
    cloud: np.ndarray
    shadow: np.ndarray
    seen: np.ndarray


def plant_roofs(seed: int) -> Planted:
    """Render the year with roofs that stand on every date."""
    town = make_township(seed, size_px=SIDE_PX, events_per_kind=1, lookalikes_per_kind=1)
    rng = np.random.default_rng(seed)
    label = _places(rng)
    spectra = [varied(name, rng, spread=0.09) for name in MATERIALS * 2]
    after = [i for i, a in enumerate(town.acquisitions) if a.datetime.year == YEAR]
    scenes = [_scene(town, index, label, spectra, rng) for index in after]
    numbers, codes, skies = zip(*scenes, strict=True)
    return Planted(
        cube=_cube(town, after, np.stack(numbers), np.stack(codes)),
        roof=label > 0,
        cloud=np.stack([sky.cloud for sky in skies]),
        shadow=np.stack([sky.shadow for sky in skies]),
        seen=np.stack(codes) != SceneClass.NO_DATA,
    )


def _places(rng: np.random.Generator) -> np.ndarray:
    label = np.zeros((SIDE_PX, SIDE_PX), dtype="int16")
    for number, (height, width) in enumerate(ROOFS_PX, start=1):
        while True:
            y, x = rng.integers(9, SIDE_PX - 9 - height), rng.integers(9, SIDE_PX - 9 - width)
            if not label[y - 5 : y + height + 5, x - 5 : x + width + 5].any():
                break
        label[y : y + height, x : x + width] = number
    return label


def _scene(
    town: Township,
    index: int,
    label: np.ndarray,
    spectra: list[np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, Weather]:
    overpass = town.acquisitions[index]
    sky = draw_weather(stream(town.seed, 20, index, 2), label.shape, overpass)
    own = stream(town.seed, 20, index, 3)
    ground = town._renderer.surface(index, overpass)
    codes = sensor.classified(ground, sky, own)
    # the picture lies off the grid, so the roof's edge moves over the pixels
    fine = np.kron(label, np.ones((PARTS, PARTS), dtype="int16"))
    fine = np.roll(fine, [round(PARTS * shift) for shift in overpass.shift], axis=(0, 1))
    covered = np.zeros(label.shape)
    for number, spectrum in enumerate(spectra, start=1):
        blocks = (fine == number).reshape(SIDE_PX, PARTS, SIDE_PX, PARTS)
        share = blocks.mean(axis=(1, 3))[..., None]
        ground = ground * (1 - share) + share * spectrum * rng.normal(1.0, 0.02)
        covered += share[..., 0]
    numbers = sensor.digitised(through(ground.astype("float32"), sky, None), own)
    flagged = covered > FLAGGED_FROM
    codes[flagged] = rng.choice([SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH], flagged.sum())
    beyond = sensor.swath_gap(own, SIDE_PX)
    numbers[beyond] = 0
    codes[beyond] = SceneClass.NO_DATA
    return numbers, codes, sky


def _cube(town: Township, after: list[int], numbers: np.ndarray, codes: np.ndarray) -> xr.Dataset:
    dims = ("time", "y", "x")
    times = [town.acquisitions[index].datetime.replace(tzinfo=None) for index in after]
    coords = {
        **xr_coords(town.geobox, dims=("y", "x")),
        "time": np.array(times, dtype="datetime64[ns]"),
    }
    for band in BANDS:
        coords[f"{band}_scale"] = ("time", np.full(len(after), sensor.SCALE))
        coords[f"{band}_offset"] = ("time", np.full(len(after), sensor.OFFSET))
    bands = {name: (dims, numbers[..., k], {"nodata": 0}) for k, name in enumerate(BANDS)}
    codes = codes.astype("uint8")
    return xr.Dataset(
        {**bands, "scl": (dims, codes, {"nodata": 0})}, coords=coords, attrs={"quantity": "dn"}
    )
