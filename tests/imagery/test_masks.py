import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from scipy.ndimage import gaussian_filter

from rs_monitor.codes import Sky
from rs_monitor.errors import ConfigError, MaskError
from rs_monitor.imagery.growth import open_sky
from rs_monitor.imagery.masks import mask_margin_px, screen
from rs_monitor.imagery.qa_bits import CLEAR_SCL, SceneClass
from tests.imagery.shipped_rules import CLEAR_SKY

DIMS = ("time", "y", "x")
CLOUD, SHADOW, LAND = SceneClass.CLOUD_HIGH, SceneClass.CLOUD_SHADOW, SceneClass.VEGETATION
BANDS = ["blue", "green", "red", "nir", "swir16"]
PLAIN = CLEAR_SKY.model_copy(
    update={
        "cloud_opening_m": 0.0,
        "shadow_opening_m": 0.0,
        "cloud_growth_m": 0.0,
        "shadow_growth_m": 0.0,
        "in_place": CLEAR_SKY.in_place.model_copy(update={"open_fraction": 0.0}),
    }
)


@pytest.fixture
def cube():
    codes = np.arange(12, dtype="uint8").reshape(1, 3, 4)
    red = np.full((1, 3, 4), 100, dtype="uint16")
    red[0, 1, 0] = 0
    nir = np.full((1, 3, 4), 0.5, dtype="float32")
    nir[0, 1, 1] = np.nan
    return xr.Dataset(
        {
            "red": (DIMS, red, {"nodata": 0}),
            "nir": (DIMS, nir, {"nodata": float("nan")}),
            "scl": (DIMS, codes, {"nodata": 0}),
        },
        coords={
            "time": np.array(["2024-05-01"], "M8[ns]"),
            "y": 30.0 - 10.0 * np.arange(3),
            "x": 10.0 * np.arange(4),
        },
    ).chunk(x=2)


def stack(codes, *, kind="scl", level=0.1, pixel=10.0, **bands):
    """A cube of codes (time, y, x), a look every 16 days; bands at one level unless given."""
    codes = np.asarray(codes, dtype="uint16" if kind in ("qa_pixel", "bqa") else "uint8")
    looks, rows, cols = codes.shape
    box = GeoBox((rows, cols), Affine(pixel, 0, 5e5, 0, -pixel, 35e5), "EPSG:32650")
    times = np.datetime64("2024-01-01", "ns") + np.arange(looks) * np.timedelta64(16, "D")
    coords = {**xr_coords(box, dims=("y", "x")), "time": times}
    data = {"mask": (DIMS, codes)}
    for name in BANDS:
        values = bands.get(name, np.full(codes.shape, level))
        data[name] = (DIMS, np.asarray(values, dtype="float32"), {"nodata": float("nan")})
    return xr.Dataset(data, coords=coords, attrs={"quantity": "reflectance"})


def reasons(cube, rules=PLAIN, *, kind="scl", **more):
    band = None if kind in ("outlier", "none") else "mask"
    return screen(cube, kind=kind, band=band, spectral_bands=BANDS, rules=rules, **more)


def test_clear_classes_are_the_ground():
    assert {c.name for c in CLEAR_SCL} == {
        "DARK_AREA",
        "VEGETATION",
        "NOT_VEGETATED",
        "WATER",
        "UNCLASSIFIED",
    }
    assert SceneClass.SNOW == 11


def test_scl(cube):
    clear = screen(cube, kind="scl", band="scl", spectral_bands=["red"], rules=PLAIN)["clear"]
    assert clear.dtype == bool
    assert clear.chunks is not None
    # class 4 is vegetation, but red was not seen there
    assert np.flatnonzero(clear.values).tolist() == [2, 5, 6, 7]


def test_every_spectral_band_must_be_seen(cube):
    screened = screen(cube, kind="none", band=None, spectral_bands=["red", "nir"], rules=PLAIN)
    clear = screened["clear"]
    assert np.flatnonzero(~clear.values).tolist() == [4, 5]


def test_refusals(cube):
    with pytest.raises(ConfigError, match=r"'cloud' is not in the cube \(red, nir, scl\)"):
        screen(cube, kind="scl", band="cloud", spectral_bands=["red"], rules=PLAIN)
    with pytest.raises(ConfigError, match="'s2cloudless' is unknown; use one of scl, qa_pixel"):
        screen(cube, kind="s2cloudless", band="scl", spectral_bands=["red"], rules=PLAIN)
    with pytest.raises(ConfigError, match="None is not in the cube"):
        screen(cube, kind="scl", band=None, spectral_bands=["red"], rules=PLAIN)


