"""Every public raster function: the same under any chunking, and nothing computed on the way."""

import datetime as dt
import importlib
import inspect
import pkgutil
import types
from typing import NamedTuple

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

import rs_monitor.imagery
import rs_monitor.maps
from rs_monitor.codes import AlertStatus
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table
from rs_monitor.errors import GridMismatch
from rs_monitor.imagery.composites import (
    clear_looks,
    composite,
    last_look,
    longest_gap,
    median_composite,
    middle_look,
    only_clear,
    shown_look,
)
from rs_monitor.imagery.harmonise import load_harmonisation, to_sentinel2
from rs_monitor.imagery.illumination import LightFit, cos_incidence, cos_slope, flatten_terrain
from rs_monitor.imagery.load import to_reflectance, valid_mask
from rs_monitor.imagery.lost_looks import lost_looks
from rs_monitor.imagery.masks import screen
from rs_monitor.imagery.terrain_shadow import terrain_shadow
from rs_monitor.kernels.change import MadTransform
from rs_monitor.kernels.normalise import HeldOut
from rs_monitor.lazy import is_lazy, map_pixels, map_window, reduce_time
from rs_monitor.maps.applicability import Domain, outside
from rs_monitor.maps.baseline import fit_baseline
from rs_monitor.maps.breaks import BreakRules, bfast_monitor, ccdc, ccdc_monitor
from rs_monitor.maps.buffer_stratum import buffer_stratum
from rs_monitor.maps.change import change_layers
from rs_monitor.maps.change_threshold import Threshold
from rs_monitor.maps.combined import CombinedFit, Cut, combined_change
from rs_monitor.maps.dem_difference import elevation_change
from rs_monitor.maps.dem_shift import DemShift, apply_shift
from rs_monitor.maps.displacement import subsidence
from rs_monitor.maps.feature_spec import FeatureSpec
from rs_monitor.maps.features import BANDS, season_features
from rs_monitor.maps.generalise import generalise_probabilities
from rs_monitor.maps.indices import mndwi, ndbi, ndvi
from rs_monitor.maps.lasting_loss import Cover, LossModel, Normal
from rs_monitor.maps.monitoring import fit_harmonic, monitor
from rs_monitor.maps.normalise import Normalisation, normalise
from rs_monitor.maps.objects import ObjectRules, object_probabilities
from rs_monitor.maps.slope_error import DemError, exceedance_probability, slope_limit
from rs_monitor.maps.slope_grades import slope_grade
from rs_monitor.maps.smoothing import SmoothingRules, smooth_probabilities
from rs_monitor.maps.spectral_catalogue import index_map
from rs_monitor.maps.terrain import (
    aspect,
    curvature,
    hillshade,
    relief,
    roughness,
    slope,
    slope_aspect_and_hillshade,
    terrain_ruggedness,
    topographic_position,
)
from rs_monitor.maps.terrain_features import terrain_features
from rs_monitor.maps.terrain_rules import TerrainRules
from rs_monitor.maps.texture import texture
from rs_monitor.maps.two_date import posterior_change, two_date_change
from rs_monitor.maps.uncertainty import uncertainty
from rs_monitor.maps.variates import VariateFit, variate_change
from rs_monitor.maps.watch import (
    confirmed_change,
    renew_baseline,
    replay,
    start_watch,
    status_as_of,
    update,
    update_all,
)
from tests.comparison import assert_close
from tests.imagery.shipped_rules import CLEAR_SKY
from tests.maps.shipped_breaks import SHIPPED as SHIPPED_BREAKS
from tests.maps.shipped_change_rules import CHANGE_RULES
from tests.maps.shipped_charts import SHIPPED as CHARTS
from tests.maps.shipped_watch import SHIPPED

TIMES, ROWS, COLS = 6, 5, 4
START, END = dt.date(2024, 3, 1), dt.date(2024, 10, 31)
GEOBOX = GeoBox((ROWS, COLS), Affine(10, 0, 500000, 0, -10, 3500000), "EPSG:32650")
NEAR_SKY = CLEAR_SKY.model_copy(
    update={"cloud_opening_m": 0.0, "shadow_opening_m": 0.0, "provider_rim_m": 0.0}
    | {"cloud_growth_m": 15.0, "shadow_growth_m": 10.0}
)
"""Distances of a pixel, so that chunks of this small grid have neighbours to look at."""

