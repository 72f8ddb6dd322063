from pathlib import Path

import numpy as np
import pytest

from rs_monitor.imagery.catalog import Band
from rs_monitor.outputs.raster import write_cog
from tests.review.small_run import GEOBOX, scene_item, write_run


@pytest.fixture
def run_path(tmp_path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def write_scene(tmp_path):
    """Writes red, nir and scene classes as one file and describes it as an item."""

    def write(identity: str, when: str, red: np.ndarray, nir: np.ndarray, scl: np.ndarray):
        names = ("red", "nir", "scl")
        path = write_cog(
            tmp_path / f"{identity}.tif",
            np.stack([red, nir, scl]).astype(np.uint16),
            GEOBOX,
            nodata=0,
            band_names=names,
        )
        bands = {
            name: Band(name, str(path), i, "uint16", 0, 1.0 if name == "scl" else 1e-4)
            for i, name in enumerate(names, start=1)
        }
        return scene_item(identity, when, bands)

    return write