def test_screen_says_what_every_look_shows(cube):
    sky = screen(cube, kind="scl", band="scl", spectral_bands=["red", "nir"], rules=PLAIN)
    assert [Sky(v).name for v in sky["reason"].values.ravel()] == [
        *("NOT_SEEN", "NOT_SEEN", "CLEAR", "SHADOW"),
        *("NOT_SEEN", "NOT_SEEN", "CLEAR", "CLEAR"),
        *("CLOUD", "CLOUD", "CIRRUS", "SNOW"),
    ]
    assert np.flatnonzero(sky["clear"].values).tolist() == [2, 6, 7]
    assert not sky["doubtful"].values.any()
    names = sky["reason"].attrs["flag_meanings"].split()
    values = sky["reason"].attrs["flag_values"]
    assert dict(zip(names, values, strict=True)) == {sky.name.lower(): int(sky) for sky in Sky}


def test_without_a_mask_only_missing_values_are_left_out(cube):
    sky = screen(cube, kind="none", band=None, spectral_bands=["red", "nir"], rules=CLEAR_SKY)
    assert np.flatnonzero(~sky["clear"].values).tolist() == [4, 5]


def test_numbers_are_scaled_before_they_are_compared():
    roof = stack(np.full((4, 3, 3), CLOUD), level=0.4)
    raw = roof.copy()
    for name in BANDS:
        # half the looks are stored with another offset: the same reflectance, other numbers
        shift = np.array([0.0, 0.0, -0.1, -0.1])
        raw[name] = (DIMS, np.round((0.4 - shift[:, None, None]) / 1e-4 + np.zeros((4, 3, 3))))
        raw[name] = raw[name].astype("uint16").assign_attrs(nodata=0)
        raw = raw.assign_coords({f"{name}_scale": ("time", np.full(4, 1e-4))})
        raw = raw.assign_coords({f"{name}_offset": ("time", shift)})
    assert reasons(raw)["doubtful"].values.all()


def test_clouds_and_shadows_grow_by_metres():
    codes = np.full((1, 9, 9), LAND)
    codes[0, 4, 4] = CLOUD
    grown = PLAIN.model_copy(update={"cloud_growth_m": 20.0})
    hit = reasons(stack(codes), grown)["reason"].values[0] == Sky.CLOUD
    assert hit.sum() == 13  # a disc of two pixels
    assert (reasons(stack(codes, pixel=30.0), grown)["reason"].values == Sky.CLOUD).sum() == 1
    codes[0, 4, 4] = SHADOW
    grown = PLAIN.model_copy(update={"shadow_growth_m": 10.0})
    assert (reasons(stack(codes), grown)["reason"].values == Sky.SHADOW).sum() == 5


def test_specks_are_ground_but_doubtful_and_do_not_grow():
    codes = np.full((1, 12, 12), LAND)
    codes[0, 2, 2:9] = CLOUD  # one pixel wide
    codes[0, 6:9, 6:9] = CLOUD
    rules = PLAIN.model_copy(update={"cloud_opening_m": 15.0, "cloud_growth_m": 10.0})
    sky = reasons(stack(codes), rules)
    assert (sky["reason"].values == Sky.CLOUD).sum() == 9 + 12
    assert sky["doubtful"].values[0, 2, 2:9].all()
    assert sky["clear"].values[0, 1].all()


def test_a_cloud_at_the_rim_of_the_image_is_no_speck():
    codes = np.full((1, 8, 8), LAND)
    codes[0, :, 6:] = CLOUD  # two pixels are seen of it
    codes[0, 3:5, 1:4] = CLOUD  # a speck is two pixels wide altogether
    rules = PLAIN.model_copy(update={"cloud_opening_m": 15.0})
    found = reasons(stack(codes), rules)["reason"].values[0] == Sky.CLOUD
    assert found[:, 6:].all()
    assert not found[:, :6].any()


def test_a_false_cloud_does_not_take_its_neighbours():
    codes = np.full((4, 15, 15), LAND)
    level = np.full(codes.shape, 0.1)
    codes[:, 5:10, 5:10], level[:, 5:10, 5:10] = CLOUD, 0.4
    bands = dict.fromkeys(BANDS, level)
    grown = PLAIN.model_copy(update={"cloud_growth_m": 30.0})
    sky = reasons(stack(codes, **bands), grown)
    assert sky["clear"].values.all()
    assert (sky["doubtful"].values == (codes == CLOUD)).all()
    # a real cloud on one date: its rim also covers the roof beside it
    level[2, 2:4, 5:10], codes[2, 2:4, 5:10] = 0.7, CLOUD
    sky = reasons(stack(codes, **bands), grown)
    assert (sky["reason"].values[2, 2:7, 5:10] == Sky.CLOUD).all()
    assert sky["doubtful"].values[[0, 1, 3], 5:10, 5:10].all()