PLATFORMS = ["landsat-5", "landsat-7", "landsat-8", "landsat-9", "sentinel-2a", "sentinel-2b"]
SUNS = [(140.0, 30.0 + 5 * k) for k in range(TIMES)]
BREAKS_FROM = dt.date(2021, 9, 1)
BREAKS = BreakRules(
    id=SHIPPED_BREAKS.id,
    version=SHIPPED_BREAKS.version,
    basis=SHIPPED_BREAKS.basis,
    bfast_monitor=SHIPPED_BREAKS.bfast_monitor.model_copy(update={"order": 1, "min_looks": 5}),
    ccdc_monitor=SHIPPED_BREAKS.ccdc_monitor.model_copy(update={"order": 1}),
    ccdc=SHIPPED_BREAKS.ccdc.model_copy(
        update={"detection": ("red", "nir"), "screened": ("red",), "screen_factor": 50.0}
    ),
)
TERRAIN = load_table(data_root() / "configs" / "rules" / "terrain.toml", TerrainRules)
DEM_ERROR = DemError(sigma_m=4, range_m=30, correlation="exponential")
NEAR_SHIFT = DemShift(3.0, -4.0, 1.5, 0, 0, 0, 0, 0, 0, 0, True)
LIGHT_FITS = [LightFit(0.3, 0.5, 100, "", 0.1)] * 4 + [LightFit(None, 0.1, 100, "weak")] * 2

EVERY_KIND = FeatureSpec(
    period="years",
    bands=("red", "nir"),
    indices=("NDVI", "EVI"),
    band_quantiles=(0.25, 0.5),
    index_spreads=((0.25, 0.75),),
    parts=2,
    parts_of=("ndvi",),
    peak_day_of=("evi",),
    harmonic_order=1,
    harmonics_of=("nir",),
    texture_of=("red", "ndvi"),
    texture_windows_px=(3,),
    texture_measures=("std", "contrast"),
    terrain=("height_m",),
    clear_looks=True,
)

HALF = np.array([0.5, 0.5])
VARIATES = VariateFit(
    method="irmad",
    transform=MadTransform(30 * np.eye(2), 20 * np.eye(2), np.full(4, 0.3), HALF),
    threshold=Threshold("kmeans", 3.0, None, 2.0, 1.0),
    magnitudes=np.array([2.0, 6.0]),
    probabilities=np.array([0.0, 1.0]),
    iterations=3,
    pixels=ROWS * COLS,
    bands=("red", "nir"),
)
DOMAIN = Domain(
    points=np.array([[0.1, 0.2], [0.3, 0.1], [0.2, np.nan]], dtype=np.float32),
    reach=np.array([0.2, 0.1, 0.3], dtype=np.float32),
    center=np.array([0.1, 0.2], dtype=np.float32),
    scale=np.array([1, 0.5], dtype=np.float32),
    share=np.array([0.8, 0.2], dtype=np.float32),
    threshold=1.0,
    min_seen_share=0.5,
)
THREE = MadTransform(30 * np.eye(3), 20 * np.eye(3), np.full(6, 0.3), np.full(3, 0.5))
SCORES = np.stack([np.full(3, 0.3), np.full(3, 0.1)])
COMBINED = CombinedFit(
    slow=THREE,
    mad=THREE,
    cut=Cut(2.0, 3.0, "kmeans"),
    cover=Cover(SCORES, SCORES, SCORES, red=1, nir=2, dark=2, vegetated=(-0.5, -0.5), water=-2.0),
    model=LossModel(
        Normal(np.zeros(4), np.eye(4)), Normal(np.full(4, 0.5), 2 * np.eye(4)), log_prior=0.0
    ),
    rules=CHANGE_RULES,
    width_px=1,
    pixels=ROWS * COLS,
    bands=("green", "red", "nir"),
)
TO_REFERENCE = Normalisation(
    slope=2 * HALF,
    intercept=HALF / 10,
    bands=("red", "nir"),
    pixels=10,
    held_out_pixels=5,
    test=HeldOut(HALF, HALF, HALF, HALF),
    equal_means_p=HALF,
    equal_variances_p=HALF,
)


def date_of(inputs, look):
    """Bands of one look, as the two-date methods take them."""
    return inputs.seen[["red", "nir"]].to_dataarray("band").isel(time=look, drop=True)


def three_bands(inputs, look):
    return inputs.seen[list(COMBINED.bands)].to_dataarray("band").isel(time=look, drop=True)


