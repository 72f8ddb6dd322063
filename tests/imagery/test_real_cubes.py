from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from benchmarks.cubes import (
    CASES,
    NATIVE_10_M,
    NATIVE_20_M,
    THIRTEEN,
    Case,
    alignment_rows,
    composite_rows,
    grid_of,
    load_looks,
    stripe_trace,
    write_pictures,
)
from rs_monitor.codes import Sky
from rs_monitor.imagery.load import load_cube

pytestmark = [
    pytest.mark.shared,
    pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning"),
]
BY_NAME: dict[str, Case] = {case.short: case for case in CASES}
LANDSAT = {"red": "b3", "nir": "b4", "swir16": "b5"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def brandenburg(shared_data, folder):
    return load_looks(shared_data, BY_NAME["brandenburg"], folder)


@pytest.fixture(scope="module")
def colorado(shared_data, folder):
    return load_looks(shared_data, BY_NAME["colorado"], folder)


@pytest.fixture(scope="module")
def slovenia_ndvi(shared_data, folder):
    return load_looks(shared_data, BY_NAME["slovenia_ndvi"], folder)


@pytest.fixture(scope="module")
def slovenia(shared_data, folder):
    return load_looks(shared_data, BY_NAME["slovenia"], folder)


def file_of(item, band):
    with rasterio.open(item.bands[band].href) as source:
        return source.read(item.bands[band].index)


def test_brandenburg_is_one_date_of_thirteen_bands_on_one_grid(brandenburg):
    assert (len(brandenburg.items), len(brandenburg.days), len(THIRTEEN)) == (1, 1, 13)
    assert set(brandenburg.values.data_vars) == set(THIRTEEN)
    shapes = {brandenburg.values[band].shape for band in THIRTEEN}
    assert shapes == {(1, 768, 1536)}
    # one pixel of band 8A is 0 = no data in the file: four of 10 m
    assert int((~brandenburg.seen).sum()) == 4


def test_bands_of_10_m_are_the_numbers_of_their_files(brandenburg):
    (item,) = brandenburg.items
    for band in NATIVE_10_M:
        expected = file_of(item, band) * np.float32(1e-4)
        assert np.array_equal(brandenburg.values[band].values[0], expected)


@pytest.mark.parametrize(("band", "factor"), [("coastal", 6), ("nir09", 6), ("swir16", 2)])
def test_coarse_bands_lie_where_their_files_say(brandenburg, band, factor):
    (item,) = brandenburg.items
    numbers = file_of(item, band)
    window = (slice(120, 360), slice(240, 600))
    options = {"geobox": brandenburg.geobox, "bands": [band], "window": window}
    nearest = load_cube([item], resampling="nearest", **options)[band].values[0]
    repeated = np.repeat(np.repeat(numbers, factor, 0), factor, 1)[window]
    assert np.array_equal(nearest, repeated)

    bilinear = load_cube([item], **options)[band].values[0].astype(float)
    rows, cols = np.mgrid[window]
    places = [(rows + 0.5) / factor - 0.5, (cols + 0.5) / factor - 0.5]
    expected = ndimage.map_coordinates(numbers.astype(float), places, order=1)
    # numbers are stored whole
    assert np.abs(bilinear - expected).max() <= 1.0


@pytest.mark.parametrize("factor", [2, 6])
def test_a_10_m_band_made_coarse_comes_back_unmoved(brandenburg, folder, factor):
    (item,) = brandenburg.items
    native = file_of(item, "red")
    height, width = native.shape
    means = native.reshape(height // factor, factor, width // factor, factor).mean((1, 3))
    coarse = folder / f"coarse_{factor}.tif"
    geobox = grid_of(item)
    with rasterio.open(
        coarse,
        "w",
        driver="GTiff",
        width=width // factor,
        height=height // factor,
        count=1,
        dtype="float32",
        crs=item.crs,
        transform=geobox.affine * rasterio.Affine.scale(factor),
    ) as target:
        target.write(means.astype("float32"), 1)
    band = replace(item.bands["red"], href=str(coarse), dtype="float32", transform=None, shape=None)
    twin = replace(item, bands={"red": band})
    back = load_cube([twin], geobox=geobox, bands=["red"])["red"].values[0]
    inner = (slice(50, -50), slice(50, -50))
    scores = {
        (dy, dx): np.corrcoef(
            back[inner].ravel(), np.roll(native, (-dy, -dx), (0, 1))[inner].ravel()
        )[0, 1]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    assert max(scores, key=scores.__getitem__) == (0, 0)
    for one, other in (((-1, 0), (1, 0)), ((0, -1), (0, 1))):
        before, middle, after = scores[one], scores[0, 0], scores[other]
        assert abs((before - after) / (2 * (before - 2 * middle + after))) < 0.15


def test_coarse_bands_agree_best_with_10_m_bands_where_they_lie(brandenburg):
    rows = list(alignment_rows(brandenburg))
    assert {row["band"] for row in rows} == {*NATIVE_20_M, "coastal", "nir09"}
    for row in rows:
        assert row["highest at, px"] == "0, 0", row
        assert row["correlation"] > 0.75, row


def test_colorado_has_105_dates_of_its_files(colorado, shared_data):
    assert (len(colorado.items), len(colorado.days)) == (105, 105)
    for band, name in LANDSAT.items():
        path = shared_data / "colorado_landsat_timeseries" / f"{name}_105dates.tif"
        with rasterio.open(path) as source:
            numbers = source.read()
        expected = np.where(numbers == -9999, np.nan, numbers * np.float32(1e-4))
        expected = expected.astype("float32")
        assert np.array_equal(colorado.values[band].values, expected, equal_nan=True)


def test_scan_gaps_are_not_seen_and_in_no_composite(colorado):
    platforms = colorado.values["platform"].values
    reason = colorado.sky["reason"].values
    gaps = ~colorado.seen
    assert (platforms == "landsat-7").sum() == 61
    assert gaps[platforms == "landsat-7"].mean() > 0.18
    assert not gaps[platforms == "landsat-5"].any()
    assert (reason[gaps] == Sky.NOT_SEEN).all()
    assert not colorado.sky["clear"].values[gaps].any()
    assert (colorado.seen | ~np.isin(reason, [Sky.CLEAR, Sky.DOUBTFUL])).all()


def test_composites_have_neither_holes_nor_stripes(colorado):
    assert colorado.counts.min() >= 40
    for row in composite_rows(colorado):
        assert (row["holes, px"], row["of them without too few looks"]) == (0, 0)
        assert abs(float(row["trace of the gaps"])) < float(row["by chance up to"]), row
    # the measure sees stripes: the same image with gaps taken for dark ground
    bands = [np.nan_to_num(colorado.values[band].values) for band in colorado.case.bands]
    naive = np.mean(bands, axis=1)
    own, chance = stripe_trace(colorado, naive)
    assert abs(float(own)) > float(chance)


def test_one_look_composites_are_looks_that_were_clear(colorado):
    looks = np.stack([colorado.values[band].values for band in colorado.case.bands], axis=1)
    clear = colorado.sky["clear"].values
    for method in ("medoid", "best_pixel"):
        made = colorado.composites[method].values
        assert ((looks == made).all(axis=1) & clear).any(axis=0).all()


def test_the_mask_takes_the_saturated_and_negative_numbers_out(colorado):
    clear = colorado.sky["clear"].values
    for band in colorado.case.bands:
        values = colorado.values[band].values
        assert not (values[clear] < 0).any()
        assert not (values[clear] >= 1.6).any()


def test_slovenia_has_68_dates_and_five_of_thirteen_bands(slovenia_ndvi, slovenia):
    # two of the dates are one day
    assert (len(slovenia_ndvi.items), len(slovenia_ndvi.days)) == (68, 67)
    assert (len(slovenia.items), len(slovenia.days)) == (5, 5)
    assert slovenia_ndvi.counts.min() >= 35
    assert (slovenia.counts == 3).all()


def test_ndvi_of_the_bands_is_the_ndvi_of_the_stack(slovenia_ndvi, slovenia):
    place = [slovenia_ndvi.days.index(day) for day in slovenia.days]
    red, nir = (slovenia.values[band].values for band in ("red", "nir"))
    stack = slovenia_ndvi.values["ndvi"].values[place]
    assert np.abs((nir - red) / (nir + red) - stack).max() < 1e-4


def test_the_cloud_mask_lies_on_its_clouds(slovenia_ndvi):
    """Cloud lowers NDVI; a mask turned or moved would not tell."""
    reason = slovenia_ndvi.sky["reason"].values
    cloud = reason == Sky.CLOUD
    mixed = [k for k, share in enumerate(cloud.mean(axis=(1, 2))) if 0.1 < share < 0.9]
    assert len(mixed) >= 12
    ndvi = slovenia_ndvi.values["ndvi"].values
    drops = [ndvi[k][~cloud[k]].mean() - ndvi[k][cloud[k]].mean() for k in mixed]
    assert np.median(drops) > 0.08
    turned = [ndvi[k][~cloud[k][::-1]].mean() - ndvi[k][cloud[k][::-1]].mean() for k in mixed]
    assert np.median(drops) > 2 * abs(np.median(turned))


@pytest.mark.parametrize("name", ["colorado", "slovenia"])
def test_composites_lie_among_the_clear_looks(name, request):
    looks = request.getfixturevalue(name)
    clear = looks.sky["clear"].values
    for band in looks.case.bands:
        values = looks.values[band].values
        low = np.where(clear, values, np.inf).min(axis=0)
        high = np.where(clear, values, -np.inf).max(axis=0)
        # masked looks would show: they reach far beyond
        assert np.where(clear, 0, np.nan_to_num(values)).max() > high.mean()
        for made in looks.composites.values():
            image = made.sel(band=band).values
            assert ((image >= low - 1e-5) & (image <= high + 1e-5)).all()


def test_pictures_are_small(slovenia, folder):
    write_pictures(slovenia, folder)
    pictures = sorted(Path(folder).glob("cubes_*.png"))
    assert [path.name for path in pictures] == [
        "cubes_slovenia_composites.png",
        "cubes_slovenia_dates.png",
    ]
    assert all(path.stat().st_size < 150_000 for path in pictures)
