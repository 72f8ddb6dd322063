"""Draw docs/images/taizhou_change.jpg from a finished Taizhou run: RUN_FOLDER [OUT]."""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from rs_monitor.codes import Change
from rs_monitor.outputs.layout import map_path
from rs_monitor.outputs.raster import read_raster
from rs_monitor.pipeline.plan import WHOLE_SCENE

mpl.use("Agg")
import matplotlib.pyplot as plt

FALSE_COLOUR = ("nir", "red", "green")


def stretched(path: Path) -> np.ndarray:
    data, _, names = read_raster(path)
    picture = np.stack([data[names.index(band)] for band in FALSE_COLOUR], axis=-1)
    low, high = np.nanpercentile(picture, [2, 98], axis=(0, 1))
    return np.clip((picture - low) / (high - low), 0, 1)


def main() -> None:
    run = Path(sys.argv[1])
    out = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images/taizhou_change.jpg")
    before, after = (stretched(map_path(run, WHOLE_SCENE, name)) for name in ("before", "after"))
    change = read_raster(map_path(run, WHOLE_SCENE, "change"))[0][0] == Change.CHANGE
    overlay = np.repeat(after.mean(axis=-1, keepdims=True), 3, axis=-1) * 0.6 + 0.35
    overlay[change] = (0.82, 0.11, 0.17)
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.75), dpi=90, layout="constrained")
    titles = ("17 March 2000", "6 February 2003", "change found (IR-MAD)")
    for axis, picture, title in zip(axes, (before, after, overlay), titles, strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    figure.text(
        0.005,
        0.005,
        "Landsat 7 ETM+, false colour (NIR, red, green); USGS, public domain",
        fontsize=7,
        color="0.35",
    )
    figure.savefig(out)


if __name__ == "__main__":
    main()