OBJECTS = ObjectRules(
    method="felzenszwalb", mean_size_px=4, compactness=0.1, scale=1.0, block_px=64
).model_copy(update={"block_px": 3})
"""Blocks smaller than the grid, so that it is cut."""


def shares(inputs):
    """Two layers that sum to 1, as class probabilities do."""
    one = inputs.seen["red"][0].drop_vars("time").clip(0.01, 0.99)
    return xr.concat([one, 1 - one], "class").astype("float32")


SHORT_HISTORY = CHARTS.model_copy(
    update={"history": CHARTS.history.model_copy(update={"order": 0, "trend": False})}
)

WATCHED_FROM = dt.date(2024, 5, 1)
WATCH = SHIPPED.model_copy(
    update={
        "baseline": SHIPPED.baseline.model_copy(
            update={"seasons": 4, "window_days": 100.0, "min_looks": 2, "min_fit_looks": 4}
        ),
        "min_anomaly": 0.01,
        "spreads": 0.5,
    }
)


def watch_state(inputs):
    red, clear = inputs.seen["red"], inputs.clear
    return replay(red, clear, start=WATCHED_FROM, as_of=dt.date(2024, 9, 30), rules=WATCH)


def all_reset(state):
    return state.assign(stage=state["stage"] * 0 + np.uint8(AlertStatus.RESET))


def often(inputs, times=5):
    """The looks over and over, a month after each other: enough for a model."""
    plain = inputs.seen[["red", "nir"]].drop_vars(["item_ids", "spatial_ref"], errors="ignore")
    dates = np.datetime64("2020-01-05", "ns") + np.arange(times * TIMES) * np.timedelta64(30, "D")
    return xr.concat([plain] * times, "time").assign_coords(time=dates)


class Inputs(NamedTuple):
    cube: xr.Dataset  # raw numbers
    seen: xr.Dataset  # reflectance
    clear: xr.DataArray
    dem: xr.DataArray