def test_snow_that_lies_for_weeks_is_no_roof():
    roof = stack(np.full((4, 3, 3), CLOUD), level=0.6)
    kinds = {"kind": "scl", "band": "mask", "rules": PLAIN}
    for swir in ("swir16", "swir22"):
        bands = ["blue", "green", "red", swir]
        seen = roof.rename(swir16=swir)
        assert screen(seen, spectral_bands=bands, **kinds)["doubtful"].values.all()
        snow = seen.assign({swir: seen["red"] * 0.2})
        assert not screen(snow, spectral_bands=bands, **kinds)["clear"].values.any()


@pytest.mark.parametrize(
    "bands", [["blue", "green", "red", "nir"], ["blue", "red", "nir", "swir16"]]
)
def test_where_snow_cannot_be_told_nothing_is_freed(bands):
    cube = stack(np.full((4, 3, 3), CLOUD), level=0.6)
    found = screen(cube, kind="scl", band="mask", spectral_bands=bands, rules=PLAIN)
    assert not found["clear"].values.any()


def test_an_index_alone_does_not_make_ground_of_clouds():
    cube = stack(np.full((6, 3, 3), CLOUD), level=0.0).rename(red="ndvi")
    found = screen(cube, kind="scl", band="mask", spectral_bands=["ndvi"], rules=PLAIN)
    assert not found["clear"].values.any()


def test_the_providers_rim_goes_with_its_cloud():
    rim, cloud, land = 21762, 22280, 21824
    codes = np.full((4, 21, 21), land)
    codes[:, 2:9, 2:9], codes[:, 4:7, 4:7] = rim, cloud
    level = np.full(codes.shape, 0.1)
    level[:, 4:7, 4:7] = 0.4
    # and a real cloud with its rim
    codes[1, 12:19, 12:19], codes[1, 14:17, 14:17] = rim, cloud
    level[1, 12:19, 12:19] = 0.6
    cube = stack(codes, kind="qa_pixel", pixel=30.0, **dict.fromkeys(BANDS, level))
    sky = reasons(cube, kind="qa_pixel")["reason"].values
    assert (sky[:, 2:9, 2:9] == np.where(codes[:, 2:9, 2:9] == cloud, Sky.DOUBTFUL, Sky.CLEAR))[
        [0, 2, 3]
    ].all()
    assert (sky[1, 12:19, 12:19] == Sky.CLOUD).all()


def test_shadow_of_the_relief_is_told_from_cloud_shadow():
    codes = np.full((1, 5, 9), LAND)
    codes[0, :, :2] = SHADOW  # of the relief
    codes[0, 1:4, 6:8] = SHADOW  # of a cloud
    codes[0, 0, 0] = CLOUD
    cube = stack(codes)
    relief = xr.zeros_like(cube["mask"], dtype=bool)
    relief[0, :, :3] = True
    rules = PLAIN.model_copy(update={"shadow_growth_m": 10.0})
    sky = reasons(cube, rules, terrain_shadow=relief)["reason"].values[0]
    assert sky[0, 0] == Sky.CLOUD
    # unlit ground is no look at the ground, flagged or not, and no rim grows from it
    assert (sky[1:, :3] == Sky.TERRAIN_SHADOW).all()
    assert (sky[:, 3:5] == Sky.CLEAR).all()
    assert (sky == Sky.SHADOW).sum() == 6 + 10
    bright = reasons(cube, rules)["reason"].values[0]
    assert (bright[1:, :3] == Sky.SHADOW).all()
    only_relief = reasons(cube, kind="none", terrain_shadow=relief)["reason"].values
    assert (only_relief == np.where(relief, Sky.TERRAIN_SHADOW, Sky.CLEAR)).all()


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_bqa_read_as_qa_pixel_is_refused_on_any_chunk(chunk):
    codes = np.full((1, 5, 5), 21824)
    codes[0, 4, 4] = 20480
    lazy = reasons(stack(codes, kind="qa_pixel").chunk(x=chunk, y=chunk), kind="qa_pixel")
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(MaskError, match="values 20480; needed values of qa_pixel"),
    ):
        lazy["clear"].compute()
    bqa = stack(np.full((1, 5, 5), 20480), kind="bqa")
    bqa["mask"][0, 0, 0] = 21824
    with pytest.raises(MaskError, match="they are values of qa_pixel"):
        reasons(bqa, kind="bqa")


