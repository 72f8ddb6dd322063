"""Count and mean of a raster inside polygons, by the pixels whose centre lies inside."""

import sys
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from benchmarks.race import (
    Disagreement,
    Entrant,
    Goal,
    Line,
    kernel_in_threads,
    markdown,
    race,
)
from rs_monitor.kernels.zonal import zonal_sums
from rs_monitor.maps.zonal import zonal_statistics

STAGE = "zonal"
EDGE_PX = {False: 2048, True: 256}
POLYGONS = {False: 1951, True: 60}
PEER = "rasterstats"


def planted(edge_px: int, count: int) -> tuple[xr.DataArray, GeoBox, gpd.GeoSeries]:
    """A raster of 10 m and star-shaped polygons of 24 vertices, 60 to 400 m across."""
    rng = np.random.default_rng(6)
    geobox = GeoBox((edge_px, edge_px), Affine(10, 0, 500000, 0, -10, 3600000), "EPSG:4548")
    values = xr.DataArray(rng.random((edge_px, edge_px), dtype=np.float32), dims=("y", "x"))
    reach = rng.uniform(30, 200, (count, 1)) * rng.uniform(0.6, 1, (count, 24))
    angle = np.sort(rng.uniform(0, 2 * np.pi, (count, 24)), axis=1)
    x, y = (
        500000 + rng.uniform(0, 10 * edge_px, (count, 1)),
        3600000 - rng.uniform(0, 10 * edge_px, (count, 1)),
    )
    rings = np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=2)
    return values, geobox, gpd.GeoSeries(shapely.polygons(rings), crs="EPSG:4548")


def agree(ours: Any, peer: pd.DataFrame) -> str:
    counts, means = ours
    known = counts > 0
    worst = float(np.abs(means[known] - peer["mean"].to_numpy()[known]).max())
    if not np.array_equal(counts, peer["count"]) or worst > 1e-6:
        raise Disagreement(f"counts or means differ, by up to {worst:g}")
    return f"equal counts, means {worst:.0e}"


def lines(*, quick: bool) -> list[Line]:
    values, geobox, polygons = planted(EDGE_PX[quick], POLYGONS[quick])
    coords = shapely.get_coordinates(polygons.values)
    inverse = ~geobox.affine
    xy = np.stack([inverse.a * coords[:, 0] + inverse.c, inverse.e * coords[:, 1] + inverse.f])
    rings = np.arange(0, len(coords) + 1, 25)
    parts = np.arange(len(polygons) + 1)
    halves = [(0, len(polygons) // 2), (len(polygons) // 2, len(polygons))]
    shared = kernel_in_threads(
        lambda first, last: zonal_sums(values.values, xy, rings, parts, first=first, last=last),
        halves,
    )

    def kernel() -> tuple[np.ndarray, np.ndarray]:
        one, other = shared()
        counts = one.n_px + other.n_px
        with np.errstate(invalid="ignore"):
            return counts, (one.total + other.total) / counts

    def public() -> tuple[np.ndarray, np.ndarray]:
        table = zonal_statistics(values, geobox, polygons, rule="centres")
        return table["n_px"].to_numpy(), table["mean"].to_numpy()

    def rasterstats() -> pd.DataFrame:
        from rasterstats import zonal_stats

        shapes = list(polygons)
        return pd.DataFrame(
            zonal_stats(
                shapes, values.values, affine=geobox.affine, nodata=-1, stats=["count", "mean"]
            )
        ).astype({"mean": float})

    return race(
        STAGE,
        [Entrant("kernel, 2 threads", kernel), Entrant("zonal_statistics", public)],
        [Entrant(PEER, rasterstats)],
        units=len(polygons),
        unit="polygon",
        agreement=agree,
        goals=[Goal(PEER, 50.0)],
        quick=quick,
    )


def main(arguments: Sequence[str]) -> None:
    print(markdown(lines(quick="--quick" in arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