FUNCTIONS = {
    "rs_monitor.imagery.composites.only_clear": lambda i: only_clear(i.seen["red"], i.clear),
    "rs_monitor.imagery.composites.median_composite": lambda i: median_composite(
        i.seen["red"], i.clear, min_looks=2
    ),
    "rs_monitor.imagery.composites.composite": lambda i: xr.Dataset(
        {
            method: composite(
                i.seen,
                i.clear,
                bands=["red", "nir"],
                method=method,
                min_looks=2,
                target_day=dt.date(2024, 6, 1) if method == "best_pixel" else None,
            )
            for method in ("median", "geomedian", "medoid", "best_pixel")
        }
    ),
    "rs_monitor.imagery.composites.last_look": lambda i: last_look(i.clear, start=START),
    "rs_monitor.imagery.composites.clear_looks": lambda i: clear_looks(i.clear),
    "rs_monitor.imagery.composites.middle_look": lambda i: middle_look(i.clear, start=START),
    "rs_monitor.imagery.composites.shown_look": lambda i: xr.Dataset(
        {
            method: shown_look(
                i.seen,
                i.clear,
                bands=["red", "nir"],
                method=method,
                start=START,
                min_looks=2,
                target_day=dt.date(2024, 6, 1) if method == "best_pixel" else None,
            )
            for method in ("median", "geomedian", "medoid", "best_pixel")
        }
    ),
    "rs_monitor.imagery.composites.longest_gap": lambda i: longest_gap(
        i.clear, start=START, end=END
    ),
    "rs_monitor.maps.breaks.bfast_monitor": lambda i: bfast_monitor(
        often(i)["red"], start=BREAKS_FROM, rules=BREAKS.bfast_monitor
    ),
    "rs_monitor.maps.breaks.ccdc": lambda i: ccdc(
        often(i), bands=["red", "nir"], rules=BREAKS.ccdc
    ),
    "rs_monitor.maps.breaks.ccdc_monitor": lambda i: ccdc_monitor(
        often(i)["red"], start=BREAKS_FROM, rules=BREAKS.ccdc_monitor
    ),
    "rs_monitor.imagery.harmonise.to_sentinel2": lambda i: to_sentinel2(
        i.seen, list(BANDS)[:2], keys=PLATFORMS, table=load_harmonisation()
    ),
    "rs_monitor.imagery.illumination.cos_incidence": lambda i: cos_incidence(
        i.dem, GEOBOX, sun_azimuth_deg=140.0, sun_elevation_deg=35.0
    ),
    "rs_monitor.imagery.illumination.cos_slope": lambda i: cos_slope(i.dem, GEOBOX),
    "rs_monitor.imagery.illumination.flatten_terrain": lambda i: flatten_terrain(
        i.seen, i.dem, GEOBOX, suns=SUNS, fits={"red": LIGHT_FITS}, method="scs_c"
    ),
    "rs_monitor.imagery.load.to_reflectance": lambda i: to_reflectance(i.cube, list(BANDS)),
    "rs_monitor.imagery.load.valid_mask": lambda i: valid_mask(i.cube["red"]),
    "rs_monitor.imagery.lost_looks.lost_looks": lambda i: lost_looks(
        screen(i.cube, kind="scl", band="scl", spectral_bands=BANDS, rules=CLEAR_SKY)["reason"]
    ),
    "rs_monitor.imagery.masks.screen": lambda i: screen(
        i.cube, kind="scl", band="scl", spectral_bands=BANDS, rules=NEAR_SKY
    ),
    "rs_monitor.imagery.terrain_shadow.terrain_shadow": lambda i: terrain_shadow(
        i.dem,
        GEOBOX,
        times=i.clear["time"].values[:3],
        sun_azimuth_deg=[100.0, 135.0, 300.0],
        sun_elevation_deg=[20.0, 35.0, 30.0],
        reach_m=12.0,
    ),
    "rs_monitor.maps.buffer_stratum.buffer_stratum": lambda i: buffer_stratum(
        i.cube["scl"][0].drop_vars("time"), GEOBOX, around=(7,), width_m=15.0, code=20
    ),
    "rs_monitor.maps.change.change_layers": lambda i: change_layers(
        *(date_of(i, look).isel(band=look, drop=True) for look in (0, 1)),
        threshold=0.3,
        attrs={"method": "difference"},
    ),
    "rs_monitor.maps.dem_difference.elevation_change": lambda i: elevation_change(
        i.dem, i.seen["red"][0].drop_vars("time")
    ),
    "rs_monitor.maps.dem_shift.apply_shift": lambda i: xr.Dataset(
        {
            method: apply_shift(i.dem, GEOBOX, NEAR_SHIFT, method=method).rename(method)
            for method in ("bilinear", "bicubic")
        }
    ),
    "rs_monitor.maps.displacement.subsidence": lambda i: subsidence(
        i.dem,
        GEOBOX,
        quantity="los",
        positive="away",
        unit="mm/a",
        rules=TERRAIN.displacement,
        incidence_deg=i.dem * np.float32(0.3),
        result="vertical",
    ),
    "rs_monitor.maps.baseline.fit_baseline": lambda i: xr.Dataset(
        {
            f"{kind} {name}": variable.rename(level=kind) if "level" in variable.dims else variable
            for kind in ("same_season", "harmonic")
            for name, variable in fit_baseline(
                i.seen["red"],
                i.clear,
                before=END,
                rules=WATCH.baseline.model_copy(update={"kind": kind}),
            )
            .rename(width=f"{kind} width")
            .items()
        }
    ),
    "rs_monitor.maps.features.season_features": lambda i: season_features(
        i.seen,
        i.clear,
        start=START,
        end=dt.date(2025, 2, 28),
        spec=EVERY_KIND,
        terrain=xr.Dataset({"height_m": i.dem}),
    ),
    "rs_monitor.maps.indices.mndwi": lambda i: mndwi(i.seen),
    "rs_monitor.maps.indices.ndbi": lambda i: ndbi(i.seen),
    "rs_monitor.maps.indices.ndvi": lambda i: ndvi(i.seen),
    "rs_monitor.maps.generalise.generalise_probabilities": lambda i: generalise_probabilities(
        shares(i), shares(i), SmoothingRules(radius_px=2, share=0.5, smoothness=10.0)
    ),
    "rs_monitor.maps.objects.object_probabilities": lambda i: object_probabilities(
        shares(i), i.seen[["red", "nir"]].to_dataarray("band")[:, 1].drop_vars("time"), OBJECTS
    ),
    "rs_monitor.maps.smoothing.smooth_probabilities": lambda i: smooth_probabilities(
        shares(i), SmoothingRules(radius_px=1, share=0.5, smoothness=10.0)
    ),
    "rs_monitor.maps.applicability.outside": lambda i: outside(
        date_of(i, 1).rename(band="feature"), DOMAIN
    ),
    "rs_monitor.maps.uncertainty.uncertainty": lambda i: uncertainty(
        date_of(i, 1).rename(band="class")
    ),
    "rs_monitor.maps.normalise.normalise": lambda i: normalise(date_of(i, 0), TO_REFERENCE),
    "rs_monitor.maps.slope_error.exceedance_probability": lambda i: exceedance_probability(
        i.dem, GEOBOX, 25.0, DEM_ERROR
    ),
    "rs_monitor.maps.slope_error.slope_limit": lambda i: slope_limit(
        exceedance_probability(i.dem, GEOBOX, 25.0, DEM_ERROR), TERRAIN.borderline
    ),
    "rs_monitor.maps.slope_grades.slope_grade": lambda i: slope_grade(i.dem / 8, TERRAIN.grades),
    "rs_monitor.maps.spectral_catalogue.index_map": lambda i: index_map(i.seen, "EVI"),
    "rs_monitor.maps.terrain_features.terrain_features": lambda i: terrain_features(
        i.dem, GEOBOX, names=["slope_deg", "roughness_m", "topographic_position_m"]
    ),
    "rs_monitor.maps.terrain.aspect": lambda i: aspect(i.dem, GEOBOX),
    "rs_monitor.maps.terrain.curvature": lambda i: curvature(i.dem, GEOBOX, kind="plan"),
    "rs_monitor.maps.terrain.hillshade": lambda i: hillshade(i.dem, GEOBOX),
    "rs_monitor.maps.terrain.relief": lambda i: relief(i.dem, GEOBOX, radius_px=2),
    "rs_monitor.maps.terrain.roughness": lambda i: roughness(i.dem, GEOBOX),
    "rs_monitor.maps.terrain.slope": lambda i: slope(i.dem, GEOBOX),
    "rs_monitor.maps.terrain.slope_aspect_and_hillshade": lambda i: slope_aspect_and_hillshade(
        i.dem, GEOBOX
    ),
    "rs_monitor.maps.terrain.terrain_ruggedness": lambda i: terrain_ruggedness(i.dem, GEOBOX),
    "rs_monitor.maps.terrain.topographic_position": lambda i: topographic_position(i.dem, GEOBOX),
    "rs_monitor.maps.combined.combined_change": lambda i: combined_change(
        three_bands(i, 0), three_bands(i, 1), COMBINED
    ),
    "rs_monitor.maps.texture.texture": lambda i: texture(
        i.dem, window_px=3, measures=("std", "range", "contrast", "homogeneity"), step=1.0
    ),
    "rs_monitor.maps.two_date.posterior_change": lambda i: posterior_change(
        *(date_of(i, look).rename(band="cover") for look in (0, 1)), classes=[1, 3], threshold=0.1
    ),
    "rs_monitor.maps.two_date.two_date_change": lambda i: two_date_change(
        date_of(i, 0), date_of(i, 1), VARIATES
    ),
    "rs_monitor.maps.variates.variate_change": lambda i: variate_change(
        date_of(i, 2), date_of(i, 4), VARIATES
    ),
    "rs_monitor.maps.monitoring.fit_harmonic": lambda i: fit_harmonic(
        i.seen["red"], rules=SHORT_HISTORY.history
    ),
    "rs_monitor.maps.monitoring.monitor": lambda i: xr.Dataset(
        {
            f"{method}_{name}": layer
            for method in ("ewma", "cusum", "mosum", "iqr")
            for name, layer in monitor(
                i.seen["red"], start=dt.date(2024, 9, 1), method=method, rules=SHORT_HISTORY
            ).data_vars.items()
        }
    ),
    "rs_monitor.maps.watch.confirmed_change": lambda i: confirmed_change(watch_state(i)),
    "rs_monitor.maps.watch.renew_baseline": lambda i: renew_baseline(
        all_reset(watch_state(i)), i.seen["red"], i.clear, rules=WATCH
    ),
    "rs_monitor.maps.watch.replay": watch_state,
    "rs_monitor.maps.watch.start_watch": lambda i: start_watch(
        i.seen["red"], i.clear, start=WATCHED_FROM, rules=WATCH
    ),
    "rs_monitor.maps.watch.status_as_of": lambda i: status_as_of(watch_state(i), END, WATCH),
    "rs_monitor.maps.watch.update": lambda i: update(
        watch_state(i), i.seen["red"][5], i.clear[5], dt.date(2024, 10, 30), WATCH
    ),
    "rs_monitor.maps.watch.update_all": lambda i: update_all(
        watch_state(i), i.seen["red"][5:], i.clear[5:], rules=WATCH
    ),
}

