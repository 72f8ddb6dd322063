"""Runs gdaldem on arrays."""

import subprocess
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

UNKNOWN = -9999.0
SUN = ("-az", "315", "-alt", "45")
ZT = ("-alg", "ZevenbergenThorne")
MODES = {
    "slope horn": ("slope",),
    "slope zevenbergen_thorne": ("slope", *ZT),
    "aspect horn": ("aspect",),
    "aspect zevenbergen_thorne": ("aspect", *ZT),
    "hillshade horn": ("hillshade", *SUN),
    "hillshade zevenbergen_thorne": ("hillshade", *SUN, *ZT),
    "riley": ("TRI", "-alg", "Riley"),
    "wilson": ("TRI", "-alg", "Wilson"),
    "roughness": ("roughness",),
    "position": ("TPI",),
}


def write(path: Path, dem, dx_m: float, dy_m: float) -> Path:
    """Elevations as float32 on a metric grid, NaN as nodata."""
    height, width = dem.shape
    grid = Affine(dx_m, 0, 500000, 0, -dy_m, 4000000)
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "nodata": float("nan")}
    with rasterio.open(
        path, "w", height=height, width=width, crs="EPSG:32650", transform=grid, **profile
    ) as target:
        target.write(dem.astype("float32"), 1)
    return path


def run(source: Path, mode: str):
    """One mode of gdaldem; float32, NaN where it says nodata (level ground of aspects too)."""
    out = source.with_suffix(".out.tif")
    name, *options = MODES[mode]
    command = ["gdaldem", name, str(source), str(out), "-q", *options]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with rasterio.open(out) as made:
        values, blank = made.read(1), made.nodata
    return np.where(values == blank, np.float32(np.nan), values.astype("float32"))


def single_windows(dem):
    """The nine cells around every interior cell, less that cell, side by side.

    gdaldem adds float32 elevations before it subtracts: at 3,000 m that costs up to 0.0015 degrees
    of slope, and far more of the aspect of gentle ground. Of differences it rounds far less, and
    differences of float32 elevations are float32 without rounding, but for cliffs between numbers
    of another power of two (relative 6e-8): the same question, asked better.
    """
    windows = np.lib.stride_tricks.sliding_window_view(dem.astype("float64"), (3, 3))
    less = windows - windows[..., 1:2, 1:2]
    rows, cols = less.shape[:2]
    return less.transpose(0, 2, 1, 3).reshape(3 * rows, 3 * cols).astype("float32")
