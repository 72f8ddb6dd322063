"""Against published maps: how close, on real pixels."""

import numpy as np
import pytest
import rasterio

from rs_monitor.codes import Change
from rs_monitor.estimation.agreement import score_change
from rs_monitor.kernels.change import mad_chi2, mad_moments
from rs_monitor.kernels.terrain import slope_horn_deg
from rs_monitor.kernels.threshold import histogram, two_means
from rs_monitor.maps.change import change_mask, fit_irmad

pytestmark = pytest.mark.shared

UNLABELLED = 255


def read(path):
    with rasterio.open(path) as source:
        return source.read(), source.nodata, source.res


def irmad_magnitude(before, after):
    origin = np.concatenate([before.mean(axis=1), after.mean(axis=1)])
    transform, _ = fit_irmad(
        lambda last: mad_moments(before, after, origin, last),
        origin,
        max_iterations=50,
        tolerance=1e-3,
    )
    return np.sqrt(mad_chi2(before, after, transform))


def test_taizhou_agrees_like_the_published_map(shared_data):
    folder = shared_data / "taizhou_landsat"
    dates = ("t1_20000317_etm.tif", "t2_20030206_etm.tif")
    before, after = (read(folder / name)[0].reshape(6, -1).astype("float32") for name in dates)
    reference = read(folder / "reference_change.tif")[0].ravel()
    magnitude = irmad_magnitude(before, after)
    threshold = two_means(histogram(magnitude))
    mask = change_mask(magnitude, threshold, np.ones(magnitude.shape, bool))
    labelled = reference != UNLABELLED
    score = score_change(mask[labelled] == Change.CHANGE, reference[labelled] == 1)
    assert score.total == 21_390
    assert score.kappa >= 0.92
    assert 0.02 < np.mean(mask == Change.CHANGE) < 0.25


@pytest.mark.parametrize(
    ("folder", "dem", "seen_share"),
    [("pennsylvania_etm_2002", "dem.tif", 0.98), ("dem_ecuador_saga", "elevation_10m.tif", 0.5)],
)
def test_slope_is_gdals(shared_data, folder, dem, seen_share):
    heights, nodata, (dx, dy) = read(shared_data / folder / dem)
    expected, blank, _ = read(shared_data / folder / "gdaldem_slope_horn_deg.tif")
    heights = heights[0].astype("float64")
    if nodata is not None and not np.isnan(nodata):
        heights[heights == nodata] = np.nan
    found = slope_horn_deg(heights, dx, dy)
    known = np.isfinite(heights)
    around = [
        known[1 + y : known.shape[0] - 1 + y, 1 + x : known.shape[1] - 1 + x]
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    ]
    interior = np.zeros(known.shape, bool)
    interior[1:-1, 1:-1] = np.all(around, axis=0)
    assert np.array_equal(np.isfinite(found), interior)
    assert interior.mean() > seen_share
    assert (expected[0][interior] != blank).all()
    error = np.abs(found[interior] - expected[0][interior])
    # gdaldem sums in float32: on 3,000 m that is up to 0.0015 degrees in 95 of 156,734 cells
    assert np.mean(error <= 1e-3) > 0.999
    assert error.max() <= 2e-3
