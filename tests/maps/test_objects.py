import numpy as np
import pytest
import xarray as xr

from rs_monitor.maps.objects import ObjectRules, mean_by_segment, object_probabilities, segments
from tests.comparison import assert_close

RULES = ObjectRules(method="slic", mean_size_px=16, compactness=0.1, scale=20.0, block_px=64)


def two_fields():
    """Left dark, right bright, one pixel not seen."""
    image = np.full((2, 12, 16), 0.1, "f4")
    image[:, :, 8:] = 0.4
    image[0, 3, 3] = np.nan
    return image


@pytest.mark.parametrize("bands", [2, 6])
@pytest.mark.parametrize("method", ["slic", "felzenszwalb"])
def test_no_segment_crosses_a_sharp_edge(method, bands):
    image = np.repeat(two_fields(), bands // 2, axis=0)
    found = segments(image, RULES.model_copy(update={"method": method}))
    assert found[3, 3] == 0
    assert (np.delete(found.ravel(), 3 * 16 + 3) > 0).all()
    left, right = set(found[:, :8].ravel()) - {0}, set(found[:, 8:].ravel())
    assert left.isdisjoint(right)


def test_a_flat_or_unseen_image_is_no_error():
    assert (segments(np.full((2, 8, 8), 0.2, "f4"), RULES) > 0).all()
    assert (segments(np.full((2, 8, 8), np.nan, "f4"), RULES) == 0).all()


def test_the_mean_is_of_the_segments_classified_pixels():
    proba = np.zeros((2, 2, 3), "f4")
    proba[0] = [[0.9, 0.1, 0.7], [0.8, np.nan, 0.2]]
    proba[1] = 1 - proba[0]
    labels = np.array([[1, 1, 0], [1, 1, 2]], "i4")
    out = mean_by_segment(proba, labels)
    mean = np.float32((0.9 + 0.1 + 0.8) / 3)
    expected = np.array([[mean, mean, 0.7], [mean, np.nan, 0.2]], "f4")
    assert_close(out[0], expected, atol=1e-7)
    assert_close(out[1], 1 - expected, atol=1e-7)


def test_a_misjudged_pixel_follows_its_field():
    image = two_fields()
    proba = np.where(image[:1] < 0.2, 0.8, 0.2).astype("f4")
    proba[0, 3, 3] = 0.8
    proba[0, 5, 5] = 0.1
    cube = xr.DataArray(np.concatenate([proba, 1 - proba]), dims=("class", "y", "x"))
    bands = xr.DataArray(image, dims=("band", "y", "x"))
    out = object_probabilities(cube, bands, RULES)
    assert out.dims == cube.dims
    assert (out[0, :, :8] > 0.5).all()
    assert (out[0, :, 8:] < 0.5).all()


@pytest.mark.parametrize("method", ["slic", "felzenszwalb"])
def test_a_single_pixel_is_a_segment(method):
    rules = RULES.model_copy(update={"method": method})
    assert segments(np.ones((4, 1, 1), "f4"), rules).tolist() == [[1]]