def test_a_refusal_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(MaskError("got; needed; do")))
    assert str(error) == "got; needed; do"


@pytest.fixture(scope="module")
def weather():
    """Ragged clouds, shadows and a roof on 70 x 60 pixels."""
    rng = np.random.default_rng(7)
    shape = (6, 70, 60)
    noise = rng.normal(size=shape)
    smooth = np.stack([sum(np.roll(n, s, (0, 1)) for s in range(6)) for n in noise])
    codes = np.where(smooth > 2, CLOUD, np.where(smooth < -1.5, SHADOW, LAND))
    level = np.where(codes == CLOUD, 0.6 + 0.1 * noise, 0.1)
    codes[:, 20:40, 20:40], level[:, 20:40, 20:40] = CLOUD, 0.35
    return stack(codes, **dict.fromkeys(BANDS, level))


@pytest.mark.parametrize("chunks", [(70, 60), (8, 8), (23, 60), ((30, 3, 37), (1, 59))])
def test_chunks_see_their_neighbours(weather, chunks):
    whole = reasons(weather, CLEAR_SKY)
    lazy = weather.chunk(time=1, y=chunks[0], x=chunks[1])
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(reasons(lazy, CLEAR_SKY).compute(), whole)
    assert {int(v) for v in np.unique(whole["reason"])} >= {1, 2, 4, 7}


def test_a_block_with_its_margin_equals_the_whole(weather):
    margin = mask_margin_px(CLEAR_SKY, 10.0, kind="scl")
    whole = reasons(weather, CLEAR_SKY)["reason"]
    for top, left in [(0, 0), (25, 13), (40, 33)]:
        rows = slice(max(top - margin, 0), top + 20 + margin)
        cols = slice(max(left - margin, 0), left + 20 + margin)
        part = reasons(weather.isel(y=rows, x=cols), CLEAR_SKY)["reason"]
        block = whole.isel(y=slice(top, top + 20), x=slice(left, left + 20))
        xr.testing.assert_identical(part.sel(y=block["y"], x=block["x"]), block)


def test_the_margin_covers_the_farthest_step():
    assert mask_margin_px(CLEAR_SKY, 10.0) == 30 + 2 + 15
    assert mask_margin_px(CLEAR_SKY, 30.0) == 10 + 0 + 5
    assert mask_margin_px(CLEAR_SKY, 30.0, kind="qa_pixel") == 10 + 5
    assert mask_margin_px(CLEAR_SKY, 10.0, kind="scl") == 30 + 2 + 3
    for name, px in [("cloud_growth_m", 2 + 5), ("shadow_growth_m", 2 + 5), ("snow_growth_m", 5)]:
        wide = CLEAR_SKY.model_copy(update={name: 50.0})
        assert mask_margin_px(wide, 10.0, kind="scl") == 30 + px
    for name in ("cloud_opening_m", "shadow_opening_m"):
        wide = CLEAR_SKY.model_copy(update={name: 50.0})
        assert mask_margin_px(wide, 10.0, kind="scl") == 30 + 2 * 5 + 3
    assert mask_margin_px(CLEAR_SKY, 10.0, kind="none") == 0
    assert mask_margin_px(PLAIN.model_copy(update={"provider_rim_m": 0.0}), 10.0) == 30


def test_the_graph_is_built_without_reading(weather):
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    with dask.config.set(scheduler=refuse):
        lazy = reasons(weather.chunk(x=20), CLEAR_SKY)
    assert all(isinstance(lazy[name].data, da.Array) for name in ("clear", "doubtful", "reason"))


THREE = ["green", "nir", "swir16"]


def flagged_on_every_date(level, **attrs):
    """Twelve looks over a year at four pixels, all of one level and all called cloud."""
    days = np.datetime64("2025-01-01", "ns") + np.arange(12) * np.timedelta64(30, "D")
    shape, dims = (12, 2, 2), ("time", "y", "x")
    bands = {name: (dims, np.full(shape, level, dtype="float32")) for name in THREE}
    grid = {"time": days, "y": [15.0, 5.0], "x": [5.0, 15.0]}
    scl = {"scl": (dims, np.full(shape, 9, dtype="uint8"))}
    return xr.Dataset(bands | scl, coords=grid, attrs=attrs)