ELSEWHERE = {
    # read files: tests/imagery/test_load.py
    "rs_monitor.imagery.load.load_cube",
    "rs_monitor.imagery.load.load_dem",
    "rs_monitor.imagery.load.mosaic_dem",
}


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(4)
    shape, dims = (TIMES, ROWS, COLS), ("time", "y", "x")
    days = np.array(["2024-03-05", "2024-04-20", "2024-05-30", "2024-07-01"], "M8[ns]")
    times = np.concatenate([days, np.array(["2024-09-10", "2024-10-30"], "M8[ns]")])
    coords = {**xr_coords(GEOBOX, dims=("y", "x")), "time": times}
    coords["item_ids"] = ("time", [f"scene-{k}" for k in range(TIMES)])
    for band in BANDS:
        coords[f"{band}_scale"] = ("time", np.full(TIMES, 1e-4))
        coords[f"{band}_offset"] = ("time", np.where(np.arange(TIMES) < 3, 0.0, -0.1))
    numbers = {
        band: (dims, rng.integers(0, 6000, shape).astype("uint16"), {"nodata": 0}) for band in BANDS
    }
    numbers["red"][1][rng.random(shape) < 0.2] = 0
    scl = rng.integers(0, 12, shape).astype("uint8")
    cube = xr.Dataset(
        {**numbers, "scl": (dims, scl, {"nodata": 0})}, coords=coords, attrs={"quantity": "dn"}
    )
    clear = xr.DataArray(rng.random(shape) < 0.6, dims=dims, coords=cube.coords, name="clear")
    clear[:, 1, 2] = False
    dem = rng.normal(100, 8, (ROWS, COLS)).astype("float32")
    dem[3, 0] = np.nan
    space = {name: coords[name] for name in ("y", "x", "spatial_ref")}
    height = xr.DataArray(dem, dims=("y", "x"), coords=space, name="dem")
    return Inputs(cube, to_reflectance(cube, list(BANDS)), clear, height)


