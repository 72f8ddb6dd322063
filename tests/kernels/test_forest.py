import numpy as np
import pytest

from rs_monitor.kernels.forest import FlatForest, forest_proba
from tests.comparison import assert_close

# two trees: x0 <= 0.5 ? (missing left) leaf A : leaf B;  x1 <= 2 ? leaf B : (missing right) leaf A
FOREST = FlatForest(
    roots=np.array([0, 3]),
    feature=np.array([0, -1, -1, 1, -1, -1]),
    threshold=np.array([0.5, 0, 0, 2.0, 0, 0]),
    left=np.array([1, 0, 0, 4, 0, 0]),
    right=np.array([2, 0, 0, 5, 0, 0]),
    missing_left=np.array([True, False, False, False, False, False]),
    proba=np.array([[0, 0], [1, 0], [0, 1], [0, 0], [0.25, 0.75], [1, 0]], "float64"),
)
NAN = float("nan")


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        ([0.0, 0.0], [0.625, 0.375]),
        ([0.5, 2.0], [0.625, 0.375]),
        ([0.6, 2.0], [0.125, 0.875]),
        ([0.6, 2.1], [0.5, 0.5]),
        ([0.0, 3.0], [1.0, 0.0]),
        ([NAN, 0.0], [0.625, 0.375]),
        ([1.0, NAN], [0.5, 0.5]),
        ([NAN, NAN], [1.0, 0.0]),
    ],
)
def test_two_trees_by_hand(pixel, expected):
    found = forest_proba(np.array([pixel], "float32"), FOREST)
    assert_close(found, np.array([expected], "float32"), atol=1e-7)


def test_pixels_do_not_see_each_other():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 3, (40, 2)).astype("float32")
    alone = np.concatenate([forest_proba(pixels[i : i + 1], FOREST) for i in range(40)])
    assert_close(forest_proba(pixels, FOREST), alone, atol=0)
    turned = np.asfortranarray(pixels)
    assert_close(forest_proba(turned, FOREST), alone, atol=0)


def test_no_pixel():
    assert_close(
        forest_proba(np.empty((0, 2), "float32"), FOREST), np.empty((0, 2), "float32"), atol=0
    )