@pytest.mark.parametrize(
    ("level", "quantity", "held_as_floats", "kept"),
    [
        (0.3, "reflectance", False, True),
        (0.08, "reflectance", False, False),
        (3000.0, "dn", False, False),
        (3000.0, "dn", True, False),
    ],
    ids=["roof", "dark field", "raw numbers", "raw numbers as floats"],
)
def test_only_bright_ground_in_reflectance_is_kept_in_place(level, quantity, held_as_floats, kept):
    cube = flagged_on_every_date(level, quantity=quantity)
    if quantity == "dn":
        cube = cube.assign({name: cube[name].astype("uint16") for name in THREE})
        ones = {f"{name}_scale": ("time", np.ones(12)) for name in THREE}
        zeros = {f"{name}_offset": ("time", np.zeros(12)) for name in THREE}
        cube = cube.assign_coords(ones | zeros)
        if held_as_floats:
            for name in THREE:
                cube[name] = cube[name].astype("float32").assign_attrs(unscaled_dtype="uint16")
    sky = screen(cube, kind="scl", band="scl", spectral_bands=THREE, rules=PLAIN)
    assert bool(sky["doubtful"].all()) == kept
    assert bool(sky["clear"].any()) == kept


def test_ground_under_cloud_on_every_date_is_not_taken_for_a_roof():
    cube = flagged_on_every_date(0.5, quantity="reflectance")
    bands = {"kind": "scl", "band": "scl", "spectral_bands": THREE}
    assert not screen(cube, **bands, rules=CLEAR_SKY)["clear"].any()


def under_clouds(cover, looks, seed):
    """Dark ground on 160 x 160 pixels, and clouds smoothed over 120 m, much alike."""
    rng = np.random.default_rng(seed)
    shape = (looks, 160, 160)
    sky = np.stack([gaussian_filter(f, 12, mode="wrap") for f in rng.normal(size=shape)])
    cloud = sky < np.quantile(sky, cover, axis=(1, 2), keepdims=True)
    relief = np.stack([gaussian_filter(f, 6, mode="wrap") for f in rng.normal(size=shape)])
    level = rng.normal(0.6, 0.05, (looks, 1, 1)) + 0.06 * relief / relief.std()
    ground = {"blue": 0.06, "green": 0.08, "red": 0.09, "nir": 0.24, "swir16": 0.2}
    tint = {"blue": 1.03, "green": 1.0, "red": 1.0, "nir": 1.02, "swir16": 0.6}
    bands = {name: np.where(cloud, level * tint[name], ground[name]) for name in BANDS}
    return stack(np.where(cloud, CLOUD, LAND), **bands), cloud


@pytest.mark.parametrize("looks", [6, 12])
@pytest.mark.parametrize("cover", [0.7, 0.95])
def test_clouds_never_outnumber_the_true_looks(cover, looks):
    cube, cloud = under_clouds(cover, looks, seed=4)
    clear = reasons(cube, CLEAR_SKY)["clear"].values
    assert ((clear & cloud).sum(axis=0) > (clear & ~cloud).sum(axis=0)).mean() < 0.01
    assert (clear & ~cloud).any()


def test_four_snowy_dates_without_shortwave_infrared_stay_masked():
    codes = np.full((4, 90, 90), LAND)
    codes[:, 40:50, 40:50] = CLOUD
    level = np.where(codes == CLOUD, 0.75, 0.1)
    cube = stack(codes, **dict.fromkeys(BANDS, level))
    kinds = {"kind": "scl", "band": "mask", "rules": CLEAR_SKY}
    found = screen(cube, spectral_bands=["blue", "green", "red", "nir"], **kinds)
    assert not found["clear"].values[codes == CLOUD].any()
    assert screen(cube, spectral_bands=BANDS, **kinds)["clear"].values[codes == CLOUD].all()


@pytest.mark.parametrize("kind", ["fmask", "hls_fmask", "cloudmask"])
def test_nodata_that_reads_as_ground_is_refused_before_anything_is_read(kind):
    cube = stack(np.zeros((2, 3, 3))).chunk(x=1)
    cube["mask"].attrs["nodata"] = 0
    with pytest.raises(MaskError, match=f"got nodata 0 for band mask; needed .* {kind} does not"):
        reasons(cube, kind=kind)


def test_the_square_around_a_pixel_must_lie_open():
    ground = np.zeros((1, 5, 7), dtype=bool)
    ground[0, :, 4:] = True
    seen = np.ones_like(ground)
    seen[0, 0] = False
    open_at = open_sky(ground, seen, 10.0, 10.0, 0.5)[0]
    # squares of 3 x 3, cut at the rim; the first row was not seen
    assert np.flatnonzero(open_at[2]).tolist() == [4, 5, 6]
    assert np.flatnonzero(open_sky(ground, seen, 10.0, 10.0, 1 / 3)[0][2]).tolist() == [3, 4, 5, 6]
    assert not open_at[0].any()