def cut(array, chunks):
    """The array over dask; coordinates stay in memory, as in a loaded cube."""
    sizes = tuple(chunks[dim] for dim in array.dims)
    return array.copy(data=da.from_array(array.values, chunks=sizes))


def cut_all(inputs, chunks, others):
    def each(dataset):
        # bands of one scene may come in blocks of their own
        bands = {
            name: cut(band, others if k % 2 else chunks)
            for k, (name, band) in enumerate(dataset.data_vars.items())
        }
        return dataset.assign(bands)

    return Inputs(
        each(inputs.cube), each(inputs.seen), cut(inputs.clear, others), cut(inputs.dem, chunks)
    )


def chunk_sizes(length):
    return st.sets(st.integers(1, length - 1)).map(
        lambda inner: tuple(np.diff([0, *sorted(inner), length]).tolist())
    )


SINGLE_PIXELS = {"time": (TIMES,), "y": (1,) * ROWS, "x": (1,) * COLS}
chunkings = st.fixed_dictionaries(
    {"time": st.sampled_from([(6,), (2, 4)]), "y": chunk_sizes(ROWS), "x": chunk_sizes(COLS)}
)


def refuse(*args, **kwargs):
    raise AssertionError("something was computed while the graph was built")


def variables(result):
    if isinstance(result, xr.DataArray):
        return {str(result.name): result}
    return {str(name): array for name, array in result.data_vars.items()}


def public_raster_functions():
    """Functions of maps and imagery that return xarray, by their annotations."""
    found = set()
    for package in (rs_monitor.maps, rs_monitor.imagery):
        for module_info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(module_info.name)
            found |= raster_functions_of(module)
    return found


def raster_functions_of(module):
    return {
        f"{module.__name__}.{name}"
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and any(word in str(function.__annotations__.get("return")) for word in ("xr.", "xarray."))
    }


