"""Labelled reference data of the land-cover study, each as one record."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from pyproj import Transformer
from rasterio.enums import MergeAlg
from rasterio.features import rasterize
from scipy import ndimage
from scipy.cluster.hierarchy import fcluster, linkage

from rs_monitor.imagery.naming import SENTINEL2_BANDS

Array = NDArray[Any]
SENTINEL2 = {short: name for short, name in SENTINEL2_BANDS.items() if short.startswith("B")}
NO_CLASS = -1


@dataclass(frozen=True)
class Season:
    """Looks at one place in one period; ``series`` is an index delivered for more dates."""

    reflectance: xr.Dataset
    clear: xr.DataArray
    start: dt.date
    end: dt.date
    height_m: xr.DataArray | None = None
    series: xr.DataArray | None = None

    @property
    def geobox(self) -> GeoBox:
        return self.reflectance.odc.geobox


@dataclass(frozen=True)
class Site:
    """One data set.

    ``pixels`` has a row per labelled pixel: season, row, col, label (what a survey says; trained
    on), truth (what is scored against), parcel, block, x_m, y_m, core (far enough from a border
    to be trained on), scored.
    """

    name: str
    kind: Literal["accuracy", "agreement"]
    against: str
    classes: tuple[str, ...]
    seasons: tuple[Season, ...]
    pixels: pd.DataFrame
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_season: bool = False
    notes: tuple[str, ...] = ()


def _read(path: Path) -> Array:
    with rasterio.open(path) as source:
        return source.read()


def _grid(path: Path) -> GeoBox:
    with rasterio.open(path) as source:
        return GeoBox(source.shape, source.transform, source.crs)


def _times(days: Any) -> Array:
    return np.asarray(pd.to_datetime(days)).astype("M8[ns]")


def cube(bands: Mapping[str, Array], times: Any, geobox: GeoBox) -> xr.Dataset:
    """Bands (time, y, x) as a data set on its grid."""
    coords = {"time": _times(times)} | dict(xr_coords(geobox))
    data = {
        name: (("time", *geobox.dimensions), np.asarray(values, dtype=np.float32))
        for name, values in bands.items()
    }
    return xr.Dataset(data, coords=coords, attrs={"quantity": "reflectance"})


def layer(values: Array, name: str, geobox: GeoBox) -> xr.DataArray:
    """One raster on its grid."""
    coords = dict(xr_coords(geobox))
    return xr.DataArray(values.astype(np.float32), coords, geobox.dimensions, name=name)


def spatial_block(x_m: Array, y_m: Array, block_m: float) -> Array:
    """Cell of a square lattice."""
    column, row = (np.floor(v / block_m).astype(np.int64) for v in (x_m, y_m))
    return row * 1_000_003 + column


def parcels_and_blocks(
    parcel: Array, x_m: Array, y_m: Array, block_m: float
) -> tuple[Array, Array]:
    """Keep a parcel whole in the block of its centre; cut one that is wider than a block."""
    frame = pd.DataFrame({"parcel": parcel, "x": x_m, "y": y_m})
    grouped = frame.groupby("parcel")[["x", "y"]]
    extent = (grouped.transform("max") - grouped.transform("min")).max(axis=1).to_numpy()
    middle = grouped.transform("mean")
    whole = extent <= block_m
    block = spatial_block(
        np.where(whole, middle["x"], x_m), np.where(whole, middle["y"], y_m), block_m
    )
    piece = pd.Series(list(zip(parcel, block, strict=True))).factorize()[0]
    return piece.astype(np.int64), block


def labelled_pixels(
    label: Array,
    truth: Array,
    parcel: Array,
    core: Array,
    scored: Array,
    geobox: GeoBox,
    *,
    block_m: float,
    season: int = 0,
) -> pd.DataFrame:
    """Rows of every labelled pixel of one raster."""
    row, col = np.nonzero((label != NO_CLASS) & (truth != NO_CLASS))
    x_m, y_m = geobox.affine * (col + 0.5, row + 0.5)
    piece, block = parcels_and_blocks(parcel[row, col], x_m, y_m, block_m)
    at = (row, col)
    return pd.DataFrame(
        {
            "season": season,
            "row": row,
            "col": col,
            "label": label[at],
            "truth": truth[at],
            "owner": parcel[at],
            "parcel": piece,
            "block": block,
            "x_m": x_m,
            "y_m": y_m,
            "core": core[at],
            "scored": scored[at],
        }
    )


def inner(parcel: Array) -> Array:
    """Pixels whose four neighbours belong to the same parcel."""
    same = np.ones(parcel.shape, dtype=bool)
    for axis in (0, 1):
        apart = np.diff(parcel, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        same[tuple(before)] &= ~apart
        same[tuple(after)] &= ~apart
    return same


def every(shape: tuple[int, int], step: int) -> Array:
    """A systematic sample of pixels."""
    picked = np.zeros(shape, dtype=bool)
    picked[step // 2 :: step, step // 2 :: step] = True
    return picked


CLUSTER_M = 330.0
"""Samples nearer than the diagonal of a 231.7 m pixel lie in one field: single linkage."""


def clusters(x_m: Array, y_m: Array, distance_m: float) -> Array:
    """Groups of places that a chain of steps of at most ``distance_m`` connects."""
    places, member = np.unique(np.stack([x_m, y_m], axis=1), axis=0, return_inverse=True)
    return fcluster(linkage(places, "single"), distance_m, "distance")[member.ravel()]


def mato_grosso(shared: Path) -> Site:
    folder = shared / "mato_grosso_modis_timeseries"
    geobox = _grid(folder / "ndvi_137dates.tif")
    days = pd.to_datetime(pd.read_csv(folder / "dates.csv")["date"])
    names = {"blue": "blue", "red": "red", "nir": "nir", "swir22": "mir"}
    bands = {ours: _modis(folder, theirs) for ours, theirs in names.items()}
    points = pd.read_csv(folder / "samples.csv")
    x_m, y_m = Transformer.from_crs(4326, geobox.crs, always_xy=True).transform(
        points["longitude"], points["latitude"]
    )
    col, row = (np.floor(v).astype(int) for v in ~geobox.affine * (x_m, y_m))
    first = pd.to_datetime(points["from"])
    starts = sorted(first.unique())
    classes = tuple(sorted(points["label"].unique()))
    field_of = clusters(x_m, y_m, CLUSTER_M)
    pixels = pd.DataFrame(
        {
            "season": first.map({start: k for k, start in enumerate(starts)}),
            "row": row,
            "col": col,
            "label": points["label"].map(classes.index),
            "truth": points["label"].map(classes.index),
            "owner": field_of,
            "parcel": field_of,
            "block": field_of,
            "x_m": x_m,
            "y_m": y_m,
            "core": True,
            "scored": True,
        }
    )
    return Site(
        "Mato Grosso",
        "accuracy",
        "385 dated field samples (dtwSat), MODIS 16-day series",
        classes,
        tuple(_modis_year(bands, days, geobox, start) for start in starts),
        pixels,
        {
            "any crop": tuple(name for name in classes if name != "Forest"),
            "soybean, then another crop": tuple(n for n in classes if n.startswith("Soybean")),
        },
        notes=(
            f"parcel = block = samples chained by steps of at most {CLUSTER_M:.0f} m (the diagonal "
            "of a pixel); a place sampled in several years counts once; about 35 % of the sample "
            "places are not in the file",
        ),
    )


def _modis(folder: Path, name: str) -> Array:
    numbers = _read(folder / f"{name}_137dates.tif")
    return np.where(numbers == -32768, np.nan, numbers * 1e-4).astype(np.float32)


def _modis_year(
    bands: Mapping[str, Array], days: pd.Series, geobox: GeoBox, start: pd.Timestamp
) -> Season:
    """One crop year, 23 composites."""
    end = start + pd.DateOffset(years=1)
    within = ((days >= start) & (days < end)).to_numpy()
    looks = cube({n: v[within] for n, v in bands.items()}, days[within], geobox)
    last = end.date() - dt.timedelta(days=1)
    return Season(looks, looks["nir"].notnull(), start.date(), last)


RABA = {
    1100: "open farmland",
    1300: "open farmland",
    1600: "open farmland",
    1410: "shrubs",
    1500: "shrubs",
    2000: "forest",
    3000: "built",
}
"""Cultivated land (4 parcels) and uncultivated farmland (4) cannot stand alone."""


def slovenia(shared: Path) -> Site:
    folder = shared / "slovenia_eopatch"
    geobox = _grid(folder / "lulc.tif")
    survey = gpd.read_file(folder / "lulc_parcels_raba.gpkg")
    classes = ("open farmland", "shrubs", "forest", "built")
    owner = rasterize(
        zip(survey.geometry, range(1, len(survey) + 1), strict=True),
        out_shape=geobox.shape,
        transform=geobox.affine,
        dtype="int32",
    )
    codes = np.array([NO_CLASS, *(classes.index(RABA[int(v)]) for v in survey["RABA_ID"])])
    label = codes[owner]
    pixels = labelled_pixels(
        label, label, owner, inner(owner), np.ones_like(label, dtype=bool), geobox, block_m=250.0
    )
    scenes = sorted(folder.glob("s2_l1c_*.tif"))
    height = layer(_read(folder / "dem.tif")[0], "height", geobox)
    return Site(
        "Slovenia",
        "accuracy",
        "land-use register (RABA) of 2017-18",
        classes,
        (_slovenian_season(folder, scenes, geobox, height),),
        pixels,
        {"forest or shrubs": ("shrubs", "forest")},
        notes=(
            "cultivated land (4 parcels), meadow (26) and uncultivated farmland (4) are merged "
            "into open farmland, overgrown land and trees/shrubs into shrubs; blocks of 250 m, "
            "since the place is 1 km wide",
        ),
    )


def _slovenian_season(
    folder: Path, scenes: list[Path], geobox: GeoBox, height: xr.DataArray
) -> Season:
    stack = np.stack([_read(path) for path in scenes])
    days = [path.stem[-8:] for path in scenes]
    bands = {n: stack[:, k] for k, n in enumerate(SENTINEL2.values())}
    looks = cube(bands, days, geobox)
    dates = pd.to_datetime(pd.read_csv(folder / "dates.csv")["datetime"])
    cloudy = _read(folder / "cloudmask_68dates.tif") != 0
    ndvi = np.where(cloudy, np.nan, _read(folder / "ndvi_68dates.tif")).astype(np.float32)
    # two looks of one day: the first one counts
    new = ~dates.dt.date.duplicated().to_numpy()
    series = cube({"ndvi": ndvi[new]}, dates[new].dt.normalize(), geobox)["ndvi"]
    seen = series.sel(time=looks["time"]).notnull()
    return Season(looks, seen, dt.date(2015, 7, 1), dt.date(2015, 9, 30), height, series)


def north_carolina(shared: Path) -> Site:
    folder = shared / "north_carolina_landcover"
    geobox = _grid(folder / "lsat7_2000.tif")
    numbers = _read(folder / "lsat7_2000.tif").astype(np.float32)
    seen = (numbers != -9999).all(axis=0)
    classes = ("developed", "agriculture", "herbaceous", "shrubland", "forest", "water")
    mapped = _read(folder / "landclass96.tif")[0].astype(np.int64)
    # sediment, the seventh, is 194 pixels in 6 patches
    label = np.where(seen & (mapped >= 1) & (mapped <= len(classes)), mapped - 1, NO_CLASS)
    owner = patches(label)
    pixels = labelled_pixels(
        label, label, owner, inner(label), every(label.shape, 3), geobox, block_m=1000.0
    )
    names = ("blue", "green", "red", "nir", "swir16", "swir22")
    # digital numbers of 8 bits are taken as they are, only brought to 0-1
    scaled = np.where(seen, numbers / 255, np.nan)[:, None]
    looks = cube(dict(zip(names, scaled, strict=True)), ["2000-03-31"], geobox)
    day = dt.date(2000, 3, 31)
    return Site(
        "North Carolina",
        "agreement",
        "land-class map of 1996",
        classes,
        (Season(looks, looks["nir"].notnull(), day, day),),
        pixels,
        {"herbaceous or crop": ("agriculture", "herbaceous")},
        notes=(
            "parcel = connected patch of the map, cut by blocks of 1 km; every third pixel each "
            "way is scored; the date within 2000 is not stated, the map is four years older",
        ),
    )


def patches(label: Array) -> Array:
    """Number the connected patches of every class."""
    owner = np.zeros(label.shape, dtype=np.int64)
    for value in np.unique(label[label != NO_CLASS]):
        found, count = ndimage.label(label == value, np.ones((3, 3)))
        owner = np.where(found > 0, owner.max() + found, owner)
        del count
    return owner


OSM = {
    "farm": "farm",
    "meadow": "grass",
    "grass": "grass",
    "scrub": "scrub",
    "forest": "forest",
    "water": "water",
    "wetland": "wetland",
    "residential": "residential",
}


def brandenburg(shared: Path) -> Site:
    folder = shared / "brandenburg_s2_l1c"
    polygons = gpd.read_file(folder / "osm_landuse_water.gpkg")
    geobox = GeoBox((384, 768), Affine(20, 0, 330_000, 0, -20, 5_822_040), "EPSG:32633")
    classes = tuple(dict.fromkeys(OSM.values()))
    code = polygons["fclass"].map(lambda name: classes.index(OSM[name])).to_numpy()
    # one object can be several rows; two classes on one place contradict each other
    owners = polygons["osm_id"].astype("category").cat.codes.to_numpy().astype(np.int64) + 1
    owner = _burnt(polygons, owners, geobox)
    layers = [polygons[code == k] for k in range(len(classes))]
    claimed = np.stack([_burnt(part, np.ones(len(part)), geobox) > 0 for part in layers])
    label = np.where(claimed.sum(axis=0) == 1, claimed.argmax(axis=0), NO_CLASS)
    pixels = labelled_pixels(
        label, label, owner, inner(owner), every(label.shape, 2), geobox, block_m=1000.0
    )
    looks = cube(_sentinel_20m(folder), ["2017-02-16"], geobox)
    day = dt.date(2017, 2, 16)
    return Site(
        "Brandenburg",
        "agreement",
        "(c) OpenStreetMap contributors (ODbL), land use and water",
        classes,
        (Season(looks, looks["nir"].notnull(), day, day),),
        pixels,
        {
            "water or wetland": ("water", "wetland"),
            "forest or scrub": ("forest", "scrub"),
        },
        notes=(
            "13 bands on one 20 m grid; places that two classes claim are left out; every second "
            "pixel each way is scored; winter scene, thin cloud over a part",
        ),
    )


def _burnt(polygons: gpd.GeoDataFrame, values: Array, geobox: GeoBox) -> Array:
    return rasterize(
        zip(polygons.geometry, values, strict=True),
        out_shape=geobox.shape,
        transform=geobox.affine,
        dtype="int32",
        merge_alg=MergeAlg.replace,
    )


def _sentinel_20m(folder: Path) -> dict[str, Array]:
    bands = {}
    for short, name in SENTINEL2.items():
        values = _read(next((folder / "IMG_DATA").glob(f"*_{short}.jp2")))[0].astype(np.float32)
        values = values * 1e-4
        if values.shape[0] == 768:
            values = values.reshape(384, 2, 768, 2).mean(axis=(1, 3))
        elif values.shape[0] == 128:
            values = values.repeat(3, axis=0).repeat(3, axis=1)
        bands[name] = values[None]
    return bands
