"""The vegetation curve of one patch, from the clear looks of its scenes, read plainly.

The values are the reflectance the scenes state: not harmonised between sensors, not corrected for
illumination, ground in terrain shadow not left out, and displaced scenes read where their header
says unless their shifts are given. A run with such steps judged other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask

from rs_monitor.errors import GridMismatch
from rs_monitor.grid import widen
from rs_monitor.imagery.catalog import SceneItem
from rs_monitor.imagery.load import Shift, load_cube, to_reflectance
from rs_monitor.imagery.masks import ScreenKind, mask_margin_px, screen
from rs_monitor.imagery.sky_rules import ClearSkyRules
from rs_monitor.maps.indices import ndvi
from rs_monitor.outputs.pictures import chip_window

BANDS = ("red", "nir")
_QUANTILES = {"ndvi_q10": 0.1, "ndvi_q50": 0.5, "ndvi_q90": 0.9}


def patch_series(
    items: Sequence[SceneItem],
    geometry: shapely.Geometry,
    geobox: GeoBox,
    *,
    mask: ScreenKind,
    rules: ClearSkyRules,
    mask_band: str | None = None,
    bands: Sequence[str] = BANDS,
    resampling: str = "bilinear",
    shifts: Mapping[str, Shift] | None = None,
) -> pd.DataFrame:
    """Read the NDVI of a patch, look by look; only the window around the patch is read.

    Parameters
    ----------
    items : sequence of SceneItem
        Scenes with ``red`` and ``nir`` and a reflectance scale.
    geometry : shapely geometry
        Patch, in the CRS of ``geobox``.
    geobox : GeoBox
        Grid of the zone; a pixel belongs to the patch when its centre does.
    mask, mask_band
        How clouds are told; see :func:`rs_monitor.imagery.masks.screen`.
    rules : ClearSkyRules
        Thresholds of the mask.
    bands : sequence of str
        Bands the looks are screened by; those of the run, so that the same looks count.
    resampling : str
        For scenes on another grid.
    shifts : mapping of str to (float, float), optional
        Displacement of scenes by item id, as :func:`rs_monitor.imagery.load.load_cube` takes it;
        those the run undid.

    Returns
    -------
    DataFrame
        Index ``time`` (UTC, no zone). ``item_ids``; ``clear_fraction`` of the patch's pixels; over
        the clear pixels ``ndvi_mean``, ``ndvi_q10``, ``ndvi_q50``, ``ndvi_q90``, NaN where no
        pixel was clear. A look that saw nothing keeps its row.

    Raises
    ------
    GridMismatch
        If no pixel centre of the grid lies in the patch.
    QuantityError
        If the scenes state no reflectance scale.

    Notes
    -----
    Nothing a run may do between reading and measuring is done here but the mask and ``shifts``: no
    harmonisation between sensors, no illumination correction, no terrain shadow.
    """
    window = chip_window(geometry, geobox, margin_px=1, least_px=1)
    part = geobox[window]
    inside = geometry_mask([geometry], tuple(part.shape), part.affine, invert=True)
    if not inside.any():
        raise GridMismatch(
            "got a patch that holds no pixel centre of the grid; needed one in the CRS of the "
            "grid; take it from RunView.outline"
        )
    spectral = list(dict.fromkeys([*BANDS, *bands]))
    margin_px = mask_margin_px(rules, float(abs(geobox.affine.a)), kind=mask)
    wide, (down, across) = widen(window, margin_px, geobox)
    cube = load_cube(
        items,
        geobox=geobox,
        bands=[*spectral, *([] if mask_band is None else [mask_band])],
        resampling=resampling,
        window=wide,
        shifts=shifts,
    )
    sky = screen(cube, kind=mask, band=mask_band, spectral_bands=spectral, rules=rules)
    clear = sky["clear"].isel(y=down, x=across)
    index = ndvi(to_reflectance(cube, BANDS)).isel(y=down, x=across)
    read = index.to_dataset(name="ndvi").assign(clear=clear).compute()
    looks = zip(read["ndvi"].values, read["clear"].values, strict=True)
    rows = [_look(values[inside], seen[inside]) for values, seen in looks]
    table = pd.DataFrame(rows, index=pd.DatetimeIndex(read["time"].values, name="time"))
    table.insert(0, "item_ids", [str(ids) for ids in read["item_ids"].values])
    return table


def _look(values: NDArray[np.float32], seen: NDArray[np.bool_]) -> dict[str, Any]:
    """Statistics of one look over the pixels of the patch."""
    usable = values[seen & np.isfinite(values)].astype(np.float64)
    row: dict[str, Any] = {"clear_fraction": len(usable) / len(values)}
    if not len(usable):
        return row | dict.fromkeys(("ndvi_mean", *_QUANTILES), float("nan"))
    quantiles = np.quantile(usable, list(_QUANTILES.values()))
    return row | {"ndvi_mean": usable.mean(), **dict(zip(_QUANTILES, quantiles, strict=True))}