def test_every_public_raster_function_is_registered():
    assert public_raster_functions() == set(FUNCTIONS) | ELSEWHERE


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(deadline=None, derandomize=True, max_examples=5, phases=(Phase.explicit, Phase.generate))
@example(SINGLE_PIXELS, SINGLE_PIXELS)
@given(chunkings, chunkings)
def test_any_chunking_gives_the_same(inputs, name, chunks, others):
    function = FUNCTIONS[name]
    expected = function(inputs)
    with dask.config.set(scheduler=refuse):
        lazy = function(cut_all(inputs, chunks, others))
        again = function(cut_all(inputs, chunks, others))
    with dask.config.set(scheduler="synchronous"):
        computed = lazy.compute()
    # names, dimensions, coordinates, attributes and values
    xr.testing.assert_identical(computed, expected)
    for key, whole in variables(expected).items():
        declared = variables(lazy)[key]
        assert isinstance(declared.data, da.Array)
        assert declared.dtype == whole.dtype
        assert_close(variables(computed)[key].values, whole.values, atol=0)
        assert declared.data.name == variables(again)[key].data.name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_declared_blocks_are_the_computed_ones(inputs, name):
    sizes = {"time": (2, 4), "y": (1, 4), "x": (3, 1)}
    for array in variables(FUNCTIONS[name](cut_all(inputs, sizes, sizes))).values():
        blocks = array.data.to_delayed().ravel().tolist()
        shapes = [block.shape for block in dask.compute(*blocks, scheduler="synchronous")]
        declared = [array.data.blocks[index].shape for index in np.ndindex(array.data.numblocks)]
        assert shapes == declared


def test_a_function_on_rasters_without_this_test_is_noticed():
    def smooth(values: xr.DataArray) -> xr.DataArray:
        return values

    module = types.ModuleType(__name__)
    module.smooth = module._private = smooth
    module.mean = np.mean
    assert raster_functions_of(module) == {f"{__name__}.smooth"}


def plain(array):
    return {"dtype": array.dtype, "name": "out", "attrs": {}}


def test_one_lazy_input_makes_the_result_lazy(inputs):
    sizes = {"time": (6,), "y": (2, 3), "x": (1, 3)}
    red, clear = inputs.seen["red"], inputs.clear
    expected = only_clear(red, clear)
    for one, other in [(cut(red, sizes), clear), (red, cut(clear, sizes))]:
        mixed = only_clear(one, other)
        assert is_lazy(mixed)
        xr.testing.assert_identical(mixed.compute(), expected)
        xr.testing.assert_identical(
            median_composite(one, other).compute(), median_composite(red, clear)
        )


def test_layers_keep_their_blocks_when_stacks_are_cut_differently(inputs):
    def extremes(one, other):
        return np.stack([one.min(axis=0), other.max(axis=0)])

    red, nir = inputs.cube["red"], inputs.cube["nir"]
    named = {**plain(red), "layers": ("which", ["low", "high"])}
    expected = reduce_time(extremes, red, nir, **named)
    assert expected["which"].values.tolist() == ["low", "high"]
    one = cut(red, {"time": (3, 3), "y": (5,), "x": (2, 2)})
    other = cut(nir, {"time": (6,), "y": (1, 4), "x": (4,)})
    computed = reduce_time(extremes, one, other, **named)
    assert computed.shape == (2, ROWS, COLS)
    xr.testing.assert_identical(computed.compute(), expected)


def test_names_and_attributes_are_written_never_inherited(inputs):
    noted = inputs.dem.assign_attrs(history="edited", units="m")
    kept = map_pixels(np.negative, noted, **plain(noted))
    assert kept.attrs == {}
    assert kept.name == "out"
    assert map_window(np.negative, noted, depth_px=1, **plain(noted)).attrs == {}


def test_half_a_pixel_is_another_grid(inputs):
    red, moved = inputs.seen["red"], inputs.clear.assign_coords(x=inputs.clear["x"] + 5)
    with pytest.raises(GridMismatch, match="x coordinates differ"):
        only_clear(red, moved)
    with pytest.raises(GridMismatch, match="x coordinates differ"):
        median_composite(red, moved)


def test_looks_of_other_days_are_refused(inputs):
    later = inputs.clear.assign_coords(time=inputs.clear["time"] + np.timedelta64(1, "D"))
    with pytest.raises(GridMismatch, match="time coordinates differ"):
        only_clear(inputs.seen["red"], later)


def test_turned_arrays_are_refused(inputs):
    with pytest.raises(GridMismatch, match="same dimensions"):
        only_clear(inputs.seen["red"], inputs.clear.transpose("time", "x", "y"))
